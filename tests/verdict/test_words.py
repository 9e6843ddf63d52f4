"""The sentences: the same for all who read them, a percentage only where somebody calibrated, never a word too much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import findings_drawn as drawn
from fauxlens.verdict import words
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Finding, Left, Redelivery, Verdict
from findings_drawn import judgement

VERDICTS: tuple[Verdict, ...] = ("no_sign", "inconclusive", "edited", "generated")


def test_the_four_sentences() -> None:
    said = {verdict: words.sentence(drawn.finding(verdict)) for verdict in VERDICTS}
    assert said["no_sign"] == (
        "No sign of generation or local editing was found by the checks that ran. "
        "This does not prove the picture is authentic."
    )
    assert said["inconclusive"] == (
        "The checks disagree, or the picture was re-saved or shrunk too much to tell. "
        "The reason: 2 of 5 other deliveries gave another answer."
    )
    assert said["edited"] == (
        "Part of this picture (about 9 % of its area, lower left, marked) carries traces that differ from the rest, "
        "as after inpainting or pasting."
    )
    assert said["generated"].startswith("The whole picture carries traces like those of image generators. They are")


def test_an_edit_whose_place_is_not_known_is_told_without_one() -> None:
    found = drawn.finding("edited")
    bare = replace(
        found, opinions=(replace(found.opinions[0], prediction=replace(found.opinions[0].prediction, mask=None)),)
    )
    assert words.sentence(bare).startswith("Part of this picture carries traces")
    shared = replace(bare, opinions=(replace(bare.opinions[0], share=0.12),))
    assert words.sentence(shared).startswith("Part of this picture (about 12 % of its area, marked) carries")
    assert "(less than 1 % of its area" in words.sentence(
        replace(bare, opinions=(replace(bare.opinions[0], share=0.002),))
    )


def test_a_family_is_named_only_where_it_is_calibrated() -> None:
    found = drawn.finding("generated")
    assert "latent diffusion (probability 83 %, calibrated on 2,000 pictures" in words.sentence(found)
    assert words.sentence(replace(found, attribution=None)) == words.GENERATED
    assert words.sentence(replace(found, attribution={"family": "gan", "probability": 0.9})) == words.GENERATED
    unknown = replace(found, attribution={"family": "unknown", "probability": None, "calibrated_on": "some"})
    assert words.sentence(unknown).endswith("Which family of generators is unknown (calibrated on some).")


@pytest.mark.parametrize("reason", [RANDOM, UNCALIBRATED])
def test_where_nobody_was_asked_nothing_is_said_to_disagree(reason: str) -> None:
    told = words.sentence(replace(drawn.unjudged(), reason=reason))
    assert told == f"Inconclusive: {reason}."


def test_no_verdict_is_called_authentic() -> None:
    told = " ".join([*words.LABELS.values(), *(words.sentence(drawn.finding(verdict)) for verdict in VERDICTS)]).lower()
    assert not {"real", "fake", "authentic.", "genuine", "manipulated"} & (set(told.split()) - {"authentic."})
    assert told.count("authentic") == told.count("does not prove the picture is authentic") == 1


def test_a_probability_has_its_band_and_its_source() -> None:
    answer = drawn.finding("edited").opinions[0].answer
    assert answer is not None
    assert words.chance(answer) == (
        "Edited in part: probability 89 %, score +2.10 (nothing is said between -0.40 and +1.30), calibrated on "
        + drawn.CALIBRATED
    )
    assert "never gives the verdict" in words.chance(replace(answer, high=None))


def test_one_that_nobody_calibrated_shows_no_percentage() -> None:
    found = drawn.unjudged()
    assert words.marked_area(found.opinions[0]) == "Marked area: lower right, 0.09 of the picture"
    told = [*words.card(found), *words.checked(found), *words.limits_of(found.opinions[0]), *words.next_steps(found)]
    assert "%" not in " ".join(told)
    assert "How often it errs on pictures like this one is not known here" in " ".join(told)


def test_how_often_it_errs_stands_beside_the_claim() -> None:
    limits = words.limits_of(drawn.finding("edited").opinions[0])
    assert limits == (drawn.RATES, "It has never seen paintings.")
    unjudged = words.limits_of(drawn.unjudged().opinions[0])
    assert "It was trained on four LSUN classes and ProGAN." in unjudged  # from the card of npr


def _box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((90, 120), np.float32)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (_box(0, 20, 0, 30), "upper left"),
        (_box(70, 90, 50, 70), "lower centre"),
        (_box(40, 50, 50, 70), "centre"),
        (_box(40, 50, 100, 120), "right"),
        (_box(0, 25, 0, 120), "along the top"),
        (_box(0, 90, 0, 30), "along the left side"),
        (_box(0, 90, 0, 120), "all over the picture"),
        (_box(0, 10, 0, 10) + _box(80, 90, 110, 120), "in several places"),
        (_box(0, 0, 0, 0), None),
        (np.full((9, 9), np.nan, np.float32), None),
        (np.ones((1, 1), np.float32), "upper left"),
    ],
)
def test_places(mask: np.ndarray, told: str | None) -> None:
    assert words.place_of(mask) == told


def test_a_place_follows_the_level() -> None:
    mask = _box(0, 20, 0, 30) * 0.9 + _box(65, 90, 90, 120) * 0.6
    assert words.place_of(mask, 0.8) == "upper left"
    assert words.place_of(mask, 0.5) == "in several places"


def test_the_place_outlives_the_mask() -> None:
    light = words.with_places(drawn.finding("edited")).without_maps()
    assert light.opinions[0].prediction.mask is None
    assert words.sentence(light) == words.sentence(drawn.finding("edited"))
    assert words.marked_area(light.opinions[0]) == "Marked area: lower left, 9 % of the picture"


@pytest.mark.parametrize(
    "found", [*map(drawn.finding, VERDICTS), drawn.unjudged(), drawn.failed()], ids=lambda one: one.path
)
def test_a_card_is_twelve_lines_of_eighty(found: Finding) -> None:
    lines = words.card(found)
    assert len(lines) <= words.CARD_LINES
    assert max(map(len, lines)) <= words.WIDTH
    assert " ".join(lines).startswith(words.sentence(found))
    if found.error is None:
        assert any(line.startswith("Not checked: SynthID") for line in lines)
    assert any(line.startswith("Next: ") for line in lines)


def test_what_to_do_about_a_file_that_failed_is_told_whole() -> None:
    found = drawn.failed()
    assert found.error is not None
    found.error.hint = "do one thing: carefully; then another, in another place, with another tool than the first one"
    assert words.card(found)[2:] == (
        "Next: Do one thing: carefully; then another, in another place, with another tool",
        "than the first one.",
    )


def test_a_card_of_much_keeps_what_matters() -> None:
    found = drawn.finding("edited", path="folder/" * 30 + "photo\n\x1b[31m.jpg")
    loud = replace(found, reason="because " * 80, evidence=found.evidence * 5, opinions=found.opinions * 3)
    lines = words.card(loud)
    assert len(lines) <= words.CARD_LINES
    assert max(map(len, lines)) <= words.WIDTH
    assert "\n" not in "".join(lines)
    assert "\x1b" not in "".join(lines)
    assert any("probability 89 %" in line for line in lines)


def test_a_table_of_many_is_as_given_and_its_totals_are_last() -> None:
    findings = [drawn.failed(), *map(drawn.finding, VERDICTS)]
    head, rows = words.table(findings)
    assert head == ("verdict", "marked", "file")
    assert [row[0] for row in rows] == [
        "not looked at", "no sign found", "inconclusive", "edited in part", "generated",
    ]  # fmt: skip
    assert rows[3][1:] == ("9 %", "photos/beach.jpg")
    assert rows[0][-1] == "photos/bad.jpg: no picture that we know (wanted JPEG, PNG, got HTML)"
    assert words.totals(findings) == (
        "4 pictures looked at: 1 no sign found, 1 inconclusive, 1 edited in part, 1 generated; 1 could not be"
    )
    assert words.remarks(findings)[-1] == "next (1): open it in an editor and look what it is"


def test_scores_are_shown_where_nothing_may_be_judged() -> None:
    head, rows = words.table([drawn.unjudged(), drawn.unjudged()])
    assert head == ("verdict", "marked", "scores", "file")
    assert rows[0] == ("inconclusive", "0.09", "npr +0.30", "photos/cat.png")
    assert "marked without a percent sign: by a detector that nobody calibrated" in words.remarks([drawn.unjudged()])


def test_what_is_left_and_what_lasts() -> None:
    found = drawn.finding("inconclusive")
    assert words.lasting(found) == (
        "The answer was contradicted in 2 of 2 other deliveries; the scores lie 0.90 apart "
        "(tried on a part of 1,024 pixels, where the marks are strongest)."
    )
    assert "enough to judge by" in str(words.traces_left(found))
    gone = replace(found, left=Left(0.1, 0.2, "saved as JPEG of quality 30"))
    assert words.traces_left(gone) == (
        "What the file went through (saved as JPEG of quality 30) leaves 0.10 of a trace, where 1 is all of it: "
        "too little to judge by."
    )


def test_what_says_nothing_was_not_upheld_either() -> None:
    found = drawn.finding("inconclusive")
    assert found.stability is not None
    several = (*(Redelivery(f"s{n}", -1.0, "no_sign", 0.0) for n in range(4)), found.stability.tried[0])
    opened = replace(found, stability=replace(found.stability, tried=several, flips=0, side=None))
    assert words.lasting(opened) == (
        "The answer is open as it is; 5 other deliveries: 4 no sign found, 1 inconclusive; the scores lie 0.90 apart."
    )


@pytest.mark.parametrize("verdict", ["generated", "edited"])
def test_the_files_own_words_are_not_called_traces(verdict: Verdict) -> None:
    told = Evidence("x", "It says so.", "Anybody can write that.", verdict, "strong")
    found = replace(drawn.finding(verdict), provenance=(told,))
    assert words.sentence(found).startswith("The file itself says that ")
    assert "traces" not in words.sentence(found)
    assert "carries traces" in words.sentence(replace(found, provenance=(replace(told, strength="weak"),)))


def test_a_probability_says_among_what_it_holds() -> None:
    answer = judgement(-1.0, 1.0).answer(0.0)
    assert answer.prior is not None
    assert f"where {words.percent(answer.prior)} of the pictures are fakes" in words.chance(answer)
    assert "where" not in words.chance(replace(answer, prior=None))


def test_detectors_that_do_not_agree_are_told() -> None:
    found = drawn.finding("edited")
    assert words.disagreement(found) is None
    other = drawn.opinion("no_sign", (120, 180), name="npr", logit=-2.0)
    assert words.disagreement(replace(found, opinions=(found.opinions[0], other))) == (
        "The detectors do not agree: fauxlens-small: edited in part; npr: no sign found."
    )
