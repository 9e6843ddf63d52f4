"""Steps that change values and move nothing: blur, noise, brightness, contrast, gamma, sharpen.

All arithmetic is in floating point and rounded once, half to even, at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade.step import (
    Number,
    Record,
    Step,
    Whole,
    check_exactly_one,
    check_number,
    draw_number,
    draw_whole,
)
from fauxlens.images.shapes import Pixels


@dataclass(frozen=True, kw_only=True)
class Blur(Step):
    """Gaussian blur: exactly one of `sigma` and `kernel`.

    `sigma` (pixels) is ours: kernel radius ceil(3 sigma), border reflected without repeating the border pixel, exact
    kernel. `kernel` is OpenCV's 8-bit blur with an odd kernel side from which OpenCV derives sigma, as in ImagiNet's
    training; a range draws odd sides only.
    """

    name: ClassVar[str] = "blur"
    sigma: Number | None = None
    kernel: Whole | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_exactly_one("blur", {"sigma": self.sigma, "kernel": self.kernel}) == "sigma":
            check_number("sigma", self.sigma, 0, 100, above=True)
            return
        check_number("kernel", self.kernel, 1, 301, whole=True)
        ends = self.kernel if isinstance(self.kernel, tuple) else (self.kernel,)
        if any(end is None or end % 2 == 0 for end in ends):
            raise BadSetting("kernel must be odd", wanted="odd numbers, also as ends of a range", got=repr(self.kernel))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the width of the blur."""
        if self.sigma is not None:
            return {"sigma": draw_number(self.sigma, rng)}
        if isinstance(self.kernel, tuple):
            return {"kernel": 2 * draw_whole((self.kernel[0] // 2, self.kernel[1] // 2), rng) + 1}
        assert self.kernel is not None
        return {"kernel": self.kernel}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Blur."""
        if "kernel" in record:
            import cv2

            side = record["kernel"]
            return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(pixels), (side, side), 0), dtype=np.uint8)
        return np.stack([_rounded(plane) for plane in _blurred_planes(pixels, record["sigma"])], axis=2)


@dataclass(frozen=True, kw_only=True)
class Noise(Step):
    """Gaussian noise, drawn for every pixel and channel on its own: exactly one of `deviation` and `variance`.

    Both are in 0-255 units. The record holds the seed of the field, so the noise itself can be replayed.
    """

    name: ClassVar[str] = "noise"
    deviation: Number | None = None
    variance: Number | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exactly_one("noise", {"deviation": self.deviation, "variance": self.variance})
        if self.deviation is not None:
            check_number("deviation", self.deviation, 0, 255)
        if self.variance is not None:
            check_number("variance", self.variance, 0, 255**2)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the strength and the seed of the field."""
        if self.variance is not None:
            deviation = math.sqrt(draw_number(self.variance, rng))
        else:
            assert self.deviation is not None
            deviation = draw_number(self.deviation, rng)
        return {"deviation": deviation, "seed": int(rng.integers(1 << 63))}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Add the noise."""
        field = np.random.default_rng(record["seed"]).standard_normal(pixels.shape, dtype=np.float32)
        field *= np.float32(record["deviation"])
        field += pixels
        return _rounded(field)


@dataclass(frozen=True, kw_only=True)
class Brightness(Step):
    """Multiply every value by `factor`; 1 changes nothing."""

    name: ClassVar[str] = "brightness"
    factor: Number = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("factor", self.factor, 0, 10)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the factor."""
        return {"factor": draw_number(self.factor, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Look every value up."""
        return _rounded(_LEVELS * record["factor"])[pixels]


@dataclass(frozen=True, kw_only=True)
class Contrast(Step):
    """Move every value away from mid-grey (127.5) by `factor`; 1 changes nothing, 0 leaves grey."""

    name: ClassVar[str] = "contrast"
    factor: Number = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("factor", self.factor, 0, 10)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the factor."""
        return {"factor": draw_number(self.factor, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Look every value up."""
        return _rounded(127.5 + (_LEVELS - 127.5) * record["factor"])[pixels]


@dataclass(frozen=True, kw_only=True)
class Gamma(Step):
    """Raise every value (as a share of 255) to `exponent`; 1 changes nothing, more darkens."""

    name: ClassVar[str] = "gamma"
    exponent: Number = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("exponent", self.exponent, 0, 10, above=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the exponent."""
        return {"exponent": draw_number(self.exponent, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Look every value up."""
        return gamma_levels(record["exponent"])[pixels]


@dataclass(frozen=True, kw_only=True)
class Sharpen(Step):
    """Unsharp mask: add `amount` times the difference from a Gaussian blur of `sigma` pixels; 0 changes nothing."""

    name: ClassVar[str] = "sharpen"
    amount: Number = 0.5
    sigma: Number = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("amount", self.amount, 0, 10)
        check_number("sigma", self.sigma, 0, 100, above=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the amount, then sigma."""
        return {"amount": draw_number(self.amount, rng), "sigma": draw_number(self.sigma, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Sharpen."""
        amount = record["amount"]
        planes = _blurred_planes(pixels, record["sigma"])
        return np.stack(
            [_rounded(pixels[..., i] + amount * (pixels[..., i] - plane)) for i, plane in enumerate(planes)], axis=2
        )


_LEVELS: npt.NDArray[np.float64] = np.arange(256, dtype=np.float64)


def gamma_levels(exponent: float) -> Pixels:
    """(256,) uint8: what each value becomes under a gamma.

    >>> int(gamma_levels(2.0)[128])
    64
    """
    return _rounded(255.0 * (_LEVELS / 255.0) ** exponent)


def gaussian_kernel(sigma: float) -> npt.NDArray[np.float64]:
    """(2 r + 1,) weights that sum to 1, r = ceil(3 sigma)."""
    radius = math.ceil(3 * sigma)
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _blurred_planes(pixels: Pixels, sigma: float) -> list[npt.NDArray[np.float64]]:
    import cv2

    kernel = gaussian_kernel(sigma)
    # OpenCV's own 8-bit Gaussian rounds its kernel to 1/256, which loses the tails; a 64-bit separable filter with
    # our kernel does not, and one plane at a time keeps the memory of a large photo bounded.
    return [
        np.asarray(
            cv2.sepFilter2D(
                np.ascontiguousarray(pixels[..., i]), cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101
            ),
            dtype=np.float64,
        )
        for i in range(3)
    ]


def _rounded(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
