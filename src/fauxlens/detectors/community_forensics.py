"""Community Forensics: a small plain vision transformer that saw pictures of thousands of generators.

Two sets of weights, for pictures of 384x384 and of 224x224; they are settings, since the table of positions differs.
Every tensor lies under `vit.` and then timm's name. The picture is resized before it is cut (to 440 or 256 along the
shorter side), so what is seen is most of it, and one output says fake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, cast

from torch import Tensor, nn

from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized_crop, shorter_side_size
from fauxlens.nn.vit import VisionTransformer, ViTSettings


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What one of the networks is made of, and the shorter side of a picture before its middle is cut out."""

    resized: int
    vit: ViTSettings = field(default_factory=ViTSettings)


def _set(side: int, recommended: str = "") -> WeightSet:
    hub = f"OwensLab/commfor-model-{side}"
    return WeightSet(
        name=str(side),
        files=(
            WeightFile(
                name="model.safetensors",
                source=f"https://huggingface.co/{hub}",
                hub=hub,
                remark="about 87 MB by its count of numbers. The name of the file in this repository is inferred: it "
                "is the one that the hub's own library gives",
            ),
        ),
        licence="MIT",
        use="open",
        terms="MIT: keep the notice",
        trained_on="2.7 million pictures of 4,803 generators",
        setting=str(side),
        labels=("fake",),
        recommended=recommended,
    )


class CommunityForensicsNetwork(nn.Module):
    """(N, 3, side, side) ImageNet-normalised RGB -> Output; the trunk and its head are `vit`, as released."""

    def __init__(self, settings: ViTSettings) -> None:
        super().__init__()
        self.vit = VisionTransformer(settings)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, side, side) -> Output."""
        features = self.vit.features(image)
        return Output(logit=cast(Tensor, self.vit.head(features))[:, 0], features=features)


class CommunityForensics(Detector):
    """The detectors of Community Forensics; the setting is the side of what the network sees."""

    sizes: ClassVar[Mapping[str, Sizes]] = {
        "384": Sizes(resized=440, vit=ViTSettings(side=384)),
        "224": Sizes(resized=256, vit=ViTSettings(side=224)),
    }
    settings = ("384", "224")
    card = Card(
        name="community-forensics",
        title="Community Forensics",
        year=2025,
        family="vit",
        tasks=("detect",),
        paper="Community Forensics, CVPR 2025, arXiv 2411.04125",
        about="A small plain vision transformer with one output. What sets it apart is what it saw: pictures of "
        "thousands of generators, where others saw one or a few.",
        input="RGB, ImageNet statistics, shorter side to 440 (bilinear), the middle 384x384; setting 224: shorter "
        "side to 256, the middle 224x224",
        parameters=21_811_969,
        code="JeongsooP/Community-Forensics; MIT",
        weights=(
            _set(384, "open terms, and by far the broadest training set of those that have them; not measured by us"),
            _set(224),
        ),
        limits=(
            "Not measured by us: no number here says how well it does on any data.",
            "No released file was at hand: names and shapes follow its description, and a file that differs is "
            "refused by name.",
            "A large picture is resized before it is looked at, which takes its finest traces away, and its ends "
            "beyond the middle are not seen.",
        ),
    )

    def build(self) -> nn.Module:
        """A small plain ViT with one output."""
        return CommunityForensicsNetwork(self.sizes[self.setting].vit)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Shorter side to 440 or 256, bilinear, then the middle."""
        sizes = self.sizes[self.setting]
        return resized_crop(pixels, shorter_side_size(pixels.shape, sizes.resized), sizes.vit.side, normalised)
