"""A small reader of CBOR (RFC 8949), bounded in depth, in the number of things and by the bytes there are."""

from __future__ import annotations

import math
import struct
from typing import Any

from fauxlens.core.errors import FauxlensError

_MAX_DEPTH = 32
_MAX_THINGS = 50_000
_BREAK = object()


class BadCbor(FauxlensError, ValueError):
    """Bytes that are no CBOR, or more of it than is read here."""


def read_cbor(data: bytes) -> Any:
    """The first thing in `data`: numbers, bytes, text, lists, dicts (keys as text), None; tags are passed over.

    >>> read_cbor(bytes.fromhex("a26161016162820203"))
    {'a': 1, 'b': [2, 3]}
    """
    found = _Reader(data).thing(0)
    if found is _BREAK:
        raise BadCbor("CBOR that begins with its end")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.left = data, 0, _MAX_THINGS

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise BadCbor("CBOR that ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def thing(self, depth: int) -> Any:
        self.left -= 1
        if depth > _MAX_DEPTH or self.left < 0:
            raise BadCbor("CBOR beyond all measure")
        first = self.take(1)[0]
        major, extra = first >> 5, first & 31
        if major == 7:
            return self.simple(extra)
        size = self.size(extra)
        if major in (0, 1):
            if size is None:
                raise BadCbor("a number without an end")
            return size if major == 0 else -1 - size
        if major in (2, 3):
            raw = self.take(size) if size is not None else self.pieces(depth)
            return raw if major == 2 else raw.decode("utf-8", "replace")
        if major == 4:
            return list(self.several(size, depth))
        if major == 5:
            flat = self.several(None if size is None else 2 * size, depth)
            return {_key(flat[k]): flat[k + 1] for k in range(0, len(flat) - 1, 2)}
        return self.thing(depth + 1)  # a tag says what kind of thing follows; the thing is all that is wanted

    def size(self, extra: int) -> int | None:
        if extra < 24:
            return extra
        if extra < 28:
            return int.from_bytes(self.take(1 << (extra - 24)), "big")
        if extra == 31:
            return None
        raise BadCbor("CBOR with a length of no kind")

    def several(self, count: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while count is None or len(found) < count:
            one = self.thing(depth + 1)
            if one is _BREAK:
                if count is None:
                    break
                raise BadCbor("CBOR that ends before its length")
            found.append(one)
        return found

    def pieces(self, depth: int) -> bytes:
        parts: list[bytes] = []
        while (one := self.thing(depth + 1)) is not _BREAK:
            parts.append(one.encode() if isinstance(one, str) else one if isinstance(one, bytes) else b"")
        return b"".join(parts)

    def simple(self, extra: int) -> Any:
        if extra == 31:
            return _BREAK
        if extra in (25, 26, 27):
            number = struct.unpack({25: ">e", 26: ">f", 27: ">d"}[extra], self.take(1 << (extra - 24)))[0]
            return number if math.isfinite(number) else None
        if extra == 24:
            self.take(1)
        return {20: False, 21: True}.get(extra)


def _key(value: Any) -> str:
    return value if isinstance(value, str) else str(value)[:80]
