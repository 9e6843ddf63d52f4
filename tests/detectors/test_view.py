"""Views: what is said of small pictures, and that a strip does not become gigantic."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadSetting
from fauxlens.detectors import view
from fauxlens.detectors.view import (
    centre_crop,
    normalised,
    resized_crop,
    shorter_side_size,
    snug_side,
    tile_spans,
    tiled,
)


def toy(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("shape", [(2, 6000), (6000, 3), (1, 1)])
def test_a_strip_is_not_made_gigantic(shape: tuple[int, int]) -> None:
    pixels = toy(*shape)
    tracemalloc.start()
    (one,) = resized_crop(pixels, shorter_side_size(pixels.shape, 256), 224, normalised).views
    assert one.tensor().shape == (3, 224, 224)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(90, 2000), (700, 60), (300, 411)])
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_the_part_is_that_of_the_whole(shape: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    smooth = np.asarray(view.resize(view.resize(pixels, (12, 12), "box"), shape, "bicubic"))
    size = shorter_side_size(shape, 256)
    (wanted,) = (one.tensor() for one in resized_crop(smooth, size, 224, normalised, kind).views)
    monkeypatch.setattr(view, "MOST_RESIZED", 0)
    (found,) = (one.tensor() for one in resized_crop(smooth, size, 224, normalised, kind).views)
    # Less than a pixel's shift of a smooth picture.
    assert float((found - wanted).abs().mean()) < 0.02
    assert float((found.roll(5, -1) - wanted).abs().mean()) > float((found - wanted).abs().mean())


def test_what_is_said_of_small_and_thin_pictures() -> None:
    assert centre_crop(toy(224, 224), 224, normalised).notes == ()
    assert centre_crop(toy(1, 1), 224, normalised).notes == (
        "smaller than 224 pixels: a border of one colour around it",
    )
    assert centre_crop(toy(1, 600), 224, normalised).notes == (
        "smaller than 224 pixels: a border of one colour around it",
        "only the middle 224x1 of 600x1 was seen",
    )


def test_a_read_only_picture_is_shown_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    pixels = np.frombuffer(bytes(3), np.uint8).reshape(1, 1, 3)
    assert torch.equal(normalised(pixels, (0, 0, 0), (1, 1, 1)), torch.zeros(3, 1, 1))
    assert not recwarn.list


def test_margins_need_an_overlap() -> None:
    with pytest.raises(BadSetting, match="margins"):
        tiled(toy(10, 10), 8, 4, normalised, margin=2)


@pytest.mark.parametrize("length", [1025, 1200, 1930, 3000, 4000, 4001, 20_000])
def test_snug_tiles_cover_with_the_overlap_and_are_as_many(length: int) -> None:
    side, overlap, step = 1024, 128, 16
    snug = snug_side(length, side, overlap, step)
    spans = tile_spans(length, snug, overlap, step)
    assert len(spans) == len(tile_spans(length, side, overlap, step))
    assert spans[0][0] == 0
    assert sum(spans[-1]) == length
    assert all(offset % step == 0 for offset, _ in spans)
    assert all(one[0] + one[1] - other[0] >= overlap for one, other in itertools.pairwise(spans))
    assert snug <= side
    assert sum(rows for _, rows in spans) <= length + len(spans) * (overlap + 2 * step)
