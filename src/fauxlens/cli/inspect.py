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
    from fauxlens.verdict.inspect import inspect, pictures_of
    from fauxlens.verdict.marks import with_marks
    from fauxlens.verdict.page import report_of

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
            findings.append(found.without_maps())
            if json:
                console.say_json(found.as_json(), line=True)
    if report is not None:
        from fauxlens.report import write_report

        page = write_report(report_of(findings, report).with_provenance(console.circumstances()), report)
        (console.remark if json else console.say)(f"wrote {page}")
    if not json:
        _show(findings)
    return 1 if any(one.error is not None for one in findings) else 0


def _show(findings: list[Finding]) -> None:
    from fauxlens.verdict.page import generators, sentence

    if len(findings) == 1:
        finding = findings[0]
        console.say(f"{finding.path}")
        console.say(sentence(finding))
        for one in finding.opinions[:5]:
            said = one.prediction
            score = "no score" if said.logit is None else f"score {said.logit:+.3f}, above 0 leans to fake"
            share = "" if one.edited_share is None else f"; marks {one.edited_share:.1%} of the picture"
            told = generators(one)
            share += f"; generators: {told}" if told else ""
            notes = "".join(f"; {note}" for note in said.notes)
            console.say(f"  {said.detector} ({one.setting}, {one.weights}): {score}{share}{notes}")
        if finding.error is None:
            console.say("Not checked: re-delivery, provenance, private watermarks (see --json or --report).")
        return
    rows = []
    for finding in findings:
        scores = ", ".join(
            f"{one.prediction.detector} {'–' if one.prediction.logit is None else format(one.prediction.logit, '+.2f')}"
            for one in finding.opinions
        )
        marked = None if finding.edited_share is None else f"{finding.edited_share:.1%}"
        rows.append((finding.verdict or "error", marked, scores or finding.reason, finding.path))
    console.show_table(("verdict", "marked", "scores", "file"), rows)
    failed = sum(1 for one in findings if one.error is not None)
    console.say(f"{console.counted(len(findings) - failed, 'picture')} looked at, {failed:,} could not be")
    reasons = dict.fromkeys(one.reason for one in findings if one.error is None)
    for reason in reasons:
        console.say(f"inconclusive: {reason}")
