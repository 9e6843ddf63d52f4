"""What perception gives: a photo, the regions in it that may be made anew, and what to say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadShape
from fauxlens.images.shapes import Pixels, require_rgb

Mask: TypeAlias = npt.NDArray[np.bool_]
"""(H, W) bool; True is what is to be made anew. All of the forge speaks this polarity, whatever a model wants."""

MASK_TYPES = ("stuff", "background", "region")
"""stuff: the place itself is made anew; background: all but a kept thing is; region: a shape that means nothing."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A real photo on its way through the forge."""

    id: str
    pixels: Pixels
    source: str = ""
    path: str = ""  # relative to the manifest's root, for providers that look things up by name
    content: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        require_rgb(self.pixels, self.id)

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix.

        >>> Photo("1", np.zeros((8, 8, 3), np.uint8), path="a/n01_2.jpg").stem
        'n01_2'
        """
        name = self.path.rpartition("/")[2]
        return name.rpartition(".")[0] or name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A candidate: what to make anew in one photo, and how sure whoever found it was.

    In a background the `category` is the thing that is kept, and the mask is everything else.
    """

    mask: Mask
    mask_type: str
    category: str  # in plain words, as a prompt says it: "sky", "brick wall"
    score: float  # 0 to 1; compared only with scores of the same provider
    provider: str
    category_id: int | None = None  # COCO's or COCO-Stuff's number
    box: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1 in pixels, of the stuff or of the kept thing
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON: scores of the parts, choices, thresholds

    def __post_init__(self) -> None:
        if self.mask.dtype != np.bool_ or self.mask.ndim != 2:
            got = f"{self.mask.shape} {self.mask.dtype}"
            raise BadShape("a region's mask", where=self.category, wanted="(H, W) bool", got=got)

    @property
    def area(self) -> float:
        """The share of the frame that is made anew."""
        return float(self.mask.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What is said of a photo and its region, and what a generator is told to put there.

    `marked` holds the delimiters: # around a stuff region's words, $ around the words of a kept thing.
    """

    marked: str
    prompt: str  # what the generator is given
    by: str
    perturbed: str | None = None  # the second pass, delimiters included; None when chance said no
    draw: float = 1.0  # the number that decided, to be compared with the share that is perturbed
    notes: tuple[str, ...] = ()  # retries, fallbacks, repairs

    @property
    def text(self) -> str:
        """The first caption without delimiters.

        >>> Caption(marked="a boat under #the blue sky#", prompt="the starry sky", by="template").text
        'a boat under the blue sky'
        """
        return self.marked.replace("#", "").replace("$", "")
