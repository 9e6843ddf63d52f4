"""Pixel numbers of one picture and of many: scikit-learn's, the same in parts, bounded where they are binned."""

from __future__ import annotations

import dataclasses
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as oracle

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.metrics import pixel
from fauxlens.metrics.counts import Counts
from fauxlens.metrics.masks import BINS, RUNGS, bins_of, threshold_of
from fauxlens.metrics.tally import PixelTally, ScoreHistogram

SHAPE = (4, 5)
TRUTH = arrays.arrays(np.bool_, SHAPE)
# Eighths, so that ties are the rule; and what lies near the ends, where sigmoids crowd.
SCORE = arrays.arrays(np.float32, SHAPE, elements=st.sampled_from([*(np.arange(9) / 8), 1e-12, 1e-6, 1 - 2**-24]))
NAN = float("nan")


def masks(count: int, seed: int = 0, side: int = 48, dtype: type = np.float32) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        truth = np.zeros((side, side), dtype=np.bool_)
        if index % 4:
            row, column, size = rng.integers(0, side // 2, 3)
            truth[row : row + size + 2, column : column + size + 2] = True
        logit = rng.normal(-4, 3, truth.shape) + 4 * rng.random() * truth
        made.append((truth, (1 / (1 + np.exp(-logit))).astype(dtype)))
    return made


@given(TRUTH.filter(lambda t: t.any() and not t.all()), SCORE)
def test_one_picture_equals_scikit_learn(truth: np.ndarray, score: np.ndarray) -> None:
    flat, said = truth.ravel(), score.ravel() > 0.5
    assert pixel.auc(truth, score) == pytest.approx(oracle.roc_auc_score(flat, score.ravel()), abs=1e-12)
    assert pixel.f1(truth, score) == pytest.approx(oracle.f1_score(flat, said))
    assert pixel.iou(truth, score) == pytest.approx(oracle.jaccard_score(flat, said))
    assert pixel.accuracy(truth, score) == pytest.approx(oracle.accuracy_score(flat, said))
    assert pixel.f1_published(truth, score) == pytest.approx(oracle.f1_score(flat, said), abs=1e-6)
    assert pixel.iou_published(truth, score) == pytest.approx(oracle.jaccard_score(flat, said), abs=1e-6)
    best = pixel.best_f1(truth, score)
    every = [oracle.f1_score(flat, score.ravel() >= t) for t in np.unique(score)]
    assert best.value == pytest.approx(max(every))
    # The threshold told is one at which it is reached, by the rule of all other functions.
    assert pixel.f1(truth, score, best.threshold) == pytest.approx(best.value)
    assert pixel.iou(truth, score) == pytest.approx(pixel.iou_of_f1(pixel.f1(truth, score)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_masks_of_every_precision(dtype: type) -> None:
    truth, score = masks(2, side=200, dtype=dtype)[1]
    assert pixel.auc(truth, score) == pytest.approx(oracle.roc_auc_score(truth.ravel(), score.ravel()), abs=1e-12)
    row = PixelTally().add(truth, score)
    precision, recall, _ = oracle.precision_recall_curve(truth.ravel(), score.ravel())
    curve = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert row.best_f1 == pytest.approx(curve.max(), abs=1e-12)


@given(TRUTH, SCORE)
def test_order_of_pixels_and_growing_transforms(truth: np.ndarray, score: np.ndarray) -> None:
    order = np.random.default_rng(0).permutation(truth.size)
    mixed = [one.ravel()[order].reshape(SHAPE) for one in (truth, score)]
    for name, metric in pixel.METRICS.items():
        if name != "pixel AUC (published)":  # whose point it is to depend on it
            np.testing.assert_equal(metric.function(truth, score), metric.function(*mixed), err_msg=name)
    np.testing.assert_equal(pixel.auc(truth, score), pixel.auc(truth, np.sqrt(score.astype(np.float64)) / 2))


def test_authentic_pictures_by_rule() -> None:
    nothing = np.zeros((2, 2), dtype=np.bool_)
    clean, alarmed = np.full((2, 2), 0.5), np.array([[0.9, 0.1], [0.2, 0.3]])
    for metric in (pixel.f1, pixel.iou):
        assert [math.isnan(metric(nothing, one)) for one in (clean, alarmed)] == [True, True]
        assert [metric(nothing, one, authentic="one-when-clean") for one in (clean, alarmed)] == [1, 0]
        assert [metric(nothing, one, authentic="zero") for one in (clean, alarmed)] == [0, 0]
        with pytest.raises(BadSetting, match="left-out or one-when-clean or zero"):
            metric(nothing, clean, authentic="mean")  # type: ignore[arg-type]
    assert pixel.false_alarm_area(nothing, alarmed) == 0.25
    assert math.isnan(pixel.auc(nothing, alarmed))
    assert math.isnan(pixel.best_f1(nothing, alarmed).value)
    for published in (pixel.f1_published, pixel.iou_published, pixel.auc_published):
        assert published(nothing, alarmed) == 0


def test_all_fake_all_ties_one_pixel() -> None:
    every = np.ones((2, 3), dtype=np.bool_)
    assert math.isnan(pixel.auc(every, np.full((2, 3), 0.2)))
    assert math.isnan(pixel.auc_published(every, np.full((2, 3), 0.2)))
    assert math.isnan(pixel.false_alarm_area(every, np.full((2, 3), 0.2)))
    assert pixel.best_f1(every, np.zeros((2, 3), dtype=np.float32)).value == 1
    assert pixel.best_f1(every, np.zeros((2, 3), dtype=np.float32)).threshold < 0
    half = np.array([[True, False]])
    assert pixel.auc(half, np.full((1, 2), 0.2)) == 0.5
    assert pixel.best_f1(half, np.full((1, 2), 0.2)).value == pytest.approx(2 / 3)
    assert pixel.f1(np.array([[True]]), np.array([[1.0]])) == 1
    # Of two thresholds that do as well the higher is told, with less called fake.
    assert pixel.best_f1([[True, False, False, True, False]], [[0.9, 0.8, 0.7, 0.6, 0.5]]).threshold == 0.8
    assert math.isnan(pixel.f1(np.zeros((0, 4), dtype=np.bool_), np.zeros((0, 4))))


def test_minus_nothing_is_nothing() -> None:
    assert pixel.auc([[True, False]], [[-0.0, 0.0]]) == 0.5
    assert pixel.auc(np.array([[True, False]]), np.array([[0.1, -0.0]], dtype=np.float32)) == 1
    assert bins_of(np.array([-0.0])).tolist() == [0]
    histogram = ScoreHistogram()
    histogram.add([[True, False, False]], [[0.0, -0.0, 0.5]])
    assert histogram.auc == 0.25


def test_pixels_nobody_saw_are_in_no_number() -> None:
    truth = np.array([[True, True, False, False]])
    score = np.array([[0.9, NAN, 0.1, NAN]])
    seen = pixel.f1(truth[:, ::2], score[:, ::2])
    assert pixel.f1(truth, score) == seen == 1
    assert pixel.auc(truth, score) == 1
    tally = PixelTally()
    row = tally.add(truth, score)
    assert (row.unseen, row.counts) == (2, Counts(hits=1, passes=1))
    # An edit that lies where nobody looked leaves a picture without an edit.
    assert tally.add(truth, np.array([[NAN, NAN, 0.1, 0.2]])).is_authentic
    blind = tally.add(truth, np.full((1, 4), NAN))
    assert all(math.isnan(value) for value in (blind.f1, blind.iou, blind.auc, blind.best_f1, blind.accuracy))
    found = tally.scores()
    assert (found.pictures, found.authentic, found.unseen_pictures) == (3, 1, 1)
    assert (found.unseen_pixels, found.pixels) == (8, 4)
    assert found.macro_f1 == 1


@pytest.mark.parametrize(
    ("truth", "score", "said"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2)), "no mask of truth"),
        (np.zeros((2, 2, 1), dtype=np.bool_), np.zeros((2, 2, 1)), "no mask of truth"),
        (np.zeros((2, 2), dtype=np.bool_), np.zeros((2, 3)), r"another size .* \(2, 2\), got \(2, 3\)"),
        (np.zeros((2, 2), dtype=np.bool_), np.zeros((2, 2), dtype=np.uint8), "no mask of scores"),
        (np.zeros((2, 2), dtype=np.bool_), np.full((2, 2), 1.5), "no probabilities"),
        (np.zeros((2, 2), dtype=np.bool_), np.full((2, 2), -np.inf), "no probabilities"),
    ],
)
def test_what_is_no_mask_is_refused(truth: np.ndarray, score: np.ndarray, said: str) -> None:
    for metric in (*(one.function for one in pixel.METRICS.values()), PixelTally().add, ScoreHistogram().add):
        with pytest.raises(BadShape, match=said):
            metric(truth, score)


