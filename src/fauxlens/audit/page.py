"""An audit as a Report: one sentence, then charts, then tables; two audits as before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.audit.audit import Audit, is_about_files
from fauxlens.audit.baseline import ALL, FILE_FACTS, Baseline, Variant
from fauxlens.audit.shortcut import FAMILY_ALPHA, Shortcut
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.core.version import __version__
from fauxlens.manifest.manifest import Manifest
from fauxlens.report import charts

_MOST_GROUPS = 8  # lines or outlines that one chart can bear


def report_of(audit: Audit, after: Audit | None = None, *, losses: Table | None = None) -> Report:
    """The report of one audit; with `after`, the same dataset aligned, told side by side, with its `losses`."""
    sections = [*_comparison(audit, after, losses), *_sections(audit, "" if after is None else "Before: ")]
    if after is not None:
        sections += _sections(after, "After: ")
    sections.append(_how(audit, after))
    verdict = audit.sentence if after is None else f"Before: {audit.sentence} After alignment: {after.sentence}"
    return Report(
        title=f"Audit of {audit.manifest.name}",
        verdict=verdict,
        sections=tuple(sections),
        provenance={
            "what": f"fauxlens {__version__} audit, seed {audit.plan.seed}",
            "on": f"{audit.manifest.name}, {len(audit.manifest):,} rows",
            "history": "; ".join(audit.manifest.history) or "none",
        },
        facts=facts_of(audit) if after is None else {"before": facts_of(audit), "after": facts_of(after)},
    )


def facts_of(audit: Audit) -> dict[str, Any]:
    """The machine-readable summary of one audit."""
    baseline = audit.baseline
    told: dict[str, Any] = {
        "sentence": audit.sentence,
        "rows": baseline.count,
        "reals": baseline.reals,
        "fakes": baseline.fakes,
        "groups": baseline.groups,
        "baseline_skipped": baseline.skipped,
        "remarks": list(audit.remarks),
        "pictures": 0 if audit.features is None else len(audit.features),
        "shortcuts": [_plain(one) for one in audit.shortcuts],
        "alarms": len(audit.alarms),
    }
    for variant in baseline.variants:
        told[variant.name.replace(" ", "_")] = {
            "auc": variant.auc.value,
            "interval": [variant.auc.low, variant.auc.high],
            "p_value": variant.p_value,
            "balanced_accuracy": variant.balanced_accuracy,
            "accuracy": variant.accuracy,
            "generators": {
                one.generator: {"auc": one.auc.value, "interval": [one.auc.low, one.auc.high], "files": one.count}
                for one in variant.generators
            },
        }
    return told


def _plain(one: Shortcut) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "generator": one.generator,
        "statistic": one.statistic,
        "statistic_name": one.statistic_name,
        "interval": None if one.interval is None else list(one.interval),
        "p_value": one.p_value,
        "count": one.count,
        "alarm": one.alarm,
        "certain": one.certain,
        "effect": one.effect,
        "meaning": one.meaning,
        "examples": list(one.examples),
        "skipped": one.skipped,
    }


def _comparison(before: Audit, after: Audit | None, losses: Table | None) -> Iterator[Section]:
    if after is None:
        return
    rows = []
    for name in (ALL, FILE_FACTS):
        values = [_auc_text(one.baseline, name) for one in (before, after)]
        rows.append((f"AUC from {name}", *values))
    rows.append(("pictures", f"{before.baseline.count:,}", f"{after.baseline.count:,}"))
    rows.append(("reals", f"{before.baseline.reals:,}", f"{after.baseline.reals:,}"))
    rows.append(("fakes", f"{before.baseline.fakes:,}", f"{after.baseline.fakes:,}"))
    rows.append(("alarms", str(len(before.alarms)), str(len(after.alarms))))
    columns = (Column("what"), Column("before"), Column("after"))
    note = "An interval that contains 0.5 means that the facts were not shown to tell the classes apart."
    changed = Table("before-after", "What alignment changed", columns, tuple(rows), note)
    yield Section("Before and after", tables=(changed,) if losses is None else (changed, losses))


def _auc_text(baseline: Baseline, name: str) -> str:
    return "not run" if baseline.skipped is not None else str(baseline.variant(name).auc)


def _in_short(audit: Audit, prefix: str) -> Section:
    text = []
    for one in audit.alarms:
        if one.name.startswith("fact-"):
            text.append(_sentence(f"{one.title} (AUC {one.statistic:.3f}): {one.effect}"))
    for title in audit.found_in_pictures:
        # The strongest first: its meaning and its examples stand for all, and each generator has its own number.
        mine = sorted((one for one in audit.alarms if one.title == title), key=lambda one: -(one.statistic or 0))
        named = [f"{one.generator} {one.statistic:.2f}" for one in mine if one.generator and one.statistic is not None]
        of = f" Found for {', '.join(named)} ({mine[0].statistic_name})." if named else ""
        look = f" Look at: {', '.join(mine[0].examples[:3])}." if mine[0].examples else ""
        strongest = next((one for one in mine if one.generator), mine[0])
        text.append(f"{title}.{of} {strongest.meaning}{look}")
    return Section(f"{prefix}In short", tuple(text) or ("Nothing was found.",))


def _sections(audit: Audit, prefix: str) -> Iterator[Section]:
    yield _in_short(audit, prefix)
    slug = {"": "", "Before: ": "before-", "After: ": "after-"}[prefix]
    yield _without_looking(audit, prefix, slug)
    yield _in_the_files(audit, prefix, slug)
    yield _in_the_pictures(audit, prefix, slug)


def _without_looking(audit: Audit, prefix: str, slug: str) -> Section:
    baseline = audit.baseline
    title = f"{prefix}Labels told without looking at a pixel"
    if baseline.skipped is not None:
        return Section(title, (f"The baseline was not run: {baseline.skipped}.",))
    best, pure = baseline.variant(ALL), baseline.variant(FILE_FACTS)
    text = [
        "A classifier (gradient-boosted trees) sees only what the files say of themselves: format, quality, chroma, "
        "size, kinds of metadata. It is tested on origins it has not seen.",
        f"With all facts: AUC {best.auc}. Without those that also depend on what the picture shows: AUC {pure.auc}.",
    ]
    if not pure.facts:
        text.append("The file facts are the same in every file, so by construction they tell nothing of the label.")
    if baseline.control is not None:
        text.append(f"Control: {baseline.control.sentence}.")
    tables = [_renamed(table, slug) for one in audit.shortcuts if one.name == "metadata" for table in one.tables]
    figures = [_roc(audit, best, pure, slug)]
    if best.generators:
        figures.append(
            charts.bars(
                f"{slug}generators",
                "Each generator against all reals",
                {one.generator: one.auc.value for one in best.generators},
                intervals={one.generator: (one.auc.low, one.auc.high) for one in best.generators},
                label="AUC from all facts",
                reference=0.5,
                note="95 % intervals over origins; 0.5 is chance.",
            )
        )
        figures.append(_confusion(best, slug))
    return Section(title, tuple(text), tuple(tables), tuple(figures))


def _roc(audit: Audit, best: Variant, pure: Variant, slug: str) -> Figure:
    fake = audit.manifest.usable(listed=True).values("label") != "real"
    lines = {f"{one.name}, AUC {one.auc.value:.3f}": _roc_points(fake, one.score) for one in (best, pure)}
    return charts.curves(
        f"{slug}roc",
        "ROC of the baseline",
        lines,
        x_label="share of reals called fake",
        y_label="share of fakes called fake",
        diagonal=True,
    )


def _roc_points(fake: NDArray[Any], score: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.diff(score[order]) != 0, True]
    hits, misses = np.cumsum(fake[order])[ends], np.cumsum(~fake[order].astype(bool))[ends]
    x, y = np.r_[0, misses / max(misses[-1], 1)], np.r_[0, hits / max(hits[-1], 1)]
    if len(x) > 400:  # a chart cannot show more, and a page should stay small
        keep = np.unique(np.linspace(0, len(x) - 1, 400).astype(int))
        x, y = x[keep], y[keep]
    return x, y


def _confusion(variant: Variant, slug: str) -> Figure:
    reals = int((~np.isnan(variant.score)).sum()) - sum(one.count for one in variant.generators)
    rows = ["real", *(one.generator for one in variant.generators)]
    told_fake = [variant.reals_called_fake / max(reals, 1), *(one.told for one in variant.generators)]
    values = np.array([[1 - share, share] for share in told_fake])
    return charts.matrix(
        f"{slug}confusion",
        "What the baseline says of each generator",
        rows,
        ["called real", "called fake"],
        values,
        label="share",
        note="From file facts alone, at a threshold chosen on other folds.",
    )


def _in_the_files(audit: Audit, prefix: str, slug: str) -> Section:
    manifest = audit.manifest.usable(listed=True)
    groups = _groups(manifest)
    figures: list[Figure] = []
    if len(manifest):
        quality, width, height = (
            manifest.values(name).astype(np.float64) for name in ("jpeg_quality", "width", "height")
        )
        figures.append(
            charts.histogram(
                f"{slug}quality",
                "JPEG quality",
                {name: quality[rows] for name, rows in groups.items()},
                label="JPEG quality",
                bins=tuple(np.arange(0.5, 101.5, 1)),
                note="Files that are no JPEG have none.",
            )
        )
        for name, values in (("width", width), ("height", height)):
            shown = {group: values[rows] for group, rows in groups.items()}
            figures.append(
                charts.histogram(f"{slug}{name}", name.capitalize(), shown, label=f"{name} in pixels", bins=60)
            )
    tables = tuple(
        _crosstab(manifest, name, title, slug)
        for name, title in (
            ("format", "Format"),
            ("subsampling", "Chroma subsampling"),
            ("metadata", "Kinds of metadata"),
        )
    )
    return Section(f"{prefix}What the files say, by class", (), tables, tuple(figures))


def _groups(manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """Rows of reals and of each generator; when there are many, of all fakes together."""
    label = manifest.values("label")
    maker = manifest.values("generator").astype(object)
    real = np.flatnonzero(label == "real")
    names = sorted({str(name) for name in maker[label != "real"] if name is not None})
    found = {"real": real}
    if len(names) > _MOST_GROUPS or not names:
        found["fake"] = np.flatnonzero(label != "real")
    else:
        found.update({name: np.flatnonzero((label != "real") & (maker == name)) for name in names})
    return {name: rows for name, rows in found.items() if len(rows)}


def _crosstab(manifest: Manifest, name: str, title: str, slug: str) -> Table:
    counts = manifest.count("label", name)
    labels = list(dict.fromkeys(str(key[0]) for key in counts))
    values = sorted({key[1] for key in counts}, key=lambda v: (-sum(counts.get((one, v), 0) for one in labels), str(v)))
    rows = tuple((value or "none", *(counts.get((one, value), 0) for one in labels)) for value in values[:30])
    more = "" if len(values) <= 30 else f" (the 30 most frequent of {len(values)})"
    return Table(f"{slug}{name}", title + more, (Column(title.lower()), *(Column(one) for one in labels)), rows)


def _in_the_pictures(audit: Audit, prefix: str, slug: str) -> Section:
    title = f"{prefix}Shortcuts in the pictures"
    found = [one for one in audit.shortcuts if not is_about_files(one)]
    if audit.features is None:
        return Section(title, ("No picture was looked at, by choice or because none can be read.",))
    features = audit.features
    text = [
        f"{len(features):,} pictures were sampled and decoded (at most {audit.plan.per_class:,} reals and "
        f"{audit.plan.per_generator:,} of each generator). With this many, the AUC of a probe that finds nothing lies "
        f"within 0.5 ± {features.half_width():.3f} in 95 of 100 datasets; twice as many pictures would narrow that by "
        "about a third.",
        f"Alarms are set so that a dataset without shortcuts raises any at all in at most {FAMILY_ALPHA:.0%} of cases.",
    ]
    columns = (
        Column("alarm"), Column("what"), Column("generator"), Column("statistic"), Column("value", format=".3f"),
        Column("low", format=".3f"), Column("high", format=".3f"), Column("p", format=".4f"), Column("n"),
    )  # fmt: skip
    rows = tuple(
        (
            one.alarm if one.certain or one.p_value is not None else None,
            one.title,
            one.generator,
            one.statistic_name or None,
            one.statistic,
            None if one.interval is None else one.interval[0],
            None if one.interval is None else one.interval[1],
            one.p_value,
            one.count or None,
        )
        for one in found
    )
    note = "Without p: found by looking (yes), or context and never an alarm (–). Intervals are 95 %, over origins."
    words = tuple((one.title, one.generator, one.skipped or one.effect) for one in found)
    told = (Column("what"), Column("generator"), Column("in words"))
    tables = [
        Table(f"{slug}probes", "Every probe", columns, rows, note),
        Table(f"{slug}probes-in-words", "The same in words", told, words),
    ]
    figures: list[Figure] = []
    for one in found:
        tables += [_renamed(table, slug) for table in one.tables]
        figures += [_renamed_figure(figure, slug) for figure in one.figures]
        if one.name == "spectrum" and one.series:
            figures.append(_spectra(one.series, slug))
    return Section(title, tuple(text), tuple(tables), tuple(figures))


def _spectra(series: Mapping[str, tuple[float, ...]], slug: str) -> Figure:
    frequency = np.array(series["frequency"])
    lines = {name: np.array(values) for name, values in series.items() if name != "frequency"}
    if len(lines) > _MOST_GROUPS + 1:
        lines = {name: values for name, values in lines.items() if name in ("real", "fake")}
    return charts.curves(
        f"{slug}spectra",
        "Mean spectra",
        {name: (frequency, values) for name, values in lines.items()},
        x_label="cycles a pixel",
        y_label="mean log power",
        note="Context: generators are expected to differ here.",
    )


def _how(audit: Audit, after: Audit | None) -> Section:
    text = [*audit.remarks, *(after.remarks if after is not None else ())]
    skipped = [f"{one.title}: {one.skipped}" for one in audit.shortcuts if one.skipped]
    return Section(
        "What to know about these numbers", tuple(dict.fromkeys([*map(_sentence, text), *map(_sentence, skipped)]))
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _renamed(table: Table, slug: str) -> Table:
    return Table(slug + table.name, table.title, table.columns, table.rows, table.note)


def _renamed_figure(figure: Figure, slug: str) -> Figure:
    return Figure(
        slug + figure.name, figure.title, figure.alternative, figure.media_type, figure.data, figure.note, figure.raster
    )
