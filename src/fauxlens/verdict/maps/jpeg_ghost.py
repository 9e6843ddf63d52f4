"""JPEG ghost: places that keep to another JPEG quality than the rest, told by saving at many and seeing what stays.

After Farid (2009): what was once saved at a quality changes least when it is saved at that quality again. Saving is
done here by rounding the luma coefficients to each table's multiples, which is the part of saving that matters, so
thirty qualities cost less than two files would.
"""

from __future__ import annotations

import cv2
import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.images.quality import ijg_table
from fauxlens.verdict.blocks import Values, coefficients, over_the_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.past import Past

QUALITIES: tuple[int, ...] = tuple(range(36, 99, 2))
"""That are tried."""

COUNT = 15
"""Frequencies that are looked at, in zigzag order; the mean of a block (the first) is left out."""

# What a quality is compared with: those so far below and above it.
_AWAY = 2
# The side of the square over which differences are averaged, in blocks.
_SMOOTH = 5
# Above this many blocks every second one each way is looked at: 12 megapixels are 190,000.
_MOST_BLOCKS = 100_000
# Qualities so near the file's own are those of the whole file.
_OWN = 3
# How far the brightest twentieth stands above the rest to be called a ghost. Of 140 photos saved once at most
# the largest had 0.33.
_GHOST = 0.35
_LIMIT = (
    "Only a part that was saved at a lower quality than the whole, on the same grid of eight, leaves a ghost; smooth "
    "and over-exposed places look like one at every quality, and no ghost does not mean that nothing was pasted."
)


def jpeg_ghost(picture: Picture, past: Past) -> Evidence:
    """The map of the quality at which some places, and not the rest, change least."""
    luma = past.luma
    if min(luma.shape) < 8 * _SMOOTH:
        return Evidence("jpeg_ghost", "The picture is too small for a map of JPEG ghosts.", _LIMIT)
    errors = _errors(luma)
    best: tuple[float, int, Values] | None = None
    for index in range(_AWAY, len(QUALITIES) - _AWAY):
        quality = QUALITIES[index]
        if past.own_quality is not None and abs(quality - past.own_quality) <= _OWN:
            continue
        usual = (errors[index - _AWAY] + errors[index + _AWAY]) / 2
        # Where nothing changes at any quality there is nothing to compare.
        dip = np.clip((usual - errors[index]) / np.maximum(usual, 0.05), 0, 1)
        stands_out = float(np.quantile(dip, 0.95) - np.median(dip))
        if best is None or stands_out > best[0]:
            best = stands_out, quality, dip.astype(np.float32)
    assert best is not None
    stands_out, quality, dip = best
    blocks = (luma.shape[0] // 8, luma.shape[1] // 8)
    if dip.shape != blocks:
        dip = cv2.resize(dip, blocks[::-1], interpolation=cv2.INTER_LINEAR)
    said = (
        f"Bright places change unusually little when saved as JPEG of quality {quality}, as what was saved at that "
        "quality before it came into this picture."
        if stands_out >= _GHOST
        else f"No quality stands out in a part of the picture; the map is that of quality {quality}, which comes "
        "nearest: bright places would change least."
    )
    stored = over_the_picture(dip, *luma.shape)
    return Evidence(
        "jpeg_ghost", said, _LIMIT,
        details={"quality": quality, "stands_out": round(stands_out, 4), "qualities": [QUALITIES[0], QUALITIES[-1], 2]},
        map=past.upright(stored),
    )  # fmt: skip


def _errors(luma: Values) -> Values:
    """(qualities, blocks down, blocks across): how far coefficients are from multiples, 1 for chance; smoothed."""
    down, across = luma.shape[0] // 8, luma.shape[1] // 8
    every = 2 if down * across > _MOST_BLOCKS else 1
    rows = []
    # In strips, of which the coefficients are not kept: thirty times sixteen bytes a block are.
    strip = 64 * every
    for top in range(0, down, strip):
        part = luma[top * 8 : min(top + strip, down) * 8, : across * 8]
        if every > 1:
            part = np.concatenate([part[k : k + 8] for k in range(0, len(part), 16)])
            blocks = part.reshape(len(part), across, 8)[:, ::2].reshape(len(part), -1)
            part = np.ascontiguousarray(blocks)
        rows.append(_strip_errors(coefficients(part, COUNT)[..., 1:]))
    errors = np.concatenate(rows, axis=1)
    return np.stack([cv2.blur(one, (_SMOOTH, _SMOOTH)) for one in errors])


def _strip_errors(found: Values) -> Values:
    errors = np.empty((len(QUALITIES), *found.shape[:2]), dtype=np.float32)
    for index, quality in enumerate(QUALITIES):
        step = np.array(ijg_table(quality)[1:COUNT], dtype=np.float32)
        multiples = found / step
        multiples -= np.rint(multiples)
        # A small coefficient is near 0, a multiple of everything: only what is larger than half a step can tell, so
        # distances are weighed by the square of the step, as the change of the pixels is.
        multiples *= step
        errors[index] = np.einsum("yxf,yxf->yx", multiples, multiples) * (12 / float((step * step).sum()))
    return errors
