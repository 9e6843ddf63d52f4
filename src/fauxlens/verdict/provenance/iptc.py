"""IPTC-IIM: the older fields, as Photoshop stores them."""

from __future__ import annotations

from fauxlens.verdict.provenance.exif import decoded

_FIELDS = {
    5: "Title",
    25: "Keywords",
    40: "Instructions",
    55: "DateCreated",
    65: "Program",
    70: "ProgramVersion",
    80: "Byline",
    110: "Credit",
    115: "Source",
    116: "Copyright",
    120: "Caption",
}
_MAX_FIELDS = 512
_IIM = 0x0404


def resource(photoshop: bytes, wanted: int = _IIM) -> bytes | None:
    """One resource of a chain of Photoshop's image resources; None when it is not there."""
    at = 0
    while photoshop[at : at + 4] == b"8BIM" and at + 12 <= len(photoshop):
        number = int.from_bytes(photoshop[at + 4 : at + 6], "big")
        name = photoshop[at + 6] + 1  # a length and as many letters, together even
        at += 6 + name + name % 2
        size = int.from_bytes(photoshop[at : at + 4], "big")
        if number == wanted:
            return photoshop[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return None


def read_iptc(blocks: tuple[bytes, ...]) -> tuple[tuple[str, str], ...]:
    """(name, value) of the fields that are known here. Never raises; what is no field ends the reading."""
    found: list[tuple[str, str]] = []
    for block in blocks:
        at = 0
        while block[at : at + 1] == b"\x1c" and at + 5 <= len(block) and len(found) < _MAX_FIELDS:
            record, dataset = block[at + 1], block[at + 2]
            size = int.from_bytes(block[at + 3 : at + 5], "big")
            if size & 0x8000:  # a field of more than 32 kB says first how long its length is; none of ours is one
                break
            if record == 2 and dataset in _FIELDS:
                found.append((_FIELDS[dataset], decoded(block[at + 5 : at + 5 + size])))
            at += 5 + size
    return tuple(found)
