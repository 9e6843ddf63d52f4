"""Names and folders of a forged set: those of the BR-Gen release, so that what reads the one reads the other.

    RealImage/<Source>/<Source>_image_list.txt, <Source>_<stem>.png     the real photos
    <MaskType>/<Method>/<Method>_<MaskType>_<Source>_<stem>.png          the forgeries
    <MaskType>/Mask/<Method>_<MaskType>_<Source>_<stem>_mask.png         what was made anew, white
    Au/<MaskType>/<Method>/...                                           real twins, where a recipe makes them
    Regenerated/<MaskType>/...                                           whole made frames, where a recipe keeps them
    train.json, val.json, test.json                                      [picture, mask or "Negative"]

Method, mask type and source are one word each; the stem may hold underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_KNOWN_SOURCES = {"coco": "COCO", "imagenet": "ImageNet", "places": "Places", "places2": "Places"}


def source_word(source: str) -> str:
    """The source as one word of a file name.

    >>> source_word("imagenet_samples"), source_word("coco"), source_word("")
    ('ImagenetSamples', 'COCO', 'Photos')
    """
    if known := _KNOWN_SOURCES.get(source.lower()):
        return known
    words = re.split(r"[^A-Za-z0-9]+", source)
    return "".join(word[:1].upper() + word[1:] for word in words if word) or "Photos"


def type_word(mask_type: str) -> str:
    """The mask type as file names say it.

    >>> type_word("stuff")
    'Stuff'
    """
    return mask_type.capitalize()


def stems_of(photos: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """(id, source word, file stem) of every photo -> id -> a stem that no other photo of its source has.

    >>> stems_of([("1a2b3c4d", "COCO", "a b"), ("9f8e7d6c", "COCO", "a b"), ("5555", "COCO", "c")])
    {'1a2b3c4d': 'a-b-1a2b3c', '9f8e7d6c': 'a-b-9f8e7d', '5555': 'c'}
    """
    clean = [(id, source, re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-") or "photo") for id, source, stem in photos]
    counts: dict[tuple[str, str], int] = {}
    for _, source, stem in clean:
        # Some file systems know no capitals, so names are compared without.
        counts[source, stem.lower()] = counts.get((source, stem.lower()), 0) + 1
    return {id: stem if counts[source, stem.lower()] == 1 else f"{stem}-{id[:6]}" for id, source, stem in clean}


def unit_names(method: str, mask_type: str, source: str, stem: str) -> dict[str, str]:
    """Where the files of one unit go, without suffix."""
    kind = type_word(mask_type)
    name = f"{method}_{kind}_{source}_{stem}"
    return {
        "spliced": f"{kind}/{method}/{name}",
        "regenerated": f"Regenerated/{kind}/{method}/{name}",
        "mask": f"{kind}/Mask/{name}_mask",
        "twin": f"Au/{kind}/{method}/{name}",
    }


def real_name(source: str, stem: str) -> str:
    """Where a real photo goes, without suffix.

    >>> real_name("COCO", "0001")
    'RealImage/COCO/COCO_0001'
    """
    return f"RealImage/{source}/{source}_{stem}"
