"""BR-Gen's real photos out of the user's own copies of COCO, ImageNet and Places.

The release names its real photos in `RealImage/<source>/<source>_image_list.txt` and does not include them.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from fauxlens.core.errors import BadManifest, BadSetting, FetchError
from fauxlens.core.files import atomic_path
from fauxlens.core.names import unknown
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.fetch.places import inside

SOURCES = ("COCO", "ImageNet", "Places")
REAL_FOLDER = "RealImage"
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

How = Literal["link", "copy", "symlink"]
MatchedBy = Literal["name", "stem", "number"]


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A listed photo, the user's file for it, its name below `RealImage/<source>`, and what told that it is the one."""

    source: str
    listed: str
    path: Path
    name: str
    by: MatchedBy


@dataclass(frozen=True, slots=True)
class AmbiguousPhoto:
    """A listed photo for which several of the user's files would do."""

    source: str
    listed: str
    candidates: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ExtractPlan:
    """Which listed photos were found, which are missing by source, and which have more than one candidate."""

    release_root: Path
    found: tuple[FoundPhoto, ...]
    missing: Mapping[str, tuple[str, ...]]
    ambiguous: tuple[AmbiguousPhoto, ...]

    @property
    def renumbered(self) -> dict[str, int]:
        """By source, how many were matched although their zero padding differs."""
        return self._count("number")

    @property
    def resuffixed(self) -> dict[str, int]:
        """By source, how many were matched although their suffix differs."""
        return self._count("stem")

    @property
    def is_complete(self) -> bool:
        """Whether every listed photo was found, and only once."""
        return not self.missing and not self.ambiguous

    def _count(self, by: MatchedBy) -> dict[str, int]:
        counts: dict[str, int] = {}
        for photo in self.found:
            if photo.by == by:
                counts[photo.source] = counts.get(photo.source, 0) + 1
        return counts


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """Which photos were put in place, which were there, which failed and why."""

    output: Path
    done: tuple[str, ...]
    already_there: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    bytes: int  # of the files put in place; what a copy took on the disk


def plan_extract(
    release_root: Path, sources: Mapping[str, Path], *, match_numbers: bool = False, progress: Progress = silent
) -> ExtractPlan:
    """Look for every photo of the release's lists in the given folders and below. Changes nothing.

    `sources` maps COCO, ImageNet or Places to the folder of that dataset; sources left out are left alone. A photo is
    found by its exact file name, else by its stem with any picture suffix, and with `match_numbers` else by names that
    differ in zero padding alone (the release lists COCO numbers with 11 digits, COCO writes 12). Where the list and
    the disk both tell a folder, its name must agree: Places has the same file name in every category. Several equally
    good files are reported and none is taken.
    """
    release_root = Path(release_root)
    for source, folder in sources.items():
        if source not in SOURCES:
            raise unknown(source, SOURCES, "source of real photos")
        if not Path(folder).is_dir():
            raise BadSetting("the source is no folder", where=folder, hint=f"give the folder of your copy of {source}")
    found: list[FoundPhoto] = []
    missing: dict[str, tuple[str, ...]] = {}
    ambiguous: list[AmbiguousPhoto] = []
    for source, folder in sources.items():
        listed = _listed(release_root / REAL_FOLDER / source / f"{source}_image_list.txt")
        index = _Index(Path(folder), match_numbers, progress)
        lost: list[str] = []
        for name in listed:
            candidates, by = index.best(PurePosixPath(name))
            if len(candidates) == 1:
                path = Path(folder, *candidates[0].parts)
                found.append(FoundPhoto(source, name, path, _output_name(name, candidates[0], by), by))
            elif candidates:
                paths = tuple(Path(folder, *candidate.parts) for candidate in sorted(candidates))
                ambiguous.append(AmbiguousPhoto(source, name, paths))
            else:
                lost.append(name)
        if lost:
            missing[source] = tuple(lost)
    return ExtractPlan(release_root, tuple(found), missing, tuple(ambiguous))


def apply_extract(
    plan: ExtractPlan, how: How = "link", *, output: Path | None = None, progress: Progress = silent
) -> ExtractReport:
    """Put the found photos below `RealImage/<source>/` of the release, or of another `output` folder.

    `link` makes hard links (no room taken, same disk only), `symlink` links that point, `copy` copies. Every file
    comes whole or not at all; one that is there with the same content is kept, one with other content is never
    overwritten but reported. A photo matched by its stem keeps its own suffix, which tells the truth about its format.
    """
    if how not in ("link", "copy", "symlink"):
        raise BadSetting("no way to put photos in place", wanted="link, copy or symlink", got=how)
    base = plan.release_root / REAL_FOLDER if output is None else Path(output)
    done: list[str] = []
    there: list[str] = []
    failed: list[tuple[str, str]] = []
    placed_bytes = 0
    for count, photo in enumerate(plan.found):
        name = f"{photo.source}/{photo.name}"
        progress(count, len(plan.found), name)
        try:
            target = inside(base, name)
            if _is_there(photo.path, target):
                there.append(name)
                continue
            _put(photo.path, target, how)
            placed_bytes += target.stat().st_size
            done.append(name)
        except FetchError as fault:
            failed.append((name, str(fault)))
        except OSError as fault:
            if fault.errno == errno.ENOSPC:
                raise FetchError(
                    "the disk is full",
                    where=base,
                    got=f"{len(done)} photos in place",
                    hint="make room and run it again",
                ) from fault
            failed.append((name, _reason(fault)))
    progress(len(plan.found), len(plan.found), "done")
    return ExtractReport(base, tuple(done), tuple(there), tuple(failed), placed_bytes)


