"""Attention with its layers folded into keys and values gives what the layers and the attention give one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fauxlens.nn import attention, mix_transformer
from fauxlens.nn.folded import folded_attention, worth_folding
from fauxlens.nn.mix_transformer import ReducedAttention

SIZES = [
    (1, 16, 16, 2, 1, 8),
    (2, 8, 12, 1, 3, 12),
    (2, 16, 32, 4, 2, 8),
    (1, 2, 2, 1, 1, 4),
    (3, 4, 2, 1, 2, 8),
    (0, 4, 4, 1, 2, 8),
]
"""Pictures, height, width, reduction, heads and width of the layer."""


def drawn(n: int, height: int, width: int, reduction: int, heads: int, dim: int) -> tuple[ReducedAttention, Tensor]:
    torch.manual_seed(height * width + heads)
    layer = ReducedAttention(dim, heads, reduction, 1e-5).double().eval()
    return layer, torch.randn(n, height, width, dim, dtype=torch.float64)


def one_by_one(layer: ReducedAttention, grid: Tensor) -> Tensor:
    query, (key, value) = layer.queries(grid), layer.keys(grid)
    attended = attention.fix_sparse_attention(query, key, value, reduction=layer.reduction)
    return layer.proj(attended.flatten(3))


def folded(layer: ReducedAttention, grid: Tensor) -> Tensor:
    return folded_attention(grid, *layer.keys(grid), layer.q, layer.proj, reduction=layer.reduction)


@pytest.mark.parametrize("sizes", SIZES)
def test_it_is_the_same_attention(sizes: tuple[int, ...]) -> None:
    layer, grid = drawn(*sizes)
    before = grid.clone()
    with torch.no_grad():
        assert torch.allclose(folded(layer, grid), one_by_one(layer, grid), atol=1e-12)
        # Channels-last maps come as a grid whose memory lies as it likes.
        apart = grid.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        assert torch.allclose(folded(layer, apart), one_by_one(layer, grid), atol=1e-12)
    assert torch.equal(grid, before)  # groups are written over each other, never over the input


@pytest.mark.parametrize("sizes", SIZES)
def test_its_gradients_are_the_same(sizes: tuple[int, ...]) -> None:
    layer, grid = drawn(*sizes)
    grid.requires_grad_()
    wanted = [grid, *layer.parameters()]
    towards = torch.randn(grid.shape, dtype=torch.float64)
    plain = torch.autograd.grad((one_by_one(layer, grid) * towards).sum(), wanted)
    found = torch.autograd.grad((folded(layer, grid) * towards).sum(), wanted)
    for one, other in zip(found, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_a_picture_alone_and_in_a_batch() -> None:
    layer, grid = drawn(2, 16, 16, 2, 2, 8)
    with torch.no_grad():
        assert torch.allclose(folded(layer, grid)[1:], folded(layer, grid[1:]), atol=1e-12)


def test_it_is_taken_where_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def counted(*given: Tensor, **named: int) -> Tensor:
        taken.append(given[0].shape)
        return folded_attention(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(mix_transformer, "folded_attention", counted)
    # Many places and few keys: worth it. As many keys as places: not. A grid that no group divides: it cannot be.
    worth, many_keys, odd = drawn(1, 32, 32, 8, 1, 64), drawn(1, 8, 8, 1, 1, 8), drawn(1, 24, 24, 8, 1, 64)
    for (layer, grid), times in ((worth, 1), (many_keys, 1), (odd, 1)):
        with torch.no_grad():
            assert torch.allclose(layer(grid, "fix-sparse"), one_by_one(layer, grid), atol=1e-12)
        assert len(taken) == times
    layer, grid = worth
    with torch.no_grad():
        layer(grid, "dense")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer.float()(grid.float(), "fix-sparse")
    assert len(taken) == 1
    assert worth_folding(grid, layer.keys(grid.float())[0], 8)
    assert not worth_folding(grid.half(), layer.keys(grid.float())[0], 8)
