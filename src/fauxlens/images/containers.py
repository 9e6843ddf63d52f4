"""Headers of the other containers: PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC. No decoding, few small reads.

Each reader gives a `Header`; sizes are as stored, before orientation. They raise BadHeader and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fauxlens.images import exif
from fauxlens.images.reader import Source

# How many chunks or boxes are walked before a file is taken as it stands: an animation may have a hundred thousand.
_MAX_STEPS = 512
_MAX_BLOCK = 1 << 20

_PNG_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgba"}
_PNG_KINDS = {b"iCCP": "icc", b"tEXt": "text", b"zTXt": "text", b"caBX": "c2pa", b"eXIf": "exif"}
_WEBP_KINDS = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp", b"C2PA": "c2pa"}
_GIF_KINDS = {b"XMP Data": "xmp", b"ICCRGBG1": "icc", b"C2PA_GIF": "c2pa"}
_TIFF_KINDS = {34665: "exif", 700: "xmp", 34675: "icc", 33723: "iptc", 34377: "photoshop", 52545: "c2pa"}
_TIFF_WANTED = frozenset((256, 257, 258, 259, 262, 274, 277))
# EXIF orientation by quarter turns anticlockwise, then by the mirror that follows: upside down, sideways, none.
_TURN_AND_MIRROR = ((4, 2, 1), (5, 7, 8), (2, 4, 3), (7, 5, 6))
# Bytes that one value of a TIFF field type takes.
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class BadHeader(ValueError):
    """A header that contradicts itself or ends too early; `cut_off` says which."""

    def __init__(self, message: str, *, cut_off: bool = False) -> None:
        super().__init__(message)
        self.cut_off = cut_off


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says. `animated` is None when only decoding can tell."""

    width: int
    height: int
    bit_depth: int | None
    colour: str | None
    metadata: tuple[str, ...] = ()
    orientation: int = 1
    exif_error: str | None = None
    interlaced: bool | None = None
    animated: bool | None = None
    lossless: bool | None = None


def read_png_header(source: Source) -> Header:
    """IHDR, and the kinds of chunks that stand before the picture data (what follows it is not looked for)."""
    head = source.at(0, 33)
    if len(head) < 33:
        raise BadHeader("the file ends inside the PNG header", cut_off=True)
    if head[12:16] != b"IHDR" or head[8:12] != b"\0\0\0\r":
        raise BadHeader("a PNG that does not begin with IHDR")
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    depth, colour_type, interlace = head[24], head[25], head[28]
    colour = _PNG_COLOURS.get(colour_type)
    if colour is None or depth not in (1, 2, 4, 8, 16):
        raise BadHeader(f"a PNG of colour type {colour_type} and bit depth {depth}")
    kinds: set[str] = set()
    orientation, exif_error, animated = 1, None, False
    at = 33
    for _ in range(_MAX_STEPS):
        start = source.at(at, 8)
        if len(start) < 8:
            raise BadHeader(f"the file ends at byte {source.size}, before the picture begins", cut_off=True)
        length, name = int.from_bytes(start[:4], "big"), start[4:8]
        if name in (b"IDAT", b"IEND"):
            break
        if name == b"acTL":
            animated = True
        elif name == b"iTXt":
            kinds.add("xmp" if source.at(at + 8, 17) == b"XML:com.adobe.xmp" else "text")
        elif name in _PNG_KINDS:
            kinds.add(_PNG_KINDS[name])
            if name == b"eXIf":
                orientation, exif_error = _orientation(source.at(at + 8, min(length, _MAX_BLOCK)))
        at += 12 + length
    return Header(
        width,
        height,
        depth,
        colour,
        tuple(sorted(kinds)),
        orientation,
        exif_error,
        interlaced=interlace == 1,
        animated=animated,
        lossless=True,
    )


