"""The small inpainter: its network, its training, its file of weights, and the method around it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn import drawn_picture
from fauxlens.core.errors import BadManifest, BadSetting, BadWeights, NoWeights, OtherPlan
from fauxlens.core.settings import settings_to
from fauxlens.forge.create import fit_learned, learned
from fauxlens.forge.create.fit_learned import (
    LearnedRecipe,
    Training,
    TrainingPhoto,
    drawn_batch,
    evaluate,
    export,
    fit,
    read_learned_recipe,
)
from fauxlens.forge.create.holes import KINDS, drawn_hole
from fauxlens.forge.create.learned import EMBEDDED, Learned, read_learned
from fauxlens.forge.create.method import Request, load_method
from fauxlens.forge.create.nets.critic import PatchCritic
from fauxlens.forge.create.nets.learned import LearnedNetwork, LearnedShape
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample

TINY = LearnedRecipe(
    steps=20, batch=2, crop=32, shape=LearnedShape(channels=2, blocks=1), critic_channels=4, critic_from=2,
    warm_up=2, shorter_side=48, widest_crop=40, held_out_split="test", held_out_photos=4,
)  # fmt: skip
RECIPE = Path(__file__).parents[2] / "recipes" / "learned.toml"


def photos(count: int = 3) -> list[TrainingPhoto]:
    chance = np.random.default_rng(0)
    return [
        TrainingPhoto(str(number), np.roll(drawn_picture(48, 64), int(chance.integers(40)), axis=1))
        for number in range(count)
    ]


@pytest.fixture
def network() -> LearnedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedNetwork(LearnedShape(channels=2, blocks=1)).eval()


def asymmetric(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[5 : height // 2, : width // 3] = True
    return mask


def test_the_recipe_is_whole_and_its_network_fits_the_package() -> None:
    recipe = read_learned_recipe(RECIPE)
    assert recipe.split == "train"
    with torch.device("meta"):
        shape = LearnedNetwork(recipe.shape)
    assert 800_000 < sum(weight.numel() for weight in shape.parameters()) < 1_250_000


@pytest.mark.parametrize("wrong", [{"crop": 100}, {"widest_crop": 16}, {"steps": 0}, {"held_out_split": "train"}])
def test_recipes_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting):
        replace(TINY, **wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_holes_keep_their_limits_and_depend_on_chance_alone(kind: str) -> None:
    crop = drawn_picture(64, 64)
    holes = [drawn_hole(crop, np.random.default_rng(seed), kind=kind) for seed in range(30)]
    assert all(0.02 <= hole.mean() <= 0.6 for hole in holes)
    assert np.array_equal(holes[3], drawn_hole(crop, np.random.default_rng(3), kind=kind))
    assert len({hole.tobytes() for hole in holes}) > 25


def test_regions_follow_colour() -> None:
    crop = np.zeros((64, 64, 3), np.uint8)
    crop[:, 32:] = 250
    hole = drawn_hole(crop, np.random.default_rng(1), kind="region", smallest=0.3, largest=0.4)
    share = hole[:, 32:].sum() / hole.sum()
    assert min(share, 1 - share) < 0.05


def test_the_base_keeps_what_is_known_and_bridges_the_rest() -> None:
    slope = torch.linspace(0, 1, 40).expand(1, 3, 24, 40)
    hole = torch.zeros(1, 1, 24, 40)
    hole[..., 8:16, 10:26] = 1
    base = LearnedNetwork.base(slope, hole)
    assert torch.equal(base[hole.expand_as(base) == 0], slope[hole.expand_as(base) == 0])
    assert (base - slope).abs().max() < 0.2
    flat = torch.full((1, 3, 24, 40), 0.4)
    assert torch.allclose(LearnedNetwork.base(flat, hole), flat, atol=1e-5)


def test_nothing_of_the_hole_reaches_the_network(network: LearnedNetwork) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        picture, other = torch.rand(2, 1, 3, 24, 32)
    hole = torch.zeros(1, 1, 24, 32)
    hole[..., 4:12, 6:20] = 1
    changed = torch.where(hole > 0, other, picture)
    with torch.no_grad():
        assert torch.equal(network(picture, hole), network(changed, hole))
        assert not torch.equal(network(picture, hole), network(picture, 1 - hole))


def test_the_critic_scores_patches() -> None:
    scores, features = PatchCritic(4)(torch.rand(2, 3, 32, 48))
    assert scores.shape == (2, 1, 4, 6)
    assert [tuple(one.shape) for one in features] == [(2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6)]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    pictures, holes = drawn_batch(photos(), TINY, 5)
    again, same = drawn_batch(photos(), TINY, 5)
    assert pictures.shape == (2, 3, 32, 32)
    assert holes.shape == (2, 1, 32, 32)
    assert torch.equal(pictures, again)
    assert torch.equal(holes, same)
    assert not torch.equal(pictures, drawn_batch(photos(), TINY, 6)[0])
    assert not torch.equal(pictures, drawn_batch(photos(), replace(TINY, seed=2), 5)[0])


def test_an_epoch_shows_every_photo_once() -> None:
    given = [TrainingPhoto(str(number), np.full((48, 48, 3), 40 * number, np.uint8)) for number in range(6)]
    seen = torch.cat([drawn_batch(given, TINY, step)[0].mean(dim=(1, 2, 3)) for step in range(3)])
    assert sorted((seen * 255).round().int().tolist()) == [0, 40, 80, 120, 160, 200]


@pytest.mark.parametrize("narrow", [False, True])
def test_six_steps_are_three_and_three(narrow: bool, tmp_path: Path) -> None:
    recipe = replace(TINY, bfloat16=narrow)
    whole = fit(recipe, photos(), tmp_path / "whole", stop_at=6)
    fit(recipe, photos(), tmp_path / "parts", stop_at=3)
    parts = fit(recipe, photos(), tmp_path / "parts", stop_at=6)
    assert whole.step == parts.step == 6
    for part in ("network", "averaged", "critic"):
        one, other = getattr(whole, part).state_dict(), getattr(parts, part).state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
    lines = [
        [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        for folder in ("whole", "parts")
    ]
    for line in (*lines[0], *lines[1]):
        del line["seconds"]
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0]] == list(range(6))
    assert "critic" in lines[0][2]
    assert "critic" not in lines[0][1]


def test_steps_lost_with_a_run_that_died_do_not_stand_twice(tmp_path: Path) -> None:
    fit(TINY, photos(), tmp_path, stop_at=2)
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 2, "seconds": 0}\n{"step": 3, "sec')
    fit(TINY, photos(), tmp_path, stop_at=4)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [0, 1, 2, 3]


def test_another_recipe_is_not_gone_on_with(tmp_path: Path) -> None:
    fit(TINY, photos(), tmp_path, stop_at=1)
    with pytest.raises(OtherPlan, match="another recipe"):
        fit(replace(TINY, rate=1e-4), photos(), tmp_path, stop_at=2)


def test_time_is_kept(tmp_path: Path) -> None:
    now = iter(np.arange(0.0, 10_000.0, 10.0))
    training = fit(TINY, photos(), tmp_path, minutes=1.0, clock=lambda: float(next(now)))
    assert 1 <= training.step < 6
    assert (tmp_path / "state.pt").exists()


def test_training_learns_what_can_be_learnt() -> None:
    # One batch again and again: what the smooth fill misses is always the same.
    recipe = replace(TINY, critic_from=1000, rate=1e-2, warm_up=1, steps=1000)
    training = Training(recipe)
    losses = []
    for _ in range(40):
        training.step = 7
        losses.append(training.take_step(photos(1))["hole"])
    assert losses[-1] < 0.85 * losses[0]


def test_export_reads_back_as_the_averaged_network(tmp_path: Path) -> None:
    training = fit(TINY, photos(), tmp_path, stop_at=2)
    measured = evaluate(training.averaged, photos(4), TINY)
    assert measured["crops"] == 4
    assert measured["learned"]["l1"] > 0
    path = export(training, tmp_path, {"held_out": measured})
    network, digest = read_learned(tmp_path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == digest
    assert card["steps"] == 2
    assert card["held_out"] == measured
    wanted = training.averaged.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.allclose(tensor.float(), wanted[name].float(), rtol=1e-3, atol=1e-6)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    export(Training(TINY), tmp_path, {})
    return tmp_path


@pytest.mark.parametrize(("height", "width"), [(40, 56), (41, 67), (16, 19)])
def test_the_method_fills_photos_of_any_size(trained: Path, height: int, width: int) -> None:
    photo, mask = drawn_picture(height, width), asymmetric(height, width)
    method = load_method("learned", weights=trained)
    made = method.fill(Request(pixels=photo, mask=mask, seed=1))
    other = photo.copy()
    other[mask] = 255 - other[mask]
    again = load_method("learned", weights=trained).fill(Request(pixels=other, mask=mask, seed=2))
    assert made.pixels.shape == photo.shape
    assert np.array_equal(made.pixels, again.pixels)
    assert made.parameters == again.parameters
    assert made.parameters["size"] == [height, width]
    assert made.parameters["weights_sha256"] == json.loads((trained / "learned.json").read_text())["sha256"]


def test_large_photos_are_shrunk_without_a_look_into_the_hole(trained: Path) -> None:
    photo, mask = drawn_picture(100, 150), asymmetric(100, 150)
    other = photo.copy()
    other[mask] = 255 - other[mask]
    method = load_method("learned", {"longest": 64}, weights=trained)
    made, again = (method.fill(Request(pixels=pixels, mask=mask, seed=1)) for pixels in (photo, other))
    assert made.parameters["size"] == [43, 64]
    assert np.array_equal(made.pixels, again.pixels)


def test_without_weights_it_says_how_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "EMBEDDED", tmp_path / "learned.safetensors")
    method = load_method("learned")
    with pytest.raises(NoWeights, match=r"fit_learned recipes/learned\.toml"):
        method.fill(Request(pixels=drawn_picture(), mask=asymmetric(40, 56), seed=0))


def test_weights_and_card_have_to_belong_together(trained: Path) -> None:
    card = trained / "learned.json"
    facts = json.loads(card.read_text())
    card.write_text(json.dumps({**facts, "sha256": "0" * 64}))
    with pytest.raises(BadWeights, match="not of one training"):
        read_learned(trained)
    card.write_text(json.dumps({**facts, "network": {"channels": 4, "blocks": 1}}))
    with pytest.raises(BadWeights, match="do not fit"):
        read_learned(trained)
    card.unlink()
    with pytest.raises(BadWeights, match="no card"):
        read_learned(trained)


def test_what_comes_with_the_package_is_what_its_card_says() -> None:
    if not EMBEDDED.exists():
        with pytest.raises(NoWeights):
            read_learned(EMBEDDED)
        return
    card = json.loads(EMBEDDED.with_suffix(".json").read_text())
    network, digest = read_learned(EMBEDDED)
    assert EMBEDDED.stat().st_size <= 2_500_000
    assert card["sha256"] == digest
    assert card["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert card["crops"] == card["steps"] * card["recipe"]["batch"]
    assert card["recipe"] == settings_to(read_learned_recipe(RECIPE))
    assert card["data"]["photos"] > 0
    assert set(card["held_out"]) >= {"learned", "telea"}
    made = Learned().fill(Request(pixels=drawn_picture(), mask=asymmetric(40, 56), seed=0))
    known = ~asymmetric(40, 56)
    assert np.array_equal(made.pixels[known], drawn_picture()[known])
    # Trained: it does not give back the smooth fill that it starts from.
    pixels = torch.from_numpy(drawn_picture()).permute(2, 0, 1)[None].float() / 255
    smooth = LearnedNetwork.base(pixels, torch.from_numpy(~known).float()[None, None])[0].permute(1, 2, 0).numpy()
    assert np.abs(made.pixels - 255 * smooth)[~known].mean() > 1


def test_the_whole_run_from_manifest_to_weights(tmp_path: Path) -> None:
    rows = []
    for number in range(5):
        name = f"{number}.png"
        side = (48, 64) if number else (30, 30)  # the first is too small
        Image.fromarray(drawn_picture(*side)).save(tmp_path / name)
        label, split = "edited" if number == 4 else "real", "test" if number == 3 else "train"
        rows.append(Sample(id=name, path=name, label=label, source="drawn", licence="CC0", split=split))
    Manifest.from_samples(rows, tmp_path).save(tmp_path / "m.parquet")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'steps = 2\nbatch = 2\ncrop = 32\nshorter_side = 48\nwidest_crop = 40\nheld_out_split = "test"\n'
        "critic_from = 1\ncritic_channels = 4\n[shape]\nchannels = 2\nblocks = 1\n"
    )
    arguments = [str(recipe), "--manifest", str(tmp_path / "m.parquet"), "--output", str(tmp_path / "out")]
    assert fit_learned.main(arguments) == 0
    card = json.loads((tmp_path / "out" / "learned.json").read_text())
    assert card["data"] == {"photos": 2, "sources": {"drawn (CC0)": 2}}
    assert card["held_out"]["crops"] == 1
    assert card["held_out"]["split"] == "test"
    recipe.write_text(recipe.read_text().replace('"test"', '"val"'))
    with pytest.raises(BadManifest, match="no real photos with split 'val'") as told:
        fit_learned.main(arguments)
    assert told.value.got == "real photos of: test, train"
    assert "fauxlens split" in str(told.value.hint)
    assert "`held_out_split`" in str(told.value.hint)
    recipe.write_text(recipe.read_text().replace("shorter_side = 48", "shorter_side = 4800"))
    with pytest.raises(BadManifest, match="no photo of split 'train' is large enough") as told:
        fit_learned.main(arguments)
    assert "`shorter_side`" in str(told.value.hint)
