"""A score as a Report: false alarms first, the published table with ours in it, charts, controls, what to know.

`write_report(report_of(scored), folder, name="score")` writes it; `score.json` is what `fauxlens leaderboard` reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.errors import BadSetting, UnreadableImage
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.core.seeds import share_of
from fauxlens.core.version import __version__
from fauxlens.evaluate.controls import ALL_REALS, Control, FalseAlarms, controls, false_alarms
from fauxlens.evaluate.masks import truth_of
from fauxlens.evaluate.numbers import Material, Number, confusion_of, number_of
from fauxlens.evaluate.predictions import read_scores
from fauxlens.evaluate.score import MEAN, Run, Scored, Taken
from fauxlens.images.picture import read_picture
from fauxlens.metrics.arrays import Floats
from fauxlens.metrics.image import reliability
from fauxlens.report import charts
from fauxlens.report.diagrams import reliability_diagram, roc
from fauxlens.report.gallery import Exhibit, mask_gallery

_MOST_LINES = 8  # that one chart can bear
_MOST_SHOWN = 6  # pictures of a gallery
_MOST_DRAWN = 6  # heatmaps of a plain table
_MOST_TOLD = 3  # detectors in the first sentence
_FEW = 100  # reals below which one false alarm in a hundred cannot be told
_SLUG = re.compile(r"[^a-z0-9]+")


def report_of(
    scored: Scored,
    *,
    minus: Mapping[str, Any] | None = None,
    gallery: int = _MOST_SHOWN,
    held: Sequence[Control] | None = None,
    drawings: bool = True,
) -> Report:
    """The whole report; `minus` is the machine-readable summary of another score whose cells are subtracted.

    `held` are the controls, where they were measured already: of a large set they take longer than all the rest.
    Without `drawings` there are tables alone.
    """
    protocol = scored.protocol
    alarms = false_alarms(scored)
    held = controls(scored, alarms) if held is None else held
    sections = [
        _alarm_section(scored, alarms, drawings),
        _table_section(scored),
        *_difference_section(scored, minus, drawings),
        *(_charts_section(scored) if drawings else ()),
        *(_gallery_section(scored, gallery) if drawings else ()),
        _control_section(held),
        _how(scored),
    ]
    hashes = "; ".join(f"{run.name}: {run.sha256 or 'no file, ' + run.weights}" for run in scored.runs)
    return Report(
        title=f"{protocol.title} (protocol {protocol.name}, version {protocol.version})",
        verdict=_verdict(scored, alarms),
        sections=tuple(sections),
        provenance={
            "what": f"fauxlens {__version__} score, {scored.resamples:,} draws an interval",
            "on": "; ".join(dict.fromkeys(
                f"{one.entry.manifest.name}, {len(one.judged):,} pictures"
                + (f", degraded by {one.degraded_by}" if one.degraded_by else "")
                for one in scored.taken
            )),
            "weights": hashes,
            "published": f"{protocol.paper}; {protocol.source}",
        },
        facts=facts_of(scored, alarms, held),
    )  # fmt: skip


def tables_of(scored: Scored) -> tuple[Table, ...]:
    """The tables of a score alone: for each metric as papers print it, then one line a cell."""
    return _table_section(scored).tables


def facts_of(scored: Scored, alarms: Sequence[FalseAlarms], held: Sequence[Control]) -> dict[str, Any]:
    """The machine-readable summary."""
    protocol = scored.protocol
    return {
        "version": __version__,
        "protocol": {
            "name": protocol.name, "version": protocol.version, "title": protocol.title, "percent": protocol.percent,
            "tolerance": protocol.tolerance, "metrics": list(protocol.metrics), "view": protocol.view,
            "parts": [part.name for part in protocol.parts],
        },
        "runs": [
            {
                "name": run.name, "row": run.row or None, "detector": run.detector, "setting": run.setting,
                "weights": run.weights, "weights_sha256": run.sha256, "random": run.is_random, "version": run.version,
                "pictures": run.pictures, "left_out": dict(run.left_out), "reasons": list(run.reasons),
            }
            for run in scored.runs
        ],
        "cells": [
            {
                "row": one.row, "part": one.part, "metric": one.metric, "value": one.estimate.value,
                "interval": [one.estimate.low, one.estimate.high], "pictures": one.pictures, "reals": one.reals,
                "fakes": one.fakes, "groups": one.estimate.groups, "published": one.published,
                "difference": one.difference, "verdict": one.verdict, "reasons": list(one.reasons),
            }
            for one in scored.cells
        ],
        "verdicts": dict(Counter(one.verdict for one in scored.cells)),
        "false_alarms": [
            {
                "run": one.run, "sort": one.sort, "processed": one.processed or None, "rate": one.rate.value,
                "interval": [one.rate.low, one.rate.high], "called_fake": one.called_fake, "reals": one.reals,
            }
            for one in alarms
        ],
        "controls": [
            {
                "name": one.name, "run": one.run or None, "holds": one.holds, "sentence": one.sentence,
                "value": None if one.estimate is None else one.estimate.value,
                "interval": None if one.estimate is None else [one.estimate.low, one.estimate.high],
            }
            for one in held
        ],
    }  # fmt: skip


def _verdict(scored: Scored, alarms: Sequence[FalseAlarms]) -> str:
    counts = Counter(one.verdict for one in scored.cells if one.published is not None)
    told = []
    worst = []
    for run in scored.runs:
        mine = [one for one in alarms if one.run == run.name and one.sort == ALL_REALS]
        if mine:
            # As they are; of degraded copies alone, the worst.
            worst.append(min(mine, key=lambda one: (bool(one.processed), -one.rate.value)))
    if len(worst) > _MOST_TOLD:
        rates = [one.rate.value for one in worst]
        told.append(f"{len(worst)} detectors called {min(rates):.1%} to {max(rates):.1%} of the real pictures fake")
    else:
        for one in worst:
            after = f" after {one.processed}" if one.processed else ""
            told.append(f"{one.run} called {one.called_fake:,} of {one.reals:,} real pictures fake{after}")
    published = sum(counts.values())
    if published:
        told.append(
            f"of {published:,} published numbers {counts['pass']:,} were met within {scored.protocol.tolerance:g}, "
            f"{counts['differs']:,} differ, {counts['not comparable']:,} cannot be compared and "
            f"{counts['not measured']:,} were not measured"
        )
    else:
        told.append("no number was published for these rows")
    blind = [run.name for run in scored.runs if run.is_random]
    if blind:
        # First of all: a reader must not take what follows for a finding.
        every = len(blind) == len(scored.runs)
        some = "all detectors here have random weights" if every else f"random weights in {', '.join(blind)}"
        told.insert(0, f"{some}, whose numbers mean nothing")
    sentence = "; ".join(told) + "."
    return sentence if alarms and not blind else sentence[:1].upper() + sentence[1:]


def _alarm_section(scored: Scored, alarms: Sequence[FalseAlarms], drawings: bool) -> Section:
    columns = (
        Column("detector"), Column("real pictures"), Column("sent through"),
        Column("called fake", unit="%", better="lower", format=".1f"), Column("low", unit="%", format=".1f"),
        Column("high", unit="%", format=".1f"), Column("n"),
    )  # fmt: skip
    rows = tuple(
        (one.run, one.sort, one.processed or "nothing", 100 * one.rate.value, 100 * one.rate.low, 100 * one.rate.high,
         one.reals)
        for one in alarms
    )  # fmt: skip
    text = ["What a user of a detector meets most are real pictures. So before anything else: how many it calls fake."]
    if not alarms:
        text.append("Not measured: no real picture with a score is among those judged.")
        return Section("False alarms by sort of real picture", tuple(text))
    level = scored.protocol.threshold
    note = f"Called fake: probability above {level:g}. Intervals are 95 %, over origins; with one origin there is none."
    figures = []
    for number, run in enumerate(scored.runs, 1):
        mine = [one for one in alarms if one.run == run.name]
        if drawings and 1 < len(mine) <= 40:
            names = [one.sort + (f", {one.processed}" if one.processed else "") for one in mine]
            figures.append(
                charts.bars(
                    f"false-alarms-{number}-{_slug(run.name)}",
                    f"Real pictures called fake by {run.name}",
                    {name: 100 * one.rate.value for name, one in zip(names, mine, strict=True)},
                    label="real pictures called fake (%)",
                    intervals={
                        name: (100 * one.rate.low, 100 * one.rate.high)
                        for name, one in zip(names, mine, strict=True)
                        if not np.isnan(one.rate.low)
                    },
                    note="Lines are 95 % intervals.",
                )
            )
    table = Table("false-alarms", "Real pictures called fake", columns, rows, note)
    return Section("False alarms by sort of real picture", tuple(text), (table,), tuple(figures))


def _table_section(scored: Scored) -> Section:
    protocol = scored.protocol
    tables = [_wide(scored, metric) for metric in protocol.metrics]
    tables.append(_long(scored))
    text = [
        f"{protocol.title}. Data: {protocol.data}.",
        *([f"Preprocessing: {protocol.preprocessing}."] if protocol.preprocessing else []),
        f"A picture is called fake above {protocol.threshold:g}; a cell passes when ours is within "
        f"{protocol.tolerance:g} of the published number and nothing speaks against comparing the two.",
    ]
    return Section("The table", tuple(text), tuple(tables))


def _number(scored: Scored, metric: str) -> Number:
    return number_of(metric, identification=scored.protocol.view == "identification")


def _column(scored: Scored, metric: str) -> Column:
    number = _number(scored, metric)
    unit = "%" if scored.protocol.percent and number.is_share else number.column.unit
    form = ".2f" if unit == "%" else number.column.format
    return Column(number.column.name, unit=unit, better=number.column.better, format=form)


def _wide(scored: Scored, metric: str) -> Table:
    """As papers print it: a column a part; ours, the published row and the difference below one another."""
    protocol, head = scored.protocol, _column(scored, metric)
    parts = _parts(scored)
    rows: list[tuple[Any, ...]] = []
    marks = _Footnotes()
    for run in scored.runs:
        cells = [scored.cell(run.name, part, metric) for part in parts]
        reasons = [why for cell in cells for why in cell.reasons if cell.verdict != "pass"]
        rows.append((run.name, f"ours{marks.of(reasons)}", *(_known(cell.estimate.value) for cell in cells)))
        rows.append((run.name, "interval, half", *(_known(cell.estimate.half_width) for cell in cells)))
        if any(cell.published is not None for cell in cells):
            rows.append((run.row, "published", *(cell.published for cell in cells)))
            rows.append((run.name, "difference", *(cell.difference for cell in cells)))
    ours = {run.row for run in scored.runs}
    for row in protocol.rows:
        values = [protocol.value(row.name, part, metric) for part in parts]
        if row.name not in ours and any(value is not None for value in values):
            rows.append((row.name, "published", *values))
    title = f"{head.title}, a column a part"
    columns = (Column("row"), Column("which"), *(Column(part, format=head.format) for part in parts))
    note = "Half of the 95 % interval over origins; an empty place was not measured or not published."
    return Table(f"table-{_slug(metric)}", title, columns, tuple(rows), " ".join([note, *marks.lines]))


def _long(scored: Scored) -> Table:
    marks = _Footnotes()
    columns = (
        Column("row"), Column("part"), Column("metric"), Column("unit"), Column("ours", format=".4g"),
        Column("low", format=".4g"), Column("high", format=".4g"), Column("reals"), Column("fakes"), Column("origins"),
        Column("published", format=".4g"), Column("difference", format="+.3g"), Column("tolerance", format="g"),
        Column("verdict"),
    )  # fmt: skip
    rows = []
    for one in scored.cells:
        head = _column(scored, one.metric)
        told = one.verdict + marks.of(one.reasons if one.verdict != "pass" else ())
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[head.better]
        unit = "share" if _number(scored, one.metric).is_share else None
        rows.append(
            (one.row, one.part, head.name + arrow, head.unit or unit, _known(one.estimate.value),
             _known(one.estimate.low), _known(one.estimate.high), one.reals, one.fakes, one.estimate.groups or None,
             one.published, one.difference, None if one.published is None else scored.protocol.tolerance, told)
        )  # fmt: skip
    note = "Intervals are 95 %, over origins. " + " ".join(marks.lines)
    return Table("cells", "Every cell", columns, tuple(rows), note.strip())


class _Footnotes:
    """Reasons by number, each told once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, reasons: Sequence[str]) -> str:
        """The marks of these reasons, such as " (1, 3)"."""
        found = sorted({self.numbers.setdefault(why, len(self.numbers) + 1) for why in dict.fromkeys(reasons)})
        return f" ({', '.join(map(str, found))})" if found else ""

    @property
    def lines(self) -> list[str]:
        """The notes, in the order of their numbers."""
        return [f"({number}) {why}." for why, number in self.numbers.items()]


