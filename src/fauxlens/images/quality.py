"""JPEG quality from quantisation tables: exact for the hundred standard tables, nearest with its distance for others.

The IJG rule (libjpeg): with the Annex K base table B and S = 5000 // q below 50, else 200 - 2q, an entry is
clamp((B * S + 50) // 100, 1, 255). All hundred luma tables are distinct, so a lookup inverts the rule exactly; chroma
tables coincide for q = 1, 2, 3 only. Tables here are in zigzag order, as they lie in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

# Annex K, natural (row) order.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)

# A table that is farther than both of these from every standard one says nothing about quality. One limit alone would
# not do: two grey levels are little for a table of hundreds, and a tenth is little for a table of ones.
MAX_RMSE = 2.0
MAX_RELATIVE = 0.10


@dataclass(frozen=True, slots=True)
class JpegQuality:
    """What the quantisation tables say of quality.

    `value` is None when the tables are too far from every standard one to mean a quality; `nearest` and `distance`
    (RMSE over the 64 luma entries; 0 when exact) are always given. `chroma` is the exact quality of the chroma table,
    or None. `mixed` says that luma and chroma are standard tables of different qualities.
    """

    value: int | None
    exact: bool
    nearest: int
    distance: float
    chroma: int | None
    mixed: bool


def ijg_table(quality: int, *, chroma: bool = False, baseline: bool = True) -> tuple[int, ...]:
    """The standard table of a quality from 1 to 100, 64 entries in zigzag order.

    >>> ijg_table(50)[:8]
    (16, 11, 12, 14, 12, 10, 16, 14)
    >>> sum(ijg_table(96)), sum(ijg_table(96, chroma=True))
    (292, 443)
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    top = 255 if baseline else 32767
    base = _CHROMA if chroma else _LUMA
    natural = [min(max((entry * scale + 50) // 100, 1), top) for row in base for entry in row]
    return tuple(natural[i] for i in zigzag())


@cache
def zigzag() -> tuple[int, ...]:
    """Natural (row-major) index of each zigzag position.

    >>> zigzag()[:6]
    (0, 1, 8, 16, 9, 2)
    """
    # Diagonals of odd sum run downwards, those of even sum upwards.
    order = sorted(
        ((row, column) for row in range(8) for column in range(8)),
        key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
    )
    return tuple(row * 8 + column for row, column in order)


@cache
def _exact(chroma: bool) -> dict[tuple[int, ...], int]:
    """Table -> quality. From 100 down, so that chroma tables shared by 1, 2 and 3 give the lowest."""
    found: dict[tuple[int, ...], int] = {}
    for baseline in (False, True):
        for quality in range(100, 0, -1):
            found[ijg_table(quality, chroma=chroma, baseline=baseline)] = quality
    return found


@lru_cache(maxsize=4096)
def estimate(luma: tuple[int, ...], chroma: tuple[int, ...] | None) -> JpegQuality:
    """Quality of a pair of tables (64 entries each, zigzag); remembered, because a dataset has few distinct pairs.

    >>> estimate(ijg_table(75), ijg_table(75, chroma=True)).value
    75
    >>> estimate((16,) * 64, None).value is None
    True
    """
    exact_luma = _exact(False).get(luma)
    exact_chroma = _exact(True).get(chroma) if chroma is not None else None
    if exact_luma is not None:
        # Chroma tables of 1, 2 and 3 are the same, so they cannot contradict a luma table of those.
        mixed = (
            exact_chroma is not None
            and exact_chroma != exact_luma
            and ijg_table(exact_luma, chroma=True) != ijg_table(exact_chroma, chroma=True)
        )
        return JpegQuality(exact_luma, True, exact_luma, 0.0, exact_chroma, mixed)
    tables = _all_luma()
    squared = ((tables - np.asarray(luma, dtype=np.float64)) ** 2).mean(axis=1)
    # Ties go to the lower quality, as the field's estimators do it.
    index = int(squared.argmin())
    distance = float(np.sqrt(squared[index]))
    relative = distance / float(tables[index].mean())
    means_something = distance <= MAX_RMSE or relative <= MAX_RELATIVE
    return JpegQuality(index + 1 if means_something else None, False, index + 1, distance, exact_chroma, False)


@cache
def _all_luma() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([ijg_table(quality) for quality in range(1, 101)], dtype=np.float64)
