"""A high-resolution network: branches at falling resolutions that run side by side and exchange what they see.

As PSCC-Net uses it: the stem keeps the full resolution, so the four branches are at 1, 1/2, 1/4 and 1/8 of the input.
Parameter names are those of the released HRNet files.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.nn.resnet import BasicBlock, Bottleneck, residual_layer

STEM = 64
MOMENTUM = 0.01
"""Of the batch norms, for training."""

PIXELS_A_STRIP = 2**17
"""The wide first layers are run on strips of about this many pixels where no graph is kept."""

REACH = 6
"""Rows above and below that a strip sees: at least the five 3x3 convolutions on the way, and even."""


class Exchange(nn.Module):
    """Two basic blocks on each branch, then each branch gets the sum of all, brought to its own size and width."""

    def __init__(self, widths: tuple[int, ...], depth: int = 2) -> None:
        super().__init__()
        self.branches = nn.ModuleList(residual_layer(BasicBlock, width, width, depth) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, start, end) for start in range(len(widths))) for end in range(len(widths))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One (N, C, h, w) a branch -> the same shapes."""
        inner = [branch(one) for branch, one in zip(self.branches, maps, strict=True)]
        found = []
        for end, paths in enumerate(self.fuse_layers):
            total = inner[end]
            for start, path in enumerate(cast(nn.ModuleList, paths)):
                if start == end:
                    continue
                told = path(inner[start])
                if start > end:
                    told = F.interpolate(told, size=total.shape[-2:], mode="bilinear", align_corners=True)
                total = total + told
            found.append(F.relu(total))
        return found


class HighResolutionNetwork(nn.Module):
    """(N, 3, H, W) -> (N, widths[i], H / 2^i, W / 2^i), finest first; odd sides are rounded up."""

    def __init__(self, widths: tuple[int, ...] = (18, 36, 72, 144)) -> None:
        super().__init__()
        self.levels = len(widths)
        self.conv1 = nn.Conv2d(3, STEM, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.conv2 = nn.Conv2d(STEM, STEM, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM)
        self.layer1 = residual_layer(Bottleneck, STEM, STEM, 2)
        entering = STEM * Bottleneck.expansion
        for level in range(1, self.levels):
            # A new branch always grows out of the coarsest one; the others go on as they are, except at the start.
            grown = nn.Sequential(_convolution(entering, widths[level], 2, rectified=True))
            kept: list[nn.Module] = [nn.Identity() for _ in range(level)]
            if level == 1:
                kept = [_convolution(entering, widths[0], 1, rectified=True)]
            setattr(self, f"transition{level}", nn.ModuleList([*kept, grown]))
            setattr(self, f"stage{level + 1}", nn.Sequential(Exchange(widths[: level + 1])))
            entering = widths[level]
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one map a branch, finest first."""
        maps = self._begun(image)
        for level in range(1, self.levels):
            maps = getattr(self, f"stage{level + 1}")(maps)
            if level + 1 < self.levels:
                steps = getattr(self, f"transition{level + 1}")
                maps = [*maps, steps[level + 1](maps[-1])]
        return maps

    def _begun(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the first two branches before they meet.

        The 256 channels at full resolution on the way there take more memory than all the rest. In evaluation they are
        made strip by strip, each with as many neighbouring rows as it depends on: the same numbers.
        """
        height, width = image.shape[-2:]
        rows = max(2, PIXELS_A_STRIP // (image.shape[0] * width) // 2 * 2)
        if torch.is_grad_enabled() or self.training or rows >= height:
            return self._widened(image)
        strips = []
        for top in range(0, height, rows):
            first, end = max(0, top - REACH), min(height, top + rows)
            seen = self._widened(image[..., first : end + REACH, :])
            # The coarser branch has a row for each two, and starts on the same, even one.
            kept = ((top - first, end - first), ((top - first) // 2, (end - first + 1) // 2))
            strips.append([one[..., at:to, :] for one, (at, to) in zip(seen, kept, strict=True)])
        return [torch.cat(parts, dim=-2) for parts in zip(*strips, strict=True)]

    def _widened(self, image: Tensor) -> list[Tensor]:
        stem = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(image))))))
        wide = self.layer1(stem)
        return [step(wide) for step in cast(nn.ModuleList, self.transition1)]


def _path(widths: tuple[int, ...], start: int, end: int) -> nn.Module:
    """From one branch to another: a projection upwards, one strided convolution a level downwards."""
    if start == end:
        return nn.Identity()
    if start > end:
        return nn.Sequential(nn.Conv2d(widths[start], widths[end], 1, bias=False), nn.BatchNorm2d(widths[end]))
    # Only the last step changes the width, and only the others are rectified.
    steps = [_convolution(widths[start], widths[start], 2, rectified=True) for _ in range(end - start - 1)]
    return nn.Sequential(*steps, _convolution(widths[start], widths[end], 2, rectified=False))


def _convolution(channels: int, width: int, stride: int, *, rectified: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, *([nn.ReLU()] if rectified else []))
