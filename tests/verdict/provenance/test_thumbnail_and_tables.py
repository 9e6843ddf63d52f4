"""Thumbnails that disagree with their picture, and whose tables a JPEG was saved with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import origin_files as made
from fauxlens.images.encode import encode_jpeg
from fauxlens.images.quality import zigzag
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.provenance.jpeg_tables import _ROBIDOUX
from image_files import joined, saved, segments, with_segments
from photo_like import photo_like


def small(pixels: Pixels, width: int = 160, height: int | None = None) -> Pixels:
    size = (width, height or round(width * pixels.shape[0] / pixels.shape[1]))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def with_thumbnail(pixels: Pixels, thumbnail: Pixels, orientation: int = 1) -> bytes:
    tags = {0x010F: "Toy", 0x0112: orientation}
    return made.exif_in_jpeg(encode_jpeg(pixels, 92), made.tiff_block(tags, thumbnail=encode_jpeg(thumbnail, 80)))


def checks(ask, data: bytes) -> list[str]:
    return [one.check for one in ask(data).evidence]


@pytest.mark.parametrize("seed", range(2))
def test_a_thumbnail_of_the_same_picture_is_no_evidence(ask, seed):
    pixels = photo_like(seed, 240, 360)
    sharp = cv2.resize(pixels, (160, 107), interpolation=cv2.INTER_NEAREST)
    bars = np.zeros((120, 160, 3), np.uint8)
    bars[6:113] = small(pixels, 160, 107)
    brighter = np.clip(small(pixels).astype(np.float32) * 1.15 + 8, 0, 255).astype(np.uint8)
    for thumbnail in (small(pixels), np.asarray(sharp, dtype=np.uint8), bars, brighter):
        assert "thumbnail" not in checks(ask, with_thumbnail(pixels, thumbnail))
    tall = np.ascontiguousarray(np.rot90(pixels))
    barred = np.ascontiguousarray(np.rot90(bars))
    assert "thumbnail" not in checks(ask, with_thumbnail(tall, barred))
    # Turned for the viewer, by orientation or by a program that left the thumbnail as it was.
    assert "thumbnail" not in checks(ask, with_thumbnail(pixels, small(pixels), orientation=6))
    assert "thumbnail" not in checks(ask, with_thumbnail(tall, small(pixels)))


def test_a_changed_place_is_found_and_shown(find):
    pixels = photo_like(5, 240, 360)
    changed = pixels.copy()
    changed[50:150, 190:300] = photo_like(7, 240, 360)[:100, :110]
    found = find(with_thumbnail(changed, small(pixels)), "thumbnail")
    assert (found.leans, found.strength) == ("edited", "weak")
    assert "differs from the picture in places" in found.sentence
    assert found.map is not None
    assert found.map.shape == (240, 360)
    inside, outside = found.map[65:135, 205:285].mean(), found.map[:, :150].mean()
    assert inside > 3 * outside
    assert 0 <= found.map.min() <= found.map.max() <= 1


def test_a_cropped_picture_and_another_one(find):
    pixels = photo_like(5, 240, 360)
    cropped = np.ascontiguousarray(pixels[:, 22:315])
    assert find(with_thumbnail(cropped, small(pixels)), "thumbnail").leans == "edited"
    other = find(with_thumbnail(pixels, small(photo_like(7, 240, 360))), "thumbnail")
    assert "another picture" in other.sentence
    assert other.map is None


def test_a_thumbnail_that_is_none_is_left_alone(ask):
    for odd in (b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"x" * 40, b"no picture"):
        data = made.exif_in_jpeg(saved("JPEG"), made.tiff_block({0x010F: "Toy"}, thumbnail=odd))
        assert "thumbnail" not in checks(ask, data)


def with_tables(luma: list[int], chroma: list[int]) -> bytes:
    """A JPEG whose tables say something else than its data; nobody looks at the pixels here."""
    tables = b"\0" + bytes(luma) + b"\1" + bytes(chroma)
    rest = [part for part in segments(saved("JPEG")) if part[0] != 0xDB]
    return joined([rest[0], (0xDB, tables), *rest[1:]])


@pytest.mark.parametrize("quality", [1, 50, 75, 95, 100])
def test_standard_tables(find, quality):
    found = find(saved("JPEG", quality=quality), "jpeg_tables")
    assert (found.leans, found.strength) == ("none", "context")
    assert (found.details["family"], found.details["quality"]) == ("common library", quality)
    assert f"at quality {quality}." in found.sentence


def test_other_tables(find):
    # Measured at quality 80 with the library whose table it is.
    robidoux = [max(1, (40 * entry + 50) // 100) for row in _ROBIDOUX for entry in row]
    assert robidoux[:8] == [6, 6, 6, 7, 10, 15, 22, 34]
    ordered = [robidoux[place] for place in zigzag()]
    found = find(with_tables(ordered, ordered), "jpeg_tables")
    assert (found.details["family"], found.details["quality"]) == ("mozjpeg", 80)
    flat = find(with_tables([7] * 64, [9] * 64), "jpeg_tables")
    assert (flat.details["family"], flat.details["quality"]) == ("own tables", None)
    mixed = saved("JPEG", qtables=None, quality=90)
    header = find(mixed, "jpeg_tables").details
    other = find(with_tables(header["luma"], [9] * 64), "jpeg_tables")
    assert other.details["family"] == "common library, mixed"
    assert "another origin" in other.sentence


def test_save_for_web_leaves_its_mark(find):
    data = with_segments(saved("JPEG"), (0xEC, b"Ducky\0\1\0\4\0\0\0\x3c\0\0"))
    assert "Save for Web" in find(data, "jpeg_tables").sentence
