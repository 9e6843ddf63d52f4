"""A judgement from labelled pictures: what is fitted on, what is refused, and what is told of errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fauxlens.core.errors import BadPredictions, BadSetting, UnknownName
from fauxlens.evaluate.predictions import Judged, judged, predictions_of
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.verdict.fit import FEWEST, fit_judgement, together

FACTS = {"detector": "npr", "weights": "w", "weights_sha256": "ab" * 32, "setting": "published",
         "options": {"showing": "native"}, "random": False}  # fmt: skip


def asked(
    reals: int = 200, fakes: int = 200, *, gap: float = 4.0, label: str = "generated", split: str | None = "val",
    facts: dict[str, Any] | None = None, **row: Any,
) -> Judged:  # fmt: skip
    """Reals around 0 and fakes around `gap`, of three sources and two generators."""
    chance = np.random.default_rng(5)
    samples, rows = [], []
    for n in range(reals + fakes):
        fake = n >= reals
        given = {"origin": f"o{n}", "source": f"s{n % 3}", **row}
        if fake:
            given |= {"generator": f"g{n % 2}", "label": label}
        samples.append(Sample(id=f"p{n}", path=f"p{n}.png", split=split, **{"label": "real", **given}))
        rows.append({"id": f"p{n}", "path": f"p{n}.png", "logit": chance.normal() + gap * fake, "status": "ok"})
    manifest = Manifest.from_samples(samples, Path())
    return judged(predictions_of(rows, Path(), {**FACTS, **(facts or {})}), manifest)


def relabelled(given: Judged, **changed: dict[str, str | None]) -> Judged:
    """The same with another `label` or `split` for pictures by id."""
    samples = [
        replace(one, **{name: by_id[one.id] for name, by_id in changed.items() if one.id in by_id})
        for one in given.manifest
    ]
    return judged(given.predictions, Manifest.from_samples(samples, Path()))


def test_a_judgement_says_what_it_was_measured_on() -> None:
    found = fit_judgement(asked(), date="2026-01-02")
    one = found.judgement
    assert (one.detector, one.axis, one.date, one.setting) == ("npr", "whole_image", "2026-01-02", "published")
    assert one.options == {"showing": "native"}
    assert (one.calibration.pictures, one.calibration.fakes, one.calibration.method) == (400, 200, "platt")
    assert (one.low, one.high) == (found.band.low, found.band.high)
    assert one.high == max(np.asarray(asked().logit)[:200])
    assert any("Only 200 independent real pictures" in limit for limit in one.limits)
    assert any("where 50% of the pictures are generated" in limit for limit in one.limits)
    assert found.left_out == {}


def test_errors_are_counted_on_pictures_that_the_band_was_not_laid_by() -> None:
    one = fit_judgement(asked()).judgement
    alarms, *by_source = one.false_alarms
    assert (alarms.what, alarms.of) == ("real pictures", 200)
    # Laid by all reals none of them would be above; held back, some are.
    assert 0 < alarms.number <= 6
    assert [row.what for row in by_source] == [f"real pictures: s{n}" for n in (0, 1, 2)]
    assert sum(row.number for row in by_source) == alarms.number
    assert sum(row.of for row in by_source) == 200
    missed, *by_generator = one.misses
    assert (missed.what, missed.of) == ("generated pictures", 200)
    assert {row.what for row in by_generator} == {"generated pictures: g0", "generated pictures: g1"}
    assert missed.number <= 30
    inside = {what: (number, of) for what, number, of in one.abstentions}
    assert set(inside) == {"real pictures", "generated pictures"}
    assert inside["real pictures"][0] + alarms.number <= 200


def test_enough_reals_promise_the_share() -> None:
    found = fit_judgement(asked(700, 60))
    assert found.band.is_enough
    assert found.band.above == 7
    assert not any("independent" in limit for limit in found.judgement.limits)
    strict = fit_judgement(asked(700, 60), strict=True)
    assert strict.band.upper <= 0.01 < found.band.upper
    assert fit_judgement(asked(60, 60), strict=True).judgement.high is None


def test_the_question_follows_the_labels_or_must_be_said() -> None:
    assert fit_judgement(asked(label="edited")).judgement.axis == "local_edit"
    both = relabelled(asked(), label={f"p{n}": "edited" for n in range(300, 400)})
    with pytest.raises(BadSetting, match="two questions"):
        fit_judgement(both)
    found = fit_judgement(both, axis="local_edit")
    assert (found.judgement.axis, found.judgement.calibration.pictures) == ("local_edit", 300)
    assert found.left_out == {"generated, another question": 100}
    with pytest.raises(UnknownName, match="question"):
        fit_judgement(both, axis="whole")  # type: ignore[arg-type]
    with pytest.raises(BadPredictions, match="0 edited"):
        fit_judgement(asked(), axis="local_edit")


def test_pictures_without_any_split_are_all_taken_and_a_test_split_never() -> None:
    found = fit_judgement(asked(split=None))
    assert (found.judgement.calibration.split, found.judgement.calibration.pictures) == ("none", 400)
    for named in ("test", "my-test"):
        with pytest.raises(BadSetting, match="never fitted on a test split"):
            fit_judgement(asked(split=named), split=named)
    with pytest.raises(BadPredictions, match="no picture of this split"):
        fit_judgement(asked(split="test"))
    torn = relabelled(asked(origin="one"), split={"p7": "test"})
    with pytest.raises(BadPredictions, match="both in 'val' and in a test split"):
        fit_judgement(torn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"facts": {"random": True, "weights_sha256": None}}, "random weights"),
        ({"facts": {"weights_sha256": None}}, "random weights"),
        ({"gap": -1.0}, "better off turned round"),
        ({"fakes": 0}, "too few pictures"),
        ({"reals": FEWEST - 1}, "too few pictures"),
        ({"fakes": FEWEST - 1}, "too few pictures"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(given: dict[str, Any], message: str) -> None:
    for method in ("platt", "isotonic", "temperature"):
        with pytest.raises(BadPredictions, match=message):
            fit_judgement(asked(**given), method=method)


def test_predictions_without_logits_are_refused() -> None:
    given = asked()
    rows = [{"id": one.id, "path": one.path, "status": "ok"} for one in given.manifest]
    with pytest.raises(BadPredictions, match="no logits"):
        fit_judgement(judged(predictions_of(rows, Path(), FACTS), given.manifest))


def test_few_origins_tell_no_errors() -> None:
    found = fit_judgement(asked(origin="one")).judgement
    assert (found.false_alarms, found.misses, found.abstentions) == ((), (), ())
    assert found.calibration.ece_after is None
    assert found.limits[-1].startswith("Only 1 independent")


def test_a_detector_of_somebody_else_is_judged_as_well() -> None:
    one = fit_judgement(asked(facts={"detector": "my own", "setting": ""})).judgement
    assert (one.detector, one.setting, one.trained_on) == ("my own", None, "")
    assert one.options == {"showing": "native"}
    ours = fit_judgement(asked(facts={"weights": "progan", "options": {}})).judgement
    assert ours.options == {"showing": "resize"}


def test_deliveries_are_pictures_of_their_own_and_of_one_origin() -> None:
    given = asked()
    # A degraded copy keeps the ids of its originals.
    found = together([given, given])
    assert (len(found), len(set(found.manifest.column("id").to_pylist()))) == (800, 800)
    assert found.logit.tolist() == [*given.logit, *given.logit]
    twice, once = fit_judgement(found), fit_judgement(given)
    assert (twice.band.reals, twice.band.origins, once.band.origins) == (400, 200, 200)
    assert "The real ones among those are 400 deliveries of 200 pictures." in twice.judgement.limits
    assert not any("deliveries" in one for one in once.judgement.limits)
    assert (twice.band.high, twice.band.low, twice.band.upper) == (once.band.high, once.band.low, once.band.upper)
    assert together([given]) is given
    alone = together([asked(origin=None), asked(origin=None)])
    assert len(set(alone.groups.tolist())) == 400
    with pytest.raises(BadPredictions, match="weights_sha256: the files are of detectors that differ"):
        together([given, asked(facts={"weights_sha256": "cd" * 32})])
