"""Xception's trunk: depthwise separable convolutions with shortcuts, under the names of its usual PyTorch port."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 728, *(728,) * 8, 1024)
"""Channels before the first block and after each of the twelve."""


class SeparableConvolution(nn.Module):
    """A 3x3 convolution of each channel alone, then one over channels."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, wanted, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, wanted, H, W)."""
        return self.pointwise(self.conv1(maps))  # type: ignore[no-any-return]


class XceptionBlock(nn.Module):
    """Separable convolutions, each after a ReLU and before a batch norm; with a stride, a max pool ends them.

    `widths` are the channels before, between and after. The first block of all begins without a ReLU.
    """

    def __init__(self, widths: Sequence[int], stride: int, *, first_relu: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (channels, wanted) in enumerate(pairwise(widths)):
            if number > 0 or first_relu:
                layers.append(nn.ReLU())
            layers += [SeparableConvolution(channels, wanted), nn.BatchNorm2d(wanted)]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*layers)
        self.skip: nn.Module | None = None
        if stride > 1 or widths[0] != widths[-1]:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, widths[-1], H / stride, W / stride)."""
        shortcut = maps if self.skip is None else self.skipbn(self.skip(maps))
        return self.rep(maps) + shortcut  # type: ignore[no-any-return]


class Xception(nn.Module):
    """The trunk without a head, in three parts so that a network may look in between: (N, C, H, W) -> (N, 2048).

    `stem_stride` 1 starts at full size.
    """

    def __init__(self, in_channels: int = 3, *, stem_stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3, stem_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, WIDTHS[0], 3, bias=False)
        self.bn2 = nn.BatchNorm2d(WIDTHS[0])
        for number, (channels, wanted) in enumerate(pairwise(WIDTHS), 1):
            if number <= 3:
                block = XceptionBlock((channels, wanted, wanted), 2, first_relu=number > 1)
            elif number <= 11:
                block = XceptionBlock((channels, wanted, wanted, wanted), 1)
            else:
                block = XceptionBlock((channels, channels, wanted), 2)
            setattr(self, f"block{number}", block)
        self.conv3 = SeparableConvolution(WIDTHS[-1], 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.conv4 = SeparableConvolution(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048)

    def stem(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> what the first block sees."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(image))))))

    def blocks(self, maps: Tensor, first: int, last: int) -> Tensor:
        """Blocks `first` to `last`, counted from 1, both included."""
        for number in range(first, last + 1):
            maps = getattr(self, f"block{number}")(maps)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """What the last block gives -> (N, 2048)."""
        maps = F.relu(self.bn4(self.conv4(F.relu(self.bn3(self.conv3(maps))))))
        return maps.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2048)."""
        return self.pooled(self.blocks(self.stem(image), 1, 12))
