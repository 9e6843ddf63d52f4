"""Winograd's convolution gives what the plain one gives, and the noise extractor made of it what its layers give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fauxlens.nn import noiseprint, winograd
from fauxlens.nn.noiseprint import NoiseExtractor


@pytest.fixture
def network() -> NoiseExtractor:
    """Weights that keep the size of what goes through, and batch norms that do something."""
    torch.manual_seed(0)
    network = NoiseExtractor(depth=7, width=8).eval()
    for layer in network:
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.normal_(0, (2.0 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.1)
    return network


@pytest.mark.parametrize("width", [1, 2, 7])
@pytest.mark.parametrize("in_place", [False, True])
def test_it_is_the_plain_convolution_in_double_precision(width: int, in_place: bool) -> None:
    torch.manual_seed(0)
    tiles, channels = 3, 5
    rows = torch.randn(2 + tiles * winograd.TILE, width, channels, dtype=torch.float64)
    weight, bias = (
        torch.randn(channels, channels, 3, 3, dtype=torch.float64),
        torch.randn(channels, dtype=torch.float64),
    )
    # The map from its third row on, by phases, behind a tile of which only the last two rows count.
    behind = torch.cat((rows.new_full((2, width, channels), float("nan")), rows))
    phases = behind.unflatten(0, (tiles + 1, winograd.TILE)).transpose(0, 1).contiguous()
    before, here = phases[:, :-1], phases[:, 1:]
    out = here if in_place else torch.empty_like(here)
    room = rows.new_empty(winograd.ROOM, tiles, width, channels)
    winograd.convolved(before, here, winograd.split(weight, bias), room, out)
    plain = F.conv2d(rows.permute(2, 0, 1)[None], weight, bias, padding=(0, 1))[0].permute(1, 2, 0)
    torch.testing.assert_close(out.transpose(0, 1).flatten(0, 1), plain, rtol=1e-12, atol=1e-12)


def test_it_does_without_a_bias_and_may_change_the_number_of_channels() -> None:
    torch.manual_seed(0)
    rows, weight = torch.randn(6, 4, 3, dtype=torch.float64), torch.randn(2, 3, 3, 3, dtype=torch.float64)
    behind = torch.cat((rows.new_zeros(2, 4, 3), rows))
    phases = behind.unflatten(0, (2, winograd.TILE)).transpose(0, 1).contiguous()
    out, room = rows.new_empty(4, 1, 4, 2), rows.new_empty(winograd.ROOM, 1, 4, 3)
    winograd.convolved(phases[:, :-1], phases[:, 1:], winograd.split(weight, None), room, out)
    plain = F.conv2d(rows.permute(2, 0, 1)[None], weight, padding=(0, 1))[0].permute(1, 2, 0)
    torch.testing.assert_close(out[:, 0], plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(3, 50), (17, 23), (40, 31), (64, 16), (101, 5), (50, 1)])
def test_the_extractor_agrees_with_its_layers_at_odd_sizes(
    network: NoiseExtractor, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 2)
    monkeypatch.setattr(NoiseExtractor, "winograd_from", 1)
    monkeypatch.setattr(noiseprint, "WINOGRAD_PIXELS", 16 * width)
    image = torch.rand(1, 3, height, width)
    with torch.inference_mode():
        found = network(image)
        exact = torch.nn.Sequential(*network).double()(image.double())
    assert found.shape == (1, 1, height, width)
    assert float((found - exact).abs().max()) < 5e-6


@pytest.mark.parametrize(
    ("height", "width"), [(512, 272), (640, 640), (768, 1024), (96, 1024), (64, 5000), (3, 30000), (1, 70000)]
)
def test_strips_of_the_real_size_may_lie_outside_the_picture(height: int, width: int) -> None:
    """Seventeen layers lag further behind than a strip of a wide picture is high."""
    torch.manual_seed(0)
    network, image = NoiseExtractor(width=2).eval(), torch.rand(1, 3, height, width)
    with torch.inference_mode():
        found = network(image)
        exact = torch.nn.Sequential(*network).double()(image.double())
    assert float((found - exact).abs().max()) < 1e-6 * float(exact.abs().max())


def test_one_strip_may_hold_it_all(network: NoiseExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 21, 9)
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 2)
    with torch.inference_mode():
        strips = network(image)
        monkeypatch.setattr(NoiseExtractor, "winograd_from", 1)
        torch.testing.assert_close(network(image), strips, rtol=1e-5, atol=5e-6)


def test_a_picture_gives_the_same_bits_alone_and_in_a_batch(
    network: NoiseExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    plain = NoiseExtractor._by_winograd
    monkeypatch.setattr(NoiseExtractor, "_by_winograd", lambda self, image: made.append(1) or plain(self, image))
    images = torch.rand(2, 3, 256, 257)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        network(images[..., :256])  # where recorded numbers ask for the plain way
        network.double()(images.double())
    assert len(made) == 4
    assert torch.equal(together, alone)


@pytest.mark.parametrize("learning", ["weights", "picture"])
def test_a_graph_needs_the_plain_layers(
    network: NoiseExtractor, learning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoiseExtractor, "winograd_from", 1)
    network.requires_grad_(learning == "weights")
    monkeypatch.setitem(noiseprint.STRIP_PIXELS, "cpu", 20)
    image = torch.rand(1, 3, 40, 20, requires_grad=learning == "picture")
    network(image).sum().backward()
    assert (image.grad if learning == "picture" else network[0].weight.grad) is not None
