"""Bayar's constrained convolution: each kernel predicts a pixel from those around it and subtracts the pixel itself.

The values around the centre sum to one and the centre is -1, so flat regions vanish and what is left is the error of
the prediction. The constraint is imposed at each forward pass, on a copy: what is stored stays as it was loaded.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting

Stored = Literal["whole", "around"]
"""`whole`: a usual `weight` (out, in, side, side), whose centre is ignored; `around`: `kernel` (in, out, side^2 - 1)
without a centre."""


class BayarConvolution(nn.Module):
    """(N, in, H, W) -> (N, out, H + 2 * padding - side + 1, W + ...), without a bias."""

    def __init__(
        self, in_channels: int, out_channels: int, *, side: int = 5, padding: int = 0, stored: Stored = "whole"
    ) -> None:
        super().__init__()
        if side % 2 == 0:
            raise BadSetting("a constrained kernel has a middle", wanted="an odd side", got=side)
        self.side, self.padding, self.stored = side, padding, stored
        # Positive where they start, since a kernel is divided by its sum.
        if stored == "whole":
            self.weight = nn.Parameter(torch.rand(out_channels, in_channels, side, side) + 0.1)
        else:
            self.kernel = nn.Parameter(torch.rand(in_channels, out_channels, side * side - 1) + 0.1)

    def projected(self) -> Tensor:
        """(out, in, side, side): each slice's surroundings divided by their own sum, -1 in the middle."""
        middle = self.side * self.side // 2
        if self.stored == "whole":
            flat = self.weight.flatten(2)
            around = torch.cat((flat[..., :middle], flat[..., middle + 1 :]), dim=-1)
        else:
            around = self.kernel.transpose(0, 1)
        around = around / around.sum(dim=-1, keepdim=True)
        centre = around.new_full((*around.shape[:2], 1), -1.0)
        joined = torch.cat((around[..., :middle], centre, around[..., middle:]), dim=-1)
        return joined.reshape(*around.shape[:2], self.side, self.side)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ...)."""
        return F.conv2d(maps, self.projected(), padding=self.padding)
