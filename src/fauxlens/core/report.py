"""The Report noun: sentences, tables and figures with where they come from. `fauxlens.report` turns it into files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


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

    def text_of(self, row: Sequence[Any], index: int) -> str:
        """One cell as it is shown."""
        value, column = row[index], self.columns[index]
        if value is None:
            return "–"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if column.format is not None and isinstance(value, int | float):
            return format(value, column.format)
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


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

    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [table for section in self.sections for table in section.tables]
