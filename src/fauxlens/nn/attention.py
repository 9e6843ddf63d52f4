"""Attention of a fine grid of queries over a coarser grid of keys, in the three forms that NFA-ViT uses.

Queries are (N, H, W, heads, d), keys and values (N, h, w, heads, d) with h = H // reduction; the result has the shape
of the queries. All three are the softmax of scaled dot products; they differ in who may look at whom.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def dense_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every query looks at every key."""
    attended = F.scaled_dot_product_attention(_flattened(query), _flattened(key), _flattened(value))
    return _unflattened(attended, query)


def fix_sparse_attention(query: Tensor, key: Tensor, value: Tensor, *, reduction: int, rate: int = 2) -> Tensor:
    """A query looks only at the keys of its own group: every `rate`-th row and column of the key grid.

    Query (r, c) is in group ((r // reduction) % rate, (c // reduction) % rate), key (r, c) in (r % rate, c % rate).
    Where the grid divides evenly the groups become a batch axis, so the pairs that may not meet are never computed;
    other sizes go through a mask.
    """
    height, width = query.shape[1:3]
    rows, columns = key.shape[1:3]
    fits = (rows * reduction, columns * reduction) == (height, width)
    if fits and rows % rate == 0 and columns % rate == 0:
        return _grouped(query, key, value, reduction, rate)
    allowed = fix_sparse_mask((height, width), (rows, columns), reduction, rate, query.device)
    return masked_attention(query, key, value, additive(allowed, query.dtype)[None, None])


Parts = Iterator[tuple[slice, Tensor]]
"""Some rows of queries at a time, in order, and their part of a mask, which lasts until the next is asked for."""

