"""The layouts of IMDL-BenCo: folders with Tp, Gt and Au, and JSON lists.

A set is a folder with `Tp` (edited pictures) and `Gt` (their masks), or a JSON list of [image, mask or "Negative"]. The
reference pairs Tp and Gt by position and never reads `Au`; here names decide, and Au holds the real pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fauxlens.manifest.layouts.json_lists import NEGATIVE, JsonList, read_json_list, split_of_name
from fauxlens.manifest.layouts.layout import (
    Entry,
    Guess,
    LeftOut,
    Reading,
    Tree,
    counted,
    is_picture,
    not_pictures,
    share_of,
    spread,
    stem_of,
)
from fauxlens.manifest.layouts.named_paths import Locator, folder_of
from fauxlens.manifest.layouts.pairing import pair_by_name

# The reference draws this many items a set in each epoch of a balanced list.
BALANCED_ITEMS_A_SET = 1840

_PARTS = {"tp": "Tp", "gt": "Gt", "au": "Au"}


@dataclass(frozen=True, slots=True)
class ManiFolder:
    """One folder with Tp and Gt: the names in each part, sorted. `folder` ends with a slash, or is empty."""

    folder: str
    tampered: Sequence[str]
    masks: Sequence[str]
    authentic: Sequence[str]


@dataclass(frozen=True)
class Imdl:
    """IMDL-BenCo's folders and lists."""

    name: str = "imdl"
    summary: str = "folders with Tp, Gt (and Au), or JSON lists of [image, mask or 'Negative']"

    def recognise(self, tree: Tree) -> Guess | None:
        """Tp beside Gt, or a JSON file of one of the three kinds."""
        guesses = []
        folders = mani_folders(tree)
        if folders:
            inside = {path for found in folders for path in (*found.tampered, *found.masks, *found.authentic)}
            share = share_of(tree.pictures, inside.__contains__)
            first = folders[0].folder or "the root"
            guesses.append(Guess(0.7 * share, f"Tp beside Gt in {first} ({share:.0%} of the pictures)"))
        # Test files and balanced lists only lead to folders or to lists of pairs, so that those decide.
        for name in json_names(tree):
            found_list = read_json_list(tree, name)
            if found_list is None or found_list.kind != "pairs":
                continue
            images = spread([image for image, _ in found_list.rows])
            if all(is_picture(image) for image in images):
                share = sum(located.problem is None for located in map(_locator(tree, name).find, images)) / len(images)
                guesses.append(Guess(0.35 + 0.3 * share, f"{name} pairs images with masks or '{NEGATIVE}'"))
        return max(guesses, key=lambda guess: guess.score, default=None)

    def read(self, tree: Tree) -> Reading:
        """Read every Tp/Gt folder and every JSON list in the tree."""
        taken = _Taken()
        lists = [found for name in json_names(tree) if (found := read_json_list(tree, name)) is not None]
        folders = mani_folders(tree)
        sets = _named_sets(tree, lists, folders, taken)
        for folder in folders:
            _take_folder(folder, sets.get(folder.folder, _Set()), taken)
        for found_list in lists:
            if found_list.kind == "pairs":
                _take_pairs(tree, found_list, sets.get(found_list.name, _Set()), taken)
        used = [found.name for found in lists]
        entries = sorted(taken.entries.values(), key=lambda entry: entry.path.encode("utf-8", "surrogateescape"))
        masks = {entry.mask_path for entry in entries}
        for path in masks & taken.entries.keys():
            taken.remarks.append(f"{path} is a mask and a picture at once")
        named = {item.path for item in taken.left_out}
        for path in tree.pictures:
            if path not in taken.entries and path not in masks and path not in named:
                taken.left_out.append(LeftOut(path, "in no Tp, Gt or Au folder and in no JSON list"))
        taken.left_out += not_pictures(tree, [*used, *taken.entries, *(mask for mask in masks if mask)])
        return Reading(entries, taken.left_out, taken.remarks, facts={"layout": "imdl", **taken.facts}, lists=used)


def mani_folders(tree: Tree) -> list[ManiFolder]:
    """Every folder that has Tp and Gt in it (in any case), with the pictures of its parts."""
    parts: dict[str, dict[str, list[str]]] = {}
    cache: dict[str, tuple[str, str] | None] = {}
    for path in tree.pictures:
        folder = folder_of(path)
        if folder not in cache:
            words = folder.split("/")[:-1]
            place = next((i for i, word in enumerate(words) if word.lower() in _PARTS), None)
            cache[folder] = (
                None if place is None else ("".join(f"{w}/" for w in words[:place]), _PARTS[words[place].lower()])
            )
        where = cache[folder]
        if where is not None:
            parts.setdefault(where[0], {}).setdefault(where[1], []).append(path)
    return [
        ManiFolder(folder, found["Tp"], found["Gt"], found.get("Au", []))
        for folder, found in sorted(parts.items())
        if "Tp" in found and "Gt" in found
    ]


def json_names(tree: Tree) -> list[str]:
    """The JSON files at the root and one folder down."""
    return [name for name in tree.files if name.lower().endswith(".json") and name.count("/") <= 1]


@dataclass(frozen=True, slots=True)
class _Set:
    """What a list of sets says of one: its display name, and its split."""

    name: str | None = None
    split: str | None = None


