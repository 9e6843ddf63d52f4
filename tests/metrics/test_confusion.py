"""Which generator: equal to scikit-learn's, the same in parts, silent about classes without pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from fauxlens.core.errors import BadSetting, BadShape, UnknownName
from fauxlens.metrics import confusion as rooms
from fauxlens.metrics.confusion import Confusion, confusion

NAMES = ("gan", "sd", "midjourney", "dalle")
NAME = st.sampled_from(NAMES)
ROWS = st.lists(st.tuples(NAME, NAME), min_size=1, max_size=30)


@given(ROWS)
def test_all_equal_scikit_learn(rows: list[tuple[str, str]]) -> None:
    truth, said = zip(*rows, strict=True)
    found = confusion(truth, said, NAMES)
    assert np.array_equal(found.counts, oracle.confusion_matrix(truth, said, labels=NAMES))
    there = [name for name in NAMES if name in truth]
    wanted = {
        rooms.accuracy: oracle.accuracy_score(truth, said),
        rooms.macro_recall: oracle.recall_score(truth, said, labels=there, average="macro"),
        rooms.macro_precision: oracle.precision_score(truth, said, labels=there, average="macro", zero_division=0),
        rooms.macro_f1: oracle.f1_score(truth, said, labels=there, average="macro", zero_division=0),
    }
    for metric, value in wanted.items():
        assert metric(found) == pytest.approx(value), metric.__name__
    recall = oracle.recall_score(truth, said, labels=NAMES, average=None, zero_division=np.nan)
    precision = oracle.precision_score(truth, said, labels=NAMES, average=None, zero_division=np.nan)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(np.nansum(found.shares, axis=1), [float(name in truth) for name in NAMES])


@given(ROWS, st.integers(0, 30))
def test_parts_add_up(rows: list[tuple[str, str]], cut: int) -> None:
    def count(part: list[tuple[str, str]]) -> Confusion:
        return confusion([t for t, _ in part], [s for _, s in part], NAMES)

    assert np.array_equal((count(rows[cut:]) + count(rows[:cut])).counts, count(rows).counts)


def test_one_against_the_rest_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    place = rng.integers(0, 4, 300)
    score = np.round(rng.dirichlet(np.ones(4), 300) + np.eye(4)[place], 1)
    score /= score.sum(axis=1, keepdims=True)
    truth = np.array(NAMES)[place]
    wanted = oracle.roc_auc_score(place, score, multi_class="ovr", average="macro")
    assert rooms.one_vs_rest_auc(truth, score, NAMES) == pytest.approx(wanted, abs=1e-12)
    # A class of which there is no picture has no AUC and is not in the mean.
    part = place < 3
    aucs = rooms.one_vs_rest_aucs(truth[part], score[part], NAMES)
    assert math.isnan(aucs[3])
    assert rooms.one_vs_rest_auc(truth[part], score[part], NAMES) == pytest.approx(aucs[:3].mean())


def test_an_answer_that_is_no_class_costs_recall_and_no_mean() -> None:
    found = confusion(["gan", "gan", "sd"], ["gan", "unknown", "unknown"], ("gan", "sd", "unknown"))
    assert found.recall.tolist()[:2] == [0.5, 0.0]
    assert math.isnan(found.recall[2])
    assert rooms.macro_recall(found) == 0.25
    assert found.precision.tolist()[::2] == [1.0, 0.0]


def test_nothing_is_nan() -> None:
    empty = confusion([], [], NAMES)
    for name, metric in rooms.METRICS.items():
        if metric.needs == ("matrix",):
            assert math.isnan(metric.function(empty)), name
    assert math.isnan(rooms.one_vs_rest_auc([], np.empty((0, 4)), NAMES))
    assert math.isnan(rooms.one_vs_rest_auc(["gan", "gan"], np.ones((2, 4)), NAMES))


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"no class called 'dalle3'.*Did you mean 'dalle'"):
        confusion(["dalle3"], ["gan"], NAMES)
    with pytest.raises(BadShape, match="1 of truth, 2 of said"):
        confusion(["gan"], ["gan", "sd"], NAMES)
    with pytest.raises(BadShape, match="truth holds no names"):
        confusion([["gan"]], ["gan"], NAMES)
    with pytest.raises(BadSetting, match="named twice"):
        confusion([], [], ("gan", "gan"))
    with pytest.raises(BadSetting, match="different classes"):
        confusion([], [], NAMES) + confusion([], [], NAMES[::-1])
    with pytest.raises(BadShape, match="no confusion matrix"):
        Confusion(NAMES, np.zeros((4, 3), dtype=np.int64))
    with pytest.raises(BadShape, match="no confusion matrix"):
        Confusion(("gan",), np.array([[-1]]))
    for score in ([[0.5] * 3], [[0.5, 0.5, 0.5, math.nan]]):
        with pytest.raises(BadShape, match=r"wanted \(1, 4\) without NaN"):
            rooms.one_vs_rest_aucs(["gan"], score, NAMES)
