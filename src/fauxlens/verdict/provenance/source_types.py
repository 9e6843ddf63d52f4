"""The terms of IPTC's vocabulary "Digital Source Type" (and C2PA's two of its own), and what each speaks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fauxlens.verdict.evidence import Leaning, Strength

_URI = re.compile(r"(?:cv\.iptc\.org/newscodes|c2pa\.org)/digitalsourcetype/([A-Za-z]{3,60})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceType:
    """One term: what it says of a picture, as the end of a sentence, and what that speaks for."""

    term: str
    says: str
    leans: Leaning = "none"
    strength: Strength = "context"


_TERMS = (
    SourceType("trainedAlgorithmicMedia", "made by a trained model", "generated", "strong"),
    SourceType(
        "compositeWithTrainedAlgorithmicMedia", "a picture of which a trained model made a part", "edited", "strong"
    ),
    SourceType("algorithmicMedia", "made by an algorithm that was not trained", "generated", "weak"),
    SourceType("compositeSynthetic", "put together from parts of which at least one is synthetic", "edited", "weak"),
    SourceType("composite", "put together from several parts", "edited", "weak"),
    SourceType("compositeCapture", "put together from several photos", "edited", "weak"),
    SourceType("algorithmicallyEnhanced", "a picture to which an algorithm made small corrections"),
    SourceType("humanEdits", "a picture that a person corrected or enhanced without generating anything"),
    SourceType("minorHumanEdits", "a picture that a person corrected a little"),  # retired
    SourceType("digitalCapture", "taken with a digital camera", "captured"),
    SourceType("computationalCapture", "taken with a camera that joins several exposures", "captured"),
    SourceType("negativeFilm", "digitised from a negative", "captured"),
    SourceType("positiveFilm", "digitised from a slide", "captured"),
    SourceType("print", "digitised from paper", "laundered", "strong"),
    SourceType("screenCapture", "a screenshot", "laundered", "strong"),
    SourceType("virtualRecording", "recorded from a virtual scene"),
    SourceType("digitalCreation", "made by a person with a program that does not generate"),
    SourceType("digitalArt", "made by a person with a program"),  # retired
    SourceType("softwareImage", "made by a program"),  # retired
    SourceType("dataDrivenMedia", "drawn from data"),
    SourceType("trainedAlgorithmicData", "data of a trained model, not a picture"),
    SourceType("empty", "begun as an empty canvas"),
)
SOURCE_TYPES: dict[str, SourceType] = {one.term: one for one in _TERMS}
"""Every term by its name."""

_BY_LOWER = {one.term.lower(): one for one in _TERMS}


def source_type(text: str) -> SourceType | None:
    """The term that a value names, as a whole address or bare; None for what is none.

    >>> source_type("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia").leans
    'generated'
    >>> source_type("digitalCapture").says, source_type("a camera")
    ('taken with a digital camera', None)
    """
    given = text[:300].strip()
    found = _URI.search(given)
    bare = found.group(1) if found else given.removeprefix("digitalsourcetype:")
    return _BY_LOWER.get(bare.lower())


def named_in(texts: Iterable[str]) -> tuple[SourceType, ...]:
    """The terms whose whole addresses stand anywhere in these texts, each once."""
    found = (_BY_LOWER.get(match.group(1).lower()) for text in texts for match in _URI.finditer(text[: 1 << 20]))
    return tuple({one.term: one for one in found if one is not None}.values())
