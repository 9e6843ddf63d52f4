"""Shapes that mean nothing: blobs, brush strokes, boxes, heaps of superpixels. The control for what shapes give away.

A detector that finds forged skies may have learnt skies. The same methods on these shapes show how much is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.masks import AreaLimits, box_of, tidied
from fauxlens.forge.perceive.provider import Provider
from fauxlens.forge.region import MASK_TYPES, Mask, Photo, Region
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

# Shapes are drawn on a canvas of at most this side and enlarged: they are smooth, and it bounds the time.
_CANVAS = 384
_SMALLEST_SIDE = 16
_MOST_TRIES = 12
# What a prompt may say of a region that was not chosen for what it shows.
_CATEGORY = {"stuff": "scene", "background": "object", "region": "scene"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSettings:
    """Which shapes, how large, and under which name they go through the forge."""

    kinds: tuple[str, ...] = ("blob", "brush", "boxes")
    mask_types: tuple[str, ...] = ("region",)  # "stuff" and "background" give them those names, as a control
    count: int = 1  # regions a photo and mask type
    areas: AreaLimits = field(
        default_factory=lambda: AreaLimits(stuff=(0.04, 0.50), background=(0.40, 0.95), region=(0.03, 0.50))
    )

    def __post_init__(self) -> None:
        for name, given, known in (("kinds", self.kinds, tuple(_DRAW)), ("mask_types", self.mask_types, MASK_TYPES)):
            if not given or set(given) - set(known):
                raise BadSetting(f"{name} of random shapes", wanted=f"some of {', '.join(known)}", got=list(given))
        if not 1 <= self.count <= 64:
            raise BadSetting("count out of range", wanted="1 to 64", got=self.count)
        for mask_type in self.mask_types:
            smallest, largest = getattr(self.areas, mask_type)
            if not 0.0 < smallest < largest < 1.0:
                raise BadSetting(f"areas of {mask_type}", wanted="smallest below largest, within 0 and 1", got=smallest)


class RandomShapes(Provider):
    """Draws regions; nothing of the photo but its size matters, except for superpixels."""

    name = "random"
    settings_type: ClassVar[type] = RandomSettings

    def regions(self, photo: Photo, seed: int) -> Sequence[Region]:
        """`count` shapes of each mask type; the same for the same seed and size."""
        if min(photo.pixels.shape[:2]) < _SMALLEST_SIDE:
            return ()
        chance = np.random.default_rng(seed)
        drawn = (
            self._region(photo.pixels, mask_type, chance)
            for mask_type in self.settings.mask_types
            for _ in range(self.settings.count)
        )
        return tuple(one for one in drawn if one is not None)

    def _region(self, pixels: Pixels, mask_type: str, chance: np.random.Generator) -> Region | None:
        smallest, largest = getattr(self.settings.areas, mask_type)
        height, width = pixels.shape[:2]
        scale = min(1.0, _CANVAS / max(height, width))
        canvas = (max(1, round(height * scale)), max(1, round(width * scale)))
        # An even draw of the logarithm: small edits are as many as large ones.
        wanted = float(np.exp(chance.uniform(np.log(smallest), np.log(largest))))
        for tries in range(1, _MOST_TRIES + 1):
            kind = self.settings.kinds[int(chance.integers(len(self.settings.kinds)))]
            mask = tidied(_enlarged(_DRAW[kind](pixels, canvas, wanted, chance), (height, width)))
            if self.settings.areas.admits(mask, mask_type):
                facts: dict[str, Any] = {"kind": kind, "wanted_area": wanted, "tries": tries}
                return Region(
                    mask=mask,
                    mask_type=mask_type,
                    category=_CATEGORY[mask_type],
                    score=1.0,
                    provider=self.name,
                    box=box_of(~mask if mask_type == "background" else mask),
                    facts=facts,
                )
        return None


def blob(pixels: Pixels, size: tuple[int, int], area: float, chance: np.random.Generator) -> Mask:
    """Smoothed noise about a random centre, cut at the level that leaves the wanted area."""
    height, width = size
    grain = int(chance.integers(3, 9))
    coarse = chance.standard_normal((grain, grain)).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    centre_y, centre_x = chance.uniform(0.2, 0.8, size=2)
    rows = (np.arange(height, dtype=np.float32)[:, None] / height - centre_y) ** 2
    columns = (np.arange(width, dtype=np.float32)[None, :] / width - centre_x) ** 2
    # The pull to the centre makes one blob of it more often than ten.
    level = noise - 6.0 * np.sqrt(rows + columns)
    cut = np.quantile(level, 1.0 - area)
    return np.asarray(level > cut, dtype=np.bool_)


def brush(pixels: Pixels, size: tuple[int, int], area: float, chance: np.random.Generator) -> Mask:
    """Strokes of a round brush that turns at random, until the wanted area is covered."""
    height, width = size
    canvas = np.zeros(size, np.uint8)
    thick = max(2, round(min(height, width) * float(chance.uniform(0.06, 0.16))))
    goal = area * height * width
    for _ in range(200):
        y, x = chance.uniform(0, height), chance.uniform(0, width)
        angle = chance.uniform(0, 2 * np.pi)
        for _ in range(int(chance.integers(2, 7))):
            angle += chance.normal(0.0, 0.8)
            length = min(height, width) * chance.uniform(0.08, 0.25)
            to_y = min(max(y + length * np.sin(angle), 0.0), height - 1.0)
            to_x = min(max(x + length * np.cos(angle), 0.0), width - 1.0)
            cv2.line(canvas, (round(x), round(y)), (round(to_x), round(to_y)), 255, thick)
            y, x = to_y, to_x
            if np.count_nonzero(canvas) >= goal:
                return canvas > 0
    return canvas > 0


def boxes(pixels: Pixels, size: tuple[int, int], area: float, chance: np.random.Generator) -> Mask:
    """One to three boxes that share the wanted area; they may overlap."""
    height, width = size
    canvas = np.zeros(size, np.bool_)
    for part in chance.dirichlet(np.full(int(chance.integers(1, 4)), 3.0)):
        aspect = np.exp(chance.uniform(-0.7, 0.7))
        share = area * float(part)
        # A box that would be longer than the frame becomes as long as the frame, and higher for it.
        tall = float(np.clip(np.sqrt(share * aspect), share, 1.0))
        box_height, box_width = max(2, round(height * tall)), max(2, round(width * share / tall))
        top = int(chance.integers(0, max(1, height - box_height + 1)))
        left = int(chance.integers(0, max(1, width - box_width + 1)))
        canvas[top : top + box_height, left : left + box_width] = True
    return canvas


def superpixels(pixels: Pixels, size: tuple[int, int], area: float, chance: np.random.Generator) -> Mask:
    """Superpixels heaped about a random one, so that the border follows the photo's own edges."""
    from skimage.segmentation import slic

    height, width = size
    labels = slic(resize(pixels, size, "box"), n_segments=120, compactness=12.0, start_label=0, channel_axis=-1)
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    rows, columns = np.indices(size)
    y = np.bincount(labels.ravel(), rows.ravel(), count) / np.maximum(sizes, 1) / height
    x = np.bincount(labels.ravel(), columns.ravel(), count) / np.maximum(sizes, 1) / width
    first = int(chance.integers(count))
    distance = np.hypot(y - y[first], x - x[first]) + chance.uniform(0.0, 0.15, size=count)
    order = np.argsort(distance, kind="stable")
    covered = np.cumsum(sizes[order]) / labels.size
    # As many as come nearest to the wanted area.
    number = int(np.argmin(np.abs(covered - area))) + 1
    chosen: npt.NDArray[np.bool_] = np.zeros(count, np.bool_)
    chosen[order[:number]] = True
    return np.asarray(chosen[labels], dtype=np.bool_)


def _enlarged(mask: Mask, size: tuple[int, int]) -> Mask:
    if mask.shape == size:
        return mask
    return resize(mask.astype(np.uint8) * 255, size, "bilinear") > 127


_DRAW: dict[str, Callable[[Pixels, tuple[int, int], float, np.random.Generator], Mask]] = {
    "blob": blob,
    "boxes": boxes,
    "brush": brush,
    "superpixels": superpixels,
}
