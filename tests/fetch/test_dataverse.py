"""A Dataverse record against a local server that speaks its native API."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import namedtuple
from pathlib import Path
from urllib.parse import quote

import pytest

from fauxlens.core.errors import FetchError
from fauxlens.manifest.fetch.dataverse import UNBIASED_GENIMAGE, fetch_dataverse, list_dataverse
from fauxlens.manifest.fetch.outcome import FetchReport
from fetch.server import Served, Server

BODIES = {"GenImage.z000": b"a" * 5000, "GenImage.z001": b"b" * 700, "genimage_metadata.csv": b"path,generator\n"}


def entry(number: int, name: str, body: bytes, label: str | None = None, **facts: object) -> dict[str, object]:
    data = {"id": number, "filename": name, "filesize": len(body), "md5": hashlib.md5(body).hexdigest()} | facts
    return {"label": name, "dataFile": data} | ({"directoryLabel": label} if label else {})


def record(server: Server, entries: list[dict[str, object]], **faults: object) -> None:
    address = f"/api/datasets/:persistentId/?persistentId={quote(UNBIASED_GENIMAGE, safe='')}"
    body = json.dumps({"status": "OK", "data": {"latestVersion": {"files": entries}}}).encode()
    server.serve(address, body, kind="application/json", **faults)


@pytest.fixture
def genimage(server: Server) -> dict[str, Served]:
    """The record in small: two parts in a folder, one table beside it."""
    entries, served = [], {}
    for number, (name, body) in enumerate(BODIES.items(), start=11):
        entries.append(entry(number, name, body, "data" if ".z" in name else None))
        served[name] = server.serve(f"/api/access/datafile/{number}", body)
    record(server, entries)
    return served


def fetch(server: Server, destination: Path, **options: object) -> FetchReport:
    return fetch_dataverse(
        UNBIASED_GENIMAGE, destination, server=server.url + "/", pause=lambda seconds: None, **options
    )  # type: ignore[arg-type]


def test_the_record_is_listed_with_its_facts(server: Server, genimage: dict[str, Served]) -> None:
    listed = list_dataverse(UNBIASED_GENIMAGE, server=server.url)
    assert [(file.name, file.size) for file in listed.files] == [
        ("data/GenImage.z000", 5000),
        ("data/GenImage.z001", 700),
        ("genimage_metadata.csv", 15),
    ]
    assert listed.files[0].md5 == hashlib.md5(BODIES["GenImage.z000"]).hexdigest()


def test_all_of_it_comes_to_its_folders(server: Server, genimage: dict[str, Served], tmp_path: Path) -> None:
    report = fetch(server, tmp_path / "new" / "place")
    assert report.done == ("data/GenImage.z000", "data/GenImage.z001", "genimage_metadata.csv")
    assert (report.failed, report.bytes, report.needed_bytes, report.is_complete) == ((), 5715, 5715, True)
    for name in report.done:
        assert (tmp_path / "new" / "place" / name).read_bytes() == BODIES[Path(name).name]


def test_a_dry_run_writes_nothing(server: Server, genimage: dict[str, Served], tmp_path: Path) -> None:
    (tmp_path / "genimage_metadata.csv").write_bytes(BODIES["genimage_metadata.csv"])
    report = fetch(server, tmp_path, dry_run=True, only=["*.csv", "data/*.z000"])
    assert [(plan.name, plan.bytes, plan.state) for plan in report.planned] == [
        ("data/GenImage.z000", 5000, "missing"),
        ("genimage_metadata.csv", 15, "same size"),
    ]
    assert (report.needed_bytes, report.has_room, report.is_complete) == (5000, True, False)
    assert report.free_bytes > 5000
    assert [path.name for path in tmp_path.rglob("*")] == ["genimage_metadata.csv"]
    assert all(served.asked == [] for served in genimage.values())


def test_a_first_run_never_touches_what_is_there(server: Server, genimage: dict[str, Served], tmp_path: Path) -> None:
    (tmp_path / "genimage_metadata.csv").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"1 of the 3 files are there already.*--continue"):
        fetch(server, tmp_path)
    assert (tmp_path / "genimage_metadata.csv").read_bytes() == b"mine"
    assert all(served.asked == [] for served in genimage.values())


def test_carrying_on_keeps_the_whole_resumes_the_part_and_replaces_the_truncated(
    server: Server, genimage: dict[str, Served], tmp_path: Path
) -> None:
    genimage["GenImage.z000"].cuts = [3000]
    first = fetch(server, tmp_path, attempts=1)
    assert [name for name, _ in first.failed] == ["data/GenImage.z000"]
    assert "cut after 3000 of 5000" in first.failed[0][1]
    assert first.done == ("data/GenImage.z001", "genimage_metadata.csv")
    (tmp_path / "data" / "GenImage.z001").write_bytes(b"b" * 699)  # what the authors' tool would call done
    second = fetch(server, tmp_path, carry_on=True)
    assert second.done == ("data/GenImage.z000", "data/GenImage.z001")
    assert second.already_there == ("genimage_metadata.csv",)
    assert second.bytes == 2000 + 700
    assert (tmp_path / "data" / "GenImage.z000").read_bytes() == BODIES["GenImage.z000"]
    assert (tmp_path / "data" / "GenImage.z001").read_bytes() == BODIES["GenImage.z001"]


def test_one_bad_file_does_not_stop_the_others(server: Server, tmp_path: Path) -> None:
    good, bad = b"good", b"bad"
    server.serve("/api/access/datafile/1", bad)
    server.serve("/api/access/datafile/2", good)
    server.serve("/api/access/datafile/3", good, statuses=[403])
    record(
        server,
        [
            entry(1, "wrong.bin", bad, md5="0" * 32),
            entry(2, "good.bin", good),
            entry(3, "secret.bin", good),
            entry(4, "gone.bin", good),
            entry(2, "../../escape.bin", good),
            entry(2, "x.bin", good, "/etc"),
            entry(2, "good.bin", good),
            {"no": "dataFile"},
            entry(2, "odd.bin", good, md5="zz"),
        ],
    )
    report = fetch(server, tmp_path / "in")
    assert report.done == ("good.bin",)
    reasons = dict(report.failed)
    assert "wrong md5" in reasons["wrong.bin"]
    assert "403" in reasons["secret.bin"]
    assert "404" in reasons["gone.bin"]
    assert "leads out" in reasons["../../escape.bin"]
    assert "leads out" in reasons["/etc/x.bin"]
    assert "twice" in reasons["good.bin"]
    assert "not understood" in reasons["entry 8"]
    assert "no md5" in reasons["entry 9"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["good.bin"]


def test_other_digests_and_converted_tables(server: Server, tmp_path: Path) -> None:
    table = b"a,b\n1,2\n"
    server.serve("/api/access/datafile/1?format=original", table)
    facts = {
        "md5": None,
        "filesize": 3,
        "originalFileName": "table.csv",
        "originalFileSize": len(table),
        "checksum": {"type": "SHA-256", "value": hashlib.sha256(table).hexdigest()},
    }
    record(server, [entry(1, "table.tab", table, **facts)])
    assert fetch(server, tmp_path).done == ("table.csv",)
    assert (tmp_path / "table.csv").read_bytes() == table


def test_patterns_that_match_nothing_name_what_there_is(
    server: Server, genimage: dict[str, Served], tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match=r"no file of the record matches \*\.tar.*data/GenImage\.z000"):
        fetch(server, tmp_path, only=["*.tar"])


def test_no_room_is_said_before_anything_comes(
    server: Server, genimage: dict[str, Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 0, 9))
    with pytest.raises(FetchError, match="no room for all of it"):
        fetch(server, tmp_path)
    assert all(served.asked == [] for served in genimage.values())
    assert not fetch(server, tmp_path, dry_run=True).has_room


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": {}}', b'{"data": {"latestVersion": {"files": 3}}}'])
def test_answers_that_are_no_record(server: Server, tmp_path: Path, body: bytes) -> None:
    record(server, [])
    next(iter(server.files.values())).body = body
    with pytest.raises(FetchError, match="no Dataverse record"):
        fetch(server, tmp_path)


def test_a_record_that_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="404"):
        fetch(server, tmp_path)
