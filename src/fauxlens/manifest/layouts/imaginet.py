"""ImagiNet (arXiv 2407.20020): annotation files of `path,label,content,group,model` over many source folders.

The annotation files decide. The pre-rendered perturbed test set (`testset/...`) is also read without them, by folders.
Family is the dataset's own group (gan, sd, midjourney, dalle3), generator its model (StyleGAN-XL, ...). Names are
compared as the bytes they are: some hold mojibake and soft hyphens.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from fauxlens.core.errors import UnknownLayout
from fauxlens.manifest.layouts.layout import (
    Entry,
    Guess,
    LeftOut,
    Published,
    Reading,
    Tree,
    counted,
    not_pictures,
    share_of,
    spread,
)
from fauxlens.manifest.layouts.named_paths import NOT_ON_DISK, folder_of

LABELS = ("real", "generated")
CONTENTS = ("photos", "paintings", "faces", "uncategorized")
GROUPS = ("gan", "sd", "midjourney", "dalle3", "real")
MODELS = (
    "ProGAN", "StyleGAN-XL", "StyleGAN3", "SD v2.1", "SDXL v1.0", "Animagine XL", "Midjourney", "DALL-E 3", "real",
)  # fmt: skip
_GROUP_OF_MODEL = (0, 0, 0, 1, 1, 1, 2, 3, 4)
_REAL_GROUP = 4

FAKE_GROUPS = GROUPS[:_REAL_GROUP]
TRAIN_LIST = "train_annotations.txt"
CALIBRATION_LIST = "calibration.txt"
TEST_LIST = "test_annotations.txt"
PERTURBED_LIST = "test_all.txt"
TEST_CALIBRATION_LIST = "test_calibration.txt"
ANCHOR_LIST = "lasted_anchor.txt"
LIST_NAMES = (
    TRAIN_LIST,
    CALIBRATION_LIST,
    TEST_LIST,
    *(f"test_annotations_{group}.txt" for group in FAKE_GROUPS),
    PERTURBED_LIST,
    *(f"test_{group}.txt" for group in FAKE_GROUPS),
    TEST_CALIBRATION_LIST,
    ANCHOR_LIST,
)

# Which group file a rendered test image belongs to, by its running number (section A.1): (first number, group).
_NUMBERS = ((35_000, "dalle3"), (30_000, "midjourney"), (15_000, "sd"), (0, "gan"))

# Contents whose fakes of a group all come from one model (section A.2); elsewhere the folder does not tell.
_ONLY_MODEL = {
    ("faces", "gan"): 1,
    ("paintings", "gan"): 2,
    ("uncategorized", "midjourney"): 6,
    ("uncategorized", "dalle3"): 7,
}

_RENDERED = re.compile(
    r"(?:(?P<base>(?:.*/)?testset/)|)(?P<content>photos|paintings|faces|uncategorized)/"
    r"(?:real|synthetic/(?P<group>gan|sd|midjourney|dalle3))/(?P<number>\d{5})\.webp\Z"
)

_CALIBRATION_NOTE = "a calibration image of the test set it is in"
_ANCHOR_NOTE = "a LASTED anchor of the test set it is in"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row: the path as written, without its `./`, and the four ids."""

    path: str
    label: int
    content: int
    group: int
    model: int

    @property
    def ids(self) -> tuple[int, int, int, int]:
        """The four ids, which the reference calls the track `all`."""
        return self.label, self.content, self.group, self.model


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is no annotation, and why."""

    line: int
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class ImagiNet:
    """ImagiNet's annotation files, or its perturbed test set alone."""

    name: str = "imaginet"
    summary: str = "annotations/test_annotations.txt and its companions, or testset/<content>/{real,synthetic/<group>}/"

    def recognise(self, tree: Tree) -> Guess | None:
        """An annotation file with five columns, or the folders of the rendered test set."""
        for name in find_lists(tree).values():
            with (tree.root / name).open("rb") as stream:
                head = stream.read(65_536).decode("utf-8", "surrogateescape")
            rows, _ = parse_annotations(head[: head.rfind("\n") + 1] or head)
            if rows:
                share = share_of(tree.pictures, _source_folders(_base(tree, name, rows), rows))
                return Guess(0.5 + 0.4 * share, f"{name} holds annotations of five columns")
        share = share_of(tree.pictures, lambda path: _RENDERED.match(path) is not None)
        return Guess(0.85 * share, f"{share:.0%} of the pictures lie as in the rendered test set") if share else None

    def read(self, tree: Tree) -> Reading:
        """Read the annotation files; without any, the rendered test set from its folders."""
        lists = find_lists(tree)
        return _read_lists(tree, lists) if lists else _read_folders(tree)


