"""Two detectors on the same pictures: which is better, by how much, and where. Every difference is paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from fauxlens.core.errors import BadPredictions
from fauxlens.core.progress import Progress, silent
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.core.version import __version__
from fauxlens.evaluate.masks import look_at_masks
from fauxlens.evaluate.predictions import Judged
from fauxlens.metrics import image
from fauxlens.metrics.arrays import Flags, Floats
from fauxlens.metrics.interval import Estimate, Mcnemar, bootstrap, delong_test, mcnemar, paired_difference
from fauxlens.report import charts
from fauxlens.report.diagrams import roc

RESAMPLES = 1000
LEAST = 20
ALPHA = 0.05
_WHOLE = ("AUC", "AP", "balanced accuracy", "TPR at 5 % FPR", "Brier")
_PIXELS = {"f1": "macro F1 of masks", "iou": "macro IoU of masks", "auc": "macro AUC of masks"}
_OF_FAKES = ("generator", "method", "mask_type")  # told of fakes alone, so all reals stand against each
_OF_ALL = ("source", "content", "format")
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of both, first minus second, on one slice of the pictures ("" is all of them).

    `p_value` is two-sided, as found; `corrected` is what Holm makes of it among all slices. nan: not tested.
    """

    metric: str
    column: str
    value: str
    first: float
    second: float
    difference: Estimate
    p_value: float
    corrected: float
    fakes: int
    reals: int
    method: str
    lower_is_better: bool = False

    @property
    def better(self) -> int:
        """1 when the first is shown to be better, 2 when the second is, 0 when no difference was shown."""
        gain = -1 if self.lower_is_better else 1
        shown = self.corrected <= ALPHA if self.column else not self.difference.contains(0.0)
        if not shown or np.isnan(self.difference.low):
            return 0
        return 1 if gain * self.difference.value > 0 else 2


@dataclass(frozen=True, eq=False)
class Compared:
    """What was found of two detectors, and the pictures it was found on."""

    names: tuple[str, str]
    whole: tuple[Difference, ...]
    slices: tuple[Difference, ...]
    small: tuple[tuple[str, str, int, int], ...]  # column, value, fakes, reals: left out
    told_right: Mcnemar | None
    is_single: bool  # whether every picture is an origin of its own
    pictures: int
    groups: int
    only_first: int
    only_second: int
    fake: Flags
    scores: tuple[Floats, Floats] | None
    random: tuple[bool, bool] = (False, False)
    sha256: tuple[str | None, str | None] = (None, None)  # of the weights

    @property
    def sentence(self) -> str:
        """Which is better, by how much, in words."""
        first, second = self.names
        if not self.whole:
            return f"{first} and {second} have no number in common on these pictures."
        one = self.whole[0]
        by = f"{one.metric} {one.first:.3f} against {one.second:.3f}, difference {one.difference.value:+.3f}"
        interval = f"95 % interval {one.difference.low:+.3f} to {one.difference.high:+.3f}"
        on = f"on {self.pictures:,} pictures of {self.groups:,} origins"
        if np.isnan(one.difference.low):
            return f"{first} and {second}: {by}, without an interval, {on}."
        if not one.better:
            return f"No difference between {first} and {second} was shown: {by} ({interval}), {on}."
        names = self.names if one.better == 1 else self.names[::-1]
        return f"{names[0]} is better than {names[1]}: {by} ({interval}), {on}."


