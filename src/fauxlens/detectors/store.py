"""Where weights lie on this machine: converted, checked, each set in a folder of its own with its card beside it.

    <store>/<detector>/<set>/<part>.safetensors     one file a part of the network ("network" for the whole)
    <store>/<detector>/<set>/card.json              where it came from, its terms, digests, when and by which version

The store is FAUXLENS_WEIGHTS if that is set, else the user's cache folder. Weights that come with the package lie in
`fauxlens/detectors/embedded`, in the same form. The bytes of a .safetensors file depend on nothing but its tensors, so
the digest of a set is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fauxlens.core.errors import BadWeights
from fauxlens.core.files import atomic_path, sha256_of, write_json
from fauxlens.core.version import __version__
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.work.lease import hold, open_file

WHOLE = "network"
_CARD = "card.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Stored:
    """A set of weights on disk, whole or in part. `files` are by the prefix of their part."""

    detector: str
    name: str
    folder: Path
    files: Mapping[str, Path]
    card: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """One digest for the set: of its files' digests in the order of their parts."""
        return joined_digest([self.card["files"][part]["sha256"] for part in sorted(self.files)])

    @property
    def bytes(self) -> int:
        """How much room its files take, as written."""
        return sum(int(facts.get("bytes", 0)) for facts in self.card["files"].values())

    def missing(self, weights: WeightSet) -> tuple[WeightFile, ...]:
        """Which of the owner's files were not imported yet; none when the whole network came in one."""
        return () if "" in self.files else tuple(file for file in weights.files if file.part not in self.files)


def joined_digest(digests: list[str]) -> str:
    """One digest of several; of one, itself."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def store_folder() -> Path:
    """Where weights are kept on this machine."""
    if given := os.environ.get("FAUXLENS_WEIGHTS"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fauxlens" / "weights"


def embedded_folder() -> Path:
    """Where the weights that come with the package lie."""
    return Path(__file__).parent / "embedded"


def find(detector: str, name: str, store: Path | None = None) -> Stored | None:
    """A set of weights that was imported before, or that comes with the package; None if there is none."""
    for base in (store or store_folder(), embedded_folder()):
        folder = base / safe(detector) / safe(name)
        if (folder / _CARD).is_file():
            return _read(detector, name, folder)
    return None


def put(
    detector: str,
    weights: WeightSet,
    part: str,
    state: Mapping[str, Tensor],
    *,
    file: WeightFile | None = None,
    source: Path | None = None,
    store: Path | None = None,
) -> Stored:
    """Write one part as safetensors, whole or not at all, then say so in the card."""
    from safetensors.torch import save_file

    folder = (store or store_folder()) / safe(detector) / safe(weights.name)
    target = folder / f"{_file_name(part)}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        with atomic_path(target) as temporary:
            # One entry of metadata, and a fixed one: two would be written in any order, and change the digest.
            save_file(
                {name: tensor.contiguous().clone() for name, tensor in state.items()}, temporary, {"format": "pt"}
            )
        before = _files_before(folder)
        # The whole network takes the place of its parts, and a part that of the whole.
        files = {name: facts for name, facts in before.items() if bool(name) == bool(part)}
        files[part] = {
            "file": target.name,
            "sha256": sha256_of(target),
            "bytes": target.stat().st_size,
            "tensors": len(state),
            "numbers": sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point()),
            "from": None
            if source is None
            else {
                "name": source.name,
                "sha256": sha256_of(source),
                "commit": _commit_of(source),
            },
            "owner": None if file is None else file.source,
        }
        facts_of_set = {key: value for key, value in asdict(weights).items() if key != "files"}
        card = {**facts_of_set, "detector": detector, "files": files, "written_by": f"fauxlens {__version__}"}
        write_json(folder / _CARD, card)
        for name in before.keys() - files.keys():
            (folder / before[name]["file"]).unlink(missing_ok=True)
        return _read(detector, weights.name, folder)


def _commit_of(path: Path) -> str | None:
    """Which state of its owner's repository a file in the hub's cache (`snapshots/COMMIT/...`) is of."""
    parts = path.parts
    after = parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else ""
    return after if re.fullmatch("[0-9a-f]{40}", after) else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else writes into the folder while the block lasts; two imports of one set take turns."""
    handle = open_file(folder / _LOCK)
    try:
        hold(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _files_before(folder: Path) -> dict[str, Any]:
    """What the card says so far; a damaged card is written anew, and its parts must be imported again."""
    try:
        return dict(_card_of(folder)["files"])
    except BadWeights:
        return {}


def check(stored: Stored) -> list[str]:
    """What is wrong with a set on disk: files that are gone or have changed since they were written."""
    faults = []
    for part, facts in stored.card["files"].items():
        path = stored.folder / facts["file"]
        told = f"{path.name} ({part.rstrip('.') or 'the network'})"
        try:
            found = sha256_of(path)
        except FileNotFoundError:
            faults.append(f"{told} is gone")
        except OSError as fault:
            faults.append(f"{told} cannot be read: {fault.strerror}")
        else:
            if found != facts["sha256"]:
                faults.append(f"{told} has changed since it was imported")
    return faults


def listed(store: Path | None = None) -> list[Stored]:
    """Every set of weights on this machine whose card can be read, by detector and name."""
    found: dict[tuple[str, str], Stored] = {}
    for folder in folders(store):
        with suppress(BadWeights):
            one = open_folder(folder)
            found[one.detector, one.name] = one
    return [found[key] for key in sorted(found)]


def folders(store: Path | None = None) -> list[Path]:
    """Every folder with a card: of the package first, then of the store, whatever state they are in."""
    return [
        card.parent
        for base in (embedded_folder(), store or store_folder())
        for card in sorted(base.glob(f"*/*/{_CARD}"))
    ]


def open_folder(folder: Path) -> Stored:
    """The set that lies in a folder, by what its card says."""
    card = _card_of(folder)
    return _read(str(card.get("detector", folder.parent.name)), str(card.get("name", folder.name)), folder)


def safe(name: str) -> str:
    """A name as the name of a folder on any system.

    >>> safe("noiseprint++")
    'noiseprint++'
    """
    kept = "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in name)
    return kept if kept.strip(".") or not kept else "_" + kept  # dots alone would be another folder


def _file_name(part: str) -> str:
    return safe(part.rstrip(".")) or WHOLE


def _card_of(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        if not isinstance(card, dict) or not isinstance(card.get("files"), dict) or not card["files"]:
            raise ValueError("no table of files")
        for part, facts in card["files"].items():
            name = facts.get("file") if isinstance(facts, dict) else None
            # A name and no path: a card leads to nothing outside its own folder.
            if not isinstance(name, str) or Path(name).name != name or not isinstance(facts.get("sha256"), str):
                raise ValueError(f"no file and digest for '{part or WHOLE}'")
    except (OSError, ValueError) as bad:
        raise BadWeights(f"the card of these weights cannot be read: {bad}", where=folder / _CARD,
                         hint="delete the folder and import the weights again") from bad  # fmt: skip
    return card


def _read(detector: str, name: str, folder: Path) -> Stored:
    card = _card_of(folder)
    files = {part: folder / facts["file"] for part, facts in card["files"].items()}
    return Stored(detector, name, folder, files, card)
