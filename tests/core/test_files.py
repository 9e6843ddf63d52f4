"""Files are whole or not there: under exceptions, kills, threads; rights as of any new file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fauxlens.core.files import atomic_path, sha256_of, to_json, to_json_line, write_bytes, write_json, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="rights and signals of POSIX")


def half(target: Path, error: type[BaseException]) -> None:
    before = target.read_bytes() if target.exists() else None
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        temporary.write_bytes(b"half of the ne")
        assert before == (target.read_bytes() if target.exists() else None)
        raise error


def test_an_exception_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    target.write_bytes(b"old")
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            half(target, error)
        assert target.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [target]


def test_a_first_file_that_fails_is_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "m.bin"
    with pytest.raises(RuntimeError):
        half(target, RuntimeError)
    assert list(target.parent.iterdir()) == []


def test_whole_files_replace_old_ones(tmp_path: Path) -> None:
    target = tmp_path / ("long name \u00e4\u65e5\u672c " * 8 + ".txt")
    for text in ("old\n", "new \u2713\r\n"):
        write_text(target, text)
        assert target.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [target]


_KILLED = """
import os, signal, sys
from pathlib import Path
from fauxlens.core.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    with temporary.open("wb") as stream:
        stream.write(b"n" * 100_000)
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    target.write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    write_bytes(target, b"new")  # what the dead one left is in nobody's way
    assert target.read_bytes() == b"new"


def test_many_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    bodies = [bytes([65 + number]) * 200_000 for number in range(4)]
    seen: set[bytes] = set()
    stop = threading.Event()

    def write(body: bytes) -> None:
        for _ in range(10):
            write_bytes(target, body)

    def read() -> None:
        while not stop.is_set():
            if target.exists():
                seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in (reader, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert seen <= set(bodies)
    assert target.read_bytes() in bodies
    assert list(tmp_path.iterdir()) == [target]


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_rights_follow_the_umask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "m.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "m.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_fault_tells_of_the_name_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "m.txt", "x")
    with pytest.raises(OSError, match="folder") as caught:
        write_text(tmp_path / "folder", "x")
    assert str(tmp_path / "folder") in (caught.value.filename, caught.value.filename2)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_json_is_sorted_plain_and_valid(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", {"b": (1, 2.5), "a": "\u00e4", "nan": [math.nan, math.inf, {"x": -math.inf}]})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert text.index('"a"') < text.index('"b"')
    assert "\u00e4" in text

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(text, parse_constant=refuse) == {"a": "\u00e4", "b": [1, 2.5], "nan": [None, None, {"x": None}]}
    assert to_json("\u00e4", ascii_only=True) == '"\\u00e4"\n'


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "m.json", {"a": object()})
    assert (tmp_path / "m.json").read_text() == "1\n"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digests_are_those_of_hashlib(size: int, tmp_path: Path) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "x").write_bytes(data[:size])
    assert sha256_of(tmp_path / "x") == hashlib.sha256(data[:size]).hexdigest()


@pytest.mark.parametrize("lasting", [True, False])
def test_one_that_need_not_last_is_still_whole_or_not_there(
    lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_bytes(tmp_path / "a", b"old", lasting=lasting)
    with contextlib.suppress(RuntimeError), atomic_path(tmp_path / "a", lasting=lasting) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert bool(synced) == lasting


def test_names_that_are_no_letters_are_written_and_read_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"no-\xff-letter \xf0\x9f\x98\x80") if sys.platform != "win32" else "no-\udcff-letter"
    for ascii_only in (False, True):
        assert json.loads(to_json({name: [name]}, ascii_only=ascii_only).encode("utf-8")) == {name: [name]}
    write_json(tmp_path / "a.json", {"path": name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"path": name}
    assert json.loads(to_json_line({"path": name}).encode("utf-8")) == {"path": name}
    write_text(tmp_path / "a.txt", f"{name}\n")
    assert (tmp_path / "a.txt").read_text("utf-8").startswith("no-\\udcff-letter")
