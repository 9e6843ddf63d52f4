"""`fauxlens score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet, RootOption
from fauxlens.core.errors import BadSetting

if TYPE_CHECKING:
    from fauxlens.evaluate.score import Entry

PLAIN = "plain"
_MOST_SHOWN = 30


def command(
    predictions: Annotated[
        list[str],
        typer.Argument(
            help="Files that `fauxlens predict` wrote; NAME=FILE says which row of the table it is.",
            metavar="[NAME=]P.PARQUET...",
        ),
    ],
    manifest: Annotated[
        list[Path],
        typer.Option("--manifest", "-m", help="The manifest that was predicted; repeatable.", metavar="M.PARQUET"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.", metavar="DIR")],
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol", "-p", help="A protocol's name, a TOML file, or plain: every metric, no published numbers."
        ),
    ] = PLAIN,
    partial: Annotated[bool, typer.Option("--partial", help="Score although predictions are missing.")] = False,
    resamples: Annotated[int, typer.Option(help="Draws for each interval.", min=20)] = 1000,
    minus: Annotated[
        Path | None,
        typer.Option(help="Another score whose cells are subtracted: what changes between two.", metavar="DIR"),
    ] = None,
    gallery: Annotated[int, typer.Option(help="Pictures in the gallery of masks.", min=0, max=24)] = 6,
    no_charts: Annotated[bool, typer.Option("--no-charts", help="Tables only, no charts and no gallery.")] = False,
    root: RootOption = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Predictions against a protocol: its table with ours and the published numbers, intervals, charts, controls."""
    from fauxlens.evaluate.leaderboard import read_score
    from fauxlens.evaluate.numbers import title_of
    from fauxlens.evaluate.page import report_of
    from fauxlens.evaluate.protocol import read_protocol
    from fauxlens.evaluate.score import plain_protocol, score
    from fauxlens.report import write_report

    asked = None if protocol == PLAIN else read_protocol(protocol)
    other = None if minus is None else read_score(minus)
    entries = entries_of(predictions, manifest, root)
    with console.progress_of(quiet or json) as progress:
        found = score(
            asked or plain_protocol(entries), entries, resamples=resamples, partial=partial, progress=progress
        )
        report = report_of(found, minus=other, gallery=gallery, drawings=not no_charts)
        page = write_report(report.with_provenance(console.circumstances()), output, name="score")
    lost = any(run.left_out for run in found.runs)
    if json:
        console.say_json({**report.facts, "sentence": report.verdict, "page": str(page)})
        return 1 if lost else 0
    for run in found.runs:
        if run.is_random and not quiet:
            console.remark(f"{run.name}: RANDOM WEIGHTS, so its numbers mean nothing")
    console.say(report.verdict)
    shown = [one for one in found.cells if one.published is not None] or list(found.cells)
    rows = [
        (one.row, one.part, title_of(one.metric), _told(one.estimate.value),
         f"{_told(one.estimate.low)} to {_told(one.estimate.high)}",
         None if one.published is None else f"{one.published:g}", one.verdict)
        for one in shown[:_MOST_SHOWN]
    ]  # fmt: skip
    head = ("row", "part", "metric", "ours", "95 %", "published", "verdict")
    console.show_table(head, rows, numbers=(3, 4, 5))
    if len(shown) > _MOST_SHOWN:
        console.say(f"  and {len(shown) - _MOST_SHOWN:,} more on the page")
    for why in dict.fromkeys(
        why for one in shown[:_MOST_SHOWN] if one.verdict == "not comparable" for why in one.reasons
    ):
        console.say(f"not comparable: {why}")
    for control in report.facts["controls"]:
        of = f", {control['run']}" if control["run"] else ""
        console.say(f"control, {control['name']}{of}: {control['sentence']}")
    console.say(f"wrote {page}")
    return 1 if lost else 0


def _told(value: float) -> str:
    return "–" if value != value else f"{value:.4g}"


def entries_of(predictions: list[str], manifests: list[Path], root: Path | None) -> list[Entry]:
    """Each file of predictions with its manifest: the one that is given, or, of several, the one it was made of."""
    from fauxlens.evaluate.predictions import manifest_digest, read_predictions
    from fauxlens.evaluate.score import Entry
    from fauxlens.manifest.manifest import read_manifest

    if root is not None and len(manifests) > 1:
        raise BadSetting("--root is for one manifest", got=f"{len(manifests)} manifests", hint="scan them again")
    given = [read_manifest(path, root=root) for path in manifests]
    digests = [manifest_digest(one.usable()) for one in given]
    entries = []
    for number, text in enumerate(predictions):
        name, equals, file = text.partition("=")
        if not equals or Path(text).is_file():
            name, file = "", text
        found = read_predictions(file)
        if len(given) == 1:
            entries.append(Entry(found, given[0], name))
        elif found.facts.get("manifest_sha256") in digests:
            entries.append(Entry(found, given[digests.index(found.facts["manifest_sha256"])], name))
        elif len(given) == len(predictions):
            entries.append(Entry(found, given[number], name))
        else:
            raise BadSetting(
                "none of the manifests is the one that was predicted", where=file,
                wanted=found.facts.get("manifest") or "its manifest", got=", ".join(one.name for one in given),
                hint="give one manifest, or as many as files of predictions, in the same order",
            )  # fmt: skip
    return entries
