"""The one JPEG setting, and its neighbours WebP and PNG: pixels to file bytes, and round trips through them.

A JPEG from here is baseline, has the standard (IJG) quantisation tables and default Huffman tables, a JFIF header and
no other metadata; quality and chroma subsampling are always said. Two files written by two settings differ in more
than quality, and a detector learns the difference, so nothing else in the package may
write a JPEG. `swapped=True` is the exception that a reference needs: see `jpeg_roundtrip`.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.core.names import nearest
from fauxlens.images.shapes import Pixels, require_rgb, require_rgb_or_mask

SUBSAMPLINGS: tuple[str, ...] = ("4:4:4", "4:2:2", "4:2:0")
"""Chroma subsamplings that can be written."""

_READERS: dict[bytes, Callable[[io.BytesIO], Image.Image]] = {
    b"\xff\xd8": JpegImageFile,
    b"\x89P": PngImageFile,
    b"RI": WebPImageFile,
}
_JPEG_LONGEST = 65500
_WEBP_LONGEST = 16383


def encode_jpeg(pixels: Pixels, quality: int = 95, subsampling: str = "4:2:0") -> bytes:
    """(H, W, 3) uint8 -> the bytes of a baseline JPEG."""
    require_rgb(pixels, "encode_jpeg")
    quality = checked_quality(quality)
    _check_subsampling(subsampling)
    _check_longest(pixels, _JPEG_LONGEST, "JPEG")
    with io.BytesIO() as stream:
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            stream, "JPEG", quality=quality, subsampling=subsampling, optimize=False, progressive=False
        )
        return stream.getvalue()


def encode_webp(pixels: Pixels, quality: int = 95, *, lossless: bool = False) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a WebP; `quality` says nothing when `lossless`."""
    require_rgb(pixels, "encode_webp")
    quality = checked_quality(quality)
    _check_longest(pixels, _WEBP_LONGEST, "WebP")
    with io.BytesIO() as stream:
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        # In the lossless mode "quality" is effort: held fixed, so that equal pixels give equal bytes.
        picture.save(stream, "WEBP", quality=75 if lossless else quality, lossless=lossless, method=4)
        return stream.getvalue()


def encode_png(pixels: Pixels) -> bytes:
    """(H, W, 3) or (H, W) uint8 -> the bytes of a PNG without metadata."""
    require_rgb_or_mask(pixels, "encode_png")
    with io.BytesIO() as stream:
        Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG", compress_level=6)
        return stream.getvalue()


def jpeg_roundtrip(pixels: Pixels, quality: int = 95, subsampling: str = "4:2:0", *, swapped: bool = False) -> Pixels:
    """What is left of the pixels after a JPEG.

    With `swapped`, red and blue are exchanged on the way in and on the way out, and OpenCV does both, as in ImagiNet's
    reference (albumentations 1.3.1 hands RGB to OpenCV, which takes it for BGR). The picture looks right, but luma and
    chroma were computed with red and blue confused, so the coding noise is another one.
    """
    if swapped:
        return _swapped_jpeg_roundtrip(pixels, quality, subsampling)
    return decode_own(encode_jpeg(pixels, quality, subsampling))


def webp_roundtrip(pixels: Pixels, quality: int = 95, *, lossless: bool = False, swapped: bool = False) -> Pixels:
    """What is left of the pixels after a WebP; for `swapped` see `jpeg_roundtrip`."""
    if not swapped:
        return decode_own(encode_webp(pixels, quality, lossless=lossless))
    import cv2

    require_rgb(pixels, "webp_roundtrip")
    _check_longest(pixels, _WEBP_LONGEST, "WebP")
    # OpenCV's scale has one more step: any quality above 100 is lossless.
    level = 101 if lossless else checked_quality(quality)
    return _through_opencv(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, level])


def decode_own(data: bytes) -> Pixels:
    """(H, W, 3) uint8 of bytes that this module wrote; files from elsewhere are read by `fauxlens.images.picture`."""
    # Straight to the format's reader: Image.open guards against bombs, and what we have just written is none, however
    # large; lifting its limit would be a global edit.
    try:
        with _READERS[data[:2]](io.BytesIO(data)) as picture:
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except Image.DecompressionBombError as bomb:
        # Pillow's WebP reader has a guard of its own, from 179 megapixels on.
        raise BadShape(
            "a WebP too large to be read back", got=str(bomb), hint="use JPEG or PNG, or resize first"
        ) from None


def checked_quality(quality: int) -> int:
    """`quality` as a plain int within 1..100, or BadSetting."""
    try:
        level = operator.index(quality)
    except TypeError:
        raise BadSetting("quality must be a whole number", wanted="1 to 100", got=repr(quality)) from None
    if isinstance(quality, bool) or not 1 <= level <= 100:
        raise BadSetting("quality is out of range", wanted="1 to 100", got=quality)
    return level


def _swapped_jpeg_roundtrip(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    import cv2

    require_rgb(pixels, "jpeg_roundtrip")
    _check_subsampling(subsampling)
    _check_longest(pixels, _JPEG_LONGEST, "JPEG")
    factor = {
        "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    }[subsampling]
    settings = [cv2.IMWRITE_JPEG_QUALITY, checked_quality(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, int(factor)]
    return _through_opencv(".jpg", pixels, settings)


def _check_subsampling(subsampling: str) -> None:
    if subsampling not in SUBSAMPLINGS:
        raise BadSetting(
            f"no chroma subsampling called '{subsampling}'",
            hint=f"{nearest(str(subsampling), SUBSAMPLINGS)}There are: {', '.join(SUBSAMPLINGS)}",
        )


def _check_longest(pixels: Pixels, longest: int, container: str) -> None:
    if max(pixels.shape) > longest:
        raise BadShape(
            f"too large for a {container}",
            wanted=f"at most {longest} pixels a side",
            got=f"{pixels.shape[0]} x {pixels.shape[1]}",
            hint="write a PNG, or resize first",
        )


def _through_opencv(suffix: str, pixels: Pixels, settings: list[int]) -> Pixels:
    import cv2

    # Handing RGB to a function that expects BGR is the point here, in both directions.
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), settings)
    if not done:
        raise BadShape(f"OpenCV could not encode {suffix}", got=f"{pixels.shape} {pixels.dtype}")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
