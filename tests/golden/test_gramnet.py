"""GramNet computes what the published code computes, on recorded weights and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import golden_zoo as zoo
from fauxlens.detectors import gramnet

SHARE = 1e-5  # a missing scale moves the result by little more


@pytest.fixture(scope="module")
def recorded():
    return zoo.golden("gramnet")


@pytest.fixture(scope="module")
def network():
    return gramnet.GramNet().eval()


def log_probabilities(network, image):
    with torch.inference_mode():
        return network.log_probabilities(network(image).features)


def test_every_tensor_has_the_released_name_and_shape(recorded, network):
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == recorded.shapes


def test_the_card_counts_the_parameters(recorded, network):
    counted = sum(p.numel() for p in network.parameters())
    assert counted == gramnet.GramNetDetector.card.parameters == recorded.facts["n_params"]


@pytest.mark.parametrize("variant", ["A", "B"])
def test_outputs_and_probes(variant, recorded, network):
    zoo.fill(network, variant)
    readings = {name: (getattr(network, name), lambda x: x) for name in recorded.probes(variant)}
    with zoo.probing(network, readings) as found:
        zoo.assert_close(
            log_probabilities(network, recorded.input("a")), recorded.output(variant, "a", "logprob"), SHARE
        )
    zoo.assert_probes(found, recorded.probes(variant))


def test_the_logit_is_fake_minus_real(recorded, network):
    zoo.fill(network, "B")
    with torch.inference_mode():
        logit = network(recorded.input("a")).logit
    fake, real = recorded.output("B", "a", "logprob")[0]
    zoo.assert_close(logit, np.array([fake - real]), SHARE)


@pytest.mark.parametrize("mistake", ["no scale", "not divided", "order of branches", "epsilon", "statistics"])
def test_a_mistake_would_be_seen(mistake, recorded, network, monkeypatch):
    zoo.fill(network, "B")
    image = recorded.input("a")
    if mistake == "no scale":
        torch.nn.init.ones_(network.scale.scale)
    if mistake == "not divided":
        gram = gramnet.gram
        monkeypatch.setattr(gramnet, "gram", lambda maps: gram(maps) * maps.shape[1])
    if mistake == "order of branches":
        columns = network.fcnewr[0].weight.detach()
        first, second = columns[:, 512:544].clone(), columns[:, 544:576].clone()
        columns[:, 512:544], columns[:, 544:576] = second, first
    if mistake == "epsilon":
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                monkeypatch.setattr(module, "eps", 1e-3)
    if mistake == "statistics":
        image = zoo.to_input(recorded.pixels("a"), "imagenet")
    assert zoo.worst_share(log_probabilities(network, image), recorded.output("B", "a", "logprob")) > SHARE