def compare(
    first: Judged,
    second: Judged,
    *,
    names: tuple[str, str] | None = None,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
    least: int = LEAST,
    masks: bool = True,
    progress: Progress = silent,
) -> Compared:
    """Both on the pictures that both predicted.

    A slice with fewer than `least` fakes or reals is left out and named. With one picture an origin the test of the AUC
    is DeLong's; else p comes from the width of the interval over origins, by the normal law.
    """
    names = names or _names(first, second)
    here, there = first.manifest.column("id").to_pylist(), second.manifest.column("id").to_pylist()
    place = {id: row for row, id in enumerate(there)}
    rows = np.array([row for row, id in enumerate(here) if id in place], dtype=np.int64)
    others = np.array([place[here[row]] for row in rows], dtype=np.int64)
    if not len(rows):
        raise BadPredictions(
            "no picture in common", wanted="two predictions of the same pictures",
            got=f"{len(here):,} and {len(there):,} pictures", hint="give the same manifest to both",
        )  # fmt: skip
    fake, group = first.fake[rows], first.groups[rows]
    if (second.fake[others] != fake).any():
        raise BadPredictions(
            f"{int((second.fake[others] != fake).sum()):,} pictures are real for the one and fake for the other",
            hint="give the same manifest to both",
        )
    logits = first.logit[rows], second.logit[others]
    chances = first.probability[rows], second.probability[others]
    scores = None if any(np.isnan(one).any() for one in logits) else logits
    single = len(np.unique(group)) == len(group)
    study = _Study(fake, group, scores, chances, threshold, resamples, first, rows, least)
    whole, told_right = [], None
    if scores is not None:
        whole = [one for name in _WHOLE if (one := study.picture(name)) is not None]
        told_right = mcnemar((chances[0] > threshold) == fake, (chances[1] > threshold) == fake)
    if masks:
        study.look(first, second, rows, others, progress)
        whole += [one for key in _PIXELS if (one := study.mask(key, np.ones(len(rows), dtype=np.bool_))) is not None]
    found = list(study.slices())
    corrected = holm([one.p_value for one in found])
    found = [replace(one, corrected=value) for one, value in zip(found, corrected, strict=True)]
    return Compared(
        names=names,
        whole=tuple(whole),
        slices=tuple(found),
        small=tuple(study.small),
        told_right=told_right,
        is_single=single,
        pictures=len(rows),
        groups=len(np.unique(group)),
        only_first=len(here) - len(rows),
        only_second=len(there) - len(rows),
        fake=fake,
        scores=scores,
        random=(first.predictions.is_random, second.predictions.is_random),
        sha256=(first.predictions.facts.get("weights_sha256"), second.predictions.facts.get("weights_sha256")),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the chance of any false find among all of them; nan stays nan and is not counted.

    >>> holm([0.01, 0.04, float("nan"), 0.03])
    [0.03, 0.06, nan, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    found = np.full(len(values), np.nan)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, float(values[index]) * (len(order) - rank)))
        found[index] = least
    return [float(one) for one in found]


class _Study:
    """Both detectors on the common pictures, in one order."""

    def __init__(
        self,
        fake: Flags,
        group: np.ndarray[Any, Any],
        scores: tuple[Floats, Floats] | None,
        chances: tuple[Floats, Floats],
        threshold: float,
        resamples: int,
        judged: Judged,
        rows: np.ndarray[Any, Any],
        least: int,
    ) -> None:
        self.fake, self.group, self.scores, self.chances = fake, group, scores, chances
        self.threshold, self.resamples, self.least = threshold, resamples, least
        self.judged, self.rows = judged, rows
        self.marks: dict[str, tuple[Floats, Floats]] = {}
        self.small: list[tuple[str, str, int, int]] = []

    def look(
        self, first: Judged, second: Judged, rows: np.ndarray[Any, Any], others: np.ndarray[Any, Any], tell: Progress
    ) -> None:
        """The numbers of both masks of each picture."""
        if any(all(path is None for path in one.mask_paths()) for one in (first, second)):
            return
        found = []
        for judged, mine in ((first, rows), (second, others)):
            member = np.zeros((len(judged), 1), dtype=np.bool_)
            member[mine] = True
            found.append(look_at_masks(judged, member, threshold=self.threshold, progress=tell))
        for key in _PIXELS:
            self.marks[key] = (found[0].values[key][rows], found[1].values[key][others])

    def picture(self, name: str, keep: Flags | None = None, column: str = "", value: str = "") -> Difference | None:
        """One number of pictures on a slice; None where it is not defined."""
        assert self.scores is not None
        keep = np.ones(len(self.fake), dtype=np.bool_) if keep is None else keep
        metric = image.METRICS[name]
        # Thresholds and calibration speak of probabilities; orders of logits, which do not round to 1.
        ranks = name in ("AUC", "AP", "TPR at 5 % FPR")
        one, two = ((self.scores if ranks else self.chances)[n][keep] for n in (0, 1))
        fake, group = self.fake[keep], self.group[keep]
        fixed = self.threshold if name in ("balanced accuracy", "accuracy") else None

        def of(fake: Flags, score: Floats) -> float:
            return metric.function(fake, score) if fixed is None else metric.function(fake, score, fixed)

        first, second = of(fake, one), of(fake, two)
        if np.isnan(first) or np.isnan(second):
            return None
        difference = paired_difference(
            of, fake, one, two, purpose=f"compare {name} {column} {value}", group=group, resamples=self.resamples
        )
        p_value, method = _p_of(difference)
        if name == "AUC" and len(np.unique(group)) == len(group):
            p_value, method = delong_test(fake, one, two).p_value, "DeLong"
        return Difference(
            name, column, value, first, second, difference, p_value, float("nan"), int(fake.sum()), int((~fake).sum()),
            method, metric.better == "lower",
        )  # fmt: skip

    def mask(self, key: str, keep: Flags, column: str = "", value: str = "") -> Difference | None:
        """One number of masks, the mean over the pictures where both have it."""
        if key not in self.marks:
            return None
        one, two = (given[keep] for given in self.marks[key])
        both = ~np.isnan(one) & ~np.isnan(two)
        if not both.any():
            return None
        difference = bootstrap(
            lambda gap: float(gap.mean()), (one - two)[both], purpose=f"compare {key} {column} {value}",
            group=self.group[keep][both], resamples=self.resamples,
        )  # fmt: skip
        fake = self.fake[keep][both]
        p_value, method = _p_of(difference)
        return Difference(
            _PIXELS[key], column, value, float(one[both].mean()), float(two[both].mean()), difference,
            p_value, float("nan"), int(fake.sum()), int((~fake).sum()), method,
        )  # fmt: skip

    def slices(self) -> Iterator[Difference]:
        """Every slice that is large enough, by each column that tells something."""
        for column in (*_OF_FAKES, *_OF_ALL):
            given = self.judged.manifest.column(column).to_pylist()
            values = np.array([given[row] or "" for row in self.rows], dtype=object)
            names = sorted({one for one in values if one})
            if column in _OF_ALL and len(names) < 2:
                continue  # one value alone is the whole again
            for name in names:
                of_name = values == name
                keep = (of_name & self.fake) | ~self.fake if column in _OF_FAKES else of_name
                fakes, reals = int((keep & self.fake).sum()), int((keep & ~self.fake).sum())
                if fakes < self.least or reals < self.least:
                    self.small.append((column, name, fakes, reals))
                    continue
                for one in (
                    self.picture("AUC", keep, column, name) if self.scores is not None else None,
                    self.mask("f1", keep, column, name),
                ):
                    if one is not None:
                        yield one


