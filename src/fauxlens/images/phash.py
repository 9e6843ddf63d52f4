"""A 64-bit perceptual hash: the signs of the lowest frequencies of a 32 x 32 thumbnail, in whole numbers throughout.

Whole numbers, so that the same pixels give the same 64 bits on every machine: a floating-point transform may differ in
the last place from one processor to the next, and a bit hangs on which side of the median a value falls.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE, _KEPT = 32, 8
# Below this standard deviation of the grey levels nothing is there to hash: flat pictures would all be near duplicates.
_MIN_SPREAD = 2


def phash(pixels: NDArray[np.uint8]) -> int | None:
    """(H, W, 3) uint8 -> 64 bits; None for a picture without structure (nearly one colour)."""
    # Rec. 601 luma in whole numbers, the same rule as Pillow's, without its mode conversions.
    thumbnail = np.asarray(
        Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=None), dtype=np.int64
    )
    grey = (thumbnail[..., 0] * 299 + thumbnail[..., 1] * 587 + thumbnail[..., 2] * 114 + 500) // 1000
    count, total = grey.size, int(grey.sum())
    if count * int((grey * grey).sum()) - total * total < (_MIN_SPREAD * count) ** 2:
        return None
    basis = _basis()
    spectrum = (basis @ grey @ basis.T).reshape(-1)
    # The first value is the mean brightness; it is left out of the median and its bit says nothing.
    bits = spectrum > np.sort(spectrum[1:])[31]
    return int(np.packbits(bits).view(">u8")[0])


def distance(first: int, second: int) -> int:
    """How many bits differ.

    >>> distance(0b1011, 0b0010)
    2
    """
    return (first ^ second).bit_count()


@cache
def _basis() -> NDArray[np.int64]:
    """The first eight cosine vectors of length 32, in units of 1/16384."""
    k, n = np.mgrid[0:_KEPT, 0:_SIDE]
    basis = np.cos(np.pi * (2 * n + 1) * k / (2 * _SIDE))
    whole: NDArray[np.int64] = np.rint(basis * (1 << 14)).astype(np.int64)
    return whole
