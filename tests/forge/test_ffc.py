"""Fast Fourier convolutions against their formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torch import Tensor, nn

from fauxlens.forge.create.nets.ffc import (
    FastFourierConvolution,
    FfcBnAct,
    FfcResidual,
    FourierUnit,
    SpectralTransform,
    joined,
)


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every tensor drawn, the statistics of normalisation too; ready to be asked."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            fresh = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(fresh.abs() + 0.5 if name.endswith("running_var") else fresh)
    return network.double().eval()


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normalised(values: np.ndarray, layer: nn.BatchNorm2d) -> np.ndarray:
    mean, variance, scale, shift = (
        given.detach().numpy()[:, None, None]
        for given in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (values - mean) / np.sqrt(variance + layer.eps) * scale + shift


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
@torch.no_grad()
def test_the_fourier_unit_is_its_formula(size: tuple[int, int]) -> None:
    unit = drawn(FourierUnit(3, 2))
    given = maps(2, 3, *size)
    made = unit(given).numpy()
    for sample in range(2):
        spectrum = np.fft.rfft2(given[sample].numpy(), norm="ortho")
        parts = np.empty((6, *spectrum.shape[1:]))
        parts[0::2], parts[1::2] = spectrum.real, spectrum.imag
        weight = unit.conv_layer.weight[:, :, 0, 0].numpy()
        mixture = np.maximum(normalised(np.einsum("oi,ihw->ohw", weight, parts), unit.bn), 0.0)
        wanted = np.fft.irfft2(mixture[0::2] + 1j * mixture[1::2], s=size, norm="ortho")
        np.testing.assert_allclose(made[sample], wanted, atol=1e-10)


@torch.no_grad()
def test_one_pixel_reaches_every_place_through_the_spectrum_and_a_few_without_it() -> None:
    block = drawn(FfcBnAct(8, 8, ratio_in=0.5, ratio_out=0.5))
    given = (maps(1, 4, 16, 16), maps(1, 4, 16, 16, seed=2))
    local, spread = block.ffc(given)
    touched = given[0].clone()
    touched[0, :, 3, 3] += 1.0
    changed, _ = block.ffc((touched, given[1]))
    assert int(((changed - local).abs().sum(1) > 1e-9).sum()) == 9
    far = given[1].clone()
    far[0, :, 3, 3] += 1.0
    _, everywhere = block.ffc((given[0], far))
    assert bool(((everywhere - spread).abs().sum(1) > 1e-9).all())


@torch.no_grad()
def test_the_spectral_transform_keeps_a_shortcut_round_its_unit() -> None:
    transform = drawn(SpectralTransform(6, 8))
    given = maps(1, 6, 4, 6)
    weight = transform.conv1[0].weight[:, :, 0, 0].numpy()
    inner = np.maximum(normalised(np.einsum("oi,ihw->ohw", weight, given[0].numpy()), transform.conv1[1]), 0.0)
    both = inner + transform.fu(torch.from_numpy(inner)[None])[0].numpy()
    wanted = np.einsum("oi,ihw->ohw", transform.conv2.weight[:, :, 0, 0].numpy(), both)
    np.testing.assert_allclose(transform(given)[0].numpy(), wanted, atol=1e-10)


@torch.no_grad()
def test_each_branch_is_the_sum_of_what_both_say_of_it() -> None:
    layer = drawn(FastFourierConvolution(4, 8, ratio_in=0.5, ratio_out=0.75))
    local, spread = maps(1, 2, 5, 6), maps(1, 2, 5, 6, seed=2)
    made_local, made_spread = layer((local, spread))
    wanted_local = plainly(local, layer.convl2l) + plainly(spread, layer.convg2l)
    wanted_spread = plainly(local, layer.convl2g) + layer.convg2g(spread)[0].numpy()
    np.testing.assert_allclose(made_local[0].numpy(), wanted_local, atol=1e-10)
    np.testing.assert_allclose(made_spread[0].numpy(), wanted_spread, atol=1e-10)
    assert joined((made_local, made_spread)).shape == (1, 8, 5, 6)


def plainly(given: Tensor, layer: nn.Conv2d) -> np.ndarray:
    padded = np.pad(given[0].numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    return np.stack([correlate(padded, kernel, mode="valid")[0] for kernel in layer.weight.detach().numpy()])


@torch.no_grad()
def test_a_stride_halves_both_branches_and_no_ratio_leaves_one() -> None:
    halved = drawn(FfcBnAct(8, 16, ratio_in=0.5, ratio_out=0.5, stride=2))((maps(1, 4, 8, 8), maps(1, 4, 8, 8)))
    assert [tuple(branch.shape) for branch in halved] == [(1, 8, 4, 4), (1, 8, 4, 4)]
    alone, nothing = drawn(FfcBnAct(3, 5))((maps(1, 3, 8, 8), None))
    assert alone.shape == (1, 5, 8, 8)
    assert nothing is None
    residual = drawn(FfcResidual(8, 0.5))
    given = (maps(1, 4, 8, 8), maps(1, 4, 8, 8, seed=2))
    inner = residual.conv2(residual.conv1(given))
    for made, before, added in zip(residual(given), given, inner, strict=True):
        torch.testing.assert_close(made, before + added)
