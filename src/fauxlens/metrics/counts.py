"""Hits, false alarms, misses and passes at one threshold: whole numbers, so those of parts add up to the whole's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fauxlens.metrics.arrays import Flags, share


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pictures (or pixels) of each sort. Every share of nothing is nan.

    >>> whole = Counts(hits=2, false_alarms=1) + Counts(misses=1, passes=4)
    >>> whole.f1, whole.iou, whole.recall_real
    (0.6666666666666666, 0.5, 0.8)
    """

    hits: int = 0  # fake, and said to be
    false_alarms: int = 0  # real, and said to be fake
    misses: int = 0  # fake, and said to be real
    passes: int = 0  # real, and said to be

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.passes + other.passes,
        )

    @property
    def fakes(self) -> int:
        """How many are fake."""
        return self.hits + self.misses

    @property
    def reals(self) -> int:
        """How many are real."""
        return self.false_alarms + self.passes

    @property
    def accuracy(self) -> float:
        """The share that was told right."""
        return share(self.hits + self.passes, self.fakes + self.reals)

    @property
    def recall_generated(self) -> float:
        """The share of the fakes that was said to be fake."""
        return share(self.hits, self.fakes)

    @property
    def recall_real(self) -> float:
        """The share of the reals that was said to be real."""
        return share(self.passes, self.reals)

    @property
    def false_alarm_rate(self) -> float:
        """The share of the reals that was said to be fake."""
        return share(self.false_alarms, self.reals)

    @property
    def precision(self) -> float:
        """The share of those said to be fake that are."""
        return share(self.hits, self.hits + self.false_alarms)

    @property
    def balanced_accuracy(self) -> float:
        """The mean of both recalls; nan when one class is missing."""
        return (self.recall_generated + self.recall_real) / 2

    @property
    def f1(self) -> float:
        """Twice the hits against what is fake plus what was said to be; nan only when both are nothing."""
        return share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)

    @property
    def iou(self) -> float:
        """The hits against all that is fake or was said to be; nan only when that is nothing."""
        return share(self.hits, self.hits + self.false_alarms + self.misses)


def counts_of(fake: Flags, said: Flags) -> Counts:
    """The counts of what is fake against what was said to be, two arrays of booleans of one shape."""
    hits = int(np.count_nonzero(fake & said))
    fakes, called = int(np.count_nonzero(fake)), int(np.count_nonzero(said))
    return Counts(hits, called - hits, fakes - hits, fake.size - fakes - called + hits)


def f1_with_epsilon(counts: Counts, epsilon: float) -> float:
    """F1 by way of precision and recall with a small number in each denominator: 0 where F1 is undefined.

    >>> f1_with_epsilon(Counts(passes=9), 1e-8)
    0.0
    """
    precision = counts.hits / (counts.hits + counts.false_alarms + epsilon)
    recall = counts.hits / (counts.hits + counts.misses + epsilon)
    return 2 * precision * recall / (precision + recall + epsilon)
