"""How well a score ranks fakes above reals: the interval of its AUC over groups, and a permutation test. NumPy alone.

Rows of one group (one photo and what was made of it) are no independent samples, so groups, not rows, are drawn again
for intervals and have their labels exchanged for tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fauxlens.metrics.arrays import Flags, Floats, Integers, middle_ranks
from fauxlens.metrics.image import auc_of as auc
from fauxlens.metrics.interval import Estimate

# How many label vectors are held at once in the permutation test: memory against the speed of one matrix product.
_BLOCK = 64


def bootstrap_aucs(
    fake: Flags,
    score: Floats,
    group: Integers,
    *,
    resamples: int,
    rng: np.random.Generator,
    part: Integers | None = None,
    parts: int = 1,
) -> Floats:
    """AUCs of `resamples` draws of whole groups, (resamples, 1 + parts).

    Column 0 is all fakes against all reals; the others are the fakes of one part (`part`: a number a row, read for
    fakes only) against all reals; nan where a draw has no such fake.
    """
    _, place = np.unique(score, return_inverse=True)
    bins = int(place.max()) + 1
    # A sample of rows leaves numbers without a group; those must not be drawn.
    numbers, group = np.unique(group, return_inverse=True)
    count = len(numbers)
    fake_place, real_place = place[fake], place[~fake]
    fake_group, real_group = group[fake], group[~fake]
    fake_part = np.zeros(len(fake_place), dtype=np.int64) if part is None else part[fake]
    drawn = np.empty((resamples, 1 + parts))
    for index in range(resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        reals = np.bincount(real_place, times[real_group], bins)
        upto = np.cumsum(reals)
        weight = times[fake_group]
        won = (upto - reals / 2)[fake_place] * weight
        weights = np.bincount(fake_part, weight, parts)
        wins = np.bincount(fake_part, won, parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn[index, 0] = wins.sum() / (weights.sum() * upto[-1])
            drawn[index, 1:] = wins / (weights * upto[-1])
    return drawn


def auc_estimate(
    fake: Flags, score: Floats, group: Integers, *, resamples: int, rng: np.random.Generator, widen: float = 1.0
) -> Estimate:
    """AUC with the 95 % interval over groups; for `widen` see `cross_validation_factor`."""
    drawn = bootstrap_aucs(fake, score, group, resamples=resamples, rng=rng)[:, 0]
    return interval_of(auc(fake, score), drawn, widen=widen)


def interval_of(value: float, drawn: Floats, *, widen: float = 1.0) -> Estimate:
    """`value` with the middle 95 % of the bootstrap draws, `widen` times as far from it, within [0, 1]."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Estimate(value, float("nan"), float("nan"))
    low, high = (value + widen * (end - value) for end in np.quantile(drawn, (0.025, 0.975)))
    return Estimate(value, float(min(max(low, 0.0), value)), float(max(min(high, 1.0), value)))


def cross_validation_factor(folds: int) -> float:
    """How much wider than by drawing rows alone an out-of-fold number varies: the models share training rows.

    The correction of Nadeau and Bengio (2003): the variance of a mean over folds is larger by 1 + folds / (folds - 1)
    than if they were independent.

    >>> cross_validation_factor(5)
    1.5
    """
    return float((1 + folds / (folds - 1)) ** 0.5)


def shuffled(fake: Flags, group: Integers, rng: np.random.Generator) -> Flags:
    """The labels as they could have fallen if they said nothing: groups exchange their shares of fakes.

    A group that is given a share of 0 or 1 has one label throughout; any other share is spread over its rows by chance,
    as nearly as its size allows. So rows of one group stay as dependent as they were, and a group of both labels does
    not keep its composition, which its facts might tell. With groups of unequal size the number of fakes varies a
    little from draw to draw.
    """
    members = np.bincount(group)
    share = np.bincount(group, fake) / np.maximum(members, 1)
    # A sample of rows leaves numbers without a group; those have no share to exchange.
    present = np.flatnonzero(members)
    share[present] = share[present][rng.permutation(len(present))]
    of_row = share[group]
    drawn: Flags = of_row == 1
    parted = np.flatnonzero((of_row > 0) & (of_row < 1))
    if not len(parted):
        return drawn
    # In a random order within each group. Systematic sampling: stepping through a group by its share passes a whole
    # number at each fake; the small amount keeps thirds and the like from falling just short of one.
    parted = parted[np.lexsort((rng.random(len(parted)), group[parted]))]
    groups = group[parted]
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(first, append=len(groups))
    place = np.arange(len(groups)) - np.repeat(first, sizes)
    start = np.repeat(rng.random(len(first)) + 1e-9, sizes)
    drawn[parted] = np.floor(share[groups] * (place + 1) + start) > np.floor(share[groups] * place + start)
    return drawn


