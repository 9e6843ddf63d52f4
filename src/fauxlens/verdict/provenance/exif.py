"""EXIF in full: the directories of a TIFF structure, read with bounds and without following one pointer twice."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fauxlens.images.exif import BadExif, byte_order

MAKE, MODEL, SOFTWARE, DATE, DESCRIPTION, ARTIST = 0x010F, 0x0110, 0x0131, 0x0132, 0x010E, 0x013B
MAKER_NOTE, USER_COMMENT, TAKEN, DIGITISED = 0x927C, 0x9286, 0x9003, 0x9004
LENS_MODEL, SERIAL, EXPOSURE, ISO = 0xA434, 0xA431, 0x829A, 0x8827
_XP_COMMENT, _XP_SUBJECT = 0x9C9C, 0x9C9F
_EXIF_POINTER, _GPS_POINTER = 0x8769, 0x8825
_THUMBNAIL_AT, _THUMBNAIL_LENGTH, _ORIENTATION = 0x0201, 0x0202, 0x0112

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_MAX_ENTRIES = 1024
_MAX_VALUE = 4 << 20
_MAX_TOGETHER = 16 << 20
_MAX_NUMBERS = 16


@dataclass(frozen=True, slots=True)
class Exif:
    """The first directory and EXIF's own as `tags`, the directory of the thumbnail, whether a place is stated.

    Values are text (ASCII), bytes (undefined), or tuples of numbers. Where a place lies is not kept: nobody asked.
    """

    tags: Mapping[int, Any] = field(default_factory=dict)
    second: Mapping[int, Any] = field(default_factory=dict)
    has_place: bool = False
    thumbnail: bytes | None = None
    faults: tuple[str, ...] = ()

    def text(self, tag: int) -> str:
        """A tag as text; empty when it is not there, or is no text."""
        value = self.tags.get(tag)
        if isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return utf16(value) if tag in (_XP_COMMENT, _XP_SUBJECT) else user_comment(value)
        return ""

    @property
    def texts(self) -> tuple[tuple[int, str], ...]:
        """Every tag that holds text."""
        return tuple((tag, text) for tag in self.tags if (text := self.text(tag).strip("\0 ")))


def read_exif(tiff: bytes) -> Exif:
    """All that a TIFF structure says. Never raises: what cannot be read is a fault."""
    faults: list[str] = []
    try:
        order = byte_order(tiff)
    except BadExif:
        return Exif(faults=("an EXIF block without a TIFF header",))
    tags, following = _directory(tiff, int.from_bytes(tiff[4:8], order), order, faults)
    own, place = _pointer(tags, _EXIF_POINTER), _pointer(tags, _GPS_POINTER)
    if own:
        tags = {**_directory(tiff, own, order, faults)[0], **tags}
    has_place = bool(place and _directory(tiff, place, order, faults)[0].keys() & {2, 4})
    second = _directory(tiff, following, order, faults)[0] if following else {}
    return Exif(tags, second, has_place, _thumbnail(tiff, second), tuple(dict.fromkeys(faults)))


def _directory(tiff: bytes, at: int, order: Literal["little", "big"], faults: list[str]) -> tuple[dict[int, Any], int]:
    """The values of one directory, and where the next one lies (0: there is none)."""
    count = int.from_bytes(tiff[at : at + 2], order)
    if at < 8 or at + 2 > len(tiff):
        faults.append("an EXIF directory outside its block")
        return {}, 0
    end = at + 2 + 12 * count
    if count > _MAX_ENTRIES or end > len(tiff):
        faults.append("an EXIF directory that is cut off")
        count = min(_MAX_ENTRIES, max(0, (len(tiff) - at - 2) // 12))
    found: dict[int, Any] = {}
    left = _MAX_TOGETHER  # values may lie over each other, and then the block is no bound
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag = int.from_bytes(tiff[entry : entry + 2], order)
        kind = int.from_bytes(tiff[entry + 2 : entry + 4], order)
        number = int.from_bytes(tiff[entry + 4 : entry + 8], order)
        size = _SIZES.get(kind, 0) * number
        start = entry + 8 if size <= 4 else int.from_bytes(tiff[entry + 8 : entry + 12], order)
        if not 0 < size <= _MAX_VALUE or start + size > len(tiff):
            if size > 4:
                faults.append("an EXIF value outside its block")
            continue
        left -= size
        if tag not in found and left > 0:  # the first one counts, as in every decoder
            found[tag] = _value(tiff[start : start + size], kind, order)
    return found, int.from_bytes(tiff[end : end + 4], order) if end + 4 <= len(tiff) else 0


def _value(raw: bytes, kind: int, order: Literal["little", "big"]) -> Any:
    if kind == 2:
        return decoded(raw.split(b"\0\0")[0].rstrip(b"\0"))
    mark = "<" if order == "little" else ">"
    if kind in (5, 10):
        raw = raw[: 8 * _MAX_NUMBERS]
        pairs = struct.unpack(f"{mark}{len(raw) // 4}{'I' if kind == 5 else 'i'}", raw)
        return tuple(pairs[k] / pairs[k + 1] if pairs[k + 1] else 0.0 for k in range(0, len(pairs), 2))
    if kind == 7 or (kind == 1 and len(raw) > _MAX_NUMBERS):
        return raw
    letter = _NUMBERS[kind]
    raw = raw[: struct.calcsize(f"={letter}") * _MAX_NUMBERS]
    return struct.unpack(f"{mark}{len(raw) // struct.calcsize(f'={letter}')}{letter}", raw)


def _pointer(tags: Mapping[int, Any], tag: int) -> int:
    value = tags.get(tag)
    return int(value[0]) if isinstance(value, tuple) and value and isinstance(value[0], int) else 0


def _thumbnail(tiff: bytes, second: Mapping[int, Any]) -> bytes | None:
    at, length = _pointer(second, _THUMBNAIL_AT), _pointer(second, _THUMBNAIL_LENGTH)
    block = tiff[at : at + length] if 0 < length <= _MAX_VALUE else b""
    return block if block.startswith(b"\xff\xd8") else None


def decoded(raw: bytes) -> str:
    """Bytes of an unstated encoding as text: UTF-8 where they are, Latin-1 otherwise (which every byte is)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def utf16(raw: bytes) -> str:
    """UTF-16 of an unstated byte order: zeros stand before the letters of Western text, or behind them."""
    even, odd = raw[0:4096:2].count(0), raw[1:4096:2].count(0)
    if raw[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return raw.decode("utf-16", "replace").rstrip("\0")
    return raw.decode("utf-16-be" if even > odd else "utf-16-le", "replace").rstrip("\0")


def user_comment(raw: bytes) -> str:
    """A comment with the eight bytes before it that name its encoding; they are missing in the wild.

    >>> user_comment(b"UNICODE\\0" + "Steps".encode("utf-16-be")), user_comment(b"ASCII\\0\\0\\0Steps")
    ('Steps', 'Steps')
    """
    name, text = raw[:8], raw[8:]
    if name == b"UNICODE\0":
        # The letters say which byte order it is; where they do not, writers follow the one that EXIF's own order has.
        return utf16(text)
    if name in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        return decoded(text).strip("\0 ")
    return decoded(raw).strip("\0 ")
