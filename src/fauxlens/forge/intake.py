"""Photos as the forge sees them: decoded, upright, within the recipe's size. Read the same way at every stage."""

from __future__ import annotations

from pathlib import Path

from fauxlens.core.errors import BadShape
from fauxlens.forge.recipe import Photos
from fauxlens.forge.region import Photo
from fauxlens.images.limits import DEFAULT_LIMITS
from fauxlens.images.picture import decode, read_file
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels


def read_photo(root: Path, path: str, plan: Photos, *, id: str, source: str = "", content: str | None = None) -> Photo:
    """Read, check and shrink one photo."""
    picture = decode(read_file(root / path, limits=DEFAULT_LIMITS), limits=DEFAULT_LIMITS, where=path)
    pixels = fitted(picture.pixels, plan.longest)
    if min(pixels.shape[:2]) < plan.shortest:
        height, width = pixels.shape[:2]
        raise BadShape(
            "a photo too small to forge",
            where=path,
            wanted=f"sides of at least {plan.shortest}",
            got=f"{width} x {height}",
            hint="leave it out, or set photos.shortest in the recipe",
        )
    return Photo(id, pixels, source=source, path=path, content=content)


def fitted(pixels: Pixels, longest: int | None) -> Pixels:
    """Shrunk so that the longest side is `longest`; never enlarged."""
    height, width = pixels.shape[:2]
    if longest is None or max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "lanczos")
