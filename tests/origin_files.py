"""Files that speak of their origin, made by code: EXIF with a thumbnail, XMP, IPTC, Content Credentials, watermarks."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.images.shapes import Pixels
from image_files import chunk, riff, riff_chunks, with_chunks, with_segments

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PARTLY = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

Value = str | bytes | int
Tags = Mapping[int, Value]


def tiff_block(
    first: Tags, own: Tags | None = None, place: Tags | None = None, thumbnail: bytes | None = None, order: str = ">"
) -> bytes:
    """An EXIF block: its first directory, EXIF's own, that of the place, and the thumbnail's."""
    start = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "L", 8)
    first = dict(first)
    for tag, directory in ((0x8769, own), (0x8825, place)):
        if directory is not None:
            first[tag] = 0
    size = _length(first)
    pointers: dict[int, int] = {}
    parts: list[bytes] = []
    at = 8 + size
    for tag, directory in ((0x8769, own), (0x8825, place)):
        if directory is not None:
            pointers[tag] = at
            parts.append(_directory(directory, at, order))
            at += len(parts[-1])
    following = 0
    if thumbnail is not None:
        following = at
        second = {0x0103: 6, 0x0201: 0, 0x0202: len(thumbnail)}
        second[0x0201] = at + _length(second)
        parts.append(_directory(second, at, order) + thumbnail)
    return start + _directory({**first, **pointers}, 8, order, following) + b"".join(parts)


def _length(tags: Tags) -> int:
    return 6 + 12 * len(tags) + sum(len(raw) for _, _, raw in map(_packed, tags.values()) if len(raw) > 4)


def _packed(value: Value, order: str = ">") -> tuple[int, int, bytes]:
    if isinstance(value, str):
        raw = value.encode() + b"\0"
        return 2, len(raw), raw
    if isinstance(value, bytes):
        return 7, len(value), value
    return 4, 1, struct.pack(order + "L", value)


def _directory(tags: Tags, at: int, order: str, following: int = 0) -> bytes:
    entries, behind = b"", b""
    after = at + 6 + 12 * len(tags)
    for tag, value in sorted(tags.items()):
        kind, count, raw = _packed(value, order)
        if len(raw) > 4:
            field = struct.pack(order + "L", after + len(behind))
            behind += raw
        else:
            field = raw.ljust(4, b"\0")
        entries += struct.pack(order + "HHL", tag, kind, count) + field
    return struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "L", following) + behind


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """A packet with these properties, written as attributes and as elements."""
    return f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dcterms="http://purl.org/dc/terms/" {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def iim(fields: Mapping[int, str]) -> bytes:
    """IPTC's older fields, of the second record."""
    return b"".join(
        b"\x1c\x02" + bytes((number,)) + struct.pack(">H", len(text.encode())) + text.encode()
        for number, text in fields.items()
    )


def photoshop(resource: bytes, number: int = 0x0404, name: bytes = b"") -> bytes:
    """One of Photoshop's image resources."""
    title = bytes((len(name),)) + name
    title += b"\0" * (len(title) % 2)
    body = resource + b"\0" * (len(resource) % 2)
    return b"8BIM" + struct.pack(">H", number) + title + struct.pack(">L", len(resource)) + body


def text(key: str, value: str) -> tuple[bytes, bytes]:
    """A PNG chunk of plain text, or of UTF-8 where it has to be."""
    if value.isascii():
        return b"tEXt", key.encode() + b"\0" + value.encode()
    return b"iTXt", key.encode() + b"\0\0\0\0\0" + value.encode()


def xmp_in_png(png: bytes, packet: bytes) -> bytes:
    """A PNG with an XMP packet."""
    return with_chunks(png, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))


def xmp_in_jpeg(jpeg: bytes, packet: bytes) -> bytes:
    """A JPEG with an XMP packet."""
    return with_segments(jpeg, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))


def exif_in_jpeg(jpeg: bytes, block: bytes) -> bytes:
    """A JPEG with an EXIF block."""
    return with_segments(jpeg, (0xE1, b"Exif\0\0" + block))


