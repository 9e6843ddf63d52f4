"""What is done to every mask, whoever found it: holes filled, islands dropped, areas within limits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fauxlens.forge.region import Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaLimits:
    """Shares of the frame that a region may have, by mask type: smallest and largest."""

    stuff: tuple[float, float] = (0.02, 0.80)
    background: tuple[float, float] = (0.10, 0.98)
    region: tuple[float, float] = (0.02, 0.60)

    def admits(self, mask: Mask, mask_type: str) -> bool:
        """Whether `mask` is neither too small nor too large."""
        smallest, largest = getattr(self, mask_type)
        return bool(smallest <= mask.mean() <= largest)


def tidied(mask: Mask, *, share: float = 0.001) -> Mask:
    """Fill holes and drop islands below `share` of the frame.

    >>> dotted = np.zeros((40, 40), bool)
    >>> dotted[5:30, 5:30] = True
    >>> dotted[10, 10] = False
    >>> dotted[38, 38] = True
    >>> int(tidied(dotted).sum()) == 25 * 25
    True
    """
    smallest = share * mask.size
    kept = _without_islands(mask, smallest)
    # A hole of the mask is an island of its complement.
    return ~_without_islands(~kept, smallest)


def _without_islands(mask: Mask, smallest: float) -> Mask:
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    keep = facts[:, cv2.CC_STAT_AREA] >= max(2.0, smallest)
    keep[0] = False
    return np.asarray(keep[labels] if count > 1 else np.zeros_like(mask), dtype=np.bool_)


def box_of(mask: Mask) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the smallest box around True."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
