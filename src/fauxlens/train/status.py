"""How far a training is, told by its folder alone: while it runs, after it ended, from any machine that sees it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fauxlens.core.errors import BadSetting
from fauxlens.train.journal import END, JOURNAL, NOT_A_NUMBER, read_journal
from fauxlens.train.standing import STANDING, Standing, read_standing
from fauxlens.work.lease import is_running

_LATEST = 20  # lines of the journal that the rate is of: an hour ago the machine may have been busier
_NO_MEASURE = ("kind", "step", "epoch", "predictions", "best")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatus:
    """How far a training is. `done` and `total` are steps of the whole run."""

    folder: Path
    kind: str  # that of its recipe
    recipe: str
    done: int
    total: int | None  # None before the first line of a journal
    epoch: int
    samples: int
    failed: int  # pictures that could not be read, and were replaced; each counts once, however often it was tried
    failures: Mapping[str, int]  # reason -> how many
    loss: float | None
    rate: float | None  # steps a second, lately; None when nothing is known
    samples_per_second: float | None
    seconds_left: float | None  # at that rate
    validated: Mapping[str, float | None] = field(default_factory=dict)  # the last validation
    validated_at: int | None = None  # the epoch that it was after
    not_a_number: bool = False  # it ended at a loss that is no number, and has not got beyond
    finished: bool = False
    running: bool = False


def is_training(folder: Path) -> bool:
    """Whether the folder is that of `fauxlens train`."""
    folder = Path(folder)
    if (folder / STANDING).is_file():
        return True
    path = folder / JOURNAL
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        first = stream.readline()
    try:
        told = json.loads(first)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("kind") == "begin"


def status(folder: Path) -> TrainingStatus:
    """Read how far the training in `folder` is. Changes nothing and disturbs nobody."""
    folder = Path(folder)
    if not is_training(folder):
        raise BadSetting("no training was started in this folder", where=folder)
    standing = read_standing(folder)
    if standing is not None:
        return _of_part(folder, standing)
    lines = read_journal(folder)
    begun = next(one for one in lines if one["kind"] == "begin")
    steps = [one for one in lines if one["kind"] == "steps"]
    last: Mapping[str, Any] = steps[-1] if steps else {}
    done, total, samples = max(one["step"] for one in lines), last.get("of"), int(last.get("samples") or 0)
    pictures = _pictures_a_second(steps)
    # Lines come every few steps, a stop at any: what lies between has the same number of pictures each.
    batch = samples / last["step"] if samples else None
    rate = pictures / batch if pictures and batch else None
    check = next((one for one in reversed(lines) if one["kind"] == "validation"), None)
    # A picture is tried anew in every epoch, and counts once: for what was wrong the last time.
    reasons = {one["id"]: str(one["why"]).partition(":")[0] for one in lines if one["kind"] == "skipped"}
    failures = Counter(reasons.values())
    finished = lines[-1]["kind"] == END
    return TrainingStatus(
        folder=folder,
        kind="train",
        recipe=begun["recipe"],
        done=done,
        total=total,
        epoch=max(
            (int(one.get("epoch") or 0) for one in lines if one["kind"] in ("steps", "validation", END)), default=0
        ),
        samples=round(done * batch) if batch else 0,
        failed=sum(failures.values()),
        failures=dict(sorted(failures.items())),
        loss=last.get("loss"),
        rate=rate,
        samples_per_second=pictures,
        seconds_left=_left(done, total, rate, finished),
        validated={} if check is None else {name: one for name, one in check.items() if name not in _NO_MEASURE},
        validated_at=None if check is None else int(check["epoch"]),
        not_a_number=not finished and _stuck_at(folder) >= done,
        finished=finished,
        running=is_running(folder, (folder / JOURNAL).stat().st_mtime),
    )


def _of_part(folder: Path, at: Standing) -> TrainingStatus:
    """Of a learned part of the forge."""
    return TrainingStatus(
        folder=folder,
        kind=at.kind,
        recipe=at.recipe,
        done=at.done,
        total=at.total,
        epoch=0,
        samples=at.samples,
        failed=0,  # a photo that cannot be read ends such a training before its first step
        failures={},
        loss=at.loss,
        rate=at.rate,
        samples_per_second=at.rate * at.samples / at.done if at.rate and at.done else None,
        seconds_left=_left(at.done, at.total, at.rate, at.finished),
        validated=dict(at.validated),
        finished=at.finished,
        running=is_running(folder, (folder / STANDING).stat().st_mtime),
    )


def _left(done: int, total: int | None, rate: float | None, finished: bool) -> float | None:
    if finished:
        return 0.0
    return max(0, total - done) / rate if rate and total is not None else None


def _pictures_a_second(steps: list[dict[str, Any]]) -> float | None:
    """Over the latest lines: pictures by the time they took, so that a slow line counts by its length."""
    latest = [one for one in steps[-_LATEST - 1 :] if one.get("images_per_second") and one.get("samples")]
    pictures = seconds = 0.0
    before = 0 if len(steps) <= _LATEST else None
    for one in latest:
        if before is not None and one["samples"] > before:
            pictures += one["samples"] - before
            seconds += (one["samples"] - before) / one["images_per_second"]
        before = one["samples"]
    return pictures / seconds if seconds else None


def _stuck_at(folder: Path) -> int:
    """The step at which a loss was no number; -1 where none was."""
    try:
        return int(json.loads((folder / NOT_A_NUMBER).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError):
        return -1
