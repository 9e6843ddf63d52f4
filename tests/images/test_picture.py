"""Decoding is defined: golden pixels, orientation, profiles, transparency; hostile files are refused at little cost."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import sys
import threading
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from drawn import drawn_mask, drawn_picture, smooth_picture
from fauxlens.core.errors import BadSetting, BadShape, UnreadableImage
from fauxlens.images.limits import Limits
from fauxlens.images.picture import Picture, decode, read_picture
from image_files import (
    bmp,
    chunk,
    exif,
    grey_profile,
    icc_profile,
    png,
    png_of,
    rgb_tiff,
    riff,
    riff_chunks,
    saved,
    segment,
    tiff,
    turned,
    with_chunks,
    with_segments,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PIXELS = drawn_picture(21, 34)
WIDE = icc_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2, "Drawn wide")
UNPROFILED_CMYK = "CMYK without a usable profile; converted by the plain formula"
ON_WHITE = "transparent; laid on white"
HIGH_BYTE = "16 bits a channel; the high byte was kept"


def heic(pixels: np.ndarray, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow_heif is not installed (extra: formats)")
    pillow_heif.register_heif_opener()
    return saved("HEIF", pixels, **options)


def reason_of(data: bytes, **options: Any) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data, **options)
    return caught.value.reason


# Golden


def _rewriter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rewrite_decoding", GOLDEN / "rewrite_decoding.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REWRITER = _rewriter()
FILES = REWRITER.files()
RECORDED = json.loads((GOLDEN / "decoding.json").read_text(encoding="utf-8"))


def test_every_golden_case_is_recorded() -> None:
    assert sorted(FILES) == sorted(RECORDED["cases"])


@pytest.mark.parametrize("name", sorted(FILES))
def test_golden(name: str) -> None:
    data, library = FILES[name]
    wanted = RECORDED["cases"][name]
    got = REWRITER.summary(decode(data), library)
    if not library or REWRITER.versions() == RECORDED["versions"]:
        assert got == wanted
        return
    assert (got["shape"], got["notes"]) == (wanted["shape"], wanted["notes"])
    assert np.abs(np.subtract(got["thumbnail"], wanted["thumbnail"])).max() <= 3


def test_lossless_containers_give_the_drawn_pixels() -> None:
    picture = drawn_picture()
    for name in ("png/rgb", "png/rgb-16", "bmp", "bmp/top-down", "tiff/lzw", "webp/lossless", "png/orientation-1"):
        assert np.array_equal(decode(FILES[name][0]).pixels, picture), name
    grey = np.repeat(picture[..., :1], 3, axis=2)
    assert np.array_equal(decode(FILES["png/grey"][0]).pixels, grey)
    assert np.array_equal(decode(FILES["png/grey-16"][0]).pixels, grey)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF", "HEIF"])
def test_orientation_is_applied(container: str, orientation: int) -> None:
    stored = smooth_picture(24, 40)
    if container == "TIFF":
        data = rgb_tiff(stored, orientation=orientation)
    elif container == "HEIF":
        data = heic(stored, exif=exif(orientation), quality=95)
    else:
        options = {"lossless": True} if container == "WEBP" else {} if container == "PNG" else {"quality": 95}
        data = saved(container, stored, exif=exif(orientation), **options)
    picture = decode(data)
    wanted = turned(stored, orientation)
    assert picture.pixels.shape == wanted.shape
    if container in ("PNG", "WEBP", "TIFF"):
        assert np.array_equal(picture.pixels, wanted)
    else:
        assert np.abs(picture.pixels.astype(int) - wanted).mean() < 4
    # The decoder of HEIC turns by itself, from the file's own boxes.
    said = (f"turned upright (orientation {orientation})",) if orientation > 1 and container != "HEIF" else ()
    assert picture.notes == said


def test_unreadable_exif_is_a_note_and_the_picture_upright() -> None:
    for block, why in (
        (b"MM\0*", "outside the block"),
        (b"nothing", "no TIFF header"),
        (exif(9), "its orientation is 9"),
    ):
        plain = riff_chunks(saved("WEBP", PIXELS, lossless=True))
        flags = struct.pack("<L", 0x08) + struct.pack("<L", 33)[:3] + struct.pack("<L", 20)[:3]
        for data in (
            with_segments(saved("JPEG", PIXELS), (0xE1, b"Exif\0\0" + block)),
            with_chunks(saved("PNG", PIXELS), (b"eXIf", block)),
            riff((b"VP8X", flags), *plain, (b"EXIF", block)),
        ):
            picture = decode(data)
            assert picture.pixels.shape == PIXELS.shape
            assert len(picture.notes) == 1
            assert why in picture.notes[0]
            assert picture.notes[0].endswith("the picture is taken as upright")
    picture = decode(rgb_tiff(PIXELS, orientation=9))
    assert np.array_equal(picture.pixels, PIXELS)
    assert "its orientation is 9" in picture.notes[0]


@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_with_unreadable_exif_is_still_a_picture(orientation: int) -> None:
    block = Image.Exif()
    block[271] = "drawn"
    block[274] = orientation
    data = saved("AVIF", PIXELS, exif=block.tobytes())
    at = data.index(b"II*\0" if b"II*\0" in data else b"MM\0*")
    broken = data[:at] + b"garbage!" + data[at + 8 :]
    with pytest.raises((SyntaxError, ValueError)):  # Pillow's answer, by version of libavif
        Image.open(io.BytesIO(broken), formats=["AVIF"])
    assert decode(broken).facts == decode(data).facts
    assert np.array_equal(decode(broken).pixels, decode(data).pixels)


# Profiles


def test_a_wide_profile_is_converted_and_said() -> None:
    for container in ("PNG", "TIFF", "WEBP"):
        options: dict[str, Any] = {"lossless": True} if container == "WEBP" else {}
        data = saved(container, PIXELS, icc_profile=WIDE, **options)
        picture = decode(data)
        assert picture.notes == ("converted to sRGB from the profile 'Drawn wide'",)
        stored = decode(data, colour="stored")
        assert stored.notes == ("the ICC profile was not applied, as asked",)
        assert np.array_equal(stored.pixels, PIXELS)
        # Saturated green leaves sRGB, so red falls; grey stays where it is.
        assert not np.array_equal(picture.pixels, PIXELS)
    flat = np.stack([np.full((4, 4), level, np.uint8) for level in (200, 200, 200)], axis=2)
    assert np.abs(decode(saved("PNG", flat, icc_profile=WIDE)).pixels.astype(int) - 200).max() <= 2
    red = np.zeros((4, 4, 3), np.uint8) + np.array([150, 30, 30], np.uint8)
    assert decode(saved("PNG", red, icc_profile=WIDE)).pixels[0, 0, 0] > 160


def test_srgb_is_left_as_it_is() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = decode(saved("PNG", PIXELS, icc_profile=own))
    assert picture.notes == ()
    assert np.array_equal(picture.pixels, PIXELS)


@pytest.mark.parametrize("profile", [b"nothing", WIDE[:100], WIDE[:36] + b"xxxx" + WIDE[40:], bytes(600)])
def test_a_broken_profile_is_a_note(profile: bytes) -> None:
    picture = decode(saved("PNG", PIXELS, icc_profile=profile))
    assert np.array_equal(picture.pixels, PIXELS)
    assert len(picture.notes) == 1
    assert picture.notes[0].startswith("the ICC profile could not be used (")


def test_a_profile_without_a_name_is_used() -> None:
    nameless = icc_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2, name=None)
    picture = decode(saved("PNG", PIXELS, icc_profile=nameless))
    assert picture.notes == ("converted to sRGB from the profile 'without a name'",)
    assert np.array_equal(picture.pixels, decode(saved("PNG", PIXELS, icc_profile=WIDE)).pixels)


def test_profiles_and_grey() -> None:
    grey = PIXELS[..., 0]
    plain = np.repeat(grey[..., None], 3, axis=2)
    picture = decode(saved("PNG", grey, icc_profile=grey_profile(1.0)))
    assert picture.notes == ("converted to sRGB from the profile 'drawn grey'",)
    assert picture.pixels.mean() > plain.mean() + 20
    assert (np.ptp(picture.pixels.astype(int), axis=2) <= 1).all()
    colour = decode(saved("PNG", grey, icc_profile=WIDE))
    assert colour.notes == ("grey with a colour profile ('Drawn wide'), which was not applied",)
    assert np.array_equal(colour.pixels, plain)
    # With transparency it is grey all the same.
    both = np.dstack([grey, np.full_like(grey, 255)])
    iccp = (b"iCCP", b"x\0\0" + zlib.compress(grey_profile(1.0)))
    assert np.array_equal(decode(png_of(both, 4, iccp)).pixels, picture.pixels)
    # A grey profile on colours fits nothing.
    assert "could not be used" in decode(saved("PNG", PIXELS, icc_profile=grey_profile(1.0))).notes[0]


def test_a_profile_holds_for_what_becomes_rgb_too() -> None:
    palette = Image.fromarray(PIXELS).quantize(16)
    by_hand = saved("PNG", palette.convert("RGB"), icc_profile=WIDE)
    assert np.array_equal(decode(saved("PNG", palette, icc_profile=WIDE)).pixels, decode(by_hand).pixels)
    ycc = decode(saved("TIFF", Image.fromarray(PIXELS).convert("YCbCr"), icc_profile=WIDE))
    assert ycc.notes[-1] == "converted to sRGB from the profile 'Drawn wide'"


def test_cmyk() -> None:
    image = Image.fromarray(smooth_picture(24, 32)).convert("CMYK")
    for container in ("JPEG", "TIFF"):
        picture = decode(saved(container, image))
        assert picture.notes == (UNPROFILED_CMYK,)
        assert np.abs(picture.pixels.astype(int) - smooth_picture(24, 32)).mean() < 3
        broken = decode(saved(container, image, icc_profile=b"nothing"))
        assert broken.notes[0].startswith("the ICC profile could not be used")
        assert broken.notes[1] == UNPROFILED_CMYK
        # A profile of three colours says nothing about four inks.
        assert "could not be used" in decode(saved(container, image, icc_profile=WIDE)).notes[0]
        stored = decode(saved(container, image, icc_profile=WIDE), colour="stored")
        assert stored.notes == (UNPROFILED_CMYK, "the ICC profile was not applied, as asked")
        assert np.array_equal(stored.pixels, picture.pixels)


# Depth, palettes, transparency


def test_16_bits_keep_the_high_byte() -> None:
    deep = (PIXELS.astype(np.uint16) << 8) | 0xFF
    for data in (png_of(deep, 2), png_of(deep[..., :1], 0), png_of(np.dstack([deep, deep[..., :1] | 0xFFFF]), 6)):
        picture = decode(data)
        assert picture.notes == (HIGH_BYTE,)
        wanted = PIXELS if picture.facts is not None and picture.facts.colour != "grey" else PIXELS[..., :1]
        assert np.array_equal(picture.pixels, np.broadcast_to(wanted, PIXELS.shape))
    for order in "<>":
        tags = {256: (4, (34,)), 257: (4, (21,)), 258: (3, (16,)), 259: (3, (1,)), 262: (3, (1,)), 277: (3, (1,)),
                278: (4, (21,))}  # fmt: skip
        raw = deep[..., 0].astype(order + "u2").tobytes()
        picture = decode(tiff(tags, raw, order=order))
        assert np.array_equal(picture.pixels[..., 0], PIXELS[..., 0])
        assert picture.notes == (HIGH_BYTE,)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_16_bits_is_said_and_left(channels: int) -> None:
    deep = PIXELS[..., :channels].astype(np.uint16) * 257
    data = png_of(deep, 0 if channels == 1 else 2, (b"tRNS", deep[0, 0].astype(">u2").tobytes()))
    picture = decode(data)
    assert set(picture.notes) == {HIGH_BYTE, "the colour that is stated to be transparent was left as it is"}
    assert np.array_equal(picture.pixels, np.broadcast_to(PIXELS[..., :channels], PIXELS.shape))


def test_values_without_an_agreed_white_are_refused() -> None:
    for mode in ("F", "I"):
        image = Image.fromarray(PIXELS[..., 0]).convert(mode)
        assert reason_of(saved("TIFF", image)) == "unsupported"


def test_transparency_is_laid_on_white_in_whole_numbers() -> None:
    colours = np.arange(256, dtype=np.uint8)[:, None]
    alpha = np.arange(256, dtype=np.uint8)[None, :]
    rgba = np.dstack([np.broadcast_to(c, (256, 256)) for c in (colours, 255 - colours, colours // 2, alpha)])
    exact = (rgba[..., :3].astype(int) * alpha[..., None] + 255 * (255 - alpha[..., None].astype(int)) + 127) // 255
    picture = decode(png_of(np.ascontiguousarray(rgba), 6))
    assert picture.notes == (ON_WHITE,)
    assert np.array_equal(picture.pixels, exact)
    assert np.array_equal(decode(png_of(np.ascontiguousarray(rgba[..., [0, 3]]), 4)).pixels[..., 1], exact[..., 0])
    # Rounded to the nearest: no value is off by more than a half.
    real = rgba[..., :3] * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    assert np.abs(picture.pixels - real).max() <= 0.5 + 1e-9


def test_opaque_alpha_is_nothing_to_tell() -> None:
    for pixels in (np.dstack([PIXELS, np.full((21, 34), 255, np.uint8)]),):
        picture = decode(png_of(pixels, 6))
        assert picture.notes == ()
        assert np.array_equal(picture.pixels, PIXELS)


def test_palettes() -> None:
    colours = bytes((0, 0, 0, 200, 100, 50, 10, 20, 30))
    rows = b"\0\0\1\2" * 2
    plain = decode(png(rows, 3, 2, 8, 3, (b"PLTE", colours)))
    assert plain.pixels[0].tolist() == [[0, 0, 0], [200, 100, 50], [10, 20, 30]]
    assert plain.notes == ()
    clear = decode(png(rows, 3, 2, 8, 3, (b"PLTE", colours), (b"tRNS", bytes((255, 0, 128)))))
    assert clear.pixels[0].tolist() == [[0, 0, 0], [255, 255, 255], [132, 137, 142]]
    assert clear.notes == (ON_WHITE,)
    one = decode(png(rows, 3, 2, 8, 3, (b"PLTE", colours), (b"tRNS", b"\0")))
    assert one.pixels[0].tolist() == [[255, 255, 255], [200, 100, 50], [10, 20, 30]]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits(depth: int) -> None:
    top = (1 << depth) - 1
    value = top if depth == 1 else 1
    width = 8 // depth
    row = bytes((sum((value if k == 0 else 0) << (8 - depth * (k + 1)) for k in range(width)),))
    picture = decode(png(b"\0" + row, width, 1, depth, 0, (b"tRNS", b"\0" + bytes((value,)))))
    assert picture.pixels[0, 0].tolist() == [255] * 3
    assert (picture.pixels[0, 1:] == 0).all()
    opaque = decode(png(b"\0" + row, width, 1, depth, 0))
    assert opaque.pixels[0, 0, 0] == 255 * value // top


def test_transparent_colours() -> None:
    key = (b"tRNS", PIXELS[0, 3].astype(">u2").tobytes())
    picture = decode(png_of(PIXELS, 2, key))
    mask = (PIXELS[0, 3] == PIXELS).all(axis=2)
    assert np.array_equal(picture.pixels, np.where(mask[..., None], 255, PIXELS))


# Frames


def test_the_first_frame_and_the_note_about_the_others() -> None:
    others = [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    for container, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})):
        data = saved(container, PIXELS, save_all=True, append_images=others, **options)
        picture = decode(data)
        assert picture.notes == ("the first of 3 frames",)
        first = decode(saved(container, PIXELS, **options))
        assert np.array_equal(picture.pixels, first.pixels)
    for container in ("TIFF", "AVIF"):
        picture = decode(saved(container, PIXELS, save_all=True, append_images=others))
        assert picture.notes == ("the first of 3 pictures in the file",)
        assert picture.pixels.shape == PIXELS.shape


def test_mpo() -> None:
    data = saved("MPO", PIXELS, save_all=True, append_images=[Image.fromarray(drawn_picture(8, 8))])
    picture = decode(data)
    assert picture.notes == ("the first of 2 pictures in the file",)
    assert np.array_equal(picture.pixels, decode(saved("JPEG", PIXELS)).pixels)
    broken = with_segments(saved("JPEG", PIXELS), (0xE2, b"MPF\0" + bytes(20)))
    assert np.array_equal(decode(broken).pixels, picture.pixels)


# Limits


def claims(width: int, height: int) -> dict[str, bytes]:
    """Small files that claim to be large."""
    jpeg = bytearray(saved("JPEG", PIXELS))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", min(height, 65535), min(width, 65535))
    small = min(width, 16384) - 1, min(height, 16384) - 1
    canvas = struct.pack("<L", 0) + struct.pack("<L", width - 1)[:3] + struct.pack("<L", height - 1)[:3]
    lossy = bytearray(saved("WEBP", PIXELS))
    lossy[26:30] = struct.pack("<HH", *small)
    gif = bytearray(saved("GIF", PIXELS))
    gif[6:10] = struct.pack("<HH", min(width, 65535), min(height, 65535))
    os2 = bytearray(bmp(PIXELS))
    os2[18:26] = struct.pack("<LL", width, height)
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (8,)), 259: (3, (8,)), 262: (3, (1,)), 278: (4, (height,)),
    }  # fmt: skip
    avif = saved("AVIF", PIXELS)
    at = avif.index(b"ispe") + 8
    return {
        "png": png(bytes(100), width, height, 8, 2),
        "jpeg": bytes(jpeg),
        "gif": bytes(gif),
        "webp": bytes(lossy),
        "webp-canvas": riff((b"VP8X", canvas), *riff_chunks(saved("WEBP", PIXELS))),
        "bmp": bytes(os2),
        "tiff": tiff(tags, zlib.compress(bytes(100))),
        "avif": avif[:at] + struct.pack(">LL", width, height) + avif[at + 8 :],
    }


@pytest.mark.parametrize("side", [30_000, 65_535])
def test_bombs_are_refused_before_they_take_memory(side: int) -> None:
    for name, data in claims(side, side).items():
        tracemalloc.start()
        try:
            assert reason_of(data) == "too-many-pixels", name
            assert tracemalloc.get_traced_memory()[1] < 2_000_000, name
        finally:
            tracemalloc.stop()


def test_a_bomb_takes_no_memory_of_the_process() -> None:
    resource = pytest.importorskip("resource")
    data = png(bytes(1000), 30_000, 30_000, 8, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        assert reason_of(data) == "too-many-pixels"
    # In KiB on Linux, in bytes on macOS: 50 MB on either, against the 2.7 GB that it claims.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000 * (
        1024 if sys.platform == "darwin" else 1
    )


def test_a_size_that_is_not_there_is_no_picture() -> None:
    small = claims(3000, 2000)
    # Not to be told from outside: libjpeg fills up a JPEG whose data end early but with an EOI, the frame of a GIF may
    # be smaller than its screen, and libavif scales to the size that the container states.
    for name in ("jpeg", "gif", "avif"):
        assert decode(small.pop(name)).pixels.shape == (2000, 3000, 3)
    for name, data in small.items():
        assert reason_of(data) in ("truncated", "corrupt"), name


def test_limits(tmp_path: Path) -> None:
    data = saved("PNG", PIXELS)
    assert decode(data, limits=Limits(max_pixels=21 * 34, max_bytes=len(data))).width == 34
    assert reason_of(data, limits=Limits(max_pixels=21 * 34 - 1)) == "too-many-pixels"
    assert reason_of(data, limits=Limits(max_bytes=len(data) - 1)) == "too-many-bytes"
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="larger than the limit") as caught:
        read_picture(path, limits=Limits(max_bytes=10))
    assert caught.value.reason == "too-many-bytes"
    assert read_picture(path).path == path
    for wrong in ({"max_bytes": 0}, {"max_pixels": -1}):
        with pytest.raises(BadSetting, match="at least 1"):
            Limits(**wrong)


def test_more_than_pillows_own_limit_is_read_if_ours_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(saved("PNG", PIXELS)).pixels.shape == PIXELS.shape
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_text_bombs_take_no_memory_and_hide_no_picture(name: bytes) -> None:
    packed = zlib.compress(bytes(200_000_000), 9)
    start = {b"zTXt": b"x\0\0", b"iTXt": b"x\0\1\0\0\0", b"iCCP": b"x\0\0"}[name]
    data = with_chunks(saved("PNG", PIXELS), (name, start + packed))
    tracemalloc.start()
    try:
        # Pillow stops at one megabyte and gives the file up; a text is no part of the picture, so it is not shown one.
        found = decode(data)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert (found.pixels == PIXELS).all()
    assert any("too large" in note for note in found.notes) == (name == b"iCCP")


def test_a_text_behind_the_picture_hides_it_neither() -> None:
    packed = b"x\0\0" + zlib.compress(bytes(20_000_000), 9)
    data = saved("PNG", PIXELS)
    end = len(data) - 12
    assert (decode(data[:end] + chunk(b"zTXt", packed) + data[end:]).pixels == PIXELS).all()
    cut = data[:end] + chunk(b"zTXt", packed)[:-20]
    assert (decode(cut).pixels == PIXELS).all(), "cut off behind its last row"


def test_header_and_decoder_must_agree_on_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second frame header: ours believes the first one, Pillow the last.
    jpeg = saved("JPEG", PIXELS)
    at = jpeg.index(b"\xff\xc0")
    other = bytearray(jpeg[at : at + 19])
    other[5:9] = struct.pack(">HH", 8, 8)
    assert reason_of(jpeg[:at] + bytes(other) + jpeg[at:]) == "corrupt"
    # The decoder's size is checked against the limit too.
    huge = bytearray(jpeg[at : at + 19])
    huge[5:9] = struct.pack(">HH", 65500, 65500)
    assert reason_of(jpeg[: at + 19] + bytes(huge) + jpeg[at + 19 :]) == "too-many-pixels"


def test_only_the_decoder_of_the_container_looks_at_the_bytes() -> None:
    # Any of Pillow's other plugins might find another picture in the same bytes.
    data = b"GIF89a" + saved("JPEG", PIXELS)
    with pytest.raises(UnreadableImage, match="GIF") as caught:
        decode(data)
    assert caught.value.reason in ("corrupt", "truncated")


# Broken files


def small_files() -> dict[str, bytes]:
    pixels = drawn_picture(9, 12)
    return {
        "jpeg": saved("JPEG", pixels),
        "jpeg-progressive": saved("JPEG", pixels, progressive=True),
        "jpeg-restarts": saved("JPEG", drawn_picture(16, 24), restart_marker_blocks=1),
        "png": saved("PNG", pixels),
        "webp": saved("WEBP", pixels),
        "webp-lossless": saved("WEBP", pixels, lossless=True),
        "gif": saved("GIF", pixels),
        "bmp": saved("BMP", pixels),
        "tiff": rgb_tiff(pixels),
        "tiff-lzw": saved("TIFF", pixels, compression="tiff_lzw"),
        "avif": saved("AVIF", pixels),
    }


SMALL = small_files()


@pytest.mark.parametrize("name", SMALL)
def test_every_truncation_is_told(name: str) -> None:
    data = SMALL[name]
    whole = decode(data).pixels
    # Trailers that no pixel hangs on, and without which the decoders give the whole picture: the checksum of the last
    # IDAT and IEND; the end of the blocks and of the GIF. (Without the EOI, Pillow refuses a JPEG.)
    trailer = {"png": 21, "gif": 2}.get(name, 0)
    for cut in range(len(data)):
        try:
            picture = decode(data[:cut])
        except UnreadableImage as bad:
            wanted = ("empty",) if cut == 0 else ("not-an-image",) if cut < 12 else ()
            assert bad.reason in (*wanted, "truncated"), (cut, bad)  # noqa: PT017
            continue
        assert cut >= len(data) - trailer, cut
        assert np.array_equal(picture.pixels, whole)


def test_truncated_heic() -> None:
    data = heic(drawn_picture(9, 12))
    for cut in range(12, len(data), 3):
        assert reason_of(data[:cut]) == "truncated"


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "png"])
def test_a_cut_in_the_middle_is_truncated_whatever_pillow_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {
        "jpeg": saved("JPEG", drawn_picture(64, 64)),
        "jpeg-progressive": saved("JPEG", drawn_picture(64, 64), progressive=True),
        "png": saved("PNG", drawn_picture(64, 64)),
    }[name]
    for setting in (False, True):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", setting)
        assert reason_of(data[: len(data) * 2 // 3]) == "truncated"
        assert setting == ImageFile.LOAD_TRUNCATED_IMAGES


def test_damage_is_not_called_a_truncation() -> None:
    data = bytearray(saved("PNG", PIXELS))
    at = data.index(b"IDAT") + 20
    data[at] ^= 0xFF
    assert reason_of(bytes(data)) == "corrupt"
    wrong = saved("PNG", PIXELS)[:33] + chunk(b"IDAT", b"nothing") + chunk(b"IEND")
    assert reason_of(wrong) == "corrupt"
    webp = bytearray(saved("WEBP", PIXELS, lossless=True))
    webp[26:60] = bytes(34)
    assert reason_of(bytes(webp)) == "corrupt"


def test_the_message_is_the_same_in_every_run() -> None:
    # Pillow's own sentence for this names an object by its address.
    data = saved("AVIF", PIXELS)
    with pytest.raises(UnreadableImage, match="the AVIF could not be decoded: its header cannot be read") as caught:
        decode(data[: data.index(b"mdat") + 6])
    assert caught.value.reason == "truncated"


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(SMALL[draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        if not data:
            break
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_files_are_pictures_or_unreadable(data: bytes) -> None:
    try:
        picture = decode(data, limits=Limits(max_pixels=1_000_000))
    except UnreadableImage as bad:
        assert bad.reason in UnreadableImage.REASONS  # noqa: PT017
    else:
        assert picture.facts is not None
        assert picture.pixels.shape == (picture.facts.height, picture.facts.width, 3)


# Threads


def test_threads_leave_pillow_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    filters = list(warnings.filters)
    data = [saved("JPEG", drawn_picture(200, 200)), saved("PNG", drawn_picture(200, 201)), saved("PNG", PIXELS)[:300]]
    barrier = threading.Barrier(4)

    def work(which: int) -> bytes:
        barrier.wait(10)
        found = b""
        for k in range(30):
            try:
                found = decode(data[(which + k) % 3]).pixels.tobytes()
            except UnreadableImage as bad:
                assert bad.reason == "truncated"  # noqa: PT017
        return found

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert len(set(results)) <= 2
    assert Image.MAX_IMAGE_PIXELS == 12345
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert list(warnings.filters) == filters


def test_threads_decode_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both must be inside the decoder at once, or the barrier breaks.
    barrier = threading.Barrier(2)
    load = ImageFile.ImageFile.load

    def slow(self: ImageFile.ImageFile) -> Any:
        barrier.wait(10)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", slow)
    data = saved("BMP", PIXELS)
    with ThreadPoolExecutor(2) as pool:
        for picture in pool.map(decode, [data, data]):
            assert np.array_equal(picture.pixels, PIXELS)


# The noun


def test_pixels_are_read_only_and_shared() -> None:
    for picture in (decode(saved("PNG", PIXELS)), Picture(PIXELS.copy())):
        assert not picture.pixels.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            picture.pixels[0, 0, 0] = 1
    mine = PIXELS.copy()
    picture = Picture(mine)
    assert mine.flags.writeable
    assert np.shares_memory(mine, picture.pixels)
    assert (picture.width, picture.height, repr(picture)) == (34, 21, "Picture(34 x 21)")
    assert repr(Picture(mine, path=Path("a.png"))) == "Picture(34 x 21 from 'a.png')"


@pytest.mark.parametrize(
    "pixels",
    [
        PIXELS[..., 0], PIXELS[..., :2], PIXELS.astype(np.float32), PIXELS.astype(np.int8), PIXELS[:0], PIXELS[:, :0],
        np.dstack([PIXELS, drawn_mask(21, 34)]), PIXELS[None],
    ],
)  # fmt: skip
def test_wrong_shapes_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(BadShape, match=r"wanted \(H, W, 3\) uint8"):
        Picture(pixels)


def test_heic_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(PIXELS)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match=r"reading HEIC needs pillow_heif.*fauxlens\[formats\]") as caught:
        decode(data)
    assert caught.value.reason == "unsupported"


def test_a_frame_header_may_stand_late() -> None:
    data = with_segments(saved("JPEG", PIXELS), *((0xE2, b"ICC_PROFILE\0" + bytes(65000)),) * 3)
    assert decode(data).pixels.shape == PIXELS.shape
    assert segment(0xFE, b"") == b"\xff\xfe\0\2"