def _difference_section(scored: Scored, minus: Mapping[str, Any] | None, drawings: bool) -> Iterator[Section]:
    """This score minus another, cell by cell, ours and the published ones."""
    if minus is None:
        return
    theirs = {(one["row"], one["part"], one["metric"]): one for one in minus["cells"]}
    other = minus["protocol"]["name"]
    columns = (
        Column("row"), Column("part"), Column("metric"), Column("ours, this minus that", format="+.3g"),
        Column("published, this minus that", format="+.3g"),
    )  # fmt: skip
    rows, figures = [], []
    parts = _parts(scored)
    for metric in scored.protocol.metrics:
        found: dict[str, list[float]] = {}
        for run in scored.runs:
            for part in parts:
                cell, that = scored.cell(run.name, part, metric), theirs.get((run.name, part, metric))
                if that is None:
                    continue
                ours = None if that["value"] is None else _known(cell.estimate.value - that["value"])
                told = None
                if cell.published is not None and that["published"] is not None:
                    told = cell.published - that["published"]
                rows.append((run.name, part, metric, ours, told))
                found.setdefault(run.name, [float("nan")] * len(parts))[parts.index(part)] = (
                    float("nan") if ours is None else ours
                )
        if drawings and found and np.isfinite(list(found.values())).any():
            values = np.array(list(found.values()))
            reach = float(np.nanmax(np.abs(values))) or 1.0
            figures.append(
                charts.matrix(
                    f"difference-{_slug(metric)}", f"{metric}: {scored.protocol.name} minus {other}", list(found),
                    list(parts), values, label=f"difference of {_column(scored, metric).title}", low=-reach, high=reach,
                    format="+.1f" if scored.protocol.percent else "+.3f", signed=True,
                )
            )  # fmt: skip
    if not rows:
        raise BadSetting(
            "nothing to subtract: the two scores have no cell in common", wanted=f"rows and parts of {other}",
            got=f"rows {', '.join(run.name for run in scored.runs)}", hint="give both runs the same name",
        )  # fmt: skip
    table = Table("difference", f"{scored.protocol.name} minus {other}", columns, tuple(rows))
    yield Section(f"What changes against {other}", (), (table,), tuple(figures))


