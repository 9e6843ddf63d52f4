"""NFA-ViT in its plainest form: the yardstick of `nfa_vit.py`. Frozen; nothing here is to be made faster.

Dense attention with a boolean mask, written out; every branch computed to its end; batch norms not folded; maps in the
usual layout; every level of the decoder enlarged before it is weighted. Same parameter names, same numbers: the tests
hold it against the recorded ones.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.reduction, self.scale = heads, reduction, (dim // heads) ** -0.5
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, side: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n, count, dim = tokens.shape
        query = self.q(tokens).reshape(n, count, self.heads, dim // self.heads).permute(0, 2, 1, 3)
        source = tokens
        if self.reduction > 1:
            source = tokens.permute(0, 2, 1).reshape(n, dim, side, side)
            source = self.norm(self.sr(source).reshape(n, dim, -1).permute(0, 2, 1))
        both = self.kv(source).reshape(n, -1, 2, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        products = (query @ both[0].transpose(-2, -1)) * self.scale
        if allowed is not None:
            products = products.masked_fill(~allowed, torch.finfo(products.dtype).min)
        weights = products.softmax(dim=-1)
        attended = (weights @ both[1]).transpose(1, 2).reshape(n, count, dim)
        return self.proj(attended), weights


class Depthwise(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, 1, 1, groups=dim)

    def forward(self, tokens: Tensor, side: int) -> Tensor:
        n, _, dim = tokens.shape
        maps = self.dwconv(tokens.transpose(1, 2).reshape(n, dim, side, side))
        return maps.flatten(2).transpose(1, 2)


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.dwconv = Depthwise(4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor, side: int) -> Tensor:
        x = self.dwconv(self.fc1(tokens), side)
        x = 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3))))
        return self.fc2(x)


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, reduction: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, reduction)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)
        self.drop = drop

    def dropped(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return branch
        keep = 1 - self.drop
        return branch * branch.new_empty(branch.shape[0], 1, 1).bernoulli_(keep) / keep


class Patches(nn.Module):
    def __init__(self, channels: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, maps: Tensor) -> tuple[Tensor, int]:
        maps = self.proj(maps)
        return self.norm(maps.flatten(2).transpose(1, 2)), maps.shape[-1]


class Branch(nn.Module):
    def __init__(self, channels: int, dims: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        drops = iter(torch.linspace(0, 0.1, sum(depths)).tolist())
        for stage, (dim, depth, heads, reduction) in enumerate(
            zip(dims, depths, (1, 2, 5, 8), (8, 4, 2, 1), strict=True), 1
        ):
            setattr(self, f"patch_embed{stage}", Patches(channels, dim, 7 if stage == 1 else 3, 4 if stage == 1 else 2))
            setattr(
                self, f"block{stage}", nn.ModuleList(Block(dim, heads, reduction, next(drops)) for _ in range(depth))
            )
            setattr(self, f"norm{stage}", nn.LayerNorm(dim))
            channels = dim

    def parts(self, stage: int) -> tuple[nn.Module, nn.ModuleList, nn.Module]:
        return tuple(getattr(self, f"{name}{stage}") for name in ("patch_embed", "block", "norm"))  # type: ignore[return-value]


class NoiseBranch(Branch):
    def forward(self, maps: Tensor) -> list[Tensor]:
        """The masks of the four stages, booleans (N, heads, tokens, keys)."""
        masks = []
        for stage in range(1, 5):
            patches, blocks, norm = self.parts(stage)
            tokens, side = patches(maps)
            for block in blocks:
                attended, weights = block.attn(tokens, side)
                tokens = attended + block.dropped(attended)
                tokens = tokens + block.dropped(block.mlp(block.norm2(tokens), side))
            chosen = torch.topk(-weights, max(1, int(weights.shape[-1] * 0.25)), dim=-1).indices
            masks.append(torch.zeros_like(weights).scatter_(-1, chosen, 1.0).detach() > 0)
            maps = norm(tokens).transpose(1, 2).reshape(maps.shape[0], -1, side, side)
        return masks


class ImageBranch(Branch):
    def forward(self, maps: Tensor, masks: list[Tensor]) -> list[Tensor]:
        features = []
        for stage in range(1, 5):
            patches, blocks, norm = self.parts(stage)
            tokens, side = patches(maps)
            for number, block in enumerate(blocks):
                allowed = masks[stage - 1] if number == len(blocks) - 1 else self.sparse(side, block.attn.reduction)
                tokens = tokens + block.dropped(block.attn(block.norm1(tokens), side, allowed)[0])
                tokens = tokens + block.dropped(block.mlp(block.norm2(tokens), side))
            maps = norm(tokens).transpose(1, 2).reshape(maps.shape[0], -1, side, side).contiguous()
            features.append(maps)
        return features

    @staticmethod
    def sparse(side: int, reduction: int) -> Tensor:
        keys = side // reduction if reduction > 1 else side
        fine = torch.arange(side) // reduction % 2
        coarse = torch.arange(keys) % 2
        of_query = (fine[:, None] * 2 + fine[None]).flatten()
        of_key = (coarse[:, None] * 2 + coarse[None]).flatten()
        return of_query[:, None] == of_key[None]


class ChannelNorm(nn.LayerNorm):
    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class Decoder(nn.Module):
    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        for number in range(1, 7):
            setattr(self, f"gamma{number}", nn.Parameter(1e-6 * torch.ones(512)))
        for number, dim in enumerate(dims, 1):
            setattr(self, f"conv_layer{number}", nn.Conv2d(dim, 512, 1))
        self.norm = ChannelNorm(512, 1e-6)
        self.conv_last = nn.Conv2d(512, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        size = features[0].shape[-2:]
        total = torch.zeros(())
        for number, maps in enumerate(features, 1):
            projected = getattr(self, f"conv_layer{number}")(maps)
            if number > 1:
                projected = F.interpolate(projected, size=size, mode="bilinear", align_corners=False)
            total = total + getattr(self, f"gamma{number}")[:, None, None] * projected
        return self.conv_last(self.norm(total))


class Extractor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(15):
            layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image) + image[:, :1]


class PlainNfaVit(nn.Module):
    """(N, 3, S, S) normalised -> verdict logits (N, 1) and mask logits (N, 1, S, S)."""

    def __init__(self) -> None:
        super().__init__()
        self.noise_extractor = Extractor()
        self.noise_backbone = NoiseBranch(1, (32, 64, 160, 256), (2, 2, 2, 2))
        self.image_backbone = ImageBranch(3, (64, 128, 320, 512), (3, 4, 6, 3))
        self.cls_decoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(512, 1))
        self.seg_decoder = Decoder((64, 128, 320, 512))
        self.noise_extractor.requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        masks = self.noise_backbone(self.noise_extractor(image))
        features = self.image_backbone(image, masks)
        mask = F.interpolate(self.seg_decoder(features), size=image.shape[-2:], mode="bilinear", align_corners=False)
        return self.cls_decoder(features[3]), mask
