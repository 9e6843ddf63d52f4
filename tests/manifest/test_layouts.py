"""Every layout through the front door: its toy trees are recognised, read, and nothing is dropped in silence."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toy
from fauxlens.core.errors import BadManifest, UnknownLayout, UnknownName
from fauxlens.core.names import look_up
from fauxlens.manifest.layouts import LAYOUTS, imaginet
from fauxlens.manifest.layouts.detect import choose, detect
from fauxlens.manifest.layouts.genimage import FAMILY_OF, published_counts
from fauxlens.manifest.layouts.imaginet import Annotation, class_counts, lists_of, parse_annotations
from fauxlens.manifest.layouts.layout import Reading, Tree
from fauxlens.manifest.layouts.unbiased_genimage import COLUMNS, read_metadata_csv, write_metadata_csv
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.schema import LABELS

PUBLISHED = {"brgen_release", "brgen_evaluation", "genimage", "genimage_merged", "imaginet", "imaginet_testset"}
PUBLISHED |= {"unbiased_genimage", "unbiased_genimage_table"}


@pytest.fixture(scope="module", params=sorted(toy.TREES))
def drawn(request, tmp_path_factory):
    """One toy tree: (its name, the tree, what is expected, what its layout reads)."""
    name = request.param
    root = tmp_path_factory.mktemp("toy") / "data"
    root.mkdir()
    expected = toy.TREES[name].draw(root)
    tree = Tree(root)
    return name, tree, expected, _read(tree, toy.TREES[name].layout)


def _read(tree: Tree, layout: str) -> Reading:
    return look_up(LAYOUTS, layout, "layout").read(tree)


def _reasons(reading: Reading) -> dict[str, str]:
    return {item.path: f"{item.reason} ({item.detail})" for item in reading.left_out}


def test_every_layout_has_a_toy_tree():
    assert {tree.layout for tree in toy.TREES.values()} == set(LAYOUTS)


def test_auto_recognises(drawn):
    name, tree, _, _ = drawn
    choice = choose(tree)
    assert choice.layout.name == toy.TREES[name].layout, choice.guesses
    assert choice.why == dict(choice.guesses)[choice.layout.name].why
    assert all(0 <= guess.score <= 1 for _, guess in choice.guesses)


def test_reads_what_was_drawn(drawn):
    _, _, expected, reading = drawn
    entries = reading.entries
    assert dict(Counter(entry.label for entry in entries)) == expected["labels"]
    assert dict(Counter(entry.split for entry in entries)) == expected["splits"]
    assert dict(Counter(entry.generator for entry in entries)) == expected["generators"]
    assert sum(entry.mask_path is not None for entry in entries) == expected["masks"]
    assert len(entries) == expected["entries"]


def test_names_what_it_leaves_out(drawn):
    _, _, expected, reading = drawn
    reasons = _reasons(reading)
    for path, part in expected["left_out"].items():
        assert part in reasons[path]
    assert set(reasons) == set(expected["left_out"])


def test_keeps_the_promises_of_a_layout(drawn):
    name, tree, _, reading = drawn
    paths = [entry.path for entry in reading.entries]
    assert len(set(paths)) == len(paths)
    on_disk = reading.facts.get("on_disk", True)
    for entry in reading.entries:
        assert "\\" not in entry.path
        assert not entry.path.startswith(("/", "./"))
        assert not on_disk or entry.path in tree.file_set
        assert entry.mask_path is None or entry.mask_path in tree.file_set
        assert entry.label in LABELS
        assert (entry.label == "real") <= (entry.generator is None and entry.family is None and entry.mask_path is None)
    assert set(reading.lists) <= tree.file_set
    assert all(item.reason for item in reading.left_out)
    assert len(_reasons(reading)) == len(reading.left_out), "one file left out twice"
    assert bool(reading.published) == (name in PUBLISHED)
    assert all(row.count > 0 and row.source and row.where for row in reading.published)


def test_drops_nothing_in_silence(drawn):
    _, tree, _, reading = drawn
    told = {entry.path for entry in reading.entries} | {entry.mask_path for entry in reading.entries}
    told |= set(reading.lists) | set(_reasons(reading))
    assert set(tree.files) - told == set()
    assert not {entry.path for entry in reading.entries} & set(_reasons(reading))


def test_reasons_can_be_counted(drawn):
    """What differs from file to file is in the detail: a reason neither names a file nor a line."""
    _, tree, _, reading = drawn
    names = {part for path in tree.files for part in (path, path.rpartition("/")[2])} - set(reading.lists)
    names -= {name.rpartition("/")[2] for name in reading.lists}
    for item in reading.left_out:
        assert not any(name in item.reason for name in names), item
        assert not re.search(r":\d|row \d", item.reason), item


def test_many_bad_rows_have_one_reason(tmp_path):
    lines = ["path,label"]
    for n in range(20):
        toy.picture(tmp_path / f"{n}.png", seed=n)
        lines += [f"{n}.png,breed {n}", f"gone{n}.png,real"]
    toy.picture(tmp_path / "real.png", seed=1)
    (tmp_path / "manifest.csv").write_text("\n".join([*lines, *["real.png,real"] * 20]))
    reading = _read(Tree(tmp_path), "folder")
    assert sorted(Counter(item.reason for item in reading.left_out).values()) == [19, 20, 20]
    assert {item.detail for item in reading.left_out} >= {"'breed 7' in manifest.csv:16"}


def test_reads_the_same_twice(drawn):
    name, tree, _, reading = drawn
    assert _read(Tree(tree.root), toy.TREES[name].layout) == reading


def test_toy_pictures_are_the_same_every_time(tmp_path):
    first = toy.picture(tmp_path / "a.jpg", seed=1).read_bytes()
    assert toy.picture(tmp_path / "b.jpg", seed=1).read_bytes() == first


# --- choosing


def test_a_folder_without_pictures_says_so_in_a_line(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(UnknownLayout, match="the folder holds no pictures") as none:
        choose(Tree(tmp_path))
    assert none.value.got == "1 other file; 1 x a hidden folder, not looked into"
    assert len(str(none.value)) < 250
    assert detect(Tree(tmp_path)) == []


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UnknownLayout, match="no such folder"):
        Tree(tmp_path / "gone")


def test_pictures_without_classes_are_no_layout(tmp_path):
    toy.picture(tmp_path / "holiday" / "1.jpg", seed=1)
    with pytest.raises(UnknownLayout, match=r"no layout fits(.*\n)+  genimage: ") as none:
        choose(Tree(tmp_path))
    assert none.value.got == "1 picture in 1 file"
    assert len(none.value.hint) < 100


def test_a_wrong_name_lists_the_right_ones(tmp_path):
    with pytest.raises(UnknownName, match=r"Did you mean 'genimage'.*unbiased-genimage"):
        choose(Tree(tmp_path), "genimag")


def test_a_mixed_tree_is_not_decided(tmp_path):
    toy.genimage(tmp_path)
    toy.brgen_evaluation(tmp_path)
    with pytest.raises(UnknownLayout, match=r"more than one layout.*(brgen|genimage).*(brgen|genimage).*--layout"):
        choose(Tree(tmp_path))
    assert choose(Tree(tmp_path), "genimage").why == "named by hand"


def test_the_wrong_layout_leaves_everything_out(tmp_path):
    toy.genimage(tmp_path)
    for layout in ("brgen", "imdl"):
        reading = _read(Tree(tmp_path), layout)
        assert not reading.entries
        assert len(reading.left_out) == len(Tree(tmp_path).files)
    with pytest.raises(UnknownLayout, match="annotations"):
        _read(Tree(tmp_path), "imaginet")
    with pytest.raises(BadManifest, match="no metadata table"):
        _read(Tree(tmp_path), "unbiased-genimage")


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"imaginet", "unbiased-genimage"}))
def test_an_empty_folder_reads_as_nothing(tmp_path, layout):
    reading = _read(Tree(tmp_path), layout)
    assert not reading.entries
    assert not reading.left_out


# --- folder


def test_the_mapping_is_told(tmp_path):
    toy.folder_list(tmp_path)
    remarks = "\n".join(_read(Tree(tmp_path), "folder").remarks)
    assert "column 'kind' read as label: ai→generated (5), painting?→unknown, left out (1), real→real (5)" in remarks
    assert "column 'group' read as origin" in remarks
    assert "ignored because scan measures it in the file: jpeg_q" in remarks
    assert "ignored, no column of ours: mood" in remarks


def test_foreign_columns_reach_the_entries(tmp_path):
    toy.folder_list(tmp_path)
    entry = next(e for e in _read(Tree(tmp_path), "folder").entries if e.path == "pics/1.png")
    assert (entry.origin, entry.licence, entry.notes, entry.generator) == ("g0", "CC0-1.0", "toy", "dreamer")


def test_lists_one_folder_down_in_json_lines(tmp_path):
    toy.picture(tmp_path / "train" / "a.png", seed=1)
    toy.picture(tmp_path / "train" / "b.png", seed=2)
    lines = [{"file_name": "a.png", "is_fake": True}, {"file_name": "b.png", "is_fake": False}]
    text = "\n".join(json.dumps(line) for line in lines) + "\nnot json\n[]\n"
    (tmp_path / "train" / "metadata.jsonl").write_text(text)
    reading = _read(Tree(tmp_path), "folder")
    assert [(e.path, e.label) for e in reading.entries] == [("train/a.png", "generated"), ("train/b.png", "real")]
    assert set(_reasons(reading)) == {"train/metadata.jsonl:3", "train/metadata.jsonl:4"}


@pytest.mark.parametrize("removed", [None, "real/1.jpg", "fake/1.jpg"])
def test_an_origin_in_a_list_may_be_a_path(tmp_path, removed):
    for folder in ("a", "b"):
        for name in ("real/1.jpg", "fake/1.jpg", "real/2.jpg"):
            if name != removed:
                toy.picture(tmp_path / folder / name, seed=1)
        (tmp_path / folder / "manifest.csv").write_text(
            "path,label,origin\nreal/1.jpg,real,\n./fake/1.jpg,fake,real\\1.jpg\nreal/2.jpg,real,\n"
        )
    origins = {e.path: e.origin for e in _read(Tree(tmp_path), "folder").entries}
    wanted = {f"{folder}/{name}/1.jpg": f"{folder}/real/1.jpg" for folder in "ab" for name in ("real", "fake")}
    wanted |= {"a/real/2.jpg": None, "b/real/2.jpg": None}
    assert origins == {path: origin for path, origin in wanted.items() if removed is None or removed not in path}


def test_masks_in_a_list(tmp_path):
    for name in ("a", "b", "c", "d"):
        toy.picture(tmp_path / f"{name}.png", seed=1)
    toy.mask(tmp_path / "m.png")
    (tmp_path / "manifest.csv").write_text(
        "image;label;mask\na.png;1;m.png\nb.png;1;\nc.png;0;m.png\nd.png;1;gone.png\n"
    )
    reading = _read(Tree(tmp_path), "folder")
    assert [(e.label, e.mask_path) for e in reading.entries] == [("edited", "m.png"), ("generated", None)]
    reasons = _reasons(reading)
    assert "labelled real, but with a mask" in reasons["c.png"]
    assert "gone.png" in reasons["d.png"]


@pytest.mark.parametrize("written", ["../x.png", "/etc/x.png", "C:/x.png", "a/../../x.png"])
def test_a_list_does_not_lead_out_of_the_root(tmp_path, written):
    root = tmp_path / "data"
    toy.picture(root / "a.png", seed=1)
    toy.picture(tmp_path / "x.png", seed=1)
    (root / "manifest.csv").write_text(f"path,label\n{written},real\na.png,real\n")
    reading = _read(Tree(root), "folder")
    assert [e.path for e in reading.entries] == ["a.png"]
    assert "outside the root" in reading.left_out[0].reason


def test_a_class_column_of_other_things_is_no_label(tmp_path):
    toy.picture(tmp_path / "real" / "a.png", seed=1)
    (tmp_path / "manifest.csv").write_text("path,class,\nreal/a.png,dog,\nreal/a.png\n")
    reading = _read(Tree(tmp_path), "folder")
    assert [e.label for e in reading.entries] == ["real"]
    assert any("'class' is no label (it holds 'dog')" in remark for remark in reading.remarks)
    assert "1 columns where the header has 3" in _reasons(reading)["manifest.csv:3"]


def test_deep_folders_and_upper_case(tmp_path):
    toy.picture(tmp_path / "a" / "b" / "Test" / "c" / "0_Real" / "d" / "e" / "x.JPG", seed=1)
    toy.picture(tmp_path / "progan" / "cat" / "1_fake" / "y.PNG", seed=1)
    entries = {e.path: e for e in _read(Tree(tmp_path), "folder").entries}
    real = entries["a/b/Test/c/0_Real/d/e/x.JPG"]
    assert (real.label, real.split, real.source, real.generator) == ("real", "test", "d", None)
    assert entries["progan/cat/1_fake/y.PNG"].generator == "progan"


def test_one_mask_may_serve_several_methods(tmp_path):
    for method in ("lama", "sdxl"):
        toy.picture(tmp_path / "edited" / method / "x.png", seed=1)
    toy.mask(tmp_path / "edited" / "masks" / "x.png")
    toy.mask(tmp_path / "edited" / "gt" / "x.png")
    reading = _read(Tree(tmp_path), "folder")
    assert {e.mask_path for e in reading.entries} == {"edited/gt/x.png"}
    assert "a second mask" in _reasons(reading)["edited/masks/x.png"]


def test_a_real_photo_may_be_called_mask(tmp_path):
    toy.picture(tmp_path / "real" / "woman_with_mask.jpg", seed=1)
    toy.picture(tmp_path / "fake" / "lost_mask.png", seed=1)
    reading = _read(Tree(tmp_path), "folder")
    assert [e.path for e in reading.entries] == ["real/woman_with_mask.jpg"]
    assert set(_reasons(reading)) == {"fake/lost_mask.png"}


def test_a_stray_json_file_does_not_confuse(tmp_path):
    toy.folder_names(tmp_path)
    (tmp_path / "card.json").write_text('{"name": "toy", "author": "us"}')
    (tmp_path / "pairs.json").write_text('[["a", "b"]]')
    assert choose(Tree(tmp_path)).layout.name == "folder"


# --- brgen


def test_forgeries_belong_to_their_real(tmp_path):
    toy.brgen_release(tmp_path)
    entries = {e.path: e for e in _read(Tree(tmp_path), "brgen").entries}
    here, absent = entries["Stuff/SDXL/COCO_00000000520.png"], entries["Background/LaMa/ImageNet_n06359193_84719.png"]
    assert here.origin == entries["RealImage/COCO/00000000520.jpg"].origin == "COCO_00000000520"
    assert absent.origin == "ImageNet_n06359193_84719"
    assert (here.family, here.method, here.mask_type, here.source) == ("diffusion", "SDXL", "stuff", "COCO")
    assert (absent.family, absent.mask_type, absent.variant) == ("gan", "background", None)


@pytest.mark.parametrize(
    ("forgery", "mask"),
    [
        ("LaMa/Stuff/COCO_1.png", "LaMa/Stuff/COCO_1_mask.png"),
        ("Stuff/LaMa/COCO/1.png", "Stuff/mask/COCO/1.png"),
        ("BR-Gen/stuff/lama/img/1.png", "BR-Gen/stuff/lama/masks/1.png"),
        ("x/Stuff/LaMa/LaMa_Stuff_COCO_a_b.PNG", "x/Stuff/LaMa/Gt/LaMa_Stuff_COCO_a_b_mask.png"),
    ],
)
def test_the_release_in_other_orders(tmp_path, forgery, mask):
    toy.picture(tmp_path / forgery, seed=1)
    toy.mask(tmp_path / mask)
    reading = _read(Tree(tmp_path), "brgen")
    assert [(e.path, e.mask_path, e.method, e.mask_type) for e in reading.entries] == [(forgery, mask, "LaMa", "stuff")]
    assert choose(Tree(tmp_path)).layout.name == "brgen"
    assert any("not published; met here" in remark for remark in reading.remarks)


def test_a_name_that_contradicts_its_folder_is_left_out(tmp_path):
    toy.picture(tmp_path / "Stuff" / "LaMa" / "MAT_Stuff_COCO_1.png", seed=1)
    assert "its folder says LaMa, its name MAT" in _read(Tree(tmp_path), "brgen").left_out[0].detail


def test_a_leak_between_lists_is_told(tmp_path):
    toy.brgen_release(tmp_path)
    (tmp_path / "val_stuff.json").write_text(
        '[["RealImage/COCO/00000000520.jpg", "Negative"], ["gone/1.png", "Negative"]]'
    )
    reading = _read(Tree(tmp_path), "brgen")
    real = next(e for e in reading.entries if e.path == "RealImage/COCO/00000000520.jpg")
    assert real.split is None
    assert any("leak" in remark for remark in reading.remarks)
    assert "val_stuff.json" in _reasons(reading)["gone/1.png"]


def test_brgen_published_counts(tmp_path):
    toy.brgen_release(tmp_path)
    counts = {tuple(sorted(p.where.items())): p.count for p in _read(Tree(tmp_path), "brgen").published}
    assert counts[("label", "real"),] == 15_000
    assert counts[("label", "edited"),] == 150_000
    assert counts[("mask_type", "stuff"), ("method", "MAT")] == 15_000
    assert counts[("label", "edited"), ("split", "val")] == 15_000


# --- genimage


def test_genimage_columns(tmp_path):
    toy.genimage(tmp_path)
    entries = {e.path: e for e in _read(Tree(tmp_path), "genimage").entries}
    fake = entries["Stable Diffusion V1.4/train/ai/007_sdv4_00000.png"]
    assert (fake.family, fake.source, fake.content) == ("diffusion", "genimage/stable_diffusion_v_1_4", None)
    assert fake.notes == "class field 007 in the name"
    real = entries["ADM/imagenet_ai_0508_adm/train/nature/n01440764/n01440764_2.JPEG"]
    assert (real.content, real.source, real.origin) == ("n01440764", "genimage/ADM", "n01440764_2")
    late = entries["glide/imagenet_glide/val/nature/ILSVRC2012_val_00000003.JPEG"]
    assert (late.content, late.origin) == (None, "ILSVRC2012_val_00000003")


def test_one_generator_as_root(tmp_path):
    root = tmp_path / "ADM"
    toy.picture(root / "val" / "ai" / "7_adm_1.PNG", seed=1)
    toy.picture(root / "val" / "nature" / "ILSVRC2012_val_00000001.JPEG", seed=1)
    assert choose(Tree(root)).layout.name == "genimage"
    assert {e.source for e in _read(Tree(root), "genimage").entries} == {"genimage/ADM"}


@pytest.mark.parametrize("draw", [toy.genimage, toy.genimage_merged])
def test_corrupted_files_are_honoured(tmp_path, draw):
    draw(tmp_path)
    (tmp_path / "corrupted_files.txt").write_text(
        '"GenImage/BigGAN/val/ai/007_biggan_00000.png",x\nBigGAN/val/ai/004_biggan_00001.png\n'
    )
    reading = _read(Tree(tmp_path), "genimage")
    assert sum(item.reason == "listed by the owners as corrupted" for item in reading.left_out) == 1
    assert reading.lists == ["corrupted_files.txt"]


def test_two_generators_in_one_path_are_left_out(tmp_path):
    toy.picture(tmp_path / "ADM" / "wukong" / "val" / "ai" / "1.png", seed=1)
    reading = _read(Tree(tmp_path), "genimage")
    assert reading.left_out[0].detail == "ADM and wukong"


def test_genimage_published_counts(tmp_path):
    toy.genimage(tmp_path)
    counts = {tuple(sorted(p.where.items())): p.count for p in _read(Tree(tmp_path), "genimage").published}
    assert counts[("generator", "ADM"), ("label", "generated"), ("split", "train")] == 162_000
    assert counts[("label", "real"), ("source", "genimage/ADM"), ("split", "val")] == 6_000
    assert ("label", "generated") not in counts


def test_genimage_totals_add_up():
    counts = published_counts(set(FAMILY_OF))
    fakes = sum(p.count for p in counts if "generator" in p.where)
    reals = sum(p.count for p in counts if "source" in p.where)
    totals = {tuple(sorted(p.where.items())): p.count for p in counts}
    assert fakes == totals[("label", "generated"),] == 1_350_000
    assert reals == totals[("label", "real"), ("split", "val")] == 50_000


# --- imaginet

_IDS = sorted(imaginet._IDS)
_PATHS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r\x00"), min_size=1, max_size=30
).filter(lambda s: s.strip() and not s.startswith(("/", "./", "../")) and "/../" not in s and "\ufeff" not in s)


@settings(deadline=None)
@given(st.lists(st.tuples(_PATHS, st.sampled_from(_IDS)), max_size=8), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_annotations_survive_commas_and_odd_names(rows, end):
    text = "".join(f"./{path},{','.join(ids)}{end}" for path, ids in rows)
    found, bad = parse_annotations(text)
    assert found == [Annotation(path, *map(int, ids)) for path, ids in rows]
    assert bad == []


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=20), st.text("0123456789,./a", max_size=20)), max_size=6))
def test_every_line_is_a_row_or_is_named(lines):
    text = "\n".join(line.replace("\n", "") for line in lines)
    found, bad = parse_annotations(text)
    spoken = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    assert len(found) + len(bad) == len(spoken)
    assert all(row.reason for row in bad)


def test_bytes_that_are_no_utf8_are_kept(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"./wikiart/caf\xe9.jpg,0,1,4,8\n")
    rows, _ = parse_annotations(Tree(tmp_path).read_text("a.txt"))
    assert rows[0].path.encode("utf-8", "surrogateescape") == b"wikiart/caf\xe9.jpg"


@pytest.mark.parametrize(
    ("line", "part"),
    [("a,0,0", "3 columns"), ("a,0,0,4,9", "model '9'"), ("a,2,0,4,8", "label '2'"), ("a,0, 0,4,8", "content ' 0'"),
     ("a,1,0,4,8", "contradict"), ("a,1,0,0,3", "contradict"), (",0,0,4,8", "empty"), ("/a,0,0,4,8", "leads out")],
)  # fmt: skip
def test_bad_annotations_say_why(line, part):
    rows, bad = parse_annotations(f"ok,0,0,4,8\n\n{line}\n")
    assert len(rows) == 1
    assert bad[0].line == 3
    assert part in f"{bad[0].reason}: {bad[0].detail}"


@pytest.mark.parametrize("name", sorted(imaginet.published()["lists"]))
def test_published_counts_are_reproduced(name):
    wanted = imaginet.published()["lists"][name]
    lines = []
    for ids, count in wanted["classes"].items():
        ending = ids.replace("/", ",")
        lines += [f"./{ids.replace('/', '_')}/{i},{i}.png,{ending}" for i in range(count)]
    rows, bad = parse_annotations("\n".join(lines) + "\n")
    assert not bad
    assert len(rows) == wanted["rows"]
    assert class_counts(rows) == wanted["classes"]


def test_published_folders_add_up_to_the_test_list():
    totals: Counter[str] = Counter()
    for classes in imaginet.published()["test_folders"].values():
        totals.update(classes)
    assert dict(totals) == imaginet.published()["lists"]["test_annotations.txt"]["classes"]
    assert sum(totals.values()) == 40_000


def test_membership_origin_and_overlap(tmp_path):
    toy.imaginet(tmp_path)
    reading = _read(Tree(tmp_path), "imaginet")
    entries = {e.path: e for e in reading.entries}
    first = entries["testset/photos/synthetic/gan/00000.webp"]
    assert (first.origin, first.family, first.generator) == ("progan_val/cat/1_fake/1.png", "gan", "ProGAN")
    assert entries["progan_val/cat/1_fake/1.png"].origin == first.origin
    assert lists_of(first.notes) == {"test_all": 1, "test_gan": 1, "test_calibration": 1}
    assert "a calibration image of the test set it is in" in first.notes
    drawn = entries["imagenet/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG"]
    assert lists_of(drawn.notes) == {"test_annotations": 1, "test_annotations_gan": 2}
    remarks = "\n".join(reading.remarks)
    assert "hold 6 real rows of 4 photos; 1 test real in none of them" in remarks
    assert "2 of 2 calibration images are in test_all.txt" in remarks
    assert "test_all.txt: 12 rows where 40,000 are published" in remarks
    assert lists_of(None) == {}


def test_imaginet_below_the_root_and_contradictions(tmp_path):
    root = tmp_path / "downloads"
    toy.picture(root / "imaginet" / "ffhq" / "1.png", seed=1)
    toy.picture(root / "imaginet" / "ffhq" / "2.png", seed=2)
    (root / "imaginet" / "annotations").mkdir()
    lists = root / "imaginet" / "annotations"
    (lists / "train_annotations.txt").write_text("./ffhq/1.png,0,2,4,8\n./ffhq/2.png,0,2,4,8\n")
    (lists / "test_annotations.txt").write_text("./ffhq/1.png,0,2,4,8\n./ffhq/2.png,0,0,4,8\n")
    assert choose(Tree(root)).layout.name == "imaginet"
    reading = _read(Tree(root), "imaginet")
    assert [(e.path, e.split, e.source) for e in reading.entries] == [("imaginet/ffhq/1.png", None, "ffhq")]
    assert any("leak" in remark for remark in reading.remarks)
    assert "other ids" in _reasons(reading)["imaginet/ffhq/2.png"]


def test_imaginet_published_counts(tmp_path):
    toy.imaginet(tmp_path)
    reading = _read(Tree(tmp_path), "imaginet")
    assert sum(p.count for p in reading.published) == 80_000
    sources = {p.where["source"] for p in reading.published}
    assert {"testset", "ffhq", "dalle3_addition"} <= sources


# --- unbiased genimage


def test_the_table_alone_gives_facts(tmp_path):
    toy.unbiased_genimage_table(tmp_path)
    reading = _read(Tree(tmp_path), "unbiased-genimage")
    real, fake = reading.entries[:2]
    assert (real.given.width, real.given.height, real.given.jpeg_quality) == (48, 36, 96)
    assert (fake.given.width, fake.given.jpeg_quality, fake.content) == (32, None, "0")
    assert (real.content, real.source, real.origin) == ("0", "genimage/ADM", "n01440764_00")
    assert "none of the 25 files" in reading.remarks[0]


def test_the_table_round_trips(tmp_path):
    toy.unbiased_genimage_table(tmp_path)
    manifest = read_metadata_csv(tmp_path / "genimage_metadata.csv")
    assert len(manifest) == 24
    assert manifest.history == ("read genimage_metadata.csv: 24 of 25 rows",)
    written = write_metadata_csv(manifest, tmp_path / "out" / "again.csv")
    lines = written.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1] == "GenImage/ADM/train/nature/n01440764_00.JPEG,nature,train,0,48,36,96"
    assert lines[2] == "GenImage/ADM/train/ai/0_adm_0.PNG,ADM,train,0,32,32,"
    again = read_metadata_csv(written, root=manifest.root)
    assert again.table.equals(manifest.table)


def test_names_with_commas_are_quoted_in_the_table(tmp_path):
    head = ",".join(COLUMNS)
    (tmp_path / "m.csv").write_text(f'{head}\n"GenImage/ADM/val/ai/a, b.PNG",ADM,val,1,8,8,\n')
    manifest = read_metadata_csv(tmp_path / "m.csv")
    written = write_metadata_csv(manifest, tmp_path / "again.csv")
    assert read_metadata_csv(written).table.equals(manifest.table)


def test_no_place_for_edited_pictures_in_the_table(tmp_path):
    manifest = Manifest.from_columns({"id": ["a"], "path": ["a.png"], "label": ["edited"]}, tmp_path)
    with pytest.raises(BadManifest, match=r"1 edited picture .*select them away"):
        write_metadata_csv(manifest, tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "part"), [("path,generator\na,b\n", "columns are missing: mode"), ("", "cannot be read")]
)
def test_a_broken_table_says_what_is_wrong(tmp_path, text, part):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(BadManifest, match=part):
        read_metadata_csv(tmp_path / "m.csv")


def test_rows_of_the_table_that_cannot_be(tmp_path):
    head = ",".join(COLUMNS)
    rows = ["GenImage/ADM/val/ai/1.png,nature,val,1,8,8,", "x/y/1.png,ADM,val,1,8,8,", ",ADM,val,1,8,8,"]
    rows += ["GenImage/ADM/val/nature/1.JPEG,nature,val,,8,8,0"]
    (tmp_path / "any.csv").write_text("\n".join([head, *rows]) + "\n")
    reading = _read(Tree(tmp_path), "unbiased-genimage")
    assert [(e.given.jpeg_quality, e.content) for e in reading.entries] == [(1, None)]
    assert [item.reason for item in reading.left_out] == [
        "its generator contradicts its path",
        "not under {train,val}/{ai,nature}",
        "a row without a path or a generator",
    ]


# --- imdl


def test_position_and_name_disagree(tmp_path):
    toy.imdl(tmp_path)
    reading = _read(Tree(tmp_path), "imdl")
    told = next(remark for remark in reading.remarks if "by position" in remark)
    assert "NIST" in told
    assert "NIST/Tp/4.tif would get NIST/Gt/nobody.png" not in told
    assert any("reference never reads Au" in remark for remark in reading.remarks)
    entry = next(e for e in reading.entries if e.path == "NIST/Tp/2.tif")
    assert (entry.mask_path, entry.source) == ("NIST/Gt/2.png", "NIST")


def test_other_counts_of_masks_are_told(tmp_path):
    for i in range(3):
        toy.picture(tmp_path / "tp" / f"{i}.png", seed=i)
    toy.mask(tmp_path / "gt" / "0.png")
    toy.mask(tmp_path / "gt" / "0_mask.png")
    reading = _read(Tree(tmp_path), "imdl")
    assert any("3 pictures but 2 masks" in remark for remark in reading.remarks)
    assert "second mask" in _reasons(reading)["gt/0_mask.png"]
    assert len(reading.entries) == 1


def test_balanced_lists_keep_their_epoch(tmp_path):
    toy.imdl_lists(tmp_path)
    reading = _read(Tree(tmp_path), "imdl")
    assert reading.facts["balanced"]["items_an_epoch"] == 2 * 1840
    assert reading.facts["balanced"]["sets"] == ["train.json", "Mani/"]
    sources = {e.source for e in reading.entries}
    assert sources == {"train", "casia_test", "Mani-Test"}


def test_lists_that_disagree(tmp_path):
    for name in ("a", "b", "c"):
        toy.picture(tmp_path / f"{name}.png", seed=1)
    toy.mask(tmp_path / "m.png")
    (tmp_path / "train.json").write_text('[["a.png", "Negative"], ["b.png", "Negative"], ["b.png", "Negative"]]')
    (tmp_path / "test.json").write_text('[["a.png", "m.png"], ["b.png", "Negative"], ["c.png", "gone.png"]]')
    (tmp_path / "val.json").write_text('[["a.png", "Negative"]]')
    (tmp_path / "settings.json").write_text('{"depth": 3}')
    (tmp_path / "broken.json").write_text("[[")
    reading = _read(Tree(tmp_path), "imdl")
    assert [(e.path, e.split) for e in reading.entries] == [("b.png", None)]
    reasons = _reasons(reading)
    assert "another label" in reasons["a.png"]
    assert "gone.png" in reasons["c.png"]
    assert reasons["settings.json"] == reasons["broken.json"] == "not a picture ()"
    remarks = "\n".join(reading.remarks)
    assert "1 row repeat" in remarks
    assert "leak" in remarks


# --- big lists


def test_two_hundred_thousand_names_are_read_in_seconds():
    names = [f"ADM/imagenet_ai_0508_adm/train/ai/{i % 1000}_adm_{i}.PNG" for i in range(100_000)]
    names += [f"ADM/imagenet_ai_0508_adm/train/nature/n01440764_{i}.JPEG" for i in range(100_000)]
    tree = Tree(Path())
    # The names are given instead of listed: this test is about reading them.
    tree.__dict__["files"] = tuple(names)
    reading = _read(tree, "genimage")
    assert len(reading.entries) == 200_000
