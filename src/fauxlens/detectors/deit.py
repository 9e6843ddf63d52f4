"""DeiT-S as GenImage trains it: a small plain vision transformer with two classes.

Its files hold the tensors under timm's names, in the container `model`. The trap is ResNet-50's: which of the two
classes is the fake is not in the file. GenImage's folders in alphabetical order make it the first.
"""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from fauxlens.detectors import published
from fauxlens.detectors.card import Card
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized_crop, shorter_side_size
from fauxlens.nn.vit import VisionTransformer, ViTSettings

RESIZED = 256
"""The shorter side before the middle is cut out."""


class DeitClassifier(VisionTransformer):
    """(N, 3, side, side) ImageNet-normalised RGB -> Output; `fake` is which of the two outputs stands for fake."""

    def __init__(self, settings: ViTSettings, *, fake: int = 0) -> None:
        super().__init__(settings)
        self.fake = fake

    def scores(self, features: Tensor) -> Tensor:
        """(N, width) -> (N, 2): the outputs of the last layer."""
        return cast(Tensor, self.head(features))

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, side, side) -> Output."""
        features = self.features(image)
        scores = self.scores(features)
        return Output(logit=scores[:, self.fake] - scores[:, 1 - self.fake], features=features)


class DeitS(Detector):
    """The DeiT-S of GenImage.

    Setting `genimage`: fake is output 0 (folders `ai`, `nature` in alphabetical order); `unbiased`: output 1, for one
    that was trained with UnbiasedGenImage's order of classes, which published none.
    """

    sizes: ClassVar[ViTSettings] = ViTSettings(classes=2, drop_path=0.1)
    settings = ("genimage", "unbiased")
    card = Card(
        name="deit-s",
        title="DeiT-S (GenImage)",
        year=2023,
        family="vit",
        tasks=("detect",),
        paper="Zhu et al., GenImage: a million-scale benchmark for detecting AI-generated image, NeurIPS 2023",
        about="A plain vision transformer of 12 blocks over patches of 16x16, with two classes: one of GenImage's own "
        "yardsticks.",
        input="RGB, ImageNet statistics, shorter side to 256 (bicubic), the middle 224x224",
        parameters=21_666_434,
        code="GenImage-Dataset/GenImage, on facebookresearch/deit (Apache-2.0)",
        weights=(published.trained_by_genimage("checkpoint.pth", "DeiT's code"),),
        targets=published.genimage("deit-s"),
        limits=(
            "How GenImage showed its pictures to DeiT-S is not told; shorter side to 256, then the middle 224x224, is "
            "what its Swin-T sees, and taken for this one too.",
            *published.LABEL_ORDERS,
        ),
    )

    def build(self) -> nn.Module:
        """A small plain ViT with two classes."""
        return DeitClassifier(self.sizes, fake=0 if self.setting == "genimage" else 1)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Shorter side to 256, bicubic, then the middle."""
        size = shorter_side_size(pixels.shape, RESIZED)
        return resized_crop(pixels, size, self.sizes.side, normalised, "bicubic")
