"""The files below a folder, and what is passed over on the way: nothing is dropped without being told.

Links to folders are followed after everything else, each folder once, so that a file has the name of its own place. One
folder that cannot be read costs what is in it, not the scan.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from fauxlens.core.errors import UnknownLayout
from fauxlens.manifest.layouts.own_output import OWN_OUTPUT, is_own_file, own_parts

HIDDEN_FILE = "a hidden file"
HIDDEN_FOLDER = "a hidden folder, not looked into"
NOT_UTF8 = "the name is not UTF-8"
SECOND_LINK = "a link to a folder that is read already"
DEAD_LINK = "a link that leads nowhere"
UNREADABLE = "the folder cannot be read"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or (with a slash at its end) a folder that is not listed, and why."""

    path: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class Listing:
    """Paths relative to the root, with forward slashes, sorted by their bytes; and what was passed over."""

    files: list[str] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)


def walk(root: Path) -> Listing:
    """List everything below `root`; raises only when `root` itself cannot be read."""
    found = Listing()
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, str]] = [(os.fspath(root), "")]
    links: deque[tuple[str, str]] = deque()
    while folders or links:
        folder, prefix = folders.pop() if folders else links.popleft()
        try:
            facts = os.stat(folder)  # noqa: PTH116 - millions of folders
            # A link to a folder above would go round for ever; a second link to one folder would count files twice.
            if (facts.st_dev, facts.st_ino) in seen:
                found.passed_over.append(PassedOver(prefix, SECOND_LINK))
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as bad:
            if not prefix:
                raise UnknownLayout(
                    "the folder cannot be read", where=root, got=bad.strerror, hint="look at its rights"
                ) from bad
            found.passed_over.append(PassedOver(prefix, f"{UNREADABLE}: {bad.strerror}"))
            continue
        ours = own_parts(folder, {entry.name for entry in entries}, is_root=not prefix)
        if ours is None:
            found.passed_over.append(PassedOver(prefix, OWN_OUTPUT))
            continue
        for entry in entries:
            _take(entry, prefix, ours, found, folders, links)
    found.files.sort()
    found.passed_over.sort(key=lambda item: item.path)
    return found


def spelt(name: str) -> str:
    """A name with the bytes that are not UTF-8 spelt out.

    >>> spelt("caf\\udce9")
    'caf\\\\udce9'
    """
    return name.encode("utf-8", "backslashreplace").decode()


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 on disk, so that it can be written into a manifest."""
    return name.isascii() or name == spelt(name)


def _take(
    entry: os.DirEntry[str],
    prefix: str,
    ours: frozenset[str],
    found: Listing,
    folders: list[tuple[str, str]],
    links: deque[tuple[str, str]],
) -> None:
    name = entry.name
    path = prefix + name
    try:
        is_folder = entry.is_dir()
        linked = entry.is_symlink()
        # A chain of links that bites its tail raises; one whose end is gone does not.
        is_dead = linked and not is_folder and not os.path.exists(entry.path)  # noqa: PTH110
    except OSError:
        found.passed_over.append(PassedOver(spelt(path), DEAD_LINK))
        return
    why = None
    if name.startswith("."):
        why = HIDDEN_FOLDER if is_folder else HIDDEN_FILE
    elif not (name.isascii() or is_text(name)):
        why = NOT_UTF8
    elif is_dead:
        why = DEAD_LINK
    elif name in ours or (not is_folder and is_own_file(entry.path)):
        why = OWN_OUTPUT
    if why is not None:
        found.passed_over.append(PassedOver(spelt(f"{path}/" if is_folder else path), why))
    elif not is_folder:
        found.files.append(path)
    elif linked:
        links.append((entry.path, f"{path}/"))
    else:
        folders.append((entry.path, f"{path}/"))
