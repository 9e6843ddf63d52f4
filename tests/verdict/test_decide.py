"""The rules from answers to a verdict, each by itself, and which goes before which."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlens.core.errors import FauxlensError
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Prediction
from fauxlens.verdict.decide import IN_THE_BAND, NOT_ASKED, NOTHING_FOUND, decide
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Left, Opinion, Redelivery, Stability, Verdict
from fauxlens.verdict.stability import DELIVERIES, stability_of, strongest_window
from findings_drawn import judgement, opinion, uncalibrated
from landscapes import landscape

SHAPE = (40, 60)
ENOUGH = Left(0.9, 0.2, "nothing")


def said(verdict: Verdict, **more: object) -> Opinion:
    return opinion(verdict, SHAPE, **more)  # type: ignore[arg-type]


def sign(leans: str, strength: str) -> Evidence:
    return Evidence("x", "It was saved twice.", "No more.", leans, strength)  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", ["edited", "generated", "no_sign", "inconclusive"])
def test_one_answer_is_the_verdict(verdict: Verdict) -> None:
    axis = "whole_image" if verdict == "generated" else "local_edit"
    assert decide([said(verdict, axis=axis)], left=ENOUGH)[0] == verdict


def test_generated_goes_before_edited_and_the_band_before_no_sign() -> None:
    whole, part = said("generated", axis="whole_image"), said("edited")
    assert decide([part, whole])[0] == "generated"
    assert decide([said("no_sign", axis="whole_image"), said("inconclusive")]) == ("inconclusive", IN_THE_BAND)
    assert decide([said("inconclusive", axis="whole_image"), part])[0] == "edited"


def test_nobody_calibrated_nobody_judges() -> None:
    assert decide([uncalibrated(SHAPE)]) == ("inconclusive", UNCALIBRATED)
    assert decide([]) == ("inconclusive", UNCALIBRATED)
    assert decide([Opinion(Prediction("x", 5.0, 0.9, detector="npr"), "published", "random")]) == (
        "inconclusive",
        RANDOM,
    )
    # Beside one that is calibrated, one that is not changes nothing.
    assert decide([uncalibrated(SHAPE), said("edited")])[0] == "edited"


def test_the_files_own_words_decide_alone() -> None:
    left = Left(0.0, 0.2, "saved as JPEG of quality 10")
    for leans in ("generated", "edited"):
        verdict, reason = decide([said("no_sign")], provenance=[sign(leans, "strong")], left=left)
        assert (verdict, reason) == (leans, "the file says so itself: it was saved twice")
    # Pixels that look laundered are not the file's own words, and a camera's name proves nothing.
    assert decide([said("edited")], provenance=[sign("captured", "context")])[0] == "edited"


def test_no_sign_is_not_said_where_there_is_a_weak_one() -> None:
    for leans, kind in (("generated", "a generator"), ("edited", "an edit")):
        weak = sign(leans, "weak")
        for given in ({"provenance": [weak]}, {"evidence": [weak]}):
            verdict, reason = decide([said("no_sign")], left=ENOUGH, **given)  # type: ignore[arg-type]
            assert verdict == "inconclusive"
            assert reason == f"the detector saw nothing, but there is a weak sign of {kind}: it was saved twice"
        assert decide([said("edited")], provenance=[weak], left=ENOUGH)[0] == "edited"
    for harmless in ("laundered", "captured", "none"):
        assert decide([said("no_sign")], provenance=[sign(harmless, "weak")], left=ENOUGH)[0] == "no_sign"


@pytest.mark.parametrize("verdict", ["edited", "no_sign"])
def test_what_the_file_went_through_can_leave_too_little(verdict: Verdict) -> None:
    found = decide([said(verdict)], left=Left(0.1, 0.2, "saved as JPEG of quality 40"))
    assert found == ("inconclusive", "too little of a trace can be left: saved as JPEG of quality 40")
    assert decide([said(verdict)], left=Left(0.2, 0.2, ""))[0] == verdict


def test_strong_signs_of_laundering_lower_the_verdict_weak_ones_are_told_only() -> None:
    assert decide([said("edited")], evidence=[sign("laundered", "strong")]) == ("inconclusive", "it was saved twice")
    assert decide([said("edited")], evidence=[sign("laundered", "weak")])[0] == "edited"
    # The file's own words count alike.
    assert decide([said("no_sign")], provenance=[sign("laundered", "strong")])[0] == "inconclusive"


def test_silence_about_a_question_nobody_was_asked_is_no_answer() -> None:
    part, whole = said("no_sign"), said("no_sign", axis="whole_image")
    assert decide([part]) == ("no_sign", f"{NOTHING_FOUND}; {NOT_ASKED['whole_image']}")
    assert decide([whole]) == ("no_sign", f"{NOTHING_FOUND}; {NOT_ASKED['local_edit']}")
    assert decide([part, whole]) == ("no_sign", NOTHING_FOUND)


def test_detectors_that_contradict_each_other() -> None:
    verdict, reason = decide([said("edited"), said("no_sign", name="other")])
    assert verdict == "inconclusive"
    assert "fauxlens-small says that a part of it was edited, other that there is no sign" in reason
    # Two questions have two answers; and no answer is no contradiction.
    assert decide([said("edited"), said("no_sign", axis="whole_image")])[0] == "edited"
    assert decide([said("edited"), said("inconclusive", name="other")])[0] == "edited"


def test_an_answer_that_turns_round_is_none() -> None:
    tried = tuple(Redelivery(f"stability/{n}", -1.0, "no_sign", 0.0) for n in range(3))
    verdict, reason = decide([said("edited")], stability=Stability(tried, 2, 3.0))
    assert (verdict, "2 of 3 ways" in reason) == ("inconclusive", True)
    assert decide([said("edited")], stability=Stability(tried, 0, 0.1))[0] == "edited"


class Sharpness:
    """A stand-in for a detector whose logit is how sharp the picture is, so that re-deliveries move it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def predict(self, pictures: list[np.ndarray]) -> list[Prediction]:
        found = []
        for one in pictures:
            self.asked.append(one.shape[:2])
            grey = one.mean(axis=2)
            logit = float(np.abs(np.diff(grey, axis=1)).mean())
            found.append(Prediction("", logit, None, mask=np.full(one.shape[:2], 0.3, np.float32), detector="x"))
        return found


