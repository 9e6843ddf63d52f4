"""How far a number can be relied on: bootstrap over groups, paired differences, DeLong's method, McNemar's test.

Edits of one photo are no independent samples, so groups (the origin) are drawn again, not rows. Chance comes from
`core.seeds`: the same purpose and rows give the same interval on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.core.seeds import seed_for
from fauxlens.metrics.arrays import Flags, Floats, Integers, flags, labelled, middle_ranks, same_length, share

Method = Literal["percentile", "bca"]

# More undefined draws than one in twenty, and the ends would be those of another question.
_MOST_UNDEFINED = 0.05
# Of more groups than this, the jackknife leaves out bundles of groups instead of single ones.
_MOST_LEFT_OUT = 200
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval: how wide (`level`), made how, over how many groups, and how many draws told nothing.

    >>> str(Estimate(0.5, 0.4, 0.6))
    '0.500 (0.400 to 0.600)'
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    method: str = "percentile"
    groups: int = 0
    undefined: int = 0

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    def contains(self, number: float) -> bool:
        """Whether `number` lies in the interval; never in one that is nan."""
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(
    metric: Callable[..., float],
    *arrays: npt.ArrayLike,
    purpose: str,
    group: npt.ArrayLike | None = None,
    stratum: npt.ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    method: Method = "percentile",
) -> Estimate:
    """`metric(*arrays)` with an interval over draws of whole groups.

    `group` is (N,) and says which rows belong together (each row alone, when left out). `stratum` is (N,), the class as
    a rule: groups are then drawn among groups of the same make-up (only reals, only fakes, both), so that no draw loses
    a class. "percentile" takes the middle of the draws. "bca" also corrects for bias and skew (Efron 1987); it takes
    as many evaluations more as there are groups, at most 200.

    The interval is nan when the number is, when there are fewer than two groups (or fewer than two of any stratum), or
    when more than one draw in twenty is undefined. It tells of the choice of pictures alone: not of training again, nor
    of another sort of picture.

    >>> found = bootstrap(lambda hit: float(hit.mean()), [1, 1, 1, 0], purpose="example", resamples=200)
    >>> found.value, found.groups, 0 <= found.low <= found.value <= found.high <= 1
    (0.75, 4, True)
    """
    drawn = _Draws.of(
        arrays, purpose=purpose, group=group, stratum=stratum, resamples=resamples, level=level, method=method
    )
    return drawn.estimate(metric)


def paired_difference(
    metric: Callable[..., float],
    fake: npt.ArrayLike,
    score: npt.ArrayLike,
    other: npt.ArrayLike,
    *,
    purpose: str,
    group: npt.ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    method: Method = "percentile",
) -> Estimate:
    """`metric(fake, score) - metric(fake, other)` of two detectors on the same pictures, drawn together.

    What is hard for both is hard in the same draws and cancels, so this interval is narrower than the two apart. It is
    drawn within classes. When it holds 0, no difference was shown; that is not to show that there is none.

    >>> from fauxlens.metrics.image import auc
    >>> fake, good, bad = [1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], [0.1, 0.2, 0.8, 0.9]
    >>> paired_difference(auc, fake, good, bad, purpose="example", resamples=100).value
    1.0
    """
    label, one = labelled(fake, score)
    _, two = labelled(fake, other)
    return bootstrap(
        lambda f, a, b: metric(f, a) - metric(f, b),
        label,
        one,
        two,
        purpose=purpose,
        group=group,
        stratum=label,
        resamples=resamples,
        level=level,
        method=method,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Delong:
    """AUCs of K detectors on the same pictures, (K,), and the covariance of their estimates, (K, K)."""

    aucs: Floats
    covariance: Floats


def delong(fake: npt.ArrayLike, scores: Sequence[npt.ArrayLike]) -> Delong:
    """AUCs of K arrays of (N,) scores and their covariance after DeLong, DeLong and Clarke-Pearson (1988).

    Ranks within each class and among all give every picture's share of the AUC (Sun and Xu 2014), so the work is that
    of a few sorts and not of all pairs. Rows must be independent: with several edits of one photo use `bootstrap` with
    groups. AUCs are nan without one of the classes, covariances with fewer than two pictures in one.

    >>> found = delong([1, 1, 0, 0], [[0.9, 0.4, 0.5, 0.1]])
    >>> found.aucs.tolist(), found.covariance.tolist()
    ([0.75], [[0.125]])
    """
    label = flags(fake)
    rows = [labelled(label, score)[1] for score in scores]
    fakes, reals = int(label.sum()), int((~label).sum())
    count = len(rows)
    if not fakes or not reals:
        return Delong(np.full(count, np.nan), np.full((count, count), np.nan))
    of_fake, of_real = np.empty((count, fakes)), np.empty((count, reals))
    for index, score in enumerate(rows):
        among_all = middle_ranks(score)
        # The share of reals that each fake beats, and of fakes that beat each real.
        of_fake[index] = (among_all[label] - middle_ranks(score[label])) / reals
        of_real[index] = 1 - (among_all[~label] - middle_ranks(score[~label])) / fakes
    if fakes < 2 or reals < 2:
        return Delong(of_fake.mean(axis=1), np.full((count, count), np.nan))
    covariance = np.cov(of_fake).reshape(count, count) / fakes + np.cov(of_real).reshape(count, count) / reals
    return Delong(of_fake.mean(axis=1), covariance)


def delong_interval(fake: npt.ArrayLike, score: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """The AUC with DeLong's interval, cut at 0 and 1.

    Symmetric by the normal law, so doubtful near 1 and with few pictures; when both classes are parted without error
    it has no width and is told as nan: that nothing went wrong yet is no proof.

    >>> found = delong_interval([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1])
    >>> found.value, round(found.low, 4), found.high
    (0.75, 0.057, 1.0)
    """
    _level(level)
    found = delong(fake, [score])
    value, deviation = float(found.aucs[0]), float(np.sqrt(found.covariance[0, 0]))
    reach = _NORMAL.inv_cdf((1 + level) / 2) * deviation
    size = int(flags(fake).size)
    if not deviation > 0:
        return Estimate(value, float("nan"), float("nan"), level, "DeLong", size)
    return Estimate(value, max(value - reach, 0.0), min(value + reach, 1.0), level, "DeLong", size)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two numbers with its interval, and the two-sided p of "there is none"."""

    difference: Estimate
    p_value: float


