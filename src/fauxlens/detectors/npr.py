"""NPR: neighbouring pixels betray that a generator doubled its maps.

Generators grow a picture from small maps by doubling them. What is left when each pixel loses the upper left one of
its 2x2 block shows that; a ResNet-50 cut off after its second layer judges it. Small and fast.

Traps: the difference is taken after the statistics are applied, not before; odd rows and columns at the lower and right
border are dropped, since they have no block; and resizing a picture rewrites the very traces that are looked at, so the
way a picture is shown decides the number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.core.names import unknown
from fauxlens.detectors import published
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, centre_crop, normalised, resized, whole
from fauxlens.nn.residuals import block_corners
from fauxlens.nn.resnet import ResNet

_OWNER = "https://github.com/chuangchuangtan/NPR-DeepfakeDetection"


class NprNetwork(ResNet):
    """(N, 3, H, W) ImageNet-normalised RGB, sides of at least 2 -> Output with logit and features."""

    def __init__(self) -> None:
        super().__init__(depths=(3, 4), classes=None, stem_kernel=3)
        self.fc1 = nn.Linear(self.channels, 1)

    def residual(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same with even sides: two thirds of what the upper left pixel of a block leaves."""
        height, width = image.shape[-2] // 2 * 2, image.shape[-1] // 2 * 2
        if min(height, width) < 2:
            raise BadShape(
                "the picture is too small for blocks of two", wanted="sides of at least 2",
                got=f"{image.shape[-1]}x{image.shape[-2]}", hint="resize it; `predict` does",
            )  # fmt: skip
        image = image[..., :height, :width]
        return (image - block_corners(image)) * (2.0 / 3.0)

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, H, W) -> Output."""
        features = self.pooled(self.residual(image))
        return Output(logit=self.fc1(features)[:, 0], features=features)


Showing = Literal["resize", "native", "repeat-crop"]


class Npr(Detector):
    """NPR. `showing`, which may be changed, says what of a picture it sees.

    resize       all of it at 256x256 (bilinear): its authors' tests on ForenSynths, DiffusionForensics and Ojha
    native       all of it at its own size: their tests on GANGen and AIGCDetectBenchmark
    repeat-crop  the middle 224x224, of copies side by side where the picture is smaller: their GenImage protocol
    """

    card = Card(
        name="npr",
        title="NPR",
        year=2024,
        family="npr",
        tasks=("detect",),
        paper="Tan et al., Rethinking the up-sampling operations in CNN-based generative network for generalizable "
        "deepfake detection, CVPR 2024",
        about="What each pixel differs from the upper left one of its 2x2 block shows how a generator enlarged its "
        "maps; half a ResNet-50 judges it.",
        input="RGB, ImageNet statistics, resized to 256x256",
        parameters=1_437_761,
        code="chuangchuangtan/NPR-DeepfakeDetection; no licence file",
        weights=(
            WeightSet(
                name="npr",
                files=(WeightFile(name="NPR.pth", source=_OWNER, remark="the paper's"),),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="four LSUN classes and ProGAN",
            ),
            WeightSet(
                name="npr-3090",
                files=(
                    WeightFile(
                        name="model_epoch_last_3090.pth", source=_OWNER, remark="the row of AIGCDetectBenchmark"
                    ),
                ),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="four LSUN classes and ProGAN",
            ),
        ),
        targets=br_gen("npr")
        + published.shares(
            {"mean of 8": 92.5}, set_name="ForenSynths", metric="accuracy", source="NPR, its README", remark="NPR.pth"
        )
        + published.shares(
            {"mean of 8": 96.1}, set_name="ForenSynths", metric="AP", source="NPR, its README", remark="NPR.pth"
        )
        + published.shares(
            {
                "ProGAN": 99.9, "StyleGAN": 96.1, "BigGAN": 87.3, "CycleGAN": 90.3, "StarGAN": 99.6, "GauGAN": 85.4,
                "StyleGAN2": 98.1, "WFIR": 60.7, "ADM": 84.9, "GLIDE": 96.7, "Midjourney": 92.6, "SD V1.4": 97.4,
                "SD V1.5": 97.5, "VQDM": 90.1, "Wukong": 91.7, "DALL-E 2": 99.6, "mean of 16": 91.7,
            },
            set_name="AIGCDetectBenchmark", metric="accuracy", source="NPR, its README",
            remark="model_epoch_last_3090.pth",
        )
        + tuple(
            target
            for metric, values in (
                ("accuracy", (87.8, 80.7, 93.2, 91.7, 94.4, 88.7, 94.0, 90.1)),
                ("AP", (96.0, 89.8, 99.1, 97.9, 99.9, 96.1, 99.7, 96.9)),
            )
            for target in published.shares(
                dict(
                    zip(
                        ("ADM", "BigGAN", "GLIDE", "Midjourney", "SD V1.5", "VQDM", "Wukong", "mean"),
                        values,
                        strict=True,
                    )
                ),
                set_name="GenImage", metric=metric, source="NPR, its README",
                remark="trained on SD V1.4: a third file, on a drive",
            )
        ),
        limits=(
            "Its authors' tests resize some sets, show others as they are and cut a third kind: see `showing`. The "
            "numbers are not comparable across the three.",
            "Its authors say that the seed and the graphics card change the result of training.",
            "Resizing and strong compression rewrite what it looks at.",
        ),
    )  # fmt: skip

    options = declared(showing=Option(about="how a picture is shown", choices=("resize", "native", "repeat-crop")))
    showing: Showing = "resize"

    def build(self) -> nn.Module:
        """Half a ResNet-50 on the residual."""
        return NprNetwork()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says."""
        if self.showing == "resize":
            return resized(pixels, (256, 256), normalised)
        if self.showing == "native":
            return whole(pixels, normalised)
        if self.showing == "repeat-crop":
            shown = centre_crop(repeated(pixels, 224), 224, normalised)
            if min(pixels.shape[:2]) < 224:
                return replace(shown, notes=("smaller than 224 pixels: shown as copies side by side", *shown.notes))
            return shown
        raise unknown(self.showing, ("resize", "native", "repeat-crop"), "way to show a picture to npr")


def repeated(pixels: Pixels, side: int) -> Pixels:
    """A picture with a side below `side` as copies of itself, beside and below each other, until both reach it."""
    height, width = pixels.shape[:2]
    return np.tile(pixels, (-(-side // height), -(-side // width), 1))
