"""UnivFD: what CLIP sees in a picture, and one linear look at it.

The image tower of CLIP ViT-L/14 stays as OpenAI trained it; only a layer of 769 numbers was learnt, on ProGAN, and it
is the only thing that the authors released. So two files are needed. The traps: the embedding is projected but not
normalised, and the picture is not resized, so only its middle 224 x 224 pixels are seen.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.clip import (
    ClipSettings,
    image_names,
    image_tower,
    library_text_shapes,
    openai_text_shapes,
    without,
)
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import CLIP_DEVIATION, CLIP_MEAN, Pixels, Prepared, centre_crop, normalised

_PAGE = "https://github.com/WisconsinAIVision/UniversalFakeDetect"
_PAPER = "UnivFD paper"


class UnivFdNetwork(nn.Module):
    """`clip` is the image tower of the transformers library, `fc` the layer that was learnt."""

    def __init__(self, settings: ClipSettings | None = None) -> None:
        super().__init__()
        settings = settings or ClipSettings()
        self.clip: Any = image_tower(settings, "UnivFD")
        self.fc = nn.Linear(settings.projection, 1)

    def embedding(self, batch: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, projection): CLIP's image embedding, not normalised."""
        found: Tensor = self.clip(pixel_values=batch).image_embeds
        return found

    def forward(self, batch: Tensor) -> Output:
        """(N, 3, side, side) -> Output."""
        features = self.embedding(batch)
        return Output(logit=self.fc(features)[:, 0], features=features)


class UnivFd(Detector):
    """The linear probe of Ojha, Li and Lee on CLIP's image embedding."""

    sizes: ClassVar[ClipSettings] = ClipSettings()

    card = Card(
        name="univfd",
        title="UnivFD",
        year=2023,
        family="univfd",
        tasks=("detect",),
        paper="Ojha, Li and Lee, Towards universal fake image detectors that generalize across generative models, "
        "CVPR 2023",
        about="The image embedding of CLIP ViT-L/14, trained to match pictures with words and frozen since, and one "
        "linear layer on it that was trained with pictures of ProGAN. What it has learnt of fakes is one direction.",
        input="CLIP statistics, the middle 224x224 at native size; smaller pictures get a black border",
        parameters=303_966_977,
        code="WisconsinAIVision/UniversalFakeDetect; MIT",
        weights=(
            WeightSet(
                name="progan",
                files=(
                    WeightFile(
                        name="fc_weights.pth",
                        source=_PAGE,
                        part="fc.",
                        bytes=4083,
                        remark="weight (1, 768) and bias (1); lies in the authors' repository",
                    ),
                    WeightFile(
                        name="model.safetensors",
                        source="https://huggingface.co/openai/clip-vit-large-patch14",
                        part="clip.",
                        hub="openai/clip-vit-large-patch14",
                        remark="about 1.7 GB; its text tower is left out. OpenAI's own file of the same weights is in "
                        "half precision. The name of the file in this repository was not checked",
                    ),
                ),
                licence="MIT (the layer); MIT (CLIP)",
                use="open",
                terms="MIT; the model card of CLIP calls any deployed use out of scope",
                trained_on="ProGAN, 20 classes",
            ),
        ),
        targets=(
            Target(data="ForenSynths, mean of 8", metric="accuracy", value=0.891, source=_PAPER),
            Target(data="ForenSynths, mean of 8", metric="AP", value=0.983, source=_PAPER),
            Target(data="diffusion models of the paper, mean", metric="accuracy", value=0.854, source=_PAPER),
            Target(data="diffusion models of the paper, mean", metric="AP", value=0.946, source=_PAPER),
            Target(data="AIGCDetectBenchmark, mean", metric="accuracy", value=0.7843, source="AIGCDetectBenchmark"),
        ),
        limits=(
            "Only the middle 224x224 pixels are seen; an edit elsewhere cannot be. Some benchmarks resize the picture "
            "instead: their numbers measure something else.",
            "The published numbers are of 1000 pictures a side; JPEG and blur of robustness tests come before the "
            "crop.",
            "The text tower of CLIP (123,650,305 parameters) is no part of this network.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """The tower and the layer."""
        return UnivFdNetwork(self.sizes)

    def prepare(self, pixels: Pixels) -> Prepared:
        """The middle square at native size; a smaller picture gets black pixels around it, before normalising."""
        return centre_crop(pixels, self.sizes.side, _clip_normalised)

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """CLIP as its owner publishes it, in either layout, or a whole network as the authors' code saves it."""
        if "model.visual.proj" in state:  # the authors' network: OpenAI's CLIP under `model.`, and the layer
            rest = without(state, openai_text_shapes(self.sizes), "model.")
            head = {name: rest.pop(name) for name in ("fc.weight", "fc.bias") if name in rest}
            tower = image_names(_stripped(rest, "model.visual."))
            return head | {"clip." + name: tensor for name, tensor in tower.items()}
        if "visual.proj" in state:
            return image_names(_stripped(without(state, openai_text_shapes(self.sizes)), "visual."))
        return without(state, library_text_shapes(self.sizes))


def _clip_normalised(pixels: Pixels) -> Tensor:
    return normalised(pixels, CLIP_MEAN, CLIP_DEVIATION)


def _stripped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
