"""The 8 x 8 grid of JPEG: does the history of compression differ between the classes, whatever the container says?

`series` of the result on the whole: `phase` (0 to 7, the column left of a jump) and, for each of `real`, `fake` and the
generators, the mean log jump at each of eight columns followed by eight rows. A JPEG history is a peak at phase 7.
"""

from __future__ import annotations

import numpy as np

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import ProbeContext, Wording, linear_shortcuts
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Column, Table

WORDING = Wording(
    "grid",
    "The 8 x 8 grid",
    "the strength and place of an 8 x 8 grid",
    "JPEG leaves this grid in the pixels, also when the picture is stored as PNG afterwards: the classes were "
    "compressed differently. Give both the same history of compression. (Decoders that double in size three times can "
    "leave a period of eight too; compare generators saved alike before blaming the codec.)",
    "A slight difference in the grid that JPEG leaves: few of the pictures, or all by very little, may have another "
    "history of compression; what the pictures show can do as much. Look at the table before changing anything.",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """The jumps at the eight column and eight row phases, on the whole and for each generator."""
    sets = {"real": features.rows_of(None), "fake": np.flatnonzero(features.fake)}
    sets.update({name: features.rows_of(name) for name in features.generators})
    series = {"phase": tuple(float(phase) for phase in range(8))}
    series.update({name: tuple(map(float, features.grid[rows].mean(0))) for name, rows in sets.items() if len(rows)})

    def tables() -> tuple[Table, ...]:
        columns = (Column("pictures of"), Column("number"), Column("jump at the grid, columns", format=".3f"),
                   Column("jump at the grid, rows", format=".3f"), Column("strongest phase"))  # fmt: skip
        rows = []
        for name, members in sets.items():
            if len(members):
                mean = features.grid[members].mean(0)
                strongest = int((mean[:8] + mean[8:]).argmax())
                rows.append((name, len(members), float(mean[7]), float(mean[15]), strongest))
        note = "Mean log of the jump between pixels 7 and 8 of each block against all eight; 0 means no grid."
        return (Table("grid", "Strength of the 8 x 8 grid", columns, tuple(rows), note),)

    return linear_shortcuts(features, context, features.grid, WORDING, tables=tables, series=series)
