from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from fauxlens.core.errors import BadPredictions, BadSetting, Interrupted, OtherPlan
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Prediction
from fauxlens.evaluate import predict as predicting
from fauxlens.evaluate.predict import Asked, predict
from fauxlens.evaluate.predictions import Predictions, judged, read_predictions, read_scores, write_mask
from fauxlens.forge.photos import photos_of
from fauxlens.images.picture import read_picture
from fauxlens.manifest.manifest import Manifest
from landscapes import photo_folder

NPR = Asked(detector="npr", weights="random")
NANO = Asked(detector="nfa-vit", weights="random", setting="nano")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = photo_folder(tmp_path_factory.mktemp("set") / "photos", 5)
    photo_folder(folder / "wide", 2, height=64, width=150)
    whole = (folder / "photo_001.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    found = photos_of(folder)
    return found.with_columns("every other one", {"label": ["real", "edited"] * (len(found) // 2)})


@pytest.fixture(scope="module")
def found(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    return predict(manifest, NPR, tmp_path_factory.mktemp("out") / "p.parquet")


def test_a_row_a_picture_with_what_the_detector_says_of_it_alone(manifest: Manifest, found: Predictions) -> None:
    rows = {row["path"]: row for row in found.table.to_pylist()}
    assert list(rows) == manifest.column("path").to_pylist()
    assert rows["torn.jpg"]["status"] == "unreadable: truncated"
    assert rows["torn.jpg"]["logit"] is None
    detector = load("npr", "random")
    for path, row in rows.items():
        if path != "torn.jpg":
            said = detector.predict([read_picture(manifest.root / path)])[0]
            assert row["logit"] == pytest.approx(said.logit, abs=1e-5)
            assert row["probability"] == pytest.approx(said.probability, abs=1e-5)
            assert "random weights" in row["notes"]
            assert row["seconds"] > 0
    assert found.failures() == {"unreadable": 1}


def test_what_made_it_is_in_the_file(found: Predictions) -> None:
    again = read_predictions(found.folder / "p.parquet")
    assert again.table.equals(found.table)
    assert again.facts["detector"] == "npr"
    assert again.is_random
    assert again.facts["weights_sha256"] is None
    assert again.facts["rows"] == 8
    assert len(again.facts["manifest_sha256"]) == 64
    assert again.title == "npr (random)"


def test_masks_lie_beside_it_at_the_size_of_their_pictures(manifest: Manifest, tmp_path: Path) -> None:
    made = predict(manifest, NANO, tmp_path / "p.parquet", mask_bits=16)
    seen = judged(made, manifest)
    detector = NANO.load()
    for sample, path in zip(seen.manifest, seen.mask_paths(), strict=True):
        assert path is not None
        scores = read_scores(path)
        assert scores.shape == (sample.height, sample.width)
        said = detector.predict([read_picture(manifest.path_of(sample))])[0]
        assert said.mask is not None
        assert np.abs(scores - said.mask).max() < 1e-4


def test_masks_can_be_left_out(manifest: Manifest, tmp_path: Path) -> None:
    made = predict(manifest, NANO, tmp_path / "p.parquet", masks=False)
    assert made.table.column("mask_path").null_count == len(made)
    assert not (tmp_path / "p.masks").exists()


def test_it_goes_on_where_it_stopped(
    manifest: Manifest, found: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "CHUNK", 3)
    plain, asked = Detector.predict, []

    def until(self: Detector, pictures: list, **more: object) -> list[Prediction]:
        asked.append(len(pictures))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return plain(self, pictures, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "predict", until)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        predict(manifest, NPR, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()
    made = predict(manifest, NPR, tmp_path / "p.parquet")
    # Chunks of 3, 2 (a torn one is not asked about) and 2; the second was stopped, the first is not asked about again.
    assert asked == [3, 2, 2, 2]
    wanted = found.table.column("logit").to_pylist()
    assert made.table.column("logit").to_pylist() == pytest.approx(wanted, abs=1e-5, nan_ok=True)


def test_two_processes_say_the_same(manifest: Manifest, found: Predictions, tmp_path: Path) -> None:
    made = predict(manifest, NPR, tmp_path / "p.parquet", workers=2)
    assert made.table.column("logit").to_pylist() == pytest.approx(found.table.column("logit").to_pylist(), abs=1e-5)


def test_another_detector_wants_another_file(manifest: Manifest, found: Predictions) -> None:
    with pytest.raises(OtherPlan, match=r"settings\.asked"):
        predict(manifest, Asked(detector="npr", weights="random", seed=1), found.folder / "p.parquet")


def test_a_picture_that_is_refused_takes_no_other_along(
    manifest: Manifest, found: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Detector.predict

    def choosy(self: Detector, pictures: list, **more: object) -> list[Prediction]:
        if any(one.height == 64 for one in pictures):
            raise BadSetting("too flat for me")
        return plain(self, pictures, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "predict", choosy)
    made = predict(manifest, NPR, tmp_path / "p.parquet")
    assert made.failures() == {"refused": 2, "unreadable": 1}
    assert sum(one == "ok" for one in made.table.column("status").to_pylist()) == 5


def test_a_score_that_is_no_number_is_written_down(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Detector, "predict", lambda self, pictures, **_: [Prediction("", float("nan"), float("nan")) for _ in pictures]
    )
    made = predict(manifest, NPR, tmp_path / "p.parquet")
    assert made.failures() == {"not-a-number": 7, "unreadable": 1}


def test_truth_and_predictions_side_by_side(manifest: Manifest, found: Predictions) -> None:
    seen = judged(found, manifest)
    assert len(seen) == 7
    assert seen.left_out == {"unreadable": 1}
    by_path = {row["path"]: row for row in found.table.to_pylist()}
    for sample, logit, fake in zip(seen.manifest, seen.logit, seen.fake, strict=True):
        assert logit == by_path[sample.path]["logit"]
        assert fake == (sample.label == "edited")
    half = seen.where(seen.fake)
    assert half.fake.all()
    assert half.logit.tolist() == seen.logit[seen.fake].tolist()


def test_the_order_of_the_predictions_does_not_matter(manifest: Manifest, found: Predictions) -> None:
    turned = Predictions(found.table.take(pa.array(range(len(found) - 1, -1, -1))), found.folder, found.facts)
    assert judged(turned, manifest).logit.tolist() == judged(found, manifest).logit.tolist()


def test_what_does_not_fit_is_refused_with_names_and_counts(manifest: Manifest, found: Predictions) -> None:
    fewer = Predictions(found.table.slice(2), found.folder, found.facts)
    with pytest.raises(BadPredictions, match=r"2 of 8 pictures of the manifest have no prediction.*photo_000\.png"):
        judged(fewer, manifest)
    assert judged(fewer, manifest, partial=True).left_out == {"no prediction": 2, "unreadable": 1}
    twice = Predictions(pa.concat_tables([found.table, found.table.slice(0, 1)]), found.folder, found.facts)
    with pytest.raises(BadPredictions, match="1 pictures are predicted twice"):
        judged(twice, manifest)
    logits = [None, *found.table.column("logit").to_pylist()[1:]]
    column = pa.array(logits, pa.float64())
    hole = Predictions(found.table.set_column(2, "logit", column), found.folder, found.facts)
    with pytest.raises(BadPredictions, match=r"1 scores are not numbers.*photo_000\.png"):
        judged(hole, manifest)


def test_files_that_are_no_predictions(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BadPredictions, match="no such file"):
        read_predictions(tmp_path / "p.parquet")
    manifest.save(tmp_path / "m.parquet")
    with pytest.raises(BadPredictions, match="no predictions of ours"):
        read_predictions(tmp_path / "m.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(BadPredictions, match="not a Parquet file"):
        read_predictions(tmp_path / "text.parquet")
    with pytest.raises(BadSetting, match=r"saved as \.parquet"):
        predict(manifest, NPR, tmp_path / "p.csv")


@pytest.mark.parametrize("bits", [8, 16])
def test_one_half_stays_one_half(tmp_path: Path, bits: int) -> None:
    mask = np.array([[0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.0, np.nan]], np.float32)
    write_mask(tmp_path / "m.png", mask, bits=bits)
    scores = read_scores(tmp_path / "m.png")
    assert (scores > 0.5).tolist() == [[False, False, True, True, False]]


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(BadPredictions, match="grey PNG"):
        read_scores(tmp_path / "c.png")


def test_facts_are_json(found: Predictions) -> None:
    assert json.loads(json.dumps(dict(found.facts)))["manifest"] == "photos"
