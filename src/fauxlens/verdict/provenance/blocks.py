"""The blocks of a file that may speak of its origin: EXIF, XMP, IPTC, texts, Content Credentials; raw, by container.

Everything is bounded: how many blocks are looked at, and how large compressed texts may grow together.
"""

from __future__ import annotations

import binascii
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from PIL import Image

from fauxlens.core.optional import need
from fauxlens.verdict.provenance.exif import decoded
from fauxlens.verdict.provenance.iptc import resource

_MAX_STEPS = 1 << 16
_MAX_INFLATED = 16 << 20
_MAX_TEXTS = 256
_MAX_TEXT = 4 << 20
_MAX_FAULTS = 20
_MAX_PACKETS = 8
_MAX_TIFF_ENTRIES = 1024
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE_NAME = b"http://ns.adobe.com/xmp/extension/\0"
_PNG_WANTED = frozenset((b"eXIf", b"caBX", b"tEXt", b"zTXt", b"iTXt"))
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1}


@dataclass(slots=True)
class Blocks:
    """What was found, as it lies in the file. `texts` are (key, value); `ducky`: Photoshop saved it "for Web"."""

    exif: bytes | None = None
    xmp: tuple[bytes, ...] = ()
    iptc: tuple[bytes, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    c2pa: bytes | None = None
    ducky: bool = False
    faults: tuple[str, ...] = ()
    left: int = field(default=_MAX_INFLATED, repr=False)

    def add_text(self, key: str, value: str) -> None:
        """Keep one more text, up to the bound."""
        if len(self.texts) < _MAX_TEXTS:
            self.texts += ((key, value),)

    def add_xmp(self, packet: bytes) -> None:
        """Keep one more packet, up to the bound."""
        if len(self.xmp) < _MAX_PACKETS:
            self.xmp += (packet,)

    def fault(self, what: str) -> None:
        """Something is broken; as a clause."""
        if len(self.faults) < _MAX_FAULTS:
            self.faults += (what,)


def read_blocks(data: bytes, format_: str) -> Blocks:
    """The blocks of a file in memory. Never raises: what cannot be read is a fault."""
    blocks = Blocks()
    reader = _READERS.get(format_)
    if reader is not None:
        reader(data, blocks)
    return blocks


def _jpeg(data: bytes, blocks: Blocks) -> None:
    photoshop, more = list[bytes](), dict[int, bytes]()
    boxes: dict[int, list[tuple[int, bytes]]] = {}
    for marker, payload in _segments(data):
        if marker == 0xE1 and payload.startswith(b"Exif\0") and blocks.exif is None:
            blocks.exif = payload[6:]
        elif marker == 0xE1 and payload.startswith(_XMP_NAME):
            blocks.add_xmp(payload[len(_XMP_NAME) :])
        elif marker == 0xE1 and payload.startswith(_XMP_MORE_NAME):
            head = len(_XMP_MORE_NAME) + 32  # the digest of the whole
            more[int.from_bytes(payload[head + 4 : head + 8], "big")] = payload[head + 8 :]
        elif marker == 0xEB and payload[:2] == b"JP" and len(payload) >= 16:
            number, place = int.from_bytes(payload[2:4], "big"), int.from_bytes(payload[4:8], "big")
            boxes.setdefault(number, []).append((place, payload[8:]))
        elif marker == 0xEC and payload.startswith(b"Ducky"):
            blocks.ducky = True
        elif marker == 0xED and payload.startswith(b"Photoshop 3.0\0"):
            photoshop.append(payload[14:])
        elif marker == 0xFE:
            blocks.add_text("Comment", decoded(payload).strip("\0 "))
    if more:
        blocks.add_xmp(b"".join(part for _, part in sorted(more.items())))
    if (iptc := resource(b"".join(photoshop))) is not None:
        blocks.iptc += (iptc,)
    for _, parts in sorted(boxes.items()):
        # Every segment repeats the header of the box that it carries a piece of; the first one's counts.
        ordered = [part for _, part in sorted(parts, key=lambda one: one[0])]
        header = 16 if ordered[0][:4] == b"\0\0\0\x01" else 8
        whole = ordered[0] + b"".join(part[header:] for part in ordered[1:])
        if whole[4:8] == b"jumb" and blocks.c2pa is None:
            blocks.c2pa = whole


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of the segments before the picture data."""
    at = 2
    for _ in range(_MAX_STEPS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0xD9, 0xDA):
            return
        if marker == 0xFF:
            at += 1
        elif marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            size = data[at + 2] << 8 | data[at + 3]
            if marker >= 0xE0 and size > 2:
                yield marker, data[at + 4 : at + 2 + size]
            at += 2 + max(size, 2)


def _png(data: bytes, blocks: Blocks) -> None:
    # Unlike orientation, texts count behind the picture data too: that is where some programs write them.
    at = 8
    for _ in range(_MAX_STEPS):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if len(name) < 4 or name == b"IEND":
            return
        chunk = data[at + 8 : at + 8 + length] if name in _PNG_WANTED else b""
        at += 12 + length
        if name == b"eXIf" and blocks.exif is None:
            blocks.exif = chunk.removeprefix(b"Exif\0\0")
        elif name == b"caBX" and blocks.c2pa is None:
            blocks.c2pa = chunk
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            key, value = _png_text(name, chunk, blocks)
            if key == "XML:com.adobe.xmp":
                blocks.add_xmp(value)
            elif key.startswith("Raw profile type "):
                _raw_profile(key.removeprefix("Raw profile type ").lower(), value, blocks)
            elif value:
                blocks.add_text(decoded(key.encode("latin-1")), decoded(value[:_MAX_TEXT]))


def _png_text(name: bytes, chunk: bytes, blocks: Blocks) -> tuple[str, bytes]:
    key, _, rest = chunk.partition(b"\0")
    if name == b"tEXt":
        return key.decode("latin-1"), rest
    if name == b"zTXt":
        return key.decode("latin-1"), _inflated(rest[1:], blocks)
    packed, (_, _, rest) = rest[:1] == b"\x01", rest[2:].partition(b"\0")  # the language
    rest = rest.partition(b"\0")[2]  # the key in that language
    return key.decode("latin-1"), _inflated(rest, blocks) if packed else rest


def _inflated(packed: bytes, blocks: Blocks) -> bytes:
    try:
        plain = zlib.decompressobj().decompress(packed, max(blocks.left, 1))
    except zlib.error:
        blocks.fault("a compressed text that cannot be unpacked")
        return b""
    blocks.left -= len(plain)
    if blocks.left <= 0:
        blocks.fault("compressed texts beyond all measure, which were not read")
        return b""
    return plain


def _raw_profile(kind: str, value: bytes, blocks: Blocks) -> None:
    """A block as ImageMagick keeps it in a text: its name, its length, its bytes in hexadecimal."""
    hexadecimal = re.sub(rb"\s+", b"", value.strip().partition(b"\n")[2].strip().partition(b"\n")[2])
    try:
        raw = binascii.unhexlify(hexadecimal)
    except binascii.Error:
        blocks.fault("a block in hexadecimal that cannot be read")
        return
    if kind in ("exif", "app1") and raw.startswith(b"Exif\0\0") and blocks.exif is None:
        blocks.exif = raw[6:]
    elif kind == "xmp" or raw.startswith(_XMP_NAME):
        blocks.add_xmp(raw.removeprefix(_XMP_NAME))
    elif kind in ("iptc", "8bim"):
        found = resource(raw) if raw.startswith(b"8BIM") else raw
        blocks.iptc += () if found is None else (found,)


def _webp(data: bytes, blocks: Blocks) -> None:
    at = 12
    for _ in range(_MAX_STEPS):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if len(name) < 4:
            return
        chunk = data[at + 8 : at + 8 + length] if name in (b"EXIF", b"XMP ", b"C2PA") else b""
        if name == b"EXIF" and blocks.exif is None:
            blocks.exif = chunk.removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            blocks.add_xmp(chunk)
        elif name == b"C2PA" and blocks.c2pa is None:
            blocks.c2pa = chunk
        at += 8 + length + (length & 1)


def _gif(data: bytes, blocks: Blocks) -> None:
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    for _ in range(_MAX_STEPS):
        if data[at : at + 1] != b"!":  # the first frame, or the end
            return
        kind, name = data[at + 1 : at + 2], data[at + 3 : at + 14]
        if name.startswith(b"XMP Data"):
            # The packet lies there unwrapped; its own end says where it is over.
            end = data.find(b"<?xpacket end", at)
            if end > 0:
                blocks.add_xmp(data[at + 14 : end])
        inner, at = _sub_blocks(data, at + 2)
        if kind == b"\xfe":
            blocks.add_text("Comment", decoded(inner))
        elif name.startswith(b"C2PA_GIF") and blocks.c2pa is None:
            blocks.c2pa = inner[11:]


def _sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    for _ in range(_MAX_STEPS):
        length = data[at] if at < len(data) else 0
        at += 1
        if not length:
            break
        parts.append(data[at : at + length])
        at += length
    return b"".join(parts), at


def _tiff(data: bytes, blocks: Blocks) -> None:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if data[2:4] not in (b"*\0", b"\0*"):
        blocks.fault("a BigTIFF, whose metadata is not read here")
        return
    blocks.exif = data
    at, seen = int.from_bytes(data[4:8], order), set[int]()
    for entry in range(at + 2, at + 2 + 12 * min(_MAX_TIFF_ENTRIES, int.from_bytes(data[at : at + 2], order)), 12):
        tag, kind, number = (
            int.from_bytes(data[entry + start : entry + stop], order) for start, stop in ((0, 2), (2, 4), (4, 8))
        )
        size = _TIFF_SIZES.get(kind, 0) * number
        if tag not in (700, 33723, 34377, 52545) or tag in seen or size <= 4:
            continue
        seen.add(tag)
        begin = int.from_bytes(data[entry + 8 : entry + 12], order)
        value = data[begin : begin + size]
        if tag == 700:
            blocks.add_xmp(value)
        elif tag == 52545:
            blocks.c2pa = value
        elif (found := value if tag == 33723 else resource(value)) is not None:
            blocks.iptc += (found,)


def _heif(opener: str, data: bytes, blocks: Blocks) -> None:
    for name, payload in _top_boxes(data):
        # A full box: version and flags, a purpose, where further boxes lie, and then the store.
        purpose, _, rest = payload[20:].partition(b"\0")
        if name == b"uuid" and payload[:16] == _C2PA_UUID and purpose == b"manifest" and blocks.c2pa is None:
            blocks.c2pa = rest[8:]
    try:
        if opener == "HEIF":
            plugin: Any = need("pillow_heif", "formats", "reading HEIC")
            plugin.register_heif_opener()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[opener]) as image:
                exif, xmp = image.info.get("exif"), image.info.get("xmp")
    except Exception:  # decoders fail on hostile bytes in a dozen ways, and none of them matters here
        blocks.fault("metadata that the decoder cannot read")
        return
    if isinstance(exif, bytes) and exif:
        blocks.exif = exif.removeprefix(b"Exif\0\0")
    if isinstance(xmp, bytes) and xmp:
        blocks.add_xmp(xmp)


def _top_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(_MAX_STEPS):
        length, name, begin = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        elif length == 0:
            length = len(data) - at
        if length < begin - at:
            return
        if name == b"uuid":
            yield name, data[begin : at + length]
        at += length


_READERS: dict[str, Callable[[bytes, Blocks], None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "tiff": _tiff,
    "avif": partial(_heif, "AVIF"),
    "heic": partial(_heif, "HEIF"),
}
