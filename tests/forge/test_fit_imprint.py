"""Training the families of imprint, at a size where a step takes milliseconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadManifest, BadSetting, UnknownName
from fauxlens.forge.create.families import CHOSEN, TRAINED
from fauxlens.forge.create.fit_imprint import (
    Fit,
    FitPlan,
    Photos,
    batch_of,
    decibels_of,
    fit_family,
    loss_of,
    main,
    order_of,
    photos_of,
    read_plan,
    smooth_auc,
)
from fauxlens.forge.create.imprint import Families
from fauxlens.forge.create.imprint_weights import CARD, WEIGHTS, half
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample

PLAN = FitPlan(
    steps=4, token_steps=6, batch=2, crop=16, tile=24, check_photos=2, check_side=32, tiles_each=2, checkpoint_every=2
)
FAMILY, QUANTISED, BATCHED = "bilinear-x4-leaky-16", "tokens-x4-relu-40-vq", "transposed3-x4-relu-16-batch"
RECIPE = """
seed = 1
steps = 4
token_steps = 4
batch = 2
crop = 16
tile = 24
check_photos = 2
check_side = 32
tiles_each = 2
checkpoint_every = 2
"""


def drawn(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Four training photos (one too small), two to check with, one generated: each of a colour range of its own."""
    root = tmp_path_factory.mktemp("photos")
    rows = []
    for number, (label, split) in enumerate(
        [("real", "train")] * 4 + [("real", "devtest")] * 2 + [("generated", "train")]
    ):
        size = (16, 20) if number == 3 else (40, 48)
        Image.fromarray(drawn(number, *size) // 8 + np.uint8(32 * number)).save(root / f"{number}.png")
        rows.append(
            Sample(id=str(number), path=f"{number}.png", label=label, split=split, source="drawn", licence="CC0")
        )
    return Manifest.from_samples(rows, root)


@pytest.fixture(scope="module")
def photos(manifest: Manifest) -> Photos:
    return photos_of(manifest, PLAN)


def test_only_real_photos_of_the_training_split_are_trained_on(photos: Photos) -> None:
    assert photos.tiles.shape == (6, 24, 24, 3)
    assert photos.photos == 3
    assert photos.sources == {"drawn (CC0)": 3}
    assert photos.tiles.max() < 32 * 3  # three ranges of 32 greys; nothing of the others
    assert len(photos.checks) == 2
    assert all(check.min() >= 32 * 4 and check.max() < 32 * 6 for check in photos.checks)


def test_a_split_without_photos_is_said(manifest: Manifest) -> None:
    with pytest.raises(BadManifest, match="no real photo of split 'val'") as told:
        photos_of(manifest, FitPlan(check_split="val"))
    assert told.value.got == "real photos of: devtest, train"
    assert "fauxlens split" in str(told.value.hint)
    assert "`check_split`" in str(told.value.hint)
    with pytest.raises(BadManifest, match="no photo of split 'train' is large enough") as told:
        photos_of(manifest, FitPlan(tile=128))
    assert told.value.got == "the shorter side is 40 at most"
    assert "`tile`" in str(told.value.hint)


def split_anew(manifest: Manifest, names: dict[str, str]) -> Manifest:
    return manifest.with_columns("splits", {"split": [names[one] for one in manifest.column("split").to_pylist()]})


def test_where_no_split_is_kept_for_it_the_validation_split_measures(manifest: Manifest, photos: Photos) -> None:
    assert photos.check_split == "devtest"
    usual = photos_of(split_anew(manifest, {"train": "train", "devtest": "val"}), PLAN)
    assert usual.check_split == "val"
    assert all(np.array_equal(one, other) for one, other in zip(usual.checks, photos.checks, strict=True))
    # Neither what is learnt from, nor a split that was never asked for, takes the place of another.
    with pytest.raises(BadManifest, match="no real photo of split 'devtest'"):
        photos_of(split_anew(manifest, {"train": "train", "devtest": "test"}), PLAN)
    with pytest.raises(BadManifest, match="no real photo of split 'devtest'"):
        photos_of(split_anew(manifest, {"train": "val", "devtest": "test"}), replace(PLAN, train_split="val"))


def test_batches_depend_on_family_and_step_alone(photos: Photos) -> None:
    one = batch_of(photos.tiles, PLAN, FAMILY, 3)
    assert one.shape == (2, 3, 16, 16)
    assert one.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(one, batch_of(photos.tiles, PLAN, FAMILY, 3))
    assert not torch.equal(one, batch_of(photos.tiles, PLAN, FAMILY, 4))
    assert not torch.equal(one, batch_of(photos.tiles, PLAN, QUANTISED, 3))


def test_the_loss_by_hand() -> None:
    made, picture = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    # L1 is 1/2; differences to the right are off by 1, downwards by 0.
    assert float(loss_of(made, picture, 2.0)) == pytest.approx(0.5 + 2.0 * (1.0 + 0.0))


@pytest.mark.parametrize("family", [FAMILY, QUANTISED, BATCHED])
def test_two_steps_and_going_on_equal_one_piece(family: str, photos: Photos, tmp_path: Path) -> None:
    whole, first, second = (Fit(family, PLAN) for _ in range(3))
    losses = [loss for _, loss in whole.advance(photos.tiles, 4)]
    begun = [loss for _, loss in first.advance(photos.tiles, 2)]
    first.save(tmp_path / "part")
    second.load(tmp_path / "part")
    assert second.step == 2
    begun += [loss for _, loss in second.advance(photos.tiles, 4)]
    assert begun == losses
    one, other = whole.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    moved = Fit(family, PLAN).network.state_dict()
    assert any(not torch.equal(one[name], moved[name]) for name in one)
    with pytest.raises(BadSetting, match="another plan"):
        Fit(family, FitPlan(seed=2)).load(tmp_path / "part")


def test_training_brings_pictures_back(photos: Photos) -> None:
    plan = FitPlan(
        steps=40, token_steps=80, batch=4, crop=16, tile=24, check_photos=2, check_side=32, tiles_each=2,
        learning_rate=1e-2,
    )  # fmt: skip
    fit = Fit("tokens-x4-silu-48", plan)
    before = decibels_of(fit.network, photos.tiles[:4])
    rates = []
    for _ in fit.advance(photos.tiles, 80):
        rates.append(fit.optimiser.param_groups[0]["lr"])
    assert decibels_of(fit.network, photos.tiles[:4]) > before + 6.0
    assert max(rates) <= 1e-2
    assert rates[0] < rates[8] > rates[40] > rates[-1]


def test_books_are_filled_when_their_time_comes(photos: Photos) -> None:
    fit = Fit(QUANTISED, FitPlan(**{**{f: getattr(PLAN, f) for f in PLAN.__slots__}, "quantise_from": 0.5}))
    quantiser = fit.network.quantiser
    assert quantiser is not None
    for step, _ in fit.advance(photos.tiles, 6):
        assert quantiser.open == (step <= 3)
        assert bool(quantiser.books.any()) == (step > 3)


def test_the_command_line_trains_packs_and_does_nothing_twice(manifest: Manifest, tmp_path: Path) -> None:
    manifest.save(tmp_path / "m.parquet")
    (tmp_path / "imprint.toml").write_text(RECIPE, encoding="utf-8")
    folder = tmp_path / "out"
    given = [str(tmp_path / "imprint.toml"), "--manifest", str(tmp_path / "m.parquet"), "--output", str(folder)]
    assert main([*given, "--families", f"{FAMILY},{QUANTISED}"]) == 0
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    assert set(card["families"]) == {FAMILY, QUANTISED}
    # Four steps bring nothing back: both are listed as unfit, and neither is in the file.
    assert all(not facts["fit"] and facts["sha256"] is None for facts in card["families"].values())
    assert card["data"]["sources"] == {"drawn (CC0)": 3}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(bool(line.get("done")) for line in lines) == 2
    written = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors") if path.name != WEIGHTS}
    assert main([*given, "--families", FAMILY]) == 0
    assert written == {name: (folder / name).stat().st_mtime_ns for name in written}
    assert not list(folder.glob("*.part"))
    with pytest.raises(BadSetting, match="another plan"):
        main([*given, "--families", FAMILY, "--steps", "3"])
    with pytest.raises(UnknownName, match="trained family"):
        main([*given, "--families", "nearest"])


def test_a_fit_family_is_packed_as_it_was_measured(
    manifest: Manifest, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlens.forge.create import fit_imprint

    monkeypatch.setattr(fit_imprint, "FLOOR", 0.0)
    monkeypatch.setattr("fauxlens.forge.create.imprint_weights.FLOOR", 0.0)
    recipe = tmp_path / "imprint.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    fitted = fit_family(BATCHED, PLAN, photos, tmp_path)
    card = fit_imprint.pack_folder(tmp_path, recipe, PLAN, photos)
    assert card["families"][BATCHED]["decibels"] == fitted.decibels
    network = Families(tmp_path).network(BATCHED)
    assert decibels_of(network, photos.checks) == pytest.approx(fitted.decibels, abs=1e-3)
    assert card["families"][BATCHED]["parameters"] == sum(tensor.numel() for tensor in half(network).values())


def test_a_plan_in_minutes_is_a_number_of_steps(photos: Photos, tmp_path: Path) -> None:
    assert fit_family(FAMILY, PLAN, photos, tmp_path, minutes=60.0).steps == 4
    (tmp_path / "short").mkdir()
    assert fit_family(FAMILY, PLAN, photos, tmp_path / "short", minutes=1e-6).steps == 1


def test_the_order_is_shuffled_by_the_seed() -> None:
    order = order_of(FitPlan())
    assert sorted(order) == sorted(TRAINED)
    assert order != tuple(sorted(TRAINED))
    assert order == order_of(FitPlan())
    assert order != order_of(FitPlan(seed=2))


def test_the_recipe_is_read_by_the_plan() -> None:
    plan = read_plan(Path(__file__).parents[2] / "recipes" / "imprint.toml")
    assert plan.train_split == "train"
    assert plan.check_split != plan.train_split


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"crop": 20},
        {"crop": 256},
        {"learning_rate": 2.0},
        {"quantise_from": 1.0},
        {"check_split": "train"},
    ],
)
def test_plans_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting):
        FitPlan(**wrong)


