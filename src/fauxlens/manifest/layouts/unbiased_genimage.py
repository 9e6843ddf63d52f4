"""UnbiasedGenImage (arXiv 2403.17608): GenImage with a metadata table, one row an image.

Columns: path, generator (`nature` for reals), mode (train, val), class (0..999, of fakes too), width, height and
compression_rate (the estimated JPEG quality; means nothing for PNG fakes). The table is enough: when none of its files
is on disk, the manifest is made from it alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from fauxlens.core.errors import BadManifest
from fauxlens.core.files import atomic_path
from fauxlens.manifest.layouts.genimage import (
    CORRUPTED,
    FAMILY_OF,
    METADATA_NAME,
    GenImagePlace,
    corrupted_keys,
    generator_of_folder,
    place_of,
    published_counts,
    source_of,
)
from fauxlens.manifest.layouts.layout import (
    Entry,
    Given,
    Guess,
    LeftOut,
    Reading,
    Tree,
    counted,
    not_pictures,
    share_of,
    stem_of,
)
from fauxlens.manifest.layouts.named_paths import NOT_ON_DISK, folder_of
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import sample_id

log = logging.getLogger("fauxlens.manifest")

COLUMNS = ("path", "generator", "mode", "class", "width", "height", "compression_rate")
NATURE = "nature"

_TYPES = {
    "path": pa.string(),
    "generator": pa.string(),
    "mode": pa.string(),
    # As floats, because empty cells and NaN occur; whole numbers are made of them below.
    "class": pa.float64(),
    "width": pa.float64(),
    "height": pa.float64(),
    "compression_rate": pa.float64(),
}


@dataclass(frozen=True)
class UnbiasedGenImage:
    """A GenImage tree (or none) with UnbiasedGenImage's metadata table."""

    name: str = "unbiased-genimage"
    summary: str = f"{METADATA_NAME}, or another CSV with the columns {', '.join(COLUMNS)}"

    def recognise(self, tree: Tree) -> Guess | None:
        """A CSV with the columns of the metadata table."""
        name = find_metadata(tree)
        if name is None:
            return None
        cache: dict[str, GenImagePlace] = {}
        share = share_of(tree.pictures, lambda path: _place(path, cache).problem is None) if tree.pictures else 1.0
        return Guess(0.65 + 0.3 * share, f"{name} has the columns of UnbiasedGenImage's metadata")

    def read(self, tree: Tree) -> Reading:
        """Read the table; its rows decide, and files that it does not name are left out."""
        name = find_metadata(tree)
        if name is None:
            raise BadManifest(
                "no metadata table", where=tree.root, wanted=f"a CSV with the columns {', '.join(COLUMNS)}",
                hint=f"put {METADATA_NAME} into this folder, or scan with --layout genimage",
            )  # fmt: skip
        table = _read_table(tree.root / name)
        paths = table.column("path").to_pylist()
        on_disk = _on_disk(tree, paths, folder_of(name))
        corrupted, lists = corrupted_keys(tree)
        nothing_there = not any(on_disk)
        entries: list[Entry] = []
        left_out: list[LeftOut] = []
        seen: set[str] = set()
        for number, (entry, problem, detail) in enumerate(_rows(table, on_disk), start=2):
            where = on_disk[number - 2]
            if entry is None:
                line = f"{name}:{number}"
                told = f"{detail} in {line}" if detail else line
                left_out.append(LeftOut(where or paths[number - 2] or line, problem, told))
                continue
            path = entry.path
            if corrupted and _key(path) in corrupted:
                left_out.append(LeftOut(path, CORRUPTED))
            elif where is None and not nothing_there:
                left_out.append(LeftOut(path, NOT_ON_DISK))
            elif path in seen:
                left_out.append(LeftOut(f"{name}:{number}", "a row that names a file again", path))
            else:
                seen.add(path)
                entries.append(entry)
        named = seen | {item.path for item in left_out}
        left_out += [LeftOut(path, f"not in {name}") for path in tree.pictures if path not in named]
        remarks = [
            f"{name}: width, height and quality are kept as given; scan prefers what it measures",
            f"{name}: compression_rate of fakes is not kept: for a PNG it means nothing",
        ]
        if nothing_there and entries:
            remarks.insert(
                0, f"none of the {counted(len(paths), 'file')} of {name} is on disk: the rows come from it alone"
            )
        extra = [column for column in table.column_names if column not in COLUMNS]
        if extra:
            remarks.append(f"{name}: ignored, no column of ours: {', '.join(extra)}")
        present = {entry.source.partition("/")[2] for entry in entries if entry.source}
        lists = [name, *lists]
        left_out += not_pictures(tree, lists)
        facts = {"layout": self.name, "metadata": name, "on_disk": not nothing_there}
        return Reading(entries, left_out, remarks, published_counts(present & FAMILY_OF.keys()), facts, lists)


