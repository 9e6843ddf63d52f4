"""What of pictures and maps a page carries: copies of bounded size, maps whose transparency is tied to strength."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fauxlens.core.errors import BadShape, FauxlensError
from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.images.resample import resize_longest

Pixels = NDArray[np.uint8]

SIDE = 4096
"""The longer side of the picture on a page: twelve megapixels are shown pixel by pixel."""

BYTES = 6_000_000
"""What the picture may weigh on a page; beyond it, it is saved at lower quality, then made smaller."""

MAP_SIDE = 1024
THUMB_SIDE = 144

_EXACT_UP_TO = 1 << 18  # pixels: small pictures are kept as they are
_SHADES = 64  # of a map: more cannot be told apart, and cost bytes
_CLEAREST = 0.85  # the strongest place still lets the picture through
_PATHS, _POINTS = 400, 20_000  # an outline of noise must not outweigh the picture


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture as a page carries it."""

    data: bytes
    media_type: str
    width: int
    height: int
    quality: int | None  # None: every pixel is what it was

    @property
    def suffix(self) -> str:
        """Of a file that holds it."""
        return ".png" if self.media_type == "image/png" else ".jpg"


@dataclass(frozen=True, slots=True)
class Outline:
    """The edge of what is marked, as the `d` of an SVG path in pixels of `width` x `height`."""

    path: str
    width: int
    height: int
    left_out: int  # specks too many to draw


def copy_of(pixels: Pixels, *, side: int = SIDE, most: int = BYTES) -> Copy:
    """(H, W, 3) uint8 -> what a page carries of it: the same pixels where they are few, else a bounded JPEG."""
    height, width = pixels.shape[:2]
    if height * width <= _EXACT_UP_TO:
        return Copy(encode_png(pixels), "image/png", width, height, None)
    longest = min(side, max(height, width))
    while True:
        shown = resize_longest(pixels, longest, "box", enlarge=False)
        for quality in (90, 80):
            data = encode_jpeg(shown, quality, "4:4:4" if quality == 90 else "4:2:0")
            if len(data) <= most or longest <= 64:
                return Copy(data, "image/jpeg", shown.shape[1], shown.shape[0], quality)
        longest = max(64, longest * 3 // 4)


def thumb_of(pixels: Pixels) -> bytes:
    """A small JPEG for a list."""
    return encode_jpeg(resize_longest(pixels, THUMB_SIDE, "box", enlarge=False), 75)


def map_png(strength: Pixels, *, side: int = MAP_SIDE) -> bytes:
    """(H, W) uint8 -> a small PNG in the colours of `inferno`, the weaker the more transparent."""
    if strength.ndim != 2 or strength.dtype != np.uint8:
        raise BadShape("a map is one number a pixel", wanted="(H, W) uint8", got=f"{strength.shape} {strength.dtype}")
    strength = resize_longest(strength, side, "box", enlarge=False)
    shades = ((strength.astype(np.uint16) * (_SHADES - 1) + 127) // 255).astype(np.uint8)
    colours = palette()
    picture = Image.fromarray(shades)
    # Numbers of a palette, as they stand: no conversion, which would look for other colours.
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette(colours[:, :3].tobytes())
    with io.BytesIO() as stream:
        picture.save(stream, "PNG", transparency=colours[:, 3].tobytes(), compress_level=9)
        return stream.getvalue()


def palette() -> NDArray[np.uint8]:
    """(64, 4) RGBA: inferno from weak to strong, transparency tied to strength."""
    share = np.arange(_SHADES) / (_SHADES - 1)
    levels = np.rint(share * 255).astype(np.uint8)[None]
    rgb = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)[0]
    alpha = np.rint(_CLEAREST * share * 255).astype(np.uint8)
    return cast(Pixels, np.concatenate([rgb, alpha[:, None]], axis=1).astype(np.uint8))


def outline_of(strength: Pixels, level: float, *, side: int = MAP_SIDE) -> Outline:
    """(H, W) uint8 -> the edge of what lies above `level` (0 to 1)."""
    strength = resize_longest(strength, side, "box", enlarge=False)
    height, width = strength.shape
    found = contours_of(strength, level)
    found.sort(key=cv2.contourArea, reverse=True)
    path, points, drawn = [], 0, 0
    for one in found[:_PATHS]:
        corners = cv2.approxPolyDP(one, 0.7, closed=True)[:, 0]
        points += len(corners)
        if points > _POINTS and drawn:
            break
        drawn += 1
        path.append("M" + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in corners.tolist()) + "Z")
    return Outline("".join(path), width, height, len(found) - drawn)


def contours_of(strength: Pixels, level: float) -> list[NDArray[np.int32]]:
    """The edges of what lies above `level`, holes included."""
    above = (strength > level * 255).astype(np.uint8)
    found, _ = cv2.findContours(above, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return [one.astype(np.int32, copy=False) for one in found]


def outlined(pixels: Pixels, strength: Pixels, level: float) -> Pixels:
    """The picture with the edge drawn as a double line, light and dark, so that it survives printing in grey."""
    drawn = np.ascontiguousarray(pixels).copy()
    found = contours_of(strength, level)
    # Two pixels wide each where the picture is shown at about a thousand pixels.
    unit = max(1, round(max(pixels.shape[:2]) / 1000))
    cv2.drawContours(drawn, found, -1, (255, 255, 255), 6 * unit)
    cv2.drawContours(drawn, found, -1, (0, 0, 0), 2 * unit)
    return drawn


def grey_of(data: bytes) -> Pixels:
    """The bytes of a map of ours -> (H, W) uint8."""
    return _decoded(data, cv2.IMREAD_GRAYSCALE)


def colours_of(data: bytes) -> Pixels:
    """The bytes of a copy of ours -> (H, W, 3) uint8, an eighth of the size where it is large: for a small one."""
    width, height = size_of(data)
    large = max(width, height) > 8 * THUMB_SIDE
    pixels = _decoded(data, cv2.IMREAD_REDUCED_COLOR_8 if large else cv2.IMREAD_COLOR)
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture of ours, from its head."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def _decoded(data: bytes, how: int) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    if pixels is None:
        raise FauxlensError("a picture beside the report can no longer be read", hint="run it again")
    return cast(Pixels, pixels)
