"""What a method must not see: the photo's own pixels inside the hole."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fauxlens.forge.create.method import Request


def without_hole(request: Request) -> Request:
    """The request with every pixel of its hole replaced by the nearest known one.

    A network that is given known pixels only is still told of the others where a photo is resized first: resampling
    mixes neighbours. What is mixed in is now known anyway.
    """
    hole = request.mask.astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(hole, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # Labels count the known pixels; which is which is looked up at the known pixels themselves.
    known = np.flatnonzero(~request.mask)
    place_of = np.zeros(int(labels.max()) + 1, np.int64)
    place_of[labels.ravel()[known]] = known
    nearest = request.pixels.reshape(-1, 3)[place_of[labels]]
    return replace(request, pixels=np.where(request.mask[..., None], nearest, request.pixels))
