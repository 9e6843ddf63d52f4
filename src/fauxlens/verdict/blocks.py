"""The 8 x 8 blocks of a picture and their cosine coefficients, as a JPEG encoder saw them.

They are computed from decoded pixels, for every format alike: what the file itself stores is lost in decoding, but for
a rounding of about a fifth of a grey level, which every reader of them has to bear. Luma only.
"""

from __future__ import annotations

from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.images.picture import Picture
from fauxlens.images.quality import zigzag

Values = NDArray[np.float32]

# A JPEG's grid lies on the picture as it is stored; these undo what was done to show it upright.
_WEIGHTS = np.array([[0.299, 0.587, 0.114]], dtype=np.float32)


def luma_of(picture: Picture) -> Values:
    """(H, W) brightness, -128 to 127, of the picture as its file stores it: before it was turned upright."""
    pixels = _stored(picture.pixels, _orientation(picture))
    height, width = pixels.shape[:2]
    found = np.empty((height, width), dtype=np.float32)
    # Strip by strip: three colours of a large picture in floating point would be twelve bytes a pixel.
    for top in range(0, height, 256):
        strip = np.ascontiguousarray(pixels[top : top + 256]).astype(np.float32)
        found[top : top + 256] = cv2.transform(strip, _WEIGHTS).reshape(strip.shape[:2])
    found -= 128
    return found


def upright(stored: Values, picture: Picture) -> Values:
    """A map over the stored picture as a map over the picture that is shown."""
    return np.ascontiguousarray(_turned(stored, _orientation(picture)))


@cache
def basis(count: int) -> Values:
    """(64, count): the first `count` cosine patterns in zigzag order, as columns over the pixels of a block.

    >>> round(float(basis(1)[0, 0]), 3), basis(64).shape
    (0.125, (64, 64))
    """
    return np.ascontiguousarray(np.kron(waves(), waves())[list(zigzag()[:count])].T.astype(np.float32))


@cache
def waves() -> NDArray[np.float64]:
    """(8 frequencies, 8 pixels): the cosine patterns of a row; those of a block are their products."""
    place, frequency = np.arange(8), np.arange(8)[:, None]
    scale = np.where(frequency == 0, np.sqrt(1 / 8), 0.5)
    return np.asarray(np.cos((2 * place + 1) * frequency * np.pi / 16) * scale)


def coefficients(luma: Values, count: int) -> Values:
    """(blocks down, blocks across, count) of the whole blocks from the upper left corner on; edges are left out."""
    down, across = luma.shape[0] // 8, luma.shape[1] // 8
    blocks = luma[: down * 8, : across * 8].reshape(down, 8, across, 8).transpose(0, 2, 1, 3).reshape(-1, 64)
    return (blocks @ basis(count)).reshape(down, across, count)


def tiles(luma: Values, side: int = 160, each_way: int = 3) -> list[Values]:
    """A sample of a picture: all of it where it is small, else tiles spread evenly, their corners on multiples of 8."""
    height, width = luma.shape
    if height * width <= (side * each_way) ** 2:
        return [luma]
    rows, columns = _spread(height, side, each_way), _spread(width, side, each_way)
    return [luma[top : top + side, left : left + side] for top in rows for left in columns]


def over_the_picture(by_block: Values, height: int, width: int) -> Values:
    """A value a block -> (H, W): interpolated between centres of blocks, the last one kept where none is whole."""
    down, across = by_block.shape
    inside = cv2.resize(by_block.astype(np.float32), (across * 8, down * 8), interpolation=cv2.INTER_LINEAR)
    if inside.shape == (height, width):
        return cast(Values, inside)
    below, right = height - down * 8, width - across * 8
    return cast(Values, cv2.copyMakeBorder(inside, 0, below, 0, right, cv2.BORDER_REPLICATE))


def _spread(length: int, side: int, count: int) -> list[int]:
    room = length - side
    if room <= 0:
        return [0]
    return sorted({int(at) // 8 * 8 for at in np.linspace(0, room, count)})


def _orientation(picture: Picture) -> int:
    # The decoders of the other containers hand out upright pictures, and none of them has a grid of eight.
    facts = picture.facts
    return facts.orientation if facts is not None and facts.format == "jpeg" else 1


def _turned(array: Values, orientation: int) -> Values:
    """Stored -> shown, as EXIF means the eight orientations."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    # After the exchange of the axes 6 and 8 are quarter turns, 5 is the plain exchange and 7 the other diagonal.
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _stored(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Shown -> stored. The quarter turns are each other's inverse, all others their own."""
    return cast(NDArray[np.uint8], _turned(cast(Values, pixels), {6: 8, 8: 6}.get(orientation, orientation)))
