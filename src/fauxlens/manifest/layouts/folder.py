"""Anybody's folders: a list with foreign column names, or classes told by folder names.

With a `manifest.csv` (or metadata.csv, .jsonl) at the root or one folder down, the list decides and its columns are
mapped. Without one, a folder called real, fake, tampered, ... anywhere in the path gives the label: the one nearest the
root is the class folder, and every other class word in the path must agree with it, or the picture is left out.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from fauxlens.manifest.layouts.class_names import (
    CLASS_NAMES,
    MASK_FOLDERS,
    SPLIT_NAMES,
    ClassName,
    class_of_value,
    plain_word,
    without_mask_suffix,
)
from fauxlens.manifest.layouts.foreign_list import ForeignList, ForeignRow, lists_in, mapping_told, read_foreign_list
from fauxlens.manifest.layouts.layout import (
    Entry,
    Given,
    Guess,
    LeftOut,
    Reading,
    Tree,
    counted,
    not_pictures,
    share_of,
    stem_of,
)
from fauxlens.manifest.layouts.named_paths import Locator, folder_of

_MASK_LIKE = re.compile(r"(?:mask|[_-]gt)\.[^./]*$", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
NO_CLASS = "no class in its path: name a folder real or fake, or give a manifest.csv"


@dataclass(frozen=True)
class Folder:
    """Generic folders: a manifest.csv, or classes by folder names."""

    name: str = "folder"
    summary: str = "folders named real, fake, tampered, ... or a manifest.csv with a column of paths"

    def recognise(self, tree: Tree) -> Guess | None:
        """A list with a path column, or pictures below a folder that names a class."""
        for name in lists_in(tree):
            header = plain_header(tree, name)
            if header:
                return Guess(0.6, f"{name} has a column of paths ('{header}')")
        cache: dict[str, _Place] = {}
        share = share_of(tree.pictures, lambda path: _place(path, cache).known is not None)
        if not share:
            return None
        named = sorted({place.class_folder for place in cache.values() if place.class_folder})
        return Guess(0.4 * share, f"{share:.0%} of the pictures lie under a class folder ({', '.join(named[:6])})")

    def read(self, tree: Tree) -> Reading:
        """Read the list when there is one, else the folder names."""
        names = lists_in(tree)
        lists = [found for name in names if (found := read_foreign_list(tree, name)) is not None]
        if lists:
            return _read_lists(tree, lists)
        reading = _read_names(tree)
        unused = [f"{name} has no column of paths, so it was not used" for name in names]
        return replace(reading, remarks=[*unused, *reading.remarks])


def plain_header(tree: Tree, name: str) -> str | None:
    """The name of the path column of a list; None when it has none."""
    found = read_foreign_list(tree, name)
    return None if found is None else found.columns["path"]


def _read_lists(tree: Tree, lists: Sequence[ForeignList]) -> Reading:
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    remarks: list[str] = []
    taken: dict[str, str] = {}
    masks: set[str] = set()
    for given in lists:
        base = folder_of(given.name)
        # Paths are relative to the list; some writers meant the root.
        locator = Locator(tree, (base, "") if base else ("",))
        left_out += given.left_out
        told, kept = len(remarks), list[ForeignRow]()
        if "label" not in given.columns:
            remarks.append(f"{given.name}: no column of labels, so the class comes from folder names")
        named = _named_origins(given)
        vague = dropped = 0
        for row in given.rows:
            entry = _entry_of(row, given, locator, named)
            if isinstance(entry, Entry) and entry.path in taken:
                first = taken[entry.path]
                entry = LeftOut(
                    f"{given.name}:{row.line}",
                    "a row that names a file again",
                    f"{entry.path}, named before in {first}",
                )
            if isinstance(entry, LeftOut):
                left_out.append(entry)
                continue
            taken[entry.path] = f"{given.name}:{row.line}"
            if entry.mask_path is not None:
                masks.add(entry.mask_path)
            known = class_of_value(row.values.get("label", ""), given.columns.get("label", ""))
            vague += known is not None and known.vague and entry.label == "edited"
            dropped += entry.label == "real" and ("generator" in row.values or "family" in row.values)
            entries.append(entry)
            kept.append(row)
        remarks[told:told] = [*mapping_told(given, kept), *given.remarks]
        if vague:
            remarks.append(f"{given.name}: {counted(vague, 'fake')} with a mask read as edited, not generated")
        if dropped:
            remarks.append(f"{given.name}: generator and family of {counted(dropped, 'real picture')} not kept")
    names = ", ".join(given.name for given in lists)
    refused = {item.path for item in left_out}
    for path in tree.pictures:
        if path not in taken and path not in masks and path not in refused:
            left_out.append(LeftOut(path, f"not in {names}"))
    used = [given.name for given in lists]
    left_out += [item for item in not_pictures(tree, used) if item.path not in taken and item.path not in masks]
    return Reading(entries, left_out, remarks, facts={"layout": "folder", "by": "list"}, lists=used)


def _named_origins(given: ForeignList) -> frozenset[str]:
    """The pictures of the list, as written, that others in it name as their origin, whether or not they are here."""
    written = {_as_origin(path) for row in given.rows if (path := row.values.get("path")) is not None}
    return frozenset(
        name for row in given.rows if (origin := row.values.get("origin")) and (name := _as_origin(origin)) in written
    )


def _as_origin(written: str) -> str:
    return posixpath.normpath(written.replace("\\", "/"))


def _entry_of(row: ForeignRow, given: ForeignList, locator: Locator, named: Set[str]) -> Entry | LeftOut:
    """The entry of a row, or why there is none."""
    values: dict[str, Any] = dict(row.values)
    line = f"{given.name}:{row.line}"
    written = values.pop("path", None)
    if written is None:
        return LeftOut(line, "no path in this row")
    at = locator.find(written)
    if at.problem is not None:
        return LeftOut(at.path, at.problem)
    if "label" in given.columns:
        value = values.pop("label", "")
        known = class_of_value(value, given.columns["label"])
        if known is None:
            column = given.columns["label"]
            what = f"its value in column '{column}' is no class we know" if value else f"no label in column '{column}'"
            return LeftOut(at.path, f"{what}: write real, generated or edited", f"'{value}' in {line}")
    else:
        place = _place(at.path, {})
        if place.known is None:
            return LeftOut(at.path, place.problem or NO_CLASS, place.detail)
        known = place.known
    label = known.label
    mask = values.pop("mask_path", None)
    if mask is not None:
        mask_at = locator.find(mask)
        if mask_at.problem is not None:
            return LeftOut(at.path, f"its mask: {mask_at.problem}", f"{mask} in {line}")
        mask = mask_at.path
        if label == "real":
            return LeftOut(at.path, "labelled real, but with a mask", line)
        label = "edited" if known.vague else label
    # A photo and what names it as its origin get one text, by the list alone.
    origin = _as_origin(values.get("origin") or written)
    if origin in named:
        values["origin"] = f"{folder_of(given.name)}{origin}"
    if "split" in values:
        values["split"] = SPLIT_NAMES.get(plain_word(values["split"]), values["split"])
    if label == "real":
        values.pop("generator", None)
        values.pop("family", None)
    elif known.family is not None:
        values.setdefault("family", known.family)
    sha256 = values.pop("sha256", "").strip().lower()
    published = Given(sha256=sha256) if _SHA256.match(sha256) else None
    return Entry(at.path, label, mask, given=published, **values)


@dataclass(frozen=True, slots=True)
class _Place:
    """What the folders of a picture say."""

    known: ClassName | None = None
    class_folder: str | None = None
    below: str | None = None
    above: str | None = None
    split: str | None = None
    splits_differ: bool = False
    mask_folder: int | None = None
    problem: str | None = None
    detail: str = ""


def _place(path: str, cache: dict[str, _Place]) -> _Place:
    folder = path[: path.rfind("/") + 1]
    place = cache.get(folder)
    if place is None:
        place = cache[folder] = _read_folder(folder.split("/")[:-1])
    return place


def _read_folder(parts: Sequence[str]) -> _Place:
    words = [plain_word(part) for part in parts]
    classes = [i for i, word in enumerate(words) if word in CLASS_NAMES]
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    mask_folder = next((i for i, word in enumerate(words) if word in MASK_FOLDERS), None)
    split = next(iter(splits)) if len(splits) == 1 else None
    if not classes:
        return _Place(split=split, mask_folder=mask_folder)
    labels = {CLASS_NAMES[words[i]].label for i in classes}
    if len(labels) > 1:
        said = " and ".join(f"'{parts[i]}'" for i in classes)
        return _Place(mask_folder=mask_folder, problem="its folders contradict each other", detail=said)
    first = classes[0]
    idle = SPLIT_NAMES.keys() | MASK_FOLDERS | {"images", "image", "imgs"}
    free = [i for i, word in enumerate(words) if word not in idle and i != first]
    family = next((CLASS_NAMES[words[i]].family for i in classes if CLASS_NAMES[words[i]].family), None)
    return _Place(
        known=replace(CLASS_NAMES[words[first]], family=family),
        class_folder=parts[first],
        below=next((parts[i] for i in free if i > first), None),
        above=next((parts[i] for i in free if i < first), None),
        split=split,
        splits_differ=len(splits) > 1,
        mask_folder=mask_folder,
    )


def _read_names(tree: Tree) -> Reading:
    cache: dict[str, _Place] = {}
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    masks: list[str] = []
    per_folder: Counter[str] = Counter()
    stems: frozenset[str] | None = None
    for path in tree.pictures:
        folder = path[: path.rfind("/") + 1]
        place = cache.get(folder) or _place(path, cache)
        # Few names end like a mask's; the set of all stems is made only when one does.
        is_mask = place.mask_folder is not None
        if not is_mask and _MASK_LIKE.search(path) is not None:
            stems = stems or frozenset(folder_of(name) + stem_of(name) for name in tree.pictures)
            is_mask = _is_mask_name(path, place, stems)
        if is_mask:
            masks.append(path)
        elif place.known is None:
            left_out.append(LeftOut(path, place.problem or NO_CLASS, place.detail))
        else:
            per_folder[folder] += 1
            named = place.below or place.above
            real = place.known.label == "real"
            entries.append(
                Entry(
                    path,
                    place.known.label,
                    generator=None if real else named,
                    family=place.known.family,
                    source=named if real else None,
                    split=place.split,
                )
            )
    counts: Counter[str] = Counter()
    classes: Counter[tuple[str, str]] = Counter()
    for folder, count in per_folder.items():
        place = cache[folder]
        if place.known is not None:
            classes[place.class_folder or "", place.known.label] += count
        if place.below or place.above:
            counts["below" if place.below else "above"] += count
        counts["splits differ"] += count * place.splits_differ
    remarks = [f"folder '{word}' read as {label} ({count:,})" for (word, label), count in sorted(classes.items())]
    if counts["below"]:
        remarks.append("the folder under the class folder read as generator (of fakes) or source (of reals)")
    if counts["above"]:
        many = counted(counts["above"], "picture")
        remarks.append(
            f"no folder under the class folder: the topmost folder above it read as generator or source ({many})"
        )
    if counts["splits differ"]:
        remarks.append(f"{counted(counts['splits differ'], 'picture')} under folders of two splits: split left unknown")
    if masks:
        entries, unpaired, told = _with_masks(entries, masks, cache)
        left_out += unpaired
        remarks += told
    left_out += not_pictures(tree)
    return Reading(entries, left_out, remarks, facts={"layout": "folder", "by": "names"})


def _is_mask_name(path: str, place: _Place, stems: frozenset[str]) -> bool:
    stem = stem_of(path)
    plain = without_mask_suffix(stem)
    if plain == stem:
        return False
    # Among reals, a portrait may be called `woman_with_mask`: there it is a mask only beside the picture it names.
    is_real = place.known is not None and place.known.label == "real"
    return not is_real or folder_of(path) + plain in stems


def _with_masks(
    entries: Sequence[Entry], masks: Sequence[str], cache: dict[str, _Place]
) -> tuple[list[Entry], list[LeftOut], list[str]]:
    """Masks paired by stem with the fakes of the same folder, or of a folder that differs by one part."""
    near: dict[tuple[str, str], list[int]] = {}
    same: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(entries):
        if entry.label == "real":
            continue
        parts, stem = entry.path.split("/")[:-1], stem_of(entry.path)
        same.setdefault(("/".join(parts), stem), []).append(number)
        for i in range(len(parts)):
            near.setdefault(("/".join(parts[:i] + parts[i + 1 :]), stem), []).append(number)
    chosen: dict[int, str] = {}
    left_out: list[LeftOut] = []
    shared = vague = 0
    for mask in masks:
        parts, stem = mask.split("/")[:-1], stem_of(mask)
        place = _place(mask, cache)
        if place.mask_folder is not None:
            parts = parts[: place.mask_folder] + parts[place.mask_folder + 1 :]
        folder = "/".join(parts)
        found: list[int] = []
        for name in dict.fromkeys((stem, without_mask_suffix(stem))):
            found = found or same.get((folder, name), []) or near.get((folder, name), [])
        if not found:
            left_out.append(LeftOut(mask, "a mask without a fake of the same name"))
            continue
        free = [number for number in found if number not in chosen]
        if not free:
            left_out.append(LeftOut(mask, "a second mask of one picture", entries[found[0]].path))
            continue
        shared += len(free) > 1
        chosen.update(dict.fromkeys(free, mask))
    paired = list(entries)
    for number, mask in chosen.items():
        entry = paired[number]
        known = _place(entry.path, cache).known
        turned = known is not None and known.vague
        vague += turned
        paired[number] = replace(entry, mask_path=mask, label="edited" if turned else entry.label)
    remarks = [f"{counted(len(chosen), 'picture')} paired with a mask by name"]
    if shared:
        remarks.append(f"{counted(shared, 'mask')} shared by several pictures of the same name")
    if vague:
        remarks.append(f"{counted(vague, 'fake')} with a mask read as edited, not generated")
    return paired, left_out, remarks


LAYOUT = Folder()
