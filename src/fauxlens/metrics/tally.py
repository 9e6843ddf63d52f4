"""Masks by the hundred thousand: sums over pictures and a histogram of pixels, in little memory, in parts or at once.

*macro* is the mean over pictures, each counted alike; *pooled* puts the pixels of all pictures in one heap. A best
threshold is chosen with the truth in hand: *of picture* each picture has its own (what localisation papers report as
the "best", or oracle), *of set* one threshold serves all pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.core.report import Column
from fauxlens.metrics.arrays import Integers, share
from fauxlens.metrics.counts import Counts, counts_of
from fauxlens.metrics.masks import BINS, RUNGS, Best, Binned, Ladder, bins_of, seen_pixels, threshold_of
from fauxlens.metrics.pixel import Authentic, known_rule

# Sums over pictures are whole numbers of 2**-40 (curves) or 2**-80, so no order and no split changes a bit of them.
_CURVE_UNIT = 2.0**40
_UNIT = 2.0**80
_SUMMED = ("f1", "iou", "auc", "best_f1", "accuracy", "false_alarm_area")


class ScoreHistogram:
    """Scores of fake and of real pixels, counted in `BINS` bins: pooled AUC over any number of masks in 1 MB.

    Within a bin the order of scores is lost. Their pairs count half, so the AUC is off by at most half the share of
    pairs of one fake and one real that fell in the same bin: `auc_error`, told with every result and never passed.
    Bins are fine near 0 and near 1: a thousandth of min(p, 1 - p), down to 2^-32. Histograms add up with `+`.
    """

    def __init__(self) -> None:
        self.real: Integers = np.zeros(BINS, dtype=np.int64)
        self.fake: Integers = np.zeros(BINS, dtype=np.int64)

    def add(self, truth: npt.ArrayLike, score: npt.ArrayLike) -> None:
        """Count one mask."""
        seen = seen_pixels(truth, score)
        place = bins_of(seen.score)
        # One pass for both sorts: the odd places are the fakes.
        found = np.bincount(2 * place + seen.truth, minlength=2 * BINS)
        self.real += found[0::2]
        self.fake += found[1::2]

    def _add_ordered(self, binned: Binned) -> None:
        """The same from pixels that were put in order already: no second look at each."""
        self.real[binned.place] += np.diff(binned.reals, prepend=0)
        self.fake[binned.place] += np.diff(binned.fakes, prepend=0)

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        both = ScoreHistogram()
        both.real, both.fake = self.real + other.real, self.fake + other.fake
        return both

    @property
    def auc(self) -> float:
        """The AUC of all pixels in one heap, within `auc_error` of the exact one; nan with one sort only."""
        real, fake = self.real.astype(np.float64), self.fake.astype(np.float64)
        below = np.cumsum(real) - real / 2
        return share(float((fake * below).sum()), float(real.sum() * fake.sum()))

    @property
    def auc_error(self) -> float:
        """The most that `auc` can be off."""
        real, fake = self.real.astype(np.float64), self.fake.astype(np.float64)
        return share(float((fake * real).sum()) / 2, float(real.sum() * fake.sum()))

    @property
    def best_f1(self) -> Best:
        """The highest F1 of the heap over one threshold for all masks (between bins); nan without fakes."""
        fakes = int(self.fake.sum())
        if not fakes:
            return Best(float("nan"), float("nan"))
        hits, called = _from_above(self.fake), _from_above(self.fake + self.real)
        curve = 2 * hits / (fakes + called)
        cut = int(np.argmax(curve))
        return Best(float(curve[cut]), threshold_of(cut))


@dataclass(frozen=True, slots=True)
class MaskRow:
    """The numbers of one picture, as a row of a table: group them by origin for intervals. F1 and IoU: `left-out`."""

    counts: Counts
    f1: float
    iou: float
    auc: float
    best_f1: float
    accuracy: float
    false_alarm_area: float
    unseen: int

    @property
    def is_authentic(self) -> bool:
        """Whether none of the pixels looked at is fake."""
        return self.counts.fakes == 0


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Every pixel number of a set of masks. `macro_...` is a mean over pictures, `pooled_...` is of all pixels."""

    pictures: int
    authentic: int
    unseen_pictures: int  # of which no pixel was looked at: in no other number
    unseen_pixels: int
    pixels: int
    threshold: float
    macro_f1: float
    macro_iou: float
    macro_auc: float
    macro_auc_pictures: int
    macro_accuracy: float
    macro_f1_best_of_picture: float
    macro_f1_best_of_set: float
    macro_f1_best_of_set_threshold: float
    pooled_f1: float
    pooled_iou: float
    pooled_accuracy: float
    pooled_auc: float
    pooled_auc_error: float
    pooled_f1_best_of_set: float
    pooled_f1_best_of_set_threshold: float
    false_alarm_area: float  # mean over authentic pictures
    clean_authentic: float  # share of authentic pictures in which no pixel is called fake


