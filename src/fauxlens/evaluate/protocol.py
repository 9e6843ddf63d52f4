"""A protocol is data: which pictures, in which parts, which numbers, and what was published for whom.

One TOML file each, read into these dataclasses. A protocol computes nothing; `fauxlens.evaluate.score` does, the same
way for all: every row (a detector with one training) against every part (a test set) gives one cell of each metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.settings import read_toml, settings_from

View = Literal["table", "matrix", "sweep", "bins", "gallery", "identification", "time"]
VIEWS: tuple[str, ...] = ("table", "matrix", "sweep", "bins", "gallery", "identification", "time")
FOLDER = Path(__file__).parent / "protocols"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One test set of a protocol: a column of the table, a point of the sweep, a bin.

    `where` are conditions as `fauxlens select` takes them, on fakes and reals alike; `reals` and `fakes` hold for one
    class only. `degrade` names the chain that the pictures must have gone through (the manifest of the degraded copy
    says so), all of them or those that meet `degrade_only`; `area` keeps the forgeries whose mask covers that share of
    the frame, low included, high not. With `one_to_one` as many of the more frequent class are drawn as there are of
    the other (`manifest.select.one_to_one`, "fixed", by the first of the protocol's seeds): F1 depends on it, recalls
    and AUC do not.
    """

    name: str
    where: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()
    fakes: tuple[str, ...] = ()
    degrade: str = ""
    degrade_only: tuple[str, ...] = ()
    level: float | None = None  # where it stands on the axis of a sweep
    area: tuple[float, float] | None = None
    one_to_one: bool = False
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the published table: a detector with one training. It is ours when the predictions say the same."""

    name: str
    detector: str = ""  # our name for it; empty when we have no such detector
    weights: tuple[str, ...] = ()  # our sets of weights, or files so called, that are this training; none: nobody's are
    training: str = ""  # in words: on what it was trained
    setting: str = ""

    def is_training(self, weights: str) -> bool:
        """Whether weights of this name are this row's training: a set of ours, or a file that is called after it.

        >>> row = Row(name="TruFor, GAN", weights=("br-gen-gan",))
        >>> row.is_training("br-gen-gan"), row.is_training("br-gen-gan.pth.tar"), row.is_training("br-gen-gan-2.pth")
        (True, True, False)
        """
        return any(weights == one or weights.startswith(f"{one}.") for one in self.weights)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published number. `value` is in the protocol's own unit (percent where `percent` is set)."""

    row: str
    part: str
    metric: str
    value: float
    source: str = ""  # only where it differs from the protocol's


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A table of a paper as data."""

    name: str
    version: int
    title: str
    paper: str
    source: str  # where the published numbers were taken from, and how sure we are of them
    layout: str  # the dataset's layout, as `fauxlens scan` calls it
    data: str  # what has to be on disk, in words
    view: View
    metrics: tuple[str, ...]  # names out of the column tables of `fauxlens.metrics`
    parts: tuple[Part, ...]
    rows: tuple[Row, ...] = ()
    published: tuple[Published, ...] = ()
    where: tuple[str, ...] = ()  # conditions on every part
    percent: bool = True
    threshold: float = 0.5
    preprocessing: str = ""  # in words, where it is not the detector's own
    calibration: Literal["none", "published", "clean"] = "none"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # identification: class -> values of `column`
    column: str = ""  # identification: the manifest's column that tells the class
    axis: str = ""  # sweep: what the level is
    mean: bool = True  # whether a mean over the parts is a column of the table
    tolerance: float = 0.5  # in the unit of `value`: what rounding and the same recipe may differ by
    trains: bool = False  # whether a row has to be trained by the user first
    seeds: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts, rows = [one.name for one in self.parts], [one.name for one in self.rows]
        for kind, names in (("part", parts), ("row", rows)):
            if len(set(names)) != len(names):
                raise BadSetting(f"two {kind}s of one name", where=self.name, got=", ".join(names))
        if not parts:
            raise BadSetting("a protocol without a part", where=self.name)
        cells = set()
        for one in self.published:
            cell = (one.row, one.part, one.metric)
            if cell in cells:
                raise BadSetting("a number published twice", where=self.name, got=", ".join(cell))
            cells.add(cell)
            if one.part not in (*parts, "mean"):
                raise unknown(one.part, parts, f"part (published, protocol {self.name})")
            if one.row not in rows:
                raise unknown(one.row, rows, f"row (published, protocol {self.name})")
            if one.metric not in self.metrics:
                raise unknown(one.metric, self.metrics, f"metric (published, protocol {self.name})")
        if (self.view == "identification") != bool(self.column):
            raise BadSetting("identification names the column that tells the class", where=self.name)

    @cached_property
    def _by_cell(self) -> dict[tuple[str, str, str], Published]:
        return {(one.row, one.part, one.metric): one for one in self.published}

    def value(self, row: str, part: str, metric: str) -> float | None:
        """The published number of one cell, in the protocol's unit; None when none was published."""
        found = self._by_cell.get((row, part, metric))
        return None if found is None else found.value

    def row_of(self, detector: str, weights: str, setting: str = "") -> Row | None:
        """The row that predictions of this detector with these weights are; None when they are none of them."""
        for row in self.rows:
            if row.detector == detector and row.is_training(weights) and row.setting in ("", setting):
                return row
        return None


@dataclass(frozen=True, kw_only=True)
class Printed:
    """Published numbers as a paper prints them: one metric, a column a part, a row a row; nan where there is none."""

    metric: str
    parts: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    source: str = ""


def protocol_names() -> tuple[str, ...]:
    """The protocols that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def read_protocol(name: str | Path) -> Protocol:
    """The protocol that comes with the package under this name, or the one in this TOML file.

    A file may hold whole tables under `printed` (`Printed`); each of their numbers becomes a `Published`.
    """
    given = Path(name)
    if given.suffix != ".toml":
        if str(name) not in protocol_names():
            raise unknown(str(name), protocol_names(), "protocol")
        given = FOLDER / f"{name}.toml"
    told = read_toml(given)
    tables = told.pop("printed", [])
    found = settings_from(Protocol, told, where=str(given))
    cells: list[Published] = []
    for number, table in enumerate(tables):
        cells += _cells(settings_from(Printed, table, where=f"{given}: printed[{number}]"), str(given))
    return replace(found, published=(*found.published, *cells)) if cells else found


def _cells(table: Printed, where: str) -> Iterator[Published]:
    for row, values in table.rows.items():
        if len(values) != len(table.parts):
            raise BadSetting(
                "a printed row of another length than its head", where=f"{where}: {table.metric}, {row}",
                wanted=f"{len(table.parts)} numbers", got=len(values), hint="write nan where nothing was printed",
            )  # fmt: skip
        for part, value in zip(table.parts, values, strict=True):
            if not math.isnan(value):
                yield Published(row=row, part=part, metric=table.metric, value=value, source=table.source)
