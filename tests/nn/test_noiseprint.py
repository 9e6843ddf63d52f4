"""The noise extractor: strip by strip it gives what its layers give one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fauxlens.nn import noiseprint
from fauxlens.nn.noiseprint import NoiseExtractor


def drawn(depth: int = 17, width: int = 8) -> NoiseExtractor:
    torch.manual_seed(0)
    network = NoiseExtractor(depth, width).eval()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.8, 1.2)
            layer.bias.data.normal_(0, 0.1)
    return network


def whole(network: NoiseExtractor, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 2**40)
    return network(image)


@pytest.mark.parametrize("height", [33, 36, 37, 40, 55, 100])
@pytest.mark.parametrize("count", [1, 2])
def test_strips_give_the_numbers_of_the_whole(height: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = drawn(), torch.rand(count, 3, height, 23)
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 23 * 16)
    strips: list[int] = []
    plain = NoiseExtractor._in_strips
    monkeypatch.setattr(NoiseExtractor, "_in_strips",
                        lambda self, maps, rows: strips.append(rows) or plain(self, maps, rows))  # fmt: skip
    with torch.inference_mode():
        found = network(image)
        wanted = whole(network, image, monkeypatch)
        layers = nn.Sequential(*network)(image)
    assert strips == [16] * count
    assert found.shape == (count, 1, height, 23)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, layers, rtol=1e-4, atol=1e-5)


def test_a_graph_or_learning_statistics_need_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 1)
    monkeypatch.setattr(NoiseExtractor, "_in_strips", lambda *_: pytest.fail("it went in strips"))
    network, image = drawn(), torch.rand(1, 3, 40, 20)
    network(image).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        one = network[3]
        assert isinstance(one, nn.BatchNorm2d)
        before = one.running_mean.clone()
        one.train()
        network(image)
        assert not torch.equal(one.running_mean, before)


def test_small_pictures_go_together_and_large_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = drawn(), torch.rand(5, 3, 8, 8)
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 64)
    shown: list[int] = []
    plain = noiseprint.F.conv2d
    monkeypatch.setattr(
        noiseprint.F, "conv2d", lambda maps, *rest, **named: shown.append(len(maps)) or plain(maps, *rest, **named)
    )
    with torch.inference_mode():
        found = network(image)
        assert shown[::17] == [2, 2, 1]
        torch.testing.assert_close(found, whole(network, image, monkeypatch), rtol=1e-5, atol=1e-6)
