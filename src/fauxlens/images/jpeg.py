"""A JPEG's header, without decoding: size, tables, quality, sampling, metadata kinds, orientation.

The reader walks the length-prefixed segments from SOI to SOS and never looks inside a payload for markers: thumbnails
in EXIF and Photoshop blocks hold whole JPEGs with tables of their own, and a search for the bytes FF DB finds those
first in one file of eleven.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from fauxlens.images import exif
from fauxlens.images.quality import JpegQuality, estimate
from fauxlens.images.reader import Source

# Start-of-frame markers; C4, C8 and CC in that range are other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_ARITHMETIC = frozenset((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_LOSSLESS = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
_EOI, _SOS, _DQT, _DHT = 0xD9, 0xDA, 0xDB, 0xC4
_TABLES_AND_FRAMES = _FRAMES | {_DQT, _DHT}
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))

# CRC-32 of the four standard Huffman tables (Annex K.3: DC and AC, luma and chroma): counts and symbols.
_STANDARD_HUFFMAN = frozenset((0x9898900E, 0x06F8F02E, 0x57A406EB, 0xA1415F28))

_RATIOS = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}
_APP_KINDS = (
    # marker, first bytes of the payload, kind
    (0xE0, b"JFIF\0", "jfif"),
    (0xE0, b"JFXX\0", "jfif"),
    (0xE1, b"Exif\0", "exif"),
    (0xE1, b"http://ns.adobe.com/x", "xmp"),
    (0xE2, b"ICC_PROFILE\0", "icc"),
    (0xE2, b"MPF\0", "mpf"),
    (0xEB, b"JP", "c2pa"),
    (0xED, b"Photoshop 3.0\0", "photoshop"),
    (0xEE, b"Adobe", "adobe"),
)


class BadJpeg(ValueError):
    """A JPEG header that contradicts itself or ends too early; `cut_off` says which."""

    def __init__(self, message: str, *, cut_off: bool = False) -> None:
        super().__init__(message)
        self.cut_off = cut_off


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the segments before the first scan say. Width and height are as stored, before orientation.

    `components` are (identifier, horizontal, vertical sampling, table); `tables` maps a table's number to its 64
    entries in zigzag order; `huffman` is 'standard' or 'optimised' (None when arithmetic or defined nowhere).
    """

    width: int
    height: int
    precision: int
    components: tuple[tuple[int, int, int, int], ...]
    progressive: bool
    arithmetic: bool
    lossless: bool
    tables: dict[int, tuple[int, ...]]
    subsampling: str | None
    quality: JpegQuality | None
    huffman: str | None
    metadata: tuple[str, ...]
    orientation: int
    exif_error: str | None
    adobe_transform: int | None

    @property
    def luma_table(self) -> tuple[int, ...] | None:
        """The table of the first component, zigzag; None when the header does not define it."""
        return self.tables.get(self.components[0][3])

    @property
    def chroma_table(self) -> tuple[int, ...] | None:
        """The table of the second component, zigzag; None for grey or when the header does not define it."""
        return self.tables.get(self.components[1][3]) if len(self.components) > 1 else None


def read_jpeg_header(source: Source) -> JpegHeader:
    """Walk the segments from SOI to SOS. Raises BadJpeg and nothing else, whatever the bytes are."""
    data = source.head
    if data[:2] != b"\xff\xd8":
        raise BadJpeg("no JPEG: it does not begin with FF D8")
    base, position, length_known = 0, 2, len(data)
    frame: bytes | None = None
    frame_marker = 0
    tables: dict[int, tuple[int, ...]] = {}
    kinds: set[str] = set()
    huffman: bool | None = None
    orientation, exif_error, adobe_transform = 1, None, None
    have_exif = False
    while True:
        # `data` is a window on the file that begins at `base`; move it when the next marker is not in it whole.
        if position - base + 4 > length_known:
            data = source.at(position, 4096)
            base, length_known = position, len(data)
            if length_known < 4:
                if frame is not None and data[:2] == b"\xff\xd9":
                    break
                raise BadJpeg(f"the file ends at byte {source.size}, before the picture begins", cut_off=True)
        i = position - base
        if data[i] != 0xFF:
            raise BadJpeg(f"expected a marker at byte {position}, found {data[i]:02X}")
        marker = data[i + 1]
        if marker == 0xFF:  # any number of fill bytes may stand before a marker
            position += 1
            continue
        if marker in _NO_LENGTH:
            position += 2
            continue
        if marker == _SOS:
            break
        if marker in (0x00, 0xD8, _EOI):
            raise BadJpeg(f"marker {marker:02X} at byte {position}, before any picture data")
        length = data[i + 2] << 8 | data[i + 3]
        if length < 2:
            raise BadJpeg(f"segment {marker:02X} at byte {position} is {length} bytes long")
        start, size = i + 4, length - 2
        if marker in _TABLES_AND_FRAMES:
            payload = data[start : start + size]
            if len(payload) < size:
                payload = source.at(position + 4, size)
                if len(payload) < size:
                    raise BadJpeg(f"the file ends inside the segment at byte {position}", cut_off=True)
            if marker == _DQT:
                _read_tables(payload, tables)
            elif marker == _DHT:
                standard = _is_standard(payload)
                huffman = standard if huffman is None else huffman and standard
            elif frame is None:
                frame, frame_marker = payload, marker
            # A second frame header belongs to a hierarchical file; the first one gives the size.
        elif marker >= 0xE0:
            kind = _kind_of(marker, data[start : start + min(size, 24)] if size and start + 24 <= length_known
                            else source.at(position + 4, min(size, 24)))  # fmt: skip
            if kind is not None:
                kinds.add(kind)
                if kind == "exif" and not have_exif:
                    # Only the first block counts, as in every decoder.
                    have_exif = True
                    block = data[start + 6 : start + size]
                    if len(block) < size - 6:
                        block = source.at(position + 10, size - 6)
                    try:
                        orientation = exif.orientation_of(block)
                    except exif.BadExif as bad:
                        exif_error = str(bad)
                elif kind == "adobe" and size >= 12:
                    adobe_transform = source.at(position + 4 + 11, 1)[0] if source.size > position + 15 else None
        position += length + 2
    if frame is None:
        raise BadJpeg("no frame header before the first scan")
    return _assemble(
        frame, frame_marker, tables, kinds, huffman, orientation, exif_error, adobe_transform
    )  # fmt: skip


