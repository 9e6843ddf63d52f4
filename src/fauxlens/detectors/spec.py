"""Spec (AutoGAN): a picture's spectrum in the place of the picture, judged by a ResNet-34.

A generator that doubles its maps on the way repeats their spectrum at higher frequencies; the logarithm of the Fourier
transform shows the copies, and an ordinary classifier learns to see them.

The spectrum is taken while a picture is prepared, not in the network: a network that got spectra in training holds the
classifier's tensors and nothing else, no picture's answer can depend on its company, and in double precision on the
processor every device is shown the same numbers.

Traps. The spectrum is not shifted: the mean colour is in the corner. A picture of one colour has no spectrum but its
mean. Resizing rewrites the high frequencies, where the copies lie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlens.core.names import unknown
from fauxlens.detectors import published
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.resnet50 import Classifier
from fauxlens.detectors.view import Pixels, Prepared, resized_crop, shorter_side_size
from fauxlens.nn.resnet import BasicBlock

SIDE = 256
CROP = 224

_FLOOR = 1e-3  # added to each magnitude before its logarithm
_LOW, _HIGH = 5, 95  # percentiles that become -1 and 1
_SMALLEST_SPREAD = 1e-3  # of logarithms; below it there is only rounding to be stretched

Band = Literal["all", "low", "mid", "high"]

_RINGS = ("low", "mid", "high")


def log_spectrum(pixels: Pixels) -> NDArray[np.float64]:
    """(H, W, 3) uint8 -> (3, H, W) in -1..1: how strong each frequency is, the mean in the corner.

    Each colour by itself: the logarithm, its 5th percentile to -1, its 95th to 1, what is beyond cut off.
    """
    magnitudes = np.abs(np.fft.fft2(pixels.transpose(2, 0, 1) / 255.0))
    strengths = np.log(magnitudes + _FLOOR)
    low, high = np.percentile(strengths, (_LOW, _HIGH), axis=(1, 2), keepdims=True)
    spread = np.maximum(high - low, _SMALLEST_SPREAD)
    return cast(NDArray[np.float64], np.clip((strengths - low) / spread * 2.0 - 1.0, -1.0, 1.0))


def band_mask(height: int, width: int, band: Band) -> NDArray[np.bool_]:
    """(H, W): which frequencies a band holds, the mean in the corner as in the spectrum.

    A band is a square ring around the mean, a third of the way to the highest frequency wide; `all` holds every one.

    >>> [int(band_mask(6, 6, band).sum()) for band in ("low", "mid", "high", "all")]
    [1, 8, 27, 36]
    """
    if band == "all":
        return np.ones((height, width), bool)
    if band not in _RINGS:
        raise unknown(band, ("all", *_RINGS), "band of frequencies")
    rings = np.maximum(_rings(height)[:, None], _rings(width)[None])
    return np.asarray(rings == _RINGS.index(band))


def _rings(length: int) -> NDArray[np.int64]:
    # In whole numbers, so that no frequency on a border falls to either side by rounding.
    at = np.arange(length)
    frequency = np.minimum(at, length - at)
    return np.asarray(np.minimum(6 * frequency // length, 2), np.int64)


def spectrum_of(band: Band) -> Callable[[Pixels], Tensor]:
    """What turns (H, W, 3) uint8 into the (3, H, W) float32 that the classifier sees: 0 outside the band."""

    def shown(pixels: Pixels) -> Tensor:
        found = log_spectrum(pixels) * band_mask(pixels.shape[0], pixels.shape[1], band)
        return torch.from_numpy(found.astype(np.float32))

    return shown


_AUTOGAN = "https://github.com/ColumbiaDVMM/AutoGAN"
_GENIMAGE = "https://github.com/GenImage-Dataset/GenImage"


def _autogan(order: str, labels: tuple[str, ...]) -> WeightSet:
    return WeightSet(
        name=f"autogan-{order}",
        files=(
            WeightFile(
                name="a state dict of a ResNet-34 with two classes",
                source=_AUTOGAN,
                remark="the order of its classes is not told: try both sets on pictures that you know",
            ),
        ),
        licence="not checked; the code's headers say BSD",
        use="ask",
        terms="no released weights are known: train your own with the authors' code and import what it saves",
        trained_on="photos and a GAN's pictures, or AutoGAN's imitation of them",
        setting=order,
        labels=labels,
    )


class SpecDetector(Detector):
    """Spec as a detector; the settings say in which order a file's two classes are.

    `band`, which may be changed, leaves only a third of the frequencies: low, mid or high. That is for classifiers that
    were trained on the same third.
    """

    settings = ("fake-real", "real-fake")
    card = Card(
        name="spec",
        title="Spec (AutoGAN)",
        year=2019,
        family="spec",
        tasks=("detect",),
        paper="Zhang et al., Detecting and simulating artifacts in GAN fake images, WIFS 2019",
        about="The logarithm of the picture's Fourier spectrum, stretched to -1..1, is shown to a ResNet-34 with two "
        "classes. Doubling maps, as generators do, leaves copies in it.",
        input="the log spectrum of the middle 224x224 after the shorter side became 256, each colour in -1..1",
        parameters=21_285_698,
        code="ColumbiaDVMM/AutoGAN; file headers say BSD, without a licence file",
        weights=(
            WeightSet(
                name="genimage",
                files=(
                    WeightFile(
                        name="a state dict of a ResNet-34 with two classes",
                        source=_GENIMAGE,
                        released=False,
                        remark="not given away; the order is that of the benchmark's folders, not checked for Spec",
                    ),
                ),
                licence="none stated; the pictures are CC BY-NC-SA 4.0, no commercial use",
                use="non-commercial",
                terms="no weights were released: train your own and import what it saves",
                trained_on="GenImage, one generator or all",
                setting="fake-real",
                labels=("ai", "nature"),
            ),
            _autogan("fake-real", ("fake", "real")),
            _autogan("real-fake", ("real", "fake")),
        ),
        targets=published.genimage("spec"),
        limits=(
            "No weights were published; train it, or bring a file.",
            "The order of the two classes is no part of a file. With the wrong setting every verdict is turned "
            "around: try it on pictures you know.",
            "The published crop is told for pictures of 256x256; for others the shorter side becomes 256 (bilinear), "
            "which is ours and rewrites high frequencies.",
            "Where the bands of `band` end, and that what is outside becomes 0, is ours; the full spectrum is the "
            "published form.",
            "Trained on SD V1.4 it falls to chance on any degraded picture (GenImage, Table 5).",
        ),
    )  # fmt: skip

    options = declared(band=Option(about="which frequencies are shown", choices=("all", "low", "mid", "high")))
    band: Band = "all"

    def build(self) -> nn.Module:
        """A ResNet-34 with two classes."""
        return Classifier(BasicBlock, classes=2, fake=self.settings.index(self.setting))

    def prepare(self, pixels: Pixels) -> Prepared:
        """Shorter side to 256, the middle 224x224, its spectrum."""
        band_mask(1, 1, self.band)  # a wrong name is told before any picture is seen
        return resized_crop(pixels, shorter_side_size(pixels.shape, SIDE), CROP, spectrum_of(self.band))
