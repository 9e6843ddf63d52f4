"""Captions by template: no model is asked, yet the delimiters, the perturbation and the prompt are those of one.

It does not look at the photo: the words are plausible for the class, not true of the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.marked import MarkedText, mark_of, prompt_of, wants_perturbing
from fauxlens.forge.perceive.provider import Captioner
from fauxlens.forge.perceive.vocabulary import SCENE_GROUPS, THINGS, group_of
from fauxlens.forge.region import Caption, Photo, Region

LOOKS: dict[str, tuple[str, ...]] = {
    "sky": ("clear blue", "overcast", "starry", "sunset", "pale morning", "stormy", "hazy", "deep orange"),
    "ground": ("dry", "rain-soaked", "dusty", "sunlit", "shadowed", "frosty", "worn", "leaf-strewn"),
    "vegetation": ("lush green", "autumn-coloured", "frost-covered", "sun-dried", "wet", "dense", "sparse", "mossy"),
    "water": ("calm", "rippling", "dark", "glittering", "muddy", "turquoise", "misty", "wind-blown"),
    "relief": ("rugged", "snow-dusted", "sunlit", "misty", "barren", "moss-covered", "reddish", "dark grey"),
    "built": ("freshly painted", "weathered", "whitewashed", "dark", "sunlit", "rain-stained", "modern", "old"),
    "interior": ("plain", "patterned", "faded", "dark blue", "cream-coloured", "worn", "elegant", "rustic"),
}
"""Scene group -> how a region of it may look; each fits every class of its group."""

LOOKS_OF: dict[str, tuple[str, ...]] = {
    "clouds": ("white", "dark", "scattered", "towering", "sunset-coloured", "thin", "heavy grey"),
    "fog": ("thin", "dense", "morning", "drifting", "pale", "golden"),
    "snow": ("fresh", "trodden", "melting", "glittering", "deep", "wind-blown", "dirty"),
    "sand": ("dry", "wet", "rippled", "golden", "pale", "trodden", "dark volcanic"),
}
"""Classes for which their group's words would not do."""

THING_LOOKS = ("small", "large", "dark", "light-coloured", "ordinary", "lone", "handsome")
GENERAL_LOOKS = ("bright", "dark", "old", "clean", "weathered", "sunlit", "pale")
SCENE_LOOKS = ("quiet", "bright", "busy", "shadowed", "colourful", "misty", "sunlit")

PLACES: dict[str, tuple[str, ...]] = {
    "outdoors": (
        *("in a sunlit meadow", "on a sandy beach", "in a snowy forest", "on a wet city street at night"),
        *("beside a calm lake", "on a dusty desert road", "in a park in autumn", "in front of a brick building"),
    ),
    "indoors": (
        *("on a wooden table by a window", "in a bright modern kitchen", "in a cosy living room in the evening"),
        *("in a whitewashed room", "in a dim old workshop", "on a marble counter", "in a room with dark panelling"),
    ),
    "anywhere": (
        *("in a sunlit park", "in a quiet street in the rain", "by the sea at sunset", "in a large bright hall"),
        *("in a garden in spring", "in front of a plain wall", "in a snowy landscape", "in a busy market"),
    ),
}
"""Where a thing may be put when its surroundings are made anew."""

_STUFF_FRAMES = ("a photo with ", "a view that shows ", "a scene with ", "a picture taken near ")
_CONTENT_FRAMES = ("a photo of {} with ", "a picture of {} and ")
_THING_FRAMES = ("a photo of ", "a picture of ", "a close view of ")
# COCO numbers its things by kind: vehicles, street furniture, animals and sport are found outside, food, kitchen,
# furniture, electronics and household things inside; people and what they carry anywhere.
_OUTDOORS = (range(2, 26), range(34, 44))
_INDOORS = (range(44, 91),)
_WITHOUT_ARTICLE = frozenset(
    (
        *("dirt", "gravel", "mud", "sand", "snow", "pavement", "fog", "moss", "straw", "grass", "vegetation", "water"),
        *("ground", "relief", "leaves", "stone", "wood", "hair", "broccoli", "paper", "plastic", "metal", "skis"),
    )
)
_NUMBER_OF = {name: number for number, name in THINGS.items()}
_LONGEST_NAME = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """How often a caption is perturbed."""

    perturb_share: float = 0.5  # BR-Gen's

    def __post_init__(self) -> None:
        if not 0.0 <= self.perturb_share <= 1.0:
            raise BadSetting("perturb_share out of range", wanted="0 to 1", got=self.perturb_share)


