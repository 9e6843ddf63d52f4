"""The pixels of one mask in the order of their scores: what every number of `pixel.py` and `tally.py` is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadShape
from fauxlens.metrics.arrays import Flags, Integers, share

Scores: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]

# Bins of scores: 2**10 an octave of min(p, 1 - p) down to 2**-32, where sigmoids crowd. They are cut from the bits of
# the float32, so finding a pixel's bin takes no logarithm.
_OCTAVES, _DEEPEST, _KEPT_BITS = 31, -32, 10
_SHIFT = 23 - _KEPT_BITS
_FIRST = (127 + _DEEPEST) << _KEPT_BITS
_SIDE = (_OCTAVES << _KEPT_BITS) + 2  # what is below the deepest octave, the octaves, and 0.5 itself
BINS = 2 * _SIDE - 1
# The thresholds at which F1 is averaged over pictures: 16 an octave.
RUNGS = np.unique(np.concatenate([[0, BINS], np.arange(1, _SIDE, 64), BINS - np.arange(1, _SIDE, 64)]))


@dataclass(frozen=True, slots=True)
class Best:
    """The highest value over all thresholds and where it is reached (called fake: above it). The truth chose it."""

    value: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The pixels that were looked at, in a row."""

    truth: Flags
    score: Scores
    unseen: int


def seen_pixels(truth: npt.ArrayLike, score: npt.ArrayLike) -> Seen:
    """Two masks looked at and laid in a row, the pixels that nobody saw taken out and counted.

    >>> seen_pixels([[True, False]], [[0.5, float("nan")]]).unseen
    1
    """
    label, value = np.asarray(truth), np.asarray(score)
    if label.ndim != 2 or label.dtype != np.bool_:
        raise BadShape(
            "no mask of truth",
            wanted="(H, W) booleans",
            got=f"{label.shape} {label.dtype}",
            hint="compare first, for example mask > 127",
        )
    if value.dtype.kind != "f":
        raise BadShape("no mask of scores", wanted="(H, W) numbers with a point, 0 to 1", got=f"{value.dtype}")
    if value.shape != label.shape:
        raise BadShape(
            "a mask of scores of another size than the truth",
            wanted=label.shape,
            got=value.shape,
            hint="bring both to the size of the file; nothing is resized here",
        )
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    elif value.dtype not in (np.float32, np.float64):
        value = value.astype(np.float64)
    label, value = label.reshape(-1), value.reshape(-1)
    unseen = 0
    nowhere = np.isnan(value)
    if nowhere.any():
        unseen = int(np.count_nonzero(nowhere))
        label, value = label[~nowhere], value[~nowhere]
    if len(value) and (value.min() < 0 or value.max() > 1):
        raise BadShape(
            "these scores are no probabilities",
            wanted="0 to 1, NaN where nobody looked",
            got=f"{value.min():.4g} to {value.max():.4g}",
            hint="put logits through a sigmoid",
        )
    return Seen(label, value, unseen)


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Fakes and reals at or below each distinct score, from the lowest on: all thresholds of one picture, exactly."""

    score: Scores
    fakes: npt.NDArray[Any]
    reals: npt.NDArray[Any]

    @classmethod
    def of(cls, seen: Seen) -> Ladder:
        """By one sort of whole numbers.

        The bits of floats from 0 on are in the order of the floats, and the label rides in the lowest bit; the sign,
        which only -0 has, is shifted out. NumPy sorts such numbers several times faster than it finds an order.
        """
        bits = np.uint32 if seen.score.dtype == np.float32 else np.uint64
        keys = np.left_shift(seen.score.view(bits), 1)
        keys |= seen.truth
        keys.sort()
        # Half as wide where it can be: most of the time goes into memory that is touched for the first time.
        counted = np.int32 if len(keys) < 2**29 else np.int64
        fakes: npt.NDArray[Any] = np.cumsum(keys & 1, dtype=counted)
        keys >>= 1
        last = _last_of_equals(keys)
        fakes = fakes[last]
        reals: npt.NDArray[Any] = last.astype(counted)
        reals += 1
        reals -= fakes
        return cls(keys[last].view(seen.score.dtype), fakes, reals)

    @property
    def auc(self) -> float:
        """Each fake wins against the reals below it, and ties with those of its own score."""
        if not len(self.score):
            return float("nan")
        fakes = np.diff(self.fakes, prepend=0).astype(np.float64)
        twice = self.reals.astype(np.float64)
        twice[1:] += self.reals[:-1]
        return share(float(np.dot(fakes, twice)) / 2, int(self.fakes[-1]) * int(self.reals[-1]))

    @property
    def best(self) -> Best:
        """The highest F1 of all thresholds, and the threshold."""
        if not len(self.score) or not self.fakes[-1]:
            return Best(float("nan"), float("nan"))
        # What is called fake above each score; above the last one that is nothing, and nothing has no hits.
        fakes = int(self.fakes[-1])
        missed, spared = self.fakes[:-1], self.reals[:-1]
        curve = (fakes - missed) / (2 * fakes + int(self.reals[-1]) - missed - spared)
        curve *= 2
        everything = 2 * fakes / (2 * fakes + int(self.reals[-1]))
        highest = float(curve.max(initial=0.0))
        if highest < everything:
            return Best(everything, threshold_of(0))
        # The last of equals is the highest threshold, with the least called fake.
        place = int(np.flatnonzero(curve == highest)[-1])
        return Best(highest, float(self.score[place]))

    def binned(self) -> Binned:
        """The same, told at the end of each bin that holds a score."""
        place = bins_of(self.score)
        last = _last_of_equals(place)
        return Binned(
            place[last].astype(np.int64), self.fakes[last].astype(np.int64), self.reals[last].astype(np.int64)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Fakes and reals in or below each bin that holds some."""

    place: Integers
    fakes: Integers
    reals: Integers

    def above(self, cuts: Integers) -> tuple[Integers, Integers]:
        """Hits, and all that is called fake, when the bins from each of `cuts` on are."""
        before = np.searchsorted(self.place, cuts)
        fakes, reals = (np.concatenate([[0], one]) for one in (self.fakes, self.reals))
        hits = fakes[-1] - fakes[before]
        return hits, hits + reals[-1] - reals[before]


def _last_of_equals(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where each run of equal values ends."""
    ends = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=ends[:-1])
    return np.flatnonzero(ends)


def bins_of(score: Scores) -> npt.NDArray[np.int32]:
    """The bin of each score, in order: by the leading bits of p up to 0.5, and of 1 - p above.

    >>> bins_of(np.array([0.0, 0.5, 1.0])).tolist() == [0, BINS // 2, BINS - 1]
    True
    """
    single = score.astype(np.float32, copy=False)
    upper = single > 0.5
    # Exact: between 0.5 and 1 the difference of two float32 is one.
    near = np.where(upper, np.float32(1) - single, single)
    place = (near.view(np.int32) >> _SHIFT) - (_FIRST - 1)
    np.maximum(place, 0, out=place)
    np.subtract(BINS - 1, place, out=place, where=upper)
    return place


def threshold_of(cut: int) -> float:
    """The threshold above which exactly the bins from `cut` on lie.

    >>> threshold_of(BINS), threshold_of(0) < 0
    (1.0, True)
    """
    if cut < _SIDE:
        return float(np.nextafter(np.float32(_edge(cut)), np.float32(-1)))
    return 1 - _edge(BINS - cut)


def _edge(place: int) -> float:
    """The lowest score of a bin of the lower side."""
    if place <= 0:
        return 0.0
    return float(np.array((place + _FIRST - 1) << _SHIFT, dtype=np.int32).view(np.float32))
