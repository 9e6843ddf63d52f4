"""`load`: a name to a detector that is ready to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fauxlens.core.errors import BadSetting, BadWeights, FauxlensError, NoWeights
from fauxlens.core.files import sha256_of
from fauxlens.core.names import unknown
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.checkpoint import Difference, difference, load_strictly, read_tensors
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.detectors.table import DETECTORS, detector_class

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".tar", ".bin", ".ckpt", ".pkl")
"""What files of weights are called; a word that ends otherwise is taken for the name of a set."""


def load(
    name: str,
    weights: str | Path | None = None,
    *,
    setting: str | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    store: Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Detector:
    """A detector by name, with its weights in place.

    `weights`: None for the registered ones (imported before, or part of the package), the name of one of its sets,
    "random" for fresh ones drawn from `seed` (their answers mean nothing), or the path of a file.
    `options` are what its class declares under that name, such as how a picture is shown.

    >>> load("nfa-vit", "random", setting="nano").card.title
    'NFA-ViT'
    """
    kind = detector_class(name)
    target = checked_device(device)
    if setting is None and isinstance(weights, str):
        # A set that is named brings its setting along.
        setting = next((one.setting for one in kind.card.weights if one.name == weights), None)
    if weights == "random":
        detector = _drawn(kind, setting, seed)
    elif isinstance(weights, Path) or (weights is not None and _is_path(weights, kind)):
        detector = _from_file(kind, setting, Path(weights))
    else:
        detector = _from_store(kind, setting, weights, store, seed)
    return detector.to(target).change(**dict(options or {}))


def _drawn(kind: type[Detector], setting: str | None, seed: int) -> Detector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(setting)


class _Unfilled(TorchFunctionMode):
    """Tensors that a network would fill with chance are left as they are: what they hold is about to be replaced."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") in _CHANCE:
            tensor = args[0] if args else given["tensor"]
            if func is getattr(Tensor, func.__name__, None):
                # A single draw inside a way to draw that may go on until every number is within bounds.
                with torch.no_grad():
                    tensor.zero_()
            return tensor
        return func(*args, **given)


_CHANCE = {"normal_", "uniform_", "trunc_normal_", "bernoulli_"} | {
    f"{kind}_{shape}_" for kind in ("kaiming", "xavier") for shape in ("normal", "uniform")
}


def _unfilled(kind: type[Detector], setting: str | None) -> Detector:
    """A detector whose parameters hold nothing yet; to draw those of the largest takes seconds, for nothing."""
    with torch.random.fork_rng(devices=[]), _Unfilled():
        return kind(setting)


def without_numbers(kind: type[Detector], setting: str | None = None) -> Detector:
    """A detector whose network has names and shapes only: it takes no memory, and nothing can be asked of it."""
    with torch.device("meta"):
        return kind(setting)


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
    closest: tuple[Difference, str] | None = None
    refusals: list[str] = []
    for part, tried, found in _trials(detector, state, weights, where, refusals):
        if not found:
            return part, tried
        if closest is None or _distance(found) < _distance(closest[0]):
            closest = found, part
    assert closest is not None  # there is always the whole network
    nearest = f" (nearest: its part '{closest[1].rstrip('.')}')" if closest[1] else ""
    # A family that knows the file and refuses it says why better than a list of names could.
    why = refusals[0] if refusals else closest[0]
    raise BadWeights(
        f"the file does not fit {detector.card.name}{nearest}: {why}", where=where,
        hint=_who_fits(state, detector),
    )  # fmt: skip


def _trials(
    detector: Detector,
    state: Mapping[str, Tensor],
    weights: WeightSet | None,
    where: object,
    refusals: list[str] | None = None,
) -> Iterator[tuple[str, dict[str, Tensor], Difference]]:
    """Every part the tensors may be, as they are and converted, with what is different; likely parts first."""
    wanted = detector.network.state_dict()
    parts: list[tuple[str, WeightFile | None]] = [(file.part, file) for file in weights.files] if weights else []
    # Two parts can have the same names and shapes; then the name of the file says which one it is.
    parts.sort(key=lambda one: one[1] is None or not isinstance(where, Path) or one[1].name != where.name)
    if "" not in [part for part, _ in parts]:
        parts.append(("", None))
    for part, file in parts:
        inner = {key.removeprefix(part): value for key, value in wanted.items() if key.startswith(part)}
        if not inner:
            continue
        for tried in (dict(state), _converted(detector, state, weights, file, refusals)):
            if tried is not None:
                yield part, tried, difference(tried, inner)


def missing_weights(kind: type[Detector], weights: WeightSet, lacking: Sequence[WeightFile] = ()) -> NoWeights:
    """The error for weights that are not here: where their owner publishes them, on which terms, what to type."""
    name = kind.card.name
    files = tuple(lacking) or weights.files
    asked = f"{name}/{weights.name}" if len(kind.card.weights) > 1 else name
    step = f"`fauxlens weights get {asked}`" if all(f.hub for f in files) else f"`fauxlens weights import {asked} FILE`"
    sources = sorted({file.source for file in files})
    names = ", ".join(file.name for file in files)
    if not any(file.released for file in files):
        return NoWeights(
            f"the weights '{weights.name}' of {name} were never given away",
            hint=f"{weights.terms}: `fauxlens weights import {asked} FILE`; or weights='random' to try the code",
        )
    here = "are here only in part" if lacking else "are not on this machine"
    return NoWeights(
        f"the weights '{weights.name}' of {name} {here}",
        hint=f"get {names} from {' and '.join(sources)} ({weights.licence}; {weights.terms}), then {step}; "
        "or weights='random' to try the code",
    )


