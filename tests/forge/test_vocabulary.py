"""The classes, by number and in words."""

from __future__ import annotations

import pytest

from fauxlens.core.errors import UnknownName
from fauxlens.forge.perceive.vocabulary import (
    SCENE_GROUPS,
    STUFF,
    THINGS,
    allowed_stuff,
    group_of,
    number_of,
    prompt_name,
)


def test_the_numbers_of_the_classes() -> None:
    assert len(THINGS) == 80
    assert (min(THINGS), max(THINGS)) == (1, 90)
    assert (THINGS[1], THINGS[13], THINGS[44], THINGS[90]) == ("person", "stop sign", "bottle", "toothbrush")
    assert not {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91} & set(THINGS)
    assert sorted(STUFF) == list(range(92, 183))
    assert list(STUFF.values()) == sorted(STUFF.values())
    assert (STUFF[92], STUFF[124], STUFF[157], STUFF[182]) == ("banner", "grass", "sky-other", "wood")


def test_every_class_has_words_of_its_own() -> None:
    words = [prompt_name(raw) for raw in (THINGS | STUFF).values()]
    assert len(set(words)) == len(words) == 171
    assert all(number_of(prompt_name(raw)) == number for number, raw in (THINGS | STUFF).items())
    # What a detector of phrases is given may hold neither a full stop nor book-keeping.
    assert not [one for one in words if "." in one or "-" in one or one != one.lower()]


def test_groups_hold_classes_that_there_are_and_share_none() -> None:
    members = [raw for names in SCENE_GROUPS.values() for raw in names]
    assert set(members) <= set(STUFF.values())
    assert len(set(members)) == len(members) == len(allowed_stuff())
    for name, raws in SCENE_GROUPS.items():
        assert {group_of(prompt_name(raw)) for raw in raws} == {name}
    assert not {"salad", "napkin", "water drops", "light", "solid", "structural", "textile"} & set(
        allowed_stuff().values()
    )


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'water'"):
        allowed_stuff(["waters"])
    # A thing is no stuff.
    with pytest.raises(UnknownName, match="kind of stuff called 'dog'"):
        allowed_stuff(["sky"], also=["dog"])
