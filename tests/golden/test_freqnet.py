"""FreqNet computes what the published code computes, on recorded weights and pictures."""

from __future__ import annotations

import pytest
import torch

import golden_zoo as zoo
from fauxlens.detectors import freqnet


@pytest.fixture(scope="module")
def recorded():
    return zoo.golden("freqnet")


@pytest.fixture(scope="module")
def network():
    return freqnet.FreqNet().eval()


def test_every_tensor_has_the_released_name_and_shape(recorded, network):
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == recorded.shapes


def test_the_card_counts_the_parameters(recorded, network):
    counted = sum(p.numel() for p in network.parameters())
    assert counted == freqnet.FreqNetDetector.card.parameters == recorded.facts["n_params"]


@pytest.mark.parametrize("variant", ["A", "B"])
def test_outputs_and_probes(variant, recorded, network):
    zoo.fill(network, variant)
    modules = {name: network.pool if name == "maxpool" else getattr(network, name) for name in recorded.probes(variant)}
    with torch.inference_mode(), zoo.probing(network, {n: (m, lambda x: x) for n, m in modules.items()}) as found:
        for tag in ("a", "b"):  # b: sides that no power of two divides
            logit = network(recorded.input(tag)).logit
            zoo.assert_close(logit[:, None], recorded.output(variant, tag, "logit"), what=f"{variant}/{tag}")
    zoo.assert_probes(found, recorded.probes(variant))


def whole_rows_and_columns(maps, dimensions):
    """The mistake of removing every low row and every low column."""
    if dimensions == (1,):
        return freqnet_without_low(maps, dimensions)
    spectrum = torch.fft.fftshift(torch.fft.fft2(maps, norm="ortho"), dim=dimensions)
    h, w = maps.shape[-2:]
    spectrum[..., h // 2 - h // 4 : h // 2 + h // 4, :] = 0
    spectrum[..., w // 2 - w // 4 : w // 2 + w // 4] = 0
    return torch.relu(torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=dimensions), norm="ortho").real)


freqnet_without_low = freqnet.without_low


@pytest.mark.parametrize("mistake", ["rows and columns", "no ReLU", "channels everywhere", "parts swapped", "epsilon"])
def test_a_mistake_would_be_seen(mistake, recorded, network, monkeypatch):
    zoo.fill(network, "B")
    step = freqnet.FreqNet.step
    if mistake == "rows and columns":
        monkeypatch.setattr(freqnet, "without_low", whole_rows_and_columns)
    if mistake == "no ReLU":
        monkeypatch.setattr(freqnet.F, "relu", lambda x: x)
    if mistake == "channels everywhere":
        monkeypatch.setattr(
            freqnet.FreqNet,
            "step",
            lambda self, n, x, *, stride=1, channels=False: step(self, n, x, stride=stride, channels=True),
        )
    if mistake == "parts swapped":
        state = network.state_dict()
        swapped = {
            name: state[name.replace("realconv", "?").replace("imagconv", "realconv").replace("?", "imagconv")]
            for name in state
        }
        network.load_state_dict({name: tensor.clone() for name, tensor in swapped.items()})
    if mistake == "epsilon":
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                monkeypatch.setattr(module, "eps", 1e-3)
    with torch.inference_mode():
        logit = network(recorded.input("a")).logit
    assert zoo.worst_share(logit[:, None], recorded.output("B", "a", "logit")) > 1e-4
