"""How the command line speaks: plain lines, aligned tables, texts that cannot drive the terminal, progress."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauxlens.cli import console
from fauxlens.core.errors import BadSetting, FauxlensError

Captured = pytest.CaptureFixture[str]
CAPTURED_ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@CAPTURED_ONCE
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_that_is_said_drives_the_terminal(capsys: Captured, text: str) -> None:
    capsys.readouterr()
    console.say(text)
    console.show_table(("head",), [(text,)])
    console.complain(FauxlensError(text, hint=text))
    for said in capsys.readouterr():
        assert not [one for one in said if one != "\n" and unicodedata.category(one) == "Cc"]
        assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f") & set(said)


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/nothing]", ":smile:", "a:car:b.jpg", "C:\\x\\", "x\\", "[red"])
def test_texts_are_shown_as_they_are(text: str, capsys: Captured) -> None:
    console.say(text)
    console.remark(text)
    console.show_table((text,), [(text,)])
    console.complain(BadSetting(text, hint=text))
    out, err = capsys.readouterr()
    assert out == f"{text}\n  {text}\n  {text}\n"
    assert err == f"{text}\nerror: {text}\n  next: {text}\n"


def test_lines_are_not_folded(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "word " * 100 + "x" * 12_000
    console.say(long)
    console.remark(long)
    console.show_table(("a", "b"), [(long, long)])
    console.complain(FauxlensError(long, hint=long))
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert len(err.splitlines()) == 3


def test_tables_are_aligned_also_in_wide_letters(capsys: Captured) -> None:
    rows = [("日本語.jpg", 1_234, None), ("a.jpg", 5, True), ("tab\tnew\nline", 0, "x")]
    console.show_table(("file", "bytes", "z"), rows, numbers=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["file", "bytes", "z"],
        ["日本語.jpg", "1,234", "–"],
        ["a.jpg", "5", "True"],
        ["tab\\x09new\\nline", "0", "x"],
    ]
    from rich.cells import cell_len

    ends = {cell_len(line[: line.rindex(number) + len(number)]) for line, number in zip(
        lines, ("bytes", "1,234", "5", "0"), strict=True
    )}  # fmt: skip
    assert len(ends) == 1


def test_json_is_alone_and_valid_in_every_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    value = {"name": "ü日\udcff", "rate": float("inf")}
    for encoding in ("utf-8", "ascii", "cp1252"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        monkeypatch.setattr(sys, "stdout", stream)
        console.say_json(value)
        said = stream.buffer.getvalue()  # type: ignore[attr-defined]
        assert json.loads(said.decode(encoding)) == {"name": "ü日\udcff", "rate": None}


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress_of(quiet=False) as tell:
        for done in range(0, 60):
            now[0] += 0.5
            tell(done * 100, 6_000, "decoding")
        now[0] += 20
        tell(0, None, "looking for duplicates")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "decoding: 1,900 of 6,000, 200/s, 20 s left"
    assert lines[-1] == "looking for duplicates: 0, 0/s"


def test_quiet_is_quiet(capsys: Captured) -> None:
    with console.progress_of(quiet=True) as tell:
        tell(1, 2, "x")
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROGRESS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    tasks: list[Any] = []
    from rich.progress import Progress

    before = Progress.__exit__
    monkeypatch.setattr(Progress, "__exit__", lambda self, *rest: (tasks.extend(self.tasks), before(self, *rest))[1])
    with console.progress_of(quiet=False) as tell:
        for number in range(50):
            tell(number, 50, f"[/face-{number}].png \x1b[2J")  # a name that is neither markup nor obeyed
        tell(0, None, "looking for duplicates")
        tell(3, 9, "writing")
    (task,) = tasks
    assert (task.description, task.completed, task.total) == ("writing", 3, 9)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min"), (90000, "25 h 0 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert console.in_words(seconds) == words


@pytest.mark.parametrize("speak", [console.say, console.remark, lambda text: console.say_json(text)])
def test_a_closed_pipe_is_told_apart(speak: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", Closed())
    with pytest.raises(console.ReaderGone):
        speak("x")
