"""A picture through detectors: findings, errors that stop nothing, marks at the size of the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadSetting, NoWeights, OutOfMemory, UnreadableImage
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.images.encode import encode_png
from fauxlens.images.picture import read_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Finding, Opinion
from fauxlens.verdict.inspect import Plan, inspect_many, pictures_of
from fauxlens.verdict.judgement import place_in_store
from fauxlens.verdict.marks import heatmap_of, traced_of, with_marks
from fauxlens.verdict.stability import DELIVERIES
from findings_drawn import judgement
from landscapes import landscape


@pytest.fixture(scope="module")
def nano() -> Detector:
    return load("nfa-vit", "random", setting="nano")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=90)
    return tmp_path / "photo.jpg"


def one(path: Path, *detectors: Detector) -> Finding:
    return next(iter(inspect_many([path], detectors)))


def test_random_weights_say_nothing(nano: Detector, photo: Path) -> None:
    found = one(photo, nano)
    told = found.as_json()
    assert (told["status"], told["verdict"], told["reason"]) == ("ok", "inconclusive", RANDOM)
    assert (told["probability"], told["edited_share"], told["whole_image"], told["local_edit"]) == (None,) * 4
    assert (told["file"]["format"], told["file"]["jpeg_quality"], told["file"]["width"]) == ("jpeg", 90, 90)
    assert told["detectors"][0]["logit"] == found.opinions[0].prediction.logit is not None
    assert told["detectors"][0]["probability"] is None
    assert told["not_checked"][-1].startswith("SynthID")


def test_learnt_but_uncalibrated_weights_give_a_score_and_no_verdict(nano: Detector, photo: Path) -> None:
    before = nano.weights
    nano.weights = Loaded("mine", "ab" * 32)
    try:
        found = one(photo, nano)
    finally:
        nano.weights = before
    assert (found.verdict, found.reason) == ("inconclusive", UNCALIBRATED)
    mask = found.opinions[0].prediction.mask
    assert mask is not None
    assert found.edited_share == pytest.approx((mask > 0.5).mean())
    light = found.without_maps()
    assert light.opinions[0].prediction.mask is None
    assert light.as_json() == found.as_json()


def test_one_that_cannot_be_read_stops_nothing(nano: Detector, photo: Path) -> None:
    bad = photo.with_name("bad.jpg")
    bad.write_text("no picture", encoding="utf-8")
    found = list(inspect_many([bad, photo, photo.with_name("none.jpg")], [nano]))
    assert [one.as_json()["status"] for one in found] == ["error", "ok", "error"]
    assert isinstance(found[0].error, UnreadableImage)
    told = found[2].as_json()
    assert (told["verdict"], told["detectors"], told["error"]["message"][-12:]) == (None, [], "no such file")


def test_out_of_memory_is_told_of_the_picture(photo: Path, nano: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> object:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(nano, "logits", full)
    found = one(photo, nano)
    assert isinstance(found.error, OutOfMemory)
    assert str(photo) in found.as_json()["error"]["message"]


def test_what_is_wrong_for_all_pictures_is_raised(photo: Path) -> None:
    with pytest.raises(NoWeights, match="diffusion"):
        one(photo, load("dire", "random"))
    with pytest.raises(BadSetting, match="no detector"):
        one(photo)


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.JPG", "notes.txt", "in/c.webp"):
        (tmp_path / name).write_bytes(b"")
    names = [p.relative_to(tmp_path).as_posix() for p in pictures_of([tmp_path, tmp_path / "b.png"])]
    assert names == ["a.JPG", "b.png", "in/c.webp"]
    assert pictures_of([tmp_path / "*.png"]) == [tmp_path / "b.png"]
    assert pictures_of([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSetting, match="no pictures"):
        pictures_of([tmp_path / "empty"])
    with pytest.raises(BadSetting, match="matches no file"):
        pictures_of([tmp_path / "*.gif"])


def test_marks_are_at_the_size_of_the_picture_and_in_place(photo: Path, nano: Detector, tmp_path: Path) -> None:
    picture = read_picture(photo)
    mask = np.zeros((70, 90), np.float32)
    mask[:, :45] = 1
    found = one(photo, nano)
    said = replace(found.opinions[0].prediction, mask=mask, weights_sha256="ab" * 32)
    found = replace(found, opinions=(Opinion(said, "nano", "mine"),))
    marked = with_marks(found, picture, tmp_path / "out", 3)
    files = marked.marks["nfa-vit"]
    stored = cv2.imread(str(tmp_path / "out" / files["mask"]), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(stored, np.rint(mask * 255))
    heat = cv2.imread(str(tmp_path / "out" / files["heatmap"]), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(heat[:, 45:], picture.pixels[:, 45:])
    assert np.abs(heat[:, :45].astype(int) - picture.pixels[:, :45]).mean() > 20
    told = marked.as_json()
    assert (told["mask"], told["heatmap"]) == (files["mask"], files["heatmap"])
    outline = cv2.imread(str(tmp_path / "out" / files["outline"]), cv2.IMREAD_GRAYSCALE)
    assert outline.shape == mask.shape
    assert told["detectors"][0]["outline"] == files["outline"]
    assert marked.opinions[0].place == "along the left side"
    assert marked.picture is not None
    shown = cv2.imread(str(tmp_path / "out" / marked.picture), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(shown, picture.pixels)


def test_maps_of_the_evidence_are_files(photo: Path, nano: Detector, tmp_path: Path) -> None:
    map_ = np.tile(np.linspace(-1, 2, 90, dtype=np.float32), (70, 1))
    small = np.ones((3, 5), np.float32)
    evidence = (Evidence("ghost/../x", "One.", "", map=map_), Evidence("ghost/../x", "Two.", "", map=small))
    plain = Evidence("plain", "Three.", "", files={"sheet": "a.csv"})
    found = replace(one(photo, nano), evidence=(*evidence, plain))
    marked = with_marks(found, read_picture(photo), tmp_path / "out", 0)
    files = [one.files for one in marked.evidence]
    assert files == [
        {"map": "marks/0001-photo-map-ghost_.._x.png"},
        {"map": "marks/0001-photo-map-ghost_.._x-again.png"},
        {"sheet": "a.csv"},
    ]
    stored = cv2.imread(str(tmp_path / "out" / files[0]["map"]), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(stored, np.rint(np.clip(map_, 0, 1) * 255))
    assert cv2.imread(str(tmp_path / "out" / files[1]["map"]), cv2.IMREAD_GRAYSCALE).shape == (3, 5)


def test_a_strong_place_is_bright_and_a_weak_one_is_the_picture() -> None:
    pixels = np.full((2, 2, 3), 100, np.uint8)
    found = heatmap_of(pixels, np.array([[0, 0.5], [1, 1]], np.float32))
    assert found[0, 0].tolist() == [100, 100, 100]
    assert found[1, 0].sum() > found[0, 1].sum()


def test_a_trace_is_stretched_between_its_ends() -> None:
    trace = np.linspace(-7, 3, 10_000, dtype=np.float32).reshape(100, 100)
    found = traced_of(trace)
    assert (found.min(), found.max(), found.dtype) == (0, 1, np.float32)
    assert traced_of(np.full((4, 4), 2, np.float32)).max() == 0


def test_a_stored_judgement_draws_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "weights"))
    detector = load("fauxlens-small", "random")
    detector.weights = Loaded("mine", "ab" * 32)
    pixels = landscape(5, 160, 200)
    (tmp_path / "photo.png").write_bytes(encode_png(pixels))
    logit = detector.predict([pixels])[0].logit
    assert logit is not None
    bands = {
        "edited": (logit - 2, logit - 1),
        "no_sign": (logit + 1, logit + 2),
        "inconclusive": (logit - 1, logit + 1),
    }
    for wanted, (low, high) in bands.items():
        judgement(low, high, detector="fauxlens-small", sha256="ab" * 32).save(
            place_in_store("fauxlens-small", "ab" * 32, "local_edit")
        )
        found = one(tmp_path / "photo.png", detector)
        answer = found.answer("local_edit")
        assert answer is not None
        assert answer.verdict == wanted
        assert found.stability is not None
        assert len(found.stability.tried) == len(DELIVERIES)
        assert found.left is not None
        assert found.verdict in (wanted, "inconclusive")  # other rules may lower it
        told = found.as_json()
        assert told["local_edit"]["verdict"] == wanted
        assert told["whole_image"] is None
        assert any("whole picture was made by a generator" in one for one in found.not_checked)
    quick = next(iter(inspect_many([tmp_path / "photo.png"], [detector], plan=Plan(stability=(), provenance=False))))
    assert quick.stability is None
    assert quick.provenance == ()


def test_the_front_door_takes_one_picture(tmp_path: Path) -> None:
    import fauxlens

    (tmp_path / "photo.png").write_bytes(encode_png(landscape(5, 100, 120)))
    found = fauxlens.inspect(tmp_path / "photo.png", detector=load("fauxlens-small", "random"))
    assert (found.verdict, found.reason) == ("inconclusive", RANDOM)
    with pytest.raises(UnreadableImage):
        fauxlens.inspect(tmp_path / "none.png", detector=load("fauxlens-small", "random"))


def test_what_one_picture_is_guilty_of_stops_nothing(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8)))
    npr = load("npr", "random", options={"showing": "native"})
    found = list(inspect_many([tmp_path / "dot.png", photo], [npr]))
    assert [one.as_json()["status"] for one in found] == ["error", "ok"]
    assert "too small" in found[0].as_json()["error"]["message"]


def test_a_name_that_no_system_takes_is_told_not_raised(nano: Detector, photo: Path, tmp_path: Path) -> None:
    files = pictures_of([tmp_path / ("n" * 300), photo])
    assert [one.as_json()["status"] for one in inspect_many(files, [nano])] == ["error", "ok"]