@dataclass(slots=True, eq=False)
class PixelTally:
    """Adds up masks one by one in a few megabytes, however many; tallies of parts add up to exactly the whole's.

    >>> one, other = PixelTally(), PixelTally()
    >>> row = one.add([[True, False]], [[0.9, 0.1]])
    >>> row = other.add([[True, True]], [[0.9, 0.1]])
    >>> found = (one + other).scores()
    >>> round(found.macro_f1, 4), found.pooled_f1
    (0.8333, 0.8)
    """

    threshold: float = 0.5
    histogram: ScoreHistogram = field(default_factory=ScoreHistogram)
    counts: Counts = field(default_factory=Counts)
    edited: int = 0
    authentic: int = 0
    clean: int = 0
    unseen_pictures: int = 0
    unseen_pixels: int = 0
    auc_pictures: int = 0
    _sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMMED, 0))
    _curve: Integers = field(default_factory=lambda: np.zeros(len(RUNGS), dtype=np.int64))

    def add(self, truth: npt.ArrayLike, score: npt.ArrayLike) -> MaskRow:
        """Count one picture; its own numbers come back, for those who keep them."""
        seen = seen_pixels(truth, score)
        found = counts_of(seen.truth, seen.score > self.threshold)
        ladder = Ladder.of(seen)
        row = MaskRow(
            counts=found,
            f1=found.f1 if found.fakes else float("nan"),
            iou=found.iou if found.fakes else float("nan"),
            auc=ladder.auc,
            best_f1=ladder.best.value,
            accuracy=found.accuracy,
            false_alarm_area=found.false_alarm_rate,
            unseen=seen.unseen,
        )
        self.unseen_pixels += seen.unseen
        if not len(seen.truth):
            self.unseen_pictures += 1
            return row
        self.counts += found
        binned = ladder.binned()
        self.histogram._add_ordered(binned)
        self._sum("accuracy", row.accuracy)
        if not np.isnan(row.auc):
            self.auc_pictures += 1
            self._sum("auc", row.auc)
        if row.is_authentic:
            self.authentic += 1
            self.clean += not found.false_alarms
            self._sum("false_alarm_area", row.false_alarm_area)
            return row
        self.edited += 1
        for name in ("f1", "iou", "best_f1"):
            self._sum(name, getattr(row, name))
        hits, called = binned.above(RUNGS)
        self._curve += np.round(2 * hits / (found.fakes + called) * _CURVE_UNIT).astype(np.int64)
        return row

    def _sum(self, name: str, value: float) -> None:
        self._sums[name] += int(value * _UNIT)

    def __add__(self, other: PixelTally) -> PixelTally:
        if self.threshold != other.threshold:
            raise BadSetting(
                "tallies at different thresholds cannot be added", wanted=self.threshold, got=other.threshold
            )
        return PixelTally(
            self.threshold,
            self.histogram + other.histogram,
            self.counts + other.counts,
            self.edited + other.edited,
            self.authentic + other.authentic,
            self.clean + other.clean,
            self.unseen_pictures + other.unseen_pictures,
            self.unseen_pixels + other.unseen_pixels,
            self.auc_pictures + other.auc_pictures,
            {name: value + other._sums[name] for name, value in self._sums.items()},
            self._curve + other._curve,
        )

    def scores(self, authentic: Authentic = "left-out") -> PixelScores:
        """All numbers; `authentic` says what macro F1 and IoU make of authentic pictures (`AUTHENTIC`).

        The best thresholds are sought among edited pictures (macro) or all pixels (pooled), whatever that rule says.
        `macro_f1_best_of_set` tries 16 thresholds an octave of min(p, 1 - p), so a threshold between them may do a
        little better; `macro_f1_best_of_picture` is exact.
        """
        known_rule(authentic)
        of_mean = self.edited if authentic == "left-out" else self.edited + self.authentic
        given = self.clean if authentic == "one-when-clean" else 0
        rung = int(np.argmax(self._curve))
        best = self.histogram.best_f1
        some = self.edited > 0
        return PixelScores(
            pictures=self.edited + self.authentic + self.unseen_pictures,
            authentic=self.authentic,
            unseen_pictures=self.unseen_pictures,
            unseen_pixels=self.unseen_pixels,
            pixels=self.counts.fakes + self.counts.reals,
            threshold=self.threshold,
            macro_f1=share(self._total("f1") + given, of_mean),
            macro_iou=share(self._total("iou") + given, of_mean),
            macro_auc=share(self._total("auc"), self.auc_pictures),
            macro_auc_pictures=self.auc_pictures,
            macro_accuracy=share(self._total("accuracy"), self.edited + self.authentic),
            macro_f1_best_of_picture=share(self._total("best_f1"), self.edited),
            macro_f1_best_of_set=share(int(self._curve[rung]) / _CURVE_UNIT, self.edited),
            macro_f1_best_of_set_threshold=threshold_of(int(RUNGS[rung])) if some else float("nan"),
            pooled_f1=self.counts.f1 if self.counts.fakes else float("nan"),
            pooled_iou=self.counts.iou if self.counts.fakes else float("nan"),
            pooled_accuracy=self.counts.accuracy,
            pooled_auc=self.histogram.auc,
            pooled_auc_error=self.histogram.auc_error,
            pooled_f1_best_of_set=best.value,
            pooled_f1_best_of_set_threshold=best.threshold,
            false_alarm_area=share(self._total("false_alarm_area"), self.authentic),
            clean_authentic=share(self.clean, self.authentic),
        )

    def _total(self, name: str) -> float:
        return self._sums[name] / _UNIT


