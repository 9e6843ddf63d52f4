"""The high-resolution network keeps its sizes, and gives the same numbers in strips."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fauxlens.nn import hrnet
from fauxlens.nn.hrnet import Exchange, HighResolutionNetwork


@pytest.fixture(scope="module")
def network() -> HighResolutionNetwork:
    torch.manual_seed(2)
    found = HighResolutionNetwork((4, 6, 8, 10)).eval()
    for name, buffer in found.named_buffers():
        if name.endswith("running_mean"):
            # Not zero, so that padding differs from what the layers give on an empty picture.
            buffer.normal_()
    return found


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (1, 1), (7, 30)])
def test_each_branch_halves_the_one_before_rounded_up(network: HighResolutionNetwork, height: int, width: int) -> None:
    with torch.inference_mode():
        found = network(torch.rand(2, 3, height, width))
    sizes = [(height, width)]
    for _ in range(3):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    assert [tuple(one.shape) for one in found] == [
        (2, channels, *size) for channels, size in zip((4, 6, 8, 10), sizes, strict=True)
    ]


@pytest.mark.parametrize("pixels", [2 * 20, 6 * 20, 14 * 20, 40 * 20])
@pytest.mark.parametrize("height", [40, 41, 43])
def test_strips_give_what_the_whole_gives(
    network: HighResolutionNetwork, monkeypatch: pytest.MonkeyPatch, pixels: int, height: int
) -> None:
    image = torch.rand(1, 3, height, 20, dtype=torch.float64)
    double = network.double()
    try:
        with torch.inference_mode():
            wanted = double(image)
            monkeypatch.setattr(hrnet, "PIXELS_A_STRIP", pixels)
            found = double(image)
    finally:
        network.float()
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_shorter_reach_would_be_seen(network: HighResolutionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 40, 20, dtype=torch.float64)
    double = network.double()
    try:
        with torch.inference_mode():
            wanted = double(image)[0]
            monkeypatch.setattr(hrnet, "PIXELS_A_STRIP", 10 * 20)
            monkeypatch.setattr(hrnet, "REACH", 4)
            found = double(image)[0]
    finally:
        network.float()
    assert float((found - wanted).abs().max()) > 1e-6


def test_branches_hear_of_each_other() -> None:
    torch.manual_seed(0)
    exchange = Exchange((3, 4)).eval()
    fine, coarse = torch.rand(1, 3, 8, 8), torch.rand(1, 4, 4, 4)
    with torch.inference_mode():
        before, after = exchange([fine, coarse]), exchange([fine, coarse + 1])
        finer = exchange([fine + 1, coarse])
    assert not torch.equal(before[0], after[0])
    assert not torch.equal(before[1], finer[1])


def test_training_keeps_the_momentum_of_the_released_one(network: HighResolutionNetwork) -> None:
    assert {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.01}
