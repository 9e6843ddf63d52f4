"""A picture photographed by nobody: shown on a screen and saved from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade.geometry import LARGEST_SIDE
from fauxlens.images.degrade.step import (
    Number,
    Record,
    Step,
    Whole,
    check_exactly_one,
    check_number,
    draw_number,
    draw_whole,
)
from fauxlens.images.degrade.tone import gamma_levels
from fauxlens.images.resample import resize, scaled_size
from fauxlens.images.shapes import Pixels


@dataclass(frozen=True, kw_only=True)
class Screenshot(Step):
    """What a screenshot makes of a picture: display scaling (bilinear), the display's 8-bit gamma, bars of interface.

    Exactly one of `width` (the picture fills a screen of so many pixels) and `scale` (the viewer's zoom). `gamma` other
    than 1 maps the values through an 8-bit table, which merges some levels. `bar_top` and `bar_bottom` rows of flat
    grey `bar_level` stand for the interface; in the mask they are not forged. Most screenshots are PNG files: end the
    chain without a codec, or say `-> png`.
    """

    name: ClassVar[str] = "screenshot"
    width: Whole | None = None
    scale: Number | None = None
    gamma: Number = 1.0
    bar_top: Whole = 0
    bar_bottom: Whole = 0
    bar_level: Whole = 24

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_exactly_one("screenshot", {"width": self.width, "scale": self.scale}) == "width":
            check_number("width", self.width, 1, LARGEST_SIDE, whole=True)
        else:
            check_number("scale", self.scale, 0, 16, above=True)
        check_number("gamma", self.gamma, 0.1, 10)
        check_number("bar_top", self.bar_top, 0, 4096, whole=True)
        check_number("bar_bottom", self.bar_bottom, 0, 4096, whole=True)
        check_number("bar_level", self.bar_level, 0, 255, whole=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the size on the screen, the gamma and the bars."""
        if self.width is not None:
            shown = draw_whole(self.width, rng)
            size = (max(1, (2 * height * shown + width) // (2 * width)), shown)
        else:
            assert self.scale is not None
            size = scaled_size(height, width, draw_number(self.scale, rng))
        if max(size) > LARGEST_SIDE:
            raise BadSetting(
                "the screenshot would become too large",
                where=self.name,
                wanted=f"sides of at most {LARGEST_SIDE}",
                got=f"{size[0]} x {size[1]}",
            )
        return {
            "height": size[0],
            "width": size[1],
            "gamma": draw_number(self.gamma, rng),
            "bar_top": draw_whole(self.bar_top, rng),
            "bar_bottom": draw_whole(self.bar_bottom, rng),
            "bar_level": draw_whole(self.bar_level, rng),
        }

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Scale, requantise, add the bars."""
        shown = gamma_levels(record["gamma"])[resize(pixels, (record["height"], record["width"]), "bilinear")]
        return _with_bars(shown, record, record["bar_level"])

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Scale with the nearest kind; the bars are not forged."""
        return _with_bars(resize(mask, (record["height"], record["width"]), "nearest"), record, 0)


def _with_bars(pixels: Pixels, record: Record, level: int) -> Pixels:
    rows = (record["bar_top"], record["bar_bottom"])
    widths = [rows, (0, 0), (0, 0)][: pixels.ndim]
    return np.pad(pixels, widths, constant_values=level)
