"""One image on disk and what is known about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a manifest. `path` and `mask_path` are relative to the manifest's root; unknown is None.

    >>> Sample(id="a", path="real/a.jpg", label="real").fake
    False
    """

    id: str
    path: str
    label: str
    mask_path: str | None = None
    generator: str | None = None
    family: str | None = None
    method: str | None = None
    mask_type: str | None = None
    variant: str | None = None
    content: str | None = None
    source: str | None = None
    split: str | None = None
    origin: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    jpeg_quality: int | None = None
    jpeg_quality_exact: bool | None = None
    subsampling: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    phash: int | None = None
    licence: str | None = None
    notes: str | None = None
    status: str | None = "ok"
    jpeg_quality_distance: float | None = None
    progressive: bool | None = None
    bit_depth: int | None = None
    colour: str | None = None
    metadata: str | None = None

    @property
    def fake(self) -> bool:
        """Whether any part of it was made by a machine: generated or edited."""
        return self.label != "real"


def sample_id(source: str | None, path: str) -> str:
    """The stable id of an image: source and relative path, hashed.

    >>> sample_id("coco", "a/b.jpg")
    'cb4ed924616df83f'
    """
    return hashlib.sha256(f"{source or ''}|{path}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
