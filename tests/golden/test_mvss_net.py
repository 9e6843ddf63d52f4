"""MVSS-Net gives the recorded numbers, and known mistakes do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import golden_zoo
from fauxlens.detectors.mvss_net import MvssNet, MvssNetDetector

GOLDEN = golden_zoo.golden("mvssnet")
DECISIVE = "C"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network() -> MvssNet:
    found = golden_zoo.fill(MvssNet(), DECISIVE, GOLDEN.kept)
    assert isinstance(found, MvssNet)
    return found


@contextmanager
def changed(module: nn.Module, name: str, value: object) -> Iterator[None]:
    """An attribute of a module, for a moment."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def test_names_shapes_and_count(network: MvssNet) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == GOLDEN.facts["n_params"] == MvssNetDetector.card.parameters


def test_outputs_and_probes(network: MvssNet) -> None:
    wanted = GOLDEN.probes(DECISIVE)
    readings = {name: (network.get_submodule(name), lambda output: output) for name in wanted}
    with torch.inference_mode(), golden_zoo.probing(network, readings) as found:
        edges, mask = network.maps(GOLDEN.input("a"))
        output = network(GOLDEN.input("a"))
    golden_zoo.assert_close(edges, GOLDEN.output(DECISIVE, "a", "edge_logit"), what="edges")
    golden_zoo.assert_close(mask, GOLDEN.output(DECISIVE, "a", "seg_logit"), what="mask")
    golden_zoo.assert_probes(found, wanted)
    assert torch.equal(output.mask, mask)
    assert output.logit.tolist() == pytest.approx([float(GOLDEN.output(DECISIVE, "a", "seg_logit").max())], rel=1e-4)


def test_mistakes_are_seen(network: MvssNet) -> None:
    wanted = GOLDEN.output(DECISIVE, "a", "seg_logit")

    def off(image: torch.Tensor) -> float:
        with torch.inference_mode():
            return golden_zoo.worst_share(network(image).mask, wanted)

    right = GOLDEN.input("a")
    assert off(right.flip(1)) > 1e-2, "channels in the other order"
    assert off(golden_zoo.to_input(GOLDEN.pixels("a"), "div255")) > 1e-2, "no statistics"
    middle = network.noise_extractor.model.layer4[1].conv2
    with changed(middle, "dilation", (1, 1)), changed(middle, "padding", (1, 1)):
        assert off(right) > 1e-3, "the noise trunk without its dilation"
    with changed(network.constrain_conv, "projected", lambda: unnormalised(network)):
        assert off(right) > 1e-3, "a constrained kernel that was not divided"


def unnormalised(network: MvssNet) -> torch.Tensor:
    kernel = network.constrain_conv.kernel.transpose(0, 1)
    centre = torch.full((3, 1, 1), -1.0)
    return torch.cat((kernel[..., :12], centre, kernel[..., 12:]), dim=-1).unflatten(-1, (5, 5))


def test_a_size_that_does_not_divide(network: MvssNet) -> None:
    with torch.inference_mode():
        edges, mask = network.maps(torch.zeros(1, 3, 70, 51))
    assert edges.shape == (1, 1, 18, 13)
    assert mask.shape == (1, 1, 70, 51)
    assert np.isfinite(mask.numpy()).all()
