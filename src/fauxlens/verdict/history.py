"""Signs that a picture was laundered: saved again, cropped after saving, resized, taken from a screen.

None of them speaks for a forgery. They say that traces may be gone, so that finding none means less. Each is `weak`,
but for a screenshot that three things speak for, and silence means only that this sign was not seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.verdict.blocks import tiles
from fauxlens.verdict.evidence import Evidence, Strength
from fauxlens.verdict.past import Past, past_of
from fauxlens.verdict.resampling import resampled
from fauxlens.verdict.spectrum import spectrum_of

SCREENS: frozenset[tuple[int, int]] = frozenset(
    (
        # Phones, upright.
        (640, 1136), (720, 1280), (720, 1600), (750, 1334), (828, 1792), (1080, 1920), (1080, 2160), (1080, 2220),
        (1080, 2280), (1080, 2340), (1080, 2400), (1080, 2408), (1125, 2436), (1170, 2532), (1179, 2556), (1206, 2622),
        (1242, 2208), (1242, 2688), (1284, 2778), (1290, 2796), (1320, 2868), (1440, 2560), (1440, 2960), (1440, 3040),
        (1440, 3088), (1440, 3120), (1440, 3200),
        # Tablets, upright.
        (1200, 1920), (1488, 2266), (1536, 2048), (1600, 2560), (1620, 2160), (1640, 2360), (1668, 2224),
        (1668, 2388), (2048, 2732),
        # Monitors and notebooks, shorter side first.
        (768, 1024), (768, 1366), (800, 1280), (864, 1536), (900, 1440), (900, 1600), (1024, 1280), (1050, 1680),
        (1080, 2560), (1440, 3440), (1600, 2560), (1800, 2880), (1964, 3024), (2160, 3840), (2234, 3456),
    )
)  # fmt: skip
"""(shorter, longer) side of common screens. Some are sizes of photos too, so a size alone is no sign."""

_LOSSLESS = frozenset(("png", "bmp", "tiff", "gif"))
_BAR_SHARE = 0.015
_FLAT_SHARE = 0.2
# Moire is narrow and stands far above its neighbourhood. The largest peak off the axes in photos of the development
# pictures is 5.7.
_MOIRE = 6.5


def history_of(picture: Picture, past: Past | None = None) -> tuple[Evidence, ...]:
    """The signs that were found, in the order of the checks; nothing where there is none.

    `past` is `past_of(picture)`, where the caller has it already.
    """
    past = past_of(picture) if past is None else past
    found = (check(picture, past) for check in _CHECKS)
    return tuple(one for one in found if one is not None)


def _saved_twice(picture: Picture, past: Past) -> Evidence | None:
    first = past.first
    if first is None:
        return None
    lower = past.own_quality is None or first.quality < past.own_quality
    quality = f" of quality about {first.quality}" if lower else ", probably of a higher quality,"
    return _sign(
        "double_jpeg",
        f"It was saved as JPEG{quality} before it was saved as this file, on the same grid.",
        "Saving twice is what most editors and services do, and the first saving may have been the camera's. An "
        "earlier quality that is higher than this file's is often missed, and its number is then a guess.",
        {"earlier_quality": first.quality, "quality": past.own_quality, "frequencies": first.frequencies,
         "gain": round(first.gain, 4)},
    )  # fmt: skip


def _other_grid(picture: Picture, past: Past) -> Evidence | None:
    grid = past.grid
    if grid is None or not past.is_jpeg:
        return None
    return _sign(
        "shifted_grid",
        f"Beside its own grid the file shows that of an earlier JPEG of quality about {grid.quality}, moved "
        f"{_place(grid.top, grid.left)}: it was cropped, or laid into another picture, after that.",
        "A crop is a harmless thing; only a sample of the picture was looked at, and a grid in a small part is missed.",
        _of_grid(past),
    )


def _was_jpeg(picture: Picture, past: Past) -> Evidence | None:
    grid = past.grid
    if grid is None or past.is_jpeg:
        return None
    kind = "The pixels show" if picture.facts is None else f"The file is no JPEG ({picture.facts.format}), but shows"
    moved = "" if (grid.top, grid.left) == (0, 0) else f", cropped since ({_place(grid.top, grid.left)})"
    return _sign(
        "jpeg_before",
        f"{kind} the grid of an earlier JPEG of quality about {grid.quality}{moved}.",
        "Converting a photo is harmless and common. The quality is that of the standard table which fits best.",
        _of_grid(past),
    )


def _resampled(picture: Picture, past: Past) -> Evidence | None:
    found = resampled(past.luma)
    if found is None:
        return None
    factors = " or ".join(f"{factor:g}" for factor in found.factors)
    return _sign(
        "resampled",
        f"Neighbouring pixels differ more and less in turn, with a period of {1 / found.frequency:.2f} pixels in rows "
        f"and columns, as after enlarging by {factors}, or after resizing something that was a JPEG.",
        "The frequency does not tell these apart. Shrinking with a good filter leaves no such sign, strong JPEG wipes "
        "it out, and decoders of generators that enlarge by two or four can leave it as well.",
        {"frequency": round(found.frequency, 4), "strength": round(found.strength, 2), "factors": list(found.factors)},
    )


def _screenshot(picture: Picture, past: Past) -> Evidence | None:
    facts = picture.facts
    size = (min(picture.width, picture.height), max(picture.width, picture.height))
    hints = []
    if size in SCREENS:
        hints.append(f"its size, {picture.width} x {picture.height}, is that of a screen")
    if facts is not None and "exif" not in facts.metadata and _is_lossless(picture):
        hints.append(f"it is a {facts.format.upper()} file without a camera's data")
    bars = _bars(picture)
    flat = _flat_share(past)
    if bars >= _BAR_SHARE:
        hints.append(f"rows of one exact colour, {bars:.0%} of the height, lie along its top or bottom")
    elif flat >= _FLAT_SHARE:
        hints.append(f"{flat:.0%} of it is of exactly one colour a block, as drawn surfaces are")
    if len(hints) < 2:
        return None
    return _sign(
        "screenshot",
        f"It may be a screenshot: {', and '.join(hints)}.",
        "Exported drawings, letterboxed pictures and wallpapers look the same; a screenshot that was cropped is "
        "missed.",
        {"hints": len(hints), "screen_size": size in SCREENS, "bars": round(bars, 4), "flat": round(flat, 4)},
        strength="strong" if len(hints) > 2 else "weak",
    )


def _recaptured(picture: Picture, past: Past) -> Evidence | None:
    spectrum = spectrum_of(past.luma)
    peaks = () if spectrum is None else spectrum.peaks
    off = [one for one in peaks if one.kind == "pattern" and not one.is_of_the_grid and not one.is_on_an_axis]
    if not off or off[0].strength < _MOIRE:
        return None
    period = 1 / float(np.hypot(off[0].across, off[0].down))
    return _sign(
        "recapture",
        f"A fine slanted pattern repeats every {period:.1f} pixels over the whole picture, as the moire of a "
        "photographed screen or print.",
        "Fabric, fences, blinds and printed halftones in the scene do the same, and most photographed screens show "
        "none.",
        {"across": round(off[0].across, 4), "down": round(off[0].down, 4), "strength": round(off[0].strength, 2)},
    )


_CHECKS: tuple[Callable[[Picture, Past], Evidence | None], ...] = (
    _saved_twice,
    _other_grid,
    _was_jpeg,
    _resampled,
    _screenshot,
    _recaptured,
)


def _sign(check: str, sentence: str, limit: str, details: dict[str, object], strength: Strength = "weak") -> Evidence:
    return Evidence(check, sentence, limit, leans="laundered", strength=strength, details=details)


def _of_grid(past: Past) -> dict[str, object]:
    grid = past.grid
    assert grid is not None
    return {"offset": [grid.top, grid.left], "earlier_quality": grid.quality, "score": round(grid.score, 1)}


def _place(top: int, left: int) -> str:
    return f"{top} rows down and {left} columns to the right"


def _is_lossless(picture: Picture) -> bool:
    facts = picture.facts
    return facts is not None and (facts.format in _LOSSLESS or (facts.format == "webp" and bool(facts.lossless)))


def _bars(picture: Picture) -> float:
    """The share of rows from the top and from the bottom that hold one exact colour each; 1 when all do."""
    pixels = picture.pixels
    if picture.width < 2:
        return 0.0
    bottom = _flat_rows(pixels[::-1])
    return 1.0 if bottom == picture.height else (bottom + _flat_rows(pixels)) / picture.height


def _flat_rows(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    for count, row in enumerate(pixels):
        if (row != row[0]).any():
            return count
    return len(pixels)


def _flat_share(past: Past) -> float:
    """The share of blocks of the sample that hold one value, pure black and white apart: those are over-exposure."""
    flat = blocks = 0
    for tile in tiles(past.luma):
        down, across = tile.shape[0] // 8, tile.shape[1] // 8
        cut = tile[: down * 8, : across * 8].reshape(down, 8, across, 8)
        low, high = cut.min((1, 3), initial=np.inf), cut.max((1, 3), initial=-np.inf)
        flat += int(((high - low < 0.01) & (low > -126) & (high < 125)).sum())
        blocks += down * across
    return flat / max(blocks, 1)
