"""Samples that failed for a reason that is gone (a full disk, a drive that was away) can be done again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fauxlens.core.errors import WorkError
from fauxlens.work.lease import undisturbed
from fauxlens.work.ledger import STATUSES, completion_path, open_ledger
from fauxlens.work.plan import read_plan


def reopen(folder: Path, *, statuses: Collection[str] = ("failed", "quarantined")) -> int:
    """Take back the outcomes with one of `statuses`, so that the next run does those samples again; -> how many."""
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
                keys = [key for key, line in ledger.lines.items() if line.outcome().status in statuses]
                if not keys:
                    continue
                # First, so that a kill in between leaves a shard that is completed again, and no false record.
                completion_path(plan.folder, shard).unlink(missing_ok=True)
                for key in keys:
                    ledger.withdraw(key)
                count += len(keys)
    return count
