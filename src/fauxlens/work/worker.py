"""The life of a worker process: build the task once, then settle what the parent hands over.

A worker ends by itself when its parent is gone, so that a killed run leaves nobody behind who holds a shard.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import MutableSequence
from enum import StrEnum
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fauxlens.work import stop as stopping
from fauxlens.work.ledger import failure_of
from fauxlens.work.plan import read_plan
from fauxlens.work.shard import TASKS_RUN, Assignment, settle

_ORPHANED = 70


class Message(StrEnum):
    """What a worker tells its parent, each with one value: nothing, a Failure, a Failure, a Verdict."""

    READY = "ready"
    UNBUILT = "unbuilt"  # the task could not be built
    BROKEN = "broken"  # the plan or a ledger could not be read or written
    ENDED = "ended"  # an assignment ended


def serve(
    pipe: Connection,
    parent: int,
    folder: str,
    stop: MutableSequence[int],
    slot: MutableSequence[int],
    recycle_after: int | None,
) -> None:
    """Serve the process `parent` at the other end of `pipe`; `stop` and `slot` are memory shared with it."""
    stopping.ignore()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()

    def may_go_on() -> bool:
        if os.getppid() != parent:
            os._exit(_ORPHANED)
        return not stop[0] and (recycle_after is None or slot[TASKS_RUN] < recycle_after)

    # The parent may be gone at any line.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            plan = read_plan(Path(folder))
            task = plan.build_task()
        except BaseException as fault:
            pipe.send((Message.UNBUILT, failure_of(fault)))
            return
        pipe.send((Message.READY, None))
        while (assignment := _received(pipe)) is not None:
            try:
                verdict = settle(plan, assignment, task, slot=slot, may_go_on=may_go_on)
            except BaseException as fault:
                # What the task raises never gets here: this is the engine's own trouble, such as a full disk.
                pipe.send((Message.BROKEN, failure_of(fault)))
                return
            pipe.send((Message.ENDED, verdict))


def _received(pipe: Connection) -> Assignment | None:
    assignment: Assignment | None = pipe.recv()
    return assignment


def _end_with_the_parent() -> None:
    # A worker in the middle of a long or hanging sample does not come by `may_go_on`. It would keep the shard's lease.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(_ORPHANED)
