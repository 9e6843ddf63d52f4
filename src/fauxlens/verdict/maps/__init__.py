"""Maps that an investigator expects, as evidence of strength `context`: something to look at, never a verdict.

One file a map. Each says in one sentence what its brightness means and in another what it cannot show. All work on
decoded pixels; a map is (H, W) float32 from 0 to 1 at the size of the picture, but for the spectrum, which has no
places and is a square of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from fauxlens.core.names import look_up
from fauxlens.images.picture import Picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.past import Past, past_of

MAPS = {
    "error_level": "fauxlens.verdict.maps.error_level:error_level",
    "jpeg_ghost": "fauxlens.verdict.maps.jpeg_ghost:jpeg_ghost",
    "double_quantisation": "fauxlens.verdict.maps.double_quantisation:double_quantisation",
    "noise_level": "fauxlens.verdict.maps.noise_level:noise_level",
    "upsampling_spectrum": "fauxlens.verdict.maps.upsampling_spectrum:upsampling_spectrum",
}
"""Name -> where it is. New map = one file + one line."""


def maps_of(picture: Picture, names: Iterable[str] = tuple(MAPS), past: Past | None = None) -> tuple[Evidence, ...]:
    """One piece of evidence a name, in the order given; a picture that is too small for a map gets a sentence alone.

    `past` is `past_of(picture)`, where the caller has it already. Each map costs four bytes a pixel for as long as it
    is kept; ask for one name at a time where pictures are large.
    """
    several = [look_up(MAPS, name, "map") for name in names]
    past = past_of(picture) if past is None else past
    return tuple(one(picture, past) for one in several)
