"""One picture, or many, through detectors and all the other checks, to a finding each."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fauxlens.core.errors import BadPredictions, BadSetting, BadShape, FauxlensError, OutOfMemory, UnreadableImage
from fauxlens.core.files import sha256_of
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Prediction
from fauxlens.images.facts import SUFFIXES
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.picture import Picture, read_picture
from fauxlens.verdict.decide import decide
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import NOT_CHECKABLE, RANDOM, Axis, Finding, Left, Opinion, Stability
from fauxlens.verdict.history import history_of
from fauxlens.verdict.judgement import Judgement, judgement_for
from fauxlens.verdict.left import evidence_left
from fauxlens.verdict.maps import maps_of
from fauxlens.verdict.past import past_of
from fauxlens.verdict.provenance import Told, provenance
from fauxlens.verdict.stability import DELIVERIES, SIDE, stability_of

Marker = Callable[[Finding, Picture], Finding]
"""What is done with a finding while the picture is still at hand: its marks are written, say."""

DETECTOR = "fauxlens-small"
"""Who is asked when nobody is named: the one that comes with the package."""

_OF_ONE_PICTURE = (UnreadableImage, OutOfMemory, BadShape, BadPredictions)
"""What one picture may be guilty of; anything else would be wrong with all of them, and is raised."""

_QUESTIONS: dict[Axis, str] = {
    "whole_image": "whether the whole picture was made by a generator: no detector with a calibrated answer to that "
    "question was asked",
    "local_edit": "whether a part of it was edited: no detector with a calibrated answer to that question was asked",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which checks run beside the detectors. What is left out is named in the finding."""

    provenance: bool = True
    history: bool = True
    stability: tuple[str, ...] = DELIVERIES  # names of chains; none: it is not tried
    side: int = SIDE  # of the window that is delivered again
    maps: tuple[str, ...] = ()  # classical maps by name; they cost time, and somebody has to look at them


def inspect(
    path: str | os.PathLike[str], *, detector: str | Detector = DETECTOR, device: str = "cpu", plan: Plan | None = None
) -> Finding:
    """One picture: where it says it comes from, what the detector says, and whether that holds.

    `detector` is a name or a loaded detector. Raises where the picture cannot be read.
    """
    if isinstance(detector, str):
        from fauxlens.detectors.load import load

        detector = load(detector, device=device)
    found = next(inspect_many([Path(path)], [detector], plan=plan))
    if found.error is not None:
        raise found.error
    return found


