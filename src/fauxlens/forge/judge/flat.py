"""Is the region one flat smear or one pattern over and over, where there was something to see?

Two measures. The local entropy is that of grey levels in small tiles: a smear has next to none. The repetition is
the highest peak of the region's autocorrelation away from its centre: wallpaper has one near 1. Skies are flat and
facades repeat themselves in real photos, so both are compared with the same region of the original. The limits let
nearly all real content of other photos pass and stop fills of one colour, wallpaper, and the worst smears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.grey import Plane, luma, tight_box
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.region import Mask

_TILE = 16
_LEVELS = 64
_LONGEST = 256
"""Patterns are looked for at this size."""
_NEAREST = 8
"""Pixels at that size: what is like itself when moved by less is smooth, and repeats nothing."""
_OVERLAP = 0.25
"""The share of the region that must lie over itself when moved, for the likeness to mean anything."""


@dataclass(frozen=True, kw_only=True)
class FlatTextureSettings:
    """What is flat, how much must have been lost, and how much more a pattern may repeat itself than before.

    On 60 photos and three regions of each this stops 98 % of fills of one colour, 88 % of wallpaper, 25 % of Telea's
    backgrounds and 5 % of its smaller fills; 2 % of another photo's content, and nothing that was only saved again.
    """

    flat_bits: float = 0.75  # a region with less local entropy is flat
    lost_bits: float = 1.0  # and was flattened if it had this much more
    repetition: float = 0.5  # peak of the autocorrelation above the original's
    fewest_tiles: int = 4

    def __post_init__(self) -> None:
        require_between("flat_bits", self.flat_bits, 0.0, 6.0)
        require_between("lost_bits", self.lost_bits, 0.0, 6.0)
        require_between("repetition", self.repetition, 0.0, 2.0)
        require_between("fewest_tiles", self.fewest_tiles, 1, 10_000)


class FlatTexture(Judge):
    """The worse of the two measures, as a share of what is allowed: above 1 the region is a smear or a pattern."""

    name = "flat"
    settings_type = FlatTextureSettings
    about: ClassVar[str] = "Local entropy and autocorrelation peaks of the region, compared with the original's region."

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Measure the region in both pictures."""
        settings: FlatTextureSettings = self.settings
        wording = (
            f"at most 1: lost entropy over {settings.lost_bits:g} bits where less than {settings.flat_bits:g} are left,"
            f" or added repetition over {settings.repetition:g}"
        )
        if not exhibit.mask.any():
            return Ruling(self.name, None, None, wording, "an empty mask")
        box = tight_box(exhibit.mask)
        mask = exhibit.mask[box]
        tiles = _tiles_inside(mask)
        if len(tiles) < settings.fewest_tiles:
            return Ruling(self.name, None, None, wording, f"fewer than {settings.fewest_tiles} tiles of {_TILE} pixels")
        now_grey, before_grey = luma(exhibit.forged[box]), luma(exhibit.original[box])
        now, before = _entropy(now_grey, tiles), _entropy(before_grey, tiles)
        lost = max(0.0, before - now) if now < settings.flat_bits else 0.0
        now_peak, before_peak = _repetition(now_grey, mask), _repetition(before_grey, mask)
        added = max(0.0, now_peak - before_peak)
        value = max(_over(lost, settings.lost_bits), _over(added, settings.repetition))
        note = f"entropy {now:.2f} bits, was {before:.2f}; repetition {now_peak:.2f}, was {before_peak:.2f}"
        return Ruling(self.name, value, value <= 1.0, wording, note)


def _over(value: float, limit: float) -> float:
    # A limit of nothing is passed by nothing only; JSON has no infinity.
    return value / limit if limit > 0 else (2.0 if value > 0 else 0.0)


def _tiles_inside(mask: Mask) -> list[tuple[int, int]]:
    """Upper left corners of the tiles that lie wholly in the mask."""
    height, width = mask.shape
    rows, columns = range(0, height - _TILE + 1, _TILE), range(0, width - _TILE + 1, _TILE)
    return [(y, x) for y in rows for x in columns if mask[y : y + _TILE, x : x + _TILE].all()]


def _entropy(grey: Plane, tiles: list[tuple[int, int]]) -> float:
    """The median over tiles of the entropy of their grey levels, in bits."""
    levels = np.minimum(np.floor(grey * (_LEVELS / 256.0)), _LEVELS - 1).astype(np.int64)
    cut = np.stack([levels[y : y + _TILE, x : x + _TILE].ravel() for y, x in tiles])
    numbered = cut + _LEVELS * np.arange(len(tiles))[:, None]
    counts = np.bincount(numbered.ravel(), minlength=_LEVELS * len(tiles)).reshape(len(tiles), _LEVELS)
    shares = counts / (_TILE * _TILE)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return float(np.median(bits))


def _repetition(grey: Plane, mask: Mask) -> float:
    """How much the region, less its slow changes, is like itself when moved by at least a few pixels; 0 to 1."""
    height, width = grey.shape
    scale = min(1.0, _LONGEST / max(height, width))
    if scale < 1.0:
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float64)
        mask = np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0, dtype=np.bool_)
    inside = mask.astype(np.float64)
    if inside.sum() < _TILE * _TILE:
        return 0.0
    detail = _without_slopes(grey, inside)
    shape = (2 * grey.shape[0], 2 * grey.shape[1])
    # Likeness of the parts that lie over each other, each divided by its own strength: both by Fourier transform.
    weights, values, squares = (np.fft.rfft2(part, shape) for part in (inside, detail, detail * detail))
    overlap = np.fft.irfft2(weights * weights.conj(), shape)
    product = np.fft.irfft2(values * values.conj(), shape)
    strength = np.fft.irfft2(squares * weights.conj(), shape)
    opposite = np.fft.irfft2(weights * squares.conj(), shape)
    both = np.sqrt(np.maximum(strength, 0.0) * np.maximum(opposite, 0.0))
    # Less than a third of a grey level of detail is rounding, not a pattern.
    enough = (overlap >= _OVERLAP * inside.sum()) & (both > 0.1 * overlap)
    down, right = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    far = np.maximum(down[:, None], right[None, :]) >= _NEAREST
    likeness = np.where(enough & far, product / np.where(enough, both, 1.0), 0.0)
    return float(np.clip(likeness.max(), 0.0, 1.0))


def _without_slopes(grey: Plane, inside: Plane) -> Plane:
    """`grey` less its local mean within the mask; zero outside."""
    sigma = float(_NEAREST)
    weight = cv2.GaussianBlur(inside, (0, 0), sigma)
    mean = cv2.GaussianBlur(grey * inside, (0, 0), sigma) / np.maximum(weight, 1e-6)
    return np.asarray((grey - mean) * inside, dtype=np.float64)