class Template(Captioner):
    """A small grammar: a frame, a look, a class, and for a kept thing a place."""

    name = "template"
    settings_type: ClassVar[type] = TemplateSettings

    def caption(self, photo: Photo, region: Region, seed: int) -> Caption:
        """A marked sentence, its perturbation when the draw says so, and the prompt that follows."""
        chance = np.random.default_rng(seed)
        if region.mask_type == "background":
            first, second = _kept_thing(region, chance)
        else:
            first, second = _place(photo, region, chance)
        perturb, draw = wants_perturbing(seed, self.settings.perturb_share)
        mark = mark_of(region.mask_type)
        return Caption(
            marked=first.marked(mark),
            prompt=prompt_of(region.mask_type, first, second if perturb else None),
            by=self.name,
            perturbed=second.marked(mark) if perturb else None,
            draw=draw,
        )


def looks_of(category: str) -> tuple[str, ...]:
    """The adjectives for a kind of stuff: its own, else its group's, else general ones.

    >>> looks_of("snow")[0], looks_of("brick wall")[0], looks_of("brick wall") == looks_of("built")
    ('fresh', 'freshly painted', True)
    """
    group = category if category in SCENE_GROUPS else group_of(category)
    return LOOKS_OF.get(category) or (GENERAL_LOOKS if group is None else LOOKS[group])


def places_of(category: str, category_id: int | None = None) -> tuple[str, ...]:
    """The surroundings in which a thing may be found.

    >>> places_of("dog") == PLACES["outdoors"], places_of("toaster") == PLACES["indoors"]
    (True, True)
    """
    number = _NUMBER_OF.get(category, category_id)
    if any(number in numbers for numbers in _OUTDOORS):
        return PLACES["outdoors"]
    return PLACES["indoors" if any(number in numbers for numbers in _INDOORS) else "anywhere"]


def _place(photo: Photo, region: Region, chance: np.random.Generator) -> tuple[MarkedText, MarkedText]:
    """Stuff as it might look, and another look of it in the same sentence."""
    content = photo.content or ""
    # A class that is called by a number says nothing to a generator.
    content = "" if any(sign.isdigit() for sign in content) else _plain(content)
    if region.mask_type == "region":
        # The shape means nothing, so the words are of the whole scene.
        name = content or "scene"
        looks: tuple[str, ...] = SCENE_LOOKS
        frame = _one_of(_THING_FRAMES, chance)
    else:
        name = _plain(region.category) or "scene"
        looks = looks_of(name)
        frame = _one_of(_STUFF_FRAMES, chance)
        if content and content != name:
            frame = _one_of(_CONTENT_FRAMES, chance).format(_with_article(content))
    one, other = _two_of(looks, chance)
    return MarkedText(frame, _with_article(name, one), ""), MarkedText(frame, _with_article(name, other), "")


def _kept_thing(region: Region, chance: np.random.Generator) -> tuple[MarkedText, MarkedText]:
    """A thing somewhere, and the same thing somewhere else."""
    name = _plain(region.category) or "object"
    look = _one_of(THING_LOOKS, chance)
    one, other = _two_of(places_of(name, region.category_id), chance)
    first, second = _two_of(_THING_FRAMES, chance)
    span = _with_article(name, look)
    return MarkedText(first, span, f" {one}"), MarkedText(second, span, f" {other}")


def _with_article(name: str, look: str = "") -> str:
    words = f"{look} {name}".strip()
    several = name.endswith("s") and not name.endswith(("ss", "us", "is"))
    if several or name.rpartition(" ")[2] in _WITHOUT_ARTICLE:
        return words
    return ("an " if words[:1] in tuple("aeiou") else "a ") + words


def _plain(name: str) -> str:
    """Words that can stand in a sentence; what is none (numbers, signs, delimiters) is left out."""
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", name.lower())
    return " ".join(word[:24] for word in words[:_LONGEST_NAME])


def _one_of(words: Sequence[str], chance: np.random.Generator) -> str:
    return words[int(chance.integers(len(words)))]


def _two_of(words: Sequence[str], chance: np.random.Generator) -> tuple[str, str]:
    one, other = chance.choice(len(words), size=2, replace=False)
    return words[int(one)], words[int(other)]
