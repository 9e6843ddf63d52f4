"""Layers whose weights a style scales, and resampling by a short filter, as StyleGAN2 has them (Karras et al., 2020).

Weights are drawn from a unit normal and scaled where they are used. Resampling by two is a filter with taps 1, 3, 3, 1:
on the way down before the convolution, on the way up between inserted zeros and the convolution. Everything is said in
torch's own operations; the compiled ones of the paper's code only make it faster.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["lrelu", "linear"]

SLOPE = 0.2
GAIN = 2.0**0.5


def fir_filter() -> Tensor:
    """(4, 4) that sums to one: the outer product of 1, 3, 3, 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    square = torch.outer(taps, taps)
    return square / square.sum()


def activated(values: Tensor, kind: Activation) -> Tensor:
    """Leaky ReLU that keeps the variance, or nothing."""
    return F.leaky_relu(values, SLOPE) * GAIN if kind == "lrelu" else values


def filtered(maps: Tensor, fir: Tensor, pad: int) -> Tensor:
    """(N, C, H, W) with `pad` zeros on every side -> (N, C, H + 2 pad - 3, W + 2 pad - 3), every channel filtered."""
    channels = maps.shape[1]
    return F.conv2d(maps, fir.to(maps.dtype).expand(channels, 1, 4, 4), padding=pad, groups=channels)


def enlarged(maps: Tensor, fir: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W): zeros between the values, then the filter, four times as strong."""
    channels = maps.shape[1]
    kernel = (4.0 * fir).to(maps.dtype).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(maps, kernel, stride=2, padding=1, groups=channels)


def convolved(maps: Tensor, weight: Tensor, fir: Tensor, *, up: int = 1, down: int = 1, groups: int = 1) -> Tensor:
    """A convolution (torch's, so a correlation) by (out, in, k, k) that keeps, doubles or halves the size; k is odd."""
    kernel = weight.shape[-1]
    if up == 2:
        # The filter and the convolution commute, so the convolution is done on the small maps: a quarter of the work.
        # Transposed it turns its weights round, hence the flip; and its weights are (in, out), group by group.
        turned = weight.flip((2, 3)).reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        return 4.0 * filtered(F.conv_transpose2d(maps, turned, stride=2, groups=groups), fir, pad=2 - kernel // 2)
    if down == 2:
        return F.conv2d(filtered(maps, fir, pad=kernel // 2 + 1), weight, stride=2, groups=groups)
    return F.conv2d(maps, weight, padding=kernel // 2, groups=groups)


class FullyConnected(nn.Module):
    """(..., in) -> (..., out). `rate` scales how fast the layer learns, and its weights are stored divided by it."""

    def __init__(
        self, channels: int, channels_out: int, activation: Activation = "linear", rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels) / rate)
        self.bias = nn.Parameter(torch.full((channels_out,), bias))
        self.activation: Activation = activation
        self.weight_gain = rate / channels**0.5
        self.bias_gain = rate

    def forward(self, values: Tensor) -> Tensor:
        """A linear map and the activation."""
        return activated(F.linear(values, self.weight * self.weight_gain, self.bias * self.bias_gain), self.activation)


class Convolution(nn.Module):
    """A convolution with bias and activation that may double (`up` 2) or halve (`down` 2) the size."""

    resample_filter: Tensor

    def __init__(
        self,
        channels: int,
        channels_out: int,
        kernel: int = 3,
        *,
        up: int = 1,
        down: int = 1,
        activation: Activation = "lrelu",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.register_buffer("resample_filter", fir_filter())
        self.up, self.down = up, down
        self.activation: Activation = activation
        self.weight_gain = (channels * kernel**2) ** -0.5

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out, H up / down, W up / down)."""
        made = convolved(maps, self.weight * self.weight_gain, self.resample_filter, up=self.up, down=self.down)
        return activated(made + self.bias[:, None, None], self.activation)


class ModulatedConvolution(nn.Module):
    """A convolution whose weights the style scales channel by channel, each sample its own.

    `demodulate` then brings every output channel's weights back to unit length. There is no bias and no activation.
    """

    resample_filter: Tensor

    def __init__(
        self, channels: int, channels_out: int, kernel: int, style: int, *, up: int = 1, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels_out, channels, kernel, kernel))
        self.affine = FullyConnected(style, channels, bias=1.0)
        self.register_buffer("resample_filter", fir_filter())
        self.up = up
        self.demodulate = demodulate
        self.weight_gain = (channels * kernel**2) ** -0.5

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W), (N, style) -> (N, out, H up, W up)."""
        count = len(maps)
        weight = self.weight * self.weight_gain * self.affine(style)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        # One group a sample: the batch lies in the channels while its weights differ.
        folded = maps.reshape(1, -1, *maps.shape[2:])
        made = convolved(folded, weight.flatten(0, 1), self.resample_filter, up=self.up, groups=count)
        return made.reshape(count, -1, *made.shape[2:])


class StyledConvolution(nn.Module):
    """A modulated convolution with bias and activation."""

    def __init__(self, channels: int, channels_out: int, style: int, *, up: int = 1) -> None:
        super().__init__()
        self.conv = ModulatedConvolution(channels, channels_out, 3, style, up=up)
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W), (N, style) -> (N, out, H up, W up)."""
        return activated(self.conv(maps, style) + self.bias[:, None, None], "lrelu")


class ToRgb(nn.Module):
    """Maps to a picture, added to the enlarged picture of the level below."""

    resample_filter: Tensor

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConvolution(channels, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, maps: Tensor, style: Tensor, below: Tensor | None) -> Tensor:
        """(N, C, H, W), (N, style), (N, 3, H or H / 2, ...) -> (N, 3, H, W)."""
        made: Tensor = self.conv(maps, style) + self.bias[:, None, None]
        if below is None:
            return made
        return made + (below if below.shape == made.shape else enlarged(below, self.resample_filter))
