"""`imprint`: a region of the photo sent through an auto-encoder, so that it carries an up-sampling trace, little else.

The content stays (or is a plain fill, or another colour), so a detector cannot go by meaning. Three things keep it from
going by smoothness either: families whose reconstructions are good, untrained ones that sharpen as often as they
smooth, and frequency alignment, which gives back a part of the detail that the decoder lost.

Only the region's box and a margin around it are reconstructed; beyond it the frame is the photo itself. The setting
`whole` sends the whole frame through, for the compositor's `regenerated`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.seeds import seed_for
from fauxlens.detectors.checkpoint import digest_of
from fauxlens.forge.create.families import FACTORS, TRAINED, UNTRAINED
from fauxlens.forge.create.imprint_weights import ImprintFile
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.create.nets.autoencoder import AutoEncoder, NearIdentityNetwork, build, reconstructed
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

Pool = Literal["train", "held-out", "all", "untrained"]
Floats = npt.NDArray[np.float32]
POOLS: tuple[Pool, ...] = ("train", "held-out", "all", "untrained")
CONTENTS = ("identity", "telea", "jittered")
ALIGNMENTS = ("none", "residual", "bands")
_GRID = max(FACTORS)  # boxes begin on it, so that a decoder's grid lies as it would in the whole frame
_SIGMA = 1.5  # of the blur that parts low from high frequencies
_LARGEST_GAIN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """How often each kind of content is sent through; shares of their sum."""

    identity: float = 0.6
    telea: float = 0.2
    jittered: float = 0.2

    def __post_init__(self) -> None:
        shares = (self.identity, self.telea, self.jittered)
        if min(shares) < 0 or not 0 < sum(shares) < math.inf:
            raise BadSetting("shares of content are out of range", wanted="0 or more, not all 0", got=shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImprintSettings:
    """Which families, and how strongly they show."""

    pool: Pool = "train"
    families: tuple[str, ...] = ()  # names; empty is the whole pool
    content: Content = Content()
    aligned_share: float = 0.5  # how often frequencies are aligned
    band_share: float = 0.5  # of those: by band energy; the others get a share of what was lost
    residual_least: float = 0.2
    residual_most: float = 0.8
    strength_least: float = 0.5  # what is not aligned by residual is mixed in with at least this much, at most 1
    psnr_least: float = 22.0
    psnr_most: float = 45.0
    attempts: int = 4
    margin: int = 32
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("aligned_share", "band_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadSetting(f"{name} is out of range", wanted="0 to 1", got=getattr(self, name))
        if not 0 <= self.residual_least <= self.residual_most < 1:
            got = f"{self.residual_least} to {self.residual_most}"
            raise BadSetting("the share of the residual is out of range", wanted="0 to below 1, in order", got=got)
        if not 0.1 <= self.strength_least <= 1:
            raise BadSetting("strength_least is out of range", wanted="0.1 to 1", got=self.strength_least)
        if not 0 <= self.psnr_least < self.psnr_most:
            got = f"{self.psnr_least} to {self.psnr_most}"
            raise BadSetting("the gate of decibels is out of range", wanted="0 or more, in order", got=got)
        if not 1 <= self.attempts <= 32:
            raise BadSetting("attempts is out of range", wanted="1 to 32", got=self.attempts)
        if not 0 <= self.margin <= 512:
            raise BadSetting("margin is out of range", wanted="0 to 512 pixels", got=self.margin)
        for name in self.families:
            if name not in TRAINED and name not in UNTRAINED:
                raise unknown(name, (*TRAINED, *UNTRAINED), "reconstruction family")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What chance decided for one attempt."""

    family: str
    content: str
    alignment: str
    residual_share: float  # 0 unless aligned by residual
    strength: float
    jitter: tuple[float, ...]  # gain of red, green and blue, power; empty when the colours stay


