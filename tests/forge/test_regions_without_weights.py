"""What every provider owes that needs no file of weights: masks at the photo's size, within limits, the same again."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.embedded import KINDS, Embedded, EmbeddedSettings
from fauxlens.forge.perceive.masks import box_of
from fauxlens.forge.perceive.provider import Provider, load_provider
from fauxlens.forge.perceive.random_shapes import RandomSettings
from fauxlens.forge.region import Photo, Region
from fauxlens.images.shapes import Pixels

SHAPES = {
    "kinds": ("blob", "brush", "boxes", "superpixels"),
    "mask_types": ("region", "stuff", "background"),
    "count": 2,
}
PROVIDERS = (("embedded", {}), ("random", {}), ("random", SHAPES))


def landscape(height: int = 150, width: int = 200, seed: int = 0) -> Pixels:
    """Blue sky, a dark ridge, green texture below, and a red disc in the middle."""
    chance = np.random.default_rng(seed)
    frame = np.zeros((height, width, 3), np.float32)
    rows, columns = np.indices((height, width))
    ridge = 0.45 * height + 0.06 * height * np.sin(columns / width * 9.0)
    frame[:] = (110, 160, 230)
    below = rows > ridge
    frame[below] = (60, 120, 40)
    leaves = cv2.resize(chance.normal(0, 38, (height // 2, width // 2)).astype(np.float32), (width, height))
    frame[below] += leaves[below][:, None]
    disc = (rows - 0.55 * height) ** 2 + (columns - 0.5 * width) ** 2 < (0.17 * height) ** 2
    frame[disc] = (200, 30, 40)
    frame += chance.normal(0, 2, frame.shape)
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


ODD: dict[str, Pixels] = {
    "grey": np.repeat(landscape()[..., :1], 3, axis=2),
    "constant": np.full((90, 120, 3), 128, np.uint8),
    "black": np.zeros((90, 120, 3), np.uint8),
    "two halves": np.concatenate([np.zeros((60, 90, 3), np.uint8), np.full((60, 90, 3), 255, np.uint8)]),
    "noise": np.random.default_rng(3).integers(0, 256, (96, 96, 3)).astype(np.uint8),
    "one dot": np.pad(np.full((2, 2, 3), 255, np.uint8), ((60, 60), (60, 60), (0, 0))),
    "64 px": landscape(64, 64),
    "tiny": landscape(12, 12),
    "one pixel": np.zeros((1, 1, 3), np.uint8),
    "ribbon": landscape(40, 600),
    "tower": landscape(600, 40),
    "larger than the working size": landscape(700, 500),
}


@pytest.mark.parametrize(("name", "given"), PROVIDERS)
@pytest.mark.parametrize("kind", ODD)
def test_what_every_region_owes(name: str, given: dict[str, object], kind: str) -> None:
    provider, photo = load_provider(name, given), Photo(kind, ODD[kind])
    found = provider.regions(photo, 7)
    again = load_provider(name, given).regions(photo, 7)
    assert len(found) == len(again)
    for one, other in zip(found, again, strict=True):
        assert one.mask.shape == photo.pixels.shape[:2]
        assert one.mask.any()
        assert not one.mask.all()
        np.testing.assert_array_equal(one.mask, other.mask)
        assert limits(provider).admits(one.mask, one.mask_type)
        assert 0.0 <= one.score <= 1.0
        assert type(one.score) is float
        assert one.provider == name
        assert one.category
        assert one.box == box_of(~one.mask if one.mask_type == "background" else one.mask)
        assert json.loads(json.dumps(dict(one.facts))) == one.facts
    for mask_type in {one.mask_type for one in found}:
        scores = [one.score for one in found if one.mask_type == mask_type]
        assert scores == sorted(scores, reverse=True)


def limits(provider: Provider) -> object:
    return provider.settings.limits if isinstance(provider, Embedded) else provider.settings.areas


@pytest.fixture(scope="module")
def seen() -> tuple[Region, ...]:
    return tuple(load_provider("embedded").regions(Photo("1", landscape(300, 400)), 0))


def test_sky_and_leaves_are_found_where_they_are(seen: tuple[Region, ...]) -> None:
    height, width = 300, 400
    rows, columns = np.indices((height, width))
    above = rows <= 0.45 * height + 0.06 * height * np.sin(columns / width * 9.0)
    disc = (rows - 0.55 * height) ** 2 + (columns - 0.5 * width) ** 2 < (0.17 * height) ** 2
    by_name = {one.category: one for one in seen if one.mask_type == "stuff"}
    assert overlap(by_name["sky"].mask, above & ~disc) > 0.95
    assert overlap(by_name["vegetation"].mask, ~above & ~disc) > 0.9
    assert by_name["sky"].category_id == 157
    assert by_name["vegetation"].category_id is None


def test_the_thing_in_the_middle_is_kept(seen: tuple[Region, ...]) -> None:
    height, width = 300, 400
    rows, columns = np.indices((height, width))
    disc = (rows - 0.55 * height) ** 2 + (columns - 0.5 * width) ** 2 < (0.17 * height) ** 2
    background = next(one for one in seen if one.mask_type == "background")
    assert background.category == "object"
    assert overlap(~background.mask, disc) > 0.9


def test_borders_follow_the_photo_and_not_the_superpixels(seen: tuple[Region, ...]) -> None:
    columns = np.arange(400)
    ridge = 0.45 * 300 + 0.06 * 300 * np.sin(columns / 400 * 9.0)
    sky = next(one for one in seen if one.category == "sky").mask
    away_from_disc = np.abs(columns - 200) > 70
    border = sky.sum(axis=0)
    assert float(np.abs(border - ridge)[away_from_disc].mean()) < 2.0


def test_places_and_things_can_be_left_out() -> None:
    photo = Photo("1", landscape(120, 160))
    found = Embedded(EmbeddedSettings(kinds=("sky",), things=False)).regions(photo, 0)
    assert {one.category for one in found} <= {"sky"}
    assert all(one.mask_type == "stuff" for one in found)


def test_threads_and_the_state_of_chance_change_nothing() -> None:
    photo = Photo("1", landscape(200, 260, seed=5))
    threads = cv2.getNumThreads()
    try:
        found = []
        for number in (1, 2):
            cv2.setNumThreads(number)
            cv2.setRNGSeed(number)
            found.append(load_provider("embedded").regions(photo, number))
    finally:
        cv2.setNumThreads(threads)
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_another_seed_draws_another_shape() -> None:
    photo = Photo("1", landscape(120, 160))
    provider = load_provider("random", SHAPES)
    one, other = provider.regions(photo, 1), provider.regions(photo, 2)
    assert len(one) == len(other) == 6
    assert all((a.mask != b.mask).any() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", SHAPES["kinds"])
def test_shapes_come_near_the_wanted_area(kind: str) -> None:
    photo = Photo("1", landscape(240, 320))
    provider = load_provider("random", {"kinds": [kind], "count": 12})
    found = provider.regions(photo, 4)
    assert len(found) == 12
    assert all(one.facts["kind"] == kind and one.mask_type == "region" for one in found)
    # Boxes may lie on each other, and a stroke covers more than was asked before it ends.
    misses = [abs(one.area - one.facts["wanted_area"]) for one in found]
    assert float(np.median(misses)) < 0.06
    assert len({round(one.area, 3) for one in found}) > 6


def test_shapes_under_the_names_of_places_and_things() -> None:
    photo = Photo("1", landscape(120, 160))
    found = load_provider("random", {"mask_types": ["stuff", "background"]}).regions(photo, 1)
    assert [one.mask_type for one in found] == ["stuff", "background"]
    assert found[1].area >= 0.4


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("embedded", {"kinds": ["moon"]}, "no such kind of place"),
        ("embedded", {"side": 5000}, "side out of range"),
        ("embedded", {"threshold": 1.0}, "threshold out of range"),
        ("random", {"kinds": ["star"]}, "kinds of random shapes"),
        ("random", {"kinds": []}, "kinds of random shapes"),
        ("random", {"mask_types": ["sky"]}, "mask_types of random shapes"),
        ("random", {"count": 0}, "count out of range"),
        ("random", {"areas": {"region": [0.5, 0.1]}}, "areas of region"),
    ],
)
def test_settings_are_checked(name: str, given: dict[str, object], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        load_provider(name, given)


def test_defaults() -> None:
    assert RandomSettings().mask_types == ("region",)
    assert EmbeddedSettings().kinds == KINDS
