"""The command as a process of its own: what it imports, pipes, signals, terminals, encodings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toy
from fauxlens import read_manifest
from fauxlens.cli.main import main

posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and terminals of POSIX")
HEAVY = {"torch", "pyarrow", "numpy", "PIL", "cv2", "matplotlib", "sklearn", "skimage", "scipy", "safetensors"}
FAUXLENS = (sys.executable, "-m", "fauxlens")


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**plain, **more}


def modules_after(code: str, *arguments: object) -> set[str]:
    """The top-level modules that a fresh process has after `code`."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('MODULES', *sys.modules)", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.partition(".")[0] for name in told.splitlines()[-1].split()[1:]}


def test_the_front_door_and_help_import_nothing_heavy() -> None:
    after_import = modules_after("import fauxlens")
    assert not after_import & (HEAVY | {"typer", "rich", "click"})
    # --help of the whole imports every verb's module, so a heavy import in any of them shows here.
    assert not modules_after("from fauxlens.cli.main import main\nassert main(['--help']) == 0") & (HEAVY | {"rich"})
    for verb in ("['verify', '--help']", "['detectors', '--help']", "['weights', 'import', '--help']"):
        assert not modules_after(f"from fauxlens.cli.main import main\nassert main({verb}) == 0") & HEAVY


def test_scan_and_verify_import_no_networks(toys: Path, tmp_path: Path) -> None:
    code = (
        "from fauxlens.cli.main import main\nroot, to = sys.argv[1:]\n"
        "assert main(['scan', root, '-o', to + '/m.parquet', '-q']) == 0\n"
        "assert main(['verify', to + '/m.parquet', '-q']) == 0"
    )
    found = modules_after(code, toys / "names", tmp_path)
    assert {"numpy", "pyarrow"} <= found
    assert not {"torch", "matplotlib", "sklearn", "skimage", "scipy", "safetensors"} & found


@posix
@pytest.mark.parametrize("line", ["degrade --list", "degrade --list --json", "doctor", "--help", "fetch --list"])
def test_a_closed_pipe_is_quiet(line: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run([*FAUXLENS, *line.split()], stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)
    assert ended.stderr == b""
    assert ended.returncode == 0


def test_every_letter_comes_through_or_is_spelt_out(toys: Path, tmp_path: Path) -> None:
    def said(encoding: str) -> bytes:
        line = [*FAUXLENS, "scan", str(toys / "names"), "-o", str(tmp_path / "m.parquet"), "-q"]
        env = environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        return subprocess.run(line, capture_output=True, env=env, check=True).stdout

    assert "–".encode() in said("utf-8")
    assert b"\\u2013" in said("ascii")


@posix
def test_colours_only_on_a_terminal_that_wants_them() -> None:
    import pty

    def shown(**env: str) -> bytes:
        ours, theirs = pty.openpty()
        line = [*FAUXLENS, "verify", "nowhere.parquet"]
        ended = subprocess.run(line, stderr=theirs, env=environment(TERM="xterm-256color", **env), check=False)
        os.close(theirs)
        assert ended.returncode == 2
        read = os.read(ours, 10_000)
        os.close(ours)
        return read

    assert b"\x1b[1;31merror:" in shown()
    without = shown(NO_COLOR="1")
    assert b"error:" in without
    assert b"31m" not in without
    piped = subprocess.run(
        [*FAUXLENS, "verify", "nowhere.parquet"], capture_output=True, env=environment(), check=False
    )
    assert b"\x1b" not in piped.stdout + piped.stderr


def test_piped_lines_are_whole_at_any_width(toys: Path) -> None:
    line = [*FAUXLENS, "degrade", "--list"]
    narrow = subprocess.run(line, capture_output=True, env=environment(COLUMNS="80"), check=True).stdout
    wide = subprocess.run(line, capture_output=True, env=environment(COLUMNS="1000"), check=True).stdout
    assert narrow == wide


@posix
def test_ctrl_c_keeps_what_is_done_and_the_same_command_finishes(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "real"
    first = toy.picture(folder / "000.png", seed=1, width=480, height=360)
    count = 250
    for number in range(1, count):
        os.link(first, folder / f"{number:03}.png")
    assert main(["scan", str(tmp_path / "set"), "-o", str(tmp_path / "m.parquet"), "--layout", "folder"]) == 0

    line = [*FAUXLENS, "verify", str(tmp_path / "m.parquet"), "--json"]
    begun = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment()
    )
    work = tmp_path / "m-verified" / "work"
    patience = time.monotonic() + 60
    while not any(path.stat().st_size for path in work.glob("shards/*.jsonl")):
        assert begun.poll() is None, begun.communicate()
        assert time.monotonic() < patience
        time.sleep(0.01)
    os.killpg(begun.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    out, err = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert out == ""
    assert err.startswith("error: ")
    assert f" of {count}; everything done so far is kept" in err
    assert "next: run the same command again" in err
    assert "Traceback" not in err
    assert not (tmp_path / "m-verified" / "manifest.parquet").exists()

    told = subprocess.run(
        [*FAUXLENS, "status", str(tmp_path / "m-verified")], capture_output=True, text=True, check=True
    )
    assert "it goes on when the same command is given again" in told.stdout
    ended = subprocess.run(line, capture_output=True, text=True, check=True)
    assert (json.loads(ended.stdout)["usable"], ended.stderr) == (count, "")
    assert len(read_manifest(tmp_path / "m-verified" / "manifest.parquet").usable()) == count
