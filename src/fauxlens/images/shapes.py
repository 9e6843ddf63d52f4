"""The array types of this room, and the check at its doors: RGB pixels are (H, W, 3) uint8, masks are (H, W) uint8."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadShape

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, or (H, W) uint8 where a mask is said to be welcome."""


def require_rgb(pixels: Any, where: str = "pixels") -> None:
    """Refuse anything but a non-empty (H, W, 3) uint8 array.

    >>> require_rgb(np.zeros((2, 2, 4), np.uint8))
    Traceback (most recent call last):
    ...
    fauxlens.core.errors.BadShape: pixels: not an RGB picture (wanted (H, W, 3) uint8, got (2, 2, 4) uint8)
    """
    if not _is_uint8(pixels) or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise BadShape("not an RGB picture", where=where, wanted="(H, W, 3) uint8", got=_in_words(pixels))


def require_mask(mask: Any, where: str = "mask") -> None:
    """Refuse anything but a non-empty (H, W) uint8 array."""
    if not _is_uint8(mask) or mask.ndim != 2 or mask.size == 0:
        raise BadShape("not a mask", where=where, wanted="(H, W) uint8", got=_in_words(mask))


def require_rgb_or_mask(pixels: Any, where: str = "pixels") -> None:
    """Refuse anything but a non-empty (H, W, 3) or (H, W) uint8 array."""
    if not _is_uint8(pixels) or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or pixels.size == 0:
        wanted = "(H, W, 3) or (H, W) uint8"
        raise BadShape("neither an RGB picture nor a mask", where=where, wanted=wanted, got=_in_words(pixels))


def _is_uint8(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8


def _in_words(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
