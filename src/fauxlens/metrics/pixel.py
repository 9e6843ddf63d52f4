"""One mask of truth and one of scores a picture: does the detector find the place?

`truth` is (H, W) booleans, `score` (H, W) probabilities of fake in 0..1, NaN where nobody looked. A pixel is called
fake when its score is **above** the threshold. Unseen pixels (NaN) are left out of every number, on both sides, and
counted: a detector that looks at half a picture is judged by that half, and its report says so.

Many pictures are the business of `tally.py`: *macro* is the mean over pictures, each counted alike; *pooled* puts the
pixels of all pictures in one heap, so large pictures count more.

On an authentic picture (nothing in `truth`) there is nothing to find, so F1 and IoU have no natural value there; a rule
is chosen by name (`AUTHENTIC`), and the area of false alarms is told beside them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.metrics.arrays import Metric, share
from fauxlens.metrics.counts import Counts, counts_of, f1_with_epsilon
from fauxlens.metrics.masks import Best, Ladder, seen_pixels

Authentic = Literal["left-out", "one-when-clean", "zero"]

AUTHENTIC: dict[Authentic, str] = {
    "left-out": "nan for that picture, and it is not in the mean: what F1 and IoU say is about edited pictures",
    "one-when-clean": "1 when no pixel is called fake, else 0",
    "zero": "0 whatever was said, as the released code of NFA-ViT (IMDL-BenCo) has it",
}


def counts(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> Counts:
    """Hits, false alarms, misses and passes among the pixels that were looked at.

    >>> counts([[True, False]], [[0.9, float("nan")]])
    Counts(hits=1, false_alarms=0, misses=0, passes=0)
    """
    seen = seen_pixels(truth, score)
    return counts_of(seen.truth, seen.score > threshold)


def f1(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5, authentic: Authentic = "left-out") -> float:
    """F1 of the pixels of one picture. Here 1 hit, 1 false alarm and 1 miss: 2 / 4.

    >>> f1([[True, True], [False, False]], [[0.9, 0.1], [0.7, 0.2]])
    0.5
    >>> clean = [[False, False]], [[0.1, 0.2]]
    >>> f1(*clean), f1(*clean, authentic="one-when-clean"), f1(*clean, authentic="zero")
    (nan, 1.0, 0.0)
    """
    found = counts(truth, score, threshold)
    return found.f1 if found.fakes else _on_authentic(found, authentic)


def iou(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5, authentic: Authentic = "left-out") -> float:
    """Intersection over union of the pixels of one picture. Here 1 of 3.

    >>> round(iou([[True, True], [False, False]], [[0.9, 0.1], [0.7, 0.2]]), 4)
    0.3333
    """
    found = counts(truth, score, threshold)
    return found.iou if found.fakes else _on_authentic(found, authentic)


def f1_published(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """F1 as NFA-ViT's released code has it: 1e-8 in each denominator; an authentic picture scores 0.

    >>> f1_published([[False, False]], [[0.1, 0.2]])
    0.0
    """
    return f1_with_epsilon(counts(truth, score, threshold), 1e-8)


def f1_reversed(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """`f1_published` of the mask turned round (1 minus the score): for detectors that do not know which side is fake.

    >>> round(f1_reversed([[True, False]], [[0.1, 0.9]]), 6)
    1.0
    """
    return f1_published(truth, 1 - np.asarray(score), threshold)


def f1_double(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The better of `f1_published` and `f1_reversed`: the truth chose the side, so an upper bound and no result.

    >>> round(f1_double([[True, False]], [[0.1, 0.9]]), 6)
    1.0
    """
    return max(f1_published(truth, score, threshold), f1_reversed(truth, score, threshold))


