"""How far the training of a detector is, by its folder alone; and the same numbers for TensorBoard."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fauxlens.core.errors import BadSetting, MissingExtra, WorkError
from fauxlens.manifest.manifest import Manifest
from fauxlens.train import loop
from fauxlens.train.board import FOLDER, Board
from fauxlens.train.journal import read_journal
from fauxlens.train.loop import train
from fauxlens.train.objectives import Losses
from fauxlens.train.status import TrainingStatus, is_training, status
from train_runs import small_set, verdict_recipe

pytestmark = pytest.mark.usefixtures("no_pages")


def test_a_training_tells_how_far_it_is(manifest: Manifest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert not is_training(run)
    with pytest.raises(BadSetting, match="no training was started"):
        status(run)
    recipe = verdict_recipe(validate={"best": "AUC"})
    seen: list[TrainingStatus] = []
    first = train(recipe, folder=run, manifest=manifest, steps=4, progress=lambda *_: seen.append(status(run)))
    assert [(one.done, one.running, one.finished) for one in seen] == [(n, True, False) for n in (1, 2, 3, 4)]
    found = status(run)
    assert (found.kind, found.recipe, found.done, found.total) == ("train", "small", 4, 6)
    assert (found.samples, found.epoch, found.loss) == (16, 1, first.loss)
    assert not found.running
    assert not found.finished
    assert not found.not_a_number
    # Each line is one step of four pictures here.
    speeds = [one["images_per_second"] for one in read_journal(run) if one["kind"] == "steps"]
    assert found.samples_per_second == pytest.approx(4 * 4 / sum(4 / one for one in speeds))
    assert found.rate == pytest.approx(found.samples_per_second / 4)
    assert found.seconds_left == pytest.approx(2 / found.rate)
    assert (found.validated_at, set(found.validated)) == (1, {"pictures", "left out", "accuracy", "AUC"})
    train(recipe, folder=run, manifest=manifest)
    found = status(run)
    assert (found.done, found.epoch, found.finished, found.running, found.seconds_left) == (6, 2, True, False, 0.0)
    assert found.validated_at == 2
    # With more epochs to go it has not ended any more.
    train(verdict_recipe(validate={"best": "AUC"}, epochs=3), folder=run, manifest=manifest, steps=1, other_recipe=True)
    found = status(run)
    assert (found.done, found.total, found.finished) == (7, 9, False)


def test_pictures_that_failed_and_a_loss_that_is_no_number(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = small_set(tmp_path)
    (tmp_path / "set" / "real" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    recipe = verdict_recipe(epochs=1)
    train(recipe, folder=tmp_path / "run", manifest=own)
    found = status(tmp_path / "run")
    assert found.failed == 1
    assert sum(found.failures.values()) == 1
    assert set(found.failures) <= {"truncated", "corrupt"}
    honest = loop._Run._gradients

    def no_number(self: loop._Run, *given: object) -> Losses:
        losses = honest(self, *given)  # type: ignore[arg-type]
        return Losses(losses.total * float("nan"), losses.parts) if self.position.step == 2 else losses

    monkeypatch.setattr(loop._Run, "_gradients", no_number)
    with pytest.raises(WorkError, match="the loss is not a number"):
        train(recipe, folder=tmp_path / "nan", manifest=manifest)
    found = status(tmp_path / "nan")
    assert (found.done, found.not_a_number, found.finished) == (2, True, False)
    monkeypatch.undo()
    monkeypatch.setattr(loop, "write_page", lambda *_, **__: None)
    train(recipe, folder=tmp_path / "nan", manifest=manifest)
    found = status(tmp_path / "nan")
    assert (found.finished, found.not_a_number) == (True, False)


def test_what_is_no_training(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"family": "bilinear", "step": 1}\n')
    assert not is_training(tmp_path)
    (tmp_path / "log.jsonl").write_text("torn")
    assert not is_training(tmp_path)
    begun = {"kind": "begin", "step": 0, "recipe": "npr"}
    (tmp_path / "log.jsonl").write_text(json.dumps(begun) + "\n")
    found = status(tmp_path)
    assert (found.recipe, found.done, found.total, found.rate, found.seconds_left) == ("npr", 0, None, None, None)
    # The journal of an older version says neither how many steps there are nor how many pictures.
    line = {"kind": "steps", "step": 10, "epoch": 0, "loss": 0.5, "images_per_second": 4.0}
    (tmp_path / "log.jsonl").write_text(f"{json.dumps(begun)}\n{json.dumps(line)}\n")
    found = status(tmp_path)
    assert (found.done, found.total, found.loss, found.rate) == (10, None, 0.5, None)


def test_logs_for_tensorboard(manifest: Manifest, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = verdict_recipe(validate={"best": "AUC"}, running={"workers": 0, "log_every": 1, "tensorboard": True})
    train(recipe, folder=tmp_path, manifest=manifest, steps=2)
    train(recipe, folder=tmp_path, manifest=manifest)
    told = EventAccumulator(str(tmp_path / FOLDER))
    told.Reload()
    lines = read_journal(tmp_path)
    steps = [one for one in lines if one["kind"] == "steps"]
    assert {"steps/loss", "steps/rate", "steps/images_per_second", "validation/AUC"} <= set(told.Tags()["scalars"])
    assert not {"steps/of", "steps/samples", "steps/epoch"} & set(told.Tags()["scalars"])
    for name in ("loss", "rate"):
        shown = [(one.step, one.value) for one in told.Scalars(f"steps/{name}")]
        assert shown == [(one["step"], pytest.approx(one[name])) for one in steps]
    checks = [one for one in lines if one["kind"] == "validation"]
    assert [one.step for one in told.Scalars("validation/AUC")] == [one["step"] for one in checks] == [3, 6]
    # It decides nothing, so a run may go on with it or without.
    assert recipe.digest == verdict_recipe(validate={"best": "AUC"}).digest


def test_a_disk_too_full_for_tensorboard_costs_no_more_than_its_logs(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    real: Any = SummaryWriter.add_scalar

    def filling(self: Any, name: str, value: float, step: int) -> None:
        if step > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, name, value, step)

    monkeypatch.setattr(SummaryWriter, "add_scalar", filling)
    recipe = verdict_recipe(running={"workers": 0, "log_every": 1, "tensorboard": True})
    done = train(recipe, folder=tmp_path, manifest=manifest)
    assert done.finished
    assert len([one for one in done.remarks if "TensorBoard" in one]) == 1
    steps = [one["step"] for one in read_journal(tmp_path) if one["kind"] == "steps"]
    assert steps == list(range(1, done.position.step + 1))
    assert done.position.step > 2


def test_steps_made_again_count_once_in_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for values in ((1, 2, 3, 4), (3, 4, 5)):  # killed after step 4, whose checkpoint was of step 2
        board = Board(tmp_path)
        board.note("remark", values[0] - 1, {"text": "no number in it"})
        for step in values:
            board.note("steps", step, {"loss": float(step), "name": "x", "best": True})
        board.close()
    told = EventAccumulator(str(tmp_path / FOLDER))
    told.Reload()
    assert told.Tags()["scalars"] == ["steps/loss"]
    assert [one.step for one in told.Scalars("steps/loss")] == [1, 2, 3, 4, 5]


def test_without_tensorboard_it_says_what_to_install(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    recipe = verdict_recipe(running={"workers": 0, "tensorboard": True})
    with pytest.raises(MissingExtra, match=r'needs tensorboard\. Next: pip install "fauxlens\[train\]"'):
        train(recipe, folder=tmp_path, manifest=manifest)
    assert not (tmp_path / "log.jsonl").exists()
    train(verdict_recipe(), folder=tmp_path, manifest=manifest, steps=1)
    assert not (tmp_path / FOLDER).exists()
