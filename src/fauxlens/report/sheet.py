"""A contact sheet: small pictures in rows with captions, as one PNG for a report."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fauxlens.core.report import Figure

_GAP, _TEXT = 8, 15


def contact_sheet(
    name: str,
    title: str,
    rows: Sequence[Sequence[tuple[str, NDArray[np.uint8]]]],
    *,
    side: int = 150,
    note: str | None = None,
) -> Figure:
    """Rows of (caption, (H, W, 3) uint8) -> one figure; each picture fits a square of `side` pixels."""
    columns = max((len(row) for row in rows), default=1)
    cell_width, cell_height = side + _GAP, side + _TEXT + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, max(len(rows), 1) * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    captions: list[str] = []
    for row_number, row in enumerate(rows):
        for column, (caption, pixels) in enumerate(row):
            captions.append(caption)
            left, top = _GAP + column * cell_width, _GAP + row_number * cell_height
            small = Image.fromarray(pixels)
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
            draw.text((left, top + side + 1), _fitted(caption, font, side), fill="black", font=font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    shown = "; ".join(dict.fromkeys(captions))
    return Figure(name, title, f"Small pictures: {shown}", "image/png", stream.getvalue(), note)


def _fitted(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(caption) <= width:
        return caption
    while caption and font.getlength(caption + "…") > width:
        caption = caption[:-1]
    return caption + "…"
