"""What the files say of themselves, as numbers: one row an image, from the manifest's columns alone. No file is opened.

A *fact* is what a reader would name ("format", "size"); it may take several numeric columns. Everything that is said
of importance is said of facts, because the columns of one fact stand in for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fauxlens.core.files import atomic_path
from fauxlens.core.names import unknown
from fauxlens.manifest.manifest import Manifest

Numbers: TypeAlias = npt.NDArray[np.float64]

# More categories than this become one column of codes: a hundred one-hot columns cost time and tell a tree no more.
MOST_ONE_HOT = 32
ABSENT = "(none)"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing a file says. `content_dependent` facts also depend on what the picture shows, not on the file alone."""

    name: str
    title: str
    content_dependent: bool = False
    unit: str | None = None


FACTS: tuple[Fact, ...] = (
    Fact("format", "file format"),
    Fact("jpeg_quality", "JPEG quality"),
    Fact("subsampling", "chroma subsampling"),
    Fact("progressive", "progressive or interlaced"),
    Fact("size", "width, height and shape", unit="px"),
    Fact("metadata", "kinds of metadata"),
    Fact("bit_depth", "bits a channel"),
    Fact("colour", "colour as stored"),
    Fact("bytes", "size of the file", content_dependent=True, unit="bytes a pixel"),
    Fact("content", "what the picture shows", content_dependent=True),
)
FACT_BY_NAME: Mapping[str, Fact] = {fact.name: fact for fact in FACTS}


@dataclass(frozen=True, eq=False)
class FactTable:
    """The facts of N images as `values` (N, C) float64, with nan for what is not known or does not apply.

    `fact_of` names the fact of each column; `unknown` are facts of which the manifest says nothing at all. `words`
    holds, for facts that are categories, one text a row ("jpeg", "4:2:0"), for sentences.
    """

    values: Numbers
    columns: tuple[str, ...]
    fact_of: tuple[str, ...]
    unknown: tuple[str, ...]
    words: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that have a column, in order."""
        return tuple(dict.fromkeys(self.fact_of))

    @property
    def file_facts(self) -> tuple[str, ...]:
        """Those that depend on the file alone, not on what the picture shows."""
        return tuple(name for name in self.facts if not FACT_BY_NAME[name].content_dependent)

    @property
    def varying(self) -> tuple[str, ...]:
        """The facts that differ between any two rows; the others can tell nothing."""
        return tuple(name for name in self.facts if _varies(self.values[:, self.columns_of(name)]))

    def columns_of(self, fact: str) -> list[int]:
        """The numbers of the columns of one fact."""
        found = [index for index, name in enumerate(self.fact_of) if name == fact]
        if not found:
            raise unknown(fact, self.facts, "fact")
        return found

    def column(self, name: str) -> Numbers:
        """One column by its name, (N,)."""
        if name not in self.columns:
            raise unknown(name, self.columns, "column of facts")
        found: Numbers = self.values[:, self.columns.index(name)]
        return found

    def only(self, facts: Collection[str]) -> FactTable:
        """The same rows with some of the facts."""
        for name in facts:
            if name not in self.facts:
                raise unknown(name, self.facts, "fact")
        kept = [index for index, name in enumerate(self.fact_of) if name in facts]
        return FactTable(
            self.values[:, kept],
            tuple(self.columns[index] for index in kept),
            tuple(self.fact_of[index] for index in kept),
            self.unknown,
            {name: words for name, words in self.words.items() if name in facts},
        )

    def rows(self, rows: npt.NDArray[Any]) -> FactTable:
        """Some of the rows, by number."""
        words = {name: values[rows] for name, values in self.words.items()}
        return FactTable(self.values[rows], self.columns, self.fact_of, self.unknown, words)


def fact_table(manifest: Manifest) -> FactTable:
    """The facts of every row of `manifest`, in its order."""
    gathered = _Gathered(manifest)
    is_jpeg = gathered.category("format") == "jpeg"
    _quality(gathered, is_jpeg)
    gathered.category("subsampling")
    gathered.number("progressive", "progressive", _numbers(manifest, "progressive"))
    _size(gathered)
    _metadata(gathered)
    gathered.number("bit_depth", "bit_depth", _numbers(manifest, "bit_depth"))
    gathered.category("colour")
    gathered.category("content")
    return gathered.table()


class _Gathered:
    """Columns as they come together."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.columns: dict[str, tuple[str, Numbers]] = {}
        self.words: dict[str, npt.NDArray[Any]] = {}

    def number(self, fact: str, column: str, values: Numbers) -> None:
        self.columns[column] = (fact, values)

    def category(self, name: str) -> npt.NDArray[Any]:
        """Add a text column, one-hot or as codes; -> one text a row."""
        codes, names = coded(self.manifest, name)
        words = np.asarray([*names, ABSENT], dtype=object)[codes]
        if not names:
            return words
        self.words[name] = words
        if len(names) > MOST_ONE_HOT:
            self.number(name, name, np.where(codes < 0, np.nan, codes).astype(np.float64))
            return words
        for code, value in enumerate(names):
            self.number(name, f"{name}={value}", (codes == code).astype(np.float64))
        return words

    def table(self) -> FactTable:
        order = {fact.name: place for place, fact in enumerate(FACTS)}
        known = {c: v for c, (_, v) in self.columns.items() if not np.isnan(v).all()}
        names = sorted(known, key=lambda column: order[self.columns[column][0]])
        facts = tuple(self.columns[column][0] for column in names)
        rows = len(self.manifest)
        values = np.column_stack([known[column] for column in names]) if names else np.empty((rows, 0))
        missing = tuple(fact.name for fact in FACTS if fact.name not in facts)
        return FactTable(values, tuple(names), facts, missing, self.words)


