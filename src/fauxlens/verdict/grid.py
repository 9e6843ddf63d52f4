"""Which JPEG grids lie in the pixels, where, and of what quality: combs in the histograms of block coefficients.

On the grid on which a picture was once saved, cosine coefficients cluster at multiples of the table's entries; on all
others they do not. For each of the 64 places that a grid can have and each quality of the standard tables, the mean
of cos(2 pi c / q) over the blocks says how well coefficients c keep to multiples of q. It is compared with the median
of all 64 places, so that what the photo does by itself (many small coefficients) drops out, and summed over the
first frequencies. The unit is the deviation that chance alone would give.

A picture that was saved twice on one grid is told from its own table: the first saving leaves gaps and heaps in the
histogram of the second one's multiples. How likely the histogram is with them and without is compared; the
undisturbed histogram is taken from the places between the grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fauxlens.images.quality import ijg_table, zigzag
from fauxlens.verdict.blocks import Values, tiles, waves

QUALITIES: tuple[int, ...] = tuple(range(30, 99))
"""Earlier qualities that are looked for. Above 98 nothing clusters that rounding to grey levels would not blur."""

COUNT = 28
"""Frequencies that are looked at, in zigzag order, the mean of a block (the first) among them only for its place."""

ENOUGH = 10.0
"""From here on a grid is believed; of 40 never-compressed photos none reached 7."""

_BINS = 512
# A true grid stands alone; the side peaks of another one come in rows, of like height.
_ALONE = 1.8
_BESIDE_OWN = 0.8
# Frequencies whose steps are smaller than this cluster no more than rounding does.
_SMALLEST_STEP = 3
# Gain in log likelihood a block (summed over frequencies), and frequencies that must agree, to believe a first saving.
_GAIN = 0.06
_AGREEING = 6
_CLEAR = 0.003
# Share of the gain that the model promises which must be there: a half of it is lost where other tables were used.
_AS_WANTED = 0.3
# What decoding and rounding to grey levels does to a coefficient, in grey levels.
_ROUNDING = ((-0.6, 0.12), (0.0, 0.76), (0.6, 0.12))


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid of 8 x 8 in the pixels. `top` and `left` are where its first whole block begins; `score` in deviations."""

    top: int
    left: int
    quality: int  # of the standard tables, the one that fits best
    score: float


@dataclass(frozen=True, slots=True)
class First:
    """An earlier saving on the grid of the last one."""

    quality: int
    gain: float  # log likelihood a block
    frequencies: int  # that show it


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """(64 places, frequencies, bins) of absolute coefficients, rounded to whole numbers; place = 8 * top + left.

    `undisturbed` is (frequencies, bins), each of sum 1: what they would be without any grid.
    """

    counts: Values
    undisturbed: NDArray[np.float64]

    @property
    def blocks(self) -> int:
        """How many blocks were counted at the corner."""
        return int(self.counts[0, 1].sum())


def histograms_of(luma: Values) -> Histograms:
    """Those of a sample of the picture, of at most about 230,000 pixels."""
    counts = np.zeros((COUNT, 64, _BINS), dtype=np.float32)
    for tile in tiles(luma):
        height, width = tile.shape[0] - 7, tile.shape[1] - 7
        if min(height, width) < 1:
            continue
        place = 8 * (np.arange(height)[:, None] % 8) + np.arange(width) % 8
        # One histogram holds those of all places, one after the other.
        begin = (place * _BINS).astype(np.float32)
        # A coefficient at every pixel is that of the block that begins there, whatever grid it belongs to; first
        # along the columns, then along the rows, which many frequencies have in common.
        columns: dict[int, Values] = {}
        for number, (down, across) in enumerate(_frequencies()):
            if down not in columns:
                columns[down] = _filtered(tile, _waves()[down][:, None])[:height]
            found = _filtered(columns[down], _waves()[across][None])[:, :width]
            found = np.abs(found)
            np.minimum(np.rint(found, out=found), _BINS - 1, out=found)
            found += begin
            counted = cv2.calcHist([found.astype(np.uint16)], [0], None, [64 * _BINS], [0, 64 * _BINS])
            counts[number] += counted.reshape(64, _BINS)
    by_place = np.ascontiguousarray(counts.transpose(1, 0, 2))
    return Histograms(by_place, _undisturbed(by_place))


