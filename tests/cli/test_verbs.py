"""Every verb does its job on a toy tree; what it prints as JSON is as documented."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import typer.main

import toy
from cli.conftest import Run
from cli.schema import DOCUMENT, parsed
from fauxlens import read_manifest
from fauxlens.cli.main import app
from fauxlens.cli.options import Fault
from fauxlens.manifest.fetch import SOURCES
from fauxlens.manifest.fetch.dataverse import UNBIASED_GENIMAGE
from fauxlens.manifest.scan import ACCEPTABLE
from fetch.server import Server, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as started:
        yield started


def verbs() -> dict[str, Any]:
    """Every verb by the words one types, those of a group among them."""
    found = {}
    for name, verb in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found[name] = verb
        found |= {f"{name} {inner}": one for inner, one in getattr(verb, "commands", {}).items()}
    return found


def verbs_with(option: str) -> set[str]:
    return {name for name, verb in verbs().items() if any(option in p.opts for p in verb.params)}


def test_every_verb_with_json_has_its_schema() -> None:
    # `VERB --list` and `VERB NAME` are other forms of one verb.
    assert verbs_with("--json") == {re.sub(r" (--|[A-Z]).*", "", name) for name in DOCUMENT["$defs"]}
    assert DOCUMENT["$schema"].endswith("2020-12/schema")


def test_every_verb_tells_what_it_does(run: Run) -> None:
    listed = run("--help")
    assert listed.code == 0
    for name, verb in verbs().items():
        told = run(*name.split(), "--help")
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith(f"Usage: fauxlens {name} ")
        above, _, word = name.rpartition(" ")
        assert f"\n  {word} " in (run(above, "--help") if above else listed).out
        assert verb.help
        for parameter in verb.params:
            assert parameter.help or parameter.name == "help", (name, parameter.name)


def test_the_faults_that_can_be_accepted_are_those_of_the_library() -> None:
    assert {fault.value for fault in Fault} == set(ACCEPTABLE)


def test_version(run: Run) -> None:
    from fauxlens import __version__

    assert run("--version") == (0, f"fauxlens {__version__}\n", "")


@pytest.mark.parametrize("name", ["folder_names", "genimage", "brgen_release", "imdl_lists"])
def test_scan(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    wanted = toy.TREES[name].draw(tmp_path / "set")
    said = run("scan", tmp_path / "set", "-o", tmp_path / "m.parquet", "--json")
    assert (said.code, said.err) == (0, "")
    found = parsed(said.out, "scan")
    assert (found["files"], found["layout"]) == (wanted["entries"], toy.TREES[name].layout)
    assert sum(row["files"] for row in found["classes"]) == wanted["entries"]
    assert sum(found["left_out"].values()) == len(wanted["left_out"])
    assert len(read_manifest(tmp_path / "m.parquet")) == wanted["entries"]
    plain = run("scan", tmp_path / "set", "-o", tmp_path / "m.parquet", "--layout", found["layout"])
    assert (plain.code, plain.err) == (0, "")
    assert plain.out.startswith(f"{wanted['entries']} files, layout {found['layout']} (")
    assert plain.out.endswith(f"wrote {tmp_path / 'm.parquet'}\n")
    listed = (tmp_path / "m.left-out.csv").read_text().splitlines()
    assert len(listed) == 1 + len(wanted["left_out"])


def test_scan_counts_one_as_one(run: Run, tmp_path: Path) -> None:
    toy.picture(tmp_path / "set" / "real" / "0.jpg", seed=0)
    (tmp_path / "set" / "real" / "1.jpg").write_bytes(b"")
    (tmp_path / "set" / "notes.txt").write_text("x")
    said = run("scan", tmp_path / "set", "-o", tmp_path / "m.parquet", "--layout", "folder")
    assert said.out.startswith("2 files, layout folder")
    assert "\n1 file is quarantined (kept in the manifest" in said.out
    assert "\n1 file was left out (in m.left-out.csv):" in said.out
    again = run("scan", tmp_path / "set", "-o", tmp_path / "n.parquet", "--accept", "wrong-suffix", "--json")
    assert parsed(again.out, "scan")["quarantined"] == {"empty": 1}


def test_verify_status_and_their_pages(toys: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree(toys / "names", tmp_path / "names")
    shutil.copy(toys / "m.parquet", tmp_path)
    given = ("verify", tmp_path / "m.parquet", "--root", tmp_path / "names")
    good = run(*given, "--json")
    assert (good.code, good.err) == (0, "")
    folder = tmp_path / "m-verified"
    found = parsed(good.out, "verify")
    assert (found["total"], found["usable"], found["quarantined"]) == (16, 16, {})
    assert (found["folder"], found["manifest"]) == (str(folder), str(folder / "manifest.parquet"))
    for name in ("manifest.parquet", "quarantine.csv", "report.html", "report.md", "report.json"):
        assert (folder / name).is_file()

    for place in (folder, folder / "work"):
        how_far = parsed(run("status", place, "--json").out, "status")
        assert (how_far["done"], how_far["total"], how_far["running"]) == (16, 16, False)
    plain = run("status", folder)
    assert plain.code == 0
    assert plain.out.startswith("16 of 16 done (100%), 0 failed, 0 given up\n")
    assert "left" not in plain.out

    (tmp_path / "names" / "train" / "real" / "phone" / "0.jpg").write_bytes(b"<html>")
    bad = run(*given, "--fresh", "-q")
    assert (bad.code, bad.err) == (1, "")
    assert bad.out.startswith("15 of 16 files are usable")
    assert "train/real/phone/0.jpg" in bad.out
    assert "train/real/phone/0.jpg" in (folder / "quarantine.csv").read_text()


def test_select(toys: Path, run: Run, tmp_path: Path) -> None:
    given = ("select", toys / "m.parquet", "-o", tmp_path / "s.parquet", "-w", "label=real", "-w", "split=train")
    found = parsed(run(*given, "--json").out, "select")
    assert (found["files"], found["manifest"]) == (4, str(tmp_path / "s.parquet"))
    assert set(read_manifest(tmp_path / "s.parquet").column("label").to_pylist()) == {"real"}
    said = run(*given)
    assert said.out.splitlines() == [*found["history"], f"wrote {tmp_path / 's.parquet'}"]
    drawn = run("select", toys / "m.parquet", "-o", tmp_path / "d.csv", "--one-to-one", "fixed", "--seed", 3, "--json")
    assert parsed(drawn.out, "select")["files"] == 12


def test_split(toys: Path, run: Run, tmp_path: Path) -> None:
    given = ("split", toys / "m.parquet", "-o", tmp_path / "s.parquet", "--salt", "x")
    found = parsed(run(*given, "--json").out, "split")
    assert sum(row["files"] for row in found["counts"]) == 16
    assert {row["split"] for row in found["counts"]} <= {"train", "val", "test"}
    assert run(*given).out.splitlines()[0].split() == ["source", "split", "label", "files"]


def test_degrade(toys: Path, run: Run, tmp_path: Path) -> None:
    given = ("degrade", toys / "m.parquet", "-r", "jpeg:quality=60", "-o", tmp_path / "out", "--seed", 5)
    said = run(*given, "--json")
    assert (said.code, said.err) == (0, "")
    found = parsed(said.out, "degrade")
    assert (found["files"], found["failed"], found["seed"]) == (16, {}, 5)
    made = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert set(made.column("jpeg_quality").to_pylist()) == {60}
    assert run(*given).out.startswith("16 pictures degraded by jpeg:quality=60 (jpeg:quality=60), seed 5\n")
    listed = parsed(run("degrade", "--list", "--json").out, "degrade --list")
    assert "none" in {row["name"] for row in listed}
    assert len(run("degrade", "--list").out.splitlines()) == len(listed) + 1


def test_fetch_lists_all_and_refuses_what_is_not_ours(run: Run) -> None:
    listed = parsed(run("fetch", "--list", "--json").out, "fetch --list")
    assert {name: row["fetched"] for name, row in listed.items()} == {n: s.is_fetched for n, s in SOURCES.items()}
    plain = run("fetch", "--list")
    for name, source in SOURCES.items():
        assert f"\n{name}: " in "\n" + plain.out
        assert source.terms in plain.out
        if source.ask is not None:
            said = run("fetch", name, "--destination", "x")
            assert (said.code, said.out) == (2, "")
            assert said.err == f"error: {name}: this dataset is not fetched here\n  next: {source.ask}\n"


@pytest.fixture
def record(server: Server) -> dict[str, bytes]:
    """A Dataverse record of two files."""
    bodies = {"a.csv": b"path\n", "b.bin": bytes(3000)}
    entries = []
    for number, (name, body) in enumerate(bodies.items(), start=1):
        digest = {"type": "MD5", "value": hashlib.md5(body).hexdigest()}
        entries.append({"dataFile": {"id": number, "filename": name, "filesize": len(body), "checksum": digest}})
        server.serve(f"/api/access/datafile/{number}", body)
    answer = {"status": "OK", "data": {"latestVersion": {"files": entries}}}
    address = f"/api/datasets/:persistentId/?persistentId={quote(UNBIASED_GENIMAGE, safe='')}"
    server.serve(address, json.dumps(answer).encode(), kind="application/json")
    return bodies


def test_fetch_a_record(server: Server, record: dict[str, bytes], run: Run, tmp_path: Path) -> None:
    given = ("fetch", "unbiased-genimage", "--destination", tmp_path / "out", "--server", server.url)
    planned = parsed(run(*given, "--dry-run", "--json").out, "fetch")
    assert [(row["name"], row["bytes"], row["state"]) for row in planned["planned"]] == [
        ("a.csv", 5, "missing"),
        ("b.bin", 3000, "missing"),
    ]
    assert (planned["dry_run"], planned["needed_bytes"]) == (True, 3005)
    assert not (tmp_path / "out").exists()
    assert "3,005 bytes to come" in run(*given, "--dry-run").out

    part = parsed(run(*given, "--accept", "--only", "*.csv", "--json").out, "fetch")
    assert part["done"] == ["a.csv"]
    whole = run(*given, "--accept", "--continue")
    assert (whole.code, whole.out) == (0, "1 fetched, 1 already there, 0 failed\n")
    assert "CC BY-NC-SA" in whole.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == record


def test_fetch_goes_on_after_a_failure(server: Server, record: dict[str, bytes], run: Run, tmp_path: Path) -> None:
    server.files["/api/access/datafile/2"].body = b"other"
    given = (
        "fetch",
        "unbiased-genimage",
        "--destination",
        tmp_path,
        "--server",
        server.url,
        "--accept",
        "--attempts",
        1,
    )
    said = run(*given, "--quiet")
    assert said.code == 1
    assert said.out.splitlines()[0] == "1 fetched, 0 already there, 1 failed"
    assert said.out.splitlines()[-1] == "the same command with --continue goes on from here"
    assert said.err == ""
    failed = parsed(run(*given, "--continue", "--json").out, "fetch")
    assert [row["name"] for row in failed["failed"]] == ["b.bin"]


def test_terms_are_shown_before_they_are_accepted(
    server: Server, record: dict[str, bytes], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is there to answer, and --json and --quiet do not hide what is asked for.
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for option in ("--json", "--quiet"):
        said = run("fetch", "unbiased-genimage", "--destination", tmp_path / "out", "--server", server.url, option)
        assert (said.code, said.out) == (2, "")
        assert SOURCES["unbiased-genimage"].terms in said.err
        assert "the terms were not accepted" in said.err
    assert not (tmp_path / "out").exists()
    assert all(served.asked == [] for served in server.files.values())


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        ("imaginet-ffhq", ("--dry-run",)),  # it would have fetched
        ("imaginet-ffhq", ("--only", "*.png")),
        ("unbiased-genimage", ("--first", 1)),
        ("unbiased-genimage", ("--list-file", "x.txt")),
    ],
)
def test_options_of_another_dataset_are_refused(
    dataset: str, options: tuple[object, ...], run: Run, tmp_path: Path
) -> None:
    said = run("fetch", dataset, "--destination", tmp_path / "out", *options)
    assert (said.code, said.out) == (2, "")
    assert f"{dataset}: {options[0]} has no meaning for this dataset" in said.err
    assert not (tmp_path / "out").exists()


def test_fetch_faces(server: Server, run: Run, tmp_path: Path) -> None:
    picture = toy.picture(tmp_path / "face.png", seed=1)
    from fauxlens.manifest.fetch.ffhq import pixel_md5

    server.serve("/d?id=Id", picture.read_bytes())
    (tmp_path / "list.txt").write_text(f"Id,face-1.png,{pixel_md5(picture)}\n")
    given = ("fetch", "imaginet-ffhq", "--destination", tmp_path / "out", "--server", server.url + "/d?id={id}")
    found = parsed(run(*given, "--list-file", tmp_path / "list.txt", "--accept", "--json").out, "fetch")
    assert found["done"] == ["face-1.png"]
    said = run(*given, "--accept")
    assert (said.code, said.out) == (2, "")
    assert "next: give --list-file" in said.err


def test_unpack(run: Run, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a/1.bin", "a/2.bin", "b/3.bin"):
            archive.writestr(name, name * 50)
    whole = packed.getvalue()
    for number in range(3):
        step = -(-len(whole) // 3)
        (tmp_path / f"Set.z{number:03}").write_bytes(whole[number * step : (number + 1) * step])
    found = parsed(run("unpack", tmp_path / "Set.z000", "--destination", tmp_path / "o", "--json").out, "unpack")
    assert (found["done"], found["already_there"], found["bad"]) == (3, 0, [])
    assert (tmp_path / "o" / "b" / "3.bin").read_text() == "b/3.bin" * 50
    again = run("unpack", tmp_path / "Set.z000", "--destination", tmp_path / "o")
    assert again.out == "0 unpacked, 3 already there, 0 bad\n"
    joined = parsed(run("unpack", tmp_path / "Set.z000", "--join", tmp_path / "s.zip", "--json").out, "unpack --join")
    assert (joined["bytes"], joined["members"]) == (len(whole), 3)
    assert (tmp_path / "s.zip").read_bytes() == whole
    plain = run("unpack", tmp_path / "s.zip", "--destination", tmp_path / "p", "--only", "a/*")
    assert plain.out.startswith("2 unpacked, ")


def test_extract_reals(run: Run, tmp_path: Path) -> None:
    names = tmp_path / "release" / "RealImage" / "COCO"
    names.mkdir(parents=True)
    (names / "COCO_image_list.txt").write_text("1.jpg\n2.jpg\n")
    toy.picture(tmp_path / "coco" / "1.jpg", seed=1)
    given = ("extract-reals", tmp_path / "release", "-s", f"COCO={tmp_path / 'coco'}")
    planned = run(*given, "--json")
    assert planned.code == 1  # one is missing
    found = parsed(planned.out, "extract-reals")
    assert (found["found"], found["missing"], found["done"]) == ({"COCO": 1}, {"COCO": ["2.jpg"]}, None)
    assert not (names / "1.jpg").exists()
    assert "nothing was written; --apply puts them in place" in run(*given).out
    toy.picture(tmp_path / "coco" / "2.jpg", seed=2)
    done = run(*given, "--apply", "--how", "copy", "--json")
    assert (done.code, parsed(done.out, "extract-reals")["done"]) == (0, 2)
    assert (names / "1.jpg").read_bytes() == (tmp_path / "coco" / "1.jpg").read_bytes()
    said = run("extract-reals", tmp_path / "release", "-s", "COCO")
    assert (said.code, said.out) == (2, "")
    assert "a source is NAME=FOLDER (got COCO)" in said.err


def test_prune(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("ffhq/1.png", "ffhq/2.png", "photo.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (tmp_path / "train.txt").write_text("./ffhq/1.png,0,2,4,8\n")
    given = ("prune", root, "-a", tmp_path / "train.txt")
    found = parsed(run(*given, "--json").out, "prune")
    assert (found["surplus"], found["removed"], found["outside"], found["dry_run"]) == (1, 0, 1, True)
    plain = run(*given)
    assert "not needed: 1 file (1 byte); nothing was deleted\n" in plain.out
    assert (root / "ffhq" / "2.png").exists()
    done = parsed(run(*given, "--apply", "--json").out, "prune")
    assert (done["removed"], done["dry_run"]) == (1, False)
    assert {path.name for path in root.rglob("*.???")} >= {"1.png", "photo.jpg"}
    assert not (root / "ffhq" / "2.png").exists()


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("doctor", "--json")
    assert said.code == 0
    found = parsed(said.out, "doctor")
    plain = run("doctor")
    assert len(plain.out.splitlines()) == len(found) + 1
    for row in found:
        assert row["what"] in plain.out

    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else real(name))
    assert run("doctor").code == 1


def test_audit_and_align(toys: Path, run: Run, tmp_path: Path) -> None:
    said = run("audit", toys / "m.parquet", "-o", tmp_path / "audit", "--per-class", 0, "--json")
    assert said.code == 0
    found = parsed(said.out, "audit")
    assert found["rows"] == found["reals"] + found["fakes"]
    assert Path(found["page"]).exists()
    given = ("align", toys / "m.parquet", "-o", tmp_path / "al", "--recode", "strict", "--crop", 16)
    said = run(*given, "--audit-pictures", 0, "--json")
    assert said.code == 0, said.err
    found = parsed(said.out, "align")
    assert found["after"][0] == found["after"][1] > 0
    for label, before, after in zip(("real", "fake"), found["before"], found["after"], strict=True):
        assert before - after == sum(loss["count"] for loss in found["losses"] if loss["label"] == label)
    assert Path(found["audit"]["page"]).exists()
    listed = parsed(run("align", "--list", "--json").out, "align --list")
    assert "strict-96" in {row["name"] for row in listed}
    assert len(run("align", "--list").out.splitlines()) == len(listed) + 1
