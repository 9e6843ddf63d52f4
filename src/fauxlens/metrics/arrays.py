"""What every metric asks of its arrays, ranks, and what a table of metrics says of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadShape
from fauxlens.core.report import Column

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of a table of metrics: the function, its unit and direction, and the arrays that it wants, by name."""

    function: Callable[..., float]
    better: Literal["higher", "lower"] | None
    needs: tuple[str, ...]
    about: str
    unit: str | None = None

    def column(self, name: str, format: str = ".3f") -> Column:
        """The column of a report in which its numbers stand."""
        return Column(name, unit=self.unit, better=self.better, format=format)


def flags(array: npt.ArrayLike, name: str = "fake") -> Flags:
    """Labels as booleans: (N,) of booleans, or of whole numbers 0 and 1.

    >>> flags([1, 0]).tolist()
    [True, False]
    """
    given = np.asarray(array)
    if given.size == 0:
        given = given.astype(np.bool_)
    whole = given.dtype == np.bool_ or (given.dtype.kind in "iu" and bool(((given == 0) | (given == 1)).all()))
    if given.ndim != 1 or not whole:
        raise BadShape(
            f"{name} holds no labels",
            wanted="(N,) booleans, or whole numbers 0 (real) and 1 (fake)",
            got=f"{given.shape} {given.dtype}",
            hint="compare with a class first, for example label != 'real'",
        )
    return given.astype(np.bool_)


def numbers(array: npt.ArrayLike, name: str = "score") -> Floats:
    """Scores as (N,) doubles; a NaN is refused, because no place among the others can be given to it."""
    given = np.asarray(array)
    if given.ndim != 1 or given.dtype.kind not in "fiub":
        raise BadShape(f"{name} holds no numbers", wanted="(N,) numbers", got=f"{given.shape} {given.dtype}")
    given = given.astype(np.float64)
    if missing := int(np.isnan(given).sum()):
        raise BadShape(
            f"{name} holds NaN",
            wanted="a number for every picture",
            got=f"{missing:,} of {len(given):,} are NaN",
            hint="predict these pictures again, or leave them out and say so",
        )
    return given


def labelled(fake: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Flags, Floats]:
    """Labels and scores of the same length."""
    label, value = flags(fake), numbers(score)
    same_length(fake=label, score=value)
    return label, value


def probabilities(fake: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Flags, Floats]:
    """Labels and probabilities of the same length; anything outside 0 to 1 is refused."""
    label, value = flags(fake), numbers(probability, "probability")
    same_length(fake=label, probability=value)
    if len(value) and (value.min() < 0 or value.max() > 1):
        raise BadShape(
            "these are no probabilities",
            wanted="numbers from 0 to 1",
            got=f"{value.min():.4g} to {value.max():.4g}",
            hint="put logits through a sigmoid, better a calibrated one",
        )
    return label, value


def same_length(**arrays: npt.NDArray[Any]) -> None:
    """Refuse arrays that do not speak of the same rows."""
    if len({len(array) for array in arrays.values()}) > 1:
        raise BadShape(
            "arrays of different length",
            wanted="one value a picture in each",
            got=", ".join(f"{len(array):,} of {name}" for name, array in arrays.items()),
        )


def share(part: float, whole: float) -> float:
    """`part` of `whole`, nan when there is no whole.

    >>> share(1, 4), share(0, 0)
    (0.25, nan)
    """
    return part / whole if whole else float("nan")


def middle_ranks(score: Floats) -> Floats:
    """Ranks from 1, equal scores sharing the mean of theirs.

    >>> middle_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)
