"""Features of several levels to one map: each projected and weighted by a learnt vector, all summed, projected."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightedDecoder(nn.Module):
    """NFA-ViT's decoder: (N, dim_i, h_i, w_i) features, finest first -> map logits (N, 1, h_1, w_1).

    Parameters are `gamma1..`, `conv_layer1..`, `norm`, `conv_last`. A level is projected at its own size with its gamma
    folded into the projection, and only the result is enlarged: a 1x1 convolution and bilinear enlarging may change
    places, because the bilinear weights of a pixel sum to one.
    """

    def __init__(
        self,
        dims: tuple[int, ...],
        width: int,
        *,
        gammas: int | None = None,
        first_gamma: float = 1e-6,
        norm: bool = True,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.levels = len(dims)
        # A released file may hold more gammas than there are levels; they are kept so that it loads by name.
        for level in range(1, (gammas or self.levels) + 1):
            setattr(self, f"gamma{level}", nn.Parameter(torch.full((width,), first_gamma)))
        for level, dim in enumerate(dims, 1):
            setattr(self, f"conv_layer{level}", nn.Conv2d(dim, width, 1))
        if norm:
            self.norm: nn.LayerNorm | None = nn.LayerNorm(width, epsilon)
        else:
            self.norm = None
        self.conv_last = nn.Conv2d(width, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features, finest first -> (N, 1, h_1, w_1)."""
        levels = [self._projected(features[level - 1], level) for level in range(2, self.levels + 1)]
        finest = features[0]
        height, width = finest.shape[-2:]
        steps = [height // level.shape[-2] for level in levels]
        whole = all((level.shape[-2] * step, level.shape[-1] * step) == (height, width)
                    for level, step in zip(levels, steps, strict=True))  # fmt: skip
        traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
        if traced or torch.is_grad_enabled() or finest.device.type != "cpu" or not whole:
            fine = [F.interpolate(level, size=(height, width), mode="bilinear", align_corners=False)
                    for level in levels]  # fmt: skip
            total = self._projected(finest, 1)
            for level in fine:
                # Into the enlarged map, which nothing else needs, not even a graph: these are the network's largest.
                total = level.add_(total)
            return self._judged(total)
        # A few rows at a time: the sum is the largest map of the network, and nobody needs it whole.
        rows = max(steps, default=1) * 2
        found = []
        for top in range(0, height, rows):
            total = self._projected(finest[:, :, top : top + rows], 1)
            for level, step in zip(levels, steps, strict=True):
                total += _enlarged_rows(level, step, top, total.shape[2])
            found.append(self._judged(total))
        return torch.cat(found, dim=2)

    def _judged(self, total: Tensor) -> Tensor:
        """(N, width, H, W) -> (N, 1, H, W)."""
        grid = total.permute(0, 2, 3, 1)
        if self.norm is not None:
            grid = self.norm(grid)
        last = self.conv_last
        return F.linear(grid, last.weight.flatten(1), last.bias).permute(0, 3, 1, 2)

    def _projected(self, feature: Tensor, level: int) -> Tensor:
        gamma, convolution = getattr(self, f"gamma{level}"), getattr(self, f"conv_layer{level}")
        weight = convolution.weight.flatten(1) * gamma[:, None]
        grid = F.linear(feature.permute(0, 2, 3, 1), weight, convolution.bias * gamma)
        return grid.permute(0, 3, 1, 2)


def _enlarged_rows(level: Tensor, step: int, top: int, rows: int) -> Tensor:
    """Rows `top`, ... of a level enlarged `step` times by bilinear interpolation, without enlarging the others."""
    first, last = top // step, -(-(top + rows) // step)
    # A row more on both sides, where there is one, so that those at the border are mixed as in the whole.
    above, below = min(first, 1), min(level.shape[2] - last, 1)
    part = level[:, :, first - above : last + below]
    fine = F.interpolate(part, scale_factor=float(step), mode="bilinear", align_corners=False)
    start = top - (first - above) * step
    return fine[:, :, start : start + rows]
