"""Long work that can be stopped at any moment and goes on: a plan of shards, an append-only ledger, launchers.

    write_plan(folder, task="package.module:build", task_version="1", settings={...}, items=items)
    summary = run(folder, workers=4)
    for outcome in results(folder): ...

`build(settings)` gives a function of an item and its seed to a JSON-ready mapping. Results are the same bytes whatever
the order, the number of workers, and the kills on the way.
"""

from fauxlens.work.launch import LAUNCHERS, Launcher, Summary, results, run, run_shard
from fauxlens.work.ledger import Completion, Failure, Outcome
from fauxlens.work.plan import Item, Plan, Task, read_plan, write_plan
from fauxlens.work.reopen import reopen
from fauxlens.work.status import Status, status

__all__ = [
    "LAUNCHERS",
    "Completion",
    "Failure",
    "Item",
    "Launcher",
    "Outcome",
    "Plan",
    "Status",
    "Summary",
    "Task",
    "read_plan",
    "reopen",
    "results",
    "run",
    "run_shard",
    "status",
    "write_plan",
]
