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
        total = self._projected(features, 1)
        for level in range(2, self.levels + 1):
            coarse = self._projected(features, level)
            fine = F.interpolate(coarse, size=total.shape[-2:], mode="bilinear", align_corners=False)
            total = total + fine if torch.is_grad_enabled() else total.add_(fine)
        grid = total.permute(0, 2, 3, 1)
        if self.norm is not None:
            grid = self.norm(grid)
        last = self.conv_last
        return F.linear(grid, last.weight.flatten(1), last.bias).permute(0, 3, 1, 2)

    def _projected(self, features: list[Tensor], level: int) -> Tensor:
        gamma, convolution = getattr(self, f"gamma{level}"), getattr(self, f"conv_layer{level}")
        weight = convolution.weight.flatten(1) * gamma[:, None]
        grid = F.linear(features[level - 1].permute(0, 2, 3, 1), weight, convolution.bias * gamma)
        return grid.permute(0, 3, 1, 2)
