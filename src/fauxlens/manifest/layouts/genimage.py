"""GenImage (arXiv 2306.08571): eight generators, each with train|val and ai|nature.

Accepted: with or without the `imagenet_*` folder of the archives, any spelling of the generator, class folders below,
the root being one generator's folder, and the merged `imagenet_ai/{train,val}/{ai,nature}`. Counts: paper, restated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

# The names of UnbiasedGenImage's table, which are the folders of the archives.
FAMILY_OF: dict[str, str] = {
    "Midjourney": "diffusion",
    "stable_diffusion_v_1_4": "diffusion",
    "stable_diffusion_v_1_5": "diffusion",
    "ADM": "diffusion",
    "glide": "diffusion",
    "wukong": "diffusion",
    "VQDM": "diffusion",
    "BigGAN": "gan",
}

# Letters and digits only, lower case: every spelling met in papers, archives and file names.
_SPELLINGS: dict[str, str] = {
    **{"midjourney": "Midjourney", "midjourneyv5": "Midjourney"},
    **dict.fromkeys(["stablediffusionv14", "stablediffusion14", "sdv14", "sd14", "sdv4"], "stable_diffusion_v_1_4"),
    **dict.fromkeys(["stablediffusionv15", "stablediffusion15", "sdv15", "sd15", "sdv5"], "stable_diffusion_v_1_5"),
    **{"adm": "ADM", "glide": "glide", "wukong": "wukong", "vqdm": "VQDM", "biggan": "BigGAN"},
}
_IN_FILE_NAME = re.compile(r"(?:^|[_/])(\d{1,4})_(midjourney|sdv4|sdv5|adm|glide|wukong|vqdm|biggan)_", re.IGNORECASE)
_ARCHIVE_FOLDER = re.compile(r"imagenet_(?:ai_)?(?:\d+_)?([a-z0-9]+)\Z", re.IGNORECASE)
_NOT_LETTERS = re.compile(r"[^a-z0-9]")

_SPLITS = {"train": "train", "val": "val"}
_LABELS = {"ai": "generated", "nature": "real"}

METADATA_NAME = "genimage_metadata.csv"
CORRUPTED_NAME = "corrupted_files.txt"
CORRUPTED = "listed by the owners as corrupted"

_PAPER = "GenImage, arXiv 2306.08571"


@dataclass(frozen=True, slots=True)
class GenImagePlace:
    """What the folders of a GenImage path say; `problem` when they do not place it."""

    generator: str | None = None
    split: str | None = None
    label: str | None = None
    problem: str | None = None
    detail: str = ""

    @property
    def source(self) -> str:
        """The subset: reals of different subsets are different photos, so they must be selectable by it."""
        return source_of(self.generator)


@dataclass(frozen=True)
class GenImage:
    """GenImage as its archives unpack, or merged."""

    name: str = "genimage"
    summary: str = "GenImage: <generator>/[imagenet_*/]{train,val}/{ai,nature}, or merged under imagenet_ai"

    def recognise(self, tree: Tree) -> Guess | None:
        """Pictures below a known generator, a split and ai or nature."""
        above, cache = _above(tree), dict[str, GenImagePlace]()

        def fits(path: str) -> bool:
            place = _place(path, above, cache)
            if place.problem is not None:
                return False
            return place.generator is not None or place.label == "real" or _IN_FILE_NAME.search(path) is not None

        share = share_of(tree.pictures, fits)
        found = sorted({place.generator for place in cache.values() if place.generator and not place.problem})
        merged = any(_IN_FILE_NAME.search(path) for path in tree.pictures[:200]) if not found else True
        if not share or not merged:
            return None
        if any(name.rpartition("/")[2] == METADATA_NAME for name in tree.files if name.count("/") <= 1):
            return Guess(0.5 * share, f"GenImage's folders, but {METADATA_NAME} lists them: unbiased-genimage reads it")
        what = ", ".join(found) if found else "merged, the generator in the file names"
        return Guess(0.9 * share, f"{share:.0%} of the pictures lie in GenImage's folders ({what})")

    def read(self, tree: Tree) -> Reading:
        """Read labels, splits and generators from the folders, and the rest from the file names."""
        above, cache = _above(tree), dict[str, GenImagePlace]()
        corrupted, lists = corrupted_keys(tree)
        entries: list[Entry] = []
        left_out: list[LeftOut] = []
        differ: list[str] = []
        notes: dict[str, str] = {}
        seen: Counter[str] = Counter()
        for path in tree.pictures:
            place = _place(path, above, cache)
            if place.problem is not None:
                left_out.append(LeftOut(path, place.problem, place.detail))
                continue
            name = path[path.rfind("/") + 1 :]
            if corrupted and (place.generator, place.split, place.label, name) in corrupted:
                left_out.append(LeftOut(path, CORRUPTED))
                continue
            if place.label == "real":
                entries.append(real_entry(path, name, place))
                continue
            told = _IN_FILE_NAME.search(name)
            generator = place.generator
            if told is not None:
                named = _SPELLINGS[told[2].lower()]
                if generator is None:
                    generator = named
                elif generator != named:
                    differ.append(path)
            if generator is None:
                left_out.append(LeftOut(path, "no generator in its folders or its name"))
                continue
            seen[generator] += 1
            number = told[1] if told is not None else None
            note = None if number is None else notes.setdefault(number, f"class field {number} in the name")
            entries.append(
                Entry(
                    path,
                    "generated",
                    generator=generator,
                    family=FAMILY_OF[generator],
                    source=source_of(place.generator),
                    split=place.split,
                    notes=note,
                )
            )
        present = {place.generator for place in cache.values() if place.generator and not place.problem} | set(seen)
        merged = any(place.generator is None and place.problem is None for place in cache.values())
        remarks = []
        if differ:
            remarks.append(
                f"{counted(len(differ), 'name')} of fakes speak of another generator than their folder; "
                f"the folder was believed (first: {differ[0]})"
            )
        if merged:
            remarks.append(
                "merged tree: generators of fakes come from their names, and the subset of each real is unknown"
            )
        absent = [generator for generator in FAMILY_OF if generator not in present]
        if absent:
            remarks.append(f"not in this tree: {', '.join(absent)}")
        remarks.append(
            "the class field in the names of fakes is kept in notes only: whether it counts from 0 or 1 is disputed"
        )
        left_out += not_pictures(tree, lists)
        facts = {"layout": "genimage", "generators": sorted(present)}
        return Reading(entries, left_out, remarks, published_counts(present, merged=merged), facts, lists)


def generator_of_folder(folder: str) -> str | None:
    """The generator that a folder is called after, in any spelling; None when it is none.

    >>> generator_of_folder("Stable Diffusion V1.4"), generator_of_folder("imagenet_ai_0508_adm")
    ('stable_diffusion_v_1_4', 'ADM')
    >>> generator_of_folder("imagenet_ai")
    """
    known = _SPELLINGS.get(_NOT_LETTERS.sub("", folder.lower()))
    if known is None and (archive := _ARCHIVE_FOLDER.match(folder)) is not None:
        known = _SPELLINGS.get(archive[1].lower())
    return known


def place_of(parts: Sequence[str]) -> GenImagePlace:
    """What the folders `parts` of a picture say: generator, split and label, in this order along the path.

    >>> place_of(["ADM", "imagenet_ai_0508_adm", "val", "ai"])
    GenImagePlace(generator='ADM', split='val', label='generated', problem=None, detail='')
    """
    lowered = [part.lower() for part in parts]
    kind = next((i for i in range(len(parts) - 1, 0, -1) if lowered[i] in _LABELS and lowered[i - 1] in _SPLITS), None)
    if kind is None:
        return GenImagePlace(problem="not under {train,val}/{ai,nature}")
    generators = {known for part in parts[: kind - 1] if (known := generator_of_folder(part)) is not None}
    if len(generators) > 1:
        return GenImagePlace(problem="its folders name two generators", detail=" and ".join(sorted(generators)))
    return GenImagePlace(next(iter(generators), None), _SPLITS[lowered[kind - 1]], _LABELS[lowered[kind]])


def source_of(generator: str | None) -> str:
    """The source of every picture of one subset; without a generator the subset is unknown.

    >>> source_of("ADM"), source_of(None)
    ('genimage/ADM', 'genimage')
    """
    return "genimage" if generator is None else f"genimage/{generator}"


def wordnet_id(name: str) -> str | None:
    """The WordNet id that an ImageNet training photo's name begins with; None for validation photos.

    >>> wordnet_id("n01440764_10026.JPEG"), wordnet_id("ILSVRC2012_val_00000001.JPEG")
    ('n01440764', None)
    """
    return name[:9] if name[:1] == "n" and name[9:10] == "_" and name[1:9].isdigit() else None


def real_entry(path: str, name: str, place: GenImagePlace) -> Entry:
    """The entry of a real photo: its ImageNet name groups copies of it in two places."""
    return Entry(
        path,
        "real",
        content=wordnet_id(name),
        source=source_of(place.generator),
        split=place.split,
        origin=stem_of(name),
    )


def corrupted_keys(tree: Tree) -> tuple[frozenset[tuple[str | None, str | None, str | None, str]], list[str]]:
    """The pictures that `corrupted_files.txt` names, as (generator, split, label, file name), and the lists read."""
    lists = [name for name in tree.files if name.rpartition("/")[2] == CORRUPTED_NAME]
    keys: set[tuple[str | None, str | None, str | None, str]] = set()
    for name in lists:
        for line in tree.read_text(name).removeprefix("\ufeff").splitlines():
            # "Paths in CSV form": the first column, perhaps quoted.
            parts = line.split(",")[0].strip().strip('"').replace("\\", "/").split("/")
            place = place_of(parts[:-1])
            if place.problem is None:
                # Names are unique across generators, so that a merged tree finds them without one.
                keys |= {
                    (place.generator, place.split, place.label, parts[-1]),
                    (None, place.split, place.label, parts[-1]),
                }
    return frozenset(keys), lists


def published_counts(present: set[str], *, merged: bool = False) -> list[Published]:
    """The published counts of the generators that are there; the totals when all eight are."""
    counts: list[Published] = []
    for generator in FAMILY_OF:
        if generator not in present:
            continue
        train, val = (166_000, 8_000) if generator == "stable_diffusion_v_1_5" else (162_000, 6_000)
        for split, count in (("train", train), ("val", val)):
            where: Mapping[str, str] = {"generator": generator, "split": split, "label": "generated"}
            counts.append(Published(where, count, _PAPER))
        if not merged:
            where = {"source": source_of(generator), "split": "val", "label": "real"}
            counts.append(Published(where, val, _PAPER))
    if len(counts) and all(generator in present for generator in FAMILY_OF):
        counts.append(Published({"label": "real", "split": "train"}, 1_281_167, _PAPER))
        counts.append(Published({"label": "real", "split": "val"}, 50_000, _PAPER))
        counts.append(Published({"label": "generated"}, 1_350_000, _PAPER))
    return counts


def _above(tree: Tree) -> list[str]:
    # The root may itself be a generator's folder, or the imagenet_* folder in it.
    return [tree.root.resolve().name]


def _place(path: str, above: Sequence[str], cache: dict[str, GenImagePlace]) -> GenImagePlace:
    folder = path[: path.rfind("/") + 1]
    place = cache.get(folder)
    if place is None:
        parts = folder.split("/")[:-1]
        place = place_of(parts)
        if place.problem is None and place.generator is None:
            place = place_of([*above, *parts])
        cache[folder] = place
    return place


LAYOUT = GenImage()
