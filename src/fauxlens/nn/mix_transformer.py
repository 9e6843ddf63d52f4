"""The mix transformer: SegFormer's encoder, from which NFA-ViT, TruFor and the small detector are built.

Four stages; each halves the grid (the first quarters it) with overlapping patches, then runs blocks of attention over a
reduced grid of keys and an MLP with a depthwise convolution inside. Parameter names are SegFormer's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.nn import attention
from fauxlens.nn.attention import Guide
from fauxlens.nn.folded import folded_attention, worth_folding
from fauxlens.nn.pointwise import gelu_

Pattern = Literal["dense", "fix-sparse"]


@dataclass(frozen=True, kw_only=True)
class MixSettings:
    """The sizes of a mix transformer, one entry a stage."""

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    in_channels: int = 3
    mlp_ratio: int = 4
    drop_path: float = 0.1
    block_epsilon: float = 1e-6  # of norm1, norm2 and the norm at a stage's end
    inner_epsilon: float = 1e-5  # of the norms in patch embedding and attention
    gelu: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        lengths = {len(self.dims), len(self.depths), len(self.heads), len(self.reductions)}
        if len(lengths) != 1:
            raise BadSetting(
                "a mix transformer needs one entry a stage in dims, depths, heads and reductions", got=sorted(lengths)
            )
        for dim, heads in zip(self.dims, self.heads, strict=True):
            if dim % heads:
                raise BadSetting("a stage's width must divide by its heads", got=f"{dim} and {heads}")

    def drop_rates(self) -> list[list[float]]:
        """The drop-path rate of each block: from 0 in the first to `drop_path` in the last of all, evenly."""
        total = sum(self.depths)
        # On the processor whatever the default device is: a network without numbers is built on "meta".
        rates = iter(torch.linspace(0, self.drop_path, total, dtype=torch.float64, device="cpu").tolist())
        return [[next(rates) for _ in range(depth)] for depth in self.depths]


def mix_b0(**changed: object) -> MixSettings:
    """SegFormer's smallest encoder."""
    return MixSettings(**{"dims": (32, 64, 160, 256), "depths": (2, 2, 2, 2), "heads": (1, 2, 5, 8), **changed})  # type: ignore[arg-type]


def mix_b2(**changed: object) -> MixSettings:
    """SegFormer's B2 encoder."""
    return MixSettings(**{"dims": (64, 128, 320, 512), "depths": (3, 4, 6, 3), "heads": (1, 2, 5, 8), **changed})  # type: ignore[arg-type]


class PatchEmbedding(nn.Module):
    """Overlapping patches: (N, C, H, W) -> a grid (N, h, w, dim), normalised."""

    def __init__(self, in_channels: int, dim: int, kernel: int, stride: int, epsilon: float) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dim, epsilon)

    def forward(self, maps: Tensor | tuple[Tensor, ...]) -> Tensor:
        """(N, C, H, W) -> (N, h, w, dim). Several maps stand for one with the channels of all."""
        patches = self.proj(maps) if isinstance(maps, Tensor) else self._of_several(maps)
        normed: Tensor = self.norm(patches.permute(0, 2, 3, 1))
        return normed

    def _of_several(self, maps: tuple[Tensor, ...]) -> Tensor:
        """The sum of what each gives: to join them first would copy what is as large as the picture."""
        channels = [one.shape[1] for one in maps]
        if sum(channels) != self.proj.in_channels:
            raise ValueError(f"maps of {self.proj.in_channels} channels are embedded here, got {channels}")
        weights = torch.split(self.proj.weight, channels, dim=1)
        total: Tensor | None = None
        for one, weight in zip(maps, weights, strict=True):
            bias = self.proj.bias if total is None else None
            found = F.conv2d(one, weight, bias, self.proj.stride, self.proj.padding)
            total = found if total is None else total.add_(found)
        assert total is not None
        return total


class ReducedAttention(nn.Module):
    """Attention whose keys and values come from the grid shrunk by `reduction`."""

    def __init__(self, dim: int, heads: int, reduction: int, epsilon: float) -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim, epsilon)

    def keys(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, C) -> keys and values, each (N, h, w, heads, d)."""
        source = grid
        if self.reduction > 1:
            source = self.norm(self.sr(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        key, value = self.kv(source).unflatten(-1, (2, self.heads, -1)).unbind(3)
        return key, value

    def queries(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, heads, d)."""
        return self.q(grid).unflatten(-1, (self.heads, -1))  # type: ignore[no-any-return]

    def forward(self, grid: Tensor, pattern: Pattern = "dense", guide: Guide | None = None) -> Tensor:
        """(N, H, W, C) -> the same shape; a `guide` (see attention.masked_attention) takes the place of the pattern."""
        key, value = self.keys(grid)
        if guide is None and pattern == "fix-sparse" and worth_folding(grid, key, self.reduction):
            return folded_attention(grid, key, value, self.q, self.proj, reduction=self.reduction)
        query = self.queries(grid)
        if guide is not None:
            attended = attention.masked_attention(query, key, value, guide)
        elif pattern == "fix-sparse":
            attended = attention.fix_sparse_attention(query, key, value, reduction=self.reduction)
        else:
            attended = attention.dense_attention(query, key, value)
        return self.proj(attended.flatten(3))  # type: ignore[no-any-return]


