"""ResNet trunks, with the strides, dilations and stems that the detectors ask for, under torchvision's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ResNet-18 and -34."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = self.bn2(self.conv2(inner))
        return F.relu(inner + (maps if self.downsample is None else self.downsample(maps)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries stride and dilation), 1x1 and a shortcut; ResNet-50 and deeper."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(channels, width * self.expansion, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (maps if self.downsample is None else self.downsample(maps)))


Block = BasicBlock | Bottleneck


def residual_layer(
    block: type[Block], channels: int, width: int, depth: int, stride: int = 1, dilations: Sequence[int] | None = None
) -> nn.Sequential:
    """One `layerK`: `depth` blocks, the first with the stride; `dilations` one a block (all 1 by default)."""
    dilations = dilations or (1,) * depth
    blocks: list[nn.Module] = []
    for number, dilation in enumerate(dilations):
        entering = channels if number == 0 else width * block.expansion
        blocks.append(block(entering, width, stride if number == 0 else 1, dilation))
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """A residual trunk: stem, then as many layers as `depths` has entries, then (with `classes`) a linear head `fc`.

    `stem_stride` and `pool_stride` 1 make the "no-down" trunk of Grag2021; `last_stride` 1 with `last_dilations` makes
    MVSS-Net's. The stem is a 7x7 convolution to 64 channels; with `stem_kernel` 3 it is a 3x3 one.
    """

    def __init__(
        self,
        block: type[Block] = Bottleneck,
        depths: Sequence[int] = (3, 4, 6, 3),
        classes: int | None = 1,
        *,
        in_channels: int = 3,
        stem_kernel: int = 7,
        stem_stride: int = 2,
        pool_stride: int = 2,
        last_stride: int = 2,
        last_dilations: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, stem_kernel, stem_stride, stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, pool_stride, 1)
        channels = 64
        for number, depth in enumerate(depths):
            width = 64 * 2**number
            last = number == 3
            stride = 1 if number == 0 else (last_stride if last else 2)
            layer = residual_layer(block, channels, width, depth, stride, last_dilations if last else None)
            setattr(self, f"layer{number + 1}", layer)
            channels = width * block.expansion
        self.is_wide = block is Bottleneck
        self.levels = len(depths)
        self.channels = channels
        self.fc = nn.Linear(channels, classes) if classes else None
        self.apply(_initialise)

    def stem(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 64, ...) before the pooling."""
        if self.is_wide:
            # Channels last, which all layers then keep: a quarter less time on a processor. Basic blocks gain nothing.
            image = image.contiguous(memory_format=torch.channels_last)
        return F.relu(self.bn1(self.conv1(image)))

    def maps(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the output of each layer, finest first."""
        found = []
        inner = self.pool(self.stem(image))
        for level in range(1, self.levels + 1):
            inner = getattr(self, f"layer{level}")(inner)
            found.append(inner)
        return found

    def pooled(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels): the mean of the last layer over the picture."""
        return self.maps(image)[-1].mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        head = cast(nn.Linear, self.fc)
        return head(self.pooled(image))  # type: ignore[no-any-return]


def _shortcut(channels: int, wanted: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == wanted:
        return None
    return nn.Sequential(nn.Conv2d(channels, wanted, 1, stride, bias=False), nn.BatchNorm2d(wanted))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
