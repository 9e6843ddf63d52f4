"""Where a name that came from outside may be written: below the destination, or nowhere."""

from __future__ import annotations

import re
from pathlib import Path

from fauxlens.core.errors import FetchError

_DRIVE = re.compile(r"^[A-Za-z]:")
# Windows gives these names to devices in every folder, whatever their suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def inside(destination: Path, name: str) -> Path:
    """The path of `name` below `destination`; an error for a name that would leave it.

    Both `/` and the backslash separate, so that a name means the same place on every system.

    >>> inside(Path("out"), "val/a.png").as_posix()
    'out/val/a.png'
    >>> inside(Path("out"), "../a.png")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fauxlens.core.errors.FetchError: '../a.png': the name leads out of the destination ('..'). Next: ...
    """
    pieces = name.replace("\\", "/").split("/")
    reason = _why_not(name, pieces)
    if reason:
        raise FetchError(
            f"the name leads out of the destination ({reason})",
            where=repr(name),
            hint="nothing was written for it; ask the owner of the data, or leave this file out",
        )
    return destination.joinpath(*pieces)


def _why_not(name: str, pieces: list[str]) -> str | None:
    if not name:
        return "it is empty"
    if any(ord(letter) < 32 for letter in name):
        return "control characters"
    if name[0] in "/\\":
        return "an absolute path"
    for piece in pieces:
        if piece in ("", ".", ".."):
            return repr(piece)
        if _DRIVE.match(piece):
            return "a drive letter"
        if piece.split(".")[0].rstrip().lower() in _DEVICES:
            return "the name of a device"
    return None
