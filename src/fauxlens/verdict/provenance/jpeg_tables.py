"""Which encoder a JPEG's quantisation tables belong to. Context: the last program that saved it, not who made it."""

from __future__ import annotations

from functools import cache

from fauxlens.images.jpeg import JpegHeader
from fauxlens.images.quality import ijg_table, zigzag
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance.told import Subject, Told

# The base table that mozjpeg takes when it is asked for nothing else, by N. Robidoux, for luma and chroma alike; in
# natural order. It is scaled as the standard one is.
_ROBIDOUX = (
    (16, 16, 16, 18, 25, 37, 56, 85),
    (16, 17, 20, 27, 34, 40, 53, 75),
    (16, 20, 24, 31, 43, 62, 91, 135),
    (18, 27, 31, 40, 53, 74, 106, 156),
    (25, 34, 43, 53, 69, 94, 131, 189),
    (37, 40, 62, 74, 94, 124, 169, 238),
    (56, 53, 91, 106, 131, 169, 226, 311),
    (85, 75, 135, 156, 189, 238, 311, 418),
)
_LIMIT = (
    "Tables tell which program saved the file last, never what the picture shows: generators, editors, sites and "
    "cameras use the same ones, and any table can be given to any picture."
)


def check(subject: Subject) -> Told:
    """One sentence on the tables of a JPEG; nothing for other files."""
    header = None if subject.picture.facts is None else subject.picture.facts.jpeg
    if header is None or header.luma_table is None:
        return Told()
    family, sentence, quality = _family(header)
    details = {
        "family": family, "quality": quality, "subsampling": header.subsampling, "huffman": header.huffman,
        "progressive": header.progressive, "save_for_web": subject.blocks.ducky,
        "luma": list(header.luma_table), "chroma": None if header.chroma_table is None else list(header.chroma_table),
    }  # fmt: skip
    if subject.blocks.ducky:
        sentence += ' Photoshop\'s "Save for Web" left its mark in it.'
    return Told((Evidence("jpeg_tables", sentence, _LIMIT, details=details),))


def _family(header: JpegHeader) -> tuple[str, str, int | None]:
    luma, chroma = header.luma_table, header.chroma_table
    assert luma is not None
    standard = header.quality
    if standard is not None and standard.exact and chroma in (None, ijg_table(standard.nearest, chroma=True)):
        said = f"The JPEG was last saved with the common library's own tables, at quality {standard.nearest}."
        return "common library", said, standard.nearest
    if standard is not None and standard.exact:
        said = (
            f"Its brightness was saved with the common library's table of quality {standard.nearest}, its colours with "
        )
        other = f"that of quality {standard.chroma}" if standard.mixed else "a table of another origin"
        return "common library, mixed", f"{said}{other}: a program chose them apart.", standard.nearest
    quality = _robidoux_tables().get(luma)
    if quality is not None and chroma in (None, luma):
        return "mozjpeg", f"The JPEG was last saved with the usual tables of mozjpeg, at quality {quality}.", quality
    said = "The JPEG's tables are not those of the common library: cameras, phones and editors bring their own."
    return "own tables", said, None


@cache
def _robidoux_tables() -> dict[tuple[int, ...], int]:
    """Table in zigzag order -> quality."""
    found: dict[tuple[int, ...], int] = {}
    for quality in range(100, 0, -1):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        natural = [min(max((entry * scale + 50) // 100, 1), 255) for row in _ROBIDOUX for entry in row]
        found[tuple(natural[place] for place in zigzag())] = quality
    return found
