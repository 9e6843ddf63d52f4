"""The contract of all detectors: a network that knows tensors, a preparation that knows pictures, and `predict`.

A family gives three things: `card` (facts), `build` (its network) and `prepare` (how a picture is shown to it). The
rest is written once, here: batching by shape, tiles, the way back to the size of the file, and what to do when memory
ends.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, OutOfMemory
from fauxlens.core.names import unknown
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.option import Option, Value
from fauxlens.detectors.prediction import Output, Prediction
from fauxlens.detectors.view import Canvas, Pixels, Prepared, View
from fauxlens.images.picture import Picture
from fauxlens.nn.threads import side_by_side

_Shown = tuple["_Joining", View]

OUTPUTS = tuple(one.name for one in fields(Output))
"""What a network may tell, by name."""

RANDOM = "random weights: these numbers mean nothing"

PIXELS_AT_ONCE = {"cpu": 2**19, "cuda": 2**24, "mps": 2**21}
"""How many pixels go through a network in one batch. On a processor more of them cost memory and save no time."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which weights a detector holds. `sha256` is None for random ones, whose answers mean nothing."""

    name: str
    sha256: str | None = None
    files: tuple[Path, ...] = ()

    @property
    def is_random(self) -> bool:
        """Whether nothing was ever learnt."""
        return self.sha256 is None


@dataclass(slots=True)
class _Joining:
    """One picture on its way: what its views gave so far."""

    prepared: Prepared
    canvas: Canvas
    trace: Canvas
    confidence: Canvas
    outputs: list[Output] = field(default_factory=list)
    seconds: float = 0.0