def test_published_auc_takes_ties_by_place_and_agrees_without_any() -> None:
    truth, score = masks(2)[1]
    apart = (np.argsort(np.argsort(score, axis=None)) / score.size).reshape(score.shape)
    assert pixel.auc_published(truth, apart) == pytest.approx(pixel.auc(truth, apart), abs=1e-12)
    assert pixel.auc_published([[False, True, True]], [[0.5, 0.5, 0.9]]) == 0.5
    assert pixel.auc([[False, True, True]], [[0.5, 0.5, 0.9]]) == 0.75


def test_reversed_and_double() -> None:
    truth, score = np.array([[True, False, False]]), np.array([[0.2, 0.9, 0.1]])
    assert pixel.f1_published(truth, score) == 0
    assert pixel.f1_reversed(truth, score) == pytest.approx(2 / 3)
    assert pixel.f1_double(truth, score) == pixel.f1_reversed(truth, score)


# --- many pictures


def test_bins_are_in_order_and_thresholds_part_them() -> None:
    rng = np.random.default_rng(0)
    near = np.exp2(-40 * rng.random(20_000)).astype(np.float32) / 2
    score = np.sort(np.r_[near, 1 - near, rng.random(20_000), 0, 0.5, 1].astype(np.float32))
    place = bins_of(score)
    assert (np.diff(place) >= 0).all()
    assert (place[0], place[-1]) == (0, BINS - 1)
    assert len(np.unique(place)) > 20_000
    for cut in [*RUNGS.tolist(), *rng.integers(0, BINS + 1, 300).tolist(), BINS // 2, BINS // 2 + 1]:
        assert np.array_equal(score.astype(np.float64) > threshold_of(cut), place >= cut), cut
    assert len(RUNGS) < 1_100
    assert {0, BINS} <= set(RUNGS.tolist())


@pytest.mark.parametrize("seed", range(3))
def test_pooled_auc_is_within_its_own_bound(seed: int) -> None:
    made = masks(12, seed)
    histogram = ScoreHistogram()
    for truth, score in made:
        histogram.add(truth, score)
    truth, score = (np.concatenate([one[n].ravel() for one in made]) for n in (0, 1))
    exact = oracle.roc_auc_score(truth, score)
    assert abs(histogram.auc - exact) <= histogram.auc_error + 1e-12
    assert histogram.auc_error < 1e-3


@settings(max_examples=50)
@given(st.lists(st.tuples(TRUTH, arrays.arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))), max_size=4))
def test_the_bound_holds_for_any_scores(made: list[tuple[np.ndarray, np.ndarray]]) -> None:
    histogram = ScoreHistogram()
    for one in made:
        histogram.add(*one)
    truth, score = (np.array([one[n] for one in made]).reshape(1, -1) for n in (0, 1))
    exact = pixel.auc(truth.astype(np.bool_), score)
    assert math.isnan(exact) == math.isnan(histogram.auc)
    if not math.isnan(exact):
        assert abs(histogram.auc - exact) <= histogram.auc_error + 1e-12


