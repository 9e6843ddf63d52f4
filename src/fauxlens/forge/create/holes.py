"""Holes for training inpainters: strokes of a brush, blobs of smooth noise, and regions that follow colour.

A real region has the outline of what is in the picture, so a network that has only seen brushes leaves its rim behind.
All three are drawn in a millisecond at the size of a crop; the providers of `fauxlens.forge.perceive` take their time.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels, require_rgb

KINDS = ("strokes", "blob", "region")


def drawn_hole(
    pixels: Pixels,
    chance: np.random.Generator,
    *,
    smallest: float = 0.05,
    largest: float = 0.5,
    kind: str | None = None,
) -> Mask:
    """A hole of a size between two shares of the frame, of a random kind unless `kind` says which.

    >>> hole = drawn_hole(np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0), kind="blob")
    >>> hole.shape, bool(0.04 < hole.mean() < 0.51)
    ((64, 64), True)
    """
    require_rgb(pixels, "crop")
    if not 0.0 < smallest <= largest < 0.9:
        raise BadSetting(
            "shares of a hole out of range", wanted="0 < smallest <= largest < 0.9", got=f"{smallest}, {largest}"
        )
    if kind is not None and kind not in _DRAW:
        raise BadSetting("no such kind of hole", wanted=", ".join(KINDS), got=kind)
    share = float(chance.uniform(smallest, largest))
    chosen = kind or KINDS[int(chance.integers(len(KINDS)))]
    hole = _DRAW[chosen](pixels, share, chance)
    # A region may be one pixel on odd pictures, and nothing can be learnt from that.
    return hole if smallest / 2 <= hole.mean() <= 0.9 else _blob(pixels, share, chance)


def _strokes(pixels: Pixels, share: float, chance: np.random.Generator) -> Mask:
    height, width = pixels.shape[:2]
    side = min(height, width)
    canvas = np.zeros((height, width), np.uint8)
    while canvas.mean() < share:
        point = chance.uniform(0, (width, height))
        angle = chance.uniform(0, 2 * np.pi)
        thickness = max(2, int(side * chance.uniform(0.06, 0.18)))
        for _ in range(int(chance.integers(2, 7))):
            angle += chance.uniform(-1.0, 1.0)
            onward = point + side * chance.uniform(0.1, 0.3) * np.array([np.cos(angle), np.sin(angle)])
            ends = [tuple(int(value) for value in end) for end in (point, onward)]
            cv2.line(canvas, ends[0], ends[1], 1, thickness)
            point = onward
            if canvas.mean() >= share:
                break
    return np.asarray(canvas, dtype=np.bool_)


def _blob(pixels: Pixels, share: float, chance: np.random.Generator) -> Mask:
    height, width = pixels.shape[:2]
    cells = int(chance.integers(3, 8))
    noise = chance.normal(size=(cells, cells)).astype(np.float32)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth > np.quantile(smooth, 1.0 - share), dtype=np.bool_)


def _region(pixels: Pixels, share: float, chance: np.random.Generator) -> Mask:
    height, width = pixels.shape[:2]
    colours = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB), (0, 0), 2.0).astype(np.float32)
    row, column = int(chance.integers(height)), int(chance.integers(width))
    unlike = np.abs(colours - colours[row, column]).sum(axis=2)
    rows, columns = np.ogrid[:height, :width]
    far = np.hypot(rows - row, columns - column) / max(height, width)
    # Colour says where the region ends, nearness keeps it one region.
    distance = unlike / (unlike.std() + 4.0) + chance.uniform(1.0, 4.0) * far
    near = (distance <= np.quantile(distance, share)).astype(np.uint8)
    closed = cv2.morphologyEx(near, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(closed, connectivity=4)
    return np.asarray((labels == labels[row, column]) & (closed > 0), dtype=np.bool_)


_DRAW: dict[str, Callable[[Pixels, float, np.random.Generator], Mask]] = {
    "strokes": _strokes,
    "blob": _blob,
    "region": _region,
}
