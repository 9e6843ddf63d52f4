"""A judgement: the band keeps its promises, answers are drawn from it, other weights are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

from fauxlens.core.errors import BadPredictions, BadSetting, BadShape, BadWeights, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.evaluate.calibration import Calibration
from fauxlens.metrics.interval import clopper_pearson
from fauxlens.verdict.judgement import (
    Axis,
    Counted,
    Judgement,
    band,
    judgement_for,
    place_beside,
    place_in_store,
    read_judgement,
)

SHA = "ab" * 32


def judgement(**given: object) -> Judgement:
    fit = Calibration(
        method="platt", numbers={"slope": (0.5,), "offset": (-1.0,)}, split="val", pictures=400, fakes=150,
        data_sha256="00" * 32, detector="npr", weights_sha256=str(given.get("weights_sha256", SHA)), ece_before=0.2,
        ece_after=0.03, ece_fitted=0.02, date="2026-01-02",
    )  # fmt: skip
    told = {
        "detector": "npr", "weights_sha256": SHA, "axis": "whole_image", "calibration": fit, "low": -1.0, "high": 2.0,
        "date": "2026-01-02", "false_alarms": (Counted("phone", 7, 1000),), "misses": (Counted("sd", 3, 90),),
        "limits": ("Only phones.",), **given,
    }  # fmt: skip
    return Judgement(**told)  # type: ignore[arg-type]


def alone(count: int) -> list[str]:
    return [f"o{n}" for n in range(count)]


@pytest.fixture
def detector() -> Detector:
    found = load("npr", "random")
    found.weights = Loaded("mine", SHA)
    return found


# The band.


def test_the_share_is_kept_and_not_given_away() -> None:
    reals = np.random.default_rng(0).permutation(1000.0 * np.arange(1000))
    found = band(reals, alone(1000), [5e6])
    # Ten of a thousand may lie above; one real lower would be eleven.
    assert (found.high, found.above) == (989_000.0, 10)
    assert (found.upper, found.is_enough) == (clopper_pearson(10, 1000, side="upper").high, True)
    assert found.expected.value == 11 / 1001
    assert found.expected.low < 0.01 < found.expected.high
    assert found.low == found.high, "no fake is near the reals, so nothing but the end itself is between"


def test_strict_keeps_the_bound_and_not_the_count() -> None:
    reals = np.arange(2000.0)
    plain, strict = (band(reals, alone(2000), [0.0], strict=one) for one in (False, True))
    assert plain.above == 20
    assert plain.upper > 0.01 >= strict.upper
    assert clopper_pearson(strict.above + 1, 2000, side="upper").high > 0.01, "one more would break it"


def test_too_few_reals_promise_nothing_and_that_is_said() -> None:
    few, enough = (band(np.arange(float(count)), alone(count), [0.0, 500.0]) for count in (298, 299))
    assert (few.high, few.above, few.is_enough, few.wanted) == (297.0, 0, False, 299)
    assert "too few to promise 1.0%, for which it takes 299" in few.sentence
    assert (enough.high, enough.above, enough.is_enough) == (296.0, 2, True)
    assert "too few" not in enough.sentence
    assert "2 of 299 real pictures (299 origins)" in enough.sentence
    never = band(np.arange(298.0), alone(298), [0.0, 500.0], strict=True)
    assert (never.high, never.named, never.above) == (None, 0, 0)
    assert "never given" in never.sentence


def test_deliveries_of_one_photo_are_one_observation() -> None:
    once = np.random.default_rng(1).normal(size=100)
    five = band(np.repeat(once, 5), np.repeat(alone(100), 5), [3.0])
    one = band(once, alone(100), [3.0])
    assert (five.high, five.upper, five.origins, five.reals) == (one.high, one.upper, 100, 500)
    # Both shares are kept, that of pictures and that of origins: here one origin holds most of the pictures.
    logits = np.concatenate([np.arange(1000.0), np.full(9000, 2000.0)])
    lopsided = band(logits, [*alone(1000), *["one"] * 9000], [0.0])
    assert (lopsided.high, lopsided.above) == (2000.0, 0)


def test_what_ties_with_an_end_is_inside() -> None:
    reals = np.concatenate([np.zeros(900), np.full(100, 3.0)])
    found = band(reals, alone(1000), [3.0, 3.0, 3.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    # A hundred tie at 3: either all of them lie above or none does.
    assert (found.high, found.above, found.named) == (3.0, 0, 1)
    assert (found.low, found.below) == (3.0, 0)
    same = band(np.ones(400), alone(400), np.ones(50))
    assert (same.low, same.high, same.above, same.named, same.below) == (1.0, 1.0, 0, 0, 0)


@pytest.mark.parametrize("count", [1, 9, 10, 30, 300])
def test_a_tenth_of_the_fakes_may_be_missed_and_low_is_never_above_high(count: int) -> None:
    fakes = np.arange(float(count))
    wide = band(np.arange(2.0 * count), alone(2 * count), fakes)
    assert wide.below == count // 10 == int((fakes < wide.low).sum())
    narrow = band(np.arange(-500.0, 0.0), alone(500), fakes)
    assert narrow.low == narrow.high is not None


def test_the_bound_holds_for_pictures_that_come_later() -> None:
    """Exceedance of the band's end under the true law, a thousand times: under the bound in 95 of 100, as expected."""
    rng = np.random.default_rng(7)
    names, true, bound, expected = alone(300), [], [], []
    for _ in range(400):
        found = band(rng.normal(size=300), names, [9.0])
        assert found.high is not None
        true.append(norm.sf(found.high))
        bound.append(found.upper)
        expected.append(found.expected.value)
    assert 0.92 < np.mean(np.array(true) <= bound) < 0.98
    assert np.mean(true) == pytest.approx(np.mean(expected), rel=0.05)


