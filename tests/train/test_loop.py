"""The loop: in pieces as in one, killed as unharmed, in two processes as in one; and what may go wrong on the way."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import train_runs
from fauxlens.core.errors import BadSetting, Interrupted, OtherPlan, OutOfMemory, WorkError
from fauxlens.detectors import load
from fauxlens.manifest.manifest import Manifest
from fauxlens.train import checkpoint, loop
from fauxlens.train.journal import read_journal
from fauxlens.train.loop import NOT_A_NUMBER, _Run, train
from fauxlens.train.objectives import Teaching
from fauxlens.train.page import write_page
from fauxlens.train.ranks import Ranks
from fauxlens.train.status import status
from fauxlens.train.validate import pictures_of, validate
from train_runs import small_recipe, small_set, verdict_recipe, weights_of

pytestmark = pytest.mark.usefixtures("no_pages")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [one for one in lines if one["kind"] != "remark"]
    return [{k: v for k, v in one.items() if k not in ("images_per_second", "waited", "seconds")} for one in kept]


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    process = train_runs.started("killed", str(tmp_path), "2")
    said = train_runs.heard(process)
    assert process.returncode == -signal.SIGKILL, said
    # Then it is asked to stop, and the process that decodes for it too, as a queue of jobs or a terminal does.
    process = train_runs.started("stopped", str(tmp_path), "1")
    said = train_runs.heard(process)
    assert "Interrupted" in said
    assert "stopped at step 4" in said
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    manifest = small_set(tmp_path)
    recipe = small_recipe(average=0.9, running={"workers": 1, "save_minutes": 60.0, "log_every": 1})
    done = train(recipe, folder=tmp_path / "killed", manifest=manifest)
    whole = train(recipe, folder=tmp_path / "whole", manifest=manifest)
    assert "goes on at step 4" in done.remarks
    assert whole.remarks == ()
    assert done.finished
    assert whole.finished
    assert done.position.step == whole.position.step == 6
    assert same(weights_of(tmp_path / "killed"), weights_of(tmp_path / "whole"))
    before, after = (checkpoint.read(tmp_path / name / "checkpoint.pt") for name in ("killed", "whole"))
    assert same(before["network"], after["network"])
    assert same(before["average"]["state"], after["average"]["state"])
    assert not same(before["network"], before["average"]["state"])
    assert without_times(read_journal(tmp_path / "killed")) == without_times(read_journal(tmp_path / "whole"))


def test_the_page_of_a_run(manifest: Manifest, tmp_path: Path) -> None:
    train(verdict_recipe(validate={"best": "AUC"}), folder=tmp_path, manifest=manifest)
    page = write_page(tmp_path, verdict_recipe(), sentence="trained a little").read_text()
    assert "trained a little" in page
    assert page.count("<img ") == 4
    assert ">AUC</th>" in page


@pytest.mark.parametrize(("takes", "steps"), [(0.5, [2, 5, 8, 11]), (1.9, [2, 6, 10])])
def test_the_page_is_there_from_the_first_line_on_and_keeps_to_its_minute(
    takes: float, steps: list[int], manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    now = 1000.0

    def draws(*_: object, sentence: str) -> None:
        nonlocal now
        drawn.append(sentence.partition(":")[0])
        now += takes

    def passes(done: int, total: int | None, what: str) -> None:
        nonlocal now
        now += 25.0

    monkeypatch.setattr(loop, "write_page", draws)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now, perf_counter=time.perf_counter))
    recipe = verdict_recipe(epochs=4, running={"workers": 0, "log_every": 2})  # 12 steps, and checkpoints at the end
    train(recipe, folder=tmp_path / "run", manifest=manifest, progress=passes)
    # A step takes 25 seconds. Drawing that takes 1.9 has 95 to itself, a fiftieth of the time.
    assert drawn[:-1] == [f"Step {step}" for step in steps]
    assert drawn[-1].startswith("trained 4 epochs, 12 steps")
    drawn.clear()
    unseen = verdict_recipe(epochs=4, running={"workers": 0, "log_every": 2, "page": False})
    train(unseen, folder=tmp_path / "unseen", manifest=manifest, progress=passes)
    assert drawn == []


def test_a_piece_shorter_than_a_line_of_the_journal_has_one_all_the_same(manifest: Manifest, tmp_path: Path) -> None:
    recipe = verdict_recipe(epochs=4, running={"workers": 0, "log_every": 100})
    first = train(recipe, folder=tmp_path, manifest=manifest, steps=2)
    found = status(tmp_path)
    assert (found.done, found.total, found.samples, found.loss) == (2, 12, 8, first.loss)
    assert write_page(tmp_path, recipe, sentence="two steps").read_text().count("<img ") == 3

    def told_to_stop(done: int, total: int | None, what: str) -> None:
        if done == 16:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped at step 4"):
        train(recipe, folder=tmp_path, manifest=manifest, progress=told_to_stop)
    # Those of the ends of epochs come anyway, and no step has two.
    assert [one["step"] for one in read_journal(tmp_path) if one["kind"] == "steps"] == [2, 3, 4]
    train(recipe, folder=tmp_path, manifest=manifest, steps=2)
    assert [one["step"] for one in read_journal(tmp_path) if one["kind"] == "steps"] == [2, 3, 4, 6]


def test_pieces_are_the_whole_and_sigterm_is_one_more_piece(manifest: Manifest, tmp_path: Path) -> None:
    recipe = verdict_recipe(validate={"metrics": ["accuracy", "AUC"], "best": "AUC"})
    whole = train(recipe, folder=tmp_path / "whole", manifest=manifest)
    pieces = tmp_path / "pieces"
    first = train(recipe, folder=pieces, manifest=manifest, steps=2)
    assert (first.finished, first.position.step, first.weights) == (False, 2, None)

    def told_to_stop(done: int, total: int | None, what: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped at step 3"):
        train(recipe, folder=pieces, manifest=manifest, progress=told_to_stop)
    no_time = train(recipe, folder=pieces, manifest=manifest, minutes=0.0)
    assert (no_time.finished, no_time.position.step) == (False, 4)
    last = train(recipe, folder=pieces, manifest=manifest)
    assert last.finished
    assert same(weights_of(pieces), weights_of(tmp_path / "whole"))
    assert last.position.validated == whole.position.validated
    assert without_times(read_journal(pieces)) == without_times(read_journal(tmp_path / "whole"))
    # Asked again, a finished run has nothing to do.
    again = train(recipe, folder=pieces, manifest=manifest)
    assert (again.finished, again.position.step) == (True, 6)
    # What it gives loads as any other weights, and its card says what it is.
    detector = load("npr", pieces / "weights.safetensors")
    card = json.loads((pieces / "card.json").read_text())
    assert card["sha256"] == detector.weights.sha256
    assert (card["recipe"], card["steps"], card["samples"]) == ("small", 6, 24)
    assert len(list((pieces / "validation").glob("*.parquet"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_are_as_one(world: int, tmp_path: Path) -> None:
    port = train_runs.free_port()
    processes = [
        train_runs.started(
            "together", str(tmp_path), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
        )
        for rank in range(world)
    ]  # fmt: skip
    said = [train_runs.heard(process) for process in processes]
    assert [process.returncode for process in processes] == [0] * world, said
    found = [torch.load(tmp_path / f"found-{rank}.pt", weights_only=True) for rank in range(world)]

    manifest = small_set(tmp_path / "alone")
    recipe = small_recipe(validate={"best": "macro_f1"})
    run = _Run(recipe, tmp_path / "alone" / "run", manifest, Ranks())
    gradients, loss, order = train_runs.first_gradients(run)
    shares = zip(*(one["order"] for one in found), strict=True)
    assert [sum(share, ()) for share in shares] == order
    assert len(gradients) > 50
    largest = 0.0
    for one in found:
        assert one["gradients"].keys() == gradients.keys()
        for name, gradient in gradients.items():
            largest = max(largest, float((one["gradients"][name] - gradient).abs().max()))
    assert largest < 1e-6
    assert sum(one["loss"] for one in found) / world == pytest.approx(loss, abs=1e-6)

    plan = recipe.validate
    assert plan is not None
    pictures = pictures_of(manifest, plan)
    assert len(pictures) % world == 1  # one process has one picture more
    alone = validate(run.detector, pictures, plan, recipe.data, Ranks(), facts={})
    assert all(one["validated"] == found[0]["validated"] for one in found)
    for name, value in alone.items():
        assert found[0]["validated"][name] == pytest.approx(value, abs=1e-6), name
    assert [one["steps"] for one in found] == [6] * world
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_validation_asks_about_every_picture_once(manifest: Manifest, tmp_path: Path) -> None:
    recipe = small_recipe(validate={"metrics": ["accuracy", "AUC"], "best": ""})
    detector = recipe.build()
    assert recipe.validate is not None
    pictures = pictures_of(manifest, recipe.validate)
    found = validate(detector, pictures, recipe.validate, recipe.data, Ranks(), facts={}, save=tmp_path / "p.parquet")
    assert found["pictures"] == len(pictures) == 5
    from fauxlens.evaluate.predictions import judged, read_predictions
    from fauxlens.metrics.image import auc

    pairs = judged(read_predictions(tmp_path / "p.parquet"), pictures)
    assert found["AUC"] == auc(pairs.fake, pairs.probability)
    assert found["masks"] == 5
    # An edited picture whose truth nobody knows is left out of the numbers of masks, and of those alone.
    nobody = pictures.with_columns("no masks", {"mask_path": [None] * 5})
    found = validate(detector, nobody, recipe.validate, recipe.data, Ranks(), facts={})
    assert (found["pictures"], found["masks"]) == (5, 3)
    with pytest.raises(BadSetting, match="nothing to validate with"):
        pictures_of(manifest.where("train", [one == "train" for one in manifest.column("split").to_pylist()]),
                    recipe.validate)  # fmt: skip


def test_a_loss_that_is_no_number_names_the_pictures(manifest: Manifest, tmp_path: Path) -> None:
    recipe = verdict_recipe(optimiser={"name": "sgd", "rate": 1e30}, running={"workers": 0, "save_minutes": 0.0})
    with pytest.raises(WorkError, match="not a number"):
        train(recipe, folder=tmp_path, manifest=manifest)
    told = json.loads((tmp_path / NOT_A_NUMBER).read_text())
    assert len(told["batches"][0]["ids"]) == 4
    assert set(told["batches"][0]["ids"]) <= set(manifest.column("id").to_pylist())
    assert checkpoint.read(tmp_path / "checkpoint.pt")["position"]["step"] == told["step"]


def test_a_picture_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    manifest = small_set(tmp_path)
    path = tmp_path / "set" / "real" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    done = train(verdict_recipe(epochs=1), folder=tmp_path / "run", manifest=manifest)
    assert done.position.skipped == 1
    assert "1 picture could not be read;" in done.sentence
    skipped = [one for one in read_journal(tmp_path / "run") if one["kind"] == "skipped"]
    assert [one["id"] for one in skipped] == ["r1"]


def test_a_picture_that_cannot_be_read_counts_once_in_all_epochs_and_pieces(tmp_path: Path) -> None:
    manifest = small_set(tmp_path)
    for number in (1, 2):
        path = tmp_path / "set" / "real" / f"{number}.png"
        path.write_bytes(path.read_bytes()[:200])
    recipe = verdict_recipe(epochs=3, running={"workers": 0, "save_minutes": 0.0})
    run = tmp_path / "run"
    train(recipe, folder=run, manifest=manifest, steps=4)
    # Killed later than its checkpoint: the steps that are made again count what they meet once, too.
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder=run, manifest=manifest, steps=3, progress=interrupted)
    done = train(recipe, folder=run, manifest=manifest)
    assert done.finished
    assert done.position.skipped == 2
    assert "2 pictures could not be read;" in done.sentence
    reads = [one["id"] for one in read_journal(run) if one["kind"] == "skipped"]
    assert len(reads) > 2
    assert set(reads) == {"r1", "r2"}
    found = status(run)
    assert (found.failed, sum(found.failures.values())) == (2, 2)
    assert json.loads((run / "card.json").read_text())["skipped"] == 2
    # What is said of going on is said once a time.
    remarks = [one["text"] for one in read_journal(run) if one["kind"] == "remark"]
    assert remarks == ["goes on at step 4", "goes on at step 4"]
    assert done.remarks == ("goes on at step 4",)


def interrupted(done: int, total: int | None, what: str) -> None:
    """A progress that ends the training as nobody would ask it to."""
    raise KeyboardInterrupt


def test_a_process_that_decodes_and_dies_is_told(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> Any:
        yield from ()
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(loop, "loader", dies)
    with pytest.raises(WorkError, match="a process that decodes pictures died"):
        train(verdict_recipe(), folder=tmp_path, manifest=manifest)


def test_a_full_disk_leaves_the_checkpoint_before(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = verdict_recipe(epochs=1, running={"workers": 0, "save_minutes": 0.0})
    train(recipe, folder=tmp_path, manifest=manifest, steps=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    honest = torch.save

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WorkError, match=r"the one before \(checkpoint\.pt\) is as it was"):
        train(recipe, folder=tmp_path, manifest=manifest)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".part")] == []
    # It went on in the meantime: what failed on the way was a remark.
    remarks = [one["text"] for one in read_journal(tmp_path) if one["kind"] == "remark"]
    assert sum("could not be written" in one for one in remarks) == 2
    monkeypatch.setattr(torch, "save", honest)
    assert train(recipe, folder=tmp_path, manifest=manifest).finished


def test_without_memory_for_the_batch_it_goes_in_parts(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small_recipe(epochs=1, running={"workers": 0, "micro_batch": 1})
    train(small, folder=tmp_path / "asked", manifest=manifest)
    honest = Teaching.forward

    def limited(self: Teaching, image: torch.Tensor) -> Any:
        if len(image) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return honest(self, image)

    monkeypatch.setattr(Teaching, "forward", limited)
    done = train(small_recipe(epochs=1), folder=tmp_path / "forced", manifest=manifest)
    assert done.position.micro_batch == 1
    assert [one for one in done.remarks if "out of memory" in one] == [
        "out of memory with 4 pictures at once: goes on with 2",
        "out of memory with 2 pictures at once: goes on with 1",
    ]
    assert same(weights_of(tmp_path / "asked"), weights_of(tmp_path / "forced"))

    def never(self: Teaching, image: torch.Tensor) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Teaching, "forward", never)
    with pytest.raises(OutOfMemory, match="1 pictures at once"):
        train(small_recipe(epochs=1), folder=tmp_path / "hopeless", manifest=manifest)


@pytest.mark.parametrize("objective", ["detect", "supcon"])
def test_parts_of_a_batch_give_its_gradients(objective: str, manifest: Manifest, tmp_path: Path) -> None:
    data = {"show": "imagenet", "target": "generator", "classes": ["gan", "diffusion"], "copies": 2}
    alone = {"show": "imagenet"}
    several = [
        train_runs.first_gradients(
            _Run(
                verdict_recipe(
                    objective={"name": objective},
                    data=data if objective == "supcon" else alone,
                    augment_copy=[{"step": "noise", "variance": 5}] if objective == "supcon" else [],
                    running={"workers": 0, "micro_batch": micro},
                ),
                tmp_path,
                manifest,
                Ranks(),
            )
        )
        for micro in (4, 3)
    ]
    (whole, loss, _), (parts, other, _) = several
    assert other == pytest.approx(loss, rel=1e-5)
    assert whole.keys() == parts.keys()
    scale = max(float(one.abs().max()) for one in whole.values())
    assert scale > 0
    assert max(float((whole[name] - parts[name]).abs().max()) for name in whole) < 1e-5 * max(1.0, scale)


def test_a_plateau_ends_a_training(manifest: Manifest, tmp_path: Path) -> None:
    plan = {"shape": "plateau", "patience": 1, "gain": 10.0, "factor": 0.1, "stop_below": 5e-4}
    done = train(
        verdict_recipe(epochs=9, batch=12, schedule=plan, validate={"best": "accuracy"}), folder=tmp_path,
        manifest=manifest,
    )  # fmt: skip
    assert done.finished
    assert done.position.epoch == 3
    rates = [one["rate"] for one in read_journal(tmp_path) if one["kind"] == "steps"]
    assert rates == pytest.approx([0.01, 0.01, 0.001])


def test_narrower_numbers(manifest: Manifest, tmp_path: Path) -> None:
    narrow = train(verdict_recipe(precision="bfloat16"), folder=tmp_path / "b", manifest=manifest, steps=1)
    half = train(verdict_recipe(precision="float16"), folder=tmp_path / "h", manifest=manifest, steps=1)
    full = train(verdict_recipe(), folder=tmp_path / "f", manifest=manifest, steps=1)
    assert half.remarks == ("float16 is no help on a processor: computes in float32",)
    assert half.loss == full.loss
    assert narrow.loss != full.loss
    assert narrow.loss == pytest.approx(full.loss, abs=0.05)


def test_one_training_a_folder(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fauxlens.train.alone._DYING_SECONDS", 0.0)
    (tmp_path / ".checkpoint.pt.1-2.part").write_text("what a kill left")

    def another(done: int, total: int | None, what: str) -> None:
        with pytest.raises(WorkError, match="a training is going on"):
            train(verdict_recipe(), folder=tmp_path, manifest=manifest)

    train(verdict_recipe(), folder=tmp_path, manifest=manifest, steps=1, progress=another)
    assert not (tmp_path / ".checkpoint.pt.1-2.part").exists()


def test_what_it_began_with_is_not_asked_for_again(manifest: Manifest, tmp_path: Path) -> None:
    train(verdict_recipe(epochs=1), folder=tmp_path / "first", manifest=manifest)
    weights = tmp_path / "first" / "weights.safetensors"
    recipe = verdict_recipe(start=str(weights), epochs=1)
    again = train(recipe, folder=tmp_path / "second", manifest=manifest, steps=1)
    weights.unlink()
    assert train(recipe, folder=tmp_path / "second", manifest=manifest).finished
    assert again.loss != pytest.approx(0.0)


def test_another_recipe_or_manifest_is_refused_unless_allowed(manifest: Manifest, tmp_path: Path) -> None:
    recipe = verdict_recipe()
    train(recipe, folder=tmp_path, manifest=manifest, steps=1)
    other = verdict_recipe(optimiser={"name": "sgd", "rate": 0.02})
    with pytest.raises(OtherPlan, match=r"another recipe \(got optimiser\.rate: 0\.01 -> 0\.02\)"):
        train(other, folder=tmp_path, manifest=manifest, steps=1)
    with pytest.raises(BadSetting, match="holds a training already"):
        train(recipe, folder=tmp_path, manifest=manifest, resume=False)
    fewer = manifest.take("fewer", range(len(manifest) - 1))
    told = rf"wanted {manifest.name}: {len(manifest)} rows, \w{{12}}, got {fewer.name}: {len(fewer)} rows, \w{{12}}\)"
    with pytest.raises(OtherPlan, match=rf"another manifest \({told}"):
        train(recipe, folder=tmp_path, manifest=fewer, steps=1)
    done = train(other, folder=tmp_path, manifest=fewer, steps=1, other_recipe=True, other_data=True)
    assert done.position.step == 2
    assert any(one.startswith("goes on with another recipe: optimiser.rate: 0.01 -> 0.02") for one in done.remarks)
    assert "goes on with another manifest" in done.remarks
    # How fast it runs is no other recipe.
    train(verdict_recipe(optimiser={"name": "sgd", "rate": 0.02}, running={"workers": 1}), folder=tmp_path,
          manifest=fewer, steps=1)  # fmt: skip


def test_too_few_rows_begin_nothing(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=rf"{manifest.name}: an epoch is shorter than one batch .*--batch 12"):
        train(verdict_recipe(batch=64), folder=tmp_path, manifest=manifest)
    assert not (tmp_path / "log.jsonl").exists()
    assert train(verdict_recipe(epochs=1, batch=12), folder=tmp_path, manifest=manifest).finished


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="nothing to train on"):
        train(verdict_recipe(), folder=tmp_path)
