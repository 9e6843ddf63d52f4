"""A detector that costs nothing: how rough a picture is, everywhere and as a whole. For tests of what is around one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.detectors.card import Card
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, whole


class TinyNetwork(nn.Module):
    """(N, 3, H, W) of any size -> Output with logit and mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)

    def forward(self, image: Tensor) -> Output:
        smooth = F.avg_pool2d(image, 3, stride=1, padding=1)
        mask = self.layer((image - smooth).abs())
        return Output(logit=mask.mean(dim=(1, 2, 3)), mask=mask)


class Tiny(Detector):
    """Says something of every picture, at its own size."""

    card = Card(
        name="tiny", title="Tiny", year=2026, family="tiny", tasks=("detect", "localise"), paper="none: for tests",
        about="One layer on what a box filter leaves.", input="RGB, native size", parameters=4, code="ours",
    )  # fmt: skip

    def build(self) -> nn.Module:
        return TinyNetwork()

    def prepare(self, pixels: Pixels) -> Prepared:
        return whole(pixels, normalised)
