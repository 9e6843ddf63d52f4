"""Headers of every container: the size is the decoder's, the reasons are right, and no bytes surprise the readers."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drawn import drawn_picture
from fauxlens.core.errors import UnreadableImage
from fauxlens.images.facts import FileFacts, container_of, facts_of, facts_of_bytes, read_facts, suffix_agrees
from fauxlens.images.picture import decode, read_picture
from fauxlens.images.reader import FileSource
from image_files import (
    CountingSource,
    bmp,
    box,
    chunk,
    exif,
    icc_profile,
    png,
    png_of,
    rgb_tiff,
    riff,
    riff_chunks,
    saved,
    segment,
    sources,
    tiff,
    with_chunks,
    with_segments,
)

PIXELS = drawn_picture(21, 34)
IMAGE = Image.fromarray(PIXELS)
OTHER = drawn_picture(21, 34)[::-1].copy()
SRGB = icc_profile((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141), 2.2, "sRGB drawn")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"

HAS_HEIC = importlib.util.find_spec("pillow_heif") is not None
needs_heic = pytest.mark.skipif(not HAS_HEIC, reason="pillow_heif is not installed (extra: formats)")


def facts_from(data: bytes) -> FileFacts:
    """The facts, after checking that no length of the source's head changes them."""
    found = [facts_of(source, "bytes") for source in sources(data)]
    assert all(other == found[0] for other in found)
    return found[0]


def agrees(data: bytes, **wanted: Any) -> FileFacts:
    """The facts, after checking them against the decoder and against `wanted`."""
    facts = facts_from(data)
    picture = decode(data)
    assert picture.facts == facts
    assert (picture.width, picture.height) == (facts.width, facts.height)
    assert facts.bytes == len(data)
    assert facts.pixels == facts.width * facts.height
    assert {name: getattr(facts, name) for name in wanted} == wanted
    return facts


def heic(pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "HEIF", **options)
    return out.getvalue()


# PNG


@pytest.mark.parametrize(
    ("mode", "colour", "depth"),
    [("1", "grey", 1), ("L", "grey", 8), ("LA", "grey-alpha", 8), ("P", "palette", 8), ("RGB", "rgb", 8),
     ("RGBA", "rgba", 8), ("I;16", "grey", 16)],
)  # fmt: skip
def test_png_modes(mode: str, colour: str, depth: int) -> None:
    image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257) if mode == "I;16" else IMAGE.convert(mode)
    agrees(saved("PNG", image), format="png", width=34, height=21, colour=colour, bit_depth=depth, lossless=True)


