"""What a dataset layout owes: recognise a tree, and read it as entries.

A layout only looks at names (and at the dataset's own lists); the facts of every file are read by `scan`, the same way
for all layouts. Whatever a layout does not take, it names with the reason: nothing is dropped in silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fauxlens.core.errors import UnknownLayout
from fauxlens.manifest.layouts.walk import Listing, is_text, spelt, walk

_Item = TypeVar("_Item")

PICTURE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"]
    + [".avif", ".avifs", ".heic", ".heif", ".hif", ".jp2", ".ppm", ".pgm", ".pnm"]
)


@dataclass(frozen=True, slots=True)
class Given:
    """Facts of one file as the dataset's own list states them; `scan` prefers what it measures itself."""

    width: int | None = None
    height: int | None = None
    jpeg_quality: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as its layout describes it; paths are relative to the root, with forward slashes.

    `origin` is a text that names the group: the same for a real photo and for all that came of it, and told by names
    and lists alone, never by what else is on disk. None means that the image stands for itself. `given` is what the
    dataset's own list says of the file: all there is when a list describes a dataset that is not on this disk.
    """

    path: str
    label: str
    mask_path: str | None = None
    generator: str | None = None
    family: str | None = None
    method: str | None = None
    mask_type: str | None = None
    variant: str | None = None
    content: str | None = None
    source: str | None = None
    split: str | None = None
    origin: str | None = None
    licence: str | None = None
    notes: str | None = None
    given: Given | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One file or row that is not in the manifest, and why.

    `reason` is one of few, so that it can be counted; `detail` has what differs from file to file: a line, a value.
    """

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """One count as the dataset's authors publish it: rows that match `where` (column -> value) should be `count`."""

    where: Mapping[str, str]
    count: int
    source: str


@dataclass(frozen=True, slots=True)
class Guess:
    """That a tree looks like a layout: how sure (0-1), and what was seen."""

    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A tree as its layout reads it. `remarks` are sentences for the person who scans.

    `lists` are the dataset's own files that were read (annotations, splits, metadata). Every file of the tree is an
    entry, a mask of one, one of the lists, or left out.
    """

    entries: Sequence[Entry]
    left_out: Sequence[LeftOut] = ()
    remarks: Sequence[str] = ()
    published: Sequence[Published] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lists: Sequence[str] = ()


class Layout(Protocol):
    """A way in which datasets lie on disk."""

    @property
    def name(self) -> str:
        """The name it has in the table."""

    @property
    def summary(self) -> str:
        """What it looks for, in one line."""

    def recognise(self, tree: Tree) -> Guess | None:
        """Say whether `tree` looks like this layout; None when it cannot be."""

    def read(self, tree: Tree) -> Reading:
        """Read the names in `tree` as entries, sorted by path or in the order of the dataset's own list."""


@dataclass(frozen=True)
class Tree:
    """The names of all files under a root, listed once, sorted, links followed (each folder once).

    What is no part of a dataset (hidden files, links that lead nowhere, what fauxlens itself wrote, ...)
    is in `left_out`.
    """

    root: Path
    # What a layout has parsed to recognise the tree, so that reading it need not parse the same list again.
    parsed: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            what = "no such folder" if not self.root.exists() else "not a folder"
            raise UnknownLayout(what, where=self.root, hint="give the folder that holds the dataset")
        if not is_text(os.fspath(self.root.resolve())):
            raise UnknownLayout(
                "the folder's name is not UTF-8, and a manifest has to hold it",
                where=spelt(os.fspath(self.root)),
                hint="rename it, or give a link to it that has another name",
            )

    @cached_property
    def _listing(self) -> Listing:
        return walk(self.root)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths of all files, relative to the root, with forward slashes, sorted by their bytes."""
        return tuple(self._listing.files)

    @cached_property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What was passed over when the files were listed, whatever the layout; folders end with a slash."""
        return tuple(LeftOut(item.path, item.reason, item.detail) for item in self._listing.passed_over)

    @cached_property
    def file_set(self) -> frozenset[str]:
        """The same, to ask whether a name is there."""
        return frozenset(self.files)

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """The files whose suffix (in any case) is one of a picture."""
        return tuple(name for name in self.files if is_picture(name))

    @cached_property
    def top_folders(self) -> tuple[str, ...]:
        """Names of the folders directly under the root that hold files, sorted."""
        return tuple(sorted({name.partition("/")[0] for name in self.files if "/" in name}))

    def read_text(self, name: str) -> str:
        """A text file of the tree, as UTF-8 (bytes that are not are kept as they are, for comparing names)."""
        return (self.root / name).read_bytes().decode("utf-8", "surrogateescape")


def is_picture(name: str) -> bool:
    """Whether a file name ends as pictures do.

    >>> is_picture("a/b.PNG"), is_picture("a/b.txt"), is_picture("a.png/b")
    (True, False, False)
    """
    dot = name.rfind(".")
    return dot > name.rfind("/") and name[dot:].lower() in PICTURE_SUFFIXES


def stem_of(name: str) -> str:
    """The file name without its folder and its last suffix.

    >>> stem_of("a/b.c.PNG"), stem_of("a.b/c")
    ('b.c', 'c')
    """
    name = name[name.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[:dot] if dot > 0 else name


def spread(names: Sequence[_Item], most: int = 4096) -> Sequence[_Item]:
    """At most `most` of the names, evenly spaced: enough to recognise a tree of millions.

    >>> spread(["a", "b", "c", "d", "e"], most=2)
    ['a', 'd']
    """
    step = -(-len(names) // most)
    return names[::step] if step > 1 else names


def share_of(names: Sequence[str], fits: Callable[[str], bool]) -> float:
    """The share (0-1) of names that fit, judged on a spread of them; 0 when there are none."""
    tried = spread(names)
    return sum(1 for name in tried if fits(name)) / len(tried) if tried else 0.0


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun, for remarks.

    >>> counted(1, "picture"), counted(12000, "picture"), counted(2, "forgery", "forgeries")
    ('1 picture', '12,000 pictures', '2 forgeries')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def not_pictures(tree: Tree, taken: Iterable[str] = ()) -> list[LeftOut]:
    """The files of a tree that are no pictures and were not used by the layout."""
    used = set(taken)
    return [LeftOut(name, "not a picture") for name in tree.files if name not in used and not is_picture(name)]