def test_smoothness_finds_what_is_smooth_and_nothing_else() -> None:
    chance = np.random.default_rng(3)
    pictures = [chance.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)]
    smooth = [cv2.GaussianBlur(picture, (0, 0), 1.0) for picture in pictures]
    assert smooth_auc(pictures, smooth) > 0.95
    assert abs(smooth_auc(pictures, pictures) - 0.5) < 0.06
    # What is louder is not called fake either.
    assert smooth_auc(smooth, pictures) < 0.05
    assert smooth_auc(pictures, [np.full_like(picture, 9) for picture in pictures]) > 0.95


def test_a_family_that_smoothness_finds_is_not_held_out(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlens.forge.create import fit_imprint

    recipe = tmp_path / "imprint.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    monkeypatch.setattr(fit_imprint, "FLOOR", 0.0)
    fit_family(CHOSEN[0], PLAN, photos, tmp_path)
    for most, held in ((1.0, True), (0.0, False)):
        monkeypatch.setattr(fit_imprint, "SMOOTHEST", most)
        card = fit_imprint.pack_folder(tmp_path, recipe, PLAN, photos)
        assert card["families"][CHOSEN[0]]["held_out"] is held
        assert (CHOSEN[0] in card["held_out"]) is held
        assert card["families"][CHOSEN[0]]["fit"]
        assert 0.0 <= card["families"][CHOSEN[0]]["smooth_auc"] <= 1.0
