"""`load`: a name to a detector that is ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting, BadWeights, FauxlensError, NoWeights
from fauxlens.core.files import sha256_of
from fauxlens.core.names import unknown
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.checkpoint import Difference, difference, load_strictly, read_tensors
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.detectors.table import DETECTORS, detector_class


def load(
    name: str,
    weights: str | Path | None = None,
    *,
    setting: str | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    store: Path | None = None,
) -> Detector:
    """A detector by name, with its weights in place.

    `weights`: None for the registered ones (imported before, or part of the package), the name of one of its sets,
    "random" for fresh ones drawn from `seed` (their answers mean nothing), or the path of a file.

    >>> load("nfa-vit", "random", setting="nano").card.title
    'NFA-ViT'
    """
    kind = detector_class(name)
    target = checked_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = kind(setting)
    if weights == "random":
        detector.weights = Loaded("random")
    elif isinstance(weights, Path) or (weights is not None and _is_path(weights, kind)):
        _from_file(detector, Path(weights))
    else:
        _from_store(detector, weights, store)
    detector.to(target)
    return detector


def checked_device(device: str | torch.device) -> torch.device:
    """The device of that name, if it is one and is here."""
    try:
        found = torch.device(device)
    except RuntimeError:
        raise BadSetting(f"no device called '{device}'", wanted="cpu, cuda, cuda:1 or mps") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BadSetting(
            "no CUDA device can be used here", got=device, hint="use device='cpu', or see `fauxlens doctor`"
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise BadSetting("no Apple GPU can be used here", got=device, hint="use device='cpu'")
    return found


def weight_set(kind: type[Detector], name: str | None, setting: str | None = None) -> WeightSet:
    """One of a detector's sets: by name, or the first that belongs to the setting."""
    sets = kind.card.weights
    if name is not None:
        for one in sets:
            if one.name == name:
                return one
        raise unknown(name, [one.name for one in sets], f"set of weights of {kind.card.name}")
    wanted = setting or kind.settings[0]
    for one in sets:
        if (one.setting or kind.settings[0]) == wanted:
            return one
    raise NoWeights(
        f"no weights are known for {kind.card.name} in its setting '{wanted}'",
        hint="give a file of your own, or weights='random' to try the code",
    )


def fitted(
    detector: Detector, state: Mapping[str, Tensor], weights: WeightSet | None, where: object
) -> tuple[str, dict[str, Tensor]]:
    """Which part of the network a file's tensors are, and the tensors under the network's names without that prefix.

    The file must be one whole part; otherwise the error says how it differs, and which detector it would fit.
    """
    wanted = detector.network.state_dict()
    parts: list[tuple[str, WeightFile | None]] = [(file.part, file) for file in weights.files] if weights else []
    if "" not in [part for part, _ in parts]:
        parts.append(("", None))
    closest: Difference | None = None
    for part, file in parts:
        inner = {key.removeprefix(part): value for key, value in wanted.items() if key.startswith(part)}
        for tried in (dict(state), _converted(detector, state, weights, file)):
            if tried is None:
                continue
            found = difference(tried, inner)
            if not found:
                return part, tried
            if closest is None or _distance(found) < _distance(closest):
                closest = found
    raise BadWeights(
        f"the file does not fit {detector.card.name}: {closest}", where=where, hint=_who_fits(state, detector.card.name)
    )


def missing_weights(kind: type[Detector], weights: WeightSet) -> NoWeights:
    """The error for weights that are not here: where their owner publishes them, on which terms, what to type."""
    name = kind.card.name
    fetchable = all(file.hub for file in weights.files)
    step = f"`fauxlens weights get {name}`" if fetchable else f"`fauxlens weights import {name} FILE`"
    sources = sorted({file.source for file in weights.files})
    files = ", ".join(file.name for file in weights.files)
    return NoWeights(
        f"the weights '{weights.name}' of {name} are not on this machine",
        hint=f"get {files} from {' and '.join(sources)} ({weights.licence}; {weights.terms}), then {step}; "
        "or weights='random' to try the code",
    )


def _is_path(given: str, kind: type[Detector]) -> bool:
    known = {one.name for one in kind.card.weights}
    if given in known:
        return False
    return "/" in given or "\\" in given or Path(given).suffix != "" or Path(given).exists()


def _from_file(detector: Detector, path: Path) -> None:
    state = read_tensors(path)
    weights = next(iter(_sets_of(detector)), None)
    part, tensors = fitted(detector, state, weights, path)
    if part:
        raise BadWeights(
            f"the file holds only a part of {detector.card.name} ('{part.rstrip('.')}')", where=path,
            hint=f"import all its files with `fauxlens weights import {detector.card.name} FILE...`",
        )  # fmt: skip
    load_strictly(detector.network, as_float(tensors), path)
    detector.weights = Loaded(path.name, sha256_of(path), (path,))


def _from_store(detector: Detector, name: str | None, store: Path | None) -> None:
    weights = weight_set(type(detector), name, detector.setting)
    if weights.setting is not None and weights.setting != detector.setting:
        raise BadSetting(
            f"the weights '{weights.name}' belong to another setting", wanted=weights.setting, got=detector.setting
        )
    found = stores.find(detector.card.name, weights.name, store)
    if found is None or {file.part for file in weights.files} - set(found.files):
        raise missing_weights(type(detector), weights)
    if faults := stores.check(found):
        raise BadWeights("; ".join(faults), where=found.folder, hint="import the weights again")
    state: dict[str, Tensor] = {}
    for part, path in found.files.items():
        state.update({part + key: tensor for key, tensor in read_tensors(path).items()})
    load_strictly(detector.network, as_float(state), found.folder)
    detector.weights = Loaded(weights.name, found.sha256, tuple(found.files.values()))


def as_float(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Half-precision tensors as float32: a processor computes in nothing smaller."""
    return {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16, torch.float64) else tensor
        for name, tensor in state.items()
    }


def _sets_of(detector: Detector) -> list[WeightSet]:
    default = type(detector).settings[0]
    return [one for one in detector.card.weights if (one.setting or default) == detector.setting]


def _converted(
    detector: Detector, state: Mapping[str, Tensor], weights: WeightSet | None, file: WeightFile | None
) -> dict[str, Tensor] | None:
    try:
        return detector.convert(dict(state), weights, file)
    except KeyError:  # a conversion that looks for names which another layout lacks
        return None


def _distance(found: Difference) -> int:
    return len(found.missing) + len(found.unexpected) + len(found.reshaped)


def _who_fits(state: Mapping[str, Tensor], asked: str) -> str | None:
    """'these are the weights of ...', when another detector's network has exactly these names and shapes."""
    fitting = []
    for name in DETECTORS:
        try:
            kind = detector_class(name)
            for setting in kind.settings:
                with torch.device("meta"):
                    wanted = kind(setting).network.state_dict()
                parts = {file.part for one in kind.card.weights for file in one.files} | {""}
                for part in parts:
                    inner = {key.removeprefix(part): value for key, value in wanted.items() if key.startswith(part)}
                    if inner and not difference(state, inner):
                        fitting.append(name if setting == kind.settings[0] else f"{name} in its setting '{setting}'")
                        break
        except FauxlensError:  # its extra is not installed; it cannot be asked
            continue
    if not fitting:
        return None
    return f"these tensors fit {' or '.join(dict.fromkeys(fitting))}" + (
        "" if asked not in fitting else ", see the setting"
    )
