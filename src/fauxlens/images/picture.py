"""A file to pixels, the same pixels every time: RGB uint8, upright, sRGB; and what was done to get there.

The rules (docs/decoding.md says why):

- EXIF orientation is applied; it is read by our own strict reader, so an unreadable block is a note, not a guess.
- An ICC profile that is not sRGB is converted to sRGB (relative colorimetric, with black point compensation); one that
  cannot be used is noted and the numbers are taken as sRGB. `colour="stored"` keeps the numbers, as most published
  detectors saw them.
- 16 bits a channel keep the high byte. Palettes are looked up. Grey becomes R = G = B. CMYK goes through its profile,
  or through Pillow's plain formula when it has none.
- Transparency is laid on white. Of an animation, the first frame.

Whatever of this happened stands in `Picture.notes`.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
import warnings
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, UnidentifiedImageError

from fauxlens.core.errors import BadShape, FauxlensError, MissingExtra, UnreadableImage
from fauxlens.core.optional import need
from fauxlens.images.facts import FileFacts, cannot_open, facts_of_bytes
from fauxlens.images.limits import DEFAULT_LIMITS, Limits

Pixels = NDArray[np.uint8]

# Only the decoder of the container that we recognised may look at the bytes: others would find other pictures in them.
_PILLOW_NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "heic": "HEIF",
}
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PLAIN_MODES = frozenset(("RGB", "L", "1"))
_ALPHA_MODES = frozenset(("RGBA", "LA", "PA", "La", "RGBa"))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """RGB pixels as a viewer shows them, with the file's facts.

    `pixels` is (H, W, 3) uint8 and read-only; `notes` are sentences on what decoding had to decide; `path` is None for
    pixels that come from no file.
    """

    pixels: Pixels
    facts: FileFacts | None = None
    notes: tuple[str, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise BadShape("a picture is RGB pixels", wanted="(H, W, 3) uint8", got=f"{pixels.shape} {pixels.dtype}")
        if pixels.flags.writeable:
            view = pixels.view()
            view.flags.writeable = False
            object.__setattr__(self, "pixels", view)

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])

    def __repr__(self) -> str:
        source = "" if self.path is None else f" from '{self.path}'"
        return f"Picture({self.width} x {self.height}{source})"


def read_picture(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    colour: Literal["srgb", "stored"] = "srgb",
) -> Picture:
    """Read and decode one image file. Raises UnreadableImage (with its `reason`) and nothing else for a bad file."""
    path = Path(path)
    data = read_file(path, limits=limits)
    return replace(decode(data, limits=limits, colour=colour, where=str(path)), path=path)


def read_file(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file that is no larger than the limit."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise cannot_open(OSError(errno.EINVAL, os.strerror(errno.EINVAL)), str(path))
        limits.check_bytes(about.st_size, str(path))
        return path.read_bytes()
    except UnreadableImage:
        raise
    except (OSError, ValueError) as bad:
        raise cannot_open(bad, str(path)) from bad


def decode(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    colour: Literal["srgb", "stored"] = "srgb",
    where: str = "bytes",
) -> Picture:
    """Decode a file that is in memory, by the rules at the top of this module."""
    limits.check_bytes(len(data), where)
    facts = facts_of_bytes(data, where)
    limits.check_pixels(facts.width, facts.height, where)
    if facts.format == "heic":
        _open_heic(where)
    try:
        with _pillow_settings:
            return _decode(data, facts, limits, colour, where)
    except FauxlensError:
        raise
    except Exception as bad:
        # Decoders meet hostile bytes and fail in a dozen ways (struct.error, zlib.error, SyntaxError, KeyError, ...);
        # whatever escapes them is a fault of the file, named as such.
        raise _decoding_failed(bad, data, facts, where) from bad


def _decode(data: bytes, facts: FileFacts, limits: Limits, colour: str, where: str) -> Picture:
    notes: list[str] = []
    if facts.format == "avif" and "exif" in facts.metadata:
        data = _without_exif_item(data)
    elif facts.format == "png":
        data = _without_long_texts(data, notes)
    with Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[facts.format]]) as image:
        # The decoder must see the picture that was let through, not a larger one hidden behind our header reader.
        limits.check_pixels(image.width, image.height, where)
        if getattr(image, "is_animated", False) and facts.format not in ("heic", "avif", "tiff", "jpeg"):
            notes.append(f"the first of {getattr(image, 'n_frames', 'several')} frames")
        elif getattr(image, "n_frames", 1) > 1:
            notes.append(f"the first of {getattr(image, 'n_frames', 'several')} pictures in the file")
        profile = image.info.get("icc_profile")
        if facts.format == "tiff" and facts.orientation != 1:
            notes.append(f"turned upright (orientation {facts.orientation})")
        # Pillow turns TIFFs while it loads them, and the decoder of HEIC has done it; everything else is our work.
        orientation = 1 if facts.format in ("heic", "tiff") else facts.orientation
        image.load()
        plain = _to_8_bit(image, facts, where, notes)
        rgb = _to_rgb(plain, profile if colour == "srgb" else None, notes)
        if colour == "stored" and profile:
            notes.append("the ICC profile was not applied, as asked")
        if orientation in _TRANSPOSE:
            rgb = rgb.transpose(_TRANSPOSE[orientation])
            notes.append(f"turned upright (orientation {orientation})")
    if facts.exif_error is not None:
        notes.append(f"the EXIF block is unreadable ({facts.exif_error}); the picture is taken as upright")
    pixels = np.array(rgb, dtype=np.uint8)
    if pixels.shape[:2] != (facts.height, facts.width):
        raise UnreadableImage(
            "the decoded picture has another size than the header says", reason="corrupt", where=where,
            wanted=f"{facts.width} x {facts.height}", got=f"{pixels.shape[1]} x {pixels.shape[0]}",
        )  # fmt: skip
    return Picture(pixels, facts, tuple(notes))


def _without_exif_item(avif: bytes) -> bytes:
    """An AVIF in whose list of items the EXIF block goes by another name.

    Pillow reads the block while it opens the file and gives the picture up if it cannot; the rotation that holds stands
    elsewhere in the file, and nothing else of EXIF is wanted here.
    """
    at = avif.find(b"iinf")
    end = at + int.from_bytes(avif[max(at - 4, 0) : max(at, 0)], "big")
    return avif[:at] + avif[at:end].replace(b"Exif", b"skip") + avif[end:] if at > 0 else avif


def _without_long_texts(png: bytes, notes: list[str]) -> bytes:
    """A PNG without its texts, and without a profile that unpacks to more than Pillow would take.

    Texts are no part of the picture, but Pillow unpacks them and gives the picture up if one is too long for it: a
    workflow with pictures in it, or a bomb.
    """
    if not any(name in png for name in (*_PNG_TEXTS, b"iCCP")):
        return png
    kept, at = [png[:8]], 8
    while at + 12 <= len(png):
        name, end = png[at + 4 : at + 8], at + 12 + int.from_bytes(png[at : at + 4], "big")
        if name == b"iCCP" and _unpacks_to_more_than(PngImagePlugin.MAX_TEXT_CHUNK, png[at + 8 : end - 4]):
            notes.append("the ICC profile could not be used (it is too large); the numbers are taken as sRGB")
        elif name not in _PNG_TEXTS:
            kept.append(png[at:end])
        at = end
    return b"".join([*kept, png[at:]])


def _unpacks_to_more_than(limit: int, profile: bytes) -> bool:
    """Whether the payload of an iCCP chunk does; its name and one byte for the method stand before the packed part."""
    packed = profile[profile.find(b"\0") + 2 :]
    try:
        return len(zlib.decompressobj().decompress(packed, limit + 1)) > limit
    except zlib.error:  # Pillow says what is wrong with it
        return False


def _to_8_bit(image: Image.Image, facts: FileFacts, where: str, notes: list[str]) -> Image.Image:
    """`image` with 8 bits a channel; 16 bits keep the high byte, which is also what Pillow does for 16-bit colour."""
    mode = image.mode
    # Older Pillows open 16-bit PNGs as 32-bit integers; a file that truly holds 32 bits has no agreed white.
    if mode.startswith("I;16") or (mode == "I" and facts.bit_depth == 16):
        values = np.asarray(image, dtype=np.int64).clip(0, 65535)
        _drop_transparent_colour(image, notes)
        notes.append("16 bits a channel; the high byte was kept")
        return Image.fromarray((values >> 8).astype(np.uint8), "L")
    if mode in ("F", "I"):
        what = "a picture of floating-point values" if mode == "F" else "a picture of 32-bit integers"
        raise UnreadableImage(what, reason="unsupported", where=where, hint="convert it to 8 or 16 bits first")
    if facts.bit_depth == 16:
        notes.append("16 bits a channel; the high byte was kept")
        _drop_transparent_colour(image, notes)
    elif facts.format == "png" and facts.colour == "grey" and mode == "L" and "transparency" in image.info:
        # Pillow spreads grey levels of 2 and 4 bits over 0 to 255 and leaves the transparent one as it is in the file.
        image.info["transparency"] *= 255 // ((1 << (facts.bit_depth or 8)) - 1)
    return image


def _drop_transparent_colour(image: Image.Image, notes: list[str]) -> None:
    """A transparent colour is a number of 16 bits; of 8 bits, others would be transparent with it."""
    if image.info.pop("transparency", None) is not None:
        notes.append("the colour that is stated to be transparent was left as it is")


def _to_rgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    if image.mode == "P" or image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = _flatten(image, notes)
    if image.mode == "LAB":
        notes.append("Lab colours; converted to sRGB")
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
        assert turned is not None  # only in-place transforms return nothing
        return turned
    if image.mode not in _PLAIN_MODES and image.mode != "CMYK":
        notes.append(f"stored as {image.mode}; converted to RGB")
        image = image.convert("RGB")
    if profile and image.mode != "1":
        converted = _convert_profile(image, profile, notes)
        if converted is not None:
            return converted
    if image.mode == "CMYK":
        notes.append("CMYK without a usable profile; converted by the plain formula")
    return image.convert("RGB")


def _flatten(image: Image.Image, notes: list[str]) -> Image.Image:
    """Palette and transparency resolved: RGB, or L where grey was stored; laid on white in whole numbers."""
    transparent = image.mode in _ALPHA_MODES or "transparency" in image.info
    if not transparent:
        return image.convert("RGB")
    plain, channels = ("L", 1) if image.mode in ("L", "LA", "La", "1") else ("RGB", 3)
    rgba = np.asarray(image.convert("RGBA"), dtype=np.uint16)
    colours, alpha = rgba[..., :channels], rgba[..., 3:]
    if (alpha < 255).any():
        notes.append("transparent; laid on white")
        colours = (colours * alpha + 255 * (255 - alpha) + 127) // 255
    return Image.fromarray(
        colours.astype(np.uint8).squeeze(axis=2) if channels == 1 else colours.astype(np.uint8), plain
    )


def _convert_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """`image` in sRGB; None when the profile cannot be used (noted) or already is sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        description = " ".join((source.profile.profile_description or "without a name").split())
        if image.mode == "RGB" and "srgb" in description.lower():
            return None
        if image.mode == "L" and source.profile.xcolor_space.strip() != "GRAY":
            # A colour profile on a grey picture says nothing that could be applied.
            notes.append(f"grey with a colour profile ('{description}'), which was not applied")
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as bad:
        said = (str(bad).splitlines() or ["no reason given"])[0]
        notes.append(f"the ICC profile could not be used ({said}); the numbers are taken as sRGB")
        return None
    notes.append(f"converted to sRGB from the profile '{description}'")
    return converted


