"""Steps that move pixels: resize, down and up, crop, pad, rotate, flip. Each can do the same to the picture's mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade.step import (
    Number,
    Record,
    Step,
    Whole,
    check_choice,
    check_exactly_one,
    check_number,
    draw_number,
    draw_whole,
)
from fauxlens.images.resample import KINDS, REFERENCE_KINDS, longest_size, resize, scaled_size, shortest_size
from fauxlens.images.shapes import Pixels

LARGEST_SIDE = 65500
"""No step makes a picture with a longer side: it is what a JPEG can hold."""

_PAD_MODES = {"reflect": "reflect", "edge": "edge", "black": "constant"}


@dataclass(frozen=True, kw_only=True)
class Resize(Step):
    """To another size: exactly one of `side` (both sides), `height` with `width`, `longest`, `shortest`, `scale`.

    `enlarge=False` leaves a picture as it is when `longest`, `shortest` or `scale` would make it larger. A mask follows
    with the nearest kind.
    """

    name: ClassVar[str] = "resize"
    side: Whole | None = None
    height: Whole | None = None
    width: Whole | None = None
    longest: Whole | None = None
    shortest: Whole | None = None
    scale: Number | None = None
    kind: str = "bicubic"
    enlarge: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.height is None) != (self.width is None):
            raise BadSetting("height and width go together", hint="give both, or `side` for a square")
        check_exactly_one(
            "resize",
            {
                "side": self.side,
                "height and width": self.height,
                "longest": self.longest,
                "shortest": self.shortest,
                "scale": self.scale,
            },
        )
        for field in ("side", "height", "width", "longest", "shortest"):
            if getattr(self, field) is not None:
                check_number(field, getattr(self, field), 1, LARGEST_SIDE, whole=True)
        if self.scale is not None:
            check_number("scale", self.scale, 0, 64, above=True)
        check_choice("kind", self.kind, (*KINDS, *REFERENCE_KINDS))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the size; the record holds the size that came out."""
        if self.side is not None:
            size = (draw_whole(self.side, rng),) * 2
        elif self.height is not None and self.width is not None:
            size = (draw_whole(self.height, rng), draw_whole(self.width, rng))
        elif self.longest is not None:
            size = longest_size(height, width, draw_whole(self.longest, rng), enlarge=self.enlarge)
        elif self.shortest is not None:
            size = shortest_size(height, width, draw_whole(self.shortest, rng), enlarge=self.enlarge)
        else:
            assert self.scale is not None
            scale = draw_number(self.scale, rng)
            size = scaled_size(height, width, scale if self.enlarge else min(scale, 1.0))
        return {"height": size[0], "width": size[1], "kind": self.kind}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Resample."""
        return resize(pixels, _checked_size(record["height"], record["width"], self.name), record["kind"])

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Resample with the nearest kind."""
        return resize(mask, (record["height"], record["width"]), "nearest")


@dataclass(frozen=True, kw_only=True)
class DownUp(Step):
    """Shrink (to `scale`, or until the longer side is `longest`) and go back to the size it had: a thumbnail enlarged.

    The mask stays as it is.
    """

    name: ClassVar[str] = "down_up"
    scale: Number | None = None
    longest: Whole | None = None
    kind: str = "bicubic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exactly_one("down_up", {"scale": self.scale, "longest": self.longest})
        if self.scale is not None:
            check_number("scale", self.scale, 0, 1, above=True)
        if self.longest is not None:
            check_number("longest", self.longest, 1, LARGEST_SIDE, whole=True)
        check_choice("kind", self.kind, KINDS)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the small size; the record holds it."""
        if self.longest is not None:
            size = longest_size(height, width, draw_whole(self.longest, rng), enlarge=False)
        else:
            assert self.scale is not None
            size = scaled_size(height, width, draw_number(self.scale, rng))
        return {"height": size[0], "width": size[1], "kind": self.kind}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Resample twice."""
        small = resize(pixels, (record["height"], record["width"]), record["kind"])
        return resize(small, pixels.shape[:2], record["kind"])


