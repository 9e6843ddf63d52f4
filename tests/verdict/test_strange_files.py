"""More than two hundred odd, broken and hostile files: each is told of in its own line, and none stops the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fauxlens.cli.main import main
from fauxlens.core.errors import UnreadableImage
from fauxlens.detectors.table import DETECTORS
from fauxlens.verdict.finding import Finding
from fauxlens.verdict.inspect import inspect_many
from strange_files import EITHER, ODD_NAMES, OK, strange_files
from tiny_detector import Tiny

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and links of a POSIX file system")

HERE = Path(__file__).resolve().parents[1]
MOST_SECONDS = 120
MOST_BYTES = 2_000_000_000
# The command with one more detector in its table.
PROGRAM = """
import atexit, os, pathlib, sys
from fauxlens.detectors.table import DETECTORS
DETECTORS["tiny"] = "tiny_detector:Tiny"

def peak():
    # Its own: what the system tells of an ended process has the peak of the one that started it in it.
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    pathlib.Path(os.environ["PEAK"]).write_text("".join(line for line in lines if line.startswith("VmHWM")))

atexit.register(peak)
from fauxlens.cli.main import run
run()
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, str]]:
    folder = tmp_path_factory.mktemp("strange")
    yield strange_files(folder)
    for path in folder.iterdir():
        if path.name == "forbidden.jpg":
            path.chmod(0o600)


def fault(found: Finding, wanted: str) -> str | None:
    """What is wrong with a finding; None for nothing."""
    got = OK if found.error is None else found.error.reason if isinstance(found.error, UnreadableImage) else "?"
    if wanted not in (EITHER, got):
        return f"wanted {wanted}, got {got} ({found.reason})"
    if got == OK:
        return None if found.opinions and found.verdict is not None else "looked at, and nothing is said"
    assert found.error is not None
    if got not in UnreadableImage.REASONS or found.verdict is not None or found.opinions:
        return f"an error that is none: {got}"
    # Whoever reads it must know which file is meant and what it is; no words of a library's inside.
    said = found.error.message
    return None if Path(found.path).name[:40] in said or "\\" in said else f"the file is not named: {said}"


def test_each_file_is_told_of_in_order_and_none_stops_the_others(told: dict[Path, str]) -> None:
    assert len(told) > 200
    begun = time.perf_counter()
    found = list(inspect_many(list(told), [Tiny()]))
    assert time.perf_counter() - begun < MOST_SECONDS
    assert [one.path for one in found] == [str(path) for path in told]
    faults = {Path(one.path).name: why for one, wanted in zip(found, told.values(), strict=True)
              if (why := fault(one, wanted))}  # fmt: skip
    assert faults == {}
    assert sum(one.error is None for one in found) > 120
    assert len({one.error.reason for one in found if isinstance(one.error, UnreadableImage)}) >= 8


def test_the_command_says_a_line_of_json_for_each_and_ends_with_one(told: dict[Path, str], tmp_path: Path) -> None:
    # A folder that is named stands for the pictures in it; at a name that no system allows, the command still stops.
    paths = [path for path in told if not os.path.isdir(path)]  # noqa: PTH112 - a name may be too long to ask a Path
    seen = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ, "PEAK": str(tmp_path / "peak"), "FAUXLENS_WEIGHTS": str(tmp_path), "PYTHONPATH": seen,
    }  # fmt: skip
    begun = time.perf_counter()
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        line = ["inspect", "-d", "tiny", "--weights", "random", "--json", "--quiet", "--", *map(str, paths)]
        program = [sys.executable, "-c", PROGRAM, *line]
        ended = subprocess.run(program, stdout=out, stderr=err, env=environment, check=False)
    assert (ended.returncode, (tmp_path / "err").read_text()) == (1, "")
    assert time.perf_counter() - begun < MOST_SECONDS
    peak = (tmp_path / "peak").read_text().split()
    assert not peak or int(peak[1]) * 1024 < MOST_BYTES
    lines = (tmp_path / "out").read_text("utf-8").splitlines()
    answers = [json.loads(one) for one in lines]
    assert [one["path"] for one in answers] == [str(path) for path in paths]
    for path, one in zip(paths, answers, strict=True):
        assert one["status"] in ("ok", "error"), path
        assert told[path] in (EITHER, "ok" if one["status"] == "ok" else told[path]), path
        if one["status"] == "error":
            assert set(one["error"]) == {"kind", "message", "hint"}
            assert (one["error"]["kind"], one["verdict"]) == ("UnreadableImage", None)
            assert "Traceback" not in one["error"]["message"]
        else:
            assert "error" not in one
            assert len(one["detectors"]) == 1


def test_odd_names_reach_the_page_and_the_terminal(
    told: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(DETECTORS, "tiny", "tiny_detector:Tiny")
    paths = [path for path in told if path.name in ODD_NAMES]
    assert len(paths) > 15
    line = ["inspect", "-d", "tiny", "--weights", "random", "-q", "--report", str(tmp_path / "page"), "--"]
    assert main([*line, *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert "\\u202egpj.jpg" in shown
    assert "\u202e" not in shown
    listed = json.loads((tmp_path / "page" / "report.json").read_text("utf-8"))
    assert [one["path"] for one in listed["findings"]] == [str(path) for path in paths]