class _Index:
    """The pictures below a folder, by name, by stem and by stem without zero padding."""

    def __init__(self, folder: Path, match_numbers: bool, progress: Progress) -> None:
        self._names: dict[str, list[PurePosixPath]] = {}
        self._stems: dict[str, list[PurePosixPath]] = {}
        self._numbers: dict[str, list[PurePosixPath]] = {}
        for count, path in enumerate(_pictures(folder)):
            if count % 10_000 == 0:
                progress(count, None, f"pictures in {folder.name}")
            self._names.setdefault(path.name, []).append(path)
            self._stems.setdefault(path.stem, []).append(path)
            if match_numbers:
                self._numbers.setdefault(_without_padding(path.stem), []).append(path)

    def best(self, listed: PurePosixPath) -> tuple[list[PurePosixPath], MatchedBy]:
        """The files that fit `listed` best, and by what; several when they fit equally well."""
        stem = listed.stem if listed.suffix.lower() in PICTURE_SUFFIXES else listed.name
        tries: tuple[tuple[MatchedBy, list[PurePosixPath]], ...] = (
            ("name", self._names.get(listed.name, [])),
            ("stem", self._stems.get(stem, [])),
            ("number", self._numbers.get(_without_padding(stem), [])),
        )
        for by, candidates in tries:
            fitting = _by_folders(listed, candidates)
            if fitting:
                return fitting, by
        return [], "name"


def _by_folders(listed: PurePosixPath, candidates: list[PurePosixPath]) -> list[PurePosixPath]:
    """Those whose folders agree with the listed ones, counted from the file upwards; the longest agreement wins."""
    scores: dict[int, list[PurePosixPath]] = {}
    for candidate in candidates:
        pairs = list(zip(reversed(listed.parent.parts), reversed(candidate.parent.parts), strict=False))
        agreeing = next((place for place, (one, other) in enumerate(pairs) if one != other), len(pairs))
        if not pairs or agreeing:
            scores.setdefault(agreeing, []).append(candidate)
    return scores[max(scores)] if scores else []


def _without_padding(stem: str) -> str:
    """Every number as it is counted.

    >>> _without_padding("COCO_00000000520")
    'COCO_520'
    """
    return re.sub(r"[0-9]+", lambda digits: digits[0].lstrip("0") or "0", stem)


def _pictures(folder: Path) -> Iterator[PurePosixPath]:
    """Paths of the pictures below `folder`, relative to it; links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        above = PurePosixPath(Path(place).relative_to(folder).as_posix())
        for name in sorted(names):
            if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
                yield above / name


def _listed(path: Path) -> tuple[str, ...]:
    """The names of a list file, each once, in its order."""
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as fault:
        raise BadManifest(
            "the list of real photos cannot be read",
            where=path,
            got=fault.strerror,
            hint="give the folder that holds RealImage/<source>/<source>_image_list.txt",
        ) from fault
    names: dict[str, None] = {}
    for number, line in enumerate(text.split(b"\n"), start=1):
        name = os.fsdecode(line).strip().removeprefix("./")
        if not name or name.startswith("#"):
            continue
        try:
            inside(Path(), name)
        except FetchError as fault:
            raise BadManifest(
                "a listed name leads out of its folder", where=f"{path}, line {number}", got=name
            ) from fault
        names[name.replace("\\", "/")] = None
    return tuple(names)


def _output_name(listed: str, candidate: PurePosixPath, by: MatchedBy) -> str:
    """The listed name, so that the release finds it, with the suffix of the file that it is."""
    if by == "name":
        return listed
    path = PurePosixPath(listed)
    stem = path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name
    suffix = path.suffix if path.suffix.lower() == candidate.suffix.lower() else candidate.suffix
    return str(path.with_name(stem + suffix))


def _is_there(photo: Path, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    if target.is_file() and (target.samefile(photo) or filecmp.cmp(photo, target, shallow=False)):
        return True
    raise FetchError("something else is there already", where=target, hint="move it away or choose another output")


def _put(photo: Path, target: Path, how: How) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        with atomic_path(target) as temporary:
            shutil.copyfile(photo, temporary)
    elif how == "link":
        # A picture that is itself a link in the user's copy is linked as the file behind it.
        os.link(photo.resolve(), target)
    else:
        target.symlink_to(photo.resolve())


def _reason(fault: OSError) -> str:
    if fault.errno == errno.EXDEV:
        return "hard links cannot lead to another disk; use copy or symlink"
    return fault.strerror or str(fault)
