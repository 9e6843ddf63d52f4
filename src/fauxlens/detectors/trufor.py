"""TruFor: a picture and its camera noise, looked at side by side, give a map, how far to trust it, and a verdict.

Noiseprint++ leaves of the picture what the camera and its processing did to it. Two mix transformers, one for the
colours and one for that noise, correct each other after each of their four stages, and a third path gathers what
both saw. One decoder turns it into a map of forgery, another into a map of confidence; eight numbers that sum up both
maps decide about the whole picture.

What is easily got wrong: the picture is divided by 256, not 255, and only the colours' transformer sees ImageNet
statistics; the epsilon of the map decoder's batch norm is 1e-3 and is in no file; resizing wipes out the noise that
the network was made for, so pictures are shown at their own size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Pixels,
    Prepared,
    native_within,
    normalised,
)
from fauxlens.nn.mix_transformer import MixSettings, MixTransformer, initialise, mix_b2
from fauxlens.nn.mlp_decoder import MlpDecoder
from fauxlens.nn.noiseprint import NoiseExtractor

SMALLEST_SIDE = 29
"""Below this the first stage's grid is smaller than the 8x8 places that one key stands for."""

PIXEL_BUDGET = 2**22
"""Pictures of more pixels than this are resized to as many. One of 2048x2048 takes a process of 3.0 GB on a processor,
measured; memory grows with the pixels, and the time of the first stage's attention with their square."""

DECODER_WIDTH = 512


@dataclass(frozen=True, slots=True, eq=False)
class TruForMaps:
    """All that the network says of a batch: the two classes' logits (N, 2, H, W), the confidence's (N, 1, H, W), the
    noise (N, 1, H, W), and the verdict's (N, 1)."""

    logits: Tensor
    confidence: Tensor
    noise: Tensor
    verdict: Tensor


class _ChannelWeights(nn.Module):
    """Mean and maximum of both branches over the picture -> two weights a channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(4 * dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, 2 * dim), nn.Sigmoid())

    def forward(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, 2C) -> two of (N, 1, 1, C)."""
        summary = torch.cat((both.mean(dim=(1, 2)), both.amax(dim=(1, 2))), dim=1)
        first, second = self.mlp(summary)[:, None, None].chunk(2, dim=-1)
        return first, second


class _SpatialWeights(nn.Module):
    """Both branches -> two weights a place."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(2 * dim, dim, 1), nn.ReLU(), nn.Conv2d(dim, 2, 1), nn.Sigmoid())

    def forward(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, 2C) -> two of (N, H, W, 1)."""
        first, second = self.mlp(both.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).chunk(2, dim=-1)
        return first, second


class Rectifier(nn.Module):
    """Each branch gets a share of the other, weighted by channel and by place."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.channel_weights = _ChannelWeights(dim)
        self.spatial_weights = _SpatialWeights(dim)

    def forward(self, colours: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Two grids (N, H, W, C) -> two of the same shape; both take from the other as it came in."""
        both = torch.cat((colours, noise), dim=-1)
        to_noise, to_colours = self.channel_weights(both)
        at_noise, at_colours = self.spatial_weights(both)
        return (
            colours + 0.5 * to_colours * noise + 0.5 * at_colours * noise,
            noise + 0.5 * to_noise * colours + 0.5 * at_noise * colours,
        )


class _CrossAttention(nn.Module):
    """Each side's features read through a small matrix that sums up the other side's keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kv1 = nn.Linear(dim, 2 * dim, bias=False)
        self.kv2 = nn.Linear(dim, 2 * dim, bias=False)

    def forward(self, colours: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (N, H * W, C) -> two of the same shape."""
        of_colours, of_noise = self._context(self.kv1(colours)), self._context(self.kv2(noise))
        return self._read(colours, of_noise), self._read(noise, of_colours)

    def _context(self, keys_and_values: Tensor) -> Tensor:
        """(N, L, 2C) -> (N, heads, d, d), each column summing to one."""
        key, value = (by_head(part, self.heads) for part in keys_and_values.chunk(2, dim=-1))
        products: Tensor = (key.transpose(-2, -1) @ value) * key.shape[-1] ** -0.5
        return products.softmax(dim=-2)

    def _read(self, features: Tensor, context: Tensor) -> Tensor:
        return (by_head(features, self.heads) @ context).transpose(1, 2).flatten(2)


def by_head(features: Tensor, heads: int) -> Tensor:
    """(N, L, C) -> (N, heads, L, d)."""
    return features.reshape(*features.shape[:2], heads, -1).transpose(1, 2)


