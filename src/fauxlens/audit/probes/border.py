"""Borders: flat outermost rows and columns, frames, and bars along the lower edge.

No `series`; a table of the mean of each measure goes with the result on the whole.
"""

from __future__ import annotations

import numpy as np

from fauxlens.audit.features import BORDER_NAMES, Features
from fauxlens.audit.probes.comparison import ProbeContext, Wording, linear_shortcuts
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Column, Table

WORDING = Wording(
    "border",
    "Borders",
    "the outermost rows and columns and the lower strip",
    "Frames, bars, flat or odd edge lines tell the classes apart; they come from padding, cropping, watermark bars "
    "or a generator's edge. Crop a few pixels off all pictures alike, and look at the examples.",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """How flat and how different the edges are from the inside, on the whole and for each generator."""

    def tables() -> tuple[Table, ...]:
        real, fake = features.border[~features.fake], features.border[features.fake]
        columns = (Column("measure"), Column("reals", format="+.2f"), Column("fakes", format="+.2f"))
        rows = zip(BORDER_NAMES, map(float, real.mean(0)), map(float, fake.mean(0)), strict=True)
        note = "Spread, step and jump: log of the line against the lines inside. Level: in spreads of the inside."
        return (Table("border", "Edges against the inside", columns, tuple(rows), note),)

    # One picture with a black frame must not decide the scale of a measure for all.
    values = np.arctan(features.border)
    return linear_shortcuts(features, context, values, WORDING, tables=tables)