Guide = Tensor | Parts
"""A mask to be added to the scaled products of attention, whole or in parts."""


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Guide) -> Tensor:
    """`mask` (N or 1, heads or 1, H * W, h * w) is added to the scaled products: 0 to look, a huge negative not to."""
    queries, keys, values = _flattened(query), _flattened(key), _flattened(value)
    if isinstance(mask, Tensor):
        return _unflattened(F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask), query)
    attended = torch.empty_like(query, memory_format=torch.contiguous_format)
    rows = _flattened(attended)
    for part, masked in mask:
        rows[:, :, part] = F.scaled_dot_product_attention(queries[:, :, part], keys, values, attn_mask=masked)
    return attended


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask of booleans as numbers to add: 0 where allowed, else the lowest finite number.

    Finite, so that a query that may look at nothing looks at everything alike rather than becoming NaN.
    """
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def fix_sparse_mask(
    grid: tuple[int, int], keys: tuple[int, int], reduction: int, rate: int, device: torch.device | None = None
) -> Tensor:
    """(H * W, h * w) bool: which query may look at which key."""

    def groups(side: int, step: int) -> Tensor:
        return torch.arange(side, device=device).div(step, rounding_mode="floor") % rate

    of_query = (groups(grid[0], reduction)[:, None] * rate + groups(grid[1], reduction)[None]).flatten()
    of_key = (groups(keys[0], 1)[:, None] * rate + groups(keys[1], 1)[None]).flatten()
    return of_query[:, None] == of_key[None]


ROWS_AT_ONCE = 2**20
"""How many weights `guided` holds at a time on a processor: about what its caches hold."""


def guided(
    query: Tensor, key: Tensor, value: Tensor | None, share: float, *, seen: list[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """The guide of `least_similar`, and the values summed by the same weights in the shape of `query`.

    On a processor and without a graph, a few rows of the weights are made at a time: they are never whole in memory,
    unless a list is given to collect them.
    """
    if seen is not None or not in_parts(query):
        weights = attention_weights(query, key)
        if seen is not None:
            seen.append(weights)
        return least_similar(weights, share), None if value is None else weighted_values(weights, value, query)
    guide = query.new_empty(query.shape[0], query.shape[3], query.shape[1] * query.shape[2], key[0, ..., 0, 0].numel())
    parts, attended = guided_parts(query, key, value, share, guide=guide)
    for _ in parts:
        pass
    return guide, attended


def in_parts(query: Tensor) -> bool:
    """Whether guides are made a few rows at a time: on a processor, where nothing is traced or needs a graph."""
    traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
    return query.device.type == "cpu" and not traced and not torch.is_grad_enabled()


def guided_parts(
    query: Tensor, key: Tensor, value: Tensor | None, share: float, *, guide: Tensor | None = None
) -> tuple[Parts, Tensor | None]:
    """As `guided`, but the guide comes in parts. The summed values are there when the last part was asked for.

    The parts are those of `guide`, where one is given. Otherwise each is made in the memory of the one before: new
    memory costs a processor more than what is written to it, and whoever attends by a part at once needs no other.
    """
    attended = None if value is None else torch.empty_like(query, memory_format=torch.contiguous_format)

    def parts() -> Parts:
        scaled, keys = _flattened(query * query.shape[-1] ** -0.5), _flattened(key).transpose(-2, -1)
        rows, all_keys = scaled.shape[2], keys.shape[-1]
        step = max(1, ROWS_AT_ONCE // (query.shape[0] * query.shape[3] * all_keys))
        kept = [scaled.new_empty(*scaled.shape[:2], min(step, rows), all_keys) for _ in range(1 + (guide is None))]
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            weights = kept[0][:, :, : part.stop - start]
            torch.matmul(scaled[:, :, part], keys, out=weights)
            torch.softmax(weights, dim=-1, out=weights)
            if attended is not None and value is not None:
                _flattened(attended)[:, :, part] = weights @ _flattened(value)
            out = kept[1][:, :, : part.stop - start] if guide is None else guide[:, :, part]
            yield part, least_similar(weights, share, out=out)

    return parts(), attended


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """The softmax itself, (N, heads, H * W, h * w): for who must see it; the others never build it."""
    products = _flattened(query * query.shape[-1] ** -0.5) @ _flattened(key).transpose(-2, -1)
    return products.softmax(dim=-1)


def weighted_values(weights: Tensor, value: Tensor, query: Tensor) -> Tensor:
    """The values summed by `attention_weights`, in the shape of `query`."""
    return _unflattened(weights @ _flattened(value), query)


def least_similar(weights: Tensor, share: float, *, out: Tensor | None = None) -> Tensor:
    """Of each row of (N, heads, L, K) weights the `share` smallest, at least one: 0 there, the lowest number elsewhere.

    Ready to be added in `masked_attention`; compare with 0 for a mask of booleans. `out` takes the result.
    """
    count = max(1, int(weights.shape[-1] * share))
    lowest = torch.finfo(weights.dtype).min
    plain = weights.device.type == "cpu" and weights.dtype in (torch.float32, torch.float64)
    if not plain or torch.compiler.is_compiling() or torch.compiler.is_exporting():
        chosen = torch.full_like(weights, lowest).scatter_(-1, _smallest(weights, count), 0.0)
        return chosen if out is None else out.copy_(chosen)
    # NumPy's selection takes a fifth of the time of topk's, but gives a bound rather than a choice: where several keys
    # tie at the bound, a row would get too many, and those rows are chosen as topk chooses.
    weights = weights.detach()
    guide = torch.empty_like(weights) if out is None else out
    guide.copy_(weights).numpy().partition(count - 1, axis=-1)
    bound = guide[..., count - 1 : count].clone()
    # Ones for the refused, as numbers from the start: a comparison to booleans takes six times as long. A product with
    # ones counts a row faster than a sum, too.
    torch.gt(weights, bound, out=guide)
    tied = guide @ guide.new_ones(guide.shape[-1]) != weights.shape[-1] - count
    guide.mul_(lowest)
    if bool(tied.any()):
        rows = weights[tied]
        guide[tied] = torch.full_like(rows, lowest).scatter_(-1, _smallest(rows, count), 0.0)
    return guide


def _smallest(weights: Tensor, count: int) -> Tensor:
    return weights.topk(count, dim=-1, largest=False, sorted=False).indices


def _grouped(query: Tensor, key: Tensor, value: Tensor, reduction: int, rate: int) -> Tensor:
    n, height, width, heads, d = query.shape
    rows, columns = height // (rate * reduction), width // (rate * reduction)

    def by_group(grid: Tensor, cell: int) -> Tensor:
        split = grid.reshape(n, rows, rate, cell, columns, rate, cell, heads, d)
        return split.permute(0, 2, 5, 7, 1, 3, 4, 6, 8).reshape(n * rate**2, heads, rows * columns * cell**2, d)

    attended = F.scaled_dot_product_attention(by_group(query, reduction), by_group(key, 1), by_group(value, 1))
    split = attended.reshape(n, rate, rate, heads, rows, reduction, columns, reduction, d)
    return split.permute(0, 4, 1, 5, 6, 2, 7, 3, 8).reshape(n, height, width, heads, d)


def _flattened(grid: Tensor) -> Tensor:
    """(N, H, W, heads, d) -> (N, heads, H * W, d)."""
    return grid.flatten(1, 2).transpose(1, 2)


def _unflattened(rows: Tensor, like: Tensor) -> Tensor:
    """(N, heads, H * W, d) -> the shape of `like`."""
    return rows.transpose(1, 2).reshape(like.shape)
