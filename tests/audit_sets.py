"""Drawn sets for the audit's probes: pictures of everyday variety, as arrays, with or without one planted bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fauxlens.audit.features import Features, PictureFeatures, features_of, stack
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample

Pixels = NDArray[np.uint8]
Change = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
CONTENTS = ("dog", "boat", "tree")


def picture(chance: np.random.Generator, height: int = 96, width: int = 96) -> NDArray[np.float64]:
    """(H, W, 3) float64: waves, a few boxes, and noise, all drawn by chance."""
    y, x = np.mgrid[0:height, 0:width] / 32
    pixels = np.zeros((height, width, 3)) + chance.uniform(60, 190, 3)
    for _ in range(4):
        wave = np.sin(chance.normal(0, 2) * x + chance.normal(0, 2) * y + chance.uniform(0, 6.3))
        pixels += wave[..., None] * chance.normal(0, 18, 3)
    for _ in range(6):
        top, left = chance.integers(0, (height - 8, width - 8))
        pixels[top : top + chance.integers(5, 48), left : left + chance.integers(5, 48)] += chance.normal(0, 30, 3)
    return pixels + chance.normal(0, chance.uniform(1, 5), pixels.shape)


def to_pixels(values: NDArray[np.float64]) -> Pixels:
    """Rounded and clipped to 8 bits."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pool(count: int, seed: int = 0) -> list[PictureFeatures]:
    """Features of `count` clean pictures."""
    chance = np.random.default_rng(seed)
    return [features_of(to_pixels(picture(chance))) for _ in range(count)]


def planted(
    change: Change, *, reals: int = 40, fakes: int = 40, seed: int = 0, size: int = 96
) -> list[PictureFeatures]:
    """Reals, then fakes; `change(values, number)` is done to each fake, `number` counting the fakes."""
    chance = np.random.default_rng(seed)
    drawn = [picture(chance, size, size) for _ in range(reals + fakes)]
    return [
        features_of(to_pixels(values if at < reals else change(values, at - reals))) for at, values in enumerate(drawn)
    ]


def manifest_of(
    fake: Sequence[bool],
    *,
    generator: Sequence[str | None] | None = None,
    content: Sequence[str | None] | None = None,
    split: Sequence[str | None] | None = None,
    origin: Sequence[str] | None = None,
) -> Manifest:
    """One row a picture, ids in row order."""
    rows = [
        Sample(
            id=f"{at:04}",
            path=f"{'fake' if one else 'real'}/{at:04}.png",
            label="generated" if one else "real",
            generator=(generator[at] if generator else "toy") if one else None,
            content=content[at] if content else None,
            split=split[at] if split else None,
            origin=origin[at] if origin else None,
        )
        for at, one in enumerate(fake)
    ]
    return Manifest.from_samples(rows, Path(), name="drawn")


def set_of(pictures: Sequence[PictureFeatures], reals: int = 40) -> tuple[Manifest, Features]:
    """A manifest and features of `reals` reals followed by fakes of one generator."""
    manifest = manifest_of([at >= reals for at in range(len(pictures))])
    return manifest, stack(manifest, pictures)


def clean_set(pictures: Sequence[PictureFeatures], seed: int, count: int = 120) -> tuple[Manifest, Features]:
    """`count` of the pictures with labels, generators and contents that have nothing to do with them.

    Every fourth set has two generators. Every other one has pairs of one origin, of which half are a real and a fake.
    """
    chance = np.random.default_rng(seed)
    chosen = chance.permutation(len(pictures))[:count]
    fake = chance.permutation(np.arange(count) % 2 == 1)
    origin = [f"o{at}" for at in range(count)]
    if seed % 2:
        paired = chance.permutation(count)[: count // 3]
        for first, second in zip(paired[::2], paired[1::2], strict=True):
            origin[first] = origin[second]
    manifest = manifest_of(
        [bool(one) for one in fake],
        generator=[("a", "b")[number] for number in chance.integers(0, 2 if seed % 4 == 0 else 1, count)],
        content=[CONTENTS[number] for number in chance.integers(0, len(CONTENTS), count)],
        split=[("train", "test")[number] for number in chance.integers(0, 2, count)] if seed % 2 == 0 else None,
        origin=origin,
    )
    return manifest, stack(manifest, [pictures[at] for at in chosen])
