"""Tests at the level of independent groups: do numbers or kinds tell fakes from reals, and is one class too alike?

The unit of all is one picture of a group and a class: pictures of one origin are never counted as independent. Labels
are permuted over units; where a group holds a real and a fake (a photo and its forgery), the two are swapped instead:
that asks whether forging changed anything. Where other groups hold one class only, it is also asked whether the choice
of what was forged shows: then one picture of each group is drawn, and labels are permuted over groups. The stronger
answer of the two is given, at twice its p-value.
Everything that is done before the labels are looked at (scaling, whitening, folds) is done without them, so that the
test is exact whatever the numbers are. A p-value is (1 + as extreme) / (1 + permutations). When the first
`_FIRST` permutations already say that nothing is there, the rest is not drawn: such a p-value is above 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 1999
FEWEST = 10  # units of each class; below, no test is worth its name
_FOLDS = 5
_FIRST = 200
_PER_TEST = 300  # more permutations where many tests share one level, so that a corrected p-value can still be small
_BOOTSTRAPS = 300
_CELLS = 6_000_000  # floats of one working array

Values = NDArray[np.float32]
Rows = NDArray[np.int64]
Extreme: TypeAlias = Callable[[NDArray[np.float32]], int]
"""Labels of some permutations -> how many are at least as extreme as what was found."""


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """How well a linear rule tells fakes from reals on pictures it has not seen.

    `auc` with its 95 % interval is over units (`rows`: which pictures they are); `scores` are out of fold, one a unit,
    higher for fake; `p_value` is already multiplied by the number of tests it is one of.
    """

    auc: float
    interval: tuple[float, float]
    p_value: float
    reals: int
    fakes: int
    rows: Rows
    fake: NDArray[np.bool_]
    scores: Values


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """How alike the pictures of one set are: the mean similarity of two of them, with its 95 % interval.

    `rows` are the units of the set, and `each` their mean similarity to the others of the set.
    """

    mean: float
    interval: tuple[float, float]
    rows: Rows
    each: Values


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How much more alike the fakes are among themselves than the reals are, or the other way round.

    `p_value` is that of the size of the difference; its sign says which set is the more alike one.
    """

    fakes: Alike
    reals: Alike
    p_value: float

    @property
    def difference(self) -> float:
        """Above 0 when the fakes are the more alike ones."""
        return self.fakes.mean - self.reals.mean

    @property
    def count(self) -> int:
        """The pictures that were compared."""
        return len(self.fakes.rows) + len(self.reals.rows)


@dataclass(frozen=True, slots=True)
class Association:
    """How strongly a kind (such as the content) and the label hang together: Cramér's V, corrected for its bias."""

    strength: float
    interval: tuple[float, float]
    p_value: float
    kinds: int
    reals: int
    fakes: int


_Found = TypeVar("_Found", Separation, Likeness, Association)


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    rows: Rows
    fake: NDArray[np.bool_]
    group: Rows
    partner: Rows  # for a unit of a mixed group the place of the other one, else its own

    def permuted(self, count: int, chance: np.random.Generator) -> Values:
        """(units, count) of 0 and 1: labels of `count` permutations."""
        label = self.fake.astype(np.float32)
        places = np.arange(len(label))
        alone = np.flatnonzero(self.partner == places)
        first = np.flatnonzero(self.partner > places)
        found = np.repeat(label[:, None], count, axis=1)
        if len(alone):
            found[alone] = chance.permuted(found[alone], axis=0)
        swapped = chance.random((len(first), count)) < 0.5
        one, other = found[first], found[self.partner[first]]
        found[first] = np.where(swapped, other, one)
        found[self.partner[first]] = np.where(swapped, one, other)
        return found


def separation(
    values: Values,
    fake: NDArray[np.bool_],
    group: Rows,
    *,
    seed: int,
    tests: int = 1,
    permutations: int = PERMUTATIONS,
) -> Separation | str:
    """(N, D) numbers, (N,) fake, (N,) group -> how well they separate, or a sentence on why that cannot be said."""
    chance = np.random.default_rng(seed)
    designs = _designs(fake, group, chance)
    if isinstance(designs, str):
        return designs
    share = tests * len(designs)
    return _strongest([_separated(values, units, chance, share, permutations) for units in designs])


