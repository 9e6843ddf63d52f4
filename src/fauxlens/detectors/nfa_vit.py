"""NFA-ViT: a transformer that is told, by the noise of the picture, where to look for what does not belong.

Two branches run side by side. The noise branch looks at a residual of the picture and tells, for each place, which
quarter of the others resembles it least. The image branch lets its last block of each stage attend to just those
places; its other blocks attend to every second row and column. A decoder sums four levels into a mask, and a linear
head on the last level gives the verdict.

Three settings (docs/nfa-vit.md compares them line by line):

published  what the released code computes, with its parameter names; official checkpoints load into it
paper      what the paper says, where the code differs from it
nano       small enough to travel with the package: fixed residuals instead of the 17-layer extractor, narrow stages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, Value, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.segformer import segformer_names
from fauxlens.detectors.view import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Pixels,
    Prepared,
    normalised,
    padded,
    resized,
    tiled,
    whole,
)
from fauxlens.nn.attention import Guide, Parts, guided, guided_parts
from fauxlens.nn.decoder import WeightedDecoder
from fauxlens.nn.evidence_head import EvidenceHead
from fauxlens.nn.mix_transformer import MixBlock, MixSettings, MixTransformer, mix_b0, mix_b2
from fauxlens.nn.noiseprint import WINOGRAD_FROM, NoiseExtractor
from fauxlens.nn.residuals import FixedResiduals

_AnyGuide = TypeVar("_AnyGuide", Tensor, Parts)

SMALLEST_SIDE = 64
"""Below this a stage would have a grid of keys without a single one."""


@dataclass(frozen=True, kw_only=True)
class NfaSettings:
    """One variant of NFA-ViT."""

    image: MixSettings
    noise: MixSettings
    extractor: Literal["noiseprint", "residuals"] = "noiseprint"
    noise_input: Literal["normalised", "rgb256"] = "normalised"  # what the extractor is fed
    red_added: bool = True  # the residual switch of the released extractor: the first input channel is added
    noise_block: Literal["bare", "pre-norm"] = "bare"
    image_sees_residuals: bool = False
    share: float = 0.25  # of the keys, those that resemble a query least
    guided: bool = True  # False: no guidance, the last blocks are fix-sparse like the others
    decoder_width: int = 512
    decoder_norm: bool = True
    decoder_gammas: int = 4
    first_gamma: float = 1e-6
    evidence_head: bool = False  # the verdict rests on the mask as well as on the last features
    loss_weights: tuple[float, float] = (1.0, 1.0)  # of the mask's and the verdict's cross-entropy, for training

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadSetting("share is out of range", wanted="above 0, at most 1", got=self.share)
        if self.image.heads != self.noise.heads or self.image.reductions != self.noise.reductions:
            raise BadSetting(
                "both branches need the same heads and reductions, since one guides the other",
                wanted=f"{self.image.heads} and {self.image.reductions}",
                got=f"{self.noise.heads} and {self.noise.reductions}",
            )


_RELEASED = {"block_epsilon": 1e-5, "inner_epsilon": 1e-5, "gelu": "tanh"}

SETTINGS: dict[str, NfaSettings] = {
    "published": NfaSettings(
        image=mix_b2(**_RELEASED),
        noise=mix_b0(**_RELEASED, in_channels=1),
        decoder_gammas=6,
        loss_weights=(1.0, 0.5),
    ),
    "paper": NfaSettings(
        image=mix_b2(**_RELEASED),
        noise=mix_b0(**_RELEASED, in_channels=1),
        noise_input="rgb256",
        red_added=False,
        noise_block="pre-norm",
        decoder_norm=False,
        # Without the norm a sum that starts at 1e-6 would leave the mask without a gradient worth the name.
        first_gamma=0.25,
    ),
    "nano": NfaSettings(
        image=MixSettings(
            dims=(24, 48, 96, 160), depths=(2, 2, 2, 2), heads=(1, 2, 3, 5), in_channels=15, mlp_ratio=3, gelu="tanh"
        ),
        noise=MixSettings(
            dims=(16, 32, 48, 80), depths=(1, 1, 1, 1), heads=(1, 2, 3, 5), in_channels=12, mlp_ratio=2, gelu="tanh"
        ),
        extractor="residuals",
        noise_block="pre-norm",
        image_sees_residuals=True,
        decoder_width=64,
        first_gamma=0.25,
        evidence_head=True,
    ),
}


class BareBlock(MixBlock):
    """The noise branch's block as released: attention on what comes in, not normalised, and nothing kept beside it.

    Its `norm1` is in the file and is not used. The attention's own result takes the place of the residual.
    """

    def forward(self, grid: Tensor, pattern: object = "dense", guide: Guide | None = None) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        return self.after(self.attn(grid))

    def after(self, attended: Tensor) -> Tensor:
        """What follows the attention."""
        grid = attended + self.drop_path(attended)
        return grid + self.drop_path(self.mlp(self.norm2(grid)))  # type: ignore[no-any-return]


class NoiseBranch(MixTransformer):
    """The noise branch: a map of noise -> one guide a stage, to be added to the image branch's attention.

    A guide is (N, heads, H * W, h * w): 0 for the share of keys that resemble a query least, else the lowest number.
    """

    def __init__(self, settings: MixSettings, block: type[MixBlock], share: float) -> None:
        super().__init__(settings, block)
        self.share = share

    def guides(
        self, noise: Tensor, *, features: list[Tensor] | None = None, weights: list[Tensor] | None = None
    ) -> list[Tensor]:
        """(N, C, H, W) -> guides, finest stage first; `weights` collects the attention that they were chosen from.

        What only feeds features that nobody uses (the last stage's values, MLP and norm) is left out, unless a list
        is given to collect them.
        """
        return list(self.steps(noise, features=features, weights=weights))

    def steps(
        self, noise: Tensor, *, features: list[Tensor] | None = None, weights: list[Tensor] | None = None
    ) -> Iterator[Tensor]:
        """The guides of `guides`, each made when it is asked for."""
        return self._stages(noise, partial(guided, seen=weights), features)

    def parts(self, noise: Tensor) -> Iterator[Parts]:
        """The guides of `guides`, each a few rows at a time, to be used up before the next is asked for."""
        return self._stages(noise, guided_parts, None)

    def _stages(
        self,
        noise: Tensor,
        guide: Callable[[Tensor, Tensor, Tensor | None, float], tuple[_AnyGuide, Tensor | None]],
        features: list[Tensor] | None,
    ) -> Iterator[_AnyGuide]:
        last_stage = len(self.settings.dims) - 1
        for index in range(len(self.settings.dims)):
            embedding, blocks, norm = self.stage(index)
            grid = embedding(noise)
            for block in blocks[:-1]:
                grid = block(grid)
            block = blocks[-1]
            shown = grid if isinstance(block, BareBlock) else block.norm1(grid)
            query, (key, value) = block.attn.queries(shown), block.attn.keys(shown)
            is_end = index == last_stage and features is None
            found, summed = guide(query, key, None if is_end else value, self.share)
            yield found
            if not isinstance(found, Tensor) and next(found, None) is not None:
                raise RuntimeError("the guide of a stage was not used up before that of the next was asked for")
            if summed is None:
                return
            attended = block.attn.proj(summed.flatten(3))
            if isinstance(block, BareBlock):
                grid = block.after(attended)
            else:
                grid = grid + block.drop_path(attended)
                grid = grid + block.drop_path(block.mlp(block.norm2(grid)))
            noise = norm(grid).permute(0, 3, 1, 2)
            if features is not None:
                features.append(noise)


def _joined(several: Sequence[Parts]) -> Parts:
    """The guides of several pictures as those of a batch."""
    for parts in zip(*several, strict=True):
        yield parts[0][0], torch.cat([guide for _, guide in parts])


class OneByOne(Sequence[Guide]):
    """Guides that are made when their stage is reached, in order, and not kept: the first is as large as a photo."""

    def __init__(self, steps: Iterator[Guide], stages: int, device: str) -> None:
        self.made, self.stages, self.device, self.reached = steps, stages, device, 0

    def __len__(self) -> int:
        return self.stages

    def __getitem__(self, index: Any) -> Any:
        if index != self.reached:
            raise IndexError(f"guides are made in order: wanted stage {self.reached}, got {index}")
        self.reached += 1
        found = self._next(self.made)
        return found if isinstance(found, Tensor) else iter(lambda: self._next(found), None)

    def _next(self, made: Iterator[Any]) -> Any:
        """Whoever asks may keep a graph or compute in bfloat16; the noise branch does neither."""
        with torch.no_grad(), torch.autocast(self.device, enabled=False):
            return next(made, None)


class ReleasedExtractor(nn.Module):
    """Noiseprint++'s extractor under the name that the released NFA-ViT gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = NoiseExtractor()

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W)."""
        return self.layers(image)  # type: ignore[no-any-return]


class NfaVit(nn.Module):
    """(N, 3, H, W) ImageNet-normalised RGB, any sides from 64 on -> verdict and mask logits.

    The noise branch gives nothing but masks of zeros and ones, so it has no gradient in any setting; it is run without
    a graph. In training mode its batch norms use and update batch statistics, as the released trainer's do, unless
    `frozen_noise` is set.
    """

    def __init__(self, settings: NfaSettings) -> None:
        super().__init__()
        self.settings = settings
        self.frozen_noise = False
        if settings.extractor == "noiseprint":
            self.noise_extractor: nn.Module = ReleasedExtractor()
        else:
            self.noise_extractor = FixedResiduals()
        block = BareBlock if settings.noise_block == "bare" else MixBlock
        self.noise_backbone = NoiseBranch(settings.noise, block, settings.share)
        self.image_backbone = MixTransformer(settings.image)
        dims, width = settings.image.dims, settings.decoder_width
        if settings.evidence_head:
            self.cls_decoder: nn.Module = EvidenceHead(dims[-1])
        else:
            self.cls_decoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(dims[-1], 1))
        self.seg_decoder = WeightedDecoder(
            dims, width, gammas=settings.decoder_gammas, first_gamma=settings.first_gamma, norm=settings.decoder_norm
        )
        self.noise_backbone.requires_grad_(False)
        self.noise_extractor.requires_grad_(False)

    def train(self, mode: bool = True) -> NfaVit:
        """As any module's, but a frozen noise branch stays in evaluation."""
        super().train(mode)
        if self.frozen_noise:
            self.noise_extractor.eval()
            self.noise_backbone.eval()
        if isinstance(self.noise_extractor, ReleasedExtractor):
            # Training minds no last digits, and is much faster without them.
            self.noise_extractor.layers.winograd_from = WINOGRAD_FROM if mode else NoiseExtractor.winograd_from
        return self

    def guide(self, share: float | None) -> None:
        """Let guided blocks attend to another share of the places, or to every second one as the others do (None)."""
        kept = self.settings.share if share is None else share
        self.settings = replace(self.settings, share=kept, guided=share is not None)
        self.noise_backbone.share = kept

    def noise(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> what the noise branch sees, in float32."""
        settings = self.settings
        if settings.extractor == "residuals":
            return self.noise_extractor(pixels_of(image))  # type: ignore[no-any-return]
        fed = image if settings.noise_input == "normalised" else pixels_of(image) / 256.0
        found: Tensor = self.noise_extractor(fed)
        return found + image[:, :1] if settings.red_added else found

    def features(self, image: Tensor, guides: Sequence[Guide] | None = None) -> list[Tensor]:
        """The image branch's four levels; `guides` in place of the noise branch's own, for tests and studies."""
        seen, guides = self._seen(image, guides)
        return self.image_backbone(seen, "fix-sparse", guides)  # type: ignore[no-any-return]

    def with_choices(self, image: Tensor) -> tuple[Output, list[Tensor], list[Tensor]]:
        """The Output, the guides it rests on, and the attention that they were chosen from."""
        weights: list[Tensor] = []
        seen, guides = self._seen(image, None, weights)
        features = self.image_backbone(seen, "fix-sparse", guides)
        whole = [guide for guide in guides or () if isinstance(guide, Tensor)]
        return self.decode(features, (image.shape[-2], image.shape[-1])), whole, weights

    def _seen(
        self, image: Tensor, guides: Sequence[Guide] | None, weights: list[Tensor] | None = None
    ) -> tuple[Tensor | tuple[Tensor, Tensor], Sequence[Guide] | None]:
        """What the image branch sees, and what guides it."""
        noise: Tensor | None = None
        needs_graph = torch.is_grad_enabled()
        if (guides is None and self.settings.guided) or self.settings.image_sees_residuals:
            with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
                noise = self.noise(image.float() if image.dtype in (torch.float16, torch.bfloat16) else image)
                if guides is None and self.settings.guided:
                    # Which keys come last is decided by small differences: this branch never leaves full precision.
                    if weights is None and not (torch.compiler.is_compiling() or torch.compiler.is_exporting()):
                        stages = len(self.settings.noise.dims)
                        guides = OneByOne(self._guides(noise, needs_graph), stages, image.device.type)
                    else:
                        guides = self.noise_backbone.guides(noise, weights=weights)
        return (image, noise) if self.settings.image_sees_residuals and noise is not None else image, guides

    def _guides(self, noise: Tensor, needs_graph: bool) -> Iterator[Guide]:
        """The guides. A processor sees each picture alone and laid out alike, for the sake of last digits."""
        branch = self.noise_backbone
        if self.training or noise.device.type != "cpu":
            yield from branch.steps(noise)
            return
        alone = torch.split(_channels_last(noise), 1)
        if needs_graph:
            for guides in zip(*map(branch.steps, alone), strict=True):
                yield torch.cat(guides)
        elif len(alone) == 1:
            yield from branch.parts(alone[0])
        else:
            for stage in zip(*map(branch.parts, alone), strict=True):
                yield _joined(stage)

    def decode(self, features: list[Tensor], size: tuple[int, int]) -> Output:
        """The four levels -> verdict, and mask logits at `size`."""
        low = self.seg_decoder(features)
        last = features[-1]
        pooled = last.mean(dim=(2, 3))
        if isinstance(self.cls_decoder, EvidenceHead):
            logit = self.cls_decoder(low, pooled)
        else:
            logit = self.cls_decoder(last)[:, 0]
        mask = F.interpolate(low, size=size, mode="bilinear", align_corners=False)
        return Output(logit=logit, mask=mask, features=pooled)

    def forward(self, image: Tensor, guides: Sequence[Guide] | None = None) -> Output:
        """(N, 3, H, W) -> Output: logit (N,), mask logits (N, 1, H, W), features (N, C)."""
        check_input(image)
        return self.decode(self.features(image, guides), (image.shape[-2], image.shape[-1]))


def _channels_last(maps: Tensor) -> Tensor:
    """Laid out so to the last stride: with one channel or one picture torch takes many strides for either layout."""
    channels, height, width = maps.shape[1:]
    strides = (channels * height * width, 1, width * channels, channels)
    return maps if maps.stride() == strides else torch.empty_strided(maps.shape, strides, dtype=maps.dtype).copy_(maps)


def check_input(image: Tensor) -> None:
    """Refuse what the network cannot see."""
    if image.dim() != 4 or image.shape[1] != 3 or not len(image):
        raise BadShape("NFA-ViT sees batches of RGB", wanted="(N, 3, H, W), N at least 1", got=tuple(image.shape))
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        raise BadShape(
            "the picture is too small for four stages", wanted=f"sides of at least {SMALLEST_SIDE}",
            got=f"{image.shape[-1]}x{image.shape[-2]}", hint="pad it; `predict` does",
        )  # fmt: skip


def pixels_of(image: Tensor) -> Tensor:
    """ImageNet-normalised RGB back to 0..255."""
    mean, deviation = (torch.tensor(v, dtype=image.dtype, device=image.device)[:, None, None]
                       for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))  # fmt: skip
    return (image * deviation + mean) * 255.0


Fit = Literal["resize", "pad", "tile", "native"]


@dataclass(frozen=True, kw_only=True)
class Showing:
    """How a picture is shown: resized to a square, padded to one, in square tiles, or as it is."""

    fit: Fit = "resize"
    side: int = 512
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.fit not in ("resize", "pad", "tile", "native"):
            raise BadSetting(f"no such way to show a picture: '{self.fit}'", wanted="resize, pad, tile or native")
        if self.side < SMALLEST_SIDE:
            raise BadSetting("side is out of range", wanted=f"at least {SMALLEST_SIDE}", got=self.side)


class NfaVitDetector(Detector):
    """NFA-ViT as a detector. `showing` says how a picture reaches the network, and may be changed."""

    settings = ("published", "paper", "nano")
    side_by_side = True
    exports_any_size = False  # its groups of keys depend on the size
    card = Card(
        name="nfa-vit",
        title="NFA-ViT",
        year=2025,
        family="nfa-vit",
        tasks=("detect", "localise"),
        paper="the detector that was introduced together with the BR-Gen data set",
        about="A noise branch tells each place of the picture which quarter of the others resembles it least; the "
        "image branch attends there. A weighted sum of four levels is the mask, a linear layer on the last one the "
        "verdict.",
        input="RGB, ImageNet statistics, resized to 512x512 (published and paper); any size, in tiles (nano)",
        parameters=28_601_251,
        code="clpbc/BR-Gen; no licence file",
        weights=(
            WeightSet(
                name="br-gen",
                files=(WeightFile(name="checkpoint-<epoch>.pth", source="https://github.com/clpbc/BR-Gen"),),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'; it holds a copy of Noiseprint++, which "
                "GRIP-UNINA allows for non-profit and informational use only",
                trained_on="BR-Gen",
            ),
            WeightSet(
                name="start",
                files=(
                    WeightFile(
                        name="noiseprint++.th",
                        source="https://github.com/grip-unina/TruFor",
                        part="noise_extractor.layers.",
                        bytes=2_267_965,
                    ),
                    WeightFile(
                        name="segformer_b0_backbone_weights.pth",
                        source="https://huggingface.co/nvidia/mit-b0",
                        hub="nvidia/mit-b0",
                        hub_name="pytorch_model.bin",
                        part="noise_backbone.",
                        remark="its first convolution is averaged over the three colours",
                    ),
                    WeightFile(
                        name="segformer_b2_backbone_weights.pth",
                        source="https://huggingface.co/nvidia/mit-b2",
                        hub="nvidia/mit-b2",
                        hub_name="pytorch_model.bin",
                        part="image_backbone.",
                    ),
                ),
                licence="GRIP-UNINA non-profit licence; NVIDIA source code licence (non-commercial)",
                use="non-commercial",
                terms="where training starts, not a detector: the decoder and the verdict are still random",
                trained_on="ImageNet; camera noise",
            ),
        ),
        targets=br_gen("nfa-vit"),
        limits=(
            "The released noise branch was never trained and sees mostly the red channel: see docs/nfa-vit.md.",
            "At 512 pixels its choice of places can hang on the last digits of a number: the released code does not "
            "reproduce itself there beyond two digits.",
        ),
    )  # fmt: skip

    options = declared(
        fit=Option(about="how a picture reaches the network", choices=("resize", "pad", "tile", "native")),
        side=Option(about="the side of the square or tile", smallest=SMALLEST_SIDE),
        overlap=Option(about="by how many pixels tiles overlap", smallest=0),
        guidance=Option(
            about="per cent of the places that guided blocks attend to, the least alike first; none: no guidance",
            smallest=1,
            largest=100,
            none=True,
        ),
    )

    def __init__(self, setting: str | None = None) -> None:
        super().__init__(setting)
        self.showing = Showing(fit="tile", side=512, overlap=64) if self.setting == "nano" else Showing()

    @property
    def fit(self) -> Fit:
        """How a picture is shown."""
        return self.showing.fit

    @property
    def side(self) -> int:
        """Of what it is shown in."""
        return self.showing.side

    @property
    def overlap(self) -> int:
        """Of tiles."""
        return self.showing.overlap

    @property
    def guidance(self) -> int | None:
        """Per cent of the places that guided blocks attend to; None without guidance. The weights are the same ones."""
        settings = cast(NfaVit, self.network).settings
        return round(100 * settings.share) if settings.guided else None

    def _set(self, name: str, value: Value) -> None:
        if name == "guidance":
            cast(NfaVit, self.network).guide(value / 100 if isinstance(value, int) else None)
            return
        changed: dict[str, Any] = {name: value}
        self.showing = replace(self.showing, **changed)

    def build(self) -> nn.Module:
        """The network of the setting."""
        return NfaVit(SETTINGS[self.setting])

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says; a picture below 64 pixels is padded to 64 with the mean colour whatever it says."""
        fit, side = self.showing.fit, self.showing.side
        height, width = pixels.shape[:2]
        if fit == "resize":
            return resized(pixels, (side, side), normalised)
        if min(height, width) < SMALLEST_SIDE:
            return padded(pixels, (max(height, SMALLEST_SIDE), max(width, SMALLEST_SIDE)), normalised)
        if fit == "pad":
            square = max(height, width, side)
            return padded(pixels, (square, square), normalised)
        if fit == "tile":
            # Tiles start on multiples of 32 so that the grids of all four stages fall on the same pixels as untiled.
            return tiled(pixels, side, self.showing.overlap, normalised, step=32)
        return whole(pixels, normalised)

    def join(self, prepared: Prepared, outputs: Sequence[Output], mask: Tensor | None) -> float | None:
        """The head that rests on the mask is asked once, of the joined mask; the others as any detector's."""
        head = self.network.cls_decoder
        if len(outputs) == 1 or not isinstance(head, EvidenceHead) or mask is None:
            return super().join(prepared, outputs, mask)
        areas = torch.tensor([float(v.window.height * v.window.width) for v in prepared.views])
        features = torch.stack([o.features[0] for o in outputs if o.features is not None])
        pooled = (features * areas[:, None]).sum(dim=0, keepdim=True) / areas.sum()
        with torch.inference_mode():
            # Every fourth pixel: the network's own mask has no finer detail.
            return float(head(mask[None, ::4, ::4].to(self.device), pooled.to(self.device)))

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """SegFormer encoders in either layout, and a colour one as the noise branch's, which sees one channel."""
        if file is None or file.part not in ("noise_backbone.", "image_backbone."):
            return state
        state = segformer_names(state)
        first = state["patch_embed1.proj.weight"]
        if file.part == "noise_backbone." and first.shape[1] == 3:
            state["patch_embed1.proj.weight"] = first.mean(dim=1, keepdim=True)
        return state
