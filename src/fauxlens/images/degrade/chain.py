"""Steps in a row, a choice between rows, and the file that comes out at the end."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade.codec import Jpeg, Webp
from fauxlens.images.degrade.step import EncodedFile, Outcome, Record, Step, check_choice, check_number
from fauxlens.images.encode import encode_png, encode_webp
from fauxlens.images.shapes import Pixels, require_mask, require_rgb

CONTAINERS: dict[str, str] = {
    "own": "the bytes of the last codec where nothing came after it, a PNG otherwise",
    "png": "always a PNG of the pixels",
    "webp-lossless": "always a lossless WebP of the pixels",
}
"""How `Chain.encode` writes."""

NOTHING = "none"
"""The text of the chain without steps."""

ARROW = "->"
"""What stands before the container in a chain's text."""


@dataclass(frozen=True, eq=False)
class Degraded:
    """Degraded pixels (H, W, 3) uint8 and, for each step of the chain, what was drawn."""

    pixels: Pixels
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Chain:
    """Steps in a row, and the container in which the result is stored (one of CONTAINERS).

    >>> from fauxlens.images.degrade.text import parse_chain
    >>> print(parse_chain("blur:sigma=3|jpeg:quality=65"))
    blur:sigma=3 | jpeg:quality=65
    """

    steps: tuple[Step, ...] = ()
    container: str = "own"

    def __post_init__(self) -> None:
        if not isinstance(self.steps, tuple) or not all(isinstance(step, Step) for step in self.steps):
            raise BadSetting("a chain is made of steps", wanted="a tuple of Step", got=repr(self.steps))
        check_choice("container", self.container, CONTAINERS)

    def __str__(self) -> str:
        """The shortest text that `parse_chain` reads as this chain."""
        body = " | ".join(str(step) for step in self.steps) or NOTHING
        return body if self.container == "own" else f"{body} {ARROW} {self.container}"

    @property
    def output(self) -> str:
        """What `encode` writes: png, webp-lossless, jpeg, webp, or "varies" where the draw decides."""
        if self.container != "own":
            return self.container
        formats = {"png" if kind is None else kind for kind in self.own_formats(frozenset({None}))}
        return formats.pop() if len(formats) == 1 else "varies"

    def apply(self, pixels: Pixels, seed: int) -> Degraded:
        """(H, W, 3) uint8 -> what the chain makes of it, the same for the same pixels, chain and seed."""
        require_rgb(pixels, "degrade")
        outcomes = list(self._outcomes(pixels, seed))
        return Degraded(outcomes[-1].pixels if outcomes else pixels, tuple(outcome.record for outcome in outcomes))

    def encode(self, pixels: Pixels, seed: int) -> tuple[bytes, str, tuple[Record, ...]]:
        """The file of the degraded picture: bytes, suffix (".jpg", ".webp" or ".png") and what was drawn.

        Decoding the bytes gives the pixels of `apply` exactly. Where the last thing that happened is a codec, the file
        is that codec's own, not a lossless copy: a picture that was delivered as JPEG is a JPEG.
        """
        require_rgb(pixels, "degrade")
        file: EncodedFile | None = None
        records = []
        for outcome in self._outcomes(pixels, seed):
            records.append(outcome.record)
            pixels = outcome.pixels
            file = _file_after(outcome, file)
        if self.container == "webp-lossless":
            file = EncodedFile(encode_webp(pixels, lossless=True), ".webp")
        elif self.container == "png" or file is None:
            file = EncodedFile(encode_png(pixels), ".png")
        return file.data, file.suffix, tuple(records)

    def replay(self, pixels: Pixels, records: Sequence[Record]) -> Pixels:
        """The pixels that `apply` gave with these records."""
        require_rgb(pixels, "degrade")
        for step, record in zip(self.steps, self._checked(records), strict=True):
            pixels = step.replay(pixels, record)
        return pixels

    def replay_mask(self, mask: Pixels, records: Sequence[Record]) -> Pixels:
        """The mask (H, W) uint8 of the original -> the mask of the degraded picture; no value is mixed."""
        require_mask(mask, "degrade")
        for step, record in zip(self.steps, self._checked(records), strict=True):
            mask = step.replay_mask(mask, record)
        return mask

    def _outcomes(self, pixels: Pixels, seed: int) -> Iterator[Outcome]:
        number = _checked_seed(seed)
        for index, step in enumerate(self.steps):
            # Each step has a stream of its own: another step before it does not change what it draws.
            outcome = step.run(pixels, np.random.default_rng([number, index]))
            pixels = outcome.pixels
            yield outcome

    def _checked(self, records: Sequence[Record]) -> Sequence[Record]:
        if len(records) != len(self.steps):
            wanted = f"{len(self.steps)} records"
            raise BadSetting("these records belong to another chain", wanted=wanted, got=len(records))
        return records

    def own_formats(self, before: frozenset[str | None]) -> frozenset[str | None]:
        """The formats in which the pixels may lie as a codec's own bytes; None stands for no such bytes."""
        formats = before
        for step in self.steps:
            if step.probability > 0:
                after = _formats_after(step, formats)
                formats = after if step.probability == 1 else formats | after
        return formats