def test_the_bound_is_reached_when_all_falls_into_one_bin() -> None:
    histogram = ScoreHistogram()
    histogram.add([[True, False]], np.array([[0.3 + 1e-7, 0.3]], dtype=np.float32))
    assert (histogram.auc, histogram.auc_error) == (0.5, 0.5)


def test_a_tally_is_what_a_loop_over_pictures_gives() -> None:
    made = masks(16)
    tally = PixelTally()
    rows = [tally.add(*one) for one in made]
    found = tally.scores()
    edited = [one for one in made if one[0].any()]
    authentic = [one for one in made if not one[0].any()]
    assert (found.pictures, found.authentic, found.macro_auc_pictures) == (16, 4, 12)
    said = [(t.ravel(), s.ravel() > 0.5, s.ravel()) for t, s in edited]
    equal = pytest.approx
    assert found.macro_f1 == equal(np.mean([oracle.f1_score(t, p) for t, p, _ in said]), abs=1e-12)
    assert found.macro_iou == equal(np.mean([oracle.jaccard_score(t, p) for t, p, _ in said]), abs=1e-12)
    assert found.macro_auc == equal(np.mean([oracle.roc_auc_score(t, s) for t, _, s in said]), abs=1e-12)
    assert found.macro_accuracy == equal(np.mean([pixel.accuracy(*one) for one in made]))
    assert found.macro_f1_best_of_picture == equal(np.mean([pixel.best_f1(*one).value for one in edited]))
    assert found.false_alarm_area == equal(np.mean([pixel.false_alarm_area(*one) for one in authentic]))
    truth, score = (np.concatenate([one[n].ravel() for one in made]) for n in (0, 1))
    assert found.pooled_f1 == equal(oracle.f1_score(truth, score > 0.5))
    assert found.pooled_iou == equal(oracle.jaccard_score(truth, score > 0.5))
    assert found.pooled_accuracy == equal(oracle.accuracy_score(truth, score > 0.5))
    # The best of the heap: binned below the exact one, and reached at the threshold it names.
    exact = pixel.best_f1(truth[None], score[None]).value
    assert exact - 1e-3 < found.pooled_f1_best_of_set <= exact + 1e-12
    reached = oracle.f1_score(truth, score > found.pooled_f1_best_of_set_threshold)
    assert found.pooled_f1_best_of_set == equal(reached, abs=1e-12)
    # One threshold for all pictures: reached, better than 0.5, worse than a threshold for each.
    at = found.macro_f1_best_of_set_threshold
    assert found.macro_f1_best_of_set == equal(np.mean([pixel.f1(*one, at) for one in edited]), abs=1e-9)
    dense = max(np.mean([pixel.f1(*one, t) for one in edited]) for t in np.linspace(0.01, 0.99, 99))
    assert dense - 5e-3 < found.macro_f1_best_of_set <= found.macro_f1_best_of_picture
    assert found.macro_f1 <= found.macro_f1_best_of_set + 5e-3
    assert [row.is_authentic for row in rows] == [not one[0].any() for one in made]


