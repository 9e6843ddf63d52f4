"""Whatever the bytes are: no check raises, and none takes more than a moment."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import origin_files as made
from fauxlens.core.errors import UnreadableImage
from fauxlens.core.names import look_up
from fauxlens.images.picture import Picture, decode
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance import CHECKS, provenance
from fauxlens.verdict.provenance.blocks import read_blocks
from fauxlens.verdict.provenance.cbor import BadCbor, read_cbor
from fauxlens.verdict.provenance.exif import read_exif
from fauxlens.verdict.provenance.iptc import read_iptc, resource
from fauxlens.verdict.provenance.jumbf import BadJumbf, read_manifests
from fauxlens.verdict.provenance.told import subject_of
from fauxlens.verdict.provenance.xmp import read_xmp
from image_files import riff, riff_chunks, saved, with_chunks, with_segments

STORE = made.store(made.manifest(actions=[made.created()], certificate=made.certificate()))
BLOCK = made.tiff_block(
    {0x010F: "Toy", 0x0110: "Toy 1", 0x0131: "Toy 2"},
    own={0x9003: "2024:05:05 07:08:09", 0x9286: b"UNICODE\0" + "Steps: 3, Seed: 4".encode("utf-16-be")},
    place={2: b"\0" * 24},
    thumbnail=saved("JPEG"),
)
PACKET = made.xmp(f'Iptc4xmpExt:DigitalSourceType="{made.TRAINED}" xmp:CreatorTool="Toy"')
IIM = made.photoshop(made.iim({65: "Toy", 120: "Steps: 3"}))
TEXTS = (made.text("parameters", "a\nSteps: 3, Seed: 4"), made.text("prompt", json.dumps({"1": {"class_type": "A"}})))
FILES = {
    "JPEG": made.store_in_jpeg(
        with_segments(saved("JPEG"), (0xE1, b"Exif\0\0" + BLOCK), (0xED, b"Photoshop 3.0\0" + IIM)), STORE
    ),
    "PNG": made.xmp_in_png(with_chunks(made.store_in_png(saved("PNG", exif=BLOCK), STORE), *TEXTS), PACKET),
    "WEBP": riff(*riff_chunks(made.store_in_webp(saved("WEBP", exif=BLOCK), STORE)), (b"XMP ", PACKET)),
    "AVIF": made.store_in_avif(saved("AVIF", exif=BLOCK, xmp=PACKET), STORE),
    "TIFF": saved("TIFF", tiffinfo={700: PACKET, 52545: STORE, 271: "Toy"}),
    "GIF": saved("GIF", comment=b"Steps: 3, Seed: 4"),
}
PICTURES = {name: decode(saved(name)) for name in FILES}


def all_of(data: bytes, picture: Picture) -> list[Evidence]:
    """What every check says, each called by itself: its faults are not caught here."""
    subject = subject_of(Path("picture"), data, picture)
    found = [one for name in CHECKS for one in look_up(CHECKS, name, "check")(subject).evidence]
    for one in found:
        json.dumps(one.as_json(), allow_nan=False)
        assert one.sentence.endswith(".")
        assert len(one.sentence) < 1500
    return found


@pytest.mark.parametrize("format_", FILES)
def test_whole_files_are_told(format_):
    assert any(one.leans != "none" for one in all_of(FILES[format_], PICTURES[format_])) or format_ == "GIF"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.sampled_from(sorted(FILES)), some.data())
def test_changed_bytes_and_cuts_never_raise(format_, draw):
    data = bytearray(FILES[format_])
    for _ in range(draw.draw(some.integers(1, 12))):
        data[draw.draw(some.integers(0, len(data) - 1))] = draw.draw(some.integers(0, 255))
    end = draw.draw(some.one_of(some.just(len(data)), some.integers(0, len(data))))
    all_of(bytes(data[:end]), PICTURES[format_])


@settings(max_examples=150, deadline=None)
@given(some.binary(max_size=400))
def test_any_bytes_in_any_block(noise):
    for format_ in ("jpeg", "png", "webp", "gif", "tiff", ""):
        read_blocks(noise, format_)
        read_blocks(FILES["PNG"][:8] + noise, format_)
    read_exif(noise)
    read_exif(BLOCK[:8] + noise)
    read_iptc((noise, b"\x1c\x02" + noise))
    resource(b"8BIM" + noise)
    read_xmp((noise, PACKET[: len(noise)] + noise))
    inside = made.jumbf(b"c2pa", "c2pa", made.jumbf(b"c2ma", "a", noise))
    readers: tuple[tuple[Callable[[bytes], object], type[Exception]], ...] = (
        (read_cbor, BadCbor),
        (read_manifests, BadJumbf),
    )
    for read, fault in readers:
        for data in (noise, made.jumbf(b"c2pa", "c2pa", noise), inside):
            with suppress(fault):
                read(data)


KEYS = ["parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream", "Comment", "Software"]
NAMES = ["nodes", "inputs", "class_type", "image", "model", "prompt", "version", "seed", "sui_image_params", "type"]
PLAIN = some.one_of(some.none(), some.integers(), some.floats(), some.text(max_size=20))
JSON = some.recursive(
    PLAIN,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(some.dictionaries(some.sampled_from(KEYS), JSON))
def test_any_json_in_any_text(texts):
    chunks = [(b"tEXt", key.encode() + b"\0" + json.dumps(value).encode()) for key, value in texts.items()]
    all_of(with_chunks(saved("PNG"), (b"tEXt", b"Software\0NovelAI Fooocus"), *chunks), PICTURES["PNG"])


def png(*chunks: tuple[bytes, bytes]) -> tuple[str, bytes]:
    return "PNG", with_chunks(saved("PNG"), *chunks)


def packet(elements: str) -> tuple[str, bytes]:
    return "PNG", made.xmp_in_png(saved("PNG"), made.xmp(elements=elements))


def hostile() -> dict[str, tuple[str, bytes]]:
    bomb = b"k\0\0" + zlib.compress(bytes(64 << 20), 9)
    own = made.tiff_block({0x8769: 8})  # EXIF's own directory is the first one again
    entry = b"\x01\x0f\0\2\0\x10\0\0\0\0\0\x1a"
    wide = b"MM\0*\0\0\0\x08\xff\xff" + entry * 5000 + bytes(2 << 20)
    many = made.store(*[made.manifest(f"urn:{number}") for number in range(3000)])
    long = made.store(made.manifest(actions=[made.created()] * 9000))
    return {
        "a bomb of text": png(*[(b"zTXt", bomb)] * 20),
        "a million texts": png(*[(b"tEXt", b"Comment\0Steps: 1")] * 60_000),
        "broken texts": png(*[(b"zTXt", b"k\0\0broken")] * 60_000),
        "blanks": png((b"tEXt", b"parameters\0Steps: 1" + b"\n \n " * 500_000 + b"Steps: 2")),
        "commas": png((b"tEXt", b"parameters\0Steps: 1" + b', a: "' * 500_000)),
        "quotes": png((b"tEXt", b'Dream\0"' + b'" -' * 500_000)),
        "a directory in itself": ("JPEG", with_segments(saved("JPEG"), (0xE1, b"Exif\0\0" + own))),
        "values over each other": png((b"eXIf", wide)),
        "many attributes": packet('<dc:a dc:b="c"/>' * 150_000),
        "names of programs": packet(f"<xmp:CreatorTool>{'Adobe ' * 30}</xmp:CreatorTool>" * 9000),
        "segments": ("JPEG", with_segments(saved("JPEG"), *[(0xED, b"Photoshop 3.0\0" + IIM * 50)] * 3000)),
        "boxes": ("PNG", made.store_in_png(saved("PNG"), many)),
        "one long list": ("PNG", made.store_in_png(saved("PNG"), long)),
    }


HOSTILE = hostile()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_no_more_than_a_moment(name):
    format_, data = HOSTILE[name]
    begun = time.process_time()  # other work on the machine does not count
    all_of(data, PICTURES[format_])
    assert time.process_time() - begun < 2.0


def test_a_check_that_fails_is_told_and_costs_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG"))
    monkeypatch.setitem(CHECKS, "metadata", "json:loads")
    told = provenance(path, PICTURES["PNG"])
    assert told.not_checked == ("metadata: the check failed (TypeError)",)
    assert [one.check for one in told.evidence] == ["origin"]


def test_a_file_that_is_gone_is_an_error_of_the_family(tmp_path):
    with pytest.raises(UnreadableImage):
        provenance(tmp_path / "gone.png", PICTURES["PNG"])
