"""FatFormer: CLIP with adapters that look at frequencies, and two sentences that each picture rewrites for itself.

Eight of the 24 blocks of CLIP's image tower get an adapter beside their MLP: a small bottleneck on every token, and
attention among and inside the four bands of a Haar transform of the patch tokens. The text tower reads "real." and
"fake.", each behind eight learned vectors that have first looked at the picture. The verdict compares the picture
with both texts twice: its class token, and the mean of its patches after they have looked at the texts.

The traps: the statistics are ImageNet's, not CLIP's; the released file names most tensors twice; the modules called
intra_band and inter_band do each other's work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.clip import (
    ClipSettings,
    attended,
    causal_mask,
    image_names,
    image_tower,
    mixed,
    text_names,
    text_tower,
)
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, View, Window, normalised
from fauxlens.images.resample import resize

_PAGE = "https://github.com/Michel-liu/FatFormer"
_PAPER = "FatFormer paper"
_RESIZED = 256  # pixels of the square that the centre is cut from


@dataclass(frozen=True, kw_only=True)
class FatFormerSettings:
    """The sizes of a FatFormer; by default the released one's."""

    clip: ClipSettings = field(default_factory=ClipSettings)
    adapter_every: int = 3  # the last block of each so many gets an adapter
    adapter_width: int = 64
    adapter_groups: int = 128
    adapter_heads: int = 8
    learned: int = 8  # vectors in front of each word
    heads: int = 12  # of the attention between picture and texts
    start: int = 49406
    words: tuple[tuple[int, ...], ...] = ((1532, 269, 49407), (5777, 269, 49407))  # "real.", "fake.", each with its end

    def __post_init__(self) -> None:
        if self.clip.text_width != self.clip.projection:
            raise BadSetting(
                "prompts look at projected tokens, so both have one width", wanted=self.clip.projection,
                got=self.clip.text_width,
            )  # fmt: skip
        if self.clip.grid % 2:
            raise BadSetting("a Haar transform needs an even grid of patches", got=self.clip.grid)
        if len({len(word) for word in self.words}) != 1:
            raise BadSetting("the words end at one place", got=[len(word) for word in self.words])