def pictures_of(given: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as all pictures below them, patterns as what they match; each file once.

    A file that is named is looked at whatever its name is; a folder gives files with the suffix of a picture.
    """
    found: dict[Path, None] = {}
    for path in given:
        if _is_beyond_names(path):
            found[path] = None  # reading it will say why it cannot be
        elif path.is_dir():
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


def passed_over(given: Sequence[Path]) -> int:
    """How many files below the folders given are not looked at, because their names are not those of pictures."""
    return sum(
        below.suffix.lower() not in SUFFIXES and not below.name.startswith(".") and below.is_file()
        for path in given
        if not _is_beyond_names(path) and path.is_dir()
        for below in path.rglob("*")
    )


def _is_beyond_names(path: Path) -> bool:
    """Whether the system takes no such name, for example one that is too long."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return not glob.has_magic(str(path))
    return False


def inspect_many(
    paths: Sequence[Path],
    detectors: Sequence[Detector],
    *,
    limits: Limits = DEFAULT_LIMITS,
    marker: Marker | None = None,
    plan: Plan | None = None,
) -> Iterator[Finding]:
    """A finding for each file, in the order given; one that cannot be looked at says so and stops nothing."""
    if not detectors:
        raise BadSetting("no detector was given", hint="`fauxlens detectors` lists them")
    plan = plan or Plan()
    known = {id(one): judgement_for(one) for one in detectors}
    for path in paths:
        begun = time.perf_counter()
        try:
            picture = read_picture(path, limits=limits)
            finding = _finding(path, picture, detectors, known, plan)
        except _OF_ONE_PICTURE as error:
            yield Finding(str(path), None, error.what, seconds=time.perf_counter() - begun, error=error)
            continue
        if marker is not None:
            finding = marker(finding, picture)
        yield replace(finding, seconds=time.perf_counter() - begun)


def _finding(
    path: Path,
    picture: Picture,
    detectors: Sequence[Detector],
    known: Mapping[int, tuple[Judgement, ...]],
    plan: Plan,
) -> Finding:
    asked = [(one, _said(one, picture)) for one in detectors]
    opinions = tuple(opinion for one, said in asked for opinion in _opinions(one, said, known[id(one)]))
    told = provenance(path, picture) if plan.provenance else Told((), (_NO_PROVENANCE,))
    missing = told.not_checked
    past = past_of(picture) if plan.history or plan.maps else None
    evidence: tuple[Evidence, ...] = ()
    left: Left | None = None
    if plan.history:
        evidence, left = history_of(picture, past), evidence_left(picture, past)
    stability = _stability(picture, asked, known, plan)
    verdict, reason = decide(opinions, provenance=told.evidence, evidence=evidence, stability=stability, left=left)
    if plan.maps:
        evidence += maps_of(picture, plan.maps, past)
    answered = {one.answer.axis for one in opinions if one.answer is not None}
    if reason != RANDOM:
        missing += tuple(text for axis, text in _QUESTIONS.items() if axis not in answered)
    if stability is None:
        missing += ("whether the scores hold after another saving, resizing or cropping",)
    return Finding(
        str(path), verdict, reason, opinions, _file(path, picture), picture.notes, provenance=told.evidence,
        evidence=evidence, stability=stability, left=left, not_checked=(*missing, *NOT_CHECKABLE),
    )  # fmt: skip


_NO_PROVENANCE = "where the file says it comes from (EXIF, XMP, C2PA, texts of generators)"


def _said(detector: Detector, picture: Picture) -> Prediction:
    try:
        return detector.predict([picture])[0]
    except FauxlensError as error:
        if error.where is None and isinstance(error, OutOfMemory):
            error.where = str(picture.path)
        raise


def _opinions(detector: Detector, said: Prediction, known: Sequence[Judgement]) -> Iterator[Opinion]:
    """One for each question that the detector's judgements answer; one without an answer where there are none."""
    name, card_limits = detector.weights.name, detector.card.limits
    answered = False
    for judgement in known:
        if said.logit is None or not np.isfinite(said.logit):
            continue
        answered = True
        yield Opinion(
            said, detector.setting, name, judgement.answer(said.logit), level=judgement.level,
            limits=(*_errors(judgement), *judgement.limits, *card_limits),
        )  # fmt: skip
    if not answered:
        yield Opinion(said, detector.setting, name, limits=card_limits)


def _errors(judgement: Judgement) -> Iterator[str]:
    """How often it errs, in sentences."""
    several = (
        (judgement.false_alarms, "it wrongly flagged"), (judgement.misses, "it missed"),
        (judgement.abstentions, "it could not decide on"),
    )  # fmt: skip
    for rows, verb in several:
        for what, number, of in rows:
            yield f"Of {of:,} {what}, {verb} {number:,}."


def _stability(
    picture: Picture,
    asked: Sequence[tuple[Detector, Prediction]],
    known: Mapping[int, tuple[Judgement, ...]],
    plan: Plan,
) -> Stability | None:
    """Of the first detector that has an answer: the one that the verdict rests on."""
    if not plan.stability:
        return None
    for detector, said in asked:
        judgements = known[id(detector)]
        if judgements and said.logit is not None and np.isfinite(said.logit):
            return stability_of(
                picture.pixels, said, detector, judgements[0], deliveries=plan.stability, side=plan.side
            )
    return None


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