@dataclass
class _Taken:
    """What was read so far."""

    entries: dict[str, Entry] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def refuse(self, path: str, reason: str, detail: str = "") -> None:
        """Leave a picture out for good: what another list says of it does not bring it back."""
        self.entries.pop(path, None)
        if path not in self.refused:
            self.refused.add(path)
            self.left_out.append(LeftOut(path, reason, detail))


def _locator(tree: Tree, name: str) -> Locator:
    # Relative to the root, as the reference is started there; else to the list itself.
    return Locator(tree, tuple(dict.fromkeys(("", folder_of(name)))))


def _named_sets(
    tree: Tree, lists: Sequence[JsonList], folders: Sequence[ManiFolder], taken: _Taken
) -> Mapping[str, _Set]:
    """The sets that test files and balanced lists name: folder (with slash) or list name -> what is said of it."""
    there_are = {found.folder for found in folders} | {found.name for found in lists if found.kind == "pairs"}
    sets: dict[str, _Set] = {}
    for found in lists:
        if found.kind == "pairs":
            continue
        taken.left_out += found.left_out
        locator = _locator(tree, found.name)
        names = []
        for first, path in found.rows:
            at = locator.find(path.rstrip("/"))
            place = next(
                (known for known in (at.path, at.path + "/", "" if at.path == "." else at.path) if known in there_are),
                None,
            )
            names.append(path if place is None else place or ".")
            if place is None:
                why = (
                    at.problem
                    if at.problem and "outside" in at.problem
                    else "no Tp/Gt folder and no JSON list in this tree"
                )
                taken.left_out.append(LeftOut(f"{found.name}: {first}", why, path))
            elif found.kind == "named":
                sets[place] = _Set(first, "test")
        if found.kind == "balanced":
            taken.facts["balanced"] = {
                "list": found.name,
                "sets": names,
                "items_an_epoch": BALANCED_ITEMS_A_SET * len(names),
                "draw": f"item i comes from set i div {BALANCED_ITEMS_A_SET}, uniform with replacement",
            }
            taken.remarks.append(
                f"{found.name}: a balanced list of {counted(len(names), 'set')}; the reference draws "
                f"{BALANCED_ITEMS_A_SET} items a set in each epoch, with replacement; here each picture is one row"
            )
        else:
            taken.remarks.append(
                f"{found.name}: a test file of {counted(len(names), 'set')}: display name kept as source"
            )
    return sets


def _take_folder(found: ManiFolder, named: _Set, taken: _Taken) -> None:
    where = found.folder.rstrip("/") or "the root"
    source = named.name or (found.folder.rstrip("/").rpartition("/")[2] or None)
    pairing = pair_by_name(where, found.tampered, found.masks)
    taken.remarks += pairing.remarks
    for picture in found.tampered:
        mask = pairing.mask_of.get(picture)
        if mask is None:
            what = "no mask of its name in Gt: rename the mask, or give a JSON list of [image, mask]"
            taken.left_out.append(LeftOut(picture, what))
        else:
            taken.entries[picture] = Entry(picture, "edited", mask, source=source, split=named.split)
    taken.left_out += [LeftOut(mask, why) for mask, why in pairing.without_picture.items()]
    for picture in found.authentic:
        taken.entries[picture] = Entry(picture, "real", source=source, split=named.split)
    if found.authentic:
        taken.remarks.append(
            f"{where}: {counted(len(found.authentic), 'picture')} in Au read as real; the reference never reads Au"
        )


def _take_pairs(tree: Tree, found: JsonList, named: _Set, taken: _Taken) -> None:
    locator = _locator(tree, found.name)
    split = named.split or split_of_name(found.name)
    source = named.name or stem_of(found.name)
    taken.left_out += found.left_out
    seen: set[str] = set()
    repeated = differing = 0
    for number, (image, mask) in enumerate(found.rows, start=1):
        at, row = locator.find(image), f"{found.name}, row {number}"
        if at.problem is not None:
            taken.refuse(at.path, at.problem, row)
            continue
        if at.path in taken.refused:
            continue
        if at.path in seen:
            repeated += 1
            continue
        seen.add(at.path)
        mask_path = None
        if mask != NEGATIVE:
            mask_at = locator.find(mask)
            if mask_at.problem is not None:
                taken.refuse(at.path, f"its mask: {mask_at.problem}", f"{mask} in {row}")
                continue
            mask_path = mask_at.path
        label = "real" if mask == NEGATIVE else "edited"
        before = taken.entries.get(at.path)
        if before is None:
            taken.entries[at.path] = Entry(at.path, label, mask_path, source=source, split=split)
        elif (before.label, before.mask_path) != (label, mask_path):
            taken.refuse(at.path, "another list gives it another label or mask", row)
        else:
            differing += before.split is not None and split is not None and before.split != split
            # In two splits at once: then it is in none, and the remark says so.
            kept = before.split if split is None else split if before.split in (None, split) else None
            taken.entries[at.path] = replace(before, split=kept)
    if repeated:
        taken.remarks.append(f"{found.name}: {counted(repeated, 'row')} repeat a picture; each picture is one row here")
    if differing:
        taken.remarks.append(
            f"{found.name}: {counted(differing, 'picture')} in lists of two splits (a leak): split left unknown"
        )


LAYOUT = Imdl()
