"""Up-sampling spectrum: which fine patterns repeat over the whole picture. It has no places: it is a square of its own.

The middle is what does not repeat, the borders are what repeats every two pixels.
"""

from __future__ import annotations

import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.past import Past
from fauxlens.verdict.spectrum import SMALLEST_SIDE, spectrum_of

BRIGHTEST = 6.0
"""Log of power above the neighbourhood that is shown white: four hundred times as strong."""

CLEAR = 4.0
"""A peak must be this strong to be told in the sentence. Scenes alone leave some up to there, and few beyond."""

_TOLD = 4
_LIMIT = (
    "It cannot say where, nor by what: resizing, a JPEG's blocks of eight, sensors, scanners and regular things in "
    "the scene leave peaks as well, many generators leave none, and shrinking or strong JPEG removes them."
)


def upsampling_spectrum(picture: Picture, past: Past) -> Evidence:
    """The stronger of two spectra, of the residual and of its size, above their neighbourhoods."""
    spectrum = spectrum_of(past.luma)
    if spectrum is None:
        said = f"The picture is too small or too flat for a spectrum (it takes {SMALLEST_SIDE} pixels each way)."
        return Evidence("upsampling_spectrum", said, _LIMIT)
    shown = np.clip(np.maximum(spectrum.pattern, spectrum.roughness) / BRIGHTEST, 0, 1).astype(np.float32)
    clear = [peak for peak in spectrum.peaks if peak.strength >= CLEAR]
    grid = [peak for peak in clear if peak.is_of_the_grid]
    # Blocks of eight are strongest at slower frequencies; enlarging by two has none but the half.
    of_blocks = bool(grid) and not grid[0].is_of_halves
    told = [peak for peak in clear if not peak.is_of_the_grid or (peak.is_of_halves and not of_blocks)]
    places = ", ".join(f"{abs(one.across):.3f} across and {abs(one.down):.3f} down" for one in told[:_TOLD])
    said = (
        f"Something fine repeats over the whole picture (cycles a pixel: {places}): bright points that stand alone, as "
        "enlarging inside a generator or after it leaves."
        if told
        else "Nothing fine repeats over the whole picture" + (", but for blocks of eight." if of_blocks else ".")
    )
    return Evidence(
        "upsampling_spectrum",
        said,
        _LIMIT,
        details={
            "side": len(shown),
            "windows": spectrum.windows,
            "peaks": [
                {"across": round(one.across, 4), "down": round(one.down, 4), "strength": round(one.strength, 2),
                 "kind": one.kind, "of_the_grid": one.is_of_the_grid}
                for one in spectrum.peaks
            ],
        },
        # The picture may be turned; its spectrum turns with it.
        map=past.upright(shown),
    )  # fmt: skip
