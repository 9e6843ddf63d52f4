"""Annotation maps drawn as toy files: what becomes a region, at which size, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fauxlens.core.errors import BadSetting, BadShape, UnknownName, UnreadableImage
from fauxlens.forge.perceive.annotations import Annotations
from fauxlens.forge.perceive.label_map import read_mask, read_names
from fauxlens.forge.perceive.provider import load_provider
from fauxlens.forge.region import Photo, Region

HEIGHT, WIDTH = 60, 100
SKY = np.s_[0:24, 0:100]  # 0.40 of the frame
GRASS = np.s_[40:60, 0:90]  # 0.30
DOG = np.s_[26:38, 10:50]  # 0.08
CAT = np.s_[26:36, 60:80]  # 0.033


def photo(name: str = "a", size: tuple[int, int] = (HEIGHT, WIDTH)) -> Photo:
    return Photo(name, np.zeros((*size, 3), np.uint8), path=f"pictures/{name}.jpg")


def drawn(values: dict[int, Any], nothing: int, dtype: type = np.uint8) -> np.ndarray:
    labels = np.full((HEIGHT, WIDTH), nothing, dtype)
    for value, where in values.items():
        labels[where] = value
    return labels


def inside(where: Any, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[where] = True
    return mask


def provider(**settings: Any) -> Annotations:
    found = load_provider("annotations", settings)
    assert isinstance(found, Annotations)
    return found


def told(regions: Any) -> list[tuple[str, str]]:
    return [(one.mask_type, one.category) for one in regions]


def only(regions: Any, category: str) -> Region:
    (found,) = (one for one in regions if one.category == category)
    return found


def test_stuff_maps_by_the_pixelmaps_numbers(tmp_path: Path) -> None:
    # sky-other is 157, grass 124, dog 18 and cat 17; the released pixelmaps hold one less.
    Image.fromarray(drawn({156: SKY, 123: GRASS, 17: DOG, 16: CAT}, 255)).save(tmp_path / "a.png")
    regions = provider(kind="coco-stuff", root=str(tmp_path)).regions(photo(), 0)
    assert told(regions) == [("stuff", "sky"), ("stuff", "grass"), ("background", "dog"), ("background", "cat")]
    sky, dog = only(regions, "sky"), only(regions, "dog")
    assert np.array_equal(sky.mask, inside(SKY))
    assert np.array_equal(dog.mask, ~inside(DOG))
    assert (sky.category_id, sky.score, sky.box) == (157, 0.4, (0.0, 0.0, 100.0, 24.0))
    assert (dog.category_id, dog.score, dog.box) == (18, 0.08, (10.0, 26.0, 50.0, 38.0))
    assert dog.facts["own_number"] == 17
    json.dumps(dict(dog.facts))


def test_stuff_maps_by_the_annotations_numbers(tmp_path: Path) -> None:
    Image.fromarray(drawn({157: SKY, 124: GRASS, 183: DOG}, 0)).save(tmp_path / "a.png")
    regions = provider(kind="coco-stuff", root=str(tmp_path), numbering="annotations").regions(photo(), 0)
    # 183 is any thing, of which nothing can be kept by name.
    assert told(regions) == [("stuff", "sky"), ("stuff", "grass")]


@pytest.mark.parametrize(
    ("numbering", "number", "other"), [("annotations", 255, "pixelmaps"), ("pixelmaps", 183, "annot")]
)
def test_numbers_that_count_the_other_way_are_refused(tmp_path: Path, numbering: str, number: int, other: str) -> None:
    Image.fromarray(drawn({100: SKY, number: DOG}, 100)).save(tmp_path / "a.png")
    with pytest.raises(UnknownName, match=f"{number} is no number") as refused:
        provider(kind="coco-stuff", root=str(tmp_path), numbering=numbering).regions(photo(), 0)
    assert other in str(refused.value.hint)


def test_stuff_is_chosen_by_group_and_by_name(tmp_path: Path) -> None:
    # 129 is leaves less one; napkin, 137, is in no group.
    Image.fromarray(drawn({156: SKY, 123: GRASS, 136: DOG}, 255)).save(tmp_path / "a.png")

    def asked(**settings: Any) -> list[tuple[str, str]]:
        return told(provider(kind="coco-stuff", root=str(tmp_path), **settings).regions(photo(), 0))

    assert asked(groups=["sky"]) == [("stuff", "sky")]
    assert asked(without=["sky"]) == [("stuff", "grass")]
    assert asked(groups=[], also=["napkin"]) == [("stuff", "napkin")]
    with pytest.raises(UnknownName, match="scene group"):
        asked(groups=["skies"])
    with pytest.raises(UnknownName, match="Did you mean 'napkin'"):
        asked(also=["napkins"])


def test_photos_that_were_resized_after_they_were_annotated(tmp_path: Path) -> None:
    Image.fromarray(drawn({156: SKY, 17: DOG}, 255)).save(tmp_path / "a.png")
    source = provider(kind="coco-stuff", root=str(tmp_path))
    twice = source.regions(photo(size=(120, 200)), 0)
    assert np.array_equal(only(twice, "sky").mask, inside(np.s_[0:48, :], (120, 200)))
    assert only(twice, "dog").box == (20.0, 52.0, 100.0, 76.0)
    # 60 x 100 at 41 pixels of width is 24.6 pixels high: both whole numbers are the same photo.
    for height in (24, 25):
        assert only(source.regions(photo(size=(height, 41)), 0), "sky").mask.shape == (height, 41)


def test_another_aspect_ratio_is_refused(tmp_path: Path) -> None:
    Image.fromarray(drawn({156: SKY}, 255)).save(tmp_path / "a.png")
    source = provider(kind="coco-stuff", root=str(tmp_path))
    with pytest.raises(BadShape, match="aspect ratio of 100 x 70, got 100 x 60") as cropped:
        source.regions(photo(size=(70, 100)), 0)
    assert "never cropped" in str(cropped.value.hint)
    with pytest.raises(BadShape) as turned:
        source.regions(photo(size=(100, 60)), 0)
    assert "orientation" in str(turned.value.hint)


def test_a_class_of_things_falls_apart_into_its_pieces(tmp_path: Path) -> None:
    two_dogs = drawn({17: DOG}, 255)
    two_dogs[CAT] = 17
    Image.fromarray(two_dogs).save(tmp_path / "a.png")
    regions = provider(kind="coco-stuff", root=str(tmp_path)).regions(photo(), 0)
    assert told(regions) == [("background", "dog"), ("background", "dog")]
    assert np.array_equal(regions[0].mask, ~inside(DOG))
    assert np.array_equal(regions[1].mask, ~inside(CAT))


def test_area_limits_and_the_number_of_candidates(tmp_path: Path) -> None:
    Image.fromarray(drawn({156: SKY, 123: GRASS, 17: DOG, 16: CAT}, 255)).save(tmp_path / "a.png")

    def asked(**settings: Any) -> list[tuple[str, str]]:
        return told(provider(kind="coco-stuff", root=str(tmp_path), **settings).regions(photo(), 0))

    assert asked(most=1) == [("stuff", "sky"), ("background", "dog")]
    assert asked(limits={"stuff": [0.35, 0.8], "background": [0.1, 0.95]}) == [("stuff", "sky"), ("background", "dog")]


def panoptic(folder: Path, **changes: Any) -> Annotations:
    segments = drawn({300: SKY, 70_001: DOG, 5: CAT, 9: GRASS}, 0, np.int32)
    colours = np.stack([segments % 256, segments // 256 % 256, segments // 65536], axis=-1).astype(np.uint8)
    (folder / "maps").mkdir()
    Image.fromarray(colours).save(folder / "maps" / "a.png")
    parts = [(300, 187, 0), (70_001, 18, 0), (5, 17, 1), (9, 193, 0)]
    document: dict[str, Any] = {
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in parts],
            }
        ],
        "categories": [
            {"id": 187, "name": "sky-other-merged", "isthing": 0},
            {"id": 193, "name": "grass-merged", "isthing": 0},
            {"id": 18, "name": "dog", "isthing": 1},
            {"id": 17, "name": "cat", "isthing": 1},
        ],
    } | changes
    (folder / "panoptic.json").write_text(json.dumps(document))
    return provider(kind="coco-panoptic", root=str(folder / "maps"), segments=str(folder / "panoptic.json"))


def test_panoptic_segments_and_their_categories(tmp_path: Path) -> None:
    regions = panoptic(tmp_path).regions(photo(), 0)
    # The cats are a crowd: one number for many things.
    assert told(regions) == [("stuff", "sky"), ("stuff", "grass"), ("background", "dog")]
    assert np.array_equal(only(regions, "dog").mask, ~inside(DOG))
    # The merged class keeps COCO-Stuff's number, and its own in the facts.
    assert (only(regions, "sky").category_id, only(regions, "sky").facts["own_number"]) == (157, 187)


def test_panoptic_faults(tmp_path: Path) -> None:
    for place in ("one", "two", "three"):
        (tmp_path / place).mkdir()
    with pytest.raises(UnknownName, match="no category 17"):
        panoptic(tmp_path / "one", categories=[]).regions(photo(), 0)
    with pytest.raises(UnknownName, match="of the other split"):
        panoptic(tmp_path / "two", annotations=[]).regions(photo(), 0)
    with pytest.raises(BadSetting, match="not COCO's panoptic JSON"):
        panoptic(tmp_path / "three", annotations=[{"image_id": 1}]).regions(photo(), 0)


def test_ade_with_a_list_of_names(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    Image.fromarray(drawn({3: SKY, 14: GRASS, 1: DOG, 2: CAT}, 0)).save(tmp_path / "maps" / "a.png")
    names = tmp_path / "names.csv"
    names.write_text(
        "Idx,Ratio,Stuff,Name\n1,0.1,0,dog;domestic dog\n2,0.1,0,lamp\n3,0.2,1,sky\n14,0.1,1,earth;ground\n"
    )
    regions = provider(kind="ade", root=str(tmp_path / "maps"), names=str(names)).regions(photo(), 0)
    # Of "earth;ground" the word that COCO-Stuff knows; "lamp" is no class of COCO and a thing all the same.
    assert told(regions) == [("stuff", "sky"), ("stuff", "ground"), ("background", "dog"), ("background", "lamp")]
    assert only(regions, "lamp").category_id is None
    Image.fromarray(drawn({15: SKY}, 0)).save(tmp_path / "maps" / "b.png")
    with pytest.raises(UnknownName, match="no class 15"):
        provider(kind="ade", root=str(tmp_path / "maps"), names=str(names)).regions(photo("b"), 0)
    with pytest.raises(BadSetting, match="list of names"):
        provider(kind="ade", root=str(tmp_path / "maps")).regions(photo(), 0)


def test_lists_of_names_in_both_forms(tmp_path: Path) -> None:
    plain, table = tmp_path / "plain.txt", tmp_path / "table.tsv"
    plain.write_text("wall\nbuilding, edifice\n\nsky\n")
    assert [read_names(plain)[i].names for i in (1, 2, 3)] == [("wall",), ("building", "edifice"), ("sky",)]
    assert read_names(plain)[1].stuff is None
    table.write_text("Idx\tName\tStuff\n4\tfloor, flooring\t1\n")
    assert read_names(table)[4].names == ("floor", "flooring")
    assert read_names(table)[4].stuff is True
    table.write_text("Idx\tName\tStuff\nfour\tfloor\t1\n")
    with pytest.raises(BadSetting, match="line 2"):
        read_names(table)


def palette_png(path: Path, labels: np.ndarray) -> None:
    image = Image.frombytes("P", (labels.shape[1], labels.shape[0]), labels.tobytes())
    image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(path)


def test_voc_palettes_and_their_unlabelled_rims(tmp_path: Path) -> None:
    labels = drawn({12: DOG}, 0)
    rim = inside(np.s_[24:40, 8:52]) & ~inside(DOG)
    labels[rim] = 255
    # Unlabelled for another reason, far from the dog.
    labels[50:58, 60:98] = 255
    palette_png(tmp_path / "a.png", labels)
    (region,) = provider(kind="voc", root=str(tmp_path)).regions(photo(), 0)
    assert (region.mask_type, region.category, region.category_id) == ("background", "dog", 18)
    assert np.array_equal(region.mask, ~(inside(DOG) | rim))
    palette_png(tmp_path / "b.png", drawn({99: DOG}, 0))
    with pytest.raises(UnknownName, match="no class 99"):
        provider(kind="voc", root=str(tmp_path)).regions(photo("b"), 0)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(BadShape, match="mode RGB"):
        provider(kind="voc", root=str(tmp_path)).regions(photo("c"), 0)


def white(where: Any, top: int = 255) -> Image.Image:
    return Image.fromarray((inside(where) * top).astype(np.uint8))


def test_a_folder_of_masks(tmp_path: Path) -> None:
    white(SKY).save(tmp_path / "a.png")
    white(GRASS).save(tmp_path / "b_mask.png")
    (tmp_path / "dog").mkdir()
    white(DOG).save(tmp_path / "dog" / "c.png")
    source = provider(root=str(tmp_path), category="place")
    assert told(source.regions(photo("a"), 0)) == [("region", "place")]
    assert np.array_equal(source.regions(photo("b"), 0)[0].mask, inside(GRASS))
    # The folder's name says what it is.
    assert told(source.regions(photo("c"), 0)) == [("region", "dog")]
    (kept,) = provider(root=str(tmp_path), marks="thing").regions(photo("c"), 0)
    (made,) = provider(root=str(tmp_path), marks="background").regions(photo("a"), 0)
    assert (kept.mask_type, kept.category) == ("background", "dog")
    assert np.array_equal(kept.mask, ~inside(DOG))
    assert np.array_equal(made.mask, inside(SKY))
    assert made.box == (0.0, 24.0, 100.0, 60.0)


def test_categories_from_a_table(tmp_path: Path) -> None:
    white(SKY).save(tmp_path / "a.png")
    table = tmp_path / "categories.csv"
    table.write_text("name,category\na.png,wall-brick\n")
    (region,) = provider(root=str(tmp_path), marks="stuff", categories=str(table)).regions(photo("a"), 0)
    assert (region.category, region.category_id) == ("brick wall", 171)
    table.write_text("name,category\na,sky\na,sea\n")
    with pytest.raises(BadSetting, match="twice"):
        provider(root=str(tmp_path), categories=str(table)).regions(photo("a"), 0)
    table.write_text("file,what\na,sky\n")
    with pytest.raises(BadSetting, match="columns name, category"):
        provider(root=str(tmp_path), categories=str(table)).regions(photo("a"), 0)


def test_masks_of_zero_and_one_and_of_sixteen_bits(tmp_path: Path) -> None:
    white(SKY, top=1).save(tmp_path / "a.png")
    Image.fromarray((inside(SKY) * 65535).astype(np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(inside(SKY)).save(tmp_path / "c.png")
    for name in "abc":
        assert np.array_equal(read_mask(tmp_path / f"{name}.png"), inside(SKY)), name


def test_a_photo_where_a_mask_was_looked_for(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    soft = np.asarray(white(SKY)).copy()
    soft[23:25] = 128
    Image.fromarray(soft).save(tmp_path / "a.png")
    assert abs(int(read_mask(tmp_path / "a.png").sum()) - int(inside(SKY).sum())) <= 100
    for name, shape in (("b", (HEIGHT, WIDTH)), ("c", (HEIGHT, WIDTH, 3))):
        Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{name}.png")
        with pytest.raises(BadShape, match="not a mask but a picture"):
            provider(root=str(tmp_path)).regions(photo(name), 0)


def test_masks_that_are_empty_or_whole_are_no_region(tmp_path: Path) -> None:
    white(np.s_[0:0]).save(tmp_path / "a.png")
    white(np.s_[:, :]).save(tmp_path / "b.png")
    for marks in ("region", "thing", "background"):
        source = provider(root=str(tmp_path), marks=marks, limits={"region": [0.0, 1.0], "background": [0.0, 1.0]})
        assert list(source.regions(photo("a"), 0)) == []
        assert list(source.regions(photo("b"), 0)) == []


def test_photos_without_an_annotation_are_counted(tmp_path: Path) -> None:
    white(SKY).save(tmp_path / "a.png")
    source = provider(root=str(tmp_path))
    assert source.notes == ()
    assert [len(source.regions(photo(name), 0)) for name in "abc"] == [1, 0, 0]
    assert source.notes == ("2 of 3 photos have no annotation, the first: pictures/b.jpg",)


def test_the_same_name_in_two_folders(tmp_path: Path) -> None:
    for place, where in (("one", SKY), ("pictures", GRASS)):
        (tmp_path / place).mkdir()
        Image.fromarray(drawn({156: where}, 255)).save(tmp_path / place / "a.png")
    source = provider(kind="coco-stuff", root=str(tmp_path))
    # The one with the photo's own path is meant.
    assert np.array_equal(source.regions(photo("a"), 0)[0].mask, inside(GRASS))
    with pytest.raises(BadSetting, match="more than one annotation"):
        source.regions(Photo("x", np.zeros((HEIGHT, WIDTH, 3), np.uint8), path="elsewhere/a.jpg"), 0)


def test_bad_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no folder of annotations"):
        provider().regions(photo(), 0)
    with pytest.raises(BadSetting, match="without a PNG"):
        provider(root=str(tmp_path)).regions(photo(), 0)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match="no PNG"):
        provider(root=str(tmp_path)).regions(photo(), 0)
    white(SKY).save(tmp_path / "b.png")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableImage, match="damaged"):
        provider(root=str(tmp_path)).regions(photo("b"), 0)
    with pytest.raises(BadSetting, match="belongs to another kind"):
        provider(kind="voc", names=str(tmp_path / "n.csv"))
