"""Annotation files: pictures whose pixels are numbers of classes, and the lists of what the numbers mean."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fauxlens.core.errors import BadSetting, BadShape, UnreadableImage

_MOST_HALF_TONES = 0.1

Labels: TypeAlias = npt.NDArray[np.int32]
"""(H, W) int32: the number of a class, or of a segment, at each pixel."""


def read_labels(path: Path) -> Labels:
    """(H, W) numbers of a grey, 16-bit or palette PNG; of a palette the indices are read, not the colours."""
    values = _read(path, ("L", "P", "1", "I", "I;16", "I;16B"), "a grey or palette picture of class numbers")
    return values.astype(np.int32)


def read_segments(path: Path) -> Labels:
    """(H, W) segment numbers of a panoptic PNG: R + 256 G + 65536 B."""
    colours = _read(path, ("RGB", "RGBA"), "an RGB picture of segment numbers").astype(np.int32)
    return np.asarray(colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2], dtype=np.int32)


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """(H, W) bool of a mask picture: above one half of white, or above 0 in one that holds only 0 and 1.

    A photo that lies where a mask was looked for is refused: soft edges are welcome, half tones all over are not.
    """
    values = _read(path, ("L", "P", "1", "I", "I;16", "I;16B", "RGB", "RGBA", "LA"), "a mask")
    grey = values if values.ndim == 2 else values[..., :3].max(axis=2) if values.shape[2] > 2 else values[..., 0]
    top = int(grey.max())
    # Sixteen bits a pixel, eight, or the plain 0 and 1 that some tools write.
    white = 65535 if top > 255 else 255 if top > 1 else 1
    between = float(((grey > 0.1 * white) & (grey < 0.9 * white)).mean())
    coloured = values.ndim == 3 and values.shape[2] > 2 and bool((values[..., :3] != values[..., :1]).any())
    if coloured or between > _MOST_HALF_TONES:
        raise BadShape(
            "not a mask but a picture",
            where=path,
            wanted="black and white",
            got="colours" if coloured else f"{between:.0%} half tones",
            hint="point `root` at the folder with the masks alone",
        )
    return np.asarray(grey * 2.0 > white, dtype=np.bool_)


def require_same_shape(size: tuple[int, int], photo: tuple[int, int], where: object) -> None:
    """Refuse an annotation of `size` for a photo of another aspect ratio; a pixel of rounding is allowed on each side.

    >>> require_same_shape((427, 640), (67, 100), "a.png")
    >>> require_same_shape((640, 427), (427, 640), "a.png")
    Traceback (most recent call last):
    ...
    fauxlens.core.errors.BadShape: a.png: the annotation has another shape than the photo (wanted the aspect ratio of \
640 x 427, got 427 x 640). Next: turn the annotation as the photo's orientation tag says
    """
    height, width = size
    photo_height, photo_width = photo
    # One pixel on each side of the smaller of the two, as seen from the larger.
    slack = max(height + width, photo_height + photo_width)
    if abs(photo_width * height - photo_height * width) <= slack:
        return
    turned = abs(photo_height * height - photo_width * width) <= slack
    raise BadShape(
        "the annotation has another shape than the photo",
        where=where,
        wanted=f"the aspect ratio of {photo_width} x {photo_height}",
        got=f"{width} x {height}",
        hint="turn the annotation as the photo's orientation tag says"
        if turned
        else "give the photos from which the annotations were made, resized or not, but never cropped",
    )


@dataclass(frozen=True, slots=True)
class ClassName:
    """What one number of a label map means. `stuff` is None where the list does not say."""

    names: tuple[str, ...]  # with synonyms, the usual name first
    stuff: bool | None = None


def read_names(path: Path) -> dict[int, ClassName]:
    """Number -> class of a list of names.

    Two forms are read: a table with a header (commas or tabs) that has a column `name`, and may have `idx` for the
    number and `stuff` with 0 or 1; or one name a line, the first of which is number 1. Synonyms stand behind a
    semicolon, or a comma where that does not separate columns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as bad:
        raise BadSetting("a list of class names that cannot be read", where=path, got=bad) from bad
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadSetting("an empty list of class names", where=path)
    delimiter = "\t" if "\t" in lines[0] else ","
    header = [cell.strip().lower() for cell in lines[0].split(delimiter)]
    if "name" not in header:
        return {number: ClassName(_synonyms(line)) for number, line in enumerate(lines, start=1)}
    found: dict[int, ClassName] = {}
    for row_number, row in enumerate(csv.DictReader(io.StringIO("\n".join(lines)), delimiter=delimiter), start=1):
        cells = {
            str(key).strip().lower(): (value or "").strip() for key, value in row.items() if isinstance(value, str)
        }
        try:
            number = int(cells["idx"]) if "idx" in cells else row_number
            stuff = bool(int(cells["stuff"])) if "stuff" in cells else None
        except ValueError as bad:
            line = f"line {row_number + 1}"
            raise BadSetting(
                "a number that is none", where=f"{path}, {line}", wanted="idx, stuff: 0, 1, 2 ..."
            ) from bad
        found[number] = ClassName(_synonyms(cells.get("name", "")), stuff)
    return found


def _synonyms(cell: str) -> tuple[str, ...]:
    parts = cell.replace(";", ",").split(",")
    return tuple(part.strip() for part in parts if part.strip()) or ("",)


def _read(path: Path, modes: tuple[str, ...], wanted: str) -> npt.NDArray[Any]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode = image.mode
            if mode not in modes:
                raise BadShape(
                    "not the sort of picture an annotation is", where=path, wanted=wanted, got=f"mode {mode}"
                )
            return np.asarray(image)
    except FileNotFoundError as gone:
        raise UnreadableImage("no such annotation", reason="missing", where=path) from gone
    except UnidentifiedImageError as bad:
        raise UnreadableImage("an annotation that is no PNG", reason="not-an-image", where=path) from bad
    except (OSError, SyntaxError, ValueError) as bad:
        if isinstance(bad, BadShape):
            raise
        raise UnreadableImage("a damaged annotation", reason="corrupt", where=path, got=bad) from bad
