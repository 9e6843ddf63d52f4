"""Does the region have the statistics of this photo? The distance of its tiles from the photo's, in 36 numbers.

The numbers are those of BRISQUE, taken of tiles; the photo's own tiles say how much they vary anyway (Mahalanobis).
So a photo of a calm sea and one of a forest have different measures of what is strange in them. The number is more
worth than the verdict: every smooth fill is strange, and the limit stops only what no real content measured reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.brisque import Floats, contrast_map, fit_shape, neighbour_products
from fauxlens.forge.judge.grey import Plane, luma
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

TILE = 32
_HELD = 0.1
"""The share of each variance that is taken as sure: a photo has few tiles for 36 numbers."""
_FLOOR = 1e-6


@dataclass(frozen=True, kw_only=True)
class NaturalnessSettings:
    """By how much the region may be stranger than it was, and how many tiles it and its photo must have.

    On 60 photos and three regions of each, regions saved again reached 6, another photo's content 26 (but for one
    white sky); Telea's fills have a median of 12 to 22 and pass 30 in 5 to 25 %, fills of one colour in 85 %.
    """

    limit: float = 30.0
    fewest_tiles: int = 4
    fewest_of_photo: int = 40

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 100.0)
        require_between("fewest_tiles", self.fewest_tiles, 1, 10_000)
        require_between("fewest_of_photo", self.fewest_of_photo, 8, 10_000)


class Naturalness(Judge):
    """Distance of the forged region from the photo as it was, less that of the region as it was."""

    name = "naturalness"
    settings_type = NaturalnessSettings
    about: ClassVar[str] = (
        "Mahalanobis distance of the region's 36 local statistics from the photo's, less its own before."
    )

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Measure the region in both pictures."""
        settings: NaturalnessSettings = self.settings
        wording = f"at most {settings.limit:g} above the original's"
        inside = _tiles_of(exhibit.mask)
        if inside.sum() < settings.fewest_tiles or inside.size < settings.fewest_of_photo:
            note = f"{int(inside.sum())} tiles of {TILE} pixels in a photo of {inside.size} are too few"
            return Ruling(self.name, None, None, wording, note)
        photo, forged = _numbers(exhibit.original), _numbers(exhibit.forged)
        centre, spread = photo.mean(axis=0), np.cov(photo, rowvar=False)
        held = _HELD * np.diag(np.diag(spread)) + _FLOOR * np.eye(len(centre))
        inverse = np.asarray(np.linalg.inv((1.0 - _HELD) * spread + held), dtype=np.float64)
        now, before = (_distance(tiles[inside.ravel()].mean(axis=0) - centre, inverse) for tiles in (forged, photo))
        value = now - before
        return Ruling(self.name, value, value <= settings.limit, wording, f"{now:.2f} after {before:.2f}")


def _distance(away: Floats, inverse: Floats) -> float:
    return float(np.sqrt(max(0.0, float(away @ inverse @ away))))


def _tiles_of(mask: Mask) -> Mask:
    """(rows, columns) of tiles: True where one lies wholly in the mask."""
    height, width = (side // TILE for side in mask.shape)
    cut = mask[: height * TILE, : width * TILE].reshape(height, TILE, width, TILE)
    return np.asarray(cut.all(axis=(1, 3)), dtype=np.bool_)


def _numbers(pixels: Pixels) -> Floats:
    """(tiles, 36), in the order of rows and columns."""
    height, width = (side // TILE * TILE for side in pixels.shape[:2])
    grey = luma(pixels[:height, :width]) / 255.0
    half = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_CUBIC)
    return np.hstack([_numbers_at(grey, TILE), _numbers_at(np.asarray(half, dtype=np.float64), TILE // 2)])


def _numbers_at(grey: Plane, tile: int) -> Floats:
    contrast = contrast_map(grey)
    own = fit_shape(_cut(contrast, tile))
    columns = [own.alpha, _log((own.left + own.right) / 2.0)]
    for product in neighbour_products(contrast):
        # The last row or column has no neighbour; a tile there is a line short of others, and filled with nothing.
        whole = np.zeros_like(contrast)
        whole[: product.shape[0], : product.shape[1]] = product
        shape = fit_shape(_cut(whole, tile))
        columns += [shape.alpha, shape.mean, _log(shape.left), _log(shape.right)]
    return np.stack(columns, axis=1)


def _cut(plane: Plane, tile: int) -> Plane:
    height, width = (side // tile for side in plane.shape)
    return plane.reshape(height, tile, width, tile).swapaxes(1, 2).reshape(height * width, tile * tile)


def _log(variance: Floats) -> Floats:
    # Variances differ by factors, and only their logarithms spread evenly.
    return np.asarray(np.log(variance + 1e-4), dtype=np.float64)
