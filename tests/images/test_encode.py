"""The one JPEG setting: tables, sampling and file form are checked with Pillow's own parser."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from drawn import drawn_mask, drawn_picture, smooth_picture
from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.images.encode import (
    SUBSAMPLINGS,
    decode_own,
    encode_jpeg,
    encode_png,
    encode_webp,
    jpeg_roundtrip,
    webp_roundtrip,
)
from fauxlens.images.shapes import Pixels

# JPEG Annex K, in natural order.
LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""


def ijg_table(base: str, quality: int) -> list[int]:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [min(max((int(entry) * scale + 50) // 100, 1), 255) for entry in base.split()]


def markers(data: bytes) -> list[int]:
    """The segment markers up to the start of scan."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        found.append(data[at + 1])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found


@pytest.mark.parametrize("quality", range(1, 101))
def test_tables_follow_the_ijg_rule(quality: int) -> None:
    with Image.open(io.BytesIO(encode_jpeg(drawn_picture(8, 8), quality))) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        assert picture.quantization == {0: ijg_table(LUMA, quality), 1: ijg_table(CHROMA, quality)}


@pytest.mark.parametrize(("subsampling", "code"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
@pytest.mark.parametrize("quality", [20, 90, 100])
def test_subsampling_is_what_was_asked(subsampling: str, code: int, quality: int) -> None:
    with Image.open(io.BytesIO(encode_jpeg(drawn_picture(), quality, subsampling))) as picture:
        assert JpegImagePlugin.get_sampling(picture) == code
        assert picture.size == (56, 40)


def test_the_file_is_baseline_jfif_with_default_huffman_tables_and_nothing_else() -> None:
    data = encode_jpeg(drawn_picture())
    # APP0, two tables, SOF0 (baseline), four Huffman tables: no Exif, no profile, no comment, no progression.
    assert markers(data) == [0xE0, 0xDB, 0xDB, 0xC0, 0xC4, 0xC4, 0xC4, 0xC4]
    assert data[6:11] == b"JFIF\x00"
    # The standard luma DC table (Annex K.3) starts with these counts; an optimised one would depend on the picture.
    assert bytes([0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]) in data


def test_equal_pixels_give_equal_bytes() -> None:
    picture = drawn_picture()
    for encode in (encode_jpeg, encode_webp, encode_png):
        assert encode(picture) == encode(picture[:, ::-1][:, ::-1].copy())
    assert encode_webp(picture, 10, lossless=True) == encode_webp(picture, 90, lossless=True)


def test_lossless_is_lossless() -> None:
    picture, mask = drawn_picture(), drawn_mask()
    assert np.array_equal(decode_own(encode_png(picture)), picture)
    assert np.array_equal(decode_own(encode_webp(picture, lossless=True)), picture)
    assert np.array_equal(webp_roundtrip(picture, lossless=True), picture)
    assert np.array_equal(webp_roundtrip(picture, lossless=True, swapped=True), picture)
    with Image.open(io.BytesIO(encode_png(mask))) as read:
        assert np.array_equal(np.asarray(read), mask)


def test_round_trips_decode_what_was_encoded() -> None:
    picture = drawn_picture()
    assert np.array_equal(jpeg_roundtrip(picture, 70, "4:2:2"), decode_own(encode_jpeg(picture, 70, "4:2:2")))
    assert np.array_equal(webp_roundtrip(picture, 70), decode_own(encode_webp(picture, 70)))


def test_better_settings_lose_less() -> None:
    picture = drawn_picture()

    def loss(after: np.ndarray) -> float:
        return float(np.abs(after.astype(int) - picture).mean())

    losses = [loss(jpeg_roundtrip(picture, quality)) for quality in (10, 50, 90)]
    assert losses == sorted(losses, reverse=True)
    chroma = [loss(jpeg_roundtrip(picture, 95, subsampling)) for subsampling in SUBSAMPLINGS]
    assert chroma == sorted(chroma)
    losses = [loss(webp_roundtrip(picture, quality)) for quality in (10, 90)]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("roundtrip", [jpeg_roundtrip, webp_roundtrip])
def test_swapped_looks_right_but_codes_red_as_blue(roundtrip: Callable[..., Pixels]) -> None:
    picture = smooth_picture()
    swapped, plain = roundtrip(picture, 60, swapped=True), roundtrip(picture, 60)
    assert np.abs(swapped.astype(int) - picture).mean() < 4
    assert not np.array_equal(swapped, plain)
    # The same as exchanging red and blue by hand around a codec that gets its colours right.
    by_hand = roundtrip(picture[..., ::-1], 60)[..., ::-1]
    assert np.abs(swapped.astype(int) - by_hand).mean() < np.abs(swapped.astype(int) - plain).mean()
    assert np.abs(swapped.astype(int) - by_hand).max() <= 2


@pytest.mark.parametrize("quality", [0, 101, -5, True, 50.0, "50"])
def test_bad_quality_is_refused(quality: Any) -> None:
    for call in (encode_jpeg, encode_webp, jpeg_roundtrip, webp_roundtrip):
        with pytest.raises(BadSetting, match=r"quality .*wanted 1 to 100"):
            call(drawn_picture(), quality)
    with pytest.raises(BadSetting, match="quality"):
        jpeg_roundtrip(drawn_picture(), quality, swapped=True)


def test_bad_subsampling_is_refused() -> None:
    for swapped in (False, True):
        with pytest.raises(BadSetting, match=r"subsampling called '4:1:0'.*There are: 4:4:4, 4:2:2, 4:2:0"):
            jpeg_roundtrip(drawn_picture(), 90, "4:1:0", swapped=swapped)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadShape, match=r"too large for a JPEG.*65500"):
        encode_jpeg(np.zeros((1, 65501, 3), np.uint8))
    for swapped in (False, True):
        with pytest.raises(BadShape, match=r"too large for a WebP.*16383"):
            webp_roundtrip(np.zeros((16384, 1, 3), np.uint8), swapped=swapped)
    for call in (encode_jpeg, encode_webp, jpeg_roundtrip):
        with pytest.raises(BadShape, match=r"wanted \(H, W, 3\) uint8"):
            call(drawn_mask())
    with pytest.raises(BadShape, match="uint8"):
        encode_png(np.zeros((4, 4, 3)))


def test_our_own_pictures_are_no_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn_picture()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(encode_png(picture)))
    assert np.array_equal(decode_own(encode_png(picture)), picture)
    assert jpeg_roundtrip(picture).shape == picture.shape
    with pytest.raises(BadShape, match="too large to be read back"):
        webp_roundtrip(picture)
