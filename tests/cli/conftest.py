from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import toy
from fauxlens.cli.main import main


class Said(NamedTuple):
    """One command line: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("FAUXLENS_DEBUG", "FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def one(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        return Said(code, *capsys.readouterr())

    return one


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder dataset with a manifest beside it; nobody writes in it."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "names").mkdir()
    toy.folder_names(folder / "names")
    assert main(["scan", str(folder / "names"), "-o", str(folder / "m.parquet"), "--quiet"]) == 0
    return folder
