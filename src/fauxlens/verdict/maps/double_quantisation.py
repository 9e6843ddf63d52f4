"""Double quantisation: which blocks do not show the first of two savings that the rest of a JPEG shows.

After Lin and others (2009) and Bianchi and Piva (2012): in a picture saved twice the histograms of coefficients have
heaps and gaps; what was pasted in between was saved once and has none. Each block's coefficients say how much likelier
they are under the one or the other. They are computed from the decoded pixels on the file's own 8 x 8 grid, not read
from the file: a fifth of a grey level of rounding lies between.
"""

from __future__ import annotations

import cv2
import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.verdict.blocks import coefficients, over_the_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.grid import saved_once_and_twice
from fauxlens.verdict.past import Past

COUNT = 16
"""Frequencies that are looked at, in zigzag order; the mean of a block (the first) is left out."""

_SMOOTH = 3
# No coefficient may say more than this, in log likelihood: a model that is a little wrong is sure of itself.
_MOST = 2.0
_LIMIT = (
    "It needs a JPEG whose larger part was saved twice, first at a lower quality on the same grid; smooth and "
    "over-exposed places have nothing to tell and stay near the middle, and a part that was itself saved twice like "
    "the rest stays dark."
)


def double_quantisation(picture: Picture, past: Past) -> Evidence:
    """The probability, block by block, of having been saved once in a picture that was saved twice."""
    facts = picture.facts
    if facts is None or facts.format != "jpeg":
        return _nothing("The file is no JPEG, so there is no last quantisation to compare an earlier one with.")
    if past.table is None:
        return _nothing("How this JPEG's brightness was quantised is not known after decoding, so there is no map.")
    if past.first is None:
        return _nothing("Nothing in the file's own grid shows an earlier saving, so no part can lack one.")
    evidence = np.zeros((past.luma.shape[0] // 8, past.luma.shape[1] // 8), dtype=np.float32)
    tables = _tables(past)
    # In strips, so that sixteen coefficients a block are not kept for all of a large picture.
    for top in range(0, len(evidence), 64):
        found = coefficients(past.luma[top * 8 : (top + 64) * 8], COUNT)
        for frequency, ratio in tables:
            multiple = np.rint(np.abs(found[..., frequency]) / past.table[frequency]).astype(np.intp)
            evidence[top : top + 64] += ratio[np.minimum(multiple, len(ratio) - 1)]
    once = 1 / (1 + np.exp(-np.clip(cv2.blur(evidence, (_SMOOTH, _SMOOTH)), -30, 30)))
    stored = over_the_picture(once.astype(np.float32), *past.luma.shape)
    return Evidence(
        "double_quantisation",
        f"Most of the picture was saved as JPEG twice (first at a quality of about {past.first.quality}); bright "
        "blocks look as if saved only once, as what was put in between the two savings.",
        _LIMIT,
        details={"earlier_quality": past.first.quality, "frequencies": len(tables),
                 "bright_share": round(float((once > 0.5).mean()), 4)},
        map=past.upright(stored),
    )  # fmt: skip


def _tables(past: Past) -> list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    """(frequency, log likelihood of once against twice by multiple) for the frequencies that tell them apart."""
    assert past.table is not None
    assert past.first is not None
    several = []
    for frequency in range(1, COUNT):
        both = saved_once_and_twice(past.histograms, past.table, past.first.quality, frequency)
        if both is not None:
            ratio = np.clip(np.log(both[0] / both[1]), -_MOST, _MOST)
            # The last bins are beyond what was counted: they say nothing.
            ratio[-2:] = 0
            several.append((frequency, ratio.astype(np.float32)))
    return several


def _nothing(sentence: str) -> Evidence:
    return Evidence("double_quantisation", sentence, _LIMIT)
