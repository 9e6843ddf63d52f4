"""The columns of a manifest: the exchange format that every room reads. Unknown is null."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 1

LABELS = ("real", "generated", "edited")
OK = "ok"
# A row of a published list whose file is not on this disk: good for audits of facts, not for reading pixels.
LISTED = "listed: the facts are the list's own, the file is not here"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its Arrow type, and whether few distinct values repeat (kept as a dictionary in memory)."""

    name: str
    type: pa.DataType
    repeats: bool
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("id", pa.string(), False, "stable: source and relative path, hashed"),
    Column("path", pa.string(), False, "relative to the manifest's root, with forward slashes"),
    Column("label", pa.string(), True, "real, generated or edited"),
    Column("mask_path", pa.string(), False, "mask of the edited region; null for real and whole-image"),
    Column("generator", pa.string(), True, "for example stable_diffusion_v_1_4; null for real"),
    Column("family", pa.string(), True, "for example gan or diffusion; null for real"),
    Column("method", pa.string(), True, "forged rows: the creation method"),
    Column("mask_type", pa.string(), True, "forged rows: stuff, background, ..."),
    Column("variant", pa.string(), True, "forged rows: spliced or regenerated"),
    Column("content", pa.string(), True, "what the picture shows, in the dataset's own classes"),
    Column("source", pa.string(), True, "where it was taken from"),
    Column("split", pa.string(), True, "train, val, test, or the dataset's own name"),
    Column("origin", pa.string(), False, "what it came from: the same text for a real photo and all that came of it"),
    Column("width", pa.int32(), False, "pixels, after orientation"),
    Column("height", pa.int32(), False, "pixels, after orientation"),
    Column("format", pa.string(), True, "jpeg, png, webp, ... by the bytes, not by the suffix"),
    Column(
        "jpeg_quality",
        pa.int16(),
        False,
        "exact for the standard tables, the nearest for tables close to one, else null",
    ),
    Column("jpeg_quality_exact", pa.bool_(), False, "whether jpeg_quality is exact; null when not JPEG"),
    Column("subsampling", pa.string(), True, "4:4:4, 4:2:2, 4:2:0, ...; null when not JPEG or grey"),
    Column("bytes", pa.int64(), False, "size of the file"),
    Column("sha256", pa.string(), False, "of the file's bytes"),
    Column("phash", pa.uint64(), False, "64-bit perceptual hash; null for pictures without structure"),
    Column("licence", pa.string(), True, "as the source states it"),
    Column("notes", pa.string(), True, "anything a reader should know"),
    Column("status", pa.string(), True, "ok, or the reason it is quarantined"),
    # Facts of the file beyond the first table: what an audit needs without opening three million files again.
    Column("jpeg_quality_distance", pa.float32(), False, "RMSE to the nearest standard luma table; 0 when exact"),
    Column("progressive", pa.bool_(), False, "progressive JPEG or interlaced PNG/GIF"),
    Column("bit_depth", pa.int16(), False, "bits a channel as stored"),
    Column("colour", pa.string(), True, "as stored: rgb, grey, cmyk, palette, rgba, grey-alpha"),
    Column("metadata", pa.string(), True, "kinds of metadata in the file, sorted, joined with '+': exif+icc+xmp"),
)

NAMES = tuple(column.name for column in COLUMNS)
BY_NAME = {column.name: column for column in COLUMNS}


def field_of(column: Column) -> pa.Field:
    """The Arrow field of a column as it is kept in memory."""
    kind = pa.dictionary(pa.int32(), pa.string()) if column.repeats else column.type
    return pa.field(column.name, kind)


SCHEMA = pa.schema([field_of(column) for column in COLUMNS])
