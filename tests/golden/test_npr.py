"""NPR computes what the published code computes, on recorded weights and pictures."""

from __future__ import annotations

import pytest
import torch

import golden_zoo as zoo
from fauxlens.detectors import npr


@pytest.fixture(scope="module")
def recorded():
    return zoo.golden("npr")


@pytest.fixture(scope="module")
def network():
    return npr.NprNetwork().eval()


def test_every_tensor_has_the_released_name_and_shape(recorded, network):
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == recorded.shapes


def test_the_card_counts_the_parameters(recorded, network):
    counted = sum(p.numel() for p in network.parameters())
    assert counted == npr.Npr.card.parameters == recorded.facts["n_params"]


@pytest.mark.parametrize("variant", ["A", "B"])
def test_outputs_and_probes(variant, recorded, network):
    zoo.fill(network, variant)
    modules = {name: network.pool if name == "maxpool" else getattr(network, name) for name in recorded.probes(variant)}
    with torch.inference_mode(), zoo.probing(network, {n: (m, lambda x: x) for n, m in modules.items()}) as found:
        for tag in ("a", "b"):
            logit = network(recorded.input(tag)).logit
            zoo.assert_close(logit[:, None], recorded.output(variant, tag, "logit"), what=f"{variant}/{tag}")
    zoo.assert_probes(found, recorded.probes(variant))


@pytest.mark.parametrize("mistake", ["no two thirds", "before the statistics", "other corner", "epsilon"])
def test_a_mistake_would_be_seen(mistake, recorded, network, monkeypatch):
    zoo.fill(network, "B")
    image = recorded.input("a")
    if mistake == "no two thirds":
        monkeypatch.setattr(network, "residual", lambda x: npr.NprNetwork.residual(network, x) * 1.5)
    if mistake == "before the statistics":
        image = zoo.to_input(recorded.pixels("a"), "div255")
    if mistake == "other corner":
        monkeypatch.setattr(
            npr, "block_corners", lambda x: x[..., 1::2, 1::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
        )
    if mistake == "epsilon":
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                monkeypatch.setattr(module, "eps", 1e-3)
    with torch.inference_mode():
        logit = network(image).logit
    assert zoo.worst_share(logit[:, None], recorded.output("B", "a", "logit")) > 1e-3
