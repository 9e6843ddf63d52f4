"""Predictions: what one detector said of every picture of a manifest, as a table that outlives the run.

Parquet, one row a picture in the manifest's order; masks lie beside it as grey PNG, as large as their pictures. What
made it (detector, setting, weights and their digest, options, manifest) is in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fauxlens.core.errors import BadPredictions
from fauxlens.core.files import atomic_path
from fauxlens.manifest.manifest import Manifest

SCHEMA_VERSION = 1
OK = "ok"
_METADATA_KEY = b"fauxlens-predictions"
_NAMED = 5  # names in an error; the rest is a number

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("logit", pa.float64()),
        pa.field("probability", pa.float64()),
        pa.field("mask_path", pa.string()),
        pa.field("generators", pa.map_(pa.string(), pa.float64())),
        pa.field("seconds", pa.float32()),
        pa.field("notes", pa.string()),
        pa.field("status", pa.string(), nullable=False),
    ]
)
"""`status` is ok, or why there is no prediction; `mask_path` is relative to the file's own folder."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """A table of predictions, the folder its masks are relative to, and what made it."""

    table: pa.Table
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def title(self) -> str:
        """Detector and weights, in words."""
        weights = self.facts.get("weights", "")
        return (
            f"{self.facts.get('detector', 'unknown detector')} ({weights})"
            if weights
            else str(self.facts.get("detector"))
        )

    @property
    def is_random(self) -> bool:
        """Whether the detector's weights were never trained, so that its answers mean nothing."""
        return bool(self.facts.get("random"))

    def failures(self) -> dict[str, int]:
        """Why there is no prediction -> of how many pictures."""
        said = Counter(one.partition(":")[0] for one in self.table.column("status").to_pylist() if one != OK)
        return dict(sorted(said.items()))

    def save(self, path: Path) -> Path:
        """Write the table whole or not at all."""
        told = json.dumps({"schema_version": SCHEMA_VERSION, **self.facts}, sort_keys=True).encode("utf-8")
        table = self.table.combine_chunks().replace_schema_metadata({_METADATA_KEY: told})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return path


def predictions_of(rows: Sequence[Mapping[str, Any]], folder: Path, facts: Mapping[str, Any]) -> Predictions:
    """A table of rows with the columns of SCHEMA."""
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    columns["generators"] = [None if one is None else list(one.items()) for one in columns["generators"]]
    return Predictions(pa.table(columns, schema=SCHEMA), Path(folder), dict(facts))


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read a file that `fauxlens predict` wrote."""
    path = Path(path)
    if not path.is_file():
        raise BadPredictions(
            "no such file of predictions", where=path, hint="fauxlens predict m.parquet --detector NAME -o p.parquet"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as bad:
        raise BadPredictions(
            "not a Parquet file", where=path, got=str(bad).splitlines()[0], hint="predict again"
        ) from bad
    told = (table.schema.metadata or {}).get(_METADATA_KEY)
    if told is None:
        raise BadPredictions(
            "a Parquet file, but no predictions of ours", where=path, wanted="a file that `fauxlens predict` wrote"
        )
    facts = json.loads(told)
    if facts["schema_version"] > SCHEMA_VERSION:
        raise BadPredictions(
            "written by a newer fauxlens", where=path, wanted=f"schema {SCHEMA_VERSION}", got=facts["schema_version"],
            hint="upgrade fauxlens",
        )  # fmt: skip
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise BadPredictions("columns are missing", where=path, got=", ".join(missing), hint="predict again")
    return Predictions(table.replace_schema_metadata(None), path.parent, facts)


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions beside the truth, row by row: what every score is computed from.

    Rows without a prediction are not in it; `left_out` says why and how many. Arrays are (N,).
    """

    manifest: Manifest  # the rows that are judged, in order
    predictions: Predictions
    rows: npt.NDArray[np.int64]  # which rows of the predictions they are
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fake(self) -> npt.NDArray[np.bool_]:
        """Whether any part of the picture is fake."""
        return np.asarray([one != "real" for one in self.manifest.column("label").to_pylist()], dtype=np.bool_)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """What the picture came from: pictures of one group are not independent."""
        ids, origins = (self.manifest.column(name).to_pylist() for name in ("id", "origin"))
        return np.asarray([origin or one for one, origin in zip(ids, origins, strict=True)], dtype=np.str_)

    @property
    def logit(self) -> npt.NDArray[np.float64]:
        """The detector's logit; nan where it gives none (a detector of places alone)."""
        return self._numbers("logit")

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """The detector's probability; nan where it gives none."""
        return self._numbers("probability")

    def mask_paths(self) -> list[Path | None]:
        """Where the predicted masks lie."""
        said = self.predictions.table.column("mask_path").take(pa.array(self.rows)).to_pylist()
        return [None if one is None else self.predictions.folder / one for one in said]

    def where(self, keep: npt.NDArray[np.bool_]) -> Judged:
        """Only the rows that `keep` says yes to."""
        return Judged(self.manifest.where("part", keep), self.predictions, self.rows[keep], self.left_out)

    def _numbers(self, name: str) -> npt.NDArray[np.float64]:
        values = self.predictions.table.column(name).take(pa.array(self.rows)).to_pylist()
        return np.asarray([np.nan if one is None else one for one in values], dtype=np.float64)


