"""Regions that somebody has drawn: COCO's panoptic and stuff maps, ADE20K, Pascal VOC, or a folder of masks.

Where there is such a map it goes before any model. An annotation is sure of everything, so it has no confidence; the
`score` is the share of the frame that the stuff, or the kept thing, takes, and the largest comes first.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from fauxlens.core.errors import BadSetting, FauxlensError, UnknownName
from fauxlens.forge.perceive.label_map import (
    ClassName,
    read_labels,
    read_mask,
    read_names,
    read_segments,
    require_same_shape,
)
from fauxlens.forge.perceive.masks import AreaLimits, box_of, tidied
from fauxlens.forge.perceive.provider import Provider
from fauxlens.forge.perceive.vocabulary import (
    FIRST_STUFF,
    LAST_STUFF,
    SCENE_GROUPS,
    STUFF,
    THINGS,
    allowed_stuff,
    number_of,
    prompt_name,
)
from fauxlens.forge.region import Mask, Photo, Region
from fauxlens.images.resample import resize

Kind = Literal["coco-panoptic", "coco-stuff", "ade", "voc", "folder"]

# Pascal VOC's 20 classes in their order, in COCO's words.
_VOC = (
    *("airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog"),
    *("horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv"),
)
_VOC_UNLABELLED = 255
# VOC leaves a rim of about five pixels around every thing unlabelled.
_VOC_RIM = 6
_PIXELMAP_UNLABELLED = 255
# In the maps made of the annotation file, everything that is a thing has this one number.
_ANY_THING = LAST_STUFF + 1
_MASK_SUFFIXES = ("", "_mask")


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings:
    """Where the annotations are, what they mean, and which of them are candidates."""

    kind: Kind = "folder"
    root: Path | None = None  # the folder with the PNGs
    segments: Path | None = None  # coco-panoptic: the JSON with `segments_info` and `categories`
    numbering: Literal["pixelmaps", "annotations"] = "pixelmaps"
    """coco-stuff: `pixelmaps` holds the class's number minus 1 and 255 for nothing, as the released
    "stuffthingmaps" do; `annotations` holds the number itself, 0 for nothing and 183 for any thing, as the annotation
    JSON and the maps drawn from it do. A map says nothing of which it is, and the wrong choice shifts every class by
    one."""
    names: Path | None = None  # ade: the list of class names
    marks: Literal["stuff", "background", "region", "thing"] = "region"
    """folder: what is white. Of a `thing` the background is made anew; the others are made anew themselves."""
    categories: Path | None = None  # folder: a CSV with the columns name and category
    category: str = ""  # folder: for masks that neither the CSV nor a folder's name says anything of
    groups: tuple[str, ...] = tuple(SCENE_GROUPS)  # of stuff; not asked in a folder of masks
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    most: int = 8  # candidates of one mask type in one photo
    limits: AreaLimits = field(default_factory=AreaLimits)

    def __post_init__(self) -> None:
        if self.most < 1:
            raise BadSetting("most is out of range", wanted="at least 1 candidate", got=self.most)
        for name, kind in (("segments", "coco-panoptic"), ("names", "ade"), ("categories", "folder")):
            if getattr(self, name) is not None and self.kind != kind:
                raise BadSetting(f"`{name}` belongs to another kind", wanted=kind, got=self.kind)
        # ADE's list may have kinds of stuff that COCO has not.
        coco = self.kind.startswith("coco")
        allowed_stuff(self.groups, also=self.also if coco else (), without=self.without if coco else ())


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One thing, or all of one kind of stuff, as the annotation has it."""

    mask: Mask  # at the annotation's size
    words: str
    thing: bool
    own_number: int