def of_photos(likeness: float, photos: int, each: int, seed: int) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Logits that are normal as a whole, `likeness` of whose variance is shared by the deliveries of a photo."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(photos, 1)), rng.normal(size=(photos, each))
    logits = np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own
    return logits.ravel(), [name for name in alone(photos) for _ in range(each)]


def test_deliveries_count_by_how_much_alike_they_are() -> None:
    worth = [band(*of_photos(likeness, 100, 12, 3), [9.0]).worth for likeness in (0.0, 0.3, 0.6, 1.0)]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 700
    assert worth[-1] == 100, "copies say nothing that the photo did not say"
    # A design effect from few photos is itself a guess.
    assert band(*of_photos(0.0, 49, 12, 3), [9.0]).worth == 49
    assert band(*of_photos(0.0, 300, 1, 3), [9.0]).worth == 300
    enough = band(*of_photos(0.1, 74, 14, 3), [9.0])
    assert (enough.origins, enough.is_enough) == (74, True)
    assert enough.above == 10, "one in a hundred of 1,036"
    assert f"(74 origins, worth {int(enough.worth)} independent ones)" in enough.sentence


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.6])
def test_the_bound_holds_for_deliveries_of_other_photos(likeness: float) -> None:
    true, bound, expected = [], [], []
    for seed in range(120):
        found = band(*of_photos(likeness, 74, 14, seed), [9.0])
        assert found.high is not None
        true.append(norm.sf(found.high))
        bound.append(found.upper)
        expected.append(found.expected.value)
    # On the safe side: likeness is taken from where it is largest.
    assert np.mean(np.array(true) <= bound) >= 0.94
    assert np.mean(true) <= 1.05 * np.mean(expected)
    assert np.mean(true) < 0.012


def test_a_band_of_nothing_is_refused() -> None:
    with pytest.raises(BadPredictions, match="real_logits"):
        band([], [], [1.0])
    with pytest.raises(BadPredictions, match="fake_logits"):
        band([1.0], ["a"], [np.inf])
    with pytest.raises(BadShape, match="NaN"):
        band([np.nan], ["a"], [1.0])
    with pytest.raises(BadShape, match="different length"):
        band([1.0, 2.0], ["a"], [1.0])
    with pytest.raises(BadSetting, match="share is out of range"):
        band([1.0], ["a"], [1.0], 0.0)
    with pytest.raises(BadSetting, match="missed is out of range"):
        band([1.0], ["a"], [1.0], missed=1.0)


# The answer.


@pytest.mark.parametrize(
    ("axis", "high", "verdicts"),
    [
        ("whole_image", 2.0, ["no_sign", "inconclusive", "inconclusive", "inconclusive", "generated"]),
        ("local_edit", 2.0, ["no_sign", "inconclusive", "inconclusive", "inconclusive", "edited"]),
        ("local_edit", None, ["no_sign", "inconclusive", "inconclusive", "inconclusive", "inconclusive"]),
    ],
)
def test_answers(axis: Axis, high: float | None, verdicts: Sequence[str]) -> None:
    one = judgement(axis=axis, high=high)
    told = [one.answer(logit) for logit in (-1.001, -1.0, 0.5, 2.0, 2.001)]
    assert [each.verdict for each in told] == verdicts
    assert {(each.axis, each.low, each.high) for each in told} == {(axis, -1.0, high)}
    assert told[2].probability == pytest.approx(1 / (1 + np.exp(0.75)))
    assert told[0].calibrated_on == "400 pictures (150 of them fake) of the split 'val', 2026-01-02"
    assert judgement(calibrated_on="phones").answer(0.0).calibrated_on == "phones"
    with pytest.raises(BadPredictions, match="no number"):
        one.answer(float("nan"))


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UnknownName, match="question"):
        judgement(axis="whole")
    with pytest.raises(BadSetting, match="abstain band"):
        judgement(low=3.0)
    with pytest.raises(BadSetting, match="level"):
        judgement(level=1.0)
    with pytest.raises(BadSetting, match="more errors than pictures"):
        judgement(misses=(Counted("sd", 3, 2),))
    with pytest.raises(BadPredictions, match="other weights"):
        replace(judgement(), weights_sha256="cd" * 32)


