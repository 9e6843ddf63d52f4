"""Scan: facts of every file, broken ones kept with their reason, nothing left out in silence."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

import broken
import toy
from fauxlens.core.errors import BadManifest, UnknownLayout, UnreadableImage
from fauxlens.images.degrade import read_chain
from fauxlens.images.limits import Limits
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.layouts.own_output import OWN_OUTPUT
from fauxlens.manifest.layouts.walk import DEAD_LINK, HIDDEN_FILE, HIDDEN_FOLDER, SECOND_LINK
from fauxlens.manifest.manifest import read_manifest
from fauxlens.manifest.sample import sample_id
from fauxlens.manifest.scan import QUARANTINE_FILE, Survey, scan, survey
from fauxlens.manifest.schema import LISTED
from fauxlens.manifest.split import split
from fauxlens.manifest.verify import report_of, verify
from fauxlens.report import write_report


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "real").mkdir(parents=True)
    (root / "fake" / "dalle").mkdir(parents=True)
    for n in range(4):
        (root / "real" / f"{n}.jpg").write_bytes(broken.jpeg(n, quality=80 + n))
        (root / "fake" / "dalle" / f"{n}.png").write_bytes(broken.png(10 + n))
    return root


def by_path(manifest):
    return {s.path: s for s in manifest}


def test_facts_come_from_the_files(tree):
    rows = by_path(scan(tree))
    real, fake = rows["real/2.jpg"], rows["fake/dalle/1.png"]
    assert (real.label, real.format, real.jpeg_quality, real.jpeg_quality_exact) == ("real", "jpeg", 82, True)
    assert (real.width, real.height, real.subsampling, real.metadata, real.progressive) == (
        56,
        40,
        "4:2:0",
        "jfif",
        False,
    )
    assert (fake.label, fake.generator, fake.format, fake.jpeg_quality) == ("generated", "dalle", "png", None)
    assert real.bytes == (tree / "real" / "2.jpg").stat().st_size
    assert real.id == sample_id(real.source, "real/2.jpg")
    assert real.origin == real.id
    assert real.sha256 is None


def test_ids_do_not_move_when_files_come(tree):
    before = {s.path: s.id for s in scan(tree)}
    (tree / "real" / "00.jpg").write_bytes(broken.jpeg(77))
    after = {s.path: s.id for s in scan(tree)}
    assert before.items() < after.items()


def test_workers_and_hashing_change_nothing_else(tree):
    one = survey(tree, hash_files=True).manifest
    # More files than a chunk, so that two processes have something to share.
    many = tree / "real" / "many"
    many.mkdir()
    data = broken.jpeg(5)
    for n in range(2100):
        (many / f"{n}.jpg").write_bytes(data)
    single, double = survey(tree).manifest, survey(tree, workers=2).manifest
    assert single.equals(double)
    assert len(single) == 2108
    assert all(len(s.sha256) == 64 for s in one)


def test_every_sort_of_broken_file_is_named_and_stops_nothing(tree):
    wanted = broken.write_broken(tree / "real" / "broken")
    found = survey(tree)
    rows = by_path(found.manifest)
    # What only decoding can see is for `verify`.
    header_only = {"truncated.jpg", "truncated.png"}
    for name, reason in wanted.items():
        status = rows[f"real/broken/{name}"].status
        assert status.partition(":")[0] == ("ok" if name in header_only else reason), (name, status)
    assert rows["real/0.jpg"].status == "ok"
    assert rows["real/broken/zero.jpg"].bytes == 0
    assert len(found.manifest.usable()) == 8 + len(header_only)


def test_known_faults_can_be_accepted(tree):
    broken.write_broken(tree / "real" / "broken")
    rows = by_path(survey(tree, accept=("wrong-suffix", "corrupt-exif")).manifest)
    assert rows["real/broken/suffix.jpg"].status == rows["real/broken/exif.jpg"].status == "ok"
    assert rows["real/broken/suffix.jpg"].format == "png"


def test_limits(tree):
    rows = by_path(survey(tree, limits=Limits(max_pixels=100)).manifest)
    assert all(s.status.startswith("too-many-pixels: 56 x 40") for s in rows.values())


def test_orientation_turns_the_size(tree):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(broken.pixels(3)).save(tree / "real" / "turned.jpg", exif=exif)
    turned = by_path(scan(tree))["real/turned.jpg"]
    assert (turned.width, turned.height) == (40, 56)


def test_a_quarantine_list_in_the_root_is_honoured(tree):
    (tree / QUARANTINE_FILE).write_text("path,reason\nreal/1.jpg,watermarked by the owners\n")
    found = survey(tree)
    assert by_path(found.manifest)["real/1.jpg"].status == "watermarked by the owners"
    assert any("1 of these files" in line for line in found.remarks)
    assert "real/1.jpg" not in by_path(found.manifest.usable())


def test_a_file_that_is_no_quarantine_list(tree, tmp_path):
    (tmp_path / "q.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadManifest, match="columns path, reason"):
        survey(tree, quarantine=tmp_path / "q.csv")
    with pytest.raises(BadManifest, match="no such quarantine list"):
        survey(tree, quarantine=tmp_path / "none.csv")


def test_what_is_left_out_has_a_reason(tree):
    (tree / "README.txt").write_text("hello")
    (tree / "stray.png").write_bytes(broken.png(1))
    found = survey(tree)
    reasons = {item.path: item.reason for item in found.left_out}
    assert reasons["README.txt"] == "not a picture"
    assert "no class in its path" in reasons["stray.png"]
    assert sum(count for _, count, _ in found.left_out_reasons()) == len(found.left_out) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always text")
def test_names_that_are_no_text_are_left_out_by_name(tree):
    bad = os.path.join(os.fsencode(tree / "real"), b"caf\xe9.jpg")  # noqa: PTH118 - bytes on purpose
    Path(os.fsdecode(bad)).write_bytes(broken.jpeg(1))
    found = survey(tree)
    assert [(i.path, i.reason) for i in found.left_out] == [("real/caf\\udce9.jpg", "the name is not UTF-8")]
    assert "folder 'real' read as real (4)" in found.remarks
    assert len(found.manifest) == 8


def test_links_are_followed_once(tree):
    (tree / "a link").symlink_to(tree / "real", target_is_directory=True)
    (tree / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "round").symlink_to("round")
    found = survey(tree)
    assert {s.path.partition("/")[0] for s in found.manifest} == {"real", "fake"}
    assert _reasons(found) == {"a link/": SECOND_LINK, "loop/": SECOND_LINK, "round": DEAD_LINK}


def test_a_folder_outside_is_read_through_its_link(tree, tmp_path):
    (tree / "real").rename(tmp_path / "elsewhere")
    (tree / "real").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(scan(tree)) == 8


def _reasons(found: Survey) -> dict[str, str]:
    assert len({item.path for item in found.left_out}) == len(found.left_out)
    return {item.path: item.reason for item in found.left_out}


def test_what_is_hidden_or_leads_nowhere_is_counted(tree):
    (tree / ".git" / "objects").mkdir(parents=True)
    (tree / ".git" / "objects" / "1.jpg").write_bytes(broken.jpeg(1))
    (tree / "real" / ".DS_Store").write_bytes(b"")
    (tree / "real" / "._0.jpg").write_bytes(b"")
    (tree / "real" / "gone.jpg").symlink_to("nowhere.jpg")
    found = survey(tree)
    assert len(found.manifest) == 8
    assert _reasons(found) == {
        ".git/": HIDDEN_FOLDER, "real/.DS_Store": HIDDEN_FILE, "real/._0.jpg": HIDDEN_FILE, "real/gone.jpg": DEAD_LINK,
    }  # fmt: skip


def _deny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    listed = os.scandir

    def scandir(path):
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_read_costs_what_is_in_it(tree, monkeypatch):
    _deny(monkeypatch, tree / "fake" / "dalle")
    found = survey(tree)
    assert len(found.manifest) == 4
    assert _reasons(found) == {"fake/dalle/": "the folder cannot be read: Permission denied"}


def test_a_root_that_cannot_be_read_is_said_in_words(tree, monkeypatch):
    _deny(monkeypatch, tree)
    with pytest.raises(UnknownLayout, match=r"the folder cannot be read .got Permission denied"):
        scan(tree)


def test_a_list_that_names_what_was_passed_over_counts_it_once(tree):
    (tree / "real" / "gone.jpg").symlink_to("nowhere.jpg")
    (tree / "manifest.csv").write_text("path,label\nreal/gone.jpg,real\nreal/0.jpg,real\n")
    assert _reasons(survey(tree))["real/gone.jpg"] == DEAD_LINK


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always text")
def test_a_root_whose_name_is_no_text_is_refused_in_words(tree):
    odd = tree.with_name("caf\udce9")
    tree.rename(odd)
    with pytest.raises(UnknownLayout, match=r"caf.udce9: the folder's name is not UTF-8.*rename it"):
        scan(odd)


def test_what_we_wrote_into_the_dataset_is_no_part_of_it(tree):
    before = survey(tree).manifest
    saved = before.save(tree / "m.parquet")
    (tree / "m.left-out.csv").write_text("path,reason,detail\n")
    found = verify(before, tree / "m-verified")
    write_report(report_of(found), tree / "m-verified")
    write_report(report_of(found), tree / "m-audit", name="audit")
    degrade(before, tree / "fake" / "copy", read_chain("blur:sigma=1 | jpeg:quality=60"))
    pages = tree / "real" / "pages"
    pages.mkdir()
    (pages / "fauxlens-quarantine.csv").write_text("path,reason\n")
    (tree / "theirs.parquet").write_bytes(b"PAR1")
    (tree / "their.left-out.csv").write_text("a,b\n")
    found = survey(tree)
    assert list(found.manifest) == list(before)
    ours = {
        "m.parquet",
        "m.left-out.csv",
        "m-verified/",
        "m-audit/",
        "fake/copy/",
        "real/pages/fauxlens-quarantine.csv",
    }
    wanted = dict.fromkeys(ours, OWN_OUTPUT) | dict.fromkeys(["theirs.parquet", "their.left-out.csv"], "not a picture")
    assert _reasons(found) == wanted
    assert saved.is_file()


def test_pictures_beside_our_output_stay(tree):
    """Somebody wrote results into a folder of pictures: only the results are passed over."""
    verify(survey(tree).manifest, tree / "real")
    found = survey(tree)
    assert len(found.manifest) == 8
    assert set(_reasons(found).values()) == {OWN_OUTPUT}
    assert "real/work/" in _reasons(found)


def test_a_degraded_copy_can_itself_be_scanned(tree, tmp_path):
    degrade(survey(tree).manifest, tmp_path / "copy", read_chain("jpeg:quality=60"))
    found = survey(tmp_path / "copy")
    assert len(found.manifest) == 8
    assert _reasons(found) == {"work/": OWN_OUTPUT, "manifest.parquet": OWN_OUTPUT}


@pytest.mark.parametrize("name", sorted(toy.TREES))
def test_every_layout_scans_and_saves(tmp_path, name):
    root = tmp_path / name
    root.mkdir()
    toy.TREES[name].draw(root)
    found = survey(root)
    assert found.layout == toy.TREES[name].layout
    again = read_manifest(found.manifest.save(tmp_path / "m.parquet"))
    assert again.equals(found.manifest)
    assert all(s.status in ("ok", LISTED) for s in again), [s.status for s in again]
    origins, ids = {s.origin for s in again}, {s.id for s in again}
    assert origins
    assert len(ids) == len(again)


def _places(root: Path, layout: str) -> dict[str, tuple[str | None, ...]]:
    scanned = scan(root, layout)
    ours = split(scanned).column("split").to_pylist()
    return {s.path: (s.id, s.origin, s.split, mine) for s, mine in zip(scanned, ours, strict=True)}


@pytest.mark.parametrize("removed", ["reals", "fakes", "every second", "every third"])
@pytest.mark.parametrize("name", sorted(set(toy.TREES) - {"unbiased_genimage_table"}))  # a table without pictures
def test_origin_and_split_do_not_depend_on_what_else_is_here(tmp_path, name, removed):
    root, layout = tmp_path / "data", toy.TREES[name].layout
    root.mkdir()
    toy.TREES[name].draw(root)
    before = _places(root, layout)
    if removed in ("reals", "fakes"):
        gone = [s.path for s in scan(root, layout) if s.fake == (removed == "fakes")]
    else:
        gone = list(before)[:: 2 if removed == "every second" else 3]
    for path in gone:
        (root / path).unlink()
    after = _places(root, layout)
    assert after == {path: before[path] for path in after}
    # The layout may want more of a set before it believes in it; nothing that comes was not there before.
    assert len(after) <= len(before) - len(gone)


def test_a_list_from_another_disk_tells_the_split_with_and_without_the_real(tmp_path):
    toy.brgen_release(tmp_path)
    (tmp_path / "train.json").write_text('[["/disk9/train2017/00000000520.jpg", "Negative"]]')
    before = _places(tmp_path, "brgen")
    (tmp_path / "RealImage" / "COCO" / "00000000520.jpg").unlink()
    after = _places(tmp_path, "brgen")
    assert before["Stuff/LaMa/COCO_00000000520.png"][2] == "train"
    assert after == {path: before[path] for path in after}


def test_no_such_folder(tmp_path):
    with pytest.raises(UnknownLayout, match="no such folder"):
        scan(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UnknownLayout, match="not a folder"):
        scan(tmp_path / "file")


def test_a_published_digest_is_kept_and_our_own_comes_first(tree):
    data = (tree / "real" / "0.jpg").read_bytes()
    mine, theirs = hashlib.sha256(data).hexdigest(), "AB" * 32
    (tree / "manifest.csv").write_text(
        f"path,label,sha256\nreal/0.jpg,real,{mine}\nreal/1.jpg,real,{theirs}\nreal/2.jpg,real,none\n"
    )
    found = survey(tree)
    assert [s.sha256 for s in found.manifest] == [mine, theirs.lower(), None]
    assert any("'sha256' read as sha256: kept" in line and "verify compares" in line for line in found.remarks)
    hashed = survey(tree, hash_files=True)
    assert hashed.manifest.column("sha256").to_pylist()[1] not in (None, theirs.lower())
    assert "1 file has another SHA-256 than the list says (first: real/1.jpg)" in hashed.remarks


def test_a_file_that_cannot_be_opened_is_not_taken_for_one_that_is_only_listed(tmp_path, monkeypatch):
    toy.unbiased_genimage(tmp_path)

    def refused(path):
        raise UnreadableImage("could not be opened: Permission denied", reason="missing", where=path)

    monkeypatch.setattr("fauxlens.manifest.scan.read_facts", refused)
    assert {s.status for s in scan(tmp_path)} == {"missing: could not be opened: Permission denied"}


def test_counts_in_remarks_are_those_of_the_table(tmp_path):
    toy.folder_list(tmp_path)
    found = survey(tmp_path)
    labels = {key[0]: count for key, count in found.manifest.count("label").items()}
    told = next(line for line in found.remarks if "read as label" in line)
    assert f"ai→generated ({labels['generated']})" in told
    assert f"real→real ({labels['real']})" in told
