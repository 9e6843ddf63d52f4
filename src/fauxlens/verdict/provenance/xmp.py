"""XMP packets: their properties as a flat list, read by a parser that knows no entities and stops at its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat

from fauxlens.core.errors import FauxlensError

_MAX_BYTES = 4 << 20
_MAX_PACKETS = 8
_MAX_DEPTH = 64
_MAX_PROPERTIES = 20_000
_MAX_TEXT = 1 << 16
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_STRUCTURE = frozenset(("RDF", "Description", "Bag", "Seq", "Alt", "li"))


class BadXmp(FauxlensError, ValueError):
    """A packet that is not read any further; the message says why, as a clause."""


@dataclass(frozen=True, slots=True)
class Xmp:
    """(name without its namespace, value) of every property and attribute, in the order of the file."""

    properties: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()

    def values(self, *names: str) -> tuple[str, ...]:
        """The values of the properties of these names, whatever prefix the writer chose.

        Namespaces are not asked for: writers get them wrong, and no two that matter here share a name.
        """
        return tuple(value for name, value in self.properties if name in names)


def read_xmp(packets: tuple[bytes, ...]) -> Xmp:
    """The properties of all packets. Never raises: a packet that breaks off gives what stands before, and a fault."""
    found: list[tuple[str, str]] = []
    faults: list[str] = []
    for packet in packets[:_MAX_PACKETS]:
        if len(packet) > _MAX_BYTES:
            faults.append(f"an XMP packet of {len(packet):,} bytes, which was not read")
            continue
        try:
            _read(packet, found)
        except BadXmp as bad:
            faults.append(bad.what)
        # UnicodeEncodeError and LookupError: encodings that the packet claims to be in.
        except (expat.ExpatError, ValueError, LookupError) as bad:
            faults.append(f"a broken XMP packet ({str(bad)[:80]})")
    return Xmp(tuple(found), tuple(faults))


def _read(packet: bytes, found: list[tuple[str, str]]) -> None:
    path: list[str | None] = []  # names of properties, None for what only structures them
    text: list[list[str]] = []
    taken = 0
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        # No XMP has a document type; with one come entities, and with these bombs and files of the reader's machine.
        raise BadXmp("an XMP packet with a document type, which was not read")

    def start(name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        path.append(None if space == _RDF and local in _STRUCTURE else local)
        text.append([])
        if len(path) > _MAX_DEPTH:
            raise BadXmp(f"an XMP packet nested deeper than {_MAX_DEPTH}")
        for key, value in attributes.items():
            owner, _, inner = key.rpartition(" ")
            if owner == _RDF and inner == "resource":
                keep(_nearest(path), value)
            elif owner != _RDF and inner != "lang":
                keep(inner, value)

    def end(_: str) -> None:
        keep(_nearest(path), "".join(text.pop()).strip())
        path.pop()

    def letters(some: str) -> None:
        nonlocal taken
        taken += len(some)
        if text and taken <= _MAX_BYTES:
            text[-1].append(some)

    def keep(name: str | None, value: str) -> None:
        if name and value:
            found.append((name, value[:_MAX_TEXT]))
            if len(found) > _MAX_PROPERTIES:
                raise BadXmp(f"an XMP packet of more than {_MAX_PROPERTIES:,} properties")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = letters
    parser.Parse(packet.strip(b"\0 \t\r\n"), True)


def _nearest(path: list[str | None]) -> str | None:
    return next((name for name in reversed(path) if name is not None), None)