def _charts_section(scored: Scored) -> Iterator[Section]:
    figures = [*_matrices(scored), *_sweeps(scored), *_confusions(scored), *_curves(scored)]
    if figures:
        yield Section("Charts", (), (), tuple(figures))


def _matrices(scored: Scored) -> Iterator[Figure]:
    parts = _parts(scored)
    if len(parts) < 2 or scored.protocol.view in ("sweep", "time"):
        return
    # A plain table has a dozen metrics; the first few are drawn, all are printed.
    few = scored.protocol.metrics[:_MOST_DRAWN] if scored.protocol.view == "table" else scored.protocol.metrics
    for metric in few:
        number = _number(scored, metric)
        if not number.is_share:
            continue
        scale = 100.0 if scored.protocol.percent else 1.0
        head, form = _column(scored, metric), ".1f" if scored.protocol.percent else ".3f"
        published = [run for run in scored.runs if any(_published(scored, run, parts, metric))]
        rows = {run.name: [scored.cell(run.name, part, metric).estimate.value for part in parts] for run in scored.runs}
        ours = len(rows)
        if not np.isfinite(list(rows.values())).any():
            continue
        for run in published:
            # One chart and one scale for both, so that nothing but the number differs.
            values = [scored.cell(run.name, part, metric).published for part in parts]
            rows[f"{run.row}, published"] = [float("nan") if one is None else one for one in values]
        yield charts.matrix(
            f"matrix-{_slug(metric)}", f"{number.column.name} by part", list(rows), list(parts),
            np.array(list(rows.values())), label=head.title.replace("↑", "(higher is better)")
            .replace("↓", "(lower is better)"), low=0.0, high=scale, format=form,
            note=f"Empty: not measured.{' Published rows are below ours.' if len(rows) > ours else ''}",
        )  # fmt: skip


