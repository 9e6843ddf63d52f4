"""Source types, programs and cameras, in every container; what is absent is unknown."""

from __future__ import annotations

import zlib

import pytest

import origin_files as made
from fauxlens.verdict.provenance.source_types import SOURCE_TYPES, source_type
from image_files import riff, riff_chunks, saved, with_chunks, with_segments

STATED = made.xmp(f'Iptc4xmpExt:DigitalSourceType="{made.TRAINED}"')
CAMERA = made.tiff_block(
    {0x010F: "Nikon", 0x0110: "NIKON D90", 0x0132: "2024:05:06 08:00:00"},
    own={0x9003: "2024:05:05 07:08:09", 0x927C: b"maker"},
    place={1: "N\0", 2: b"\0" * 24, 4: b"\0" * 24},
)


def with_xmp(format_: str, packet: bytes) -> bytes:
    data = saved(format_)
    if format_ == "JPEG":
        return made.xmp_in_jpeg(data, packet)
    if format_ == "PNG":
        return made.xmp_in_png(data, packet)
    if format_ == "WEBP":
        return riff(*riff_chunks(data), (b"XMP ", packet))
    return saved(format_, xmp=packet) if format_ == "AVIF" else saved(format_, tiffinfo={700: packet})


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_stated_source_type_is_found_in_every_container(find, format_):
    found = find(with_xmp(format_, STATED), "source_type")
    assert (found.leans, found.strength) == ("generated", "strong")
    assert found.details == {"term": "trainedAlgorithmicMedia"}
    assert "strip" in found.limit


@pytest.mark.parametrize(
    "elements",
    [
        f"<Iptc4xmpExt:DigitalSourceType>{made.TRAINED}</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{made.TRAINED}"/>',
        "<Iptc4xmpExt:DigitalSourceType>trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
        f"<Iptc4xmpExt:DigitalSourceType><rdf:Bag><rdf:li>{made.TRAINED}</rdf:li></rdf:Bag></Iptc4xmpExt:DigitalSourceType>",
        f"<dc:subject><rdf:Bag><rdf:li>{made.TRAINED}</rdf:li></rdf:Bag></dc:subject>",
    ],
)
def test_every_way_to_write_it_is_read(find, elements):
    assert find(made.xmp_in_png(saved("PNG"), made.xmp(elements=elements)), "source_type").leans == "generated"


def test_what_the_terms_speak_for():
    leanings = {name: (one.leans, one.strength) for name, one in SOURCE_TYPES.items()}
    assert [name for name, one in leanings.items() if one[1] == "strong"] == [
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
        "print",
        "screenCapture",
    ]
    assert leanings["screenCapture"] == ("laundered", "strong")
    assert leanings["compositeWithTrainedAlgorithmicMedia"] == ("edited", "strong")
    assert leanings["digitalCapture"] == leanings["computationalCapture"] == ("captured", "context")
    assert leanings["humanEdits"] == leanings["algorithmicallyEnhanced"] == ("none", "context")
    assert (
        source_type("HTTP://CV.IPTC.ORG/newscodes/digitalsourcetype/digitalcapture") is SOURCE_TYPES["digitalCapture"]
    )


def test_a_source_type_in_iim_and_in_a_png_text(find):
    block = made.photoshop(b"other", 0x03ED, b"odd") + made.photoshop(made.iim({40: made.PARTLY}))
    jpeg = with_segments(saved("JPEG"), (0xED, b"Photoshop 3.0\0" + block))
    assert find(jpeg, "source_type").leans == "edited"
    assert (
        find(with_chunks(saved("PNG"), made.text("DigitalSourceType", "screenCapture")), "source_type").leans
        == "laundered"
    )


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_camera_is_context_and_the_place_is_not_told(find, format_):
    data = made.exif_in_jpeg(saved("JPEG"), CAMERA) if format_ == "JPEG" else saved(format_, exif=CAMERA)
    found = find(data, "camera")
    assert (found.leans, found.strength) == ("captured", "context")
    assert "NIKON D90, on 2024:05:05 07:08:09; a place is stated too" in found.sentence
    assert found.details["place_stated"] is True
    assert found.details["maker_note"] is True
    assert not any("latitude" in key.lower() for key in found.details)
    assert "easily copied" in found.limit


def test_little_endian_exif_without_a_camera(find):
    block = made.tiff_block({0x0131: "Toy 3"}, own={0x9003: "2020:01:01 00:00:00"}, order="<")
    data = made.exif_in_jpeg(saved("JPEG"), block)
    found = find(data, "camera")
    assert (found.leans, found.sentence) == ("none", "The file holds a date of a photo, but names no camera.")
    assert find(data, "software").sentence == "The file names the program that wrote it: 'Toy 3'."


def test_a_file_that_says_it_was_taken_from_a_screen(find):
    comment = {0x9286: b"ASCII\0\0\0Screenshot"}
    for data in (
        made.exif_in_jpeg(saved("JPEG"), made.tiff_block({0x0131: "17.5"}, own=comment)),
        with_chunks(saved("PNG"), made.text("Software", "gnome-screenshot")),
    ):
        found = find(data, "software")
        assert (found.leans, found.strength) == ("laundered", "strong")
        assert "picture of a screen" in found.sentence


