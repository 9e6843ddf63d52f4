"""The page of the studies: tables and curves of the results that lie in `studies/` beside it, between its marks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.files import write_bytes, write_text
from fauxlens.core.report import Figure
from fauxlens.report import charts

AS_THEY_WERE, ALIGNED = "as they were", "aligned"
Result = Mapping[str, Any]
Runs = Sequence[Mapping[str, Any]]


def write(folder: Path) -> None:
    """Put what is known into `folder/studies.md` and the curves beside the results; the page's own words stay."""
    page = folder / "studies.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else _bare()
    for study, told in STUDIES.items():
        path = folder / "studies" / f"{study}.json"
        if not path.is_file():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        lines, figures = told(result) if result["runs"] else ([], [])
        if missing := result["missing"]:
            several = len(missing) + len(result["runs"])
            lines = [f"**{len(missing)} of {several} runs are not done yet**, so this is no result.", "", *lines]
        for figure in figures:
            write_bytes(folder / "studies" / f"{figure.name}.svg", figure.data)
            lines += ["", f"![{figure.alternative}](studies/{figure.name}.svg)"]
            lines += ["", f"*{figure.title}.*"]
        text = between(text, study, "\n".join(lines))
    write_text(page, text)


def between(text: str, name: str, lines: str) -> str:
    """The text with `lines` between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no marks {begin} and {end}")
    return f"{before}{begin}\n{lines}\n{end}{after}"


def spread(values: Iterable[float], format: str = ".3f") -> str:
    """The mean over seeds, and the lowest and the highest; the number alone where there is one."""
    found = [value for value in values if value is not None and np.isfinite(value)]
    if not found:
        return "-"
    if len(found) == 1:
        return f"{found[0]:{format}}"
    return f"{np.mean(found):{format}} ({min(found):{format}} to {max(found):{format}})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of Markdown; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


# The first study.


def of_format(result: Result) -> tuple[list[str], list[Figure]]:
    """Own family, other families, all together; matrices; accuracy over quality."""
    runs, families = result["runs"], list(result["sizes"]["families"])
    conditions = _conditions(runs[0]["tests"])
    lines = _seeds(runs)
    for title, is_own in (("The family that was learnt", True), ("The other families", False)):
        rows = []
        for name, family in itertools.product(_in_order(runs, "trained_on"), families):
            mine = [run for run in runs if (run["trained_on"], run["generator"]) == (name, family)]
            tested = [family] if is_own else [one for one in families if one != family]
            if mine:
                rows.append((f"{name}: {family}", *(_accuracy(mine, condition, tested) for condition in conditions)))
        lines += ["", f"{title}, accuracy:", "", *table(("learnt from", *conditions), rows)]
    rows = []
    for name in _in_order(runs, "trained_on"):
        mine = [run for run in runs if run["trained_on"] == name]
        for number, is_own in itertools.product(("accuracy", "AUC"), (True, False)):
            told = (spread(_each_seed(mine, partial(_of_run, one, is_own, number))) for one in conditions)
            rows.append((f"{name}: {number}, {'own family' if is_own else 'other families'}", *told))
        alarms = (spread(_each_seed(mine, partial(_alarms, condition))) for condition in conditions)
        rows.append((f"{name}: photos called fake", *alarms))
    lines += ["", "The mean over the families that were learnt:", "", *table(("learnt from", *conditions), rows)]
    lines += ["", *_about_pictures(result["about"])]
    return lines, [_over_quality(runs, conditions, families), *_matrices(runs, families)]


def _accuracy(runs: Runs, condition: str, tested: Sequence[str]) -> str:
    return _told_of(runs, condition, tested, "accuracy")


def _told_of(runs: Runs, condition: str, tested: Sequence[str], number: str) -> str:
    return spread(_each_seed(runs, partial(_of_families, condition, tested, number)))


def _of_families(condition: str, tested: Sequence[str], number: str, run: Mapping[str, Any]) -> float:
    return _mean([run["tests"][condition]["generators"][family][number] for family in tested])


def _of_run(condition: str, is_own: bool, number: str, run: Mapping[str, Any]) -> float:
    """The number of the family that was learnt, or the mean of the others'."""
    cells = run["tests"][condition]["generators"]
    return _mean([cell[number] for family, cell in cells.items() if (family == run["generator"]) == is_own])


