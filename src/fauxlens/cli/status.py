"""`fauxlens status`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson


def command(
    folder: Annotated[Path, typer.Argument(help="The folder of a long run (or its `work` folder).", metavar="FOLDER")],
    json: AsJson = False,
) -> int:
    """Any long run: done, failed, rate, time left; while it runs, and from another machine."""
    from fauxlens.core.errors import BadSetting
    from fauxlens.work import status

    work = next((place for place in (folder / "work", folder) if (place / "plan.json").exists()), None)
    if work is None:
        hint = "give the folder that a long run such as `fauxlens verify` writes to"
        raise BadSetting("no long run was started in this folder", where=folder, hint=hint)
    found = status(work)
    if json:
        console.say_json(
            {key: value for key, value in asdict(found).items() if key != "folder"} | {"folder": str(folder)}
        )
        return 0
    share = f" ({found.done / found.total:.0%})" if found.total else ""
    console.say(
        f"{found.done:,} of {found.total:,} done{share}, {found.failed:,} failed, {found.quarantined:,} given up"
    )
    shards = console.counted(found.shards_total, "shard")
    console.say(f"{found.shards_done:,} of {shards}; {'running' if found.running else 'not running'}")
    if found.rate:
        left = f", {console.in_words(found.seconds_left)} left" if found.seconds_left else ""
        console.say(f"{found.rate:,.1f}/s{left}")
    for kind, count in found.failures.items():
        console.say(f"  {kind}: {count:,}")
    if not found.running and found.done < found.total:
        console.say("it goes on when the same command is given again")
    return 0
