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