def scores_of(histograms: Histograms) -> Values:
    """(64 places, qualities): how far coefficients keep to multiples of each table's entries, in deviations."""
    counts = histograms.counts[:, 1:, :-1]
    total = np.maximum(counts.sum(2, keepdims=True), 1)
    # Not by NumPy: the threads of its products go on spinning for a while, and take a core from the detector.
    shares = torch.from_numpy(np.ascontiguousarray((counts / total).transpose(1, 0, 2)))
    kept = torch.bmm(shares, torch.from_numpy(_combs())).numpy().transpose(1, 0, 2)
    apart = (kept - np.median(kept, axis=0)) * np.sqrt(2 * total)
    return np.asarray(apart.sum(1) / np.sqrt(COUNT - 1), dtype=np.float32)


def grid_of(scores: Values, *, own: bool) -> Grid | None:
    """The grid that stands out; `own` leaves out the corner, where a JPEG has the grid of its last saving."""
    best = scores.max(1).copy()
    if own:
        best[0] = -np.inf
    place = int(best.argmax())
    top, left = divmod(place, 8)
    rest = np.ones((8, 8), dtype=bool)
    rest[top] = rest[:, left] = False
    if own:
        rest[0, 0] = False
    others = float(best.reshape(8, 8)[rest].max())
    if best[place] < ENOUGH or best[place] < _ALONE * others:
        return None
    # What shares rows or columns with the file's own grid shares some of its clustering.
    if own and 0 in (top, left) and best[place] < _BESIDE_OWN * float(scores[0].max()):
        return None
    return Grid(top, left, _quality_at(scores[place]), float(best[place]))


def first_saving(histograms: Histograms, table: tuple[int, ...]) -> First | None:
    """An earlier saving on the same grid, told from its heaps; `table` is that of the last one, zigzag."""
    gains, wanted = _gains(histograms, table)
    sums = gains.sum(1)
    best = int(sums.argmax())
    agreeing = int((gains[best] > _CLEAR).sum())
    if sums[best] < _AS_WANTED * wanted[best].sum():
        return None
    # In a small picture chance alone gains more: the log likelihood of all blocks together must be beyond it as well.
    if sums[best] < _GAIN or agreeing < _AGREEING or sums[best] * histograms.blocks < 30:
        return None
    return First(QUALITIES[best], float(sums[best]), agreeing)


