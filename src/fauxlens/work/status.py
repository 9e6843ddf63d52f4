"""How far a run is, told by its folder alone: while it runs, after it ended, from any machine that sees the folder."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fauxlens.work.lease import is_running
from fauxlens.work.ledger import completion_path, ledger_path, read_completion, read_ledger, tally
from fauxlens.work.plan import read_plan

# The rate is that of the latest pieces of work: an hour ago the pictures may have been others.
_LATEST_PIECES = 64


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is. Counts are of items unless they say otherwise."""

    folder: Path
    task: str
    total: int
    done: int  # ok, failed and quarantined together
    ok: int
    failed: int
    quarantined: int
    failures: Mapping[str, int]  # kind -> how many
    shards_done: int
    shards_total: int
    rate: float | None  # items a second while somebody worked, lately; None when nothing is known
    seconds_left: float | None  # at that rate; None when the rate is not known
    running: bool


def status(folder: Path) -> Status:
    """Read how far the plan in `folder` is. Changes nothing and disturbs nobody.

    `running` looks at the runs' lock. Where locks do not reach another machine, it means: written to lately.
    """
    plan = read_plan(folder)
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    pieces: list[_Piece] = []
    shards_done = 0
    last_written = 0.0
    for shard in range(plan.shard_count):
        record = read_completion(plan, shard)
        if record is not None:
            shards_done += 1
            statuses.update(ok=record.ok, failed=record.failed, quarantined=record.quarantined)
            failures.update(record.failures)
            end = datetime.datetime.fromisoformat(record.finished).timestamp()
            pieces.append(_Piece(end - record.seconds, end, record.rows))
            last_written = max(last_written, _written_at(completion_path(plan.folder, shard)))
            continue
        lines = read_ledger(plan, shard).values()
        if not lines:
            continue
        shard_statuses, shard_failures = tally(lines)
        statuses.update(shard_statuses)
        failures.update(shard_failures)
        end = max(line.at for line in lines)
        pieces.append(_Piece(end - sum(line.seconds for line in lines), end, len(lines)))
        last_written = max(last_written, _written_at(ledger_path(plan.folder, shard)))
    done = statuses.total()
    rate = _rate(pieces)
    return Status(
        folder=plan.folder,
        task=plan.task,
        total=plan.count,
        done=done,
        ok=statuses["ok"],
        failed=statuses["failed"],
        quarantined=statuses["quarantined"],
        failures=dict(sorted(failures.items())),
        shards_done=shards_done,
        shards_total=plan.shard_count,
        rate=rate,
        seconds_left=None if rate is None else (plan.count - done) / rate,
        running=is_running(plan.folder, last_written),
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """Items settled by one worker between two times."""

    start: float
    end: float
    rows: int


def _rate(pieces: list[_Piece]) -> float | None:
    """Items a second over the time in which at least one worker was at work; pauses between runs do not count.

    >>> _rate([_Piece(0, 10, 50), _Piece(5, 15, 50), _Piece(100, 105, 100)])
    10.0
    """
    latest = sorted(pieces, key=lambda piece: piece.end)[-_LATEST_PIECES:]
    busy = 0.0
    covered_to = float("-inf")
    for piece in sorted(latest, key=lambda piece: piece.start):
        busy += max(0.0, piece.end - max(piece.start, covered_to))
        covered_to = max(covered_to, piece.end)
    return sum(piece.rows for piece in latest) / busy if busy > 0 else None


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
