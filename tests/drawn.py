"""Pictures drawn by whole-number formulas: the same on every machine, with edges, slopes and texture."""

from __future__ import annotations

import numpy as np

from fauxlens.images.shapes import Pixels


def drawn_picture(height: int = 40, width: int = 56) -> Pixels:
    """(H, W, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = (7 * x + 3 * y) % 256
    green = (x * y + 11 * (x // 8)) % 256
    blue = np.where((x // 6 + y // 6) % 2 == 0, 40 + 2 * y, 215 - x) % 256
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def smooth_picture(height: int = 40, width: int = 56) -> Pixels:
    """(H, W, 3) uint8 with slopes only, as a codec likes it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red, green, blue = 40 + 150 * x // width, 200 - 120 * y // height, 60 + 90 * (x + y) // (height + width)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def drawn_mask(height: int = 40, width: int = 56) -> Pixels:
    """(H, W) uint8, 0 and 255: a disc a little off the centre."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    return np.where((3 * y - height) ** 2 + (3 * x - width) ** 2 < min(height, width) ** 2, 255, 0).astype(np.uint8)
