"""`fauxlens extract-reals`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet


class How(StrEnum):
    """How a photo is put in place."""

    link = "link"
    copy = "copy"
    symlink = "symlink"


def command(
    release: Annotated[
        Path, typer.Argument(help="BR-Gen's release: the folder that holds RealImage/.", metavar="RELEASE")
    ],
    source: Annotated[
        list[str],
        typer.Option(
            "--source", "-s", help="NAME=FOLDER, such as COCO=train2017; repeatable (COCO, ImageNet, Places)."
        ),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Instead of RealImage/ of the release.")] = None,
    how: Annotated[How, typer.Option(help="How they are put in place.")] = How.link,
    match_numbers: Annotated[
        bool, typer.Option("--match-numbers", help="Accept names that differ in zero padding alone (COCO).")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Put them in place. Without it nothing is touched.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """BR-Gen: take the real photos of its lists from your own COCO, ImageNet and Places. A dry run unless --apply."""
    from fauxlens.core.errors import BadSetting
    from fauxlens.manifest.extract import apply_extract, plan_extract

    folders: dict[str, Path] = {}
    for given in source:
        name, equals, folder = given.partition("=")
        if not equals or not folder:
            raise BadSetting(
                "a source is NAME=FOLDER", got=given, hint="for example --source COCO=/data/coco/train2017"
            )
        folders[name] = Path(folder)
    with console.progress_of(quiet or json) as progress:
        plan = plan_extract(release, folders, match_numbers=match_numbers, progress=progress)
        report = apply_extract(plan, how.value, output=output, progress=progress) if apply else None
    found = {name: sum(photo.source == name for photo in plan.found) for name in folders}
    if json:
        console.say_json(
            {
                "found": found,
                "missing": {name: list(lost) for name, lost in plan.missing.items()},
                "ambiguous": [
                    {"listed": a.listed, "candidates": [str(c) for c in a.candidates]} for a in plan.ambiguous
                ],
                "renumbered": plan.renumbered,
                "done": None if report is None else len(report.done),
                "already_there": None if report is None else len(report.already_there),
                "failed": [] if report is None else [{"name": n, "reason": r} for n, r in report.failed],
                "dry_run": report is None,
            }
        )
    else:
        twice = {name: sum(a.source == name for a in plan.ambiguous) for name in folders}
        lost_in = {name: len(plan.missing.get(name, ())) for name in folders}
        rows = [(n, found[n], lost_in[n], twice[n], plan.renumbered.get(n, 0)) for n in folders]
        console.show_table(("source", "found", "missing", "ambiguous", "by number"), rows, numbers=(1, 2, 3, 4))
        for name, lost in plan.missing.items():
            console.say(f"missing in {name}: {', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}")
        if report is None:
            console.say("nothing was written; --apply puts them in place")
        else:
            done, there, failed = len(report.done), len(report.already_there), len(report.failed)
            console.say(f"{done:,} put in place, {there:,} already there, {failed:,} failed")
            for name, reason in report.failed[:20]:
                console.say(f"  {name}: {reason}")
    incomplete = not plan.is_complete or (report is not None and report.failed)
    return 1 if incomplete else 0