def read_webp_header(source: Source) -> Header:
    """VP8, VP8L or VP8X: size, lossy or lossless, alpha, metadata chunks (EXIF may stand behind the picture)."""
    # What stands behind the RIFF container does not belong to it.
    promised = 8 + int.from_bytes(source.at(4, 4), "little")
    end = min(source.size, promised)
    # The animation flag and the canvas come first; a simple file has one picture chunk and nothing else.
    kinds: set[str] = set()
    orientation, exif_error = 1, None
    size: tuple[int, int] | None = None
    lossless: bool | None = None
    alpha = animated = False
    at = 12
    for _ in range(_MAX_STEPS):
        start = source.at(at, min(30, max(end - at, 0)))
        if len(start) < 8:
            break
        name, length = start[:4], int.from_bytes(start[4:8], "little")
        if name == b"VP8X" and len(start) >= 18:
            alpha, animated = bool(start[8] & 0x10), bool(start[8] & 0x02)
            size = (1 + int.from_bytes(start[12:15], "little"), 1 + int.from_bytes(start[15:18], "little"))
            if not start[8] & 0x0C and animated:
                break  # no EXIF and no XMP: nothing to be found behind the frames
        elif name in (b"VP8 ", b"VP8L"):
            lossless = name == b"VP8L"
            inner = _vp8l_size(start) if lossless else _vp8_size(start)
            if inner is None:
                cut_off = promised > source.size
                raise BadHeader("a WebP picture chunk without its signature", cut_off=cut_off)
            if lossless and len(start) >= 13 and start[12] & 0x10:
                alpha = True
            size = size or inner
        elif name in _WEBP_KINDS:
            if name == b"EXIF" and "exif" not in kinds:  # the first block counts
                block = source.at(at + 8, min(length, _MAX_BLOCK))
                # Some writers keep JPEG's prefix, which does not belong here.
                orientation, exif_error = _orientation(block.removeprefix(b"Exif\0\0"))
            kinds.add(_WEBP_KINDS[name])
        at += 8 + length + (length & 1)
    if size is None:
        raise BadHeader("a WebP without a picture chunk", cut_off=promised > source.size)
    return Header(
        *size,
        8,
        "rgba" if alpha else "rgb",
        tuple(sorted(kinds)),
        orientation,
        exif_error,
        animated=animated,
        lossless=lossless,
    )


def read_gif_header(source: Source) -> Header:
    """The logical screen, widened to the first frame where that is larger; if it is animated only decoding tells."""
    head = source.at(0, 13)
    if len(head) < 13:
        raise BadHeader("the file ends inside the GIF header", cut_off=True)
    width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    kinds: set[str] = set()
    at = 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)
    for _ in range(_MAX_STEPS):
        block = source.at(at, 14)
        if block[:1] == b"," and len(block) >= 10:
            left, top, wide, high = (int.from_bytes(block[k : k + 2], "little") for k in (1, 3, 5, 7))
            width, height = max(width, left + wide), max(height, top + high)
            break
        if len(block) < 10:
            raise BadHeader(f"the file ends at byte {source.size}, before the picture begins", cut_off=True)
        if block[:1] != b"!":
            raise BadHeader(f"expected a GIF block at byte {at}, found {block[0]:02X}")
        kind = "comment" if block[1] == 0xFE else _GIF_KINDS.get(block[3:11]) if block[1] == 0xFF else None
        if kind is not None:
            kinds.add(kind)
        at = _behind_sub_blocks(source, at + 2)
    return Header(width, height, 8, "palette", tuple(sorted(kinds)), lossless=True)


def read_bmp_header(source: Source) -> Header:
    """The bitmap header, old (12 bytes) or new."""
    head = source.at(0, 30)
    if len(head) < 26:
        raise BadHeader("the file ends inside the BMP header", cut_off=True)
    length = int.from_bytes(head[14:18], "little")
    if length == 12:
        width, height = int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little")
        bits = int.from_bytes(head[24:26], "little")
    elif length >= 40:
        if len(head) < 30:
            raise BadHeader("the file ends inside the BMP header", cut_off=True)
        width = int.from_bytes(head[18:22], "little", signed=True)
        # A negative height means that rows are stored from the top.
        height = abs(int.from_bytes(head[22:26], "little", signed=True))
        bits = int.from_bytes(head[28:30], "little")
    else:
        raise BadHeader(f"a BMP header of {length} bytes")
    colour = "palette" if bits <= 8 else "rgba" if bits == 32 else "rgb"
    return Header(width, height, bits if bits <= 8 else 8, colour, lossless=True)


