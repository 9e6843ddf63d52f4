"""Did the region lose its colours? Some models answer a large hole with grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

_QUANTILE = 0.9
"""Of the chroma in a region: a grey road with a red car is coloured."""


@dataclass(frozen=True, kw_only=True)
class ColourCollapseSettings:
    """The share of its colours that a region must keep, and from how many on it had any.

    On 60 photos and three regions of each, greyed regions kept at most 0.01, another photo's content with matched
    colours at least 0.5 in nineteen of twenty. A photo's own content may be grey where it was coloured; below 0.08
    it hardly ever is.
    """

    limit: float = 0.08
    coloured: float = 8.0  # chroma in Lab
    fewest: int = 64  # pixels

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 1.0)
        require_between("coloured", self.coloured, 1.0, 100.0)
        require_between("fewest", self.fewest, 1, 10**6)


class ColourCollapse(Judge):
    """Chroma of the forged region over that of the original's; grey photos cannot lose any."""

    name = "colour"
    settings_type = ColourCollapseSettings
    about: ClassVar[str] = "Chroma (upper tenth, in Lab) of the region over that of the original's region."

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Compare the region with itself before."""
        settings: ColourCollapseSettings = self.settings
        wording = f"at least {settings.limit:g} of the original's"
        if int(exhibit.mask.sum()) < settings.fewest:
            return Ruling(self.name, None, None, wording, "too small a region")
        before, now = _chroma(exhibit.original, exhibit.mask), _chroma(exhibit.forged, exhibit.mask)
        if before < settings.coloured:
            return Ruling(self.name, None, None, wording, f"the original has no colours to lose (chroma {before:.1f})")
        value = now / before
        return Ruling(self.name, value, value >= settings.limit, wording, f"chroma {now:.1f}, was {before:.1f}")


def _chroma(pixels: Pixels, mask: Mask) -> float:
    inside = np.ascontiguousarray(pixels[mask][None]).astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(inside, cv2.COLOR_RGB2Lab)[0]
    return float(np.quantile(np.hypot(lab[:, 1], lab[:, 2]), _QUANTILE))
