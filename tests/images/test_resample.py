"""The one resampler: bit-defined, honest about sizes, the same for pictures and masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import drawn_mask, drawn_picture
from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.images.resample import (
    KINDS,
    longest_size,
    resize,
    resize_longest,
    resize_shortest,
    scaled_size,
    shortest_size,
)

SIDES = st.integers(1, 60)


def test_box_by_a_whole_factor_is_the_exact_average() -> None:
    picture = drawn_picture(40, 56)
    blocks = picture.reshape(10, 4, 14, 4, 3).astype(np.float64)
    # Pillow rounds after each of its two passes, so the last digit may differ by one from the exact average.
    assert np.abs(resize(picture, (10, 14), "box") - blocks.mean(axis=(1, 3))).max() <= 1.0
    rows = picture.reshape(20, 2, 56, 3).astype(np.int64).sum(axis=1)
    assert np.array_equal(resize(picture, (20, 56), "box"), (rows + 1) // 2)


def test_nearest_takes_existing_pixels() -> None:
    picture = drawn_picture(40, 56)
    assert np.array_equal(resize(picture, (80, 112), "nearest"), picture.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(resize(picture, (20, 28), "nearest"), picture[1::2, 1::2])


def test_bilinear_halving_is_the_triangle_filter() -> None:
    row = np.arange(0, 160, 10, dtype=np.uint8)[None, :]
    # Antialiased: halving spreads the triangle over four pixels with weights 1 3 3 1.
    padded = row[0].astype(np.int64)
    inner = [(padded[i - 1] + 3 * padded[i] + 3 * padded[i + 1] + padded[i + 2]) / 8 for i in range(2, 12, 2)]
    assert np.abs(resize(row, (1, 8), "bilinear")[0, 1:6] - inner).max() <= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_size_changes_nothing_and_shares_nothing(kind: str) -> None:
    picture = drawn_picture()
    same = resize(picture, picture.shape[:2], kind)
    assert np.array_equal(same, picture)
    assert not np.shares_memory(same, picture)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_picture_stays_flat(kind: str, level: int) -> None:
    flat = np.full((31, 47, 3), level, np.uint8)
    for size in ((7, 9), (64, 100)):
        assert (resize(flat, size, kind) == level).all()


def test_a_mask_keeps_its_two_values_and_a_picture_is_bicubic() -> None:
    mask, picture = drawn_mask(), drawn_picture()
    assert set(np.unique(resize(mask, (23, 31)))) == {0, 255}
    assert set(np.unique(resize(mask, (23, 31), "bicubic"))) > {0, 255}
    assert np.array_equal(resize(picture, (23, 31)), resize(picture, (23, 31), "bicubic"))


def test_views_are_resized_like_copies() -> None:
    view = drawn_picture()[::-1, 3:40:2]
    assert np.array_equal(resize(view, (9, 9)), resize(view.copy(), (9, 9)))


def test_a_channel_is_resized_on_its_own() -> None:
    picture = drawn_picture()
    planes = [resize(picture[..., i], (17, 23), "lanczos") for i in range(3)]
    assert np.array_equal(resize(picture, (17, 23), "lanczos"), np.stack(planes, axis=2))


def test_opencv_lanczos_is_the_reference_s_and_not_ours() -> None:
    import cv2

    picture = drawn_picture()
    expected = cv2.resize(picture, (20, 10), interpolation=cv2.INTER_LANCZOS4)
    assert np.array_equal(resize(picture, (10, 20), "opencv-lanczos4"), expected)
    assert not np.array_equal(resize(picture, (10, 20), "lanczos"), expected)


@given(SIDES, SIDES, SIDES)
def test_sizes_keep_the_ratio(height: int, width: int, side: int) -> None:
    for size, reference in ((longest_size, max), (shortest_size, min)):
        new = size(height, width, side)
        assert reference(new) == side
        factor = side / reference(height, width)
        assert all(
            abs(after - before * factor) <= 0.5 or after == 1
            for after, before in zip(new, (height, width), strict=True)
        )
        smaller = size(height, width, side, enlarge=False)
        assert smaller == (new if side < reference(height, width) else (height, width))


def test_longest_and_shortest() -> None:
    picture = drawn_picture(40, 56)
    assert resize_longest(picture, 28).shape == (20, 28, 3)
    assert resize_shortest(picture, 20).shape == (20, 28, 3)
    assert np.array_equal(resize_longest(picture, 100, enlarge=False), picture)
    assert np.array_equal(resize_shortest(picture, 40, enlarge=False), picture)
    assert resize_longest(drawn_mask(40, 56), 28).shape == (20, 28)
    assert resize_longest(np.zeros((1, 1000, 3), np.uint8), 10).shape == (1, 10, 3)
    assert scaled_size(1, 1, 0.1) == (1, 1)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), bool),
        [[1, 2], [3, 4]],
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(BadShape, match=r"wanted \(H, W, 3\) or \(H, W\) uint8, got"):
        resize(pixels, (2, 2))


def test_bad_sizes_and_kinds_are_refused() -> None:
    picture = drawn_picture()
    with pytest.raises(BadSetting, match="height is out of range"):
        resize(picture, (0, 3))
    with pytest.raises(BadSetting, match="width must be a whole number"):
        resize(picture, (3, 2.5))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="Did you mean 'bicubic'"):
        resize(picture, (3, 3), "bicubik")
    with pytest.raises(BadSetting, match="scale is out of range"):
        scaled_size(3, 3, float("nan"))
