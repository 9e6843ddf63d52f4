"""Noise level: how much grain there is, place by place, measured so that edges count little.

The residual is Immerkaer's (1996) difference of two Laplacians, which no plane and no straight slope survives. Its
mean size over blocks of eight is the level; of each neighbourhood of five by five blocks the lower quarter is taken,
so that an edge that crosses it does not count.
"""

from __future__ import annotations

import cv2
import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.verdict.blocks import Values, over_the_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.past import Past

OCTAVES = 2.0
"""The map goes from a quarter to four times the picture's usual grain."""

_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
# Mean size of the residual of grain of deviation 1: the kernel's norm is 6, and a normal number's mean size is .798.
# The lower quarter of its neighbourhood lies at .885 of the mean.
_GAIN = 6 * np.sqrt(2 / np.pi) * 0.885
_AROUND = 5
# Below this, in grey levels, is rounding alone.
_LEAST = 0.05
_LIMIT = (
    "Texture counts as grain where it fills everything, cameras smooth some places more than others, dark and "
    "over-exposed places have less grain in every photo, and JPEG removes it where it is weak."
)


def noise_level(picture: Picture, past: Past) -> Evidence:
    """The local deviation of the grain, in octaves around the picture's median."""
    luma = past.luma
    if min(luma.shape) < 16:
        return Evidence("noise_level", "The picture is too small for a map of its grain.", _LIMIT)
    level = np.maximum(_lower_quarter(_by_block(luma)), _LEAST)
    usual = float(np.median(level))
    octaves = np.log2(level / usual)
    stored = over_the_picture(np.clip(0.5 + octaves / (2 * OCTAVES), 0, 1), *luma.shape)
    return Evidence(
        "noise_level",
        f"Middle brightness is the picture's usual grain (deviation {usual:.1f} grey levels), dark places have less "
        "and bright ones more, as what was smoothed, painted over or brought from another photo can.",
        _LIMIT,
        details={"median": round(usual, 4), "octaves": OCTAVES,
                 "smooth_share": round(float((octaves < -1).mean()), 4),
                 "rough_share": round(float((octaves > 1).mean()), 4)},
        map=past.upright(stored),
    )  # fmt: skip


def _by_block(luma: Values) -> Values:
    """The deviation of the grain, a value a block of eight, in bands of rows."""
    down, across = luma.shape[0] // 8, luma.shape[1] // 8
    found = np.empty((down, across), dtype=np.float32)
    for top in range(0, down, 64):
        end = min(top + 64, down)
        # One row more on either side, so that bands leave no seam.
        first, last = max(top * 8 - 1, 0), min(end * 8 + 1, len(luma))
        residual = np.abs(cv2.filter2D(luma[first:last], -1, _KERNEL, borderType=cv2.BORDER_REFLECT_101))
        inner = residual[top * 8 - first : end * 8 - first, : across * 8]
        found[top:end] = cv2.resize(inner, (across, end - top), interpolation=cv2.INTER_AREA)
    found /= np.float32(_GAIN)
    return found


def _lower_quarter(level: Values) -> Values:
    half = _AROUND // 2
    padded = np.pad(level, half, mode="edge")
    around = np.stack(
        [padded[y : y + level.shape[0], x : x + level.shape[1]] for y in range(_AROUND) for x in range(_AROUND)]
    )
    rank = around.shape[0] // 4
    around.partition(rank, axis=0)
    return np.asarray(around[rank], dtype=np.float32)
