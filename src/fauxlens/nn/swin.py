"""Swin: attention within windows, which shift by half their side in every other block. The official names.

Liu et al., Swin transformer: hierarchical vision transformer using shifted windows, ICCV 2021. Four stages; between
two of them the four tokens of a 2x2 square become one of twice the width. A window adds a learnt number for each
difference of places to its products. Shifted windows wrap around the border of the map, and a mask keeps apart what
only the wrapping brought together. A map no larger than a window is one window, and nothing shifts.

The official files also hold what follows from the sizes alone: the table of differences and the masks. Here those are
buffers that are computed and never loaded; `computed_tensors` gives them under their official names, so that a file
that holds them can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.nn.mix_transformer import DropPath
from fauxlens.nn.vit import Mlp, by_head, check_side, initialise

APART = -100.0
"""What is added to the product of two places that only the wrapping brought into one window."""


@dataclass(frozen=True, kw_only=True)
class SwinSettings:
    """The sizes of a Swin transformer, one entry a stage; by default those of Swin-T at 224 with two outputs."""

    side: int = 224
    patch: int = 4
    width: int = 96  # of the first stage; each stage doubles it
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    ratio: int = 4  # the MLP's inner width over the outer
    classes: int = 2
    drop_path: float = 0.2  # of the last block while training; the others less, evenly down to 0

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.heads) or not self.depths:
            raise BadSetting("one entry a stage in depths and heads", got=f"{len(self.depths)} and {len(self.heads)}")
        if min(self.patch, self.window, self.width, *self.depths, *self.heads) < 1:
            raise BadSetting("every size of a Swin transformer is at least 1", got=self)
        for stage, heads in enumerate(self.heads):
            if self.width * 2**stage % heads:
                raise BadSetting("a stage's width must divide by its heads", got=f"{self.width * 2**stage} and {heads}")
        smallest = self.patch * 2 ** (len(self.depths) - 1)
        if self.side < 1 or self.side % smallest:
            raise BadSetting("the stages do not divide the picture", wanted=f"a multiple of {smallest}", got=self.side)
        for stage in range(len(self.depths)):
            if self.map_side(stage) % self.window_of(stage):
                raise BadSetting(
                    "windows do not fill a stage's map", wanted=f"a multiple of {self.window_of(stage)}",
                    got=self.map_side(stage),
                )  # fmt: skip

    def map_side(self, stage: int) -> int:
        """How many tokens lie along a side of a stage's map."""
        return (self.side // self.patch) >> stage

    def window_of(self, stage: int) -> int:
        """The side of a stage's windows: no larger than its map."""
        return min(self.window, self.map_side(stage))

    def shift_of(self, stage: int, block: int) -> int:
        """By how much a block's windows shift: every other one by half a window, if there is more than one window."""
        return self.window // 2 if block % 2 and self.map_side(stage) > self.window else 0

    def drop_rates(self) -> Iterator[float]:
        """The drop-path rate of each block: from 0 in the first to `drop_path` in the last of all, evenly."""
        total = sum(self.depths)
        return (self.drop_path * number / max(total - 1, 1) for number in range(total))


def relative_index(window: int) -> Tensor:
    """(L, L) int64 with L = window ** 2: which row of the table of biases belongs to two places of a window.

    >>> relative_index(2)[0].tolist(), relative_index(2)[3].tolist()
    ([4, 3, 1, 0], [8, 7, 5, 4])
    """
    places = torch.arange(window**2)
    rows, columns = places // window, places % window
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return down * (2 * window - 1) + right


def shift_mask(side: int, window: int, shift: int) -> Tensor:
    """(windows, L, L) float32: 0 where two places of a shifted window are neighbours in the map too, APART elsewhere.

    >>> shift_mask(4, 2, 1)[1].tolist()[0]
    [0.0, -100.0, 0.0, -100.0]
    """
    at = torch.arange(side)
    # After the shift the last `shift` rows are those from the other border, and share their windows with others.
    band = (at >= side - window).long() + (at >= side - shift).long()
    regions = windows_of((3 * band[:, None] + band[None])[None, :, :, None], window)[..., 0]
    return torch.where(regions[:, :, None] == regions[:, None], 0.0, APART)


def windows_of(grid: Tensor, window: int) -> Tensor:
    """(N, H, W, C) -> (N * windows, window ** 2, C), windows row by row."""
    n, height, width, channels = grid.shape
    split = grid.reshape(n, height // window, window, width // window, window, channels)
    return split.transpose(2, 3).reshape(-1, window**2, channels)


def grid_of(windows: Tensor, window: int, side: int) -> Tensor:
    """(N * windows, window ** 2, C) -> (N, side, side, C): `windows_of` undone."""
    count = side // window
    split = windows.reshape(-1, count, count, window, window, windows.shape[-1])
    return split.transpose(2, 3).reshape(-1, side, side, windows.shape[-1])


class WindowAttention(nn.Module):
    """Places of a window look at each other, by heads, with a learnt number for each difference of places."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_index(window), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """(N * windows, L, C), and a mask (windows, L, L) -> the first's shape."""
        biases = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        query, key, value = by_head(self.qkv(windows), self.heads)
        if mask is None:
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=biases[None])
        else:
            # Windows become heads, so that one mask serves the whole batch and is never copied for each picture.
            count, length = mask.shape[0], mask.shape[1]
            shape = (-1, count * self.heads, length, query.shape[-1])
            added = (mask[:, None] + biases).reshape(1, count * self.heads, length, length)
            query, key, value = query.reshape(shape), key.reshape(shape), value.reshape(shape)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
            attended = attended.reshape(-1, self.heads, length, query.shape[-1])
        return cast(Tensor, self.proj(attended.transpose(1, 2).flatten(2)))


class SwinBlock(nn.Module):
    """Attention within windows, then the MLP; each is shown its input normalised and adds to it."""

    attn_mask: Tensor | None

    def __init__(self, settings: SwinSettings, stage: int, number: int, drop: float) -> None:
        super().__init__()
        width = settings.width * 2**stage
        self.side, self.window = settings.map_side(stage), settings.window_of(stage)
        self.shift = settings.shift_of(stage, number)
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, settings.heads[stage], self.window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, settings.ratio * width)
        self.drop_path = DropPath(drop)
        mask = shift_mask(self.side, self.window, self.shift) if self.shift else None
        self.register_buffer("attn_mask", mask, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, side ** 2, C) -> the same."""
        tokens = tokens + self.drop_path(self.attended(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))  # type: ignore[no-any-return]

    def attended(self, tokens: Tensor) -> Tensor:
        """(N, side ** 2, C) -> the same: there and back through (shifted) windows."""
        grid = tokens.unflatten(1, (self.side, self.side))  # type: ignore[no-untyped-call]
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), (1, 2))
        grid = grid_of(self.attn(windows_of(grid, self.window), self.attn_mask), self.window, self.side)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), (1, 2))
        return grid.flatten(1, 2)


class PatchMerging(nn.Module):
    """Four tokens of a 2x2 square become one of twice the width."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, side ** 2, C) -> (N, side ** 2 / 4, 2 * C); down the left column of a square first, then the right."""
        n, _, width = tokens.shape
        half = self.side // 2
        squares = tokens.reshape(n, half, 2, half, 2, width).permute(0, 1, 3, 4, 2, 5)
        return cast(Tensor, self.reduction(self.norm(squares.reshape(n, half**2, 4 * width))))