class HaarBands(nn.Module):
    """One level of the orthonormal Haar transform; its filters are buffers because the released file holds them."""

    h0_col: Tensor
    h0_row: Tensor
    h1_col: Tensor
    h1_row: Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = _haar()
        for name, values in (("h0", low), ("h1", high)):
            self.register_buffer(f"{name}_col", values[:, None].clone()[None, None])
            self.register_buffer(f"{name}_row", values[None, :].clone()[None, None])

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) with even sides -> (N, C, 4, H / 2, W / 2): low, then high down, high across, high both."""
        count, channels, height, width = maps.shape
        flat = maps.reshape(count * channels, 1, height, width)
        across = F.conv2d(flat, torch.cat([self.h0_row, self.h1_row]), stride=(1, 2))
        down = torch.cat([self.h0_col, self.h1_col]).repeat(2, 1, 1, 1)
        bands = F.conv2d(across, down, stride=(2, 1), groups=2)
        return bands.reshape(count, channels, 4, height // 2, width // 2)


class HaarSum(nn.Module):
    """What `HaarBands` took apart, put together again."""

    g0_col: Tensor
    g0_row: Tensor
    g1_col: Tensor
    g1_row: Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = _haar()
        for name, values in (("g0", low), ("g1", high)):
            self.register_buffer(f"{name}_col", values[:, None].clone()[None, None])
            self.register_buffer(f"{name}_row", values[None, :].clone()[None, None])

    def forward(self, bands: Tensor) -> Tensor:
        """(N, C, 4, h, w) -> (N, C, 2 * h, 2 * w)."""
        count, channels, _, height, width = bands.shape
        flat = bands.reshape(count * channels, 4, height, width)
        down = torch.cat([self.g0_col, self.g1_col]).repeat(2, 1, 1, 1)
        across = F.conv_transpose2d(flat, down, stride=(2, 1), groups=2)
        rows = torch.cat([self.g0_row, self.g1_row])
        return F.conv_transpose2d(across, rows, stride=(1, 2)).reshape(count, channels, 2 * height, 2 * width)


class ForgeryAwareAdapter(nn.Module):
    """What an adapted block adds: a bottleneck on all tokens, and attention over the frequencies of the patches."""

    def __init__(self, width: int, inner: int, groups: int, heads: int) -> None:
        super().__init__()
        self.freq_scale = nn.Parameter(torch.ones(1))
        self.first_conv_layer = nn.Conv1d(width, inner, 1)
        self.second_conv_layer = nn.Conv1d(inner, width, 1)
        self.dwt_transform = HaarBands()
        self.idwt_transform = HaarSum()
        self.dwt_norm = nn.GroupNorm(groups, width)
        self.intra_band = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_intra = nn.LayerNorm(width)
        self.inter_band = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_inter = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 1 + side * side, C) -> the same shape; the class token hears nothing of frequencies."""
        local = self.second_conv_layer(F.relu(self.first_conv_layer(tokens.transpose(1, 2)))).transpose(1, 2)
        frequency = F.pad(self.frequencies(tokens[:, 1:]), (0, 0, 1, 0))
        result: Tensor = 0.1 * local + self.freq_scale * frequency
        return result

    def frequencies(self, patches: Tensor) -> Tensor:
        """(N, side * side, C) -> the same shape."""
        count, length, width = patches.shape
        side = math.isqrt(length)
        bands = self.dwt_transform(patches.transpose(1, 2).reshape(count, width, side, side))
        places = (side // 2) ** 2
        # (N, 4, places, C) from here on: bands, then the places in each.
        grid = self.dwt_norm(bands.reshape(count, width, 4, places)).permute(0, 2, 3, 1)
        by_place = grid.transpose(1, 2).reshape(count * places, 4, width)
        by_place = self.norm_intra(by_place + _look(self.intra_band, by_place, by_place))
        by_band = by_place.reshape(count, places, 4, width).transpose(1, 2).reshape(count * 4, places, width)
        by_band = self.norm_inter(by_band + _look(self.inter_band, by_band, by_band))
        by_band = self.norm3(by_band + self.linear2(F.relu(self.linear1(by_band))))
        bands = by_band.reshape(count, 4, places, width).permute(0, 3, 1, 2)
        joined = self.idwt_transform(bands.reshape(count, width, 4, side // 2, side // 2))
        return joined.flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class AdaptedBlock(nn.Module):
    """A block of CLIP's image tower with an adapter beside its MLP; its other parts are the library's own."""

    def __init__(self, layer: nn.Module, adapter: ForgeryAwareAdapter) -> None:
        super().__init__()
        for name, part in layer.named_children():
            self.add_module(name, part)
        self.forgery_aware_adapter = adapter

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same shape."""
        tokens = attended(self, tokens)
        return tokens + mixed(self, tokens) + self.forgery_aware_adapter(tokens)  # type: ignore[no-any-return]


class LanguageGuidedAlignment(nn.Module):
    """The two prompts of each picture: start, the learned vectors after they have looked at it, word, end, filling."""

    token_prefix: Tensor
    token_suffix: Tensor

    def __init__(self, settings: FatFormerSettings, words: nn.Embedding) -> None:
        super().__init__()
        width = settings.clip.text_width
        self.ctx = nn.Parameter(0.02 * torch.randn(settings.learned, width))
        filling = settings.clip.context - 1 - settings.learned
        with torch.no_grad():
            starts = words(torch.full((len(settings.words), 1), settings.start))
            ends = words(torch.tensor([[*word, *[0] * (filling - len(word))] for word in settings.words]))
        self.register_buffer("token_prefix", starts.detach().clone())
        self.register_buffer("token_suffix", ends.detach().clone())
        self.patch_basaed_enhancer = nn.MultiheadAttention(width, settings.heads, batch_first=True)  # as released
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) of the picture -> (N, 2, context, C), before positions are added."""
        prefix, suffix = self.token_prefix, self.token_suffix
        count, classes = tokens.shape[0], prefix.shape[0]
        learned = self.ctx.expand(count, -1, -1)
        learned = self.norm1(learned + _look(self.patch_basaed_enhancer, learned, tokens))
        learned = self.norm2(learned + self.linear2(F.relu(self.linear1(learned))))
        parts = (
            prefix.expand(count, -1, -1, -1),
            learned[:, None].expand(-1, classes, -1, -1),
            suffix.expand(count, -1, -1, -1),
        )
        return torch.cat(parts, dim=2)


class FatFormer(nn.Module):
    """(N, 3, side, side) -> Output; `class_logits` gives real and fake apart."""

    def __init__(self, settings: FatFormerSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or FatFormerSettings()
        clip = self.settings.clip
        self.image: Any = image_tower(clip, "FatFormer")
        self.text: Any = text_tower(clip, "FatFormer")
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        layers = self.image.vision_model.encoder.layers
        every = self.settings.adapter_every
        for number in range(every - 1, clip.image_layers, every):
            adapter = ForgeryAwareAdapter(
                clip.image_width, self.settings.adapter_width, self.settings.adapter_groups, self.settings.adapter_heads
            )
            layers[number] = AdaptedBlock(layers[number], adapter)
        self.language_guided_alignment = LanguageGuidedAlignment(
            self.settings, self.text.text_model.embeddings.token_embedding
        )
        width = clip.projection
        self.text_guided_interactor = nn.MultiheadAttention(width, self.settings.heads, batch_first=True)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def image_tokens(self, batch: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, 1 + patches, projection), the class token first; not normalised."""
        tower = self.image.vision_model
        tokens = tower.pre_layrnorm(tower.embeddings(batch))
        for layer in tower.encoder.layers:
            if isinstance(layer, AdaptedBlock):
                tokens = layer(tokens)
            else:
                tokens = attended(layer, tokens)
                tokens = tokens + mixed(layer, tokens)
        return self.image.visual_projection(tower.post_layernorm(tokens))  # type: ignore[no-any-return]

    def text_features(self, prompts: Tensor) -> Tensor:
        """(N, 2, context, C) -> (N, 2, projection), read where each sentence ends; not normalised."""
        tower = self.text.text_model
        length = prompts.shape[2]
        # The positions are added here, since the library's text tower takes numbers of words, not vectors.
        tokens = prompts.flatten(0, 1) + tower.embeddings.position_embedding.weight[:length]
        mask = causal_mask(length, tokens)
        for layer in tower.encoder.layers:
            tokens = attended(layer, tokens, mask)
            tokens = tokens + mixed(layer, tokens)
        end = self.settings.learned + len(self.settings.words[0])
        found = self.text.text_projection(tower.final_layer_norm(tokens[:, end]))
        return found.unflatten(0, prompts.shape[:2])  # type: ignore[no-any-return]

    def class_logits(self, batch: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, 2): real, fake; a softmax makes them the authors' scores."""
        return self._compared(self.image_tokens(batch))

    def forward(self, batch: Tensor) -> Output:
        """(N, 3, side, side) -> Output; the features are the projected class token."""
        tokens = self.image_tokens(batch)
        real, fake = self._compared(tokens).unbind(dim=1)
        return Output(logit=fake - real, features=tokens[:, 0])

    def _compared(self, tokens: Tensor) -> Tensor:
        texts = self.text_features(self.language_guided_alignment(tokens))
        patches = tokens[:, 1:]
        patches = self.norm1(patches + _look(self.text_guided_interactor, patches, texts))
        patches = self.norm2(patches + self.linear2(F.relu(self.linear1(patches))))
        unit = F.normalize(texts, dim=-1)
        seen = F.normalize(tokens[:, 0], dim=-1) + F.normalize(patches.mean(dim=1), dim=-1)
        return self.logit_scale.exp() * torch.einsum("nc,nkc->nk", seen, unit)


class FatFormerDetector(Detector):
    """The detector of Liu and others, as they trained it on ProGAN."""

    sizes: ClassVar[FatFormerSettings] = FatFormerSettings()

    card = Card(
        name="fatformer",
        title="FatFormer",
        year=2024,
        family="fatformer",
        tasks=("detect",),
        paper="Liu et al., Forgery-aware adaptive transformer for generalizable synthetic image detection, CVPR 2024",
        about="CLIP ViT-L/14 with adapters for frequencies in every third block, compared with two texts, \"real.\" "
        "and \"fake.\", whose wording each picture adapts. The scores of class token and patches are added.",
        input="ImageNet statistics, resized to 256x256 whatever its shape, the middle 224x224 of that",
        parameters=577_245_449,
        code="Michel-liu/FatFormer; Apache-2.0",
        weights=(
            WeightSet(
                name="progan-4",
                files=(
                    WeightFile(
                        name="the 4-class checkpoint",
                        source=_PAGE,
                        remark="about 2.3 GB, 1446 names of which 709 are second names; there is a 2-class "
                        "one too. Name and size of the file were not checked",
                    ),
                ),
                licence="Apache-2.0 (by its repository); contains CLIP ViT-L/14 (MIT)",
                use="open",
                terms="Apache-2.0; the model card of CLIP, which is inside, calls any deployed use out of scope",
                trained_on="ProGAN, 4 classes",
                labels=("real", "fake"),
            ),
        ),
        targets=(
            Target(data="8 GANs of the paper, mean", metric="accuracy", value=0.984, source=_PAPER),
            Target(data="8 GANs of the paper, mean", metric="AP", value=0.997, source=_PAPER),
            Target(data="10 diffusion models of the paper, mean", metric="accuracy", value=0.950, source=_PAPER),
            Target(data="10 diffusion models of the paper, mean", metric="AP", value=0.988, source=_PAPER),
            Target(data="Guided diffusion", metric="accuracy", value=0.761, source=_PAPER, remark="its weakest"),
            Target(data="Guided diffusion", metric="AP", value=0.920, source=_PAPER, remark="its weakest"),
            *br_gen("fatformer"),
        ),
        limits=(
            "Resizing to a square changes the shape of a picture and blurs the traces of its making; of the result "
            "only the middle 77 % is seen.",
            "The resampling of that resize was not told; bilinear, the default of the library the authors use, is "
            "inferred.",
            "Each picture writes its own prompts, so the text tower runs twice for every picture.",
            "The authors published no training code.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """The network of the class's sizes."""
        return FatFormer(self.sizes)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Resized to 256 x 256, then the middle 224 x 224."""
        height, width = pixels.shape[:2]
        side = self.sizes.clip.side
        margin = (_RESIZED - side) // 2

        def tensor() -> Tensor:
            inner = slice(margin, margin + side)
            return normalised(resize(pixels, (_RESIZED, _RESIZED), "bilinear")[inner, inner])

        top, left = round(height * margin / _RESIZED), round(width * margin / _RESIZED)
        window = Window(top, left, max(1, height - 2 * top), max(1, width - 2 * left))
        note = f"resized from {width}x{height} to {_RESIZED}x{_RESIZED}, of which the middle {side}x{side} was seen"
        return Prepared((height, width), (View(window, (side, side), tensor),), (note,))

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """The released file's names to ours; its second names must hold what the first ones hold."""
        if "clip_model.visual.proj" not in state:
            return state
        own = dict(state)
        for second, first in _second_names(state):
            if own[first].shape != own[second].shape or not torch.equal(own[first], own[second]):
                raise BadWeights(
                    f"'{second}' and '{first}' are two names of one tensor, but differ in this file",
                    hint="get the file again from its owner",
                )
            del own[second]
        visual = _under("clip_model.visual.", own)
        textual = _under("clip_model.", own)
        if "logit_scale" in textual:
            own["logit_scale"] = textual.pop("logit_scale")
        own.update({"image." + name: tensor for name, tensor in image_names(visual).items()})
        own.update({"text." + name: tensor for name, tensor in text_names(textual).items()})
        return own


def _haar() -> tuple[Tensor, Tensor]:
    """Sum and difference of two neighbours, each of length one."""
    root = 1 / math.sqrt(2.0)
    return torch.tensor([root, root]), torch.tensor([root, -root])


def _look(attention: nn.MultiheadAttention, query: Tensor, shown: Tensor) -> Tensor:
    found: Tensor = attention(query, shown, shown, need_weights=False)[0]
    return found


def _second_names(state: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    """(alias, first name) of each tensor that the file names twice."""
    for name in state:
        first = None
        if name == "logit_scale":
            first = "clip_model.logit_scale"
        elif name.startswith("image_encoder."):
            first = "clip_model.visual." + name.removeprefix("image_encoder.")
        elif name.startswith("text_encoder."):
            first = "clip_model." + name.removeprefix("text_encoder.")
        if first is not None and first in state:
            yield name, first


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take what begins with `prefix` out of `state`, under the rest of its names."""
    return {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
