"""The fact table: what it takes from the columns, and how it says what is not known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from facts_drawn import drawn_columns, drawn_manifest
from fauxlens.audit.facts import ABSENT, FACT_BY_NAME, FACTS, fact_table
from fauxlens.core.errors import UnknownName
from fauxlens.manifest.manifest import Manifest


def three_files() -> Manifest:
    """An exact JPEG, a JPEG whose tables are no quality, and a PNG."""
    columns = {
        "id": ["a", "b", "c"],
        "path": ["a.jpg", "b.jpg", "c.png"],
        "label": ["real", "real", "generated"],
        "format": ["jpeg", "jpeg", "png"],
        "jpeg_quality": [96, None, None],
        "jpeg_quality_exact": [True, None, None],
        "subsampling": ["4:4:4", "4:2:0", None],
        "progressive": [True, False, None],
        "width": [500, 400, 256],
        "height": [250, 400, None],
        "bytes": [50_000, 16_000, 9],
        "metadata": ["exif+jfif", "", None],
        "content": ["dog", None, "cat"],
    }
    return Manifest.from_columns(columns, Path())


def test_every_column_by_hand():
    table = fact_table(three_files())
    expected = {
        "format=jpeg": [1, 1, 0],
        "format=png": [0, 0, 1],
        "jpeg_quality": [96, np.nan, np.nan],
        "jpeg_quality_kind": [2, 0, np.nan],
        "subsampling=4:2:0": [0, 1, 0],
        "subsampling=4:4:4": [1, 0, 0],
        "progressive": [1, 0, np.nan],
        "width": [500, 400, np.nan],
        "height": [250, 400, np.nan],
        "aspect": [2, 1, np.nan],
        "pixels": [125_000, 160_000, np.nan],
        "is_square": [0, 1, np.nan],
        "metadata=exif": [1, 0, np.nan],
        "metadata=jfif": [1, 0, np.nan],
        "bytes": [50_000, 16_000, 9],
        "bytes_per_pixel": [0.4, 0.1, np.nan],
        "content=cat": [0, 0, 1],
        "content=dog": [1, 0, 0],
    }
    assert set(table.columns) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(table.column(name), values, err_msg=name)
    assert table.values.dtype == np.float64
    assert set(table.unknown) == {"bit_depth", "colour"}
    assert table.words["subsampling"].tolist() == ["4:4:4", "4:2:0", ABSENT]


def test_facts_group_columns_and_content_is_apart():
    table = fact_table(drawn_manifest(60))
    assert table.facts == tuple(fact.name for fact in FACTS)
    assert set(table.facts) - set(table.file_facts) == {"bytes", "content"}
    assert [table.columns[k] for k in table.columns_of("size")] == [
        "width", "height", "aspect", "pixels", "is_square",
    ]  # fmt: skip
    assert set(table.varying) == {"jpeg_quality", "subsampling", "size", "metadata", "bytes", "content"}


def test_many_categories_become_one_column():
    columns, _ = drawn_columns(200, 0)
    columns["content"] = [f"class-{k % 100:03d}" for k in range(200)]
    table = fact_table(Manifest.from_columns(columns, Path()))
    assert [table.columns[k] for k in table.columns_of("content")] == ["content"]
    np.testing.assert_array_equal(table.column("content"), np.arange(200) % 100)


def test_parts_of_a_table():
    table = fact_table(drawn_manifest(60))
    part = table.only(["size", "format"]).rows(np.array([3, 1]))
    assert part.facts == ("format", "size")
    np.testing.assert_array_equal(part.column("width"), table.column("width")[[3, 1]])
    with pytest.raises(UnknownName, match="Did you mean 'format'"):
        table.only(["fromat"])
    with pytest.raises(UnknownName, match="no column of facts called 'widht'"):
        table.column("widht")


def test_an_empty_manifest_has_no_facts():
    table = fact_table(Manifest.from_columns({"id": [], "path": [], "label": []}, Path()))
    assert (len(table), table.facts, table.varying) == (0, (), ())
    assert set(table.unknown) == set(FACT_BY_NAME)


def test_the_order_of_rows_moves_rows_only():
    manifest = drawn_manifest(80)
    order = np.random.default_rng(0).permutation(80)
    there = fact_table(manifest.take("shuffled", order))
    assert there.columns == fact_table(manifest).columns
    np.testing.assert_array_equal(there.values, fact_table(manifest).values[order])


def test_a_hundred_thousand_rows_take_a_second():
    manifest = drawn_manifest(100_000)
    started = time.perf_counter()
    assert len(fact_table(manifest)) == 100_000
    # Forty milliseconds alone; the rest is room for a busy machine.
    assert time.perf_counter() - started < 3
