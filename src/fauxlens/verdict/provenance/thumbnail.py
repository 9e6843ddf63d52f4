"""The small picture inside EXIF: made when the photo was taken, and left behind by some programs that change it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.core.errors import UnreadableImage
from fauxlens.images.limits import Limits
from fauxlens.images.picture import decode
from fauxlens.images.shapes import Pixels
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance.told import Subject, Told

_LIMITS = Limits(max_bytes=4 << 20, max_pixels=4_000_000)
_SMALLEST = 32
_BAR = 24  # grey levels up to which a border is a bar
ASPECT = 0.04
"""How far two aspect ratios may be apart; thumbnails are a few pixels off by rounding to blocks."""
UNLIKE = 0.60
"""Correlation of grey levels below which two pictures are others."""
LOCAL, OUTSTANDING = 0.9, 11.0
"""By how many standard deviations of the picture a place an eighth of a side wide may differ, and how many times as
much as half of all places. Other curves of light, sharper shrinking and a shift of pixels stay below 10 times."""

_LIMIT = (
    "Cameras and programs make thumbnails in their own ways, and some programs forget to renew them after harmless "
    "work. Cropping and whole changes of light are edits too, and honest ones."
)

Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a thumbnail and the picture compare: `aspect` as a share, `correlation`, and the largest local difference.

    `outstanding` is how many times as large it is as the median one.
    """

    aspect: float
    correlation: float
    local: float
    outstanding: float
    turned: int  # quarter turns that the thumbnail needs
    difference: Grey | None = None  # local, at the size of the thumbnail, in standard deviations


def compared(pixels: Pixels, thumbnail: Pixels) -> Likeness:
    """The best of the four ways to hold the thumbnail against the picture."""
    grey = np.asarray(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    scale = 4 * max(thumbnail.shape[:2]) / max(pixels.shape[:2])
    if scale < 1:  # once for the four ways
        size = tuple(max(1, round(scale * side)) for side in pixels.shape[1::-1])
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return max((_held(pixels, np.rot90(grey, turned), turned) for turned in range(4)), key=lambda one: one.correlation)


def _held(pixels: Pixels, thumbnail: Pixels, turned: int) -> Likeness:
    thumbnail = _without_bars(thumbnail, pixels.shape[1] / pixels.shape[0])
    height, width = thumbnail.shape
    aspect = abs(width / height * pixels.shape[0] / pixels.shape[1] - 1)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    # Both a little soft: how sharp a thumbnail is depends on who shrank it.
    ours = _level(np.asarray(small, dtype=np.uint8))
    theirs = _level(thumbnail)
    correlation = float((ours * theirs).mean())
    window = max(3, min(height, width) // 8)
    difference = cv2.blur(np.abs(ours - theirs), (window, window))
    largest = float(difference.max())
    outstanding = largest / (float(np.median(difference)) + 0.05)
    return Likeness(aspect, correlation, largest, outstanding, turned, difference)


def _level(grey: Pixels) -> Grey:
    """Soft, with mean 0 and deviation 1; all 0 where there is nothing to see."""
    soft = np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0), dtype=np.float32)
    deviation = float(soft.std())
    return np.asarray((soft - soft.mean()) / deviation if deviation > 1e-3 else np.zeros_like(soft), dtype=np.float32)


def _without_bars(thumbnail: Pixels, aspect: float) -> Pixels:
    """Cut to the shape of the picture where what is cut off is dark: most cameras make thumbnails of 4:3 with bars."""
    height, width = thumbnail.shape
    if width / height < aspect * (1 - ASPECT):
        kept = max(1, round(width / aspect))
        cut = (height - kept) // 2
        bars = np.concatenate([thumbnail[: max(cut - 1, 0)], thumbnail[height - max(cut - 1, 0) :]])
        return thumbnail[cut : cut + kept] if bars.size and np.percentile(bars, 90) <= _BAR else thumbnail
    if width / height > aspect * (1 + ASPECT):
        kept = max(1, round(height * aspect))
        cut = (width - kept) // 2
        bars = np.concatenate([thumbnail[:, : max(cut - 1, 0)], thumbnail[:, width - max(cut - 1, 0) :]], axis=1)
        return thumbnail[:, cut : cut + kept] if bars.size and np.percentile(bars, 90) <= _BAR else thumbnail
    return thumbnail


def check(subject: Subject) -> Told:
    """Hold the thumbnail against the picture; nothing is told when they agree or there is none."""
    if subject.exif.thumbnail is None:
        return Told()
    try:
        thumbnail = decode(subject.exif.thumbnail, limits=_LIMITS, where="thumbnail").pixels
    except UnreadableImage:
        return Told()
    pixels = subject.picture.pixels
    if min(thumbnail.shape[:2]) < _SMALLEST or min(pixels.shape[:2]) < 2 * _SMALLEST:
        return Told()
    found = compared(pixels, thumbnail)
    sentence = _sentence(found)
    if sentence is None:
        return Told()
    details = {
        "thumbnail": [int(thumbnail.shape[1]), int(thumbnail.shape[0])], "aspect_difference": round(found.aspect, 4),
        "correlation": round(found.correlation, 4), "local_difference": round(found.local, 3),
        "outstanding": round(found.outstanding, 2), "turned": 90 * found.turned,
    }  # fmt: skip
    return Told((Evidence("thumbnail", sentence, _LIMIT, "edited", "weak", details, map=_map(found, pixels)),))


def _sentence(found: Likeness) -> str | None:
    if found.correlation < UNLIKE:
        return "The thumbnail inside the file shows another picture, or another part of it, than the file does."
    if found.aspect > ASPECT:
        return "The thumbnail inside the file has another shape than the picture: it was cropped or stretched later."
    if found.local > LOCAL and found.outstanding > OUTSTANDING:
        return (
            "The thumbnail inside the file differs from the picture in places, as after a change to the picture alone."
        )
    return None


def _map(found: Likeness, pixels: Pixels) -> Grey | None:
    """Where they differ, where that can be laid over the picture: 1 is twice what is told."""
    if found.difference is None or found.aspect > ASPECT or found.correlation < UNLIKE or found.turned:
        return None
    scaled = np.clip(found.difference / (2 * LOCAL), 0, 1)
    large = cv2.resize(scaled, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, dtype=np.float32)
