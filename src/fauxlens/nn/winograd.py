"""A 3x3 convolution with half the multiplications: Winograd's F(4, 3) down the columns of a map.

Four rows of the result are made from the six rows of the map that they rest on. The six are mixed into six others, each
of those is convolved along its row by a 1x3 kernel of its own, and the six products are mixed into the four rows:
6 * 3 multiplications where the plain convolution has 4 * 9. Both mixings are sums of whole rows, because a map is held
by phases: (4, tiles, width, channels), where tile t of phase p is row 4 * t + p. The points of interpolation are 0, 1,
-1, 2, -2 and infinity, so that the mixings have whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4
"""Rows of the result that are made together, and so the phases of a map."""

ROOM = 8
"""How many maps of one phase `convolved` needs to work in."""

# How the kernel's three rows make each of the six 1x3 kernels. The pairs at 1 and -1 and at 2 and -2 carry the divisors
# of the interpolation, and the pair at 2 and -2 is doubled, which spares the mixings a multiplication.
_KERNELS = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 12, 1 / 6, 1 / 3),
    (1 / 12, -1 / 6, 1 / 3),
    (0.0, 0.0, 1.0),
)


@dataclass(frozen=True)
class SplitKernel:
    """The six 1x3 convolutions that stand for a 3x3 one."""

    weights: tuple[Tensor, ...]
    bias: Tensor | None


def split(weight: Tensor, bias: Tensor | None) -> SplitKernel:
    """(O, C, 3, 3) -> the six, computed in double precision so that they are right to the last digit."""
    exact = weight.double()
    kernels = [
        sum(share * exact[:, :, row : row + 1] for row, share in enumerate(shares)).to(weight.dtype)  # type: ignore[union-attr]
        for shares in _KERNELS
    ]
    return SplitKernel(
        weights=tuple(kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels),
        bias=bias,
    )


def convolved(before: Tensor, here: Tensor, kernel: SplitKernel, room: Tensor, out: Tensor) -> None:
    """The convolution of a map in phases into `out`, (4, tiles, width, O), which may be `here`.

    `here` are the phases from the third of the six rows on, (4, tiles, width, C), and `before` the same a tile earlier:
    row r of the result rests on the rows r - 2, r - 1 and r of `here`. `room` is (ROOM, tiles, width, C) to work in.
    """
    _mix(before, here, room)
    # What is added to the product at the point 1 reaches each of the four rows once: there the bias goes.
    products = [
        F.conv2d(_as_picture(room[index]), weight, kernel.bias if index == 1 else None, padding=(0, 1))
        for index, weight in enumerate(kernel.weights)
    ]
    _gather([product.permute(0, 2, 3, 1)[0] for product in products], out)


def _mix(before: Tensor, here: Tensor, room: Tensor) -> None:
    """The six rows into the six to be convolved, the first six of `room`."""
    even, odd = room[6:8]
    # At 0 from the first, third and fifth row, at infinity from the second, fourth and sixth: both at once.
    ends = room[0:6:5]
    torch.add(here[2:], here[:2], alpha=-5, out=ends)
    ends.add_(before[2:], alpha=4)
    # At a point and its negative: the even rows, plus and minus the odd ones.
    torch.add(here[2], here[0], alpha=-4, out=even)
    torch.add(here[1], before[3], alpha=-4, out=odd)
    torch.add(even, odd, out=room[1])
    torch.sub(even, odd, out=room[2])
    torch.sub(here[2], here[0], out=even)
    torch.sub(here[1], before[3], out=odd)
    torch.add(even, odd, alpha=2, out=room[3])
    torch.sub(even, odd, alpha=2, out=room[4])


def _gather(products: list[Tensor], out: Tensor) -> None:
    """The six products into four rows. The products are used up."""
    at_zero, at_one, at_minus_one, at_two, at_minus_two, at_infinity = products
    sum_of_ones = at_one + at_minus_one
    difference_of_ones = at_one.sub_(at_minus_one)
    sum_of_twos = torch.add(at_two, at_minus_two, out=at_minus_one)
    difference_of_twos = at_two.sub_(at_minus_two)
    torch.add(at_zero, sum_of_ones, out=out[0])
    out[0].add_(sum_of_twos, alpha=0.5)
    torch.add(difference_of_ones, difference_of_twos, out=out[1])
    torch.add(sum_of_ones, sum_of_twos, alpha=2, out=out[2])
    torch.add(at_infinity, difference_of_ones, out=out[3])
    out[3].add_(difference_of_twos, alpha=4)


def _as_picture(rows: Tensor) -> Tensor:
    """(tiles, width, C) -> (1, C, tiles, width), channels last."""
    return rows[None].permute(0, 3, 1, 2)