def parse_annotations(text: str) -> tuple[list[Annotation], list[BadRow]]:
    r"""The rows of an annotation file, and the lines that are none. Fields are cut from the right: paths hold commas.

    >>> parse_annotations("./a,b.png,1,2,0,1\nx.png,0,9,4,8\n")[0]
    [Annotation(path='a,b.png', label=1, content=2, group=0, model=1)]
    """
    rows: list[Annotation] = []
    bad: list[BadRow] = []
    # Not splitlines: a mojibake name may hold U+0085, which it takes for the end of a line.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        path, *fields = line.rsplit(",", 4)
        ids = _IDS.get(tuple(fields))
        path = path.removeprefix("./")
        if ids is None:
            bad.append(BadRow(number, *_what_is_wrong(fields)))
        elif not path or path.startswith("/") or path.startswith("../") or "/../" in path:
            bad.append(BadRow(number, "the path is empty or leads out of the dataset"))
        else:
            rows.append(Annotation(path, *ids))
    return rows, bad


def class_counts(rows: Iterable[Annotation]) -> dict[str, int]:
    """How many rows of each label/content/group/model, in the form of the published counts."""
    counts = Counter(row.ids for row in rows)
    return {"/".join(map(str, ids)): count for ids, count in sorted(counts.items())}


def lists_of(notes: str | None) -> dict[str, int]:
    """The annotation files that a row's notes name, and how often each lists it (group files draw reals repeatedly).

    >>> lists_of("lists: test_annotations, test_annotations_gan x2; a LASTED anchor of the test set it is in")
    {'test_annotations': 1, 'test_annotations_gan': 2}
    """
    if notes is None or not notes.startswith("lists: "):
        return {}
    named: dict[str, int] = {}
    for item in notes.removeprefix("lists: ").partition(";")[0].split(", "):
        name, _, times = item.partition(" x")
        named[name] = int(times or 1)
    return named


def find_lists(tree: Tree) -> dict[str, str]:
    """Name of each annotation file that is there -> its path in the tree (the one nearest the root)."""
    found: dict[str, str] = {}
    for path in tree.files:
        name = path[path.rfind("/") + 1 :]
        if name in _LIST_SET and (name not in found or path.count("/") < found[name].count("/")):
            found[name] = path
    return {name: found[name] for name in LIST_NAMES if name in found}


@cache
def published() -> Mapping[str, Any]:
    """The counts of the public annotation files."""
    text = resources.files("fauxlens.manifest").joinpath("published", "imaginet.json").read_text("utf-8")
    counts: Mapping[str, Any] = json.loads(text)
    return counts


_LIST_SET = frozenset(LIST_NAMES)

# Every valid combination of the four fields as written; anything else is named, never read as a number.
_IDS: dict[tuple[str, ...], tuple[int, int, int, int]] = {
    tuple(map(str, ids)): ids
    for model, group in enumerate(_GROUP_OF_MODEL)
    for content in range(len(CONTENTS))
    for ids in [(int(group != _REAL_GROUP), content, group, model)]
}


def _what_is_wrong(fields: Sequence[str]) -> tuple[str, str]:
    if len(fields) < 4:
        return "too few columns for path,label,content,group,model", f"{len(fields) + 1} columns"
    for name, value, names in zip(
        ("label", "content", "group", "model"), fields, (LABELS, CONTENTS, GROUPS, MODELS), strict=True
    ):
        if value not in {str(i) for i in range(len(names))}:
            return f"its {name} is not one of 0 to {len(names) - 1}", f"{name} '{value}'"
    return "label, group and model contradict each other", ",".join(fields)


def _base(tree: Tree, name: str, rows: Sequence[Annotation]) -> str:
    """The folder that the paths of a list are relative to: where most of them are on disk."""
    folder = folder_of(name)
    parent = folder_of(folder[:-1])
    first = parent if folder.rstrip("/").rpartition("/")[2] == "annotations" else folder
    tried = spread(rows, 512)
    files = tree.file_set
    bases = dict.fromkeys((first, folder, parent, ""))
    # max keeps the first of equals, which is the place the dataset's own README gives.
    return max(bases, key=lambda base: sum(base + row.path in files for row in tried))


def _source_folders(base: str, rows: Sequence[Annotation]) -> Callable[[str], bool]:
    """Whether a picture lies in one of the dataset's source folders."""
    known = {*published()["test_folders"], "testset", "train2017", "progan_train"}
    known |= {row.path.partition("/")[0] for row in rows}
    return lambda path: path.startswith(base) and path[len(base) :].partition("/")[0] in known


