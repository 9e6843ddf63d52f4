"""A folder to a Manifest: the layout names the rows, the files' headers give the facts. No picture is decoded.

One bad file never stops a scan: its row is kept with the reason in `status`, and readers pass over it.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fauxlens.core.errors import BadManifest, UnreadableImage
from fauxlens.core.files import sha256_of, write_text
from fauxlens.core.progress import Progress, silent
from fauxlens.core.version import __version__
from fauxlens.images.facts import read_facts, suffix_agrees
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.manifest.layouts.detect import choose
from fauxlens.manifest.layouts.layout import Entry, LeftOut, Reading, Tree, counted
from fauxlens.manifest.layouts.walk import NOT_UTF8, is_text, spelt
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import sample_id
from fauxlens.manifest.schema import LISTED, OK

QUARANTINE_FILE = "fauxlens-quarantine.csv"

# Faults of files that decode all the same; a caller who knows them may accept them.
ACCEPTABLE = ("wrong-suffix", "corrupt-exif")

_CHUNK = 2048
MEASURED = (
    "width",
    "height",
    "format",
    "jpeg_quality",
    "jpeg_quality_exact",
    "subsampling",
    "bytes",
    "jpeg_quality_distance",
    "progressive",
    "bit_depth",
    "colour",
    "metadata",
    "sha256",
    "status",
)
_JOINED: dict[tuple[str, ...], str] = {}


@dataclass(frozen=True)
class Survey:
    """A scan with what was seen on the way: the layout and why it was chosen, what was left out, remarks."""

    manifest: Manifest
    layout: str
    why: str
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]

    def left_out_reasons(self) -> list[tuple[str, int, str]]:
        """(reason, how many, first example), the most frequent first."""
        counts = Counter(item.reason for item in self.left_out)
        first: dict[str, str] = {}
        for item in self.left_out:
            first.setdefault(item.reason, item.path)
        return [(reason, count, first[reason]) for reason, count in counts.most_common()]


def scan(
    root: str | os.PathLike[str],
    layout: str = "auto",
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> Manifest:
    """The manifest of a folder; see `survey` for what was left out and why."""
    return survey(root, layout, workers=workers, progress=progress).manifest


def survey(
    root: str | os.PathLike[str],
    layout: str = "auto",
    *,
    name: str | None = None,
    hash_files: bool = False,
    accept: Collection[str] = (),
    quarantine: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int = 1,
    progress: Progress = silent,
) -> Survey:
    """Scan a folder: recognise its layout, read its names, then the header of every file.

    `accept` names faults that are no reason for quarantine here (one of ACCEPTABLE); `quarantine` is a CSV of paths and
    reasons (as `verify` writes it) whose rows are marked; the root's own `fauxlens-quarantine.csv` is used when there.
    """
    tree = Tree(Path(root))
    progress(0, None, "listing files")
    choice = choose(tree, layout)
    chosen, why = choice.layout, choice.why
    reading = chosen.read(tree)
    entries, left_out = _sound(tree, reading)
    remarks = list(reading.remarks)
    columns = _entry_columns(entries)
    facts = _facts_of_all(tree.root, columns["path"], hash_files, frozenset(accept), limits, workers, progress)
    columns.update(facts)
    remarks += _fill_given(columns, entries, is_here=reading.facts.get("on_disk", True))
    bad_list = quarantine if quarantine is not None else tree.root / QUARANTINE_FILE
    if quarantine is not None or bad_list.is_file():
        marked = _mark_quarantined(columns, bad_list)
        remarks.append(f"{bad_list.name}: {marked:,} of these files are on the quarantine list")
    told = {
        "layout": chosen.name,
        "left_out": dict(Counter(item.reason for item in left_out).most_common()),
        "published": [{"where": dict(p.where), "count": p.count, "source": p.source} for p in reading.published],
        **dict(reading.facts),
    }
    history = [f"scanned {len(entries):,} files as layout '{chosen.name}' with fauxlens {__version__}"]
    manifest = Manifest.from_columns(
        columns, tree.root, name=name or tree.root.resolve().name or "manifest", history=history, facts=told
    )  # fmt: skip
    return Survey(manifest, chosen.name, why, tuple(left_out), tuple(remarks))


def write_left_out(left_out: Sequence[LeftOut], path: Path) -> None:
    """All that a scan left out, as CSV (path, reason, detail)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("path", "reason", "detail"))
    # Names that are not UTF-8 are written with their bytes spelt out.
    writer.writerows((spelt(item.path), item.reason, spelt(item.detail)) for item in left_out)
    write_text(path, stream.getvalue())


