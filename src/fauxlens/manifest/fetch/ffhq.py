"""ImagiNet's list of FFHQ faces: rows of `drive_file_id,<uuid>.png,<md5>`.

The MD5 is over the decoded pixels, (H, W, 3) uint8 RGB, and not over the file, so a face is proved by decoding it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fauxlens.core.errors import BadManifest, BadSetting, FetchError, UnreadableImage
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.fetch.download import TIMEOUT_SECONDS, Pause, Remote, WebPage, fetch_file, page_subject
from fauxlens.manifest.fetch.outcome import FetchReport

DRIVE = "https://drive.google.com/uc?export=download&id={id}"
LARGEST_PIXELS = 1 << 26  # FFHQ is 1024 x 1024; anything far beyond is no face of this list

# A server that answers page after page instead of files has a quota; asking on only lengthens it.
PAGES_BEFORE_STOPPING = 10

_PNG_END = b"IEND\xaeB\x60\x82"
_ROW = re.compile(r"(?P<id>[A-Za-z0-9_-]+),(?P<name>[A-Za-z0-9_-]+\.png),(?P<md5>[0-9a-fA-F]{32})")


@dataclass(frozen=True, slots=True)
class FfhqFace:
    """One row of the list."""

    drive_id: str
    name: str
    pixel_md5: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no row, or contradicts an earlier one."""

    number: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class FfhqList:
    """The rows in file order, without doubles, and the lines that could not be used."""

    faces: tuple[FfhqFace, ...]
    bad_lines: tuple[BadLine, ...]


def read_ffhq_list(path: Path) -> FfhqList:
    """Parse ImagiNet's `ffhq_filenames.txt`."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as fault:
        raise BadManifest("the list cannot be read", where=path, got=str(fault)) from fault
    faces: dict[str, FfhqFace] = {}
    bad: list[BadLine] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _ROW.fullmatch(line.strip())
        if row is None:
            bad.append(BadLine(number, line[:200], "not drive_file_id,name.png,md5"))
            continue
        face = FfhqFace(row["id"], row["name"], row["md5"].lower())
        known = faces.setdefault(face.name, face)
        if known != face:
            bad.append(BadLine(number, line[:200], "the same name as an earlier line, with another file"))
    return FfhqList(tuple(faces.values()), tuple(bad))


def pixel_md5(path: Path) -> str:
    """MD5 over the decoded pixels of a PNG, (H, W, 3) uint8 RGB in row order."""
    # Pillow gives all pixels of a file that breaks off behind them; such a file is still not whole.
    if _PNG_END not in _last_bytes(path):
        raise UnreadableImage("no whole PNG", reason="truncated", where=path, got="no end chunk")
    try:
        with warnings.catch_warnings():
            # The limit below is stricter than Pillow's and says no instead of warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as picture:
                if picture.width * picture.height > LARGEST_PIXELS:
                    raise UnreadableImage(
                        "far larger than a face of FFHQ",
                        reason="too-many-pixels",
                        where=path,
                        got=f"{picture.width} x {picture.height}",
                    )
                pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except UnreadableImage:
        raise
    # Pillow raises SyntaxError for broken PNG chunks.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise UnreadableImage("no whole PNG", reason="corrupt", where=path, got=str(fault)) from fault
    return hashlib.md5(np.ascontiguousarray(pixels).tobytes(), usedforsecurity=False).hexdigest()


def fetch_ffhq(
    list_path: Path,
    destination: Path,
    *,
    url_template: str = DRIVE,
    first: int | None = None,
    attempts: int = 5,
    timeout_seconds: float = TIMEOUT_SECONDS,
    progress: Progress = silent,
    pause: Pause = time.sleep,
) -> FetchReport:
    """Bring the faces of the list, or its `first` ones, to `destination/<uuid>.png`, each proved by its pixels.

    `progress` counts faces. A face that is there already is decoded and kept when its pixels are right. Every face is
    tried a bounded number of times; after ten web pages in a row (a quota) the rest is reported as not tried.
    Lines of the list that cannot be used are among the failures, with their numbers.
    """
    if "{id}" not in url_template:
        raise BadSetting("the address needs a place for the file's id", wanted="{id}", got=url_template)
    if first is not None and first < 0:
        raise BadSetting("cannot fetch fewer than no faces", wanted="first >= 0", got=first)
    destination = Path(destination)
    listed = read_ffhq_list(list_path)
    faces = listed.faces[:first]
    done: list[str] = []
    there: list[str] = []
    failed = [(f"line {line.number}", f"{line.reason}: {line.text}") for line in listed.bad_lines]
    received = pages_in_a_row = 0
    for count, face in enumerate(faces):
        if pages_in_a_row >= PAGES_BEFORE_STOPPING:
            failed += _not_tried(faces[count:])
            break
        progress(count, len(faces), face.name)
        try:
            fetched = fetch_file(
                Remote(url_template.replace("{id}", face.drive_id), face.name),
                destination / face.name,
                attempts=attempts,
                timeout_seconds=timeout_seconds,
                pause=pause,
                verify=lambda path, face=face: _what_is_wrong(path, face),  # type: ignore[misc]
            )
        except FetchError as fault:
            pages_in_a_row = pages_in_a_row + 1 if isinstance(fault, WebPage) else 0
            failed.append((face.name, str(fault)))
            continue
        pages_in_a_row = 0
        received += fetched.received
        (done if fetched.status == "done" else there).append(face.name)
    progress(len(faces), len(faces), "done")
    free = shutil.disk_usage(destination).free if destination.exists() else 0
    return FetchReport(
        str(list_path), destination, tuple(done), tuple(there), tuple(failed), bytes=received, free_bytes=free
    )


def _last_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - 1024, 0))
            return stream.read()
    except OSError as fault:
        raise UnreadableImage("cannot be read", reason="missing", where=path, got=str(fault)) from fault


def _what_is_wrong(path: Path, face: FfhqFace) -> str | None:
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.lstrip()[:1] == b"<":
        return f"a web page came instead of the picture{page_subject(head.decode('utf-8', 'replace'))}"
    try:
        got = pixel_md5(path)
    except UnreadableImage as fault:
        return f"{fault.what}: {fault.got}"
    return None if got == face.pixel_md5 else f"the pixels have the wrong MD5 (wanted {face.pixel_md5}, got {got})"


def _not_tried(faces: Sequence[FfhqFace]) -> list[tuple[str, str]]:
    reason = f"not tried: {PAGES_BEFORE_STOPPING} web pages in a row came before it; run it again tomorrow"
    return [(face.name, reason) for face in faces]
