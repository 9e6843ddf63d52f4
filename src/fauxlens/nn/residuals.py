"""Fixed noise residuals: what is left of a picture when its neighbours have predicted it. Nothing here is learnt."""

from __future__ import annotations

import numpy as np
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


# What residuals are divided by before they are squashed.
_DOUBLED, _PREDICTED = 12.0, 6.0


def _all_kernels() -> list[list[list[list[float]]]]:
    """(12, 3, 5, 5): each colour as it is, then the three of the rich model on each colour."""
    nothing = [[0.0] * 5 for _ in range(5)]
    itself = [[1 / _DOUBLED if row == column == 2 else 0.0 for column in range(5)] for row in range(5)]
    bounded = [[[value / _PREDICTED for value in row] for row in kernel] for kernel in _divided()]
    as_it_is = [[itself if colour == own else nothing for colour in range(3)] for own in range(3)]
    return as_it_is + [
        [kernel if colour == own else nothing for colour in range(3)] for own in range(3) for kernel in bounded
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
        self.register_buffer("kernels", torch.tensor(_all_kernels()), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) float32 in 0..255 -> (N, 12, H, W) in -1..1."""
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.to(self.kernels.dtype)  # float32, or double for whoever asks for it
            around = F.pad(pixels, (2, 2, 2, 2), mode="replicate")
            # One convolution over all colours, most of it with zeros, is faster than one a colour: it needs no copies.
            found = F.conv2d(around.contiguous(memory_format=torch.channels_last), self.kernels)
            corners = pixels[..., ::2, ::2] * self.kernels[0, 0, 2, 2]  # the same rounding, so that a corner leaves 0
            for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
                part = found[:, :3, row::2, column::2]
                part -= corners[..., : part.shape[-2], : part.shape[-1]]
            return _squashed(found)


def _squashed(found: Tensor) -> Tensor:
    """Its tanh, in its own memory."""
    traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
    if traced or found.requires_grad or found.device.type != "cpu" or found.dtype != torch.float32:
        return found.tanh_()
    # NumPy's takes a sixth to an eighth of the time of torch's on one thread, and is as exact: to 1.1e-7 of the number.
    numbers = found.permute(0, 2, 3, 1).numpy()
    np.tanh(numbers, out=numbers)
    return found


def block_corners(maps: Tensor) -> Tensor:
    """Each pixel replaced by the upper left one of its 2x2 block; odd last rows and columns are their own blocks."""
    height, width = maps.shape[-2:]
    corners = maps[..., ::2, ::2]
    return corners.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
