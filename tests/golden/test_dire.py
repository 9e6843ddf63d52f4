"""DIRE's classifier gives the numbers recorded for an ordinary ResNet-50 with one logit."""

from __future__ import annotations

import pytest
import torch

import golden_zoo
from fauxlens.detectors.dire import Dire
from fauxlens.detectors.resnet50 import Classifier

GOLDEN = golden_zoo.golden("cnnspot")


@pytest.fixture(scope="module")
def network() -> Classifier:
    found = golden_zoo.fill(Dire().network, "B")
    assert isinstance(found, Classifier)
    return found


def test_names_shapes_and_count(network: Classifier) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == GOLDEN.facts["n_params"] == Dire.card.parameters


def test_outputs_and_probes(network: Classifier) -> None:
    wanted = GOLDEN.probes("B")
    readings = {name: (network.get_submodule(name), lambda output: output) for name in wanted}
    with torch.inference_mode(), golden_zoo.probing(network, readings) as found:
        for tag in ("a", "b"):
            golden_zoo.assert_close(network(GOLDEN.input(tag)).logit[:, None], GOLDEN.output("B", tag, "logit"))
    golden_zoo.assert_probes(found, wanted)
