"""LaMa's generator (Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", 2022).

Tensor names are those of the released generator: `model.<place in the chain>....`; places without tensors are empty.
Its 989 tensors and 50.976 million parameters are all accounted for; that the two halves of a block are called `conv1`
and `conv2` was chosen, and no released file was at hand to confirm it.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.forge.create.nets.ffc import Branches, FfcBnAct, FfcResidual, joined

_RIM = 3


class LamaGenerator(nn.Module):
    """(N, 4, H, W), see `lama_input` -> (N, 3, H, W) in [0, 1]; sides are multiples of `divisor`.

    `width` channels at full size, doubled by each of `downsamplings`; `blocks` residual ones at the bottom, where
    `ratio` of the channels is global.
    """

    def __init__(self, width: int = 64, downsamplings: int = 3, blocks: int = 18, ratio: float = 0.75) -> None:
        super().__init__()
        self.divisor = 2**downsamplings
        self.bottom = 1 + downsamplings  # the place of the last way down, which splits the branches
        self.joint = self.bottom + blocks + 1
        chain: list[nn.Module] = [nn.Identity(), FfcBnAct(4, width, 7, padding=0)]
        for level in range(downsamplings):
            channels = width * 2**level
            split = ratio if level == downsamplings - 1 else 0.0
            chain.append(FfcBnAct(channels, 2 * channels, ratio_out=split, stride=2))
        chain += [FfcResidual(width * self.divisor, ratio) for _ in range(blocks)]
        chain.append(nn.Identity())
        for level in reversed(range(downsamplings)):
            channels = width * 2**level
            up = nn.ConvTranspose2d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1)
            chain += [up, nn.BatchNorm2d(channels), nn.ReLU()]
        chain += [nn.Identity(), nn.Conv2d(width, 3, 7)]
        self.model = nn.ModuleList(chain)

    def forward(self, image: Tensor) -> Tensor:
        """The whole frame made anew, also where it is known."""
        branches: Branches = (_reflected(image), None)
        for place in range(1, self.joint):
            branches = self.model[place](branches)
        maps = joined(branches)
        for place in range(self.joint + 1, len(self.model) - 1):
            maps = self.model[place](maps)
        return torch.sigmoid(cast(Tensor, self.model[-1](_reflected(maps))))


def lama_input(image: Tensor, hole: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] and (N, 1, H, W), 1 = hole, 0 = known -> (N, 4, H, W): what is known, and the hole."""
    return torch.cat((image * (1.0 - hole), hole), dim=1)


def _reflected(maps: Tensor) -> Tensor:
    return F.pad(maps, (_RIM,) * 4, mode="reflect")