def find_metadata(tree: Tree) -> str | None:
    """The metadata table: the file of that name, else the first CSV (root, then one folder down) with its columns."""
    near = sorted(
        (n for n in tree.files if n.count("/") <= 1 and n.lower().endswith(".csv")), key=lambda n: n.count("/")
    )
    near.sort(key=lambda n: n.rpartition("/")[2] != METADATA_NAME)
    for name in near[:32]:
        with (tree.root / name).open("rb") as stream:
            header = stream.readline(4096).decode("utf-8-sig", "replace")
        columns = {column.strip().strip('"') for column in header.split(",")}
        if columns.issuperset(COLUMNS):
            return name
    return None


def read_metadata_csv(path: Path, root: Path | None = None) -> Manifest:
    """A metadata table as a manifest, without looking at any picture; `root` is the folder that paths are relative to.

    Rows that no row of a manifest can be made of (no known generator, no label) are counted in the history.
    """
    path = Path(path)
    rows = list(_rows(_read_table(path)))
    entries = [entry for entry, _, _ in rows if entry is not None]
    columns: dict[str, list[Any]] = {
        "id": [sample_id(entry.source, entry.path) for entry in entries],
        **{
            column: [getattr(entry, column) for entry in entries]
            for column in ("path", "label", "generator", "family", "content", "source", "split", "origin")
        },
    }
    given = [entry.given or Given() for entry in entries]
    for column in ("width", "height", "jpeg_quality"):
        columns[column] = [getattr(facts, column) for facts in given]
    # A photo stands for itself and for its copies, by its ImageNet name; a fake only for itself.
    columns["origin"] = [e.origin or i for e, i in zip(entries, columns["id"], strict=True)]
    history = [f"read {path.name}: {len(entries):,} of {len(rows):,} rows"]
    return Manifest.from_columns(
        columns, path.parent if root is None else Path(root), name=stem_of(path.name), history=history,
        facts={"layout": LAYOUT.name, "metadata": path.name},
    )  # fmt: skip


def write_metadata_csv(manifest: Manifest, path: Path) -> Path:
    """Write a manifest as UnbiasedGenImage's table, so that their code reads it.

    Reals get the generator `nature`; class is written when the content is a number, else empty; compression_rate is the
    JPEG quality, empty where there is none. Rows labelled edited have no place in that table and are refused, and so
    are fakes without a generator, which its readers would drop. A table in which no row has a class is written, with a
    warning to the logger `fauxlens.manifest`: their balancing of classes would leave nothing of it.
    """
    label = manifest.column("label")
    edited = pc.sum(pc.equal(label, "edited")).as_py() or 0
    if edited:
        raise BadManifest(
            f"{counted(edited, 'edited picture')} in a table of real and generated ones", where=manifest.name,
            wanted="labels real and generated", hint="select them away first",
        )  # fmt: skip
    nameless = pc.sum(pc.and_(pc.not_equal(label, "real"), pc.is_null(manifest.column("generator")))).as_py() or 0
    if nameless:
        raise BadManifest(
            f"{counted(nameless, 'generated picture')} without a generator, and readers of that table drop such rows",
            where=manifest.name, wanted="a generator for each",
            hint="scan with a layout or a table that names the generators, or select these rows away first",
        )  # fmt: skip
    content = manifest.column("content")
    number = pc.if_else(pc.fill_null(pc.match_substring_regex(content, "^[0-9]{1,9}$"), False), content, None)
    if len(manifest) and number.null_count == len(manifest):
        log.warning(
            "%s: no row has a content class that is a number, so the column class of %s is empty and "
            "UnbiasedGenImage's balancing of classes would leave nothing",
            manifest.name,
            path,
        )
    table = pa.table(
        {
            "path": manifest.column("path"),
            "generator": pc.if_else(pc.equal(label, "real"), NATURE, manifest.column("generator")),
            "mode": manifest.column("split"),
            "class": number.cast(pa.int64()),
            "width": manifest.column("width"),
            "height": manifest.column("height"),
            "compression_rate": manifest.column("jpeg_quality"),
        }
    )
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        # The published table has no quotes, and some readers split its lines at commas: quote only when there is need.
        # (Arrow's style "needed" quotes every text.)
        style = "needed" if any(_needs_quotes(table.column(name)) for name in ("path", "generator", "mode")) else "none"
        stream.write((",".join(COLUMNS) + "\n").encode())
        pacsv.write_csv(table, stream, pacsv.WriteOptions(include_header=False, quoting_style=style))
    return Path(path)


def _needs_quotes(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, '[",\r\n]')).as_py())


