"""Samples can be done again: those that failed for a reason that is gone, and those whose input has changed since."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from fauxlens.core.errors import WorkError
from fauxlens.work.lease import undisturbed
from fauxlens.work.ledger import STATUSES, Outcome, completion_path, open_ledger
from fauxlens.work.plan import read_plan


def reopen(
    folder: Path,
    *,
    statuses: Collection[str] = ("failed", "quarantined"),
    which: Callable[[Outcome], bool] | None = None,
) -> int:
    """Take back the outcomes with one of `statuses`, so that the next run does those samples again; -> how many.

    With `which`, those it says yes to are taken back instead, whatever their status.
    """
    unknown = sorted({*statuses} - {*STATUSES})
    if unknown:
        raise WorkError("no such status", where=folder, wanted=f"some of {', '.join(STATUSES)}", got=", ".join(unknown))
    plan = read_plan(folder)
    count = 0
    with undisturbed(plan.folder):
        for shard in range(plan.shard_count):
            with open_ledger(plan, shard) as ledger:
                if ledger is None:
                    raise WorkError(
                        f"shard {shard} is being worked on", where=folder, hint="wait for its end, or stop it first"
                    )
                outcomes = ((key, line.outcome()) for key, line in ledger.lines.items())
                keys = [key for key, one in outcomes if (one.status in statuses if which is None else which(one))]
                if not keys:
                    continue
                # First, so that a kill in between leaves a shard that is completed again, and no false record.
                completion_path(plan.folder, shard).unlink(missing_ok=True)
                for key in keys:
                    ledger.withdraw(key)
                count += len(keys)
    return count
