"""The metadata-only baseline: planted leaks are found and named, clean sets are left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from facts_drawn import PLANTS, drawn_columns, drawn_manifest
from fauxlens.audit.baseline import (
    ALL,
    FILE_FACTS,
    PAIR,
    Baseline,
    BaselinePlan,
    assign_folds,
    baseline_shortcuts,
    baseline_tables,
    groups_of,
    metadata_baseline,
    out_of_fold,
)
from fauxlens.audit.facts import fact_table
from fauxlens.audit.matching import is_fake
from fauxlens.audit.ranking import (
    auc_estimate,
    best_threshold,
    bootstrap_aucs,
    cross_validation_factor,
    joined_groups,
    permutation_p,
    shuffled,
)
from fauxlens.audit.shortcut import with_alarms
from fauxlens.core.errors import BadSetting
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.image import auc_of as auc
from fauxlens.metrics.interval import Estimate

QUICK = BaselinePlan(resamples=100, permutations=199, repeats=2)
FACT_OF = {"quality": "jpeg_quality"}


@pytest.fixture(scope="module", params=sorted(PLANTS))
def planted(request) -> tuple[str, Baseline]:
    return FACT_OF.get(request.param, request.param), metadata_baseline(drawn_manifest(plant=request.param), QUICK)


def test_a_planted_leak_is_found_and_named(planted):
    fact, baseline = planted
    for name in (ALL, FILE_FACTS):
        variant = baseline.variant(name)
        assert variant.auc.value > 0.9
        assert variant.auc.low > 0.8
        assert variant.balanced_accuracy > 0.9
        assert variant.p_value == 1 / 200
        assert variant.importance[0].fact == fact
        assert variant.importance[0].points > 20
    assert [one.fact for one in baseline.single if one.auc.low > 0.6 and one.fact != "bytes"] == [fact]
    assert baseline.control is not None
    assert baseline.control.is_sound


def test_a_planted_leak_raises_an_alarm_under_its_name(planted):
    fact, baseline = planted
    shortcuts = with_alarms(baseline_shortcuts(baseline))
    alarmed = {one.name for one in shortcuts if one.alarm}
    assert {"metadata", "file-facts", f"fact-{fact}"} <= alarmed
    assert next(one for one in shortcuts if one.name == "metadata").tables == baseline_tables(baseline)
    for table in baseline_tables(baseline):
        assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        ("quality", "quality of real: 96; alpha: 75; beta: 75"),
        ("format", "png: 97% of"),
        ("metadata", "exif in 97% of reals, 4% of fakes"),
        ("size", "square, mostly 512x512"),
    ],
)
def test_readings_are_plain_words(plant, words):
    baseline = metadata_baseline(drawn_manifest(plant=plant), replace(QUICK, permutations=19, shuffles=1))
    reading = next(one.reading for one in baseline.single if one.fact == FACT_OF.get(plant, plant))
    assert words.split(" ")[0] in reading
    assert words[:12] in reading or words in reading


def test_a_value_of_one_class_only_is_said_so():
    columns, fake = drawn_columns(120, 1)
    columns["format"] = ["webp" if made else "jpeg" for made in fake]
    baseline = metadata_baseline(Manifest.from_columns(columns, Path()), QUICK)
    reading = next(one.reading for one in baseline.single if one.fact == "format")
    assert reading == "every jpeg is real (60); every webp is fake (60)"


def test_clean_sets_contain_one_half():
    inside = false_alarms = 0
    draws = 40
    wide = cross_validation_factor(5)
    for seed in range(draws):
        manifest = drawn_manifest(160, seed)
        fake, group = is_fake(manifest), groups_of(manifest)
        score = out_of_fold(fact_table(manifest), fake, assign_folds(fake, group, 5, seed=seed), seed=seed)
        rng = np.random.default_rng(seed)
        inside += auc_estimate(fake, score, group, resamples=200, rng=rng, widen=wide).contains(0.5)
        false_alarms += permutation_p(fake, score[None], group, permutations=199, rng=rng, widen=wide)[0] <= 0.05
    assert inside >= 36
    # Nominal: two of forty. Six or more would happen in one of seventy runs, and the seeds are fixed.
    assert false_alarms <= 5


def test_near_copies_of_one_origin_do_not_leak():
    # Twelve copies of each photo share an odd size; without groups the size names the photo, and so its label.
    columns, fake = drawn_columns(480, 3, group_size=12)
    columns["width"] = [301 + 7 * (k // 12) for k in range(480)]
    columns["bytes"] = [1000 + 13 * (k // 12) for k in range(480)]
    manifest = Manifest.from_columns(columns, Path())
    facts, group = fact_table(manifest), groups_of(manifest)
    torn = out_of_fold(facts, fake, np.random.default_rng(0).integers(0, 5, 480))
    kept = out_of_fold(facts, fake, assign_folds(fake, group, 5))
    assert auc(fake, torn) > 0.9
    assert auc_estimate(fake, kept, group, resamples=200, rng=np.random.default_rng(0), widen=1.5).contains(0.5)


def test_the_result_depends_on_seed_and_rows_alone():
    manifest = drawn_manifest(120, plant="subsampling")
    order = np.random.default_rng(5).permutation(120)
    plan = replace(QUICK, permutations=19, shuffles=1)
    first, again = metadata_baseline(manifest, plan), metadata_baseline(manifest.take("shuffled", order), plan)
    np.testing.assert_array_equal(first.variant(ALL).score[order], again.variant(ALL).score)
    assert first.variant(ALL).auc == again.variant(ALL).auc
    assert first.single == again.single
    assert first.control == again.control
    assert metadata_baseline(manifest, replace(plan, seed=1)).variant(ALL).auc != first.variant(ALL).auc


def test_generators_are_told_apart():
    columns, fake = drawn_columns(300, 2)
    columns["jpeg_quality"] = [75 if name == "alpha" else 90 for name in columns["generator"]]
    baseline = metadata_baseline(Manifest.from_columns(columns, Path()), QUICK)
    alpha, beta = baseline.variant(FILE_FACTS).generators
    assert (alpha.generator, beta.generator) == ("alpha", "beta")
    assert alpha.auc.value > 0.95
    assert beta.auc.value < 0.65
    assert alpha.told > 0.95
    assert alpha.count + beta.count == fake.sum()


def test_what_cannot_be_measured_is_said():
    columns, fake = drawn_columns(60, 0)
    real_only = Manifest.from_columns({**columns, "label": ["real"] * 60}, Path())
    assert "one class only: no fake picture" in str(metadata_baseline(real_only).skipped)
    few = Manifest.from_columns({**columns, "origin": [f"{made}-{k % 4}" for k, made in enumerate(fake)]}, Path())
    assert "only 4 groups of real pictures" in str(metadata_baseline(few).skipped)
    bare = Manifest.from_columns({name: columns[name] for name in ("id", "path", "label", "origin")}, Path())
    assert "no column with a fact" in str(metadata_baseline(bare).skipped)
    nothing = metadata_baseline(Manifest.from_columns({"id": [], "path": [], "label": []}, Path()))
    assert nothing.skipped == "the manifest has no rows"
    (shortcut,) = baseline_shortcuts(nothing)
    assert (shortcut.skipped, shortcut.statistic, baseline_tables(nothing)) == (nothing.skipped, None, ())
    with pytest.raises(BadSetting, match="no variant called"):
        nothing.variant(ALL)
    with pytest.raises(BadSetting, match="folds is too small"):
        BaselinePlan(folds=1)


def test_equal_files_cannot_be_told_apart():
    columns, _ = drawn_columns(80, 0)
    for name in ("width", "height", "jpeg_quality", "subsampling", "metadata", "bytes", "content"):
        columns[name] = columns[name][:1] * 80
    baseline = metadata_baseline(Manifest.from_columns(columns, Path()), QUICK)
    assert baseline.variant(ALL).auc == Estimate(0.5, 0.5, 0.5)
    assert baseline.variant(ALL).p_value == 1
    assert baseline.single == ()


def test_matched_pairs_stay_together():
    # Equal facts within each pair: what one fold learns of a size, the others contradict, when pairs are torn.
    columns, _ = drawn_columns(400, 0)
    columns["label"] = ["real", "generated"] * 200
    columns["width"] = [200 + k // 2 % 40 for k in range(400)]
    for name in ("height", "jpeg_quality", "subsampling", "metadata", "bytes", "content"):
        columns[name] = columns[name][:1] * 400
    plain = Manifest.from_columns(columns, Path())
    torn = metadata_baseline(plain, replace(QUICK, shuffles=1)).variant(ALL).auc
    pairs = pa.array([str(k // 2) for k in range(400)])
    kept = metadata_baseline(plain.with_columns("pairs", {PAIR: pairs}), replace(QUICK, shuffles=1)).variant(ALL).auc
    assert torn.high < 0.5
    assert kept.contains(0.5)
    assert kept.half_width < 0.05


def test_many_groups_are_dealt_out_evenly():
    chance = np.random.default_rng(0)
    group = np.sort(chance.integers(0, 4000, 9000))
    fake = (chance.random(4001) < 0.3)[group]
    fold = assign_folds(fake, group, 5)
    assert all(len(set(fold[group == one])) == 1 for one in chance.choice(group, 50))
    assert np.ptp(np.bincount(fold)) <= 30
    assert np.ptp(np.bincount(fold, fake)) <= 30


def test_a_sample_of_the_rows_is_said():
    baseline = metadata_baseline(drawn_manifest(240), replace(QUICK, sample_rows=120))
    assert any("120 of 240 rows" in remark and "1.4 times as wide" in remark for remark in baseline.remarks)


labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=40).filter(
    lambda rows: len({made for made, _ in rows}) == 2
)


@settings(deadline=None)
@given(labelled)
def test_auc_is_that_of_scikit_learn(rows):
    fake, score = np.array([made for made, _ in rows]), np.array([float(value) for _, value in rows])
    assert auc(fake, score) == pytest.approx(roc_auc_score(fake, score))
    whole = bootstrap_aucs(
        fake, score, np.arange(len(rows)), resamples=200, rng=np.random.default_rng(0), part=fake * 0, parts=1
    )
    np.testing.assert_array_equal(whole[:, 0], whole[:, 1])
    threshold = best_threshold(fake, score)
    reached = [(score[fake] >= t).mean() + (score[~fake] < t).mean() for t in np.unique(score)]
    assert (score[fake] >= threshold).mean() + (score[~fake] < threshold).mean() == pytest.approx(max(reached))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15))
def test_joined_groups_are_connected_rows(rows):
    first, second = (np.array(values) for values in zip(*rows, strict=True))
    found = joined_groups(first, second)
    for a, b in zip(range(len(rows)), range(1, len(rows)), strict=False):
        if rows[a][0] == rows[b][0] or rows[a][1] == rows[b][1]:
            assert found[a] == found[b]
    names = {number: {i for i in range(len(rows)) if found[i] == number} for number in set(found.tolist())}
    for one in names.values():
        for other in names.values():
            if one is not other:
                assert not {rows[i][0] for i in one} & {rows[j][0] for j in other}
                assert not {rows[i][1] for i in one} & {rows[j][1] for j in other}


def test_shuffled_keeps_groups_whole():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 5)
    fake = np.repeat(np.arange(60) % 3 == 0, 5)
    drawn = shuffled(fake, group, rng)
    assert drawn.sum() == fake.sum()
    assert all(len(set(drawn[group == one])) == 1 for one in range(60))
    mixed = np.tile([True, True, False], 40)
    drawn = shuffled(mixed, np.repeat(np.arange(40), 3), rng)
    assert (drawn.reshape(40, 3).sum(axis=1) == 2).all()
    assert len(np.unique(drawn.reshape(40, 3), axis=0)) == 3


def test_numbers_without_a_group_do_not_matter():
    # As in a sample of rows: the groups that are left keep their numbers.
    chance = np.random.default_rng(0)
    fake, score, group = chance.random(200) < 0.5, chance.random(200), chance.integers(0, 60, 200)
    near = np.unique(group, return_inverse=True)[1]
    here, there = (shuffled(fake, one, np.random.default_rng(1)) for one in (near, 7 * group))
    np.testing.assert_array_equal(here, there)
    here, there = (
        bootstrap_aucs(fake, score, one, resamples=100, rng=np.random.default_rng(1)) for one in (near, 7 * group)
    )
    np.testing.assert_array_equal(here, there)


def test_a_permutation_test_is_exact_for_fixed_scores():
    # Four groups, two of them fake, the fakes on top: one of six exchanges reaches that.
    fake, score = np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0])
    p_value = permutation_p(fake, score[None], np.arange(4), permutations=6000, rng=np.random.default_rng(0))[0]
    assert p_value == pytest.approx(1 / 6, abs=0.015)
