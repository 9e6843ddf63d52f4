"""Noise that needs no labels: the quarters of a picture went through one camera and history, others through others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from fauxlens.core.errors import BadShape
from fauxlens.detectors.prediction import Output
from fauxlens.train.contrast import as_one_share, gathered, trace_contrast
from fauxlens.train.objectives import Losses, Noiseprint

if TYPE_CHECKING:
    from fauxlens.train.data import Batch


@dataclass(frozen=True, kw_only=True)
class OwnNoise(Noiseprint):
    """Traces of the four quarters of a picture alike, of other pictures not; no camera need be known.

    Whatever the augmentation did to a picture, it did to its quarters. Sides that are multiples of 16 keep the grid of
    a compression at the same place in all four, if the crop comes before it. Distances are of means over pixels times
    `scale`, so that the size of a quarter does not decide how sharp the contrast is.
    """

    whole_batch: ClassVar[bool] = True
    scale: float = 64.0

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """One loss over the quarters of the global batch."""
        if output.trace is None:
            raise BadShape("this network tells no trace", wanted="trace", got=type(output).__name__)
        height, width = output.trace.shape[-2:]
        if height % 2 or width % 2:
            raise BadShape("a picture has four equal quarters", wanted="even sides", got=f"{height}x{width}")
        quarters = torch.stack([
            output.trace[..., top : top + height // 2, left : left + width // 2]
            for top in (0, height // 2) for left in (0, width // 2)
        ], dim=1)  # fmt: skip
        quarters = gathered(quarters)
        group = torch.arange(len(quarters), device=quarters.device).repeat_interleave(4)
        traces = quarters.flatten(0, 1)
        # The squared distance is a sum over pixels: this makes it a mean times `scale`.
        traces = traces * (self.scale / (traces.shape[-1] * traces.shape[-2])) ** 0.5
        loss = trace_contrast(traces, group, flatness=self.flatness)
        return Losses(as_one_share(loss), {"trace": loss.detach()})