def _is_path(given: str, kind: type[Detector]) -> bool:
    if given in {one.name for one in kind.card.weights}:
        return False
    return "/" in given or "\\" in given or Path(given).suffix.lower() in SUFFIXES or Path(given).is_file()


def _from_file(kind: type[Detector], setting: str | None, path: Path) -> Detector:
    state = read_tensors(path)
    detector = _unfilled(kind, setting)
    sets: list[WeightSet | None] = [*_sets_of(detector)] or [None]
    fitting = (
        (part, tensors) for one in sets for part, tensors, found in _trials(detector, state, one, path) if not found
    )
    part, tensors = next(fitting, None) or fitted(detector, state, sets[0], path)
    if part:
        raise BadWeights(
            f"the file holds only a part of {detector.card.name} ('{part.rstrip('.')}')", where=path,
            hint=f"import all its files with `fauxlens weights import {detector.card.name} FILE...`",
        )  # fmt: skip
    load_strictly(detector.network, as_float(tensors), path)
    detector.weights = Loaded(path.name, sha256_of(path), (path,))
    return detector


def _from_store(kind: type[Detector], setting: str | None, name: str | None, store: Path | None, seed: int) -> Detector:
    setting = kind.settings[0] if setting is None else setting
    if setting not in kind.settings:
        raise unknown(setting, kind.settings, f"setting of {kind.card.name}")
    weights = weight_set(kind, name, setting)
    if weights.setting is not None and weights.setting != setting:
        raise BadSetting(f"the weights '{weights.name}' belong to another setting", wanted=weights.setting, got=setting)
    found = stores.find(kind.card.name, weights.name, store)
    if found is None:
        raise missing_weights(kind, weights)
    if lacking := found.missing(weights):
        raise missing_weights(kind, weights, lacking)
    if faults := stores.check(found):
        raise BadWeights("; ".join(faults), where=found.folder, hint="import the weights again")
    state = as_float(tensors_of(found))
    is_whole = covers(without_numbers(kind, setting), found)
    if is_whole:
        detector = _unfilled(kind, setting)
        load_strictly(detector.network, state, found.folder)
    else:
        # Where training starts: what the files do not hold stays as it was drawn.
        detector = _drawn(kind, setting, seed)
        drawn = {
            key: value for key, value in detector.network.state_dict().items() if not key.startswith(tuple(found.files))
        }
        load_strictly(detector.network, {**drawn, **state}, found.folder)
    detector.weights = Loaded(weights.name, found.sha256 if is_whole else None, tuple(found.files.values()))
    return detector


def tensors_of(stored: stores.Stored) -> dict[str, Tensor]:
    """All tensors of a stored set under the network's names."""
    return {part + key: tensor for part, path in stored.files.items() for key, tensor in read_tensors(path).items()}


def covers(detector: Detector, stored: stores.Stored) -> bool:
    """Whether a set is all that the network needs; a set to start training from leaves its heads out."""
    return all(key.startswith(tuple(stored.files)) for key in detector.network.state_dict())


def as_float(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbers of any other precision as float32: a processor computes in nothing smaller."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _sets_of(detector: Detector) -> list[WeightSet]:
    default = type(detector).settings[0]
    return [one for one in detector.card.weights if (one.setting or default) == detector.setting]


def _converted(
    detector: Detector,
    state: Mapping[str, Tensor],
    weights: WeightSet | None,
    file: WeightFile | None,
    refusals: list[str] | None,
) -> dict[str, Tensor] | None:
    try:
        return detector.convert(dict(state), weights, file)
    except BadWeights as refused:
        if refusals is not None:
            refusals.append(refused.message)
        return None
    except (KeyError, IndexError, RuntimeError, FauxlensError):  # it looks for names or shapes that are not there
        return None


def _distance(found: Difference) -> int:
    return len(found.missing) + len(found.unexpected) + len(found.reshaped) + len(found.retyped)


def _who_fits(state: Mapping[str, Tensor], asked: Detector) -> str | None:
    """'these tensors fit ...', when another network, or a part of one, has exactly these names and shapes."""
    fitting: list[str] = []
    for name in DETECTORS:
        try:
            kind = detector_class(name)
            for setting in kind.settings:
                detector = without_numbers(kind, setting)
                is_asked = name == asked.card.name and setting == asked.setting
                fitting += _fits(detector, state, is_asked)
        except FauxlensError:  # its extra is not installed; it cannot be asked
            continue
    return f"these tensors fit {' or '.join(dict.fromkeys(fitting))}" if fitting else None


def _fits(detector: Detector, state: Mapping[str, Tensor], is_asked: bool) -> Iterator[str]:
    name = detector.card.name
    sets: list[WeightSet | None] = [*_sets_of(detector)] or [None]
    for one in sets:
        for part, _, found in _trials(detector, state, one, None):
            if not found and part:
                yield f"{name}/{one.name if one else ''}"
            elif not found and not is_asked:
                yield (
                    name
                    if detector.setting == type(detector).settings[0]
                    else f"{name} in its setting '{detector.setting}'"
                )
