"""What every degradation step owes: typed fields checked once, chance from outside, and a record that can be replayed.

A step draws its parameters first and renders with them afterwards. The record of what was drawn is plain data, and
replaying it gives the same pixels, so a result can be explained, repeated and carried over to the picture's mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import nearest
from fauxlens.images.shapes import Pixels, require_mask, require_rgb

Whole: TypeAlias = int | tuple[int, int]
"""A whole number, or the closed range (low, high) from which one is drawn, all equally likely."""

Number: TypeAlias = float | tuple[float, float]
"""A number, or the closed range (low, high) from which one is drawn, all equally likely."""

Record: TypeAlias = dict[str, Any]
"""What one step drew, JSON-ready: `step`, `applied`, and the values that `render` needs."""


@dataclass(frozen=True)
class EncodedFile:
    """The bytes of a picture file and the suffix that goes with them."""

    data: bytes
    suffix: str


@dataclass(frozen=True, eq=False)
class Outcome:
    """Pixels after a step, what was drawn, and the file whose decoding these pixels are (None when there is none)."""

    pixels: Pixels
    record: Record
    file: EncodedFile | None = None


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One degradation. A subclass gives `name`, typed fields, `draw` and `render`; `probability` comes with it."""

    name: ClassVar[str]
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_number("probability", self.probability, 0, 1, ranges=False)

    def __str__(self) -> str:
        """The shortest text that `parse_chain` reads as this step: fields at their defaults are left out."""
        named = [f for f in fields(self) if f.name not in ("chains", "probability")]
        named += [f for f in fields(self) if f.name == "probability"]
        given = [(f.name, getattr(self, f.name)) for f in named if getattr(self, f.name) != f.default]
        return self.name + (":" + ",".join(f"{name}={_value_text(name, v)}" for name, v in given) if given else "")

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Record]:
        """(H, W, 3) uint8 -> the degraded pixels and what was drawn; the given array is never written to."""
        require_rgb(pixels, self.name)
        outcome = self.run(pixels, rng)
        return outcome.pixels, outcome.record

    def replay(self, pixels: Pixels, record: Record) -> Pixels:
        """The same step again with a record of `apply` instead of chance."""
        require_rgb(pixels, self.name)
        return self.rerun(pixels, _checked_record(record, self.name)).pixels

    def replay_mask(self, mask: Pixels, record: Record) -> Pixels:
        """The mask (H, W) of the picture before the step -> the mask of the picture after it."""
        require_mask(mask, self.name)
        return self.rerun_mask(mask, _checked_record(record, self.name))

    def run(self, pixels: Pixels, rng: np.random.Generator) -> Outcome:
        """`apply` for callers who have checked the pixels, with the encoded file where the step made one."""
        # The coin is thrown even when it cannot matter, so that another probability moves no other draw.
        applied = bool(rng.random() < self.probability)
        drawn = self.draw(pixels.shape[0], pixels.shape[1], rng) if applied else {}
        return self.rerun(pixels, {"step": self.name, "applied": applied, **drawn})

    def rerun(self, pixels: Pixels, record: Record) -> Outcome:
        """`replay` for callers who have checked the pixels."""
        if not record["applied"]:
            return Outcome(pixels, record)
        rendered, file = self.render_file(pixels, record)
        return Outcome(rendered, record, file)

    def rerun_mask(self, mask: Pixels, record: Record) -> Pixels:
        """`replay_mask` for callers who have checked the mask."""
        return self.render_mask(mask, record) if record["applied"] else mask

    @abstractmethod
    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """The parameters for a picture of this size."""

    @abstractmethod
    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """(H, W, 3) uint8 -> (h, w, 3) uint8, depending on nothing but the arguments and the fields."""

    def render_file(self, pixels: Pixels, record: Record) -> tuple[Pixels, EncodedFile | None]:
        """`render`, with the file behind the pixels; codecs have one."""
        return self.render(pixels, record), None

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """(H, W) uint8 -> (h, w) uint8; steps that move no pixel leave the mask as it is."""
        return mask

    def always(self) -> Step:
        """The same step with probability 1."""
        return replace(self, probability=1.0)


def draw_whole(value: Whole, rng: np.random.Generator) -> int:
    """`value`, or a whole number of its closed range."""
    return int(rng.integers(value[0], value[1], endpoint=True)) if isinstance(value, tuple) else int(value)


def draw_number(value: Number, rng: np.random.Generator) -> float:
    """`value`, or a number of its closed range."""
    if not isinstance(value, tuple):
        return float(value)
    # `uniform` leaves the upper end out; 2^53 equal steps include both ends and are exact in a float.
    share = int(rng.integers(0, 1 << 53, endpoint=True)) / (1 << 53)
    low, high = value
    return float(min(max(low + (high - low) * share, low), high))


def check_number(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    whole: bool = False,
    above: bool = False,
    ranges: bool = True,
) -> None:
    """Refuse anything but a number in [low, high] or a rising range of two such; `above` leaves `low` itself out."""
    sort = "a whole number" if whole else "a number"
    limits = f"{sort} above {low:g}, at most {high:g}" if above else f"{sort} from {low:g} to {high:g}"
    wanted = f"{limits}, or a range (low, high) of such" if ranges else limits
    ends = value if isinstance(value, tuple) and ranges else (value,)
    if isinstance(value, tuple) and ranges and len(value) != 2:
        raise BadSetting(f"{name} is no range", wanted=wanted, got=repr(value))
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, int if whole else (int, float)):
            raise BadSetting(f"{name} is not {sort}", wanted=wanted, got=repr(value))
        # Written so that a not-a-number fails as well.
        if not (low < end <= high if above else low <= end <= high):
            raise BadSetting(f"{name} is out of range", wanted=wanted, got=repr(value))
    if len(ends) == 2 and ends[0] > ends[1]:
        raise BadSetting(f"{name} is a range that goes down", wanted="(low, high)", got=repr(value))


def check_choice(name: str, value: Any, options: Iterable[str]) -> None:
    """Refuse a text that is not among the options, naming the nearest."""
    there_are = list(options)
    if value not in there_are:
        raise BadSetting(
            f"{name} cannot be {value!r}", hint=f"{nearest(str(value), there_are)}There are: {', '.join(there_are)}"
        )


def check_exactly_one(step: str, given: dict[str, object]) -> str:
    """The one name whose value is not None; anything else is refused."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        got = " and ".join(names) if names else "none"
        raise BadSetting(f"{step} needs exactly one of {', '.join(given)}", got=got)
    return names[0]


def _checked_record(record: Record, name: str) -> Record:
    if record.get("step") != name or not isinstance(record.get("applied"), bool):
        raise BadSetting("this record belongs to another step", wanted=f"a record of '{name}'", got=repr(record))
    return record


def _value_text(name: str, value: Any) -> str:
    if name == "weights":
        return ":".join(_number_text(weight) for weight in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"{_number_text(value[0])}-{_number_text(value[1])}"
    return _number_text(value) if isinstance(value, int | float) else str(value)


def _number_text(number: int | float) -> str:
    # Through the plain types, for numpy's scalars show theirs in `repr`; adding zero turns -0.0 into 0.0.
    return str(int(number)) if isinstance(number, int) else repr(float(number) + 0.0).removesuffix(".0")
