"""A verdict that rests on a mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EvidenceHead(nn.Module):
    """A verdict from the strongest twentieth of the mask, plus a linear look at the last features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.linear = nn.Linear(dim, 1)

    def forward(self, mask: Tensor, features: Tensor) -> Tensor:
        """(N, ...) mask logits and (N, C) features -> (N,)."""
        flat = mask.flatten(1)
        strongest = flat.topk(max(1, flat.shape[1] // 20), dim=1).values.mean(dim=1)
        verdict: Tensor = self.scale * strongest + self.linear(features)[:, 0]
        return verdict