def _alarms(condition: str, run: Mapping[str, Any]) -> float:
    return float(run["tests"][condition]["photos_called_fake"])


def _each_seed(runs: Runs, of: Callable[[Mapping[str, Any]], float]) -> list[float]:
    """The mean over the runs of each seed; a seed of which runs are missing is left out where others are whole."""
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        by_seed.setdefault(run["seed"], []).append(of(run))
    most = max(len(several) for several in by_seed.values())
    return [_mean(several) for several in by_seed.values() if len(several) == most]


def _matrices(runs: Runs, families: Sequence[str]) -> list[Figure]:
    """For each set and both conditions: the family that was learnt by the family that is tested."""
    found = []
    for name, condition in itertools.product(_in_order(runs, "trained_on"), (AS_THEY_WERE, ALIGNED)):
        cells = np.full((len(families), len(families)), np.nan)
        for row, column in itertools.product(range(len(families)), range(len(families))):
            cells[row, column] = _mean(
                [
                    run["tests"][condition]["generators"][families[column]]["accuracy"]
                    for run in runs
                    if (run["trained_on"], run["generator"]) == (name, families[row])
                ]
            )
        name_of_file = f"format-{name}-{condition}".replace(" ", "-")
        title = f"Trained on the set {name}, tested {condition}: accuracy, mean over the seeds"
        found.append(charts.matrix(name_of_file, title, families, families, cells, label="accuracy", low=0.4))
    return found


def _over_quality(runs: Runs, conditions: Sequence[str], families: Sequence[str]) -> Figure:
    """Accuracy against the quality at which all test pictures were saved again; 100 stands for as they were."""
    saved = sorted((int(one.removeprefix("JPEG ")), one) for one in conditions if one.startswith("JPEG "))
    saved.append((100, AS_THEY_WERE))
    x = np.array([quality for quality, _ in saved], dtype=np.float64)
    lines, bands = {}, {}
    for name in _in_order(runs, "trained_on"):
        mine = [run for run in runs if run["trained_on"] == name]
        y = np.array([_each_seed(mine, partial(_of_families, one, families, "accuracy")) for _, one in saved])
        label = f"trained on the set {name}"
        lines[label], bands[label] = (x, y.mean(axis=1)), (y.min(axis=1), y.max(axis=1))
    return charts.curves(
        "format-quality",
        "All families, trained and tested: accuracy when all test pictures are saved again (at 100: as they were)",
        lines, bands=bands, x_label="JPEG quality of the last save", y_label="accuracy",
    )  # fmt: skip


def _about_pictures(about: Mapping[str, Any]) -> list[str]:
    photos = ", ".join(
        f"{count} to {'learn' if name == 'train' else 'test'}" for name, count in about["photos"].items()
    )
    decibels = ", ".join(f"{family} {value:.1f}" for family, value in about["made_decibels"].items())
    quality = about["jpeg_quality"]
    lines = [
        f"Photos: {photos}; JPEG quality {quality['lowest']} to {quality['highest']}, median {quality['median']}. "
        f"Made pictures against their photo, dB: {decibels}."
    ]
    told = {name: found for name, found in about["auc_of_file_facts"].items() if found is not None}
    if told:
        facts = "; ".join(
            f"{name} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" for name, one in told.items()
        )
        lines.append(f"What the audit tells of the label from file facts alone (AUC): {facts}.")
    return lines


# The second study.