@pytest.mark.parametrize(
    ("said", "leans", "strength"),
    [
        ("Adobe Firefly", "generated", "weak"),
        ("Adobe Photoshop 25.1 (Macintosh)", "none", "context"),
        ("Picture Window 7", "none", "context"),
    ],
)
def test_programs(find, said, leans, strength):
    tool = made.xmp_in_png(saved("PNG"), made.xmp(f'xmp:CreatorTool="{said}"'))
    history = f'<xmpMM:History><rdf:Seq><rdf:li stEvt:softwareAgent="{said}"/></rdf:Seq></xmpMM:History>'
    for data in (
        tool,
        made.xmp_in_png(saved("PNG"), made.xmp(elements=history)),
        made.exif_in_jpeg(saved("JPEG"), made.tiff_block({0x0131: said})),
        with_chunks(saved("PNG"), made.text("Software", said)),
        with_segments(saved("JPEG"), (0xED, b"Photoshop 3.0\0" + made.photoshop(made.iim({65: said})))),
    ):
        found = find(data, "software")
        assert (found.leans, found.strength) == (leans, strength)


def test_a_credit_that_speaks_of_a_part(find):
    data = made.xmp_in_png(saved("PNG"), made.xmp('photoshop:Credit="Edited with Google AI"'))
    assert find(data, "software").leans == "edited"


def test_a_system_that_is_stated_whatever_its_name(find):
    data = made.xmp_in_png(saved("PNG"), made.xmp('Iptc4xmpExt:AISystemUsed="Toy Painter 9"'))
    found = find(data, "software")
    assert (found.leans, found.strength) == ("generated", "weak")
    assert "'Toy Painter 9'" in found.sentence


def test_agencies_and_people_are_no_programs(ask):
    block = made.photoshop(made.iim({80: "A. Person", 110: "An Agency", 115: "A Paper"}))
    data = with_segments(saved("JPEG"), (0xED, b"Photoshop 3.0\0" + block))
    data = made.xmp_in_jpeg(data, made.xmp('photoshop:Credit="An Agency"'))
    assert [one.check for one in ask(data).evidence] == ["jpeg_tables", "origin"]
    data = with_segments(
        saved("JPEG"), (0xED, b"Photoshop 3.0\0" + made.photoshop(made.iim({110: "Made with Google AI"})))
    )
    assert [one.leans for one in ask(data).evidence] == ["generated", "none"]


def test_heic(find):
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = saved("HEIF", exif=b"Exif\0\0" + CAMERA, xmp=STATED)
    assert "NIKON" in find(data, "camera").sentence
    assert find(data, "source_type").leans == "generated"


def test_credentials_elsewhere_are_told_and_not_fetched(ask):
    told = ask(made.xmp_in_png(saved("PNG"), made.xmp('dcterms:provenance="https://example.org/manifest.c2pa"')))
    assert [one.check for one in told.evidence] == ["remote_credentials"]
    assert "nothing is fetched" in told.not_checked[0]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP"])
def test_absent_is_unknown(ask, format_):
    told = ask(saved(format_))
    silent = [one for one in told.evidence if one.check == "origin"]
    assert len(silent) == 1
    assert (silent[0].leans, silent[0].strength) == ("none", "context")
    assert "unknown" in silent[0].limit
    assert {one.leans for one in told.evidence} == {"none"}
    assert told.not_checked == ()


def test_metadata_behind_the_picture_and_as_raw_profiles(find):
    assert find(made.behind_the_picture(saved("PNG"), made.text("Software", "GIMP 2.10")), "software")
    raw = b"Exif\0\0" + CAMERA
    profile = f"\nexif\n{len(raw):8d}\n{raw.hex()}\n".encode()
    png = with_chunks(saved("PNG"), (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)))
    assert "NIKON" in find(png, "camera").sentence


def test_an_entity_bomb_is_refused_and_told(ask):
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + STATED
    for packet in (bomb, bomb.decode().encode("utf-16")):
        told = ask(made.xmp_in_png(saved("PNG"), packet))
        assert [one.check for one in told.evidence] == ["broken_metadata", "origin"]
        assert "document type" in told.evidence[0].sentence


def test_what_stands_before_a_break_still_counts(ask):
    cut = STATED[: STATED.index(b"</x:xmpmeta>") - 20]
    checks = [one.check for one in ask(made.xmp_in_png(saved("PNG"), cut)).evidence]
    assert checks == ["source_type", "broken_metadata"]


def test_a_packet_beyond_all_measure_is_not_read(ask):
    deep = made.xmp(elements="<dc:x>" * 200 + "</dc:x>" * 200)
    assert "nested" in ask(made.xmp_in_png(saved("PNG"), deep)).evidence[0].sentence
    large = made.xmp(elements="<!--" + " " * (5 << 20) + "-->")
    assert "was not read" in ask(made.xmp_in_png(saved("PNG"), large)).evidence[0].sentence
