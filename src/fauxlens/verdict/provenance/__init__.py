"""What a file says of its own origin, before anybody looks at its pixels.

One file a source of evidence; each is `check(subject) -> Told`. To add one: a new file, and a line in `CHECKS`.

blocks.py   the raw blocks of a file; exif.py, xmp.py, iptc.py, jumbf.py, cbor.py read them
told.py     what the checks look at, and what they answer with
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from fauxlens.core.names import look_up
from fauxlens.images.picture import Picture, read_file
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance.told import Subject, Told, subject_of

__all__ = ["CHECKS", "Told", "provenance"]

log = logging.getLogger("fauxlens.verdict")

CHECKS: dict[str, str] = {
    "content_credentials": "fauxlens.verdict.provenance.content_credentials:check",
    "generator_text": "fauxlens.verdict.provenance.generator_text:check",
    "metadata": "fauxlens.verdict.provenance.metadata:check",
    "watermark": "fauxlens.verdict.provenance.watermark:check",
    "thumbnail": "fauxlens.verdict.provenance.thumbnail:check",
    "jpeg_tables": "fauxlens.verdict.provenance.jpeg_tables:check",
}
"""In the order in which their evidence is told."""

_SAYS_NOTHING = frozenset(("jpeg_tables", "broken_metadata"))
# Every JPEG has tables, and a broken block is no statement: beside these a file can still be silent.


def provenance(path: Path, picture: Picture, *, names: Sequence[str] = tuple(CHECKS)) -> Told:
    """All that the file says of its origin. Raises UnreadableImage where the file cannot be read any more, no other.

    `picture` is what `read_picture` made of the same file. A file that says nothing is told as such: that is unknown,
    and never a sign that a camera took it.
    """
    subject = subject_of(path, read_file(path), picture)
    evidence: list[Evidence] = []
    not_checked: list[str] = []
    for name in names:
        check = look_up(CHECKS, name, "check of provenance")
        try:
            told: Told = check(subject)
        except Exception as fault:  # One check's fault must not cost the finding; it is told, not hidden.
            log.warning("the check '%s' failed on %s", name, path, exc_info=True)
            not_checked.append(f"{name.replace('_', ' ')}: the check failed ({type(fault).__name__})")
            continue
        evidence += told.evidence
        not_checked += told.not_checked
    evidence += _broken(subject)
    if all(one.check in _SAYS_NOTHING for one in evidence):
        evidence.append(_silent())
    return Told(tuple(evidence), tuple(dict.fromkeys(not_checked)))


def _broken(subject: Subject) -> list[Evidence]:
    if not subject.faults:
        return []
    some = "; ".join(subject.faults[:3])
    return [
        Evidence(
            check="broken_metadata",
            sentence=f"Part of what the file says of itself cannot be read: {some}.",
            limit="Programs break metadata by accident every day; it says nothing of the picture.",
            details={"faults": list(subject.faults[:20])},
        )
    ]


def _silent() -> Evidence:
    return Evidence(
        check="origin",
        sentence="The file says nothing of its origin: no camera, program, Content Credentials or known watermark.",
        limit="Its origin is unknown. Most sites and messengers strip such data from photos and generated pictures "
        "alike, so that it is absent speaks neither for nor against the picture.",
    )