def permutation_p(
    fake: Flags, scores: Floats, group: Integers, *, permutations: int, rng: np.random.Generator, widen: float = 1.0
) -> Floats:
    """(K, N) scores -> for each the share of label exchanges (see `shuffled`) whose AUC is at least the one found.

    One-sided: a score that ranks reals above fakes has found nothing, because its direction was learnt elsewhere. The
    found labels count as one of the exchanges, so no p is below 1 / (permutations + 1). The scores are held fixed:
    that is exact for scores that do not depend on these labels. Out-of-fold scores do (their models saw the labels of
    the other folds), so their AUC varies more than exchanges show; with `widen` above 1 (`cross_validation_factor`) the
    AUC found is moved that much nearer to 0.5 before it is compared. tests/audit measures the rate of false alarms.
    """
    ranks = np.stack([middle_ranks(score) for score in scores])
    found = np.array([auc(fake, score) for score in scores])
    # A little below, because the same AUC summed in another order may differ in its last bits.
    threshold = 0.5 + (found - 0.5) / widen - 1e-9
    reached = np.zeros(len(scores))
    left = permutations
    while left:
        size = min(left, _BLOCK)
        labels = np.stack([shuffled(fake, group, rng) for _ in range(size)]).astype(np.float64)
        count_fake = labels.sum(axis=1)
        count_real = labels.shape[1] - count_fake
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (ranks @ labels.T - count_fake * (count_fake + 1) / 2) / (count_fake * count_real)
        reached += (drawn >= threshold[:, None]).sum(axis=1)
        left -= size
    return np.asarray((1 + reached) / (permutations + 1), dtype=np.float64)


def best_threshold(fake: Flags, score: Floats) -> float:
    """The threshold (fake when at or above) of the highest balanced accuracy: half-way to the next lower score."""
    values, place = np.unique(score, return_inverse=True)
    fakes = np.bincount(place[fake], minlength=len(values))
    reals = np.bincount(place[~fake], minlength=len(values))
    recall = fakes[::-1].cumsum()[::-1] / max(int(fakes.sum()), 1)
    spared = (reals.cumsum() - reals) / max(int(reals.sum()), 1)
    best = int(np.argmax(recall + spared))
    # Half-way, because another fold's model gives the same files scores that are a little off.
    return float(values[best] if best == 0 else (values[best - 1] + values[best]) / 2)


def joined_groups(*keys: npt.NDArray[Any]) -> Integers:
    """Groups (numbers from 0) such that rows with an equal value in any of the keys share one.

    >>> joined_groups(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist()
    [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes = [np.unique(key, return_inverse=True)[1] for key in keys]
    if len(codes) == 1:
        return np.asarray(codes[0], dtype=np.int64)
    rows = len(codes[0])
    starts = np.cumsum([rows] + [int(code.max(initial=-1)) + 1 for code in codes])
    # A graph between rows and the values they hold.
    ends = np.concatenate([code + start for code, start in zip(codes, starts, strict=False)])
    links = coo_array(
        (np.ones(len(ends), dtype=np.int8), (np.tile(np.arange(rows), len(codes)), ends)),
        shape=(int(starts[-1]), int(starts[-1])),
    )
    _, labels = connected_components(links, directed=False)
    return np.asarray(np.unique(labels[:rows], return_inverse=True)[1], dtype=np.int64)
