"""A list that somebody else wrote (manifest.csv, metadata.csv, .jsonl), read with the names of our columns.

Which column was read as what is told in sentences; columns and values that mean nothing here are named, never guessed.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fauxlens.manifest.layouts.class_names import SPLIT_NAMES, class_of_value, plain_word
from fauxlens.manifest.layouts.layout import LeftOut, Tree

LIST_NAMES = ("manifest.csv", "metadata.csv", "manifest.jsonl", "metadata.jsonl")

# Our column -> the names under which others keep it, the likeliest first.
FOREIGN_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("path", "file_path", "filepath", "file", "filename", "file_name", "image_path", "image", "img"),
    "label": (
        "label", "kind", "is_fake", "fake", "is_ai", "ai", "is_generated", "generated", "is_real", "real",
        "target", "class", "type", "y",
    ),
    "mask_path": ("mask_path", "mask", "mask_file", "gt_path", "gt"),
    "generator": ("generator", "generator_name", "model"),
    "family": ("family", "generator_family"),
    "method": ("method",),
    "mask_type": ("mask_type",),
    "variant": ("variant",),
    "content": ("content", "content_type", "category"),
    "source": ("source", "source_repo", "dataset"),
    "split": ("split", "subset", "partition"),
    "origin": ("origin", "group", "group_id", "origin_id"),
    "licence": ("licence", "license"),
    "notes": ("notes", "note", "comment"),
    "sha256": ("sha256", "sha_256", "sha256sum"),
}  # fmt: skip

# What the file itself tells better.
MEASURED = frozenset(
    ["width", "height", "format", "jpeg_q", "jpeg_quality", "jpeg_quality_exact", "jpeg_quality_distance", "quality"]
    + ["subsampling", "bytes", "size", "md5", "phash", "progressive", "bit_depth", "colour", "metadata"]
)

# Names that also stand for quite other things: they are labels only when every value is a class.
_DOUBTFUL_LABELS = frozenset(["target", "class", "type", "y", "real", "fake", "generated"])


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One row: its line in the list, and its values by our column names (empty values are left away)."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class ForeignList:
    """A list as it was read: `columns` maps our names to those of the file; `remarks` say what was not used."""

    name: str
    columns: Mapping[str, str]
    rows: Sequence[ForeignRow]
    left_out: Sequence[LeftOut]
    remarks: Sequence[str]


def lists_in(tree: Tree) -> list[str]:
    """The lists at the root; when there is none, those one folder down."""
    at_root = [name for name in LIST_NAMES if name in tree.file_set]
    if at_root:
        return at_root[:1]
    found = []
    for folder in tree.top_folders:
        found += [f"{folder}/{name}" for name in LIST_NAMES if f"{folder}/{name}" in tree.file_set][:1]
    return found


def read_foreign_list(tree: Tree, name: str) -> ForeignList | None:
    """Read one list; None when it has no column that could be a path (then it lists something else)."""
    if name not in tree.parsed:
        tree.parsed[name] = _read_foreign_list(tree, name)
    found: ForeignList | None = tree.parsed[name]
    return found


def _read_foreign_list(tree: Tree, name: str) -> ForeignList | None:
    text = tree.read_text(name).removeprefix("\ufeff")
    header, records, bad = _jsonl(name, text) if name.endswith(".jsonl") else _csv(name, text)
    columns, doubtful = _map_columns(header, records)
    if "path" not in columns:
        return None
    index = {ours: header.index(theirs) for ours, theirs in columns.items()}
    rows = [
        ForeignRow(line, {ours: record[place] for ours, place in index.items() if record[place] != ""})
        for line, record in records
    ]
    return ForeignList(name, columns, rows, bad, _unused(name, header, columns, doubtful))


def mapping_told(given: ForeignList, kept: Sequence[ForeignRow]) -> list[str]:
    """Which column was read as what, with the values of label and split counted over the rows that were kept."""
    return [
        f"{given.name}: column '{theirs}' read as {ours}" + _values_told(ours, theirs, given.rows, kept)
        for ours, theirs in given.columns.items()
    ]


def _csv(name: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]], list[LeftOut]]:
    first = text.partition("\n")[0]
    # The separator that cuts the header most often; a tie is a comma.
    separator = max(",;\t", key=first.count)
    # Names may hold any character but a line end, also those that str.splitlines would cut at.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [column.strip() for column in next(reader, [])]
    records: list[tuple[int, list[str]]] = []
    bad = []
    for record in reader:
        if len(record) == len(header):
            records.append((reader.line_num, record))
        elif record:
            what = f"{len(record)} columns where the header has {len(header)}"
            bad.append(LeftOut(f"{name}:{reader.line_num}", "a row with more or fewer columns than the header", what))
    return header, records, bad


def _jsonl(name: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]], list[LeftOut]]:
    found: list[tuple[int, dict[str, object]]] = []
    bad = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as wrong:
            bad.append(LeftOut(f"{name}:{number}", "a line that is not JSON", wrong.msg))
            continue
        if isinstance(record, dict):
            found.append((number, record))
        else:
            bad.append(LeftOut(f"{name}:{number}", "a JSON value that is no object"))
    header = list(dict.fromkeys(key for _, record in found for key in record))
    return header, [(number, [_as_text(record.get(key)) for key in header]) for number, record in found], bad


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _map_columns(
    header: Sequence[str], records: Sequence[tuple[int, Sequence[str]]]
) -> tuple[dict[str, str], dict[str, str]]:
    theirs: dict[str, str] = {}
    for column in header:
        theirs.setdefault(plain_word(column), column)
    columns: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    for ours, names in FOREIGN_NAMES.items():
        for name in names:
            if name not in theirs:
                continue
            column = theirs[name]
            if ours == "label" and name in _DOUBTFUL_LABELS:
                place = header.index(column)
                odd = next((r[place] for _, r in records if r[place] and not class_of_value(r[place], column)), None)
                if odd is not None:
                    doubtful[column] = odd
                    continue
            columns[ours] = column
            break
    return columns, doubtful


def _unused(name: str, header: Sequence[str], columns: Mapping[str, str], doubtful: Mapping[str, str]) -> list[str]:
    remarks = []
    used = set(columns.values())
    measured = [column for column in header if column not in used and plain_word(column) in MEASURED]
    if measured:
        remarks.append(f"{name}: ignored because scan measures it in the file: {', '.join(measured)}")
    for column, value in doubtful.items():
        remarks.append(f"{name}: column '{column}' is no label (it holds '{value}'), ignored")
    rest = [c for c in header if c not in used and c not in measured and c not in doubtful and c]
    if rest:
        remarks.append(f"{name}: ignored, no column of ours: {', '.join(rest)}")
    return remarks


def _values_told(ours: str, theirs: str, rows: Sequence[ForeignRow], kept: Sequence[ForeignRow]) -> str:
    if ours == "sha256":
        return ": kept for files that scan does not hash itself; verify compares"
    if ours not in ("label", "split"):
        return ""
    told = []
    counts = Counter(row.values.get(ours, "") for row in kept)
    for value, listed in sorted(Counter(row.values.get(ours, "") for row in rows).items()):
        count = counts[value]
        if ours == "label":
            known = class_of_value(value, theirs)
            meaning = known.label if known else "unknown, left out"
            # None of these could be kept: how many there are is what matters.
            count = count if known else listed
        else:
            meaning = SPLIT_NAMES.get(plain_word(value), value) or "none"
        told.append(f"{value or '(empty)'}→{meaning} ({count:,})")
    shown = told[:12] + ([f"and {len(told) - 12} more values"] if len(told) > 12 else [])
    return ": " + ", ".join(shown) if shown else ""
