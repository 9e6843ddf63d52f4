"""How the command line speaks: results to stdout, everything else to stderr; a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from fauxlens.core.errors import FauxlensError
from fauxlens.core.progress import Progress, silent

LINE_EVERY_SECONDS = 10.0


def out() -> Console:
    """The console for results; plain width when it is not a terminal, so that lines are never folded."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)


def err() -> Console:
    """The console for everything that is not the result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """One line of the result."""
    out().print(text, markup=False)


def remark(text: str) -> None:
    """One line beside the result."""
    err().print(text, markup=False, style="dim")


def say_json(value: Any) -> None:
    """The result as JSON on stdout; nothing else may go there."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2) + "\n")


def show_table(head: tuple[str, ...], rows: list[tuple[Any, ...]], numbers: tuple[int, ...] = ()) -> None:
    """A plain table: aligned, no frame, the columns of `numbers` to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(head[k]), *(len(row[k]) for row in cells)]) for k in range(len(head))]

    def line(row: list[str]) -> str:
        parts = [c.rjust(widths[k]) if k in numbers else c.ljust(widths[k]) for k, c in enumerate(row)]
        return "  " + "  ".join(parts).rstrip()

    console = out()
    console.print(f"[bold]{escape(line(list(head)))}[/bold]")
    for row in cells:
        console.print(line(row), markup=False)


def complain(error: FauxlensError) -> None:
    """An error: what, where, wanted, got; then the next step on its own line."""
    console = err()
    console.print(f"[bold red]error:[/bold red] {escape(error.message)}")
    if error.hint:
        console.print(f"  next: {escape(error.hint)}")


@contextmanager
def progress_of(quiet: bool) -> Iterator[Progress]:
    """A progress callback: a bar with rate and time left on a terminal, a line every ten seconds elsewhere."""
    if quiet:
        yield silent
    elif sys.stderr.isatty() and not os.environ.get("NO_PROGRESS"):
        with _bar() as bar:
            yield bar
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _rate_column(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=err(), transient=True) as shown:
        tasks: dict[str, Any] = {}

        def tell(done: int, total: int | None, what: str) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield tell


def _rate_column() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")

    return Rate()


class _Lines:
    """A line every ten seconds."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[float, int]] = {}
        self.last = time.monotonic()

    def __call__(self, done: int, total: int | None, what: str) -> None:
        now = time.monotonic()
        begun, first = self.started.setdefault(what, (now, done))
        if now - self.last < LINE_EVERY_SECONDS:
            return
        self.last = now
        rate = (done - first) / max(now - begun, 1e-9)
        left = f", {in_words((total - done) / rate)} left" if total and rate > 0 else ""
        of = f" of {total:,}" if total is not None else ""
        remark(f"{what}: {done:,}{of}, {rate:,.0f}/s{left}")


def in_words(seconds: float) -> str:
    """A duration as a person says it.

    >>> in_words(42), in_words(150), in_words(7300)
    ('42 s', '2 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
