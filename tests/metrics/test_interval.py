"""Intervals: they cover what they promise, keep groups together, and equal the published formulas."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fauxlens.core.errors import BadSetting, BadShape, FauxlensError
from fauxlens.metrics.image import auc, balanced_accuracy
from fauxlens.metrics.interval import (
    Estimate,
    bootstrap,
    clopper_pearson,
    delong,
    delong_interval,
    delong_test,
    mcnemar,
    paired_difference,
)

EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


def mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def spread(seed: int = 0, count: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1.0, count)


def test_the_same_purpose_is_the_same_interval() -> None:
    one = bootstrap(mean, spread(), purpose="a", resamples=300)
    assert one == bootstrap(mean, spread(), purpose="a", resamples=300)
    assert one != bootstrap(mean, spread(), purpose="b", resamples=300)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_of_a_mean_it_is_as_wide_as_theory_says(method: str) -> None:
    values = spread(count=400)
    found = bootstrap(mean, values, purpose="width", method=method)  # type: ignore[arg-type]
    assert found.half_width == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert found.contains(found.value)
    assert found.groups == 400
    narrow = bootstrap(mean, values, purpose="width", level=0.5, method=method)  # type: ignore[arg-type]
    assert found.low < narrow.low < narrow.high < found.high


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_it_covers_the_truth_about_as_often_as_it_says(method: str) -> None:
    rng = np.random.default_rng(7)
    held = [
        bootstrap(mean, rng.exponential(1.0, 50), purpose=str(n), resamples=200, method=method).contains(1.0)  # type: ignore[arg-type]
        for n in range(150)
    ]
    assert 0.85 < np.mean(held) <= 1.0


def test_bca_leans_the_way_the_number_is_skewed() -> None:
    values = np.random.default_rng(3).exponential(1.0, 30)
    plain = bootstrap(mean, values, purpose="skew", resamples=4000)
    leaning = bootstrap(mean, values, purpose="skew", resamples=4000, method="bca")
    # A long tail to the right: the corrected interval reaches further that way (Efron 1987).
    assert leaning.high > plain.high
    assert leaning.low > plain.low


def test_bca_is_scipys() -> None:
    from scipy.stats import bootstrap as oracle

    values = np.random.default_rng(5).exponential(1.0, 40)
    ours = bootstrap(mean, values, purpose="oracle", resamples=20_000, method="bca")
    theirs = oracle((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_copies_of_a_photo_make_an_interval_no_narrower() -> None:
    values = spread(count=50)
    alone = bootstrap(mean, values, purpose="copies")
    copied, origin = np.tile(values, 10), np.tile(np.arange(50), 10)
    grouped = bootstrap(mean, copied, purpose="copies", group=origin)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert grouped.groups == 50
    # What it would be if rows were drawn: about the root of ten too narrow.
    assert bootstrap(mean, copied, purpose="copies").half_width < 0.5 * grouped.half_width


def test_names_of_groups_and_their_rows_order_do_not_matter() -> None:
    values, origin = spread(), np.arange(60) // 3
    order = np.random.default_rng(1).permutation(60)
    named = np.array([f"photo-{n:03}" for n in origin])
    one = bootstrap(mean, values, purpose="names", group=origin, resamples=200)
    other = bootstrap(mean, values[order], purpose="names", group=named[order], resamples=200)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_strata_keep_their_numbers() -> None:
    fake = np.r_[np.ones(2, bool), np.zeros(50, bool)]
    seen = []

    def count(label: np.ndarray) -> float:
        seen.append((int(label.sum()), len(label)))
        return float(label.mean())

    bootstrap(count, fake, purpose="strata", stratum=fake, resamples=50)
    assert set(seen) == {(2, 52)}
    # Groups of both classes are a kind of their own.
    origin = np.r_[0, 1, 0, np.arange(2, 51)]
    seen.clear()
    bootstrap(count, fake, purpose="strata", group=origin, stratum=fake, resamples=50)
    assert set(seen) == {(2, 52)}


def test_too_little_to_tell_is_nan_and_says_how_much() -> None:
    one = bootstrap(mean, [1.0, 2.0], purpose="one", group=["a", "a"])
    assert (one.value, math.isnan(one.low), one.groups) == (1.5, True, 1)
    assert math.isnan(bootstrap(mean, [], purpose="none").value)
    # Without strata, draws of two pictures of either class lose one class half the time.
    lost = bootstrap(auc, [1, 0], [0.9, 0.1], purpose="lost", resamples=400)
    assert math.isnan(lost.low)
    assert 120 < lost.undefined < 280
    assert not lost.contains(1.0)
    kept = bootstrap(auc, [1, 0], [0.9, 0.1], purpose="lost", stratum=[1, 0], resamples=50)
    # Each class is one picture: every draw is the same, which is no proof of anything.
    assert (kept.value, math.isnan(kept.low), math.isnan(kept.high)) == (1.0, True, True)
    two = bootstrap(auc, [1, 1, 0, 0], [0.9, 0.8, 0.1, 0.2], purpose="two", stratum=[1, 1, 0, 0], resamples=50)
    assert (two.low, two.high, two.undefined) == (1.0, 1.0, 0)


def test_bca_without_spread_keeps_to_the_number() -> None:
    found = bootstrap(mean, [1.0] * 5, purpose="flat", method="bca", resamples=50)
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resamples": 0}, "too few resamples"),
        ({"method": "normal"}, "percentile or bca"),
        ({"level": 95}, "no such level"),
        ({"group": [1]}, "different length"),
        ({"stratum": [1]}, "different length"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(FauxlensError, match=said):
        bootstrap(mean, [1.0, 2.0], purpose="wrong", **change)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="nothing to draw"):
        bootstrap(mean, purpose="wrong")


# --- two detectors


def pair(seed: int = 0, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 0
    hard = rng.normal(fake * 1.0, 1.0)
    return fake, hard + rng.normal(0, 0.1, count), hard + rng.normal(0, 0.1, count)


def test_a_paired_difference_is_narrower_than_two_apart() -> None:
    fake, one, other = pair()
    both = paired_difference(auc, fake, one, other, purpose="pair", resamples=500)
    alone = bootstrap(auc, fake, one, purpose="pair", stratum=fake, resamples=500)
    assert both.value == pytest.approx(auc(fake, one) - auc(fake, other))
    assert both.half_width < 0.5 * alone.half_width
    turned = paired_difference(auc, fake, other, one, purpose="pair", resamples=500)
    assert (turned.low, turned.high) == pytest.approx((-both.high, -both.low), abs=1e-12)
    same = paired_difference(balanced_accuracy, fake, one, one, purpose="pair", resamples=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def by_pairs(fake: np.ndarray, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's formula as it was published, over all pairs."""
    above = []
    for score in scores:
        x, y = score[fake][:, None], score[~fake][None]
        above.append((x > y) + (x == y) / 2)
    of_fake, of_real = (np.stack([one.mean(axis=axis) for one in above]) for axis in (1, 0))
    aucs = of_fake.mean(axis=1)
    covariance = np.empty((len(scores), len(scores)))
    m, n = of_fake.shape[1], of_real.shape[1]
    for i in range(len(scores)):
        for j in range(len(scores)):
            s10 = ((of_fake[i] - aucs[i]) * (of_fake[j] - aucs[j])).sum() / (m - 1)
            s01 = ((of_real[i] - aucs[i]) * (of_real[j] - aucs[j])).sum() / (n - 1)
            covariance[i, j] = s10 / m + s01 / n
    return aucs, covariance


