"""One shard, item by item: what every launcher does in the end, in whichever process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableSequence
from dataclasses import dataclass, field
from enum import StrEnum

from fauxlens.core.errors import WorkError
from fauxlens.core.seeds import seed_for
from fauxlens.work.canonical import canonical
from fauxlens.work.ledger import Failure, Outcome, disown, failure_of, open_ledger
from fauxlens.work.plan import Item, Plan, Task

# A slot is three numbers that the parent may read at any time, also after the worker's death.
IN_FLIGHT, SETTLED, TASKS_RUN = 0, 1, 2
SLOT_LENGTH = 3
NOTHING = -1
"""What `slot[IN_FLIGHT]` holds between two items."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A shard, and what is known about some of its items (by their position in it)."""

    shard: int
    only: int | None = None  # settle this item alone
    skip: frozenset[int] = frozenset()  # leave these for later
    quarantined: Mapping[int, Failure] = field(default_factory=dict)  # write these down as given up


class Verdict(StrEnum):
    """How an assignment ended."""

    DONE = "done"  # the completion record is there
    LEFT = "left"  # everything asked for is settled, but items of the shard are missing
    BUSY = "busy"  # another process holds the shard
    STOPPED = "stopped"  # `may_go_on` said no


def settle(
    plan: Plan,
    assignment: Assignment,
    task: Task,
    *,
    slot: MutableSequence[int],
    may_go_on: Callable[[], bool],
) -> Verdict:
    """Settle every item of a shard that has no outcome yet, and write the completion record when none is missing.

    `slot` is kept up to date (item in flight, items settled, tasks run); `may_go_on` is asked before each task.
    """
    with open_ledger(plan, assignment.shard) as ledger:
        if ledger is None:
            return Verdict.BUSY
        items = plan.items(assignment.shard)
        slot[SETTLED] = len(ledger.lines)
        if ledger.is_complete(items):
            return Verdict.DONE
        disown(plan, assignment.shard)
        for position, item in enumerate(items):
            is_asked_for = position not in assignment.skip and assignment.only in (None, position)
            if item.key in ledger.lines or not is_asked_for:
                continue
            if position in assignment.quarantined:
                ledger.append(Outcome(item.key, "quarantined", error=assignment.quarantined[position]))
                slot[SETTLED] = len(ledger.lines)
                continue
            if not may_go_on():
                return Verdict.STOPPED
            slot[IN_FLIGHT] = position
            ledger.append(attempt(plan, task, item))
            # Cleared after the line is written: a death in between finds the item settled when it is tried again.
            slot[IN_FLIGHT] = NOTHING
            slot[SETTLED] = len(ledger.lines)
            slot[TASKS_RUN] += 1
        if any(item.key not in ledger.lines for item in items):
            return Verdict.LEFT
        ledger.complete(items)
        return Verdict.DONE


def attempt(plan: Plan, task: Task, item: Item) -> Outcome:
    """Run the task on one item; what it raises becomes the outcome."""
    seed = seed_for(purpose="work", source=plan.task, image_id=item.key, method=plan.settings_sha256)
    start = time.perf_counter()
    try:
        result = task(item, seed)
        seconds = time.perf_counter() - start
        if not isinstance(result, Mapping):
            raise WorkError("a task must give a table", where=plan.task, wanted="a mapping", got=type(result).__name__)
        result = dict(result)
        try:
            canonical(result)
        except (TypeError, ValueError) as bad:
            raise WorkError(
                f"a result that is not JSON: {bad}",
                where=plan.task,
                hint="give plain numbers, texts, lists and tables; None for a value that is not a number",
            ) from bad
        return Outcome(item.key, "ok", result=result, seconds=seconds)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:
        # BaseException: a library that calls sys.exit, or that panics in Rust, must not end the run.
        return Outcome(item.key, "failed", error=failure_of(fault), seconds=time.perf_counter() - start)
