"""Run a plan to its end, on whatever there is to run it on, and read what came of it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fauxlens.core.errors import BadSetting, Interrupted, WorkError
from fauxlens.core.names import look_up
from fauxlens.core.progress import Progress, silent
from fauxlens.work.lease import announced
from fauxlens.work.ledger import Completion, Outcome, completion_path, is_believed, read_completion, read_ledger
from fauxlens.work.plan import Plan, read_plan
from fauxlens.work.stop import Stop, listening

_TELL_EVERY_SECONDS = 0.1

LAUNCHERS = {"local": "fauxlens.work.local:launch"}
"""Name -> where the `Launcher` is."""


class Tell(Protocol):
    """How a launcher says how far it is."""

    def __call__(self, shard: int, settled: int) -> None:
        """Take note that `settled` items of `shard` have an outcome by now."""


class Launcher(Protocol):
    """Given a folder and the shard numbers still open, make completion records appear.

    Each shard is settled by `fauxlens.work.shard.settle` (or by `run_shard` as a command of its own), in any process
    on any machine that sees the folder; that takes the shard's lease, skips what is done, and writes the record. A
    launcher returns when every shard has its record, or soon after `stop.asked` became true, with the samples in hand
    finished; it raises WorkError when it cannot go on. It keeps nothing that is not in the folder. It may be called
    while another launcher works on the same shards: `Verdict.BUSY` means to come back later.
    """

    def __call__(
        self,
        folder: Path,
        shards: Sequence[int],
        *,
        workers: int,
        seconds_limit: float | None,
        recycle_after: int | None,
        tell: Tell,
        stop: Stop,
    ) -> None:
        """Work on `shards` of the plan in `folder`; `tell` now and then how far each is."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a plan, when all of it is done."""

    folder: Path
    total: int
    ok: int
    failed: int
    quarantined: int
    failures: dict[str, int]  # kind -> how many, failed and quarantined together
    results_sha256: str  # the same for the same plan, however it was run
    seconds: float  # this run's own time on the clock
    settled_before: int  # items that had an outcome when this run began
    disbelieved: tuple[int, ...]  # shards whose completion record did not fit, and which were completed again


def run(
    folder: Path,
    *,
    workers: int,
    progress: Progress = silent,
    launcher: str = "local",
    seconds_limit: float | None = None,
    recycle_after: int | None = None,
) -> Summary:
    """Do what is left of the plan in `folder`; the same call goes on after any kind of end.

    `workers=0` works in this process. `seconds_limit` is for one sample; `recycle_after` is the number of samples after
    which a worker is replaced by a fresh one. Samples that fail are counted in the summary and do not end the run.
    """
    # Absolute, because a task may change the working folder of its process.
    plan = read_plan(Path(folder).absolute())
    _check(workers, seconds_limit, recycle_after)
    plan.check_items()
    started = time.monotonic()
    shards = range(plan.shard_count)
    records, disbelieved = _believed(plan, shards)
    settled_before = _run_open(plan, shards, records, workers, progress, launcher, seconds_limit, recycle_after)
    digest = hashlib.sha256()
    failures: Counter[str] = Counter()
    records = {shard: _finished(plan, shard) for shard in shards}
    for record in records.values():
        digest.update(bytes.fromhex(record.results_sha256))
        failures.update(record.failures)
    return Summary(
        folder=plan.folder,
        total=plan.count,
        ok=sum(record.ok for record in records.values()),
        failed=sum(record.failed for record in records.values()),
        quarantined=sum(record.quarantined for record in records.values()),
        failures=dict(sorted(failures.items())),
        results_sha256=digest.hexdigest(),
        seconds=time.monotonic() - started,
        settled_before=settled_before,
        disbelieved=disbelieved,
    )


def run_shard(
    folder: Path,
    shard: int,
    *,
    workers: int = 1,
    progress: Progress = silent,
    seconds_limit: float | None = None,
    recycle_after: int | None = None,
) -> Completion:
    """Do what is left of one shard: one command of an array job, whose index is the shard's number.

    A shard that another process works on is waited for. `workers=0` works in this process, where a sample that kills
    its process cannot be given up.
    """
    plan = read_plan(Path(folder).absolute())
    _check(workers, seconds_limit, recycle_after)
    if not 0 <= shard < plan.shard_count:
        raise WorkError("no such shard", where=folder, wanted=f"0 to {plan.shard_count - 1}", got=shard)
    records, _ = _believed(plan, [shard])
    _run_open(plan, [shard], records, workers, progress, "local", seconds_limit, recycle_after)
    return _finished(plan, shard)


