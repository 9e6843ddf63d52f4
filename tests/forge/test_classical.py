"""Telea and Navier-Stokes through the contract of creation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drawn import drawn_picture, smooth_picture
from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.method import Request, load_method

NAMES = ("telea", "navier-stokes")


def asymmetric(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[3 : height // 2, : width // 3] = True
    return mask


@pytest.mark.parametrize("name", NAMES)
def test_only_the_hole_changes_and_nothing_of_it_is_used(name: str) -> None:
    photo, mask = drawn_picture(40, 56), asymmetric(40, 56)
    method = load_method(name)
    made = method.fill(Request(pixels=photo, mask=mask, seed=1))
    assert np.array_equal(made.pixels[~mask], photo[~mask])
    assert (made.pixels[mask] != photo[mask]).any()
    other = photo.copy()
    other[mask] = 255 - other[mask]
    assert np.array_equal(method.fill(Request(pixels=other, mask=mask, seed=1)).pixels, made.pixels)
    json.dumps(made.parameters)


@pytest.mark.parametrize("name", NAMES)
def test_a_slope_is_continued(name: str) -> None:
    photo = smooth_picture(48, 64)
    mask = np.zeros((48, 64), dtype=bool)
    mask[20:30, 24:40] = True
    made = load_method(name).fill(Request(pixels=photo, mask=mask, seed=0)).pixels
    assert np.abs(made[mask].astype(int) - photo[mask]).max() <= 12


def test_the_two_and_their_radii_differ() -> None:
    photo, mask = drawn_picture(40, 56), asymmetric(40, 56)
    request = Request(pixels=photo, mask=mask, seed=1)
    fills = [load_method(name, {"radius": radius}).fill(request).pixels for name in NAMES for radius in (2, 9)]
    assert all((one != other).any() for number, one in enumerate(fills) for other in fills[:number])


def test_a_radius_out_of_range_is_refused() -> None:
    with pytest.raises(BadSetting, match="radius is out of range"):
        load_method("telea", {"radius": 0})
