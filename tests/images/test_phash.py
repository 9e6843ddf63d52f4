"""The perceptual hash: near for the same picture saved otherwise, far for another one, the same bits on any machine."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from drawn import drawn_picture
from fauxlens.images.encode import jpeg_roundtrip, webp_roundtrip
from fauxlens.images.phash import distance, phash
from fauxlens.images.resample import resize

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "decoding.json").read_text(encoding="utf-8"))


def scene(seed: int, side: int = 160) -> np.ndarray:
    """(H, W, 3) uint8: a dozen rectangles, as different from seed to seed as photos are."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 120, np.uint8)
    for _ in range(12):
        top, left = rng.integers(0, side - 10, 2)
        high, wide = rng.integers(10, side // 2, 2)
        pixels[top : top + high, left : left + wide] = rng.integers(0, 256, 3)
    return pixels


def hashed(pixels: np.ndarray) -> int:
    found = phash(pixels)
    assert found is not None
    assert 0 <= found < 1 << 64
    return found


@pytest.mark.parametrize("seed", range(12))
def test_the_same_picture_saved_otherwise_is_near(seed: int) -> None:
    pixels = scene(seed)
    own = hashed(pixels)
    for other in (
        jpeg_roundtrip(pixels, 95),
        jpeg_roundtrip(pixels, 60),
        webp_roundtrip(pixels, 75),
        resize(pixels, (80, 80), "bicubic"),
        resize(pixels, (331, 250), "bicubic"),
        np.clip(pixels.astype(int) + 4, 0, 255).astype(np.uint8),
    ):
        assert distance(own, hashed(other)) <= 8


def test_other_pictures_are_far() -> None:
    hashes = [hashed(scene(seed)) for seed in range(40)]
    gaps = [distance(a, b) for a, b in combinations(hashes, 2)]
    assert min(gaps) > 8
    assert 26 < np.mean(gaps) < 38


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (32, 32), (700, 3)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_have_none(shape: tuple[int, int], level: int) -> None:
    flat = np.full((*shape, 3), level, np.uint8)
    assert phash(flat) is None
    # One level up and down is flat too.
    assert phash(np.abs(flat.astype(int) - np.indices(shape).sum(axis=0)[..., None] % 2).astype(np.uint8)) is None


def test_where_flat_ends() -> None:
    # Half the picture d levels above the other half has a standard deviation of d / 2.
    halves = np.full((32, 32, 3), 100, np.uint8)
    for step, flat in ((3, True), (4, False), (5, False)):
        halves[:, 16:] = 100 + step
        assert (phash(halves) is None) == flat


def test_layout_in_memory_does_not_matter() -> None:
    pixels = drawn_picture(64, 64)
    own = hashed(pixels)
    assert hashed(np.asfortranarray(pixels)) == own
    assert hashed(np.pad(pixels, ((3, 3), (3, 3), (0, 0)))[3:-3, 3:-3]) == own
    read_only = pixels.view()
    read_only.flags.writeable = False
    assert hashed(read_only) == own


def test_distance() -> None:
    assert distance(0, (1 << 64) - 1) == 64
    assert distance(hashed(scene(1)), hashed(scene(1))) == 0


def test_golden_values() -> None:
    # The same are in golden/decoding.json, where they are hashed from decoded files.
    assert f"{hashed(drawn_picture()):016x}" == GOLDEN["cases"]["png/rgb"]["phash"] == "801d1b3e38797177"
    assert f"{hashed(drawn_picture(300, 200)):016x}" == "c08f01ff017fd515"
    assert f"{hashed(scene(7)):016x}" == "99c02d971b34ea37"
