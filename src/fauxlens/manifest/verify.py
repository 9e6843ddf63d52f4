"""Verify a manifest: decode every file, count against the published table, find duplicates and leaks, quarantine.

The long part (reading and decoding) runs on the work engine: it can be killed at any moment, and the same call goes on
from there with the same result, byte for byte. A bad file is named with its reason and never stops the run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauxlens.core.errors import BadSetting, UnreadableImage
from fauxlens.core.files import write_text
from fauxlens.core.progress import Progress, silent
from fauxlens.core.report import Column, Report, Section, Table
from fauxlens.core.version import __version__
from fauxlens.images.facts import facts_of_bytes, suffix_agrees
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.phash import phash
from fauxlens.images.picture import decode, read_file
from fauxlens.manifest.duplicates import NEAR_BITS, Leak, Pair, exact_duplicates, leaks, near_duplicates
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.scan import ACCEPTABLE
from fauxlens.manifest.schema import LISTED, OK
from fauxlens.work import Item, Outcome, reopen, results, run, write_plan

TASK = "fauxlens.manifest.verify:build_check"
TASK_VERSION = "2"

# What `check_file` may say of a file, and what it means. A status of another kind (from a list of the dataset's
# owners, say) is kept even when the file decodes.
REASONS: dict[str, str] = {
    "missing": "no such file",
    "unreadable": "there, but the system does not let us open it",
    "empty": "zero bytes",
    "html": "a web page saved under a picture's name",
    "not-an-image": "no picture format that is known here",
    "truncated": "the file ends before the picture does",
    "corrupt": "the file contradicts itself or cannot be decoded",
    "too-many-bytes": "larger than the byte limit; not read",
    "too-many-pixels": "larger than the pixel limit; not decoded",
    "unsupported": "a kind of picture that cannot be read here",
    "wrong-suffix": "the bytes are of another format than the name says",
    "corrupt-exif": "the EXIF block is unreadable, so which way up is unknown",
    "bad-mask": "the mask is missing or cannot be read",
    "mask-size": "the mask has another size than the picture",
    "empty-mask": "labelled edited, but the mask marks nothing",
    "changed": "not what the manifest says (size, format, bytes or digest): the file was replaced after the scan",
    "killed-worker": "reading it killed the process, twice",
    "check-failed": "the check itself failed",
}
_SHOWN = 200
_GOOD = (OK, LISTED)


@dataclass(frozen=True, slots=True)
class PublishedCount:
    """One published count beside what was found: all rows, and those that are usable."""

    where: Mapping[str, str]
    published: int
    found: int
    usable: int
    source: str


@dataclass(frozen=True)
class Verified:
    """A manifest with every file checked, and what the checks found."""

    manifest: Manifest
    reasons: dict[str, int]
    counts: tuple[PublishedCount, ...]
    exact: tuple[tuple[int, ...], ...]
    near: tuple[Pair, ...]
    leaks: tuple[Leak, ...]
    folder: Path
    from_earlier_run: int = 0

    @property
    def quarantined(self) -> int:
        """How many rows are not usable."""
        return sum(self.reasons.values())


def verify(
    manifest: Manifest,
    folder: Path,
    *,
    workers: int = 1,
    accept: Collection[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    near_bits: int = NEAR_BITS,
    fresh: bool = False,
    progress: Progress = silent,
) -> Verified:
    """Check every file of `manifest`; state and results are kept in `folder`, and the same call goes on from there.

    Writes there: `manifest.parquet` (status, digests and hashes filled in), `quarantine.csv`, `duplicates.csv`,
    `leaks.csv`, `counts.csv`. `accept` names faults that are no reason for quarantine (one of scan.ACCEPTABLE).
    Files that an earlier run has checked are read again only when they have changed since (size or time), or when
    `fresh` asks for it.
    """
    for name in accept:
        if name not in ACCEPTABLE:
            raise BadSetting("a fault that cannot be accepted", wanted=" or ".join(ACCEPTABLE), got=name)
    folder = Path(folder)
    manifest.require_files()
    settings = {
        "root": manifest.root.resolve().as_posix(),
        "accept": sorted(accept),
        "max_bytes": limits.max_bytes,
        "max_pixels": limits.max_pixels,
    }
    work = folder / "work"
    if fresh and work.is_dir():
        shutil.rmtree(work)
    write_plan(work, task=TASK, task_version=TASK_VERSION, settings=settings, items=_items(manifest))
    earlier = _take_back_changed(manifest, work)
    run(work, workers=workers, progress=lambda done, total, _: progress(done, total, "decoding"))
    progress(0, None, "looking for duplicates")
    checked = _with_results(manifest, results(work))
    exact = exact_duplicates(checked)
    near = near_duplicates(checked, near_bits)
    verified = Verified(
        manifest=checked,
        reasons=dict(
            Counter(_reason(status) for status in checked.column("status").to_pylist() if status not in _GOOD)
        ),
        counts=tuple(_compare(checked)),
        exact=tuple(exact),
        near=tuple(near),
        leaks=tuple(leaks(checked, exact, near)),
        folder=folder,
        from_earlier_run=earlier,
    )
    _write(verified)
    return verified


def build_check(settings: Mapping[str, Any]) -> Callable[[Item, int], dict[str, Any]]:
    """The work engine's factory: a function that checks one file."""
    root = Path(settings["root"])
    accept = frozenset(settings["accept"])
    limits = Limits(max_bytes=settings["max_bytes"], max_pixels=settings["max_pixels"])

    def check(item: Item, seed: int) -> dict[str, Any]:
        return check_file(root, item.payload, accept=accept, limits=limits)

    return check