@dataclass(frozen=True, kw_only=True)
class Crop(Step):
    """Cut out a rectangle: exactly one of `side` (a square), `height` with `width`, `share` (of each side).

    `place` is centre or random (every position equally likely). A picture that is too small is padded evenly by
    reflection without repeating the border pixel (reflect-101), or refused, as `pad` says. With `limit_to_picture` the
    upper end of a range for `side` is the picture's shorter side where that is less, but never below the range's lower
    end: ImagiNet's rule.
    """

    name: ClassVar[str] = "crop"
    side: Whole | None = None
    height: Whole | None = None
    width: Whole | None = None
    share: Number | None = None
    place: str = "centre"
    pad: str = "reflect"
    limit_to_picture: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.height is None) != (self.width is None):
            raise BadSetting("height and width go together", hint="give both, or `side` for a square")
        check_exactly_one("crop", {"side": self.side, "height and width": self.height, "share": self.share})
        for field in ("side", "height", "width"):
            if getattr(self, field) is not None:
                check_number(field, getattr(self, field), 1, LARGEST_SIDE, whole=True)
        if self.share is not None:
            check_number("share", self.share, 0, 1, above=True)
        check_choice("place", self.place, ("centre", "random"))
        check_choice("pad", self.pad, ("reflect", "refuse"))
        if self.limit_to_picture and not isinstance(self.side, tuple):
            raise BadSetting("limit_to_picture bounds a range of `side`", got=f"side {self.side!r}")

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the size and then the place, measured in the padded picture."""
        if self.side is not None:
            side = self.side
            if self.limit_to_picture and isinstance(side, tuple):
                side = (side[0], max(min(height, width, side[1]), side[0]))
            new_height = new_width = draw_whole(side, rng)
        elif self.height is not None and self.width is not None:
            new_height, new_width = draw_whole(self.height, rng), draw_whole(self.width, rng)
        else:
            assert self.share is not None
            new_height, new_width = scaled_size(height, width, draw_number(self.share, rng))
        if self.pad == "refuse" and (new_height > height or new_width > width):
            raise BadSetting(
                "the picture is smaller than the crop",
                where=self.name,
                wanted=f"at least {new_height} x {new_width}",
                got=f"{height} x {width}",
                hint="let the crop pad with `pad=reflect`, or leave the picture out",
            )
        spare = (max(height - new_height, 0), max(width - new_width, 0))
        if self.place == "random":
            top, left = (int(rng.integers(0, room, endpoint=True)) for room in spare)
        else:
            top, left = spare[0] // 2, spare[1] // 2
        return {"height": new_height, "width": new_width, "top": top, "left": left}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Pad where needed and cut."""
        return _pad_and_cut(pixels, record)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """The same cut; where forged pixels are reflected, so is their mask."""
        return _pad_and_cut(mask, record)


@dataclass(frozen=True, kw_only=True)
class Pad(Step):
    """Grow to at least `side` (both sides) or `height` with `width`, evenly on both ends; never shrinks.

    `mode` is reflect (reflect-101), edge or black.
    """

    name: ClassVar[str] = "pad"
    side: Whole | None = None
    height: Whole | None = None
    width: Whole | None = None
    mode: str = "reflect"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.height is None) != (self.width is None):
            raise BadSetting("height and width go together", hint="give both, or `side` for a square")
        check_exactly_one("pad", {"side": self.side, "height and width": self.height})
        for field in ("side", "height", "width"):
            if getattr(self, field) is not None:
                check_number(field, getattr(self, field), 1, LARGEST_SIDE, whole=True)
        check_choice("mode", self.mode, _PAD_MODES)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the least size."""
        if self.side is not None:
            size = (draw_whole(self.side, rng),) * 2
        else:
            assert self.height is not None
            assert self.width is not None
            size = (draw_whole(self.height, rng), draw_whole(self.width, rng))
        return {"height": max(size[0], height), "width": max(size[1], width), "mode": self.mode}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Pad."""
        return pad_to(pixels, record["height"], record["width"], record["mode"])

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """The same padding; black means not forged."""
        return pad_to(mask, record["height"], record["width"], record["mode"])


