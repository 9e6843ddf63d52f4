"""A report as a folder: the page, the machine-readable summary, and every table and figure as files of their own."""

from __future__ import annotations

import re
from pathlib import Path

from fauxlens.core.errors import BadSetting
from fauxlens.core.files import write_bytes, write_json, write_text
from fauxlens.core.report import Report
from fauxlens.report.html import to_html
from fauxlens.report.text import to_csv, to_latex, to_markdown

_SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png", "image/jpeg": ".jpg"}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def write_report(report: Report, folder: Path, *, name: str = "report") -> Path:
    """Write `NAME.html`, `NAME.md`, `NAME.json`, `tables/*.csv|.tex` and `figures/*`; returns the page."""
    folder = Path(folder)
    _check_names("table", [table.name for table in report.tables()])
    _check_names("figure", [figure.name for section in report.sections for figure in section.figures])
    for table in report.tables():
        write_text(folder / "tables" / f"{table.name}.csv", to_csv(table))
        write_text(folder / "tables" / f"{table.name}.tex", to_latex(table))
    for section in report.sections:
        for figure in section.figures:
            write_bytes(folder / "figures" / f"{figure.name}{_SUFFIXES[figure.media_type]}", figure.data)
            if figure.raster is not None:
                write_bytes(folder / "figures" / f"{figure.name}.png", figure.raster)
    told = {"title": report.title, "verdict": report.verdict, "provenance": dict(report.provenance), **report.facts}
    write_json(folder / f"{name}.json", told)
    write_text(folder / f"{name}.md", to_markdown(report))
    page = folder / f"{name}.html"
    write_text(page, to_html(report))
    return page


def _check_names(kind: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if _FILE_NAME.fullmatch(name) is None:
            raise BadSetting(f"a {kind} needs a name that can be a file's", wanted="letters, digits, . _ -", got=name)
        if name.lower() in seen:
            raise BadSetting(f"two {kind}s of one name would be one file", got=name)
        seen.add(name.lower())
