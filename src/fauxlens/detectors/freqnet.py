"""FreqNet: learns in the frequency domain, and throws the low frequencies away again and again.

Between its convolutions it removes the low middle of the spectrum, of the picture, of its maps and across its
channels, and it convolves real and imaginary parts of spectra. A ResNet's first two layers stand in between; there is
no convolution at the start.

Traps: only the rectangle where rows AND columns are low is removed; across channels the same is done with a spectrum
of the channels alone; the third and fourth steps leave that out; the four 1x1 convolutions `weightK`/`biasK` are bare
parameters of the network.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.names import unknown
from fauxlens.detectors import published
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized, whole
from fauxlens.nn.resnet import Bottleneck, residual_layer


def without_low(maps: Tensor, dimensions: tuple[int, ...]) -> Tensor:
    """`maps` without the middle half of its spectrum along `dimensions`, where all of them are low; then ReLU."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(maps, dim=dimensions, norm="ortho"), dim=dimensions)
    low = [slice(None)] * maps.dim()
    for dimension in dimensions:
        half, quarter = maps.shape[dimension] // 2, maps.shape[dimension] // 4
        low[dimension] = slice(half - quarter, half + quarter)
    if torch.compiler.is_exporting():
        # ONNX cannot write into a part of complex numbers.
        kept = torch.ones_like(maps)
        kept[tuple(low)] = 0.0
        spectrum = torch.complex(spectrum.real * kept, spectrum.imag * kept)
    else:
        spectrum[tuple(low)] = 0.0
    back = torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=dimensions), dim=dimensions, norm="ortho")
    return F.relu(back.real)


class FreqNet(nn.Module):
    """(N, 3, H, W) ImageNet-normalised RGB -> Output with logit and features."""

    def __init__(self) -> None:
        super().__init__()
        for step, (channels, width) in enumerate(((3, 64), (64, 64), (256, 256), (256, 256)), start=1):
            weight = nn.Parameter(torch.empty(width, channels, 1, 1))
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            self.register_parameter(f"weight{step}", weight)
            self.register_parameter(f"bias{step}", nn.Parameter(torch.zeros(width)))
            setattr(self, f"realconv{step}", nn.Conv2d(width, width, 1, bias=False))
            setattr(self, f"imagconv{step}", nn.Conv2d(width, width, 1, bias=False))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = residual_layer(Bottleneck, 64, 64, 3)
        self.layer2 = residual_layer(Bottleneck, 256, 128, 4, stride=2)
        self.fc1 = nn.Linear(512, 1)

    def step(self, number: int, maps: Tensor, *, stride: int = 1, channels: bool = False) -> Tensor:
        """One of the four: high frequencies, a 1x1 convolution, high frequencies of channels, the spectrum's own."""
        weight, bias = self.get_parameter(f"weight{number}"), self.get_parameter(f"bias{number}")
        maps = F.relu(F.conv2d(without_low(maps, (2, 3)), weight, bias, stride))
        if channels:
            maps = without_low(maps, (1,))
        spectrum = torch.fft.fftshift(torch.fft.fft2(maps, norm="ortho"), dim=(-2, -1))
        real, imaginary = (cast(nn.Conv2d, self.get_submodule(f"{part}conv{number}")) for part in ("real", "imag"))
        spectrum = torch.complex(real(spectrum.real), imaginary(spectrum.imag))
        return F.relu(torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)), norm="ortho").real)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output."""
        # Spectra of half-precision numbers exist on few devices and sizes.
        with torch.autocast(image.device.type, enabled=False):
            maps = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
            maps = self.step(1, maps, channels=True)
            maps = self.step(2, maps, stride=2, channels=True)
            maps = self.layer1(self.pool(maps))
            maps = self.step(3, maps)
            maps = self.step(4, maps, stride=2)
            features = self.layer2(maps).mean(dim=(2, 3))
            return Output(logit=self.fc1(features)[:, 0], features=features)


class FreqNetDetector(Detector):
    """FreqNet. `showing`: `resize` to 256x256, as for sets of unequal pictures; `native`, as for sets of equal ones."""

    card = Card(
        name="freqnet",
        title="FreqNet",
        year=2024,
        family="freqnet",
        tasks=("detect",),
        paper="Tan et al., Frequency-aware deepfake detection: improving generalizability through frequency space "
        "domain learning, AAAI 2024",
        about="It removes the low frequencies of the picture, of its maps and across its channels, convolves spectra, "
        "and judges what is left with two layers of a ResNet.",
        input="RGB, ImageNet statistics, resized to 256x256",
        parameters=1_850_433,
        code="chuangchuangtan/FreqNet-DeepfakeDetection; no licence file",
        weights=(
            WeightSet(
                name="freqnet",
                files=(
                    WeightFile(
                        name="4-classes-freqnet-v2.pth",
                        source="https://github.com/chuangchuangtan/FreqNet-DeepfakeDetection",
                    ),
                ),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="four LSUN classes and ProGAN",
            ),
        ),
        targets=br_gen("freqnet")
        + published.shares(
            {"mean of 8": 91.5},
            set_name="ForenSynths",
            metric="accuracy",
            source="BR-Gen, Table 2",
            remark="inferred: the table's number and the loss that it prints beside it, added up",
        ),
        limits=(
            "Its authors say that the graphics card and its driver change the results of training.",
            "Weak on JPEG: compression rewrites the frequencies that it looks at.",
            "Its authors resize only those test sets whose pictures have unequal sizes: see `showing`.",
        ),
    )

    options = declared(showing=Option(about="how a picture is shown", choices=("resize", "native")))
    showing: Literal["resize", "native"] = "resize"

    def build(self) -> nn.Module:
        """The network."""
        return FreqNet()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says."""
        if self.showing == "resize":
            return resized(pixels, (256, 256), normalised)
        if self.showing == "native":
            return whole(pixels, normalised)
        raise unknown(self.showing, ("resize", "native"), "way to show a picture to freqnet")
