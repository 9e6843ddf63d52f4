"""Which photos measure a part of the forge that learns from photos: those of a split that it does not learn from."""

from __future__ import annotations

import logging

import pyarrow.compute as pc

from fauxlens.manifest.manifest import Manifest

log = logging.getLogger(__name__)

INSTEAD = {"devtest": "val"}
"""The split that measures where there is no real photo of another: the recipes that come along were run on photos with
a split of their own for it, `devtest`; `fauxlens split` makes train, val and test."""


def real_photos(manifest: Manifest, split: str) -> Manifest:
    """The usable real photos of a split."""
    real = manifest.usable().where("real photos", pc.field("label") == "real")
    return real.where(f"split {split}", pc.field("split") == split)


def held_back(manifest: Manifest, split: str, *, learnt_from: str) -> str:
    """The split to measure with: `split`, or what takes its place where that has no real photo and the other has some.

    What is learnt from never takes it.
    """
    other = INSTEAD.get(split, split)
    if other in (split, learnt_from) or len(real_photos(manifest, split)) or not len(real_photos(manifest, other)):
        return split
    log.info("no real photo of split '%s': measured on those of '%s'", split, other)
    return other


def splits_of_reals(manifest: Manifest) -> str:
    """The splits that have a real photo, for an error that names them."""
    real = manifest.usable().where("real photos", pc.field("label") == "real")
    return ", ".join(str(split) for (split,) in real.count("split") if split is not None) or "none"


def where_photos_come_from(setting: str) -> str:
    """What to do when a split has no real photo."""
    return (
        "`fauxlens split` gives a manifest splits; or name a split that there is as "
        f"`{setting}` in a recipe of your own that `extends` this one"
    )