class Annotations(Provider):
    """Candidates from annotation files; a photo without one has no regions and is counted in `notes`."""

    name: ClassVar[str] = "annotations"
    settings_type: ClassVar[type] = AnnotationSettings
    settings: AnnotationSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self.asked = 0
        self.missing: list[str] = []
        self._files: dict[str, list[Path]] | None = None
        self._panoptic: _Panoptic | None = None
        self._names: dict[int, ClassName] | None = None
        self._categories: dict[str, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a run should say when it is done: how many photos had no annotation."""
        if not self.missing:
            return ()
        return (f"{len(self.missing)} of {self.asked} photos have no annotation, the first: {self.missing[0]}",)

    def regions(self, photo: Photo, seed: int) -> Sequence[Region]:
        """Stuff and backgrounds, or the folder's masks, the largest first."""
        self.asked += 1
        files = self._files_of(photo)
        if not files:
            self.missing.append(photo.path or photo.id)
            return ()
        if self.settings.kind == "folder":
            return _largest(self._drawn(photo, file) for file in files)[: self.settings.most]
        if len(files) > 1:
            listed = ", ".join(str(file) for file in files[:3])
            raise BadSetting(
                "more than one annotation for a photo", where=photo.id, got=listed, hint="give a narrower `root`"
            )
        # Tidying is what costs: it is done for the largest alone.
        pieces = sorted(self._pieces(files[0], photo), key=lambda piece: -int(np.count_nonzero(piece.mask)))
        allowed = self._allowed()
        stuff = [piece for piece in pieces if not piece.thing and piece.words in allowed]
        things = [piece for piece in pieces if piece.thing]
        return (
            *_largest(self._region(photo, piece, "stuff", files[0]) for piece in stuff[: self.settings.most]),
            *_largest(self._region(photo, piece, "background", files[0]) for piece in things[: self.settings.most]),
        )

    # What a photo's annotation is.

    def _files_of(self, photo: Photo) -> list[Path]:
        files = self._index()
        stem = photo.path.rpartition(".")[0] or photo.path
        for suffix in _MASK_SUFFIXES:
            if photo.path and (exact := files.get(f"/{stem}{suffix}")):
                return exact
        return [file for suffix in _MASK_SUFFIXES for file in files.get(photo.stem + suffix, ())]

    def _index(self) -> dict[str, list[Path]]:
        """Every PNG below the root, by its stem and by its relative path (with a slash in front)."""
        if self._files is not None:
            return self._files
        root = self.settings.root
        if root is None or not root.is_dir():
            raise BadSetting(
                "no folder of annotations",
                where="provider annotations",
                wanted="`root`, the folder with the PNGs",
                got=root,
                hint='set it in the recipe: root = "PATH"',
            )
        files: dict[str, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() == ".png":
                files.setdefault(path.stem, []).append(path)
                files.setdefault("/" + path.relative_to(root).with_suffix("").as_posix(), []).append(path)
        if not files:
            raise BadSetting("a folder of annotations without a PNG", where=root)
        self._files = files
        return files

    # What it says.

    def _pieces(self, file: Path, photo: Photo) -> Iterator[_Piece]:
        kind = self.settings.kind
        if kind == "coco-panoptic":
            yield from self._panoptic_pieces(file, photo)
            return
        labels = read_labels(file)
        require_same_shape(labels.shape, photo.pixels.shape[:2], file)
        for number in np.unique(labels).tolist():
            found = {"coco-stuff": self._coco_class, "ade": self._ade_class, "voc": self._voc_class}[kind](number, file)
            if found is None:
                continue
            words, thing = found
            mask = labels == number
            if not thing:
                yield _Piece(mask, words, False, number)
                continue
            unsure = labels == _VOC_UNLABELLED if kind == "voc" else None
            for one in _separate(mask, smallest=1 - self.settings.limits.background[1]):
                yield _Piece(one if unsure is None else _with_rim(one, unsure), words, True, number)

    def _coco_class(self, number: int, file: Path) -> tuple[str, bool] | None:
        pixelmaps = self.settings.numbering == "pixelmaps"
        if number == (_PIXELMAP_UNLABELLED if pixelmaps else 0):
            return None
        real = number + 1 if pixelmaps else number
        if real == _ANY_THING and not pixelmaps:
            return None
        if real in THINGS:
            return prompt_name(THINGS[real]), True
        if real in STUFF:
            return prompt_name(STUFF[real]), False
        if 0 < real < FIRST_STUFF:
            # One of the numbers that COCO gave out and never used.
            return None
        other = "annotations" if pixelmaps else "pixelmaps"
        raise UnknownName(
            f"{number} is no number of COCO-Stuff's {self.settings.numbering}",
            where=file,
            hint=f'if the map counts the other way, numbering = "{other}"',
        )

    def _ade_class(self, number: int, file: Path) -> tuple[str, bool] | None:
        if number == 0:
            return None
        if self._names is None:
            if self.settings.names is None:
                raise BadSetting(
                    "ADE's numbers mean nothing without its list of names",
                    where="provider annotations",
                    wanted="`names`, the list that came with the data",
                )
            self._names = read_names(self.settings.names)
        named = self._names.get(number)
        if named is None:
            raise UnknownName(
                f"no class {number} in the list of names",
                where=file,
                hint=f"{self.settings.names} ends at {max(self._names)}; is it the list of this data set?",
            )
        spoken = [prompt_name(one) for one in named.names]
        allowed = self._allowed()
        # A synonym that COCO knows is worth more than the first one: groups, quotas and captions go by its words.
        best = next((one for one in spoken if one in allowed), None)
        best = best or next((one for one in spoken if number_of(one) is not None), spoken[0])
        known = number_of(best)
        stuff = named.stuff if named.stuff is not None else known is not None and known >= FIRST_STUFF
        return best, not stuff

    def _voc_class(self, number: int, file: Path) -> tuple[str, bool] | None:
        if number in (0, _VOC_UNLABELLED):
            return None
        if number > len(_VOC):
            raise UnknownName(
                f"no class {number} in Pascal VOC",
                where=file,
                hint="give the folder SegmentationClass, whose PNGs have palettes",
            )
        return _VOC[number - 1], True

    def _panoptic_pieces(self, file: Path, photo: Photo) -> Iterator[_Piece]:
        if self._panoptic is None:
            self._panoptic = _Panoptic.read(self.settings.segments)
        segments = read_segments(file)
        require_same_shape(segments.shape, photo.pixels.shape[:2], file)
        listed = self._panoptic.segments.get(file.stem)
        if listed is None:
            raise UnknownName("no such PNG in the JSON of segments", where=file, hint="is it of the other split?")
        for number in np.unique(segments).tolist():
            if number == 0:
                continue
            if number not in listed:
                raise UnknownName(f"no segment {number} in `segments_info`", where=file)
            category, crowd = listed[number]
            if category not in self._panoptic.classes:
                raise UnknownName(f"no category {category} in `categories`", where=file)
            words, thing = self._panoptic.classes[category]
            # A crowd is many things under one number, and nobody can keep one of them.
            if not (thing and crowd):
                yield _Piece(segments == number, words, thing, category)

    # What of it can be made anew.

    def _allowed(self) -> frozenset[str]:
        settings = self.settings
        without = {prompt_name(one) for one in settings.without}
        also = {prompt_name(one) for one in settings.also}
        return frozenset((set(allowed_stuff(settings.groups).values()) | also) - without)

    def _region(self, photo: Photo, piece: _Piece, mask_type: str, file: Path) -> Region | None:
        shown = tidied(_fitted(piece.mask, photo))
        mask = ~shown if mask_type == "background" else shown
        if not shown.any() or mask.all() or not mask.any() or not self.settings.limits.admits(mask, mask_type):
            return None
        return Region(
            mask=mask,
            mask_type=mask_type,
            category=piece.words,
            score=min(1.0, float(shown.mean())),
            provider=self.name,
            category_id=number_of(piece.words),
            box=box_of(shown),
            facts={
                "annotation": file.name,
                "kind": self.settings.kind,
                "own_number": piece.own_number,
                "score_is": "share of the frame",
            },
        )

    def _drawn(self, photo: Photo, file: Path) -> Region | None:
        mask = read_mask(file)
        require_same_shape(mask.shape, photo.pixels.shape[:2], file)
        marks = self.settings.marks
        # Of a drawn background the kept thing is what is black.
        piece = _Piece(
            ~mask if marks == "background" else mask,
            self._category_of(photo, file),
            marks in ("thing", "background"),
            0,
        )
        return self._region(photo, piece, "background" if marks == "thing" else marks, file)

    def _category_of(self, photo: Photo, file: Path) -> str:
        if self._categories is None:
            self._categories = _read_categories(self.settings.categories)
        for key in (file.name, file.stem, photo.path, photo.stem, photo.id):
            if key in self._categories:
                return prompt_name(self._categories[key])
        root = self.settings.root
        if root is not None and file.parent != root:
            return prompt_name(file.parent.name)
        return prompt_name(self.settings.category) or "region"


@dataclass(frozen=True, slots=True)
class _Panoptic:
    """What of COCO's panoptic JSON is needed: a few numbers a segment, not the whole document."""

    classes: dict[int, tuple[str, bool]]  # number -> words, whether it is a thing
    segments: dict[str, dict[int, tuple[int, bool]]]  # stem -> segment -> class, whether it is a crowd

    @staticmethod
    def read(path: Path | None) -> _Panoptic:
        if path is None:
            raise BadSetting(
                "panoptic PNGs mean nothing without their JSON", where="provider annotations", wanted="`segments`"
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            classes = {
                int(one["id"]): (prompt_name(one["name"]), bool(one["isthing"])) for one in document["categories"]
            }
            segments = {
                Path(one["file_name"]).stem: {
                    int(part["id"]): (int(part["category_id"]), bool(part.get("iscrowd", 0)))
                    for part in one["segments_info"]
                }
                for one in document["annotations"]
            }
        except (OSError, ValueError, KeyError, TypeError) as bad:
            if isinstance(bad, FauxlensError):
                raise
            raise BadSetting(
                "not COCO's panoptic JSON",
                where=path,
                wanted="categories with isthing, and annotations with file_name and segments_info",
                got=f"{type(bad).__name__}: {bad}",
            ) from bad
        return _Panoptic(classes, segments)


def _read_categories(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as bad:
        raise BadSetting("a table of categories that cannot be read", where=path, got=bad) from bad
    if rows and not {"name", "category"} <= set(rows[0]):
        got = ", ".join(str(key) for key in rows[0])
        raise BadSetting("a table of categories of another form", where=path, wanted="columns name, category", got=got)
    twice = [name for name, count in Counter(row["name"] for row in rows).items() if count > 1]
    if twice:
        raise BadSetting("a name twice in the table of categories", where=path, got=twice[0])
    return {row["name"]: row["category"] for row in rows if row["category"]}


def _fitted(mask: Mask, photo: Photo) -> Mask:
    """At the photo's size, which may have been changed since it was annotated."""
    size = photo.pixels.shape[:2]
    if mask.shape == size:
        return mask
    return np.asarray(resize(mask.astype(np.uint8) * 255, (size[0], size[1]), "nearest") > 0, dtype=np.bool_)


def _separate(mask: Mask, *, smallest: float) -> Iterator[Mask]:
    """The connected parts of a class that are large enough: a map of classes does not tell one thing from the next."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number in range(1, len(facts)):
        if facts[number, cv2.CC_STAT_AREA] >= smallest * mask.size:
            yield np.asarray(labels == number, dtype=np.bool_)


def _with_rim(thing: Mask, unsure: Mask) -> Mask:
    """A thing with the unlabelled pixels at its border: its edge must not be made anew with the background."""
    kernel = np.ones((2 * _VOC_RIM + 1,) * 2, np.uint8)
    near = cv2.dilate(thing.astype(np.uint8), kernel) > 0
    return np.asarray(thing | (near & unsure), dtype=np.bool_)


def _largest(found: Iterator[Region | None] | Sequence[Region | None]) -> list[Region]:
    # Equal shares are put in order by their words, so that the order never depends on the file.
    return sorted((one for one in found if one is not None), key=lambda one: (-one.score, one.category))
