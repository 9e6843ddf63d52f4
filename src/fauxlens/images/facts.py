"""What a file says of itself, from its header alone: container, size, JPEG tables, metadata kinds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from fauxlens.core.errors import UnreadableImage
from fauxlens.images.containers import (
    BadHeader,
    Header,
    read_avif_header,
    read_bmp_header,
    read_gif_header,
    read_heic_header,
    read_png_header,
    read_tiff_header,
    read_webp_header,
)
from fauxlens.images.jpeg import BadJpeg, JpegHeader, read_jpeg_header
from fauxlens.images.reader import FileSource, MemorySource, Source

_SUFFIXES = {
    "jpeg": frozenset((".jpg", ".jpeg", ".jpe", ".jfif")),
    "png": frozenset((".png",)),
    "webp": frozenset((".webp",)),
    "gif": frozenset((".gif",)),
    "bmp": frozenset((".bmp", ".dib")),
    "tiff": frozenset((".tif", ".tiff")),
    "avif": frozenset((".avif", ".avifs")),
    "heic": frozenset((".heic", ".heif", ".hif")),
}
SUFFIXES = frozenset().union(*_SUFFIXES.values())
"""What the names of pictures end in, of all containers that are read."""
_READERS: dict[str, Callable[[Source], Header]] = {
    "png": read_png_header,
    "webp": read_webp_header,
    "gif": read_gif_header,
    "bmp": read_bmp_header,
    "tiff": read_tiff_header,
    "avif": read_avif_header,
    "heic": read_heic_header,
}
_UNREAD_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an icon"),
    (b"icns", "an icon"),
    (b"DDS ", "a DirectDraw surface"),
    (b"%!PS", "a PostScript drawing"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (b"qoif", "a QOI picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"FUJIFILMCCD-RAW", "a raw file of a camera"),
)
_OTHER_THINGS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1a\x45\xdf\xa3", "a film (Matroska or WebM)"),
    (b"ID3", "a sound file"),
)
"""What people give by mistake, by its first bytes; named so that they know what they have."""
_PNM = re.compile(rb"P[1-7]\s")
_SVG = re.compile(rb"<svg[\s>]|<!doctype svg")
_FILM_BRANDS = (b"mp4", b"iso", b"M4V", b"qt  ", b"3gp", b"avc")
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_JPEG_COLOURS = {1: "grey", 3: "rgb", 4: "cmyk"}
_TURNED = frozenset((5, 6, 7, 8))
# What the container is recognised by; the brands of an AVIF or HEIC file may be a few dozen.
_BEGINNING = 512
# Not to wait for the other end of a pipe that lies about among the pictures.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the header of one file says. Width and height are after orientation, as a viewer shows the picture.

    `metadata` names the kinds present (exif, xmp, icc, jfif, adobe, photoshop, c2pa, text, comment, ...), sorted;
    `exif_error` says why the orientation could not be read; `jpeg` is the whole JPEG header for JPEGs.
    """

    format: str
    width: int
    height: int
    bytes: int
    orientation: int = 1
    bit_depth: int | None = None
    colour: str | None = None
    metadata: tuple[str, ...] = ()
    progressive: bool | None = None
    animated: bool | None = None
    lossless: bool | None = None
    exif_error: str | None = None
    jpeg: JpegHeader | None = None

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_facts(path: str | os.PathLike[str]) -> FileFacts:
    """The facts of one file, from a few small reads. Raises UnreadableImage and nothing else."""
    name = os.fspath(path)
    try:
        handle = os.open(name, _OPEN_FLAGS)
    except (OSError, ValueError) as bad:
        raise cannot_open(bad, name) from bad
    try:
        return facts_of(FileSource(handle), name)
    except UnreadableImage:
        raise
    except OSError as bad:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise cannot_open(bad, name) from bad
        raise UnreadableImage(f"could not be read: {bad.strerror}", reason="corrupt", where=name) from bad
    finally:
        os.close(handle)


def facts_of_bytes(data: bytes, where: str = "bytes") -> FileFacts:
    """The facts of a file that is already in memory."""
    return facts_of(MemorySource(data), where)


def facts_of(source: Source, where: str) -> FileFacts:
    """The facts of anything that bytes can be read from; `where` is for the error messages."""
    if source.head[:3] == b"\xff\xd8\xff":
        return _jpeg_facts(source, where)
    format_ = container_of(source.at(0, _BEGINNING))
    if format_ == "jpeg":
        return _jpeg_facts(source, where)
    if format_ is None:
        raise _no_picture(source, where)
    try:
        header = _READERS[format_](source)
    except BadHeader as bad:
        raise UnreadableImage(str(bad), reason="truncated" if bad.cut_off else "corrupt", where=where) from None
    if header.width < 1 or header.height < 1:
        raise UnreadableImage(f"a picture of {header.width} x {header.height} pixels", reason="corrupt", where=where)
    turned = header.orientation in _TURNED
    return FileFacts(
        format=format_,
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        bytes=source.size,
        orientation=header.orientation,
        bit_depth=header.bit_depth,
        colour=header.colour,
        metadata=header.metadata,
        progressive=header.interlaced,
        animated=header.animated,
        lossless=header.lossless,
        exif_error=header.exif_error,
    )