def results(folder: Path, *, partial: bool = False) -> Iterator[Outcome]:
    """Every item's outcome, in item order, each exactly once.

    A plan that is not done is refused; `partial` takes what there is.
    """
    plan = read_plan(folder)
    if not partial:
        for shard in range(plan.shard_count):
            _finished(plan, shard)
    return _outcomes(plan, partial)


def _outcomes(plan: Plan, partial: bool) -> Iterator[Outcome]:
    for shard in range(plan.shard_count):
        if not partial and not is_believed(plan, _finished(plan, shard)):
            raise WorkError(
                f"the completion record of shard {shard} does not fit its ledger",
                where=plan.folder,
                hint="run the same command again, which redoes what is missing",
            )
        lines = read_ledger(plan, shard)
        yield from (lines[item.key].outcome() for item in plan.items(shard) if item.key in lines)


def _finished(plan: Plan, shard: int) -> Completion:
    record = read_completion(plan, shard)
    if record is None:
        raise WorkError(
            f"shard {shard} of {plan.shard_count} is not done",
            where=plan.folder,
            hint="run the same command again to go on, or ask for partial results",
        )
    return record


def _check(workers: int, seconds_limit: float | None, recycle_after: int | None) -> None:
    if workers < 0:
        raise BadSetting("a negative number of workers", wanted="0 (in this process) or more", got=workers)
    if seconds_limit is not None and not seconds_limit > 0:
        raise BadSetting("seconds_limit must be positive", wanted="more than 0, or None", got=seconds_limit)
    if seconds_limit is not None and workers == 0:
        raise BadSetting(
            "seconds_limit needs a worker that can be ended", wanted="workers of 1 or more", got="workers=0"
        )
    if recycle_after is not None and recycle_after < 1:
        raise BadSetting("recycle_after must be positive", wanted="1 or more, or None", got=recycle_after)


def _believed(plan: Plan, shards: Sequence[int]) -> tuple[dict[int, Completion], tuple[int, ...]]:
    """-> (the completion records that tell the truth, the shards whose record does not)."""
    believed: dict[int, Completion] = {}
    disbelieved = []
    for shard in shards:
        record = read_completion(plan, shard)
        if record is not None and is_believed(plan, record):
            believed[shard] = record
        elif completion_path(plan.folder, shard).exists():
            disbelieved.append(shard)
    return believed, tuple(disbelieved)


def _run_open(
    plan: Plan,
    shards: Sequence[int],
    records: dict[int, Completion],
    workers: int,
    progress: Progress,
    launcher: str,
    seconds_limit: float | None,
    recycle_after: int | None,
) -> int:
    """Launch what has no record; -> items that had an outcome before."""
    launch: Launcher = look_up(LAUNCHERS, launcher, "launcher")
    still_open = [shard for shard in shards if shard not in records]
    settled = {shard: len(read_ledger(plan, shard)) for shard in still_open}
    before = sum(settled.values()) + sum(record.rows for record in records.values())
    counter = _Counter(progress, before, sum(plan.rows(shard) for shard in shards), settled)
    if not still_open:
        counter.say()
        return before
    try:
        with listening() as stop, announced(plan.folder):
            counter.say()
            launch(
                plan.folder,
                still_open,
                workers=workers,
                seconds_limit=seconds_limit,
                recycle_after=recycle_after,
                tell=counter,
                stop=stop,
            )
            counter.say()
    except KeyboardInterrupt:
        raise _interrupted(plan, counter) from None
    if stop.asked:
        raise _interrupted(plan, counter)
    return before


def _interrupted(plan: Plan, counter: _Counter) -> Interrupted:
    return Interrupted(
        f"stopped at {counter.done} of {counter.total}; everything done so far is kept",
        where=plan.folder,
        hint="run the same command again; it goes on where it stopped",
    )


class _Counter:
    """Turns what launchers tell of shards into progress, which never goes back."""

    def __init__(self, progress: Progress, done: int, total: int, settled: dict[int, int]) -> None:
        self.done = done
        self.total = total
        self._progress = progress
        self._settled = settled
        self._said = time.monotonic()

    def __call__(self, shard: int, settled: int) -> None:
        if settled <= self._settled[shard]:
            return
        self.done += settled - self._settled[shard]
        self._settled[shard] = settled
        if time.monotonic() - self._said >= _TELL_EVERY_SECONDS:
            self.say()

    def say(self) -> None:
        self._said = time.monotonic()
        self._progress(self.done, self.total, "working")
