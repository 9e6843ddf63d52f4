"""One picture through one or more detectors."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fauxlens.core.errors import BadSetting, FauxlensError, OutOfMemory, UnreadableImage
from fauxlens.core.files import sha256_of
from fauxlens.detectors.detector import Detector
from fauxlens.images.facts import SUFFIXES
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.picture import Picture, read_picture
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Finding, Opinion

Marker = Callable[[Finding, Picture], Finding]
"""What is done with a finding while the picture is still at hand: its marks are written, say."""


def pictures_of(given: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as all pictures below them, patterns as what they match; each file once.

    A file that is named is looked at whatever its name is; a folder gives files with the suffix of a picture.
    """
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not below:
                raise BadSetting("no pictures in the folder", where=path, wanted=", ".join(sorted(SUFFIXES)))
            found |= dict.fromkeys(below)
        elif not path.exists() and glob.has_magic(str(path)):
            matched = sorted(Path(one) for one in glob.glob(str(path), recursive=True))  # noqa: PTH207 - may be absolute
            if not matched:
                raise BadSetting("the pattern matches no file", where=path, hint="look where the pictures are")
            found |= dict.fromkeys(pictures_of(matched))
        else:
            found[path] = None
    return list(found)


def inspect(
    paths: Sequence[Path],
    detectors: Sequence[Detector],
    *,
    limits: Limits = DEFAULT_LIMITS,
    marker: Marker | None = None,
) -> Iterator[Finding]:
    """A finding for each file, in the order given; one that cannot be looked at says so and stops nothing."""
    if not detectors:
        raise BadSetting("no detector was given", hint="`fauxlens detectors` lists them")
    for path in paths:
        begun = time.perf_counter()
        try:
            picture = read_picture(path, limits=limits)
            opinions = tuple(_opinion(detector, picture) for detector in detectors)
        except (UnreadableImage, OutOfMemory) as error:
            yield Finding(str(path), None, error.what, seconds=time.perf_counter() - begun, error=error)
            continue
        finding = Finding(
            str(path), "inconclusive", RANDOM if all(one.is_random for one in opinions) else UNCALIBRATED,
            opinions, _file(path, picture), picture.notes, seconds=time.perf_counter() - begun,
        )  # fmt: skip
        yield marker(finding, picture) if marker else finding


def _opinion(detector: Detector, picture: Picture) -> Opinion:
    try:
        said = detector.predict([picture])[0]
    except FauxlensError as error:
        if error.where is None and isinstance(error, OutOfMemory):
            error.where = str(picture.path)
        raise
    return Opinion(said, detector.setting, detector.weights.name)


def _file(path: Path, picture: Picture) -> dict[str, object]:
    facts = picture.facts
    jpeg = None if facts is None else facts.jpeg
    return {
        "format": None if facts is None else facts.format,
        "width": picture.pixels.shape[1],
        "height": picture.pixels.shape[0],
        "jpeg_quality": None if jpeg is None or jpeg.quality is None else jpeg.quality.value,
        "subsampling": None if jpeg is None else jpeg.subsampling,
        "sha256": sha256_of(path),
    }