class DepthwiseConvolution(nn.Module):
    """A 3x3 convolution of each channel alone, on a grid (N, H, W, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, 1, 1, groups=dim)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        return self.dwconv(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


WIDE_AT_ONCE = 3 * 2**19
"""How many numbers of an MLP's widened grid are made at a time on a processor: about what its caches hold."""


class ConvolutionalMlp(nn.Module):
    """Widen, convolve each channel, GELU, narrow."""

    def __init__(self, dim: int, hidden: int, gelu: Literal["none", "tanh"]) -> None:
        super().__init__()
        self.gelu = gelu
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConvolution(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        height = grid.shape[1]
        rows = max(8, WIDE_AT_ONCE // (grid.shape[0] * grid.shape[2] * self.fc1.out_features))
        traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
        if traced or torch.is_grad_enabled() or grid.device.type != "cpu" or rows >= height:
            return self.fc2(gelu_(self.dwconv(self.fc1(grid)), self.gelu))  # type: ignore[no-any-return]
        found = torch.empty_like(grid)
        for top in range(0, height, rows):
            # A row more on both sides, for the convolution; what it makes of them is thrown away.
            first = max(0, top - 1)
            wide = self.dwconv(self.fc1(grid[:, first : top + rows + 1]))[:, top - first :][:, :rows]
            found[:, top : top + rows] = self.fc2(gelu_(wide, self.gelu))
        return found


class DropPath(nn.Module):
    """In training, leaves a branch out for some samples, scaled so that the mean stays."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """(N, ...) -> the same shape."""
        if self.rate == 0 or not self.training:
            return branch
        keep = 1 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.dim() - 1)
        return branch * branch.new_empty(shape).bernoulli_(keep).div_(keep)


class MixBlock(nn.Module):
    """The usual block: attention and MLP, each on a normalised copy and added to what was there."""

    def __init__(self, dim: int, heads: int, reduction: int, drop: float, settings: MixSettings) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, settings.block_epsilon)
        self.attn = ReducedAttention(dim, heads, reduction, settings.inner_epsilon)
        self.norm2 = nn.LayerNorm(dim, settings.block_epsilon)
        self.mlp = ConvolutionalMlp(dim, dim * settings.mlp_ratio, settings.gelu)
        self.drop_path = DropPath(drop)

    def forward(self, grid: Tensor, pattern: Pattern = "dense", guide: Guide | None = None) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        grid = grid + self.drop_path(self.attn(self.norm1(grid), pattern, guide))
        return grid + self.drop_path(self.mlp(self.norm2(grid)))  # type: ignore[no-any-return]


class MixTransformer(nn.Module):
    """The encoder: (N, C, H, W) -> one (N, dim, h, w) a stage. `block` may be another class of the same parts.

    Stages are `patch_embed1`, `block1`, `norm1` and so on, as in the released files.
    """

    def __init__(self, settings: MixSettings, block: type[MixBlock] = MixBlock) -> None:
        super().__init__()
        self.settings = settings
        channels = settings.in_channels
        for stage, drops in enumerate(settings.drop_rates()):
            dim, heads, reduction = settings.dims[stage], settings.heads[stage], settings.reductions[stage]
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            embedding = PatchEmbedding(channels, dim, kernel, stride, settings.inner_epsilon)
            setattr(self, f"patch_embed{stage + 1}", embedding)
            blocks = nn.ModuleList(block(dim, heads, reduction, drop, settings) for drop in drops)
            setattr(self, f"block{stage + 1}", blocks)
            setattr(self, f"norm{stage + 1}", nn.LayerNorm(dim, settings.block_epsilon))
            channels = dim
        self.apply(initialise)

    def stage(self, index: int) -> tuple[PatchEmbedding, Sequence[MixBlock], nn.LayerNorm]:
        """The parts of stage 0, 1, ...: how its patches are made, its blocks, and the norm at its end."""
        names = (f"patch_embed{index + 1}", f"block{index + 1}", f"norm{index + 1}")
        embedding, blocks, norm = (getattr(self, name) for name in names)
        return embedding, blocks, norm

    def forward(
        self,
        maps: Tensor | tuple[Tensor, ...],
        pattern: Pattern = "dense",
        guides: Sequence[Guide] | None = None,
    ) -> list[Tensor]:
        """(N, C, H, W) -> features of each stage, finest first. Several maps stand for one with the channels of all.

        With `guides` (one a stage) the last block of each stage attends where its guide lets it; the others follow
        the pattern.
        """
        features: list[Tensor] = []
        for index in range(len(self.settings.dims)):
            embedding, blocks, norm = self.stage(index)
            grid = embedding(maps)
            for number, block in enumerate(blocks):
                last = guides is not None and number == len(blocks) - 1
                grid = block(grid, pattern, guides[index] if guides is not None and last else None)
            features.append(norm(grid).permute(0, 3, 1, 2))
            maps = features[-1]
        return features


def initialise(module: nn.Module) -> None:
    """Linear layers small and normal, convolutions by their fan-out, norms at one."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def grid_sides(side: int, stages: int = 4) -> list[int]:
    """How many patches fit along a side of `side` pixels, a stage each.

    >>> grid_sides(512), grid_sides(100)
    ([128, 64, 32, 16], [25, 13, 7, 4])
    """
    sides = [(side + 6 - 7) // 4 + 1]
    while len(sides) < stages:
        sides.append((sides[-1] + 2 - 3) // 2 + 1)
    return sides
