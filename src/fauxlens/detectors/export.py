"""A detector's network as one ONNX file, and the proof that the file says what the network says.

The file holds the network alone: `image` in, already prepared (N, 3, H, W); what the network tells out, by the names
of `Output`. What a picture must go through before stands in the file's metadata. After writing, ONNX Runtime is asked
about drawn pictures that the exporter never saw, at another batch size, and at other picture sizes where the file takes
them. A file that answers otherwise than the network is not kept.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadExport, BadSetting, FauxlensError, OutOfMemory
from fauxlens.core.files import atomic_path, sha256_of
from fauxlens.core.optional import need
from fauxlens.core.version import __version__
from fauxlens.detectors.detector import RANDOM, Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels
from fauxlens.images.resample import resize

OUTPUTS = {
    "logit": "(N,) above 0 for fake",
    "mask": "(N, 1, H, W) logits, above 0 for edited",
    "generators": "(N, K) logits, one a generator",
    "trace": "(N, 1, H, W) a map without a scale of its own",
    "features": "(N, C) what a picture looks like to the network",
    "confidence": "(N, 1, H, W) logits of how far the mask can be relied on",
}
"""What a file may tell, in the order of its outputs."""

TOLERANCE = 1e-4
"""How far an answer may be off, as a share of the largest number the network gave. Two correct libraries differ by
about 1e-6 of it on most networks; a wrong weight or a wrong rule of padding shows at 1e-3 and more."""

ROUNDING = 3.0
"""Where TOLERANCE is missed: how far off an answer may be, in units of what single precision alone moves it. Two
correct libraries each round once, so 2 is to be expected; ManTra-Net and Noiseprint++ amplify rounding that much."""

OPSETS = (18, 23)
"""The first and the last opset that torch can be asked for."""

MOST_BYTES = 2**31 - 2**24
"""A .onnx file is one protobuf message, which cannot be larger than 2 GB; a little is left for the graph."""

AXES = {"batch": 0, "height": 2, "width": 3}
"""The axes of `image` that may be of any length."""

FREE_SIDE, SMALL_SIDE, SMALLEST_SIDE = 256, 96, 64
"""Sides for size-free networks: of the traced pictures, of those shown in double precision, the smallest promised."""

UNCHECKED = "not compared with the network: nobody knows whether this file says the same"


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the file is from the network in one output: the largest difference, and the largest number compared.

    `rounding`: how far the network in single precision is from itself in double precision; 0 where nobody had to look.
    """

    output: str
    difference: float
    scale: float
    rounding: float = 0.0

    @property
    def share(self) -> float:
        """The difference as a share of the scale."""
        return self.difference / self.scale if self.scale > 0 else float(self.difference > 0)

    @property
    def agrees(self) -> bool:
        """Whether nothing but rounding tells the file from the network."""
        return self.difference <= max(TOLERANCE * self.scale, ROUNDING * self.rounding)


