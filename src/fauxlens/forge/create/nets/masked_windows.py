"""Attention in windows that leaves out what is not known, after MAT (Li et al., CVPR 2022, sections 3.2 and 3.3).

A token is valid (1) or not (0). Tokens attend to valid ones of their window; then the whole window becomes valid if
any of it was. There is no layer normalisation, and a fully connected layer over both stands where a shortcut would.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.forge.create.nets.modulated import Convolution, FullyConnected

FAR = -100.0
"""What is added to the score of a token that must not be attended to."""


class PartialConvolution(nn.Module):
    """A convolution whose answer is scaled up where part of its window is unknown, and zero where all of it is."""

    def __init__(self, channels: int, channels_out: int, *, down: int = 1) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels_out, down=down)
        self.down = down

    def forward(self, maps: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, C, H, W), (N, 1, H, W) of 0 and 1 or None for all valid -> the same, halved if `down` is 2."""
        made: Tensor = self.conv(maps)
        if valid is None:
            return made, None
        count = F.conv2d(valid, valid.new_ones(1, 1, 3, 3), stride=self.down, padding=1)
        seen = count.clamp(0, 1)
        return made * (seen * 9.0 / count.clamp(min=1.0)), seen


class WindowAttention(nn.Module):
    """Heads of attention among the tokens of each window; queries and keys are made of tokens of unit length."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = FullyConnected(dim, dim)
        self.k = FullyConnected(dim, dim)
        self.v = FullyConnected(dim, dim)
        self.proj = FullyConnected(dim, dim)

    def forward(self, tokens: Tensor, scores: Tensor | None) -> Tensor:
        """(windows, L, dim), (windows, 1, 1 or L, L) to be added to the scores -> (windows, L, dim)."""
        unit = F.normalize(tokens, dim=-1)
        queries, keys, values = (
            layer(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, given in ((self.q, unit), (self.k, unit), (self.v, tokens))
        )
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=scores)
        return cast(Tensor, self.proj(seen.transpose(1, 2).flatten(2)))


class Perceptron(nn.Module):
    """Two layers, twice as wide between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = FullyConnected(dim, 2 * dim, "lrelu")
        self.fc2 = FullyConnected(2 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        return cast(Tensor, self.fc2(self.fc1(tokens)))


class WindowBlock(nn.Module):
    """Attention in windows, joined with what came in, then a perceptron. `shift` moves the windows by half."""

    attn_mask: Tensor

    def __init__(self, dim: int, side: int, heads: int, window: int, shift: bool) -> None:
        super().__init__()
        self.side, self.window = side, min(window, side)
        # One window that covers everything has nowhere to move.
        self.shift = window // 2 if shift and side > window else 0
        self.attn = WindowAttention(dim, heads)
        self.fuse = FullyConnected(2 * dim, dim, "lrelu")
        self.mlp = Perceptron(dim)
        if self.shift:
            self.register_buffer("attn_mask", shifted_apart(side, self.window, self.shift))

    def forward(self, maps: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, side, side, dim), (N, side, side, 1) or None -> the same."""
        count = len(maps)
        scores: Tensor | None = None
        if self.shift:
            scores = self.attn_mask.to(maps.dtype).repeat(count, 1, 1)[:, None]
        windows = self._cut(maps)
        spread: Tensor | None = None
        if valid is not None:
            known = self._cut(valid)
            unseen = ((1.0 - known) * FAR).transpose(1, 2)[:, None]
            scores = unseen if scores is None else scores + unseen
            spread = self._joined(known.amax(dim=1, keepdim=True).expand_as(known), count)
        seen = self._joined(self.attn(windows, scores), count)
        return self.mlp(self.fuse(torch.cat((maps, seen), dim=-1))), spread

    def _cut(self, maps: Tensor) -> Tensor:
        if self.shift:
            maps = maps.roll((-self.shift, -self.shift), dims=(1, 2))
        return windows_of(maps, self.window)

    def _joined(self, windows: Tensor, count: int) -> Tensor:
        across = self.side // self.window
        maps = windows.reshape(count, across, across, self.window, self.window, -1)
        maps = maps.transpose(2, 3).reshape(count, self.side, self.side, -1)
        return maps.roll((self.shift, self.shift), dims=(1, 2)) if self.shift else maps


class Stage(nn.Module):
    """Blocks of one size, then a convolution, around one shortcut; before them the way down or up from the last stage.

    The way is called `downsample` in both directions.
    """

    def __init__(self, dim: int, side: int, before: int, heads: int, window: int, depth: int) -> None:
        super().__init__()
        way: nn.Module | None = None
        if side < before:
            way = PartialWay(dim)
        elif side > before:
            way = EnlargingWay(dim)
        self.downsample = way
        self.blocks = nn.ModuleList(WindowBlock(dim, side, heads, window, number % 2 == 1) for number in range(depth))
        self.conv = PartialConvolution(dim, dim)

    def forward(self, maps: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, dim, H, W), (N, 1, H, W) or None -> the same at this stage's size."""
        if self.downsample is not None:
            maps, valid = self.downsample(maps, valid)
        tokens = maps.permute(0, 2, 3, 1)
        known = None if valid is None else valid.permute(0, 2, 3, 1)
        for block in self.blocks:
            tokens, known = block(tokens, known)
        inner = tokens.permute(0, 3, 1, 2).contiguous()
        made, valid = self.conv(inner, None if known is None else known.permute(0, 3, 1, 2).contiguous())
        return made + maps, valid


class PartialWay(nn.Module):
    """To half the size, by a partial convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = PartialConvolution(dim, dim, down=2)

    def forward(self, maps: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, dim, H, W), validity -> (N, dim, H / 2, W / 2), validity."""
        made: tuple[Tensor, Tensor | None] = self.conv(maps, valid)
        return made


class EnlargingWay(nn.Module):
    """To twice the size. By then everything is valid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = Convolution(dim, dim, up=2)

    def forward(self, maps: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, dim, H, W), validity -> (N, dim, 2 H, 2 W), validity."""
        larger = None if valid is None else F.interpolate(valid, scale_factor=2.0, mode="nearest")
        return self.conv(maps), larger


def windows_of(maps: Tensor, window: int) -> Tensor:
    """(N, H, W, C) -> (N * windows, window * window, C), row by row."""
    count, height, width, channels = maps.shape
    cut = maps.reshape(count, height // window, window, width // window, window, channels)
    return cut.transpose(2, 3).reshape(-1, window * window, channels)


def shifted_apart(side: int, window: int, shift: int) -> Tensor:
    """(windows, L, L) added to scores: `FAR` between tokens that only the roll round the border brings together."""
    edge = torch.arange(side)
    band = (edge >= side - window).long() + (edge >= side - shift).long()
    part = (3 * band[:, None] + band[None, :])[None, :, :, None]
    names = windows_of(part, window)[..., 0]
    return (names[:, None, :] != names[:, :, None]).to(torch.float32) * FAR
