"""SparseViT: attention between places that lie apart, so that what is seen is the texture and not the thing.

A UniFormer encoder: two stages of depthwise convolutions, then two of attention. In those the map is cut into groups
of places that lie a fixed step apart, and only members of a group see each other; the step shrinks from stage to
stage down to 1, where all see all. Six of the features on the way, weighted by learnt vectors, are summed to a mask.

What is easily got wrong: the steps are made for maps of 32 and 16 places a side, so a picture must be 512x512; later
blocks hold a positional convolution that is in the file and never used; the first blocks have batch norms, the later
ones layer norms. There is no verdict of the picture: the strongest place of the mask stands in for it, which is our
choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized
from fauxlens.nn.mix_transformer import ConvolutionalMlp, DropPath, initialise

SIDE = 512
DIMS = (64, 128, 320, 512)
DEPTHS = (5, 8, 20, 7)
HEAD_DIM = 64
GROUP_SIDES = ((4,) * 5 + (8,) * 5 + (16,) * 5 + (32,) * 5, (8,) * 4 + (16,) * 3)
"""How many places a side a group has, one entry a block of the third and the fourth stage."""

DROP_PATH = 0.2
FIRST_GAMMA = 1e-6


class PatchEmbedding(nn.Module):
    """Patches that do not overlap: (N, C, H, W) -> (N, dim, H / patch, W / patch), normalised over channels."""

    def __init__(self, in_channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.Conv2d(in_channels, dim, patch, patch)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, dim, h, w)."""
        normed: Tensor = self.norm(self.proj(maps).permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class _PointwiseMlp(nn.Module):
    """Widen, GELU, narrow, each place alone."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, 4 * dim, 1)
        self.fc2 = nn.Conv2d(4 * dim, dim, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return self.fc2(F.gelu(self.fc1(maps)))  # type: ignore[no-any-return]


class ConvolutionBlock(nn.Module):
    """A block of the first two stages: where attention would be, a 5x5 convolution of each channel."""

    def __init__(self, dim: int, drop: float = 0.0) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = _PointwiseMlp(dim)
        self.drop_path = DropPath(drop)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        maps = maps + self.pos_embed(maps)
        maps = maps + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(maps)))))
        return maps + self.drop_path(self.mlp(self.norm2(maps)))  # type: ignore[no-any-return]


class SparseAttention(nn.Module):
    """Attention inside groups of `side` x `side` places that lie evenly apart, spread over the whole map."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape; H and W divide by `side`."""
        groups = spread(grid, self.side)
        count, places, dim = groups.shape
        query, key, value = self.qkv(groups).reshape(count, places, 3, dim // HEAD_DIM, HEAD_DIM).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return gathered(self.proj(attended.transpose(1, 2).flatten(2)), grid, self.side)


def spread(grid: Tensor, side: int) -> Tensor:
    """(N, H, W, C) -> (N * H/side * W/side, side * side, C): one row for each group of places that lie evenly apart."""
    number, height, width, dim = grid.shape
    if height % side or width % side:
        raise BadSetting("a map must divide into its groups", wanted=f"multiples of {side}", got=f"{width}x{height}")
    split = grid.reshape(number, side, height // side, side, width // side, dim)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(-1, side * side, dim)


def gathered(groups: Tensor, like: Tensor, side: int) -> Tensor:
    """What `spread` took apart, back in the shape of `like`."""
    number, height, width, dim = like.shape
    split = groups.reshape(number, height // side, width // side, side, side, dim)
    return split.permute(0, 3, 1, 4, 2, 5).reshape(like.shape)


class SparseBlock(nn.Module):
    """A block of the last two stages. Its `pos_embed` is in the file and is not used."""

    def __init__(self, dim: int, side: int, drop: float = 0.0) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), FIRST_GAMMA))
        self.gamma_2 = nn.Parameter(torch.full((dim,), FIRST_GAMMA))
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim, 1e-6)
        self.attn = SparseAttention(dim, side)
        self.norm2 = nn.LayerNorm(dim, 1e-6)
        self.mlp = ConvolutionalMlp(dim, 4 * dim, "none")
        self.drop_path = DropPath(drop)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        grid = grid + self.drop_path(self.gamma_1 * self.attn(self.norm1(grid)))
        return grid + self.drop_path(self.gamma_2 * self.mlp(self.norm2(grid)))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """(N, 3, 512, 512) -> six grids: four of the third stage (N, 32, 32, 320), two of the fourth (N, 16, 16, 512)."""

    def __init__(self) -> None:
        super().__init__()
        total = sum(DEPTHS)
        rates = iter(DROP_PATH * number / (total - 1) for number in range(total))
        channels = 3
        for stage, (dim, depth) in enumerate(zip(DIMS, DEPTHS, strict=True), 1):
            setattr(self, f"patch_embed{stage}", PatchEmbedding(channels, dim, 4 if stage == 1 else 2))
            blocks: list[nn.Module]
            if stage <= 2:
                blocks = [ConvolutionBlock(dim, next(rates)) for _ in range(depth)]
            else:
                blocks = [SparseBlock(dim, side, next(rates)) for side in GROUP_SIDES[stage - 3]]
            setattr(self, f"blocks{stage}", nn.ModuleList(blocks))
            # Those of the first two stages are in the file and are not used.
            setattr(self, f"norm{stage}", nn.LayerNorm(dim, 1e-6))
            channels = dim

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, 512, 512) -> six grids: after each group size; the last of a stage is normalised, the others not."""
        maps = image
        for stage in (1, 2):
            maps = getattr(self, f"patch_embed{stage}")(maps)
            for block in getattr(self, f"blocks{stage}"):
                maps = block(maps)
        found = []
        for stage in (3, 4):
            grid = getattr(self, f"patch_embed{stage}")(maps).permute(0, 2, 3, 1)
            sides = GROUP_SIDES[stage - 3]
            for number, block in enumerate(getattr(self, f"blocks{stage}")):
                grid = block(grid)
                if number + 1 < len(sides) and sides[number + 1] != sides[number]:
                    found.append(grid)
            found.append(getattr(self, f"norm{stage}")(grid))
            maps = grid.permute(0, 3, 1, 2)
        return found


class FeatureSum(nn.Module):
    """Six features, weighted by learnt vectors, summed, normalised and projected: -> (N, 1, 32, 32) logits."""

    def __init__(self) -> None:
        super().__init__()
        width = DIMS[3]
        for number in range(1, 7):
            setattr(self, f"gamma{number}", nn.Parameter(torch.full((width,), FIRST_GAMMA)))
        for number in range(1, 5):
            setattr(self, f"conv_layer{number}", nn.Conv2d(DIMS[2], width, 1))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.conv_last = nn.Conv2d(width, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Six grids (N, h, w, C) -> (N, 1, 32, 32)."""
        total = self._weighted(features[0], 1)
        for number, grid in enumerate(features[1:4], 2):
            total = total + self._weighted(grid, number)
        # The two coarse ones are weighted and summed before they are enlarged, which is linear as they are.
        gamma5, gamma6 = (getattr(self, f"gamma{number}") for number in (5, 6))
        coarse = (features[4] * gamma5 + features[5] * gamma6).permute(0, 3, 1, 2)
        size = total.shape[1:3]
        total = total + F.interpolate(coarse, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        return self.conv_last(self.norm(total).permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def _weighted(self, grid: Tensor, number: int) -> Tensor:
        gamma, convolution = getattr(self, f"gamma{number}"), getattr(self, f"conv_layer{number}")
        return F.linear(grid, convolution.weight.flatten(1), convolution.bias) * gamma  # type: ignore[no-any-return]


class SparseVit(nn.Module):
    """(N, 3, 512, 512) ImageNet-normalised RGB -> mask logits, and the largest of them as the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_net = Encoder()
        self.lmu = FeatureSum()
        self.apply(initialise)

    def coarse(self, image: Tensor) -> Tensor:
        """(N, 3, 512, 512) -> (N, 1, 32, 32): the mask's logits before they are enlarged."""
        check_input(image)
        return self.lmu(self.encoder_net(image))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Output:
        """(N, 3, 512, 512) -> Output: logit (N,), mask logits (N, 1, 512, 512)."""
        mask = F.interpolate(self.coarse(image), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return Output(logit=mask.amax(dim=(1, 2, 3)), mask=mask)


def check_input(image: Tensor) -> None:
    """Refuse what the network cannot see."""
    if image.dim() != 4 or tuple(image.shape[1:]) != (3, SIDE, SIDE):
        raise BadShape(
            "SparseViT sees batches of RGB at one size", wanted=f"(N, 3, {SIDE}, {SIDE})", got=tuple(image.shape),
            hint="resize the picture; `predict` does",
        )  # fmt: skip


class SparseVitDetector(Detector):
    """SparseViT as a detector."""

    card = Card(
        name="sparsevit",
        title="SparseViT",
        year=2025,
        family="sparsevit",
        tasks=("detect", "localise"),
        paper="Su et al., Can we get rid of handcrafted feature extractors? SparseViT: nonsemantics-centered, "
        "parameter-efficient image manipulation localization through spare-coding transformer, AAAI 2025",
        about="A transformer whose attention runs between places that lie apart, first in small groups, at last "
        "between all, so that it follows the texture of a picture more than its contents. Six features on the way are "
        "weighted and summed to a mask.",
        input="RGB, ImageNet statistics, resized to 512x512",
        parameters=50_345_921,
        code="scu-zjz/SparseViT; no licence stated (the copy in scu-zjz/IMDLBenCo is under CC BY 4.0)",
        weights=(
            WeightSet(
                name="sparsevit",
                files=(
                    WeightFile(
                        name="checkpoint.pth",
                        source="https://github.com/scu-zjz/SparseViT",
                        remark="not read here",
                    ),
                ),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="CASIA v2, FantasticReality, IMD2020, tampCOCO",
            ),
        ),
        targets=(
            *br_gen("sparsevit"),
        ),
        limits=(
            "It gives a mask and no verdict: the probability is the largest of the mask, which is our choice. BR-Gen "
            "does not say how it made one.",
            "Every picture is resized to 512x512, so what is small in a large picture is lost. With which filter the "
            "authors resize is not recorded; ours is Pillow's bilinear, and the mask's logits come back bilinear where "
            "the authors' demonstration brings the mask back by Lanczos.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """The network."""
        return SparseVit()

    def prepare(self, pixels: Pixels) -> Prepared:
        """Resized to 512x512."""
        return resized(pixels, (SIDE, SIDE), normalised)
