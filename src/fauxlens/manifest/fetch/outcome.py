"""What a download of many files came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["missing", "partial", "same size", "other size"]


@dataclass(frozen=True, slots=True)
class Planned:
    """One file of a dry run: its name below the destination, its size, and what lies there now (by size alone)."""

    name: str
    bytes: int | None
    state: State


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Which files came, which were there, which failed and why. Nothing is both."""

    what: str
    destination: Path
    done: tuple[str, ...] = ()
    already_there: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    bytes: int = 0  # received over the network in this run
    needed_bytes: int = 0  # still to come when the run began, as far as sizes are published
    free_bytes: int = 0  # on the destination's disk when the run began
    planned: tuple[Planned, ...] = ()
    dry_run: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every file asked for is there and verified."""
        return not self.dry_run and not self.failed

    @property
    def has_room(self) -> bool:
        """Whether the disk could take what was still to come."""
        return self.needed_bytes <= self.free_bytes