def _published(scored: Scored, run: Run, parts: Sequence[str], metric: str) -> list[bool]:
    return [scored.cell(run.name, part, metric).published is not None for part in parts]


def _sweeps(scored: Scored) -> Iterator[Figure]:
    """Curves over the level of a sweep, with a band for the interval; bins of area stand at their upper end."""
    protocol = scored.protocol
    if protocol.view not in ("sweep", "bins"):
        return
    levels = {
        part.name: part.level if part.level is not None else None if part.area is None else 100 * part.area[1]
        for part in protocol.parts
    }
    known = sorted((level, name) for name, level in levels.items() if level is not None)
    if len(known) < 2:
        return
    x = np.array([level for level, _ in known])
    for metric in protocol.metrics:
        lines: dict[str, tuple[Floats, Floats]] = {}
        bands: dict[str, tuple[Floats, Floats]] = {}
        points: dict[str, tuple[Floats, Floats]] = {}
        for run in scored.runs[:_MOST_LINES]:
            cells = [scored.cell(run.name, name, metric) for _, name in known]
            lines[run.name] = (x, np.array([one.estimate.value for one in cells]))
            bands[run.name] = (
                np.array([one.estimate.low for one in cells]), np.array([one.estimate.high for one in cells]),
            )  # fmt: skip
            told = [(level, one.published) for (level, _), one in zip(known, cells, strict=True)]
            told = [(level, value) for level, value in told if value is not None]
            if told:
                points[run.name] = (np.array([level for level, _ in told]), np.array([value for _, value in told]))
        head = _column(scored, metric)
        yield charts.curves(
            f"sweep-{_slug(metric)}", f"{head.name} over {protocol.axis or 'the level'}", lines,
            x_label=protocol.axis or ("mask area up to (% of the frame)" if protocol.view == "bins" else "level"),
            y_label=f"{head.name} ({head.unit})" if head.unit else head.name, bands=bands, points=points,
            note="Bands are 95 % intervals over origins.",
        )  # fmt: skip


