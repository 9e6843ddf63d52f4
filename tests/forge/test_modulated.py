"""Resampling, modulation and windows against loops and scipy's convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch import Tensor

from fauxlens.forge.create.nets.masked_windows import PartialConvolution, Stage, WindowBlock, shifted_apart, windows_of
from fauxlens.forge.create.nets.modulated import (
    Convolution,
    FullyConnected,
    ModulatedConvolution,
    ToRgb,
    convolved,
    enlarged,
    fir_filter,
)

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def between_zeros(plane: np.ndarray) -> np.ndarray:
    spread = np.zeros((2 * plane.shape[0], 2 * plane.shape[1]))
    spread[::2, ::2] = plane
    return spread


@torch.no_grad()
def test_enlarging_is_zeros_between_and_a_filter() -> None:
    given = maps(2, 3, 5, 6)
    made = enlarged(given, fir_filter())
    for sample in range(2):
        for channel in range(3):
            padded = np.pad(between_zeros(given[sample, channel].numpy()), ((2, 1), (2, 1)))
            wanted = 4.0 * convolve2d(padded, FIR, mode="valid")
            np.testing.assert_allclose(made[sample, channel].numpy(), wanted, atol=1e-12)
    # A flat plane stays flat away from its border: the gain is one.
    np.testing.assert_allclose(enlarged(torch.ones(1, 1, 6, 6), fir_filter())[0, 0, 2:-2, 2:-2].numpy(), 1.0, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 3])
@torch.no_grad()
def test_a_convolution_upwards_is_zeros_filter_and_a_plain_convolution(kernel: int) -> None:
    given, weight = maps(1, 2, 4, 5), maps(3, 2, kernel, kernel, seed=2)
    made = convolved(given, weight, fir_filter(), up=2)[0].numpy()
    before = kernel // 2 + 2, kernel // 2 + 1
    for out in range(3):
        wanted = sum(
            correlate2d(
                4.0 * convolve2d(np.pad(between_zeros(given[0, channel].numpy()), (before, before)), FIR, mode="valid"),
                weight[out, channel].numpy(),
                mode="valid",
            )
            for channel in range(2)
        )
        np.testing.assert_allclose(made[out], wanted, atol=1e-12)


@torch.no_grad()
def test_a_convolution_downwards_is_a_filter_and_every_second_place() -> None:
    given, weight = maps(1, 2, 8, 6), maps(3, 2, 3, 3, seed=2)
    made = convolved(given, weight, fir_filter(), down=2)[0].numpy()
    for out in range(3):
        wanted = sum(
            correlate2d(
                convolve2d(np.pad(given[0, channel].numpy(), 2), FIR, mode="valid"),
                weight[out, channel].numpy(),
                mode="valid",
            )[::2, ::2]
            for channel in range(2)
        )
        np.testing.assert_allclose(made[out], wanted, atol=1e-12)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
@torch.no_grad()
def test_a_modulated_convolution_is_a_loop_over_samples(up: int, demodulate: bool) -> None:
    layer = ModulatedConvolution(3, 4, 3, 5, up=up, demodulate=demodulate).double()
    given, style = maps(2, 3, 4, 6), maps(2, 5, seed=2)
    made = layer(given, style)
    assert made.shape == (2, 4, 4 * up, 6 * up)
    for sample in range(2):
        scales = layer.affine.weight.numpy() @ style[sample].numpy() / np.sqrt(5) + layer.affine.bias.numpy()
        weight = np.zeros((4, 3, 3, 3))
        for out in range(4):
            for channel in range(3):
                weight[out, channel] = layer.weight[0, out, channel].numpy() / np.sqrt(27) * scales[channel]
            if demodulate:
                weight[out] /= np.sqrt((weight[out] ** 2).sum() + 1e-8)
        wanted = convolved(given[sample : sample + 1], torch.from_numpy(weight), layer.resample_filter.double(), up=up)
        torch.testing.assert_close(made[sample], wanted[0])


@torch.no_grad()
def test_gains_make_fresh_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    values = torch.randn(4000, 64)
    assert abs(float(FullyConnected(64, 64)(values).var()) - 1.0) < 0.1
    assert abs(float(FullyConnected(64, 64, "lrelu").forward(values).square().mean()) - 1.04) < 0.1
    assert abs(float(Convolution(32, 32, activation="linear")(torch.randn(2, 32, 32, 32)).var()) - 1.0) < 0.15
    slow = FullyConnected(64, 64, rate=0.01)
    assert float(slow.weight.std()) > 80
    assert abs(float(slow(values).var()) - 1.0) < 0.1


@torch.no_grad()
def test_a_picture_grows_on_the_picture_below() -> None:
    layer = ToRgb(4, 5).double()
    given, style, below = maps(1, 4, 8, 8), maps(1, 5, seed=2), maps(1, 3, 4, 4, seed=3)
    alone = layer(given, style, None)
    torch.testing.assert_close(layer(given, style, below) - alone, enlarged(below, layer.resample_filter))
    torch.testing.assert_close(layer(given, style, alone), alone + alone)


@pytest.mark.parametrize("down", [1, 2])
@torch.no_grad()
def test_a_partial_convolution_makes_up_for_what_is_unknown(down: int) -> None:
    layer = PartialConvolution(2, 3, down=down).double()
    known = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    known[..., 2:7, 1:6] = 0
    given = maps(1, 2, 8, 8) * known
    made, seen = layer(given, known)
    plain, none = layer(given, None)
    assert none is None
    for y in range(8 // down):
        for x in range(8 // down):
            window = np.pad(known[0, 0].numpy(), 1)[y * down : y * down + 3, x * down : x * down + 3]
            share = 9.0 / window.sum() if window.any() else 0.0
            assert float(seen[0, 0, y, x]) == float(window.any())
            torch.testing.assert_close(made[0, :, y, x], plain[0, :, y, x] * share)


def test_windows_are_rows_of_squares() -> None:
    numbers = torch.arange(64).reshape(1, 8, 8, 1)
    cut = windows_of(numbers, 4)
    assert cut.shape == (4, 16, 1)
    assert cut[1, :5, 0].tolist() == [4, 5, 6, 7, 12]


def test_shifted_windows_keep_strangers_apart() -> None:
    scores = shifted_apart(8, 4, 2)
    assert scores.shape == (4, 16, 16)
    assert not scores[0].any()
    # The last window holds the four corners of the picture.
    corner = (torch.arange(16) // 8) * 2 + (torch.arange(16) % 4) // 2
    assert bool(((scores[3] == 0) == (corner[:, None] == corner[None, :])).all())
    assert set(scores.unique().tolist()) == {-100.0, 0.0}


@torch.no_grad()
def test_an_attention_head_is_its_formula() -> None:
    block = WindowBlock(4, 4, 1, 4, shift=False).double()
    given = maps(1, 4, 4, 4)
    known = torch.zeros(1, 4, 4, 1, dtype=torch.float64)
    known[0, :2, 1:] = 1.0
    tokens, valid = given.reshape(16, 4).numpy(), known.reshape(16).numpy() == 1
    unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)

    def layer(part: FullyConnected, values: np.ndarray) -> np.ndarray:
        out = values @ part.weight.numpy().T / np.sqrt(values.shape[1]) + part.bias.numpy()
        return np.where(out > 0, out, 0.2 * out) * np.sqrt(2) if part.activation == "lrelu" else out

    attention = block.attn
    scores = layer(attention.q, unit) @ layer(attention.k, unit).T / 2.0
    scores[:, ~valid] -= 100.0
    shares = np.exp(scores - scores.max(1, keepdims=True))
    seen = layer(attention.proj, shares / shares.sum(1, keepdims=True) @ layer(attention.v, tokens))
    fused = layer(block.fuse, np.concatenate((tokens, seen), axis=1))
    wanted = layer(block.mlp.fc2, layer(block.mlp.fc1, fused))
    made, after = block(given, known)
    np.testing.assert_allclose(made.reshape(16, 4).numpy(), wanted, atol=1e-10)
    assert bool((after == 1).all())


@torch.no_grad()
def test_a_window_without_anything_known_stays_invalid() -> None:
    known = torch.zeros(1, 8, 8, 1)
    known[0, 0, 0] = 1.0
    _, after = WindowBlock(4, 8, 2, 4, shift=False)(torch.randn(1, 8, 8, 4), known)
    assert after[0, :4, :4].all()
    assert int(after.sum()) == 16
    _, shifted = WindowBlock(4, 8, 2, 4, shift=True)(torch.randn(1, 8, 8, 4), known)
    # Shifted by half a window the corners of the picture share one, so the mask grows round the border.
    assert int(shifted.sum()) == 16
    assert shifted[0, 0, 0] == shifted[0, 7, 7] == 1
    assert shifted[0, 2, 2] == 0


@torch.no_grad()
def test_stages_go_down_and_up() -> None:
    down, up = Stage(4, 8, 16, 2, 4, 2), Stage(4, 16, 8, 2, 4, 1)
    known = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    maps_down, valid = down(torch.randn(1, 4, 16, 16), known)
    assert maps_down.shape == (1, 4, 8, 8)
    assert valid is not None
    assert valid.shape == (1, 1, 8, 8)
    maps_up, nothing = up(maps_down, None)
    assert maps_up.shape == (1, 4, 16, 16)
    assert nothing is None
    assert set(down.state_dict()) - set(up.state_dict()) >= {"downsample.conv.conv.weight", "blocks.1.attn_mask"}
    assert "downsample.conv.weight" in up.state_dict()