def judged(predictions: Predictions, manifest: Manifest, *, partial: bool = False) -> Judged:
    """Put predictions beside the usable rows of their manifest.

    Refused: two predictions of one picture, predictions without a number where others have one, and, unless `partial`,
    pictures without a prediction.
    """
    usable = manifest.usable()
    ids = predictions.table.column("id").to_pylist()
    place = {one: row for row, one in enumerate(ids)}
    if len(place) < len(ids):
        twice = [one for one, count in Counter(ids).items() if count > 1]
        raise BadPredictions(f"{len(twice):,} pictures are predicted twice", got=_named(twice), hint="predict again")
    status = predictions.table.column("status").to_pylist()
    wanted = usable.column("id").to_pylist()
    absent = [one for one in wanted if one not in place]
    if absent and not partial:
        paths = dict(zip(wanted, usable.column("path").to_pylist(), strict=True))
        raise BadPredictions(
            f"{len(absent):,} of {len(wanted):,} pictures of the manifest have no prediction",
            got=_named([paths[one] for one in absent]),
            hint="predict the same manifest again (it goes on where it stopped), or allow a partial score",
        )
    left_out: Counter[str] = Counter({"no prediction": len(absent)} if absent else {})
    keep = np.zeros(len(wanted), dtype=np.bool_)
    rows = []
    for number, one in enumerate(wanted):
        row = place.get(one)
        if row is None:
            continue
        if status[row] != OK:
            left_out[status[row].partition(":")[0]] += 1
            continue
        keep[number] = True
        rows.append(row)
    found = Judged(
        usable.where("has a prediction", keep),
        predictions,
        np.asarray(rows, dtype=np.int64),
        dict(sorted(left_out.items())),
    )
    logit = found.logit
    if np.isnan(logit).any() and not np.isnan(logit).all():
        bad = [
            path for path, lost in zip(found.manifest.column("path").to_pylist(), np.isnan(logit), strict=True) if lost
        ]
        raise BadPredictions(
            f"{len(bad):,} scores are not numbers", got=_named(bad), hint="look at the detector's weights"
        )
    return found


def write_mask(path: Path, mask: npt.NDArray[np.float32], *, bits: int = 8) -> None:
    """A mask (0 to 1; nan where nobody looked) as grey PNG; above one half stays above one half."""
    top = 2**bits - 1
    # Halves are rounded down, so that 0.5 itself does not become more than one half.
    level = np.ceil(np.nan_to_num(np.clip(mask, 0.0, 1.0)).astype(np.float64) * top - 0.5)
    done, data = cv2.imencode(".png", np.maximum(level, 0).astype(np.uint8 if bits == 8 else np.uint16))
    if not done:
        raise BadPredictions("a mask could not be written", where=path, got=f"{mask.shape} {mask.dtype}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def read_scores(path: Path) -> npt.NDArray[np.float32]:
    """A mask that `write_mask` wrote, as (H, W) float32 in 0 to 1."""
    data = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if data is None or data.ndim != 2 or data.dtype not in (np.uint8, np.uint16):
        raise BadPredictions("not a mask of ours", where=path, wanted="a grey PNG of 8 or 16 bits")
    return (data.astype(np.float32) / np.float32(255 if data.dtype == np.uint8 else 65535)).astype(np.float32)


def manifest_digest(manifest: Manifest) -> str:
    """One digest for the rows that were predicted: their ids and paths, in order."""
    digest = hashlib.sha256()
    for one, path in zip(manifest.column("id").to_pylist(), manifest.column("path").to_pylist(), strict=True):
        digest.update(f"{one}\t{path}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _named(several: Sequence[str]) -> str:
    more = f" and {len(several) - _NAMED:,} more" if len(several) > _NAMED else ""
    return ", ".join(several[:_NAMED]) + more
