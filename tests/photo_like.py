"""Pictures with the statistics of photos, drawn from a seed: leaves of all sizes over each other, texture, grain."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fauxlens.images.shapes import Pixels


def photo_like(seed: int = 0, height: int = 160, width: int = 208) -> Pixels:
    """(H, W, 3) uint8: discs whose sizes follow a power law hide each other, each with its own colour and slope."""
    return _drawn(seed, height, width).copy()


@lru_cache(maxsize=64)
def _drawn(seed: int, height: int, width: int) -> Pixels:
    chance = np.random.default_rng(seed)
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[:] = chance.uniform(40, 215, 3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(260):
        radius = 3.0 * chance.uniform(0.001, 1.0) ** -0.5
        radius = min(radius, min(height, width) / 3)
        across, down = chance.uniform(0, width), chance.uniform(0, height)
        disc = (x - across) ** 2 + (y - down) ** 2 < radius**2
        slope = chance.uniform(-0.6, 0.6, 2)
        shade = slope[0] * (x - across) + slope[1] * (y - down)
        canvas[disc] = (chance.uniform(25, 230, 3) + shade[..., None])[disc]
    # Texture of all sizes: what a photo has everywhere, and discs have not.
    rough = chance.normal(0, 1, (height, width))
    down, right = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    spectrum = np.fft.fft2(rough) / np.maximum(np.hypot(down, right), 1 / 64)
    texture = np.fft.ifft2(spectrum).real
    canvas += (texture / texture.std() * 14)[..., None].astype(np.float32)
    blurred = cv2.GaussianBlur(canvas, (0, 0), 0.6)
    grain = chance.normal(0, 2.5, (height, width, 1))
    return np.clip(np.rint(blurred + grain), 0, 255).astype(np.uint8)