class SwinStage(nn.Module):
    """Blocks at one size, and (but for the last stage) the way to the next."""

    def __init__(self, settings: SwinSettings, stage: int, drops: Iterator[float]) -> None:
        super().__init__()
        depth = settings.depths[stage]
        self.blocks = nn.ModuleList(SwinBlock(settings, stage, number, next(drops)) for number in range(depth))
        is_last = stage == len(settings.depths) - 1
        self.downsample = None if is_last else PatchMerging(settings.map_side(stage), settings.width * 2**stage)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> (N, L / 4, 2 * C), or the same size in the last stage."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.downsample is None else self.downsample(tokens)


class NormedPatches(nn.Module):
    """Patches that do not overlap, each one token, normalised."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, L, width), row by row."""
        return cast(Tensor, self.norm(self.proj(image).flatten(2).transpose(1, 2)))


class Swin(nn.Module):
    """(N, 3, side, side) -> (N, classes): stages of windowed attention, a linear layer on the mean of the last map."""

    def __init__(self, settings: SwinSettings) -> None:
        super().__init__()
        self.settings = settings
        self.patch_embed = NormedPatches(settings.patch, settings.width)
        drops = settings.drop_rates()
        self.layers = nn.ModuleList(SwinStage(settings, stage, drops) for stage in range(len(settings.depths)))
        channels = settings.width * 2 ** (len(settings.depths) - 1)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, settings.classes)
        self.apply(initialise)

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, channels): the mean of the last map, each of its tokens normalised before."""
        check_side(image, self.settings.side)
        tokens = self.patch_embed(image)
        for layer in self.layers:
            tokens = layer(tokens)
        return cast(Tensor, self.norm(tokens)).mean(dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, classes)."""
        return cast(Tensor, self.head(self.features(image)))


def computed_tensors(settings: SwinSettings) -> dict[str, Tensor]:
    """What the official files hold beside the weights, by name: it follows from the sizes."""
    found = {}
    for stage, depth in enumerate(settings.depths):
        side, window = settings.map_side(stage), settings.window_of(stage)
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}."
            found[block + "attn.relative_position_index"] = relative_index(window)
            if shift := settings.shift_of(stage, number):
                found[block + "attn_mask"] = shift_mask(side, window, shift)
    return found