class Detector(ABC):
    """Pictures in, predictions out. `network` is a plain module whose parameters carry the released file's names."""

    card: ClassVar[Card]
    settings: ClassVar[tuple[str, ...]] = ("published",)
    """Named variants, the default first."""
    options: ClassVar[Mapping[str, Option]] = {}
    """What may be changed about it by `change`, by name; the value in use is the attribute of that name."""
    batch_limit: ClassVar[int | None] = None
    """1 for networks whose answer depends on the other pictures of a batch."""
    side_by_side: ClassVar[bool] = False
    """Whether a processor's threads may each take views of their own: for small networks without a state of their own,
    whose layers are too quick to be split among threads."""
    no_export: ClassVar[str] = ""
    """Why the network cannot be written as a graph of its own, if it cannot."""
    exports_any_size: ClassVar[bool] = True
    """False where the network takes another path at another size, so that a graph holds for one size only."""

    def __init__(self, setting: str | None = None) -> None:
        self.setting = self.settings[0] if setting is None else setting
        if self.setting not in self.settings:
            raise unknown(self.setting, self.settings, f"setting of {self.card.name}")
        self.network = self.build().eval()
        self.weights = Loaded("random")

    @abstractmethod
    def build(self) -> nn.Module:
        """The network of `self.setting`, with fresh weights; its forward gives an Output."""

    @abstractmethod
    def prepare(self, pixels: Pixels) -> Prepared:
        """(H, W, 3) uint8 -> the views that the network is to see."""

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """A released file's tensors under the network's names; for files whose names differ from ours."""
        return state

    def logits(self, batch: Tensor) -> Output:
        """(N, 3, h, w) prepared -> Output, without a graph; N pictures alone or together give the same numbers."""
        if batch.dim() != 4 or batch.shape[1] != 3:
            raise BadShape("a batch is RGB tensors", wanted="(N, 3, H, W)", got=tuple(batch.shape))
        with torch.inference_mode():
            if self.batch_limit is None or batch.shape[0] <= self.batch_limit:
                return self._run(batch)
            parts = [self._run(part) for part in torch.split(batch, self.batch_limit)]
        return concatenate(parts)

    def _run(self, batch: Tensor) -> Output:
        output: Output = self.network(batch)
        return output

    def join(self, prepared: Prepared, outputs: Sequence[Output], mask: Tensor | None) -> float | None:
        """One logit of the views' outputs: their mean, weighted by how much of the picture each shows.

        `mask` (H, W) holds the joined mask logits at the size of the file, for families whose verdict rests on it.
        """
        found = [(float(o.logit), v.window.height * v.window.width)
                 for o, v in zip(outputs, prepared.views, strict=True) if o.logit is not None]  # fmt: skip
        if not found:
            return None
        if len(found) == 1:
            return found[0][0]
        return sum(logit * area for logit, area in found) / sum(area for _, area in found)

    def generator_names(self) -> tuple[str, ...]:
        """What each entry of `Output.generators` stands for."""
        return ()

    def change(self, **given: object) -> Detector:
        """Set options, each checked; all of them or none. Returns self.

        What a verb calls `--option showing=native` is `change(showing="native")`.
        """
        checked = {}
        for name, value in given.items():
            if name not in self.options:
                raise unknown(name, self.options, f"option of {self.card.name}")
            checked[name] = self.options[name].checked(name, value)
        for name, found in checked.items():
            self._set(name, found)
        return self

    def _set(self, name: str, value: Value) -> None:
        """Put one checked option in place; for families where it is more than an attribute."""
        setattr(self, name, value)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Detector:
        """Move the network; returns self."""
        self.network.to(device)
        return self

    def predict(
        self,
        pictures: Sequence[Picture | Pixels],
        *,
        ids: Sequence[str] | None = None,
        batch_size: int | None = None,
    ) -> list[Prediction]:
        """What the detector says of each picture, in the order given; masks are at the size of each picture.

        Views of one shape share a batch of at most `batch_size` (by default as many as PIXELS_AT_ONCE says). When
        memory runs out, the batch is halved and tried again.
        """
        if isinstance(pictures, Picture | np.ndarray):
            raise BadShape("predict takes a list of pictures", wanted="[picture]", got="one picture")
        if batch_size is not None and batch_size < 1:
            raise BadSetting("batch_size is out of range", wanted="at least 1", got=batch_size)
        names = [""] * len(pictures) if ids is None else list(ids)
        if len(names) != len(pictures):
            raise BadShape("one id a picture", wanted=len(pictures), got=len(names))
        self.network.eval()
        found: list[Prediction] = []
        waiting: list[_Joining] = []
        pixels_waiting = 0
        for picture in pictures:
            pixels = pixels_of(picture)
            begun = time.perf_counter()
            prepared = self.prepare(pixels)
            joining = _Joining(prepared, Canvas(prepared), Canvas(prepared), Canvas(prepared))
            joining.seconds = time.perf_counter() - begun
            waiting.append(joining)
            pixels_waiting += sum(view.shape[0] * view.shape[1] for view in prepared.views)
            # Pictures are held back only as long as they can still share a batch; a long list needs no more memory.
            if pixels_waiting >= self._pixels_at_once() or (batch_size is not None and len(waiting) >= batch_size):
                found += self._finish(waiting, batch_size, names[len(found) :])
                waiting, pixels_waiting = [], 0
        return found + self._finish(waiting, batch_size, names[len(found) :])

    def _pixels_at_once(self) -> int:
        return PIXELS_AT_ONCE.get(self.device.type, PIXELS_AT_ONCE["cpu"])

    def _finish(self, waiting: list[_Joining], batch_size: int | None, names: Sequence[str]) -> list[Prediction]:
        by_shape: dict[tuple[int, int], list[_Shown]] = {}
        places: dict[int, dict[int, Output]] = {}
        for joining in waiting:
            for view in joining.prepared.views:
                by_shape.setdefault(view.shape, []).append((joining, view))
        for shape, shown in by_shape.items():
            limit = batch_size or max(1, self._pixels_at_once() // (shape[0] * shape[1]))
            at_once = 1
            if self.side_by_side and self.device.type == "cpu":
                # They share what may be in memory at a time.
                at_once = max(1, min(torch.get_num_threads(), limit, len(shown)))
                limit = min(limit // at_once, -(-len(shown) // at_once))
            for group, outputs in self._batches(shown, min(limit, self.batch_limit or limit), at_once):
                for (joining, view), output in zip(group, outputs, strict=True):
                    if output.mask is not None:
                        joining.canvas.add(view, output.mask[0])
                    if output.trace is not None:
                        joining.trace.add(view, output.trace[0])
                    if output.confidence is not None:
                        joining.confidence.add(view, output.confidence[0])
                    light = Output(logit=output.logit, generators=output.generators, features=output.features)
                    places.setdefault(id(joining), {})[id(view)] = light
        found = []
        for joining, name in zip(waiting, names, strict=False):
            outputs = [places[id(joining)][id(view)] for view in joining.prepared.views]
            found.append(self._told(joining, outputs, name))
        return found

    def _batches(self, shown: list[_Shown], size: int, at_once: int = 1) -> Iterator[tuple[list[_Shown], list[Output]]]:
        at = 0
        while at < len(shown):
            groups = [shown[start : start + size] for start in range(at, min(at + size * at_once, len(shown)), size)]
            begun = time.perf_counter()
            try:
                found = side_by_side(self._outputs, groups)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as fault:
                if not is_out_of_memory(fault):
                    raise
                if at_once > 1:
                    at_once = 1
                elif size == 1:
                    raise self._too_large(groups[0][0][1]) from fault
                else:
                    size //= 2
                _release(self.device)
                continue
            spent = (time.perf_counter() - begun) / sum(map(len, groups))
            for group, outputs in zip(groups, found, strict=True):
                for joining, _ in group:
                    joining.seconds += spent
                yield group, outputs
                at += len(group)

    def _outputs(self, group: list[_Shown]) -> list[Output]:
        batch = torch.stack([view.tensor() for _, view in group]).to(self.device, non_blocking=True)
        output = self.logits(batch)
        return [_member(output, number) for number in range(len(group))]

    def _too_large(self, view: View) -> OutOfMemory:
        return OutOfMemory(
            f"{self.card.name} ran out of memory on one view of {view.shape[1]}x{view.shape[0]}",
            hint="free some memory, use smaller tiles or resize the picture",
        )

    def _told(self, joining: _Joining, outputs: list[Output], name: str) -> Prediction:
        begun = time.perf_counter()
        mask = joining.canvas.joined()
        trace = joining.trace.joined()
        confidence = joining.confidence.joined()
        logit = self.join(joining.prepared, outputs, mask)
        generators = None
        if outputs and outputs[0].generators is not None:
            scores = torch.stack([o.generators for o in outputs if o.generators is not None]).mean(dim=0).softmax(-1)
            generators = dict(zip(self.generator_names(), scores.flatten().tolist(), strict=True))
        return Prediction(
            sample_id=name,
            logit=logit,
            probability=None if logit is None else float(torch.tensor(logit, dtype=torch.float64).sigmoid()),
            mask=None if mask is None else mask.sigmoid().numpy(),
            generators=generators,
            trace=None if trace is None else trace.numpy(),
            confidence=None if confidence is None else confidence.sigmoid().numpy(),
            detector=self.card.name,
            weights_sha256=self.weights.sha256,
            seconds=joining.seconds + time.perf_counter() - begun,
            notes=joining.prepared.notes + ((RANDOM,) if self.weights.is_random else ()),
        )


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether an error means that memory ended; a processor's allocator says it only in words."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")
    return isinstance(fault, torch.OutOfMemoryError | MemoryError) or any(w in str(fault).lower() for w in words)


def concatenate(parts: Sequence[Output]) -> Output:
    """Outputs of parts of a batch as the output of the whole."""

    def joined(name: str) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found)

    return Output(**{name: joined(name) for name in OUTPUTS})


def _member(output: Output, number: int) -> Output:
    def one(name: str) -> Tensor | None:
        found = getattr(output, name)
        return None if found is None else found[number : number + 1].cpu()

    return Output(**{name: one(name) for name in OUTPUTS})


def pixels_of(picture: Picture | Pixels) -> Pixels:
    """The pixels of a picture, checked to be (H, W, 3) uint8."""
    pixels = picture.pixels if isinstance(picture, Picture) else picture
    if not isinstance(pixels, np.ndarray):
        raise BadShape("predict takes pictures", wanted="Picture or (H, W, 3) uint8", got=type(pixels).__name__)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise BadShape("a picture is RGB pixels", wanted="(H, W, 3) uint8", got=f"{pixels.shape} {pixels.dtype}")
    return pixels


def _release(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