class Imprint(Method):
    """Reconstruction families, one drawn for each request."""

    card = MethodCard(
        name="imprint",
        release_name="Imprint",
        title="Auto-encoder imprint",
        group="imprint",
        paper="none; after arXiv 2601.20461, 2410.11835 and 2505.14359",
        licence="Apache-2.0; the weights' card names the photos they were trained on and their terms",
        about="A region reconstructed by one of many small auto-encoders: an up-sampling trace with the content kept.",
        limits=(
            "It does not invent anything: what is detected is the trace of a decoder, not of a generator's picture.",
            "Outside the region's box the made frame is the photo, unless `whole` is set.",
            "Flat regions come back all but unchanged; `gate` in the parameters says so.",
        ),
    )
    settings_type = ImprintSettings
    settings: ImprintSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._bank = Families(weights)

    def names(self) -> tuple[str, ...]:
        """The families that are drawn from."""
        pool = self._bank.available(self.settings.pool)
        if not self.settings.families:
            return pool
        others = [name for name in self.settings.families if name not in pool]
        if others:
            raise BadSetting(
                f"families outside the pool '{self.settings.pool}', or unfit", wanted=", ".join(pool), got=others
            )
        return self.settings.families

    def ready(self) -> None:
        """Raise when the pool has no family that could be drawn."""
        self.names()

    def make(self, request: Request) -> Fill:
        """The frame with the region's box reconstructed; attempts outside the gate are drawn again and recorded."""
        settings, names = self.settings, self.names()
        box = _box(request.mask, 0 if settings.whole else settings.margin, whole=settings.whole)
        top, bottom, left, right = box
        pixels = request.pixels[top:bottom, left:right]
        mask = request.mask[top:bottom, left:right]
        failed: list[dict[str, Any]] = []
        best: tuple[float, Pixels, Draw, float | None] | None = None
        for attempt in range(settings.attempts):
            draw = draw_of(settings, names, request.seed, attempt)
            made = self._made(pixels, mask, draw)
            # Other content differs from the photo for good reasons, so only the photo's own is held to the gate.
            found = psnr(pixels, made, mask) if draw.content == "identity" else None
            off = 0.0 if found is None else max(settings.psnr_least - found, found - settings.psnr_most, 0.0)
            if best is None or off < best[0]:
                best = (off, made, draw, found)
            if off == 0.0:
                break
            failed.append({"family": draw.family, "psnr": found})
        assert best is not None
        off, made, draw, found = best
        frame = request.pixels.copy()
        frame[top:bottom, left:right] = made
        parameters = {
            "family": draw.family,
            "weights_sha256": self._bank.sha256(draw.family),
            "pool": settings.pool,
            "content": draw.content,
            "jitter": list(draw.jitter),
            "alignment": draw.alignment,
            "residual_share": draw.residual_share,
            "strength": draw.strength,
            "psnr": found,
            "gate": off == 0.0,
            "failed_attempts": failed,
            "box": [left, top, right, bottom],
            "whole": settings.whole,
        }
        return Fill(frame, parameters, f"imprint/{draw.family}")

    def _made(self, pixels: Pixels, mask: Mask, draw: Draw) -> Pixels:
        source = _content(pixels, mask, draw)
        picture = torch.from_numpy(source).permute(2, 0, 1)[None].to(self.device) / 255.0
        back = self._bank.reconstruct(draw.family, picture)[0].permute(1, 2, 0).cpu().numpy() * np.float32(255.0)
        made = source + np.float32(draw.strength) * (back - source)
        made = aligned(source, made, draw.alignment, draw.residual_share)
        return np.rint(np.clip(made, 0.0, 255.0)).astype(np.uint8)


class Families:
    """Networks by name: untrained ones are made of their names, trained ones come from the file, opened when asked."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._file: ImprintFile | None = None
        self._untrained: dict[str, NearIdentityNetwork] = {}

    @property
    def file(self) -> ImprintFile:
        """The trained families, or NoWeights with the command that trains them."""
        if self._file is None:
            folder = self._folder
            self._file = ImprintFile(folder.parent if folder is not None and folder.is_file() else folder)
        return self._file

    def available(self, pool: str = "all") -> tuple[str, ...]:
        """Names of the families of a pool that are fit for use; `all` is trained and untrained together."""
        if pool not in POOLS:
            raise unknown(pool, POOLS, "pool of families")
        if pool == "untrained":
            return tuple(UNTRAINED)
        fit, kept = self.file.fit, self.file.held_out
        if pool == "held-out":
            return tuple(sorted(kept))
        train = tuple(sorted(set(fit) - kept))
        return train if pool == "train" else (*train, *sorted(kept), *UNTRAINED)

    def network(self, family: str) -> AutoEncoder | NearIdentityNetwork:
        """The network of a family, ready for use, on the processor."""
        if family in UNTRAINED:
            if family not in self._untrained:
                network = build(UNTRAINED[family])
                assert isinstance(network, NearIdentityNetwork)
                self._untrained[family] = network.eval()
            return self._untrained[family]
        if family not in self.file.fit:
            raise unknown(family, self.available("all"), "reconstruction family")
        return self.file.network(family)

    def sha256(self, family: str) -> str:
        """The digest of a family's numbers; of untrained ones, of what their name makes of them."""
        if family in UNTRAINED:
            return digest_of(self.network(family).state_dict())
        return self.file.sha256(family)

    @torch.no_grad()
    def reconstruct(self, family: str, batch: Tensor) -> Tensor:
        """(N, 3, H, W) floats in 0 to 1, any size -> the same, as the family brings them back."""
        return reconstructed(self.network(family).to(batch.device), batch)


