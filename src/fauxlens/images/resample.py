"""The one resampler: every picture and every mask of this package changes its size here.

It is Pillow's antialiased resize in 8-bit fixed point, whose result is defined to the bit, so a verdict cannot depend
on which library happened to shrink the picture. Why this one, and what it costs: docs/decisions/003-one-resampler.md.
"""

from __future__ import annotations

import operator

import numpy as np
from PIL import Image

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import nearest
from fauxlens.images.shapes import Pixels, require_rgb_or_mask

KINDS: tuple[str, ...] = ("nearest", "box", "bilinear", "bicubic", "lanczos")
"""Ours. All but nearest widen their kernel when they shrink, so they do not alias."""

REFERENCE_KINDS: tuple[str, ...] = ("opencv-lanczos4",)
"""Not ours but a reference's: OpenCV's 8-tap Lanczos without antialiasing, for ImagiNet's recipes and nothing else."""

_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize(pixels: Pixels, size: tuple[int, int], kind: str | None = None) -> Pixels:
    """(H, W, 3) or (H, W) uint8 -> the same at `size` = (height, width); a new array, also when the size is the same.

    Without a `kind` pictures are resized bicubic and masks nearest, so that a mask never gains values it did not have.

    >>> resize(np.array([[0, 100], [100, 200]], np.uint8), (1, 1), "box")
    array([[100]], dtype=uint8)
    """
    require_rgb_or_mask(pixels, "resize")
    height, width = _checked_side("height", size[0]), _checked_side("width", size[1])
    if kind is None:
        kind = "nearest" if pixels.ndim == 2 else "bicubic"
    if kind == "opencv-lanczos4":
        import cv2

        # OpenCV copies when the size is the same, exactly as the reference's transform does.
        lanczos = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LANCZOS4)
        return np.asarray(lanczos, dtype=np.uint8)
    if kind not in _PILLOW:
        there_are = (*KINDS, *REFERENCE_KINDS)
        raise BadSetting(
            f"no resampling kind called '{kind}'", hint=f"{nearest(kind, there_are)}There are: {', '.join(there_are)}"
        )
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), _PILLOW[kind])
    return np.array(resized, dtype=np.uint8)


def resize_longest(pixels: Pixels, side: int, kind: str | None = None, *, enlarge: bool = True) -> Pixels:
    """Resize so that the longer side is `side`, keeping the aspect ratio; `enlarge=False` leaves small pictures be.

    >>> resize_longest(np.zeros((30, 60, 3), np.uint8), 20).shape
    (10, 20, 3)
    """
    require_rgb_or_mask(pixels, "resize_longest")
    return resize(pixels, longest_size(pixels.shape[0], pixels.shape[1], side, enlarge=enlarge), kind)


def resize_shortest(pixels: Pixels, side: int, kind: str | None = None, *, enlarge: bool = True) -> Pixels:
    """Resize so that the shorter side is `side`, keeping the aspect ratio; `enlarge=False` leaves small pictures be."""
    require_rgb_or_mask(pixels, "resize_shortest")
    return resize(pixels, shortest_size(pixels.shape[0], pixels.shape[1], side, enlarge=enlarge), kind)


def longest_size(height: int, width: int, side: int, *, enlarge: bool = True) -> tuple[int, int]:
    """The (height, width) whose longer side is `side`.

    >>> longest_size(1000, 2000, 1080)
    (540, 1080)
    """
    return _kept_ratio(height, width, _checked_side("side", side), max(height, width), enlarge)


def shortest_size(height: int, width: int, side: int, *, enlarge: bool = True) -> tuple[int, int]:
    """The (height, width) whose shorter side is `side`."""
    return _kept_ratio(height, width, _checked_side("side", side), min(height, width), enlarge)


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """The (height, width) at `scale` times the size, each side rounded half up and at least 1.

    >>> scaled_size(5, 11, 0.5)
    (3, 6)
    """
    if not 0 < scale < float("inf"):
        raise BadSetting("scale is out of range", wanted="a number above 0", got=scale)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def _kept_ratio(height: int, width: int, side: int, reference: int, enlarge: bool) -> tuple[int, int]:
    if not enlarge and reference <= side:
        return height, width
    # Whole-number rounding half up: the size of a file must not depend on a floating-point unit.
    new_height, new_width = (max(1, (2 * given * side + reference) // (2 * reference)) for given in (height, width))
    return new_height, new_width


def _checked_side(name: str, value: int) -> int:
    try:
        side = operator.index(value)
    except TypeError:
        raise BadSetting(f"{name} must be a whole number of pixels", got=repr(value)) from None
    if side < 1:
        raise BadSetting(f"{name} is out of range", wanted="at least 1 pixel", got=side)
    return side
