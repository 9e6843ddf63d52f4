"""GramNet: textures as they are everywhere in a picture, beside a ResNet-18.

At six depths of the ResNet a small branch correlates 32 maps with each other over the whole picture (a Gram matrix),
which tells the texture and forgets the place. The branches' answers lie beside the ResNet's own features.

Traps: of the two classes the FIRST is the fake. The original is shown blue, green, red in 0..255 without statistics.
One shared number multiplies every branch's answer. The original file is a pickled program, which is never run here;
the copy that benchmarks hand on holds tensors and ends in one logit.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.detectors import published
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import (
    Pixels,
    Prepared,
    normalised,
    resized,
    resized_crop,
    shorter_side_size,
)
from fauxlens.nn.resnet import BasicBlock, ResNet

BRANCHES = (
    ("conv_interi_0", "gi_fc1", "gi_fc2", 3),
    ("conv_inter0_0", "g0_fc1", "g0_fc2", 64),
    ("conv_inter1_0", "g_fc1r", "g_fc2r", 64),
    ("conv_inter2_0", "g2_fc1", "g2_fc2", 64),
    ("conv_inter3_0", "g3_fc1", "g3_fc2", 128),
    ("conv_inter4_0", "g4_fc1", "g4_fc2", 256),
)
"""Released names of each branch's three convolutions and its channels: input, stem, pooled, layers 1, 2 and 3."""

FAKE, REAL = 0, 1
"""Which output is which, as released."""


class Scale(nn.Module):
    """One learnt number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, values: Tensor) -> Tensor:
        """Any shape -> the same."""
        return values * self.scale


def gram(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, C, C): how often two maps are high together, over C * H * W."""
    flat = maps.flatten(2)
    return (flat @ flat.mT / flat[0].numel())[:, None]


class GramNet(ResNet):
    """(N, 3, H, W) -> Output with logit and features; `classes` 2 as published, or 1."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__(BasicBlock, (2, 2, 2, 2), None)
        self.scale = Scale()
        for first, second, third, channels in BRANCHES:
            setattr(self, first, _convolved(channels, 32, 1))
            setattr(self, second, _convolved(1, 16, 2))
            setattr(self, third, _convolved(16, 32, 2))
        width = self.channels + 32 * len(BRANCHES)
        self.fcnewr = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, classes))

    def texture(self, branch: int, maps: Tensor) -> Tensor:
        """(N, C, H, W) at a depth of the trunk -> (N, 32)."""
        first, second, third = (self.get_submodule(name) for name in BRANCHES[branch][:3])
        return cast(Tensor, self.scale(third(second(gram(first(maps)))).mean(dim=(2, 3))))

    def scores(self, features: Tensor) -> Tensor:
        """(N, 704) -> (N, classes), before the softmax."""
        return cast(Tensor, self.fcnewr(features))

    def log_probabilities(self, features: Tensor) -> Tensor:
        """(N, 704) -> (N, 2): what the published network returns, fake first."""
        return F.log_softmax(self.scores(features), dim=1)

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, H, W) -> Output."""
        depths = [image, self.stem(image)]
        depths.append(self.pool(depths[-1]))
        for level in range(1, 5):
            depths.append(self.get_submodule(f"layer{level}")(depths[-1]))
        textures = [self.texture(branch, depths[branch]) for branch in range(len(BRANCHES))]
        features = torch.cat((depths[-1].mean(dim=(2, 3)), *textures), dim=1)
        scores = self.scores(features)
        logit = scores[:, 0] if scores.shape[1] == 1 else scores[:, FAKE] - scores[:, REAL]
        return Output(logit=logit, features=features)


def _convolved(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def blue_first(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 RGB -> (3, H, W) float32 in 0..255, blue, green, red."""
    return normalised(pixels[..., ::-1], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), divisor=1.0)


class GramNetDetector(Detector):
    """GramNet. Setting `published` has two classes; `single` is the one-logit form that benchmarks hand on."""

    settings = ("published", "single")
    card = Card(
        name="gramnet",
        title="GramNet",
        year=2020,
        family="gramnet",
        tasks=("detect",),
        paper="Liu et al., Global texture enhancement for fake face detection in the wild, CVPR 2020",
        about="A ResNet-18 with six branches that tell how maps go together over the whole picture: texture without "
        "place.",
        input="BGR in 0..255, resized to 512x512 (published); RGB, ImageNet statistics, shorter side 256, the middle "
        "224x224 (single)",
        parameters=11_734_723,
        code="liuzhengzhe/Global_Texture_Enhancement_for_Fake_Face_Detection_in_the-Wild; licence not checked",
        weights=(
            WeightSet(
                name="published",
                files=(
                    WeightFile(
                        name="the authors' pickled module",
                        source="https://github.com/liuzhengzhe/"
                        "Global_Texture_Enhancement_for_Fake_Face_Detection_in_the-Wild",
                        remark="a whole program in a pickle, which is never run here: export its state dict first",
                    ),
                ),
                licence="not checked",
                use="ask",
                terms="the terms of these weights were not checked: see their owner's page",
                trained_on="real and generated faces",
                labels=("fake", "real"),
            ),
            WeightSet(
                name="single",
                files=(
                    WeightFile(
                        name="GramNet's file in sidbench's collection",
                        source="https://github.com/mever-team/sidbench",
                        remark="tensors under `netC`, one logit; the file was not seen, so its name is not given",
                    ),
                ),
                licence="not checked",
                use="ask",
                terms="handed on by others than the authors; the terms were not checked",
                trained_on="not checked",
                setting="single",
            ),
        ),
        targets=published.genimage("gramnet"),
        limits=(
            "The first of its two outputs is the fake.",
            "GenImage's numbers are of its own training, not of these files.",
            "How the one-logit file was shown its pictures is inferred from the defaults of the collection that hands "
            "it on, and so is that its logit is high for fake; neither was checked.",
            "How the original interpolates when it resizes was not checked; here it is bilinear and antialiased.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """The network of the setting."""
        return GramNet(2 if self.setting == "published" else 1)

    def prepare(self, pixels: Pixels) -> Prepared:
        """As each of the two files wants it."""
        if self.setting == "published":
            return resized(pixels, (512, 512), blue_first)
        return resized_crop(pixels, shorter_side_size(pixels.shape, 256), 224, normalised)