_STANDARD: list[Families] = []


def available(pool: str = "all") -> tuple[str, ...]:
    """Names of the families of a pool that are fit for use, of those that come with the package."""
    return _standard().available(pool)


def reconstruct(family: str, batch: Tensor) -> Tensor:
    """(N, 3, H, W) floats in 0 to 1, any size -> the same, as the family brings them back."""
    return _standard().reconstruct(family, batch)


def draw_of(settings: ImprintSettings, names: tuple[str, ...], seed: int, attempt: int) -> Draw:
    """What chance says to one attempt: the same for the same settings, families, seed and attempt."""
    # What is sent through is decided once: were it drawn anew, flat regions would end as fills more often than others.
    which = float(np.random.default_rng(seed_for("imprint-content", image_id=str(seed))).random())
    chance = np.random.default_rng(seed_for("imprint", image_id=str(seed), attempt=attempt))
    # Every number is drawn whether it is used or not, so that one setting does not move what another draws.
    family = names[int(chance.integers(len(names)))]
    align, bands, share, strength = (float(chance.random()) for _ in range(4))
    jitter = tuple(float(np.exp(chance.uniform(-most, most))) for most in (0.1, 0.1, 0.1, 0.2))
    shares = (settings.content.identity, settings.content.telea, settings.content.jittered)
    content = CONTENTS[int(np.searchsorted(np.cumsum(shares) / sum(shares), which, side="right"))]
    alignment = "none" if align >= settings.aligned_share else ("bands" if bands < settings.band_share else "residual")
    by_residual = alignment == "residual"
    return Draw(
        family=family,
        content=content,
        alignment=alignment,
        residual_share=settings.residual_least + share * (settings.residual_most - settings.residual_least)
        if by_residual
        else 0.0,
        # Giving back a share of the residual is a weakening of its own; two would leave nothing to find.
        strength=1.0 if by_residual else settings.strength_least + strength * (1.0 - settings.strength_least),
        jitter=jitter if content == "jittered" else (),
    )


def aligned(source: Floats, made: Floats, alignment: str, share: float) -> Floats:
    """(H, W, 3) `made` with some of the high frequencies of `source` restored.

    `residual` gives back `share` of what was lost, so that what is missing shrinks to 1 - share of it. `bands` scales
    the high frequencies that are there to the energy they had: no detail of the source comes back, only its amount.
    """
    if alignment == "residual":
        given: Floats = made + np.float32(share) * (source - made)
        return given
    if alignment == "bands":
        low = _blurred(made)
        high, wanted = made - low, source - _blurred(source)
        energy = float(np.square(high).mean(dtype=np.float64))
        gain = math.sqrt(float(np.square(wanted).mean(dtype=np.float64)) / max(energy, 1e-6))
        scaled: Floats = low + np.float32(min(max(gain, 1.0 / _LARGEST_GAIN), _LARGEST_GAIN)) * high
        return scaled
    return made


def psnr(one: Pixels, other: Pixels, mask: Mask) -> float:
    """Decibels between two pictures inside the mask; 99 when they are the same."""
    off = one[mask].astype(np.float64) - other[mask]
    error = float(np.square(off).mean())
    return 99.0 if error == 0.0 else min(99.0, 10.0 * math.log10(255.0**2 / error))


def _standard() -> Families:
    if not _STANDARD:
        _STANDARD.append(Families())
    return _STANDARD[0]


def _blurred(picture: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _SIGMA, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _content(pixels: Pixels, mask: Mask, draw: Draw) -> Floats:
    if draw.content == "telea":
        filled = cv2.inpaint(np.ascontiguousarray(pixels), mask.astype(np.uint8), 5, cv2.INPAINT_TELEA)
        return np.asarray(filled, np.float32)
    source = pixels.astype(np.float32)
    if draw.content == "jittered":
        gains, power = np.asarray(draw.jitter[:3], np.float32), draw.jitter[3]
        source = np.clip(255.0 * (source / 255.0) ** power * gains, 0.0, 255.0).astype(np.float32)
    return source


def _box(mask: Mask, margin: int, *, whole: bool) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is reconstructed; it begins on the grid."""
    height, width = mask.shape
    if whole:
        return 0, height, 0, width
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # One known pixel at least, wherever there is one: a fill has to come from somewhere.
    margin = max(margin, 1)
    top = max(0, int(rows[0]) - margin) // _GRID * _GRID
    left = max(0, int(columns[0]) - margin) // _GRID * _GRID
    return top, min(height, int(rows[-1]) + 1 + margin), left, min(width, int(columns[-1]) + 1 + margin)
