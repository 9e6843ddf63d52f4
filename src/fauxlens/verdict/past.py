"""What a picture went through before it became this file, as far as its pixels tell; computed once, read by several."""

from __future__ import annotations

from dataclasses import dataclass

from fauxlens.images.picture import Picture
from fauxlens.verdict.blocks import Values, luma_of, upright
from fauxlens.verdict.grid import First, Grid, Histograms, first_saving, grid_of, histograms_of, scores_of


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """`grid` is a JPEG grid other than the file's own; `first` an earlier saving on the file's own grid.

    `own_quality` is that of the file itself: of the nearest standard table, None when it is no JPEG. `table` is its
    luma table (zigzag) where the decoded pixels still are what it quantised.
    """

    picture: Picture
    luma: Values  # as stored, before it was turned upright
    histograms: Histograms
    table: tuple[int, ...] | None
    own_quality: int | None
    grid: Grid | None
    first: First | None

    @property
    def is_jpeg(self) -> bool:
        """Whether the file is one, and so has a grid of its own."""
        return self.picture.facts is not None and self.picture.facts.jpeg is not None

    def upright(self, stored: Values) -> Values:
        """A map over the stored picture as one over the picture that is shown."""
        return upright(stored, self.picture)

    @property
    def earlier_quality(self) -> int | None:
        """The lowest quality at which it was saved before, None where nothing tells."""
        return min((found.quality for found in (self.grid, self.first) if found is not None), default=None)


def past_of(picture: Picture) -> Past:
    """Look for grids and for an earlier saving, in a sample of at most about 230,000 pixels."""
    luma = luma_of(picture)
    histograms = histograms_of(luma)
    facts = picture.facts
    header = None if facts is None else facts.jpeg
    table = own_table(picture)
    grid = grid_of(scores_of(histograms), own=header is not None)
    first = None if table is None else first_saving(histograms, table)
    own = None if header is None or header.quality is None else header.quality.value or header.quality.nearest
    return Past(picture, luma, histograms, table, own, grid, first)


def own_table(picture: Picture) -> tuple[int, ...] | None:
    """The table with which the brightness of these pixels was quantised, zigzag; None where that is not known."""
    header = None if picture.facts is None else picture.facts.jpeg
    if header is None or header.luma_table is None or header.lossless or len(header.components) not in (1, 3):
        return None
    # Without the colour transform the first table is that of red; a profile that was applied moved every value.
    if (len(header.components) == 3 and header.adobe_transform == 0) or header.precision != 8:
        return None
    return None if any(note.startswith("converted to sRGB") for note in picture.notes) else header.luma_table
