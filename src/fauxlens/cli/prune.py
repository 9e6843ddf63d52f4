"""`fauxlens prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet


def command(
    root: Annotated[
        Path, typer.Argument(help="ImagiNet's root: the folder that ./ stands for in its annotations.", metavar="ROOT")
    ],
    annotations: Annotated[
        list[Path],
        typer.Option("--annotations", "-a", help="An annotation file; give train and test both; repeatable."),
    ],
    apply: Annotated[bool, typer.Option("--apply", help="Delete. Without it nothing is touched.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Even though annotated files are missing.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """ImagiNet: what is not needed of its sources. A dry run unless --apply; only known source folders are touched."""
    from fauxlens.manifest.prune import apply_prune, plan_prune

    with console.progress_of(quiet or json) as progress:
        plan = plan_prune(root, annotations, progress=progress)
        report = apply_prune(plan, dry_run=not apply, allow_missing=allow_missing or not apply, progress=progress)
    if json:
        console.say_json(
            {
                "needed": plan.needed,
                "present": plan.present,
                "missing": {folder: len(paths) for folder, paths in plan.missing.items()},
                "surplus": len(plan.surplus),
                "surplus_bytes": plan.surplus_bytes,
                "outside": plan.outside_files,
                "removed": len(report.removed) if apply else 0,
                "failed": [{"path": path, "reason": reason} for path, reason in report.failed],
                "list": str(report.list_path),
                "dry_run": report.dry_run,
            }
        )
        return 1 if report.failed else 0
    console.say(f"{plan.present:,} of {console.counted(plan.needed, 'annotated file')} here")
    if plan.missing:
        console.show_table(("missing in", "files"), [(f, len(p)) for f, p in plan.missing.items()], numbers=(1,))
    if report.dry_run:
        surplus = console.counted(len(plan.surplus), "file")
        console.say(f"not needed: {surplus} ({console.counted(plan.surplus_bytes, 'byte')}); nothing was deleted")
        console.say(f"listed in {report.list_path}; --apply deletes")
    else:
        removed = console.counted(len(report.removed), "file")
        console.say(f"deleted {removed} ({console.counted(report.bytes, 'byte')}), listed in {report.list_path}")
        for path, reason in report.failed[:20]:
            console.say(f"  stays: {path}: {reason}")
    return 1 if report.failed else 0
