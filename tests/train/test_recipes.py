"""Every recipe of training that comes along is read, written back, and makes two steps on drawn pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.core.recipes import recipe_path
from fauxlens.core.settings import settings_from, settings_to
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.data import loader
from fauxlens.train.loop import _Run, train
from fauxlens.train.order import epoch_order
from fauxlens.train.parts import PARTS
from fauxlens.train.ranks import Ranks
from fauxlens.train.recipe import Recipe, detector_recipes, read_recipe, train_recipes, with_changes
from train_runs import small_recipe, small_set, verdict_recipe

RECIPES = (
    "cnnspot", "embedded", "embedded-head", "genimage-deit-s", "genimage-resnet50", "genimage-swin-t",
    "imaginet-ce", "imaginet-head",
    "imaginet-identify", "imaginet-selfcon", "nfa-vit-paper", "nfa-vit-published", "noiseprint-selfsupervised", "npr",
    "unbiased-resnet50", "unbiased-resnet50-constrained", "unbiased-swin-t", "unbiased-swin-t-constrained",
)  # fmt: skip

FIXED_SIDE = ("swin-t", "deit-s")  # networks that take no smaller picture


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Drawn pictures under the names that the recipes ask for."""
    found = small_set(tmp_path_factory.mktemp("set"))
    rows = len(found)
    fake = [label != "real" for label in found.column("label").to_pylist()]
    families = ("gan", "sd", "midjourney", "dalle3")
    return found.with_columns(
        "as the recipes want them",
        {
            "source": ["genimage/stable_diffusion_v_1_4"] * rows,
            "generator": ["stable_diffusion_v_1_4" if one else None for one in fake],
            "family": [families[number % 4] if one else None for number, one in enumerate(fake)],
            "width": [500] * rows,
            "height": [500] * rows,
            "jpeg_quality": [96] * rows,
            "content": ["n01440764"] * rows,
        },
    )


def small(value: Any, side: int) -> Any:
    """Tables of augmentation with every size brought down to `side`."""
    if isinstance(value, Mapping):
        sizes = ("side", "height", "width", "resized")
        return {name: side if name in sizes else small(one, side) for name, one in value.items()}
    return [small(one, side) for one in value] if isinstance(value, list | tuple) else value


def in_miniature(recipe: Recipe) -> Recipe:
    """Two pictures a step (four, to balance four families), small where the network allows."""
    side = 224 if recipe.detector in FIXED_SIDE else 64 if recipe.detector == "nfa-vit" else 32
    # Lists whose size is a field have it; those that end at 224 by themselves get it said.
    tables = [{**one, "side": side} if one["step"] == "genimage" else small(one, side) for one in recipe.augment]
    return replace(
        recipe, start="random", batch=2, epochs=10, augment=tuple(tables), running=replace(recipe.running, workers=0)
    )  # fmt: skip


