"""Who is forged how: the choice across photos, the units of each round, and who takes the place of what was rejected.

Everything here is a pure function of what earlier stages wrote, so a run that was killed plans the same units again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fauxlens.forge.recipe import Recipe
from fauxlens.forge.release import real_name, source_word, stems_of, unit_names
from fauxlens.work import Item, Outcome

Region = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo after perception."""

    id: str
    path: str
    source: str
    content: str | None
    split: str | None
    licence: str | None
    stem: str  # unique within its source
    width: int
    height: int
    regions: tuple[Region, ...]

    @property
    def word(self) -> str:
        """Its source as a word of file names."""
        return source_word(self.source)

    def payload(self) -> dict[str, Any]:
        """What a task has to know to read it."""
        return {"id": self.id, "path": self.path, "source": self.source, "content": self.content}


@dataclass(frozen=True, slots=True)
class Choice:
    """For one mask type: the photos that are forged and the ones in reserve, in order, each with its region."""

    chosen: tuple[tuple[str, Region], ...]
    reserve: tuple[tuple[str, Region], ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """One photo, one mask type, one method."""

    photo: str
    mask_type: str
    method: str

    @property
    def key(self) -> str:
        """Its key in the ledger."""
        return f"{self.photo}|{self.mask_type}|{self.method}"


@dataclass
class Standing:
    """How far the quota of every (mask type, method) is met."""

    wanted: dict[tuple[str, str], int] = field(default_factory=dict)
    made: dict[tuple[str, str], int] = field(default_factory=dict)
    used: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def missing(self) -> dict[tuple[str, str], int]:
        """What is still to be made."""
        return {
            key: count - self.made.get(key, 0) for key, count in self.wanted.items() if count > self.made.get(key, 0)
        }


def seen_photos(rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> list[Seen]:
    """Photos with at least one region, in the order of the manifest. `rows` are the facts of the same photos."""
    good = [(row, one.result) for row, one in zip(rows, outcomes, strict=True) if one.result is not None]
    good = [(row, result) for row, result in good if result["regions"]]
    stems = stems_of([(row["id"], source_word(row["source"]), row["stem"]) for row, _ in good])
    return [
        Seen(
            id=row["id"],
            path=row["path"],
            source=row["source"],
            content=row["content"],
            split=row["split"],
            licence=row["licence"],
            stem=stems[row["id"]],
            width=result["width"],
            height=result["height"],
            regions=tuple(result["regions"]),
        )
        for row, result in good
    ]


def first_round(recipe: Recipe, choices: Mapping[str, Choice]) -> list[Unit]:
    """The units of the first round, method by method, so that a large model is loaded once."""
    keys = [one.key for one in recipe.methods]
    units = []
    for mask_type, choice in choices.items():
        for position, (photo, _) in enumerate(choice.chosen):
            units += [Unit(photo, mask_type, key) for key in _methods_of(recipe, keys, mask_type, position)]
    return _ordered(units, keys)


def standing(first: Sequence[Unit], done: Sequence[tuple[Unit, bool]]) -> Standing:
    """What was wanted by the first round, and what all rounds so far have made."""
    found = Standing()
    for unit in first:
        place = (unit.mask_type, unit.method)
        found.wanted[place] = found.wanted.get(place, 0) + 1
    for unit, accepted in done:
        place = (unit.mask_type, unit.method)
        found.used.setdefault(place, []).append(unit.photo)
        found.made[place] = found.made.get(place, 0) + accepted
    return found


def next_round(recipe: Recipe, choices: Mapping[str, Choice], now: Standing) -> list[Unit]:
    """Reserve photos for what is missing; none when every quota is met or nobody is left."""
    units = []
    for (mask_type, method), count in now.missing().items():
        tried = set(now.used.get((mask_type, method), ()))
        left = [photo for photo, _ in choices[mask_type].reserve if photo not in tried]
        units += [Unit(photo, mask_type, method) for photo in left[:count]]
    return _ordered(units, [one.key for one in recipe.methods])


def create_items(
    units: Sequence[Unit],
    photos: Mapping[str, Seen],
    choices: Mapping[str, Choice],
    captions: Mapping[str, Mapping[str, Any]],
    words: Mapping[str, str],
    donors: Callable[[Unit], list[dict[str, Any]] | None],
) -> Iterator[Item]:
    """The items of a round. `words` is the release name of each method; `donors` gives other photos where asked for."""
    regions = {kind: dict((*choice.chosen, *choice.reserve)) for kind, choice in choices.items()}
    for unit in units:
        photo = photos[unit.photo]
        caption = captions[caption_key(unit.photo, unit.mask_type)]
        payload = {
            **photo.payload(),
            "region": regions[unit.mask_type][unit.photo],
            "method": unit.method,
            "caption": {"prompt": caption["prompt"], "text": caption["text"]},
            "names": unit_names(words[unit.method], unit.mask_type, photo.word, photo.stem),
        }
        if (taken := donors(unit)) is not None:
            payload["donors"] = taken
        yield Item(unit.key, payload)


def caption_items(units: Sequence[Unit], photos: Mapping[str, Seen], choices: Mapping[str, Choice]) -> Iterator[Item]:
    """One caption for each photo and mask type of a round."""
    regions = {kind: dict((*choice.chosen, *choice.reserve)) for kind, choice in choices.items()}
    for photo, mask_type in dict.fromkeys((unit.photo, unit.mask_type) for unit in units):
        yield Item(caption_key(photo, mask_type), {**photos[photo].payload(), "region": regions[mask_type][photo]})


def caption_key(photo: str, mask_type: str) -> str:
    """The key of a caption."""
    return f"{photo}|{mask_type}"


def real_items(photos: Sequence[Seen]) -> Iterator[Item]:
    """The real photos of the set."""
    for photo in photos:
        yield Item(photo.id, {**photo.payload(), "name": real_name(photo.word, photo.stem)})


def donors_for(
    photos: Sequence[Seen], splits: Mapping[str, str | None], *, attempts: int
) -> Callable[[Unit], list[dict[str, Any]]]:
    """Other photos of the same split, as many as there are attempts, drawn by what the unit is."""
    by_split: dict[str | None, list[Seen]] = {}
    for photo in sorted(photos, key=lambda one: one.id):
        by_split.setdefault(splits.get(photo.id), []).append(photo)

    def chosen(unit: Unit) -> list[dict[str, Any]]:
        # A photo of another split would carry test pixels into training; with nobody else there is no donor.
        pool = by_split[splits.get(unit.photo)]
        found: list[Seen] = []
        for draw in range(8 * attempts):
            digest = hashlib.sha256(f"donor|{unit.key}|{draw}".encode()).digest()
            one = pool[int.from_bytes(digest[:8], "big") % len(pool)]
            if one.id != unit.photo and one not in found:
                found.append(one)
            if len(found) == min(attempts, len(pool) - 1):
                break
        return [one.payload() for one in found]

    return chosen


def _methods_of(recipe: Recipe, keys: Sequence[str], mask_type: str, position: int) -> list[str]:
    count = recipe.methods_per_region
    if count is None:
        return list(keys)
    # In turn, so that every method gets as many regions as the others, give or take one.
    start = position * count + (len(keys) // 2 if mask_type == "background" else 0)
    return [keys[(start + step) % len(keys)] for step in range(count)]


def _ordered(units: Sequence[Unit], keys: Sequence[str]) -> list[Unit]:
    rank = {key: number for number, key in enumerate(keys)}
    return sorted(units, key=lambda unit: rank[unit.method])
