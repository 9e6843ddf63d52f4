"""Pieces of another photo: where they come from, how they are matched, what the seed decides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drawn import drawn_picture, smooth_picture
from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.method import Fill, Request, load_method
from fauxlens.images.shapes import Pixels


def unique_colours(height: int, width: int) -> Pixels:
    """No colour twice, so that a pixel says where it comes from."""
    number = np.arange(height * width).reshape(height, width)
    return np.stack([number % 256, number // 256, np.full_like(number, 9)], axis=2).astype(np.uint8)


def spliced(host: Pixels, mask: np.ndarray, donor: Pixels, seed: int = 4, **settings: object) -> Fill:
    return load_method("splice", settings).fill(Request(pixels=host, mask=mask, seed=seed, donor=donor))


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((48, 64), dtype=bool)
    mask[10:30, 20:50] = True
    mask[10:15, 20:25] = False
    return mask


def test_an_unscaled_piece_is_the_donors_own_pixels(mask: np.ndarray) -> None:
    host, donor = drawn_picture(48, 64), unique_colours(70, 90)
    made = spliced(host, mask, donor, match="none", scaled_share=0.0, flipped_share=0.0)
    top, left = made.parameters["corner"]
    assert np.array_equal(made.pixels[~mask], host[~mask])
    assert np.array_equal(made.pixels[mask], donor[top : top + 20, left : left + 30][mask[10:30, 20:50]])
    assert not made.parameters["resized"]
    assert not made.parameters["mirrored"]


def test_a_flipped_piece(mask: np.ndarray) -> None:
    host, donor = drawn_picture(48, 64), unique_colours(70, 90)
    made = spliced(host, mask, donor, match="none", scaled_share=0.0, flipped_share=1.0)
    top, left = made.parameters["corner"]
    assert np.array_equal(made.pixels[mask], donor[top : top + 20, left : left + 30][:, ::-1][mask[10:30, 20:50]])


def test_seeds_decide_place_scale_and_flip(mask: np.ndarray) -> None:
    host, donor = drawn_picture(48, 64), drawn_picture(200, 300)
    seen = [spliced(host, mask, donor, seed) for seed in range(24)]
    again = spliced(host, mask, donor, 5)
    assert np.array_equal(again.pixels, seen[5].pixels)
    assert again.parameters == seen[5].parameters
    assert len({tuple(made.parameters["corner"]) for made in seen}) > 20
    assert {made.parameters["flipped"] for made in seen} == {True, False}
    scales = {made.parameters["scale"] for made in seen}
    assert 1.0 in scales
    assert len(scales) > 6
    assert all(0.6 <= scale <= 1.6 for scale in scales)
    json.dumps(again.parameters)


def test_a_smaller_donor_is_enlarged_and_only_then_mirrored(mask: np.ndarray) -> None:
    host = drawn_picture(48, 64)
    a_little = spliced(host, mask, drawn_picture(16, 24), scaled_share=0.0)
    assert a_little.parameters["scale"] == 1.25
    assert not a_little.parameters["mirrored"]
    far_less = spliced(host, mask, drawn_picture(9, 9), scaled_share=0.0)
    assert far_less.parameters["scale"] == 1.6
    assert far_less.parameters["mirrored"]
    assert np.array_equal(far_less.pixels[~mask], host[~mask])


def test_lab_matching_brings_the_surroundings_mean(mask: np.ndarray) -> None:
    host, donor = np.full((48, 64, 3), 60, np.uint8), np.full((80, 80, 3), 200, np.uint8)
    host = host + np.random.default_rng(0).integers(0, 20, host.shape, dtype=np.uint8)
    donor = donor + np.random.default_rng(1).integers(0, 20, donor.shape, dtype=np.uint8)
    plain = spliced(host, mask, donor, match="none").pixels[mask].mean()
    matched = spliced(host, mask, donor).pixels[mask]
    assert plain > 200
    assert abs(matched.mean() - host[~mask].mean()) < 3
    assert 0.6 < matched.std() / host[~mask].std() < 1.6


def test_what_the_hole_held_is_not_looked_at(mask: np.ndarray) -> None:
    host, donor = drawn_picture(48, 64), smooth_picture(80, 80)
    other = host.copy()
    other[mask] = 255 - other[mask]
    for match in ("lab", "border", "none"):
        assert np.array_equal(
            spliced(host, mask, donor, match=match).pixels[mask], spliced(other, mask, donor, match=match).pixels[mask]
        )


def test_border_matching_meets_the_host_along_the_outline(mask: np.ndarray) -> None:
    host, donor = smooth_picture(48, 64), smooth_picture(90, 120)[::-1].copy()

    def step(made: Fill) -> float:
        across = np.abs(made.pixels[9, 30:50].astype(int) - made.pixels[10, 30:50]).mean()
        return float(across + np.abs(made.pixels[29, 20:50].astype(int) - made.pixels[30, 20:50]).mean())

    assert step(spliced(host, mask, donor, match="border")) < 0.2 * step(spliced(host, mask, donor, match="none"))
    # Inside, the donor's own slopes are kept but for what is smooth.
    assert (spliced(host, mask, donor, match="border").pixels[mask] != host[mask]).any()


def test_it_has_to_have_a_donor(mask: np.ndarray) -> None:
    with pytest.raises(BadSetting, match="takes from another photo"):
        load_method("splice").fill(Request(pixels=drawn_picture(48, 64), mask=mask, seed=0))


@pytest.mark.parametrize(
    "wrong", [{"match": "hsv"}, {"scaled_share": 1.5}, {"smallest_scale": 2.0}, {"largest_gain": 0.5}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting):
        load_method("splice", wrong)