def _confusions(scored: Scored) -> Iterator[Figure]:
    if scored.protocol.view != "identification":
        return
    for number, run in enumerate(scored.runs, 1):
        whole = max(
            (one for one in scored.served if one.run == run.name), key=lambda one: len(one.material), default=None
        )
        found = None if whole is None else confusion_of(whole.material)
        if whole is None or found is None:
            continue
        counts = ", ".join(
            f"{name} {int(count):,}" for name, count in zip(found.names, found.counts.sum(1), strict=True)
        )
        yield charts.matrix(
            f"confusion-{number}-{_slug(run.name)}", f"What {run.name} answers", list(found.names), list(found.names),
            found.shares, label="share of the row's pictures", format=".2f",
            note=f"Rows are the truth, columns the answers. Part '{whole.part}'. Pictures: {counts}.",
        )  # fmt: skip


def _curves(scored: Scored) -> Iterator[Figure]:
    """ROC of all runs, and a reliability diagram of each, over all pictures of all parts as they are."""
    whole = {run.name: _whole(scored, run) for run in scored.runs}
    known = {
        name: one for name, one in whole.items()
        if one is not None and one.reals and one.fakes and not np.isnan(one.logit).any()
    }  # fmt: skip
    if not known or scored.protocol.view in ("identification", "time"):
        return
    for at in range(0, len(known), _MOST_LINES):
        some = dict(list(known.items())[at : at + _MOST_LINES])
        reals = min(one.reals for one in some.values())
        few = f" With {reals:,} reals, rates below {1 / reals:.1%} cannot be told." if reals < _FEW else ""
        yield roc(
            "roc" if at == 0 else f"roc-{at // _MOST_LINES + 1}",
            "ROC over all pictures of all parts",
            {name: (one.fake, one.logit) for name, one in some.items()},
            note=f"Each picture once, as it was and not degraded.{few}",
        )
    for number, (name, one) in enumerate(list(known.items())[:_MOST_LINES], 1):
        yield reliability_diagram(
            f"reliability-{number}-{_slug(name)}", f"What {name} promises and what came true",
            reliability(one.fake, one.probability),
            note=f"{len(one):,} pictures, {one.fakes:,} fake: the share of fakes is this set's, not the world's.",
        )  # fmt: skip


