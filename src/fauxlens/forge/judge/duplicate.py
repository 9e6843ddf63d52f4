"""Does the kept thing stand in the new background a second time? Diffusion models like to repeat what they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.grey import Plane, luma, tight_box
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

_SIZES = (0.7, 0.84, 1.0, 1.19, 1.41)
_SMALLEST = 10
"""Pixels, at the size where it is looked for: below, everything is like everything."""
_DETAIL = 0.2
"""Of the thing's shorter side: the deviation of the local mean that is taken out."""
_PLAINEST = 3.0
"""Grey levels of deviation within the thing, below which it cannot be told from any other smooth patch."""
_FAINTEST = 2.0
"""The same of what it is compared with, where rounding would look like a match."""


@dataclass(frozen=True, kw_only=True)
class DuplicateSettings:
    """How alike is a copy, how much more alike than anything in the original, and at what size it is looked for.

    On 60 photos this finds 88 % of things pasted a second time; of other photos' content it stops none, of Telea's
    backgrounds 2 %. Of copies that were mirrored and enlarged by a tenth it finds half.
    """

    limit: float = 0.7
    rise: float = 0.1
    longest: int = 192
    largest: float = 0.4  # share of the frame; a larger thing leaves no room for a second

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 1.0)
        require_between("rise", self.rise, 0.0, 1.0)
        require_between("longest", self.longest, 32, 1024)
        require_between("largest", self.largest, 0.0, 1.0)


class Duplicate(Judge):
    """The best match (normalised correlation within the thing's outline) in the new background.

    Five sizes, as it is and mirrored. A flock has many alike in the original, so the same is asked there: a copy is
    an alarm only when it is clearly more alike than anything was.
    """

    name = "duplicate"
    settings_type = DuplicateSettings
    about: ClassVar[str] = "Best normalised match of the kept thing in the new background; for backgrounds only."

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Look for the kept thing in both pictures."""
        settings: DuplicateSettings = self.settings
        wording = f"at most {settings.limit:g}, or at most {settings.rise:g} above the original's"
        kept = ~exhibit.mask
        if exhibit.mask_type != "background":
            return Ruling(self.name, None, None, wording, "no kept thing: for backgrounds only")
        if not kept.any() or kept.mean() > settings.largest:
            return Ruling(self.name, None, None, wording, "nothing is kept, or too much for a second to fit")
        now = _best_match(exhibit.original, exhibit.forged, kept, settings.longest)
        before = _best_match(exhibit.original, exhibit.original, kept, settings.longest)
        if now is None or before is None:
            return Ruling(self.name, None, None, wording, "the kept thing is too small, too plain or too large to find")
        passed = now <= settings.limit or now - before <= settings.rise
        return Ruling(self.name, now, passed, wording, f"the original's is {before:.2f}")


def _best_match(original: Pixels, searched: Pixels, kept: Mask, longest: int) -> float | None:
    """The highest correlation of the thing in `original` with any place of `searched` that is not its own."""
    outline = _small(kept, longest)
    if not outline.any():
        return None
    box = tight_box(outline)
    # Slopes are alike everywhere; only what is smaller than the thing itself can tell it from others.
    sigma = max(2.0, min(outline[box].shape) * _DETAIL)
    thing, where = (_detail(_small_grey(pixels, longest), sigma) for pixels in (original, searched))
    template, shape = thing[box], outline[box]
    if min(shape.shape) < _SMALLEST or float(template[shape].std()) < _PLAINEST:
        return None
    best: float | None = None
    for size in _SIZES:
        height, width = (round(side * size) for side in shape.shape)
        if min(height, width) < _SMALLEST or height > where.shape[0] or width > where.shape[1]:
            continue
        scaled = np.asarray(cv2.resize(template, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float64)
        scaled_shape = cv2.resize(shape.astype(np.float64), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
        for mirrored in (False, True):
            one, one_shape = (scaled[:, ::-1], scaled_shape[:, ::-1]) if mirrored else (scaled, scaled_shape)
            found = _highest(where, one, np.asarray(one_shape, dtype=np.bool_), outline)
            if found is not None:
                best = found if best is None else max(best, found)
    return best


def _highest(where: Plane, template: Plane, shape: Mask, outline: Mask) -> float | None:
    """The best correlation of `template` within `shape`, at places where it covers at most a quarter of the thing."""
    weight = shape.astype(np.float64)
    count = float(weight.sum())
    if count < _SMALLEST * _SMALLEST / 2:
        return None
    centred = np.where(shape, template - template[shape].mean(), 0.0)
    strength = float(np.sqrt((centred * centred).sum()))
    if strength < _FAINTEST * np.sqrt(count):
        return None
    total, squares, product, covered = (
        _slid(plane, kernel)
        for plane, kernel in (
            (where, weight), (where * where, weight), (where, centred), (outline.astype(np.float64), weight)
        )
    )  # fmt: skip
    spread = np.sqrt(np.maximum(squares - total * total / count, 0.0))
    enough = (spread >= _FAINTEST * np.sqrt(count)) & (covered <= 0.25 * count)
    if not enough.any():
        return None
    likeness = product[enough] / (strength * spread[enough])
    return float(np.clip(likeness.max(), -1.0, 1.0))


def _detail(grey: Plane, sigma: float) -> Plane:
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), sigma), dtype=np.float64)


def _slid(plane: Plane, kernel: Plane) -> Plane:
    """Sum of products of `kernel` with every place of `plane` that it fits in."""
    slid = cv2.matchTemplate(plane.astype(np.float32), kernel.astype(np.float32), cv2.TM_CCORR)
    return np.asarray(slid, dtype=np.float64)


def _small(mask: Mask, longest: int) -> Mask:
    shrunk = cv2.resize(mask.astype(np.float64), _size(mask.shape, longest), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk >= 0.5, dtype=np.bool_)


def _small_grey(pixels: Pixels, longest: int) -> Plane:
    small = cv2.resize(luma(pixels), _size(pixels.shape[:2], longest), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float64)


def _size(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Width and height, as OpenCV wants them."""
    scale = min(1.0, longest / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
