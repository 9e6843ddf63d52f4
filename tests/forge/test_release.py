from __future__ import annotations

from fauxlens.forge.release import real_name, stems_of, type_word, unit_names
from fauxlens.manifest.layouts.brgen import parse_forgery_name


def test_names_are_read_back_by_the_layout_of_the_release() -> None:
    names = unit_names("NavierStokes", "background", "ImageNet", "n01_2_3")
    assert names["spliced"] == "Background/NavierStokes/NavierStokes_Background_ImageNet_n01_2_3"
    told = parse_forgery_name(names["spliced"].rpartition("/")[2])
    assert (told.method, told.mask_type, told.source, told.stem) == (
        "NavierStokes",
        "background",
        "ImageNet",
        "n01_2_3",
    )
    real = parse_forgery_name(real_name("COCO", "00000000520").rpartition("/")[2])
    assert (real.source, real.stem) == ("COCO", "00000000520")
    assert type_word("region") == "Region"


def test_stems_that_differ_in_capitals_alone_do_not_meet() -> None:
    stems = stems_of([("aaaaaaaa", "COCO", "IMG"), ("bbbbbbbb", "COCO", "img"), ("cccccccc", "Places", "img")])
    assert len({stem.lower() for stem in (stems["aaaaaaaa"], stems["bbbbbbbb"])}) == 2
    assert stems["cccccccc"] == "img"


def test_a_stem_without_a_usable_letter_has_a_name_all_the_same() -> None:
    assert stems_of([("aaaaaaaa", "COCO", "\u00e9\u00e8")]) == {"aaaaaaaa": "photo"}