@dataclass(frozen=True, kw_only=True)
class OneOf(Step):
    """One of several chains, drawn with `weights` (equal when not given); an inner chain's container says nothing."""

    name: ClassVar[str] = "one_of"
    chains: tuple[Chain, ...] = ()
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.chains, tuple) or not self.chains or not all(isinstance(c, Chain) for c in self.chains):
            raise BadSetting("one_of chooses between chains", wanted="a tuple of one or more", got=repr(self.chains))
        if any(chain.container != "own" for chain in self.chains):
            raise BadSetting("a container belongs to the end of the whole chain", got="one inside one_of")
        if self.weights is None:
            return
        if not isinstance(self.weights, tuple) or len(self.weights) != len(self.chains):
            raise BadSetting("weights are one a chain", wanted=f"{len(self.chains)} weights", got=repr(self.weights))
        for weight in self.weights:
            check_number("weights", weight, 0, 1e9, ranges=False)
        if not sum(self.weights) > 0:
            raise BadSetting("weights are all zero", wanted="at least one above 0", got=repr(self.weights))

    def __str__(self) -> str:
        return super().__str__() + "(" + " / ".join(str(chain) for chain in self.chains) + ")"

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw which chain; what is inside draws for itself."""
        weights = self.weights or (1.0,) * len(self.chains)
        point = rng.random() * sum(weights)
        chosen = 0
        # The last chain with a weight takes what rounding leaves over.
        for index, weight in enumerate(weights):
            if weight > 0:
                chosen = index
                if point < weight:
                    break
            point -= weight
        return {"chosen": chosen}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """The chosen chain with its records."""
        return self.rerun(pixels, record).pixels

    def run(self, pixels: Pixels, rng: np.random.Generator) -> Outcome:
        """Draw a chain, then run it with the same stream."""
        if not bool(rng.random() < self.probability):
            return Outcome(pixels, {"step": self.name, "applied": False})
        chosen = self.draw(pixels.shape[0], pixels.shape[1], rng)["chosen"]
        outcomes: list[Outcome] = []
        for step in self.chains[chosen].steps:
            outcomes.append(step.run(outcomes[-1].pixels if outcomes else pixels, rng))
        return self._together(pixels, chosen, outcomes)

    def rerun(self, pixels: Pixels, record: Record) -> Outcome:
        """The recorded chain with its records."""
        if not record["applied"]:
            return Outcome(pixels, record)
        outcomes: list[Outcome] = []
        for step, inner in zip(self.chains[record["chosen"]].steps, record["records"], strict=True):
            outcomes.append(step.rerun(outcomes[-1].pixels if outcomes else pixels, inner))
        return self._together(pixels, record["chosen"], outcomes)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """The mask through the recorded chain."""
        for step, inner in zip(self.chains[record["chosen"]].steps, record["records"], strict=True):
            mask = step.rerun_mask(mask, inner)
        return mask

    def _together(self, pixels: Pixels, chosen: int, outcomes: list[Outcome]) -> Outcome:
        records = [outcome.record for outcome in outcomes]
        record = {"step": self.name, "applied": True, "chosen": chosen, "records": records}
        file: EncodedFile | None = None
        for outcome in outcomes:
            file = _file_after(outcome, file)
        return Outcome(outcomes[-1].pixels if outcomes else pixels, record, file)


def _formats_after(step: Step, before: frozenset[str | None]) -> frozenset[str | None]:
    if isinstance(step, OneOf):
        chains = zip(step.chains, step.weights or (1.0,) * len(step.chains), strict=True)
        return frozenset().union(*(chain.own_formats(before) for chain, weight in chains if weight > 0))
    if isinstance(step, Jpeg) and not step.swapped:
        return frozenset({"jpeg"})
    if isinstance(step, Webp) and not step.swapped:
        return frozenset({"webp-lossless" if step.lossless else "webp"})
    return frozenset({None})


def _file_after(outcome: Outcome, before: EncodedFile | None) -> EncodedFile | None:
    # Where nothing happened, the file of the codec before it still shows these pixels.
    return outcome.file if _happened(outcome.record) else before


def _happened(record: Record) -> bool:
    return bool(record["applied"]) and ("records" not in record or any(map(_happened, record["records"])))


def _checked_seed(seed: int) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        raise BadSetting("a seed is a whole number", wanted="0 or more", got=repr(seed)) from None
    if number < 0:
        raise BadSetting("a seed is not negative", wanted="0 or more", got=number)
    return number
