"""Fast Fourier convolutions: a local branch of plain convolutions beside a global one that works on the spectrum.

After Chi, Jiang and Mu, "Fast Fourier Convolution" (2020), in the form that LaMa (Suvorov et al., 2022) gave it: no
local Fourier unit, convolutions without bias, reflected borders. Tensor names are those of LaMa's released generator.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Branches: TypeAlias = tuple[Tensor, Tensor | None]
"""(local, global) maps of one size; there may be no global ones."""


class FourierUnit(nn.Module):
    """(N, C, H, W) -> (N, out, H, W): a 1x1 convolution, normalisation and ReLU of the spectrum, and back."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels_out, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """The picture-wide mixture of `maps`."""
        count, channels, height, width = maps.shape
        # There is no transform of half-precision numbers on a processor, and on a card only for powers of two.
        exact = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
        spectrum = torch.view_as_real(torch.fft.rfft2(exact, norm="ortho"))
        # Real and imaginary part are neighbouring channels: r0, i0, r1, i1, ...
        parts = spectrum.permute(0, 1, 4, 2, 3).reshape(count, 2 * channels, height, -1)
        parts = F.relu(self.bn(self.conv_layer(parts))).to(exact.dtype)
        pairs = parts.reshape(count, -1, 2, height, parts.shape[-1]).permute(0, 1, 3, 4, 2)
        back = torch.fft.irfft2(torch.view_as_complex(pairs.contiguous()), s=(height, width), norm="ortho")
        mixed: Tensor = back.to(maps.dtype)
        return mixed


class SpectralTransform(nn.Module):
    """(N, C, H, W) -> (N, out, H / stride, W / stride): a narrow 1x1, a Fourier unit with a shortcut, a wide 1x1."""

    def __init__(self, channels: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        half = channels_out // 2
        self.downsample = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv1 = nn.Sequential(nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half, half)
        self.conv2 = nn.Conv2d(half, channels_out, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """What every place of the output knows of the whole picture."""
        inner = self.conv1(self.downsample(maps))
        outer: Tensor = self.conv2(inner + self.fu(inner))
        return outer


class FastFourierConvolution(nn.Module):
    """A convolution of split maps. `ratio_in` and `ratio_out` are the global shares of the channels, rounded down."""

    def __init__(
        self,
        channels: int,
        channels_out: int,
        kernel: int = 3,
        *,
        ratio_in: float = 0.0,
        ratio_out: float = 0.0,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        super().__init__()
        global_in, global_out = int(channels * ratio_in), int(channels_out * ratio_out)
        local_in, local_out = channels - global_in, channels_out - global_out
        self.padding = padding
        self.convl2l = _plain(local_in, local_out, kernel, stride)
        self.convl2g = _plain(local_in, global_out, kernel, stride)
        self.convg2l = _plain(global_in, local_out, kernel, stride)
        self.convg2g = SpectralTransform(global_in, global_out, stride) if global_in and global_out else None

    def forward(self, branches: Branches) -> Branches:
        """Each outgoing branch is the sum of what both incoming ones say of it."""
        local, spread = branches
        near = F.pad(local, (self.padding,) * 4, mode="reflect") if self.padding else local
        to_local = None if self.convl2l is None else self.convl2l(near)
        to_global = None if self.convl2g is None else self.convl2g(near)
        if spread is not None:
            if self.convg2l is not None:
                far = F.pad(spread, (self.padding,) * 4, mode="reflect") if self.padding else spread
                to_local = _sum(to_local, self.convg2l(far))
            if self.convg2g is not None:
                to_global = _sum(to_global, self.convg2g(spread))
        if to_local is None:
            raise RuntimeError("a fast Fourier convolution keeps at least one local channel")
        return to_local, to_global


class FfcBnAct(nn.Module):
    """A fast Fourier convolution; batch normalisation and ReLU of each branch."""

    def __init__(
        self,
        channels: int,
        channels_out: int,
        kernel: int = 3,
        *,
        ratio_in: float = 0.0,
        ratio_out: float = 0.0,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        super().__init__()
        self.ffc = FastFourierConvolution(
            channels, channels_out, kernel, ratio_in=ratio_in, ratio_out=ratio_out, stride=stride, padding=padding
        )
        global_out = int(channels_out * ratio_out)
        self.bn_l = nn.BatchNorm2d(channels_out - global_out)
        self.bn_g = nn.BatchNorm2d(global_out) if global_out else None

    def forward(self, branches: Branches) -> Branches:
        """(local, global) -> (local, global), no value below zero."""
        local, spread = self.ffc(branches)
        return F.relu(self.bn_l(local)), None if spread is None or self.bn_g is None else F.relu(self.bn_g(spread))


class FfcResidual(nn.Module):
    """Two of them around a shortcut, branch by branch; `channels` and the global share `ratio` stay."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        self.conv1 = FfcBnAct(channels, channels, ratio_in=ratio, ratio_out=ratio)
        self.conv2 = FfcBnAct(channels, channels, ratio_in=ratio, ratio_out=ratio)

    def forward(self, branches: Branches) -> Branches:
        """(local, global) -> (local, global) of the same shapes."""
        local, spread = branches
        inner_local, inner_spread = self.conv2(self.conv1(branches))
        return local + inner_local, spread if inner_spread is None else _sum(spread, inner_spread)


def joined(branches: Branches) -> Tensor:
    """One tensor of both branches, local channels first."""
    local, spread = branches
    return local if spread is None else torch.cat((local, spread), dim=1)


def _plain(channels: int, channels_out: int, kernel: int, stride: int) -> nn.Conv2d | None:
    # Without padding of its own: the borders of a branch are reflected once for both convolutions that read it.
    return nn.Conv2d(channels, channels_out, kernel, stride, bias=False) if channels and channels_out else None


def _sum(one: Tensor | None, other: Tensor) -> Tensor:
    return other if one is None else one + other
