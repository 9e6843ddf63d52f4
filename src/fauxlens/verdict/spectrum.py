"""The spectrum of what is left of a picture without its content, and the peaks in it that no scene explains.

Two spectra, of windows spread over the picture and averaged: that of the residual (a pattern that repeats with one
sign, as a decoder's checkerboard or the lines of a screen), and that of the steps between neighbours without their
sign (a roughness that repeats, as interpolation leaves it). Each is compared with its own neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.verdict.blocks import Values

LARGEST_SIDE = 256
SMALLEST_SIDE = 32

_EACH_WAY = 4
# Below this many cycles a pixel the scene itself repeats.
_LOWEST = 0.06
# The least log of power above the neighbourhood to be called a peak, and how unlikely chance must be (deviations).
_LEAST = 2.5
_DEVIATIONS = 5.5
_MOST_PEAKS = 12


@dataclass(frozen=True, slots=True)
class Peak:
    """`across` and `down` in cycles a pixel, -0.5 to 0.5; `strength` in log of power above the neighbourhood."""

    across: float
    down: float
    strength: float
    kind: Literal["pattern", "roughness"]

    @property
    def is_of_the_grid(self) -> bool:
        """Whether JPEG's blocks of eight would put a peak here: both frequencies are multiples of an eighth."""
        return all(abs(8 * f - round(8 * f)) < 0.13 for f in (self.across, self.down))

    @property
    def is_of_halves(self) -> bool:
        """Whether it repeats every second pixel: in rows, in columns or in both, and not more slowly in either."""
        return all(min(abs(f), abs(abs(f) - 0.5)) < 0.012 for f in (self.across, self.down))

    @property
    def is_on_an_axis(self) -> bool:
        """Whether it repeats along the rows or the columns alone."""
        return min(abs(self.across), abs(self.down)) < 0.012


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """`pattern` and `roughness` are (side, side): log of power above the neighbourhood, frequency 0 in the middle."""

    pattern: Values
    roughness: Values
    peaks: tuple[Peak, ...]
    windows: int


def spectrum_of(luma: Values) -> Spectrum | None:
    """The spectrum of up to sixteen windows; None for pictures that are smaller than one."""
    side = LARGEST_SIDE
    while side > min(luma.shape):
        side //= 2
    if side < SMALLEST_SIDE:
        return None
    places = [(top, left) for top in _starts(luma.shape[0], side) for left in _starts(luma.shape[1], side)]
    hann = np.hanning(side).astype(np.float32)
    taper = np.outer(hann, hann).astype(np.float32)
    pattern, roughness = np.zeros((side, side)), np.zeros((side, side))
    counted = 0
    for top, left in places:
        window = luma[top : top + side, left : left + side]
        residual = window - cv2.GaussianBlur(window, (0, 0), 1.0)
        spread = float(np.median(np.abs(residual)))
        if spread < 0.05:
            continue  # flat: it holds nothing that could repeat
        # Edges are cut down to what grain may be, and every window counts alike.
        residual = np.clip(residual / spread, -6, 6)
        size = np.abs(residual - np.roll(residual, 1, 1)) + np.abs(residual - np.roll(residual, 1, 0))
        pattern += _power(residual * taper)
        roughness += _power((size - cv2.blur(size, (17, 17))) * taper)
        counted += 1
    if counted == 0:
        return None
    both = _above(_mean(pattern, counted)), _above(_mean(roughness, counted))
    least = max(_LEAST, _by_chance(counted))
    peaks = [*_peaks(both[0], least, "pattern"), *_peaks(both[1], least, "roughness")]
    peaks.sort(key=lambda peak: -peak.strength)
    return Spectrum(*both, tuple(peaks[:_MOST_PEAKS]), counted)


def _starts(length: int, side: int) -> list[int]:
    count = 1 if length == side else min(_EACH_WAY, max(2, -(-length // side)))
    return sorted({int(at) // 8 * 8 for at in np.linspace(0, length - side, count)})


def _power(window: Values) -> Values:
    return cast(Values, np.abs(np.fft.fftshift(np.fft.fft2(window))) ** 2)


def _mean(total: NDArray[np.float64], count: int) -> Values:
    return np.asarray(total / count, dtype=np.float32)


def _above(power: Values) -> Values:
    """Log of power minus its median over a ring of neighbours, in which a peak itself does not stand."""
    level = np.log(power + 1e-3).astype(np.float32)
    side = len(level)
    # A spectrum goes on at its far side.
    wrapped = np.pad(level, 4, mode="wrap")
    ring = [(y, x) for y in range(-4, 5, 2) for x in range(-4, 5, 2) if max(abs(y), abs(x)) == 4]
    around = [wrapped[4 + y : 4 + y + side, 4 + x : 4 + x + side] for y, x in ring]
    # Sorted place by place, all places at once: ten times faster than a median of each.
    for low, high in _exchanges(len(around)):
        around[low], around[high] = np.minimum(around[low], around[high]), np.maximum(around[low], around[high])
    middle = len(around) // 2
    return cast(Values, (level - (around[middle - 1] + around[middle]) / 2).astype(np.float32))


@cache
def _exchanges(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs that sort `count` things (a power of two) when each is put in order in turn: Batcher's network."""
    pairs = []
    width = 1
    while width < count:
        apart = width
        while apart:
            for begin in range(apart % width, count - apart, 2 * apart):
                for low in range(begin, begin + min(apart, count - apart - begin)):
                    if low // (2 * width) == (low + apart) // (2 * width):
                        pairs.append((low, low + apart))
            apart //= 2
        width *= 2
    return tuple(pairs)


def _by_chance(windows: int) -> float:
    """What the log of a mean of `windows` exponential numbers rarely exceeds (Wilson and Hilferty)."""
    spread = 1 / (9 * windows)
    return float(3 * np.log(1 - spread + _DEVIATIONS * np.sqrt(spread)) - 3 * np.log(1 - spread))


def _peaks(above: Values, least: float, kind: Literal["pattern", "roughness"]) -> list[Peak]:
    side = len(above)
    around = cv2.dilate(above, np.ones((5, 5), np.uint8))
    frequency = (np.arange(side) - side // 2) / side
    # A real picture's spectrum is the same on both sides of 0: one half is told.
    down, across = np.nonzero((above >= least) & (above == around))
    found = []
    for y, x in zip(down, across, strict=True):
        fy, fx = float(frequency[y]), float(frequency[x])
        if np.hypot(fy, fx) < _LOWEST or fy > 0 or (fy == 0 and fx > 0) or (fy == -0.5 and fx > 0):
            continue
        # The negative of nothing would be shown with its sign.
        found.append(Peak(0.0 - fx, 0.0 - fy, float(above[y, x]), kind))
    return found
