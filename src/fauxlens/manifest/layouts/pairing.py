"""Pictures and masks in two folders, paired by name; and where pairing by position would have gone wrong.

The reference loader sorts `Tp` and `Gt` and pairs the first with the first. One missing file then shifts every mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fauxlens.manifest.layouts.class_names import without_mask_suffix
from fauxlens.manifest.layouts.layout import counted, stem_of


@dataclass(frozen=True, slots=True)
class Pairing:
    """Masks by picture; what has no partner; `remarks` say where positions disagree with names."""

    mask_of: Mapping[str, str]
    without_mask: Sequence[str]
    without_picture: Mapping[str, str]
    remarks: Sequence[str]


def pair_by_name(where: str, pictures: Sequence[str], masks: Sequence[str]) -> Pairing:
    """Pair each picture with the mask of its stem, or of its stem and a mask suffix (`_mask`, `_gt`, ...).

    >>> pair_by_name("set", ["Tp/a.png"], ["Gt/a_mask.png"]).mask_of
    {'Tp/a.png': 'Gt/a_mask.png'}
    """
    by_stem: dict[str, list[str]] = {}
    for mask in masks:
        stem = stem_of(mask)
        # A picture may itself be called `x_mask`: the full stem comes first.
        by_stem.setdefault(stem, []).insert(0, mask)
        if (plain := without_mask_suffix(stem)) != stem:
            by_stem.setdefault(plain, []).append(mask)
    mask_of: dict[str, str] = {}
    used: set[str] = set()
    for picture in pictures:
        free = [mask for mask in by_stem.get(stem_of(picture), ()) if mask not in used]
        if free:
            mask_of[picture] = free[0]
            used.add(free[0])
    stems = {stem_of(picture) for picture in pictures}
    without_picture = {}
    for mask in masks:
        if mask not in used:
            taken = {stem_of(mask), without_mask_suffix(stem_of(mask))} & stems
            without_picture[mask] = "a second mask of one picture" if taken else "a mask without a picture of its name"
    without_mask = [picture for picture in pictures if picture not in mask_of]
    remarks = []
    if len(pictures) != len(masks):
        remarks.append(
            f"{where}: {counted(len(pictures), 'picture')} but {counted(len(masks), 'mask')}; "
            "the reference loader would refuse it or shift the masks"
        )
    shifted = [
        (picture, mask) for picture, mask in zip(sorted(pictures), sorted(masks), strict=False)
        if picture in mask_of and mask_of[picture] != mask
    ]  # fmt: skip
    if shifted:
        picture, mask = shifted[0]
        remarks.append(
            f"{where}: pairing by position, as the reference does, gives {counted(len(shifted), 'picture')} the mask "
            f"of another (first: {picture} would get {mask}); paired by name instead"
        )
    return Pairing(mask_of, without_mask, without_picture, remarks)