def read_tiff_header(source: Source) -> Header:
    """The first directory, of TIFF or BigTIFF."""
    head = source.at(0, 16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    big = int.from_bytes(head[2:4], order) == 43
    at = int.from_bytes(head[8:16] if big else head[4:8], order)
    entry, step = (8, 20) if big else (2, 12)
    if len(head) < 16:
        raise BadHeader("the file ends inside the TIFF header", cut_off=True)
    if at < 8:
        raise BadHeader(f"the first TIFF directory lies at byte {at}")
    start = source.at(at, entry)
    count = int.from_bytes(start, order)
    # The entries, and behind them where the next directory is.
    size = step * count + (8 if big else 4)
    if len(start) == entry and (not count or size > _MAX_BLOCK):
        raise BadHeader(f"a TIFF directory of {count} entries")
    block = source.at(at + entry, size) if len(start) == entry else b""
    if len(block) < size:
        raise BadHeader("the first TIFF directory lies outside the file", cut_off=True)
    values: dict[int, int] = {}
    kinds: set[str] = set()
    for k in range(0, step * count, step):
        tag = int.from_bytes(block[k : k + 2], order)
        kind = int.from_bytes(block[k + 2 : k + 4], order)
        number = int.from_bytes(block[k + 4 : k + (12 if big else 8)], order)
        if tag in _TIFF_KINDS:
            kinds.add(_TIFF_KINDS[tag])
        if tag not in _TIFF_WANTED:
            continue
        size = _TIFF_SIZES.get(kind, 0)
        field = block[k + (12 if big else 8) : k + step]
        if size * number > len(field):
            wanted = size * min(number, 16)
            field = source.at(int.from_bytes(field, order), wanted)
            if len(field) < wanted:
                raise BadHeader(f"the value of TIFF tag {tag} lies outside the file", cut_off=True)
        values[tag] = int.from_bytes(field[:size], order)
    if 256 not in values or 257 not in values:
        raise BadHeader("a TIFF directory without a size")
    samples, photometric = values.get(277, 1), values.get(262, 1)
    colour = "palette" if photometric == 3 else "cmyk" if photometric == 5 else "grey" if photometric < 2 else "rgb"
    if colour == "rgb" and samples > 3:
        colour = "rgba"
    elif colour == "grey" and samples > 1:
        colour = "grey-alpha"
    orientation, exif_error = 1, None
    try:
        orientation = exif.checked(values.get(274, 1))
    except exif.BadExif as bad:
        exif_error = str(bad)
    # 6 and 7 are JPEG, 34712 JPEG 2000, 50001 WebP: a picture with a lossy past.
    lossless = values.get(259, 1) not in (6, 7, 34712, 50001)
    depth = values.get(258, 1)
    return Header(
        values[256], values[257], depth, colour, tuple(sorted(kinds)), orientation, exif_error, lossless=lossless
    )  # fmt: skip


def read_avif_header(source: Source) -> Header:
    """The primary item of an AVIF file. Its clean aperture, if any, is left alone, as the decoders do."""
    return _read_heif_header(source, cropped=False)


def read_heic_header(source: Source) -> Header:
    """The primary item of a HEIC file, cropped to its clean aperture: coders work in blocks, so odd sizes need it."""
    return _read_heif_header(source, cropped=True)


def _read_heif_header(source: Source, *, cropped: bool) -> Header:
    """The primary item: size, depth, rotation and mirror (as decoders apply them), metadata kinds."""
    meta = _box(source, 0, source.size, b"meta")
    if meta is None:
        raise BadHeader("no 'meta' box", cut_off=True)
    start, end = meta[0] + 4, meta[1]  # a full box: version and flags first
    if end > source.size:
        raise BadHeader("the file ends inside its 'meta' box", cut_off=True)
    primary = _primary_item(source, start, end)
    properties = _box(source, start, end, b"iprp")
    container = properties and _box(source, *properties, b"ipco")
    linked = properties and _box(source, *properties, b"ipma")
    if primary is None or properties is None or container is None or linked is None:
        raise BadHeader("no primary picture")
    properties_of_it = _associations(source.at(linked[0], min(linked[1] - linked[0], _MAX_BLOCK)), primary)
    width = height = 0
    depth: int | None = None
    channels = 3
    aperture: tuple[int, int] | None = None
    quarter_turns, mirror, kinds = 0, 2, _item_kinds(source, start, end)
    for number, (name, at, stop) in enumerate(_boxes(source, *container), 1):
        if number not in properties_of_it:
            continue
        payload = source.at(at, min(stop - at, 64))
        if name == b"ispe" and len(payload) >= 12:
            width, height = int.from_bytes(payload[4:8], "big"), int.from_bytes(payload[8:12], "big")
        elif name == b"pixi" and len(payload) >= 6:
            channels, depth = payload[4], payload[5]
        elif name == b"clap" and cropped and len(payload) >= 16:
            wide, wide_unit, high, high_unit = (int.from_bytes(payload[k : k + 4], "big") for k in (0, 4, 8, 12))
            if wide_unit and high_unit:
                aperture = ((2 * wide + wide_unit) // (2 * wide_unit), (2 * high + high_unit) // (2 * high_unit))
        elif name == b"irot" and payload:
            quarter_turns = payload[0] & 3
        elif name == b"imir" and payload:
            mirror = payload[0] & 1
        elif name == b"colr" and payload[:4] in (b"prof", b"rICC"):
            kinds.add("icc")
    if not width or not height:
        raise BadHeader("the primary picture has no size")
    if aperture is not None:
        width, height = min(aperture[0], width), min(aperture[1], height)
    # EXIF's orientation does not apply here.
    orientation = _TURN_AND_MIRROR[quarter_turns][mirror]
    return Header(width, height, depth, "grey" if channels == 1 else "rgb", tuple(sorted(kinds)), orientation)


def _vp8_size(chunk: bytes) -> tuple[int, int] | None:
    if len(chunk) < 18 or chunk[11:14] != b"\x9d\x01\x2a":
        return None
    return int.from_bytes(chunk[14:16], "little") & 0x3FFF, int.from_bytes(chunk[16:18], "little") & 0x3FFF


def _vp8l_size(chunk: bytes) -> tuple[int, int] | None:
    if len(chunk) < 13 or chunk[8] != 0x2F:
        return None
    bits = int.from_bytes(chunk[9:13], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _behind_sub_blocks(source: Source, at: int) -> int:
    """Where a chain of GIF sub-blocks (a length byte and as many bytes each; a zero ends it) is over."""
    for _ in range(_MAX_BLOCK // 255):
        length = source.at(at, 1)
        if not length:
            raise BadHeader("the file ends inside a GIF extension", cut_off=True)
        at += 1 + length[0]
        if length == b"\0":
            return at
    raise BadHeader("a GIF extension that does not end")


def _orientation(tiff: bytes) -> tuple[int, str | None]:
    try:
        return exif.orientation_of(tiff), None
    except exif.BadExif as bad:
        return 1, str(bad)


def _boxes(source: Source, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """(name, begin of payload, end) of the boxes between two positions."""
    found: list[tuple[bytes, int, int]] = []
    at = start
    while at + 8 <= end and len(found) < _MAX_STEPS:
        head = source.at(at, 16)
        if len(head) < 8:
            break
        length, name, begin = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), at + 16
        elif length == 0:
            length = end - at
        if length < begin - at:
            break
        found.append((name, begin, at + length))
        at += length
    return found


def _box(source: Source, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    for name, begin, stop in _boxes(source, start, end):
        if name == wanted:
            return begin, stop
    return None


def _primary_item(source: Source, start: int, end: int) -> int | None:
    box = _box(source, start, end, b"pitm")
    if box is None:
        return None
    payload = source.at(box[0], 8)
    return int.from_bytes(payload[4:6] if payload[:1] == b"\0" else payload[4:8], "big") if len(payload) >= 6 else None


def _associations(payload: bytes, item: int) -> frozenset[int]:
    """The numbers (from 1) of the properties that belong to `item`, from the payload of an 'ipma' box."""
    if len(payload) < 8:
        return frozenset()
    version, wide = payload[0], bool(payload[3] & 1)
    at = 8
    for _ in range(int.from_bytes(payload[4:8], "big")):
        size = 2 if version < 1 else 4
        number = int.from_bytes(payload[at : at + size], "big")
        at += size
        if at >= len(payload):
            break
        count = payload[at]
        at += 1
        step = 2 if wide else 1
        if number == item:
            mask = 0x7FFF if wide else 0x7F
            return frozenset(
                int.from_bytes(payload[k : k + step], "big") & mask for k in range(at, at + step * count, step)
            )
        at += step * count
    return frozenset()


def _item_kinds(source: Source, start: int, end: int) -> set[str]:
    """Which kinds of metadata are items of the file."""
    box = _box(source, start, end, b"iinf")
    if box is None:
        return set()
    names = source.at(box[0], min(box[1] - box[0], 1 << 16))
    kinds = set()
    if b"infe" in names and b"Exif" in names:
        kinds.add("exif")
    if b"mime" in names and b"rdf+xml" in names:
        kinds.add("xmp")
    return kinds