def _whole(scored: Scored, run: Run) -> Material | None:
    """All pictures of a run that are in some part and not degraded, each once."""
    mine = [one for one in scored.taken if one.run == run.name and not one.degraded_by and one.used.any()]
    if not mine:
        return None
    ids = np.concatenate([one.judged.manifest.values("id")[one.used] for one in mine])
    _, first = np.unique(ids.astype(str), return_index=True)
    first.sort()

    def joined(of: Any) -> Any:
        return np.concatenate([of(one)[one.used] for one in mine])[first]

    return Material(
        ids=ids[first],
        fake=joined(lambda one: one.judged.fake),
        logit=joined(lambda one: one.judged.logit),
        probability=joined(lambda one: one.probability),
        group=joined(lambda one: one.judged.groups),
        seconds=np.full(len(first), np.nan),
    )


def _gallery_section(scored: Scored, count: int) -> Iterator[Section]:
    """Some pictures, drawn by the hash of their id: nobody chose them, and every report shows the same ones."""
    exhibits = gallery_of(scored, count)
    if exhibits:
        yield Section(
            "Masks",
            ("Edited pictures drawn by the hash of their id: not chosen, and the same in every report.",),
            (),
            (
                mask_gallery(
                    "masks", "Picture, truth, and what was marked", exhibits,
                    note="Truth: white is fake. Marked: the brighter, the more fake.",
                ),
            ),
        )  # fmt: skip


def gallery_of(scored: Scored, count: int) -> list[Exhibit]:
    """At most `count` edited pictures with a mask of truth and one prediction at least, drawn by hash."""
    candidates: dict[str, tuple[Taken, int]] = {}
    masks: dict[str, dict[str, Path]] = {}
    for one in scored.taken:
        if one.degraded_by:
            continue
        ids = one.judged.manifest.column("id").to_pylist()
        drawn = one.judged.manifest.column("mask_path").to_pylist()
        for row, (id, truth, path) in enumerate(zip(ids, drawn, one.judged.mask_paths(), strict=True)):
            if one.used[row] and truth is not None and path is not None and one.judged.fake[row]:
                candidates.setdefault(id, (one, row))
                masks.setdefault(id, {})[one.run] = path
    found: list[Exhibit] = []
    runs = [run.name for run in scored.runs if any(run.name in of for of in masks.values())][:_MOST_SHOWN]
    for id in _drawn(scored, candidates, count):
        if len(found) == count:
            break
        taken, row = candidates[id]
        manifest = taken.judged.manifest
        sample = manifest[row]
        try:
            picture, truth = read_picture(manifest.path_of(sample)).pixels, truth_of(manifest, row)
            if isinstance(truth, str):
                continue
            marked = {run: read_scores(masks[id][run]) if run in masks[id] else None for run in runs}
        except (UnreadableImage, OSError):
            continue
        facts = [one for one in (sample.method or sample.generator, sample.mask_type) if one]
        found.append(Exhibit(" · ".join([sample.path, *facts]), picture, truth, marked))
    return found


