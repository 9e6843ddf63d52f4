"""Pictures at their own size, as long as they are neither too large nor too small."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadSetting
from fauxlens.detectors.view import budget_size, native_within, normalised
from fauxlens.images.resample import resize

PICTURE = np.random.default_rng(5).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_within_the_budget_nothing_is_done() -> None:
    prepared = native_within(PICTURE, 40 * 60, normalised)
    (view,) = prepared.views
    assert (view.shape, view.inside, prepared.notes) == ((40, 60), None, ())
    assert torch.equal(view.tensor(), normalised(PICTURE))


def test_above_it_the_picture_is_resized_and_that_is_said() -> None:
    prepared = native_within(PICTURE, 600, normalised)
    (view,) = prepared.views
    assert view.shape == (20, 30)
    assert prepared.notes == ("resized from 60x40 to 30x20",)
    assert torch.equal(view.tensor(), normalised(resize(PICTURE, (20, 30), "bilinear")))


def test_a_short_side_is_padded_and_that_is_said() -> None:
    prepared = native_within(PICTURE[:10], 600, normalised, smallest=16, fill=-7.0)
    (view,) = prepared.views
    tensor = view.tensor()
    assert (view.shape, view.inside) == ((16, 60), (10, 60))
    assert prepared.notes == ("padded from 60x10 to 60x16",)
    assert torch.equal(tensor[:, :10], normalised(PICTURE[:10]))
    assert bool((tensor[:, 10:] == -7.0).all())


@pytest.mark.parametrize("size", [(3000, 4000), (4001, 2999), (10, 1_000_000), (1_000_000, 10), (1025, 1025)])
def test_the_budget_is_kept_and_no_side_is_too_short(size: tuple[int, int]) -> None:
    rows, columns = budget_size(*size, 2**20, smallest=32)
    assert min(rows, columns) >= 32
    assert 0.99 * 2**20 < rows * columns <= 2**20


def test_the_shape_of_the_picture_is_kept() -> None:
    rows, columns = budget_size(3000, 4000, 2**20)
    assert columns / rows == pytest.approx(4 / 3, rel=2e-3)


def test_a_budget_below_the_smallest_picture_is_refused() -> None:
    with pytest.raises(BadSetting, match="budget"):
        native_within(PICTURE, 255, normalised, smallest=16)
