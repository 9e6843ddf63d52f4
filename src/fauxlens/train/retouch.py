"""Steps that make hard negatives: real photos that somebody retouched, wholly or in one place, and that stay real.

`locally` is what tells a detector of edits that a blurred or re-saved part is no forgery: without it every smooth
place is flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade import Chain, Record, Step, parse_chain
from fauxlens.images.degrade.step import Number, check_number, draw_number
from fauxlens.images.shapes import Pixels


@dataclass(frozen=True, kw_only=True)
class Median(Step):
    """Each value replaced by the median around it; the side of the square is one of `sides`, odd."""

    name: ClassVar[str] = "median"
    sides: tuple[int, ...] = (3, 5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sides or any(side not in (3, 5, 7) for side in self.sides):
            raise BadSetting("the sides of a median", wanted="some of 3, 5, 7", got=self.sides)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the side."""
        return {"side": int(self.sides[int(rng.integers(len(self.sides)))])}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Take medians."""
        return np.asarray(cv2.medianBlur(np.ascontiguousarray(pixels), record["side"]), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Bilateral(Step):
    """Smoothing that keeps edges, as skin retouching does: `range` in grey levels, `sigma` in pixels."""

    name: ClassVar[str] = "bilateral"
    range: Number = (10.0, 40.0)
    sigma: Number = (1.0, 3.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("range", self.range, 0, 255, above=True)
        check_number("sigma", self.sigma, 0, 20, above=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw both."""
        return {"range": draw_number(self.range, rng), "sigma": draw_number(self.sigma, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Smooth."""
        found = cv2.bilateralFilter(np.ascontiguousarray(pixels), 7, record["range"], record["sigma"])
        return np.asarray(found, dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Locally(Step):
    """A chain inside one blob of the picture, pasted with a hard or a soft border; the mask stays what it was.

    `chain` must keep the size. `area` is the blob's share of the picture, even in its logarithm.
    """

    name: ClassVar[str] = "locally"
    chain: str = "blur:sigma=1"
    area: tuple[float, float] = (0.05, 0.6)
    feather: tuple[float, float] = (0.0, 6.0)  # sigma of the border in pixels; below 0.5 it is hard

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("area", self.area, 0, 1, above=True)
        check_number("feather", self.feather, 0, 64)
        _ = self._chain

    @property
    def _chain(self) -> Chain:
        return RETOUCHES[self.chain] if self.chain in RETOUCHES else parse_chain(self.chain)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the seeds of blob and chain."""
        area = float(np.exp(draw_number((float(np.log(self.area[0])), float(np.log(self.area[1]))), rng)))
        return {"area": area, "feather": draw_number(self.feather, rng), "seed": int(rng.integers(1 << 62))}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Process a copy, paste the blob of it."""
        processed = pixels
        # One stream for the chain, another for the blob.
        chances = np.random.default_rng(record["seed"]).spawn(2)
        for step in self._chain.steps:
            processed = step.run(processed, chances[0]).pixels
        if processed.shape != pixels.shape:
            raise BadSetting(
                "a local retouch must keep the size", wanted=pixels.shape[:2], got=processed.shape[:2], where=self.chain
            )
        share = blob(pixels.shape[0], pixels.shape[1], record["area"], chances[1]).astype(np.float32)
        if record["feather"] >= 0.5:
            share = np.asarray(cv2.GaussianBlur(share, (0, 0), record["feather"]), np.float32)
        mixed = pixels + (processed.astype(np.float32) - pixels) * share[..., None]
        return np.rint(mixed).astype(np.uint8)


def blob(height: int, width: int, area: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool: smooth noise about a random centre, cut where `area` of it is left."""
    grain = int(rng.integers(3, 8))
    noise = cv2.resize(
        rng.standard_normal((grain, grain)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    centre = rng.uniform(0.1, 0.9, 2)
    rows = (np.arange(height, dtype=np.float32)[:, None] / height - centre[0]) ** 2
    columns = (np.arange(width, dtype=np.float32)[None] / width - centre[1]) ** 2
    level = noise - 4.0 * np.sqrt(rows + columns)
    return np.asarray(level > np.quantile(level, 1.0 - area), dtype=np.bool_)


def _retouches() -> dict[str, Chain]:
    from fauxlens.images.degrade import OneOf

    def alone(*steps: Step) -> Chain:
        return Chain(steps)

    kinds = (
        parse_chain("blur:sigma=0.4-1.8"),
        alone(Median(sides=(3,))),
        alone(Bilateral()),
        parse_chain("down_up:scale=0.5-0.9"),
        parse_chain("sharpen:amount=0.3-1.5"),
        parse_chain("noise:deviation=1-8"),
        parse_chain("jpeg:quality=60-95"),
        parse_chain("gamma:exponent=0.8-1.25"),
    )
    # Blurring, smoothing and shrinking are what is mistaken for a decoder most often.
    return {"any": Chain((OneOf(chains=kinds, weights=(3.0, 1.5, 4.0, 3.0, 1.5, 1.0, 1.5, 1.0)),))}


RETOUCHES: dict[str, Chain] = _retouches()
"""Chains by name: `any` is one of blur, median, smoothing, shrinking, sharpening, noise, JPEG and another tone."""


@dataclass(frozen=True, kw_only=True)
class Retouched(Step):
    """One of the retouches over the whole picture."""

    name: ClassVar[str] = "retouched"
    chain: str = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chain not in RETOUCHES:
            raise BadSetting("no such retouch", wanted=", ".join(RETOUCHES), got=self.chain)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the seed."""
        return {"seed": int(rng.integers(1 << 62))}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Process."""
        chance = np.random.default_rng(record["seed"])
        for step in RETOUCHES[self.chain].steps:
            pixels = step.run(pixels, chance).pixels
        return pixels
