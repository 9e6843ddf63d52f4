"""Was the picture brought to another size? Pixels between the old ones repeat their kind at even distances.

Interpolated pixels differ less, or more, from their neighbours by where they fall between the old ones, and that place
repeats. So the mean size of the first and of the second difference along the rows, column by column, swings with the
period of the factor; along the columns likewise. What swings in both directions alike is taken for resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fauxlens.verdict.blocks import Values

LENGTH = 256
"""Pixels that one spectrum is made of; shorter pictures are filled up with nothing."""

_WINDOWS = 4  # each way
# The least log of power above its neighbourhood, in both directions at one frequency. Photos stay below 4, but for a
# few with something regular in them.
_ENOUGH = 4.6
# A JPEG's own grid swings at multiples of an eighth. A swing of two pixels must be above all others of that kind by
# this much, and stronger, for codecs leave some of it by themselves.
_HALF = 5.5
_ABOVE_GRID = 2.0
# Slow swings are the scene.
_LOWEST = 20
_SHORTEST = 64


@dataclass(frozen=True, slots=True)
class Resampled:
    """A swing of `frequency` cycles a pixel, `strength` in log of power above the neighbourhood."""

    frequency: float
    strength: float

    @property
    def factors(self) -> tuple[float, ...]:
        """Enlargements that swing like this; the frequency alone does not tell them apart.

        >>> Resampled(1 / 3, 5.0).factors
        (1.5, 3.0)
        """
        several = {round(1 / (1 - self.frequency), 2), round(1 / self.frequency, 2)}
        return tuple(sorted(several))


def resampled(luma: Values) -> Resampled | None:
    """The strongest swing that rows and columns share, or None."""
    if min(luma.shape) < _SHORTEST:
        return None
    windows = _windows(luma)
    across = _excess(windows)
    down = _excess([window.T for window in windows])
    # Twice as far apart as one line of the spectrum is the same frequency still.
    both = np.minimum(across, _widest(down))
    both = np.maximum(both, np.minimum(down, _widest(across)))
    both[:_LOWEST] = -np.inf
    frequencies = np.arange(len(both)) / LENGTH
    on_grid = np.abs(frequencies * 8 - np.rint(frequencies * 8)) < 0.07
    half = float(both[-2:].max())
    quarters = float(both[on_grid][:-2].max()) if on_grid[:-2].any() else 0.0
    both[on_grid] = -np.inf
    at = int(both.argmax())
    if both[at] >= _ENOUGH:
        return Resampled(float(frequencies[at]), float(both[at]))
    if half >= _HALF and half >= quarters + _ABOVE_GRID:
        return Resampled(0.5, half)
    return None


def _windows(luma: Values) -> list[Values]:
    height, width = luma.shape
    tall, wide = min(LENGTH, height), min(LENGTH, width)
    rows = _starts(height, tall)
    return [luma[top : top + tall, left : left + wide] for top in rows for left in _starts(width, wide)]


def _starts(length: int, side: int) -> list[int]:
    count = min(_WINDOWS, -(-length // side))
    # On multiples of eight, so that the grid swings in one phase in all of them.
    return sorted({int(at) // 8 * 8 for at in np.linspace(0, length - side, count)})


def _excess(windows: list[Values]) -> NDArray[np.float64]:
    """(LENGTH / 2 + 1,): the larger of both differences' log of power above the median of its neighbours."""
    first = _above(_power([np.abs(np.diff(window, axis=1)) for window in windows]))
    second = _above(_power([np.abs(np.diff(window, n=2, axis=1)) for window in windows]))
    return np.maximum(first, second)


def _power(sizes: list[Values]) -> NDArray[np.float64]:
    total = np.zeros(LENGTH // 2 + 1)
    for size in sizes:
        # A few strong edges would drown what all pixels have in common.
        # A quarter of the rows tells how strong is usual.
        profile = np.minimum(size, 4 * np.median(size[::4]) + 1).mean(0).astype(np.float64)
        usual = np.convolve(np.pad(profile, 4, mode="reflect"), np.ones(9) / 9, mode="valid")
        swing = (profile / (usual + 0.1) - 1) * np.hanning(len(profile))
        total += np.abs(np.fft.rfft(swing, LENGTH)) ** 2 / len(profile)
    return total / len(sizes)


def _above(power: NDArray[np.float64]) -> NDArray[np.float64]:
    # The floor is what rounding alone leaves, lest a drawn picture without any grain divides nothing by nothing.
    level = np.log(power + 1e-7)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, 12, mode="reflect"), 25)
    return np.asarray(level - np.median(around, axis=1))


def _widest(excess: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(excess, 1, constant_values=-np.inf)
    return np.asarray(np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:]))