def _p_of(difference: Estimate) -> tuple[float, str]:
    """Two-sided p and how it was found; nan where both are the same, or where there is no interval."""
    if difference.half_width > 0:
        deviation = difference.half_width / _NORMAL.inv_cdf((1 + difference.level) / 2)
        return 2 * _NORMAL.cdf(-abs(difference.value) / deviation), "bootstrap over origins"
    if difference.half_width == 0 and difference.value:
        # All draws say the same: as many origins on one side as fair coins that all fall alike.
        return float(0.5 ** (difference.groups - 1)), "sign over origins"
    return float("nan"), "none"


def _names(first: Judged, second: Judged) -> tuple[str, str]:
    one, two = first.predictions.title, second.predictions.title
    return (one, two) if one != two else (f"{one}, first", f"{two}, second")


def report_of(found: Compared) -> Report:
    """The comparison as a page."""
    first, second = found.names
    columns = (
        Column("metric"), Column(first, format=".3f"), Column(second, format=".3f"),
        Column("difference", format="+.3f"), Column("low", format="+.3f"), Column("high", format="+.3f"),
        Column("p", format=".2g"), Column("test"), Column("fakes"), Column("reals"), Column("better"),
    )  # fmt: skip
    whole = Table(
        "whole", f"{first} minus {second}, all pictures", columns,
        tuple(_row(one, found)[2:] for one in found.whole),
        "Intervals are 95 %, both drawn together over origins. One that holds 0: no difference was shown.",
    )  # fmt: skip
    text = [found.sentence]
    if found.told_right is not None:
        one = found.told_right
        text.append(
            f"Pictures that only {first} told right: {one.only_first:,}; only {second}: {one.only_second:,} "
            f"(McNemar, p = {one.p_value:.3g}"
            + (")." if found.is_single else "; exact for independent pictures, and these share origins).")
        )
    text += [
        f"{name} has random weights: its numbers mean nothing."
        for name, random in zip(found.names, found.random, strict=True)
        if random
    ]
    sliced = Table(
        "slices", "Where", (Column("by"), Column("slice"), *columns[:7], Column("p, Holm", format=".2g"), *columns[7:]),
        tuple(_row(one, found, corrected=True) for one in found.slices),
        f"Better: shown at {ALPHA:.0%} over all {len(found.slices)} slices together (Holm). Generator, method and mask "
        "type: the fakes of it against all reals.",
    )  # fmt: skip
    small = Table(
        "left-out", "Slices too small to tell", (Column("by"), Column("slice"), Column("fakes"), Column("reals")),
        found.small,
    )  # fmt: skip
    sections = [
        Section("Which is better", tuple(text), (whole,), tuple(_roc(found))),
        Section(
            "Where", () if found.slices else ("No slice is large enough.",), (sliced,) if found.slices else (),
            tuple(_forest(found)),
        ),
    ]  # fmt: skip
    if found.small:
        sections.append(Section("Left out", (), (small,)))
    return Report(
        title=f"{first} against {second}",
        verdict=found.sentence,
        sections=tuple(sections),
        provenance={
            "what": f"fauxlens {__version__} compare",
            "on": f"{found.pictures:,} pictures that both predicted; {found.only_first:,} only the first, "
            f"{found.only_second:,} only the second",
            "weights": "; ".join(f"{n}: {one or 'no file'}" for n, one in zip(found.names, found.sha256, strict=True)),
        },
        facts=facts_of(found),
    )


