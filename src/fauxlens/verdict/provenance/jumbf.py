"""The boxes in which Content Credentials lie (JUMBF), and the manifests inside: read, not validated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fauxlens.core.errors import FauxlensError
from fauxlens.verdict.provenance.cbor import BadCbor, read_cbor
from fauxlens.verdict.provenance.source_types import named_in

_MAX_DEPTH = 12
_MAX_BOXES = 4096
_MAX_MANIFESTS = 64
_MAX_LISTED = 200
_MAX_READ = 4 << 20  # bytes of one assertion


class BadJumbf(FauxlensError, ValueError):
    """Boxes that contradict themselves or end too early; the message says which, as a clause."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box with a label: its contents by type ('cbor', 'json', ...), and the labelled boxes in it."""

    kind: str  # the first four letters of its type: c2pa, c2ma, c2um, c2cl, c2as, ...
    label: str
    contents: tuple[tuple[str, bytes], ...] = ()
    children: tuple[Box, ...] = ()

    def child(self, *labels: str) -> Box | None:
        """The first box in it whose label is one of these."""
        return next((one for one in self.children if one.label in labels), None)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done: its name ('c2pa.created'), the source type that it states, the program that did it."""

    name: str
    source_type: str | None = None
    program: str = ""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """What went in: as `parentOf` the picture itself as it was before, as `componentOf` a part."""

    relation: str
    manifest: str | None  # the label of its own, where there is one


@dataclass(frozen=True, slots=True)
class Manifest:
    """One set of claims. `stated` are source types in its further metadata; `signer` is as its certificate says."""

    label: str
    program: str = ""
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    stated: tuple[str, ...] = ()
    signer: str = ""
    assertions: tuple[str, ...] = ()


def read_manifests(store: bytes) -> tuple[Manifest, ...]:
    """The manifests of a store, in its order; the last one is the active one. Raises BadJumbf and nothing else."""
    top = read_box(store)
    if top.kind != "c2pa":
        raise BadJumbf(f"a box of the kind '{top.kind[:8]}' where Content Credentials belong")
    found = [_manifest(one) for one in top.children[:_MAX_MANIFESTS] if one.kind in ("c2ma", "c2um")]
    if not found:
        raise BadJumbf("Content Credentials without a manifest")
    return tuple(found)


def read_box(data: bytes) -> Box:
    """The labelled box that `data` begins with."""
    name, start, end = next(_boxes(data, 0, len(data)), (b"", 0, 0))
    if name != b"jumb":
        raise BadJumbf("no JUMBF box")
    return _labelled(data, start, end, 0, [_MAX_BOXES])


def _labelled(data: bytes, start: int, end: int, depth: int, left: list[int]) -> Box:
    if depth > _MAX_DEPTH:
        raise BadJumbf("boxes in boxes beyond all measure")
    kind = label = ""
    contents: list[tuple[str, bytes]] = []
    children: list[Box] = []
    for place, (name, begin, stop) in enumerate(_boxes(data, start, end)):
        left[0] -= 1
        if left[0] < 0:
            raise BadJumbf("boxes beyond all number")
        if place == 0:
            if name != b"jumd" or stop - begin < 17:
                raise BadJumbf("a box without a description")
            kind = data[begin : begin + 4].decode("latin-1")
            if data[begin + 16] & 2:
                label = data[begin + 17 : min(stop, begin + 17 + 512)].partition(b"\0")[0].decode("utf-8", "replace")
        elif name == b"jumb":
            children.append(_labelled(data, begin, stop, depth + 1, left))
        else:
            contents.append((name.decode("latin-1"), data[begin : min(stop, begin + _MAX_READ)]))
    if not kind:
        raise BadJumbf("an empty box")
    return Box(kind, label, tuple(contents), tuple(children))


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin of what it holds, end) of the boxes between two places."""
    at = start
    while at + 8 <= end:
        length, name, begin = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        elif length == 0:
            length = end - at
        if length < begin - at or at + length > end:
            raise BadJumbf("a box that reaches beyond its end")
        yield name, begin, at + length
        at += length


