"""`fauxlens calibrate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, RootOption
from fauxlens.cli.score import entries_of
from fauxlens.core.errors import BadSetting

if TYPE_CHECKING:
    from fauxlens.verdict.fit import Fitted
    from fauxlens.verdict.judgement import Counted


class Question(StrEnum):
    """What is asked of a picture; `auto` takes it from the labels."""

    auto = "auto"
    whole_image = "whole_image"
    local_edit = "local_edit"


def command(
    predictions: Annotated[
        list[str],
        typer.Argument(
            help="Files that `fauxlens predict` wrote: of the pictures, and of degraded copies of them.",
            metavar="PREDICTIONS.PARQUET...",
        ),
    ],
    manifest: Annotated[
        list[Path],
        typer.Option("--manifest", "-m", help="The manifest that was predicted; repeatable.", metavar="M.PARQUET"),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            help="Which pictures to fit on, never a test split; val when not given, or all where there are no splits; "
            "none for those in no split."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="platt, isotonic or temperature.")] = "platt",
    axis: Annotated[
        Question, typer.Option(help="The question that the fakes answer; auto takes it from their labels.")
    ] = Question.auto,
    share: Annotated[
        float, typer.Option(help="Of real pictures, how many at most may get the verdict edited or generated.")
    ] = 0.01,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Keep to --share with 95 % confidence; with too few pictures, give no verdict."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it here, and not where `inspect` looks.", metavar="FILE"),
    ] = None,
    root: RootOption = None,
    json: AsJson = False,
) -> int:
    """Fit probability and abstain band of a detector on your own labelled pictures; `inspect` judges by them then."""
    from fauxlens.evaluate.predictions import judged
    from fauxlens.verdict.fit import fit_judgement, together
    from fauxlens.verdict.judgement import place_in_store, read_judgement

    if output is not None and output.suffix.lower() != ".json":
        raise BadSetting("a judgement is saved as .json", where=output, got=output.suffix or "no suffix")
    entries = entries_of(predictions, manifest, root)
    found = fit_judgement(
        together([judged(one.predictions, one.manifest) for one in entries]),
        axis=axis.value, split=split, method=method, share=share, strict=strict,
    )  # fmt: skip
    one = found.judgement
    target = output or place_in_store(one.detector, one.weights_sha256, one.axis)
    before = None
    if target.is_file():
        try:
            before = read_judgement(target).date
        except BadSetting:  # a damaged one is replaced as well
            before = "an unknown day"
    one.save(target)
    if json:
        console.say_json({**_facts(found), "judgement": str(target), "replaced": before})
        return 0
    _show(found)
    console.say(f"wrote {target}" + ("" if before is None else f", in place of the one of {before}"))
    if output is None:
        console.say(f"`fauxlens inspect PHOTO --detector {one.detector}` judges by it from now on, with these weights;")
        console.say("delete the file to undo that.")
    else:
        console.say("`fauxlens inspect` does not look there; leave -o out to use it on this machine.")
    return 0


def _show(found: Fitted) -> None:
    from fauxlens.verdict.judgement import NAMED

    one, band = found.judgement, found.band
    fit = one.calibration
    console.say(
        f"{one.detector}, {one.axis}: {fit.method} on {console.counted(fit.pictures, 'picture')} of split "
        f"'{fit.split}', {band.reals:,} real ({console.counted(band.origins, 'origin')}), {band.fakes:,} fake"
    )
    for why, count in found.left_out.items():
        console.say(f"  left out: {count:,} {why}")
    after = "not known: too few origins" if fit.ece_after is None else f"{fit.ece_after:.3f}"
    console.say(f"calibration error (ECE): {fit.ece_before:.3f} before, {after} after, on pictures held back in turn")
    if fit.ece_after is not None and fit.ece_after > fit.ece_before:
        console.say("  the fit made it worse: take --method temperature, which fits less, or more pictures")
    named = NAMED[one.axis]
    high = f"never {named}" if band.high is None else f"above {band.high:+.3f} {named}"
    console.say(f"band: below {band.low:+.3f} no sign, {high}, between them inconclusive")
    console.say(f"promise: {band.sentence}")
    if band.high is not None:
        told = band.expected
        console.say(f"to expect of other such real pictures: {told.value:.1%} false alarms ({told.low:.1%} to "
                    f"{told.high:.1%})")  # fmt: skip
    if not one.misses:
        console.say("errors on unseen pictures are not known: too few origins to hold some back")
        return
    console.say("held back in turn, and judged by a band of the rest:")
    rows = [*_rows("false alarms", one.false_alarms), *_rows("missed", one.misses)]
    rows += _rows("inconclusive", one.abstentions)
    console.show_table(("", "pictures", "number", "of", "share"), rows, numbers=(2, 3, 4))


def _rows(what: str, counted: tuple[Counted, ...]) -> list[tuple[Any, ...]]:
    return [(what, one.what, one.number, one.of, f"{one.number / one.of:.1%}") for one in counted if one.of]


def _facts(found: Fitted) -> dict[str, Any]:
    one, band = found.judgement, found.band
    fit = one.calibration

    def plain(counted: tuple[Counted, ...]) -> list[dict[str, Any]]:
        return [each._asdict() for each in counted]

    return {
        "detector": one.detector,
        "weights_sha256": one.weights_sha256,
        "setting": one.setting,
        "options": dict(one.options),
        "axis": one.axis,
        "method": fit.method,
        "split": fit.split,
        "pictures": fit.pictures,
        "reals": band.reals,
        "origins": band.origins,
        "worth": round(band.worth, 1),
        "fakes": band.fakes,
        "left_out": dict(found.left_out),
        "ece_before": fit.ece_before,
        "ece_after": fit.ece_after,
        "low": band.low,
        "high": band.high,
        "share": band.share,
        "above": band.above,
        "expected": [band.expected.value, band.expected.low, band.expected.high],
        "upper": band.upper,
        "is_enough": band.is_enough,
        "wanted": band.wanted,
        "false_alarms": plain(one.false_alarms),
        "misses": plain(one.misses),
        "abstentions": plain(one.abstentions),
        "sentence": band.sentence,
    }
