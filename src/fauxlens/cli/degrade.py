"""`fauxlens degrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet, RootOption, Workers


def command(
    manifest: Annotated[Path | None, typer.Argument(help="A manifest (.parquet).", metavar="M.PARQUET")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="A recipe's name (--list shows them), or steps: 'resize:longest=1080 | jpeg:quality=60'.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the degraded copy.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other parameters.", min=0)] = 0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Only pictures that meet this condition (label!=real); others are copied as they are; repeatable.",
        ),
    ] = None,
    list_recipes: Annotated[bool, typer.Option("--list", help="Show the named recipes and stop.")] = False,
    root: RootOption = None,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """A copy of a dataset, every picture through one chain of degradations (masks along with it)."""
    from fauxlens.core.errors import BadSetting
    from fauxlens.images.degrade import CHAINS, read_chain

    if list_recipes:
        rows = [(name, found.text, found.about) for name, found in CHAINS.items()]
        if json:
            console.say_json([{"name": name, "chain": text, "about": about} for name, text, about in rows])
        else:
            console.show_table(("recipe", "chain", "about"), rows)
        return 0
    if manifest is None or recipe is None or output is None:
        raise BadSetting(
            "a manifest, --recipe and --output are needed",
            hint="fauxlens degrade m.parquet --recipe genimage-degraded/1:jpeg-65 -o out/ (see --list)",
        )
    from fauxlens.manifest.degrade import degrade
    from fauxlens.manifest.manifest import read_manifest

    chain = read_chain(recipe)
    with console.progress_of(quiet or json) as progress:
        made = degrade(
            read_manifest(manifest, root=root),
            output,
            chain,
            name=recipe,
            seed=seed,
            only=tuple(only or ()),
            workers=workers,
            progress=progress,
        )
    bad = made.quarantined()
    failed = sum(count for _, count, _ in bad)
    if json:
        console.say_json(
            {
                "manifest": str(output / "manifest.parquet"),
                "files": len(made) - failed,
                "failed": {reason: count for reason, count, _ in bad},
                "chain": str(chain),
                "seed": seed,
            }
        )
    else:
        where = f"copied, those with {' and '.join(only)} " if only else ""
        told = f"{console.counted(len(made) - failed, 'picture')} {where}degraded by {recipe} ({chain}), seed {seed}"
        console.say(told)
        if bad:
            console.show_table(("reason", "files", "for example"), bad, numbers=(1,))
        console.say(f"wrote {output / 'manifest.parquet'}")
    return 1 if failed else 0
