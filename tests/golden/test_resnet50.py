"""The ResNet-50 classifiers compute what the published code computes, on recorded weights and pictures."""

from __future__ import annotations

import pytest
import torch

import golden_zoo as zoo
from fauxlens.detectors.resnet50 import Classifier, CnnSpot, Corvi2022, Grag2021, Pair

PLAIN = {"cnnspot": True, "r50nodown_grag": False, "r50nodown_corvi": False}


@pytest.fixture(scope="module")
def networks():
    return {True: Classifier(down=True).eval(), False: Classifier(down=False).eval()}


@pytest.fixture(scope="module", params=list(PLAIN))
def recorded(request):
    return zoo.golden(request.param)


def test_every_tensor_has_the_released_name_and_shape(recorded, networks):
    state = networks[PLAIN[recorded.name]].state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == recorded.shapes
    assert sum(tensor.numel() for tensor in state.values()) == recorded.facts["n_state_elements"]


@pytest.mark.parametrize("kind", [CnnSpot, Grag2021])
def test_the_card_counts_the_parameters(kind, networks):
    counted = sum(p.numel() for p in networks[kind is CnnSpot].parameters())
    assert counted == kind.card.parameters == zoo.golden("cnnspot").facts["n_params"]


def test_the_card_counts_the_parameters_of_both_networks():
    with torch.device("meta"):
        both = Pair()
    assert sum(p.numel() for p in both.parameters()) == Corvi2022.card.parameters


@pytest.mark.parametrize("variant", ["A", "B"])
@pytest.mark.parametrize("name", list(PLAIN))
def test_outputs_and_probes(name, variant, networks):
    recorded = zoo.golden(name)
    network = zoo.fill(networks[PLAIN[name]], variant, recorded.kept)
    modules = {probe: network.pool if probe == "maxpool" else getattr(network, probe) for probe in recorded.probes("B")}
    with torch.inference_mode(), zoo.probing(network, {p: (m, lambda x: x) for p, m in modules.items()}) as found:
        for tag in recorded.facts["inputs"]:
            image = recorded.input(tag)
            logit = network(image).logit
            outputs = recorded.outputs(variant, tag)
            wanted = outputs.pop("logit")
            zoo.assert_close(logit.reshape(wanted.shape), wanted, what=f"{variant}/{tag}/logit")
            if "logit_map" in outputs:
                zoo.assert_close(network.logit_map(image), outputs.pop("logit_map"), what=f"{variant}/{tag}/map")
            assert not outputs
    zoo.assert_probes(found, recorded.probes(variant))


def test_the_pair_gives_the_mean_of_its_logits():
    recorded = zoo.golden("r50nodown_corvi")
    both = Pair().eval()
    zoo.fill(both.latent, "A")
    zoo.fill(both.progan, "B")
    with torch.inference_mode():
        logit = both(recorded.input("a")).logit
    wanted = (recorded.output("A", "a", "logit") + recorded.output("B", "a", "logit")) / 2
    zoo.assert_close(logit[:, None], wanted)


@pytest.mark.parametrize(("stem", "pool"), [(2, 2), (2, 1), (1, 2)])
def test_a_coarser_first_step_would_be_seen(stem, pool, networks):
    recorded = zoo.golden("r50nodown_grag")
    network = zoo.fill(networks[False], "B")
    network.conv1.stride, network.pool.stride = (stem, stem), pool
    try:
        with torch.inference_mode():
            logit = network(recorded.input("a")).logit
    finally:
        network.conv1.stride, network.pool.stride = (1, 1), 1
    assert zoo.worst_share(logit.reshape(1, 1, 1, 1), recorded.output("B", "a", "logit")) > 1e-2


@pytest.mark.parametrize("mistake", ["epsilon", "channels", "scale"])
def test_a_wrong_epsilon_or_input_would_be_seen(mistake, networks):
    recorded = zoo.golden("cnnspot")
    network = zoo.fill(networks[True], "B")
    image = recorded.input("a")
    if mistake == "channels":
        image = image.flip(1)
    if mistake == "scale":
        image = zoo.to_input(recorded.pixels("a"), "div255")
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    try:
        for norm in norms:
            norm.eps = 1e-3 if mistake == "epsilon" else 1e-5
        with torch.inference_mode():
            logit = network(image).logit
    finally:
        for norm in norms:
            norm.eps = 1e-5
    assert zoo.worst_share(logit[:, None], recorded.output("B", "a", "logit")) > 1e-3
