"""Image files made by code, down to the byte: what Pillow writes, and what it would never write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image

from drawn import drawn_picture
from fauxlens.images.reader import MemorySource
from fauxlens.images.shapes import Pixels


class CountingSource:
    """A source with a head of any length that counts what is read of it and how much at once."""

    def __init__(self, data: bytes, head: int = 4096) -> None:
        self.data, self.size, self.head = data, len(data), data[:head]
        self.calls = self.largest = 0

    def at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.calls += 1
        self.largest = max(self.largest, length)
        return self.data[offset : offset + length]


def sources(data: bytes) -> list[MemorySource | CountingSource]:
    """The same bytes behind heads of several lengths."""
    return [MemorySource(data), *(CountingSource(data, head) for head in (0, 1, 20, 100, 4096))]


def saved(format_: str, pixels: Pixels | Image.Image | None = None, **options: Any) -> bytes:
    """A file as Pillow writes it; of the drawn picture when there are no pixels."""
    image = (
        pixels if isinstance(pixels, Image.Image) else Image.fromarray(drawn_picture() if pixels is None else pixels)
    )
    if format_ == "JPEG" and "exif" in options:
        options["exif"] = b"Exif\0\0" + options["exif"]  # the other formats store the block without its name
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """(marker, payload) of the segments of a well-formed file before SOS; the last is (SOS, the rest of the file)."""
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return [*found, (0xDA, jpeg[at:])]


def joined(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """The inverse of `segments`."""
    return b"\xff\xd8" + b"".join(rest if marker == 0xDA else segment(marker, rest) for marker, rest in parts)


def with_segments(jpeg: bytes, *new: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments right behind its SOI."""
    return jpeg[:2] + b"".join(segment(*part) for part in new) + jpeg[2:]


def exif(orientation: int, *, order: str = ">", behind: bytes = b"", kind: int = 3) -> bytes:
    """A TIFF structure with an orientation and nothing else."""
    value = struct.pack(order + ("HH" if kind == 3 else "L"), *((orientation, 0) if kind == 3 else (orientation,)))
    start = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(order + "HHL", 274, kind, 1) + value
    return start + struct.pack(order + "LH", 8, 1) + entry + bytes(4) + behind


def chunk(name: bytes, payload: bytes = b"") -> bytes:
    """A PNG chunk."""
    return struct.pack(">L", len(payload)) + name + payload + struct.pack(">L", zlib.crc32(name + payload))


def png(rows: bytes, width: int, height: int, depth: int, colour: int, *before: tuple[bytes, bytes]) -> bytes:
    """A PNG of raw rows (each with its filter byte), with chunks before the picture data."""
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0))
    middle = b"".join(chunk(*part) for part in before)
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def png_of(samples: np.ndarray, colour: int, *before: tuple[bytes, bytes]) -> bytes:
    """A PNG of (H, W, C) samples of 8 or 16 bits."""
    height, width = samples.shape[:2]
    big = samples.astype(">u2") if samples.dtype == np.uint16 else samples
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    return png(rows, width, height, 16 if samples.dtype == np.uint16 else 8, colour, *before)


