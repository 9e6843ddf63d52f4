"""Two detectors on the same pictures: what is shown, where, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fauxlens.core.errors import BadPredictions
from fauxlens.evaluate.compare import Compared, compare, facts_of, holm, report_of
from fauxlens.evaluate.predictions import Judged, judged
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics import image
from fauxlens.metrics.interval import delong_test
from scored_toys import block, drawn_scores, drawn_set, said


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    found = drawn_set(tmp_path_factory.mktemp("pairs"), 60)
    # Every picture an origin of its own, so that DeLong and McNemar hold.
    return found.with_columns("alone", {"origin": found.column("id").to_pylist()})


@pytest.fixture(scope="module")
def pair(manifest: Manifest) -> tuple[Judged, Judged]:
    fake = np.array([one.fake for one in manifest])
    method = np.array([one.method for one in manifest])
    good = drawn_scores(manifest, 4, seed=1)
    # As good on LaMa, blind on SDXL.
    blind = [
        one if method[n] != "SDXL" else other
        for n, (one, other) in enumerate(zip(good, drawn_scores(manifest, -4, seed=2), strict=True))
    ]
    assert fake.sum() == 60
    return judged(said(manifest, good), manifest), judged(said(manifest, blind, detector="cnnspot"), manifest)


@pytest.fixture(scope="module")
def found(pair: tuple[Judged, Judged]) -> Compared:
    return compare(*pair, resamples=200)


def test_the_better_one_is_named_with_an_interval(pair: tuple[Judged, Judged], found: Compared) -> None:
    one, two = pair
    auc = found.whole[0]
    assert (auc.metric, auc.first, auc.second) == (
        "AUC", image.auc(one.fake, one.logit), image.auc(one.fake, two.logit),
    )  # fmt: skip
    assert auc.difference.value == pytest.approx(auc.first - auc.second)
    assert auc.better == 1
    assert found.sentence.startswith("npr (w) is better than cnnspot (w): AUC")
    assert "on 120 pictures of 120 origins" in found.sentence
    # The other way round the same is said of the same one.
    turned = compare(pair[1], pair[0], resamples=200)
    assert turned.sentence.startswith("npr (w) is better than cnnspot (w)")
    assert turned.whole[0].better == 2
    brier = next(one for one in found.whole if one.metric == "Brier")
    assert brier.lower_is_better
    assert brier.difference.value < 0
    assert brier.better == 1


def test_where_the_difference_is(found: Compared) -> None:
    told = {(one.column, one.value): one for one in found.slices}
    assert told["method", "SDXL"].better == 1
    assert told["method", "LaMa"].better == 0  # the same scores
    assert np.isnan(told["method", "LaMa"].p_value)
    assert (told["method", "SDXL"].fakes, told["method", "SDXL"].reals) == (30, 60)
    # Fakes of a generator stand against all reals; of a content only those of that content.
    assert (told["content", "people"].fakes, told["content", "people"].reals) == (30, 30)
    assert ("format", "png") not in told


def test_single_origins_are_tested_by_delong(pair: tuple[Judged, Judged], found: Compared) -> None:
    one, two = pair
    assert found.is_single
    assert found.whole[0].method == "DeLong"
    assert found.whole[0].p_value == delong_test(one.fake, one.logit, two.logit).p_value
    assert found.told_right is not None
    right = [(judged.probability > 0.5) == judged.fake for judged in pair]
    assert found.told_right.only_first == int((right[0] & ~right[1]).sum())


def test_shared_origins_are_drawn_together(tmp_path: Path) -> None:
    manifest = drawn_set(tmp_path, 40, photos=8)
    pair = [judged(said(manifest, drawn_scores(manifest, gap, seed=gap), weights=str(gap)), manifest) for gap in (3, 1)]
    found = compare(*pair, resamples=100)
    assert not found.is_single
    assert found.groups == 8
    assert found.whole[0].method == "bootstrap over origins"
    assert found.whole[0].difference.groups == 8
    assert 0 <= found.whole[0].p_value <= 1
    assert "these share origins" in report_of(found).sections[0].text[1]


def test_no_difference_is_not_called_equal(manifest: Manifest) -> None:
    pair = [judged(said(manifest, drawn_scores(manifest, 2, seed=s), weights=str(s)), manifest) for s in (1, 2)]
    found = compare(*pair, resamples=200)
    assert found.whole[0].better == 0
    assert found.sentence.startswith("No difference between npr (1) and npr (2) was shown")
    same = compare(pair[0], pair[0], resamples=50)
    assert same.names == ("npr (1), first", "npr (1), second")
    assert {one.better for one in (*same.whole, *same.slices)} == {0}


def test_small_slices_are_left_out_and_said(pair: tuple[Judged, Judged]) -> None:
    found = compare(*pair, resamples=20, least=31)
    assert ("method", "SDXL", 30, 60) in found.small
    assert not found.slices
    assert any(section.title == "Left out" for section in report_of(found).sections)


def test_only_pictures_of_both_count(pair: tuple[Judged, Judged]) -> None:
    one, two = pair
    fewer = two.where(np.arange(len(two)) >= 20)
    found = compare(one, fewer, resamples=20)
    assert (found.pictures, found.only_first, found.only_second) == (100, 20, 0)
    turned = two.where(np.arange(len(two)) < 0)
    with pytest.raises(BadPredictions, match="no picture in common"):
        compare(one, turned)
    swapped = two.manifest.with_columns("other truth", {"label": ["edited"] * 120, "mask_path": [None] * 120})
    with pytest.raises(BadPredictions, match="60 pictures are real for the one and fake for the other"):
        compare(one, Judged(swapped, two.predictions, two.rows, {}))


def test_masks_are_compared_where_both_have_them(manifest: Manifest) -> None:
    # Truth is the left half: one finds it, the other a quarter (F1 2/3), and half of them nothing (0).
    whole = [block(0, 4)] * 120
    part = [block(0, 2) if n % 4 < 2 else block(0, 0) for n in range(120)]
    chances = drawn_scores(manifest, 1, seed=0)
    one = judged(said(manifest, chances, masks=whole), manifest)
    two = judged(said(manifest, chances, masks=part, detector="cat"), manifest)
    found = compare(one, two, resamples=50)
    macro = next(one for one in found.whole if one.metric == "macro F1 of masks")
    assert (macro.first, macro.fakes, macro.reals) == (1.0, 60, 0)
    assert macro.second == pytest.approx(1 / 3)
    assert macro.better == 1
    lama = next(one for one in found.slices if (one.value, one.metric) == ("LaMa", "macro F1 of masks"))
    assert lama.second == pytest.approx(2 / 3)
    assert not [one for one in compare(one, two, resamples=20, masks=False).whole if "masks" in one.metric]
    silent = judged(said(manifest, [None] * 120, masks=part, detector="dog"), manifest)
    assert compare(one, silent, resamples=20).sentence.startswith("npr (w) is better than dog (w): macro F1 of masks")


def test_where_all_draws_agree_p_is_that_of_coins(manifest: Manifest) -> None:
    chances = drawn_scores(manifest, 1, seed=0)
    one = judged(said(manifest, chances, masks=[block(0, 4)] * 120), manifest)
    two = judged(said(manifest, chances, masks=[block(0, 2)] * 120, detector="cow"), manifest)
    lama = next(one for one in compare(one, two, resamples=20).slices if one.metric == "macro F1 of masks")
    assert (lama.difference.low, lama.difference.high) == (lama.difference.value, lama.difference.value)
    assert (lama.method, lama.p_value) == ("sign over origins", 0.5**29)
    assert lama.better == 1


def test_holm_is_the_step_down_rule() -> None:
    assert holm([0.01, 0.02, 0.03]) == [0.03, 0.04, 0.04]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert np.isnan(holm([float("nan")])[0])


def test_a_slice_is_shown_by_its_corrected_p_alone(found: Compared) -> None:
    from dataclasses import replace

    one = next(one for one in found.slices if one.better)
    assert replace(one, corrected=0.051).better == 0
    assert replace(one, corrected=0.05).better == one.better


def test_the_page_and_the_facts_say_the_same(found: Compared) -> None:
    report = report_of(found)
    assert report.verdict == found.sentence
    told = facts_of(found)
    assert [one["difference"] for one in told["whole"]] == [one.difference.value for one in found.whole]
    whole = report.tables()[0]
    assert [row[0] for row in whole.rows][:2] == ["AUC ↑", "AP ↑"]
    assert whole.rows[0][-1] == "npr (w)"
    sliced = report.tables()[1]
    assert len(sliced.rows) == len(found.slices)
    figures = [figure.name for section in report.sections for figure in section.figures]
    assert figures == ["roc", "slices-1"]
