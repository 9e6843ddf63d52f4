"""Going on with another recipe: what can be taken over is, what cannot begins anew and is told, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fauxlens.core.errors import OtherPlan
from fauxlens.manifest.manifest import Manifest
from fauxlens.train import checkpoint
from fauxlens.train.loop import train
from train_runs import small_recipe, verdict_recipe

pytestmark = pytest.mark.usefixtures("no_pages")


def remarks_on(recipe: Any, folder: Path, manifest: Manifest) -> list[str]:
    """What was remarked on going on for a step, but for where and with which recipe."""
    done = train(recipe, folder=folder, manifest=manifest, steps=1, other_recipe=True)
    assert done.position.step == 2
    return [one for one in done.remarks if not one.startswith("goes on")]


def gathered(folder: Path) -> dict[str, Any]:
    """What the optimiser knows of the first parameter."""
    found: dict[str, Any] = checkpoint.read(folder / "checkpoint.pt")["optimiser"]["state"][0]
    return found


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"name": "adamw"}, {"name": "sgd", "momentum": 0.9}, "it was adamw, and is sgd"),
        ({"name": "sgd", "momentum": 0.9}, {"name": "adamw"}, "it was sgd, and is adamw"),
        ({"name": "adam"}, {"name": "adamw"}, "it was adam, and is adamw"),
        ({"decay_vectors": True}, {"decay_vectors": False}, "its parameters were grouped"),
        ({"decay_vectors": False}, {"decay_vectors": True}, "its parameters were grouped"),
    ],
)
def test_another_optimiser_begins_anew(
    before: dict[str, Any], after: dict[str, Any], told: str, manifest: Manifest, tmp_path: Path
) -> None:
    rate = {"rate": 1e-3}
    train(verdict_recipe(optimiser=before | rate), folder=tmp_path, manifest=manifest, steps=1)
    (said,) = remarks_on(verdict_recipe(optimiser=after | rate), tmp_path, manifest)
    assert said.startswith("the optimiser begins anew")
    assert told in said
    kept = gathered(tmp_path)
    if after.get("name") == "sgd":
        assert set(kept) == {"momentum_buffer"}
    else:
        assert int(kept["step"]) == 1  # of its own two steps, the second alone


def test_another_rate_keeps_what_the_optimiser_gathered(manifest: Manifest, tmp_path: Path) -> None:
    train(verdict_recipe(optimiser={"rate": 1e-3}), folder=tmp_path, manifest=manifest, steps=1)
    other = verdict_recipe(optimiser={"rate": 1e-4, "weight_decay": 0.25})
    assert remarks_on(other, tmp_path, manifest) == []
    assert int(gathered(tmp_path)["step"]) == 2
    groups = checkpoint.read(tmp_path / "checkpoint.pt")["optimiser"]["param_groups"]
    assert {one["weight_decay"] for one in groups} == {0.25}


def test_a_new_average_begins_with_the_weights_there_are(manifest: Manifest, tmp_path: Path) -> None:
    optimiser = {"name": "sgd", "rate": 0.05}
    train(verdict_recipe(optimiser=optimiser), folder=tmp_path, manifest=manifest, steps=1)
    before = checkpoint.read(tmp_path / "checkpoint.pt")["network"]
    (said,) = remarks_on(verdict_recipe(optimiser=optimiser, average=0.9), tmp_path, manifest)
    assert said == "the average begins with the weights that the checkpoint holds"
    after = checkpoint.read(tmp_path / "checkpoint.pt")
    share = 2 / 11  # of what there was, after the first step of an average
    for name, tensor in after["average"]["state"].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, before[name] * share + after["network"][name] * (1 - share), msg=name)
    # Nothing is new the next time.
    done = train(verdict_recipe(optimiser=optimiser, average=0.9), folder=tmp_path, manifest=manifest, steps=1)
    assert done.remarks == ("goes on at step 2",)


def test_another_detector_or_network_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    train(verdict_recipe(), folder=tmp_path, manifest=manifest, steps=1)
    path = tmp_path / "checkpoint.pt"
    kept = path.read_bytes()
    with pytest.raises(OtherPlan, match="begun with another detector") as told:
        train(small_recipe(), folder=tmp_path, manifest=manifest, other_recipe=True)
    assert (told.value.where, told.value.got) == (str(path), "nfa-vit (nano)")
    assert str(told.value.wanted).startswith("npr (")
    assert "another folder" in str(told.value)
    assert "--start" in str(told.value)
    assert path.read_bytes() == kept
    found = checkpoint.read(path)
    recipe = verdict_recipe()
    network = recipe.build().network
    checkpoint.check_network(found, path, verdict_recipe(setting=recipe.build().setting), network)
    found["network"]["extra"] = found["network"].pop("conv1.weight")
    with pytest.raises(OtherPlan, match=r"2 of its tensors are others \(wanted no conv1\.weight, got conv1\.weight \["):
        checkpoint.check_network(found, path, recipe, network)