@dataclass(frozen=True, slots=True)
class Choices:
    """For a network that chooses where to look: the file's choices beside the network's.

    `differing` of them are not the network's, because rounding decides between keys that weigh the same. `weights` is
    how far the numbers are off that were chosen by; `given` is how far the outputs are off once the network is told the
    file's choices. `are_right`: every choice of the file is a right one by the file's own weights.
    """

    differing: float
    weights: Parity
    given: tuple[Parity, ...]
    are_right: bool

    @property
    def agrees(self) -> bool:
        """Whether nothing but ties tells the file from the network."""
        return self.are_right and self.weights.agrees and all(one.agrees for one in self.given)


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and how far it can be believed. `agrees` is None where nothing was compared.

    `inputs` and `outputs` give a name's shape, with a word for each side that may be of any length; `example` is the
    batch that was traced.
    """

    path: Path
    bytes: int
    sha256: str
    opset: int
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    example: tuple[int, int, int, int]
    dynamic: tuple[str, ...]
    parity: tuple[Parity, ...]
    choices: Choices | None
    tolerance: float
    agrees: bool | None
    metadata: dict[str, str]
    notes: tuple[str, ...] = ()


@runtime_checkable
class Choosing(Protocol):
    """A network that chooses where to look by comparing numbers, as NFA-ViT does."""

    def with_choices(self, image: Tensor) -> tuple[Output, list[Tensor], list[Tensor]]:
        """The Output, the guides (0 where chosen) it rests on, and the weights that they were chosen by."""
        ...


def export(
    detector: Detector, path: str | Path, *, side: int | None = None, opset: int | None = None, check: bool = True
) -> Exported:
    """Write the network of `detector` as one .onnx file, whole or not at all, and compare it with the network.

    `side`: the file sees squares of this side only; None: the size that the detector shows, or any size where it shows
    pictures as they are and torch can follow that. `opset`: None for torch's choice. `check` False leaves out the
    comparison. A file that differs from the network by more than TOLERANCE is not kept: BadExport.
    """
    need("onnx", "export", "the export to ONNX")
    need("onnxscript", "export", "the export to ONNX")
    if check:
        need("onnxruntime", "export", "the comparison of the file with the network")
    target = Path(path)
    refuse(type(detector), target, opset)
    _refuse_large(detector)
    detector.network.eval()
    size, is_free = _size(detector, side)
    wrapped = _Plain(detector.network, _told(detector, size))
    program, dynamic, notes = _traced(detector, wrapped, size, is_free and side is None)
    facts = metadata(detector)
    with atomic_path(target) as temporary:
        converted = _converted(program, wrapped, detector.card.name, dynamic, opset)
        converted.model.metadata_props.update(facts)
        hidden = _without_hidden(converted, len(wrapped.names))
        converted.save(temporary, external_data=False)
        parity: tuple[Parity, ...] = ()
        choices = None
        if check:
            batches = _unseen(detector, size, dynamic)
            found = [_run(temporary, wrapped.names, batch) for batch in batches]
            parity = _compared(wrapped.names, found, [detector.logits(batch) for batch in batches])
            agrees = all(one.agrees for one in parity)
            if not agrees and hidden:
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fauxlens-") as folder:
                    converted.model.graph.outputs.extend(hidden)
                    converted.save(Path(folder) / "open.onnx", external_data=False)
                    names = [*wrapped.names, *(str(one.name) for one in hidden)]
                    opened = _run(Path(folder) / "open.onnx", names, batches[0])
                choices = _choices(detector.network, batches[0], wrapped.names, found[0], list(opened.values()))
                agrees = choices.agrees
            elif not agrees:
                # One number of one picture may be rounded well by chance: several show what rounding can do. Double
                # precision is slow, so they are small where they may be.
                shown = (SMALL_SIDE, SMALL_SIDE) if "height" in dynamic else size
                drawn = [_drawn(detector, seed, 1, shown) for seed in range(1, 7)]
                parity = _rounded(detector.network, drawn, parity)
                agrees = all(one.agrees for one in parity)
            if not agrees:
                raise _differs(target, parity, choices)
        else:
            notes += (UNCHECKED,)
        if detector.weights.is_random:
            notes += (RANDOM,)
        graph = converted.model.graph
        shapes = {value.name: _shape(value) for value in (*graph.inputs, *graph.outputs[: len(wrapped.names)])}
        written, digest = temporary.stat().st_size, sha256_of(temporary)
    return Exported(
        path=target,
        bytes=written,
        sha256=digest,
        opset=converted.model.opset_imports[""],
        inputs={"image": shapes.pop("image")},
        outputs=shapes,
        example=(2 if "batch" in dynamic else 1, 3, *size),
        dynamic=dynamic,
        parity=parity,
        choices=choices,
        tolerance=TOLERANCE,
        agrees=True if check else None,
        metadata=facts,
        notes=notes,
    )


def refuse(kind: type[Detector], path: Path, opset: int | None = None) -> None:
    """Say no before anything is loaded: to a detector, an opset or a name of a file that cannot be."""
    if kind.no_export:
        raise BadSetting(f"{kind.card.name} cannot be exported: {kind.no_export}", hint="use `predict`")
    if opset is not None and not OPSETS[0] <= opset <= OPSETS[1]:
        raise BadSetting("opset is out of range", wanted=f"{OPSETS[0]} to {OPSETS[1]}", got=opset)
    if path.suffix.lower() != ".onnx":
        raise BadSetting("an ONNX file is called .onnx", where=path, got=path.suffix or "no suffix")


def metadata(detector: Detector) -> dict[str, str]:
    """What the file tells of itself: whose it is, on which terms, and what `image` must have gone through."""
    card, held = detector.card, detector.weights
    facts = {
        "detector": card.name,
        "title": card.title,
        "setting": detector.setting,
        "paper": card.paper,
        "made_by": f"fauxlens {__version__}, torch {torch.__version__}",
        "input": card.input,
        "outputs": json.dumps({name: OUTPUTS[name] for name in OUTPUTS}),
        "weights": held.name,
        "weights_sha256": held.sha256 or "",
    }
    known = next((one for one in card.weights if one.name == held.name), None)
    if held.is_random:
        facts |= {"licence": "none", "terms": RANDOM, "warning": RANDOM}
    elif known is not None:
        facts |= {
            "licence": known.licence,
            "use": known.use,
            "terms": known.terms,
            "trained_on": known.trained_on,
            "labels": json.dumps(known.labels),
        }
    else:
        facts |= {"licence": "not known", "terms": "a file of your own: its terms are its owner's"}
    if names := detector.generator_names():
        facts["generators"] = json.dumps(names)
    return facts | scaling(detector)


def scaling(detector: Detector) -> dict[str, str]:
    """Order, mean and deviation of the three channels, found by showing the detector plain colours.

    A channel of `image` is (value / 255 - mean) / deviation. Nothing where the numbers are no such line.
    """

    def shown(colour: tuple[int, int, int]) -> Tensor:
        # Larger than any view, so that no border is seen.
        view = detector.prepare(np.full((1024, 1024, 3), colour, np.uint8)).views[0]
        return view.tensor()[:, view.shape[0] // 2, view.shape[1] // 2].double()

    black, white, grey = shown((0, 0, 0)), shown((255, 255, 255)), shown((102, 102, 102))
    slope = white - black
    order = "".join(
        name
        for channel in range(3)
        for name, colour in (("R", (255, 0, 0)), ("G", (0, 255, 0)), ("B", (0, 0, 255)))
        if torch.allclose(shown(colour)[channel], white[channel], atol=1e-4)
    )
    is_line = torch.allclose(grey, black + slope * 0.4, atol=1e-4)
    if len(order) != 3 or not is_line or bool((slope <= 0).any()):
        return {}
    mean, deviation = (-black / slope).tolist(), (1 / slope).tolist()
    return {
        "channels": order,
        "mean": json.dumps([round(value, 6) + 0.0 for value in mean]),
        "deviation": json.dumps([round(value, 6) + 0.0 for value in deviation]),
    }


class _Plain(nn.Module):
    """The network with a tuple of tensors in place of its Output; behind them the guides and weights of a choice."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        hidden: list[Tensor] = []
        if isinstance(self.network, Choosing):
            output, guides, weights = self.network.with_choices(image)
            hidden = [*guides, *weights]
        else:
            output = self.network(image)
        return (*(getattr(output, name) for name in self.names), *hidden)


