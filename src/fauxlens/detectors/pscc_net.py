"""PSCC-Net: a mask grown from coarse to fine, each level told by the one before where to look.

A network that keeps the full resolution gives features at four scales. From the coarsest on, attention over places
and over channels makes a mask, and this mask, enlarged, is multiplied into the next finer features. A second head
decides about the picture.

What is easily got wrong: its pictures are divided by 255 and not normalised; both heads resize the features to fixed
squares whatever the picture's shape, so the mask has 256x256 places at most; features are folded and the attended ones
unfolded by plain reshaping, which mixes channels and places, and the learnt weights depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, native_within, normalised
from fauxlens.nn.hrnet import HighResolutionNetwork
from fauxlens.nn.resnet import Bottleneck, residual_layer

WIDTHS = (18, 36, 72, 144)
SIDES = (256, 128, 64, 32)
"""To which squares both heads bring the four features."""

FOLDS = (4, 2, 2, 1)
"""By how much the places of each level are folded into channels, a side, before attention."""

PIXEL_BUDGET = 2**20
"""Pictures of more pixels than this are resized to as many. One of 1024x1024 takes a process of 1.1 GB on a processor,
measured."""


@dataclass(frozen=True, slots=True, eq=False)
class PsccMaps:
    """All that the network says of a batch: four masks (N, 1, side, side) as probabilities, finest (256) first, and the
    two classes' logits (N, 2)."""

    masks: tuple[Tensor, Tensor, Tensor, Tensor]
    classes: Tensor


