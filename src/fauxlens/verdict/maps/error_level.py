"""Error level: how much the picture changes when it is saved as JPEG once more, beside how rough it is there."""

from __future__ import annotations

import io
from typing import cast

import cv2
import numpy as np
from PIL import Image

from fauxlens.images.encode import SUBSAMPLINGS, encode_jpeg
from fauxlens.images.picture import Picture
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.blocks import Values, over_the_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.marks import traced_of
from fauxlens.verdict.past import Past

QUALITY = 90
"""Of the saving that is tried."""

SCALES: tuple[int, ...] = (8, 16, 32)
"""Sides of the squares, in pixels, over which error and roughness are compared; the map is their mean."""

# Rows that are saved at a time; whole blocks, so that a band is saved as it would be in the whole.
_BAND = 512
_LIMIT = (
    "It cannot tell editing from texture, sharpening, scaling or saturated colour with certainty: edges and fine "
    "texture change more than smooth places in every photo, and after one more saving of the whole picture most "
    "differences go."
)


def error_level(picture: Picture, past: Past) -> Evidence:
    """The change at quality 90, divided by the local roughness, averaged over three scales and stretched."""
    if min(picture.width, picture.height) < 8:
        return Evidence("error_level", "The picture is too small for a map of error levels.", _LIMIT)
    facts = picture.facts
    own = None if facts is None or facts.jpeg is None else facts.jpeg.subsampling
    # With the file's own thinning of colours: another one would change colours everywhere.
    change, rough = _by_block(picture.pixels, own if own in SUBSAMPLINGS else "4:4:4")
    total = np.zeros_like(change)
    for scale in SCALES:
        size = (scale // 8, scale // 8)
        total += cv2.blur(change, size) / (cv2.blur(rough, size) + 1.0)
    level = np.asarray(total / len(SCALES), dtype=np.float32)
    return Evidence(
        "error_level",
        f"Bright places change more than others of like roughness when the picture is saved as JPEG {QUALITY} again, "
        "as what was pasted or painted after an earlier saving can; the brightest and darkest percent set the scale.",
        _LIMIT,
        details={"quality": QUALITY, "scales": list(SCALES), "median": round(float(np.median(level)), 4)},
        map=over_the_picture(traced_of(level), picture.height, picture.width),
    )


def _by_block(pixels: Pixels, subsampling: str) -> tuple[Values, Values]:
    """Mean change and mean step between neighbours, a value a block of eight, in bands of rows."""
    down, across = pixels.shape[0] // 8, pixels.shape[1] // 8
    changes, roughs = [], []
    for top in range(0, down * 8, _BAND):
        band = np.ascontiguousarray(pixels[top : min(top + _BAND, down * 8), : across * 8])
        with Image.open(io.BytesIO(encode_jpeg(band, QUALITY, subsampling)), formats=["JPEG"]) as saved:
            again = np.asarray(saved.convert("RGB"), dtype=np.uint8)
        size = (across, len(band) // 8)
        changes.append(_shrunk(cast(Pixels, cv2.absdiff(band, again)), size))
        grey = cv2.cvtColor(band, cv2.COLOR_RGB2GRAY)
        step = cast(Pixels, cv2.absdiff(grey[:, 1:], grey[:, :-1]))
        roughs.append(_shrunk(np.pad(step, ((0, 0), (0, 1))), size))
    return np.concatenate(changes), np.concatenate(roughs)


def _shrunk(values: Pixels, size: tuple[int, int]) -> Values:
    # In floating point: whole numbers would be rounded to whole means.
    means = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means if means.ndim == 2 else means.mean(2), dtype=np.float32)
