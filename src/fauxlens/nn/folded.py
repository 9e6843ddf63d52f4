"""Fix-sparse attention with the linear layers around it folded into its keys and values.

A query is `W x + b`, so its product with a key is that of `x` with `W' key`, plus `b` times the key. The result is a
sum of values with weights that add up to one, so what the last layer makes of it is the sum of what it makes of the
values. Keys and values are few, so there is less to multiply, and queries need not be laid out anew for each head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATE = 2
"""Every second row and column of keys is a group, as in `attention.fix_sparse_attention`."""

_WORTH_IT = 0.9
"""The share of the plain way's multiplications below which folding is faster, its smaller products counted in."""


def worth_folding(grid: Tensor, keys: Tensor, reduction: int) -> bool:
    """Whether `folded_attention` can take a grid (N, H, W, C) with keys (N, h, w, heads, d), and is faster.

    Measured on processors, in float32; elsewhere the fused attention is left to do its work.
    """
    _, height, width, dim = grid.shape
    rows, columns, heads = keys.shape[1:4]
    if torch.compiler.is_compiling() or torch.compiler.is_exporting() or torch.is_autocast_enabled(grid.device.type):
        return False
    if grid.device.type != "cpu" or grid.dtype not in (torch.float32, torch.float64):
        return False
    if (rows * reduction, columns * reduction) != (height, width) or rows % RATE or columns % RATE:
        return False
    places, all_keys, in_group = height * width, rows * columns, rows * columns // RATE**2
    return places * heads * in_group + all_keys * dim < _WORTH_IT * places * (dim + in_group)


def folded_attention(
    grid: Tensor, key: Tensor, value: Tensor, query: nn.Linear, projection: nn.Linear, *, reduction: int
) -> Tensor:
    """(N, H, W, C) -> the same shape: `projection` of the fix-sparse attention of `query`'s queries.

    `key` and `value` are (N, h, w, heads, d), with H = h * reduction and W = w * reduction.
    """
    n, height, width, dim = grid.shape
    heads, d = key.shape[3:]
    rows, columns = height // (RATE * reduction), width // (RATE * reduction)
    in_group = rows * columns
    key, value = _by_group(key) * d**-0.5, _by_group(value)
    of_query, of_projection = query.weight.view(heads, d, dim), projection.weight.view(-1, heads, d)
    keys = torch.einsum("nabhkd,hdc->nabhkc", key, of_query).flatten(3, 4)
    addend = torch.einsum("nabhkd,hd->nabhk", key, query.bias.view(heads, d)).flatten(3, 4)
    # The weights of each head add up to one, so the bias comes in parts.
    values = (torch.einsum("nabhkd,chd->nabhkc", value, of_projection) + projection.bias / heads).flatten(3, 4)
    split = grid.reshape(n, rows, RATE, reduction, columns, RATE, reduction, dim)
    if torch.is_grad_enabled():
        places = split.permute(0, 2, 5, 1, 3, 4, 6, 7).reshape(n * RATE**2, height * width // RATE**2, dim)
        weights = torch.baddbmm(addend.flatten(0, 2)[:, None], places, keys.flatten(0, 2).transpose(1, 2))
        weights = weights.view(*weights.shape[:2], heads, in_group).softmax(dim=-1).flatten(2)
        found = torch.bmm(weights, values.flatten(0, 2))
        found = found.view(n, RATE, RATE, rows, reduction, columns, reduction, dim)
        return found.permute(0, 3, 1, 4, 5, 2, 6, 7).reshape(grid.shape)
    # A group at a time, each in the memory of the one before.
    found = torch.empty_like(split)
    shape = (n, rows, reduction, columns, reduction, dim)
    places = grid.new_empty(n, height * width // RATE**2, dim)
    weights = grid.new_empty(n, places.shape[1], keys.shape[3])
    by_head = weights.view(n, places.shape[1], heads, in_group)
    for row in range(RATE):
        for column in range(RATE):
            places.view(shape).copy_(split[:, :, row, :, :, column])
            bias, of_group = addend[:, row, column, None], keys[:, row, column].transpose(1, 2)
            torch.baddbmm(bias, places, of_group, out=weights)
            torch.softmax(by_head, dim=-1, out=by_head)
            torch.bmm(weights, values[:, row, column], out=places)
            found[:, :, row, :, :, column] = places.view(shape)
    return found.view(grid.shape)


def _by_group(keys: Tensor) -> Tensor:
    """(N, h, w, heads, d) -> (N, RATE, RATE, heads, keys of a group, d)."""
    n, rows, columns, heads, d = keys.shape
    split = keys.reshape(n, rows // RATE, RATE, columns // RATE, RATE, heads, d)
    return split.permute(0, 2, 4, 5, 1, 3, 6).reshape(n, RATE, RATE, heads, rows * columns // RATE**2, d)