@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=4, max_size=30), st.integers(2, 28))
def test_delong_is_the_published_formula(rows: list[tuple[float, float]], fakes: int) -> None:
    fakes = min(fakes, len(rows) - 2)
    fake = np.arange(len(rows)) < fakes
    one, other = np.array(rows).T
    found = delong(fake, [one, other])
    aucs, covariance = by_pairs(fake, [one, other])
    assert found.aucs == pytest.approx(aucs, abs=1e-12)
    assert found.covariance == pytest.approx(covariance, abs=1e-12)
    assert found.aucs[0] == pytest.approx(roc_auc_score(fake, one), abs=1e-12)


def test_delongs_interval_and_the_bootstraps_agree_on_many() -> None:
    fake, one, other = pair(count=1_000)
    by_law, by_draw = delong_interval(fake, one), bootstrap(auc, fake, one, purpose="agree", stratum=fake)
    assert (by_law.low, by_law.high) == pytest.approx((by_draw.low, by_draw.high), abs=4e-3)
    tested, drawn = delong_test(fake, one, other), paired_difference(auc, fake, one, other, purpose="agree")
    assert tested.difference.value == pytest.approx(drawn.value)
    assert (tested.difference.low, tested.difference.high) == pytest.approx((drawn.low, drawn.high), abs=2e-3)
    assert (tested.p_value < 0.05) == (not tested.difference.contains(0.0))


