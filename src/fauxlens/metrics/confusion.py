"""Which generator was it? One name of truth and one answer a picture; counts of parts add up to the whole's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.core.names import unknown
from fauxlens.metrics.arrays import Floats, Integers, Metric, same_length, share
from fauxlens.metrics.image import auc_of


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """`counts[i, j]`: how many pictures of class i were said to be of class j, (K, K).

    A name may stand for answers only ("unknown"): a class of which there is no picture has recall nan and is left out
    of the means.
    """

    names: tuple[str, ...]
    counts: Integers

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise BadSetting("a class is named twice", got=", ".join(self.names))
        side = len(self.names)
        if self.counts.shape != (side, side) or self.counts.dtype.kind not in "iu" or (self.counts < 0).any():
            raise BadShape(
                "no confusion matrix of these classes",
                wanted=f"({side}, {side}) whole numbers from 0 on",
                got=f"{self.counts.shape} {self.counts.dtype}",
            )

    def __add__(self, other: Confusion) -> Confusion:
        if self.names != other.names:
            raise BadSetting(
                "confusions of different classes cannot be added",
                wanted=", ".join(self.names),
                got=", ".join(other.names),
                hint="count both with the same names, in the same order",
            )
        return Confusion(self.names, self.counts + other.counts)

    @property
    def recall(self) -> Floats:
        """(K,) share of each class that was told right; nan for a class without pictures."""
        return _shares(np.diagonal(self.counts), self.counts.sum(axis=1))

    @property
    def precision(self) -> Floats:
        """(K,) share of the answers of each class that were right; nan for a class that was never answered."""
        return _shares(np.diagonal(self.counts), self.counts.sum(axis=0))

    @property
    def shares(self) -> Floats:
        """(K, K) the counts as shares of their row, as matrices are drawn; nan in the rows without pictures."""
        return _shares(self.counts, self.counts.sum(axis=1, keepdims=True))


def confusion(truth: npt.ArrayLike, said: npt.ArrayLike, names: Sequence[str]) -> Confusion:
    """Count answers: `truth` and `said` are (N,) names, all of them among `names`, whose order is the matrix's.

    >>> confusion(["gan", "gan", "sd"], ["gan", "sd", "sd"], ("gan", "sd")).counts.tolist()
    [[1, 1], [0, 1]]
    """
    rows, columns = _places(truth, names, "truth"), _places(said, names, "said")
    same_length(truth=rows, said=columns)
    side = len(names)
    return Confusion(tuple(names), np.bincount(rows * side + columns, minlength=side * side).reshape(side, side))


def accuracy(matrix: Confusion) -> float:
    """The share of all pictures told right (micro).

    >>> accuracy(confusion(["gan", "gan", "sd", "sd"], ["gan", "sd", "sd", "sd"], ("gan", "sd")))
    0.75
    """
    return share(int(np.trace(matrix.counts)), int(matrix.counts.sum()))


def macro_recall(matrix: Confusion) -> float:
    """The mean of the recalls of the classes that have pictures (macro accuracy). Here 1 / 2 and 1 / 1.

    >>> macro_recall(confusion(["gan", "gan", "sd"], ["gan", "sd", "sd"], ("gan", "sd", "unknown")))
    0.75
    """
    return _mean(matrix.recall)


def macro_precision(matrix: Confusion) -> float:
    """The mean of the precisions of the classes that have pictures; a class that was never answered counts 0.

    >>> macro_precision(confusion(["gan", "gan", "sd"], ["gan", "sd", "sd"], ("gan", "sd")))
    0.75
    """
    there = matrix.counts.sum(axis=1) > 0
    return _mean(np.where(np.isnan(matrix.precision), 0.0, matrix.precision)[there])


def macro_f1(matrix: Confusion) -> float:
    """The mean F1 of the classes that have pictures. Here 2 / 3 for both.

    >>> round(macro_f1(confusion(["gan", "gan", "sd"], ["gan", "sd", "sd"], ("gan", "sd"))), 4)
    0.6667
    """
    rows, columns = matrix.counts.sum(axis=1), matrix.counts.sum(axis=0)
    return _mean(_shares(2 * np.diagonal(matrix.counts), rows + columns)[rows > 0])


def one_vs_rest_aucs(truth: npt.ArrayLike, score: npt.ArrayLike, names: Sequence[str]) -> Floats:
    """(K,) AUC of each class's score, its own pictures against all others; nan where one of both sides is missing.

    `score` is (N, K), columns in the order of `names`; a NaN is refused.

    >>> one_vs_rest_aucs(["gan", "sd"], [[0.9, 0.1], [0.8, 0.2]], ("gan", "sd")).tolist()
    [1.0, 1.0]
    """
    place, value = _places(truth, names, "truth"), np.asarray(score, dtype=np.float64)
    if value.shape != (len(place), len(names)) or np.isnan(value).any():
        raise BadShape(
            "no scores of these classes",
            wanted=f"({len(place)}, {len(names)}) without NaN",
            got=f"{value.shape} with {int(np.isnan(value).sum())} NaN",
        )
    return np.array([auc_of(place == index, value[:, index]) for index in range(len(names))])


def one_vs_rest_auc(truth: npt.ArrayLike, score: npt.ArrayLike, names: Sequence[str]) -> float:
    """The mean of the `one_vs_rest_aucs` of the classes that have one, each class counted alike.

    >>> one_vs_rest_auc(["gan", "sd"], [[0.1, 0.9], [0.8, 0.2]], ("gan", "sd"))
    0.0
    """
    return _mean(one_vs_rest_aucs(truth, score, names))


def _places(given: npt.ArrayLike, names: Sequence[str], which: str) -> Integers:
    array = np.asarray(given)
    if array.ndim != 1:
        raise BadShape(f"{which} holds no names", wanted="(N,) names", got=f"{array.shape} {array.dtype}")
    of_name = {name: index for index, name in enumerate(names)}
    found = []
    for name in array.tolist():
        if name not in of_name:
            raise unknown(str(name), names, "class")
        found.append(of_name[name])
    return np.array(found, dtype=np.int64)


def _shares(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=np.float64)


def _mean(values: Floats) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


_COUNTED = ("matrix",)
METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "higher", _COUNTED, "share of all pictures told right (micro)"),
    "macro accuracy": Metric(macro_recall, "higher", _COUNTED, "mean recall of the classes that have pictures"),
    "macro precision": Metric(macro_precision, "higher", _COUNTED, "mean precision of the classes that have pictures"),
    "macro F1": Metric(macro_f1, "higher", _COUNTED, "mean F1 of the classes that have pictures"),
    "one-vs-rest AUC": Metric(
        one_vs_rest_auc, "higher", ("truth", "score", "names"), "mean AUC of a class against all others"
    ),
}
