"""BR-Gen: the release (region masks and forgeries by mask type and method, reals by list) and its evaluation folders.

The release's exact order of folders is not published, so both `<MaskType>/<Method>/` and `<Method>/<MaskType>/` are
read, with masks in a folder (mask, masks, Gt) or with `_mask` in the name; what was met is said in the remarks. Names
are read from the left, `<Method>_<MaskType>_<Source>_<stem>`, and matched as they are: COCO stems are never re-padded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from fauxlens.manifest.layouts.class_names import MASK_FOLDERS, SPLIT_NAMES, without_mask_suffix
from fauxlens.manifest.layouts.json_lists import NEGATIVE, JsonList, read_json_list, split_of_name
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
    stem_of,
)
from fauxlens.manifest.layouts.named_paths import NOT_ON_DISK, Locator, folder_of

FAMILY_OF: dict[str, str] = {
    "LaMa": "gan",
    "MAT": "gan",
    "SDXL": "diffusion",
    "BrushNet": "diffusion",
    "PowerPaint": "diffusion",
}
SOURCES = ("COCO", "ImageNet", "Places")
MASK_TYPES = ("stuff", "background")

_METHODS = {method.lower(): method for method in FAMILY_OF}
_SOURCES = {source.lower(): source for source in SOURCES} | {"places2": "Places"}
_MASK_TYPES = {name: name for name in MASK_TYPES}
_REAL_FOLDERS = frozenset(["realimage", "realimages", "real_image"])
_EVALUATION_FOLDER = re.compile(r"brgen[-_].+[-_](train|training|val|valid|validation|test)\Z", re.IGNORECASE)
_IMAGE_LIST = "_image_list.txt"

_PAPER = "BR-Gen (paper and README)"


@dataclass(frozen=True, slots=True)
class ForgeryName:
    """The parts of a name; what it does not say is None."""

    stem: str
    method: str | None = None
    mask_type: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class BRGen:
    """BR-Gen's release tree and its IMDL-style evaluation folders."""

    name: str = "brgen"
    summary: str = "BR-Gen: {Stuff,Background} by method with masks, RealImage/<source>/, or BRGen-*-*/{Au,Tp,Gt}"

    def recognise(self, tree: Tree) -> Guess | None:
        """Pictures that a method and a mask type are told of, in folders or names, or reals of the release."""
        cache: dict[str, _Folder] = {}
        share = share_of(tree.pictures, lambda path: _is_typical(path, _folder(path, cache)))
        if not share:
            return None
        methods = sorted({told for path in tree.pictures[:2000] if (told := _told(path, cache).method)})
        return Guess(
            0.95 * share, f"{share:.0%} of the pictures are named as BR-Gen's ({', '.join(methods) or 'reals only'})"
        )

    def read(self, tree: Tree) -> Reading:
        """Read forgeries, masks and reals by name, and splits from the JSON lists when they are there."""
        return _Reader(tree).read()


