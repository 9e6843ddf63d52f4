"""`fauxlens status`."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson

if TYPE_CHECKING:
    from fauxlens.train.status import TrainingStatus


def command(
    folder: Annotated[Path, typer.Argument(help="The folder of a long run (or its `work` folder).", metavar="FOLDER")],
    json: AsJson = False,
) -> int:
    """Any long run: done, failed, rate, time left; while it runs, and from another machine."""
    from fauxlens.core.errors import BadSetting
    from fauxlens.work import status

    places = _places(folder)
    if not places:
        from fauxlens.train import status as trainings

        if trainings.is_training(folder):
            return _of_training(trainings.status(folder), json)
        hint = "give the folder that a long run such as `fauxlens verify` or `fauxlens train` writes to"
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


def _of_training(found: TrainingStatus, json: bool) -> int:
    """Say how far a training is."""
    if json:
        console.say_json({**asdict(found), "folder": str(found.folder)})
        return 0
    of = "" if found.total is None else f" of {found.total:,}"
    share = f" ({found.done / found.total:.0%})" if found.total else ""
    name = found.recipe if found.kind in ("train", found.recipe) else f"{found.recipe} ({found.kind})"
    console.say(
        f"training {name}: {found.done:,}{of} steps done{share}, {console.counted(found.failed, 'picture')} failed"
    )
    loss = "" if found.loss is None else f"; loss {found.loss:.4g}"
    state = "finished" if found.finished else "not finished"
    console.say(f"{state}, {'running' if found.running else 'not running'}{loss}")
    if found.rate and found.samples_per_second:
        left = f", {console.in_words(found.seconds_left)} left" if found.seconds_left else ""
        console.say(f"{found.rate:,.3g} steps/s, {found.samples_per_second:,.3g} pictures/s{left}")
    if found.validated:
        after = "" if found.validated_at is None else f" (epoch {found.validated_at:,})"
        numbers = (f"{key} {_number(value)}" for key, value in found.validated.items())
        console.say(f"last validation{after}: {', '.join(numbers)}")
    for kind, count in found.failures.items():
        console.say(f"  {kind}: {count:,}")
    if found.not_a_number and not found.running:
        console.say("it ended at a loss that is no number; not-a-number.json names the pictures")
    elif not found.finished and not found.running:
        console.say("it goes on when the same command is given again")
    return 0


def _number(value: float | None) -> str:
    """A number that was measured, or that it does not exist."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


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