def saved_once_and_twice(
    histograms: Histograms, table: tuple[int, ...], quality: int, frequency: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """How likely each multiple of the table's entry is: in a picture saved once, and in one saved at `quality` before.

    None where the two do not differ.
    """
    last, first = table[frequency], int(_tables()[quality - QUALITIES[0]][frequency])
    if first < 2 or first == last or last < 1:
        return None
    once, twice = _likelihoods(histograms.undisturbed[frequency], last, (first,))
    return once, twice[0]


def _likelihoods(
    smooth: NDArray[np.float64], last: int, firsts: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(multiples,) saved once with a step of `last`; (firsts, multiples) saved with each of `firsts` before."""
    size = _BINS // last + 2
    once = np.bincount(_rounded(last), weights=smooth, minlength=size)
    twice = np.zeros(len(firsts) * size)
    for places, (_, share) in zip(_heaps(last, firsts), _ROUNDING, strict=True):
        twice += np.bincount(places, weights=np.tile(smooth * share, len(firsts)), minlength=len(twice))
    # A tenth of the undisturbed one, for no table and no rounding is known exactly.
    return np.asarray(once + 1e-9), np.asarray(0.9 * twice.reshape(len(firsts), size) + 0.1 * once + 1e-9)


@lru_cache(maxsize=128)
def _heaps(last: int, firsts: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """For each way to round: at which multiple of `last` each bin ends up by way of each of `firsts`; flat."""
    size = _BINS // last + 2
    before = np.rint(np.arange(_BINS) / np.array(firsts)[:, None]) * np.array(firsts, dtype=np.float64)[:, None]
    row = np.arange(len(firsts))[:, None] * size
    several = (np.rint(np.abs(before + away) / last).astype(np.intp) for away, _ in _ROUNDING)
    return tuple((np.minimum(at, size - 1) + row).ravel() for at in several)


def _gains(histograms: Histograms, table: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(qualities, frequencies): log likelihood a block that an earlier saving explains; and what it should explain."""
    gained, wanted = np.zeros((2, len(QUALITIES), COUNT))
    for frequency in range(1, COUNT):
        last, steps = table[frequency], _tables()[:, frequency]
        firsts = tuple(int(step) for step in np.unique(steps) if step >= 2 and step != last)
        if last < 1 or not firsts:
            continue
        once, twice = _likelihoods(histograms.undisturbed[frequency], last, firsts)
        seen = np.bincount(_rounded(last), weights=histograms.counts[0, frequency], minlength=len(once))
        # The far tail holds few blocks, whose likelihood rests on a guess.
        near = slice(0, min(len(once), 40))
        ratio = np.log(twice[:, near] / once[near])
        explained = ratio @ seen[near] / max(seen.sum(), 1), (twice[:, near] * ratio).sum(1)
        differs = np.isin(steps, firsts)
        at = np.searchsorted(firsts, steps[differs])
        gained[differs, frequency], wanted[differs, frequency] = explained[0][at], explained[1][at]
    return gained, wanted


def _undisturbed(counts: Values) -> NDArray[np.float64]:
    """From places well between those that share rows or columns with the corner."""
    places = [8 * top + left for top in range(2, 7) for left in range(2, 7)]
    # The median over the places, so that another grid at one of them does not show.
    middle = np.median(counts[places].astype(np.float64), axis=0)
    mirrored = np.concatenate([middle[:, 4:0:-1], middle, np.zeros((COUNT, 4))], axis=1)
    weights = (1, 2, 3, 2, 1)
    parts = np.stack([weight * mirrored[:, 2 + k : 2 + k + _BINS] for k, weight in enumerate(weights)])
    smooth = parts.sum(0) / 9 + 0.02
    return np.asarray(smooth / smooth.sum(1, keepdims=True))


def _quality_at(scores: Values) -> int:
    """The best quality, or a lower one that fits nearly as well: multiples of 8 are multiples of 4, too."""
    best = float(scores.max())
    for index, score in enumerate(scores):
        around = scores[max(0, index - 3) : index + 4]
        if score >= 0.8 * best and score == around.max():
            return QUALITIES[index]
    return QUALITIES[int(scores.argmax())]


def _filtered(values: Values, kernel: Values) -> Values:
    """The sum of a kernel's products with what lies below and to the right of each pixel."""
    return cast(Values, cv2.filter2D(values, -1, kernel, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT))


@cache
def _frequencies() -> tuple[tuple[int, int], ...]:
    """(down, across) of each frequency that is looked at."""
    return tuple((place // 8, place % 8) for place in zigzag()[:COUNT])


@cache
def _waves() -> Values:
    """(8 frequencies, 8 pixels)."""
    return waves().astype(np.float32)


@lru_cache(maxsize=512)
def _rounded(step: int) -> NDArray[np.intp]:
    """Which multiple of `step` each bin is nearest to."""
    return np.rint(np.arange(_BINS) / step).astype(np.intp)


@cache
def _tables() -> NDArray[np.int64]:
    """(qualities, 64), zigzag."""
    return np.array([ijg_table(quality) for quality in QUALITIES], dtype=np.int64)


@cache
def _combs() -> Values:
    """(frequencies without the first, bins without the last, qualities): cos(2 pi c / q), 0 for steps too small."""
    step = _tables()[:, 1:COUNT].T[:, None, :]
    waves = np.cos(2 * np.pi * np.arange(_BINS - 1)[None, :, None] / step)
    return np.where(step >= _SMALLEST_STEP, waves, 0.0).astype(np.float32)
