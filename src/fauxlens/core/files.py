"""Files are written whole or not at all: to a temporary name in the same folder, synced, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_HALF = re.compile("[\ud800-\udfff]")


@contextlib.contextmanager
def atomic_path(target: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it onto `target` when the block ends well, remove it when not.

    With `lasting` it survives a power cut; without, it is still whole or not there, and many small files are faster.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # An own name and exclusive creation, rather than mkstemp, so that the file gets the rights any new file of this
    # user has; two writers of the same target never share a temporary file.
    temporary = target.parent / f".{target.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        temporary.touch(exist_ok=False)
    except OSError as fault:  # tell of the name that the caller knows
        raise OSError(fault.errno, fault.strerror, os.fspath(target)) from None
    try:
        yield temporary
        if lasting:
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        temporary.replace(target)
        if lasting:
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write `data` to `target`, whole or not at all."""
    with atomic_path(target, lasting=lasting) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` as UTF-8 with LF endings, whole or not at all.

    What is no letter in any encoding (a byte of a file's name that could not be read as one) is spelt out.
    """
    write_bytes(target, text.encode("utf-8", "backslashreplace"))


def write_json(target: Path, value: Any) -> None:
    """Write `value` as `to_json` makes it, whole or not at all."""
    write_text(target, to_json(value))


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """`value` as indented JSON with sorted keys and a line end; numbers that JSON has no word for are null.

    >>> print(to_json({"rate": float("nan"), "done": (1, 2.5)}), end="")
    {
      "done": [
        1,
        2.5
      ],
      "rate": null
    }
    """
    text = json.dumps(_finite(value), indent=2, sort_keys=True, ensure_ascii=ascii_only, allow_nan=False)
    return _encodable(text) + "\n"


def to_json_line(value: Any, *, ascii_only: bool = False) -> str:
    """`value` as `to_json` makes it, on one line.

    >>> to_json_line({"rate": float("inf"), "done": 1})
    '{"done": 1, "rate": null}\\n'
    """
    return _encodable(json.dumps(_finite(value), sort_keys=True, ensure_ascii=ascii_only, allow_nan=False)) + "\n"


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut, where the system can (Windows cannot open folders)."""
    with contextlib.suppress(OSError, PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _encodable(written: str) -> str:
    """JSON in which half letters, which names of files may hold and UTF-8 has no bytes for, are spelt as escapes."""
    return _HALF.sub(lambda found: f"\\u{ord(found.group()):04x}", written)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
