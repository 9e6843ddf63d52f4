"""The one thing decoding needs of EXIF: which way up. A strict reader of the first directory of a TIFF structure."""

from __future__ import annotations

from typing import Literal

_SHORT, _LONG = 3, 4
_ORIENTATION = 274


class BadExif(ValueError):
    """An EXIF block whose first directory cannot be read; the message says why in a few words."""


def orientation_of(tiff: bytes) -> int:
    """The orientation (1-8) that a TIFF structure states; 1 when it states none.

    >>> entry = b"\\x01\\x12" b"\\0\\x03" b"\\0\\0\\0\\x01" b"\\0\\x06\\0\\0"
    >>> orientation_of(b"MM\\0*" + b"\\0\\0\\0\\x08" + b"\\0\\x01" + entry + bytes(4))
    6
    """
    order = byte_order(tiff)
    start = int.from_bytes(tiff[4:8], order)
    if start < 8 or start + 2 > len(tiff):
        raise BadExif("its first directory lies outside the block")
    count = int.from_bytes(tiff[start : start + 2], order)
    if start + 2 + 12 * count > len(tiff):
        raise BadExif("its first directory is cut off")
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if int.from_bytes(tiff[at : at + 2], order) != _ORIENTATION:
            continue
        kind = int.from_bytes(tiff[at + 2 : at + 4], order)
        if kind not in (_SHORT, _LONG):
            raise BadExif(f"its orientation is of type {kind}")
        return checked(int.from_bytes(tiff[at + 8 : at + (10 if kind == _SHORT else 12)], order))
    return 1


def checked(orientation: int) -> int:
    """An orientation as it may be used: 0 (unspecified, common in the wild) is 1; above 8 is an error."""
    if orientation > 8:
        raise BadExif(f"its orientation is {orientation}")
    return orientation or 1


def byte_order(tiff: bytes) -> Literal["little", "big"]:
    """'little' or 'big', from the first four bytes of a TIFF structure."""
    head = tiff[:4]
    if head == b"II*\0":
        return "little"
    if head == b"MM\0*":
        return "big"
    raise BadExif("it has no TIFF header")
