"""`fauxlens leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson


def command(
    scores: Annotated[list[Path], typer.Argument(help="Folders that `fauxlens score` wrote.", metavar="DIR...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the page.", metavar="DIR")],
    json: AsJson = False,
) -> int:
    """Many scored runs on one page: sorted, with intervals, versions and hashes of weights; ties are said."""
    from fauxlens.evaluate.leaderboard import read_score, report_of
    from fauxlens.report import write_report

    report = report_of({path.as_posix(): read_score(path) for path in scores})
    page = write_report(report.with_provenance(console.circumstances()), output, name="leaderboard")
    if json:
        console.say_json({**report.facts, "page": str(page)})
        return 0
    for board in report.facts["boards"]:
        console.say(f"{board['protocol']}, {board['part']}: {board['metric']} ({board['better']} is better)")
        rows = [
            (one["rank"], one["name"], f"{one['value']:.4g}", ", ".join(one["tied_with"]) or "nobody", one["weights"])
            for one in board["places"]
        ]
        console.show_table(("rank", "detector", "value", "tied with", "weights"), rows, numbers=(0, 2))
    console.say(f"wrote {page}")
    return 0
