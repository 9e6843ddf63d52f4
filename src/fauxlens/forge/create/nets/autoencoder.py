"""Small auto-encoders that differ in how they make many pixels of few, and near-identity ones that need no training.

The trace is the decoder's, so encoders are one plain design; there is no path around the latent. Pictures are
(N, 3, H, W) in 0 to 1, both sides multiples of the factor; `reconstruct` takes any size.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.core.seeds import seed_for
from fauxlens.forge.create.families import Family, NearIdentity

GROUP = 4  # channels a group of the group norm
CODE_WIDTH = 4  # a quantised latent is cut into pieces of this many numbers
CODES = 256  # and each piece is the nearest of so many


class Sine(nn.Module):
    """sin(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.sin(x)


class Residual(nn.Module):
    """x + convolution(activation(norm(x)))."""

    def __init__(self, channels: int, activation: str, norm: str) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.body = nn.Sequential(*_norm(norm, channels), _activation(activation), convolution)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        made: Tensor = x + self.body(x)
        return made


class Up(nn.Module):
    """(N, C, H, W) -> (N, D, 2H, 2W) in the way that the family is named after."""

    def __init__(self, kind: str, given: int, made: int) -> None:
        super().__init__()
        self.kind = kind
        self.layer: nn.Conv2d | nn.ConvTranspose2d
        if kind == "transposed4":
            self.layer = nn.ConvTranspose2d(given, made, 4, stride=2, padding=1)
        elif kind == "transposed3":
            self.layer = nn.ConvTranspose2d(given, made, 3, stride=2, padding=1, output_padding=1)
        elif kind in ("shuffle", "shuffle-blur"):
            self.layer = nn.Conv2d(given, made * 4, 3, padding=1)
        else:
            self.layer = nn.Conv2d(given, made, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Twice the size."""
        if self.kind == "nearest":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        elif self.kind == "bilinear":
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.layer(x)
        if self.kind in ("shuffle", "shuffle-blur"):
            x = F.pixel_shuffle(x, 2)
        if self.kind == "shuffle-blur":
            x = F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        return x


class Quantiser(nn.Module):
    """Each piece of the latent becomes the nearest entry of a book; gradients pass as if nothing had happened."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pieces = channels // CODE_WIDTH
        self.books = nn.Parameter(torch.zeros(self.pieces, CODES, CODE_WIDTH))
        self.open = False  # while open, latents pass as they are; the trainer closes it

    def start(self, latent: Tensor, chance: torch.Generator) -> None:
        """Fill the books with pieces of a latent that came up."""
        found = self._pieces(latent.detach().float())
        for piece in range(self.pieces):
            rows = torch.randint(found.shape[1], (CODES,), generator=chance)
            self.books.data[piece] = found[piece, rows]

    def _pieces(self, latent: Tensor) -> Tensor:
        n, _, h, w = latent.shape
        return (
            latent.reshape(n, self.pieces, CODE_WIDTH, h, w).permute(1, 0, 3, 4, 2).reshape(self.pieces, -1, CODE_WIDTH)
        )

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> what the books make of it, and what it costs to keep books and latents together."""
        n, c, h, w = latent.shape
        found = self._pieces(latent.float())
        with torch.no_grad():
            # Squares and products instead of differences: (pieces, rows, codes) without a fourth axis.
            far = self.books.square().sum(-1)[:, None] - 2 * torch.bmm(found, self.books.transpose(1, 2))
            nearest = far.argmin(-1)
        entries = torch.gather(self.books, 1, nearest[..., None].expand(-1, -1, CODE_WIDTH))
        cost = F.mse_loss(entries, found.detach()) + 0.25 * F.mse_loss(found, entries.detach())
        passed = found + (entries - found).detach()
        back = passed.reshape(self.pieces, n, h, w, CODE_WIDTH).permute(1, 0, 4, 2, 3).reshape(n, c, h, w)
        return back.to(latent.dtype), cost


class AutoEncoder(nn.Module):
    """A trained family's network. `encode` and `decode` are each other's inverse as far as training got."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        activation, norm, factor, latent = family.activation, family.norm, family.factor, family.latent
        tokens = family.upsampler == "tokens"
        steps = int(math.log2(factor))
        full = family.channels
        # Narrow where pixels are many, wide where they are few.
        widths = [full] * (steps + 1) if tokens else [full + 8 * (steps - level) for level in range(steps + 1)]
        wide = widths[0]
        patch = 3 * factor * factor
        self.patches = nn.Conv2d(patch, latent, 1)
        self.encoder = nn.Sequential(
            nn.Conv2d(patch, wide, 1),
            Residual(wide, activation, norm),
            _activation(activation),
            nn.Conv2d(wide, latent, 1),
        )
        self.quantiser = Quantiser(latent) if family.quantised else None
        self.enter = nn.Conv2d(latent, wide, 3, padding=1)
        self.middle = nn.Sequential(*(Residual(wide, activation, norm) for _ in range(2)))
        levels: list[nn.Module] = []
        if tokens:
            levels += [nn.Conv2d(wide, patch, 1), nn.PixelShuffle(factor)]
        else:
            for given, made in pairwise(widths):
                levels += [Up(family.upsampler, given, made), Residual(made, activation, norm)]
            levels += [_activation(activation), nn.Conv2d(full, 3, 3, padding=1)]
        self.levels = nn.Sequential(*levels)

    def encode(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) in 0 to 1 -> (N, L, H / factor, W / factor), before any quantiser."""
        patches = F.pixel_unshuffle(picture * 2.0 - 1.0, self.family.factor)
        made: Tensor = self.patches(patches) + self.encoder(patches)
        return made

    def decode(self, latent: Tensor) -> Tensor:
        """The latent -> (N, 3, H, W), about 0 to 1 and not clipped."""
        made: Tensor = self.levels(self.middle(self.enter(latent)))
        return made / 2.0 + 0.5

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The picture after encoder and decoder, and the quantiser's cost (0 without one)."""
        latent = self.encode(picture)
        cost = picture.new_zeros(())
        if self.quantiser is not None and not self.quantiser.open:
            latent, cost = self.quantiser(latent)
        return self.decode(latent), cost


class NearIdentityNetwork(nn.Module):
    """An untrained family: patches turned by an orthogonal matrix and turned back by a noisy inverse.

    All weights follow from the family's name. Between them, high frequencies are raised or lowered a little, so that
    not every fake is smoother than its photo.
    """

    kernel: Tensor

    def __init__(self, family: NearIdentity) -> None:
        super().__init__()
        self.family = family
        chance = torch.Generator().manual_seed(seed_for("imprint-untrained", image_id=family.name))
        side = round(family.factor ** (1 / family.steps))
        self.side = side
        size = 3 * side * side
        for step in range(family.steps):
            turn, _ = torch.linalg.qr(torch.randn(size, size, generator=chance, dtype=torch.float64))
            noise = torch.randn(size, size, generator=chance, dtype=torch.float64) * (0.1 / math.sqrt(size))
            # Flat colours come back as they are: else every flat patch would get the same grain, and with it detail.
            flat = turn @ torch.kron(torch.eye(3, dtype=torch.float64), torch.ones(side**2, 1, dtype=torch.float64))
            noise = noise - noise @ flat @ flat.T / side**2
            self.register_buffer(f"turn{step}", turn.float())
            self.register_buffer(f"back{step}", (turn.T + noise).float())
        amount = 0.15 + 0.25 * float(torch.rand((), generator=chance, dtype=torch.float64))
        amount = amount if family.sharpens else -amount
        smooth = torch.tensor([1.0, 2.0, 1.0])
        kernel = -amount * torch.outer(smooth, smooth) / 16.0
        kernel[1, 1] += 1.0 + amount
        self.amount = amount
        self.register_buffer("kernel", kernel.expand(3, 1, 3, 3).clone())

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The picture, nearly; and no cost."""
        x = F.conv2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), self.kernel.to(picture.dtype), groups=3)
        for step in range(self.family.steps):
            x = F.pixel_unshuffle(x, self.side)
            n, c, h, w = x.shape
            size = 3 * self.side**2
            turn, back = getattr(self, f"turn{step}"), getattr(self, f"back{step}")
            # Deeper steps change patches of patches, three planes at a time.
            x = x.reshape(n * c // size, size, h, w)
            x = F.conv2d(F.conv2d(x, turn[..., None, None]), back[..., None, None]).reshape(n, c, h, w)
        for _ in range(self.family.steps):
            x = F.pixel_shuffle(x, self.side)
        return x, x.new_zeros(())


def build(family: Family | NearIdentity) -> AutoEncoder | NearIdentityNetwork:
    """The family's network: untrained ones are ready, others have fresh weights."""
    return AutoEncoder(family) if isinstance(family, Family) else NearIdentityNetwork(family)


def reconstructed(network: AutoEncoder | NearIdentityNetwork, picture: Tensor) -> Tensor:
    """(N, 3, H, W) in 0 to 1, any size -> the same size in 0 to 1, as the network brings it back."""
    if picture.ndim != 4 or picture.shape[1] != 3 or not picture.is_floating_point():
        got = f"{tuple(picture.shape)} {picture.dtype}"
        raise BadShape("pictures to be brought back", wanted="(N, 3, H, W) floating point", got=got)
    height, width = picture.shape[-2:]
    factor = network.family.factor
    bottom, right = -height % factor, -width % factor
    # Repeating the edge works at any size, a picture of one pixel included; mirroring does not.
    padded = F.pad(picture, (0, right, 0, bottom), mode="replicate") if bottom or right else picture
    made, _ = network(padded)
    return made[..., :height, :width].clamp(0.0, 1.0)  # type: ignore[no-any-return]


def _activation(name: str) -> nn.Module:
    if name == "relu":
        return nn.ReLU()
    if name == "leaky":
        return nn.LeakyReLU(0.2)
    return nn.SiLU() if name == "silu" else Sine()


def _norm(name: str, channels: int) -> list[nn.Module]:
    if name == "group":
        return [nn.GroupNorm(channels // GROUP, channels)]
    return [nn.BatchNorm2d(channels)] if name == "batch" else []