def cbor(value: Any) -> bytes:
    """The shortest CBOR of plain data."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(cbor, value))
    return _head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def _head(major: int, size: int) -> bytes:
    if size < 24:
        return bytes((major << 5 | size,))
    length = next(k for k in (1, 2, 4, 8) if size < 1 << 8 * k)
    return bytes((major << 5 | 24 + length.bit_length() - 1,)) + size.to_bytes(length, "big")


def box(name: bytes, payload: bytes) -> bytes:
    """A box by name and content."""
    return struct.pack(">L", len(payload) + 8) + name + payload


def jumbf(kind: bytes, label: str, *inside: bytes) -> bytes:
    """A labelled box."""
    description = kind + bytes.fromhex("00110010800000AA00389B71") + b"\x03" + label.encode() + b"\0"
    return box(b"jumb", box(b"jumd", description) + b"".join(inside))


def manifest(
    label: str = "urn:uuid:1",
    actions: Sequence[Mapping[str, Any]] = (),
    *,
    program: str = "Toy Program",
    ingredients: Sequence[tuple[str, str]] = (),
    certificate: bytes | None = None,
    others: Sequence[bytes] = (),
) -> bytes:
    """A manifest whose signature is a made-up one."""
    assertions = [jumbf(b"cbor", "c2pa.actions.v2", box(b"cbor", cbor({"actions": list(actions)})))]
    for number, (relation, of) in enumerate(ingredients):
        link = {"url": f"self#jumbf=/c2pa/{of}/c2pa.signature", "hash": b"\0" * 32}
        about = {"dc:title": "a part", "relationship": relation, "c2pa_manifest": link}
        assertions.append(jumbf(b"cbor", f"c2pa.ingredient__{number}", box(b"cbor", cbor(about))))
    headers: dict[Any, Any] = {} if certificate is None else {33: certificate}
    claim = {"claim_generator_info": {"name": program, "version": "2"}}
    signature = b"\xd2" + cbor([cbor(headers), {}, None, b"\0" * 64])
    return jumbf(
        b"c2ma", label,
        jumbf(b"c2as", "c2pa.assertions", *assertions, *others),
        jumbf(b"c2cl", "c2pa.claim.v2", box(b"cbor", cbor(claim))),
        jumbf(b"c2cs", "c2pa.signature", box(b"cbor", signature)),
    )  # fmt: skip


def store(*manifests: bytes) -> bytes:
    """A store of manifests, the active one last."""
    return jumbf(b"c2pa", "c2pa", *manifests)


def created(source_type: str = TRAINED, program: str = "Toy Model") -> dict[str, Any]:
    """The action that begins a picture."""
    return {"action": "c2pa.created", "digitalSourceType": source_type, "softwareAgent": {"name": program}}


def store_in_jpeg(jpeg: bytes, whole: bytes, size: int = 60_000) -> bytes:
    """A JPEG with Content Credentials in as many segments as they need, each with the header of the box again."""
    head, rest = whole[:8], whole[8:]
    pieces = [rest[k : k + size] for k in range(0, len(rest), size)]
    new = [(0xEB, b"JP" + struct.pack(">HL", 1, number) + head + one) for number, one in enumerate(pieces, 1)]
    return with_segments(jpeg, *new)


def store_in_png(png: bytes, whole: bytes) -> bytes:
    """A PNG with Content Credentials."""
    return with_chunks(png, (b"caBX", whole))


def store_in_webp(webp: bytes, whole: bytes) -> bytes:
    """A WebP with Content Credentials."""
    return riff(*riff_chunks(webp), (b"C2PA", whole))


def store_in_avif(avif: bytes, whole: bytes) -> bytes:
    """An AVIF with Content Credentials."""
    payload = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(4) + b"manifest\0" + bytes(8) + whole
    return avif + box(b"uuid", payload)


def behind_the_picture(png: bytes, *new: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks right before its end."""
    return png[:-12] + b"".join(chunk(*part) for part in new) + png[-12:]


def certificate(organisation: str = "Toy Pictures", name: str = "Toy Signer") -> bytes:
    """The beginning of an X.509 certificate, as far as its subject."""

    def element(kind: int, payload: bytes) -> bytes:
        size = len(payload)
        length = bytes((size,)) if size < 128 else b"\x82" + struct.pack(">H", size)
        return bytes((kind,)) + length + payload

    def named(organisation: str, name: str) -> bytes:
        pairs = ((b"\x55\x04\x0a", organisation), (b"\x55\x04\x03", name))
        inner = [element(6, number) + element(0x0C, said.encode()) for number, said in pairs]
        return element(0x30, b"".join(element(0x31, element(0x30, one)) for one in inner))

    version, serial = element(0xA0, element(2, b"\x02")), element(2, b"\x01")
    issuer, subject = named("Another Authority", "Root"), named(organisation, name)
    body = version + serial + element(0x30, b"") + issuer + element(0x30, b"") + subject
    return element(0x30, element(0x30, body))


def watermarked(pixels: Pixels, message: Sequence[int], *, swapped: bool = False) -> Pixels:
    """RGB pixels with a dwtDct watermark, written from its description with a loop a block, unlike its reader."""
    to, back = (cv2.COLOR_BGR2YUV, cv2.COLOR_YUV2BGR) if swapped else (cv2.COLOR_RGB2YUV, cv2.COLOR_YUV2RGB)
    height, width = (side // 4 * 4 for side in pixels.shape[:2])
    yuv = cv2.cvtColor(np.ascontiguousarray(pixels[:height, :width]), to)
    u: NDArray[np.float64] = yuv[..., 1].astype(np.float64)
    tiles = u.reshape(height // 2, 2, width // 2, 2)
    a, b, c, d = tiles[:, 0, :, 0], tiles[:, 0, :, 1], tiles[:, 1, :, 0], tiles[:, 1, :, 1]
    mean, across, down, both = (a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
    number = 0
    for top in range(0, mean.shape[0] // 4 * 4, 4):
        for left in range(0, mean.shape[1] // 4 * 4, 4):
            flat = mean[top : top + 4, left : left + 4].reshape(16)
            place = 1 + int(np.argmax(np.abs(flat[1:])))
            level = abs(flat[place]) // 36 * 36 + (27 if message[number % len(message)] else 9)
            mean[top + place // 4, left + place % 4] = np.copysign(level, flat[place])
            number += 1
    tiles[:, 0, :, 0], tiles[:, 0, :, 1] = (mean + across + down + both) / 2, (mean - across + down - both) / 2
    tiles[:, 1, :, 0], tiles[:, 1, :, 1] = (mean + across - down - both) / 2, (mean - across - down + both) / 2
    yuv[..., 1] = np.clip(np.rint(tiles.reshape(height, width)), 0, 255)
    found = pixels.copy()
    found[:height, :width] = cv2.cvtColor(yuv, back)
    return found
