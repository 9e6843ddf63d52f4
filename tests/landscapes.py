"""Photos drawn by chance and seed: a sky, a hill, grass with texture, and a round thing in the middle."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.images.shapes import Pixels


def landscape(seed: int, height: int = 96, width: int = 128) -> Pixels:
    """(H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    horizon = height * rng.uniform(0.4, 0.6) + 0.05 * height * np.sin(x / width * 6 + rng.uniform(0, 6))
    sky = np.stack([120 + 40 * y / height, 160 + 40 * y / height, 215 + 20 * y / height], axis=2)
    noise = cv2.GaussianBlur(rng.normal(0, 40, (height, width)).astype(np.float32), (0, 0), 1.0) * 3
    grass = np.stack([60 + noise * 0.5, 120 + noise, 50 + noise * 0.4], axis=2)
    picture = np.where((y < horizon)[..., None], sky, grass)
    centre = (rng.uniform(0.4, 0.6) * width, rng.uniform(0.5, 0.65) * height)
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (0.17 * height) ** 2
    colour = rng.uniform(30, 220, 3)
    shade = 1.0 + 0.3 * (x - centre[0]) / width
    picture = np.where(disc[..., None], colour * shade[..., None], picture)
    grain = rng.normal(0, 3, (height, width, 3))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def photo_folder(folder: Path, count: int, *, height: int = 96, width: int = 128) -> Path:
    """A folder of `count` landscapes, JPEG and PNG in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = landscape(number, height, width)
        data, suffix = (encode_jpeg(pixels, 92), ".jpg") if number % 2 else (encode_png(pixels), ".png")
        (folder / f"photo_{number:03d}{suffix}").write_bytes(data)
    return folder
