"""The journal of a run: one line of JSON for every few steps, validations and remarks; what a page is drawn from.

A run that goes on from a checkpoint takes back the lines of steps that will be made again, so the journal reads as if
the run had never stopped, but for what is remarked and for the last step of each piece, which always has a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fauxlens.core.files import to_json_line, write_text
from fauxlens.train.board import Board

JOURNAL = "log.jsonl"

NOT_A_NUMBER = "not-a-number.json"
"""Where the pictures are named that a loss without a number came of."""

END = "end"
"""The kind of the line that a training writes when its recipe is done."""


class Journal:
    """Appends to `log.jsonl` in a folder; the processes that write no files keep a journal of nothing."""

    def __init__(self, folder: Path, *, writes: bool = True, board: Board | None = None) -> None:
        self.path = Path(folder) / JOURNAL
        self.writes = writes
        self.board = board

    def note(self, kind: str, step: int, facts: Mapping[str, Any]) -> None:
        """One line."""
        if self.writes:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(to_json_line({"kind": kind, "step": step, **facts}))
            if self.board is not None:
                self.board.note(kind, step, facts)

    def rewind(self, step: int) -> None:
        """Forget what happened after a step, and that the run had ended."""
        if self.writes and self.path.exists():
            kept = [one for one in read_journal(self.path.parent) if one["step"] <= step and one["kind"] != END]
            write_text(self.path, "".join(to_json_line(one) for one in kept))

    def close(self) -> None:
        """Nothing more comes."""
        if self.board is not None:
            self.board.close()


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run so far; one that was cut off by a power cut is passed over."""
    found = []
    path = Path(folder) / JOURNAL
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return found


def unreadable_in(lines: Iterable[Mapping[str, Any]]) -> set[str]:
    """The ids of the pictures that could not be read; every epoch has a line for each that it met."""
    return {str(one["id"]) for one in lines if one["kind"] == "skipped"}