def _open_heic(where: str) -> None:
    try:
        plugin: Any = need("pillow_heif", "formats", "reading HEIC")
    except MissingExtra as missing:
        raise UnreadableImage(missing.what, reason="unsupported", where=where, hint=missing.hint) from None
    plugin.register_heif_opener()


class _PillowSettings:
    """Pillow's settings for as long as any thread decodes: no pixel limit, no truncated files, no warnings.

    They are globals of its modules, so the first thread in sets them and the last one out puts them back; a lock around
    the decoding would leave one thread to work. Our own limit is checked before. Pillow's warnings are about odd
    metadata; what matters of it is in our own facts.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.undo = ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self.undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                self.undo.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
                Image.MAX_IMAGE_PIXELS = None
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.undo.close()


_pillow_settings = _PillowSettings()


def _decoding_failed(bad: Exception, data: bytes, facts: FileFacts, where: str) -> UnreadableImage:
    # Pillow's own sentence for this names an object by its address, another one in every run.
    unidentified = isinstance(bad, UnidentifiedImageError)
    if unidentified and data[:4] == b"MM\0+":
        return UnreadableImage("a big-endian BigTIFF, which no decoder here reads", reason="unsupported", where=where)
    if facts.jpeg is not None and (facts.jpeg.precision != 8 or facts.jpeg.lossless):
        what = "a lossless JPEG" if facts.jpeg.lossless else f"a JPEG of {facts.jpeg.precision} bits a channel"
        return UnreadableImage(
            f"{what}, which no decoder here reads", reason="unsupported", where=where, hint="convert it to PNG"
        )
    said = "its header cannot be read" if unidentified else (str(bad).splitlines() or [type(bad).__name__])[0]
    cut_off = "truncated" in said.lower() or _is_cut_off(data, facts.format)
    return UnreadableImage(
        f"the {facts.format.upper()} could not be decoded: {said}",
        reason="truncated" if cut_off else "corrupt",
        where=where,
        hint="is the download complete?" if cut_off else None,
    )


def _is_cut_off(data: bytes, format_: str) -> bool:
    """Whether the container says that the file was longer once, for decoders whose errors do not say it."""
    if format_ == "png":
        at = 8
        while at + 12 <= len(data):
            if data[at + 4 : at + 8] == b"IEND":
                return False
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return True
    if format_ == "webp":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if format_ == "gif":
        return not data.endswith(b";")
    if format_ == "bmp":
        return len(data) < int.from_bytes(data[2:6], "little")
    if format_ in ("avif", "heic"):
        at, pictures = 0, False
        while at + 16 <= len(data):
            pictures |= data[at + 4 : at + 8] == b"mdat"
            length = int.from_bytes(data[at : at + 4], "big")
            if length == 1:
                length = int.from_bytes(data[at + 8 : at + 16], "big")
            if length < 8:  # 0: to the end of the file
                return False
            at += length
        return at != len(data) or not pictures
    return False
