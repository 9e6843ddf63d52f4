"""Files as their owners published them, into the store: read without running code, fitted, checked, converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fauxlens.core.errors import BadSetting, BadWeights, NoWeights
from fauxlens.core.files import sha256_of
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.checkpoint import check_finite, read_tensors
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.load import as_float, fitted, weight_set, without_numbers
from fauxlens.detectors.store import Stored
from fauxlens.detectors.table import detector_class


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of one file."""

    path: Path
    part: str  # the prefix of its tensors in the network; "" for all of it
    tensors: int
    numbers: int  # parameters, and what batch norms keep beside them
    is_converted: bool  # whether names or values were changed on the way
    digest_checked: bool  # whether its owner's digest is known, and was found


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, and what is still missing of the set."""

    detector: str
    set: str
    stored: Stored
    files: tuple[ImportedFile, ...]
    missing: tuple[WeightFile, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A file in memory, fitted into a network."""

    told: ImportedFile
    state: Mapping[str, Tensor]
    file: WeightFile | None


def import_files(name: str, paths: Sequence[Path | str], *, store: Path | None = None) -> Imported:
    """Put files of weights into the store; `name` is DETECTOR or DETECTOR/SET.

    All files are read and checked before the first is written. Without a set, it is the one that the files fit; where
    they fit several, their names decide.
    """
    if not paths:
        raise BadSetting("which files?", hint=f"fauxlens weights import {name} FILE...")
    kind, chosen = asked_for(name)
    states = {path: read_tensors(path) for path in dict.fromkeys(Path(path) for path in paths)}
    if chosen is None:
        chosen = _set_of(kind, states)
    found = _read_all(kind, chosen, states)
    stored: Stored | None = None
    for one in found:
        stored = stores.put(
            kind.card.name, chosen, one.told.part, one.state, file=one.file, source=one.told.path, store=store
        )
    assert stored is not None
    return Imported(kind.card.name, chosen.name, stored, tuple(one.told for one in found), stored.missing(chosen))


def asked_for(name: str) -> tuple[type[Detector], WeightSet | None]:
    """The class and the set of `DETECTOR/SET`; the set is None when only the detector is named and it has several."""
    detector, _, of_set = name.partition("/")
    kind = detector_class(detector)
    if not kind.card.weights:
        raise NoWeights(f"no weights are known for {detector}", hint=f"load('{detector}', 'FILE') takes any that fit")
    if of_set:
        return kind, weight_set(kind, of_set)
    return kind, kind.card.weights[0] if len(kind.card.weights) == 1 else None


def _set_of(kind: type[Detector], states: Mapping[Path, Mapping[str, Tensor]]) -> WeightSet:
    """The one set that all files fit; of several, the one whose files have these names."""
    fitting: list[WeightSet] = []
    as_whole: list[WeightSet] = []
    faults: list[BadWeights] = []
    for one in kind.card.weights:
        detector = without_numbers(kind, one.setting)
        try:
            parts = {fitted(detector, state, one, path)[0] for path, state in states.items()}
        except BadWeights as fault:
            faults.append(fault)
        else:
            # A set in parts takes a whole network as well, but that is more likely one that comes whole.
            (fitting if parts <= {file.part for file in one.files} else as_whole).append(one)
    fitting = fitting or as_whole
    if not fitting:
        raise faults[0]
    names = {path.name for path in states}
    digests = {sha256_of(path) for path in states} if any(f.sha256 for one in fitting for f in one.files) else set()
    for known in (
        [one for one in fitting if digests and digests <= {file.sha256 for file in one.files}],
        [one for one in fitting if names <= {file.name for file in one.files}],
        fitting,
    ):
        if len(known) == 1:
            return known[0]
    asked = " or ".join(f"{kind.card.name}/{one.name}" for one in fitting)
    raise BadSetting("the files fit several sets of weights, and their names tell nothing", wanted=asked,
                     hint="say which one they are, for licence and labels go with it")  # fmt: skip


def _read_all(kind: type[Detector], weights: WeightSet, states: Mapping[Path, Mapping[str, Tensor]]) -> list[_Read]:
    detector = without_numbers(kind, weights.setting)
    found: dict[str, _Read] = {}
    for path, state in states.items():
        part, tensors = fitted(detector, state, weights, path)
        tensors = as_float(tensors)
        check_finite(tensors, path)
        file = next((file for file in weights.files if file.part == part), None)
        checked = _check_digest(path, file, f"{kind.card.name}/{weights.name}")
        if part in found:
            raise BadSetting("two files are the same part of the network", where=path, got=found[part].told.path)
        numbers = sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point())
        told = ImportedFile(path, part, len(tensors), numbers, _differs(state, tensors), checked)
        found[part] = _Read(told, tensors, file)
    if "" in found and len(found) > 1:
        raise BadSetting("one of the files is the whole network, the others are parts of it",
                         where=found[""].told.path, hint="import it alone, or the parts without it")  # fmt: skip
    return list(found.values())


def _check_digest(path: Path, file: WeightFile | None, asked: str) -> bool:
    if file is None or file.sha256 is None:
        return False
    found = sha256_of(path)
    if found != file.sha256:
        raise BadWeights(
            "this is not the file that its owner published: another SHA-256", where=path,
            wanted=file.sha256, got=found,
            hint=f"get {file.name} again from {file.source}; weights of your own are loaded by their path, "
            f"not imported as {asked}",
        )  # fmt: skip
    return True


def _differs(state: Mapping[str, Tensor], converted: Mapping[str, Tensor]) -> bool:
    return state.keys() != converted.keys() or any(
        tensor is not state[name] and (tensor.shape != state[name].shape or not bool((tensor == state[name]).all()))
        for name, tensor in converted.items()
    )