def _from_above(binned: Integers) -> Integers:
    """How many lie in each bin and above, and 0 beyond the last."""
    return np.append(binned[::-1].cumsum()[::-1], 0)


# The columns of a report in which the numbers of `PixelScores` stand.
COLUMNS: dict[str, Column] = {
    "pictures": Column("pictures"),
    "authentic": Column("authentic pictures"),
    "unseen_pictures": Column("pictures nobody looked at"),
    "unseen_pixels": Column("pixels nobody looked at"),
    "pixels": Column("pixels"),
    "threshold": Column("threshold"),
    "macro_f1": Column("macro F1", better="higher", format=".3f"),
    "macro_iou": Column("macro IoU", better="higher", format=".3f"),
    "macro_auc": Column("macro AUC", better="higher", format=".3f"),
    "macro_auc_pictures": Column("pictures with an AUC"),
    "macro_accuracy": Column("macro accuracy", better="higher", format=".3f"),
    "macro_f1_best_of_picture": Column("macro F1 (oracle: best of picture)", better="higher", format=".3f"),
    "macro_f1_best_of_set": Column("macro F1 (best of set)", better="higher", format=".3f"),
    "macro_f1_best_of_set_threshold": Column("threshold of best macro F1", format=".3g"),
    "pooled_f1": Column("pooled F1", better="higher", format=".3f"),
    "pooled_iou": Column("pooled IoU", better="higher", format=".3f"),
    "pooled_accuracy": Column("pooled accuracy", better="higher", format=".3f"),
    "pooled_auc": Column("pooled AUC", better="higher", format=".3f"),
    "pooled_auc_error": Column("at most off by", format=".1e"),
    "pooled_f1_best_of_set": Column("pooled F1 (best of set)", better="higher", format=".3f"),
    "pooled_f1_best_of_set_threshold": Column("threshold of best pooled F1", format=".3g"),
    "false_alarm_area": Column("false-alarm area", better="lower", format=".3f"),
    "clean_authentic": Column("authentic pictures without alarm", better="higher", format=".3f"),
}
