"""A recipe of the forge: every choice that decides what comes out, in one TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.recipes import recipe_path
from fauxlens.core.settings import read_settings, settings_to
from fauxlens.forge.compose import LARGEST_FEATHER, VARIANTS
from fauxlens.forge.create import METHODS
from fauxlens.forge.judge import JUDGES
from fauxlens.forge.perceive import CAPTIONERS, PROVIDERS
from fauxlens.forge.region import MASK_TYPES
from fauxlens.images.degrade import read_chain


@dataclass(frozen=True, kw_only=True)
class Photos:
    """How photos are brought in. They are never enlarged."""

    longest: int | None = 512
    shortest: int = 96  # a photo with a shorter side is passed over
    labels: tuple[str, ...] = ("real",)

    def __post_init__(self) -> None:
        if self.shortest < 16 or (self.longest is not None and self.longest < self.shortest):
            raise BadSetting(
                "sizes of photos", wanted="16 <= shortest <= longest", got=f"{self.shortest}, {self.longest}"
            )


@dataclass(frozen=True, kw_only=True)
class Perception:
    """Who finds regions, and how many candidates of a photo are kept for the choice across photos."""

    provider: str = "embedded"
    settings: Mapping[str, Any] = field(default_factory=dict)
    mask_types: tuple[str, ...] = ("stuff", "background")
    keep: int = 4

    def __post_init__(self) -> None:
        _known(self.provider, PROVIDERS, "provider of regions")
        if not self.mask_types or any(one not in MASK_TYPES for one in self.mask_types):
            raise BadSetting("mask types", wanted=f"some of {', '.join(MASK_TYPES)}", got=", ".join(self.mask_types))
        if self.keep < 1:
            raise BadSetting("at least one candidate is kept", got=self.keep)


@dataclass(frozen=True, kw_only=True)
class Captions:
    """Who says what is there and what to put there."""

    captioner: str = "template"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _known(self.captioner, CAPTIONERS, "captioner")


@dataclass(frozen=True, kw_only=True)
class Quota:
    """How many photos for each mask type, and how classes are kept in balance."""

    photos: int | None = None  # how many are forged; None takes every photo that has a region
    together: bool = False  # only photos with a region of every mask type, as in BR-Gen, where each photo has both
    reserve: float = (
        0.15  # the share of photos held back to take the place of what is rejected; with `photos`, the rest
    )
    max_share_stuff: float = 0.10
    max_share_thing: float = 0.05

    def __post_init__(self) -> None:
        if self.photos is not None and self.photos < 1:
            raise BadSetting("a quota of photos", wanted="1 or more", got=self.photos)
        if not 0 <= self.reserve < 1:
            raise BadSetting("the share held in reserve", wanted="0 to 1", got=self.reserve)
        if not (0 < self.max_share_stuff <= 1 and 0 < self.max_share_thing <= 1):
            raise BadSetting("the largest share of a class", wanted="above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class MethodPlan:
    """One method with its settings. `label` tells two uses of one method apart in names and tables."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        _known(self.name, METHODS, "creation method")
        if self.label and not self.label.isalnum():
            # It becomes a part of file names in which words are told apart by what is neither letter nor digit.
            raise BadSetting("a label is one word", where=self.name, wanted="letters and digits", got=self.label)

    @property
    def key(self) -> str:
        """What tells it from the other methods of a recipe."""
        return self.label or self.name


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What of a made frame is kept, and how its border is."""

    variants: tuple[str, ...] = ("spliced",)
    feather: tuple[int, int] = (2, 8)  # pixels, drawn for each forgery
    hard_share: float = 0.5  # how many have no feather at all

    def __post_init__(self) -> None:
        if not self.variants or any(one not in VARIANTS for one in self.variants):
            raise BadSetting("variants", wanted=f"some of {', '.join(VARIANTS)}", got=", ".join(self.variants))
        low, high = self.feather
        if not 0 <= low <= high <= LARGEST_FEATHER or not 0 <= self.hard_share <= 1:
            raise BadSetting("feathers", wanted=f"0 to {LARGEST_FEATHER} pixels, a share of 0 to 1", got=self.feather)


@dataclass(frozen=True, kw_only=True)
class JudgePlan:
    """One judge with its settings. With `only_record` its verdict is written down and rejects nothing.

    `not_for` are methods that it is not asked about: what a method is meant to do is no fault of its own.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    only_record: bool = False
    not_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _known(self.name, JUDGES, "judge")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The file history that forgeries and real photos both go through, drawn once and applied to both.

    per photo: one real file a photo, and its forgeries delivered like it. per forgery: a draw for each forgery, and a
    real twin of each that went through the same.
    """

    chain: str = "none -> png"
    per: Literal["photo", "forgery"] = "photo"

    def __post_init__(self) -> None:
        read_chain(self.chain)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a forged set is made from real photos."""

    name: str
    about: str = ""
    version: str = "1"
    seed: int = 0
    photos: Photos = field(default_factory=Photos)
    perceive: Perception = field(default_factory=Perception)
    captions: Captions = field(default_factory=Captions)
    quota: Quota = field(default_factory=Quota)
    methods: tuple[MethodPlan, ...] = ()
    methods_per_region: int | None = None  # None: every method on every region
    compose: Composition = field(default_factory=Composition)
    judges: tuple[JudgePlan, ...] = ()
    attempts: int = 3
    delivery: Delivery = field(default_factory=Delivery)
    split_salt: str = "fauxlens-split-1"

    def __post_init__(self) -> None:
        if not self.methods:
            raise BadSetting("a recipe without a method", where=self.name, hint="add [[methods]] with a name")
        keys = [one.key for one in self.methods]
        if len(set(keys)) != len(keys):
            raise BadSetting(
                "two methods of one name", where=self.name, got=", ".join(keys), hint="give one of them a label"
            )
        for judge in self.judges:
            for key in judge.not_for:
                if key not in keys:
                    raise unknown(key, keys, f"method (judge {judge.name})")
        if self.attempts < 1 or self.attempts > 100:
            raise BadSetting("attempts", where=self.name, wanted="1 to 100", got=self.attempts)
        if self.methods_per_region is not None and not 1 <= self.methods_per_region <= len(keys):
            raise BadSetting(
                "methods for each region", where=self.name, wanted=f"1 to {len(keys)}", got=self.methods_per_region
            )

    def as_json(self) -> dict[str, Any]:
        """Plain data; `settings_from(Recipe, ...)` undoes it."""
        return settings_to(self)

    def method(self, key: str) -> MethodPlan:
        """The method of this key."""
        return next(one for one in self.methods if one.key == key)


def read_recipe(name: str | Path) -> Recipe:
    """The recipe that comes with the package under this name, or the one in this TOML file."""
    return read_settings(Recipe, recipe_path(str(name), "methods"))


def with_changes(
    recipe: Recipe,
    *,
    methods: Sequence[str] | None = None,
    photos: int | None = None,
    seed: int | None = None,
) -> Recipe:
    """The recipe with only some of its methods, another quota or another seed."""
    changes: dict[str, Any] = {}
    if methods:
        kept = tuple(recipe.method(key) for key in dict.fromkeys(methods))
        keys = {one.key for one in kept}
        changes["methods"] = kept
        changes["judges"] = tuple(
            dataclasses.replace(one, not_for=tuple(key for key in one.not_for if key in keys)) for one in recipe.judges
        )
        if recipe.methods_per_region is not None:
            changes["methods_per_region"] = min(recipe.methods_per_region, len(kept))
    if photos is not None:
        changes["quota"] = dataclasses.replace(recipe.quota, photos=photos)
    if seed is not None:
        changes["seed"] = seed
    return dataclasses.replace(recipe, **changes)


def _known(name: str, table: Mapping[str, str], kind: str) -> None:
    if name not in table:
        raise unknown(name, table, kind)
