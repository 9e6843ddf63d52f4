"""Two fills from before learning, both OpenCV's: Telea's fast marching, and Navier-Stokes transport of edges.

They carry colours inwards from the rim and make no texture, so a large hole ends as a smear: cheap to make, easy to
see, and easy to tell by smoothness alone. They are the controls that every other method has to differ from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

LARGEST_RADIUS = 32

_LICENCE = "Apache-2.0 (OpenCV and ours)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusedSettings:
    """How far around a pixel known ones are looked at."""

    radius: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= LARGEST_RADIUS:
            raise BadSetting("radius is out of range", wanted=f"1 to {LARGEST_RADIUS} pixels", got=self.radius)


class _Diffused(Method):
    """What both share; nothing is drawn, so the seed changes nothing."""

    settings: DiffusedSettings
    settings_type: ClassVar[type] = DiffusedSettings
    flag: ClassVar[int]

    def make(self, request: Request) -> Fill:
        """Fill from the rim inwards; outside the mask the photo itself comes back."""
        radius = self.settings.radius
        facts: dict[str, Any] = {"radius": radius, "deterministic": True}
        return Fill(inpainted(request.pixels, request.mask, radius, self.flag), facts)


class Telea(_Diffused):
    """Each pixel is a weighted mean of known ones near it, the nearest to the rim first."""

    card = MethodCard(
        name="telea",
        release_name="Telea",
        title="Telea's fast marching",
        group="classical",
        paper="Telea, An Image Inpainting Technique Based on the Fast Marching Method, 2004",
        licence=_LICENCE,
        about="Weighted means of known neighbours, from the rim inwards.",
        deterministic=True,
        limits=("Large holes become a smooth smear.", "The seed changes nothing."),
    )
    flag = cv2.INPAINT_TELEA


class NavierStokes(_Diffused):
    """Lines of equal brightness are carried on into the hole, as a fluid carries what swims in it."""

    card = MethodCard(
        name="navier-stokes",
        release_name="NavierStokes",
        title="Navier-Stokes inpainting",
        group="classical",
        paper="Bertalmio, Bertozzi, Sapiro, Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting, CVPR 2001",
        licence=_LICENCE,
        about="Transport of brightness along its own level lines.",
        deterministic=True,
        limits=("Large holes become streaks.", "The seed changes nothing."),
    )
    flag = cv2.INPAINT_NS


def inpainted(pixels: Pixels, mask: Mask, radius: int = 3, flag: int = cv2.INPAINT_TELEA) -> Pixels:
    """OpenCV's inpainting; what lies in the hole is blacked out first, so that nothing of it can come through."""
    known = np.ascontiguousarray(np.where(mask[..., None], np.uint8(0), pixels))
    filled = cv2.inpaint(known, mask.astype(np.uint8), radius, flag)
    return np.where(mask[..., None], np.asarray(filled, dtype=np.uint8), pixels)
