"""Swin-T as GenImage and UnbiasedGenImage train it: attention in shifted windows, two classes.

Files hold the tensors under the official names, in the container `model`. Beside the weights the official code saves
what follows from the sizes alone (`attn.relative_position_index`, `attn_mask`). Files are read with these or without:
they are compared with ours and left out, and a file that was made for another size of picture or window is refused.

The trap is ResNet-50's: which of the two classes is the fake is not in the file.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights
from fauxlens.detectors import published
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized_crop, shorter_side_size
from fauxlens.nn.swin import Swin, SwinSettings, computed_tensors

COMPUTED = (".relative_position_index", ".attn_mask")
"""How the names of what follows from the sizes end."""

RESIZED = 256
"""The shorter side before the middle is cut out."""


class SwinClassifier(Swin):
    """(N, 3, side, side) ImageNet-normalised RGB -> Output; `fake` is which of the two outputs stands for fake."""

    def __init__(self, settings: SwinSettings, *, fake: int = 0) -> None:
        super().__init__(settings)
        self.fake = fake

    def scores(self, features: Tensor) -> Tensor:
        """(N, channels) -> (N, 2): the outputs of the last layer."""
        return cast(Tensor, self.head(features))

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, side, side) -> Output."""
        features = self.features(image)
        scores = self.scores(features)
        return Output(logit=scores[:, self.fake] - scores[:, 1 - self.fake], features=features)


class SwinT(Detector):
    """The Swin-T that GenImage and UnbiasedGenImage train: two classes in an order that the file does not tell.

    Setting `genimage`: fake is output 0 (folders `ai`, `nature` in alphabetical order); `unbiased`: output 1.
    """

    sizes: ClassVar[SwinSettings] = SwinSettings()
    settings = ("genimage", "unbiased")
    card = Card(
        name="swin-t",
        title="Swin-T (GenImage, UnbiasedGenImage)",
        year=2023,
        family="swin",
        tasks=("detect",),
        paper="Zhu et al., GenImage: a million-scale benchmark for detecting AI-generated image, NeurIPS 2023; "
        "Grommelt et al., Fake or JPEG? Revealing common biases in generated image detection datasets, 2024",
        about="A vision transformer whose attention stays within windows of 7x7 patches, which shift in every other "
        "block, over four sizes of map. It has the highest means of GenImage's Tables 3 and 4.",
        input="RGB, ImageNet statistics, shorter side to 256 (bicubic), the middle 224x224",
        parameters=27_520_892,
        code="GenImage-Dataset/GenImage and gendetection/UnbiasedGenImage, on microsoft/Swin-Transformer (MIT)",
        weights=(
            published.trained_by_genimage("ckpt_epoch_299.pth", "Swin's code"),
            published.trained_by_unbiased_genimage("ckpt_epoch_299.pth"),
        ),
        targets=published.genimage("swin-t") + published.unbiased("swin-t"),
        limits=published.LABEL_ORDERS,
    )

    def build(self) -> nn.Module:
        """Swin-T with two classes."""
        return SwinClassifier(self.sizes, fake=0 if self.setting == "genimage" else 1)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Shorter side to 256, bicubic, then the middle."""
        size = shorter_side_size(pixels.shape, RESIZED)
        return resized_crop(pixels, size, self.sizes.side, normalised, "bicubic")

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """An official file without what follows from the sizes, once it is seen to be the same as here."""
        ours = computed_tensors(self.sizes)
        for name in [name for name in state if name.endswith(COMPUTED)]:
            theirs = state.pop(name)
            if (
                name not in ours
                or theirs.shape != ours[name].shape
                or not torch.equal(theirs.to(ours[name]), ours[name])
            ):
                wanted = tuple(ours[name].shape) if name in ours else "none there"
                raise BadWeights(
                    f"'{name}' is of another size of picture or window", wanted=wanted, got=tuple(theirs.shape),
                    hint=f"this network sees {self.sizes.side}x{self.sizes.side} in windows of {self.sizes.window}",
                )  # fmt: skip
        return state
