"""`fauxlens split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, ManifestPath, RootOption, savable


def command(
    manifest: ManifestPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the split manifest goes.", callback=savable, metavar="FILE")
    ],
    exact: Annotated[
        bool, typer.Option("--exact", help="Cut ranks instead of hash values, to meet published counts exactly.")
    ] = False,
    join_near: Annotated[
        bool, typer.Option("--join-near", help="Near duplicates share a split (needs a verified manifest).")
    ] = False,
    salt: Annotated[str, typer.Option(help="Another salt gives another split.")] = "fauxlens-split-1",
    root: RootOption = None,
    json: AsJson = False,
) -> int:
    """Split 8:1:1 by origin within each source; adding files later moves no old one (unless --exact)."""
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.manifest.split import SplitPlan, split

    plan = SplitPlan(exact=exact, salt=salt, join_near_duplicates=join_near)
    made = split(read_manifest(manifest, root=root), plan)
    made.save(output)
    counts = made.count("source", "split", "label")
    if json:
        rows = [{"source": k[0], "split": k[1], "label": k[2], "files": n} for k, n in counts.items()]
        console.say_json({"manifest": str(output), "counts": rows})
    else:
        console.show_table(("source", "split", "label", "files"), [(*k, n) for k, n in counts.items()], numbers=(3,))
        console.say(f"wrote {output}")
    return 0
