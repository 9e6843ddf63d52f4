"""Where weights lie on this machine: converted, checked, each set in a folder of its own with its card beside it.

    <store>/<detector>/<set>/<part>.safetensors     one file a part of the network ("network" for the whole)
    <store>/<detector>/<set>/card.json              where it came from, its terms, digests, when and by which version

The store is FAUXLENS_WEIGHTS if that is set, else the user's cache folder. Weights that come with the package lie in
`fauxlens/detectors/embedded`, in the same form.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fauxlens.core.errors import BadWeights
from fauxlens.core.files import atomic_path, sha256_of, write_json
from fauxlens.core.version import __version__
from fauxlens.detectors.card import WeightFile, WeightSet

WHOLE = "network"
_CARD = "card.json"


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
    facts = {"detector": detector, "set": weights.name, "part": part, "licence": weights.licence, "format": "pt"}
    with atomic_path(target) as temporary:
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, temporary, facts)
    old = _card_of(folder) if (folder / _CARD).is_file() else {}
    files = dict(old.get("files", {}))
    files[part] = {
        "file": target.name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "tensors": len(state),
        "parameters": sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point()),
        "from": None if source is None else {"name": source.name, "sha256": sha256_of(source)},
        "owner": None if file is None else file.source,
    }
    facts_of_set = {key: value for key, value in asdict(weights).items() if key != "files"}
    card = {**facts_of_set, "detector": detector, "files": files, "written_by": f"fauxlens {__version__}"}
    write_json(folder / _CARD, card)
    return _read(detector, weights.name, folder)


def check(stored: Stored) -> list[str]:
    """What is wrong with a set on disk: files that are gone or have changed since they were written."""
    faults = []
    for part, facts in stored.card["files"].items():
        path = stored.folder / facts["file"]
        if not path.is_file():
            faults.append(f"{path.name} ({part or 'the network'}) is gone")
        elif sha256_of(path) != facts["sha256"]:
            faults.append(f"{path.name} ({part or 'the network'}) has changed since it was imported")
    return faults


def listed(store: Path | None = None) -> list[Stored]:
    """Every set of weights on this machine, by detector and name."""
    found = {}
    for base in (embedded_folder(), store or store_folder()):
        for card in sorted(base.glob(f"*/*/{_CARD}")):
            held = _card_of(card.parent)
            detector, name = str(held.get("detector", card.parent.parent.name)), str(held.get("name", card.parent.name))
            found[detector, name] = _read(detector, name, card.parent)
    return [found[key] for key in sorted(found)]


def safe(name: str) -> str:
    """A name as the name of a folder on any system.

    >>> safe("noiseprint++")
    'noiseprint++'
    """
    return "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in name)


def _file_name(part: str) -> str:
    return safe(part.rstrip(".")) or WHOLE


def _card_of(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        if not isinstance(card, dict) or not isinstance(card.get("files"), dict):
            raise ValueError("no table of files")
    except (OSError, ValueError) as bad:
        raise BadWeights(f"the card of these weights cannot be read: {bad}", where=folder / _CARD,
                         hint="delete the folder and import the weights again") from bad  # fmt: skip
    return card


def _read(detector: str, name: str, folder: Path) -> Stored:
    card = _card_of(folder)
    files = {part: folder / facts["file"] for part, facts in card["files"].items()}
    return Stored(detector, name, folder, files, card)