def container_of(head: bytes) -> str | None:
    """The container that a file's first bytes belong to; None when it is none that is read here.

    >>> container_of(b"\\x89PNG\\r\\n\\x1a\\n"), container_of(b"<html>")
    ('png', None)
    """
    if head[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[4:8] == b"ftyp":
        length = int.from_bytes(head[:4], "big")
        brands = {head[8:12], *(head[k : k + 4] for k in range(16, min(length, len(head)), 4))}
        if brands & _AVIF_BRANDS:
            return "avif"
        return "heic" if brands & _HEIC_BRANDS else None
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "bmp"
    return None


def suffix_agrees(name: str, format_: str) -> bool:
    """Whether a file's suffix is one of its container's (a name without suffix promises nothing).

    >>> suffix_agrees("a.JPG", "jpeg"), suffix_agrees("a.jpg", "png"), suffix_agrees("a", "png")
    (True, False, True)
    """
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > max(name.rfind("/"), name.rfind(os.sep)) else ""
    return not suffix or suffix in _SUFFIXES.get(format_, frozenset())


def cannot_open(bad: OSError | ValueError, name: str) -> UnreadableImage:
    """What an error of the operating system means for one who wants to read the picture `name`."""
    if isinstance(bad, FileNotFoundError):
        return UnreadableImage("no such file", reason="missing", where=name)
    if isinstance(bad, ValueError):
        return UnreadableImage(f"no name that a file could have: {bad}", reason="missing", where=repr(name))
    # Path.is_dir() raises where the folder above may not be searched, which is one of the cases here.
    if os.path.isdir(name):  # noqa: PTH112
        return UnreadableImage("a folder, not a picture", reason="not-an-image", where=name)
    if os.path.exists(name) and not os.path.isfile(name):  # noqa: PTH110, PTH113
        return UnreadableImage("a pipe or device, not a picture", reason="not-an-image", where=name)
    reason = "unreadable" if isinstance(bad, PermissionError) else "missing"
    return UnreadableImage(f"could not be opened: {bad.strerror}", reason=reason, where=name)


def _jpeg_facts(source: Source, where: str) -> FileFacts:
    try:
        header = read_jpeg_header(source)
    except BadJpeg as bad:
        raise UnreadableImage(str(bad), reason="truncated" if bad.cut_off else "corrupt", where=where) from None
    turned = header.orientation in _TURNED
    return FileFacts(
        format="jpeg",
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        bytes=source.size,
        orientation=header.orientation,
        bit_depth=header.precision,
        colour=_JPEG_COLOURS.get(len(header.components)),
        metadata=header.metadata,
        progressive=header.progressive,
        animated=None if "mpf" in header.metadata else False,
        lossless=header.lossless,
        exif_error=header.exif_error,
        jpeg=header,
    )


def _no_picture(source: Source, where: str) -> UnreadableImage:
    if source.size == 0:
        return UnreadableImage("the file is empty (zero bytes)", reason="empty", where=where, hint="fetch it again")
    head = source.at(0, _BEGINNING)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or b"<html" in start:
        hint = "the download gave an error page instead of the picture; fetch it again"
        return UnreadableImage("a web page saved under a picture's name", reason="html", where=where, hint=hint)
    if (kind := _named_by(head, _UNREAD_PICTURES)) or _PNM.match(head) or _SVG.search(start):
        what = kind or ("a drawing (SVG), made of lines and not of pixels" if _SVG.search(start) else "a PNM picture")
        return UnreadableImage(
            f"{what}, which is not read here", reason="unsupported", where=where,
            wanted=", ".join(sorted(_SUFFIXES)), hint="convert it to PNG; what made it may leave traces of its own",
        )  # fmt: skip
    kind = _named_by(head, _OTHER_THINGS)
    if kind is None and head[4:8] == b"ftyp" and head[8:12].startswith(_FILM_BRANDS):
        kind = "a film"
    if kind is not None:
        return UnreadableImage(
            f"{kind}, not a picture", reason="not-an-image", where=where, hint="give the pictures that are in it"
        )
    return UnreadableImage(
        "no picture format that is known here",
        reason="not-an-image",
        where=where,
        wanted=", ".join(sorted(_SUFFIXES)),
        got=f"bytes {head[:8].hex(' ')}",
        hint="is the download complete?",
    )


def _named_by(head: bytes, known: tuple[tuple[bytes, str], ...]) -> str | None:
    return next((what for start, what in known if head.startswith(start)), None)
