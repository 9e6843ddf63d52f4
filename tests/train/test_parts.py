"""The learned parts of the forge through the verb of training: pieces, kills, refusals, and how far they are."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from drawn import drawn_picture
from fauxlens.core.errors import BadManifest, BadSetting, Interrupted, OtherPlan, WorkError
from fauxlens.core.recipes import recipe_path
from fauxlens.forge.create import fit_imprint, imprint_weights
from fauxlens.forge.create.imprint_weights import ImprintFile
from fauxlens.forge.create.learned import read_learned
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.train import parts, standing
from fauxlens.train.loop import train
from fauxlens.train.parts import PARTS, part_of, train_part
from fauxlens.train.standing import STANDING
from fauxlens.train.status import is_training, status
from train_runs import verdict_recipe

# What comes along, with every size brought down; the number of steps too.
SMALL = {
    "imprint": "steps = 3\ntoken_steps = 3\nbatch = 2\ncrop = 16\ntile = 24\ncheck_photos = 2\ncheck_side = 32\n"
    "tiles_each = 2\ncheckpoint_every = 1\n",
    "learned": "steps = 5\nbatch = 2\ncrop = 32\nshorter_side = 48\nwidest_crop = 40\ncritic_from = 1\nwarm_up = 2\n"
    "critic_channels = 4\ncheckpoint_seconds = 0\nheld_out_photos = 2\n[shape]\nchannels = 2\nblocks = 1\n",
}
STEPS = {"imprint": 6, "learned": 5}
FAMILIES = ("bilinear-x4-leaky-16", "tokens-x4-relu-40-vq")
WEIGHTS = {"imprint": "imprint.safetensors", "learned": "learned.safetensors"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return photos_in(tmp_path_factory.mktemp("photos"), 4)


@pytest.fixture(autouse=True)
def two_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two families, which is as many as it takes to see one after the other; and written as soon as told."""
    few = {name: fit_imprint.TRAINED[name] for name in FAMILIES}
    for module in (fit_imprint, imprint_weights, parts):
        monkeypatch.setattr(module, "TRAINED", few)
    # A few steps bring nothing back: they would be listed as unfit, and be in no file.
    for module in (fit_imprint, imprint_weights):
        monkeypatch.setattr(module, "FLOOR", 0.0)
    monkeypatch.setattr(standing, "_WRITE_SECONDS", 0.0)