def _drawn(scored: Scored, candidates: Mapping[str, Any], count: int) -> list[str]:
    """Ids by their hash; of a gallery protocol a few of each part come first."""
    drawn = sorted(candidates, key=lambda id: share_of("gallery", id))
    if scored.protocol.view != "gallery":
        return drawn
    each = max(1, count // len(scored.protocol.parts))
    first: dict[str, None] = {}
    for part in scored.protocol.parts:
        mine = {id for one in scored.served if one.part == part.name for id in one.material.ids.tolist()}
        first |= dict.fromkeys([id for id in drawn if id in mine][:each])
    return [*first, *(id for id in drawn if id not in first)]


def _control_section(held: Sequence[Control]) -> Section:
    columns = (
        Column("control"), Column("detector"), Column("holds"), Column("value", format=".3f"),
        Column("low", format=".3f"), Column("high", format=".3f"), Column("in words"),
    )  # fmt: skip
    rows = tuple(
        (one.name, one.run or "none", one.holds, None if one.estimate is None else one.estimate.value,
         None if one.estimate is None else _known(one.estimate.low),
         None if one.estimate is None else _known(one.estimate.high), one.sentence)
        for one in held
    )  # fmt: skip
    text = (
        "Metadata only: what a table of file facts reaches on the same pictures. Shuffled labels: must come out as "
        "chance. Processed reals: real pictures sent through a chain of degradations are still real.",
    )
    return Section("Controls", text, (Table("controls", "Controls", columns, rows),))


def _how(scored: Scored) -> Section:
    protocol = scored.protocol
    text = [
        "Intervals are 95 %, by drawing origins (a photo and all that was made of it) again, within the classes. They "
        "tell of the choice of pictures alone: not of training again, nor of another sort of picture.",
        "Not drawn again, so without interval: best thresholds of a set and pooled AUC of pixels.",
        *(f"{run.name} has random weights: its numbers mean nothing." for run in scored.runs if run.is_random),
    ]
    for run in scored.runs:
        if run.left_out:
            lost = ", ".join(f"{count:,} {why}" for why, count in run.left_out.items())
            text.append(f"{run.name}: pictures without a score: {lost}.")
    if protocol.calibration != "none":
        for name, one in scored.calibrations.items():
            text.append(
                f"{name}: probabilities were calibrated on {one.pictures:,} pictures (slope {one.slope:.3g}, offset "
                f"{one.offset:.3g})."
            )
        text.append(
            "As published, the calibration pictures are among those judged: a leak, kept to compare like with like."
            if protocol.calibration == "published"
            else "The calibration pictures are not among those judged."
        )
    text += [f"{line}." for line in dict.fromkeys(scored.remarks)]
    text += [line if line.endswith(".") else f"{line}." for line in protocol.notes]
    return Section("What to know about these numbers", tuple(text))


def _parts(scored: Scored) -> tuple[str, ...]:
    names = [part.name for part in scored.protocol.parts]
    return (*names, MEAN) if any(one.part == MEAN for one in scored.cells) and MEAN not in names else tuple(names)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _slug(text: str) -> str:
    return _SLUG.sub("-", text.lower()).strip("-")[:60] or "x"
