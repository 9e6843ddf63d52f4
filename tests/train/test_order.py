from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.order import SamplingPlan, candidates, epoch_order, share_of_rank, step_seed
from train_sets import train_set


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return train_set(tmp_path_factory.mktemp("set"))


def of(manifest: Manifest, column: str, rows: np.ndarray) -> list[str | None]:
    values = manifest.column(column).to_pylist()
    return [values[row] for row in rows]


def test_order_is_a_function_of_seed_and_epoch(manifest: Manifest) -> None:
    plan = SamplingPlan(seed=3)
    first = epoch_order(manifest, plan, epoch=0)
    assert first.dtype == np.int64
    assert sorted(first.tolist()) == list(range(len(manifest)))
    assert epoch_order(manifest, plan, epoch=0).tolist() == first.tolist()
    assert epoch_order(manifest, plan, epoch=1).tolist() != first.tolist()
    assert epoch_order(manifest, SamplingPlan(seed=4), epoch=0).tolist() != first.tolist()


def test_global_batches_are_the_same_for_1_2_and_4_processes(manifest: Manifest) -> None:
    order = epoch_order(manifest, SamplingPlan(), epoch=2)
    batches = {}
    for world in (1, 2, 4):
        shares = [share_of_rank(order, rank, world, batch=8).reshape(-1, 8 // world) for rank in range(world)]
        batches[world] = np.concatenate(shares, axis=1)
    assert len(order) == 30
    assert batches[1].shape == (3, 8)  # the last six rows are no batch
    assert batches[1].reshape(-1).tolist() == order[:24].tolist()
    assert batches[2].tolist() == batches[1].tolist()
    assert batches[4].tolist() == batches[1].tolist()


@pytest.mark.parametrize(("rank", "world", "batch"), [(2, 2, 4), (0, 2, 3), (0, 1, 31), (0, 1, 0)])
def test_shares_that_cannot_be(rank: int, world: int, batch: int) -> None:
    with pytest.raises(BadSetting):
        share_of_rank(np.arange(30), rank, world, batch=batch)


def test_one_to_one_is_drawn_anew_and_even(manifest: Manifest) -> None:
    plan = SamplingPlan(draw="one-to-one")
    found = [epoch_order(manifest, plan, epoch=epoch) for epoch in range(2)]
    for rows in found:
        assert Counter(label == "real" for label in of(manifest, "label", rows)) == {True: 12, False: 12}
        assert len(set(rows.tolist())) == 24
    assert set(found[0].tolist()) != set(found[1].tolist())
    fixed = SamplingPlan(draw="one-to-one", rule="fixed")
    assert set(epoch_order(manifest, fixed, epoch=0)) == set(epoch_order(manifest, fixed, epoch=1))


def test_each_origin_brings_a_photo_with_its_forgery(manifest: Manifest) -> None:
    rows = epoch_order(manifest, SamplingPlan(draw="one-to-one", rule="each-origin"), epoch=0)
    pairs = Counter(of(manifest, "origin", rows))
    assert len(pairs) == 12
    assert set(pairs.values()) == {2}


def test_balanced_gives_every_combination_the_same(manifest: Manifest) -> None:
    rows = epoch_order(manifest, SamplingPlan(draw="balanced", by=("generator",)), epoch=0)
    assert Counter(of(manifest, "generator", rows)) == {None: 9, "gan": 9, "diffusion": 9}
    assert len(set(rows.tolist())) == len(rows)
    more = epoch_order(manifest, SamplingPlan(draw="balanced", by=("generator",), each=20), epoch=0)
    assert set(Counter(of(manifest, "generator", more)).values()) == {20}
    # Every row comes twice before any comes a third time.
    gans = Counter(
        row for row, generator in zip(more, of(manifest, "generator", more), strict=True) if generator == "gan"
    )
    assert sorted(gans.values()) == [2] * 7 + [3] * 2


def test_each_content_takes_the_fewer_of_both_classes(manifest: Manifest) -> None:
    rows = epoch_order(manifest, SamplingPlan(draw="each-content"), epoch=0)
    cells = Counter(
        zip(of(manifest, "content", rows), (one == "real" for one in of(manifest, "label", rows)), strict=True)
    )
    assert set(cells.values()) == {4}
    assert len(cells) == 6


def test_conditions_bind_all_or_one_class(manifest: Manifest) -> None:
    plan = SamplingPlan(where_real=("content=0",), where_fake=("generator=gan",))
    rows = candidates(manifest, plan)
    found = set(
        zip(of(manifest, "label", rows), of(manifest, "content", rows), of(manifest, "generator", rows), strict=True)
    )
    assert {content for label, content, _ in found if label == "real"} == {"0"}
    assert {generator for label, _, generator in found if label != "real"} == {"gan"}
    assert {content for label, content, _ in found if label != "real"} == {"0", "1", "2"}
    assert candidates(manifest, SamplingPlan(where=("label=generated", "generator=gan"))).tolist() == [2, 12, 22]


def test_quarantined_rows_and_other_splits_are_left_out(manifest: Manifest) -> None:
    samples = list(manifest)
    samples[0] = replace(samples[0], status="corrupt: cut off")
    samples[1] = replace(samples[1], split="test")
    rows = candidates(Manifest.from_samples(samples, manifest.root), SamplingPlan())
    assert rows.tolist() == list(range(2, len(samples)))


def test_nothing_left_and_wrong_names(manifest: Manifest) -> None:
    with pytest.raises(BadSetting, match="no row of the manifest is left"):
        epoch_order(manifest, SamplingPlan(split="val"), epoch=0)
    with pytest.raises(UnknownName, match="no draw called 'balance'"):
        SamplingPlan(draw="balance")
    with pytest.raises(UnknownName, match="one-to-one rule"):
        SamplingPlan(rule="every")
    with pytest.raises(BadSetting, match="epochs count from 0"):
        epoch_order(manifest, SamplingPlan(), epoch=-1)
    with pytest.raises(BadSetting, match="no content has both"):
        epoch_order(manifest, SamplingPlan(draw="each-content", where=("label=real",)), epoch=0)


def test_limit_and_no_shuffle(manifest: Manifest) -> None:
    assert epoch_order(manifest, SamplingPlan(shuffle=False, limit=5), epoch=7).tolist() == [0, 1, 2, 3, 4]


def test_step_seed_depends_on_everything() -> None:
    seeds = {step_seed(seed, epoch, row) for seed in range(3) for epoch in range(3) for row in (0, 1, "origin=a")}
    assert len(seeds) == 27
    assert all(0 <= seed < 1 << 63 for seed in seeds)
