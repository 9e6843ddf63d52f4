"""The small inpainter of our own: a narrow LaMa on top of a smooth fill, so that it need only learn what is not smooth.

After Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions" (2022), with a quarter
of its channels and less than a third of its blocks. The hole is first filled from a pyramid of means of what is known
(Gortler et al., The Lumigraph, 1996), and the network adds to that: a good start for a short training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.nets.ffc import Branches, FfcBnAct, FfcResidual, joined

DIVISOR = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedShape:
    """How wide and deep it is."""

    channels: int = 16  # after the first layer; eight times as many in the blocks
    blocks: int = 5
    global_share: float = 0.75

    def __post_init__(self) -> None:
        if not 2 <= self.channels <= 64 or not 1 <= self.blocks <= 18:
            raise BadSetting(
                "a network of this shape is not ours",
                wanted="2 to 64 channels, 1 to 18 blocks",
                got=f"{self.channels}, {self.blocks}",
            )
        if not 0.0 < self.global_share < 1.0:
            raise BadSetting("global_share is out of range", wanted="above 0, below 1", got=self.global_share)


class LearnedNetwork(nn.Module):
    """(N, 3, H, W) in 0..1 and holes (N, 1, H, W), 1 where something is missing -> whole frames (N, 3, H, W).

    Sides are multiples of 8, at least 16. Nothing that lies in a hole can reach the output.
    """

    def __init__(self, shape: LearnedShape) -> None:
        super().__init__()
        width, share = shape.channels, shape.global_share
        self.first = nn.Sequential(nn.ReflectionPad2d(3), FirstLayer(4, width))
        self.down = nn.ModuleList(
            [
                FfcBnAct(width, 2 * width, stride=2),
                FfcBnAct(2 * width, 4 * width, stride=2),
                FfcBnAct(4 * width, 8 * width, stride=2, ratio_out=share),
            ]
        )
        self.blocks = nn.ModuleList(FfcResidual(8 * width, share) for _ in range(shape.blocks))
        self.up = nn.ModuleList(_enlarge(width << level, width << (level - 1)) for level in (3, 2, 1))
        final = nn.Conv2d(width, 3, 7)
        # It starts near the smooth fill, not amid noise, which would be unlearnt first and the layers before with it.
        with torch.no_grad():
            final.weight.mul_(0.1)
        self.last = nn.Sequential(nn.ReflectionPad2d(3), final)

    def forward(self, pictures: Tensor, holes: Tensor) -> Tensor:
        """What is known as it is; in the holes the smooth fill and what is added to it, here and there outside 0..1."""
        with torch.no_grad():
            base = self.base(pictures, holes)
        branches: Branches = (self.first(torch.cat((2.0 * base - 1.0, holes), dim=1)), None)
        passed = []
        for layer in self.down:
            passed.append(branches[0])
            branches = layer(branches)
        for block in self.blocks:
            branches = block(branches)
        maps = joined(branches)
        for layer, finer in zip(self.up, reversed(passed), strict=True):
            # Unlike LaMa's, it is shown again what it saw on the way down: a short training does not learn to keep it.
            maps = layer(maps) + finer
        added: Tensor = self.last(maps)
        return base + holes * added

    @staticmethod
    def base(pictures: Tensor, holes: Tensor) -> Tensor:
        """What is known, and in the holes means of what is known nearby, the wider the further in."""
        known = 1.0 - holes
        return torch.where(holes > 0, _pulled(pictures * known, known), pictures)


class FirstLayer(nn.Module):
    """A 7x7 convolution with normalisation and ReLU, on a frame that is padded already."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels_out, 7, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Six pixels narrower, six lower."""
        return F.relu(self.norm(self.convolution(maps)))


def _enlarge(channels: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, channels_out, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        # With a plain ReLU most of the way up dies in the first minutes, when adding nothing is the best there is.
        nn.LeakyReLU(0.2),
    )


def _pulled(summed: Tensor, weight: Tensor) -> Tensor:
    """`summed` is the picture times `weight`; where the weight is short of 1 the coarser level makes up for it."""
    mean = summed / weight.clamp_min(1e-6)
    if max(weight.shape[-2:]) == 1:
        return mean
    # One known pixel of four is enough to go by.
    coarse_sum = F.avg_pool2d(summed, 2, ceil_mode=True, count_include_pad=False)
    coarse_weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    full = (4.0 * coarse_weight).clamp_max(1.0)
    coarse_mean = coarse_sum / coarse_weight.clamp_min(1e-6)
    below = F.interpolate(_pulled(coarse_mean * full, full), summed.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(below, mean, weight)