def _read_table(path: Path) -> pa.Table:
    try:
        table = pacsv.read_csv(
            path,
            convert_options=pacsv.ConvertOptions(
                column_types=_TYPES, null_values=["", "NaN", "nan", "NA", "None", "null"], strings_can_be_null=True
            ),
        )
    except (pa.ArrowException, OSError) as bad:
        raise BadManifest(
            "a metadata table that cannot be read", where=path, got=str(bad).splitlines()[0][:200],
            wanted=f"a CSV with the columns {', '.join(COLUMNS)}", hint="download it again and compare its MD5",
        ) from bad  # fmt: skip
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        raise BadManifest(
            f"columns are missing: {', '.join(missing)}", where=path, wanted=", ".join(COLUMNS),
            got=", ".join(table.column_names[:12]), hint="rename the columns of your table",
        )  # fmt: skip
    return table


def _rows(table: pa.Table, on_disk: Sequence[str | None] | None = None) -> Iterator[tuple[Entry | None, str, str]]:
    """For each row: (entry, "", "") or (None, why not, what differs from row to row).

    `on_disk` has the path of each row's file, where it is there.
    """
    places = iter(repeat(None) if on_disk is None else on_disk)
    cache: dict[str, GenImagePlace] = {}
    given: dict[tuple[float | None, float | None, float | None], Given] = {}
    numbers: dict[float | None, str | None] = {None: None}
    for batch in table.select(list(COLUMNS)).to_batches(max_chunksize=65_536):
        columns = [batch.column(i).to_pylist() for i in range(batch.num_columns)]
        for path, generator, mode, class_number, width, height, rate in zip(*columns, strict=True):
            where = next(places)
            if path is None or generator is None:
                yield None, "a row without a path or a generator", ""
                continue
            path = path.replace("\\", "/").removeprefix("./")
            real = generator == NATURE
            known = None if real else generator if generator in FAMILY_OF else generator_of_folder(generator)
            place = _place(path, cache)
            if not real and known is None:
                yield None, "its generator is not one of GenImage's", f"'{generator}'"
                continue
            if place.generator is None:
                yield None, place.problem or "no folder of its path is a generator of GenImage", place.detail
                continue
            if (place.label is not None and (place.label == "real") != real) or (not real and known != place.generator):
                yield None, "its generator contradicts its path", f"'{generator}'"
                continue
            if class_number not in numbers:
                numbers[class_number] = None if math.isnan(class_number) else str(int(class_number))
            facts = (width, height, rate if real else None)
            if facts not in given:
                given[facts] = _given(*facts)
            yield (
                Entry(
                    where or path,
                    "real" if real else "generated",
                    generator=known,
                    family=None if known is None else FAMILY_OF[known],
                    content=numbers[class_number],
                    source=source_of(place.generator),
                    split=mode or place.split,
                    origin=stem_of(path) if real else None,
                    given=given[facts],
                ),
                "",
                "",
            )


def _given(width: float | None, height: float | None, rate: float | None) -> Given:
    quality = _whole(rate)
    # Their scan reports a file of quality 1 as 0, and nothing else.
    return Given(_whole(width), _whole(height), max(quality, 1) if quality is not None else None)


def _whole(value: float | None) -> int | None:
    return None if value is None or math.isnan(value) else int(value)


def _place(path: str, cache: dict[str, GenImagePlace]) -> GenImagePlace:
    folder = path[: path.rfind("/") + 1]
    place = cache.get(folder)
    if place is None:
        parts = folder.split("/")[:-1]
        place = place_of(parts)
        if place.problem is not None:
            # A table may describe pictures in other folders: the generator's name is what must be found.
            found = {known for part in parts if (known := generator_of_folder(part)) is not None}
            place = GenImagePlace(found.pop() if len(found) == 1 else None, problem=place.problem, detail=place.detail)
        cache[folder] = place
    return place


def _key(path: str) -> tuple[str | None, str | None, str | None, str]:
    parts = path.split("/")
    place = place_of(parts[:-1])
    return place.generator, place.split, place.label, parts[-1]


def _on_disk(tree: Tree, paths: Sequence[str | None], base: str) -> list[str | None]:
    """Where each row's file lies; None when it is not there.

    A row is looked for as it is written, then beside the table, then by generator, split, class and file name: the
    released rows begin with `GenImage/` and leave out the imagenet_* folders that the archives have.
    """
    files = tree.file_set
    if not tree.pictures:
        return [None] * len(paths)
    plain = [None if path is None else path.replace("\\", "/").removeprefix("./") for path in paths]
    found: list[str | None] = [path if path in files else None for path in plain]
    if None not in found:
        return found
    cache: dict[str, GenImagePlace] = {}
    keys: dict[tuple[str | None, str | None, str | None, str], str] = {}
    for picture in tree.pictures:
        place = _place(picture, cache)
        if place.generator is not None and place.problem is None:
            keys.setdefault((place.generator, place.split, place.label, picture[picture.rfind("/") + 1 :]), picture)
    for number, path in enumerate(plain):
        if found[number] is None and path is not None:
            if base + path in files:
                found[number] = base + path
                continue
            place = _place(path, cache)
            name = path[path.rfind("/") + 1 :]
            found[number] = keys.get((place.generator, place.split, place.label, name))
    return found


LAYOUT = UnbiasedGenImage()
