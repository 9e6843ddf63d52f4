"""The same picture delivered in other ways: does the answer hold?

A large picture is not delivered as a whole. Shrinking it would destroy what is looked at, so a window is cut out at its
own resolution, where the marks are strongest; the answer on the window is what re-deliveries are compared with. An
accusation that the window does not carry is contradicted by it and by every delivery that does not carry it either.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fauxlens.core.seeds import seed_for
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Prediction
from fauxlens.images.degrade import CHAINS, read_chain
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.decide import flips
from fauxlens.verdict.finding import Redelivery, Stability
from fauxlens.verdict.judgement import Judgement

DELIVERIES = tuple(name for name in CHAINS if name.startswith("stability/"))
"""How a picture is delivered again: a few ways that leave it the same picture for anybody who looks at it."""

SIDE = 256
"""The longest side of the window."""


def stability_of(
    pixels: Pixels,
    said: Prediction,
    detector: Detector,
    judgement: Judgement,
    *,
    deliveries: Sequence[str] = DELIVERIES,
    side: int = SIDE,
) -> Stability:
    """Deliver the picture (or a window of it) in each way and ask again."""
    window, is_whole = strongest_window(pixels, said.mask, side)
    first = said if is_whole else detector.predict([window])[0]
    shown = [read_chain(name).apply(window, seed_for("stability", method=name)).pixels for name in deliveries]
    several = detector.predict(shown)
    answer = None if first.logit is None else judgement.answer(first.logit)
    tried = tuple(_told(name, one, judgement) for name, one in zip(deliveries, several, strict=True))
    whole = None if said.logit is None else judgement.answer(said.logit)
    turned = 0
    if answer is not None and whole is not None:
        # Of a picture without a sign the window is the likeliest place for one, so only accusations are held to it.
        held = {answer.verdict, *((whole.verdict,) if whole.verdict in ("edited", "generated") else ())}
        turned = sum(any(flips(one, other.verdict) for one in held) for other in tried)
    logits = [one.logit for one in (first, *several) if one.logit is not None]
    spread = round(max(logits) - min(logits), 4) if logits else None
    return Stability(tried, turned, spread, None if is_whole else max(window.shape[:2]))


def strongest_window(pixels: Pixels, mask: np.ndarray | None, side: int) -> tuple[Pixels, bool]:
    """The picture if it is no larger than the window; else the part of it where the marks are strongest.

    The window begins on a multiple of eight, where the grid of a compressed file lies.
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels, True
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    if mask is not None:
        small = cv2.resize(
            np.nan_to_num(mask), (max(1, width // 16), max(1, height // 16)), interpolation=cv2.INTER_AREA
        )
        within = (max(1, columns // 16), max(1, rows // 16))
        sums = cv2.boxFilter(small, -1, within, normalize=True, borderType=cv2.BORDER_CONSTANT)
        # Where several windows hold the same marks, the one in their midst has them in its middle.
        best = np.argwhere(sums >= sums.max() - 1e-6)
        middle = best[len(best) // 2] if np.ptp(best, axis=0).max() > max(within) else best.mean(axis=0)
        top = min(max(0, round(float(middle[0]) * 16 + 8) - rows // 2), height - rows)
        left = min(max(0, round(float(middle[1]) * 16 + 8) - columns // 2), width - columns)
    top, left = top // 8 * 8, left // 8 * 8
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns]), False


def _told(name: str, said: Prediction, judgement: Judgement) -> Redelivery:
    verdict = None if said.logit is None else judgement.answer(said.logit).verdict
    share = None if said.mask is None else round(float((said.mask > judgement.level).mean()), 4)
    return Redelivery(name, None if said.logit is None else round(said.logit, 4), verdict, share)