def iou_published(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """IoU as NFA-ViT's released code has it: 1e-8 in the denominator; an authentic picture scores 0.

    >>> iou_published([[False, False]], [[0.1, 0.2]])
    0.0
    """
    found = counts(truth, score, threshold)
    return found.hits / (found.hits + found.false_alarms + found.misses + 1e-8)


def accuracy(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of the pixels told right. Defined on authentic pictures, too.

    >>> accuracy([[True, True], [False, False]], [[0.9, 0.1], [0.7, 0.2]])
    0.5
    """
    return counts(truth, score, threshold).accuracy


def false_alarm_area(truth: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """The share of the real pixels that is called fake; what can be said of an authentic picture. Nan without reals.

    >>> false_alarm_area([[False, False, False, False]], [[0.9, 0.1, 0.2, 0.5]])
    0.25
    """
    return counts(truth, score, threshold).false_alarm_rate


def auc(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The chance that a fake pixel scores above a real one of the same picture, ties counted half.

    Exact. Nan when all pixels are of one sort, as on an authentic picture and on one that is fake all over.

    >>> auc([[True, True], [False, False]], [[0.9, 0.2], [0.2, 0.1]])
    0.875
    """
    seen = seen_pixels(truth, score)
    return Ladder.of(seen).auc


def auc_published(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """AUC as NFA-ViT's released code has it: ties are not joined, and an authentic picture scores 0.

    Equal scores then count by their place; here they come in the order of the pixels, while which order that code's own
    sorting gives is not fixed. With a constant mask this number is therefore about the order of pixels. Use `auc`.

    >>> auc_published([[True, False]], [[0.5, 0.5]]), auc_published([[False, True]], [[0.5, 0.5]])
    (1.0, 0.0)
    """
    seen = seen_pixels(truth, score)
    fakes = int(seen.truth.sum())
    if not fakes and len(seen.truth):
        return 0.0
    order = np.argsort(-seen.score, kind="stable")
    label = seen.truth[order]
    return share(float(np.cumsum(label)[~label].sum()), fakes * (len(label) - fakes))


def best_f1(truth: npt.ArrayLike, score: npt.ArrayLike) -> Best:
    """The highest F1 of one picture over every threshold: the *oracle* that localisation papers call "best" F1.

    Exact. It needs the truth of the very picture, so nobody reaches it in use; even a constant mask gets the F1 of
    calling everything fake. Nan on an authentic picture. The threshold told is the next score below those called fake,
    or below 0 when all are.

    >>> best_f1([[True, True], [False, False]], [[0.4, 0.3], [0.1, 0.2]])
    Best(value=1.0, threshold=0.2)
    """
    return Ladder.of(seen_pixels(truth, score)).best


def best_f1_value(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """`best_f1` without its threshold.

    >>> best_f1_value([[True, True], [False, False]], [[0.4, 0.3], [0.1, 0.2]])
    1.0
    """
    return best_f1(truth, score).value


def iou_of_f1(value: float) -> float:
    """IoU is F1 / (2 - F1) on the same counts, so the best threshold of one is the other's as well.

    >>> iou_of_f1(0.5) == 1 / 3
    True
    """
    return value / (2 - value)


def _on_authentic(found: Counts, rule: Authentic) -> float:
    known_rule(rule)
    if not found.reals or rule == "left-out":
        return float("nan")
    return float(rule == "one-when-clean" and not found.false_alarms)


def known_rule(rule: str) -> None:
    """Refuse a rule that is not in `AUTHENTIC`."""
    if rule not in AUTHENTIC:
        raise BadSetting("no such rule for authentic pictures", wanted=" or ".join(AUTHENTIC), got=rule)


_MASKS = ("truth", "score")
METRICS: dict[str, Metric] = {
    "pixel F1": Metric(f1, "higher", _MASKS, "F1 at 0.5; nan on an authentic picture"),
    "pixel IoU": Metric(iou, "higher", _MASKS, "IoU at 0.5; nan on an authentic picture"),
    "pixel AUC": Metric(auc, "higher", _MASKS, "chance that a fake pixel scores above a real one"),
    "pixel accuracy": Metric(accuracy, "higher", _MASKS, "share of pixels told right at 0.5"),
    "pixel F1 (oracle)": Metric(best_f1_value, "higher", _MASKS, "F1 at the picture's own best threshold"),
    "pixel F1 (published)": Metric(f1_published, "higher", _MASKS, "F1 at 0.5; 0 on an authentic picture"),
    "pixel IoU (published)": Metric(iou_published, "higher", _MASKS, "IoU at 0.5; 0 on an authentic picture"),
    "pixel AUC (published)": Metric(
        auc_published, "higher", _MASKS, "AUC with ties by place; 0 on an authentic picture"
    ),
    "pixel F1 (reversed)": Metric(f1_reversed, "higher", _MASKS, "published F1 of the mask turned round"),
    "pixel F1 (double)": Metric(f1_double, "higher", _MASKS, "the better of the mask and the mask turned round"),
    "false-alarm area": Metric(false_alarm_area, "lower", _MASKS, "share of real pixels called fake at 0.5"),
}
