"""The golden pixels of decoding: `python tests/golden/rewrite_decoding.py` rewrites decoding.json, for review.

The files are made by code. What lossless formats and whole-number rules define to the bit is compared by hash on any
machine. What passes through a lossy codec or colour management depends on the versions of libjpeg-turbo, libwebp,
libavif and Little CMS (encoder and decoder): it is compared by hash where the versions are the recorded ones, and
otherwise by a coarse thumbnail.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from drawn import drawn_mask, drawn_picture, smooth_picture
from fauxlens.images.phash import phash
from fauxlens.images.picture import Picture, decode
from fauxlens.images.resample import resize
from image_files import bmp, chunk, exif, icc_profile, png, png_of, rgb_tiff, saved, with_chunks

PATH = Path(__file__).with_name("decoding.json")
# A profile as cameras write it, near Adobe RGB (1998): its primaries at D50 and its exponent.
WIDE = icc_profile(
    (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2, "Drawn RGB (1998)"
)


def files() -> dict[str, tuple[bytes, bool]]:
    """Every case: the file, and whether a library's version may change its pixels."""
    pixels, smooth, mask = drawn_picture(), smooth_picture(), drawn_mask()
    deep = pixels.astype(np.uint16) * 256 + 255 - pixels
    rgba = np.dstack([pixels, mask // 2 + 60])
    image, see_through = Image.fromarray(pixels), Image.fromarray(rgba)
    cases: dict[str, tuple[bytes, bool]] = {
        "png/rgb": (saved("PNG", pixels), False),
        "png/rgba": (png_of(rgba, 6), False),
        "png/grey": (png_of(pixels[..., :1], 0), False),
        "png/grey-alpha": (png_of(rgba[..., 2:], 4), False),
        "png/rgb-16": (png_of(deep, 2), False),
        "png/grey-16": (png_of(deep[..., :1], 0), False),
        "png/rgba-16": (png_of(np.dstack([deep, deep[..., :1]]), 6), False),
        "png/transparent-colour": (with_chunks(saved("PNG", pixels), (b"tRNS", _colour_key(pixels))), False),
        "png/bits-2-transparent": (_two_bits(), False),
        "png/palette": (_palette(None), False),
        "png/palette-transparent": (_palette(bytes((0, 90, 255))), False),
        "gif": (saved("GIF", image.convert("P", palette=Image.Palette.WEB, dither=Image.Dither.NONE)), False),
        "bmp": (bmp(pixels), False),
        "bmp/top-down": (bmp(pixels, top_down=True), False),
        "tiff": (rgb_tiff(pixels, orientation=7, order=">"), False),
        "tiff/lzw": (saved("TIFF", pixels, compression="tiff_lzw"), False),
        "webp/lossless": (saved("WEBP", pixels, lossless=True), False),
        "webp/lossless-alpha": (saved("WEBP", see_through, lossless=True, exact=True), False),
        "webp/lossy": (saved("WEBP", smooth, quality=80), True),
        "webp/lossy-alpha": (saved("WEBP", see_through, quality=80), True),
        "avif": (saved("AVIF", smooth, quality=80, codec="auto", max_threads=1), True),
        "png/icc": (saved("PNG", pixels, icc_profile=WIDE), True),
        "jpeg/cmyk": (saved("JPEG", Image.fromarray(smooth).convert("CMYK"), quality=90), True),
    }
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            data = saved("JPEG", smooth, quality=85, subsampling=sampling, progressive=progressive)
            cases[f"jpeg/{sampling}{'/progressive' if progressive else ''}"] = data, True
    for orientation in range(1, 9):
        cases[f"png/orientation-{orientation}"] = with_chunks(saved("PNG", pixels), (b"eXIf", exif(orientation))), False
    return cases


def summary(picture: Picture, library: bool) -> dict[str, Any]:
    """What is kept of one case."""
    pixels = np.ascontiguousarray(picture.pixels)
    hashed = phash(pixels)
    return {
        "shape": list(pixels.shape),
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "thumbnail": resize(pixels, (3, 3), "box").reshape(-1).tolist(),
        "phash": None if hashed is None else f"{hashed:016x}",
        "notes": list(picture.notes),
        "library": library,
    }


def versions() -> dict[str, str]:
    """The libraries on which the `library` cases depend."""
    return {name: str(features.version(name)) for name in ("libjpeg_turbo", "webp", "avif", "littlecms2")}


def rewrite() -> None:
    """Write decoding.json anew."""
    cases = {name: summary(decode(data), library) for name, (data, library) in files().items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in sorted(cases.items()))
    PATH.write_text(f'{{"versions": {json.dumps(versions())}, "cases": {{\n{lines}\n}}}}\n', encoding="utf-8")


def _colour_key(pixels: np.ndarray) -> bytes:
    return pixels[3, 5].astype(">u2").tobytes()


def _two_bits() -> bytes:
    rows = b"".join(bytes((0, 0b00011011, 17 * y % 256)) for y in range(24))
    return png(rows, 8, 24, 2, 0, (b"tRNS", b"\0\1"))


def _palette(alpha: bytes | None) -> bytes:
    colours = b"".join(bytes((31 * k % 256, 77 * k % 256, 255 - 40 * k)) for k in range(5))
    rows = b"".join(b"\0" + bytes((x * y + x) % 5 for x in range(30)) for y in range(20))
    head = chunk(b"IHDR", (30).to_bytes(4, "big") + (20).to_bytes(4, "big") + b"\x08\x03\0\0\0")
    plain = png(rows, 30, 20, 8, 3, (b"PLTE", colours), *([(b"tRNS", alpha)] if alpha else []))
    assert plain[8 : 8 + len(head)] == head
    return plain


if __name__ == "__main__":
    rewrite()
    print(f"wrote {PATH}; look at the difference before you commit it")
