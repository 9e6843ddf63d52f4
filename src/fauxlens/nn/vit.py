"""The plain vision transformer: patches and one class token, every token looks at every other. timm's names.

Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021: the norm comes before each half of a block, the answer is
read from the class token. DeiT-S and Community Forensics' ViT-S/16 are this network with the sizes of `ViTSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.nn.mix_transformer import DropPath

EPSILON = 1e-6
"""Of every LayerNorm; torch's own default is ten times that."""


@dataclass(frozen=True, kw_only=True)
class ViTSettings:
    """The sizes of a plain ViT; by default those of ViT-S/16 at 224 with one output."""

    side: int = 224
    patch: int = 16
    width: int = 384
    depth: int = 12
    heads: int = 6
    ratio: int = 4  # the MLP's inner width over the outer
    classes: int = 1
    drop_path: float = 0.0  # of the last block while training; the others less, evenly down to 0

    def __post_init__(self) -> None:
        if self.patch < 1 or self.side < 1 or self.side % self.patch:
            raise BadSetting("patches do not fill the picture", wanted=f"a multiple of {self.patch}", got=self.side)
        if self.heads < 1 or self.width % self.heads:
            raise BadSetting(
                "heads do not share the width evenly", wanted=f"a multiple of {self.heads}", got=self.width
            )

    @property
    def positions(self) -> int:
        """Of the table of positions: one a patch, and the class token's."""
        return (self.side // self.patch) ** 2 + 1


class PatchEmbedding(nn.Module):
    """Patches that do not overlap, each one token."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, L, width), row by row."""
        return cast(Tensor, self.proj(image)).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Every token looks at every token, by heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same."""
        query, key, value = by_head(self.qkv(tokens), self.heads)
        attended = F.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.proj(attended.transpose(1, 2).flatten(2)))


def by_head(joined: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, L, 3 * C) -> query, key and value, each (N, heads, L, C / heads); they lie in this order, then by head."""
    n, length, width = joined.shape
    query, key, value = joined.reshape(n, length, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    return query, key, value


class Mlp(nn.Module):
    """Two layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> the same."""
        return cast(Tensor, self.fc2(F.gelu(self.fc1(tokens))))


class Block(nn.Module):
    """Attention, then the MLP; each is shown its input normalised and adds to it."""

    def __init__(self, settings: ViTSettings, drop: float) -> None:
        super().__init__()
        width = settings.width
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, settings.heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, settings.ratio * width)
        self.drop_path = DropPath(drop)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """(N, 3, side, side) -> (N, classes): patches and a class token, blocks, a linear layer on the class token."""

    def __init__(self, settings: ViTSettings) -> None:
        super().__init__()
        self.settings = settings
        self.patch_embed = PatchEmbedding(settings.patch, settings.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, settings.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, settings.positions, settings.width))
        last = max(settings.depth - 1, 1)
        self.blocks = nn.ModuleList(
            Block(settings, settings.drop_path * number / last) for number in range(settings.depth)
        )
        self.norm = nn.LayerNorm(settings.width, eps=EPSILON)
        self.head = nn.Linear(settings.width, settings.classes)
        for drawn in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(drawn, std=0.02)
        self.apply(initialise)

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, width): the class token after the last norm."""
        check_side(image, self.settings.side)
        tokens = self.patch_embed(image)
        tokens = torch.cat((self.cls_token.expand(tokens.shape[0], -1, -1), tokens), dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        # The norm looks at one token at a time, so the others need none.
        return cast(Tensor, self.norm(tokens[:, 0]))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, classes)."""
        return cast(Tensor, self.head(self.features(image)))


def check_side(image: Tensor, side: int) -> None:
    """Refuse a batch of another size than the network's positions were learnt for."""
    if image.dim() != 4 or tuple(image.shape[1:]) != (3, side, side):
        raise BadShape(
            "the network knows the positions of one size only", wanted=f"(N, 3, {side}, {side})",
            got=tuple(image.shape), hint="resize and cut the picture as the detector's `prepare` does",
        )  # fmt: skip


def initialise(module: nn.Module) -> None:
    """Linear layers small and normal, without bias."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
