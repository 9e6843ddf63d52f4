"""What moves: frozen parts and their thaw, groups of the optimiser, averages; mixing; noise that needs no labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.detectors import load
from fauxlens.detectors.prediction import Output
from fauxlens.train.data import Batch
from fauxlens.train.mix import mixed
from fauxlens.train.objectives import Teaching, read_objective
from fauxlens.train.recipe import Freeze, Mixing, Optimiser
from fauxlens.train.weights import Average, Frozen, Swapped, optimiser_for


def teaching_of(name: str = "npr") -> Teaching:
    return Teaching(load(name, "random").network, read_objective({"name": "detect"}))


def test_frozen_parts_stay_and_thaw() -> None:
    teaching = teaching_of()
    rules = (
        Freeze(names=("conv1.*",)),
        Freeze(names=("layer1.*", "bn1.*"), until_epoch=2, evaluate=True, batch_statistics=False),
    )
    frozen = Frozen(teaching, rules)
    assert frozen.apply(0)
    learns = {name for name, one in teaching.network.named_parameters() if one.requires_grad}
    assert not [name for name in learns if name.startswith(("conv1.", "layer1.", "bn1."))]
    assert "fc1.weight" in learns
    frozen.train(0)
    modules = dict(teaching.network.named_modules())
    assert (modules["layer1.0.bn1"].training, modules["layer2.0.bn1"].training) == (False, True)
    assert not frozen.apply(1)  # nothing changes
    assert frozen.apply(2)
    frozen.train(2)
    assert modules["layer1.0.bn1"].training
    learns = {name for name, one in teaching.network.named_parameters() if one.requires_grad}
    assert not [name for name in learns if name.startswith("conv1.")]
    assert [name for name in learns if name.startswith("layer1.")]


def test_batch_norms_of_frozen_parts_may_go_on() -> None:
    teaching = teaching_of()
    frozen = Frozen(teaching, (Freeze(names=("layer1.*",), evaluate=True, batch_statistics=True),))
    frozen.apply(0)
    frozen.train(0)
    modules = dict(teaching.network.named_modules())
    assert (modules["layer1.0.bn1"].training, modules["layer1.0.conv1"].training) == (True, False)
    teaching.zero_grad()
    teaching(torch.rand(2, 3, 64, 64)).logit.sum().backward()
    named = dict(teaching.network.named_parameters())
    assert named["layer1.0.conv1.weight"].grad is None
    assert named["layer2.0.conv1.weight"].grad is not None


def test_freezing_that_cannot_be_meant() -> None:
    with pytest.raises(BadSetting, match="nothing in the network is called so"):
        Frozen(teaching_of(), (Freeze(names=("layerX.*",)),)).apply(0)
    with pytest.raises(BadSetting, match="everything is frozen"):
        Frozen(teaching_of(), (Freeze(names=("*",)),))


def test_vectors_do_not_decay_where_the_recipe_says_so() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    names = [name for name, _ in network.named_parameters()]
    plan = Optimiser(name="adamw", rate=1e-3, weight_decay=0.5, decay_vectors=False)
    groups = optimiser_for(network, names, plan).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.5), (3, 0.0)]
    groups = optimiser_for(network, names, replace(plan, name="sgd", decay_vectors=True)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(4, 0.5)]
    assert len(optimiser_for(network, ["0.weight"], plan).param_groups) == 1


def test_an_average_by_hand_and_in_place_of_the_weights() -> None:
    network = nn.BatchNorm1d(1)
    average = Average(network, 0.5)
    for value in (2.0, 3.0):
        with torch.no_grad():
            network.weight.fill_(value)
            network.num_batches_tracked += 1
        average.update(network)
    # Decays of 2/11 and 3/12: 1 -> 2 - 2/11 -> 3 - (3 - that) / 4.
    first = 1 * 2 / 11 + 2 * 9 / 11
    assert float(average.state["weight"]) == pytest.approx(first * 0.25 + 3 * 0.75, rel=1e-6)
    assert int(average.state["num_batches_tracked"]) == 2
    with Swapped(network, average):
        assert network.weight.item() == float(average.state["weight"])
    assert network.weight.item() == 3.0
    other = Average(network, 0.5)
    other.load_state_dict(average.state_dict())
    assert other.steps == 2
    assert float(other.state["weight"]) == float(average.state["weight"])


def batch_of(count: int = 4) -> Batch:
    image = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 3, 8, 8).contiguous()
    label = torch.tensor([float(number % 2 == 0) for number in range(count)])
    return Batch(image, None, label, label.long(), tuple(str(number) for number in range(count)))


@pytest.mark.parametrize("plan", [Mixing(mixup=0.8), Mixing(cutmix=1.0)])
def test_labels_are_mixed_as_pixels_are(plan: Mixing) -> None:
    shares = set()
    for seed in range(20):
        batch = batch_of()
        found = mixed(batch, plan, seed)
        # Picture 0 is all 0 and meets picture 3, all 3: the mean of its pixels is 3 times the share of the other.
        other = float(found.image[0].mean()) / 3
        assert float(found.label[0]) == pytest.approx(1 - other, abs=1e-5)
        assert batch.image.equal(batch_of().image)
        shares.add(round(other, 4))
        assert mixed(batch, plan, seed).image.equal(found.image)
        if plan.cutmix:
            assert set(found.image[0].unique().tolist()) <= {0.0, 3.0}
    assert len(shares) > 5


def test_mixing_is_not_for_masks() -> None:
    batch = batch_of()
    assert mixed(batch, Mixing(), 0) is batch
    with pytest.raises(BadSetting, match="one copy"):
        mixed(replace(batch, mask=torch.zeros(4, 1, 8, 8)), Mixing(mixup=1.0), 0)


def test_quarters_of_one_picture_are_told_from_those_of_others() -> None:
    objective = read_objective({"name": "own-noise", "scale": 64.0})
    batch = batch_of(3)

    def loss(trace: torch.Tensor) -> float:
        return float(objective(Output(trace=trace), batch).total)

    alike = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 1, 8, 8)
    # Quarters of a picture are at distance 0, those of others at 64 or more: exp(-64) is nothing.
    assert loss(alike) == pytest.approx(0.0, abs=1e-6)
    # All the same: each quarter's own three have the share 3 of 11.
    assert loss(torch.zeros(3, 1, 8, 8)) == pytest.approx(-torch.tensor(3 / 11).log().item(), abs=1e-6)
    with pytest.raises(BadShape, match="even sides"):
        loss(torch.zeros(3, 1, 7, 8))
    trace = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    objective(Output(trace=trace), batch).total.backward()
    assert trace.grad is not None
    assert trace.grad.abs().sum() > 0