@dataclass(frozen=True, kw_only=True)
class Rotate(Step):
    """Turn counter-clockwise: exactly one of `degrees` and `quarter_turns`.

    Multiples of 90 degrees are exact and may exchange height and width. Anything else keeps the size, is bicubic, and
    fills the corners by reflection.
    """

    name: ClassVar[str] = "rotate"
    degrees: Number | None = None
    quarter_turns: Whole | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exactly_one("rotate", {"degrees": self.degrees, "quarter_turns": self.quarter_turns})
        if self.degrees is not None:
            check_number("degrees", self.degrees, -360, 360)
        if self.quarter_turns is not None:
            check_number("quarter_turns", self.quarter_turns, -4, 4, whole=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the angle."""
        if self.quarter_turns is not None:
            return {"degrees": 90.0 * draw_whole(self.quarter_turns, rng)}
        assert self.degrees is not None
        return {"degrees": draw_number(self.degrees, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Turn, bicubic between the pixels."""
        return _turned(pixels, record["degrees"], Image.Resampling.BICUBIC)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Turn, nearest between the pixels."""
        return _turned(mask, record["degrees"], Image.Resampling.NEAREST)


@dataclass(frozen=True, kw_only=True)
class Flip(Step):
    """Mirror: horizontal (left and right change places), vertical, both, or one of the three at random."""

    name: ClassVar[str] = "flip"
    direction: str = "horizontal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("direction", self.direction, (*_FLIPS, "random"))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the direction."""
        if self.direction == "random":
            return {"direction": list(_FLIPS)[int(rng.integers(len(_FLIPS)))]}
        return {"direction": self.direction}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Mirror."""
        return np.ascontiguousarray(np.flip(pixels, _FLIPS[record["direction"]]))

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Mirror."""
        return self.render(mask, record)


_FLIPS: dict[str, tuple[int, ...]] = {"horizontal": (1,), "vertical": (0,), "both": (0, 1)}


def pad_to(pixels: Pixels, height: int, width: int, mode: str = "reflect") -> Pixels:
    """Grow evenly to at least (height, width); the odd pixel goes to the bottom and the right, as in OpenCV's users.

    >>> pad_to(np.array([[1, 2, 3]], np.uint8), 1, 6)
    array([[2, 1, 2, 3, 2, 1]], dtype=uint8)
    """
    missing = (max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0))
    if missing == (0, 0):
        return pixels
    widths = [(count // 2, count - count // 2) for count in missing] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, widths, mode=_PAD_MODES[mode])  # type: ignore[call-overload, no-any-return]


def _pad_and_cut(pixels: Pixels, record: Record) -> Pixels:
    height, width, top, left = record["height"], record["width"], record["top"], record["left"]
    padded = pad_to(pixels, height, width)
    return np.ascontiguousarray(padded[top : top + height, left : left + width])


def _turned(pixels: Pixels, degrees: float, kind: Image.Resampling) -> Pixels:
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, int(degrees // 90) % 4))
    height, width = pixels.shape[:2]
    # Room for the corners that turn into view, and for the reach of the bicubic kernel.
    around = math.ceil(math.hypot(height, width)) + 8
    grown_height, grown_width = (around + (around - side) % 2 for side in (height, width))
    grown = pad_to(pixels, grown_height, grown_width)
    turned = np.asarray(Image.fromarray(grown).rotate(degrees, kind), dtype=np.uint8)
    top, left = (grown_height - height) // 2, (grown_width - width) // 2
    return np.ascontiguousarray(turned[top : top + height, left : left + width])


def _checked_size(height: int, width: int, name: str) -> tuple[int, int]:
    if max(height, width) > LARGEST_SIDE:
        raise BadSetting(
            "the picture would become too large",
            where=name,
            wanted=f"sides of at most {LARGEST_SIDE}",
            got=f"{height} x {width}",
        )
    return height, width
