"""Pixels to what rules look at: luma, and the mask's neighbourhood."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.forge.perceive.masks import box_of
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

Plane: TypeAlias = npt.NDArray[np.float64]
"""(H, W) float64."""

_LUMA = np.array([0.299, 0.587, 0.114])


def luma(pixels: Pixels) -> Plane:
    """(H, W, 3) uint8 -> (H, W) in 0 to 255, not rounded.

    >>> luma(np.full((1, 1, 3), 200, np.uint8)).round(6)
    array([[200.]])
    """
    return np.asarray(pixels @ _LUMA, dtype=np.float64)


def tight_box(mask: Mask, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around True, enlarged by `margin` within the frame."""
    left, top, right, bottom = (int(value) for value in box_of(mask))
    rows = slice(max(0, top - margin), min(mask.shape[0], bottom + margin))
    return rows, slice(max(0, left - margin), min(mask.shape[1], right + margin))


def shrunk(mask: Mask, pixels: int) -> Mask:
    """`mask` without what lies within `pixels` of its rim; the frame's edge is no rim."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    kept = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(kept > 0, dtype=np.bool_)
