"""Every rule on a drawn case it must pass and one it must not, and on what it has no word for."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fauxlens.core.errors import BadSetting, BadShape, UnknownName
from fauxlens.forge.judge import JUDGES
from fauxlens.forge.judge.judge import Exhibit, Ruling, load_judge, passes
from fauxlens.images.degrade import parse_chain
from fauxlens.images.resample import resize
from photo_like import photo_like

OFFLINE = sorted(set(JUDGES) - {"brisque-package", "clip-score", "dreamsim"})


def blob(height=160, width=208, x=104, y=80, radius=46):
    down, across = np.mgrid[0:height, 0:width]
    return ((across - x) / 1.3) ** 2 + (down - y) ** 2 < radius**2


def block():
    """A region that fills its own tight crop."""
    mask = np.zeros((160, 208), bool)
    mask[24:136, 40:170] = True
    return mask


def spliced(original, made, mask):
    return np.where(mask[..., None], made, original)


def exhibit(made, *, original=None, mask=None, **more):
    original = photo_like(0) if original is None else original
    mask = blob() if mask is None else mask
    return Exhibit(original=original, forged=spliced(original, made, mask), mask=mask, **more)


def degraded(chain, pixels):
    return parse_chain(chain).apply(pixels, seed=4).pixels


def telea():
    return exhibit(cv2.inpaint(photo_like(0), blob().astype(np.uint8), 3, cv2.INPAINT_TELEA))


def brighter():
    return exhibit(np.clip(photo_like(0).astype(int) + 90, 0, 255).astype(np.uint8))


def other_content():
    return exhibit(photo_like(7))


def wallpaper():
    tile = photo_like(7)[:24, :24]
    return exhibit(np.tile(tile, (7, 9, 1))[:160, :208])


def kept(mask_value=True):
    """A background: all but a textured thing."""
    return ~blob(x=50, y=60, radius=20) if mask_value else blob(x=50, y=60, radius=20)


def background(*, scale=None, mirrored=False):
    """A new background, with the kept thing in it a second time at `scale`."""
    original, made = photo_like(0), photo_like(9)
    if scale is not None:
        patch, shape = original[36:84, 20:80], kept(False)[36:84, 20:80]
        if mirrored:
            patch, shape = patch[:, ::-1], shape[:, ::-1]
        size = (round(60 * scale), round(48 * scale))
        patch = cv2.resize(np.ascontiguousarray(patch), size, interpolation=cv2.INTER_AREA)
        shape = cv2.resize(shape.astype(np.uint8), size) > 0
        made[80 : 80 + size[1], 120 : 120 + size[0]][shape] = patch[shape]
    return exhibit(made, original=original, mask=kept(), mask_type="background")


def touched_outside():
    one = other_content()
    forged = one.forged.copy()
    forged[2, 3, 1] = abs(int(forged[2, 3, 1]) - 5)
    return replace(one, forged=forged)


def grey():
    made = photo_like(7).mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    return exhibit(made)


CASES = [
    (
        "brisque",
        other_content,
        lambda: exhibit(degraded("blur:sigma=4", photo_like(0)), mask=np.ones((160, 208), bool)),
    ),
    ("local-brisque", other_content, lambda: exhibit(degraded("blur:sigma=4", photo_like(0)), mask=block())),
    ("seam", telea, brighter),
    ("flat", other_content, lambda: exhibit(np.full((160, 208, 3), 120, np.uint8))),
    ("flat", other_content, wallpaper),
    ("colour", other_content, grey),
    ("duplicate", background, lambda: background(scale=1.0)),
    ("duplicate", background, lambda: background(scale=0.8, mirrored=True)),
    ("integrity", other_content, touched_outside),
    ("changed", other_content, lambda: exhibit(degraded("noise:deviation=0.5", photo_like(0)))),
]


@pytest.mark.parametrize(("name", "good", "bad"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)])
def test_both_verdicts(name, good, bad):
    judge = load_judge(name)
    yes, no = judge.rule(good()), judge.rule(bad())
    assert yes.passed is True, yes
    assert no.passed is False, no
    assert yes.judge == no.judge == name
    assert yes.value != no.value


@pytest.mark.parametrize("name", OFFLINE)
def test_nobody_has_seen_it_before(name):
    """The answer does not depend on what was asked before."""
    first = load_judge(name)
    alone = [load_judge(name).rule(make()) for make in (wallpaper, background, telea)]
    assert [first.rule(make()) for make in (wallpaper, background, telea)] == alone
    assert [first.rule(make()) for make in (telea, background, wallpaper)][::-1] == alone


def odd_exhibits():
    constant, noise = np.full((48, 48, 3), 77, np.uint8), photo_like(2, 48, 48)
    black_to_white = np.zeros((48, 48, 3), np.uint8)
    black_to_white[:, 24:] = 255
    some = np.zeros((48, 48), bool)
    some[8:40, 8:40] = True
    dot, nothing, everything = np.zeros_like(some), np.zeros_like(some), np.ones_like(some)
    dot[20, 20] = True
    ring = some.copy()
    ring[12:36, 12:36] = False
    one_grey = noise.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    pictures = {"constant": constant, "noise": noise, "edge": black_to_white, "grey": one_grey}
    masks = {"some": some, "dot": dot, "nothing": nothing, "everything": everything, "ring": ring, "rest": ~dot}
    for first, original in pictures.items():
        for second, forged in pictures.items():
            for third, mask in masks.items():
                yield f"{first}-{second}-{third}", original, forged, mask
    for side in ((16, 16), (16, 40), (1, 1), (3, 90), (7, 7)):
        mask = np.zeros(side, bool)
        mask[: (side[0] + 1) // 2] = True
        yield f"{side}", photo_like(1, 96, 96)[: side[0], : side[1]], photo_like(3, 96, 96)[: side[0], : side[1]], mask


@pytest.mark.parametrize("name", OFFLINE)
def test_a_judge_keeps_its_promises(name):
    judge = load_judge(name)
    assert judge.about
    for what, original, forged, mask in odd_exhibits():
        for mask_type, variant in (("background", "spliced"), ("stuff", "regenerated")):
            ruling = judge.rule(
                Exhibit(original=original, forged=forged, mask=mask, mask_type=mask_type, variant=variant)
            )
            assert ruling.value is None or (type(ruling.value) is float and math.isfinite(ruling.value)), what
            assert ruling.passed is None or type(ruling.passed) is bool, what
            assert ruling.value is not None or (ruling.passed is None and ruling.note), what
            assert Ruling(**json.loads(json.dumps(ruling.as_json(), allow_nan=False))) == ruling
            assert ruling.rule


@pytest.mark.parametrize("name", ["seam", "flat", "colour", "duplicate", "local-brisque", "integrity"])
def test_an_untouched_region_is_no_alarm(name):
    for seed in range(4):
        mask = kept() if name == "duplicate" else blob()
        same = exhibit(photo_like(seed), original=photo_like(seed), mask=mask, mask_type="background")
        assert load_judge(name).rule(same).passed is not False


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("local-brisque", "too small"),
        ("flat", "fewer than"),
        ("colour", "too small"),
        ("seam", "too short"),
    ],
)
def test_a_region_too_small_to_say(name, fragment):
    mask = np.zeros((160, 208), bool)
    mask[50:53, 60:62] = True
    ruling = load_judge(name).rule(exhibit(photo_like(7), mask=mask))
    assert (ruling.value, ruling.passed) == (None, None)
    assert fragment in ruling.note


def test_a_large_soft_photo_is_no_blurred_one():
    photo = photo_like(0)
    large = resize(photo, (480, 624), "bicubic")
    small, shrunk, soft = (
        load_judge("brisque", {"longest": longest}).rule(
            Exhibit(original=one, forged=one, mask=np.eye(*one.shape[:2]) > 0)
        )
        for longest, one in ((208, photo), (208, large), (624, large))
    )
    assert abs(shrunk.value - small.value) < 8
    assert soft.value > small.value + 15


def test_grey_photos_have_no_colour_to_lose():
    photo = photo_like(0).mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    ruling = load_judge("colour").rule(exhibit(photo_like(7), original=photo))
    assert ruling.passed is None
    assert "no colours" in ruling.note


def test_duplicates_are_looked_for_in_backgrounds_only():
    ruling = load_judge("duplicate").rule(replace(background(scale=1.0), mask_type="stuff"))
    assert ruling.passed is None
    assert "backgrounds only" in ruling.note


def test_a_flock_is_no_duplicate():
    """The original holds the thing twice already, so its being there twice says nothing."""
    twice = background(scale=1.0).forged
    ruling = load_judge("duplicate").rule(exhibit(twice, original=twice, mask=kept(), mask_type="background"))
    assert ruling.value > 0.9
    assert ruling.passed


def test_integrity_of_regenerated_pictures_is_reported_only():
    ruling = load_judge("integrity").rule(replace(touched_outside(), variant="regenerated"))
    assert ruling.passed is None
    assert 0 < ruling.value <= 5
    assert "SSIM" in ruling.note
    assert load_judge("integrity", {"limit": 5}).rule(touched_outside()).passed


def test_nothing_changed():
    same = exhibit(photo_like(0))
    assert load_judge("changed").rule(same) == Ruling("changed", 1.0, False, "below 0.98")
    assert load_judge("integrity").rule(same).value == 0


def test_the_line_of_an_untouched_region_is_its_own():
    assert load_judge("seam").rule(exhibit(photo_like(0))).value <= 1.0


def test_a_flat_original_cannot_be_flattened():
    sky = np.full((160, 208, 3), (120, 160, 220), np.uint8)
    assert load_judge("flat").rule(exhibit(sky // 2, original=sky)).passed


def test_settings_out_of_range_are_refused():
    for name in OFFLINE:
        for field in vars(load_judge(name).settings):
            kind = type(getattr(load_judge(name).settings, field))
            with pytest.raises(BadSetting, match="out of range"):
                load_judge(name, {field: kind(-1)})
    with pytest.raises(BadSetting, match="out of range"):
        load_judge("seam", {"limit": float("nan")})
    with pytest.raises(UnknownName):
        load_judge("seem")


def test_an_exhibit_of_parts_that_do_not_fit():
    with pytest.raises(BadShape, match="do not fit"):
        Exhibit(original=photo_like(0), forged=photo_like(0)[:-1], mask=blob())
    with pytest.raises(BadShape, match="do not fit"):
        Exhibit(original=photo_like(0), forged=photo_like(0), mask=blob().astype(np.uint8))


def test_who_cannot_say_stops_nothing():
    silent, no = Ruling("a", None, None, "rule", "why"), Ruling("b", 2.0, False, "at most 1")
    assert passes([silent])
    assert not passes([silent, no])
