"""What a page carries of pictures and maps: bounded, in register, weak places clear."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fauxlens.core.errors import BadShape
from fauxlens.images.encode import decode_own
from fauxlens.verdict.shown import (
    colours_of,
    copy_of,
    grey_of,
    map_png,
    outline_of,
    outlined,
    palette,
    size_of,
    thumb_of,
)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_small_picture_is_carried_pixel_by_pixel() -> None:
    pixels = noise(40, 30)
    copy = copy_of(pixels)
    assert (copy.suffix, copy.width, copy.height, copy.quality) == (".png", 30, 40, None)
    assert np.array_equal(decode_own(copy.data), pixels)


def test_a_large_one_is_bounded_in_side_and_bytes() -> None:
    pixels = noise(520, 1040)
    whole = copy_of(pixels)
    assert (whole.suffix, whole.width, whole.height, whole.quality) == (".jpg", 1040, 520, 90)
    assert size_of(whole.data) == (1040, 520)
    reduced = copy_of(pixels, side=512)
    assert (reduced.width, reduced.height) == (512, 256)
    light = copy_of(pixels, most=60_000)
    assert len(light.data) <= 60_000
    assert light.width < 1040
    assert abs(light.width / light.height - 2) < 0.05
    assert size_of(thumb_of(pixels)) == (144, 72)


def test_a_strip_is_carried_as_well() -> None:
    copy = copy_of(np.zeros((1, 300_000, 3), np.uint8))
    assert (copy.width, copy.height) == (4096, 1)


def test_a_map_is_clear_where_it_is_weak() -> None:
    strength = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    with Image.open(io.BytesIO(map_png(strength))) as stored:
        assert (stored.mode, stored.size) == ("P", (256, 4))
        rgba = np.asarray(stored.convert("RGBA"))
    alpha = rgba[0, :, 3].astype(int)
    assert (alpha[0], alpha[255]) == (0, 217)
    assert (np.diff(alpha) >= 0).all()
    assert rgba[0, 255, :3].tolist() == palette()[-1, :3].tolist()
    light = rgba[0, :, :3].astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) >= -1).all()  # brighter is stronger, in grey as well
    assert size_of(map_png(np.zeros((2000, 100), np.uint8))) == (51, 1024)
    with pytest.raises(BadShape, match="one number a pixel"):
        map_png(noise(3, 3))


def test_an_outline_goes_round_what_is_above_the_level() -> None:
    strength = np.zeros((100, 200), np.uint8)
    strength[20:60, 30:90] = 200
    strength[80, 5] = 140
    edge = outline_of(strength, 0.5)
    assert (edge.width, edge.height, edge.left_out) == (200, 100, 0)
    assert edge.path.startswith("M")
    assert edge.path.count("Z") == 2
    for corner in ("30.5 20.5", "89.5 59.5"):
        assert corner in edge.path
    assert outline_of(strength, 0.6).path.count("Z") == 1
    assert outline_of(strength, 0.9).path == ""
    assert outline_of(np.zeros((2000, 4000), np.uint8), 0.5).width == 1024


def test_an_outline_of_noise_is_bounded_and_says_so() -> None:
    edge = outline_of(noise(400, 400)[..., 0], 0.5)
    assert len(edge.path) < 400_000
    assert edge.left_out > 0


def test_the_outline_in_a_picture_is_light_and_dark() -> None:
    pixels = np.full((100, 100, 3), 127, np.uint8)
    strength = np.zeros((100, 100), np.uint8)
    strength[30:70, 30:70] = 255
    drawn = outlined(pixels, strength, 0.5)
    row = drawn[50, 20:45, 0].tolist()
    assert 255 in row
    assert 0 in row
    assert (drawn[:20] == 127).all()
    assert (pixels == 127).all()


def test_small_copies_are_read_back() -> None:
    pixels = np.zeros((1400, 1300, 3), np.uint8)
    pixels[..., 0] = 200
    small = colours_of(copy_of(pixels).data)
    assert small.shape == (175, 163, 3)
    assert abs(int(small[50, 50, 0]) - 200) < 4
    assert small[50, 50, 2] < 4
    assert np.array_equal(grey_of(copy_of(noise(9, 9)).data).shape, (9, 9))