def check_file(
    root: Path, row: Mapping[str, Any], *, accept: Collection[str] = (), limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Decode one file (and its mask): a status, and the columns that only reading the whole file can fill."""
    path = root / row["path"]
    # Before reading: a file that is replaced in this moment must look changed to the next run.
    found: dict[str, Any] = {
        "seen": _stamp(path),
        "mask_seen": _stamp(root / row["mask_path"]) if "mask_path" in row else None,
    }
    try:
        data = read_file(path, limits=limits)
        found["bytes"] = len(data)
        found["sha256"] = hashlib.sha256(data).hexdigest()
        facts = facts_of_bytes(data, row["path"])
        found.update(width=facts.width, height=facts.height, format=facts.format)
        picture = decode(data, limits=limits, where=row["path"])
        found["phash"] = phash(picture.pixels)
        if facts.exif_error is not None and "corrupt-exif" not in accept:
            return {**found, "status": f"corrupt-exif: {facts.exif_error}, so which way up is unknown"}
        if not suffix_agrees(row["path"], facts.format) and "wrong-suffix" not in accept:
            return {**found, "status": f"wrong-suffix: the bytes are {facts.format.upper()}"}
        for name in ("width", "height", "format", "bytes", "sha256"):
            if row.get(name) is not None and row[name] != found[name]:
                said = f"{name} is {found[name]}, the manifest says {row[name]}"
                return {**found, "status": f"changed: {said}"}
    except UnreadableImage as bad:
        return {**found, "status": f"{bad.reason}: {bad.what}"}
    return {**found, "status": _mask_status(root, row, picture.pixels.shape[:2], limits)}


def report_of(verified: Verified) -> Report:
    """What `verify` found, for a page."""
    manifest = verified.manifest
    total, bad = len(manifest), verified.quarantined
    listed = manifest.column("status").to_pylist().count(LISTED)
    here = total - listed
    if bad:
        verdict = f"{here - bad:,} of {here:,} files are usable; {bad:,} {'is' if bad == 1 else 'are'} quarantined."
    elif here or not listed:
        verdict = f"All {here:,} files decode and agree with the manifest."
    else:
        verdict = "None of the files is here, so none was checked."
    if listed:
        verdict += f" {listed:,} rows are known from a published list alone."
    if verified.leaks:
        one = len(verified.leaks) == 1
        verdict += " 1 group of pictures lies" if one else f" {len(verified.leaks):,} groups of pictures lie"
        verdict += " in more than one split."
    by_class = [
        (label, split_, count, manifest_usable)
        for (label, split_), count, manifest_usable in _class_counts(manifest)
    ]  # fmt: skip
    sections = [
        Section(
            "What is there",
            tables=(
                Table(
                    "classes",
                    "Files by label and split",
                    (Column("label"), Column("split"), Column("files"), Column("usable")),
                    tuple(by_class),
                ),
            ),
        )
    ]
    if verified.counts:
        sections.append(Section("Against the published counts", tables=(_counts_table(verified),)))
    sections.append(_quarantine_section(verified))
    sections.append(_duplicates_section(verified))
    return Report(
        title=f"Verification of {manifest.name}",
        verdict=verdict,
        sections=tuple(sections),
        provenance={
            "what": f"fauxlens {__version__} verify",
            "on": f"{manifest.name}, {total:,} rows, digest {_digest(manifest)[:16]}",
            "history": "; ".join(manifest.history),
        },
        facts={
            "total": total,
            "usable": here - bad,
            "quarantined": dict(sorted(verified.reasons.items())),
            "exact_duplicate_groups": len(verified.exact),
            "near_duplicate_pairs": len(verified.near),
            "leaks": len(verified.leaks),
        },
    )


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file, by which a later run knows whether it has changed; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _take_back_changed(manifest: Manifest, work: Path) -> int:
    """Take back what an earlier run found of files that have changed since; -> how many of its results still stand."""
    columns = (manifest.column(name) for name in ("id", "path", "mask_path"))
    places: dict[str, tuple[str, str | None]] = {}

    def has_changed(outcome: Outcome) -> bool:
        if not places:  # only a second run pays for this table
            places.update(
                (key, (path, mask)) for key, path, mask in zip(*(c.to_pylist() for c in columns), strict=True)
            )
        if outcome.result is None or outcome.key not in places:
            return False
        path, mask = places[outcome.key]
        now = [_stamp(manifest.root / path), None if mask is None else _stamp(manifest.root / mask)]
        return now != [outcome.result["seen"], outcome.result["mask_seen"]]

    known = changed = 0
    for outcome in results(work, partial=True):
        known += 1
        changed += has_changed(outcome)
    if changed:
        reopen(work, which=has_changed)
    return known - changed


def _items(manifest: Manifest) -> Iterator[Item]:
    names = ["id", "path", "mask_path", "label", "width", "height", "format", "bytes", "sha256"]
    columns = pa.table({name: manifest.column(name) for name in names})
    for batch in columns.to_batches(max_chunksize=8192):
        for row in batch.to_pylist():
            key = row.pop("id")
            yield Item(key, {name: value for name, value in row.items() if value is not None})


def _mask_status(root: Path, row: Mapping[str, Any], shape: tuple[int, ...], limits: Limits) -> str:
    name = row.get("mask_path")
    if name is None:
        return OK
    try:
        # The numbers as stored: a colour profile has no business in a mask.
        mask = decode(read_file(root / name, limits=limits), limits=limits, colour="stored", where=name).pixels
    except UnreadableImage as bad:
        return f"bad-mask: {bad.reason}: {bad.what}"
    if mask.shape[:2] != shape:
        return f"mask-size: {mask.shape[1]} x {mask.shape[0]}, the picture is {shape[1]} x {shape[0]}"
    if row.get("label") == "edited" and not bool((mask > 127).any()):
        return "empty-mask: no pixel above 127"
    return OK


def _with_results(manifest: Manifest, outcomes: Iterator[Outcome]) -> Manifest:
    names = ("status", "sha256", "phash", "bytes", "width", "height", "format")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    before = manifest.column("status").to_pylist()
    for row, outcome in enumerate(outcomes):
        found = dict(outcome.result or {})
        if outcome.error is not None:
            kind = "killed-worker" if outcome.status == "quarantined" else "check-failed"
            found["status"] = f"{kind}: {outcome.error.message}"
        old = before[row]
        # A row of a published list promises no file here, so one that is not here is as it should be.
        if old == LISTED and _reason(found["status"]) == "missing":
            found["status"] = LISTED
        # A reason that none of our checks gives came from somebody who knows more; decoding does not refute it.
        if found["status"] == OK and old is not None and old != OK and _reason(old) not in REASONS:
            found["status"] = old
        for name in names:
            columns[name].append(found.get(name))
    arrays: dict[str, Any] = {"status": columns["status"], "sha256": columns["sha256"]}
    arrays["phash"] = pa.array(columns["phash"], type=pa.uint64())
    # What could not be read again keeps what the scan knew.
    for name in ("bytes", "width", "height", "format"):
        kind = pa.string() if name == "format" else manifest.table.schema.field(name).type
        arrays[name] = pc.coalesce(pa.array(columns[name], type=kind), manifest.column(name).combine_chunks())
    good = sum(status == OK for status in columns["status"])
    return manifest.with_columns(f"verified: {good:,} of {len(manifest):,} files are usable", arrays)


def _compare(manifest: Manifest) -> Iterator[PublishedCount]:
    usable = manifest.usable()
    for entry in manifest.facts.get("published", ()):
        where = dict(entry["where"])
        yield PublishedCount(
            where, int(entry["count"]), _matching(manifest, where), _matching(usable, where), entry["source"]
        )  # fmt: skip


def _matching(manifest: Manifest, where: Mapping[str, str]) -> int:
    keep = np.ones(len(manifest), dtype=bool)
    for name, value in where.items():
        same = pc.fill_null(pc.equal(manifest.column(name).cast(pa.string()), str(value)), False)
        keep &= np.asarray(same.to_numpy(zero_copy_only=False), dtype=bool)
    return int(keep.sum())


def _write(verified: Verified) -> None:
    manifest, folder = verified.manifest, verified.folder
    paths, labels = manifest.column("path").to_pylist(), manifest.column("label").to_pylist()
    splits, statuses = manifest.column("split").to_pylist(), manifest.column("status").to_pylist()
    _write_csv(
        folder / "quarantine.csv",
        ("path", "reason", "label", "split"),
        [(paths[row], status, labels[row], splits[row]) for row, status in enumerate(statuses) if status not in _GOOD],
    )
    exact = [("same bytes", 0, paths[group[0]], paths[other]) for group in verified.exact for other in group[1:]]
    near = [("near", pair.bits, paths[pair.first], paths[pair.second]) for pair in verified.near]
    _write_csv(folder / "duplicates.csv", ("kind", "differing_bits", "first", "second"), exact + near)
    _write_csv(
        folder / "leaks.csv",
        ("kind", "key", "splits", "paths"),
        [(k.kind, k.key, "+".join(k.splits), "|".join(paths[row] for row in k.rows)) for k in verified.leaks],
    )
    _write_csv(
        folder / "counts.csv",
        ("where", "published", "found", "usable", "source"),
        [(_in_words(c.where), c.published, c.found, c.usable, c.source) for c in verified.counts],
    )
    # Last, so that its presence means that all of it is there.
    manifest.save(folder / "manifest.parquet")


def _write_csv(path: Path, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    write_text(path, stream.getvalue())


def _class_counts(manifest: Manifest) -> Iterator[tuple[tuple[str | None, str | None], int, int]]:
    usable = manifest.usable().count("label", "split")
    for (label, split_), count in manifest.count("label", "split").items():
        yield (label, split_), count, usable.get((label, split_), 0)


def _counts_table(verified: Verified) -> Table:
    rows = tuple(
        (_in_words(c.where), c.published, c.found, c.usable, c.found - c.published, c.source) for c in verified.counts
    )
    columns = (
        Column("rows"), Column("published"), Column("found"), Column("usable"), Column("difference", format="+,"),
        Column("source"),
    )  # fmt: skip
    return Table("counts", "Published and found", columns, rows, "A difference is what is missing (-) or too many (+).")


def _quarantine_section(verified: Verified) -> Section:
    if not verified.reasons:
        return Section("Quarantine", ("No file is quarantined.",))
    reasons = sorted(verified.reasons.items(), key=lambda item: (-item[1], item[0]))
    manifest = verified.manifest
    statuses = manifest.column("status").to_pylist()
    bad = [row for row, status in enumerate(statuses) if status not in _GOOD]
    paths = manifest.column("path")
    return Section(
        "Quarantine",
        ("These files are passed over by every reader of the verified manifest; nothing was moved or deleted.",),
        (
            Table(
                "quarantine-reasons",
                "Why",
                (Column("reason"), Column("files"), Column("meaning")),
                tuple((reason, count, REASONS.get(reason, "listed")) for reason, count in reasons),
            ),
            Table(
                "quarantined",
                "Which" if len(bad) <= _SHOWN else f"Which (the first {_SHOWN} of {len(bad):,}; all in quarantine.csv)",
                (Column("path"), Column("reason")),
                tuple((paths[row].as_py(), statuses[row]) for row in bad[:_SHOWN]),
            ),
        ),
    )


def _duplicates_section(verified: Verified) -> Section:
    manifest = verified.manifest
    paths = manifest.column("path")
    labels = manifest.column("label").to_pylist()
    text = [
        f"{len(verified.exact):,} groups of files have the same bytes; {len(verified.near):,} pairs look the same "
        f"(perceptual hashes of 64 bits that differ in at most {NEAR_BITS})."
    ]
    torn = [group for group in verified.exact if len({labels[row] for row in group}) > 1]
    if torn:
        text.append(f"{len(torn):,} of the groups carry more than one label: the same file is called real and fake.")
    rows = [("same bytes", paths[g[0]].as_py(), paths[o].as_py(), 0) for g in verified.exact for o in g[1:]]
    rows += [("near", paths[p.first].as_py(), paths[p.second].as_py(), p.bits or 0) for p in verified.near]
    tables = []
    if rows:
        more = "" if len(rows) <= _SHOWN else f" (the first {_SHOWN} of {len(rows):,}; all in duplicates.csv)"
        columns = (Column("kind"), Column("first"), Column("second"), Column("differing bits"))
        tables.append(Table("duplicates", "Duplicates" + more, columns, tuple(rows[:_SHOWN])))
    if verified.leaks:
        more = "" if len(verified.leaks) <= _SHOWN else f" (the first {_SHOWN}; all in leaks.csv)"
        columns = (Column("what they share"), Column("which"), Column("pictures"), Column("splits"))
        found = tuple((k.kind, k.key, len(k.rows), " + ".join(k.splits)) for k in verified.leaks[:_SHOWN])
        note = "A detector that is trained on one of them and tested on another has seen the answer."
        tables.append(Table("leaks", "In more than one split" + more, columns, found, note))
    return Section("Duplicates and leaks", tuple(text), tuple(tables))


def _reason(status: str | None) -> str:
    return (status or "unknown").partition(":")[0]


def _in_words(where: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in where.items()) or "all"


def _digest(manifest: Manifest) -> str:
    digest = hashlib.sha256()
    for batch in pa.table({n: manifest.column(n) for n in ("id", "sha256", "status")}).to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(repr(row).encode())
    return digest.hexdigest()