def of_topk(result: Result) -> tuple[list[str], list[Figure]]:
    """A line for each share of the places; bars of the pixel AUC."""
    runs = result["runs"]
    columns: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "pixel AUC, mean of pictures": lambda run: run["masks"]["macro_auc"],
        "pixel AUC, pooled": lambda run: run["masks"]["pooled_auc"],
        "pixel F1 at 0.5": lambda run: run["masks"]["macro_f1"],
        "best F1 of each picture": lambda run: run["masks"]["macro_f1_best_of_picture"],
        "AUC of the verdict": lambda run: run["verdict"]["AUC"],
    }
    for method in _in_order([{"method": one} for run in runs for one in run["methods"]], "method"):
        columns[f"AUC, {method}"] = partial(_of_method, method)
    rows, bars, intervals = [], {}, {}
    for guidance in _in_order(runs, "guidance"):
        mine = [run for run in runs if run["guidance"] == guidance]
        name = "none" if guidance == "none" else f"{guidance} %"
        rows.append((name, *(spread(value(run) for run in mine) for value in columns.values())))
        values = [run["masks"]["macro_auc"] for run in mine]
        bars[name], intervals[name] = float(np.mean(values)), (min(values), max(values))
    figure = charts.bars(
        "topk-auc", "Pixel AUC, mean of pictures, by the share of places that guides; the line is from seed to seed",
        bars, label="pixel AUC", intervals=intervals, reference=0.5,
    )  # fmt: skip
    pictures = ", ".join(f"{name} {count:,}" for name, count in result["about"]["pictures"].items())
    return [*_seeds(runs), "", *table(("guided by", *columns), rows), "", f"Pictures: {pictures}."], [figure]


def _of_method(method: str, run: Mapping[str, Any]) -> float:
    return float(run["methods"].get(method, float("nan")))


# The third study.


def of_selfcon(result: Result) -> tuple[list[str], list[Figure]]:
    """A line for each objective and condition."""
    runs = result["runs"]
    rows = []
    for objective in _in_order(runs, "objective"):
        mine = [run for run in runs if run["objective"] == objective]
        for condition in _conditions(mine[0]["tests"]):
            cells = [list(run["tests"][condition]["generators"].values()) for run in mine]
            numbers = [
                spread(_mean([cell[name] for cell in several]) for several in cells) for name in ("AUC", "accuracy")
            ]
            alarms = spread(run["tests"][condition]["photos_called_fake"] for run in mine)
            rows.append((objective, condition, *numbers, alarms))
    head = ("objective", "tested", "AUC, mean of families", "accuracy", "photos called fake")
    return [*_seeds(runs), "", *table(head, rows)], []


STUDIES: dict[str, Callable[[Result], tuple[list[str], list[Figure]]]] = {
    "format": of_format,
    "topk": of_topk,
    "selfcon": of_selfcon,
}
"""name -> its lines and figures."""


def _seeds(runs: Runs) -> list[str]:
    """How many runs there are of what length."""
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    lengths = dict.fromkeys(
        str(run["steps"])
        if isinstance(run["steps"], int)
        else " and ".join(f"{steps} of {name}" for name, steps in run["steps"].items())
        for run in runs
    )
    return [f"{len(runs)} runs (steps: {'; '.join(lengths)}), seeds {seeds}. Mean over the seeds (lowest to highest)."]


def _in_order(runs: Runs, name: str) -> list[str]:
    return list(dict.fromkeys(run[name] for run in runs))


def _conditions(tests: Iterable[str]) -> list[str]:
    """As they were, aligned, and then ever stronger compression."""
    saved = sorted((one for one in tests if one.startswith("JPEG ")), key=lambda one: -int(one.removeprefix("JPEG ")))
    return [one for one in (AS_THEY_WERE, ALIGNED) if one in tests] + saved


def _mean(values: Any) -> float:
    found = np.asarray(values, dtype=np.float64)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def _bare() -> str:
    return "# Studies\n" + "".join(f"\n<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in STUDIES)