@pytest.mark.parametrize(
    ("colour_type", "depth"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8),
     (6, 16)],
)  # fmt: skip
def test_png_colour_types_and_depths(colour_type: int, depth: int) -> None:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    width, height = 9, 5
    row = b"\0" + bytes((width * channels * depth + 7) // 8)
    palette = [(b"PLTE", bytes(range(6)))] if colour_type == 3 else []
    data = png(row * height, width, height, depth, colour_type, *palette)
    agrees(data, width=width, height=height, bit_depth=depth, animated=False, progressive=False)


def test_png_interlaced() -> None:
    # One pixel has one pass only, so an interlaced file of it is easily written.
    data = saved("PNG", PIXELS[:1, :1])
    interlaced = data[:16] + data[16:28] + b"\1" + struct.pack(">L", _crc(data[12:28] + b"\1")) + data[33:]
    agrees(interlaced, progressive=True, width=1, height=1)


def _crc(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


def test_png_metadata() -> None:
    data = with_chunks(
        saved("PNG", PIXELS, icc_profile=SRGB),
        (b"tEXt", b"parameters\0steps: 20"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        (b"eXIf", exif(6)),
        (b"caBX", b"\0\0\0\x10jumb"),
    )
    agrees(data, metadata=("c2pa", "exif", "icc", "text", "xmp"), orientation=6, width=21, height=34)
    agrees(with_chunks(saved("PNG", PIXELS), (b"iTXt", b"Comment\0\0\0\0\0drawn")), metadata=("text",))
    broken = agrees(with_chunks(saved("PNG", PIXELS), (b"eXIf", b"MM\0*")), orientation=1, metadata=("exif",))
    assert broken.exif_error == "its first directory lies outside the block"


def test_png_animated() -> None:
    frames = [Image.fromarray(OTHER)]
    agrees(saved("PNG", PIXELS, save_all=True, append_images=frames), animated=True, format="png")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (saved("PNG", PIXELS)[:8] + chunk(b"CgBI", bytes(4)) + saved("PNG", PIXELS)[8:], "corrupt"),
        (png(b"\0\0", 1, 1, 7, 0), "corrupt"),
        (png(b"\0\0", 1, 1, 8, 5), "corrupt"),
        (png(b"\0\0", 0, 1, 8, 0), "corrupt"),
        (saved("PNG", PIXELS)[:30], "truncated"),
        (saved("PNG", PIXELS)[:33], "truncated"),
        (with_chunks(saved("PNG", PIXELS), (b"tEXt", bytes(9000)))[:5000], "truncated"),
    ],
)
def test_png_errors(data: bytes, reason: str) -> None:
    refused(data, reason)


# WebP


def test_webp_kinds() -> None:
    alpha = Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]))
    agrees(saved("WEBP", PIXELS), format="webp", lossless=False, colour="rgb", animated=False, width=34, height=21)
    agrees(saved("WEBP", PIXELS, lossless=True), lossless=True, colour="rgb")
    agrees(saved("WEBP", alpha), lossless=False, colour="rgba")
    agrees(saved("WEBP", alpha, lossless=True), lossless=True, colour="rgba")
    animated = saved("WEBP", PIXELS, save_all=True, append_images=[Image.fromarray(OTHER)])
    agrees(animated, animated=True, lossless=None, width=34, height=21)
    for size in ((1, 1), (1, 300), (255, 2)):
        for lossless in (False, True):
            agrees(saved("WEBP", drawn_picture(*size), lossless=lossless), height=size[0], width=size[1])


def test_webp_metadata_stands_behind_the_picture() -> None:
    plain = riff_chunks(saved("WEBP", PIXELS))
    flags = struct.pack("<L", 0x0C | 0x20) + struct.pack("<LL", 33, 20)[:3] + struct.pack("<L", 20)[:3]
    extended = riff(
        (b"VP8X", flags), (b"ICCP", SRGB), *plain, (b"EXIF", b"Exif\0\0" + exif(8)), (b"XMP ", XMP), (b"C2PA", b"jumb")
    )
    agrees(extended, orientation=8, metadata=("c2pa", "exif", "icc", "xmp"), width=21, height=34, lossless=False)
    twice = riff((b"VP8X", flags), *plain, (b"EXIF", exif(8)), (b"EXIF", exif(3)))
    agrees(twice, orientation=8)
    # What stands behind the RIFF container is no part of it.
    assert facts_from(extended + b"EXIF\x04\0\0\0xxxx").orientation == 8
    assert facts_from(saved("WEBP", PIXELS) + b"EXIF" + struct.pack("<L", 26) + exif(6)).orientation == 1
    agrees(saved("WEBP", PIXELS, exif=exif(6)), orientation=6, metadata=("exif",), width=21, height=34)


def test_webp_errors() -> None:
    data = saved("WEBP", PIXELS)
    for cut in range(12, 30):
        refused(data[:cut], "truncated")
    refused(data[:23] + b"xyz" + data[26:], "corrupt")
    refused(riff((b"junk", bytes(30))), "corrupt")
    refused(riff((b"VP8L", b"\x30" + bytes(10))), "corrupt")


# GIF, BMP


def gif(width: int, height: int, *blocks: bytes, wide: int = 2, high: int = 2) -> bytes:
    """A GIF of one black frame in the corner of its screen."""
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
    frame = b"," + struct.pack("<HHHH", 0, 0, wide, high) + b"\0\2\2\x84\x51\0"
    return screen + b"".join(blocks) + frame + b";"


