"""What is made a few rows at a time, to save memory, is what would be made whole."""

from __future__ import annotations

import pytest
import torch

from fauxlens.nn import attention, mix_transformer
from fauxlens.nn.decoder import WeightedDecoder
from fauxlens.nn.mix_transformer import ConvolutionalMlp, PatchEmbedding


@pytest.mark.parametrize("height", [9, 16, 17, 30])
@pytest.mark.parametrize("count", [1, 2])
def test_mlp(height: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mlp, grid = ConvolutionalMlp(6, 12, "tanh").eval(), torch.randn(count, height, 7, 6)
    whole = mlp(grid).detach()  # a graph is made: nothing is cut
    monkeypatch.setattr(mix_transformer, "WIDE_AT_ONCE", 1)
    with torch.no_grad():
        shown: list[int] = []
        mlp.fc1.register_forward_pre_hook(lambda _, given: shown.append(given[0].shape[1]))
        found = mlp(grid)
    assert len(shown) == -(-height // 8)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [(32, 32), (32, 48), (64, 40)])
def test_decoder(side: tuple[int, int]) -> None:
    torch.manual_seed(0)
    decoder = WeightedDecoder((4, 6, 8, 10), 12, first_gamma=1.0).eval()
    features = [torch.randn(2, dim, side[0] >> level, side[1] >> level) for level, dim in enumerate((4, 6, 8, 10))]
    whole = decoder(features).detach()
    judged: list[int] = []
    decoder.norm.register_forward_pre_hook(lambda _, given: judged.append(given[0].shape[1]))
    with torch.no_grad():
        found = decoder(features)
    assert judged == [16] * (side[0] // 16)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)


def test_decoder_of_levels_that_do_not_divide() -> None:
    torch.manual_seed(0)
    decoder = WeightedDecoder((4, 6), 12, first_gamma=1.0).eval()
    features = [torch.randn(1, 4, 25, 13), torch.randn(1, 6, 13, 7)]
    with torch.no_grad():
        found = decoder(features)
    torch.testing.assert_close(found, decoder(features).detach(), rtol=1e-5, atol=1e-6)
    assert found.shape == (1, 1, 25, 13)


def test_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 9, 7, 3, 4), torch.randn(2, 5, 4, 3, 4), torch.randn(2, 5, 4, 3, 4)
    weights = attention.attention_weights(query, key)
    monkeypatch.setattr(attention, "ROWS_AT_ONCE", 2 * 3 * 20 * 10)
    with torch.no_grad():
        guide, summed = attention.guided(query, key, value, 0.25)
        again, nothing = attention.guided(query, key, None, 0.25)
    assert torch.equal(guide, attention.least_similar(weights, 0.25))
    assert torch.equal(guide, again)
    assert nothing is None
    torch.testing.assert_close(summed, attention.weighted_values(weights, value, query), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_attention_by_parts_of_a_guide(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(count, *grid, 3, 4) for grid in ((9, 7), (5, 4), (5, 4)))
    query = query.transpose(1, 2).contiguous().transpose(1, 2)  # however it lies in memory
    with torch.no_grad():
        guide, summed = attention.guided(query, key, value, 0.25)
        whole = attention.masked_attention(query, key, value, guide)
        monkeypatch.setattr(attention, "ROWS_AT_ONCE", count * 3 * 20 * 10)
        parts, summed_by_parts = attention.guided_parts(query, key, value, 0.25)
        lengths, kept = [], set()

        def watched() -> attention.Parts:
            for part, mask in parts:
                lengths.append(part.stop - part.start)
                kept.add(mask.data_ptr())
                yield part, mask

        found = attention.masked_attention(query, key, value, watched())
    assert lengths == [10] * 6 + [3]
    assert len(kept) == 1  # each in the memory of the one before
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(summed_by_parts, summed, rtol=1e-5, atol=1e-6)


def test_patches_of_several_maps_are_those_of_the_joined_ones() -> None:
    torch.manual_seed(0)
    embedding = PatchEmbedding(5, 6, 7, 4, 1e-5)
    several = torch.randn(2, 3, 33, 40), torch.randn(2, 2, 33, 40, requires_grad=True)
    joined, found = embedding(torch.cat(several, dim=1)), embedding(several)
    torch.testing.assert_close(found, joined, rtol=1e-5, atol=1e-6)
    gradients = [
        torch.autograd.grad(one.square().sum(), (several[1], *embedding.parameters())) for one in (joined, found)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="channels"):
        embedding(several[:1])
