"""The Report noun: sentences, tables and figures with where they come from. `fauxlens.report` turns it into files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, Literal

from fauxlens.core.errors import BadShape


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name, unit, which way is better, and how its numbers are written."""

    name: str
    unit: str | None = None
    better: Literal["higher", "lower"] | None = None
    format: str | None = None  # a Python format specification such as ".3f"

    @property
    def title(self) -> str:
        """Name, unit and direction, as the head of the column."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        return self.name + (f" ({self.unit})" if self.unit else "") + arrow


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. `name` is for file names; cells are texts, numbers, booleans or None (not known)."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise BadShape(
                    "a row of another length than its head",
                    where=f"table {self.name}",
                    wanted=f"{len(self.columns)} cells",
                    got=row,
                )

    def is_numeric(self, index: int) -> bool:
        """Whether a column is set as numbers: every known cell in it is one, and there is one."""
        known = [row[index] for row in self.rows if row[index] is not None]
        return bool(known) and all(isinstance(value, Real) and not isinstance(value, bool) for value in known)

    def text_of(self, row: Sequence[Any], index: int) -> str:
        """One cell as it is shown."""
        value, column = row[index], self.columns[index]
        if value is None:
            return "–"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if not isinstance(value, Real):  # numpy's numbers are Real, too
            return str(value)
        return format(value, column.format or ("," if isinstance(value, Integral) else ".4g"))


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture in a report; `alternative` says in words what it shows; `raster` is a PNG twin of a vector drawing."""

    name: str
    title: str
    alternative: str
    media_type: Literal["image/svg+xml", "image/png", "image/jpeg"]
    data: bytes
    note: str | None = None
    raster: bytes | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with sentences, tables and figures, in this order."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: one sentence first, then sections, then what was run, on what, and how to run it again."""

    title: str
    verdict: str
    sections: tuple[Section, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)  # the machine-readable summary

    def with_provenance(self, more: Mapping[str, str]) -> Report:
        """The same report with more said of where it comes from."""
        return replace(self, provenance={**self.provenance, **more})

    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [table for section in self.sections for table in section.tables]