def _manifest(box: Box) -> Manifest:
    claim = _read(box.child("c2pa.claim.v2", "c2pa.claim"))
    store = box.child("c2pa.assertions")
    assertions = () if store is None else store.children[:_MAX_LISTED]
    actions: list[Action] = []
    ingredients: list[Ingredient] = []
    stated: list[str] = []
    for one in assertions:
        if one.label.startswith("c2pa.actions"):
            actions += actions_in(_read(one))
        elif one.label.startswith("c2pa.ingredient"):
            ingredients.append(_ingredient(_read(one)))
        else:
            stated += [
                found.term
                for kind, raw in one.contents
                if kind in ("json", "cbor") and len(raw) < _MAX_READ
                for found in named_in([raw.decode("utf-8", "replace")])
            ]
    return Manifest(
        label=box.label,
        program=program_in(claim),
        actions=tuple(actions[:_MAX_LISTED]),
        ingredients=tuple(ingredients),
        stated=tuple(dict.fromkeys(stated)),
        signer=_signer(box.child("c2pa.signature")),
        assertions=tuple(one.label for one in assertions),
    )


def _read(box: Box | None) -> Mapping[str, Any]:
    """What a box holds, as a mapping; empty when it cannot be read."""
    for kind, raw in () if box is None else box.contents:
        try:
            found = read_cbor(raw) if kind == "cbor" else json.loads(raw) if kind == "json" else None
        except (BadCbor, ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def actions_in(assertion: object) -> list[Action]:
    """The actions of an assertion, whichever way it was written down."""
    several = assertion.get("actions") if isinstance(assertion, Mapping) else None
    found: list[Action] = []
    for one in several[:_MAX_LISTED] if isinstance(several, list) else []:
        if isinstance(one, Mapping):
            stated = one.get("digitalSourceType")
            found.append(Action(_text(one.get("action")), _text(stated) or None, name_in(one.get("softwareAgent"))))
    return found


def program_in(claim: Mapping[str, Any]) -> str:
    """The program that made a claim: by name and version, or as one text in the first edition."""
    about = claim.get("claim_generator_info")
    first = about[0] if isinstance(about, list) and about else about
    return name_in(first) or _text(claim.get("claim_generator"))


def name_in(value: object) -> str:
    """A program as text, or as a name and a version."""
    if not isinstance(value, Mapping):
        return _text(value)
    return f"{_text(value.get('name'))} {_text(value.get('version'))}".strip()


def _ingredient(assertion: Mapping[str, Any]) -> Ingredient:
    link = assertion.get("activeManifest") or assertion.get("c2pa_manifest")
    address = _text(link.get("url")) if isinstance(link, Mapping) else ""
    label = address.partition("/c2pa/")[2].partition("/")[0]
    return Ingredient(_text(assertion.get("relationship")), label or None)


def _text(value: object) -> str:
    return value[:1000] if isinstance(value, str) else ""


def _signer(signature: Box | None) -> str:
    """Whom the certificate of a signature names. The signature itself is not looked at."""
    for kind, raw in () if signature is None else signature.contents:
        try:
            parts = read_cbor(raw) if kind == "cbor" else None
            if not isinstance(parts, list) or len(parts) < 2:
                continue
            protected = read_cbor(parts[0]) if isinstance(parts[0], bytes) and parts[0] else {}
        except BadCbor:
            continue
        for headers in (protected, parts[1]):
            chain = headers.get("33", headers.get("x5chain")) if isinstance(headers, dict) else None
            first = chain[0] if isinstance(chain, list) and chain else chain
            if isinstance(first, bytes):
                return _subject_of(first)
    return ""


_ORGANISATION, _COMMON_NAME = bytes.fromhex("060355040a"), bytes.fromhex("0603550403")


def _subject_of(certificate: bytes) -> str:
    """The organisation, or else the common name, that an X.509 certificate was given to; empty if unreadable."""
    whole = _inner(certificate, 0)
    body = whole and _inner(certificate, whole[0])
    if not body:
        return ""
    # Version (tagged), serial number, algorithm, issuer, validity, subject.
    at, fields = body[0], []
    for _ in range(7):
        field = _inner(certificate, at)
        if field is None or field[1] > body[1]:
            break
        if certificate[at] != 0xA0:
            fields.append(certificate[field[0] : field[1]])
        at = field[1]
    subject = fields[4] if len(fields) > 4 else b""
    for wanted in (_ORGANISATION, _COMMON_NAME):
        place = subject.find(wanted)
        text = _inner(subject, place + len(wanted)) if place >= 0 else None
        if text is not None:
            return subject[text[0] : text[1]].decode("utf-8", "replace")[:200]
    return ""


def _inner(der: bytes, at: int) -> tuple[int, int] | None:
    """Begin and end of what the DER element at a place holds."""
    if at + 2 > len(der):
        return None
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4:
            return None
        length, begin = int.from_bytes(der[begin : begin + count], "big"), begin + count
    return (begin, begin + length) if begin + length <= len(der) else None