def photos_in(root: Path, count: int) -> Manifest:
    """Drawn photos, two thirds of them to learn from."""
    rows = []
    for number in range(count + 2):
        name, split = f"{number}.png", "train" if number < count else "devtest"
        Image.fromarray(drawn_picture(56, 64) // 2 + 8 * number).save(root / name)
        rows.append(Sample(id=name, path=name, label="real", split=split, source="drawn", licence="CC0"))
    return Manifest.from_samples(rows, root, name="drawn")


def small(kind: str, folder: Path) -> Path:
    """The recipe that comes along, in miniature."""
    path = folder / f"{kind}.toml"
    path.write_text(f'extends = "{recipe_path(kind, "kind").as_posix()}"\n{SMALL[kind]}', encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", PARTS)
def test_two_steps_and_then_pieces_are_the_whole(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    assert part_of(kind) == kind
    recipe = small(kind, tmp_path)
    first = train_part(recipe, folder=tmp_path / "pieces", manifest=manifest, steps=2)
    assert (first.finished, first.position.step, first.position.samples, first.weights) == (False, 2, 4, None)
    assert math.isfinite(first.loss)
    assert first.written[0].is_file()
    assert "not finished yet; the same command goes on" in first.sentence
    no_time = train_part(recipe, folder=tmp_path / "pieces", manifest=manifest, minutes=0.0)
    assert (no_time.finished, no_time.position.step) == (False, 3)

    def told_to_stop(done: int, total: int | None, what: str) -> None:
        assert (total, what) == (STEPS[kind], f"training {kind}")
        if done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped at step 4"):
        train_part(recipe, folder=tmp_path / "pieces", manifest=manifest, progress=told_to_stop)
    last = train_part(recipe, folder=tmp_path / "pieces", manifest=manifest)
    whole = train_part(recipe, folder=tmp_path / "whole", manifest=manifest)
    assert last.finished
    assert last.remarks == ("goes on at step 4",)
    assert whole.remarks == ()
    assert last.position.step == whole.position.step == STEPS[kind]
    assert last.weights == tmp_path / "pieces" / WEIGHTS[kind]
    assert last.weights.read_bytes() == (tmp_path / "whole" / WEIGHTS[kind]).read_bytes()
    assert last.position.validated == whole.position.validated
    assert f"trained {'2 of 2 families, ' if kind == 'imprint' else ''}{STEPS[kind]} steps" in last.sentence
    # Asked again, a finished run has nothing to do.
    again = train_part(recipe, folder=tmp_path / "pieces", manifest=manifest)
    assert (again.finished, again.position.step) == (True, STEPS[kind])
    assert last.weights.read_bytes() == (tmp_path / "whole" / WEIGHTS[kind]).read_bytes()
    # The forge takes what came out.
    if kind == "learned":
        assert json.loads(whole.written[1].read_text())["steps"] == 5
        assert read_learned(tmp_path / "whole")[1]
        assert set(last.position.validated) == {"l1", "psnr_db", "roughness_ratio"}
    else:
        assert set(ImprintFile(tmp_path / "whole").fit) == set(FAMILIES)
        assert last.position.validated["families"] == 2


def test_the_whole_recipe_is_what_the_verb_reads(tmp_path: Path) -> None:
    imprint = parts.Imprint.begun(recipe_path("imprint", "kind"), {})
    assert imprint.plan == fit_imprint.read_plan(recipe_path("imprint", "kind"))
    assert imprint.steps == 4000 + 8000
    changed = parts.Learned.begun(recipe_path("learned", "kind"), {"seed": 3, "batch": 2})
    assert (changed.recipe.seed, changed.recipe.batch, changed.steps) == (3, 2, 3000)
    assert part_of("npr") is None
    with pytest.raises(BadSetting, match="trains no part of the forge"):
        train_part("npr", folder=tmp_path)
    with pytest.raises(BadSetting, match="nothing to train on"):
        train_part("learned", folder=tmp_path)
    with pytest.raises(BadSetting, match=r'a recipe of another kind \(wanted kind = "learned", got imprint\)'):
        parts.Learned.begun(recipe_path("imprint", "kind"), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", PARTS)
def test_what_it_may_not_go_on_with(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    recipe, folder = small(kind, tmp_path), tmp_path / "run"

    def go(**changed: Any) -> parts.TrainedPart:
        return train_part(recipe, **{"folder": folder, "manifest": manifest, "steps": 1, **changed})

    go()
    with pytest.raises(BadSetting, match="holds a training already"):
        go(resume=False)
    with pytest.raises(OtherPlan, match="begun with another recipe"):
        go(seed=7)
    (tmp_path / "more").mkdir()
    more = photos_in(tmp_path / "more", 5)
    with pytest.raises(OtherPlan, match="begun with another manifest"):
        go(manifest=more)
    assert go(manifest=more, other_data=True).remarks == ("goes on at step 1", "goes on with another manifest")
    other = "learned" if kind == "imprint" else "imprint"
    with pytest.raises(OtherPlan, match="a training of another kind"):
        train_part(small(other, tmp_path), folder=folder, manifest=manifest)
    with pytest.raises(OtherPlan, match="a training of another kind"):
        train(verdict_recipe(), folder=folder, manifest=manifest)
    (tmp_path / "detector").mkdir()
    (tmp_path / "detector" / "checkpoint.pt").touch()
    with pytest.raises(OtherPlan, match="a training of another kind"):
        go(folder=tmp_path / "detector")
    with pytest.raises(BadManifest, match="no real photo"):
        go(folder=tmp_path / "none", manifest=manifest.take("none to check with", list(range(4))))
    # Nothing was begun, so another manifest is no other run.
    assert go(folder=tmp_path / "none").remarks == ()


@pytest.mark.parametrize("kind", PARTS)
def test_a_manifest_with_the_usual_splits_will_do(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    usual = ["val" if split == "devtest" else "train" for split in manifest.column("split").to_pylist()]
    recipe = small(kind, tmp_path)
    found = train_part(recipe, folder=tmp_path / "run", manifest=manifest.with_columns("usual", {"split": usual}))
    assert found.finished
    card = json.loads(found.written[1].read_text())
    assert card["check" if kind == "imprint" else "held_out"]["split"] == "val"


@pytest.mark.slow
def test_a_kill_loses_nothing_but_the_step(manifest: Manifest, tmp_path: Path) -> None:
    recipe = small("learned", tmp_path)
    recipe.write_text(recipe.read_text().replace("steps = 5", "steps = 40"))
    manifest.save(tmp_path / "m.parquet")
    words = ["train", str(recipe), "-m", str(tmp_path / "m.parquet"), "--root", str(manifest.root), "-q"]
    process = subprocess.Popen([sys.executable, "-m", "fauxlens", *words, "-o", str(tmp_path / "killed")])
    log = tmp_path / "killed" / "log.jsonl"
    while process.poll() is None and not (log.is_file() and len(log.read_text().splitlines()) >= 3):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = status(tmp_path / "killed")
    assert not before.running
    assert not before.finished
    done = train_part(recipe, folder=tmp_path / "killed", manifest=manifest)
    train_part(recipe, folder=tmp_path / "whole", manifest=manifest)
    assert done.finished
    killed, whole = (tmp_path / name / WEIGHTS["learned"] for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(40))


@pytest.mark.parametrize("kind", PARTS)
def test_how_far_it_is(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    seen = []

    def look(done: int, total: int | None, what: str) -> None:
        seen.append(status(tmp_path / "run"))
        if len(seen) == 2:
            with pytest.raises(WorkError, match="a training is going on"):
                train_part(small(kind, tmp_path), folder=tmp_path / "run", manifest=manifest)

    recipe = small(kind, tmp_path)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("fauxlens.train.alone._DYING_SECONDS", 0.0)
    try:
        train_part(recipe, folder=tmp_path / "run", manifest=manifest, steps=3, progress=look)
    finally:
        monkey.undo()
    assert [one.done for one in seen] == [0, 1, 2, 3]
    assert all(one.running and not one.finished for one in seen)
    found = status(tmp_path / "run")
    assert (found.kind, found.recipe, found.running, found.finished) == (kind, kind, False, False)
    assert (found.done, found.total, found.samples, found.failed) == (3, STEPS[kind], 6, 0)
    assert found.rate is not None
    assert found.rate > 0
    assert found.samples_per_second == pytest.approx(2 * found.rate)
    assert found.seconds_left == pytest.approx((STEPS[kind] - 3) / found.rate)
    assert found.validated == {}
    train_part(recipe, folder=tmp_path / "run", manifest=manifest)
    found = status(tmp_path / "run")
    assert (found.finished, found.done, found.seconds_left) == (True, STEPS[kind], 0.0)
    assert found.validated
    (tmp_path / "run" / STANDING).write_text("{")
    assert is_training(tmp_path / "run")
    with pytest.raises(WorkError, match="is damaged"):
        status(tmp_path / "run")


def test_a_family_that_goes_on_keeps_one_line_a_step(manifest: Manifest, tmp_path: Path) -> None:
    family, plan = FAMILIES[0], fit_imprint.read_plan(small("imprint", tmp_path))
    monkey = pytest.MonkeyPatch()
    monkey.setattr(fit_imprint, "_LOG_EVERY", 1)
    photos = fit_imprint.photos_of(manifest, plan)
    try:
        assert fit_imprint.fit_family(family, plan, photos, tmp_path, halt=lambda fit: fit.step == 2) is None
        # As if it had been killed after a second step that no checkpoint knows of.
        fit = fit_imprint.Fit(family, plan)
        list(fit.advance(photos.tiles, 1))
        fit.save(tmp_path / f"{family}.part")
        with (tmp_path / "log.jsonl").open("a") as stream:
            stream.write('{"family": "bil')
        assert fit_imprint.fit_family(family, plan, photos, tmp_path) is not None
    finally:
        monkey.undo()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [one["step"] for one in lines if "step" in one] == [1, 2, 3]
    assert sum("done" in one for one in lines) == 1
