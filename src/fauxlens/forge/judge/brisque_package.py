"""BRISQUE by coefficients that the user has: those of the Apache-licensed package `brisque`, for comparison.

Its support vectors are a text file in libsvm's format and its ranges a table of numbers; both are read here, without
libsvm and without running anything. The features are our own, so scores differ a little from that package's.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fauxlens.core.errors import BadWeights, NoWeights
from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.brisque import FEATURES, LONGEST, Floats, Regressor, at_fitted_size, brisque_score
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.needs import Download, forge_folder

VECTORS = "svm.txt"
RANGES = ("ranges.txt", "normalize.pickle")
"""Either libsvm's own text of ranges, or the package's table."""


@dataclass(frozen=True, kw_only=True)
class PackageBrisqueSettings:
    """The highest score that passes."""

    limit: float = 60.0
    longest: int = LONGEST  # larger pictures are shrunk to it

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 200.0)
        require_between("longest", self.longest, 64, 100_000)


class PackageBrisque(Judge):
    """The score of the forged picture by somebody else's coefficients.

    `weights` is a folder with `svm.txt` and `ranges.txt` or `normalize.pickle`; without it the installed package's own
    files are taken.
    """

    name = "brisque-package"
    settings_type = PackageBrisqueSettings
    needs = (
        Download(
            repository="brisque",
            licence="Apache-2.0",
            bytes=352_000,
            files=(VECTORS, RANGES[1]),
            remark="a Python package; only its two files of numbers are read",
        ),
    )
    about: ClassVar[str] = "BRISQUE of the whole picture by the coefficients of the package `brisque`."

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._regressor: Regressor | None = None

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Score the forged picture."""
        limit: float = self.settings.limit
        wording = f"at most {limit:g}"
        if self._regressor is None:
            self._regressor = read_coefficients(_folder(self.weights))
        score = brisque_score(at_fitted_size(exhibit.forged, self.settings.longest), self._regressor)
        if score is None:
            return Ruling(self.name, None, None, wording, "too small a picture, or one without any contrast")
        return Ruling(self.name, score, score <= limit, wording)


def read_coefficients(folder: Path) -> Regressor:
    """Read `svm.txt` and the ranges beside it."""
    facts, centres, weights = _read_vectors(folder / VECTORS)
    text = folder / RANGES[0]
    low, high = _read_ranges(text) if text.is_file() else _read_table(folder / RANGES[1])
    return Regressor(low=low, high=high, centres=centres, weights=weights, gamma=facts["gamma"], offset=-facts["rho"])


def _folder(given: Path | None) -> Path:
    looked = []
    if given is not None:
        looked.append(Path(given))
    else:
        looked.append(forge_folder(PackageBrisque.name))
        # Found without being imported: nothing of the package runs.
        found = importlib.util.find_spec("brisque")
        if found is not None and found.origin is not None:
            looked.append(Path(found.origin).parent / "models")
    for folder in looked:
        if (folder / VECTORS).is_file() and any((folder / name).is_file() for name in RANGES):
            return folder
    raise NoWeights(
        f"{PackageBrisque.name} needs coefficients that are not on this machine",
        where=looked[0],
        wanted=f"{VECTORS} and {' or '.join(RANGES)} of the package brisque (Apache-2.0; about 352 kB)",
        hint="`pip install brisque`, or give a folder with its files as `weights`",
    )


def _read_vectors(path: Path) -> tuple[dict[str, float], Floats, Floats]:
    """Gamma and rho; (n, 36) centres; (n,) weights."""
    lines = _lines(path)
    try:
        start = lines.index("SV")
        header = dict(line.split(maxsplit=1) for line in lines[:start])
        if (header["svm_type"], header["kernel_type"]) != ("epsilon_svr", "rbf"):
            raise BadWeights(
                "another kind of support vectors",
                where=path,
                wanted="svm_type epsilon_svr, kernel_type rbf",
                got=f"{header['svm_type']}, {header['kernel_type']}",
            )
        rows = lines[start + 1 :]
        centres, weights = np.zeros((len(rows), FEATURES)), np.zeros(len(rows))
        for row, line in enumerate(rows):
            weight, *pairs = line.split()
            weights[row] = float(weight)
            for pair in pairs:  # what is not written is zero
                index, value = pair.split(":")
                if not 1 <= int(index) <= FEATURES:
                    raise ValueError(f"feature {index}")
                centres[row, int(index) - 1] = float(value)
        if len(rows) != int(header["total_sv"]):
            raise ValueError(f"{len(rows)} support vectors of {header['total_sv']}")
        facts = {name: float(header[name]) for name in ("gamma", "rho")}
    except (ValueError, KeyError) as fault:
        if isinstance(fault, BadWeights):
            raise
        raise BadWeights(
            "not the text of support vectors", where=path, wanted="libsvm's format", got=str(fault)
        ) from fault
    return facts, centres, weights


def _read_ranges(path: Path) -> tuple[Floats, Floats]:
    """libsvm's text: `x`, the target range, then index, lowest and highest of each feature."""
    lines = _lines(path)
    try:
        if lines[0] != "x" or [float(part) for part in lines[1].split()] != [-1.0, 1.0]:
            raise ValueError(" ".join(lines[:2]))
        low, high = np.full(FEATURES, np.nan), np.full(FEATURES, np.nan)
        for line in lines[2:]:
            index, lowest, highest = line.split()
            low[int(index) - 1], high[int(index) - 1] = float(lowest), float(highest)
    except (ValueError, IndexError) as fault:
        wanted = "`x`, `-1 1`, then index, lowest and highest of 36 features"
        raise BadWeights("not a text of ranges", where=path, wanted=wanted, got=str(fault)) from fault
    return low, high


class _NumbersOnly(pickle.Unpickler):
    """Lists, dictionaries, texts and numbers; what would have to be looked up, and so could run, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse."""
        raise pickle.UnpicklingError(f"{module}.{name} is no number")


def _read_table(path: Path) -> tuple[Floats, Floats]:
    try:
        stored = _NumbersOnly(io.BytesIO(path.read_bytes())).load()
        low, high = (np.asarray(stored[name], dtype=np.float64) for name in ("min_", "max_"))
    except (OSError, pickle.UnpicklingError, ValueError, LookupError, TypeError, EOFError, AttributeError) as fault:
        raise BadWeights(
            "not a table of ranges", where=path, wanted="lists `min_` and `max_` of 36 numbers", got=str(fault)
        ) from fault
    return low, high


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise BadWeights("cannot be read", where=path, wanted="a text", got=str(fault)) from fault
