"""Classical maps: each shows what it says, on pictures whose changed part is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from fauxlens.core.errors import UnknownName
from fauxlens.images.encode import encode_jpeg, encode_png, jpeg_roundtrip
from fauxlens.images.picture import Picture, decode
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.maps import MAPS, maps_of
from fauxlens.verdict.maps.upsampling_spectrum import CLEAR
from photo_like import photo_like

HEIGHT, WIDTH = 256, 384
PART = np.zeros((HEIGHT, WIDTH), dtype=bool)
PART[80:184, 120:256] = True


def pasted(host: Pixels, part: Pixels, where: NDArray[np.bool_] = PART) -> Pixels:
    return np.where(where[..., None], part, host)


def one(picture: Picture, name: str) -> Evidence:
    (found,) = maps_of(picture, [name])
    assert (found.check, found.strength, found.leans) == (name, "context", "none")
    return found


def auc(found: Evidence, where: NDArray[np.bool_] = PART) -> float:
    assert found.map is not None
    assert found.map.shape == where.shape
    return float(roc_auc_score(where.ravel(), found.map.ravel()))


@pytest.fixture(scope="module")
def host() -> Pixels:
    return photo_like(1, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def donor() -> Pixels:
    return photo_like(2, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def saved_around(host: Pixels, donor: Pixels) -> Picture:
    """A JPEG into which something never saved was pasted, saved again."""
    return decode(encode_jpeg(pasted(jpeg_roundtrip(host, 70), donor), 92))


@pytest.fixture(scope="module")
def once(host: Pixels) -> Picture:
    return decode(encode_jpeg(host, 90))


def test_error_level_is_higher_where_nothing_was_saved_before(saved_around: Picture, once: Picture) -> None:
    assert auc(one(saved_around, "error_level")) > 0.85
    assert 0.3 < auc(one(once, "error_level")) < 0.7


def test_error_level_is_lower_in_a_part_that_was_saved_at_a_low_quality(host: Pixels, donor: Pixels) -> None:
    picture = Picture(pasted(host, jpeg_roundtrip(donor, 60)))
    assert auc(one(picture, "error_level")) < 0.15


def test_ghost_shows_the_part_and_its_quality(host: Pixels, donor: Pixels, once: Picture) -> None:
    for quality in (55, 74):
        picture = decode(encode_jpeg(pasted(host, jpeg_roundtrip(donor, quality)), 94))
        found = one(picture, "jpeg_ghost")
        assert auc(found) > 0.95
        assert abs(found.details["quality"] - quality) <= 1
        assert found.details["stands_out"] > 0.5
        assert f"quality {found.details['quality']}" in found.sentence
    none = one(once, "jpeg_ghost")
    assert none.details["stands_out"] < 0.2
    assert none.sentence.startswith("No quality stands out")


def test_double_quantisation_shows_what_was_saved_once(saved_around: Picture) -> None:
    found = one(saved_around, "double_quantisation")
    assert auc(found) > 0.98
    assert found.map is not None
    assert (found.map[PART] > 0.5).mean() > 0.9
    assert (found.map[~PART] > 0.5).mean() < 0.05
    assert found.details["earlier_quality"] == 70
    assert "about 70" in found.sentence


def test_double_quantisation_says_why_there_is_no_map(once: Picture, host: Pixels) -> None:
    for picture, why in ((once, "earlier saving"), (decode(encode_png(host)), "no JPEG"), (Picture(host), "no JPEG")):
        found = one(picture, "double_quantisation")
        assert found.map is None
        assert why in found.sentence


def test_maps_of_a_turned_photo_lie_where_they_are_shown(saved_around: Picture) -> None:
    straight = one(saved_around, "double_quantisation")
    stored = Image.fromarray(saved_around.pixels)
    for orientation in (3, 5, 6, 7, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        # The same bytes with another note on how to hold them: the JPEG is not written anew.
        data = encode_jpeg(pasted(jpeg_roundtrip(photo_like(1, HEIGHT, WIDTH), 70), photo_like(2, HEIGHT, WIDTH)), 92)
        block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
        turned = decode(data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])
        assert turned.pixels.shape[:2] == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))
        where = decode(encode_png((PART * 255).astype(np.uint8))).pixels
        shown = np.asarray(Image.fromarray(where).transpose(_TRANSPOSE[orientation]))[..., 0] > 0
        found = one(turned, "double_quantisation")
        assert found.details == straight.details
        assert auc(found, shown) > 0.98
        assert np.array_equal(turned.pixels, np.asarray(stored.transpose(_TRANSPOSE[orientation])))


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def test_noise_level_is_lower_in_a_smoothed_part_and_higher_in_a_noisy_one(host: Pixels) -> None:
    smoothed = one(Picture(pasted(host, cv2.GaussianBlur(host, (0, 0), 1.0))), "noise_level")
    assert auc(smoothed, ~PART) > 0.95
    noisy = host + np.random.default_rng(0).normal(0, 8, host.shape)
    rough = one(Picture(pasted(host, np.clip(noisy, 0, 255).astype(np.uint8))), "noise_level")
    assert auc(rough) > 0.95


def test_noise_level_measures_grain() -> None:
    grain = np.random.default_rng(0).normal(128, 5, (160, 160, 1)).repeat(3, axis=2)
    found = one(Picture(np.clip(np.rint(grain), 0, 255).astype(np.uint8)), "noise_level")
    assert found.details["median"] == pytest.approx(5, abs=0.25)


def test_spectrum_has_a_peak_at_the_half_after_enlarging_by_two(host: Pixels) -> None:
    large = host[: HEIGHT // 2, : WIDTH // 2].repeat(2, axis=0).repeat(2, axis=1)
    found = one(Picture(large), "upsampling_spectrum")
    strongest = found.details["peaks"][:2]
    assert {(abs(peak["across"]), abs(peak["down"])) for peak in strongest} == {(0.5, 0.0), (0.0, 0.5)}
    assert min(peak["strength"] for peak in strongest) > 6
    assert "0.500 across" in found.sentence
    assert found.map is not None
    side = found.details["side"]
    assert found.map.shape == (side, side)
    assert found.map[0, side // 2] == found.map[side // 2, 0] == 1.0


def test_spectrum_finds_a_checkerboard_and_leaves_a_photo_alone(host: Pixels) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    board = np.where((x + y) % 2, 2, -2)[..., None]
    found = one(Picture(np.clip(host.astype(int) + board, 0, 255).astype(np.uint8)), "upsampling_spectrum")
    strongest = found.details["peaks"][0]
    assert (abs(strongest["across"]), abs(strongest["down"]), strongest["kind"]) == (0.5, 0.5, "pattern")
    alone = one(Picture(host), "upsampling_spectrum")
    assert all(peak["strength"] < CLEAR for peak in alone.details["peaks"])
    assert alone.sentence == "Nothing fine repeats over the whole picture."
    grid = one(decode(encode_jpeg(host, 70)), "upsampling_spectrum")
    assert all(peak["of_the_grid"] for peak in grid.details["peaks"] if peak["strength"] >= CLEAR)
    assert grid.sentence == "Nothing fine repeats over the whole picture, but for blocks of eight."


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 9), (8, 8), (15, 64), (33, 17), (41, 43), (64, 1000)])
@pytest.mark.parametrize("kind", ["jpeg", "png", "flat"])
def test_every_size_gets_every_map_or_a_sentence(size: tuple[int, int], kind: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    if kind == "flat":
        pixels[:] = 200
    picture = decode(encode_jpeg(pixels, 80) if kind == "jpeg" else encode_png(pixels))
    found = maps_of(picture)
    assert [each.check for each in found] == list(MAPS)
    for each in found:
        assert each.sentence.endswith(".")
        assert each.limit.endswith(".")
        if each.map is not None:
            assert each.map.dtype == np.float32
            assert np.isfinite(each.map).all()
            assert each.map.min() >= 0
            assert each.map.max() <= 1
            assert each.check == "upsampling_spectrum" or each.map.shape == size


def test_a_wrong_name_lists_the_right_ones(once: Picture) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'noise_level'"):
        maps_of(once, ["noise_levels"])
