"""Fixed noise residuals: what is left of a picture when its neighbours have predicted it. Nothing here is learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SRM_KERNELS: tuple[tuple[tuple[float, ...], ...], ...] = (
    ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0)),
    ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1)),
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
)
"""The three of the steganalysis rich model that the field uses, before division by SRM_DIVISORS."""

SRM_DIVISORS = (4.0, 12.0, 2.0)


def srm_kernels() -> Tensor:
    """(3, 5, 5): the three SRM kernels, divided."""
    return torch.tensor(_divided())


def _divided() -> list[list[list[float]]]:
    # In plain numbers: a division of tensors without storage makes torch load its compiler, which takes seconds.
    return [
        [[value / divisor for value in row] for row in kernel]
        for kernel, divisor in zip(SRM_KERNELS, SRM_DIVISORS, strict=True)
    ]


class FixedResiduals(nn.Module):
    """Twelve bounded residuals of an RGB picture in 0..255: (N, 3, H, W) -> (N, 12, H, W), in float32.

    Three are a pixel minus the upper left one of its 2x2 block, which shows how a generator doubled its maps; nine are
    the SRM kernels on each colour. Each is squashed by tanh, so that one edge does not drown a region's noise.
    """

    channels = 12
    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not part of the state: it is a constant of the design, not a thing that a file could bring.
        kernels = torch.tensor([[kernel] for _ in range(3) for kernel in _divided()])
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) float32 in 0..255 -> (N, 12, H, W) in -1..1."""
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.to(self.kernels.dtype)  # float32, or double for whoever asks for it
            doubled = torch.tanh((pixels - block_corners(pixels)) / 12.0)
            around = F.pad(pixels, (2, 2, 2, 2), mode="replicate")
            predicted = torch.tanh(F.conv2d(around, self.kernels, groups=3) / 6.0)
            return torch.cat((doubled, predicted), dim=1)


def block_corners(maps: Tensor) -> Tensor:
    """Each pixel replaced by the upper left one of its 2x2 block; odd last rows and columns are their own blocks."""
    height, width = maps.shape[-2:]
    corners = maps[..., ::2, ::2]
    return corners.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
