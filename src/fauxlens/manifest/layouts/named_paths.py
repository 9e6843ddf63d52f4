"""A path as a dataset's own list writes it, found in the tree."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from fauxlens.manifest.layouts.layout import Tree

NOT_ON_DISK = "named in the list, not on disk"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a written path lies in the tree; `problem` says why it cannot be used (None: it is on disk)."""

    path: str
    problem: str | None = None


@dataclass(frozen=True)
class Locator:
    """Finds written paths: relative to each of `bases` (folders of the tree, "" is the root), or absolute."""

    tree: Tree
    bases: Sequence[str] = ("",)
    roots: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        there = {self.tree.root.absolute().as_posix(), self.tree.root.resolve().as_posix()}
        object.__setattr__(self, "roots", tuple(sorted(folder.rstrip("/") + "/" for folder in there)))

    def find(self, written: str) -> Located:
        """The path in the tree that `written` means."""
        on_disk = self.tree.file_set
        for base in self.bases:
            if (path := base + written) in on_disk:
                return Located(path)
        # Lists made on Windows; a backslash in a real name was found above.
        plain = posixpath.normpath(written.replace("\\", "/"))
        for root in self.roots:
            if plain.startswith(root):
                inside = plain[len(root) :]
                return Located(inside, None if inside in on_disk else NOT_ON_DISK)
        if plain.startswith("/") or plain[1:3] == ":/":
            return Located(written, "an absolute path outside the root: scan the folder that holds it")
        first = None
        for base in self.bases:
            path = posixpath.normpath(base + plain)
            if path in on_disk:
                return Located(path)
            if not path.startswith("../") and path != "..":
                first = first or path
        if first is None:
            return Located(written, "a path outside the root: scan the folder that holds it")
        return Located(first, NOT_ON_DISK)


def folder_of(name: str) -> str:
    """The folder of a file with its slash, ready to be put before a name; "" for the root.

    >>> folder_of("a/b/c.txt"), folder_of("c.txt")
    ('a/b/', '')
    """
    return name[: name.rfind("/") + 1]
