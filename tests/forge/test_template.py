"""Captions by template: well formed whatever the class is called, and perturbed as the second pass would."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.marked import keeps_outside, keeps_span, mark_of, parse_marked
from fauxlens.forge.perceive.provider import load_captioner
from fauxlens.forge.perceive.template import (
    LOOKS,
    LOOKS_OF,
    PLACES,
    SCENE_LOOKS,
    THING_LOOKS,
    Template,
    TemplateSettings,
    looks_of,
    places_of,
)
from fauxlens.forge.perceive.vocabulary import SCENE_GROUPS, STUFF, THINGS, allowed_stuff, prompt_name
from fauxlens.forge.region import Photo, Region


def photo(content: str | None = None) -> Photo:
    return Photo("1", np.zeros((8, 8, 3), np.uint8), content=content)


def region(category: str, mask_type: str = "stuff", category_id: int | None = None) -> Region:
    mask = np.zeros((8, 8), bool)
    mask[2:5] = True
    return Region(mask=mask, mask_type=mask_type, category=category, score=1.0, provider="toy", category_id=category_id)


@settings(deadline=None)
@given(
    category=st.text(max_size=80) | st.sampled_from([prompt_name(one) for one in (*STUFF.values(), *THINGS.values())]),
    content=st.none() | st.text(max_size=60) | st.just("sandy beach"),
    mask_type=st.sampled_from(["stuff", "background", "region"]),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_caption_can_be_read_again(category: str, content: str | None, mask_type: str, seed: int) -> None:
    said = Template(TemplateSettings(perturb_share=1.0)).caption(photo(content), region(category, mask_type), seed)
    mark = mark_of(mask_type)
    first, second = parse_marked(said.marked, mark), parse_marked(said.perturbed or "", mark)
    assert first is not None
    assert second is not None
    assert first != second
    assert len(said.prompt.split()) <= 60
    if mask_type == "background":
        assert keeps_span(first, second)
        assert first.after != second.after
        assert said.prompt == second.text
    else:
        assert keeps_outside(first, second)
        assert first.span != second.span
        assert said.prompt == (second.span if mask_type == "stuff" else second.text)


def test_about_half_is_perturbed_and_the_seed_alone_decides() -> None:
    template = load_captioner("template")
    said = [template.caption(photo(), region("sky"), seed) for seed in range(300)]
    assert said == [template.caption(photo(), region("sky"), seed) for seed in range(300)]
    share = sum(one.perturbed is not None for one in said) / len(said)
    assert 0.4 < share < 0.6
    assert all((one.draw < 0.5) == (one.perturbed is not None) for one in said)
    # The draw does not depend on the settings or the class, so a run with another share is a sub- or superset.
    rarely = load_captioner("template", {"perturb_share": 0.1})
    assert [rarely.caption(photo(), region("sea"), seed).draw for seed in range(9)] == [one.draw for one in said[:9]]
    plain = next(one for one in said if one.perturbed is None)
    assert plain.prompt in plain.text
    assert json.loads(json.dumps(asdict(plain)))["by"] == "template"


def test_the_words_of_a_sky() -> None:
    prompts = {Template().caption(photo(), region("sky"), seed).prompt for seed in range(400)}
    assert prompts == {f"{'an' if look == 'overcast' else 'a'} {look} sky" for look in LOOKS["sky"]}


def test_the_banks_are_large_and_every_class_has_one() -> None:
    banks = [*LOOKS.values(), *LOOKS_OF.values(), *PLACES.values(), THING_LOOKS, SCENE_LOOKS]
    assert all(len(set(bank)) == len(bank) >= 6 for bank in banks)
    assert set(LOOKS) == set(SCENE_GROUPS)
    assert all(len(looks_of(name)) >= 6 for name in (*allowed_stuff().values(), "something else"))
    assert all(len(places_of(name)) >= 6 for name in (*THINGS.values(), "something else"))
    assert places_of("zebra") == places_of("called otherwise", 24) == PLACES["outdoors"]
    assert places_of("person") == places_of("handbag") == places_of("object") == PLACES["anywhere"]


@pytest.mark.parametrize(
    ("category", "mask_type", "words"),
    [("brick wall", "stuff", "brick wall"), ("skis", "background", "skis"), ("apple", "background", "apple")],
)
def test_articles_fit(category: str, mask_type: str, words: str) -> None:
    said = Template().caption(photo(), region(category, mask_type), 3)
    article, look = said.marked.split(mark_of(mask_type))[1].removesuffix(f" {words}").rpartition(" ")[::2]
    assert look
    if words == "skis":
        assert article == ""
    else:
        assert article == ("an" if look[0] in "aeiou" else "a")


def test_what_the_photo_shows_is_said() -> None:
    assert "kitchen" in Template().caption(photo("kitchen"), region("wall"), 1).text
    assert "n0144" not in Template().caption(photo("n01440764"), region("wall"), 1).text
    assert "kitchen" in Template().caption(photo("kitchen"), region("blob", "region"), 1).prompt
    assert "blob" not in Template().caption(photo(), region("blob", "region"), 1).prompt


def test_a_share_is_a_share() -> None:
    with pytest.raises(BadSetting, match="perturb_share"):
        load_captioner("template", {"perturb_share": 1.2})
