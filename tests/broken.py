"""A file of every sort that a dataset should not contain, drawn by code, with the reason each should be given."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Drawn pixels with structure of their own for each seed: no two look alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(seed: int, *, quality: int = 90, exif: bytes | None = None, height: int = 40, width: int = 56) -> bytes:
    """The bytes of a good JPEG; `exif` is put into an APP1 segment as it is."""
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, height, width)).save(stream, "JPEG", quality=quality)
    data = stream.getvalue()
    if exif is None:
        return data
    block = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def png(seed: int) -> bytes:
    """The bytes of a good PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels(seed)).save(stream, "PNG")
    return stream.getvalue()


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A valid small PNG that would decode to gigabytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) if height <= 64 else packer.compress(row * 8)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = chunk(b"IDAT", data + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b"")


def write_broken(folder: Path) -> dict[str, str]:
    """Write one broken file of each sort into `folder`; returns name -> reason."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = jpeg(900, height=200, width=300)
    files: dict[str, tuple[bytes, str]] = {
        "truncated.jpg": (whole[: len(whole) // 2], "truncated"),
        "truncated-header.jpg": (whole[:40], "truncated"),
        "truncated.png": (png(901)[:-60], "truncated"),
        "zero.jpg": (b"", "empty"),
        "suffix.jpg": (png(902), "wrong-suffix"),
        "page.jpg": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "html"),
        "bomb.png": (bomb(), "too-many-pixels"),
        "exif.jpg": (jpeg(903, exif=b"II*\0\xff\xff\xff\x7f"), "corrupt-exif"),
        "words.jpg": (b"this is no picture at all", "not-an-image"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_, reason) in files.items()}
