"""Thumbnails: can the classes be told at 32 x 32 pixels, where no trace of generation is left?

`series` of the result on the whole: `difference`, the mean fake minus the mean real luma at 32 x 32, row by row.
"""

from __future__ import annotations

import numpy as np

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import ProbeContext, Wording, enlarged, linear_shortcuts, mean_sheet
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Figure

WORDING = Wording(
    "thumbnail",
    "Thumbnails",
    "thumbnails of 32 x 32 pixels",
    "At this size no trace of generation is left: what separates is brightness, colour and composition. A detector can "
    "learn these instead of traces; match what the pictures show, and use many prompts and seeds.",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """A class template on grey and colour thumbnails, on the whole and for each generator."""
    count = len(features)
    values = np.concatenate([features.flat("grey"), features.flat("colour")], axis=1)
    series = {}
    if 0 < features.fake.sum() < count:
        difference = features.grey[features.fake].mean(0) - features.grey[~features.fake].mean(0)
        series["difference"] = tuple(float(v) for v in difference.reshape(-1))

    def figures() -> tuple[Figure, ...]:
        title = "Mean thumbnail of each class and generator"
        return (
            mean_sheet(features, "mean-thumbnails", title, lambda rows: enlarged(features.colour[rows].mean(0), 6)),
        )

    return linear_shortcuts(features, context, values, WORDING, figures=figures, series=series)