def asked(pixels: np.ndarray, low: float, high: float, side: int = 512) -> tuple[Stability, Sharpness]:
    detector = Sharpness()
    first = detector.predict([pixels])[0]
    detector.asked.clear()
    stand_in: Detector = detector  # type: ignore[assignment]
    return stability_of(pixels, first, stand_in, judgement(low, high), side=side), detector


def test_every_delivery_is_tried_and_flips_are_counted() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    first = float(np.abs(np.diff(noisy.mean(axis=2), axis=1)).mean())
    found, _ = asked(noisy, first * 0.9, first * 0.98)
    assert [one.name for one in found.tried] == list(DELIVERIES)
    assert found.side is None
    # What smooths is judged otherwise; each flip is one of those.
    others = [one for one in found.tried if one.logit is not None and one.logit < first * 0.9]
    assert found.flips == len(others) > 0
    assert found.spread == pytest.approx(
        max([first, *(one.logit or 0 for one in found.tried)]) - min(one.logit or 0 for one in found.tried), abs=1e-3
    )
    calm, _ = asked(noisy, -1e6, -1e5)
    assert calm.flips == 0


def test_an_accusation_that_the_window_does_not_carry_is_contradicted() -> None:
    pixels = np.full((400, 400, 3), 128, np.uint8)
    pixels[:, 300:] = np.random.default_rng(0).integers(0, 256, (400, 100, 3), dtype=np.uint8)
    whole = float(np.abs(np.diff(pixels.mean(axis=2), axis=1)).mean())
    # The stand-in's marks are even, so its window is the flat middle, where nothing is sharp.
    found, _ = asked(pixels, whole * 0.5, whole * 0.9, side=128)
    assert [one.verdict for one in found.tried] == ["no_sign"] * len(DELIVERIES)
    assert found.flips == len(DELIVERIES), "the whole was called edited"
    calm, _ = asked(pixels, whole * 2, whole * 3, side=128)
    assert calm.flips == 0, "nobody was accused"


def test_of_a_large_picture_a_window_is_delivered_where_the_marks_are() -> None:
    pixels = landscape(1, 300, 500)
    mask = np.zeros((300, 500), np.float32)
    mask[200:280, 400:480] = 1.0
    window, is_whole = strongest_window(pixels, mask, 128)
    assert (window.shape, is_whole) == ((128, 128, 3), False)
    places = [(top, left) for top in range(0, 173, 4) for left in range(0, 373, 4)
              if np.array_equal(pixels[top : top + 128, left : left + 128], window)]  # fmt: skip
    (top, left), *_ = places
    assert top % 8 == left % 8 == 0
    assert mask[top : top + 128, left : left + 128].sum() > 0.9 * mask.sum()
    found, detector = asked(pixels, 0.0, 1e6, side=128)
    assert found.side == 128
    assert max(max(one) for one in detector.asked) <= 160
    small, whole = strongest_window(pixels, None, 500)
    assert whole
    assert small is pixels


def test_no_way_to_tell_is_no_flip() -> None:
    with pytest.raises(FauxlensError):
        judgement(2.0, 1.0)
    assert decide([said("no_sign")], stability=Stability((), 0, None))[0] == "no_sign"