def coded(manifest: Manifest, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A text column as (codes (N,), -1 for null, sorted names): the codes do not depend on the order of rows."""
    encoded = manifest.column(name).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    names = [str(value) for value in encoded.dictionary.to_pylist()]
    raw = np.asarray(pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    order = sorted(range(len(names)), key=lambda index: names[index])
    rank = np.full(len(names) + 1, -1, dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[raw], [names[index] for index in order]


def _numbers(manifest: Manifest, name: str) -> Numbers:
    column = manifest.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _quality(gathered: _Gathered, is_jpeg: npt.NDArray[np.bool_]) -> None:
    quality = _numbers(gathered.manifest, "jpeg_quality")
    exact = _numbers(gathered.manifest, "jpeg_quality_exact")
    gathered.number("jpeg_quality", "jpeg_quality", quality)
    # 2 a standard table, 1 close to one, 0 a JPEG whose tables are no quality; nan where there is no JPEG, or where a
    # published list gives a number without saying how it was found.
    kind = np.where(np.isnan(quality), np.where(is_jpeg, 0.0, np.nan), exact + 1)
    gathered.number("jpeg_quality", "jpeg_quality_kind", kind)


def _size(gathered: _Gathered) -> None:
    width, height = _numbers(gathered.manifest, "width"), _numbers(gathered.manifest, "height")
    file_bytes = _numbers(gathered.manifest, "bytes")
    known = (width > 0) & (height > 0)
    width, height = np.where(known, width, np.nan), np.where(known, height, np.nan)
    pixels = width * height
    gathered.number("size", "width", width)
    gathered.number("size", "height", height)
    gathered.number("size", "aspect", width / height)
    gathered.number("size", "pixels", pixels)
    gathered.number("size", "is_square", np.where(known, (width == height).astype(np.float64), np.nan))
    gathered.number("bytes", "bytes", file_bytes)
    gathered.number("bytes", "bytes_per_pixel", file_bytes / pixels)


def _metadata(gathered: _Gathered) -> None:
    codes, joined = coded(gathered.manifest, "metadata")
    if not joined:
        return
    sets = [frozenset(text.split("+")) - {""} for text in joined]
    kinds = sorted(frozenset().union(*sets))
    if not kinds:
        # Known, and none anywhere: a column that says so, rather than a fact that is missing.
        gathered.number("metadata", "metadata=any", np.where(codes < 0, np.nan, 0.0))
    for kind in kinds:
        has = np.asarray([*(float(kind in one) for one in sets), np.nan])
        gathered.number("metadata", f"metadata={kind}", has[codes])


def _varies(values: Numbers) -> bool:
    if not len(values):
        return False
    first = values[0]
    return bool((~((values == first) | (np.isnan(values) & np.isnan(first)))).any())


_WRITTEN = (
    *("id", "path", "label", "generator", "split", "content", "format", "jpeg_quality", "jpeg_quality_exact"),
    *("jpeg_quality_distance", "subsampling", "progressive", "width", "height", "bytes", "metadata", "bit_depth"),
    "colour",
)


def write_facts(manifest: Manifest, path: Path) -> Path:
    """The facts of every sample as CSV, one row a sample, aspect and bytes a pixel worked out; unknown is empty."""
    import pyarrow.csv

    table = pa.table({name: manifest.column(name) for name in _WRITTEN})
    width, height = (pc.cast(table.column(name), pa.float64()) for name in ("width", "height"))
    table = table.append_column("aspect", pc.divide(width, height))
    pixels = pc.multiply(width, height)
    table = table.append_column("bytes_per_pixel", pc.divide(pc.cast(table.column("bytes"), pa.float64()), pixels))
    with atomic_path(path) as temporary:
        pyarrow.csv.write_csv(table, temporary)
    return path
