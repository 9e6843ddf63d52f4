"""Did what should stay, stay, and did what should change, change?

SSIM is scikit-image's, with its flat window of seven pixels, averaged over the three colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.grey import Plane, shrunk, tight_box
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.images.shapes import Pixels

_WINDOW = 7


@dataclass(frozen=True, kw_only=True)
class IntegritySettings:
    """The largest difference outside the mask, in grey levels, that a spliced picture may have."""

    limit: int = 0

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0, 255)


class Integrity(Judge):
    """The largest difference outside the mask: nothing for spliced pictures, whatever it is for regenerated ones."""

    name = "integrity"
    settings_type = IntegritySettings
    about: ClassVar[str] = (
        "Largest difference outside the mask: 0 when spliced; reported, not judged, when regenerated."
    )

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Compare everything outside the mask."""
        limit: int = self.settings.limit
        judged = exhibit.variant == "spliced"
        wording = f"at most {limit} grey levels" if judged else "reported only: the whole frame was made anew"
        outside = ~exhibit.mask
        if not outside.any():
            return Ruling(self.name, None, None, wording, "nothing is outside the mask")
        difference = cv2.absdiff(exhibit.original, exhibit.forged)[outside]
        value = float(difference.max())
        passed = value <= limit if judged else None
        if value == 0:
            return Ruling(self.name, 0.0, passed, wording)
        mean = float(difference.mean(dtype=np.float64))
        # Windows that reach into the mask would tell of what was meant to change.
        kept = shrunk(outside, _WINDOW // 2)
        note = f"mean {mean:.2f}"
        if kept.any() and min(kept.shape) >= _WINDOW:
            note += f", SSIM {float(_similarity(exhibit.original, exhibit.forged)[kept].mean()):.4f}"
        return Ruling(self.name, value, passed, wording, note)


@dataclass(frozen=True, kw_only=True)
class ChangedSettings:
    """The likeness inside the mask from which on nothing was forged."""

    limit: float = 0.98

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 1.0)


class Changed(Judge):
    """SSIM inside the mask: a region that looks as before is no forgery."""

    name = "changed"
    settings_type = ChangedSettings
    about: ClassVar[str] = "SSIM inside the mask must be below 0.98: something changed."

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Compare everything inside the mask."""
        limit: float = self.settings.limit
        wording = f"below {limit:g}"
        if not exhibit.mask.any():
            return Ruling(self.name, None, None, wording, "an empty mask")
        box = tight_box(exhibit.mask, _WINDOW)
        before, after, mask = exhibit.original[box], exhibit.forged[box], exhibit.mask[box]
        if min(mask.shape) < _WINDOW:
            return Ruling(self.name, None, None, wording, f"no window of {_WINDOW} pixels fits")
        value = float(_similarity(before, after)[mask].mean())
        return Ruling(self.name, value, value < limit, wording)


def _similarity(before: Pixels, after: Pixels) -> Plane:
    _, each = structural_similarity(before, after, win_size=_WINDOW, channel_axis=2, full=True)  # type: ignore[no-untyped-call]
    return np.asarray(each.mean(axis=2), dtype=np.float64)
