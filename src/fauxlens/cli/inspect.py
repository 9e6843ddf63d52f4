"""`fauxlens inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import DEFAULT_MAX_PIXELS, DetectorOptions, Device, MaxPixels, Quiet, Setting, options_of
from fauxlens.core.errors import BadSetting, Interrupted

if TYPE_CHECKING:
    from fauxlens.images.picture import Picture
    from fauxlens.verdict.finding import Finding


def command(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, folders of pictures, or patterns.", metavar="PATH...")],
    detector: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            "-d",
            help="Whom to ask, DETECTOR or DETECTOR/SET, instead of the one that comes along; repeatable.",
        ),
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
    stability: Annotated[
        bool,
        typer.Option("--stability/--no-stability", help="Save, resize and crop each picture again, and ask again."),
    ] = True,
    maps: Annotated[
        bool,
        typer.Option("--maps/--no-maps", help="Classical maps (error level, noise, ...) on the pages of --report."),
    ] = True,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a picture on stdout.")] = False,
    quiet: Quiet = False,
) -> int:
    """Was it made or edited by a machine, and where? A verdict, its evidence, and what was not checked."""
    from fauxlens.verdict.inspect import DETECTOR, Plan, inspect_many, passed_over, pictures_of

    asked_for = list(dict.fromkeys(detector or [DETECTOR]))
    if len(asked_for) > 1 and (setting is not None or option or weights not in (None, "random")):
        raise BadSetting(
            "--setting, --option and --weights belong to one detector",
            got=f"{len(asked_for)} detectors",
            hint="ask them one at a time",
        )
    from fauxlens.detectors import load
    from fauxlens.images.limits import Limits
    from fauxlens.verdict.index import write_pages
    from fauxlens.verdict.maps import MAPS
    from fauxlens.verdict.marks import with_marks
    from fauxlens.verdict.stability import DELIVERIES
    from fauxlens.verdict.words import with_places

    files = pictures_of(paths)
    if (others := passed_over(paths)) and not quiet:
        console.remark(f"{console.counted(others, 'file')} with other suffixes left out; name them to look at them")
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

    plan = Plan(stability=DELIVERIES if stability else (), maps=tuple(MAPS) if maps and report is not None else ())
    looked = inspect_many(files, asked, limits=Limits(max_pixels=max_pixels), marker=marked, plan=plan)
    stopped = False
    try:
        with console.progress_of(quiet or len(files) == 1) as progress:
            for number, found in enumerate(looked):
                progress(number + 1, len(files), "inspect")
                # Masks are as large as the pictures: of a long list only what is said of them is kept.
                findings.append(with_places(found).without_maps())
                if json:
                    console.say_json(found.as_json(), line=True)
    except KeyboardInterrupt:
        if not findings:
            raise
        # A desk that stops a long run wants to keep what was found until then.
        stopped = True
        console.remark(f"stopped after {len(findings):,} of {console.counted(len(files), 'picture')}; what was found:")
    if report is not None:
        page = write_pages(findings, report, circumstances=console.circumstances())
        (console.remark if json else console.say)(f"wrote {page}")
    if not json:
        _show(findings)
    if stopped:
        raise Interrupted("interrupted", hint="the pictures that are missing can be given again, alone")
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
