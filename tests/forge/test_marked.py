"""Captions with delimiters: read, checked, repaired, made into a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.marked import (
    MarkedText,
    keeps_outside,
    keeps_span,
    mark_of,
    outside_distance,
    parse_marked,
    plain_caption,
    prompt_of,
    wants_perturbing,
    with_span,
)

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), max_size=8).map(" ".join)


@settings(deadline=None)
@given(WORDS, WORDS.filter(bool), WORDS, st.sampled_from("#$"))
def test_what_was_marked_is_read_again(before: str, span: str, after: str, mark: str) -> None:
    sentence = MarkedText(before + " " if before else "", span, " " + after if after else "")
    assert parse_marked(sentence.marked(mark), mark) == sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a boat under the blue sky",
        "a boat under #the blue sky",
        "a #boat# under #the blue sky#",
        "a boat under ## ",
        "a boat under # . #",
        "a $boat$ under #the blue sky#",
        "a boat under #" + "very " * 30 + "blue sky#",
        "boat " * 70 + "under #the blue sky#",
        "x" * 600 + " #sky#",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert parse_marked(text, "#") is None


def test_spaces_and_lines_are_put_in_order() -> None:
    read = parse_marked("  a boat\nunder#  the   blue sky #today ", "#")
    assert read == MarkedText("a boat under ", "the blue sky", " today")


def test_words_outside_are_counted() -> None:
    old = MarkedText("A boat, under ", "the blue sky", " at noon.")
    assert keeps_outside(old, MarkedText("a boat under ", "the starry sky", " at noon"))
    changed = MarkedText("a red boat under ", "the starry sky", " at night")
    assert outside_distance(old, changed) == 2
    assert not keeps_outside(old, changed)
    assert keeps_outside(old, changed, most=2)
    # Words do not wander from one side of the span to the other unseen.
    assert outside_distance(MarkedText("one two ", "x", ""), MarkedText("one ", "x", " two")) == 2


def test_a_caption_that_changed_too_much_is_repaired() -> None:
    old = MarkedText("a boat under ", "the blue sky", ".")
    repaired = with_span(old, "the starry sky")
    assert repaired.marked("#") == "a boat under #the starry sky#."
    assert keeps_outside(old, repaired)


def test_the_kept_thing_keeps_its_words() -> None:
    old = MarkedText("A ", "brown dog", " on grass")
    assert keeps_span(old, MarkedText("on a beach, a ", "Brown dog", ""))
    assert not keeps_span(old, MarkedText("on a beach, a ", "black dog", ""))


def test_the_prompt_is_the_span_of_stuff_and_the_whole_sentence_otherwise() -> None:
    first = MarkedText("a boat under ", "the blue sky", ".")
    second = with_span(first, "the starry sky")
    assert prompt_of("stuff", first) == "the blue sky"
    assert prompt_of("stuff", first, second) == "the starry sky"
    assert prompt_of("background", first, second) == "a boat under the starry sky."
    assert prompt_of("region", first) == "a boat under the blue sky."
    assert prompt_of("stuff", MarkedText("a boat", "", "")) == "a boat"
    assert mark_of("background") == "$"
    assert mark_of("stuff") == mark_of("region") == "#"
    assert plain_caption("sand").text == "a photo of sand"


def test_the_draw_follows_the_seed_and_the_share() -> None:
    draws = [wants_perturbing(seed) for seed in range(2000)]
    assert draws == [wants_perturbing(seed) for seed in range(2000)]
    assert 0.45 < sum(yes for yes, _ in draws) / len(draws) < 0.55
    assert not any(wants_perturbing(seed, 0.0)[0] for seed in range(50))
    assert all(wants_perturbing(seed, 1.0)[0] for seed in range(50))
    with pytest.raises(BadSetting, match="out of range"):
        wants_perturbing(1, 1.5)
