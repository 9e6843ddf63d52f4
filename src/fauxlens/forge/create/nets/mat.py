"""MAT's generator (Li et al., "MAT: Mask-Aware Transformer for Large Hole Image Inpainting", CVPR 2022).

Written from the paper and from figures of the released network: 465 tensors, 61.56 million parameters, the names of its
parts down to the second level, its sizes, its depths. Those figures leave no room for another inventory than this one.
What they do not say was chosen, and no released file was at hand to confirm it:

- names within the parts: `conv0`, `conv1`, `toRGB` in blocks; `affine`, `resample_filter` in their layers; `q`, `k`,
  `v`, `proj`, `fuse`, `mlp.fc1`, `mlp.fc2`, `attn_mask` in attention; `downsample` for the way up as well;
  `conv.<n>` and `fc` in `to_style`; and the leading one in the shape of modulated weights;
- the order of channels in the second stage's input (mask, first stage, known) and of the parts of the first style
  (picture, noise);
- that validity is followed down to the smallest tokens and not beyond, and where the three skips enter.

There is no tensor for noise in the count, so the reference's choice of noise has nothing to act on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.nets.masked_windows import PartialConvolution, Stage
from fauxlens.forge.create.nets.modulated import Convolution, FullyConnected, StyledConvolution, ToRgb

MAPPING_LAYERS = 8
MAPPING_RATE = 0.01

Mixer = Callable[[Tensor], Tensor]
"""Zeros and ones for a place of a tensor's shape, half of each by chance: what of the maps gives way to the style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatSizes:
    """Sizes of the generator; those of the released 512-pixel one by default."""

    side: int = 512
    tokens: int = 64  # the side of the largest token maps; they shrink to a quarter, and so does the second stage
    dim: int = 180
    heads: int = 6
    depths: tuple[int, int, int, int, int] = (2, 3, 4, 3, 2)
    windows: tuple[int, int, int, int, int] = (8, 16, 16, 16, 8)
    latent: int = 512
    style: int = 512
    channels_at_one: int = 32768  # a level of side s has this many divided by s channels,
    channels_most: int = 512  # and at most so many

    def __post_init__(self) -> None:
        for name, lowest in (("side", 64), ("tokens", 32)):
            value = getattr(self, name)
            if value < lowest or value & (value - 1) or value > 2048:
                raise BadSetting(f"'{name}' out of range", wanted=f"a power of two from {lowest}", got=value)
        if self.tokens >= self.side:
            raise BadSetting("'tokens' out of range", wanted=f"less than the side, {self.side}", got=self.tokens)
        if self.heads < 1 or self.dim < 1 or self.dim % self.heads:
            raise BadSetting("'dim' does not fit", wanted=f"a multiple of {self.heads} heads", got=self.dim)
        if min(self.depths) < 1:
            raise BadSetting("'depths' out of range", wanted="at least 1 each", got=self.depths)
        for side, window in zip(self.token_sides, self.windows, strict=True):
            if window < 2 or window & (window - 1):
                raise BadSetting("'windows' do not fit", wanted=f"powers of two up to {side}", got=self.windows)
        for name in ("latent", "style", "channels_at_one", "channels_most"):
            if getattr(self, name) < 1:
                raise BadSetting(f"'{name}' out of range", wanted="at least 1", got=getattr(self, name))

    @property
    def token_sides(self) -> tuple[int, ...]:
        """Sides of the five stages.

        >>> MatSizes().token_sides
        (64, 32, 16, 32, 64)
        """
        return (self.tokens, self.tokens // 2, self.bottom, self.tokens // 2, self.tokens)

    @property
    def bottom(self) -> int:
        """The side of the smallest maps of both stages."""
        return self.tokens // 4

    def channels(self, side: int) -> int:
        """Of the second stage's maps of that side.

        >>> [MatSizes().channels(side) for side in (512, 256, 128, 64, 16)]
        [64, 128, 256, 512, 512]
        """
        return max(1, min(self.channels_at_one // side, self.channels_most))


class MatGenerator(nn.Module):
    """Two stages: a coarse picture from tokens that know what is valid, and a convolutional one that refines it."""

    def __init__(self, sizes: MatSizes | None = None) -> None:
        super().__init__()
        self.sizes = MatSizes() if sizes is None else sizes
        self.mapping = Mapping(self.sizes)
        self.synthesis = Synthesis(self.sizes)

    def forward(
        self,
        image: Tensor,
        known: Tensor,
        latent: Tensor,
        mixer: Mixer,
        *,
        truncation: float = 1.0,
        composited: bool = True,
    ) -> Tensor:
        """(N, 3, side, side) in [-1, 1], (N, 1, side, side) with 1 = known, (N, latent) normal -> (N, 3, side, side).

        `composited` puts the known pixels back, as the released network does; without it the frame is made anew
        everywhere.
        """
        style = self.mapping(latent, truncation)
        return cast(Tensor, self.synthesis(image, known, style, mixer, composited))


class Mapping(nn.Module):
    """(N, latent) -> (N, style): noise to a style. `w_avg` is the mean style, towards which truncation draws."""

    w_avg: Tensor

    def __init__(self, sizes: MatSizes) -> None:
        super().__init__()
        for number in range(MAPPING_LAYERS):
            entering = sizes.latent if number == 0 else sizes.style
            setattr(self, f"fc{number}", FullyConnected(entering, sizes.style, "lrelu", rate=MAPPING_RATE))
        self.register_buffer("w_avg", torch.zeros(sizes.style))

    def forward(self, latent: Tensor, truncation: float) -> Tensor:
        """The style of every latent vector, which is brought to unit variance first."""
        style = latent * (latent.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for number in range(MAPPING_LAYERS):
            style = getattr(self, f"fc{number}")(style)
        return style if truncation == 1.0 else torch.lerp(self.w_avg.expand_as(style), style, truncation)


class FirstStage(nn.Module):
    """A coarse frame: partial convolutions down to tokens, five stages of windows, styled convolutions up again."""

    def __init__(self, sizes: MatSizes) -> None:
        super().__init__()
        dim, halvings = sizes.dim, _halvings(sizes.side, sizes.tokens)
        self.conv_first = PartialConvolution(4, dim)
        self.enc_conv = nn.ModuleList(PartialConvolution(dim, dim, down=2) for _ in range(halvings))
        sides = sizes.token_sides
        self.tran = nn.ModuleList(
            Stage(dim, side, before, sizes.heads, window, depth)
            for side, before, window, depth in zip(sides, (sides[0], *sides), sizes.windows, sizes.depths, strict=False)
        )
        shrinking = [Convolution(dim, dim, down=2) for _ in range(_halvings(sizes.bottom, 1))]
        self.down_conv = nn.Sequential(*shrinking, nn.AdaptiveAvgPool2d(1))
        self.to_style = FullyConnected(dim, 2 * dim, "lrelu")
        self.ws_style = FullyConnected(sizes.style, dim, "lrelu")
        self.to_square = FullyConnected(dim, sizes.bottom**2, "lrelu")
        self.dec_conv = nn.ModuleList(StyledBlock(dim, dim, 3 * dim) for _ in range(halvings))

    def forward(self, seen: Tensor, known: Tensor, style: Tensor, mixer: Mixer) -> Tensor:
        """(N, 4, side, side) mask and known pixels, (N, 1, side, side), (N, style) -> (N, 3, side, side)."""
        valid: Tensor | None
        maps, valid = self.conv_first(seen, known)
        shallow = []
        for way in self.enc_conv:
            shallow.append(maps)
            maps, valid = way(maps, valid)
        deep = []
        middle = len(self.tran) // 2
        for stage in self.tran[:middle]:
            maps, valid = stage(maps, valid)
            deep.append(maps)
        maps, _ = self.tran[middle](maps, None)
        noise = self.ws_style(style)
        maps = mixed(maps, self.to_square(noise), mixer)
        whole = torch.cat((self.to_style(self.down_conv(maps).flatten(1)), noise), dim=1)
        for stage in self.tran[middle + 1 :]:
            maps, _ = stage(maps, None)
            maps = maps + deep.pop()
        image: Tensor | None = None
        for block in self.dec_conv:
            maps, image = block(maps, image, whole, shallow.pop())
        return cast(Tensor, image)


class Synthesis(nn.Module):
    """The first stage's frame, refined."""

    def __init__(self, sizes: MatSizes) -> None:
        super().__init__()
        deepest = sizes.channels(sizes.bottom)
        self.first_stage = FirstStage(sizes)
        self.enc = Encoder(sizes)
        self.to_square = FullyConnected(sizes.style, sizes.bottom**2, "lrelu")
        self.to_style = ToStyle(deepest, 2 * deepest)
        self.dec = Decoder(sizes, sizes.style + 2 * deepest)

    def forward(self, image: Tensor, known: Tensor, style: Tensor, mixer: Mixer, composited: bool) -> Tensor:
        """See `MatGenerator.forward`; `style` is mapped."""
        rest = image * known
        coarse = self.first_stage(torch.cat((known - 0.5, rest), dim=1), known, style, mixer)
        coarse = coarse * (1.0 - known) + rest
        skips = self.enc(torch.cat((known - 0.5, coarse, rest), dim=1))
        maps = mixed(skips[-1], self.to_square(style), mixer)
        whole = torch.cat((style, self.to_style(maps)), dim=1)
        made: Tensor = self.dec(maps, whole, skips)
        return made * (1.0 - known) + rest if composited else made


class EncoderBlock(nn.Module):
    """Two convolutions; the first changes the channels and, with `down` 2, halves the size."""

    def __init__(self, channels: int, channels_out: int, kernel: int = 3, down: int = 1) -> None:
        super().__init__()
        self.conv0 = Convolution(channels, channels_out, kernel, down=down)
        self.conv1 = Convolution(channels_out, channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out, H / down, W / down)."""
        return cast(Tensor, self.conv1(self.conv0(maps)))


class Encoder(nn.Module):
    """(N, 7, side, side) -> maps of every size down to the smallest, largest first."""

    def __init__(self, sizes: MatSizes) -> None:
        super().__init__()
        self.names: list[str] = []
        for side in _sides(sizes):
            channels = sizes.channels(side)
            whole = side == sizes.side
            block = EncoderBlock(7, channels, 1) if whole else EncoderBlock(sizes.channels(2 * side), channels, down=2)
            self.names.append(f"EncConv_Block_{side}")
            setattr(self, self.names[-1], block)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """One tensor a size."""
        found = []
        for name in self.names:
            maps = getattr(self, name)(maps)
            found.append(maps)
        return found


class ToStyle(nn.Module):
    """(N, C, H, W) -> (N, style): what the maps say of the whole picture."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*(Convolution(channels, channels, down=2) for _ in range(3)))
        self.fc = FullyConnected(channels, style, "lrelu")

    def forward(self, maps: Tensor) -> Tensor:
        """Halved three times, averaged, connected."""
        return cast(Tensor, self.fc(self.conv(maps).mean(dim=(2, 3))))


class StyledBlock(nn.Module):
    """To twice the size, joined by what the encoder has of it, and a picture on top of the picture below."""

    def __init__(self, channels: int, channels_out: int, style: int) -> None:
        super().__init__()
        self.conv0 = StyledConvolution(channels, channels_out, style, up=2)
        self.conv1 = StyledConvolution(channels_out, channels_out, style)
        self.toRGB = ToRgb(channels_out, style)

    def forward(self, maps: Tensor, below: Tensor | None, style: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), picture, (N, style), (N, out, 2 H, 2 W) -> maps and picture of twice the size."""
        maps = self.conv1(self.conv0(maps, style) + skip, style)
        return maps, self.toRGB(maps, style, below)


class FirstStyledBlock(nn.Module):
    """The smallest: it keeps the size, and its first convolution has no style."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv0 = Convolution(channels, channels)
        self.conv1 = StyledConvolution(channels, channels, style)
        self.toRGB = ToRgb(channels, style)

    def forward(self, maps: Tensor, below: Tensor | None, style: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), nothing, (N, style), (N, C, H, W) -> maps and picture."""
        maps = self.conv1(self.conv0(maps) + skip, style)
        return maps, self.toRGB(maps, style, below)


class Decoder(nn.Module):
    """Maps of the smallest size to the whole picture."""

    def __init__(self, sizes: MatSizes, style: int) -> None:
        super().__init__()
        self.names: list[str] = []
        for side in reversed(_sides(sizes)):
            channels = sizes.channels(side)
            smallest = side == sizes.bottom
            block = (
                FirstStyledBlock(channels, style)
                if smallest
                else StyledBlock(sizes.channels(side // 2), channels, style)
            )
            self.names.append(f"Dec_{side}")
            setattr(self, self.names[-1], block)

    def forward(self, maps: Tensor, style: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """`skips` are the encoder's, largest first."""
        image: Tensor | None = None
        for name, skip in zip(self.names, reversed(skips), strict=True):
            maps, image = getattr(self, name)(maps, image, style, skip)
        return cast(Tensor, image)


def mixed(maps: Tensor, square: Tensor, mixer: Mixer) -> Tensor:
    """(N, C, H, W) of which `mixer` keeps half, and (N, H * W) of the style in the places of the other half."""
    kept = mixer(maps)
    return maps * kept + square.reshape(len(maps), 1, *maps.shape[2:]) * (1.0 - kept)


def coin(generator: torch.Generator) -> Mixer:
    """Fair coins from a generator on the processor, so that they fall alike on every device."""

    def toss(maps: Tensor) -> Tensor:
        return torch.randint(0, 2, tuple(maps.shape), generator=generator).to(maps.device, maps.dtype)

    return toss


def _sides(sizes: MatSizes) -> list[int]:
    return [sizes.side >> level for level in range(_halvings(sizes.side, sizes.bottom) + 1)]


def _halvings(side: int, smallest: int) -> int:
    return (side // smallest).bit_length() - 1