def parse_forgery_name(stem: str) -> ForgeryName:
    """Read a name from the left: method, mask type and source are single words, the stem may hold underscores.

    >>> parse_forgery_name("MAT_Stuff_ImageNet_n06359193_84719")
    ForgeryName(stem='n06359193_84719', method='MAT', mask_type='stuff', source='ImageNet')
    >>> parse_forgery_name("COCO_00000000520")
    ForgeryName(stem='00000000520', method=None, mask_type=None, source='COCO')
    """
    words = stem.split("_")
    method = mask_type = source = None
    if len(words) > 3 and words[1].lower() in _MASK_TYPES:
        method, mask_type, source = _METHODS.get(words[0].lower(), words[0]), words[1].lower(), words[2]
        words = words[3:]
    else:
        if len(words) > 1 and words[0].lower() in _MASK_TYPES:
            mask_type, words = words[0].lower(), words[1:]
        if len(words) > 1 and words[0].lower() in _SOURCES:
            source, words = words[0], words[1:]
    return ForgeryName(
        "_".join(words), method, mask_type, None if source is None else _SOURCES.get(source.lower(), source)
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """What the folders of a picture say. `scope` is the part above them: masks are looked for inside one scope."""

    scope: str = ""
    method: str | None = None
    mask_type: str | None = None
    source: str | None = None
    real: bool = False
    authentic: bool = False
    mask: bool = False
    evaluation: bool = False
    split: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """What folders and name say together."""

    stem: str
    method: str | None
    mask_type: str | None
    source: str | None
    contradiction: str | None = None

    @property
    def real_key(self) -> tuple[str | None, str]:
        """Which real photo it is, or came from."""
        return self.source, self.stem

    @property
    def origin(self) -> str:
        """The same text for a photo and all that came of it, whether or not the photo is here."""
        return f"{self.source}_{self.stem}" if self.source else self.stem


def _folder(path: str, cache: dict[str, _Folder]) -> _Folder:
    name = path[: path.rfind("/") + 1]
    found = cache.get(name)
    if found is None:
        found = cache[name] = _read_folder(name.split("/")[:-1])
    return found


def _read_folder(parts: Sequence[str]) -> _Folder:
    lowered = [part.lower() for part in parts]
    method = next((_METHODS[word] for word in lowered if word in _METHODS), None)
    mask_type = next((word for word in lowered if word in _MASK_TYPES), None)
    real = next((i for i, word in enumerate(lowered) if word in _REAL_FOLDERS), None)
    evaluation = next((found for part in parts if (found := _EVALUATION_FOLDER.match(part))), None)
    known = _METHODS.keys() | _MASK_TYPES.keys() | _REAL_FOLDERS | MASK_FOLDERS | _SOURCES.keys() | {"tp", "au"}
    first = next((i for i, word in enumerate(lowered) if word in known), len(parts))
    order = None
    if method is not None and mask_type is not None:
        first_is_type = lowered.index(mask_type) < lowered.index(method.lower())
        order = "<MaskType>/<Method>" if first_is_type else "<Method>/<MaskType>"
    return _Folder(
        scope="".join(f"{part}/" for part in parts[:first]),
        method=method,
        mask_type=mask_type,
        source=next((_SOURCES[word] for word in lowered if word in _SOURCES), None),
        real=real is not None or "au" in lowered,
        authentic="au" in lowered,
        mask=any(word in MASK_FOLDERS for word in lowered),
        evaluation=evaluation is not None,
        split=SPLIT_NAMES[evaluation[1].lower()] if evaluation else None,
        order=order,
    )


def _told(path: str, cache: dict[str, _Folder]) -> _Told:
    folder = _folder(path, cache)
    stem = stem_of(path)
    name = parse_forgery_name(without_mask_suffix(stem) if folder.mask or _is_mask_name(stem) else stem)
    contradiction = next(
        (
            f"its folder says {there}, its name {here}"
            for there, here in (
                (folder.method, name.method), (folder.mask_type, name.mask_type), (folder.source, name.source),
            )
            if there is not None and here is not None and there != here
        ),
        None,
    )  # fmt: skip
    return _Told(
        name.stem,
        name.method or folder.method,
        name.mask_type or folder.mask_type,
        name.source or folder.source,
        contradiction,
    )


def _is_mask_name(stem: str) -> bool:
    return stem.lower().endswith("_mask")


def _is_typical(path: str, folder: _Folder) -> bool:
    if folder.evaluation or (folder.real and not folder.authentic):
        return True
    name = parse_forgery_name(stem_of(path))
    if folder.authentic:
        return name.source is not None
    if name.method is not None:
        return name.method in FAMILY_OF or name.source in SOURCES
    return (folder.method is not None or folder.mask) and (folder.mask_type is not None or name.mask_type is not None)


@dataclass
class _Reader:
    """Reads one tree; the fields are what was met so far."""

    tree: Tree
    cache: dict[str, _Folder] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)

    def read(self) -> Reading:
        forgeries: list[tuple[str, _Told]] = []
        masks: dict[tuple[str, str | None, str | None, str | None, str], str] = {}
        reals: list[tuple[str, _Told]] = []
        doubled: list[LeftOut] = []
        orders: Counter[str] = Counter()
        for path in self.tree.pictures:
            folder, told = _folder(path, self.cache), _told(path, self.cache)
            if told.contradiction is not None:
                self.left_out.append(LeftOut(path, "its folder and its name contradict each other", told.contradiction))
            elif folder.mask or (_is_mask_name(stem_of(path)) and not folder.real):
                key = (folder.scope, told.method, told.mask_type, told.source, told.stem)
                if masks.setdefault(key, path) != path:
                    doubled.append(LeftOut(path, "a second mask of one region", masks[key]))
                orders["masks in a folder" if folder.mask else "masks by the suffix _mask"] += 1
            elif folder.real:
                reals.append((path, told))
            elif told.method is None or told.mask_type is None:
                what = "method" if told.method is None else "mask type"
                self.left_out.append(LeftOut(path, f"no {what} in its folders or its name"))
            else:
                if folder.order is not None:
                    orders[folder.order] += 1
                forgeries.append((path, told))
        self.left_out += doubled
        wanted = self._image_lists()
        real_keys = self._reals(reals, wanted)
        entries = self._entries(forgeries, masks, reals, real_keys)
        if orders:
            met = ", ".join(f"{order} ({count:,})" for order, count in sorted(orders.items()))
            self.remarks.append(f"the order of folders is not published; met here: {met}")
        entries = self._with_splits(entries, wanted)
        entries.sort(key=lambda entry: entry.path.encode("utf-8", "surrogateescape"))
        self.left_out += not_pictures(self.tree, self.lists)
        return Reading(
            entries, self.left_out, self.remarks, self._published(entries), {"layout": "brgen"}, tuple(self.lists)
        )

    def _image_lists(self) -> dict[str, dict[str, str]]:
        """Source -> stem -> the line, of every `<source>_image_list.txt`."""
        wanted: dict[str, dict[str, str]] = {}
        for name in self.tree.files:
            if not name.lower().endswith(_IMAGE_LIST):
                continue
            said = name.rpartition("/")[2][: -len(_IMAGE_LIST)]
            source = _SOURCES.get(said.lower(), said)
            self.lists.append(name)
            for line in self.tree.read_text(name).removeprefix("\ufeff").split("\n"):
                if written := line.strip():
                    stem = parse_forgery_name(stem_of(written.replace("\\", "/"))).stem
                    wanted.setdefault(source, {})[stem] = f"{folder_of(name)}{written}"
        return wanted

    def _reals(
        self, reals: list[tuple[str, _Told]], wanted: Mapping[str, Mapping[str, str]]
    ) -> set[tuple[str | None, str]]:
        """Which photos are here; reals that the lists do not name are taken out of `reals`."""
        kept = []
        here: set[tuple[str | None, str]] = set()
        for path, told in reals:
            listed = wanted.get(told.source or "")
            if listed is not None and told.stem not in listed and not _folder(path, self.cache).authentic:
                self.left_out.append(LeftOut(path, f"not in {told.source}{_IMAGE_LIST}"))
                continue
            kept.append((path, told))
            here.add(told.real_key)
        reals[:] = kept
        absent = [
            line for source, stems in wanted.items() for stem, line in stems.items() if (source, stem) not in here
        ]
        if absent:
            total = sum(map(len, wanted.values()))
            self.remarks.append(
                f"{len(absent):,} of {counted(total, 'real photo')} in the image lists are not on disk; the release "
                "has none: get COCO train2017, ImageNet train and Places2, and put them under RealImage/<source>/"
            )
            self.left_out += [LeftOut(line, NOT_ON_DISK) for line in absent]
        return here

    def _entries(
        self,
        forgeries: Sequence[tuple[str, _Told]],
        masks: Mapping[tuple[str, str | None, str | None, str | None, str], str],
        reals: Sequence[tuple[str, _Told]],
        real_keys: Set[tuple[str | None, str]],
    ) -> list[Entry]:
        entries: list[Entry] = []
        used: Counter[str] = Counter()
        seen: Counter[tuple[str | None, ...]] = Counter()
        strange: Counter[str] = Counter()
        orphans = 0
        for path, told in forgeries:
            folder = _folder(path, self.cache)
            mask = None
            # A mask of the region serves every method; one of the method's own comes first.
            for method, source in ((told.method, told.source), (None, told.source), (told.method, None), (None, None)):
                mask = mask or masks.get((folder.scope, method, told.mask_type, source, told.stem))
            if mask is None:
                self.left_out.append(LeftOut(path, "no mask of its name"))
                continue
            used[mask] += 1
            seen[told.method, told.mask_type, told.source, told.stem] += 1
            method = told.method or ""
            strange[method] += method not in FAMILY_OF
            orphans += told.real_key not in real_keys
            entries.append(
                Entry(
                    path,
                    "edited",
                    mask,
                    generator=method,
                    family=FAMILY_OF.get(method),
                    method=method,
                    mask_type=told.mask_type,
                    source=told.source,
                    split=folder.split,
                    origin=told.origin,
                )
            )
        for path, told in reals:
            split = _folder(path, self.cache).split
            entries.append(Entry(path, "real", source=told.source, split=split, origin=told.origin))
        self.left_out += [
            LeftOut(mask, "a mask without a forgery of its name") for mask in masks.values() if mask not in used
        ]
        if orphans:
            self.remarks.append(f"{counted(orphans, 'forgery', 'forgeries')} whose real photo is not in this tree")
        shared = sum(count > 1 for count in used.values())
        if shared:
            self.remarks.append(f"{counted(shared, 'mask')} serve the forgeries of several methods")
        if twice := sum(count > 1 for count in seen.values()):
            self.remarks.append(
                f"{counted(twice, 'forgery', 'forgeries')} in two places, both kept: release and evaluation folder?"
            )
        if unknown := sorted(name for name, count in strange.items() if count):
            self.remarks.append(f"methods that are not BR-Gen's own, family unknown: {', '.join(unknown)}")
        return entries

    def _with_splits(self, entries: list[Entry], wanted: Mapping[str, Mapping[str, str]]) -> list[Entry]:
        """Splits as the JSON lists give them; a forgery that no list names has the split of its real photo."""
        by_path: dict[str, set[str]] = {}
        by_real: dict[tuple[str | None, str], set[str]] = {}
        by_name: dict[str, list[str]] = {}
        for entry in entries:
            by_name.setdefault(entry.path.rpartition("/")[2], []).append(entry.path)
        sources: Mapping[str, Set[str]] | None = None
        gone = {item.path for item in self.left_out}
        for name in self.tree.files:
            if not name.lower().endswith(".json") or name.count("/") > 2:
                continue
            found = read_json_list(self.tree, name)
            if found is None:
                continue
            self.lists.append(name)
            if found.kind != "pairs":
                self.remarks.append(f"{name}: a list of sets, which says nothing of single pictures")
                continue
            sources = self._sources_of_stems(wanted) if sources is None else sources
            self._take_list(found, by_name, by_path, by_real, gone, sources)
        inherited = leaks = 0
        done = []
        for entry in entries:
            splits = by_path.get(entry.path)
            if splits is None:
                splits = by_real.get(_told(entry.path, self.cache).real_key)
                inherited += splits is not None
            if splits:
                leaks += len(splits) > 1
                entry = replace(entry, split=next(iter(splits)) if len(splits) == 1 else None)
            done.append(entry)
        if inherited:
            self.remarks.append(
                f"{counted(inherited, 'picture')} in no JSON list took the split of the same real photo"
            )
        if leaks:
            self.remarks.append(f"{counted(leaks, 'picture')} in the lists of two splits (a leak): split left unknown")
        return done

    def _sources_of_stems(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, set[str]]:
        """The sources that names and image lists give to each stem."""
        sources: dict[str, set[str]] = {}
        for source, stems in wanted.items():
            for stem in stems:
                sources.setdefault(stem, set()).add(source)
        for path in self.tree.pictures:
            told = _told(path, self.cache)
            if told.source is not None:
                sources.setdefault(told.stem, set()).add(told.source)
        return sources

    def _take_list(
        self,
        found: JsonList,
        by_name: Mapping[str, Sequence[str]],
        by_path: dict[str, set[str]],
        by_real: dict[tuple[str | None, str], set[str]],
        gone: set[str],
        sources: Mapping[str, Set[str]],
    ) -> None:
        self.left_out += found.left_out
        split = split_of_name(found.name)
        if split is None:
            self.remarks.append(f"{found.name}: its name says no split, so it was not used for splits")
        locator = Locator(self.tree, tuple(dict.fromkeys(("", folder_of(found.name)))))
        files, odd = self.tree.file_set, 0
        for image, mask in found.rows:
            at = locator.find(image)
            path = at.path
            if at.problem is not None:
                # Their paths are those of their own disk; the name is the same here, if it is here once.
                same = by_name.get(image.replace("\\", "/").rpartition("/")[2], ())
                path = same[0] if len(same) == 1 else path
            told = _told(path.lstrip("/"), self.cache)
            if split is not None:
                # The folders of another disk may not tell the source. What is named alike tells it, here or not.
                said = sources.get(told.stem, set()) if told.source is None else {told.source}
                by_real.setdefault((min(said) if len(said) == 1 else None, told.stem), set()).add(split)
            if path not in files:
                if path not in gone:
                    gone.add(path)
                    self.left_out.append(LeftOut(path, NOT_ON_DISK, found.name))
                continue
            odd += (mask == NEGATIVE) != _folder(path, self.cache).real
            if split is not None:
                by_path.setdefault(path, set()).add(split)
        if odd:
            self.remarks.append(
                f"{found.name}: {counted(odd, 'row')} whose class is not that of the folder; the folder was believed"
            )

    def _published(self, entries: Sequence[Entry]) -> list[Published]:
        release = any(not _folder(entry.path, self.cache).evaluation for entry in entries if entry.label == "edited")
        if not release:
            stuff = any("stuff-val" in entry.path.lower() for entry in entries)
            return [Published({"label": "edited", "mask_type": "stuff"}, 3_000, _PAPER)] if stuff else []
        counts = [Published({"label": "real"}, 15_000, _PAPER), Published({"label": "edited"}, 150_000, _PAPER)]
        for split, reals in (("train", 12_000), ("val", 1_500), ("test", 1_500)):
            counts.append(Published({"label": "real", "split": split}, reals, _PAPER))
            counts.append(Published({"label": "edited", "split": split}, reals * 10, _PAPER))
        for method in FAMILY_OF:
            for mask_type in MASK_TYPES:
                counts.append(Published({"method": method, "mask_type": mask_type}, 15_000, _PAPER))
        return counts


LAYOUT = BRGen()
