"""`fauxlens compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet, RootOption


def command(
    first: Annotated[Path, typer.Argument(help="Predictions of one detector.", metavar="A.PARQUET")],
    second: Annotated[
        Path, typer.Argument(help="Predictions of the other, of the same pictures.", metavar="B.PARQUET")
    ],
    manifest: Annotated[
        Path, typer.Option("--manifest", "-m", help="The manifest that both predicted.", metavar="M.PARQUET")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write a page into this folder.", metavar="DIR")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compare on what both predicted, although some are missing.")
    ] = False,
    least: Annotated[int, typer.Option(help="Fakes and reals that a slice must have.", min=2)] = 20,
    resamples: Annotated[int, typer.Option(help="Draws for each interval.", min=20)] = 1000,
    root: RootOption = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Two detectors on the same pictures: which is better, by how much, and where; paired intervals."""
    from fauxlens.evaluate.compare import compare, facts_of, report_of
    from fauxlens.evaluate.predictions import judged, read_predictions
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.report import write_report

    pictures = read_manifest(manifest, root=root)
    one, two = (judged(read_predictions(path), pictures, partial=partial) for path in (first, second))
    with console.progress_of(quiet or json) as progress:
        found = compare(one, two, least=least, resamples=resamples, progress=progress)
    page = None
    if output is not None:
        page = write_report(report_of(found).with_provenance(console.circumstances()), output, name="compare")
    lost = bool(one.left_out or two.left_out)
    if json:
        console.say_json({**facts_of(found), "page": None if page is None else str(page)})
        return 1 if lost else 0
    for name, random in zip(found.names, found.random, strict=True):
        if random and not quiet:
            console.remark(f"{name}: RANDOM WEIGHTS, so its numbers mean nothing")
    console.say(found.sentence)
    rows = [
        (part.column.replace("_", " ") or "all", part.value, part.metric, f"{part.first:.3f}", f"{part.second:.3f}",
         f"{part.difference.value:+.3f}", f"{part.difference.low:+.3f} to {part.difference.high:+.3f}",
         ("not shown", *found.names)[part.better])
        for part in (*found.whole, *found.slices)
    ]  # fmt: skip
    console.show_table(("by", "slice", "metric", "first", "second", "difference", "95 %", "better"), rows, (3, 4, 5, 6))
    if found.small:
        console.say(f"left out, with fewer than {least} fakes or reals: {', '.join(one[1] for one in found.small)}")
    if page is not None:
        console.say(f"wrote {page}")
    return 1 if lost else 0
