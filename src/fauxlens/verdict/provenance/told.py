"""What the checks look at, and what they answer with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fauxlens.images.picture import Picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance.blocks import Blocks, read_blocks
from fauxlens.verdict.provenance.exif import Exif, read_exif
from fauxlens.verdict.provenance.iptc import read_iptc
from fauxlens.verdict.provenance.xmp import Xmp, read_xmp

KEPT = 500
"""How many characters of one text are told: prompts may be private, and nobody reads more on a page."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]+")

WRITABLE = "Whoever has the file can write such data or strip it; nothing in it is signed."
"""The limit of everything that is plain text in a file."""


@dataclass(frozen=True, slots=True)
class Told:
    """Evidence, and what could not be checked here, as clauses."""

    evidence: tuple[Evidence, ...] = ()
    not_checked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A file whose metadata has been taken apart: what every check is given."""

    path: Path
    picture: Picture
    data: bytes
    format: str
    blocks: Blocks
    exif: Exif
    xmp: Xmp
    iptc: tuple[tuple[str, str], ...]  # (name of the field, value)

    @property
    def faults(self) -> tuple[str, ...]:
        """What of the metadata is broken, as clauses."""
        return tuple(dict.fromkeys((*self.blocks.faults, *self.exif.faults, *self.xmp.faults)))


def subject_of(path: Path, data: bytes, picture: Picture) -> Subject:
    """Take the metadata of a file apart; `data` are its bytes. Never raises for what the bytes are."""
    format_ = "" if picture.facts is None else picture.facts.format
    blocks = read_blocks(data, format_)
    return Subject(
        path=path,
        picture=picture,
        data=data,
        format=format_,
        blocks=blocks,
        exif=read_exif(blocks.exif) if blocks.exif is not None else Exif(),
        xmp=read_xmp(blocks.xmp),
        iptc=read_iptc(blocks.iptc),
    )


def short(text: str, kept: int = KEPT) -> str:
    """`text` fit to be shown: no control characters, no more than `kept` characters.

    >>> short("a" * 8, 4), short("  one\\x00 two ")
    ('aaaa ...', 'one two')
    """
    # Cut before it is cleaned: a hostile text is as long as the file lets it be.
    whole = _UNPRINTABLE.sub(" ", text[: 2 * kept + 64]).strip()
    plain = re.sub(r" {2,}", " ", whole)
    return plain if len(plain) <= kept and len(text) <= 2 * kept + 64 else plain[:kept].rstrip() + " ..."


def listed(values: Iterable[str], most: int = 8) -> list[str]:
    """The first distinct values, each short, for the details of a piece of evidence."""
    return list(dict.fromkeys(short(one, 120) for one in values if one.strip()))[:most]


def quoted(values: Iterable[str], most: int = 3) -> str:
    """A few values for a sentence.

    >>> quoted(["GIMP", "Krita", "GIMP"])
    "'GIMP', 'Krita'"
    """
    return ", ".join(f"'{short(one, 60)}'" for one in list(dict.fromkeys(values))[:most])
