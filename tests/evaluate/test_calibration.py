from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fauxlens.core.errors import BadPredictions, BadSetting, UnknownName
from fauxlens.evaluate.calibration import METHODS, calibrate, fit, read_calibration
from fauxlens.evaluate.predictions import Judged, judged, predictions_of
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.metrics.image import ece

SLOPE, OFFSET = 0.4, -0.8


def asked(
    count: int = 400, *, split: str = "val", slope: float = SLOPE, offset: float = OFFSET, **origin: str
) -> Judged:
    """Logits whose true probability is sigmoid(slope * logit + offset): a detector too sure of itself, and shifted."""
    chance = np.random.default_rng(3)
    logit = chance.normal(2, 4, count)
    fake = chance.random(count) < 1 / (1 + np.exp(-(slope * logit + offset)))
    samples = [
        Sample(id=f"p{n}", path=f"p{n}.png", label="generated" if fake[n] else "real", split=split,
               origin=origin.get("origin", f"o{n // 2}"))
        for n in range(count)
    ]  # fmt: skip
    rows = [{"id": one.id, "path": one.path, "logit": float(value), "probability": 0.5, "status": "ok"}
            for one, value in zip(samples, logit, strict=True)]  # fmt: skip
    facts = {"detector": "drawn", "weights": "none", "weights_sha256": "ab" * 32}
    return judged(predictions_of(rows, Path(), facts), Manifest.from_samples(samples, Path()))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_its_promises_better(method: str) -> None:
    given = asked()
    found = calibrate(given, method=method, date="2026-01-01")
    assert (found.method, found.split, found.pictures, found.date) == (method, "val", 400, "2026-01-01")
    assert found.fakes == int(given.fake.sum())
    assert (found.detector, found.weights_sha256) == ("drawn", "ab" * 32)
    before = ece(given.fake, 1 / (1 + np.exp(-given.logit)))
    assert found.ece_before == pytest.approx(before)
    assert found.ece_fitted == pytest.approx(ece(given.fake, found.probability(given.logit)))
    assert found.ece_after is not None
    # One divisor cannot take back a shift, so temperature helps least.
    assert found.ece_after < before * (0.9 if method == "temperature" else 0.6)
    probability = found.probability(np.linspace(-20, 20, 50))
    assert (np.diff(probability) >= 0).all()
    assert ((probability >= 0) & (probability <= 1)).all()


def test_the_error_told_is_that_of_pictures_not_seen() -> None:
    """Steps can learn any few pictures by heart: on those they promise what came."""
    found = calibrate(asked(80), method="isotonic")
    assert found.ece_fitted < 1e-6
    assert found.ece_after is not None
    assert found.ece_after > 0.03


def test_platt_finds_the_truth_and_temperature_moves_no_verdict() -> None:
    given = asked(4000)
    platt = calibrate(given, method="platt")
    assert platt.numbers["slope"][0] == pytest.approx(SLOPE, abs=0.03)
    assert platt.numbers["offset"][0] == pytest.approx(OFFSET, abs=0.12)
    temperature = calibrate(given, method="temperature")
    assert float(temperature.probability(0.0)) == 0.5
    # The fit has the least loss: a tenth more or less is worse.
    best = temperature.numbers["temperature"][0]

    def loss(divisor: float) -> float:
        signed = np.where(given.fake, given.logit, -given.logit) / divisor
        return float(np.logaddexp(0, -signed).mean())

    assert loss(best) < min(loss(best * 1.1), loss(best / 1.1))


def test_large_logits_are_fitted_as_well() -> None:
    given = asked()
    small = fit("platt", given.fake, given.logit)
    large = fit("platt", given.fake, given.logit * 1e4)
    assert large["slope"][0] * 1e4 == pytest.approx(small["slope"][0], rel=1e-3)
    assert large["offset"][0] == pytest.approx(small["offset"][0], rel=1e-3)


def test_isotonic_by_hand() -> None:
    # 1 before 0 is a fall, so both become one half.
    numbers = fit("isotonic", np.array([False, True, False, True]), np.array([-2.0, -1.0, 1.0, 2.0]))
    assert numbers["logit"] == (-2.0, -1.0, 1.0, 2.0)
    assert numbers["probability"] == (0.0, 0.5, 0.5, 1.0)


@pytest.mark.parametrize("split", ["test", "Test", "test_calibration", "my-test", "testset", "eval", "holdout"])
def test_no_test_split_is_ever_fitted_on(split: str) -> None:
    with pytest.raises(BadSetting, match="never fitted on a test split"):
        calibrate(asked(split=split), split=split)


def test_other_splits_that_only_sound_alike_are_fine() -> None:
    assert calibrate(asked(split="latest"), split="latest").pictures == 400
    assert calibrate(asked(split="calibration"), split="calibration").split == "calibration"


def test_origins_that_are_in_a_test_split_as_well_are_refused() -> None:
    given = asked()
    samples = [replace(one, split="test") if one.id == "p7" else one for one in given.manifest]
    torn = judged(given.predictions, Manifest.from_samples(samples, Path()))
    with pytest.raises(BadPredictions, match="1 origins are both in 'val' and in a test split"):
        calibrate(torn)


def test_what_cannot_be_fitted_is_said() -> None:
    given = asked()
    with pytest.raises(UnknownName, match="calibration method"):
        calibrate(given, method="plat")
    with pytest.raises(BadPredictions, match="no picture of this split"):
        calibrate(given, split="train")
    with pytest.raises(BadPredictions, match="both classes"):
        calibrate(given.where(given.fake))
    with pytest.raises(BadPredictions, match="no better than chance"):
        calibrate(asked(slope=-SLOPE))


def test_few_origins_tell_no_error_of_the_unseen() -> None:
    assert calibrate(asked(60, origin="one")).ece_after is None
    assert calibrate(asked(60)).ece_after is not None


def test_json_there_and_back(tmp_path: Path) -> None:
    given = asked()
    for method in METHODS:
        found = calibrate(given, method=method)
        again = read_calibration(found.save(tmp_path / f"{method}.json"))
        assert again == found
        assert again.probability(given.logit).tolist() == found.probability(given.logit).tolist()
    told = json.loads((tmp_path / "platt.json").read_text())
    assert told["kind"] == "fauxlens-calibration"
    assert len(told["data_sha256"]) == 64
    found.require_weights("ab" * 32)
    with pytest.raises(BadPredictions, match="other weights"):
        found.require_weights("cd" * 32)


def test_the_digest_is_of_the_data() -> None:
    given = asked()
    digest = calibrate(given).data_sha256
    assert calibrate(given, method="isotonic").data_sha256 == digest
    fewer = given.where(np.arange(len(given)) > 0)
    assert calibrate(fewer).data_sha256 != digest


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no such calibration"):
        read_calibration(tmp_path / "gone.json")
    for text in ("", "[]", "{}", '{"kind": "fauxlens-calibration"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadSetting, match="not a calibration of ours"):
            read_calibration(tmp_path / "bad.json")
    path = calibrate(asked()).save(tmp_path / "c.json")
    told = json.loads(path.read_text())
    for change in ({"method": "magic"}, {"numbers": {"slope": [1.0]}}, {"extra": 1}):
        path.write_text(json.dumps({**told, **change}))
        with pytest.raises(BadSetting, match="not a calibration of ours"):
            read_calibration(path)
