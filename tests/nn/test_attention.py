"""Attention in its three forms, against the same thing written out with a mask."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fauxlens.nn import attention


def drawn(n: int, rows: int, columns: int, reduction: int, heads: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(rows * 100 + columns)
    query = torch.randn(n, rows, columns, heads, d, generator=draw, dtype=torch.float64)
    shape = (n, rows // reduction, columns // reduction, heads, d)
    return query, torch.randn(shape, generator=draw).double(), torch.randn(shape, generator=draw).double()


def written_out(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """Query by query, in the words of the definition."""
    n, rows, columns, heads, d = query.shape
    products = torch.einsum("nrchd,nijhd->nhrcij", query, key).reshape(n, heads, rows * columns, -1) / d**0.5
    weights = products.masked_fill(~allowed, torch.finfo(products.dtype).min).softmax(-1)
    values = value.flatten(1, 2).permute(0, 2, 1, 3)
    return (weights @ values).permute(0, 2, 1, 3).reshape(query.shape)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 13), st.integers(2, 13), st.sampled_from([1, 2]), st.sampled_from([1, 3]))
def test_fix_sparse_on_any_grid(rows: int, columns: int, reduction: int, heads: int) -> None:
    query, key, value = drawn(2, rows, columns, reduction, heads, 4)
    groups_of_query = [((r // reduction) % 2, (c // reduction) % 2) for r in range(rows) for c in range(columns)]
    groups_of_key = [(r % 2, c % 2) for r in range(rows // reduction) for c in range(columns // reduction)]
    allowed = torch.tensor([[q == k for k in groups_of_key] for q in groups_of_query])
    found = attention.fix_sparse_attention(query, key, value, reduction=reduction)
    assert torch.allclose(found, written_out(query, key, value, allowed), atol=1e-10)


def test_a_query_that_may_look_at_nothing_looks_at_all_alike() -> None:
    query, key, value = drawn(1, 2, 2, 1, 1, 4)
    mask = attention.additive(torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.float64)
    found = attention.masked_attention(query, key, value, mask)
    assert torch.allclose(found, value.mean(dim=(1, 2), keepdim=True).expand_as(found))


def test_dense_is_everybody_allowed() -> None:
    query, key, value = drawn(2, 4, 6, 2, 2, 4)
    allowed = torch.ones(24, 6, dtype=torch.bool)
    assert torch.allclose(
        attention.dense_attention(query, key, value), written_out(query, key, value, allowed), atol=1e-10
    )


@pytest.mark.parametrize(("keys", "share", "count"), [(16, 0.25, 4), (9, 0.25, 2), (2, 0.25, 1), (8, 0.5, 4)])
def test_the_least_similar(keys: int, share: float, count: int) -> None:
    weights = torch.rand(2, 3, 50, keys).softmax(-1)
    guide = attention.least_similar(weights, share)
    chosen = guide == 0
    assert bool((chosen.sum(-1) == count).all())
    assert bool((guide[~chosen] == torch.finfo(torch.float32).min).all())
    largest_chosen = torch.where(chosen, weights, -1.0).amax(-1)
    smallest_left = torch.where(chosen, 2.0, weights).amin(-1)
    assert bool((largest_chosen <= smallest_left).all())


def test_ties_are_chosen_as_topk_chooses() -> None:
    weights = torch.tensor([[[[0.0, 0.0, 0.0, 1.0], [0.4, 0.1, 0.2, 0.3]]]])
    guide = attention.least_similar(weights, 0.25)
    wanted = weights.topk(1, dim=-1, largest=False, sorted=False).indices
    assert (guide == 0).sum().item() == 2
    assert torch.equal((guide == 0).nonzero()[:, -1], wanted.flatten())