def test_json_there_and_back(tmp_path: Path) -> None:
    for one in (judgement(), judgement(high=None, options={"showing": "native"}, setting="x")):
        path = one.save(tmp_path / "judgement.json")
        assert read_judgement(path) == one
        assert json.loads(path.read_text())["kind"] == "fauxlens-judgement"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no such judgement"):
        read_judgement(tmp_path / "gone.json")
    whole = json.loads(judgement().save(tmp_path / "j.json").read_text())
    for change in (
        {"kind": "x"},
        {"axis": "x"},
        {"calibration": {}},
        {"extra": 1},
        {"misses": [["a", 1]]},
        {"low": "x"},
    ):
        (tmp_path / "j.json").write_text(json.dumps({**whole, **change}))
        with pytest.raises(BadSetting, match="not a judgement of ours"):
            read_judgement(tmp_path / "j.json")
    (tmp_path / "j.json").write_text("[]")
    with pytest.raises(BadSetting, match="not a judgement of ours"):
        read_judgement(tmp_path / "j.json")


# Where it lies.


def test_random_weights_have_none(tmp_path: Path) -> None:
    assert judgement_for(load("npr", "random"), tmp_path) == ()


def test_one_of_each_question_from_this_machine(detector: Detector, tmp_path: Path) -> None:
    assert judgement_for(detector, tmp_path) == ()
    both = [judgement(axis=axis) for axis in ("whole_image", "local_edit")]
    for one in both:
        one.save(place_in_store("npr", SHA, one.axis, tmp_path))
    assert judgement_for(detector, tmp_path) == tuple(both)
    detector.weights = Loaded("others", "cd" * 32)
    assert judgement_for(detector, tmp_path) == ()


def test_what_came_with_the_weights_gives_way_to_ones_own(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    detector.weights = Loaded("mine", SHA, (tmp_path / "set" / "network.safetensors",))
    beside = place_beside(detector.weights, "whole_image")
    assert beside == tmp_path / "set" / "network.judgement-whole_image.json"
    (tmp_path / "set" / "card.json").write_text("{}")
    beside = place_beside(detector.weights, "whole_image")
    assert beside == tmp_path / "set" / "judgement-whole_image.json"
    shipped, own = judgement(high=9.0), judgement(high=3.0)
    shipped.save(beside)
    assert judgement_for(detector, tmp_path / "store") == (shipped,)
    own.save(place_in_store("npr", SHA, "whole_image", tmp_path / "store"))
    assert judgement_for(detector, tmp_path / "store") == (own,)
    assert place_beside(Loaded("random"), "local_edit") is None


def test_other_weights_are_refused(detector: Detector, tmp_path: Path) -> None:
    detector.weights = Loaded("mine", "cd" * 32, (tmp_path / "my.safetensors",))
    beside = place_beside(detector.weights, "whole_image")
    assert beside is not None
    judgement().save(beside)
    with pytest.raises(BadWeights, match="this judgement of npr belongs to other weights") as refused:
        judgement_for(detector, tmp_path / "store")
    assert (refused.value.where, refused.value.got) == (str(beside), "cd" * 32)
    judgement(axis="local_edit", weights_sha256="cd" * 32).save(beside)
    with pytest.raises(BadSetting, match="not what its name says"):
        judgement_for(detector, tmp_path / "store")


def test_another_setting_or_option_gives_other_logits_so_it_is_left_out(detector: Detector, tmp_path: Path) -> None:
    path = place_in_store("npr", SHA, "whole_image", tmp_path)
    judgement(setting="another").save(path)
    assert judgement_for(detector, tmp_path) == ()
    one = judgement(setting=detector.setting, options={"showing": "native"})
    one.save(path)
    assert judgement_for(detector, tmp_path) == ()
    assert judgement_for(detector.change(showing="native"), tmp_path) == (one,)
    assert judgement_for(detector.change(showing="resize"), tmp_path) == ()
    judgement().save(path)
    assert len(judgement_for(detector, tmp_path)) == 1
