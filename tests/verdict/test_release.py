"""Weights go into the package with their card and their judgement, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from fauxlens.core.errors import BadWeights
from fauxlens.core.files import sha256_of, write_json
from fauxlens.detectors import load
from fauxlens.detectors.store import embedded_folder
from fauxlens.verdict.fit import OWN
from fauxlens.verdict.judgement import judgement_for
from fauxlens.verdict.release import OURS, release
from findings_drawn import judgement

FACTS = ("recipe", "recipe_digest", "settings", "manifest", "manifest_digest", "licences", "epochs", "steps", "samples",
         "seconds", "validation", "written_by")  # fmt: skip


def trained(folder: Path, seed: int, start: str = "random") -> Path:
    """The folder of a training that is over."""
    folder.mkdir()
    save_file(load("fauxlens-small", "random", seed=seed).network.state_dict(), folder / "weights.safetensors")
    card = {"detector": "fauxlens-small", "setting": "context", "sha256": sha256_of(folder / "weights.safetensors")}
    write_json(folder / "card.json", {**card, **dict.fromkeys(FACTS, "x"), "settings": {"start": start}})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return trained(tmp_path / "run", 3)


def test_what_was_released_is_loaded_by_name_and_judged(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = sha256_of(run / "weights.safetensors")
    known = judgement(-1.0, 2.0, detector="fauxlens-small", sha256=sha256)
    replace(known, limits=(OWN, "Only phones.")).save(tmp_path / "judgement.json")
    stored = release(run, tmp_path / "judgement.json", store=tmp_path / "store")
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    detector = load("fauxlens-small")
    assert detector.weights.sha256 == stored.sha256
    (found,) = judgement_for(detector)
    assert (found.low, found.high, found.weights_sha256) == (-1.0, 2.0, stored.sha256)
    assert found.limits == (OURS, "Only phones."), "no user labelled what comes with the package"
    assert sorted(file.name for file in stored.folder.iterdir()) == [
        "card.json", "judgement-local_edit.json", "network.safetensors",
    ]  # fmt: skip
    assert json.loads((stored.folder / "card.json").read_text("utf-8"))["training"]["recipe"] == "x"
    mine, theirs = detector.network.state_dict(), load("fauxlens-small", "random", seed=3).network.state_dict()
    assert all(mine[name].equal(tensor) for name, tensor in theirs.items())


def test_a_training_that_went_on_from_another_tells_of_both(run: Path, tmp_path: Path) -> None:
    start = run / "weights.safetensors"
    head = trained(tmp_path / "head", 4, str(start))
    judgement(-1.0, 2.0, detector="fauxlens-small", sha256=sha256_of(head / "weights.safetensors")).save(
        tmp_path / "judgement.json"
    )
    stored = release(head, tmp_path / "judgement.json", first=run, store=tmp_path / "store")
    text = (stored.folder / "card.json").read_text("utf-8")
    told = json.loads(text)["training"]
    assert (told["recipe"], told["first"]["recipe"]) == ("x", "x")
    assert told["settings"]["start"] == f"weights {sha256_of(start)}"
    assert str(tmp_path) not in text
    for first, last in ((None, head), (run, run), (trained(tmp_path / "other", 5), head)):
        with pytest.raises(BadWeights, match=r"tells of every training|did not begin with"):
            release(last, tmp_path / "judgement.json", first=first, store=tmp_path / "store2")
    assert not (tmp_path / "store2").exists()


def test_a_judgement_of_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    judgement(-1.0, 2.0, detector="fauxlens-small", sha256="cd" * 32).save(tmp_path / "judgement.json")
    with pytest.raises(BadWeights, match="other weights"):
        release(run, tmp_path / "judgement.json", store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_weights_that_the_card_does_not_know_are_refused(run: Path, tmp_path: Path) -> None:
    save_file(load("fauxlens-small", "random", seed=4).network.state_dict(), run / "weights.safetensors")
    with pytest.raises(BadWeights, match="card of the run"):
        release(run, tmp_path / "judgement.json", store=tmp_path / "store")


def test_what_travels_with_the_package_is_whole() -> None:
    detector = load("fauxlens-small")
    assert detector.weights.sha256 is not None
    assert detector.weights.files[0].is_relative_to(embedded_folder())
    (found,) = judgement_for(detector)
    assert found.axis == "local_edit"
    assert found.high is not None
    assert found.low < found.high
    assert found.calibration.ece_after is not None
    assert found.calibration.ece_after < 0.05
    assert sum(file.stat().st_size for file in embedded_folder().rglob("*") if file.is_file()) < 16 << 20
