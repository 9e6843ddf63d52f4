"""PatchMatch: where pixels come from, and that the search finds what is there to be found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drawn import drawn_picture
from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.classical import inpainted
from fauxlens.forge.create.exemplar import Exemplar, ExemplarSettings, filled_by_patches
from fauxlens.forge.create.method import Request, load_method
from fauxlens.images.shapes import Pixels


def hole(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : height // 2, width // 3 : width // 2] = True
    return mask


def tiles(height: int, width: int) -> Pixels:
    """A texture of period 8 in both directions: every missing pixel has exact copies elsewhere."""
    one = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.tile(one, (height // 8 + 1, width // 8 + 1, 1))[:height, :width]


def test_a_repeated_texture_is_restored() -> None:
    photo, mask = tiles(72, 96), hole(72, 96)
    made = load_method("exemplar").fill(Request(pixels=photo, mask=mask, seed=3)).pixels
    assert np.array_equal(made[~mask], photo[~mask])
    assert (made[mask] == photo[mask]).all(axis=1).mean() > 0.95


def test_every_pixel_is_one_of_the_known() -> None:
    # Colours that occur once each in the photo: the last vote takes pixels, so a fill has no colour that is not known.
    y, x = np.mgrid[0:64, 0:80]
    photo = np.stack([3 * x, 3 * y, (x + y) // 2], axis=2).astype(np.uint8)
    mask = hole(64, 80)
    made, facts = filled_by_patches(photo, mask, ExemplarSettings(), 1)
    known = {tuple(colour) for colour in photo[~mask].tolist()}
    lost = {tuple(colour) for colour in photo[mask].tolist()}
    filled = {tuple(colour) for colour in made[mask].tolist()}
    assert filled <= known
    assert not filled & lost
    assert [level["size"] for level in facts["levels"]][-1] == [64, 80]


def test_nothing_of_the_hole_is_used_and_the_seed_decides() -> None:
    photo, mask = drawn_picture(56, 72), hole(56, 72)
    other = photo.copy()
    other[mask] = 255 - other[mask]
    method = load_method("exemplar")
    one, again = (method.fill(Request(pixels=pixels, mask=mask, seed=7)) for pixels in (photo, other))
    assert np.array_equal(one.pixels, again.pixels)
    assert one.parameters == again.parameters
    json.dumps(one.parameters)
    elsewhere = method.fill(Request(pixels=photo, mask=mask, seed=8))
    assert not np.array_equal(one.pixels, elsewhere.pixels)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 90), (61, 33)])
def test_odd_sizes_and_holes_at_the_rim(height: int, width: int) -> None:
    photo = drawn_picture(height, width)
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 2 :, width // 2 :] = True
    made = load_method("exemplar").fill(Request(pixels=photo, mask=mask, seed=0)).pixels
    assert made.shape == photo.shape
    assert np.array_equal(made[~mask], photo[~mask])
    known = {tuple(colour) for colour in photo[~mask].tolist()}
    assert {tuple(colour) for colour in made[mask].tolist()} <= known


def test_where_almost_nothing_is_known() -> None:
    photo = drawn_picture(48, 48)
    mask = np.ones((48, 48), dtype=bool)
    mask[20:25, 20:25] = False  # no patch of seven fits, one of five does
    made = load_method("exemplar").fill(Request(pixels=photo, mask=mask, seed=0))
    assert np.array_equal(made.pixels[~mask], photo[~mask])
    assert made.parameters["levels"][-1]["patches"] > 0
    mask[:] = True
    mask[20, 20] = False
    alone = load_method("exemplar").fill(Request(pixels=photo, mask=mask, seed=0))
    # There is no patch to take, at any size: the first fill is all there is.
    assert np.array_equal(alone.pixels, inpainted(photo, mask))
    assert all(level["patches"] == 0 for level in alone.parameters["levels"])


def test_above_its_limit_matches_are_carried_up() -> None:
    photo, mask = tiles(96, 160), hole(96, 160)
    made, facts = filled_by_patches(photo, mask, ExemplarSettings(searched_side=80), 2)
    assert [level["error"] is None for level in facts["levels"]] == [False] * (len(facts["levels"]) - 1) + [True]
    known = {tuple(colour) for colour in photo[~mask].tolist()}
    assert {tuple(colour) for colour in made[mask].tolist()} <= known


@pytest.mark.parametrize("wrong", [{"patch": 4}, {"step": 0}, {"searched_side": 8}, {"rounds": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadSetting, match="out of range"):
        load_method("exemplar", wrong)
    assert isinstance(load_method("exemplar"), Exemplar)
