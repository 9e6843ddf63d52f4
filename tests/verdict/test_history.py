"""Signs of laundering and what is left of traces, on pictures whose past is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fauxlens.images.degrade import parse_chain
from fauxlens.images.encode import encode_jpeg, encode_png, encode_webp, jpeg_roundtrip
from fauxlens.images.picture import Picture, decode
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.history import history_of
from fauxlens.verdict.left import evidence_left
from fauxlens.verdict.past import past_of
from landscapes import landscape
from photo_like import photo_like

SIZE = (240, 320)


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return photo_like(1, *SIZE)


def signs(picture: Picture) -> dict[str, Evidence]:
    found = history_of(picture)
    assert all(one.leans == "laundered" for one in found)
    # Only a screenshot that three things speak for decides anything.
    assert all((one.strength == "strong") == (one.details.get("hints", 0) == 3) for one in found)
    assert all(one.sentence.endswith(".") and one.limit.endswith(".") for one in found)
    return {one.check: one for one in found}


def saved(pixels: Pixels, quality: int, *, top: int = 0, left: int = 0) -> Pixels:
    return np.ascontiguousarray(jpeg_roundtrip(pixels, quality)[top:, left:])


@pytest.mark.parametrize("seed", range(2))
def test_a_photo_without_a_past_shows_no_sign(seed: int) -> None:
    for pixels in (photo_like(seed, *SIZE), landscape(seed, *SIZE)):
        assert history_of(decode(encode_png(pixels))) == ()
        for quality in (75, 92):
            assert history_of(decode(encode_jpeg(pixels, quality))) == ()


def test_a_photo_saved_twice_is_told_from_one_saved_once(photo: Pixels) -> None:
    for first, second in ((70, 90), (85, 95), (60, 75)):
        told = signs(decode(encode_jpeg(saved(photo, first), second)))
        assert set(told) == {"double_jpeg"}
        assert abs(told["double_jpeg"].details["earlier_quality"] - first) <= 1
        assert told["double_jpeg"].details["quality"] == second


def test_a_grid_that_was_moved_is_found_where_it_is(photo: Pixels) -> None:
    for top, left, first, second in ((3, 5, 70, 95), (6, 1, 60, 90), (4, 4, 75, 92), (1, 0, 65, 95)):
        told = signs(decode(encode_jpeg(saved(photo, first, top=top, left=left), second)))
        assert set(told) == {"shifted_grid"}
        assert told["shifted_grid"].details["offset"] == [(8 - top) % 8, (8 - left) % 8]
        assert abs(told["shifted_grid"].details["earlier_quality"] - first) <= 2


def test_a_jpeg_that_became_something_else_is_told(photo: Pixels) -> None:
    for top, left, quality in ((0, 0, 75), (2, 7, 90), (0, 0, 95)):
        told = signs(decode(encode_png(saved(photo, quality, top=top, left=left))))
        assert set(told) == {"jpeg_before"}
        assert told["jpeg_before"].details["offset"] == [(8 - top) % 8, (8 - left) % 8]
        assert abs(told["jpeg_before"].details["earlier_quality"] - quality) <= 2
        assert ("cropped" in told["jpeg_before"].sentence) == (top > 0)
    assert "jpeg_before" in signs(Picture(saved(photo, 80)))
    assert "jpeg_before" not in signs(decode(encode_webp(photo, 80)))


def test_a_turned_jpeg_keeps_its_own_grid(photo: Pixels) -> None:
    data = encode_jpeg(photo[:236, :315], 75)
    exif = Image.Exif()
    exif[0x0112] = 6
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    turned = decode(data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])
    assert (turned.height, turned.width) == (315, 236)
    # Looked at as it is shown, the file's own grid would lie elsewhere and pass for another one.
    assert history_of(turned) == ()
    assert "jpeg_before" in signs(Picture(turned.pixels))


@pytest.mark.parametrize(("factor", "kind"), [(1.5, "bicubic"), (1.5, "bilinear"), (1.25, "bicubic"), (2.0, "nearest")])
def test_enlarging_is_found_with_its_factor(photo: Pixels, factor: float, kind: str) -> None:
    height, width = (round(side * factor) for side in SIZE)
    told = signs(decode(encode_png(resize(photo, (height, width), kind))))
    assert set(told) == {"resampled"}
    assert min(abs(one - factor) for one in told["resampled"].details["factors"]) < 0.03


def test_enlarging_is_found_after_a_good_jpeg(photo: Pixels) -> None:
    large = resize(photo, (360, 480), "bicubic")
    assert "resampled" in signs(decode(encode_jpeg(large, 95)))


def test_screenshots_need_two_hints() -> None:
    shown = landscape(0, 300, 640)
    phone = np.full((1136, 640, 3), 24, np.uint8)
    phone[400:700] = shown
    told = signs(decode(encode_png(phone)))
    assert set(told) == {"screenshot"}
    assert told["screenshot"].details["screen_size"] is True
    assert "1136" in told["screenshot"].sentence
    assert told["screenshot"].strength == "strong"
    # Two hints are told, and decide nothing.
    two = signs(decode(encode_png(phone[:1000])))
    assert two["screenshot"].strength == "weak"
    # The size of a screen alone is no sign: photos have it, too.
    full = landscape(0, 768, 1024)
    assert "screenshot" not in signs(decode(encode_jpeg(full, 90)))
    # Nor is a PNG alone, nor are over-exposed places.
    white = landscape(0, 256, 352)
    white[64:200] = 255
    assert history_of(decode(encode_png(white))) == ()


def test_moire_is_a_narrow_slanted_peak() -> None:
    photo = photo_like(1, 300, 400)
    y, x = np.mgrid[:300, :400]
    lines = 1 + 0.06 * np.sin(2 * np.pi * (0.23 * x + 0.11 * y))
    told = signs(Picture(np.clip(photo * lines[..., None], 0, 255).astype(np.uint8)))
    assert set(told) == {"recapture"}
    found = told["recapture"].details
    assert (abs(found["across"]), abs(found["down"])) == pytest.approx((0.23, 0.11), abs=0.005)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 9), (8, 8), (20, 33), (64, 64)])
def test_every_size_has_a_history_and_something_left(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for picture in (decode(encode_png(pixels)), decode(encode_jpeg(pixels, 70)), Picture(np.zeros_like(pixels))):
        history_of(picture)
        left = evidence_left(picture)
        assert 0 <= left.share <= 1
        assert left.share < 1
        assert left.reason


def test_less_is_left_the_lower_the_quality(photo: Pixels) -> None:
    shares = [evidence_left(decode(encode_jpeg(photo, quality))).share for quality in (10, 30, 50, 60, 75, 85, 95, 100)]
    # What JPEG does to the finest detail wavers a little beside it.
    assert np.diff(shares).min() > -0.005
    assert shares[-1] > 3 * shares[0]
    assert shares[-1] == 1.0
    low = evidence_left(decode(encode_jpeg(photo, 60)))
    assert not low.is_enough
    assert low.reason == "saved as JPEG of quality 60"
    assert evidence_left(decode(encode_jpeg(photo, 90))).is_enough
    whole = evidence_left(decode(encode_png(photo)))
    assert (whole.share, whole.is_enough) == (1.0, True)


def test_an_earlier_quality_counts_where_it_shows(photo: Pixels) -> None:
    for picture in (decode(encode_png(saved(photo, 50))), decode(encode_jpeg(saved(photo, 50), 95))):
        left = evidence_left(picture)
        assert left.reason.startswith("saved as JPEG of quality ")
        assert left.reason.endswith(" before")
        assert not left.is_enough


def test_less_is_left_the_stronger_the_blur(photo: Pixels) -> None:
    shares = [evidence_left(Picture(photo)).share]
    shares += [evidence_left(Picture(cv2.GaussianBlur(photo, (0, 0), sigma))).share for sigma in (0.8, 1.2, 4.0)]
    assert shares[0] == 1
    assert shares[0] > shares[1] > shares[2]
    assert max(shares[2:]) < 0.2
    enlarged = parse_chain("down_up:scale=0.25").apply(photo, seed=0).pixels
    left = evidence_left(Picture(enlarged))
    assert not left.is_enough
    assert "no fine detail" in left.reason


def test_little_is_left_in_a_thumbnail() -> None:
    left = evidence_left(Picture(photo_like(0, 40, 60)))
    assert (left.is_enough, left.reason) == (False, "smaller than 96 pixels")


def test_a_past_that_was_looked_for_already_is_not_looked_for_again(photo: Pixels) -> None:
    picture = decode(encode_jpeg(saved(photo, 70), 90))
    past = past_of(picture)
    assert [one.as_json() for one in history_of(picture, past)] == [one.as_json() for one in history_of(picture)]
    assert evidence_left(picture, past) == evidence_left(picture)
