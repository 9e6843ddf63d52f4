"""Names of metrics to numbers with intervals: of pictures, of masks, of generators told apart, of time.

A protocol names its metrics as the column tables of `fauxlens.metrics` do. What each needs, and how it is drawn again
for its interval, is here; groups (the origin) are drawn, never rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fauxlens.core.names import unknown
from fauxlens.core.report import Column
from fauxlens.evaluate.masks import COUNTED, MaskNumbers
from fauxlens.metrics import confusion as told_apart
from fauxlens.metrics import image, pixel, tally
from fauxlens.metrics.arrays import Flags, Floats, Integers, share
from fauxlens.metrics.counts import Counts
from fauxlens.metrics.interval import Estimate, bootstrap

Kind = Literal["picture", "mask", "identification", "time"]

SECONDS = "seconds"
_MACRO = {
    "macro_f1": "f1",
    "macro_iou": "iou",
    "macro_auc": "auc",
    "macro_accuracy": "accuracy",
    "macro_f1_best_of_picture": "best_f1",
    "false_alarm_area": "false_alarm_area",
}
_POOLED: Mapping[str, Callable[[Counts], float]] = {
    "pooled_f1": lambda counts: counts.f1 if counts.fakes else float("nan"),
    "pooled_iou": lambda counts: counts.iou if counts.fakes else float("nan"),
    "pooled_accuracy": lambda counts: counts.accuracy,
}
_COUNTS = ("pictures", "authentic", "unseen_pictures", "unseen_pixels", "pixels", "threshold")


@dataclass(frozen=True, eq=False)
class Material:
    """What is known of the pictures of one test set, (N,) in one order; nan where the detector says nothing."""

    ids: npt.NDArray[Any]
    fake: Flags
    logit: Floats
    probability: Floats
    group: npt.NDArray[Any]
    seconds: Floats
    masks: MaskNumbers | None = None
    mask_rows: Integers | None = None  # which rows of `masks` these pictures are
    part: int = 0  # which test set of `masks` this is
    truth: npt.NDArray[Any] | None = None  # the class each picture is of
    said: npt.NDArray[Any] | None = None  # the class that was answered
    chances: Floats | None = None  # (N, K), in the order of `names`
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.fake)

    @property
    def reals(self) -> int:
        """How many are real."""
        return int((~self.fake).sum())

    @property
    def fakes(self) -> int:
        """How many are fake."""
        return int(self.fake.sum())


@dataclass(frozen=True, eq=False)
class Drawable:
    """A number as a function of arrays, so that it can be computed of any draw of groups."""

    function: Callable[..., float]
    arrays: tuple[npt.NDArray[Any], ...]
    group: npt.NDArray[Any]
    stratum: npt.NDArray[Any]


@dataclass(frozen=True)
class Number:
    """One metric by its name: what kind it is, its column, and whether it is a share that per cent can be made of."""

    name: str
    kind: Kind
    column: Column
    is_share: bool = True

    def of(self, material: Material, threshold: float = 0.5) -> Drawable | float | str:
        """The number ready to be drawn; a plain value where it cannot be drawn again; a sentence where there is none.

        The sentence says why it is nan: no pictures, one class alone, no score, no mask.
        """
        if not len(material):
            return "no picture"
        return _BUILD[self.kind](self.name, material, threshold)


def number_of(name: str, *, identification: bool = False) -> Number:
    """The metric of this name; of two tables that share a name, `identification` says which is meant."""
    if identification and name in told_apart.METRICS:
        return Number(name, "identification", told_apart.METRICS[name].column(name))
    if name in image.METRICS:
        return Number(name, "picture", image.METRICS[name].column(name))
    if name in pixel.METRICS:
        return Number(name, "mask", pixel.METRICS[name].column(name))
    key = {column.name: key for key, column in tally.COLUMNS.items()}.get(name, name)
    if key in tally.COLUMNS:
        is_share = key not in _COUNTS and not key.endswith("threshold")
        return Number(key, "mask", tally.COLUMNS[key], is_share)
    if name == SECONDS:
        return Number(name, "time", Column("median time", unit="s a picture", better="lower", format=".4f"), False)
    raise unknown(name, [*image.METRICS, *pixel.METRICS, *tally.COLUMNS, *told_apart.METRICS, SECONDS], "metric")


def title_of(metric: str) -> str:
    """What people read for a metric's name in a protocol.

    >>> title_of("macro_f1"), title_of("AUC")
    ('macro F1', 'AUC')
    """
    return tally.COLUMNS[metric].name if metric in tally.COLUMNS else metric


def mask_names(numbers: Sequence[Number]) -> list[str]:
    """Which numbers of `pixel.METRICS` have to be computed of each picture for these."""
    return [one.name for one in numbers if one.name in pixel.METRICS]


def estimate(found: Drawable, *, purpose: str, resamples: int) -> Estimate:
    """The number with its interval over groups."""
    return bootstrap(
        found.function, *found.arrays, purpose=purpose, group=found.group, stratum=found.stratum, resamples=resamples
    )


def mean_of(several: Sequence[Drawable], *, purpose: str, resamples: int) -> Estimate:
    """The mean of one number over test sets; a photo that is in several is drawn for all of them at once."""
    columns = len(several[0].arrays)
    arrays = [np.concatenate([one.arrays[k] for one in several]) for k in range(columns)]
    part = np.concatenate([np.full(len(one.group), number) for number, one in enumerate(several)])
    group = np.concatenate([one.group for one in several])
    stratum = np.concatenate([np.char.add(f"{n} ", one.stratum.astype(str)) for n, one in enumerate(several)])

    def mean(part: Integers, *given: npt.NDArray[Any]) -> float:
        values = [one.function(*(array[part == n] for array in given)) for n, one in enumerate(several)]
        return float(np.mean(values))

    return bootstrap(mean, part, *arrays, purpose=purpose, group=group, stratum=stratum, resamples=resamples)


def _picture(name: str, material: Material, threshold: float) -> Drawable | float | str:
    if np.isnan(material.logit).all() and np.isnan(material.probability).all():
        return "the detector gives no score of the whole picture"
    function = image.METRICS[name].function
    fake, group = material.fake, material.group
    if name == "AUC":
        # The order alone counts, so scores become whole numbers once, and no draw has to sort them again.
        score = _ranking(material)
        place = np.unique(score, return_inverse=True)[1]
        ready = Drawable(partial(_auc_of_places, bins=int(place.max()) + 1), (fake, place), group, fake)
    elif "threshold" in inspect.signature(function).parameters:
        ready = Drawable(partial(function, threshold=threshold), (fake, material.probability), group, fake)
    elif "probability" in image.METRICS[name].needs:
        ready = Drawable(function, (fake, material.probability), group, fake)
    else:
        ready = Drawable(function, (fake, _ranking(material)), group, fake)
    if np.isnan(ready.function(*ready.arrays)):
        return _one_class(material)
    return ready


def _ranking(material: Material) -> Floats:
    """Logits, since probabilities that round to 1 would be ties; probabilities where there is no logit."""
    return material.probability if np.isnan(material.logit).any() else material.logit


def _one_class(material: Material) -> str:
    if not material.fakes:
        return f"no fake among these {len(material):,} pictures"
    if not material.reals:
        return f"no real picture among these {len(material):,}"
    return "not defined for these pictures"


def _auc_of_places(fake: Flags, place: Integers, *, bins: int) -> float:
    fakes = np.bincount(place[fake], minlength=bins).astype(np.float64)
    reals = np.bincount(place[~fake], minlength=bins).astype(np.float64)
    below = np.cumsum(reals) - reals / 2
    return share(float((fakes * below).sum()), float(fakes.sum() * reals.sum()))


def _mask(name: str, material: Material, threshold: float) -> Drawable | float | str:
    masks, rows = material.masks, material.mask_rows
    if masks is None or rows is None or not masks.seen[rows].any():
        why = "" if masks is None or not masks.absent else f" ({', '.join(masks.absent)})"
        return f"no masks to compare{why}"
    seen = masks.seen[rows]
    rows, fake, group = rows[seen], material.fake[seen], material.group[seen]
    if name in _MACRO or name in masks.values or name == "clean_authentic":
        value = _clean(masks, rows) if name == "clean_authentic" else masks.values[_MACRO.get(name, name)][rows]
        if name == "false_alarm_area":
            # As in the tally: of authentic pictures alone.
            value = np.where(fake, np.nan, value)
        if np.isnan(value).all():
            return "not defined for any of these pictures: " + (
                "none is edited" if not material.fakes else "none is authentic"
            )
        known = ~np.isnan(value)
        return Drawable(_mean, (value[known],), group[known], fake[known])
    if name in _POOLED:
        function = _POOLED[name]
        counts = masks.counts[rows]
        if np.isnan(function(_sum(counts))):
            return "no fake pixel in these pictures"
        return Drawable(lambda found: function(_sum(found)), (counts,), group, fake)
    # Found with all masks of a set in hand: to draw it again would be to look at every mask again.
    of_set = float(getattr(masks.tally(material.part).scores(), name))
    return "not defined for these pictures" if np.isnan(of_set) else of_set


def _clean(masks: MaskNumbers, rows: Integers) -> Floats:
    hits, alarms, misses, _ = masks.counts[rows].T
    return np.where(hits + misses > 0, np.nan, (alarms == 0).astype(np.float64))


def _sum(counts: Integers) -> Counts:
    return Counts(**dict(zip(COUNTED, counts.sum(axis=0).tolist(), strict=True)))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _identification(name: str, material: Material, threshold: float) -> Drawable | float | str:
    if material.truth is None or material.said is None or material.chances is None:
        return "the detector does not tell generators apart"
    names = material.names
    if name == "one-vs-rest AUC":
        ready = Drawable(
            lambda truth, chances: told_apart.one_vs_rest_auc(truth, chances, names),
            (material.truth, material.chances), material.group, material.truth,
        )  # fmt: skip
    else:
        function = told_apart.METRICS[name].function
        of = {one: place for place, one in enumerate(names)}
        truth, said = (np.array([of[one] for one in given]) for given in (material.truth, material.said))
        ready = Drawable(
            lambda truth, said: function(_confusion(truth, said, names)), (truth, said), material.group, truth
        )
    if np.isnan(ready.function(*ready.arrays)):
        return "only one class among these pictures"
    return ready


def _confusion(truth: Integers, said: Integers, names: tuple[str, ...]) -> told_apart.Confusion:
    side = len(names)
    counts = np.bincount(truth * side + said, minlength=side * side).reshape(side, side)
    return told_apart.Confusion(names, counts)


def confusion_of(material: Material) -> told_apart.Confusion | None:
    """What was answered of which class; None where the detector tells no generators apart."""
    if material.truth is None or material.said is None:
        return None
    return told_apart.confusion(material.truth, material.said, material.names)


def _time(name: str, material: Material, threshold: float) -> Drawable | float | str:
    known = ~np.isnan(material.seconds)
    if not known.any():
        return "no time was taken"
    return Drawable(_median, (material.seconds[known],), material.group[known], material.fake[known])


def _median(seconds: Floats) -> float:
    return float(np.median(seconds)) if len(seconds) else float("nan")


_BUILD: Mapping[Kind, Callable[[str, Material, float], Drawable | float | str]] = {
    "picture": _picture,
    "mask": _mask,
    "identification": _identification,
    "time": _time,
}