def read_quarantine(path: Path) -> dict[str, str]:
    """A quarantine list (CSV with the columns path and reason) as path -> reason."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if rows.fieldnames is None or not {"path", "reason"} <= set(rows.fieldnames):
                raise BadManifest(
                    "not a quarantine list", where=path, wanted="columns path, reason", got=rows.fieldnames
                )
            return {row["path"]: row["reason"] for row in rows if row["path"]}
    except FileNotFoundError:
        raise BadManifest("no such quarantine list", where=path) from None
    except (UnicodeDecodeError, csv.Error) as bad:
        raise BadManifest(f"not a quarantine list: {bad}", where=path) from bad


def file_facts(
    root: str, path: str, *, hash_file: bool = False, accept: Collection[str] = (), limits: Limits = DEFAULT_LIMITS
) -> tuple[Any, ...]:
    """The values of the columns MEASURED for one file, from its header; never raises for a bad file."""
    full = f"{root}/{path}"
    try:
        facts = read_facts(full)
    except UnreadableImage as bad:
        return _unreadable(full, bad)
    width, height, jpeg, kinds = facts.width, facts.height, facts.jpeg, facts.metadata
    status = OK
    if width * height > limits.max_pixels:
        status = f"too-many-pixels: {width} x {height}, more than {limits.max_pixels:,}"
    elif facts.bytes > limits.max_bytes:
        status = f"too-many-bytes: {facts.bytes:,}, more than {limits.max_bytes:,}"
    elif facts.exif_error is not None and "corrupt-exif" not in accept:
        status = f"corrupt-exif: {facts.exif_error}, so which way up is unknown"
    elif not suffix_agrees(path, facts.format) and "wrong-suffix" not in accept:
        status = f"wrong-suffix: the bytes are {facts.format.upper()}"
    joined = _JOINED.get(kinds)
    if joined is None:
        joined = _JOINED.setdefault(kinds, "+".join(kinds))
    sha256 = sha256_of(Path(full)) if hash_file else None
    if jpeg is None:
        quality = exact = distance = subsampling = None
    else:
        subsampling = jpeg.subsampling
        if jpeg.quality is None:
            quality = exact = distance = None
        else:
            quality, exact, distance = jpeg.quality.value, jpeg.quality.exact, jpeg.quality.distance
    return (
        width, height, facts.format, quality, exact, subsampling, facts.bytes, distance, facts.progressive,
        facts.bit_depth, facts.colour, joined, sha256, status,
    )  # fmt: skip


def _unreadable(full: str, bad: UnreadableImage) -> tuple[Any, ...]:
    try:
        size: int | None = os.stat(full).st_size  # noqa: PTH116 - a plain string, once a bad file
    except OSError:
        size = None
    values = dict.fromkeys(MEASURED)
    return tuple({**values, "bytes": size, "status": f"{bad.reason}: {bad.what}"}.values())


def _sound(tree: Tree, reading: Reading) -> tuple[Sequence[Entry], list[LeftOut]]:
    """The entries that can be rows: names that are text, each path once; and all that is left out, each path once."""
    passed_over = {item.path for item in tree.left_out}
    # A list may name what was passed over; then the layout only knows that it did not see it.
    left_out = [*tree.left_out, *(item for item in reading.left_out if spelt(item.path) not in passed_over)]
    seen: set[str] = set()
    good: list[Entry] = []
    for entry in reading.entries:
        if entry.path in seen:
            left_out.append(LeftOut(entry.path, "listed twice"))
        elif not is_text(entry.path):
            left_out.append(LeftOut(spelt(entry.path), NOT_UTF8))
        else:
            seen.add(entry.path)
            good.append(entry)
    return good, left_out


def _entry_columns(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    ids = [sample_id(entry.source, entry.path) for entry in entries]
    if len(set(ids)) != len(ids):  # 64 bits: one chance in four million at three million files
        raise BadManifest("two files have the same id", hint="rename one of the folders above them and scan again")
    copied = (
        "path", "label", "mask_path", "generator", "family", "method", "mask_type", "variant", "content", "source",
        "split", "licence", "notes",
    )  # fmt: skip
    columns: dict[str, list[Any]] = {"id": ids}
    for name in copied:
        columns[name] = [getattr(entry, name) for entry in entries]
    # As the layout says it, never looked up among the rows: a photo that comes or goes must not move the others.
    columns["origin"] = [one if entry.origin is None else entry.origin for entry, one in zip(entries, ids, strict=True)]
    return columns


def _facts_of_all(
    root: Path,
    paths: Sequence[str],
    hash_files: bool,
    accept: frozenset[str],
    limits: Limits,
    workers: int,
    progress: Progress,
) -> dict[str, list[Any]]:
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    read = partial(_facts_of_chunk, os.fspath(root), hash_files, accept, limits)
    rows: list[tuple[Any, ...]] = []
    if workers > 1 and len(chunks) > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for part in pool.map(read, chunks):
                rows.extend(part)
                progress(len(rows), len(paths), "reading headers")
    else:
        for chunk in chunks:
            rows.extend(read(chunk))
            progress(len(rows), len(paths), "reading headers")
    if not rows:
        return {name: [] for name in MEASURED}
    return {name: list(values) for name, values in zip(MEASURED, zip(*rows, strict=True), strict=True)}


def _facts_of_chunk(
    root: str, hash_files: bool, accept: frozenset[str], limits: Limits, paths: Sequence[str]
) -> list[tuple[Any, ...]]:
    return [file_facts(root, path, hash_file=hash_files, accept=accept, limits=limits) for path in paths]


def _fill_given(columns: dict[str, list[Any]], entries: Sequence[Entry], *, is_here: bool) -> list[str]:
    """Facts that the dataset's own list states, where there is none that was measured; remarks on the way.

    The list stands in for the files only when the layout knows that they are not on this disk: a file that cannot be
    opened is there.
    """
    differ = []
    for row, entry in enumerate(entries):
        given = entry.given
        if given is None:
            continue
        if given.sha256 is not None:
            measured = columns["sha256"][row]
            if measured is not None and measured != given.sha256:
                differ.append(entry.path)
            columns["sha256"][row] = measured or given.sha256
        if is_here or not columns["status"][row].startswith("missing:"):
            continue
        columns["width"][row], columns["height"][row] = given.width, given.height
        columns["jpeg_quality"][row] = given.jpeg_quality
        columns["status"][row] = LISTED
    if not differ:
        return []
    many = counted(len(differ), "file has", "files have")
    return [f"{many} another SHA-256 than the list says (first: {differ[0]})"]


def _mark_quarantined(columns: dict[str, list[Any]], path: Path) -> int:
    listed = read_quarantine(path)
    status = columns["status"]
    marked = 0
    for row, name in enumerate(columns["path"]):
        if name in listed:
            marked += 1
            if status[row] == OK:
                status[row] = listed[name]
    return marked