def delong_test(fake: npt.ArrayLike, score: npt.ArrayLike, other: npt.ArrayLike, *, level: float = 0.95) -> Comparison:
    """Two AUCs on the same pictures: first minus second, DeLong's interval and two-sided p.

    Interval and p are nan when the difference has no variance (both the same, or both without a doubt).

    >>> found = delong_test([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1], [0.4, 0.9, 0.5, 0.1])
    >>> found.difference.value, round(found.p_value, 3)
    (0.0, 1.0)
    """
    _level(level)
    found = delong(fake, [score, other])
    value = float(found.aucs[0] - found.aucs[1])
    variance = float(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
    size = int(flags(fake).size)
    # What rounding leaves of nothing is no variance.
    if not variance > 1e-15:
        nan = float("nan")
        return Comparison(Estimate(value, nan, nan, level, "DeLong", size), nan)
    deviation = variance**0.5
    reach = _NORMAL.inv_cdf((1 + level) / 2) * deviation
    p_value = 2 * _NORMAL.cdf(-abs(value) / deviation)
    return Comparison(Estimate(value, value - reach, value + reach, level, "DeLong", size), p_value)


@dataclass(frozen=True, slots=True)
class Mcnemar:
    """How many pictures only the one, or only the other, told right, and the exact two-sided p."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> Mcnemar:
    """Do two detectors tell as many pictures right? `first` and `second` are (N,) booleans: told right.

    Only pictures on which they differ count; were both as good, each such picture would be a fair coin. The p is twice
    the chance of so uneven a split or a more uneven one, at most 1; 1 when they never differ. Exact, for independent
    rows.

    >>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1])
    Mcnemar(only_first=5, only_second=0, p_value=0.0625)
    """
    from scipy.special import bdtr

    one, two = flags(first, "first"), flags(second, "second")
    same_length(first=one, second=two)
    more, less = int((one & ~two).sum()), int((two & ~one).sum())
    if not more + less:
        return Mcnemar(0, 0, 1.0 if len(one) else float("nan"))
    return Mcnemar(more, less, min(1.0, 2 * float(bdtr(min(more, less), more + less, 0.5))))


def clopper_pearson(
    hits: float, of: float, *, level: float = 0.95, side: Literal["both", "upper"] = "both"
) -> Estimate:
    """A share with the exact interval of Clopper and Pearson (1934); "upper" leaves the whole of the error above.

    `hits` need not be whole: groups that were hit in part count in part, after Korn and Graubard (1998). The "upper"
    end is also the exact bound for a threshold that was laid so that `hits` of the same `of` independent values are
    above it (Wilks 1941).

    >>> clopper_pearson(0, 299, side="upper").high < 0.01 < clopper_pearson(0, 298, side="upper").high
    True
    >>> str(clopper_pearson(5, 10))
    '0.500 (0.187 to 0.813)'
    """
    from scipy.special import betaincinv

    _level(level)
    if not 0 <= hits <= of:
        raise BadSetting("these are no counts", wanted="0 <= hits <= of", got=f"{hits} of {of}")
    if not of:
        nan = float("nan")
        return Estimate(nan, nan, nan, level, "Clopper-Pearson")
    above = (1 - level) if side == "upper" else (1 - level) / 2
    low = 0.0 if side == "upper" or not hits else float(betaincinv(hits, of - hits + 1, above))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - above))
    return Estimate(hits / of, low, high, level, "Clopper-Pearson", round(of))


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Rows sorted by group, so that a draw of groups is a draw of runs of rows."""

    arrays: tuple[npt.NDArray[Any], ...]
    start: Integers
    size: Integers
    kinds: tuple[Integers, ...]  # groups of the same make-up
    fewest: int  # groups that the rarest class is in
    rng: np.random.Generator
    resamples: int
    level: float
    method: Method

    @classmethod
    def of(
        cls,
        arrays: Sequence[npt.ArrayLike],
        *,
        purpose: str,
        group: npt.ArrayLike | None,
        stratum: npt.ArrayLike | None,
        resamples: int,
        level: float,
        method: Method,
    ) -> _Draws:
        _level(level)
        if resamples < 1:
            raise BadSetting("too few resamples", wanted="at least 1, better 2,000", got=resamples)
        if method not in ("percentile", "bca"):
            raise BadSetting("no such interval", wanted="percentile or bca", got=method)
        given = tuple(np.asarray(array) for array in arrays)
        if not given:
            raise BadSetting("nothing to draw from", wanted="at least one array", got="none")
        rows = len(given[0])
        of_row = np.arange(rows) if group is None else np.asarray(group)
        kind = np.zeros(rows, dtype=np.int64) if stratum is None else np.asarray(stratum)
        same_length(**{f"array {n + 1}": array for n, array in enumerate(given)}, group=of_row, stratum=kind)
        _, of_row = np.unique(of_row, return_inverse=True)
        _, kind = np.unique(kind, return_inverse=True)
        # Within a group the order of rows must not matter to a draw; between groups it is that of their names.
        order = np.argsort(of_row, kind="stable")
        size = np.bincount(of_row)
        return cls(
            tuple(array[order] for array in given),
            np.cumsum(size) - size,
            size,
            _by_make_up(of_row, kind),
            min((len(np.unique(of_row[kind == one])) for one in np.unique(kind)), default=0),
            np.random.default_rng(seed_for(f"interval {purpose}")),
            resamples,
            level,
            method,
        )

    def estimate(self, metric: Callable[..., float]) -> Estimate:
        """The number and its interval."""
        value = float(metric(*self.arrays))
        groups = len(self.size)
        nothing = Estimate(value, float("nan"), float("nan"), self.level, self.method, groups)
        # A class that comes from one group is the same in every draw: nothing is known of its spread.
        if np.isnan(value) or groups < 2 or self.fewest < 2:
            return nothing
        drawn = np.array([self._with(metric, self._drawn()) for _ in range(self.resamples)])
        told = np.sort(drawn[~np.isnan(drawn)])
        undefined = len(drawn) - len(told)
        if undefined > _MOST_UNDEFINED * len(drawn):
            return Estimate(value, float("nan"), float("nan"), self.level, self.method, groups, undefined)
        ends = np.array([(1 - self.level) / 2, (1 + self.level) / 2])
        if self.method == "bca":
            ends = self._corrected(metric, value, told, ends)
        if np.isnan(ends).any():
            return Estimate(value, float("nan"), float("nan"), self.level, self.method, groups, undefined)
        low, high = np.quantile(told, ends)
        return Estimate(value, float(low), float(high), self.level, self.method, groups, undefined)

    def _drawn(self) -> Integers:
        """As many groups as there are of each kind, with replacement."""
        return np.concatenate([kind[self.rng.integers(0, len(kind), len(kind))] for kind in self.kinds])

    def _with(self, metric: Callable[..., float], groups: Integers) -> float:
        sizes = self.size[groups]
        ends = np.cumsum(sizes)
        # Each drawn group's run of rows, one after the other.
        rows = np.repeat(self.start[groups] - (ends - sizes), sizes) + np.arange(ends[-1])
        return float(metric(*(array[rows] for array in self.arrays)))

    def _corrected(self, metric: Callable[..., float], value: float, told: Floats, ends: Floats) -> Floats:
        """Where in the draws the ends lie once bias and skew are corrected; nan when all draws lie on one side."""
        below = (np.count_nonzero(told < value) + np.count_nonzero(told == value) / 2) / len(told)
        if not 0 < below < 1:
            return np.full(2, np.nan)
        bias = _NORMAL.inv_cdf(below)
        skew = self._skew(metric)
        shifted = [bias + _NORMAL.inv_cdf(float(end)) for end in ends]
        return np.array([_NORMAL.cdf(bias + z / (1 - skew * z)) if skew * z < 1 else np.nan for z in shifted])

    def _skew(self, metric: Callable[..., float]) -> float:
        """The acceleration: the skewness of the number when one group (or bundle) after the other is left out."""
        groups = np.concatenate(self.kinds)
        # Bundles cut across kinds, so that none takes a whole class away.
        bundle = np.arange(len(groups)) % min(len(groups), _MOST_LEFT_OUT)
        left = np.array([self._with(metric, groups[bundle != index]) for index in range(int(bundle.max()) + 1)])
        away = np.nanmean(left) - left[~np.isnan(left)] if not np.isnan(left).all() else np.zeros(1)
        return share(float((away**3).sum()), 6 * float((away**2).sum()) ** 1.5) if away.any() else 0.0


def _by_make_up(group: Integers, kind: Integers) -> tuple[Integers, ...]:
    """Groups that hold the same kinds of rows."""
    held: Flags = np.zeros((int(group.max(initial=-1)) + 1, int(kind.max(initial=-1)) + 1), dtype=np.bool_)
    held[group, kind] = True
    if not held.size:
        return ()
    _, place = np.unique(held, axis=0, return_inverse=True)
    place = place.reshape(-1)
    return tuple(np.flatnonzero(place == index) for index in range(int(place.max()) + 1))


def _level(level: float) -> None:
    if not 0 < level < 1:
        raise BadSetting("no such level", wanted="between 0 and 1, for example 0.95", got=level)
