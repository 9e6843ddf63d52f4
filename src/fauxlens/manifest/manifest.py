"""The Manifest: an ordered table of samples and how it came about.

The table is Arrow, so three million rows load, filter and count in seconds; a row becomes a `Sample` when it is asked
for. A manifest never changes: every choice gives a new one, with one more line of history.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fauxlens.core.errors import BadManifest
from fauxlens.core.files import atomic_path, write_text
from fauxlens.core.names import nearest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.schema import BY_NAME, COLUMNS, LABELS, LISTED, NAMES, OK, SCHEMA, SCHEMA_VERSION

_METADATA_KEY = b"fauxlens"
_ROW_GROUP = 262_144


@dataclass(frozen=True, eq=False)
class Manifest:
    """An ordered table of samples and how it came about.

    `table` has the columns of `schema.COLUMNS` (and may have more, which are kept); `root` is the folder that paths are
    relative to; `history` has one line for each step that made it; `facts` holds what the layout said of the dataset
    (its name, its published counts).
    """

    table: pa.Table
    root: Path
    name: str = "manifest"
    history: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[Sample],
        root: Path,
        *,
        name: str = "manifest",
        history: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Build a manifest from samples, in their order."""
        rows = list(samples)
        columns = {column: [getattr(row, column) for row in rows] for column in NAMES}
        return cls.from_columns(columns, root, name=name, history=history, facts=facts)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Sequence[Any]],
        root: Path,
        *,
        name: str = "manifest",
        history: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Build a manifest from columns of equal length; columns that are not given are null."""
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise BadManifest("columns of different lengths", got=lengths)
        count = next(iter(lengths.values()), 0)
        arrays = {key: _array(key, values) for key, values in columns.items()}
        for column in NAMES:
            arrays.setdefault(column, pa.nulls(count, SCHEMA.field(column).type))
        table = pa.table({key: arrays[key] for key in (*NAMES, *(k for k in arrays if k not in BY_NAME))})
        return cls(_checked(table, "columns"), Path(root), name, tuple(history), dict(facts or {}))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Sample]:
        known = self.table.select(list(NAMES))
        for batch in known.to_batches(max_chunksize=4096):
            columns = [batch.column(i).to_pylist() for i in range(batch.num_columns)]
            for values in zip(*columns, strict=True):
                yield Sample(**dict(zip(NAMES, values, strict=True)))

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of a manifest with {len(self)} rows")
        row = self.table.select(list(NAMES)).slice(index % len(self), 1).to_pylist()[0]
        return Sample(**row)

    def __repr__(self) -> str:
        return f"Manifest('{self.name}', {len(self)} samples, root='{self.root}')"

    def path_of(self, sample: Sample) -> Path:
        """Where the image of `sample` lies."""
        return self.root / sample.path

    def mask_path_of(self, sample: Sample) -> Path | None:
        """Where the mask of `sample` lies; None when it has none."""
        return None if sample.mask_path is None else self.root / sample.mask_path

    def require_files(self) -> None:
        """Say no when none of the files is under the root: the dataset or the manifest was moved."""
        paths = self.usable().column("path").to_pylist()
        tried = paths[:: max(1, len(paths) // 100)]
        if tried and not any((self.root / path).exists() for path in tried):
            what = (
                "is not there"
                if not self.root.is_dir()
                else f"holds none of the {len(tried)} files that were looked for"
            )
            raise BadManifest(
                f"the root of this manifest {what}",
                where=self.root,
                wanted=tried[0],
                hint="say where the pictures lie now with --root FOLDER",
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, as Arrow (text columns without dictionary)."""
        if name not in self.table.column_names:
            there_are = self.table.column_names
            raise BadManifest(
                f"no column called '{name}'", hint=f"{nearest(name, there_are)}There are: {', '.join(there_are)}"
            )
        values = self.table.column(name)
        return values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values

    def values(self, name: str) -> np.ndarray[Any, Any]:
        """One column as a NumPy array (null becomes None or nan, as Arrow does it)."""
        return np.asarray(self.column(name).to_numpy())

    def where(self, why: str, keep: pc.Expression | np.ndarray[Any, Any] | pa.Array) -> Manifest:
        """Only the rows that `keep` says yes to (null is no); `why` goes into the history.

        `keep` is an Arrow expression such as `pyarrow.compute.field("width") >= 450`, or one bool a row.
        """
        if isinstance(keep, np.ndarray):
            if keep.dtype != bool or keep.shape != (len(self),):
                raise BadManifest(
                    "a filter is one bool a row", wanted=f"({len(self)},) bool", got=f"{keep.shape} {keep.dtype}"
                )
            keep = pa.array(keep)
        kept = self.table.filter(keep)
        line = f"{why}: kept {kept.num_rows} of {len(self)}"
        return replace(self, table=kept, history=(*self.history, line))

    def where_all(self, steps: Sequence[tuple[str, pa.ChunkedArray]]) -> Manifest:
        """Several filters at once, each (why, one bool a row): one line of history each, the rows copied only once."""
        keep, history, left = None, list(self.history), len(self)
        for why, mask in steps:
            keep = pc.fill_null(mask, False) if keep is None else pc.and_(keep, pc.fill_null(mask, False))
            kept = int(pc.sum(keep).as_py() or 0)
            history.append(f"{why}: kept {kept} of {left}")
            left = kept
        if keep is None:
            return self
        return replace(self, table=self.table.filter(keep), history=tuple(history))

    def usable(self, *, listed: bool = False) -> Manifest:
        """Only the rows whose status is ok, or that nobody has checked: what training, prediction and audits read.

        With `listed`, also rows that are known from a published list alone: enough to audit facts, not to read pixels.
        """
        good = pc.is_in(self.column("status"), pa.array([OK, None, LISTED] if listed else [OK, None]))
        if pc.all(good).as_py() is not False:
            return self
        return self.where("not quarantined", good)

    def quarantined(self) -> list[tuple[str, int, str]]:
        """(reason, how many rows, path of the first) of the rows that are not usable, the most frequent first."""
        rows = self.table.select(["status", "path"])
        rows = rows.filter(~pc.field("status").cast(pa.string()).isin([OK, None, LISTED]))
        found: dict[str, tuple[int, str]] = {}
        for status, path in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            reason = status.partition(":")[0]
            count, first = found.get(reason, (0, path))
            found[reason] = (count + 1, first)
        return sorted(((r, n, first) for r, (n, first) in found.items()), key=lambda item: (-item[1], item[0]))

    def take(self, why: str, rows: Sequence[int] | np.ndarray[Any, Any]) -> Manifest:
        """The rows with these numbers, in this order; `why` goes into the history."""
        picked = self.table.take(pa.array(np.asarray(rows, dtype=np.int64)))
        return replace(self, table=picked, history=(*self.history, f"{why}: took {picked.num_rows} of {len(self)}"))

    def with_columns(self, why: str, columns: Mapping[str, Sequence[Any] | pa.Array | pa.ChunkedArray]) -> Manifest:
        """The same rows with some columns replaced or added; `why` goes into the history."""
        table = self.table
        for name, values in columns.items():
            if len(values) != len(self):
                raise BadManifest(f"column '{name}' has another length", wanted=len(self), got=len(values))
            array = _array(name, values)
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), pa.field(name, array.type), array)
            else:
                table = table.append_column(name, array)
        return replace(self, table=_checked(table, self.name), history=(*self.history, why))

    def count(self, *by: str) -> dict[tuple[str | None, ...], int]:
        """How many rows for each combination of values of the columns `by`, sorted."""
        if not by:
            return {(): len(self)}
        plain = pa.table({name: self.column(name) for name in by})
        grouped = plain.group_by(list(by)).aggregate([([], "count_all")]).to_pylist()
        counts = {tuple(row[name] for name in by): int(row["count_all"]) for row in grouped}
        return dict(sorted(counts.items(), key=lambda item: [(v is None, str(v)) for v in item[0]]))

    def equals(self, other: Manifest) -> bool:
        """Whether both hold the same rows, in the same order, with the same name and history."""
        same = self.name == other.name and self.history == other.history and dict(self.facts) == dict(other.facts)
        return same and _plain(self.table).equals(_plain(other.table))

    def save(self, path: Path) -> Path:
        """Write it whole or not at all: `.parquet` (the exchange format), `.csv` or `.jsonl` (the rows only)."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            facts = {
                "schema_version": SCHEMA_VERSION,
                "name": self.name,
                "root": stored_root(self.root, path),
                "history": list(self.history),
                "facts": dict(self.facts),
            }
            told = json.dumps(facts, sort_keys=True, ensure_ascii=False).encode("utf-8")
            # One chunk a column: the bytes on disk then depend on the rows alone, not on how they were gathered.
            table = self.table.unify_dictionaries().combine_chunks().replace_schema_metadata({_METADATA_KEY: told})
            with atomic_path(path) as temporary:
                pq.write_table(table, temporary, row_group_size=_ROW_GROUP, compression="zstd", write_statistics=True)
        elif suffix == ".csv":
            write_text(path, _csv_of(self.table))
        elif suffix == ".jsonl":
            rows = (json.dumps(row, ensure_ascii=False, sort_keys=True) for row in _plain(self.table).to_pylist())
            write_text(path, "".join(row + "\n" for row in rows))
        else:
            raise BadManifest("a manifest is saved as .parquet, .csv or .jsonl", where=path, got=suffix or "no suffix")
        return path


def read_manifest(path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> Manifest:
    """Read a Parquet manifest; `root` overrides the stored folder, for a dataset that was moved."""
    path = Path(path)
    if not path.is_file():
        hint = "run `fauxlens scan FOLDER -o m.parquet` to make one"
        raise BadManifest("no such manifest" if not path.exists() else "a manifest is one file", where=path, hint=hint)
    if path.suffix.lower() in (".csv", ".jsonl"):
        hint = f"scan again with -o {path.stem}.parquet; CSV and JSON lines are for other programs"
        raise BadManifest("a manifest is read from its .parquet file", where=path, hint=hint)
    try:
        source = pq.ParquetFile(path)
        told = (source.schema_arrow.metadata or {}).get(_METADATA_KEY)
    except (pa.ArrowException, OSError) as bad:
        hint = "if it was one, it is incomplete: scan the folder again"
        raise BadManifest("not a Parquet file", where=path, got=_one_line(bad), hint=hint) from bad
    if told is None:
        raise BadManifest(
            "a Parquet file, but not one of our manifests (no 'fauxlens' metadata)",
            where=path,
            hint="scan the folder it describes, or build a manifest with Manifest.from_columns",
        )
    facts = json.loads(told)
    version = facts.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BadManifest(
            "written by a newer fauxlens", where=path, wanted=f"schema {SCHEMA_VERSION} or older", got=version,
            hint="upgrade fauxlens",
        )  # fmt: skip
    try:
        # Row group by row group: read at once, three million rows take a third more memory at the peak.
        groups = [source.read_row_group(number) for number in range(source.num_row_groups)]
        table = pa.concat_tables(groups) if groups else source.schema_arrow.empty_table()
        table = table.replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as bad:
        raise BadManifest(
            "a damaged Parquet file", where=path, got=_one_line(bad), hint="scan the folder again"
        ) from bad
    finally:
        source.close()
    stored = Path(facts["root"])
    folder = Path(root) if root is not None else stored if stored.is_absolute() else path.parent / stored
    return Manifest(_checked(table, str(path)), folder, facts["name"], tuple(facts["history"]), facts.get("facts", {}))


def concatenate(name: str, parts: Sequence[Manifest]) -> Manifest:
    """Manifests of one root, one after the other; ids must not repeat."""
    if not parts:
        raise BadManifest("nothing to concatenate")
    roots = {str(part.root) for part in parts}
    if len(roots) > 1:
        raise BadManifest(
            "manifests with different roots", got=", ".join(sorted(roots)), hint="scan from a common folder"
        )
    table = pa.concat_tables([part.table for part in parts], promote_options="default").unify_dictionaries()
    ids = table.column("id")
    if pc.count_distinct(ids).as_py() != len(ids):
        raise BadManifest("the same id in two of the manifests", where=name)
    history = [f"{part.name}: {line}" for part in parts for line in part.history]
    return Manifest(table, parts[0].root, name, (*history, f"concatenated {len(parts)} manifests"))


def stored_root(root: Path, manifest_path: Path) -> str:
    """How the root is written: relative when one folder holds both, so that the whole can be moved; else absolute."""
    root, folder = Path(root).resolve(), Path(manifest_path).resolve().parent
    if root == folder or root in folder.parents or folder in root.parents:
        return Path(os.path.relpath(root, folder)).as_posix()
    return root.as_posix()


def _array(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """`values` as the Arrow type that column `name` is kept in."""
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else None
        if name not in BY_NAME:
            return pa.array(values) if array is None else array
        kind = SCHEMA.field(name).type
        if array is None:
            array = pa.array(values, type=BY_NAME[name].type)
        if array.type == kind:
            return array
        if pa.types.is_dictionary(kind):
            return array.cast(pa.string()).dictionary_encode()
        return array.cast(kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as bad:
        wanted = BY_NAME[name].type if name in BY_NAME else "one type"
        raise BadManifest(f"column '{name}' holds values of another type", wanted=wanted, got=_one_line(bad)) from bad


def _checked(table: pa.Table, where: str) -> pa.Table:
    """`table` with the columns in order and of the right types; says no when it is no manifest."""
    for needed in ("id", "path", "label"):
        if needed not in table.column_names:
            raise BadManifest(f"column '{needed}' is missing", where=where, got=", ".join(table.column_names[:8]))
    for column in COLUMNS:
        wanted = SCHEMA.field(column.name).type
        if column.name not in table.column_names:
            # An older file: the column was unknown when it was written, so it is null.
            table = table.append_column(column.name, pa.nulls(table.num_rows, wanted))
        elif table.schema.field(column.name).type != wanted:
            index = table.column_names.index(column.name)
            table = table.set_column(index, column.name, _array(column.name, table.column(column.name)))
    for needed in ("id", "path", "label"):
        if table.column(needed).null_count:
            raise BadManifest(f"column '{needed}' has {table.column(needed).null_count} empty rows", where=where)
    labels = set(pc.unique(table.column("label").cast(pa.string())).to_pylist())
    if not labels <= set(LABELS):
        strange = ", ".join(sorted(labels - set(LABELS)))
        raise BadManifest("a label that is none of ours", where=where, wanted=", ".join(LABELS), got=strange)
    order = [*NAMES, *(name for name in table.column_names if name not in BY_NAME)]
    return table if table.column_names == order else table.select(order)


def _plain(table: pa.Table) -> pa.Table:
    """`table` without dictionaries and chunks, so that equal content is equal."""
    kinds = [
        pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema
    ]  # fmt: skip
    return table.cast(pa.schema(kinds)).combine_chunks().replace_schema_metadata(None)


def _csv_of(table: pa.Table) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in _plain(table).to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow(["" if value is None else value for value in row])
    return stream.getvalue()


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
