from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.forge.compose import compose
from landscapes import landscape


def _hole(height: int = 96, width: int = 128) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[20:70, 30:100] = True
    return mask


@given(feather=st.integers(0, 64), seed=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_a_splice_changes_nothing_outside_its_mask(feather: int, seed: int) -> None:
    photo, made, mask = landscape(seed), landscape(seed + 100), _hole()
    done = compose(photo, made, mask, feather=feather)
    assert np.array_equal(done.pixels[~mask], photo[~mask])
    assert np.array_equal(done.mask, mask)


def test_a_hard_splice_is_the_made_frame_inside() -> None:
    photo, made, mask = landscape(1), landscape(2), _hole()
    done = compose(photo, made, mask)
    assert np.array_equal(done.pixels[mask], made[mask])


def test_a_feather_fades_in_from_the_border() -> None:
    photo = np.full((64, 64, 3), 10, np.uint8)
    made = np.full((64, 64, 3), 210, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[8:56, 8:56] = True
    row = compose(photo, made, mask, feather=8).pixels[32, :, 0].astype(int)
    assert row[7] == 10
    assert all(row[k] < row[k + 1] for k in range(7, 15))
    assert row[16] == 210  # beyond the feather all of it is the made frame
    assert abs(int(row[11]) - (10 + 200 * (1 - np.cos(np.pi * 4 / 9)) / 2)) <= 1


def test_regenerated_keeps_the_whole_frame_and_both_say_what_changed_outside() -> None:
    photo, mask = landscape(1), _hole()
    made = photo.copy()
    made[~mask] += 2  # wraps nowhere: the landscape stays below 254 there
    made[mask] = 255 - made[mask]
    whole = compose(photo, made, mask, variant="regenerated")
    spliced = compose(photo, made, mask)
    assert np.array_equal(whole.pixels, made)
    expected = np.abs(made[~mask].astype(int) - photo[~mask]).mean()
    assert whole.changed_outside == spliced.changed_outside == pytest.approx(expected)
    assert whole.changed_inside == spliced.changed_inside > 10


@pytest.mark.parametrize("mask", [np.zeros((96, 128), bool), np.ones((96, 128), bool)])
def test_a_mask_of_nothing_or_of_all_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(BadShape, match=r"empty mask|whole frame"):
        compose(landscape(1), landscape(2), mask)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadShape, match="do not fit"):
        compose(landscape(1), landscape(2, 64, 64), _hole())
    with pytest.raises(BadShape, match="do not fit"):
        compose(landscape(1), landscape(2), _hole().astype(np.uint8))
    with pytest.raises(BadSetting, match="variant"):
        compose(landscape(1), landscape(2), _hole(), variant="pasted")
    with pytest.raises(BadSetting, match="feather"):
        compose(landscape(1), landscape(2), _hole(), feather=65)
