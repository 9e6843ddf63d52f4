"""Which files of ImagiNet's many sources no annotation names, and, when asked, their removal.

ImagiNet uses a small share of what its sources weigh. The reference clean-up deletes whatever it finds under the root
that no annotation names; here nothing outside the known source folders is ever touched, links are never followed, and
names are compared byte for byte, because some of them survive no Unicode normalisation (soft hyphens, mojibake).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fauxlens.core.errors import BadManifest, BadSetting
from fauxlens.core.files import write_bytes
from fauxlens.core.progress import Progress, silent

# The folders of the sources, below the root.
SOURCE_FOLDERS = (
    "animaginexl_paintings_fake",
    "dalle3",
    "dalle3_addition",
    "dalle3_addition2",
    "danbooru2021",
    "ffhq",
    "ffhq_stylegan",
    "imagenet/ILSVRC/Data/CLS-LOC/val",
    "imagenet_stylegan",
    "journeydb",
    "photozilla/dataset",
    "photozilla/other_dataset",
    "progan_train",
    "progan_val",
    "sd_faces_fake",
    "sd_paintings_fake",
    "sd_photos_fake",
    "sdxl_faces_fake",
    "sdxl_paintings_fake",
    "sdxl_photos_fake",
    "train2017",
    "val2017",
    "wikiart",
    "wikiart_stylegan",
)

LIST_NAME = "fauxlens-prune.tsv"


@dataclass(frozen=True, slots=True)
class Surplus:
    """A file in a source folder that no annotation names, as it was when the plan was made."""

    path: str  # relative to the root, with `/`; bytes that are no text are escaped as os.fsdecode does
    bytes: int
    inode: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What is needed, what is there of it, what is missing by source folder, and what nothing needs."""

    root: Path
    known_folders: tuple[str, ...]
    needed: int
    present: int
    missing: Mapping[str, tuple[str, ...]]
    surplus: tuple[Surplus, ...]
    outside_files: int  # under the root, in no known source folder: never touched
    outside_bytes: int
    links: tuple[str, ...]  # in known source folders: neither followed nor removed

    @property
    def missing_count(self) -> int:
        """How many annotated files are not there."""
        return sum(map(len, self.missing.values()))

    @property
    def surplus_bytes(self) -> int:
        """How much the removal would free."""
        return sum(file.bytes for file in self.surplus)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was removed (in a dry run: would be), what could not be, and where the list of it lies."""

    removed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    bytes: int
    list_path: Path
    dry_run: bool


def plan_prune(
    root: Path,
    annotation_files: Sequence[Path],
    *,
    known_folders: Sequence[str] = SOURCE_FOLDERS,
    progress: Progress = silent,
) -> PrunePlan:
    """Compare the files under `root` with the paths in all the annotation files. Changes nothing.

    Give the training and the test annotations: a file that only a list left out names counts as surplus.
    """
    root = Path(root)
    if not root.is_dir():
        raise BadSetting(
            "the root is no folder", where=root, hint="give the folder that the annotations' ./ stands for"
        )
    known = _checked_folders(known_folders)
    needed = _annotated(annotation_files)
    found: dict[bytes, os.stat_result] = {}
    links: list[str] = []
    outside_files = outside_bytes = 0
    seen: set[bytes] = set()
    for count, (relative, facts) in enumerate(_walk(os.fsencode(root))):
        if count % 1000 == 0:
            progress(count, None, "files")
        if relative in needed:
            seen.add(relative)
        if _folder_of(relative, known) is None:
            outside_files += 1
            outside_bytes += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
        elif stat.S_ISREG(facts.st_mode):
            found[relative] = facts
        else:
            links.append(os.fsdecode(relative))
    # A needed file can be there without its name having been met: behind a link, or on a disk that folds case or
    # normalises names. Its other name must then not count as surplus.
    protected: set[tuple[int, int]] = set()
    missing: dict[str, list[str]] = {}
    for relative in sorted(needed):
        if relative in seen and relative in found:
            continue
        try:
            facts = os.stat(os.path.join(os.fsencode(root), relative))  # noqa: PTH116, PTH118 - bytes have no Path
        except OSError:
            folder = _folder_of(relative, known) or relative.split(b"/")[0]
            missing.setdefault(os.fsdecode(folder), []).append(os.fsdecode(relative))
        else:
            protected.add((facts.st_dev, facts.st_ino))
    surplus = tuple(
        Surplus(os.fsdecode(relative), facts.st_size, facts.st_ino, facts.st_mtime_ns)
        for relative, facts in sorted(found.items())
        if relative not in needed and (facts.st_dev, facts.st_ino) not in protected
    )
    return PrunePlan(
        root=root,
        known_folders=tuple(map(os.fsdecode, known)),
        needed=len(needed),
        present=len(needed) - sum(map(len, missing.values())),
        missing={folder: tuple(paths) for folder, paths in sorted(missing.items())},
        surplus=surplus,
        outside_files=outside_files,
        outside_bytes=outside_bytes,
        links=tuple(sorted(links)),
    )


def apply_prune(
    plan: PrunePlan,
    *,
    dry_run: bool = True,
    allow_missing: bool = False,
    list_path: Path | None = None,
    progress: Progress = silent,
) -> PruneReport:
    """Write the list of surplus files and, unless `dry_run`, remove them.

    The list (`fauxlens-prune.tsv` under the root, unless told otherwise) is written before the first removal and again
    after the last. Refused while annotated files are missing, unless `allow_missing`, since then the root may be
    another one than meant; refused in any case when none is there. A file that changed since the plan, or whose folder
    turned into a link, stays and is reported.
    """
    list_path = plan.root / LIST_NAME if list_path is None else Path(list_path)
    if not dry_run:
        _refuse_doubtful(plan, allow_missing)
    _write_list(list_path, plan, {file.path: "surplus" for file in plan.surplus})
    if dry_run:
        paths = tuple(file.path for file in plan.surplus)
        return PruneReport(paths, (), plan.surplus_bytes, list_path, dry_run=True)
    removed: list[str] = []
    failed: list[tuple[str, str]] = []
    freed = 0
    real_root = os.path.realpath(os.fsencode(plan.root))
    for count, file in enumerate(plan.surplus):
        progress(count, len(plan.surplus), file.path)
        reason = _remove(real_root, file)
        if reason is None:
            removed.append(file.path)
            freed += file.bytes
        else:
            failed.append((file.path, reason))
    states = dict.fromkeys(removed, "removed") | {path: f"kept: {reason}" for path, reason in failed}
    _write_list(list_path, plan, states)
    progress(len(plan.surplus), len(plan.surplus), "done")
    return PruneReport(tuple(removed), tuple(failed), freed, list_path, dry_run=False)


def _checked_folders(folders: Sequence[str]) -> tuple[bytes, ...]:
    known = []
    for folder in folders:
        pieces = folder.split("/")
        if not folder or "\\" in folder or any(piece in ("", ".", "..") for piece in pieces):
            raise BadSetting(
                "a source folder is named relative to the root, without . or ..",
                where=repr(folder),
                wanted="such as 'wikiart'",
            )
        known.append(os.fsencode(folder))
    # The longest first, so that a folder inside another one is found as itself.
    return tuple(sorted(known, key=lambda folder: (-len(folder), folder)))


def _annotated(files: Sequence[Path]) -> set[bytes]:
    """The paths of all rows. Any line that is not understood stops everything: it may name a file to keep."""
    needed: set[bytes] = set()
    for file in files:
        try:
            lines = Path(file).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        except OSError as fault:
            raise BadManifest(
                "the annotations cannot be read", where=file, got=fault.strerror,
                hint="give the files of ImagiNet's folder `annotations`, train and test both",
            ) from fault  # fmt: skip
        for number, line in enumerate(lines, start=1):
            if line.rstrip(b"\r"):
                needed.add(_annotated_path(line.rstrip(b"\r"), f"{file}, line {number}"))
    if not needed:
        raise BadManifest("no annotated files at all", where=", ".join(map(str, files)) or "no annotation file given")
    return needed


def _annotated_path(line: bytes, where: str) -> bytes:
    # From the right: a path may contain commas.
    fields = line.rsplit(b",", 4)
    if len(fields) != 5 or not all(field.isdigit() for field in fields[1:]):
        raise BadManifest(
            "not a row of an annotation", where=where, wanted="path,label,content,group,model", got=_shown(line),
            hint="mend or remove the line, or give another file; it may name a picture to keep, so nothing was done",
        )  # fmt: skip
    pieces = [piece for piece in fields[0].split(b"/") if piece not in (b"", b".")]
    if not pieces or b".." in pieces or fields[0].startswith(b"/"):
        raise BadManifest(
            "an annotated path leads out of the root", where=where, got=_shown(fields[0]),
            hint="write the path relative to ImagiNet's root, as ./folder/name",
        )  # fmt: skip
    return b"/".join(pieces)


def _shown(line: bytes) -> str:
    return line[:200].decode("utf-8", "backslashreplace")


def _walk(root: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything under `root` but folders, with the facts of the thing itself; links are not followed."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(root, folder) if folder else root) as entries:  # noqa: PTH118
            for entry in entries:
                relative = folder + b"/" + entry.name if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(relative)
                else:
                    # Not entry.stat: on Windows it leaves out the inode, by which files are recognised later.
                    yield relative, os.lstat(entry.path)


def _folder_of(relative: bytes, known: Sequence[bytes]) -> bytes | None:
    """The known source folder that a path lies in, or (a link) that it is."""
    return next((folder for folder in known if relative == folder or relative.startswith(folder + b"/")), None)


def _refuse_doubtful(plan: PrunePlan, allow_missing: bool) -> None:
    if plan.present == 0:
        raise BadManifest(
            "none of the annotated files is here",
            where=plan.root,
            hint="give the folder that the annotations' ./ stands for",
        )
    if plan.missing and not allow_missing:
        folders = ", ".join(f"{folder} {len(paths)}" for folder, paths in plan.missing.items())
        raise BadManifest(
            f"{plan.missing_count} annotated files are missing ({folders})",
            where=plan.root,
            wanted=f"{plan.needed} files",
            got=f"{plan.present}",
            hint="fetch them first, or allow it with --allow-missing",
        )


def _remove(real_root: bytes, file: Surplus) -> str | None:
    """Remove one file; the reason when it stays."""
    folder, _, name = os.fsencode(file.path).rpartition(b"/")
    place = os.path.join(real_root, *folder.split(b"/"))  # noqa: PTH118
    target = os.path.join(place, name)  # noqa: PTH118
    try:
        if os.path.realpath(place) != place:
            return "its folder has become a link"
        facts = os.lstat(target)
        planned = (file.bytes, file.inode, file.changed_ns)
        if not stat.S_ISREG(facts.st_mode) or (facts.st_size, facts.st_ino, facts.st_mtime_ns) != planned:
            return "it changed since the plan was made"
        os.unlink(target)  # noqa: PTH108
    except OSError as fault:
        return fault.strerror or str(fault)
    return None


def _write_list(list_path: Path, plan: PrunePlan, states: Mapping[str, str]) -> None:
    lines = [b"state\tbytes\tpath"]
    for file in plan.surplus:
        # Escaped, so that a name with a line break stays one line.
        name = os.fsencode(file.path).replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\t", b"\\t")
        lines.append(b"\t".join((states[file.path].encode(), str(file.bytes).encode(), name)))
    write_bytes(list_path, b"\n".join(lines) + b"\n")
