"""A report as a folder: every file, the same bytes again, names that are files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fauxlens.core.errors import BadSetting
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.report import to_csv, to_html, to_latex, to_markdown, write_report

TABLES = (
    Table("first", "First", (Column("a"), Column("b")), (("x", 1),)),
    Table("second-2", "Second", (Column("a"),), ((None,), (0.5,))),
)
FIGURES = (
    Figure("curve", "Curve", "it goes up", "image/svg+xml", b"<svg/>"),
    Figure("map", "Map", "a dark spot", "image/png", b"\x89PNG"),
    Figure("photo", "Photo", "a photo", "image/jpeg", b"\xff\xd8"),
)
REPORT = Report(
    "Title",
    "All is well.",
    (Section("One", ("Text.",), TABLES[:1], FIGURES[:2]), Section("Two", (), TABLES[1:], FIGURES[2:])),
    {"what": "scan"},
    {"share": math.nan, "total": 3},
)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_written_and_again_the_same(tmp_path: Path) -> None:
    page = write_report(REPORT, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    first = tree(tmp_path / "out")
    assert set(first) == {
        "report.html",
        "report.md",
        "report.json",
        *(f"tables/{name}.{kind}" for name in ("first", "second-2") for kind in ("csv", "tex")),
        *("figures/curve.svg", "figures/map.png", "figures/photo.jpg"),
    }
    assert first["report.html"].decode() == to_html(REPORT)
    assert first["report.md"].decode() == to_markdown(REPORT)
    assert first["tables/first.csv"].decode() == to_csv(TABLES[0])
    assert first["tables/second-2.tex"].decode() == to_latex(TABLES[1])
    assert first["figures/map.png"] == b"\x89PNG"
    assert json.loads(first["report.json"]) == {
        "title": "Title",
        "verdict": "All is well.",
        "provenance": {"what": "scan"},
        "share": None,
        "total": 3,
    }
    write_report(REPORT, tmp_path / "out")
    assert tree(tmp_path / "out") == first


def test_another_name(tmp_path: Path) -> None:
    assert write_report(REPORT, tmp_path, name="audit").name == "audit.html"
    assert {"audit.html", "audit.md", "audit.json"} < set(tree(tmp_path))


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "a\nb", "x" * 101])
def test_a_name_that_is_no_file_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    table = Table(name, "T", (Column("a"),), ())
    with pytest.raises(BadSetting, match="a table needs a name"):
        write_report(Report("t", "v", (Section("s", tables=(table,)),)), tmp_path)
    figure = Figure(name, "F", "f", "image/png", b"")
    with pytest.raises(BadSetting, match="a figure needs a name"):
        write_report(Report("t", "v", (Section("s", figures=(figure,)),)), tmp_path)
    assert tree(tmp_path) == {}


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    tables = (Table("same", "A", (Column("a"),), ()), Table("Same", "B", (Column("a"),), ()))
    with pytest.raises(BadSetting, match="two tables of one name"):
        write_report(Report("t", "v", (Section("s", tables=tables),)), tmp_path)
