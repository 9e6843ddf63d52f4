"""What regions are called: COCO's 80 things, COCO-Stuff's 91 kinds of place, and the words a prompt uses for them.

A data set's names carry book-keeping ("sky-other", "wall-brick", "tree-merged") that no sentence would: a detector of
phrases and a captioner are given `prompt_name`, and a region keeps the number of its class beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fauxlens.core.names import unknown

# 91 numbers were given out and 80 of them used.
_UNUSED_THINGS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
_THING_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)
_STUFF_NAMES = (
    "banner blanket branch bridge building-other bush cabinet cage cardboard carpet ceiling-other ceiling-tile cloth "
    "clothes clouds counter cupboard curtain desk-stuff dirt door-stuff fence floor-marble floor-other floor-stone "
    "floor-tile floor-wood flower fog food-other fruit furniture-other grass gravel ground-other hill house leaves "
    "light mat metal mirror-stuff moss mountain mud napkin net paper pavement pillow plant-other plastic platform "
    "playingfield railing railroad river road rock roof rug salad sand sea shelf sky-other skyscraper snow "
    "solid-other stairs stone straw structural-other table tent textile-other towel tree vegetable wall-brick "
    "wall-concrete wall-other wall-panel wall-stone wall-tile wall-wood water-other waterdrops window-blind "
    "window-other wood"
)

THINGS: dict[int, str] = dict(
    zip((i for i in range(1, 92) if i not in _UNUSED_THINGS), _THING_NAMES.split(", "), strict=True)
)
"""COCO's number -> name, the 80 that are used."""

FIRST_STUFF, LAST_STUFF = 92, 182
STUFF: dict[int, str] = dict(zip(range(FIRST_STUFF, LAST_STUFF + 1), _STUFF_NAMES.split(), strict=True))
"""COCO-Stuff's number -> name as its labels have it, the 91 of them."""

SCENE_GROUPS: dict[str, tuple[str, ...]] = {
    "sky": ("sky-other", "clouds", "fog"),
    "ground": (
        *("ground-other", "dirt", "gravel", "mud", "sand", "snow"),
        *("pavement", "platform", "road", "railroad", "playingfield"),
    ),
    "vegetation": ("grass", "tree", "bush", "leaves", "moss", "flower", "plant-other", "branch", "straw"),
    "water": ("sea", "river", "water-other"),
    "relief": ("mountain", "hill", "rock", "stone"),
    "built": (
        *("wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile", "wall-wood"),
        *("floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood", "ceiling-other", "ceiling-tile"),
        *("roof", "fence", "building-other", "house", "skyscraper", "bridge", "stairs", "railing"),
    ),
    "interior": (
        *("curtain", "carpet", "rug", "blanket", "table", "cabinet", "counter", "shelf", "door-stuff"),
        "window-other",
    ),
}
"""The kinds of stuff that are regions somebody would edit, by group: our choice, as the paper gives none."""

# These say what a wall, a floor or a ceiling is made of; "window-blind" is a blind, no kind of window.
_MADE_OF = ("wall", "floor", "ceiling")
_SUFFIXES = ("-merged", "-other", "-stuff")
_SPELLED = {"playingfield": "playing field", "waterdrops": "water drops"}


def prompt_name(raw: str) -> str:
    """The words for a class in a sentence: without book-keeping, with the material before what is made of it.

    >>> prompt_name("sky-other"), prompt_name("wall-brick"), prompt_name("playingfield"), prompt_name("tree-merged")
    ('sky', 'brick wall', 'playing field', 'tree')
    >>> prompt_name("window-blind"), prompt_name("wall-other-merged"), prompt_name("traffic light")
    ('window blind', 'wall', 'traffic light')
    """
    name = raw.strip().lower()
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    kind, _, material = name.partition("-")
    if material and kind in _MADE_OF:
        return f"{material} {kind}"
    # Full stops end a category in the text that a detector of phrases is given.
    return _SPELLED.get(name, " ".join(name.replace("-", " ").replace("_", " ").replace(".", " ").split()))


def group_of(name: str) -> str | None:
    """The scene group of a class by the words of a prompt, or None.

    >>> group_of("brick wall"), group_of("sky"), group_of("napkin")
    ('built', 'sky', None)
    """
    return _GROUP_OF.get(name)


def number_of(words: str) -> int | None:
    """COCO's or COCO-Stuff's number of a class by the words of a prompt, or None where they have no such class.

    >>> number_of("dog"), number_of("brick wall"), number_of("unicorn")
    (18, 171, None)
    """
    return _NUMBER_OF.get(words)


def allowed_stuff(
    groups: Iterable[str] | None = None, *, also: Iterable[str] = (), without: Iterable[str] = ()
) -> dict[int, str]:
    """The number and the prompt's words of every kind of stuff in `groups`; None is all groups.

    `also` and `without` add and drop single kinds, by the labels' name or the prompt's words.

    >>> allowed_stuff(["sky"])
    {106: 'clouds', 120: 'fog', 157: 'sky'}
    >>> allowed_stuff(["water"], also=["waterdrops"], without=["sea"])
    {148: 'river', 178: 'water', 179: 'water drops'}
    >>> len(allowed_stuff())
    62
    """
    wanted = tuple(SCENE_GROUPS) if groups is None else tuple(groups)
    for group in wanted:
        if group not in SCENE_GROUPS:
            raise unknown(group, SCENE_GROUPS, "scene group")
    names = {prompt_name(raw) for group in wanted for raw in SCENE_GROUPS[group]}
    names |= {_known_stuff(one) for one in also}
    names -= {_known_stuff(one) for one in without}
    return {number: words for number, raw in STUFF.items() if (words := prompt_name(raw)) in names}


def _known_stuff(name: str) -> str:
    words = prompt_name(name)
    if _NUMBER_OF.get(words, 0) < FIRST_STUFF:
        raise unknown(words, (prompt_name(raw) for raw in STUFF.values()), "kind of stuff")
    return words


_GROUP_OF = {prompt_name(raw): group for group, names in SCENE_GROUPS.items() for raw in names}
_NUMBER_OF = {prompt_name(raw): number for number, raw in (THINGS | STUFF).items()}