def subsampling_name(components: tuple[tuple[int, int, int, int], ...]) -> str | None:
    """'4:2:0' and its kin, from the components' sampling factors; None for grey.

    >>> subsampling_name(((1, 2, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)))
    '4:2:0'
    """
    if len(components) < 3:
        return None
    _, wide, high, _ = components[0]
    _, chroma_wide, chroma_high, _ = components[1]
    same = components[2][1:3] == (chroma_wide, chroma_high)
    if same and wide % chroma_wide == 0 and high % chroma_high == 0:
        name = _RATIOS.get((wide // chroma_wide, high // chroma_high))
        if name is not None:
            return name
    # Unusual factors are spelt out rather than forced into a name.
    return ",".join(f"{h}x{v}" for _, h, v, _ in components)


def _assemble(
    frame: bytes,
    marker: int,
    tables: dict[int, tuple[int, ...]],
    kinds: set[str],
    huffman: bool | None,
    orientation: int,
    exif_error: str | None,
    adobe_transform: int | None,
) -> JpegHeader:
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise BadJpeg("the frame header is shorter than it says")
    height, width, count = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4], frame[5]
    if not width or not count:
        raise BadJpeg(f"a frame of {width} x {height} pixels with {count} components")
    if not height:
        # Allowed by the standard (the number of lines follows the first scan), read by nobody.
        raise BadJpeg("the frame header leaves the height open")
    components = tuple(
        (frame[k], frame[k + 1] >> 4, frame[k + 1] & 15, frame[k + 2]) for k in range(6, 6 + 3 * count, 3)
    )
    if any(not 1 <= h <= 4 or not 1 <= v <= 4 for _, h, v, _ in components):
        raise BadJpeg("a sampling factor outside 1 to 4")
    luma = tables.get(components[0][3])
    chroma = tables.get(components[1][3]) if count > 1 else None
    arithmetic = marker in _ARITHMETIC
    return JpegHeader(
        width=width,
        height=height,
        precision=frame[0],
        components=components,
        progressive=marker in _PROGRESSIVE,
        arithmetic=arithmetic,
        lossless=marker in _LOSSLESS,
        tables=tables,
        subsampling=subsampling_name(components),
        quality=None if luma is None else estimate(luma, chroma),
        huffman=None if huffman is None or arithmetic else "standard" if huffman else "optimised",
        metadata=tuple(sorted(kinds)),
        orientation=orientation,
        exif_error=exif_error,
        adobe_transform=adobe_transform,
    )


def _read_tables(payload: bytes, tables: dict[int, tuple[int, ...]]) -> None:
    """Add the tables of a DQT segment (several may share one; the last definition of a number wins)."""
    at, end = 0, len(payload)
    while at < end:
        wide, number = payload[at] >> 4, payload[at] & 15
        at += 1
        if wide == 0:
            entries = payload[at : at + 64]
            if len(entries) < 64:
                raise BadJpeg("a quantisation table is cut off")
            tables[number] = tuple(entries)
            at += 64
        elif wide == 1:
            entries = payload[at : at + 128]
            if len(entries) < 128:
                raise BadJpeg("a quantisation table is cut off")
            tables[number] = tuple(entries[k] << 8 | entries[k + 1] for k in range(0, 128, 2))
            at += 128
        else:
            raise BadJpeg(f"a quantisation table of precision {wide}")


def _is_standard(payload: bytes) -> bool:
    at = 0
    while at + 17 <= len(payload):
        end = at + 17 + sum(payload[at + 1 : at + 17])
        if zlib.crc32(payload[at + 1 : end]) not in _STANDARD_HUFFMAN:
            return False
        at = end
    return True


def _kind_of(marker: int, start: bytes) -> str | None:
    if marker == 0xFE:
        return "comment"
    for wanted, prefix, kind in _APP_KINDS:
        if marker == wanted and start.startswith(prefix):
            return kind
    return "other" if marker < 0xF0 else None
