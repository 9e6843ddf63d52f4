"""One label and one score a picture: does the detector tell fake from real?

`fake` is (N,) booleans, `score` (N,) numbers that grow with the belief in a fake. A picture is called fake when its
score is **above** the threshold, as in the released code of the works compared here. Equal scores are never parted: no
number depends on the order of the rows. A number that needs both classes is nan when one is missing; so is any number
of no pictures at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.metrics.arrays import Flags, Floats, Integers, Metric, labelled, middle_ranks, probabilities, share
from fauxlens.metrics.counts import Counts, counts_of, f1_with_epsilon

Bins = Literal["width", "mass"]


def counts(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> Counts:
    """Hits, false alarms, misses and passes at a threshold; those of parts of a set add up to the whole's.

    >>> counts([1, 1, 0, 0], [0.9, 0.5, 0.6, 0.1])
    Counts(hits=1, false_alarms=1, misses=1, passes=1)
    """
    label, value = labelled(fake, score)
    return counts_of(label, value > threshold)


def accuracy(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of pictures told right. With one class only it is that class's recall.

    >>> accuracy([1, 1, 0, 0], [0.9, 0.2, 0.1, 0.3])
    0.75
    """
    return counts(fake, score, threshold).accuracy


def balanced_accuracy(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The mean of the recall of fakes (here 1 of 1) and of reals (here 1 of 2); nan with one class only.

    >>> balanced_accuracy([1, 0, 0], [0.9, 0.1, 0.8])
    0.75
    """
    return counts(fake, score, threshold).balanced_accuracy


def f1(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """F1 of the fakes; nan when nothing is fake and nothing was said to be. Here 1 hit, 1 false alarm, 1 miss: 2 / 4.

    >>> f1([1, 1, 0], [0.9, 0.2, 0.7])
    0.5
    """
    return counts(fake, score, threshold).f1


def f1_published(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """F1 as IMDL-BenCo counts it: 1e-9 in the denominators, so 0 where F1 is undefined.

    >>> f1_published([0, 0], [0.1, 0.2]), round(f1_published([1, 1, 0], [0.9, 0.2, 0.7]), 6)
    (0.0, 0.5)
    """
    return f1_with_epsilon(counts(fake, score, threshold), 1e-9)


def recall_generated(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of fakes called fake; at 0.5 it is BR-Gen's "Gen. R@50". Nan without fakes.

    >>> recall_generated([1, 1, 0], [0.9, 0.2, 0.7])
    0.5
    """
    return counts(fake, score, threshold).recall_generated


def recall_real(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of reals called real; at 0.5 it is BR-Gen's "Real R@50". Nan without reals.

    >>> recall_real([1, 0, 0, 0, 0], [0.9, 0.2, 0.7, 0.1, 0.5])
    0.75
    """
    return counts(fake, score, threshold).recall_real


def false_alarm_rate(fake: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of reals called fake. Nan without reals.

    >>> false_alarm_rate([1, 0, 0, 0, 0], [0.9, 0.2, 0.7, 0.1, 0.5])
    0.25
    """
    return counts(fake, score, threshold).false_alarm_rate


def auc(fake: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The chance that a random fake scores above a random real, ties counted half; nan with one class only.

    >>> auc([1, 1, 0, 0], [0.9, 0.2, 0.2, 0.1])
    0.875
    """
    label, value = labelled(fake, score)
    return auc_of(label, value)


def auc_of(fake: Flags, score: Floats) -> float:
    """`auc` of arrays that were looked at already."""
    count_fake = int(fake.sum())
    count_real = len(fake) - count_fake
    if not count_fake or not count_real:
        return float("nan")
    total = float(middle_ranks(score)[fake].sum())
    return (total - count_fake * (count_fake + 1) / 2) / (count_fake * count_real)


def average_precision(fake: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The mean over fakes of the precision at each one's score, without interpolation; nan with one class only.

    All of one score come in together. Here the first fake is found at precision 1 and the second at 2 of 3:

    >>> round(average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 4)
    0.8333
    """
    label, value = labelled(fake, score)
    if label.all() or not label.any():
        return float("nan")
    curve = _curve(label, value)
    gained = np.diff(curve.hits, prepend=0)
    return float((gained * curve.hits / (curve.hits + curve.false_alarms)).sum() / curve.hits[-1])


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where a detector stands at one threshold (fake when **at or above** it), and of how many reals that is known."""

    threshold: float
    recall_generated: float
    false_alarm_rate: float
    false_alarms: int
    reals: int


def operating_point(fake: npt.ArrayLike, score: npt.ArrayLike, rate: float) -> OperatingPoint:
    """The threshold that finds most fakes while no more than `rate` of the reals are called fake.

    Only scores that occur are thresholds, and nothing is interpolated: what is told is a point that was reached, never
    one between two. Equal scores stay together. If already the highest score holds too many reals, nothing is called
    fake: threshold inf, recall 0. With fewer than 1 / `rate` reals no false alarm at all is allowed. Of several
    thresholds with the same recall the highest is told. Nan with one class only.

    >>> operating_point([1, 1, 1, 0, 0], [0.9, 0.8, 0.2, 0.3, 0.1], 0.0)
    OperatingPoint(threshold=0.8, recall_generated=0.6666666666666666, false_alarm_rate=0.0, false_alarms=0, reals=2)
    """
    if not 0 <= rate <= 1:
        raise BadSetting("no share of false alarms", wanted="0 to 1", got=rate, hint="0.01 is one real in a hundred")
    label, value = labelled(fake, score)
    fakes, reals = int(label.sum()), int((~label).sum())
    if not fakes or not reals:
        nan = float("nan")
        return OperatingPoint(nan, nan, nan, 0, reals)
    curve = _curve(label, value)
    allowed = int(np.count_nonzero(curve.false_alarms / reals <= rate))
    if not allowed or not curve.hits[allowed - 1]:
        return OperatingPoint(float("inf"), 0.0, 0.0, 0, reals)
    place = int(np.searchsorted(curve.hits[:allowed], curve.hits[allowed - 1]))
    alarms = int(curve.false_alarms[place])
    return OperatingPoint(float(curve.threshold[place]), int(curve.hits[place]) / fakes, alarms / reals, alarms, reals)


def tpr_at_fpr(fake: npt.ArrayLike, score: npt.ArrayLike, rate: float) -> float:
    """The most fakes that can be found while no more than `rate` of the reals are called fake (`operating_point`).

    >>> tpr_at_fpr([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1], 0.05), tpr_at_fpr([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1], 0.5)
    (0.5, 1.0)
    """
    return operating_point(fake, score, rate).recall_generated


def tpr_at_1_percent(fake: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """`tpr_at_fpr` with one real in a hundred.

    >>> tpr_at_1_percent([1, 0], [0.9, 0.1])
    1.0
    """
    return tpr_at_fpr(fake, score, 0.01)


def tpr_at_5_percent(fake: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """`tpr_at_fpr` with one real in twenty.

    >>> tpr_at_5_percent([1, 0], [0.1, 0.9])
    0.0
    """
    return tpr_at_fpr(fake, score, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What was promised against what came true, a bin a row; nan where a bin is empty."""

    low: Floats
    high: Floats
    count: Integers
    probability: Floats  # mean of the probabilities in the bin
    fakes: Floats  # share of fakes in the bin

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance between promise and outcome over all pictures."""
        held = self.count > 0
        distance = np.abs(self.probability[held] - self.fakes[held])
        return share(float((distance * self.count[held]).sum()), int(self.count.sum()))


def reliability(fake: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 15, by: Bins = "width") -> Reliability:
    """Pictures in bins of their probability of fake.

    `by="width"`: bin k holds k / bins up to below (k + 1) / bins, the last one 1 as well. `by="mass"`: bins of as
    nearly the same number of pictures as equal probabilities, which stay together, allow (each goes where its middle
    rank falls); `low` and `high` are then the least and the greatest probability within.

    >>> found = reliability([0, 0, 1], [0.1, 0.3, 0.9], bins=2)
    >>> found.count.tolist(), found.probability.tolist(), found.fakes.tolist()
    ([2, 1], [0.2, 0.9], [0.0, 1.0])
    """
    if bins < 1:
        raise BadSetting("too few bins", wanted="at least 1", got=bins)
    if by not in ("width", "mass"):
        raise BadSetting("no such way to make bins", wanted="width or mass", got=by)
    label, value = probabilities(fake, probability)
    edges = np.arange(bins + 1) / bins
    if by == "width":
        place = np.minimum(np.searchsorted(edges, value, side="right") - 1, bins - 1)
    else:
        place = np.floor((middle_ranks(value) - 0.5) * bins / max(len(value), 1)).astype(np.int64)
    held = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        promised = np.bincount(place, value, bins) / held
        came = np.bincount(place, label, bins) / held
    low, high = edges[:-1], edges[1:]
    if by == "mass":
        low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
        np.minimum.at(low, place, value)
        np.maximum.at(high, place, value)
        low, high = (np.where(held > 0, end, np.nan) for end in (low, high))
    return Reliability(low, high, held, promised, came)


def ece(fake: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 15, by: Bins = "width") -> float:
    """Expected calibration error of the probability of fake (not of the larger of both classes), 15 bins of one width.

    Two in the lower bin promise 0.2 and hold no fake, one in the upper promises 0.9 and is fake: (2 * 0.2 + 0.1) / 3.

    >>> round(ece([0, 0, 1], [0.1, 0.3, 0.9], bins=2), 6)
    0.166667
    """
    return reliability(fake, probability, bins=bins, by=by).error


def ece_equal_mass(fake: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 15) -> float:
    """`ece` over bins that hold as nearly the same number of pictures as ties allow.

    >>> round(ece_equal_mass([0, 1, 1, 1], [0.1, 0.3, 0.8, 0.8], bins=2), 6)
    0.25
    """
    return ece(fake, probability, bins=bins, by="mass")


def brier(fake: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """The mean squared distance between probability and outcome.

    >>> round(brier([1, 0], [0.8, 0.4]), 6)
    0.1
    """
    label, value = probabilities(fake, probability)
    return float(((value - label) ** 2).mean()) if len(value) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """Hits and false alarms when everything at or above each distinct score, from the highest on, is called fake."""

    threshold: Floats
    hits: Integers
    false_alarms: Integers


def _curve(fake: Flags, score: Floats) -> _Curve:
    values, place = np.unique(score, return_inverse=True)
    hits = np.bincount(place[fake], minlength=len(values))[::-1].cumsum()
    alarms = np.bincount(place[~fake], minlength=len(values))[::-1].cumsum()
    return _Curve(values[::-1], hits, alarms)


_SCORES = ("fake", "score")
_CHANCES = ("fake", "probability")
METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "higher", _SCORES, "share told right at 0.5"),
    "balanced accuracy": Metric(balanced_accuracy, "higher", _SCORES, "mean of both recalls at 0.5"),
    "F1": Metric(f1, "higher", _SCORES, "F1 of the fakes at 0.5"),
    "F1 (published)": Metric(f1_published, "higher", _SCORES, "F1 with 1e-9 in its denominators: 0 where undefined"),
    "AUC": Metric(auc, "higher", _SCORES, "chance that a fake scores above a real"),
    "AP": Metric(average_precision, "higher", _SCORES, "mean precision at the fakes, not interpolated"),
    "Gen. R@50": Metric(recall_generated, "higher", _SCORES, "share of fakes called fake at 0.5"),
    "Real R@50": Metric(recall_real, "higher", _SCORES, "share of reals called real at 0.5"),
    "false alarms": Metric(false_alarm_rate, "lower", _SCORES, "share of reals called fake at 0.5"),
    "TPR at 1 % FPR": Metric(tpr_at_1_percent, "higher", _SCORES, "fakes found with at most 1 % of reals called fake"),
    "TPR at 5 % FPR": Metric(tpr_at_5_percent, "higher", _SCORES, "fakes found with at most 5 % of reals called fake"),
    "ECE": Metric(ece, "lower", _CHANCES, "calibration error, 15 bins of equal width"),
    "ECE (equal mass)": Metric(ece_equal_mass, "lower", _CHANCES, "calibration error, 15 bins of equal count"),
    "Brier": Metric(brier, "lower", _CHANCES, "mean squared error of the probability"),
}
