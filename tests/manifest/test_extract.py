"""BR-Gen's real photos out of the user's own copies: the right file or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fauxlens.core.errors import BadManifest, BadSetting, UnknownName
from fauxlens.manifest import extract
from fauxlens.manifest.extract import How, apply_extract, plan_extract


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"picture {name}".encode())
    return root


def lists(root: Path, **lines: list[str]) -> Path:
    for source, names in lines.items():
        path = root / "RealImage" / source / f"{source}_image_list.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_names_comments_and_doubles(tmp_path: Path) -> None:
    release = lists(
        tmp_path / "r", COCO=["\ufeff# real photos", "", "000000000520.jpg\r", "./1.jpg", "1.jpg", "gone.jpg"]
    )
    coco = put(tmp_path / "coco", "train2017/000000000520.jpg", "train2017/1.jpg", "train2017/notes.txt")
    plan = plan_extract(release, {"COCO": coco})
    assert [(photo.listed, photo.path, photo.by) for photo in plan.found] == [
        ("000000000520.jpg", coco / "train2017/000000000520.jpg", "name"),
        ("1.jpg", coco / "train2017/1.jpg", "name"),
    ]
    assert plan.missing == {"COCO": ("gone.jpg",)}
    assert (plan.ambiguous, plan.is_complete) == ((), False)
    assert files(release) == {"RealImage/COCO/COCO_image_list.txt"}


def test_the_stem_with_any_picture_suffix(tmp_path: Path) -> None:
    listed = ["n01_1.png", "n01_2.jpeg", "n01_3", "n01_4.jpg", "N01_5.jpg", "n01.6"]
    release = lists(tmp_path / "r", ImageNet=listed)
    folder = put(
        tmp_path / "i", "n01/n01_1.JPEG", "n01/n01_2.JPEG", "n01/n01_3.JPEG", "n01/n01_4.txt", "n01_5.jpg", "n01.6.JPEG"
    )
    plan = plan_extract(release, {"ImageNet": folder})
    assert [(photo.listed, photo.name, photo.by) for photo in plan.found] == [
        ("n01_1.png", "n01_1.JPEG", "stem"),
        ("n01_2.jpeg", "n01_2.jpeg", "stem"),
        ("n01_3", "n01_3.JPEG", "stem"),
        ("n01.6", "n01.6.JPEG", "stem"),
    ]
    assert plan.missing == {"ImageNet": ("n01_4.jpg", "N01_5.jpg")}
    assert plan.resuffixed == {"ImageNet": 4}


def test_zero_padding_is_forgiven_only_on_demand_and_counted(tmp_path: Path) -> None:
    release = lists(tmp_path / "r", COCO=["00000000520.jpg", "7.jpg", "0.jpg"])
    folder = put(tmp_path / "c", "000000000520.jpg", "000000005200.jpg", "7.jpg", "000.jpg")
    assert plan_extract(release, {"COCO": folder}).missing == {"COCO": ("00000000520.jpg", "0.jpg")}
    plan = plan_extract(release, {"COCO": folder}, match_numbers=True)
    assert plan.is_complete
    assert plan.renumbered == {"COCO": 2}
    assert [(photo.name, photo.path.name) for photo in plan.found] == [
        ("00000000520.jpg", "000000000520.jpg"),
        ("7.jpg", "7.jpg"),
        ("0.jpg", "000.jpg"),
    ]
    put(folder, "0520.png")
    again = plan_extract(release, {"COCO": folder}, match_numbers=True)
    assert [photo.listed for photo in again.ambiguous] == ["00000000520.jpg"]


def test_folders_must_agree_where_both_tell_one(tmp_path: Path) -> None:
    listed = ["a/abbey/1.jpg", "a/arch/1.jpg", "b/bar/1.jpg", "flat.jpg", "x/lone.jpg", "train/q/deep.jpg"]
    release = lists(tmp_path / "r", Places=listed)
    folder = put(
        tmp_path / "p", "data/a/abbey/1.jpg", "arch/1.jpg", "c/cafe/1.jpg", "z/flat.jpg", "lone.jpg", "q/deep.jpg"
    )
    plan = plan_extract(release, {"Places": folder})
    assert {photo.listed: photo.path.relative_to(folder).as_posix() for photo in plan.found} == {
        "a/abbey/1.jpg": "data/a/abbey/1.jpg",
        "a/arch/1.jpg": "arch/1.jpg",
        "flat.jpg": "z/flat.jpg",
        "x/lone.jpg": "lone.jpg",
        "train/q/deep.jpg": "q/deep.jpg",
    }
    assert plan.missing == {"Places": ("b/bar/1.jpg",)}


def test_several_candidates_are_reported_and_none_is_taken(tmp_path: Path) -> None:
    release = lists(tmp_path / "r", COCO=["1.jpg", "2.jpg"])
    folder = put(tmp_path / "c", "a/1.jpg", "b/1.jpg", "2.png", "2.webp")
    plan = plan_extract(release, {"COCO": folder})
    assert plan.found == ()
    assert [(photo.listed, photo.candidates) for photo in plan.ambiguous] == [
        ("1.jpg", (folder / "a/1.jpg", folder / "b/1.jpg")),
        ("2.jpg", (folder / "2.png", folder / "2.webp")),
    ]


@pytest.mark.parametrize("how", ["link", "copy", "symlink"])
def test_photos_are_put_in_place_and_again_is_free(tmp_path: Path, how: How) -> None:
    release = lists(tmp_path / "r", COCO=["1.jpg"], Places=["a/abbey/1.jpg", "2.png"])
    coco = put(tmp_path / "c", "train/1.jpg")
    places = put(tmp_path / "p", "a/abbey/1.jpg", "2.JPG")
    plan = plan_extract(release, {"COCO": coco, "Places": places})
    seen: list[int] = []
    report = apply_extract(plan, how, progress=lambda done, total, what: seen.append(done))
    assert report.done == ("COCO/1.jpg", "Places/a/abbey/1.jpg", "Places/2.JPG")
    assert (report.failed, seen) == ((), [0, 1, 2, 3])
    real = release / "RealImage"
    assert (real / "COCO/1.jpg").read_bytes() == b"picture train/1.jpg"
    assert (real / "Places/2.JPG").read_bytes() == b"picture 2.JPG"
    assert report.bytes == sum((real / name).stat().st_size for name in report.done)
    assert (real / "COCO/1.jpg").is_symlink() == (how == "symlink")
    assert (real / "COCO/1.jpg").samefile(coco / "train/1.jpg") == (how != "copy")
    again = apply_extract(plan, "copy")
    assert (again.done, again.already_there, again.bytes) == ((), report.done, 0)


def test_another_output_and_a_file_that_is_in_the_way(tmp_path: Path) -> None:
    release = lists(tmp_path / "r", COCO=["1.jpg", "2.jpg"])
    coco = put(tmp_path / "c", "1.jpg", "2.jpg")
    out = put(tmp_path / "out", "COCO/1.jpg")
    (out / "COCO" / "1.jpg").write_bytes(b"mine")
    report = apply_extract(plan_extract(release, {"COCO": coco}), "copy", output=out)
    assert report.done == ("COCO/2.jpg",)
    assert report.failed[0][0] == "COCO/1.jpg"
    assert "something else is there" in report.failed[0][1]
    assert (out / "COCO" / "1.jpg").read_bytes() == b"mine"
    assert files(release) == {"RealImage/COCO/COCO_image_list.txt"}


def test_a_photo_that_went_away_or_lies_on_another_disk_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = lists(tmp_path / "r", COCO=["1.jpg", "2.jpg"])
    coco = put(tmp_path / "c", "1.jpg", "2.jpg")
    plan = plan_extract(release, {"COCO": coco})
    (coco / "1.jpg").unlink()
    report = apply_extract(plan, "copy")
    assert report.done == ("COCO/2.jpg",)
    assert "No such file" in report.failed[0][1]
    assert not list((release / "RealImage").rglob("*.part"))

    def other_disk(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    linked = apply_extract(plan_extract(release, {"COCO": coco}), "link", output=tmp_path / "o")
    assert linked.failed == (("COCO/2.jpg", "hard links cannot lead to another disk; use copy or symlink"),)


def test_what_cannot_be_meant(tmp_path: Path) -> None:
    release = lists(tmp_path / "r", COCO=["ok.jpg", "../../etc/passwd"])
    coco = put(tmp_path / "c", "1.jpg")
    with pytest.raises(BadManifest, match="line 2"):
        plan_extract(release, {"COCO": coco})
    with pytest.raises(BadManifest, match=r"RealImage/<source>/<source>_image_list\.txt"):
        plan_extract(release, {"Places": coco})
    with pytest.raises(UnknownName, match="Did you mean 'Places'"):
        plan_extract(release, {"Place": coco})
    with pytest.raises(BadSetting, match="no folder"):
        plan_extract(release, {"COCO": tmp_path / "none"})
    with pytest.raises(BadSetting, match="link, copy or symlink"):
        apply_extract(extract.ExtractPlan(release, (), {}, ()), "move")  # type: ignore[arg-type]
