"""LGrad: a picture as the gradient that it causes in a GAN's discriminator, judged by a ResNet-50.

A frozen StyleGAN discriminator scores the picture; the gradient of that score with respect to the pixels is stretched
to 0..255, cut to 8 bits, and shown to a plain classifier. What the scene shows is mostly gone from it.

Traps. The discriminator is StyleGAN's for LSUN bedrooms, whatever the classifier was trained on. Its last block
compares the pictures of a batch, so a picture's gradient depends on its company: one at a time. The gradient is part of
the answer, so it is computed here even where the caller has switched gradients off. The authors keep gradients as 8-bit
PNG files, hence the rounding to 8 bits in the middle of the network.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.core.names import unknown
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Pixels,
    Prepared,
    centre_crop,
    normalised,
    resized,
)
from fauxlens.nn.resnet import ResNet

SIDE = 256

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2
_GROUP = 4  # pictures that the last block compares


def width_at(resolution: int) -> int:
    """Channels of the discriminator at a resolution.

    >>> [width_at(side) for side in (256, 128, 64, 32, 4)]
    [64, 128, 256, 512, 512]
    """
    return min(16384 // resolution, 512)


class Equalised(nn.Module):
    """Weights kept at unit scale and multiplied at each call by gain / sqrt(fan in); a bias as it is."""

    def __init__(self, shape: tuple[int, ...], gain: float = _GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def scaled(self) -> Tensor:
        """The weight that is used."""
        return self.weight * self.scale


class Convolution(Equalised):
    """A convolution that keeps the size, and its activation."""

    def __init__(self, channels: int, wanted: int, kernel: int) -> None:
        super().__init__((wanted, channels, kernel, kernel))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, wanted, H, W)."""
        return F.leaky_relu(F.conv2d(maps, self.scaled(), self.bias, padding=self.weight.shape[-1] // 2), _SLOPE)


class Dense(Equalised):
    """A linear layer; with an activation unless it is the last."""

    def __init__(self, channels: int, wanted: int, *, last: bool = False) -> None:
        super().__init__((wanted, channels), 1.0 if last else _GAIN)
        self.last = last

    def forward(self, rows: Tensor) -> Tensor:
        """(N, C) -> (N, wanted)."""
        found = F.linear(rows, self.scaled(), self.bias)
        return found if self.last else F.leaky_relu(found, _SLOPE)


class Blur(nn.Module):
    """Each channel with (1, 2, 1) x (1, 2, 1) / 16; the kernel is stored, but a constant."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (row[:, None] * row).expand(channels, 1, 3, 3).clone())

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return F.conv2d(maps, self.kernel, padding=1, groups=maps.shape[1])


class Halving(Equalised):
    """Blur, convolve with 3x3, take 2x2 means: the last two as one strided 4x4 convolution, which is the same sum."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__((wanted, channels, 3, 3))
        self.blur = Blur(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, wanted, H / 2, W / 2)."""
        around = F.pad(self.scaled(), (1, 1, 1, 1))
        shifts = around[..., 1:, 1:] + around[..., :-1, 1:] + around[..., 1:, :-1] + around[..., :-1, :-1]
        halved = F.conv2d(self.blur(maps), shifts * 0.25, self.bias, stride=2, padding=1)
        return F.leaky_relu(halved, _SLOPE)


class Discriminator(nn.Module):
    """StyleGAN's (the first) for 256x256: (N, 3, 256, 256) in -1..1 -> scores (N, 1).

    It holds an entrance for each resolution, as its training grew it; only the first is used.
    """

    lod: Tensor

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        self.register_buffer("lod", torch.zeros(()))
        resolutions = [side >> step for step in range(side.bit_length() - 2)]  # 256, 128, ... 4
        for number, resolution in enumerate(resolutions):
            width = width_at(resolution)
            setattr(self, f"input{number}", Convolution(3, width, 1))
            if resolution > 4:
                setattr(self, f"layer{2 * number}", Convolution(width, width, 3))
                setattr(self, f"layer{2 * number + 1}", Halving(width, width_at(resolution // 2)))
        self.last = 2 * len(resolutions) - 2
        width = width_at(4)
        setattr(self, f"layer{self.last}", Convolution(width + 1, width, 3))
        setattr(self, f"layer{self.last + 1}", Dense(width * 16, width))
        setattr(self, f"layer{self.last + 2}", Dense(width, 1, last=True))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> (N, 1)."""
        maps = image
        for name in ("input0", *(f"layer{number}" for number in range(self.last))):
            maps = getattr(self, name)(maps)
        maps = torch.cat((maps, group_deviation(maps)), dim=1)
        rows = getattr(self, f"layer{self.last}")(maps).flatten(1)
        rows = getattr(self, f"layer{self.last + 1}")(rows)
        return getattr(self, f"layer{self.last + 2}")(rows)  # type: ignore[no-any-return]


def group_deviation(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W): one number a group of pictures, how much they differ from each other."""
    n, _, height, width = maps.shape
    group = min(_GROUP, n)
    if n % group:
        raise BadShape(f"the discriminator compares pictures in groups of {_GROUP}", wanted="whole groups", got=n)
    grouped = maps.reshape(group, n // group, *maps.shape[1:])
    deviation = (grouped - grouped.mean(dim=0)).square().mean(dim=0).add(1e-8).sqrt()
    return deviation.mean(dim=(1, 2, 3), keepdim=True).repeat(group, 1, height, width)


class LGrad(nn.Module):
    """(N, 3, 256, 256) RGB in -1..1 -> Output with a logit; all of a batch are differentiated together."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = Discriminator().requires_grad_(False)
        self.classifier = ResNet(classes=1)

    def gradient(self, image: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> of the same shape: how the sum of the scores changes with each value."""
        with torch.inference_mode(False), torch.enable_grad():
            image = image.clone().detach().requires_grad_()
            (found,) = torch.autograd.grad(self.discriminator(image).sum(), image)
        return found

    def picture(self, image: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> the gradient as the classifier is shown it, whole numbers in 0..255."""
        return stretched(self.gradient(image)).round()

    def forward(self, image: Tensor) -> Output:
        """(N, 3, 256, 256) -> Output."""
        if image.dim() != 4 or tuple(image.shape[1:]) != (3, SIDE, SIDE):
            raise BadShape("LGrad sees batches of RGB", wanted=f"(N, 3, {SIDE}, {SIDE})", got=tuple(image.shape))
        mean, deviation = (torch.tensor(numbers, dtype=image.dtype, device=image.device)[:, None, None]
                           for numbers in (IMAGENET_MEAN, IMAGENET_DEVIATION))  # fmt: skip
        features = self.classifier.pooled((self.picture(image) / 255.0 - mean) / deviation)
        return Output(logit=self.classifier.fc(features)[:, 0], features=features)  # type: ignore[misc]


def stretched(gradient: Tensor) -> Tensor:
    """(N, 3, H, W) -> each picture's smallest value to 0, its largest to 255, all three colours together."""
    low, high = gradient.amin(dim=(1, 2, 3), keepdim=True), gradient.amax(dim=(1, 2, 3), keepdim=True)
    # A gradient that is the same everywhere says nothing: black, not NaN.
    return (gradient - low) / (high - low).clamp(min=torch.finfo(gradient.dtype).tiny) * 255.0


Showing = Literal["resize", "crop"]


class LGradDetector(Detector):
    """LGrad as a detector. `showing`, which may be changed, says what of a picture it sees.

    resize  all of it at 256x256, as the authors do
    crop    the middle 256x256, as sidbench does; smaller pictures get a black border
    """

    batch_limit = 1
    no_export = "its answer rests on a gradient, which a graph of ONNX does not take"
    card = Card(
        name="lgrad",
        title="LGrad",
        year=2023,
        family="lgrad",
        tasks=("detect",),
        paper="Tan et al., Learning on gradients: generalized artifacts representation for GAN-generated images "
        "detection, CVPR 2023",
        about="The gradient that the picture causes in a frozen StyleGAN discriminator, stretched to 8 bits, is what a "
        "ResNet-50 judges.",
        input="RGB in -1..1, resized to 256x256 (or its middle 256x256)",
        parameters=46_562_434,
        code="chuangchuangtan/LGrad; no licence stated, its StyleGAN part is NVIDIA's, CC BY-NC 4.0",
        weights=tuple(
            WeightSet(
                name=f"progan-{classes}class",
                files=(
                    WeightFile(
                        name="karras2019stylegan-bedrooms-256x256_discriminator.pth",
                        source="https://github.com/chuangchuangtan/LGrad",
                        part="discriminator.",
                        remark="a conversion of NVIDIA's StyleGAN for LSUN bedrooms",
                    ),
                    WeightFile(
                        name=f"LGrad-{classes}class-*.pth",
                        source="https://github.com/chuangchuangtan/LGrad",
                        part="classifier.",
                        remark="the end of the file's name was not checked",
                    ),
                ),
                licence="none stated; discriminator CC BY-NC 4.0",
                use="research-only",
                terms="no terms are stated for the classifier, so all rights are the authors'; the discriminator is "
                "NVIDIA's, for non-commercial use with attribution",
                trained_on=f"ProGAN, number of classes: {classes}; the discriminator on LSUN bedrooms",
            )
            for classes in (4, 2, 1)
        ),
        targets=(
            Target(data="ForenSynths, mean of 8", metric="accuracy", value=0.861, source="LGrad"),
            Target(data="ForenSynths, mean of 8", metric="AP", value=0.915, source="LGrad"),
            Target(data="AIGCDetectBenchmark, mean", metric="accuracy", value=0.7534, source="AIGCDetectBenchmark"),
            *br_gen("lgrad"),
        ),
        limits=(
            "Resizing to 256x256 comes first and removes what a large picture's pixels could tell.",
            "Whether the authors' 8-bit gradients were rounded or cut, and in which order their files hold the three "
            "colours, was not checked: here they are rounded, red first.",
            "One picture at a time, with a backward pass through 23 million weights: slow.",
        ),
    )  # fmt: skip

    options = declared(showing=Option(about="how a picture is shown", choices=("resize", "crop")))
    showing: Showing = "resize"

    def build(self) -> nn.Module:
        """Discriminator and classifier."""
        return LGrad()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says."""
        if self.showing == "resize":
            return resized(pixels, (SIDE, SIDE), _to_one)
        if self.showing == "crop":
            return centre_crop(pixels, SIDE, _to_one)
        raise unknown(self.showing, ("resize", "crop"), f"way to show a picture to {self.card.name}")


def _to_one(pixels: Pixels) -> Tensor:
    return normalised(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