def _refuse_large(detector: Detector) -> None:
    if detector.device.type != "cpu":
        raise BadSetting("a detector is exported from the processor", got=detector.device, hint='load(..., "cpu")')
    tensors = [*detector.network.parameters(), *detector.network.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > MOST_BYTES:
        raise BadSetting(
            f"{detector.card.name} is too large for one .onnx file", wanted=f"at most {MOST_BYTES:,} bytes",
            got=f"{size:,}", hint="use `predict`: a file with its numbers in a second file beside it is not written",
        )  # fmt: skip


def _size(detector: Detector, side: int | None) -> tuple[tuple[int, int], bool]:
    """(height, width) to trace, and whether the detector shows pictures at sizes of their own."""
    blank = (np.zeros((height, width, 3), np.uint8) for height, width in ((300, 420), (260, 200), (1024, 1024)))
    shapes = [detector.prepare(pixels).views[0].shape for pixels in blank]
    is_free = shapes[0] != shapes[1]
    if side is not None:
        if side < 1:
            raise BadSetting("side is out of range", wanted="at least 1", got=side)
        return (side, side), is_free
    if is_free and not detector.exports_any_size:
        return shapes[2], is_free  # that of its tiles, where it has some
    return ((FREE_SIDE, FREE_SIDE) if is_free else shapes[0]), is_free


def _told(detector: Detector, size: tuple[int, int]) -> list[str]:
    """The names of what the network tells."""
    try:
        output = detector.logits(_drawn(detector, 0, 1, size))
    except OutOfMemory:
        raise
    except (RuntimeError, ValueError) as fault:
        why = fault.message if isinstance(fault, FauxlensError) else _first_line(fault)
        raise BadSetting(
            f"{detector.card.name} cannot see {size[1]}x{size[0]}: {why}", hint="give another side, or none"
        ) from fault
    return [name for name in OUTPUTS if getattr(output, name) is not None]


def _traced(
    detector: Detector, wrapped: _Plain, size: tuple[int, int], is_free: bool
) -> tuple[torch.export.ExportedProgram, tuple[str, ...], tuple[str, ...]]:
    """The traced network, which axes may be of any length, and what must be said of that."""
    wishes: list[tuple[str, ...]] = [()]
    notes: tuple[str, ...] = ()
    if detector.batch_limit == 1:
        notes += ("one picture at a time, as the detector itself works",)
    else:
        wishes.insert(0, ("batch",))
    if is_free and detector.exports_any_size:
        wishes.insert(0, (*wishes[0], "height", "width"))
    refused: Exception | None = None
    for wish in wishes:
        # Named sides are a promise: torch refuses where the network's path depends on more than their range.
        sides = {AXES[name]: torch.export.Dim(name, min=1 if name == "batch" else SMALLEST_SIDE) for name in wish}
        example = _drawn(detector, 0, 2 if "batch" in wish else 1, size)
        try:
            with torch.no_grad(), _quiet():
                program = torch.export.export(
                    wrapped.eval(), (example,), dynamic_shapes=(sides or None,), strict=False
                )  # fmt: skip
        except Exception as fault:
            # torch raises errors of many kinds here, and a fixed size is the answer to most of them.
            refused = fault
            continue
        if is_free and "height" not in wish:
            notes += (f"only {size[1]}x{size[0]}: the network's path depends on the size; --side gives another",)
        if detector.batch_limit != 1 and "batch" not in wish:
            notes += ("one picture at a time: torch cannot follow the network for any number of them",)
        return program, wish, notes
    raise _cannot(detector.card.name, refused)


def _converted(
    program: torch.export.ExportedProgram, wrapped: _Plain, name: str, dynamic: tuple[str, ...], opset: int | None
) -> Any:
    """torch's ONNX program, its outputs named."""
    try:
        with torch.no_grad(), _quiet():
            converted = torch.onnx.export(
                program, (), dynamo=True, input_names=["image"], output_names=list(wrapped.names),
                opset_version=opset, verbose=False,
                dynamic_shapes=({AXES[axis]: axis for axis in dynamic},) if dynamic else None,
            )  # fmt: skip
    except Exception as fault:
        raise _cannot(name, fault) from fault
    assert converted is not None
    return converted


def _without_hidden(converted: Any, told: int) -> list[Any]:
    """Take what only the comparison needs out of the graph's outputs; returns it."""
    outputs = converted.model.graph.outputs
    hidden = list(outputs[told:])
    del outputs[told:]
    return hidden


def _cannot(name: str, fault: Exception | None) -> BadExport:
    cause: BaseException | None = fault
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return BadExport(
        f"torch cannot write {name} as ONNX: {_first_line(cause)}",
        hint="another torch may; or use `predict`, which needs no export",
    )


def _unseen(detector: Detector, size: tuple[int, int], dynamic: tuple[str, ...]) -> list[Tensor]:
    """Drawn pictures that were not traced: more of them, and at other sizes, where the file takes that."""
    if "height" in dynamic:
        # Odd sides, so that a network that only works on even ones is found out.
        other, third = (size[0] - 61, size[1] - 24), (size[0] - 128, size[1] + 39)
        count = 3 if "batch" in dynamic else 1
        return [_drawn(detector, 1, count, other), _drawn(detector, 2, 1, third)]
    return [_drawn(detector, 1, 3 if "batch" in dynamic else 1, size)]


def _drawn(detector: Detector, seed: int, count: int, size: tuple[int, int]) -> Tensor:
    """(count, 3, *size): pictures of soft colours under grain, shown as the detector shows them."""
    generator = np.random.default_rng(seed)

    def one() -> Tensor:
        coarse: Pixels = generator.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        grain = generator.normal(0.0, 8.0, (*size, 3))
        pixels = (resize(coarse, size, "bicubic") + grain).clip(0, 255).astype(np.uint8)
        shown = detector.prepare(pixels).views[0].tensor()
        if tuple(shown.shape[1:]) == size:
            return shown
        return F.interpolate(shown[None], size=size, mode="bilinear", align_corners=False)[0]

    return torch.stack([one() for _ in range(count)])


def _run(path: Path, names: Sequence[str], batch: Tensor) -> dict[str, Tensor]:
    """What ONNX Runtime says, by name."""
    runtime = need("onnxruntime", "export", "the comparison of the file with the network")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = session.run(list(names), {"image": batch.numpy()})
    except Exception as fault:
        raise BadExport(
            f"ONNX Runtime cannot run the file: {_first_line(fault)}", hint="try another --opset or a newer onnxruntime"
        ) from fault
    return {name: torch.from_numpy(np.asarray(value)) for name, value in zip(names, found, strict=True)}


def _compared(names: Sequence[str], found: Sequence[dict[str, Tensor]], wanted: Sequence[Output]) -> tuple[Parity, ...]:
    """The largest difference of each output over all batches."""
    return tuple(
        _parity(name, [one[name] for one in found], [cast(Tensor, getattr(one, name)) for one in wanted])
        for name in names
    )


def _parity(name: str, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Parity:
    differences, scales = [], []
    for mine, other in zip(found, wanted, strict=True):
        if mine.shape != other.shape:
            raise BadExport(
                f"the file's '{name}' is of another shape", wanted=tuple(other.shape), got=tuple(mine.shape),
                hint="give --side, so that the size is fixed",
            )  # fmt: skip
        off = (mine.double() - other.double()).abs().nan_to_num(nan=float("inf"), posinf=float("inf"))
        differences.append(float(off.max()))
        scales.append(float(other.double().abs().max()))
    return Parity(name, max(differences), max(scales))


def _rounded(network: nn.Module, batches: Sequence[Tensor], parity: Sequence[Parity]) -> tuple[Parity, ...]:
    """The same with how far single precision alone moves the network's answers."""
    precise = copy.deepcopy(network).double()
    with torch.inference_mode():
        pairs = [(network(batch), precise(batch.double())) for batch in batches]
    return tuple(
        replace(
            one,
            rounding=max(
                float((getattr(own, one.output) - getattr(exact, one.output)).abs().max()) for own, exact in pairs
            ),
        )
        for one in parity
    )


def _choices(
    network: nn.Module, batch: Tensor, names: Sequence[str], kept: dict[str, Tensor], opened: Sequence[Tensor]
) -> Choices:
    """The file's choices beside the network's, in three steps that leave no room for a wrong graph.

    The numbers to choose by are as close as rounding allows; each choice is right by the file's own numbers; and the
    network, told these choices, says what the file says.
    """
    half = (len(opened) - len(names)) // 2
    guides, weights = opened[len(names) : len(names) + half], opened[len(names) + half :]
    choosing = cast(Choosing, network)
    with torch.inference_mode():
        _, own_guides, own_weights = choosing.with_choices(batch)
        told = network(batch, guides)
        _, _, exact = cast(Choosing, copy.deepcopy(network).double()).with_choices(batch.double())
    chosen = [guide == 0 for guide in guides]
    differing = sum(int((mine != (own == 0)).sum()) for mine, own in zip(chosen, own_guides, strict=True))
    are_right = all(
        torch.equal(mine.sum(-1), (own == 0).sum(-1))
        and bool((weight.masked_fill(~mine, -1).amax(-1) <= weight.masked_fill(mine, 2).amin(-1)).all())
        for mine, own, weight in zip(chosen, own_guides, weights, strict=True)
    )
    rounding = max(float((own - one).abs().max()) for own, one in zip(own_weights, exact, strict=True))
    given = tuple(_parity(name, [kept[name]], [cast(Tensor, getattr(told, name))]) for name in names)
    flat = [torch.cat([one.flatten() for one in many]) for many in (weights, own_weights)]
    return Choices(
        differing=differing / sum(one.numel() for one in chosen),
        weights=replace(_parity("weights", [flat[0]], [flat[1]]), rounding=rounding),
        given=given,
        are_right=are_right,
    )


def _differs(target: Path, parity: Sequence[Parity], choices: Choices | None) -> BadExport:
    said = [
        f"{one.output} off by {one.difference:.2g} where the largest is {one.scale:.2g}"
        + (f" and rounding explains {one.rounding:.2g}" if one.rounding else "")
        for one in parity
    ]
    if choices is not None:
        worst = max(choices.given, key=lambda one: one.share)
        said.append(
            f"told the file's choices, {worst.output} is off by {worst.difference:.2g} of {worst.scale:.2g}; the "
            f"weights they were chosen by are off by {choices.weights.difference:.2g} and rounding explains "
            f"{choices.weights.rounding:.2g}"
        )
    return BadExport(
        f"the file does not say what the network says, and is not kept: {'; '.join(said)}", where=target,
        wanted=f"at most {TOLERANCE:g} of the largest",
        hint="try another --opset, --side or torch; --no-check keeps such a file, unproved",
    )  # fmt: skip


def _shape(value: Any) -> tuple[int | str, ...]:
    return tuple(side if isinstance(side, int) else str(side) for side in value.shape)


def _first_line(fault: BaseException | None) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return (lines[0] if lines else type(fault).__name__)[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter tells of its own insides on stderr; what matters to the user is said by us."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