def likeness(
    similarity: Values,
    fake: NDArray[np.bool_],
    group: Rows,
    *,
    seed: int,
    kind: Rows | None = None,
    tests: int = 1,
    permutations: int = PERMUTATIONS,
) -> Likeness | str:
    """(N, N) similarity, (N,) fake, (N,) group -> which class is the more alike, or why that cannot be said.

    With `kind` (such as the content) only pictures of different kinds are compared. `similarity` must not know the
    labels, and must not be centred on the mean of both classes: then a difference of the classes' means would make each
    class look alike inside.
    """
    chance = np.random.default_rng(seed)
    designs = _designs(fake, group, chance)
    if isinstance(designs, str):
        return designs
    share = tests * len(designs)
    return _strongest([_likened(similarity, kind, units, chance, share, permutations) for units in designs])


def association(
    kind: Rows,
    fake: NDArray[np.bool_],
    group: Rows,
    *,
    seed: int,
    tests: int = 1,
    permutations: int = PERMUTATIONS,
) -> Association | str:
    """(N,) kind, (N,) fake, (N,) group -> how strongly they hang together, or why it cannot be said."""
    chance = np.random.default_rng(seed)
    designs = _designs(fake, group, chance)
    if isinstance(designs, str):
        return designs
    share = tests * len(designs)
    return _strongest([_associated(kind, units, chance, share, permutations) for units in designs])


def _separated(
    values: Values, units: _Units, chance: np.random.Generator, tests: int, permutations: int
) -> Separation | str:  # fmt: skip
    gram = _whitened_gram(values[units.rows])
    if gram is None:
        return "the pictures do not differ in this at all."
    _, fold_of = np.unique(units.group, return_inverse=True)
    fold = chance.permutation(int(fold_of.max()) + 1)[fold_of] % _FOLDS
    label = units.fake.astype(np.float32)
    score = _out_of_fold(gram, label[:, None], fold)[:, 0]
    reached = float(_aucs(score[:, None], label[:, None])[0])

    def extreme(labels: Values) -> int:
        return int((_aucs(_out_of_fold(gram, labels, fold), labels) >= reached - 1e-9).sum())

    p_value = _p_value(units, extreme, chance, tests, permutations)
    auc, interval = _auc_with_interval(score, units, chance)
    fakes = int(units.fake.sum())
    return Separation(auc, interval, p_value, len(units.fake) - fakes, fakes, units.rows, units.fake, score)


def _likened(
    similarity: Values, kind: Rows | None, units: _Units, chance: np.random.Generator, tests: int, permutations: int
) -> Likeness | str:  # fmt: skip
    near = np.array(similarity[np.ix_(units.rows, units.rows)], dtype=np.float32)
    # Pairs of one origin say nothing; the diagonal is among them.
    compared = units.group[:, None] != units.group[None, :]
    if kind is not None:
        compared &= kind[units.rows][:, None] != kind[units.rows][None, :]
    near[~compared] = 0
    if float(np.abs(near).max()) < 1e-9:
        return "the pictures do not differ in this at all."
    counted = compared.astype(np.float32)
    label = units.fake.astype(np.float32)[:, None]
    if min(_pairs_inside(counted, label)[:, 0]) < 1:
        return "the pictures of one class are all of one content, so none of different contents can be compared."

    def differences(labels: Values) -> Values:
        means = _pairs_inside(near, labels) / np.maximum(_pairs_inside(counted, labels), 1)
        found: Values = means[0] - means[1]
        return found

    reached = abs(float(differences(label)[0]))
    slack = 1e-6 * float(np.abs(near).sum() / counted.sum())
    p_value = _p_value(
        units, lambda labels: int((np.abs(differences(labels)) >= reached - slack).sum()), chance, tests, permutations
    )  # fmt: skip
    fakes, reals = (
        _alike(near, counted, np.flatnonzero(units.fake == side), units.rows, chance) for side in (True, False)
    )  # fmt: skip
    return Likeness(fakes, reals, p_value)


def _pairs_inside(pairs: Values, labels: Values) -> Values:
    """(n, n) symmetric, (n, P) of 0 and 1 -> (2, P): the sum over pairs of two ones, and over pairs of two zeros."""
    to_ones = pairs @ labels
    ones = (to_ones * labels).sum(0)
    # What is not between two ones or a one and a zero is between two zeros.
    return np.asarray(np.stack([ones, pairs.sum() - 2 * to_ones.sum(0) + ones]), dtype=np.float64)


