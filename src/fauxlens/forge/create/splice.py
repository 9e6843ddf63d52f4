"""Splice: a piece of another real photo, brought to the host's colours.

No generator took part, so there is no trace of one: what tells such a piece from its host is light, noise, and the
history of its file. A detector that calls it made by a machine has learnt something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.region import Mask
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

MATCHES = ("lab", "border", "none")
"""lab: mean and spread of each Lab channel as in the surroundings. border: the difference along the outline is spread
smoothly over the piece, so that it meets its host everywhere. none: as it is."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpliceSettings:
    """Which piece is taken and how it is made to fit."""

    match: str = "lab"
    scaled_share: float = 0.5  # of the splices whose donor is resized at all; the others keep every pixel as it was
    smallest_scale: float = 0.6
    largest_scale: float = 1.6
    flipped_share: float = 0.5
    largest_gain: float = 1.8  # how far contrast may be stretched, or pressed, to match

    def __post_init__(self) -> None:
        if self.match not in MATCHES:
            raise BadSetting("no such way to match colours", wanted=" or ".join(MATCHES), got=self.match)
        for name in ("scaled_share", "flipped_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadSetting(f"{name} is out of range", wanted="0 to 1", got=getattr(self, name))
        if not 0.1 <= self.smallest_scale <= 1.0 <= self.largest_scale <= 8.0:
            raise BadSetting(
                "scales out of range",
                wanted="0.1 <= smallest_scale <= 1 <= largest_scale <= 8",
                got=f"{self.smallest_scale}, {self.largest_scale}",
            )
        if not 1.0 <= self.largest_gain <= 10.0:
            raise BadSetting("largest_gain is out of range", wanted="1 to 10", got=self.largest_gain)


class Splice(Method):
    """A region of a donor photo in place of the host's own."""

    settings: SpliceSettings
    settings_type: ClassVar[type] = SpliceSettings
    card = MethodCard(
        name="splice",
        release_name="Splice",
        title="Splice of another photo",
        group="splice",
        paper="none: the oldest forgery",
        licence="Apache-2.0 (ours); the result also carries the donor photo's licence",
        about="A piece of a donor photo at a random place and scale, matched in colour.",
        needs_donor=True,
        limits=(
            "Real pixels of another photo: no trace of a generator.",
            "It does not look for a piece that makes sense.",
        ),
    )

    def make(self, request: Request) -> Fill:
        """The host with the donor's piece in the mask; outside the mask the host itself."""
        donor = request.donor
        if donor is None:
            raise BadSetting("this method takes from another photo", where="splice", hint="give a donor")
        chance = np.random.default_rng(request.seed)
        rows, columns = np.flatnonzero(request.mask.any(axis=1)), np.flatnonzero(request.mask.any(axis=0))
        box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        inside = request.mask[box]
        piece, facts = _piece(donor, (inside.shape[0], inside.shape[1]), self.settings, chance)
        facts["match"] = self.settings.match
        matched = piece
        if self.settings.match == "lab":
            matched, facts["gain"] = _matched_in_lab(piece, request.pixels, request.mask, box, self.settings)
        elif self.settings.match == "border":
            matched = _matched_at_border(piece, request.pixels, request.mask, box)
        pixels = request.pixels.copy()
        pixels[box] = np.where(inside[..., None], matched, pixels[box])
        return Fill(pixels, facts)


def _piece(
    donor: Pixels, size: tuple[int, int], settings: SpliceSettings, chance: np.random.Generator
) -> tuple[Pixels, dict[str, Any]]:
    """A box of the donor, at `size`, and how it was taken."""
    wanted = np.array(size)
    # Every draw is made whatever becomes of it, so that a change of one setting leaves the others' draws alone.
    scaled, flipped = chance.random() < settings.scaled_share, chance.random() < settings.flipped_share
    drawn = float(np.exp(chance.uniform(np.log(settings.smallest_scale), np.log(settings.largest_scale))))
    where = chance.random(2)
    scale = drawn if scaled else 1.0
    # The least enlargement at which the donor covers the box: beyond the limit it is mirrored at its edges instead.
    needed = float((wanted / donor.shape[:2]).max())
    scale = min(max(scale, needed), settings.largest_scale)
    taken = np.maximum(1, np.rint(wanted / scale)).astype(int) if scale != 1.0 else wanted
    short = np.maximum(taken - donor.shape[:2], 0)
    # A whole donor that is one pixel short by rounding is not mirrored but stretched by that pixel.
    if scale == needed:
        taken, short = np.minimum(taken, donor.shape[:2]), np.zeros(2, int)
    tile = np.pad(donor, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric") if short.any() else donor
    top, left = (int(share * (room + 1)) for share, room in zip(where, tile.shape[:2] - taken, strict=True))
    piece = tile[top : top + taken[0], left : left + taken[1]]
    resized = (taken != wanted).any()
    if resized:
        piece = resize(np.ascontiguousarray(piece), size, "lanczos")
    facts = {
        "corner": [top, left],
        "taken": [int(side) for side in taken],
        "scale": round(float(scale), 4),
        "resized": bool(resized),
        "flipped": bool(flipped),
        "mirrored": bool(short.any()),
        "donor_size": [int(side) for side in donor.shape[:2]],
    }
    return np.ascontiguousarray(piece[:, ::-1] if flipped else piece), facts


def _matched_in_lab(
    piece: Pixels, host: Pixels, mask: Mask, box: tuple[slice, slice], settings: SpliceSettings
) -> tuple[Pixels, list[float]]:
    # The known pixels around the hole say what the light is like there; what the hole held is not looked at.
    reach = max(8, min(piece.shape[:2]) // 3)
    window = tuple(slice(max(0, one.start - reach), one.stop + reach) for one in box)
    distance = cv2.distanceTransform((~mask[window]).astype(np.uint8), cv2.DIST_L2, 3)
    ring = (distance > 0) & (distance <= reach)
    known = ring if ring.any() else ~mask[window]
    around = _lab(host[window])[known] if known.any() else _lab(host)[~mask]
    own = _lab(piece)
    inside = own[mask[box]]
    gain = np.clip(
        around.std(axis=0) / np.maximum(inside.std(axis=0), 1e-3), 1 / settings.largest_gain, settings.largest_gain
    )
    moved = (own - inside.mean(axis=0)) * gain + around.mean(axis=0)
    rgb = cv2.cvtColor(np.asarray(moved, dtype=np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(np.asarray(rgb) * 255.0).clip(0, 255).astype(np.uint8), [round(float(one), 4) for one in gain]


def _matched_at_border(piece: Pixels, host: Pixels, mask: Mask, box: tuple[slice, slice]) -> Pixels:
    # The outline as the hole sees it: each border pixel of the hole compared with the known pixels that touch it.
    padded = np.pad(host.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    known = np.pad((~mask).astype(np.float32), 1)[..., None]
    weight = np.asarray(cv2.blur(known, (3, 3)), dtype=np.float32)[..., None]
    summed = np.asarray(cv2.blur(padded * known, (3, 3)), dtype=np.float32)
    touching = (weight[1:-1, 1:-1, 0] > 1e-3) & mask
    beside = (summed / np.maximum(weight, 1e-3))[1:-1, 1:-1]
    rim = touching[box].astype(np.float32)[..., None]
    difference = np.asarray((beside[box] - piece) * rim, dtype=np.float32)
    return np.asarray(np.rint(piece + _spread(difference, rim)).clip(0, 255), dtype=np.uint8)


def _spread(summed: Floats, weight: Floats) -> Floats:
    """Values known at a few places, spread over all: from a pyramid of means, then smoothed by a few sweeps."""
    height, width = weight.shape[:2]
    if max(height, width) <= 2:
        return np.broadcast_to(summed.sum((0, 1)) / max(float(weight.sum()), 1e-6), summed.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)[..., None]
    coarse_sum = cv2.resize(summed, half, interpolation=cv2.INTER_AREA)
    mean = coarse_sum / np.maximum(coarse_weight, 1e-6)
    full = np.minimum(1.0, 4.0 * coarse_weight)
    spread = cv2.resize(_spread(mean * full, full), (width, height), interpolation=cv2.INTER_LINEAR)
    fixed = summed / np.maximum(weight, 1e-6)
    for _ in range(8):
        spread = weight * fixed + (1.0 - weight) * cv2.blur(spread, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(spread, dtype=np.float32)


def _lab(pixels: Pixels) -> Floats:
    scaled = np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255.0)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32)