def test_the_rule_for_authentic_pictures_changes_the_mean_as_it_says() -> None:
    tally = PixelTally()
    tally.add([[True, True]], [[0.9, 0.9]])
    tally.add([[False, False]], [[0.1, 0.1]])
    tally.add([[False, False]], [[0.9, 0.1]])
    assert tally.scores().macro_f1 == 1
    assert tally.scores("one-when-clean").macro_f1 == pytest.approx(2 / 3)
    assert tally.scores("zero").macro_iou == pytest.approx(1 / 3)
    assert tally.scores().clean_authentic == 0.5
    assert tally.scores().false_alarm_area == 0.25
    with pytest.raises(BadSetting, match="no such rule"):
        tally.scores("ignored")  # type: ignore[arg-type]


def same(one: PixelTally, other: PixelTally) -> bool:
    # Bit for bit: repr tells floats exactly, and nan like nan.
    return repr(dataclasses.asdict(one.scores())) == repr(dataclasses.asdict(other.scores()))


@settings(max_examples=20)
@given(st.permutations(range(9)), st.integers(0, 9))
def test_parts_in_any_order_are_exactly_the_whole(order: list[int], cut: int) -> None:
    made = masks(9, side=12)
    whole, one, other = PixelTally(), PixelTally(), PixelTally()
    for index in range(9):
        whole.add(*made[index])
    for place, index in enumerate(order):
        (one if place < cut else other).add(*made[index])
    assert same(pickle.loads(pickle.dumps(one)) + other, whole)
    assert same(other + one, whole)
    assert same(whole + PixelTally(), whole)


def test_tallies_at_other_thresholds_do_not_add() -> None:
    with pytest.raises(BadSetting, match="different thresholds"):
        PixelTally() + PixelTally(threshold=0.4)


def test_nothing_at_all_is_nan() -> None:
    found = dataclasses.asdict(PixelTally().scores())
    counted = {"pictures", "authentic", "unseen_pictures", "unseen_pixels", "pixels", "macro_auc_pictures", "threshold"}
    assert {name for name, value in found.items() if not math.isnan(value)} == counted
    assert math.isnan(ScoreHistogram().auc)
    assert math.isnan(ScoreHistogram().auc_error)


def test_memory_does_not_grow_with_the_number_of_masks() -> None:
    made = masks(4, side=64)
    tally = PixelTally()
    peaks = []
    tracemalloc.start()
    try:
        for count in (40, 400):
            tracemalloc.reset_peak()
            for index in range(count):
                tally.add(*made[index % 4])
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000
