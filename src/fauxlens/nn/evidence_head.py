"""A verdict that rests on a mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EvidenceHead(nn.Module):
    """A verdict from the strongest places of the mask, plus a linear look at the last features.

    `shares` are how much of the picture counts as its strongest places: the mean of each has a weight of its own.
    """

    def __init__(self, dim: int, shares: tuple[float, ...] = (0.05,)) -> None:
        super().__init__()
        self.shares = shares
        self.scale = nn.Parameter(torch.full((len(shares),), 1.0 / len(shares)))
        self.linear = nn.Linear(dim, 1)

    def forward(self, mask: Tensor, features: Tensor) -> Tensor:
        """(N, ...) mask logits and (N, C) features -> (N,)."""
        flat = mask.flatten(1)
        counts = [max(1, int(flat.shape[1] * share + 1e-6)) for share in self.shares]
        strongest = flat.topk(max(counts), dim=1).values
        means = torch.stack([strongest[:, :count].mean(dim=1) for count in counts], dim=1)
        verdict: Tensor = (means * self.scale).sum(dim=1) + self.linear(features)[:, 0]
        return verdict