def facts_of(found: Compared) -> dict[str, Any]:
    """The machine-readable summary."""
    return {
        "sentence": found.sentence,
        "first": found.names[0],
        "second": found.names[1],
        "weights_sha256": list(found.sha256),
        "pictures": found.pictures,
        "origins": found.groups,
        "only_first": found.only_first,
        "only_second": found.only_second,
        "told_right": None
        if found.told_right is None
        else {
            "only_first": found.told_right.only_first,
            "only_second": found.told_right.only_second,
            "p_value": found.told_right.p_value,
            "independent": found.is_single,
        },
        "whole": [_plain(one) for one in found.whole],
        "slices": [_plain(one) for one in found.slices],
        "left_out": [
            {"column": column, "value": value, "fakes": fakes, "reals": reals}
            for column, value, fakes, reals in found.small
        ],
    }


def _plain(one: Difference) -> dict[str, Any]:
    return {
        "metric": one.metric, "column": one.column or None, "value": one.value or None, "first": one.first,
        "second": one.second, "difference": one.difference.value,
        "interval": [one.difference.low, one.difference.high], "p_value": one.p_value, "corrected": one.corrected,
        "fakes": one.fakes, "reals": one.reals, "test": one.method,
        "better": {0: None, 1: "first", 2: "second"}[one.better],
    }  # fmt: skip


def _row(one: Difference, found: Compared, *, corrected: bool = False) -> tuple[Any, ...]:
    known = [None if np.isnan(value) else value for value in (one.difference.low, one.difference.high, one.p_value)]
    arrow = " ↓" if one.lower_is_better else " ↑"
    return (
        one.column, one.value, one.metric + arrow, one.first, one.second, one.difference.value, *known,
        *([None if np.isnan(one.corrected) else one.corrected] if corrected else []),
        one.method, one.fakes, one.reals, ("not shown", *found.names)[one.better],
    )  # fmt: skip


def _roc(found: Compared) -> Iterator[Figure]:
    if found.scores is not None and found.fake.any() and not found.fake.all():
        lines = {name: (found.fake, score) for name, score in zip(found.names, found.scores, strict=True)}
        yield roc("roc", "ROC on the common pictures", lines)


def _forest(found: Compared) -> Iterator[Figure]:
    for number, metric in enumerate(dict.fromkeys(one.metric for one in found.slices), 1):
        mine = [one for one in found.slices if one.metric == metric and not np.isnan(one.difference.low)][:40]
        if mine:
            names = [f"{one.column.replace('_', ' ')}: {one.value}" for one in mine]
            yield charts.bars(
                f"slices-{number}", f"{metric}: {found.names[0]} minus {found.names[1]}",
                {name: one.difference.value for name, one in zip(names, mine, strict=True)},
                label=f"difference of {metric}", reference=0.0,
                intervals={
                    name: (one.difference.low, one.difference.high) for name, one in zip(names, mine, strict=True)
                },
                note=f"Above 0: {found.names[0]} is better. Lines are 95 % intervals, each for itself.",
            )  # fmt: skip
