"""The one compositor: what of a made frame goes into the photo, and what the mask then says.

`spliced` keeps the photo's own pixels outside the mask, to the bit; `regenerated` keeps the whole made frame, which
many models change everywhere. They are different things to detect, so they are never mixed under one name.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels, require_rgb

VARIANTS = ("spliced", "regenerated")
LARGEST_FEATHER = 64


@dataclass(frozen=True, slots=True)
class Composite:
    """A forged picture and the mask of what may have changed in it."""

    pixels: Pixels
    mask: Mask  # True wherever a pixel was taken, wholly or partly, from the made frame
    variant: str
    feather: int
    changed_outside: float  # mean absolute difference of the made frame outside the mask, in grey levels
    changed_inside: float  # of the composite inside the mask


def compose(original: Pixels, made: Pixels, mask: Mask, *, variant: str = "spliced", feather: int = 0) -> Composite:
    """Put `made` into `original` where `mask` is True.

    `feather` softens the border over that many pixels, inwards: outside the mask nothing changes, so the mask stays
    the truth. `changed_outside` is measured before anything is pasted, in both variants.
    """
    require_rgb(original, "original")
    require_rgb(made, "made frame")
    if variant not in VARIANTS:
        raise BadSetting("no such variant", wanted=" or ".join(VARIANTS), got=variant)
    if not 0 <= feather <= LARGEST_FEATHER:
        raise BadSetting("a feather out of range", wanted=f"0 to {LARGEST_FEATHER} pixels", got=feather)
    if made.shape != original.shape or mask.shape != original.shape[:2] or mask.dtype != np.bool_:
        raise BadShape(
            "photo, made frame and mask do not fit",
            wanted=f"{original.shape} and a bool mask of {original.shape[:2]}",
            got=f"{made.shape} and {mask.dtype} {mask.shape}",
        )
    if not mask.any() or mask.all():
        raise BadShape("an empty mask" if not mask.any() else "a mask of the whole frame", wanted="a part of the frame")
    outside = _mean_difference(original, made, ~mask)
    if variant == "regenerated":
        pixels = made.copy()
    elif feather == 0:
        pixels = np.where(mask[..., None], made, original)
    else:
        # Distance to the nearest kept pixel: 1 at the rim, so the rim is mixed and nothing beyond it is.
        distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        ramp = np.clip(distance / (feather + 1), 0.0, 1.0)
        # A raised cosine has no corner at either end, which would be an edge of its own.
        alpha = ((1.0 - np.cos(np.pi * ramp)) / 2.0).astype(np.float32)[..., None]
        mixed = original + (made.astype(np.float32) - original) * alpha
        pixels = np.where(mask[..., None], np.rint(mixed).astype(np.uint8), original)
    inside = _mean_difference(original, pixels, mask)
    return Composite(pixels, mask.copy(), variant, feather, outside, inside)


def _mean_difference(one: Pixels, other: Pixels, where: Mask) -> float:
    difference = cv2.absdiff(one, other)
    return float(difference[where].mean(dtype=np.float64))