class NonLocalMask(nn.Module):
    """Features, attended over places and over channels, to a mask."""

    def __init__(self, channels: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        folded = channels * fold**2
        self.g = nn.Conv2d(folded, folded, 1)
        self.theta = nn.Conv2d(folded, folded, 1)
        self.phi = nn.Conv2d(folded, folded, 1)
        self.W_s = nn.Conv2d(channels, channels, 1)
        self.W_c = nn.Conv2d(channels, channels, 1)
        self.gamma_s = nn.Parameter(torch.ones(1))
        self.gamma_c = nn.Parameter(torch.ones(1))
        self.getmask = nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W) in 0..1; both sides divide by the fold."""
        height, width = maps.shape[-2:]
        # The numbers stay where they lie in memory; this is not the usual folding of each place's neighbours.
        folded = maps.reshape(maps.shape[0], -1, height // self.fold, width // self.fold)
        value, query, key = (part(folded).flatten(2) for part in (self.g, self.theta, self.phi))
        queries, keys, values = (part.transpose(1, 2) for part in (query, key, value))
        if torch.compiler.is_exporting():
            # ONNX knows attention with an axis of heads only.
            one_head = F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None], scale=1.0)
            over_places = one_head[:, 0].transpose(1, 2)
        else:
            over_places = F.scaled_dot_product_attention(queries, keys, values, scale=1.0).transpose(1, 2)
        weights = (query @ key.transpose(1, 2)).softmax(dim=-1)
        # Left as places by channels, and read as channels by places.
        over_channels = values @ weights
        inner = maps + self.gamma_s * self.W_s(over_places.reshape(maps.shape))
        inner = inner + self.gamma_c * self.W_c(over_channels.reshape(maps.shape))
        return self.getmask(inner).sigmoid()  # type: ignore[no-any-return]


class MaskHead(nn.Module):
    """Four features to four masks, from coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        for level, (channels, fold) in enumerate(zip(WIDTHS, FOLDS, strict=True), 1):
            setattr(self, f"getmask{level}", NonLocalMask(channels, fold))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Squares of SIDES, finest first -> masks (N, 1, side, side), finest first."""
        found = [getattr(self, f"getmask{len(features)}")(features[-1])]
        for level in range(len(features) - 1, 0, -1):
            maps = features[level - 1]
            where = F.interpolate(found[0], size=maps.shape[-2:], mode="bilinear", align_corners=True)
            found.insert(0, getattr(self, f"getmask{level}")(maps * where))
        return found


class DoublingBottleneck(Bottleneck):
    """A bottleneck that ends at twice its width."""

    expansion = 2


class VerdictHead(nn.Module):
    """Four features to two classes: widened, brought together from fine to coarse, averaged."""

    def __init__(self) -> None:
        super().__init__()
        wide = [DoublingBottleneck.expansion * width for width in WIDTHS]
        self.incre_modules = nn.ModuleList(residual_layer(DoublingBottleneck, width, width, 1) for width in WIDTHS)
        self.downsamp_modules = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 3, 2, 1), nn.BatchNorm2d(coarse), nn.ReLU())
            for fine, coarse in pairwise(wide)
        )
        self.final_layer = nn.Sequential(nn.Conv2d(wide[-1], 128, 1), nn.BatchNorm2d(128), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Squares of SIDES, finest first -> (N, 2)."""
        total: Tensor = self.incre_modules[0](features[0])
        for shrink, widen, maps in zip(self.downsamp_modules, self.incre_modules[1:], features[1:], strict=True):
            total = widen(maps) + shrink(total)
        return self.classifier(self.final_layer(total).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class PsccNetwork(nn.Module):
    """(N, 3, H, W) RGB / 255 of any size -> verdict and mask logits."""

    def __init__(self) -> None:
        super().__init__()
        self.FENet = HighResolutionNetwork(WIDTHS)
        self.SegNet = MaskHead()
        self.ClsNet = VerdictHead()

    def maps(self, image: Tensor) -> PsccMaps:
        """(N, 3, H, W) RGB / 255 -> all four masks and both classes' logits."""
        check_input(image)
        features = [
            F.interpolate(found, size=(side, side), mode="bilinear", align_corners=True)
            for found, side in zip(self.FENet(image), SIDES, strict=True)
        ]
        first, second, third, fourth = self.SegNet(features)
        return PsccMaps((first, second, third, fourth), self.ClsNet(features))

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) RGB / 255 -> Output: logit (N,), mask logits (N, 1, H, W)."""
        found = self.maps(image)
        # The authors enlarge the probabilities, not their logits, and so do we.
        mask = F.interpolate(found.masks[0], size=image.shape[-2:], mode="bilinear", align_corners=True)
        return Output(logit=found.classes[:, 1] - found.classes[:, 0], mask=torch.logit(mask, eps=1e-6))


def check_input(image: Tensor) -> None:
    """Refuse what the network cannot see."""
    if image.dim() != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise BadShape("PSCC-Net sees batches of RGB", wanted="(N, 3, H, W)", got=tuple(image.shape))


def over_255(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in 0..1, nothing else."""
    return normalised(pixels, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class PsccNetDetector(Detector):
    """PSCC-Net as a detector.

    `pixel_budget` may be raised where memory allows; pictures with more pixels are resized, which the authors never do.
    """

    card = Card(
        name="pscc-net",
        title="PSCC-Net",
        year=2022,
        family="pscc-net",
        tasks=("detect", "localise"),
        paper="Liu et al., PSCC-Net: progressive spatio-channel correlation network for image manipulation detection "
        "and localization, IEEE Transactions on Circuits and Systems for Video Technology 2022",
        about="A network that keeps the full resolution gives features at four scales. Attention over places and over "
        "channels makes masks from the coarsest to the finest, each multiplied into the next features; a second head "
        "gives the verdict.",
        input=f"RGB / 255, native size; above {PIXEL_BUDGET:,} pixels resized (ours: the authors never resize)",
        parameters=3_667_942,
        code="proteus1991/PSCC-Net; MIT",
        weights=(
            WeightSet(
                name="pscc-net",
                files=(
                    WeightFile(
                        name="HRNet.pth",
                        source="https://github.com/proteus1991/PSCC-Net",
                        part="FENet.",
                        remark="could not be read here",
                    ),
                    WeightFile(
                        name="NLCDetection.pth",
                        source="https://github.com/proteus1991/PSCC-Net",
                        part="SegNet.",
                        bytes=2_900_709,
                    ),
                    WeightFile(
                        name="DetectionHead.pth",
                        source="https://github.com/proteus1991/PSCC-Net",
                        part="ClsNet.",
                        bytes=3_739_969,
                    ),
                ),
                licence="MIT",
                use="open",
                terms="MIT: keep the notice",
                trained_on="100,000 samples an epoch of four kinds in equal shares, crops of 256x256; which pictures, "
                "its paper says",
                labels=("authentic", "forged"),
            ),
        ),
        targets=(
            *br_gen("pscc-net"),
        ),
        limits=(
            "The mask has 256x256 places, whatever the picture's size; what is finer is interpolated.",
            "The PSCC-Net of IMDLBenCo is fed pictures of 256x256 with ImageNet statistics: its weights and numbers "
            "belong to that.",
            "Recorded numbers cover one size that divides by 8; other sizes follow from the same rules and were not "
            "compared.",
        ),
    )  # fmt: skip

    options = declared(pixel_budget=Option(about="pictures with more pixels are resized", smallest=4096))

    def __init__(self, setting: str | None = None) -> None:
        super().__init__(setting)
        self.pixel_budget = PIXEL_BUDGET

    def build(self) -> nn.Module:
        """The network."""
        return PsccNetwork()

    def prepare(self, pixels: Pixels) -> Prepared:
        """Native size within `pixel_budget`."""
        return native_within(pixels, self.pixel_budget, over_255)