def _read_lists(tree: Tree, lists: Mapping[str, str]) -> Reading:
    left_out: list[LeftOut] = []
    remarks: list[str] = []
    rows_of: dict[str, list[Annotation]] = {}
    whole: set[str] = set()
    ids_of: dict[str, tuple[int, int, int, int]] = {}
    listed: dict[str, list[str]] = {}
    contradicted: dict[str, str] = {}
    origin_of: dict[str, str] = {}
    bases: dict[str, str] = {}
    for name, at in lists.items():
        rows, bad = parse_annotations(tree.read_text(at))
        left_out += [LeftOut(f"{at}:{row.line}", row.reason, row.detail) for row in bad]
        base = bases[name] = _base(tree, at, rows)
        rows_of[name] = rows
        if not bad:
            whole.add(name)
        short = name.removesuffix(".txt")
        for row in rows:
            path = base + row.path
            if ids_of.setdefault(path, row.ids) != row.ids:
                contradicted[path] = f"{listed[path][0]} and {short}"
            listed.setdefault(path, []).append(short)
            # As written, so that the place of the folder does not matter, nor what else was downloaded.
            origin_of[path] = row.path
        remarks += _count_told(name, rows)
    origin_of |= _origins(rows_of, whole, bases, remarks)
    remarks += _overlaps(rows_of)
    entries: list[Entry] = []
    files = tree.file_set
    notes: dict[tuple[str, ...], tuple[str, str | None]] = {}
    both = 0
    for path, ids in ids_of.items():
        if path in contradicted:
            left_out.append(LeftOut(path, "two annotation files give it other ids", contradicted[path]))
            continue
        if path not in files:
            left_out.append(LeftOut(path, NOT_ON_DISK))
            continue
        key = tuple(listed[path])
        if key not in notes:
            notes[key] = _notes(key), _split(key)
        note, split = notes[key]
        both += split is None
        base = next(bases[f"{name}.txt"] for name in key)
        entries.append(_entry(path, ids, path[len(base) :].partition("/")[0], split, origin_of[path], note))
    if both:
        remarks.append(
            f"{counted(both, 'picture')} both in {TRAIN_LIST} and in a test list (a leak): split left unknown"
        )
    left_out += [LeftOut(path, "in no annotation file") for path in tree.pictures if path not in ids_of]
    used = list(lists.values())
    left_out += not_pictures(tree, used)
    facts = {"layout": "imaginet", "lists": {name: len(rows) for name, rows in rows_of.items()}}
    return Reading(entries, left_out, remarks, _published(rows_of), facts, used)


def _read_folders(tree: Tree) -> Reading:
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    unknown = 0
    for path in tree.pictures:
        found = _RENDERED.match(path)
        if found is None:
            left_out.append(
                LeftOut(path, "not in the folders of the rendered test set, and there is no annotation file")
            )
            continue
        content, group, number = found["content"], found["group"], int(found["number"])
        of_list = next(name for first, name in _NUMBERS if number >= first)
        if group is not None and group != of_list:
            left_out.append(
                LeftOut(
                    path,
                    "its number belongs to another group than its folder",
                    f"{found['number']} belongs to {of_list}, its folder says {group}",
                )
            )
            continue
        model = None if group is None else _ONLY_MODEL.get((content, group))
        unknown += group is not None and model is None
        entries.append(
            Entry(
                path,
                "real" if group is None else "generated",
                generator=None if model is None else MODELS[model],
                family=group,
                content=content,
                source="testset",
                split="test",
                notes=f"lists: test_all, test_{of_list}",
            )
        )
    if not entries:
        raise UnknownLayout(
            "no annotation file and no rendered test set", where=tree.root,
            wanted=f"one of {', '.join(LIST_NAMES[:3])}, ... or testset/<content>/...",
            hint="copy the folder `annotations` of the ImagiNet repository into this folder",
        )  # fmt: skip
    remarks = ["no annotation file: the rendered test set was read from its folders and numbers"]
    if unknown:
        remarks.append(f"{counted(unknown, 'fake')} without a generator: the folders tell only the group")
    left_out += not_pictures(tree)
    return Reading(entries, left_out, remarks, _published_rendered(by_model=False), {"layout": "imaginet", "lists": {}})


def _entry(path: str, ids: tuple[int, int, int, int], source: str, split: str | None, origin: str, notes: str) -> Entry:
    label, content, group, model = ids
    return Entry(
        path,
        LABELS[label],
        generator=MODELS[model] if label else None,
        family=GROUPS[group] if label else None,
        content=CONTENTS[content],
        source=source,
        split=split,
        origin=origin,
        notes=notes,
    )


