"""The decoder does level by level what it would do in one stack."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fauxlens.nn.mlp_decoder import MlpDecoder

DIMS = (3, 5, 7)


def literal(decoder: MlpDecoder, grids: list[Tensor]) -> Tensor:
    """Project, enlarge to the finest level, stack the coarsest first, fuse, project."""
    size = grids[0].shape[1:3]
    stacked = []
    for level in range(len(grids), 0, -1):
        projected = getattr(decoder, f"linear_c{level}").proj(grids[level - 1]).permute(0, 3, 1, 2)
        stacked.append(F.interpolate(projected, size=size, mode="bilinear", align_corners=False))
    return decoder.linear_pred(decoder.linear_fuse(torch.cat(stacked, dim=1)))  # type: ignore[no-any-return]


def drawn() -> tuple[MlpDecoder, list[Tensor]]:
    torch.manual_seed(3)
    decoder = MlpDecoder(DIMS, 6, 2, epsilon=1e-3).eval()
    for buffer in decoder.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return decoder, [torch.randn(2, 9 // 2**level + 1, 13 // 2**level + 1, dim) for level, dim in enumerate(DIMS)]


def test_it_is_the_literal_decoder_with_and_without_a_graph() -> None:
    decoder, grids = drawn()
    with torch.inference_mode():
        wanted = literal(decoder, grids)
        found = decoder(grids)
    assert wanted.shape == (2, 2, 10, 14)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(decoder(grids).detach(), wanted, rtol=1e-5, atol=1e-6)


def test_its_gradient_is_the_literal_decoder_s() -> None:
    decoder, grids = drawn()
    decoder.train()
    literal(decoder, grids).square().mean().backward()
    wanted = {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}
    decoder.zero_grad()
    decoder(grids).square().mean().backward()
    found = {name: p.grad for name, p in decoder.named_parameters() if p.grad is not None}
    assert set(found) == set(wanted) == {name for name, _ in decoder.named_parameters()}
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
