"""Noiseprint++: the trace that a camera and its processing leave, as a map; it gives no verdict."""

from __future__ import annotations

from torch import Tensor, nn

from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, tiled
from fauxlens.nn.noiseprint import NoiseExtractor

_REACH = 17  # pixels on each side that one output pixel depends on


class NoiseprintNetwork(NoiseExtractor):
    """(N, 3, H, W) RGB / 256 -> Output with a trace (N, 1, H, W)."""

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, H, W) -> Output."""
        return Output(trace=super().forward(image))


class Noiseprint(Detector):
    """The extractor of Noiseprint++, for looking at and as a part of TruFor and NFA-ViT."""

    card = Card(
        name="noiseprint++",
        title="Noiseprint++",
        year=2023,
        family="noiseprint++",
        tasks=("trace",),
        paper="Guillaro et al., TruFor: leveraging all-round clues for trustworthy image forgery detection and "
        "localization, CVPR 2023",
        about="Seventeen convolutions that suppress the scene and leave the noise of camera and processing. A region "
        "whose pattern differs from the rest may come from elsewhere; no verdict is given.",
        input="RGB / 256, native size",
        parameters=557_249,
        code="grip-unina/TruFor; GRIP-UNINA non-profit licence",
        weights=(
            WeightSet(
                name="trufor",
                files=(
                    WeightFile(name="noiseprint++.th", source="https://github.com/grip-unina/TruFor", bytes=2_267_965),
                ),
                licence="GRIP-UNINA non-profit licence",
                use="research-only",
                terms="informational and non-profit use only; keep the notices and cite",
                trained_on="camera photos with known processing histories",
            ),
        ),
        limits=("A map without a scale: it shows differences inside one picture, never whether there is a forgery.",),
    )

    def build(self) -> nn.Module:
        """The extractor."""
        return NoiseprintNetwork()

    def prepare(self, pixels: Pixels) -> Prepared:
        """Native size, in tiles that overlap by more than the network's reach."""
        return tiled(pixels, 1024, 2 * _REACH + 30, _over_256, margin=_REACH)


def _over_256(pixels: Pixels) -> Tensor:
    return normalised(pixels, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), divisor=256.0)
