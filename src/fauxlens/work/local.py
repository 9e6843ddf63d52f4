"""The launcher for this machine: worker processes, started anew (spawn), one shard each at a time.

Samples are not sent around: a worker reads its shard from the plan and writes its ledger itself. The parent knows what
each worker has in hand from three numbers in shared memory, so it can tell which sample a dead or hanging worker had.
That sample is put aside, tried once more at the end in a fresh worker that does nothing else (after a death: with no
other worker alive, as memory may have been short), and given up when that worker dies too. The run goes on.

With `workers=0` everything happens in this process: easiest to debug, but a sample that kills its process ends the run.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fauxlens.core.errors import WorkError
from fauxlens.work.ledger import Failure, failure_of
from fauxlens.work.plan import Plan, Task, read_plan
from fauxlens.work.shard import IN_FLIGHT, NOTHING, SETTLED, SLOT_LENGTH, TASKS_RUN, Assignment, Verdict, settle
from fauxlens.work.stop import Stop, held_back
from fauxlens.work.worker import Message, serve

if TYPE_CHECKING:
    from fauxlens.work.launch import Tell

_LOOK_EVERY_SECONDS = 0.1
_BUSY_AGAIN_SECONDS = 0.3
_GOODBYE_SECONDS = 10.0
_UNEXPLAINED_DEATHS = 3


def launch(
    folder: Path,
    shards: Sequence[int],
    *,
    workers: int,
    seconds_limit: float | None,
    recycle_after: int | None,
    tell: Tell,
    stop: Stop,
) -> None:
    """Make the completion records of `shards` appear (the contract is `Launcher`)."""
    plan = read_plan(folder)
    if workers == 0:
        _work_here(plan, shards, tell, stop)
        return
    with _Crew(plan, workers, seconds_limit, recycle_after, tell, stop) as crew:
        crew.run(shards)


def _work_here(plan: Plan, shards: Sequence[int], tell: Tell, stop: Stop) -> None:
    task = _built_here(plan)
    queue = deque(shards)
    busy_in_a_row = 0
    while queue and not stop.asked:
        shard = queue.popleft()
        slot = [NOTHING, 0, 0]

        def may_go_on(shard: int = shard, slot: list[int] = slot) -> bool:
            tell(shard, slot[SETTLED])
            return not stop.asked

        verdict = settle(plan, Assignment(shard), task, slot=slot, may_go_on=may_go_on)
        if verdict is not Verdict.BUSY:
            tell(shard, slot[SETTLED])
            busy_in_a_row = 0
            continue
        queue.append(shard)
        busy_in_a_row += 1
        if busy_in_a_row >= len(queue):
            time.sleep(_BUSY_AGAIN_SECONDS)


def _built_here(plan: Plan) -> Task:
    try:
        return plan.build_task()
    except Exception as fault:
        raise _unbuilt(plan, failure_of(fault)) from fault


@dataclass(eq=False)
class _Worker:
    """A worker process, as its parent sees it."""

    process: SpawnProcess
    pipe: Connection
    slot: MutableSequence[int]
    is_ready: bool = False
    is_late: bool = False  # killed for taking too long
    assignment: Assignment | None = None
    seen: tuple[int, int] = (NOTHING, 0)  # item in flight and tasks run, when last looked at
    since: float = 0.0  # since when it has been so


@dataclass(eq=False)
class _Waiting:
    """An assignment that nobody has."""

    assignment: Assignment
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class _Suspect:
    """An item that a worker had in hand when it died."""

    shard: int
    position: int
    is_late: bool


class _Crew:
    """The workers of one run and what is known of the items that they died of."""

    def __init__(
        self,
        plan: Plan,
        width: int,
        seconds_limit: float | None,
        recycle_after: int | None,
        tell: Tell,
        stop: Stop,
    ) -> None:
        self._plan = plan
        self._width = width
        self._seconds_limit = seconds_limit
        self._recycle_after = recycle_after
        self._tell = tell
        self._stop = stop
        self._context = get_context("spawn")
        self._stop_flag: MutableSequence[int] = self._context.RawArray("b", 1)
        self._look_every = min(_LOOK_EVERY_SECONDS, (seconds_limit or 1.0) / 4)
        self._workers: list[_Worker] = []
        self._queue: deque[_Waiting] = deque()
        self._open: set[int] = set()
        self._suspects: set[_Suspect] = set()
        self._given_up: dict[int, dict[int, Failure]] = {}
        self._unexplained_deaths = 0

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        self._dismiss(list(self._workers), is_hurried=fault is not None)

    def run(self, shards: Iterable[int]) -> None:
        """Go on until every shard has its completion record, or until told to stop."""
        self._open = set(shards)
        while self._open and not self._stop.asked:
            self._work_through([self._assignment(shard) for shard in sorted(self._open)], self._width, is_alone=False)
            suspects = sorted(self._suspects, key=lambda one: (one.shard, one.position))
            late = [Assignment(one.shard, only=one.position) for one in suspects if one.is_late]
            dead = [Assignment(one.shard, only=one.position) for one in suspects if not one.is_late]
            self._work_through(late, self._width, is_alone=True)
            self._work_through(dead, 1, is_alone=True)
            self._suspects.clear()

    def _assignment(self, shard: int) -> Assignment:
        skip = frozenset(one.position for one in self._suspects if one.shard == shard)
        return Assignment(shard, skip=skip, quarantined=self._given_up.get(shard, {}))

    def _work_through(self, assignments: list[Assignment], width: int, *, is_alone: bool) -> None:
        """Hand out assignments until none is left; `is_alone`: each to a worker that had and will have no other."""
        if not assignments:
            return
        if is_alone:
            self._dismiss(list(self._workers))
        self._queue.extend(_Waiting(assignment) for assignment in assignments)
        while self._queue or any(worker.assignment for worker in self._workers):
            if self._stop.asked:
                self._stop_flag[0] = 1
                self._queue.clear()
            self._hand_out(width, is_alone)
            wait([worker.pipe for worker in self._workers], self._look_every)
            for worker in list(self._workers):
                self._listen(worker, is_alone)
            for worker in list(self._workers):
                self._look_after(worker, is_alone)

    def _hand_out(self, width: int, is_alone: bool) -> None:
        at_work = sum(worker.assignment is not None for worker in self._workers)
        while len(self._workers) < min(width, at_work + len(self._queue)):
            self._workers.append(self._hire())
        now = time.monotonic()
        for worker in [one for one in self._workers if one.is_ready and one.assignment is None]:
            waiting = next((one for one in self._queue if one.not_before <= now), None)
            if waiting is None:
                return
            worker.slot[IN_FLIGHT], worker.slot[SETTLED] = NOTHING, 0
            try:
                worker.pipe.send(waiting.assignment)
            except OSError:
                continue  # it is dead, which is found out in a moment
            worker.assignment = waiting.assignment
            self._queue.remove(waiting)

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        slot: MutableSequence[int] = self._context.RawArray("q", SLOT_LENGTH)
        slot[IN_FLIGHT] = NOTHING
        stop = self._stop_flag
        arguments = (theirs, os.getpid(), str(self._plan.folder), stop, slot, self._recycle_after)
        process = self._context.Process(target=serve, args=arguments)
        with held_back():
            process.start()
        # Only the worker may hold its end, or its death would not end the conversation.
        theirs.close()
        return _Worker(process, ours, slot)

    def _listen(self, worker: _Worker, is_alone: bool) -> None:
        try:
            while worker in self._workers and worker.pipe.poll():
                message, value = worker.pipe.recv()
                if message == Message.READY:
                    worker.is_ready = True
                elif message == Message.UNBUILT:
                    raise _unbuilt(self._plan, value)
                elif message == Message.BROKEN:
                    raise WorkError(
                        f"a worker could not go on: {value.kind}: {value.message}",
                        where=self._plan.folder,
                        hint=value.hint or "put that right and run the same command again; it goes on where it stopped",
                    )
                else:
                    self._note(worker, value, is_alone)
        except (EOFError, ConnectionResetError):
            # It closed its end, so it is ending or dead.
            worker.process.join(_GOODBYE_SECONDS)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()

    def _note(self, worker: _Worker, verdict: Verdict, is_alone: bool) -> None:
        """Take down how a worker's assignment ended."""
        assignment, worker.assignment = worker.assignment, None
        if assignment is None:
            return
        self._unexplained_deaths = 0
        if verdict is Verdict.BUSY:
            self._queue.append(_Waiting(assignment, time.monotonic() + _BUSY_AGAIN_SECONDS))
        else:
            self._tell(assignment.shard, worker.slot[SETTLED])
        if verdict is Verdict.DONE:
            self._open.discard(assignment.shard)
        if verdict is Verdict.STOPPED and not self._stop.asked:
            self._queue.appendleft(_Waiting(assignment))
        has_run_enough = self._recycle_after is not None and worker.slot[TASKS_RUN] >= self._recycle_after
        if has_run_enough or (is_alone and verdict is not Verdict.BUSY):
            self._dismiss([worker])

    def _look_after(self, worker: _Worker, is_alone: bool) -> None:
        """See how a worker is: far along, late, or dead."""
        if worker.process.exitcode is not None:
            self._listen(worker, is_alone)  # it may have said something just before
            if worker in self._workers:
                self._bury(worker, is_alone)
            return
        if worker.assignment is None:
            return
        self._tell(worker.assignment.shard, worker.slot[SETTLED])
        now = time.monotonic()
        seen = worker.slot[IN_FLIGHT], worker.slot[TASKS_RUN]
        if seen != worker.seen or seen[0] == NOTHING:
            worker.seen, worker.since = seen, now
        elif self._seconds_limit is not None and now - worker.since > self._seconds_limit and not worker.is_late:
            worker.is_late = True
            worker.process.kill()

    def _bury(self, worker: _Worker, is_alone: bool) -> None:
        """Find out what a worker died of, and see that its assignment is taken up again."""
        self._workers.remove(worker)
        exit_code = worker.process.exitcode or 0
        worker.pipe.close()
        worker.process.close()
        assignment, position = worker.assignment, worker.slot[IN_FLIGHT]
        if assignment is None or position == NOTHING:
            self._unexplained_deaths += 1
            if self._unexplained_deaths >= _UNEXPLAINED_DEATHS:
                raise self._cannot_go_on(worker, exit_code)
        elif is_alone:
            given_up = _out_of_time(self._seconds_limit) if worker.is_late else _worker_died(exit_code)
            self._given_up.setdefault(assignment.shard, {})[position] = given_up
            return
        else:
            self._suspects.add(_Suspect(assignment.shard, position, worker.is_late))
        if assignment is not None:
            again = assignment if is_alone else self._assignment(assignment.shard)
            self._queue.appendleft(_Waiting(again))

    def _cannot_go_on(self, worker: _Worker, exit_code: int) -> WorkError:
        how = _how_it_ended(exit_code)
        if worker.is_ready:
            return WorkError(
                f"workers end between two samples: the last one {how}",
                where=self._plan.folder,
                hint="their own messages are on the error output; run the same command again to go on",
            )
        return WorkError(
            f"workers end before they are ready: the last one {how}",
            where=self._plan.task,
            hint="their own messages are on the error output. A script that starts a run must do so under "
            "`if __name__ == '__main__':`; `workers=0` builds the task in this process and shows what happens",
        )

    def _dismiss(self, workers: list[_Worker], *, is_hurried: bool = False) -> None:
        """Let workers go: those who wait are told; those at work or not ready, and in a hurry all, are ended."""
        for worker in workers:
            self._workers.remove(worker)
            if is_hurried or worker.assignment is not None or not worker.is_ready:
                worker.process.kill()
                continue
            try:
                worker.pipe.send(None)
            except OSError:
                worker.process.kill()
        for worker in workers:
            worker.process.join(_GOODBYE_SECONDS)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()


def _how_it_ended(exit_code: int) -> str:
    """An exit code in words.

    >>> _how_it_ended(3)
    'ended with exit code 3'
    """
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"


def _worker_died(exit_code: int) -> Failure:
    hint = "run this sample with workers=0 to see it happen"
    if exit_code == -9:
        hint = "often the system ran out of memory; " + hint
    return Failure("WorkerDied", f"the worker {_how_it_ended(exit_code)}, twice, the second time alone", hint)


def _out_of_time(seconds_limit: float | None) -> Failure:
    return Failure(
        "OutOfTime",
        f"took longer than {seconds_limit:g} s, twice, the second time alone",
        "allow more seconds, or leave the sample out",
    )


def _unbuilt(plan: Plan, failure: Failure) -> WorkError:
    return WorkError(
        f"the task could not be built: {failure.kind}: {failure.message}",
        where=plan.task,
        hint=failure.hint or "nothing was worked on; put that right and run the same command again",
    )
