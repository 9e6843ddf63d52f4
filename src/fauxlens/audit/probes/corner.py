"""Corners: is the same mark (a watermark, a logo, a signature) in the corners of one class?

No `series`; the mean corners of each class and generator are a figure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import ProbeContext, Rows, Wording, enlarged, linear_shortcuts, mean_sheet
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Figure

WORDING = Wording(
    "corner",
    "Corners",
    "what stands at the same place in the corners",
    "Something that stays at the same place in the corners tells the classes apart: a watermark or logo, a fixed "
    "shading, or a fingerprint that the generator leaves there. Look at the mean corners, where a mark is plain to "
    "see, and crop it off all pictures alike.",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """A class template on the four corners without their slopes, on the whole and for each generator."""

    def four(rows: Rows) -> NDArray[np.uint8]:
        upper_left, upper_right, lower_left, lower_right = features.corners[rows].mean(0)
        square = np.block([[upper_left, upper_right], [lower_left, lower_right]])
        return enlarged(square, 2, spread=4 * float(square.std()) + 0.02)

    def figures() -> tuple[Figure, ...]:
        return (mean_sheet(features, "mean-corners", "Mean corners of each class and generator", four),)

    return linear_shortcuts(features, context, features.flat("corners"), WORDING, figures=figures)
