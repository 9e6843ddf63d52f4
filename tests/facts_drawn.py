"""Manifests drawn from synthetic columns: clean by default, with one planted difference when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.manifest.manifest import Manifest

SIZES = ((500, 375), (375, 500), (500, 333), (512, 512), (640, 480))


def drawn_columns(count: int, seed: int, *, group_size: int = 1) -> tuple[dict[str, Any], np.ndarray]:
    """Columns of `count` JPEGs whose facts say nothing of the label, and which rows are fake (half of the groups)."""
    chance = np.random.default_rng([seed, 7])
    group = np.arange(count) // group_size
    fake = chance.permutation(np.arange(group.max() + 1) % 2 == 0)[group]
    size = chance.integers(0, len(SIZES), count)
    width, height = np.array(SIZES)[size].T
    columns = {
        "id": [f"{seed}-{k:06d}" for k in range(count)],
        "path": [f"{k:06d}.jpg" for k in range(count)],
        "label": np.where(fake, "generated", "real").tolist(),
        "generator": [("alpha", "beta")[k % 2] if made else None for k, made in enumerate(fake)],
        "origin": [f"group-{k}" for k in group],
        "content": [f"class-{k}" for k in chance.integers(0, 4, count)],
        "width": width.tolist(),
        "height": height.tolist(),
        "format": ["jpeg"] * count,
        "jpeg_quality": chance.integers(88, 98, count).tolist(),
        "jpeg_quality_exact": [True] * count,
        "subsampling": chance.choice(["4:4:4", "4:2:0"], count).tolist(),
        "bytes": (width * height * chance.uniform(0.2, 0.6, count)).astype(int).tolist(),
        "progressive": [False] * count,
        "bit_depth": [8] * count,
        "colour": ["rgb"] * count,
        "metadata": chance.choice(["jfif", "exif+jfif"], count).tolist(),
    }
    return columns, fake


def drawn_manifest(count: int = 300, seed: int = 0, *, group_size: int = 1, plant: str | None = None) -> Manifest:
    """The manifest of `drawn_columns`, with one fact made to tell nine labels of ten or more."""
    columns, fake = drawn_columns(count, seed, group_size=group_size)
    chance = np.random.default_rng([seed, 8])
    tells = chance.random(count) < 0.97
    if plant is not None:
        column, in_fakes, in_reals = PLANTS[plant]
        told = np.where(tells, fake, ~fake)
        columns[column] = [in_fakes if made else in_reals for made in told]
    if plant == "size":
        columns["height"] = [512 if made else 375 for made in np.where(tells, fake, ~fake)]
        chosen = chance.uniform(0.2, 0.6, count)
        columns["bytes"] = (np.array(columns["width"]) * np.array(columns["height"]) * chosen).astype(int).tolist()
    if plant == "format":
        columns.update(jpeg_quality=[None] * count, subsampling=[None] * count, metadata=[""] * count)
    return Manifest.from_columns(columns, Path("nowhere"), name=f"drawn-{plant or 'clean'}")


PLANTS: dict[str, tuple[str, Any, Any]] = {
    "quality": ("jpeg_quality", 75, 96),
    "subsampling": ("subsampling", "4:2:0", "4:4:4"),
    "size": ("width", 512, 500),
    "format": ("format", "png", "webp"),
    "metadata": ("metadata", "jfif", "exif+jfif"),
}
"""What is planted -> (column, its value in fakes, its value in reals)."""
