"""What weights there are, which of them are on this machine, and whether those are still what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fauxlens.core.errors import BadWeights, FauxlensError, MissingExtra
from fauxlens.core.progress import Progress, silent
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightSet
from fauxlens.detectors.checkpoint import check_finite, difference
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.load import as_float, tensors_of, weight_set, without_numbers
from fauxlens.detectors.store import Stored
from fauxlens.detectors.table import DETECTORS, detector_class

State = Literal["here", "in part", "damaged", "not here"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One set of weights that a card tells of, and what of it is on this machine."""

    kind: type[Detector]
    weights: WeightSet
    state: State
    stored: Stored | None
    missing: tuple[str, ...]  # the owner's names of files that were not imported

    @property
    def bytes(self) -> int | None:
        """Its size on this machine; else as its owner tells it; None when nobody does."""
        if self.stored is not None:
            return self.stored.bytes
        told = [file.bytes for file in self.weights.files]
        return None if None in told or not told else sum(size for size in told if size is not None)


@dataclass(frozen=True, slots=True)
class Verified:
    """One folder of the store, looked through. `faults` are damage; `remarks` are not."""

    detector: str
    set: str
    folder: Path
    bytes: int
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def kinds() -> Iterator[type[Detector]]:
    """Every detector of the table, by name."""
    for name in sorted(DETECTORS):
        yield detector_class(name)


def entries(kind: type[Detector], store: Path | None = None) -> list[Entry]:
    """The sets of one detector, in the order of its card."""
    return [_entry(kind, one, store) for one in kind.card.weights]


def offered(store: Path | None = None) -> list[Entry]:
    """The sets of all detectors: those with a recommended one first, the rest by name."""
    by_kind = [entries(kind, store) for kind in kinds()]
    by_kind.sort(key=lambda sets: not any(one.weights.recommended for one in sets))
    return [one for sets in by_kind for one in sets]


def verify_store(store: Path | None = None, progress: Progress = silent) -> list[Verified]:
    """Look through every set on this machine: digests, names, shapes, finite numbers."""
    found = stores.folders(store)
    checked = []
    for number, folder in enumerate(found):
        progress(number, len(found), folder.name)
        checked.append(_verified(folder))
    progress(len(found), len(found), "done")
    return checked


def _entry(kind: type[Detector], weights: WeightSet, store: Path | None) -> Entry:
    names = tuple(file.name for file in weights.files)
    try:
        stored = stores.find(kind.card.name, weights.name, store)
    except BadWeights:
        return Entry(kind, weights, "damaged", None, names)
    if stored is None:
        return Entry(kind, weights, "not here", None, names)
    if not all(path.is_file() for path in stored.files.values()):
        return Entry(kind, weights, "damaged", stored, ())
    missing = tuple(file.name for file in stored.missing(weights))
    return Entry(kind, weights, "in part" if missing else "here", stored, missing)


def _verified(folder: Path) -> Verified:
    try:
        stored = stores.open_folder(folder)
    except BadWeights as bad:
        return Verified(folder.parent.name, folder.name, folder, 0, (bad.what,))
    faults, remarks = stores.check(stored), []
    if not faults:
        try:
            remarks = _check_fits(stored)
        except BadWeights as bad:
            faults = [bad.what]
        except MissingExtra as lacking:
            remarks = [f"not tried in its network: {lacking}"]
    return Verified(stored.detector, stored.name, folder, stored.bytes, tuple(faults), tuple(remarks))


def _check_fits(stored: Stored) -> list[str]:
    """Remarks; a BadWeights when the tensors are not those of the network."""
    try:
        kind = detector_class(stored.detector)
        weights = weight_set(kind, stored.name)
    except MissingExtra:
        raise
    except FauxlensError:
        return ["this version of fauxlens knows no such set; nothing will load it"]
    state = as_float(tensors_of(stored))
    network = without_numbers(kind, weights.setting).network.state_dict()
    found = difference(state, {key: tensor for key, tensor in network.items() if key.startswith(tuple(stored.files))})
    if found:
        raise BadWeights(f"the weights do not fit: {found}")
    check_finite(state)
    missing = stored.missing(weights)
    return [f"not imported yet: {', '.join(file.name for file in missing)}"] if missing else []