def test_delong_false_alarms_are_as_rare_as_they_say() -> None:
    alarms = [delong_test(*pair(seed, 120)).p_value < 0.05 for seed in range(300)]
    assert 0.01 < np.mean(alarms) < 0.1
    fake, one, _ = pair()
    assert delong_test(fake, one, one[::-1]).p_value < 1e-6


def test_delong_says_nothing_where_it_cannot() -> None:
    parted = delong_interval([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1])
    assert (parted.value, math.isnan(parted.low), math.isnan(parted.high)) == (1.0, True, True)
    few = delong([1, 0, 0], [[0.9, 0.8, 0.1]])
    assert few.aucs.tolist() == [1.0]
    assert np.isnan(few.covariance).all()
    assert np.isnan(delong([1, 1], [[0.9, 0.8]]).aucs).all()
    fake, one, _ = pair()
    alike = delong_test(fake, one, one)
    assert alike.difference.value == 0
    assert math.isnan(alike.p_value)
    with pytest.raises(BadShape, match="different length"):
        delong_test(fake, one, one[:-1])
    with pytest.raises(BadShape, match="NaN"):
        delong_interval([1, 0], [math.nan, 0.1])


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_mcnemar_is_the_exact_binomial(more: int, less: int, alike: int) -> None:
    first = np.r_[np.ones(more, bool), np.zeros(less, bool), np.ones(alike, bool)]
    second = np.r_[np.zeros(more, bool), np.ones(less, bool), np.ones(alike, bool)]
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (more, less)
    if not len(first):
        assert math.isnan(found.p_value)
        return
    tail = sum(comb(more + less, k) for k in range(min(more, less) + 1))
    assert found.p_value == pytest.approx(min(1.0, 2 * tail / 2 ** (more + less)), rel=1e-9)


def test_mcnemar_of_many_and_of_wrong() -> None:
    rng = np.random.default_rng(0)
    fair = mcnemar(rng.random(1_000_000) < 0.5, rng.random(1_000_000) < 0.5)
    assert 0.001 < fair.p_value <= 1
    with pytest.raises(BadShape, match="1 of first, 2 of second"):
        mcnemar([1], [1, 0])


def test_an_estimate_is_told_in_a_line() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 (0.250 to 0.750)"
    assert Estimate(0.5, 0.25, 0.75).half_width == 0.25


@given(of=st.integers(1, 400), share=EIGHTHS, level=st.sampled_from((0.9, 0.95, 0.99)))
@settings(max_examples=40, deadline=None)
def test_clopper_pearson_is_scipys_exact_interval(of: int, share: float, level: float) -> None:
    from scipy.stats import binomtest

    hits = round(share * of)
    found = clopper_pearson(hits, of, level=level)
    exact = binomtest(hits, of).proportion_ci(level, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((hits / of, exact.low, exact.high), abs=1e-9)
    upper = clopper_pearson(hits, of, level=level, side="upper")
    one_sided = binomtest(hits, of, alternative="less").proportion_ci(level, method="exact")
    assert (upper.low, upper.high) == pytest.approx((0.0, one_sided.high), abs=1e-9)


def test_clopper_pearson_of_parts_lies_between_whole_counts_and_nothing_is_nothing() -> None:
    ends = [clopper_pearson(hits, 50).high for hits in (2, 2.5, 3)]
    assert ends == sorted(ends)
    assert math.isnan(clopper_pearson(0, 0).high)
    with pytest.raises(BadSetting, match="no counts"):
        clopper_pearson(3, 2)