def test_gif() -> None:
    agrees(saved("GIF", PIXELS), format="gif", width=34, height=21, colour="palette", animated=None, lossless=True)
    agrees(saved("GIF", PIXELS, comment=b"drawn"), metadata=("comment",))
    agrees(saved("GIF", PIXELS, save_all=True, append_images=[Image.fromarray(OTHER)], loop=0), width=34)
    agrees(gif(2, 2), width=2, height=2)
    agrees(gif(9, 7), width=9, height=7)
    xmp = b"!\xff\x0bXMP DataXMP" + b"\x05hello" * 900 + b"\0"
    agrees(gif(2, 2, xmp, b"!\xfe\x03abc\0"), metadata=("comment", "xmp"))
    # The first frame may be larger than the screen; the screen may even be nothing.
    agrees(gif(1, 1), width=2, height=2)
    agrees(gif(0, 0), width=2, height=2)


def test_gif_errors() -> None:
    data = saved("GIF", PIXELS)
    for cut in (6, 12, 13, 100, 790):
        refused(data[:cut], "truncated")
    refused(gif(2, 2, b"?" * 20), "corrupt")
    refused(gif(2, 2, b"!\xfe" + b"\xff" * 2_000_000), "corrupt")
    refused(b"GIF89a\2\0\2\0\0\0\0" + b";" * 30, "corrupt")


def test_bmp() -> None:
    for data in (saved("BMP", PIXELS), bmp(PIXELS), bmp(PIXELS, old=True), bmp(PIXELS, top_down=True)):
        agrees(data, format="bmp", width=34, height=21, colour="rgb", bit_depth=8, lossless=True)
        assert np.array_equal(decode(data).pixels, PIXELS)
    agrees(saved("BMP", IMAGE.convert("P")), colour="palette", bit_depth=8)
    agrees(saved("BMP", IMAGE.convert("1")), colour="palette", bit_depth=1)
    refused(bmp(PIXELS)[:20], "truncated")
    refused(bmp(PIXELS)[:28], "truncated")
    refused(bmp(PIXELS)[:14] + struct.pack("<L", 20) + bytes(60), "corrupt")
    refused(bmp(PIXELS)[:18] + struct.pack("<l", -34) + bmp(PIXELS)[22:], "corrupt")


# TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_orders_and_bigtiff(order: str, big: bool) -> None:
    for orientation in (None, *range(1, 9)):
        data = rgb_tiff(PIXELS, orientation=orientation, order=order, big=big)
        if big and order == ">":  # the decoder does not know these, the header reader does
            assert facts_from(data).orientation == (orientation or 1)
            with pytest.raises(UnreadableImage, match="big-endian BigTIFF") as caught:
                decode(data)
            assert caught.value.reason == "unsupported"
            continue
        side = (21, 34) if orientation is not None and orientation > 4 else (34, 21)
        agrees(data, format="tiff", orientation=orientation or 1, width=side[0], height=side[1], bit_depth=8)


@pytest.mark.parametrize(
    "name", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4", "tiff_deflate"]
)
def test_tiff_compressions(name: str) -> None:
    image = IMAGE.convert("1") if name == "group4" else IMAGE
    agrees(saved("TIFF", image, compression=name), lossless=name != "jpeg", width=34, height=21)


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("1", "grey"), ("L", "grey"), ("P", "palette"), ("RGBA", "rgba"), ("CMYK", "cmyk"), ("LA", "grey-alpha")],
)
def test_tiff_colours(mode: str, colour: str) -> None:
    agrees(saved("TIFF", IMAGE.convert(mode)), colour=colour, width=34, height=21)


def test_tiff_tiled_and_pages_and_metadata() -> None:
    tiled = saved("TIFF", drawn_picture(40, 50), compression="tiff_lzw", tiffinfo={322: 16, 323: 16})
    agrees(tiled, width=50, height=40)
    agrees(saved("TIFF", PIXELS, save_all=True, append_images=[IMAGE.resize((5, 5))]), width=34, height=21)
    agrees(saved("TIFF", PIXELS, icc_profile=SRGB, tiffinfo={700: XMP}), metadata=("icc", "xmp"))
    wrong = agrees(rgb_tiff(PIXELS, orientation=9), orientation=1)
    assert wrong.exif_error == "its orientation is 9"


