"""How the command line speaks: results to stdout, everything else to stderr; a bar on a terminal, lines elsewhere.

rich is imported for a terminal only; a script that calls us a thousand times does not wait for colours.
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from fauxlens.core.errors import FauxlensError
from fauxlens.core.files import to_json, to_json_line
from fauxlens.core.progress import Progress, silent
from fauxlens.core.text import visible

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_SECONDS = 10.0


class ReaderGone(Exception):
    """Who read our output has gone (`| head`)."""


def say(text: str = "") -> None:
    """One line of the result."""
    _print(sys.stdout, (visible(text), ""))


def headline(text: str) -> None:
    """The line of the result that is read first."""
    _print(sys.stdout, (visible(text), "bold"))


def remark(text: str) -> None:
    """One line beside the result."""
    _print(sys.stderr, (visible(text), "dim"))


_given: list[str] = []


def remember(arguments: list[str]) -> None:
    """Keep the words of the command line, so that a report can say how to run it again."""
    _given[:] = arguments


def circumstances() -> dict[str, str]:
    """When, on which machine, and how to run it again: what every report says beside its result."""
    return {
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, "
        f"Python {platform.python_version()}",
        "again": shlex.join(["fauxlens", *_given]),
    }


def say_json(value: Any, *, line: bool = False) -> None:
    """The result as JSON on stdout, nothing else may go there; as one `line` where there is one result a picture."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")
    written = (to_json_line if line else to_json)(value, ascii_only=not is_unicode)
    try:
        sys.stdout.write(written)
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "file"), counted(2000, "file"), counted(0, "is", "are")
    ('1 file', '2,000 files', '0 are')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def show_table(head: tuple[str, ...], rows: list[tuple[Any, ...]], numbers: tuple[int, ...] = ()) -> None:
    """A plain table: aligned, no frame, the columns of `numbers` to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    # In columns of the terminal, not in letters: an ideograph takes two.
    widths = [max([_width(head[k]), *(_width(row[k]) for row in cells)]) for k in range(len(head))]

    def line(row: list[str]) -> str:
        gaps = [" " * (widths[k] - _width(cell)) for k, cell in enumerate(row)]
        parts = [
            gap + cell if k in numbers else cell + gap for k, (cell, gap) in enumerate(zip(row, gaps, strict=True))
        ]
        return "  " + "  ".join(parts).rstrip()

    _print(sys.stdout, (line(list(head)), "bold"))
    for row in cells:
        _print(sys.stdout, (line(row), ""))


def complain(error: FauxlensError) -> None:
    """An error: what, where, wanted, got; then the next step on its own line."""
    _print(sys.stderr, ("error:", "bold red"), (f" {visible(error.message)}", ""))
    if error.hint:
        _print(sys.stderr, (f"  next: {visible(error.hint)}", ""))


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
        TextColumn("{task.description}", markup=False),  # it may be the name of a file
        BarColumn(),
        MofNCompleteColumn(),
        _rate_column(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=_console(sys.stderr), transient=True) as shown:
        # One bar, whatever the stages are called: some are named after each of thousands of files.
        task = shown.add_task("", total=None)
        before: tuple[int, int | None] = (0, None)

        def tell(done: int, total: int | None, what: str) -> None:
            nonlocal before
            if total != before[1] or done < before[0]:
                shown.reset(task, total=total, completed=done)
            before = (done, total)
            shown.update(task, completed=done, total=total, description=visible(what))

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
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return visible(str(value), one_line=True)


def _print(stream: TextIO, *parts: tuple[str, str]) -> None:
    """One line of texts with their styles; never folded."""
    try:
        if stream.isatty() or os.environ.get("FORCE_COLOR"):
            from rich.text import Text

            _console(stream).print(Text.assemble(*parts))
        else:
            stream.write("".join(text for text, _ in parts) + "\n")
    except BrokenPipeError:
        raise ReaderGone from None


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            raise ReaderGone

    return Ours(file=stream, highlight=False, emoji=False, soft_wrap=True)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
