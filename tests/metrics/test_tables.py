"""The tables of metrics: complete, true to their functions, and told in the document."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from fauxlens.metrics import confusion, image, pixel
from fauxlens.metrics.arrays import Metric
from fauxlens.metrics.tally import COLUMNS, PixelScores

TABLES = {"image": image.METRICS, "pixel": pixel.METRICS, "confusion": confusion.METRICS}
LINES = [(table, name) for table, lines in TABLES.items() for name in lines]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("table", "name"), LINES)
def test_a_line_says_what_its_function_wants_and_the_document_knows_it(table: str, name: str) -> None:
    metric: Metric = TABLES[table][name]
    wanted = inspect.signature(metric.function).parameters.values()
    assert metric.needs == tuple(one.name for one in wanted if one.default is inspect.Parameter.empty)
    arrow = "↑" if metric.better == "higher" else "↓"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOCUMENT.splitlines() if line[:1] == "|"]
    assert any(name in row[0].split(", ") and row[-1] == arrow for row in rows)
    assert metric.column(name).title == f"{name} {arrow}"


def test_every_number_of_a_tally_has_a_column() -> None:
    assert list(COLUMNS) == [field.name for field in dataclasses.fields(PixelScores)]


def test_the_room_needs_no_torch_and_no_scikit_learn() -> None:
    line = (
        "import sys, fauxlens.metrics.tally, fauxlens.metrics.interval, fauxlens.metrics.confusion;"
        "print(sorted({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout == "[]\n"
