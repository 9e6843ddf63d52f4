"""A JPEG's header, without decoding: size, tables, quality, sampling, metadata kinds, orientation.

The reader walks the length-prefixed segments from SOI to SOS and never looks inside a payload for markers: thumbnails
in EXIF and Photoshop blocks hold whole JPEGs with tables of their own, and a search for the bytes FF DB finds those
first in one file of eleven.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

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
# After FF: a stuffed zero, markers that stand alone (TEM and restarts), a fill byte.
_NO_SEGMENT = frozenset((0x00, 0x01, *range(0xD0, 0xD8), 0xFF))

_WINDOW = 4096
_PREFIX = 24
# A header is at most a few hundred segments (255 of ICC, some of XMP or C2PA); beyond these it is an attack or noise.
_MAX_SEGMENTS = 1 << 14
_MAX_STRAY = 1 << 16

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
# Marker -> (first bytes of the payload, kind).
_APP_KINDS = {
    0xE0: ((b"JFIF\0", "jfif"), (b"JFXX\0", "jfif")),
    0xE1: ((b"Exif\0", "exif"), (b"http://ns.adobe.com/x", "xmp")),
    0xE2: ((b"ICC_PROFILE\0", "icc"), (b"MPF\0", "mpf")),
    0xEB: ((b"JP", "c2pa"),),
    0xED: ((b"Photoshop 3.0\0", "photoshop"),),
    0xEE: ((b"Adobe", "adobe"),),
    0xFE: ((b"", "comment"),),
}


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
    if len(data) < 4:
        data = source.at(0, _WINDOW)
    if data[:2] != b"\xff\xd8":
        raise BadJpeg("no JPEG: it does not begin with FF D8")
    base, position, known = 0, 2, len(data)
    frame: bytes | None = None
    frame_marker = stray = segments = 0
    tables: dict[int, tuple[int, ...]] = {}
    kinds: set[str] = set()
    huffman: bool | None = None
    orientation, exif_error, adobe_transform = 1, None, None
    while True:
        # `data` is a window on the file that begins at `base`; move it when the next marker is not in it whole.
        i = position - base
        if i + 4 > known:
            data = source.at(position, _WINDOW)
            base, known, i = position, len(data), 0
            if known < 4 and data[:2] == b"\xff\xd9":
                raise BadJpeg(f"marker D9 at byte {position}, before any picture data")
            if known < 4:
                raise BadJpeg(f"the file ends at byte {source.size}, before the picture begins", cut_off=True)
        marker = data[i + 1]
        if data[i] != 0xFF or marker in _NO_SEGMENT:
            # Fill bytes, restart markers and stray bytes: decoders step over them to the next marker, and so do we.
            if data[i] == 0xFF and marker == 0xFF:
                step = known - i - len(data[i:].lstrip(b"\xff")) - 1
            elif data[i] == 0xFF:
                step = 2
            else:
                found = data.find(b"\xff", i)
                step = (known if found < 0 else found) - i
            position += step
            stray += step
            if stray > _MAX_STRAY:
                raise BadJpeg(f"more than {_MAX_STRAY:,} bytes before byte {position} belong to no segment")
            continue
        if marker == _SOS:
            break
        if marker < 0xC0 or marker == 0xD8 or marker == _EOI:
            raise BadJpeg(f"marker {marker:02X} at byte {position}, before any picture data")
        size = (data[i + 2] << 8 | data[i + 3]) - 2
        segments += 1
        if size < 0 or segments > _MAX_SEGMENTS:
            said = f"is {size + 2} bytes long" if size < 0 else f"is one of more than {_MAX_SEGMENTS:,}"
            raise BadJpeg(f"segment {marker:02X} at byte {position} {said}")
        start = i + 4
        if marker in _TABLES_AND_FRAMES:
            payload = data[start : start + size]
            if len(payload) < size:
                payload = source.at(position + 4, size)
                if len(payload) < size:
                    raise BadJpeg(f"the file ends inside the segment at byte {position}", cut_off=True)
            if marker == _DQT:
                # The last definition of a number wins.
                tables.update(_tables_in(payload) if size <= 4 * 129 else _tables_in.__wrapped__(payload))
            elif marker == _DHT:
                huffman = _is_standard(payload) and huffman is not False
            elif frame is None:
                frame, frame_marker = payload, marker
            # A second frame header belongs to a hierarchical file; the first one gives the size.
        elif marker >= 0xE0:
            wanted = size if size < _PREFIX else _PREFIX
            begin = data[start : start + wanted]
            if len(begin) < wanted:
                begin = source.at(position + 4, wanted)
            kind = _kind_of(marker, begin)
            if kind == "exif" and kind not in kinds:  # only the first block counts, as in every decoder
                orientation, exif_error = _exif(source, position + 10, data[start + 6 : start + size], size - 6)
            elif kind == "adobe" and len(begin) >= 12:
                adobe_transform = begin[11]
            if kind is not None:
                kinds.add(kind)
        position += size + 4
    if frame is None:
        raise BadJpeg("no frame header before the first scan")
    return _assemble(frame, frame_marker, tables, kinds, huffman, orientation, exif_error, adobe_transform)


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
    components, subsampling = _components_in(frame[6 : 6 + 3 * count])
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
        subsampling=subsampling,
        quality=None if luma is None else estimate(luma, chroma),
        huffman=None if huffman is None or arithmetic else "standard" if huffman else "optimised",
        metadata=tuple(sorted(kinds)),
        orientation=orientation,
        exif_error=exif_error,
        adobe_transform=adobe_transform,
    )


def _exif(source: Source, at: int, block: bytes, size: int) -> tuple[int, str | None]:
    """Orientation, and why it cannot be read. `block` is what is known of the `size` bytes that begin at `at`.

    The first directory stands at the beginning as a rule and a thumbnail of 60 kB behind it, so the rest of the block
    is fetched only if the directory is not in what there is.
    """
    for length in (len(block), _WINDOW, size):
        if len(block) < min(length, size):
            block = source.at(at, min(length, size))
        try:
            return exif.orientation_of(block), None
        except exif.BadExif as bad:
            error = str(bad)
        if len(block) >= size:
            break
    return 1, error


# A dataset has few distinct tables and samplings, so reading them is remembered; hostile ones must not fill memory.


@lru_cache(maxsize=1024)
def _components_in(entries: bytes) -> tuple[tuple[tuple[int, int, int, int], ...], str | None]:
    """The components of a frame header, and the name of their subsampling."""
    components = tuple(
        (entries[k], entries[k + 1] >> 4, entries[k + 1] & 15, entries[k + 2]) for k in range(0, len(entries), 3)
    )
    if any(not 1 <= h <= 4 or not 1 <= v <= 4 for _, h, v, _ in components):
        raise BadJpeg("a sampling factor outside 1 to 4")
    return components, subsampling_name(components)


@lru_cache(maxsize=1024)
def _tables_in(payload: bytes) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """(number, entries) of the tables of a DQT segment; several may share one."""
    tables: list[tuple[int, tuple[int, ...]]] = []
    at, end = 0, len(payload)
    while at < end:
        wide, number = payload[at] >> 4, payload[at] & 15
        if wide > 1:
            raise BadJpeg(f"a quantisation table of precision {wide}")
        at, stop = at + 1, at + 65 + 64 * wide
        if stop > end:
            raise BadJpeg("a quantisation table is cut off")
        entries = payload[at:stop]
        if wide:
            tables.append((number, tuple(entries[k] << 8 | entries[k + 1] for k in range(0, 128, 2))))
        else:
            tables.append((number, tuple(entries)))
        at = stop
    return tuple(tables)


@lru_cache(maxsize=256)
def _is_standard(payload: bytes) -> bool:
    """Whether a DHT segment holds tables of Annex K.3 and nothing else."""
    at = 0
    while at + 17 <= len(payload):
        end = at + 17 + sum(payload[at + 1 : at + 17])
        if zlib.crc32(payload[at + 1 : end]) not in _STANDARD_HUFFMAN:
            return False
        at = end
    return at > 0


def _kind_of(marker: int, start: bytes) -> str | None:
    for prefix, kind in _APP_KINDS.get(marker, ()):
        if start.startswith(prefix):
            return kind
    return "other" if marker < 0xF0 else None