def test_tiff_errors() -> None:
    refused(b"II*\0\x08\0", "truncated")
    refused(b"II*\0\x07\0\0\0" + bytes(30), "corrupt")
    refused(b"II*\0\x08\0\0\0\0\0" + bytes(30), "corrupt")
    refused(b"II*\0\xff\xff\xff\xff" + bytes(30), "truncated")
    refused(b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(30), "truncated")
    refused(b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\xff" * 8 + bytes(30), "corrupt")
    refused(tiff({256: (4, (34,))}, b""), "corrupt")
    refused(rgb_tiff(PIXELS)[:100], "truncated")
    far = tiff({256: (16, (1, 2)), 257: (4, (1,))}, b"", big=True)
    refused(far.replace(struct.pack("<Q", 16 + 8 + 80 + 8), b"\xff" * 8), "truncated")


# AVIF, HEIC


def test_avif() -> None:
    agrees(saved("AVIF", PIXELS), format="avif", width=34, height=21, bit_depth=8, colour="rgb", metadata=())
    agrees(saved("AVIF", PIXELS, icc_profile=SRGB, xmp=XMP), metadata=("icc", "xmp"))
    animated = saved("AVIF", PIXELS, save_all=True, append_images=[Image.fromarray(OTHER)])
    agrees(animated, width=34, height=21)
    for size in ((1, 1), (65, 3)):
        agrees(saved("AVIF", drawn_picture(*size)), height=size[0], width=size[1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_rotation_and_mirror(orientation: int) -> None:
    data = saved("AVIF", PIXELS, exif=exif(orientation))
    facts = agrees(data, orientation=orientation, width=21 if orientation > 4 else 34)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get(274, 1) == facts.orientation


def with_aperture(avif: bytes, wide: int, high: int) -> bytes:
    """An AVIF whose picture has a clean aperture: one more property, and all lengths and offsets put right."""
    fields = b"".join(struct.pack(">LL", *pair) for pair in ((wide, 1), (high, 1), (0, 1), (0, 1)))
    new = box(b"clap", fields)
    ipma = avif.index(b"ipma")
    count = avif[ipma + 14]
    at_ipco = avif.index(b"ipco")
    length_ipco = int.from_bytes(avif[at_ipco - 4 : at_ipco], "big")
    properties, at = 0, at_ipco + 4
    while at < at_ipco - 4 + length_ipco:
        properties, at = properties + 1, at + int.from_bytes(avif[at : at + 4], "big")
    out = bytearray(avif)
    out[ipma + 14] = count + 1
    out[ipma + 15 + count : ipma + 15 + count] = bytes((0x80 | (properties + 1),))
    out[at:at] = new
    for name, more in ((b"meta", len(new) + 1), (b"iprp", len(new) + 1), (b"ipco", len(new)), (b"ipma", 1)):
        where = avif.index(name) if avif.index(name) < at else avif.index(name) + len(new)
        out[where - 4 : where] = (int.from_bytes(out[where - 4 : where], "big") + more).to_bytes(4, "big")
    # One item of one extent: its offset is the last number of 'iloc' but one.
    iloc = avif.index(b"iloc")
    end = iloc - 4 + int.from_bytes(avif[iloc - 4 : iloc], "big")
    offset = int.from_bytes(avif[end - 8 : end - 4], "big") + len(new) + 1
    out[end - 8 : end - 4] = offset.to_bytes(4, "big")
    return bytes(out)


def test_avif_clean_aperture_is_left_alone_as_the_decoder_does() -> None:
    cropped = with_aperture(saved("AVIF", PIXELS), 20, 10)
    with Image.open(io.BytesIO(cropped)) as image:
        image.load()
    agrees(cropped, width=34, height=21)
    if HAS_HEIC:
        # The same boxes under the other brand: there the decoders cut.
        assert facts_from(cropped.replace(b"avif", b"heic").replace(b"avis", b"heis")).width == 20


@needs_heic
@pytest.mark.parametrize("size", [(21, 34), (1, 1), (7, 65), (64, 64), (65, 129), (63, 2)])
def test_heic_odd_sizes(size: tuple[int, int]) -> None:
    agrees(heic(drawn_picture(*size)), format="heic", height=size[0], width=size[1], bit_depth=8)


@needs_heic
@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_rotation(orientation: int) -> None:
    agrees(heic(exif=exif(orientation)), orientation=orientation, width=21 if orientation > 4 else 34)
    assert "exif" in facts_from(heic(exif=exif(orientation))).metadata


def test_heif_errors() -> None:
    data = saved("AVIF", PIXELS)
    ftyp = data[: int.from_bytes(data[:4], "big")]
    refused(ftyp, "truncated")
    refused(ftyp + box(b"meta", bytes(4)), "corrupt")
    refused(data[:200], "truncated")
    refused(ftyp + box(b"meta", bytes(4) + box(b"pitm", b"\0\0\0\0\0\1")), "corrupt")
    refused(data.replace(b"ispe", b"xspe"), "corrupt")
    loop = ftyp + b"\0\0\0\0free" + bytes(100)
    refused(loop, "truncated")


# JPEG through the same door


def test_jpeg_facts() -> None:
    agrees(saved("JPEG", PIXELS), format="jpeg", width=34, height=21, bit_depth=8, colour="rgb", lossless=False)
    agrees(saved("JPEG", PIXELS, exif=exif(6)), width=21, height=34, orientation=6, metadata=("exif", "jfif"))
    agrees(saved("JPEG", IMAGE.convert("L"), progressive=True), colour="grey", progressive=True, animated=False)
    agrees(saved("JPEG", IMAGE.convert("CMYK")), colour="cmyk")
    mpo = saved("MPO", PIXELS, save_all=True, append_images=[Image.fromarray(OTHER)])
    agrees(mpo, format="jpeg", animated=None)
    every = with_segments(
        saved("JPEG", PIXELS, icc_profile=SRGB, comment=b"drawn"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), (0xEB, b"JP\0\0"), (0xED, b"Photoshop 3.0\0"),
        (0xEC, b"Ducky"),
    )  # fmt: skip
    agrees(every, metadata=("c2pa", "comment", "icc", "jfif", "other", "photoshop", "xmp"))


# Errors, and where they come from


def refused(data: bytes, reason: str) -> UnreadableImage:
    said = set()
    for source in sources(data):
        with pytest.raises(UnreadableImage) as caught:
            facts_of(source, "f")
        assert caught.value.reason == reason, caught.value
        said.add(str(caught.value))
    assert len(said) == 1
    with pytest.raises(UnreadableImage):
        decode(data)
    return caught.value


def test_what_is_no_picture() -> None:
    assert refused(b"", "empty").hint == "fetch it again"
    for page in (b"<!DOCTYPE html><html>", b"\xef\xbb\xbf \r\n<HTML>", b"<?xml version='1.0'?>\n<html>", b"<head>"):
        assert "error page" in str(refused(page, "html"))
    for text in (b"hello", b"{}", b"version https://git-lfs.github.com/spec/v1\n", bytes(5000), b"\xff\xd8", b"<svg/>"):
        assert "wanted avif, bmp, gif" in str(refused(text, "not-an-image"))
    assert "got bytes 68 65 6c 6c 6f" in str(refused(b"hello", "not-an-image"))
    refused(b"\xff\xd8\xff\xe0", "truncated")
    refused(b"\xff\xd8\xff\xd9" + bytes(20), "corrupt")
    refused(box(b"ftyp", b"isom\0\0\0\0mp41"), "not-an-image")


@pytest.mark.parametrize("read", [read_facts, read_picture])
def test_files(read: Callable[[Any], Any], tmp_path: Path) -> None:
    def reason(path: str | Path) -> str:
        with pytest.raises(UnreadableImage) as caught:
            read(path)
        assert str(caught.value)
        return caught.value.reason

    assert reason(tmp_path / "none.jpg") == "missing"
    assert reason(tmp_path) == "not-an-image"
    assert reason("a\0b.jpg") == "missing"
    assert reason(tmp_path / ("x" * 300)) == "missing"
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "empty"
    assert reason(tmp_path / "empty.jpg" / "a.jpg") == "missing"
    (tmp_path / "page.jpg").write_text("<html>sorry</html>", encoding="utf-8")
    assert reason(tmp_path / "page.jpg") == "html"
    (tmp_path / "cut.jpg").write_bytes(saved("JPEG", PIXELS)[:300])
    assert reason(str(tmp_path / "cut.jpg")) == "truncated"
    if hasattr(os, "symlink") and os.name == "posix":
        (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
        assert reason(tmp_path / "loop.jpg") == "missing"


@pytest.mark.parametrize("read", [read_facts, read_picture])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(read: Callable[[Any], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImage, match="a pipe or device") as caught:
        read(tmp_path / "pipe.jpg")
    assert caught.value.reason == "not-an-image"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed.jpg"
    path.write_bytes(saved("JPEG", PIXELS))

    # By hand, because the superuser of a container may read everything.
    def closed(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", closed)
    monkeypatch.setattr(Path, "read_bytes", closed)
    for read in (read_facts, read_picture):
        with pytest.raises(UnreadableImage, match=r"closed\.jpg: could not be opened: Permission denied") as caught:
            read(path)
        assert caught.value.reason == "unreadable"


def test_an_error_of_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(saved("JPEG", PIXELS))

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fauxlens.images.reader._read_at", broken)
    with pytest.raises(UnreadableImage, match="could not be read: Input/output error") as caught:
        read_facts(path)
    assert caught.value.reason == "corrupt"


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(saved("PNG", PIXELS))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    probe = os.open(tmp_path, os.O_RDONLY)
    os.close(probe)
    for _ in range(5):
        read_facts(tmp_path / "good.png")
        for path in (tmp_path / "bad.png", tmp_path):
            with pytest.raises(UnreadableImage):
                read_facts(path)
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == probe


@pytest.mark.parametrize(
    ("name", "container", "agree"),
    [
        ("a.jpg", "jpeg", True), ("a.JPEG", "jpeg", True), ("a.jfif", "jpeg", True), ("a.jpg", "png", False),
        ("a.PNG", "png", True), ("a.webp", "jpeg", False), ("a", "gif", True), ("a.b/c", "png", True),
        ("a.tif", "tiff", True), ("a.heic", "avif", False), ("a.hif", "heic", True), ("a.png.jpg", "png", False),
        (".jpg", "png", False), ("a.", "png", False), ("a.jpg", "nothing", False),
    ],
)  # fmt: skip
def test_suffix_agrees(name: str, container: str, agree: bool) -> None:
    assert suffix_agrees(name, container) == agree


def test_container_of_brands() -> None:
    assert container_of(box(b"ftyp", b"mif1\0\0\0\0mif1miafavif")) == "avif"
    assert container_of(box(b"ftyp", b"mif1\0\0\0\0mif1miafheic")) == "heic"
    assert container_of(box(b"ftyp", b"avis\0\0\0\0msf1")) == "avif"
    assert container_of(b"RIFF\0\0\0\0WAVE") is None
    assert container_of(b"BM" + b"\1" * 20) is None
    assert container_of(b"") is None


def test_wrong_suffix_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved("PNG", PIXELS))
    assert read_facts(path).format == "png"
    assert not suffix_agrees(path.name, "png")


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_few_bytes_are_read(format_: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(saved(format_, drawn_picture(300, 400)))
    with path.open("rb") as file:
        source = FileSource(file.fileno())
        facts = facts_of(source, "large")
        assert source.bytes_read <= 16384
    assert (facts.width, facts.height) == (400, 300)
    assert facts == facts_of_bytes(path.read_bytes()) == read_facts(path)


# Any bytes

SEEDS = [
    with_chunks(saved("PNG", PIXELS), (b"eXIf", exif(6)), (b"iTXt", b"XML:com.adobe.xmp")),
    saved("WEBP", PIXELS, exif=exif(6)),
    saved("WEBP", PIXELS, lossless=True),
    saved("GIF", PIXELS[:5, :5], comment=b"drawn"),
    bmp(PIXELS[:4, :4]),
    bmp(PIXELS[:4, :4], old=True),
    rgb_tiff(PIXELS[:4, :4], orientation=6),
    rgb_tiff(PIXELS[:4, :4], orientation=6, order=">", big=True),
    saved("AVIF", PIXELS, exif=exif(6)),
    *([heic(PIXELS[:9, :9])] if HAS_HEIC else []),
]


def survives(data: bytes) -> None:
    """Nothing but UnreadableImage, the same from every source, and small reads only."""
    answers = []
    for head in (20, 4096):
        source = CountingSource(data, head)
        try:
            answers.append(repr(facts_of(source, "f")))
        except UnreadableImage as bad:
            assert bad.reason in UnreadableImage.REASONS  # noqa: PT017
            answers.append(f"{bad.reason} {bad}")
        assert source.largest <= 1 << 20
        assert source.calls < 20_000
    assert answers[0] == answers[1]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        # Near the beginning, where the headers are.
        at = draw(st.integers(0, min(len(data), 500)))
        how = draw(st.sampled_from(["flip", "ones", "zeros", "cut", "insert", "remove"]))
        if how == "flip" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how in ("ones", "zeros"):
            length = draw(st.integers(1, 8))
            data[at : at + length] = (b"\xff" if how == "ones" else b"\0") * length
        elif how == "cut":
            del data[at:]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=20))
        else:
            del data[at : at + draw(st.integers(1, 20))]
    return bytes(data)


@settings(max_examples=800, deadline=None)
@given(mutated())
def test_mutated_files(data: bytes) -> None:
    survives(data)


SIGNATURES = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\xff\0\0\0WEBPVP8X", b"GIF89a", b"BM\0\0\0\0\0\0\0\0", b"II*\0\x08\0\0\0",
    b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10", b"\0\0\0\x14ftypavif\0\0\0\0avif", b"\0\0\0\x14ftypheic\0\0\0\0heic",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_random_bytes_behind_a_signature(start: bytes, data: bytes) -> None:
    survives(start + data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved("PNG", PIXELS)[:33] + chunk(b"tEXt") * 100_000, id="chunks without end"),
        pytest.param(riff(*[(b"junk", b"")] * 100_000), id="RIFF chunks without end"),
        pytest.param(b"GIF89a" + bytes(7) + b"!\xfe\0" * 100_000, id="GIF blocks without end"),
        pytest.param(b"GIF89a" + bytes(7) + b"!\xfe" + b"\1x" * 1_000_000, id="sub-blocks without end"),
        pytest.param(SIGNATURES[6] + box(b"free", b"") * 100_000, id="boxes without end"),
        pytest.param(b"II*\0\x08\0\0\0\xff\xff" + b"\1\1\4\0\xff\xff\xff\xff\x08\0\0\0" * 70_000, id="full directory"),
        pytest.param(b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\xff" * 2_000_000, id="BigTIFF directory without end"),
        pytest.param(
            SIGNATURES[6] + box(b"meta", bytes(4) + box(b"pitm", b"\0\0\0\0\0\1") + box(b"iprp", box(b"ipco", b"")
            + box(b"ipma", bytes(4) + b"\xff" * 500_000))), id="associations without end",
        ),
    ],
)  # fmt: skip
def test_endless_files_end(data: bytes) -> None:
    source = CountingSource(data, 20)
    try:
        facts_of(source, "f")
    except UnreadableImage as bad:
        assert bad.reason in ("corrupt", "truncated")  # noqa: PT017
    assert source.calls < 70_000
    assert source.largest <= 1 << 20


def test_a_source_that_shrinks_is_only_unreadable() -> None:
    """The file may be cut while it is read: the size then promises more than there is."""
    for data in (*SEEDS, with_segments(saved("JPEG", PIXELS), (0xEE, b"Adobe"), (0xFE, bytes(5000)))):
        for cut in range(0, min(len(data), 700), 7):
            source = CountingSource(data[:cut], 64)
            source.size = len(data)
            try:
                facts_of(source, "f")
            except UnreadableImage as bad:
                assert bad.reason != "missing"  # noqa: PT017


def test_segment_helper_matches_the_format() -> None:
    assert segment(0xFE, b"ab") == b"\xff\xfe\0\x04ab"
    assert png_of(np.zeros((1, 1, 3), np.uint8), 2)[24:26] == b"\x08\x02"
