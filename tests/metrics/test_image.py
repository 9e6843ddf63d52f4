"""Image numbers: equal to scikit-learn's, blind to the order of rows, nan where there is nothing to say."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.metrics import image
from fauxlens.metrics.counts import Counts

# Few distinct values, so that ties, also across classes and at the threshold, are the rule.
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), min_size=1, max_size=40)
BOTH = ROWS.filter(lambda rows: len({fake for fake, _ in rows}) == 2)


def arrays(rows: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([fake for fake, _ in rows]), np.array([score for _, score in rows])


def drawn(count: int = 2_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fake = rng.random(count) < 0.3
    return fake, 1 / (1 + np.exp(-rng.normal(fake * 1.0, 1.5)))


@given(BOTH)
def test_all_equal_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    fake, score = arrays(rows)
    said = score > 0.5
    equal = pytest.approx
    assert image.auc(fake, score) == equal(oracle.roc_auc_score(fake, score), abs=1e-12)
    assert image.average_precision(fake, score) == equal(oracle.average_precision_score(fake, score), abs=1e-12)
    assert image.accuracy(fake, score) == equal(oracle.accuracy_score(fake, said))
    assert image.balanced_accuracy(fake, score) == equal(oracle.balanced_accuracy_score(fake, said))
    assert image.f1(fake, score) == equal(oracle.f1_score(fake, said))
    assert image.f1_published(fake, score) == equal(oracle.f1_score(fake, said), abs=1e-6)
    assert image.recall_generated(fake, score) == equal(oracle.recall_score(fake, said))
    assert image.recall_real(fake, score) == equal(oracle.recall_score(~fake, ~said))
    assert image.false_alarm_rate(fake, score) == equal(1 - image.recall_real(fake, score))
    assert image.brier(fake, score) == equal(oracle.brier_score_loss(fake, score), abs=1e-12)
    for rate in (0.0, 0.01, 0.05, 0.1, 0.5, 1.0):
        alarms, found, _ = oracle.roc_curve(fake, score, drop_intermediate=False)
        assert image.tpr_at_fpr(fake, score, rate) == equal(found[alarms <= rate].max())


@given(ROWS, st.randoms(use_true_random=False))
def test_order_does_not_matter(rows: list[tuple[bool, float]], random: object) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    for name, metric in image.METRICS.items():
        # Sums of floats in another order may differ in the last bit, and in no other.
        one, other = metric.function(*arrays(rows)), metric.function(*arrays(mixed))
        assert one == pytest.approx(other, abs=1e-12, nan_ok=True), name


@given(BOTH)
def test_growing_transforms_keep_what_is_about_order(rows: list[tuple[bool, float]]) -> None:
    fake, score = arrays(rows)
    for metric in (image.auc, image.average_precision, image.tpr_at_1_percent, image.tpr_at_5_percent):
        assert metric(fake, score) == metric(fake, 7 * score**3 - 100)
    assert image.auc(fake, -score) == pytest.approx(1 - image.auc(fake, score), abs=1e-12)


@given(ROWS, st.integers(0, 40))
def test_counts_of_parts_add_up(rows: list[tuple[bool, float]], cut: int) -> None:
    fake, score = arrays(rows)
    parts = image.counts(fake[:cut], score[:cut]) + image.counts(fake[cut:], score[cut:])
    assert parts == image.counts(fake, score)
    assert parts.fakes + parts.reals == len(rows)


def test_a_score_at_the_threshold_is_called_real() -> None:
    assert image.counts([1, 0], [0.5, 0.5]) == Counts(misses=1, passes=1)
    assert image.counts([1, 0], [0.5, 0.5], 0.4999) == Counts(hits=1, false_alarms=1)


def test_all_ties() -> None:
    fake, score = [1, 1, 0, 0, 0], [0.7] * 5
    assert image.auc(fake, score) == 0.5
    assert image.average_precision(fake, score) == 0.4
    assert image.tpr_at_fpr(fake, score, 0.99) == 0
    assert image.tpr_at_fpr(fake, score, 1.0) == 1
    assert image.operating_point(fake, score, 0.5).threshold == math.inf


@pytest.mark.parametrize("fake", [[1, 1], [0, 0], [1], [0], []])
def test_with_one_class_the_rest_is_nan_and_only_the_rest(fake: list[int]) -> None:
    score = [0.8, 0.4][: len(fake)]
    there = {name for name, metric in image.METRICS.items() if not math.isnan(metric.function(fake, score))}
    always = {"F1 (published)"}
    if fake:
        always |= {"accuracy", "ECE", "ECE (equal mass)", "Brier", "F1"}  # 0.8 is always called fake
        always |= {"Gen. R@50"} if fake[0] else {"Real R@50", "false alarms"}
    assert there == always
    assert math.isnan(image.f1([0], [0.2]))


@pytest.mark.parametrize(
    ("fake", "score", "said"),
    [
        ([1, 0], [0.5, float("nan")], "1 of 2 are NaN"),
        ([1, 0], [0.5], "2 of fake, 1 of score"),
        ([1, 2], [0.5, 0.5], "fake holds no labels"),
        ([0.0, 1.0], [0.5, 0.5], "fake holds no labels"),
        (["real", "fake"], [0.5, 0.5], "fake holds no labels"),
        ([[1, 0]], [0.5, 0.5], "fake holds no labels"),
        ([1, 0], [[0.5, 0.5]], "score holds no numbers"),
        ([1, 0], ["a", "b"], "score holds no numbers"),
    ],
)  # fmt: skip
def test_what_is_no_label_or_score_is_refused(fake: object, score: object, said: str) -> None:
    for name, metric in image.METRICS.items():
        with pytest.raises(BadShape) as caught:
            metric.function(fake, score)
        if metric.needs == ("fake", "score"):
            assert said in str(caught.value), name


@pytest.mark.parametrize("outside", [-0.1, 1.1, math.inf])
def test_calibration_wants_probabilities_and_order_does_not(outside: float) -> None:
    for metric in (image.ece, image.ece_equal_mass, image.brier):
        with pytest.raises(BadShape, match="no probabilities"):
            metric([1, 0], [0.5, outside])
    assert image.auc([1, 0], [outside, -5.0]) == 1


def test_tpr_never_interpolates_and_takes_the_highest_threshold() -> None:
    # Reals at 0.1 ... 1.0; fakes between them.
    reals = np.arange(1, 11) / 10
    fakes = np.array([1.05, 0.95, 0.85, 0.15])
    fake = np.r_[np.zeros(10, bool), np.ones(4, bool)]
    score = np.r_[reals, fakes]
    assert image.tpr_at_fpr(fake, score, 0.0999) == 0.25
    assert image.tpr_at_fpr(fake, score, 0.1) == 0.5  # 1 of 10 is allowed: exactly
    point = image.operating_point(fake, score, 0.5)
    assert (point.threshold, point.recall_generated) == (0.85, 0.75)
    assert (point.false_alarms, point.reals, point.false_alarm_rate) == (2, 10, 0.2)
    with pytest.raises(BadSetting, match="no share"):
        image.tpr_at_fpr(fake, score, 5)


@given(st.integers(1, 200), st.integers(0, 200))
def test_a_rate_that_is_just_reached_is_allowed(reals: int, alarms: int) -> None:
    alarms = min(alarms, reals)
    fake = np.r_[np.zeros(reals, bool), True]
    score = np.r_[np.arange(reals) < alarms, 0.5].astype(float)
    assert image.tpr_at_fpr(fake, score, float(Fraction(alarms, reals))) == 1
    if alarms:
        assert image.tpr_at_fpr(fake, score, (alarms - 0.5) / reals) == 0


def test_ece_by_hand() -> None:
    # Edges belong to the bin above, and 1 to the last.
    found = image.reliability([0, 1, 1, 1], [0.0, 0.25, 0.5, 1.0], bins=4)
    assert found.count.tolist() == [1, 1, 1, 1]
    assert found.error == pytest.approx((0 + 0.75 + 0.5 + 0) / 4)
    empty = image.reliability([1], [0.9], bins=2)
    assert np.isnan(empty.probability[0])
    assert np.isnan(empty.fakes[0])
    assert empty.error == pytest.approx(0.1)
    with pytest.raises(BadSetting, match="too few bins"):
        image.ece([1], [0.5], bins=0)
    with pytest.raises(BadSetting, match="width or mass"):
        image.reliability([1], [0.5], by="depth")  # type: ignore[arg-type]


def test_bins_of_equal_mass_are_scikit_learns_when_nothing_ties() -> None:
    fake, probability = drawn(1_500)
    found = image.reliability(fake, probability, bins=15, by="mass")
    assert found.count.tolist() == [100] * 15
    came, promised = oracle_curve(fake, probability, 15, "quantile")
    assert found.probability == pytest.approx(promised)
    assert found.fakes == pytest.approx(came)
    came, promised = oracle_curve(fake, probability, 15, "uniform")
    by_width = image.reliability(fake, probability, bins=15)
    held = by_width.count > 0
    assert by_width.probability[held] == pytest.approx(promised)
    assert by_width.fakes[held] == pytest.approx(came)


def oracle_curve(fake: np.ndarray, probability: np.ndarray, bins: int, way: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.calibration import calibration_curve

    return calibration_curve(fake, probability, n_bins=bins, strategy=way)


def test_ties_share_a_bin_of_equal_mass() -> None:
    found = image.reliability([0, 1] * 5, [0.3] * 10, bins=5, by="mass")
    assert sorted(found.count.tolist()) == [0, 0, 0, 0, 10]
    assert found.error == pytest.approx(0.2)
    (held,) = np.flatnonzero(found.count)
    assert (found.low[held], found.high[held]) == (0.3, 0.3)


def test_bins_of_equal_mass_treat_both_ends_alike() -> None:
    assert image.reliability([0, 1], [0.2, 0.8], bins=3, by="mass").count.tolist() == [1, 0, 1]


def test_a_calibrated_detector_has_a_small_error_and_a_boastful_one_a_large_one() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(50_000)
    fake = rng.random(50_000) < probability
    assert image.ece(fake, probability) < 0.02
    assert image.ece(fake, np.round(probability)) == pytest.approx(0.25, abs=0.01)


def test_a_line_of_the_table_is_a_column_of_a_report() -> None:
    assert image.METRICS["AUC"].column("AUC").title == "AUC ↑"
    assert image.METRICS["ECE"].column("ECE").title == "ECE ↓"
