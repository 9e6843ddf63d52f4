"""`fauxlens train`: pieces, the end, JSON, refusals, and going on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.schema import parsed
from train_runs import small_set

RECIPE = """
kind = "train"
name = "small"
detector = "npr"
epochs = 2
batch = 4
[data]
show = "imagenet"
[[augment]]
step = "crop"
side = 32
[objective]
name = "detect"
[validate]
best = "AUC"
[running]
workers = 0
"""


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """A recipe, a manifest and a folder, as words."""
    (tmp_path / "small.toml").write_text(RECIPE)
    small_set(tmp_path, 6).save(tmp_path / "m.parquet")
    return [
        "train", str(tmp_path / "small.toml"), "--manifest", str(tmp_path / "m.parquet"), "-o", str(tmp_path / "run"),
    ]  # fmt: skip


def test_it_trains_in_pieces_to_the_end(given: list[str], tmp_path: Path, run: Run) -> None:
    first = run(*given, "--steps", "1", "--json")
    found = parsed(first.out, "train")
    assert (first.code, found["finished"], found["step"], found["weights"]) == (0, False, 1, None)
    last = run(*given)
    assert last.code == 0
    assert "trained 2 epochs" in last.out
    assert "weights.safetensors" in last.out
    assert (tmp_path / "run" / "training.html").is_file()
    done = parsed(run(*given, "--json").out, "train")
    assert done["finished"]
    assert done["validated"]["pictures"] > 0


def test_wrong_use(given: list[str], tmp_path: Path, run: Run) -> None:
    assert run(*given, "--steps", "1", "--quiet").code == 0
    other = run(*given, "--seed", "5")
    assert (other.code, other.out) == (2, "")
    assert "begun with another recipe (got seed: 42 -> 5" in other.err
    assert "--other-recipe" in other.err
    assert run("train", "nprr", "-o", str(tmp_path / "x")).code == 2
    nothing = run("train", "npr", "-o", str(tmp_path / "x"))
    assert nothing.code == 2
    assert "there is nothing to train on" in nothing.err
    head = run("train", "imaginet-head", *given[2:4], "-o", str(tmp_path / "x"))
    assert head.code == 2
    assert "--start FOLDER/weights.safetensors" in head.err


def test_status_of_a_training(given: list[str], tmp_path: Path, run: Run) -> None:
    run(*given, "--steps", "2", "--quiet")
    plain = run("status", tmp_path / "run")
    assert plain.code == 0
    assert plain.out.startswith("training small: 2 of 4 steps done (50%), 0 pictures failed\nnot finished, not running")
    assert "pictures/s, " in plain.out
    assert plain.out.endswith("it goes on when the same command is given again\n")
    found = parsed(run("status", tmp_path / "run", "--json").out, "status TRAINING")
    assert (found["recipe"], found["done"], found["total"], found["running"]) == ("small", 2, 4, False)
    run(*given, "--quiet")
    done = run("status", tmp_path / "run").out
    assert "4 of 4 steps done (100%)" in done
    assert "\nfinished, not running; loss " in done
    assert "last validation (epoch 2): " in done
    assert "AUC " in done
    assert "goes on" not in done


LEARNED = """
kind = "learned"
steps = 3
batch = 2
crop = 32
shorter_side = 48
widest_crop = 40
held_out_split = "val"
critic_from = 1
critic_channels = 4
[shape]
channels = 2
blocks = 1
"""


def test_a_part_of_the_forge(given: list[str], tmp_path: Path, run: Run) -> None:
    (tmp_path / "inpainter.toml").write_text(LEARNED)
    given = ["train", str(tmp_path / "inpainter.toml"), *given[2:]]
    first = run(*given, "--steps", "1", "--json")
    found = parsed(first.out, "train")
    assert (first.code, found["finished"], found["step"], found["samples"]) == (0, False, 1, 2)
    assert found["weights"] is None
    how_far = parsed(run("status", tmp_path / "run", "--json").out, "status TRAINING")
    assert (how_far["kind"], how_far["recipe"], how_far["done"], how_far["total"]) == ("learned", "inpainter", 1, 3)
    assert run("status", tmp_path / "run").out.startswith("training inpainter (learned): 1 of 3 steps done (33%)")
    last = run(*given)
    assert last.code == 0
    assert "trained 3 steps, 6 crops; loss " in last.out
    assert f"wrote {tmp_path / 'run' / 'learned.safetensors'} and {tmp_path / 'run' / 'learned.json'}" in last.out
    assert "goes on at step 1" in last.err
    assert parsed(run(*given, "--json").out, "train")["validated"]["psnr_db"] > 0


@pytest.mark.parametrize(
    "words", ["--epochs 2", "--start random", "--workers 0", "--micro-batch 1", "--device cuda", "--cache x",
              "--other-recipe", "--tensorboard"],
)  # fmt: skip
def test_options_that_mean_nothing_to_a_part(words: str, tmp_path: Path, run: Run) -> None:
    said = run("train", "imprint", "-o", tmp_path / "run", *words.split())
    assert (said.code, said.out) == (2, "")
    assert f"in one process on a processor, by a recipe that counts steps (got {words.split()[0]})" in said.err
    assert "--minutes, --steps, --batch, --seed" in said.err
    assert not (tmp_path / "run").exists()