class _CrossPath(nn.Module):
    """Both sides, each told of the other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.channel_proj1, self.channel_proj2 = nn.Linear(dim, 2 * dim), nn.Linear(dim, 2 * dim)
        self.cross_attn = _CrossAttention(dim, heads)
        self.end_proj1, self.end_proj2 = nn.Linear(2 * dim, dim), nn.Linear(2 * dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, colours: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (N, H * W, C) -> two of the same shape."""
        own1, shown1 = F.relu(self.channel_proj1(colours)).chunk(2, dim=-1)
        own2, shown2 = F.relu(self.channel_proj2(noise)).chunk(2, dim=-1)
        told1, told2 = self.cross_attn(shown1, shown2)
        return (
            self.norm1(colours + self.end_proj1(torch.cat((own1, told1), dim=-1))),
            self.norm2(noise + self.end_proj2(torch.cat((own2, told2), dim=-1))),
        )


class _ChannelEmbedding(nn.Module):
    """Two sides, stacked, to one: a plain projection plus one with a look at the neighbours."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.residual = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.channel_embed = nn.Sequential(
            nn.Conv2d(2 * dim, dim, 1),
            nn.Conv2d(dim, dim, 3, 1, 1, groups=dim),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 1),
            nn.BatchNorm2d(dim),
        )
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, both: Tensor) -> Tensor:
        """(N, 2C, H, W) -> (N, C, H, W)."""
        return self.norm(self.residual(both) + self.channel_embed(both))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """Two branches to one."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.cross = _CrossPath(dim, heads)
        self.channel_emb = _ChannelEmbedding(dim)

    def forward(self, colours: Tensor, noise: Tensor) -> Tensor:
        """Two grids (N, H, W, C) -> one."""
        told = torch.cat(self.cross(colours.flatten(1, 2), noise.flatten(1, 2)), dim=-1)
        maps = told.reshape(*colours.shape[:3], -1).permute(0, 3, 1, 2)
        return self.channel_emb(maps).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class DualMixTransformer(MixTransformer):
    """Two mix transformers in step; the second one's parts are named like the first's, after `extra_`."""

    def __init__(self, settings: MixSettings) -> None:
        super().__init__(settings)
        for name, part in list(MixTransformer(settings).named_children()):
            self.add_module(f"extra_{name}", part)
        self.FRMs = nn.ModuleList(Rectifier(dim) for dim in settings.dims)
        self.FFMs = nn.ModuleList(Fusion(*sizes) for sizes in zip(settings.dims, settings.heads, strict=True))
        self.FRMs.apply(initialise)
        self.FFMs.apply(initialise)

    def fused(self, colours: Tensor, noise: Tensor) -> list[Tensor]:
        """Two of (N, 3, H, W) -> the fused grid (N, h, w, dim) of each stage, finest first."""
        found = []
        for index, (rectifier, fusion) in enumerate(zip(self.FRMs, self.FFMs, strict=True)):
            grid1, grid2 = self._seen("", index, colours), self._seen("extra_", index, noise)
            grid1, grid2 = rectifier(grid1, grid2)
            found.append(fusion(grid1, grid2))
            colours, noise = grid1.permute(0, 3, 1, 2), grid2.permute(0, 3, 1, 2)
        return found

    def _seen(self, prefix: str, index: int, maps: Tensor) -> Tensor:
        embedding, blocks, norm = (
            getattr(self, f"{prefix}{part}{index + 1}") for part in ("patch_embed", "block", "norm")
        )
        grid = embedding(maps)
        for block in blocks:
            grid = block(grid)
        return norm(grid)  # type: ignore[no-any-return]


