"""The journal of a run: one line of JSON for every few steps, validations and remarks; what a page is drawn from.

A run that goes on from a checkpoint takes back the lines of steps that will be made again, so the journal reads as if
the run had never stopped, but for what is remarked and for the last step of each piece, which always has a line.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fauxlens.core.errors import WorkError
from fauxlens.core.files import to_json_line, write_text
from fauxlens.train.board import Board

JOURNAL = "log.jsonl"

NOT_A_NUMBER = "not-a-number.json"
"""Where the pictures are named that a loss without a number came of."""

END = "end"
"""The kind of the line that a training writes when its recipe is done."""

_WAITING = 10_000  # lines, a few megabytes: a disk that stays full must not fill the memory too


class Journal:
    """Appends to `log.jsonl` in a folder; the processes that write no files keep a journal of nothing.

    A line that cannot be written ends no training: it waits, and is written before the next one that can be. `faults`
    says what could not be written, once for every time that it began.
    """

    def __init__(self, folder: Path, *, writes: bool = True, board: Board | None = None) -> None:
        self.path = Path(folder) / JOURNAL
        self.writes = writes
        self.board = board
        self.faults: list[str] = []
        self._waiting: deque[str] = deque(maxlen=_WAITING)

    def note(self, kind: str, step: int, facts: Mapping[str, Any]) -> None:
        """One line."""
        if not self.writes:
            return
        went_well = not self._waiting
        self._waiting.append(to_json_line({"kind": kind, "step": step, **facts}))
        fault = self._write()
        if fault is not None and went_well:
            self._lost(f"{self.path}: lines of the journal wait, as they could not be written ({fault})", step)
        if self.board is not None:
            try:
                self.board.note(kind, step, facts)
            except OSError as bad:
                self.board = None  # its thread that writes has ended, and every later number would fail as well
                self._lost(f"no more is told to TensorBoard, as its file could not be written ({bad})", step)

    def rewind(self, step: int) -> None:
        """Forget what happened after a step, and that the run had ended."""
        if self.writes and self.path.exists():
            kept = [one for one in read_journal(self.path.parent) if one["step"] <= step and one["kind"] != END]
            text = "".join(to_json_line(one) for one in kept)
            wanted = text.encode("utf-8")
            try:
                if self.path.read_bytes().startswith(wanted):
                    os.truncate(self.path, len(wanted))  # which a full disk does not refuse
                else:
                    write_text(self.path, text)
            except OSError as fault:
                raise WorkError(
                    "the journal could not be taken back to the checkpoint", where=self.path, got=fault,
                    hint="make room on the disk; the same command goes on from the checkpoint",
                ) from fault  # fmt: skip

    def close(self) -> None:
        """Nothing more comes."""
        if self._waiting:
            self._write()
        if self.board is not None:
            with suppress(OSError):
                self.board.close()

    def _write(self) -> OSError | None:
        """Append all that waits; when that fails, half a line is taken back, so that the next one stands alone."""
        try:
            with self.path.open("ab", buffering=0) as stream:
                end = stream.seek(0, os.SEEK_END)
                left = memoryview("".join(self._waiting).encode("utf-8"))
                try:
                    while left:
                        left = left[stream.write(left) :]
                except OSError:
                    with suppress(OSError):
                        stream.truncate(end)
                    raise
        except OSError as fault:
            return fault
        self._waiting.clear()
        return None

    def _lost(self, text: str, step: int) -> None:
        self.faults.append(text)
        self._waiting.append(to_json_line({"kind": "remark", "step": step, "text": text}))


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