def _alike(near: Values, counted: Values, members: Rows, rows: Rows, chance: np.random.Generator) -> Alike:
    inside, pairs = near[np.ix_(members, members)], counted[np.ix_(members, members)]
    weights = chance.multinomial(len(members), np.full(len(members), 1 / len(members)), size=_BOOTSTRAPS)
    drawn = ((weights @ inside) * weights).sum(1) / np.maximum(((weights @ pairs) * weights).sum(1), 1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    each = inside.sum(1) / np.maximum(pairs.sum(1), 1)
    mean = float(inside.sum()) / float(pairs.sum())
    return Alike(mean, (float(low), float(high)), rows[members], each.astype(np.float32))


def _associated(
    kind: Rows, units: _Units, chance: np.random.Generator, tests: int, permutations: int
) -> Association | str:  # fmt: skip
    names, number = np.unique(kind[units.rows], return_inverse=True)
    if len(names) < 2:
        return "all of them are of one kind."
    member = np.zeros((len(names), len(number)), dtype=np.float32)
    member[number, np.arange(len(number))] = 1
    label = units.fake.astype(np.float32)
    expected = member.sum(1, keepdims=True) * label.mean()

    # The number of fakes of each kind is all that a permutation changes, so this orders as chi-square does.
    def surprise(labels: Values) -> Values:
        squares: Values = ((member @ labels - expected) ** 2 / member.sum(1, keepdims=True)).sum(0)
        return squares

    reached = float(surprise(label[:, None])[0])
    p_value = _p_value(
        units, lambda labels: int((surprise(labels) >= reached - 1e-5).sum()), chance, tests, permutations
    )  # fmt: skip
    everyone = np.arange(len(label))
    drawn = [_cramers_v(number, units.fake, chance.choice(everyone, len(everyone))) for _ in range(_BOOTSTRAPS // 3)]
    strength = _cramers_v(number, units.fake, everyone)
    low, high = (float(edge) for edge in np.quantile(drawn, (0.025, 0.975)))
    fakes = int(units.fake.sum())
    interval = (min(low, strength), max(high, strength))
    return Association(strength, interval, p_value, len(names), len(label) - fakes, fakes)


def _cramers_v(kind: Rows, fake: NDArray[np.bool_], rows: Rows) -> float:
    """Bergsma's bias-corrected V of a table of kinds and two classes."""
    table = np.stack([np.bincount(kind[rows], weights=1.0 * (fake[rows] == side)) for side in (False, True)])
    table = table[:, table.sum(0) > 0]
    total = table.sum()
    if min(table.sum(1)) == 0 or table.shape[1] < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / total
    kinds = table.shape[1]
    square = max(0.0, float(((table - expected) ** 2 / expected).sum()) / total - (kinds - 1) / (total - 1))
    # With two classes the smaller corrected side is that of the classes: 2 - 1 / (n - 1), less 1.
    return min(1.0, float(np.sqrt(square / (1 - 1 / (total - 1)))))


def _designs(fake: NDArray[np.bool_], group: Rows, chance: np.random.Generator) -> list[_Units] | str:
    """The ways to draw units that are large enough, or why there is none."""
    both = _units(fake, group, chance, keys=group * 2 + fake)
    found = [both]
    if 0 < int((both.partner != np.arange(len(both.rows))).sum()) <= len(both.rows) - FEWEST:
        found.append(_units(fake, group, chance, keys=group))
    enough = [units for units in found if min(units.fake.sum(), (~units.fake).sum()) >= FEWEST]
    return enough or _too_few(both)


def _strongest(found: Sequence[_Found | str]) -> _Found | str:
    results = [one for one in found if not isinstance(one, str)]
    return min(results, key=lambda one: one.p_value) if results else found[0]


def _units(fake: NDArray[np.bool_], group: Rows, chance: np.random.Generator, *, keys: Rows) -> _Units:
    """One picture of each key, drawn by chance, in an order that tells nothing."""
    shuffled = chance.permutation(len(fake))
    _, first = np.unique(keys[shuffled], return_index=True)
    rows = chance.permutation(shuffled[first]).astype(np.int64)
    place = {(int(group[row]), bool(fake[row])): at for at, row in enumerate(rows)}
    partner = np.array([place.get((int(group[row]), not fake[row]), at) for at, row in enumerate(rows)], dtype=np.int64)
    return _Units(rows, fake[rows], group[rows], partner)


def _too_few(units: _Units) -> str:
    fakes = int(units.fake.sum())
    return (
        f"only {len(units.fake) - fakes} independent reals and {fakes} independent fakes; a comparison needs at least "
        f"{FEWEST} of each (pictures of one origin, and pictures that look exactly the same, count once)."
    )


def _p_value(
    units: _Units, extreme: Extreme, chance: np.random.Generator, tests: int, permutations: int
) -> float:  # fmt: skip
    # The correction for several tests must not be paid for in resolution.
    wanted = max(permutations, _PER_TEST * tests)
    done = reached = 0
    for count in _batches(wanted, len(units.fake)):
        reached += extreme(units.permuted(count, chance))
        done += count
        if (1 + reached) / (1 + done) * tests > 0.2 and reached >= 10:
            break
    return min(1.0, tests * (1 + reached) / (1 + done))


def _batches(wanted: int, size: int) -> Iterator[int]:
    largest = max(50, _CELLS // max(size, 1))
    done = 0
    while done < wanted:
        count = min(_FIRST if done == 0 else largest, wanted - done)
        yield count
        done += count


def _whitened_gram(values: Values) -> Values | None:
    """(n, D) -> (n, n) inner products after scaling each column and damping the directions that vary most."""
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    spread = centred.std(0)
    if float(spread.max(initial=0)) < 1e-6:
        return None
    scaled = centred / np.maximum(spread, 0.05 * spread.max())
    gram = scaled @ scaled.T / len(scaled)
    ridge = np.trace(gram) / len(gram)
    whitened = np.linalg.solve(gram + ridge * np.eye(len(gram)), gram)
    return np.asarray((whitened + whitened.T) / 2, dtype=np.float32)


def _out_of_fold(gram: Values, labels: Values, fold: Rows) -> Values:
    """(n, n), (n, P), (n,) -> (n, P): projection on mean fake minus mean real of the other folds, from the midpoint."""
    members = [np.flatnonzero(fold == number) for number in range(_FOLDS)]
    parts = [gram[:, part] @ labels[part] for part in members]
    ones = [gram[:, part].sum(1) for part in members]
    total, total_ones = sum(parts), sum(ones)
    score = np.empty_like(labels)
    for number, part in enumerate(members):
        others = fold != number
        to_fakes, to_all = total - parts[number], (total_ones - ones[number])[:, None]
        to_reals = to_all - to_fakes
        chosen = labels[others]
        fakes = np.maximum(chosen.sum(0), 1)
        reals = np.maximum(len(chosen) - chosen.sum(0), 1)
        inside_fakes = (to_fakes[others] * chosen).sum(0) / fakes**2
        inside_reals = (to_reals[others] * (1 - chosen)).sum(0) / reals**2
        score[part] = to_fakes[part] / fakes - to_reals[part] / reals - (inside_fakes - inside_reals) / 2
    return score


def _aucs(scores: Values, labels: Values) -> Values:
    """(n, P), (n, P) -> (P,). Ties are broken by the order of the units, which is by chance."""
    order = np.argsort(scores, axis=0, kind="stable")
    sorted_labels = np.take_along_axis(labels, order, axis=0)
    fakes = labels.sum(0)
    ranks = np.arange(1, len(labels) + 1, dtype=np.float64) @ sorted_labels
    auc: Values = ((ranks - fakes * (fakes + 1) / 2) / (fakes * (len(labels) - fakes))).astype(np.float64)
    return auc


def _auc_with_interval(
    score: Values, units: _Units, chance: np.random.Generator
) -> tuple[float, tuple[float, float]]:  # fmt: skip
    """The AUC and its 95 % interval by a bootstrap over groups."""
    fake, real = np.flatnonzero(units.fake), np.flatnonzero(~units.fake)
    ordered = np.sort(score[real])
    above = np.searchsorted(ordered, score[fake], "left")
    auc = float((above + np.searchsorted(ordered, score[fake], "right")).mean() / 2 / len(real))
    names, numbers = np.unique(units.group, return_inverse=True)
    weights = chance.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_BOOTSTRAPS)[:, numbers]
    order = np.argsort(score, kind="stable")
    drawn = weights[:, order].astype(np.float32)
    is_fake = units.fake[order]
    below = np.cumsum(drawn * ~is_fake, axis=1, dtype=np.float32)
    fakes, reals = (drawn * is_fake).sum(1), below[:, -1]
    usable = (fakes > 0) & (reals > 0)
    aucs = ((below * drawn * is_fake).sum(1)[usable]) / (fakes * reals)[usable]
    low, high = np.quantile(aucs, (0.025, 0.975))
    # Near 0 and 1 hardly any resample differs and the bootstrap is blind; a Wilson interval is not.
    z, count = 1.96, min(len(fake), len(real))
    if min(auc, 1 - auc) * count < 1:
        middle, reach = auc + z**2 / (2 * count), z * math.sqrt(auc * (1 - auc) / count + z**2 / (4 * count**2))
        low = min(low, (middle - reach) / (1 + z**2 / count))
        high = max(high, (middle + reach) / (1 + z**2 / count))
    return auc, (float(min(low, auc)), float(max(high, auc)))