def _notes(names: Sequence[str]) -> str:
    times = Counter(names)
    text = "lists: " + ", ".join(name if count == 1 else f"{name} x{count}" for name, count in times.items())
    for name, note in ((TEST_CALIBRATION_LIST, _CALIBRATION_NOTE), (ANCHOR_LIST, _ANCHOR_NOTE)):
        if name.removesuffix(".txt") in times:
            text += f"; {note}"
    return text


def _split(names: Sequence[str]) -> str | None:
    train = TRAIN_LIST.removesuffix(".txt") in names
    test = any(name not in (TRAIN_LIST.removesuffix(".txt"), CALIBRATION_LIST.removesuffix(".txt")) for name in names)
    if train and test:
        return None
    # What calibration.txt holds could not be read by us: rows that only it names get its name as split.
    return "train" if train else "test" if test else "calibration"


def _origins(
    rows_of: Mapping[str, Sequence[Annotation]], whole: set[str], bases: Mapping[str, str], remarks: list[str]
) -> dict[str, str]:
    """Rendered image -> the original it was made of: row i of both group files (section A.1)."""
    origin_of: dict[str, str] = {}
    for group in FAKE_GROUPS:
        original, rendered = f"test_annotations_{group}.txt", f"test_{group}.txt"
        if original not in rows_of or rendered not in rows_of:
            continue
        before, after = rows_of[original], rows_of[rendered]
        agree = len(before) == len(after) and all(a.ids == b.ids for a, b in zip(before, after, strict=True))
        if not agree or original not in whole or rendered not in whole:
            remarks.append(f"{rendered} does not follow {original} row by row: origins of its images are unknown")
            continue
        for a, b in zip(before, after, strict=True):
            origin_of[bases[rendered] + b.path] = a.path
    if origin_of:
        remarks.append(f"{counted(len(origin_of), 'rendered image')} given the original of the same row as origin")
    return origin_of


def _overlaps(rows_of: Mapping[str, Sequence[Annotation]]) -> list[str]:
    remarks = []
    names = [f"test_annotations_{group}.txt" for group in FAKE_GROUPS]
    drawn = [row.path for name in names for row in rows_of.get(name, ()) if not row.label]
    if drawn:
        distinct = set(drawn)
        told = f"the group files hold {counted(len(drawn), 'real row')} of {counted(len(distinct), 'photo')}"
        if TEST_LIST in rows_of:
            never = {row.path for row in rows_of[TEST_LIST] if not row.label} - distinct
            told += f"; {counted(len(never), 'test real')} in none of them"
        remarks.append(told + ": count by origin, not by row")
    if PERTURBED_LIST in rows_of:
        tested = {row.path for row in rows_of[PERTURBED_LIST]}
        for name, what in ((TEST_CALIBRATION_LIST, "calibration image"), (ANCHOR_LIST, "LASTED anchor")):
            if name in rows_of:
                inside = sum(row.path in tested for row in rows_of[name])
                remarks.append(f"{inside:,} of {counted(len(rows_of[name]), what)} are in {PERTURBED_LIST}")
    return remarks


def _count_told(name: str, rows: Sequence[Annotation]) -> list[str]:
    wanted = published()["lists"].get(name)
    if wanted is None or class_counts(rows) == wanted["classes"]:
        return []
    what = f"{len(rows):,} rows where {wanted['rows']:,} are published"
    return [f"{name}: {what if len(rows) != wanted['rows'] else 'other classes than published, in as many rows'}"]


def _published(rows_of: Mapping[str, Sequence[Annotation]]) -> list[Published]:
    counts: list[Published] = []
    if TEST_LIST in rows_of:
        for folder, classes in published()["test_folders"].items():
            for ids, count in classes.items():
                counts.append(
                    Published({"source": folder, "split": "test", **_columns(ids, by_model=True)}, count, _said_by())
                )
    if PERTURBED_LIST in rows_of or all(f"test_{group}.txt" in rows_of for group in FAKE_GROUPS):
        counts += _published_rendered(by_model=True)
    return counts


def _published_rendered(*, by_model: bool) -> list[Published]:
    totals: dict[tuple[tuple[str, str], ...], int] = {}
    for ids, count in published()["lists"][PERTURBED_LIST]["classes"].items():
        where = tuple(_columns(ids, by_model=by_model).items())
        totals[where] = totals.get(where, 0) + count
    return [Published({"source": "testset", **dict(where)}, count, _said_by()) for where, count in totals.items()]


def _columns(ids: str, *, by_model: bool) -> dict[str, str]:
    label, content, group, model = map(int, ids.split("/"))
    where = {"label": LABELS[label], "content": CONTENTS[content]}
    if label:
        where |= {"family": GROUPS[group]} | ({"generator": MODELS[model]} if by_model else {})
    return where


def _said_by() -> str:
    return str(published()["source"])


LAYOUT = ImagiNet()
