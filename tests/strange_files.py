"""More than a hundred files that people have: odd, broken, hostile, or no pictures at all, drawn by code."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from broken import bomb, pixels
from image_files import (
    bmp,
    chunk,
    exif,
    icc_profile,
    joined,
    png,
    png_of,
    rgb_tiff,
    saved,
    segment,
    segments,
    with_chunks,
    with_segments,
)
from image_files import tiff as tiff_of

OK = "ok"
EITHER = ""
"""Libraries of different age read it or do not; whichever it is must be said in one line."""

_SIDE = (40, 56)
ODD_NAMES = (
    "with space.jpg", " space first.jpg", "line\nend.jpg", "tab\there.jpg", "クマ.jpg", "e\u0301.jpg",
    "\u202egpj.jpg", "-begins-like-an-option.jpg", "[1-9]*.jpg", "{a,b}.jpg", "100%s.jpg", "quote\"'.jpg",
    "back\\slash.jpg", ".jpg", "..jpg", "UPPER.JPG", "\x1b[31mred.jpg", "$(HOME).jpg", "a" * 240 + ".jpg",
    os.fsdecode(b"no-\xff-letter.jpg"),
)  # fmt: skip
"""What a file may be called."""


def strange_files(folder: Path) -> dict[Path, str]:
    """Write them; path -> what must be said of it: `ok`, a reason of UnreadableImage, or EITHER."""
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[Path, str] = {}
    for name, data, outcome in _bytes():
        path = folder / name
        assert path not in told, name
        path.write_bytes(data)
        told[path] = outcome
    for name in ODD_NAMES:
        path = folder / name
        try:
            path.write_bytes(_jpeg())
        except OSError:  # a file system that knows no such names
            continue
        told[path] = OK
    return {**told, **_no_files(folder)}


def _bytes() -> Iterator[tuple[str, bytes, str]]:
    yield from _jpegs()
    yield from _broken_jpegs()
    yield from _pngs()
    yield from _broken_pngs()
    yield from _animations()
    yield from _tiffs()
    yield from _bitmaps()
    yield from _new_formats()
    yield from _other_formats()
    yield from _no_pictures()
    yield from _sizes()


def _image(mode: str = "RGB", seed: int = 0) -> Image.Image:
    return Image.fromarray(pixels(seed, *_SIDE)).convert(mode)


def _jpeg(**options: Any) -> bytes:
    return saved("JPEG", _image(), quality=90, **options)


def _jpegs() -> Iterator[tuple[str, bytes, str]]:
    yield "baseline.jpg", _jpeg(), OK
    yield "progressive.jpg", _jpeg(progressive=True), OK
    yield "restarts.jpg", _jpeg(restart_marker_blocks=1), OK
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"chroma-{name}.jpg", _jpeg(subsampling=subsampling), OK
    for quality in (1, 100):
        yield f"quality-{quality}.jpg", saved("JPEG", _image(), quality=quality), OK
    yield "grey.jpg", saved("JPEG", _image("L")), OK
    yield "cmyk.jpg", saved("JPEG", _image("CMYK")), OK
    # Adobe's word for what the four channels are: 0 CMYK, 2 YCCK.
    yield "ycck.jpg", saved("JPEG", _image("CMYK")).replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"), OK
    for orientation in range(1, 9):
        yield f"orientation-{orientation}.jpg", _jpeg(exif=exif(orientation)), OK
    yield "orientation-9.jpg", _jpeg(exif=exif(9)), OK
    yield "broken-exif.jpg", _jpeg(exif=b"II*\0\xff\xff\xff\x7f"), OK
    yield "no-exif-in-exif.jpg", with_segments(_jpeg(), (0xE1, b"Exif\0\0")), OK
    yield "looping-exif.jpg", _jpeg(exif=b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), OK
    profile = icc_profile((0.5, 0.3, 0.0), (0.3, 0.6, 0.1), (0.1, 0.1, 0.7), 1.8)
    yield "profile.jpg", _jpeg(icc_profile=profile), OK
    yield "bad-profile.jpg", _jpeg(icc_profile=b"no profile at all" * 20), OK
    yield "half-profile.jpg", _jpeg(icc_profile=profile[: len(profile) // 2]), OK
    yield "bad-xmp.jpg", with_segments(_jpeg(), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf")), OK
    yield "bad-c2pa.jpg", with_segments(_jpeg(), (0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb" + b"\xff" * 40)), OK
    yield "bad-iptc.jpg", with_segments(_jpeg(), (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff")), OK
    yield "many-comments.jpg", with_segments(_jpeg(), *[(0xFE, b"x" * 60_000)] * 40), OK
    yield "picture-behind.jpg", _jpeg() + _jpeg(progressive=True), OK
    yield "zip-behind.jpg", _jpeg() + _zip(), OK
    yield "several.mpo", saved("MPO", _image(), save_all=True, append_images=[_image(seed=1)]), OK


def _broken_jpegs() -> Iterator[tuple[str, bytes, str]]:
    whole = saved("JPEG", Image.fromarray(pixels(2, 200, 300)), quality=90)
    yield "cut-0.jpg", b"", "empty"
    for end in (1, 2, 3):
        yield f"cut-{end}.jpg", whole[:end], EITHER
    for end in (4, 20, 100, 400):
        yield f"cut-{end}.jpg", whole[:end], "truncated"
    for percent in (30, 60, 90):
        yield f"cut-{percent}-percent.jpg", whole[: len(whole) * percent // 100], "truncated"
    for end in (1, 2, 40):
        yield f"cut-{end}-from-the-end.jpg", whole[:-end], EITHER
    progressive = saved("JPEG", Image.fromarray(pixels(2, 200, 300)), progressive=True)
    yield "cut-progressive.jpg", progressive[: len(progressive) // 2], "truncated"
    middle = len(whole) // 2
    yield "noise-in-the-middle.jpg", whole[:middle] + _noise(300) + whole[middle + 300 :], EITHER
    yield "zeros-in-the-middle.jpg", whole[:middle] + bytes(300) + whole[middle + 300 :], EITHER
    yield "markers-in-the-middle.jpg", whole[:middle] + b"\xff\xd8\xff\xda\xff\xc4" * 9 + whole[middle + 54 :], EITHER
    yield "starts-only.jpg", b"\xff\xd8\xff\xe0" + _noise(3000), EITHER
    parts = segments(whole)
    for name, marker in (("tables", 0xDB), ("codes", 0xC4), ("frame", 0xC0)):
        yield f"no-{name}.jpg", joined(part for part in parts if part[0] != marker), EITHER
    frame = dict(parts)[0xC0]
    for name, found in (
        ("no-height", frame[:1] + bytes(2) + frame[3:]), ("no-width", frame[:3] + bytes(2) + frame[5:]),
        ("depth-12", b"\x0c" + frame[1:]), ("five-channels", frame[:5] + b"\x05" + frame[6:]),
        ("wrong-size", frame[:1] + b"\x01\x90" + frame[3:]),
    ):  # fmt: skip
        yield f"{name}.jpg", joined((m, found if m == 0xC0 else p) for m, p in parts), EITHER
    huge = frame[:1] + struct.pack(">HH", 65_500, 65_500) + frame[5:]
    yield "bomb.jpg", joined((m, huge if m == 0xC0 else p) for m, p in parts), "too-many-pixels"
    for name, marker in (("arithmetic", 0xC9), ("lossless", 0xC3), ("hierarchical", 0xC5)):
        yield f"{name}.jpg", joined((marker if m == 0xC0 else m, p) for m, p in parts), EITHER
    yield "long-segment.jpg", whole[:2] + b"\xff\xe5\xff\xff" + whole[2:], EITHER
    yield "short-segment.jpg", whole[:2] + segment(0xE5, b"")[:2] + b"\0\1" + whole[2:], EITHER


def _pngs() -> Iterator[tuple[str, bytes, str]]:
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        yield f"{mode.lower()}.png", saved("PNG", _image(mode)), OK
    deep = pixels(3, *_SIDE).astype(np.uint16) * 257
    yield "16-bit-grey.png", png_of(deep[..., :1], 0), OK
    yield "16-bit-rgb.png", png_of(deep, 2), OK
    yield "16-bit-rgba.png", png_of(np.concatenate([deep, deep[..., :1]], axis=2), 6), OK
    yield "16-bit-transparent.png", png_of(deep, 2, (b"tRNS", bytes(6))), OK
    for depth in (1, 2, 4):
        row = b"\0" + bytes(range(7 * depth))
        yield f"{depth}-bit-grey.png", png(row * 40, 56, 40, depth, 0), OK
    yield "transparent-palette.png", saved("PNG", _image("P"), transparency=bytes(range(0, 250, 5))), OK
    short = png(b"\0\x09" * 4, 1, 4, 8, 3, (b"PLTE", b"\1\2\3"))
    yield "colour-beyond-palette.png", short, EITHER
    yield "interlaced.png", _interlaced(pixels(4, 12, 9)), OK
    yield "oriented.png", with_chunks(saved("PNG", _image()), (b"eXIf", exif(6))), OK
    yield "text.png", with_chunks(saved("PNG", _image()), (b"tEXt", b"parameters\0steps: 20")), OK
    yield (
        "bad-text.png",
        with_chunks(saved("PNG", _image()), (b"iTXt", b"workflow\0\1\0\0\0no zlib"), (b"tEXt", b"")),
        OK,
    )
    large = zlib.compress(bytes(20_000_000), 9)
    yield "text-bomb.png", with_chunks(saved("PNG", _image()), (b"zTXt", b"parameters\0\0" + large)), OK
    yield "text-bomb-behind.png", saved("PNG", _image())[:-12] + chunk(b"zTXt", b"a\0\0" + large) + chunk(b"IEND"), OK
    yield "profile-bomb.png", with_chunks(saved("PNG", _image()), (b"iCCP", b"x\0\0" + large)), OK
    yield "unknown-chunk.png", with_chunks(saved("PNG", _image()), (b"juNk", _noise(500))), OK
    yield "behind.png", saved("PNG", _image()) + _noise(500), OK


def _broken_pngs() -> Iterator[tuple[str, bytes, str]]:
    whole = saved("PNG", Image.fromarray(_grain(60, 80)))
    for end in (8, 20, 33, 40):
        yield f"cut-{end}.png", whole[:end], "truncated"
    for percent in (30, 60, 95):
        yield f"cut-{percent}-percent.png", whole[: len(whole) * percent // 100], "truncated"
    yield "no-end.png", whole[:-12], EITHER
    yield "bad-crc-of-header.png", whole[:29] + b"\0\0\0\0" + whole[33:], EITHER
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    yield "bad-crc.png", whole[: at + 4 + length] + b"\0\0\0\0" + whole[at + 8 + length :], EITHER
    yield "bad-data.png", whole[: at + 40] + _noise(60) + whole[at + 100 :], EITHER
    end = chunk(b"IEND")
    header = whole[:33]
    yield "no-data.png", header + end, EITHER
    yield "too-little-data.png", header + chunk(b"IDAT", zlib.compress(b"\0" * 30)) + end, EITHER
    yield "no-width.png", png(b"\0\0", 0, 1, 8, 0), "corrupt"
    yield "depth-3.png", png(b"\0\0", 1, 1, 3, 0), "corrupt"
    yield "colour-5.png", png(b"\0\0", 1, 1, 8, 5), "corrupt"
    yield "filter-9.png", png(b"\x09\0", 1, 1, 8, 0), EITHER
    yield "bomb.png", bomb(), "too-many-pixels"
    yield "largest.png", png(b"\0\0", 2**31 - 1, 2**31 - 1, 8, 0), "too-many-pixels"
    yield "starts-only.png", b"\x89PNG\r\n\x1a\n" + _noise(3000), "corrupt"


def _animations() -> Iterator[tuple[str, bytes, str]]:
    frames = [_image(seed=seed) for seed in (1, 2)]
    together: dict[str, Any] = {"save_all": True, "append_images": frames}
    yield "still.gif", saved("GIF", _image("P")), OK
    yield "interlaced.gif", saved("GIF", _image("P"), interlace=1), OK
    yield "transparent.gif", saved("GIF", _image("P"), transparency=0), OK
    for format_ in ("GIF", "PNG", "WEBP"):
        yield f"animated.{format_.lower()}", saved(format_, _image(), **together), OK
    moving = saved("GIF", _image(), **together)
    yield "cut.gif", moving[: len(moving) // 4], "truncated"
    yield "cut-13.gif", moving[:13], "truncated"
    yield "no-end.gif", moving[:-1], EITHER
    yield "starts-only.gif", b"GIF89a" + _noise(3000), EITHER
    yield "bomb.gif", b"GIF89a" + b"\xff\xff\xff\xff" + moving[10:], "too-many-pixels"
    yield "lossy.webp", saved("WEBP", _image()), OK
    yield "lossless.webp", saved("WEBP", _image(), lossless=True), OK
    yield "alpha.webp", saved("WEBP", _image("RGBA")), OK
    whole = saved("WEBP", _image())
    yield "cut.webp", whole[: len(whole) // 2], "truncated"
    yield "cut-16.webp", whole[:16], EITHER
    yield "starts-only.webp", b"RIFF\xff\xff\0\0WEBP" + _noise(3000), EITHER


def _tiffs() -> Iterator[tuple[str, bytes, str]]:
    for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"{name}.tif", saved("TIFF", _image(), compression=name), OK
    yield "fax.tif", saved("TIFF", _image("1"), compression="group4"), OK
    for mode in ("1", "L", "P", "RGBA", "CMYK", "LAB"):
        image = _image() if mode == "LAB" else _image(mode)
        if mode == "LAB":
            image = Image.frombytes("LAB", image.size, image.tobytes())
        yield f"{mode.lower()}.tif", saved("TIFF", image), OK
    deep = pixels(5, *_SIDE)[..., 0].astype(np.uint16) * 257
    yield "16-bit.tif", saved("TIFF", Image.fromarray(deep)), OK
    yield "32-bit.tif", saved("TIFF", Image.fromarray(deep.astype(np.int32) * 1000)), "unsupported"
    yield "float.tif", saved("TIFF", Image.fromarray(deep.astype(np.float32))), "unsupported"
    yield "pages.tif", saved("TIFF", _image(), save_all=True, append_images=[_image(seed=1)]), OK
    drawn = pixels(6, *_SIDE)
    yield "big-endian.tif", rgb_tiff(drawn, order=">"), OK
    yield "large-form.tif", rgb_tiff(drawn, big=True), OK
    yield "turned.tif", rgb_tiff(drawn, orientation=6), OK
    whole = rgb_tiff(drawn)
    yield "cut.tif", whole[: len(whole) // 2], EITHER
    yield "cut-8.tif", whole[:8], "truncated"
    count = int.from_bytes(whole[8:10], "little")
    behind = 10 + 12 * count
    yield "pages-in-a-circle.tif", whole[:behind] + struct.pack("<L", 8) + whole[behind + 4 :], EITHER
    yield "starts-only.tif", b"II*\0" + _noise(3000), EITHER
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (400_000,)), 257: (4, (400_000,)), 258: (3, (8,)), 262: (3, (1,)), 278: (4, (400_000,)),
    }  # fmt: skip
    yield "bomb.tif", tiff_of(tags, b"\0" * 100), "too-many-pixels"


def _bitmaps() -> Iterator[tuple[str, bytes, str]]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"{mode.lower()}.bmp", saved("BMP", _image(mode)), OK
    drawn = pixels(7, 9, 7)
    yield "old.bmp", bmp(drawn, old=True), OK
    yield "top-down.bmp", bmp(drawn, top_down=True), OK
    whole = bmp(drawn)
    yield "cut.bmp", whole[: len(whole) // 2], "truncated"
    yield "bomb.bmp", whole[:18] + struct.pack("<ll", 2**31 - 1, 2**30) + whole[26:], "too-many-pixels"
    yield "negative.bmp", whole[:18] + struct.pack("<ll", -7, 9) + whole[26:], "corrupt"
    yield "starts-only.bmp", b"BM" + bytes(12) + _noise(300), EITHER


def _new_formats() -> Iterator[tuple[str, bytes, str]]:
    if features.check("avif"):
        whole = saved("AVIF", _image())
        yield "still.avif", whole, OK
        yield "alpha.avif", saved("AVIF", _image("RGBA")), OK
        yield "cut.avif", whole[: len(whole) // 2], EITHER
        yield "animated.avif", saved("AVIF", _image(), save_all=True, append_images=[_image(seed=1)]), OK
    yield "starts-only.avif", b"\0\0\0\x1cftypavif" + _noise(500), EITHER
    yield "starts-only.heic", b"\0\0\0\x1cftypheic" + _noise(500), EITHER
    try:
        import pillow_heif
    except ImportError:
        return
    out = io.BytesIO()
    pillow_heif.from_pillow(_image()).save(out)
    yield "still.heic", out.getvalue(), OK
    yield "cut.heic", out.getvalue()[: len(out.getvalue()) // 2], EITHER


def _other_formats() -> Iterator[tuple[str, bytes, str]]:
    """Pictures of kinds that are not read: said by name, and not decoded by whatever library happens to know them."""
    for format_, mode, suffix in (
        ("ICO", "RGBA", "ico"), ("ICNS", "RGBA", "icns"), ("PPM", "RGB", "ppm"), ("PPM", "L", "pgm"),
        ("DDS", "RGB", "dds"), ("EPS", "RGB", "eps"),
    ):  # fmt: skip
        yield f"other.{suffix}", saved(format_, _image(mode).resize((64, 64))), "unsupported"
    for format_, mode, suffix in (
        ("PCX", "P", "pcx"),
        ("TGA", "RGB", "tga"),
        ("SGI", "RGB", "sgi"),
        ("PDF", "RGB", "pdf"),
    ):
        yield f"other.{suffix}", saved(format_, _image(mode).resize((64, 64))), "not-an-image"
    if features.check("jpg_2000"):
        yield "other.jp2", saved("JPEG2000", _image()), "unsupported"
        yield "other.j2k", saved("JPEG2000", _image(), no_jp2=True), "unsupported"
    yield "other.jxl", b"\xff\x0a" + _noise(300), "unsupported"
    yield "other.psd", b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(300), "unsupported"
    yield "drawing.svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported"
    yield "document.jpg", b"%PDF-1.7\n%" + _noise(400), "not-an-image"
    yield "film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + _noise(400), "not-an-image"


def _no_pictures() -> Iterator[tuple[str, bytes, str]]:
    yield "words.jpg", b"this is no picture at all\n", "not-an-image"
    yield "letters.jpg", "これは写真ではない\n".encode(), "not-an-image"
    yield "page.jpg", b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "html"
    yield "page-after-space.png", b"\n\n  <html>", "html"
    yield "archive.jpg", _zip(), "not-an-image"
    yield "packed.jpg", b"\x1f\x8b\x08" + _noise(200), "not-an-image"
    yield "noise.jpg", _noise(5000), "not-an-image"
    yield "zeros.jpg", bytes(5000), "not-an-image"
    yield "one-byte.png", b"\x89", "not-an-image"
    yield "program.png", b"\x7fELF" + _noise(200), "not-an-image"
    yield "png-called.jpg", saved("PNG", _image()), OK
    yield "jpeg-called.png", _jpeg(), OK
    yield "no-suffix", _jpeg(), OK
    yield "picture.txt", _jpeg(), OK
    # Two things at once: a picture whose first bytes are no picture's.
    yield "space-first.jpg", b"\n" + _jpeg(), "not-an-image"


def _sizes() -> Iterator[tuple[str, bytes, str]]:
    for width, height in ((1, 1), (2, 2), (1, 2), (3, 1), (7, 5), (8, 8), (1, 20_000), (20_000, 1), (20_000, 24)):
        image = Image.fromarray(np.resize(pixels(8, 8, 8), (height, width, 3)))
        yield f"{width}x{height}.jpg", saved("JPEG", image), OK
        yield f"{width}x{height}.png", saved("PNG", image), OK


def _no_files(folder: Path) -> dict[Path, str]:
    told = {folder / "missing.jpg": "missing"}
    (folder / "folder.jpg").mkdir()
    told[folder / "folder.jpg"] = "not-an-image"
    (folder / "link.jpg").symlink_to(folder / "baseline.jpg")
    told[folder / "link.jpg"] = OK
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    told[folder / "dangling.jpg"] = "missing"
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    told[folder / "circle.jpg"] = EITHER
    (folder / "null.jpg").symlink_to(os.devnull)
    told[folder / "null.jpg"] = "not-an-image"
    os.mkfifo(folder / "pipe.jpg")
    told[folder / "pipe.jpg"] = "not-an-image"
    told[folder / "baseline.jpg" / "below-a-file.jpg"] = EITHER
    told[folder / ("b" * 400 + ".jpg")] = EITHER
    if os.geteuid() != 0:  # who may do everything may read everything
        (folder / "forbidden.jpg").write_bytes(_jpeg())
        (folder / "forbidden.jpg").chmod(0)
        told[folder / "forbidden.jpg"] = "unreadable"
    return told


def _interlaced(drawn: np.ndarray) -> bytes:
    """A PNG in Adam7's seven passes, which Pillow does not write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b""
    for top, left, down, right in passes:
        part = drawn[top::down, left::right]
        rows += b"".join(b"\0" + row.tobytes() for row in part if part.shape[1])
    height, width = drawn.shape[:2]
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def _grain(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _noise(count: int) -> bytes:
    return np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8).tobytes()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("words.txt", "words")
    return out.getvalue()
