"""`fauxlens select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, ManifestPath, RootOption, savable


def command(
    manifest: ManifestPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the chosen rows go.", callback=savable, metavar="FILE")
    ],
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            help="A condition such as width>=450, label=real, format=jpeg,png or notes~test_gan; repeatable.",
        ),
    ] = None,
    one_to_one: Annotated[
        str | None, typer.Option(help="As many forged as real: fixed, each-epoch or each-origin.", metavar="RULE")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the one-to-one draw.")] = 0,
    epoch: Annotated[int, typer.Option(help="For each-epoch and each-origin.", min=0)] = 0,
    all_rows: Annotated[bool, typer.Option("--all", help="Quarantined rows too.")] = False,
    root: RootOption = None,
    json: AsJson = False,
) -> int:
    """Choose rows by their columns; every choice goes into the manifest's history."""
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.manifest.select import one_to_one as draw
    from fauxlens.manifest.select import select

    chosen = read_manifest(manifest, root=root)
    if not all_rows:
        chosen = chosen.usable(listed=True)
    chosen = select(chosen, *(where or ()))
    if one_to_one is not None:
        chosen = draw(chosen, one_to_one, seed=seed, epoch=epoch)
    chosen.save(output)
    if json:
        console.say_json({"manifest": str(output), "files": len(chosen), "history": list(chosen.history)})
    else:
        for line in chosen.history:
            console.say(line)
        console.say(f"wrote {output}")
    return 0
