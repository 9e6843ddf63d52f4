"""A critic of patches: which places of a picture look made. Used in training only; its weights are never shipped."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchCritic(nn.Module):
    """(N, 3, H, W) in 0..1 -> a score a patch (N, 1, H/2**depth, W/2**depth), and the features of every level.

    Spectral normalisation bounds how fast a score can change, in place of a gradient penalty, whose second derivative
    would cost as much as all the rest on a processor.
    """

    def __init__(self, channels: int = 32, depth: int = 3, widest: int = 128) -> None:
        super().__init__()
        widths = [3, *(min(widest, channels << level) for level in range(depth))]
        self.levels = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1))
            for before, after in itertools.pairwise(widths)
        )
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores above zero say photo, below zero say made."""
        held = pictures * 2.0 - 1.0
        features = []
        for level in self.levels:
            held = F.leaky_relu(level(held), 0.2)
            features.append(held)
        return self.score(held), features
