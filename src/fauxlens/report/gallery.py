"""A gallery of masks: picture, truth and what detectors marked, side by side, with the scale of the colours."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fauxlens.core.report import Figure

_GAP, _HEAD, _TEXT, _FONT = 10, 26, 22, 15
_SIDE, _SCALE = 190, 26


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One picture (H, W, 3) uint8 with its truth (H, W) bool and the scores (H, W) of each detector by name."""

    caption: str
    picture: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    marked: Mapping[str, NDArray[np.float32] | None]


def mask_gallery(name: str, title: str, exhibits: Sequence[Exhibit], *, note: str | None = None) -> Figure:
    """One row a picture: the picture, the truth (white is fake), and each detector's scores in cividis, 0 to 1."""
    detectors = list(dict.fromkeys(one for exhibit in exhibits for one in exhibit.marked))
    heads = ["picture", "truth", *detectors]
    rows = [_cells(exhibit, detectors) for exhibit in exhibits]
    heights = [max(cell.height for cell in row if cell is not None) + _TEXT + _GAP for row in rows]
    width = len(heads) * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _GAP + _HEAD + sum(heights) + _SCALE + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_FONT)
    for column, head in enumerate(heads):
        draw.text((_GAP + column * (_SIDE + _GAP), _GAP), _fitted(head, font), fill="black", font=font)
    top = _GAP + _HEAD
    for one, row, height in zip(exhibits, rows, heights, strict=True):
        for column, cell in enumerate(row):
            left = _GAP + column * (_SIDE + _GAP)
            if cell is None:
                draw.text((left, top + 4), "no mask", fill="black", font=font)
            else:
                sheet.paste(cell, (left, top))
        draw.text(
            (_GAP, top + height - _TEXT - _GAP + 2),
            _fitted(one.caption, font, width - 2 * _GAP),
            fill="black",
            font=font,
        )
        top += height
    ramp = np.tile(np.linspace(0, 1, 240, dtype=np.float32), (14, 1))
    draw.text((_GAP, top), "score 0", fill="black", font=font)
    sheet.paste(Image.fromarray(_coloured(ramp)), (_GAP + 62, top + 3))
    draw.text((_GAP + 312, top), "1", fill="black", font=font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    told = "; ".join(one.caption for one in exhibits) or "none"
    alternative = f"Pictures with their truth and the scores of {', '.join(detectors) or 'no detector'}: {told}."
    return Figure(name, title, alternative, "image/png", stream.getvalue(), note)


def _cells(one: Exhibit, detectors: Sequence[str]) -> list[Image.Image | None]:
    grey = np.where(one.truth, 255, 0).astype(np.uint8)
    marks = [one.marked.get(detector) for detector in detectors]
    shown: list[NDArray[np.uint8] | None] = [one.picture, np.repeat(grey[..., None], 3, axis=2)]
    return [
        None if cell is None else _framed(cell) for cell in (*shown, *(m if m is None else _coloured(m) for m in marks))
    ]


def _framed(pixels: NDArray[np.uint8]) -> Image.Image:
    """As large as a cell, in a frame, since a mask that is all white would vanish in the page."""
    factor = (_SIDE - 2) / max(pixels.shape[:2])
    size = tuple(max(1, round(side * factor)) for side in (pixels.shape[1], pixels.shape[0]))
    # Enlarged pixels stay squares: nothing is smoothed that a detector did not smooth.
    how = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    framed = Image.new("RGB", (size[0] + 2, size[1] + 2), "#888888")
    framed.paste(Image.fromarray(pixels).resize(size, how), (1, 1))
    return framed


def _coloured(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    import matplotlib

    table: Any = matplotlib.colormaps["cividis"]
    return np.asarray(table(np.nan_to_num(np.clip(scores, 0, 1)), bytes=True)[..., :3], dtype=np.uint8)


def _fitted(text: str, font: Any, width: int = _SIDE) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