def test_these_recipes_come_along() -> None:
    assert detector_recipes() == RECIPES
    assert train_recipes() == tuple(sorted((*RECIPES, *PARTS)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_and_makes_two_steps(name: str, manifest: Manifest, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert settings_from(Recipe, settings_to(recipe)) == recipe
    run = _Run(in_miniature(recipe), tmp_path, manifest, Ranks())
    order = epoch_order(manifest, run.recipe.sampling, epoch=0)
    feed = loader(run.samples, order, batch=2, seed=run.recipe.seed)
    before = {name: one.detach().clone() for name, one in run.network.named_parameters()}
    teaching = run._wrapped()
    run.frozen.train(0)
    run.begin(resume=True, other_recipe=False, other_data=False)
    for step in range(2):
        run._set_rate(1.5 + step)  # past the first epoch, whose rate may be next to nothing
        told, norm = run._step(teaching, next(feed))
        assert math.isfinite(told.total)
        assert norm > 0
    moved = {name for name, one in run.network.named_parameters() if not one.equal(before[name])}
    assert moved
    assert moved <= run.frozen.learns
    if recipe.objective["name"] == "head":
        assert all(one.startswith("classifier.") for one in moved)


def test_the_schedule_of_selfcon_is_the_published_one() -> None:
    recipe = read_recipe("imaginet-selfcon")
    published = {
        1: 5.0e-7, 2: 5.0045e-4, 5: 2.0003e-3, 10: 4.50005e-3, 11: 5.0e-3, 200: 2.6232e-3, 400: 5.0811e-6,
    }  # fmt: skip
    assert recipe.epochs == 400
    for epoch, rate in published.items():
        for inside in (0.0, 0.99):  # all steps of an epoch have its rate
            share = recipe.schedule.share(epoch - 1 + inside, recipe.epochs)
            assert recipe.optimiser.rate * share == pytest.approx(rate, rel=2e-5), epoch


def test_what_paper_and_code_of_nfa_vit_differ_in() -> None:
    paper, code = read_recipe("nfa-vit-paper"), read_recipe("nfa-vit-published")
    assert (paper.optimiser.rate, paper.optimiser.weight_decay, paper.epochs, paper.batch) == (5e-3, 1e-6, 30, 64)
    assert (code.optimiser.rate, code.optimiser.weight_decay, code.epochs, code.batch) == (2e-4, 0.05, 200, 64)
    assert (paper.objective["weights"], code.objective["weights"]) == ("paper", "published")
    # e < 4: 2e-4 e / 4; then a half cosine to 0.
    rates = [code.optimiser.rate * code.schedule.share(epoch, 200) for epoch in (0, 2, 4, 102, 200)]
    assert rates == pytest.approx([0.0, 1e-4, 2e-4, 1e-4, 0.0], abs=1e-12)


def test_constrained_recipes_leave_out_what_tells_classes_apart(manifest: Manifest) -> None:
    recipe = read_recipe("unbiased-resnet50-constrained")
    other = [number % 2 for number in range(len(manifest))]
    mixed = manifest.with_columns("half of another quality", {"jpeg_quality": [90 if one else 96 for one in other]})
    rows = epoch_order(mixed, recipe.sampling, epoch=0)
    labels, qualities = (mixed.column(name).to_pylist() for name in ("label", "jpeg_quality"))
    reals = [row for row in rows if labels[row] == "real"]
    assert reals
    assert {qualities[row] for row in reals} == {96}
    assert len(reals) * 2 == len(rows)
    assert [one["step"] for one in recipe.augment_fake] == ["jpeg"]
    assert not recipe.augment_real


def test_recipes_that_cannot_be_meant(tmp_path: Path) -> None:
    for other in (recipe_path("br-gen", "methods"), "imprint"):
        with pytest.raises(BadSetting, match="not one of training a detector"):
            read_recipe(other)
    with pytest.raises(UnknownName, match="Did you mean 'npr'"):
        read_recipe("nprr")
    with pytest.raises(BadSetting, match="goes on from trained weights"):
        read_recipe("imaginet-head").build()
    text = recipe_path("npr").read_text()
    for before, after, said in (
        ('detector = "npr"', 'detector = "npx"', "no detector called 'npx'"),
        ("epochs = 50", "epochs = 0", "epochs is out of range"),
        ('step = "npr"', 'step = "nprs"', "no augmentation called 'nprs'"),
        ('name = "detect"', 'name = "detects"', "no objective called 'detects'"),
        ("rate = 2e-4", "rates = 2e-4", "Did you mean 'rate'"),
        ('best = "AUC"', 'metrics = ["AUX"]', "Cannot overwrite a value"),
        ('shape = "steps"', 'shape = "stairs"', "one of 'constant'"),
    ):
        (tmp_path / "mine.toml").write_text(text.replace(before, after))
        with pytest.raises((BadSetting, UnknownName), match=said):
            read_recipe(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("validate", "got", "step"),
    [
        ({"best": "macro_f"}, "macro_f", "Did you mean 'macro_f1'"),
        ({"best": "AP"}, "AP", "add 'AP' to `metrics` in"),
        ({"best": "AUX", "metrics": ["accuracy", "AUC"]}, "AUX", "Did you mean 'AUC'"),
        ({"metrics": ["accuracy"]}, "AUC", "add 'AUC' to `metrics` in"),
        ({"best": "identified"}, "identified", 'best = "" to keep the last weights alone'),
    ],
)
def test_what_picks_the_best_weights_is_known_before_a_picture_is_read(
    validate: dict[str, Any], got: str, step: str
) -> None:
    with pytest.raises(BadSetting, match="`best` is no number that is validated") as told:
        small_recipe(validate=validate)
    assert told.value.got == got
    assert "accuracy" in str(told.value.wanted)
    assert "macro_f1" in str(told.value.wanted)
    assert step in str(told.value.hint)


def test_numbers_that_can_pick_the_best_weights() -> None:
    small_recipe(validate={"best": "false_alarm_area"})
    small_recipe(validate={"best": "AP", "metrics": ["AP"]})
    verdict_recipe(validate={"best": "", "metrics": []})
    with pytest.raises(BadSetting, match="set `masks = true`"):
        small_recipe(validate={"best": "macro_f1"}, data={"masks": False}, objective={"name": "detect"})
    classes = {"target": "family", "classes": ["gan", "sd"]}
    named = {"detector": "imaginet-identify", "objective": {"name": "identify"}, "data": classes}
    verdict_recipe(**named, validate={"best": "identified"})
    with pytest.raises(BadSetting, match="no number that is validated"):
        verdict_recipe(**named, validate={"best": "AUC"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"objective": {"name": "place"}, "detector": "npr"}, "'place' does not fit npr"),
        ({"objective": {"name": "noiseprint"}}, "'noiseprint' does not fit nfa-vit"),
        ({"objective": {"name": "classes"}}, "'classes' does not fit nfa-vit"),
        ({"data": {"masks": False}}, "'detect-localise' learns from masks"),
        ({"objective": {"name": "agree"}}, "'agree' compares copies"),
        ({"mixing": {"mixup": 0.5}}, "mixing is for verdicts on one copy"),
        ({"mixing": {"cutmix": 1.0}, "objective": {"name": "detect"}}, "mixing is for verdicts on one copy"),
    ],
)
def test_tables_that_do_not_fit_each_other(changed: dict[str, Any], said: str) -> None:
    given = {"setting": None if "detector" in changed else "nano", **changed}
    with pytest.raises(BadSetting, match=said) as told:
        small_recipe(**given)
    assert told.value.wanted
    assert told.value.got
    assert told.value.hint


@pytest.mark.parametrize(
    ("name", "said"),
    [("selfcon", "no part called 'embeddings'"), ("head", "no part called 'encoder'"), ("mvss", "no edges to learn"),
     ("trufor-confidence", "no part called 'decode_head_conf'")],
)  # fmt: skip
def test_a_network_without_the_parts_is_refused_before_the_first_picture(
    name: str, said: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a picture was read")

    monkeypatch.setattr("fauxlens.train.data.Samples.__getitem__", never)
    with pytest.raises(BadSetting, match=said):
        train(small_recipe(objective={"name": name}), folder=tmp_path, manifest=manifest)


def test_changes_on_top_and_what_a_digest_is_of() -> None:
    recipe = read_recipe("npr")
    faster = with_changes(recipe, running={"workers": 7, "cache": None})
    assert faster.running.workers == 7
    assert faster.digest == recipe.digest
    other = with_changes(recipe, seed=3, epochs=2, batch=8, start="npr")
    assert (other.seed, other.sampling.seed, other.epochs, other.batch, other.start) == (3, 3, 2, 8, "npr")
    assert other.digest != recipe.digest
    assert [one.partition(":")[0] for one in other.differences(settings_to(recipe))] == [
        "start", "seed", "epochs", "batch", "sampling.seed",
    ]  # fmt: skip


def test_only_what_differs_is_named() -> None:
    recipe = read_recipe("npr")
    before = settings_to(recipe)
    rate = replace(recipe, optimiser=replace(recipe.optimiser, rate=2 * recipe.optimiser.rate), clip=1.0)
    assert rate.differences(before) == ["clip: not set -> 1.0", "optimiser.rate: 0.0002 -> 0.0004"]
    assert recipe.differences(settings_to(rate)) == ["clip: 1.0 -> not set", "optimiser.rate: 0.0004 -> 0.0002"]
    steps = recipe.augment
    noise = {"step": "noise", "variance": 5}
    assert replace(recipe, augment=(*steps, noise)).differences(before) == [f"augment: nothing -> [{noise}]"]
    smaller = ({**steps[0], "side": 96}, *steps[1:])
    assert replace(recipe, augment=smaller).differences(before) == ["augment 1.side: 224 -> 96"]
