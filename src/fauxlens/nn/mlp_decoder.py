"""SegFormer's decoder: levels brought to one width and one size, fused by a 1x1 convolution, projected to maps."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Projection(nn.Module):
    """A linear layer under the name that the released files give it."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, width)


class MlpDecoder(nn.Module):
    """Grids (N, h_i, w_i, dim_i), finest first -> map logits (N, maps, h_1, w_1).

    Parameters are `linear_c1..`, `linear_fuse.{0,1}` and `linear_pred`, as in the files of SegFormer, CMX and TruFor.
    The fusing convolution sees the coarsest level first. Projection and fusion of a level are linear, and so is
    enlarging, so both are done in one step at the level's own size and only the result is enlarged: the same numbers
    for a tenth of the work. `epsilon` of the batch norm is in no file and must be known. The dropout that training
    puts before the last projection is left out: its rate is not recorded.
    """

    def __init__(self, dims: tuple[int, ...], width: int, maps: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.levels, self.width = len(dims), width
        for level, dim in enumerate(dims, 1):
            setattr(self, f"linear_c{level}", _Projection(dim, width))
        self.linear_fuse = nn.Sequential(
            nn.Conv2d(len(dims) * width, width, 1), nn.BatchNorm2d(width, epsilon), nn.ReLU()
        )
        self.linear_pred = nn.Conv2d(width, maps, 1)

    def forward(self, grids: list[Tensor]) -> Tensor:
        """Grids, finest first -> (N, maps, h_1, w_1)."""
        total = self._fused(grids[0], 1)
        for level in range(2, self.levels + 1):
            coarse = self._fused(grids[level - 1], level)
            fine = F.interpolate(coarse, size=total.shape[-2:], mode="bilinear", align_corners=False)
            total = total + fine if torch.is_grad_enabled() else total.add_(fine)
        _, norm, rectify = self.linear_fuse.children()
        return self.linear_pred(rectify(norm(total)))  # type: ignore[no-any-return]

    def _fused(self, grid: Tensor, level: int) -> Tensor:
        fuse, projection = cast(nn.Conv2d, self.linear_fuse[0]), getattr(self, f"linear_c{level}").proj
        first = (self.levels - level) * self.width
        share = fuse.weight.flatten(1)[:, first : first + self.width]
        # In double precision, so that the product of two layers adds no rounding of its own.
        weight = (share.double() @ projection.weight.double()).to(grid.dtype)
        bias = share.double() @ projection.bias.double()
        if level == 1 and fuse.bias is not None:
            bias = bias + fuse.bias.double()
        return F.linear(grid, weight, bias.to(grid.dtype)).permute(0, 3, 1, 2)
