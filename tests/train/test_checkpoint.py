"""Checkpoints: whole or not at all, chance put back, damage and other runs told; and what is given away."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadWeights, WorkError
from fauxlens.core.files import sha256_of
from fauxlens.detectors import load
from fauxlens.manifest.manifest import Manifest
from fauxlens.train import checkpoint
from fauxlens.train.checkpoint import Position, manifest_digest, random_states, release, restore_chance
from fauxlens.train.journal import Journal, read_journal
from train_runs import small_set, verdict_recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return small_set(tmp_path_factory.mktemp("set"), 3, 1)


def drawn() -> tuple[float, float, float, float]:
    return float(torch.rand(1)), random.random(), float(np.random.rand()), float(np.random.randn())


def test_chance_goes_on_where_it_stood(tmp_path: Path) -> None:
    torch.rand(3)
    np.random.randn()  # leaves the second of a pair behind
    checkpoint.save(tmp_path / "c.pt", {"chance": [random_states(CPU)]})
    wanted = [drawn() for _ in range(3)]
    found = checkpoint.read(tmp_path / "c.pt")["chance"]
    assert restore_chance(found, 0, 1, CPU) == []
    assert [drawn() for _ in range(3)] == wanted
    assert "2 instead of 1 processes" in restore_chance(found, 1, 2, CPU)[0]


def test_a_damaged_or_newer_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadWeights, match="not a checkpoint"):
        checkpoint.read(path)
    torch.save({"network": {}}, path)
    with pytest.raises(BadWeights, match="not a checkpoint"):
        checkpoint.read(path)
    torch.save({"version": checkpoint.VERSION + 1}, path)
    with pytest.raises(BadWeights, match="newer fauxlens"):
        checkpoint.read(path)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (print, ("run",))

    torch.save({"version": 1, "what": Evil()}, path)
    with pytest.raises(BadWeights, match="not a checkpoint"):
        checkpoint.read(path)


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkError, match="there was none before"):
        checkpoint.save(tmp_path / "file" / "checkpoint.pt", {})


def test_the_digest_of_a_manifest_is_of_what_is_learnt_from(manifest: Manifest) -> None:
    digest = manifest_digest(manifest)
    assert manifest_digest(manifest.with_columns("a note", {"notes": ["x"] * len(manifest)})) == digest
    other = ["val"] * len(manifest)
    assert manifest_digest(manifest.with_columns("splits", {"split": other})) != digest
    assert manifest_digest(manifest.take("turned", range(len(manifest))[::-1])) != digest


def test_what_is_given_away_loads_and_says_what_it_is(manifest: Manifest, tmp_path: Path) -> None:
    recipe = verdict_recipe(seed=5)
    detector = recipe.build()
    paths = [
        release(folder, detector, recipe, manifest=manifest, digest=manifest_digest(manifest),
                position=Position(epoch=2, step=7, samples=28, validated={"AUC": 0.5}),
                state=detector.network.state_dict())
        for folder in (tmp_path / "one", tmp_path / "other")
    ]  # fmt: skip
    assert paths[0].read_bytes() == paths[1].read_bytes()
    back = load("npr", paths[0])
    assert not back.weights.is_random
    for name, tensor in detector.network.state_dict().items():
        assert back.network.state_dict()[name].equal(tensor), name
    card = json.loads((tmp_path / "one" / "card.json").read_text())
    assert card["sha256"] == sha256_of(paths[0])
    assert (card["detector"], card["steps"], card["validation"]) == ("npr", 7, {"AUC": 0.5})
    assert card["settings"]["seed"] == 5
    assert card["licences"] == ["unknown"]
    assert abs(date.today() - date.fromisoformat(card["date"])) <= timedelta(days=1)
    assert card["recipe_digest"] == recipe.digest
    assert card["manifest_digest"] == manifest_digest(manifest)


def test_a_journal_is_taken_back_to_a_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in range(1, 5):
        journal.note("steps", step, {"loss": float(step)})
    with journal.path.open("a") as stream:
        stream.write('{"kind": "steps", "step": 5, "lo')  # a power cut
    assert [one["step"] for one in read_journal(tmp_path)] == [1, 2, 3, 4]
    journal.rewind(2)
    journal.note("steps", 3, {"loss": float("nan")})
    assert [one["loss"] for one in read_journal(tmp_path)] == [1.0, 2.0, None]
    Journal(tmp_path / "elsewhere", writes=False).note("steps", 1, {})
    assert not (tmp_path / "elsewhere").exists()
