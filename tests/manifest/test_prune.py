"""Removing what no annotation names: never a needed file, never outside, never through a link."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadManifest, BadSetting
from fauxlens.manifest.prune import LIST_NAME, SOURCE_FOLDERS, apply_prune, plan_prune

# A soft hyphen, and one letter in its two Unicode spellings: three names that must not be mixed up.
SOFT, COMPOSED, DECOMPOSED = "wikiart/Pop/a\u00adb.jpg", "wikiart/Pop/\u00e9.jpg", "wikiart/Pop/e\u0301.jpg"
NEEDED = ["ffhq/1.png", "val2017/a, b.jpg", SOFT, COMPOSED, "imagenet/ILSVRC/Data/CLS-LOC/val/x.JPEG"]
SURPLUS = ["ffhq/2.png", "ffhq/deep/1.png", "val2017/a.jpg", DECOMPOSED, "wikiart/Pop/ab.jpg"]
OUTSIDE = ["photo.jpg", "holiday/1.png", "imagenet/ILSVRC/Data/CLS-LOC/train/x.JPEG", "ffhq2/1.png", "ffhq_raw.zip"]


def put(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def annotate(path: Path, names: list[str]) -> Path:
    path.write_bytes(b"".join(b"./" + os.fsencode(name) + b",0,1,4,8\n" for name in names))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    put(root, NEEDED + SURPLUS + OUTSIDE)
    return root


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    return [annotate(tmp_path / "train.txt", NEEDED[:2]), annotate(tmp_path / "test.txt", NEEDED[1:])]


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def test_a_plan_counts_and_changes_nothing(root: Path, lists: list[Path]) -> None:
    before = files(root)
    plan = plan_prune(root, lists)
    assert (plan.needed, plan.present, plan.missing, plan.missing_count) == (5, 5, {}, 0)
    assert {file.path for file in plan.surplus} == set(SURPLUS)
    assert plan.surplus_bytes == sum(len(name.encode()) for name in SURPLUS)
    assert (plan.outside_files, plan.outside_bytes) == (5, sum(map(len, OUTSIDE)))
    assert files(root) == before


def test_a_dry_run_writes_the_list_and_removes_nothing(root: Path, lists: list[Path]) -> None:
    before = files(root)
    report = apply_prune(plan_prune(root, lists))
    assert report.dry_run
    assert set(report.removed) == set(SURPLUS)
    assert files(root) == before | {LIST_NAME}
    rows = report.list_path.read_bytes().decode().splitlines()
    assert rows[0] == "state\tbytes\tpath"
    assert {row.split("\t")[2] for row in rows[1:]} == set(SURPLUS)
    assert {row.split("\t")[0] for row in rows[1:]} == {"surplus"}


def test_applying_removes_the_surplus_alone(root: Path, lists: list[Path], tmp_path: Path) -> None:
    seen: list[int] = []
    report = apply_prune(
        plan_prune(root, lists),
        dry_run=False,
        list_path=tmp_path / "removed.tsv",
        progress=lambda done, total, what: seen.append(done),
    )
    assert files(root) == set(NEEDED) | set(OUTSIDE)
    assert set(report.removed) == set(SURPLUS)
    assert (report.failed, report.bytes) == ((), sum(len(name.encode()) for name in SURPLUS))
    assert {row.split("\t")[0] for row in (tmp_path / "removed.tsv").read_text().splitlines()[1:]} == {"removed"}
    assert seen == [0, 1, 2, 3, 4, 5]
    assert apply_prune(plan_prune(root, lists), dry_run=False).removed == ()


def test_missing_files_stop_it_unless_allowed(root: Path, lists: list[Path]) -> None:
    (root / "ffhq/1.png").unlink()
    (root / SOFT).unlink()
    plan = plan_prune(root, lists)
    assert plan.missing == {"ffhq": ("ffhq/1.png",), "wikiart": (SOFT,)}
    before = files(root)
    with pytest.raises(BadManifest, match=r"2 annotated files are missing \(ffhq 1, wikiart 1\)"):
        apply_prune(plan, dry_run=False)
    assert files(root) == before
    apply_prune(plan, dry_run=False, allow_missing=True)
    assert files(root) == (before - set(SURPLUS)) | {LIST_NAME}


def test_the_wrong_root_is_refused_even_when_missing_files_are_allowed(tmp_path: Path, lists: list[Path]) -> None:
    put(tmp_path / "other", ["ffhq/9.png"])
    with pytest.raises(BadManifest, match="none of the annotated files"):
        apply_prune(plan_prune(tmp_path / "other", lists), dry_run=False, allow_missing=True)
    assert (tmp_path / "other" / "ffhq/9.png").exists()


def test_links_are_neither_followed_nor_removed(root: Path, lists: list[Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere, ["x.png", "1.png"])
    (root / "ffhq" / "link.png").symlink_to(elsewhere / "x.png")
    (root / "wikiart" / "linked").symlink_to(elsewhere)
    (root / "danbooru2021").symlink_to(elsewhere)
    plan = plan_prune(root, lists)
    assert plan.links == ("danbooru2021", "ffhq/link.png", "wikiart/linked")
    apply_prune(plan, dry_run=False)
    assert files(elsewhere) == {"x.png", "1.png"}
    assert (root / "ffhq" / "link.png").is_symlink()
    assert (root / "wikiart" / "linked").is_symlink()


def test_needed_files_behind_a_link_are_present_and_safe(root: Path, lists: list[Path], tmp_path: Path) -> None:
    (root / "ffhq").rename(tmp_path / "faces")
    (root / "ffhq").symlink_to(tmp_path / "faces")
    plan = plan_prune(root, lists)
    assert plan.missing == {}
    apply_prune(plan, dry_run=False)
    assert files(tmp_path / "faces") == {"1.png", "2.png", "deep/1.png"}


def test_another_name_of_a_needed_file_is_kept(root: Path, lists: list[Path], tmp_path: Path) -> None:
    # What a disk that folds case looks like: the needed path opens, and the folder lists it under another name.
    real = root / "ffhq" / "ONE.PNG"
    (root / "ffhq" / "1.png").rename(real)
    (root / "ffhq" / "1.png").symlink_to(real)
    plan = plan_prune(root, lists)
    assert plan.missing == {}
    assert "ffhq/ONE.PNG" not in {file.path for file in plan.surplus}


def test_what_changed_since_the_plan_stays(root: Path, lists: list[Path], tmp_path: Path) -> None:
    plan = plan_prune(root, lists)
    (root / "ffhq/2.png").write_bytes(b"now something else")
    (root / "val2017/a.jpg").unlink()
    (root / "ffhq/deep").rename(tmp_path / "deep")
    (root / "ffhq/deep").symlink_to(tmp_path / "deep")
    report = apply_prune(plan, dry_run=False)
    reasons = dict(report.failed)
    assert set(reasons) == {"ffhq/2.png", "val2017/a.jpg", "ffhq/deep/1.png"}
    assert "changed" in reasons["ffhq/2.png"]
    assert "No such file" in reasons["val2017/a.jpg"]
    assert "link" in reasons["ffhq/deep/1.png"]
    assert (tmp_path / "deep/1.png").exists()
    assert set(report.removed) == {DECOMPOSED, "wikiart/Pop/ab.jpg"}


def test_a_removal_that_fails_is_reported_and_the_rest_goes_on(
    root: Path, lists: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, unlink = plan_prune(root, lists), os.unlink

    def stubborn(path: bytes | Path) -> None:
        if os.fsencode(path).endswith(b"2.png"):
            raise PermissionError(13, "Permission denied")
        unlink(path)

    monkeypatch.setattr(os, "unlink", stubborn)
    report = apply_prune(plan, dry_run=False)
    assert report.failed == (("ffhq/2.png", "Permission denied"),)
    assert len(report.removed) == len(SURPLUS) - 1
    assert b"kept: Permission denied" in report.list_path.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no text")
def test_names_that_are_no_text(root: Path, tmp_path: Path) -> None:
    odd_needed, odd_surplus = b"wikiart/\xff\xad.jpg", b"wikiart/\xff\n.jpg"
    for name in (odd_needed, odd_surplus):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"x")
    lists = tmp_path / "odd.txt"
    lists.write_bytes(b"\xef\xbb\xbf./" + odd_needed + b",0,1,4,8\r\n")
    plan = plan_prune(root, [lists])
    assert plan.present == 1
    assert os.fsdecode(odd_surplus) in {file.path for file in plan.surplus}
    report = apply_prune(plan, dry_run=False)
    assert b"wikiart/\xff\\n.jpg" in report.list_path.read_bytes()
    assert os.path.exists(os.fsencode(root) + b"/" + odd_needed)  # noqa: PTH110
    assert not os.path.exists(os.fsencode(root) + b"/" + odd_surplus)  # noqa: PTH110


@pytest.mark.parametrize(
    "line", ["ffhq/1.png", "ffhq/1.png,0,1,4", "ffhq/1.png,0,1,4,x", "../1.png,0,1,4,8", "/e,0,1,4,8", ",0,1,4,8"]
)
def test_one_line_that_is_not_understood_stops_it(root: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.txt").write_text("./ffhq/1.png,0,2,4,8\n" + line + "\n")
    with pytest.raises(BadManifest, match="line 2"):
        plan_prune(root, [tmp_path / "bad.txt"])


def test_settings_that_cannot_be_meant(root: Path, lists: list[Path], tmp_path: Path) -> None:
    for folder in ("", ".", "..", "a/../b", "/etc", "a//b"):
        with pytest.raises(BadSetting, match="source folder"):
            plan_prune(root, lists, known_folders=[folder])
    with pytest.raises(BadSetting, match="no folder"):
        plan_prune(tmp_path / "none", lists)
    with pytest.raises(BadManifest, match="no annotation file given"):
        plan_prune(root, [])
    with pytest.raises(BadManifest, match="cannot be read"):
        plan_prune(root, [tmp_path / "none.txt"])
    assert len(set(SOURCE_FOLDERS)) == 24


NAMES = st.sampled_from(["ffhq/a", "ffhq/A", "ffhq/b,c", "ffhq/d/e", "own/a", "wikiart/a", "wikiart/z/a"])


@settings(max_examples=40, deadline=None)
@given(there=st.sets(NAMES), named=st.sets(NAMES, min_size=1))
def test_a_named_or_foreign_file_is_never_removed(
    tmp_path_factory: pytest.TempPathFactory, there: set[str], named: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("prune")
    put(folder / "root", sorted(there))
    (folder / "root").mkdir(exist_ok=True)
    plan = plan_prune(folder / "root", [annotate(folder / "list.txt", sorted(named))])
    assert plan.present == len(named & there)
    try:
        apply_prune(plan, dry_run=False, allow_missing=True)
    except BadManifest:
        assert not named & there
        assert files(folder / "root") == there
    else:
        kept = {name for name in there if name in named or name.startswith("own/")}
        assert files(folder / "root") - {LIST_NAME} == kept


def test_a_bad_row_is_shown_as_text_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"./caf\xe9.jpg,0,1\n")
    with pytest.raises(BadManifest, match="line 1: not a row") as bad:
        plan_prune(tmp_path, [tmp_path / "a.txt"])
    assert bad.value.got == "./caf\\xe9.jpg,0,1"
    assert bad.value.hint is not None
    assert "mend or remove the line" in bad.value.hint
