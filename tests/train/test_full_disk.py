"""A disk that is really full while a training runs: it goes on, and what was there before stays whole.

Two kinds of full: a size that no file may exceed, which needs no rights, and a small file system of memory, which needs
a system that lets a user have name spaces of his own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import train_runs
from fauxlens.core.errors import WorkError
from fauxlens.core.files import to_json_line
from fauxlens.train import checkpoint
from fauxlens.train.journal import JOURNAL, Journal, read_journal
from fauxlens.train.loop import train

resource = pytest.importorskip("resource", reason="limits of files are POSIX's")


def run(*words: str, before: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What a command of `train_runs` told, line for line."""
    paths = os.pathsep.join([str(train_runs.HERE.parent / "src"), str(train_runs.HERE)])
    done = subprocess.run(
        [*before, sys.executable, str(train_runs.HERE / "train_runs.py"), *words],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    # No file may be longer than 1 KiB after the first step: not weights, not checkpoint, not what was said of pictures.
    first, limited, room = run("limited", str(tmp_path), "1024")
    assert first["finished"] is False
    assert limited["error"] == "WorkError"
    assert limited["where"] == str(tmp_path / "run" / "checkpoint.pt")
    assert "the one before (checkpoint.pt) is as it was" in limited["said"]
    assert "make room on the disk; the same command goes on" in limited["hint"]
    assert limited["kept"] == first["kept"]  # the bytes of the checkpoint
    assert limited["parts"] == []
    # It went through both epochs, and told of everything that it could not keep.
    assert limited["step"] == 6
    for name in ("best.safetensors", "epoch-0001.parquet", "epoch-0002.parquet", "checkpoint.pt", "log.jsonl"):
        assert any(name in one for one in limited["remarks"]), (name, limited["remarks"])
    # With room again: on from the checkpoint to the end, with best weights and a journal without half lines.
    assert room["finished"] is True
    assert room["step"] == 6
    names = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"best.safetensors", "weights.safetensors", "card.json", "epoch-0002.parquet"} <= names
    lines = (tmp_path / "run" / JOURNAL).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if '"kind": "steps"' in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_a_full_file_system(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    alone = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=48m tmpfs "$0" && exec "$@"', str(small))
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no name spaces or no tmpfs for this user")
    first, filled, again, room = run("filled", str(tmp_path), before=alone)
    assert first["finished"] is False
    for one in (filled, again):
        assert one["error"] == "WorkError"
        assert one["where"] == str(small / "run" / "checkpoint.pt")
        assert "make room on the disk" in one["hint"]
        assert one["kept"] == first["kept"]
        assert one["parts"] == []
        assert any("best.safetensors" in remark for remark in one["remarks"])
        assert any(remark.startswith("goes on at step 1") for remark in one["remarks"])
    assert room["finished"] is True


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_the_first_line_on_a_full_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.symlink_to("/dev/full")
    journal.note("steps", 1, {"loss": 1.0})
    journal.note("steps", 2, {"loss": 0.5})
    assert len(journal.faults) == 1
    assert "No space left" in journal.faults[0]
    journal.path.unlink()
    journal.note("steps", 3, {"loss": 0.25})
    found = read_journal(tmp_path)
    assert [one["step"] for one in found] == [1, 1, 2, 3]
    assert [one["kind"] for one in found] == ["steps", "remark", "steps", "steps"]


def test_no_room_to_take_a_journal_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / JOURNAL
    path.write_text("".join(to_json_line({"kind": "steps", "step": step}) for step in (1, 2)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fauxlens.train.journal.write_text", full)
    Journal(tmp_path).rewind(1)  # nothing to write
    assert [one["step"] for one in read_journal(tmp_path)] == [1]
    # A line that a kill cut in the middle of the file is not only a matter of its end.
    path.write_text('{"kind": "ste\n' + path.read_text())
    with pytest.raises(WorkError, match=r"log\.jsonl: the journal could not be taken back.*No space left"):
        Journal(tmp_path).rewind(1)
    assert [one["step"] for one in read_journal(tmp_path)] == [1]


def test_the_folder_itself_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(WorkError, match="no room for what a training writes") as told:
        train(train_runs.verdict_recipe(), folder=tmp_path / "run")
    assert told.value.where == str(tmp_path / "run")
    assert told.value.hint is not None


def test_weights_that_cannot_be_written_are_our_error(tmp_path: Path) -> None:
    import torch

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkError, match="the weights could not be written; there were none before"):
        checkpoint.write_weights(tmp_path / "file" / "w.safetensors", {"w": torch.zeros(1)})
