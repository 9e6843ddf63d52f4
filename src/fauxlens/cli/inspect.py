"""`fauxlens inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import DEFAULT_MAX_PIXELS, DetectorOptions, Device, MaxPixels, Quiet, Setting, options_of
from fauxlens.core.errors import BadSetting

if TYPE_CHECKING:
    from fauxlens.images.picture import Picture
    from fauxlens.verdict.finding import Finding


def command(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, folders of pictures, or patterns.", metavar="PATH...")],
    detector: Annotated[
        list[str] | None,
        typer.Option("--detector", "-d", help="Whom to ask, DETECTOR or DETECTOR/SET; several times for several."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="A set of its weights, a file, or 'random' (whose answers mean nothing)."),
    ] = None,
    setting: Setting = None,
    option: DetectorOptions = None,
    device: Device = "cpu",
    report: Annotated[
        Path | None, typer.Option(help="Write a page, masks and heatmaps into this folder.", metavar="DIR")
    ] = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a picture on stdout.")] = False,
    quiet: Quiet = False,
) -> int:
    """Ask detectors about pictures: score, marked places, and what was not checked."""
    if not detector:
        raise BadSetting(
            "no detector was named, and the package does not carry one of its own yet",
            hint="`fauxlens detectors` lists them; then `fauxlens inspect PHOTO --detector NAME`",
        )
    asked_for = list(dict.fromkeys(detector))
    if len(asked_for) > 1 and (setting is not None or option or weights not in (None, "random")):
        raise BadSetting(
            "--setting, --option and --weights belong to one detector",
            got=f"{len(asked_for)} detectors",
            hint="ask them one at a time",
        )
    from fauxlens.detectors import load
    from fauxlens.images.limits import Limits
    from fauxlens.verdict.index import write_pages
    from fauxlens.verdict.inspect import inspect, pictures_of
    from fauxlens.verdict.marks import with_marks
    from fauxlens.verdict.words import with_places

    files = pictures_of(paths)
    asked = [
        # DETECTOR/SET, as `weights` says it.
        load(name, weights or chosen or None, setting=setting, device=device, options=options_of(option))
        for name, _, chosen in (one.partition("/") for one in asked_for)
    ]
    if any(one.weights.is_random for one in asked) and not quiet:
        console.remark("RANDOM WEIGHTS: nothing was ever learnt, so the numbers below mean nothing")
    findings: list[Finding] = []

    def marked(finding: Finding, picture: Picture) -> Finding:
        return with_marks(finding, picture, report, len(findings)) if report is not None else finding

    with console.progress_of(quiet or len(files) == 1) as progress:
        for number, found in enumerate(inspect(files, asked, limits=Limits(max_pixels=max_pixels), marker=marked)):
            progress(number + 1, len(files), "inspect")
            # Masks are as large as the pictures: of a long list only what is said of them is kept.
            findings.append(with_places(found).without_maps())
            if json:
                console.say_json(found.as_json(), line=True)
    if report is not None:
        page = write_pages(findings, report, circumstances=console.circumstances())
        (console.remark if json else console.say)(f"wrote {page}")
    if not json:
        _show(findings)
    return 1 if any(one.error is not None for one in findings) else 0


def _show(findings: list[Finding]) -> None:
    from fauxlens.verdict import words

    if len(findings) == 1:
        first, *rest = words.card(findings[0])
        console.headline(first)
        for line in rest:
            console.say(line)
        return
    head, rows = words.table(findings)
    console.show_table(head, rows, numbers=(1,))
    for line in (*words.remarks(findings), words.totals(findings)):
        console.say(line)
