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

    places = _places(folder)
    if not places:
        hint = "give the folder that a long run such as `fauxlens verify` writes to"
        raise BadSetting("no long run was started in this folder", where=folder, hint=hint)
    stages = [status(place) for place in places]
    found = stages[-1]
    if json:
        told = {key: value for key, value in asdict(found).items() if key != "folder"} | {"folder": str(folder)}
        if len(places) > 1:
            told["stages"] = [
                {"stage": p.name, "done": s.done, "total": s.total} for p, s in zip(places, stages, strict=True)
            ]
        console.say_json(told)
        return 0
    for place, stage in list(zip(places, stages, strict=True))[:-1]:
        console.say(
            f"{place.name}: {stage.done:,} of {stage.total:,} done, {stage.failed + stage.quarantined:,} failed"
        )
    share = f" ({found.done / found.total:.0%})" if found.total else ""
    name = f"{places[-1].name}: " if len(places) > 1 else ""
    console.say(
        f"{name}{found.done:,} of {found.total:,} done{share}, {found.failed:,} failed, {found.quarantined:,} given up"
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


def _places(folder: Path) -> list[Path]:
    """The folders with a plan: one for most runs; for a run of several stages all of them, in the order of work."""
    for place in (folder / "work", folder):
        if (place / "plan.json").exists():
            return [place]
        stages = [plan for plan in place.glob("*/plan.json") if plan.is_file()]
        if stages:
            return [
                plan.parent for plan in sorted(stages, key=lambda plan: (plan.stat().st_mtime_ns, plan.parent.name))
            ]
    return []