class TruForNetwork(nn.Module):
    """(N, 3, H, W) RGB / 256, sides from 29 on -> verdict, mask logits, confidence, and the noise as a trace."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        settings = mix_b2()
        self.backbone = DualMixTransformer(settings)
        self.decode_head = MlpDecoder(settings.dims, DECODER_WIDTH, 2, epsilon=1e-3)
        self.decode_head_conf = MlpDecoder(settings.dims, DECODER_WIDTH, 1)
        self.detection = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 1))
        self.dncnn = NoiseExtractor()
        # Constants of the design, not a part of the state.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)

    def maps(self, image: Tensor) -> TruForMaps:
        """(N, 3, H, W) RGB / 256 -> both classes' logits, confidence, noise and verdict, each by itself."""
        check_input(image)
        size = (image.shape[-2], image.shape[-1])
        noise = self.dncnn(image)
        colours = (image - self.mean) / self.deviation
        grids = self.backbone.fused(colours, noise.to(image.dtype).expand(-1, 3, -1, -1))
        logits = F.interpolate(self.decode_head(grids), size=size, mode="bilinear", align_corners=False)
        confidence = F.interpolate(self.decode_head_conf(grids), size=size, mode="bilinear", align_corners=False)
        return TruForMaps(logits, confidence, noise, self.verdict(logits, confidence))

    def verdict(self, logits: Tensor, confidence: Tensor) -> Tensor:
        """(N, 2, H, W) and (N, 1, H, W) -> (N, 1): above 0 for a forged picture."""
        sure = confidence.flatten(1)
        evenly = torch.full_like(sure, -math.log(sure.shape[1]))
        by_confidence = F.logsigmoid(sure).log_softmax(dim=1)
        forged = (logits[:, 1] - logits[:, 0]).flatten(1)
        return self.detection(torch.cat((summary(sure, evenly), summary(forged, by_confidence)), dim=1))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) RGB / 256 -> Output: logit (N,); mask and confidence logits and trace (N, 1, H, W)."""
        found = self.maps(image)
        # The softmax of two classes is the sigmoid of their difference.
        mask = found.logits[:, 1:] - found.logits[:, :1]
        return Output(logit=found.verdict[:, 0], mask=mask, trace=found.noise, confidence=found.confidence)


def summary(values: Tensor, log_weights: Tensor) -> Tensor:
    """(N, P) values and the logarithms of weights that sum to one -> (N, 4): soft minimum, soft maximum, mean, mean
    square."""
    weights = log_weights.exp()
    return torch.stack(
        (
            -(log_weights - values).logsumexp(dim=1),
            (log_weights + values).logsumexp(dim=1),
            (weights * values).sum(dim=1),
            (weights * values.square()).sum(dim=1),
        ),
        dim=1,
    )


def check_input(image: Tensor) -> None:
    """Refuse what the network cannot see."""
    if image.dim() != 4 or image.shape[1] != 3:
        raise BadShape("TruFor sees batches of RGB", wanted="(N, 3, H, W)", got=tuple(image.shape))
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        raise BadShape(
            "the picture is too small for the first stage", wanted=f"sides of at least {SMALLEST_SIDE}",
            got=f"{image.shape[-1]}x{image.shape[-2]}", hint="pad it; `predict` does",
        )  # fmt: skip


def over_256(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32: divided by 256, nothing else."""
    return normalised(pixels, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), divisor=256.0)


class TruForDetector(Detector):
    """TruFor as a detector.

    `pixel_budget` may be raised where memory allows: pictures with more pixels are resized, which costs the very
    noise that the network looks at.
    """

    card = Card(
        name="trufor",
        title="TruFor",
        year=2023,
        family="trufor",
        tasks=("detect", "localise", "trace"),
        paper="Guillaro et al., TruFor: leveraging all-round clues for trustworthy image forgery detection and "
        "localization, CVPR 2023",
        about="Noiseprint++ leaves the traces of camera and processing; two transformers look at the picture and at "
        "these traces and correct each other after each stage. One decoder gives the mask, one how far it can be "
        "trusted; what both maps hold, summed up in eight numbers, gives the verdict.",
        input=f"RGB / 256, native size; above {PIXEL_BUDGET:,} pixels resized (ours: the authors never resize)",
        parameters=68_697_421,
        code="grip-unina/TruFor; GRIP-UNINA non-profit licence, the part taken from CMX MIT",
        weights=(
            WeightSet(
                name="trufor",
                files=(
                    WeightFile(
                        name="trufor.pth.tar",
                        source="https://github.com/grip-unina/TruFor",
                        remark="in a zip file with MD5 7bee48f3476c75616c3c5721ab256ff8; the file itself was not "
                        "read here",
                    ),
                ),
                licence="GRIP-UNINA non-profit licence",
                use="research-only",
                terms="informational and non-profit use only; keep the notices and cite. Training started from "
                "SegFormer's B2 encoder, whose NVIDIA licence (not checked here) is non-commercial",
                trained_on="CASIA v2, FantasticReality, IMD2020, tampCOCO, compRAISE; the noise extractor on camera "
                "photos with known processing histories",
                labels=("authentic", "forged"),
            ),
        ),
        targets=(
            *br_gen("trufor"),
        ),
        limits=(
            "A picture that was resized or strongly compressed as a whole has lost much of the noise it looks at.",
            "The authors' pixel F1 takes the better of the map and its inverse and leaves out a band around the "
            "border of the mask; ours does neither.",
            "The TruFor of IMDLBenCo is fed pictures of 512x512 that are normalised twice: its numbers are another "
            "model's.",
        ),
    )  # fmt: skip

    options = declared(pixel_budget=Option(about="pictures with more pixels are resized", smallest=4096))

    def __init__(self, setting: str | None = None) -> None:
        super().__init__(setting)
        self.pixel_budget = PIXEL_BUDGET

    def build(self) -> nn.Module:
        """The network."""
        return TruForNetwork()

    def prepare(self, pixels: Pixels) -> Prepared:
        """Native size within `pixel_budget`; sides below 29 are padded with black."""
        return native_within(pixels, self.pixel_budget, over_256, smallest=SMALLEST_SIDE)