def with_chunks(data: bytes, *new: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks behind its IHDR."""
    return data[:33] + b"".join(chunk(*part) for part in new) + data[33:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"".join(
        name + struct.pack("<L", len(payload)) + payload + bytes(len(payload) & 1) for name, payload in chunks
    )
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def riff_chunks(webp: bytes) -> list[tuple[bytes, bytes]]:
    """The inverse of `riff`."""
    found, at = [], 12
    while at < len(webp):
        length = int.from_bytes(webp[at + 4 : at + 8], "little")
        found.append((webp[at : at + 4], webp[at + 8 : at + 8 + length]))
        at += 8 + length + (length & 1)
    return found


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], data: bytes, *, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of one strip: its directory first, then values that do not fit into it, then the strip."""
    sizes = {3: "H", 4: "L", 16: "Q"}
    tags = dict(sorted((tags | {273: (4, (0,)), 279: (4, (len(data),))}).items()))
    count, step, inline = len(tags), (20 if big else 12), (8 if big else 4)
    start = 16 if big else 8
    after = start + (8 if big else 2) + step * count + (8 if big else 4)
    packed = {tag: struct.pack(order + sizes[kind] * len(values), *values) for tag, (kind, values) in tags.items()}
    outside = sum(len(value) for value in packed.values() if len(value) > inline)
    packed[273] = struct.pack(order + "L", after + outside)
    fields, tail = b"", b""
    for tag, (kind, values) in tags.items():
        value = packed[tag]
        if len(value) > inline:
            value, tail = struct.pack(order + ("Q" if big else "L"), after + len(tail)), tail + value
        fields += struct.pack(order + ("HHQ" if big else "HHL"), tag, kind, len(values)) + value.ljust(inline, b"\0")
    name = b"II" if order == "<" else b"MM"
    head = name + struct.pack(order + ("HHHQ" if big else "HL"), *((43, 8, 0, 16) if big else (42, 8)))
    return head + struct.pack(order + ("Q" if big else "H"), count) + fields + bytes(8 if big else 4) + tail + data


def rgb_tiff(pixels: Pixels, *, orientation: int | None = None, order: str = "<", big: bool = False) -> bytes:
    """An uncompressed RGB TIFF."""
    height, width = pixels.shape[:2]
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (8, 8, 8)), 259: (3, (1,)), 262: (3, (2,)),
        277: (3, (3,)), 278: (4, (height,)),
    }  # fmt: skip
    if orientation is not None:
        tags[274] = (3, (orientation,))
    return tiff(tags, pixels.tobytes(), order=order, big=big)


def box(name: bytes, payload: bytes) -> bytes:
    """A box of an AVIF or HEIC file."""
    return struct.pack(">L", len(payload) + 8) + name + payload


def bmp(pixels: Pixels, *, old: bool = False, top_down: bool = False) -> bytes:
    """A BMP of 24 bits; `old` has the header of OS/2."""
    height, width = pixels.shape[:2]
    rows = [row[:, ::-1].tobytes().ljust((3 * width + 3) // 4 * 4, b"\0") for row in pixels]
    body = b"".join(rows if top_down else rows[::-1])
    if old:
        header = struct.pack("<LHHHH", 12, width, height, 1, 24)
    else:
        header = struct.pack(
            "<LllHHLLllLL", 40, width, -height if top_down else height, 1, 24, 0, len(body), 0, 0, 0, 0
        )
    return b"BM" + struct.pack("<LLL", 14 + len(header) + len(body), 0, 14 + len(header)) + header + body


def icc_profile(
    red: tuple[float, float, float],
    green: tuple[float, float, float],
    blue: tuple[float, float, float],
    gamma: float,
    name: str | None = "drawn",
) -> bytes:
    """A display profile (ICC 2.1) of three primaries, as XYZ at D50, and one exponent."""

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">l", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    white = (0.9642, 1.0, 0.8249)
    tags = {b"wtpt": xyz(white), b"rXYZ": xyz(red), b"gXYZ": xyz(green), b"bXYZ": xyz(blue)}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    if name is not None:
        text = name.encode() + b"\0"
        described = b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + bytes(78)
        tags[b"desc"] = described + bytes(-len(described) % 4)
    return _icc(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """A grey profile of one exponent."""
    text = b"drawn grey\0"
    described = b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">l", round(v * 65536)) for v in (0.9642, 1.0, 0.8249))
    tags = {b"wtpt": white, b"kTRC": curve, b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    return _icc(b"GRAY", tags | {b"desc": described + bytes(-len(described) % 4)})


def _icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">LL", at + len(body), len(value))
        body += value
    size = at + len(body)
    head = struct.pack(">L4sL4s4s4s", size, b"none", 0x02100000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">lll", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">L", len(tags)) + table + body


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels as stored -> upright, by the EXIF rule, with numpy alone."""
    ways: dict[int, Callable[[Pixels], Pixels]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    return ways[orientation](pixels)
