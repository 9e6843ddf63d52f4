"""Bytes of a file by position, with few and small reads: what every header reader here reads from."""

from __future__ import annotations

import os
from typing import Protocol

HEAD = 4096


class Source(Protocol):
    """Random access to bytes. `head` holds the first ones, however many; `size` is the length of the whole."""

    head: bytes
    size: int

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer (or none) where the file ends."""


class FileSource:
    """A file that is open for reading; the caller closes the handle."""

    __slots__ = ("bytes_read", "handle", "head", "size")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.size = os.fstat(handle).st_size
        self.head = _read_at(handle, HEAD, 0)
        self.bytes_read = len(self.head)

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        end = offset + length
        if end <= len(self.head) or self.size <= len(self.head):
            return self.head[offset:end]
        if offset >= self.size:
            return b""
        data = _read_at(self.handle, length, offset)
        self.bytes_read += len(data)
        return data


class MemorySource:
    """Bytes that are already in memory."""

    __slots__ = ("data", "head", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.head = data[:HEAD]

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return self.data[offset : offset + length]


def _seek_and_read(handle: int, length: int, offset: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, length)


# pread is one system call instead of two; Windows lacks it.
_read_at = getattr(os, "pread", _seek_and_read)
