"""What goes wrong is told in a line or two with the right exit code; a traceback only on demand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import toy
from cli.conftest import Run
from fauxlens.cli import console
from fauxlens.cli.main import main
from fauxlens.core import errors
from fauxlens.manifest import scan as scan_room

NO_TRACE = "Traceback"


@pytest.mark.parametrize(
    ("line", "message", "next_step"),
    [
        ("scan nowhere -o m.parquet", "nowhere: no such folder", "give the folder"),
        ("scan . -o m.txt", "a manifest is saved as", None),
        ("select m.parquet -o x.xlsx", "a manifest is saved as", None),
        ("split m.parquet -o x", "a manifest is saved as", None),
        ("scan . --layout fodler -o m.parquet", "no layout called 'fodler'", "Did you mean 'folder'?"),
        ("verify nowhere.parquet", "nowhere.parquet: no such manifest", "fauxlens scan"),
        ("verify .", "a manifest is one file", "fauxlens scan"),
        ("verify torn.parquet", "torn.parquet: not a Parquet file", None),
        ("scan . -o m.parquet", "the folder holds no pictures", "the folder that the pictures are in"),
        ("select nowhere.parquet -o x.parquet", "no such manifest", None),
        ("split nowhere.parquet -o x.parquet", "no such manifest", None),
        ("degrade", "a manifest, --recipe and --output are needed", "fauxlens degrade m.parquet"),
        ("degrade m.parquet -r blr -o out", "no degradation step called 'blr'", "Did you mean 'blur'?"),
        ("fetch", "which dataset?", "fauxlens fetch --list"),
        ("fetch genimagee", "no dataset to fetch called 'genimagee'", "Did you mean 'genimage'?"),
        ("fetch br-gen", "not fetched here", "`fauxlens extract-reals`"),
        ("fetch imaginet", "not fetched here", "`fauxlens prune`"),
        ("fetch unbiased-genimage", "where to?", "--destination FOLDER"),
        ("unpack x.z000", "either --destination or --join", "fauxlens unpack"),
        ("unpack nowhere.z000 --destination out", "nowhere.z000: there is no such file or folder", "one of the pieces"),
        ("unpack nowhere.zip --destination out", "nowhere.zip: there is no such file or folder", "one of the pieces"),
        ("extract-reals . -s COC=.", "no source of real photos called 'COC'", "Did you mean 'COCO'?"),
        ("prune . -a nowhere.txt", "nowhere.txt: the annotations cannot be read", "train and test both"),
        ("weights show nfa-vti", "no detector called 'nfa-vti'", "Did you mean 'nfa-vit'?"),
        ("weights show nfa-vit/strat", "no set of weights of nfa-vit called 'strat'", "Did you mean 'start'?"),
        ("weights get nfa-vit/start --from nowhere", "nowhere: no such folder", None),
        ("weights get noiseprint++", "elsewhere than on the hub", "fauxlens weights import noiseprint++/trufor"),
        ("status .", "no long run was started in this folder", "fauxlens verify"),
    ],
)
def test_wrong_use_is_two_and_a_line_or_two(
    line: str, message: str, next_step: str | None, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    said = run(*line.split())
    assert (said.code, said.out) == (2, "")
    lines = said.err.splitlines()
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert len(lines) <= 2
    if len(lines) == 2:
        assert lines[1].startswith("  next: ")
        assert (next_step or "") in lines[1]
    else:
        assert not next_step
    assert {path.name for path in tmp_path.iterdir()} == {"torn.parquet"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scan", "Missing argument 'ROOT'"),
        ("scan . --bogus", "No such option: --bogus"),
        ("scan . -o m.parquet --workers 0", "--workers"),
        ("scan . -o m.parquet --accept nothing", "wrong-suffix"),
        ("verify m.parquet --near-bits five", "--near-bits"),
        ("extract-reals . -s COCO=. --how steal", "--how"),
        ("weights import nfa-vit", "Missing argument 'FILE...'"),
        ("weights nonsense", "No such command 'nonsense'"),
        ("nonsense", "No such command 'nonsense'"),
        ("--nonsense", "No such option"),
    ],
)
def test_a_wrong_line_shows_the_usage(line: str, message: str, run: Run) -> None:
    said = run(*line.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: fauxlens ")
    assert message in said.err
    assert NO_TRACE not in said.err


def test_no_verb_shows_the_help(run: Run) -> None:
    said = run()
    assert said.code == 2
    assert "Commands:" in said.out + said.err


@pytest.mark.parametrize("line", ["--debug verify nowhere.parquet", "verify nowhere.parquet --debug"])
def test_debug_shows_a_traceback_and_keeps_the_code(line: str, run: Run) -> None:
    said = run(*line.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Traceback (most recent call last):")
    assert "error: nowhere.parquet: no such manifest\n  next: " in said.err
    after = run("verify", "nowhere.parquet")
    assert NO_TRACE not in after.err  # one command's wish is not the next one's


def test_what_follows_two_dashes_is_a_name(run: Run) -> None:
    said = run("verify", "--", "--debug")
    assert said.code == 2
    assert "--debug: no such manifest" in said.err
    assert NO_TRACE not in said.err


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def survey(*given: Any, **named: Any) -> Any:
        raise error

    monkeypatch.setattr(scan_room, "survey", survey)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.BadSetting, 2),
        (errors.UnknownName, 2),
        (errors.UnknownLayout, 2),
        (errors.BadManifest, 2),
        (errors.MissingExtra, 2),
        (errors.NoWeights, 2),
        (errors.BadWeights, 1),
        (errors.WorkError, 1),
        (errors.FetchError, 1),
        (errors.BadShape, 1),
        (errors.Interrupted, 130),
    ],
)
def test_every_error_has_its_code(
    kind: type[errors.FauxlensError], code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, kind("so it is", where="here", wanted=1, got=2, hint="do that"))
    assert run("scan", ".", "-o", "m.parquet") == (
        code,
        "",
        "error: here: so it is (wanted 1, got 2)\n  next: do that\n",
    )


def test_ctrl_c_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    said = run("scan", ".", "-o", "m.parquet")
    assert (said.code, said.out) == (130, "")
    assert said.err.startswith("error: interrupted\n  next: give the same command again")


def test_what_the_system_refuses_is_told_without_a_traceback(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    toy.folder_names(tmp_path / "set")
    (tmp_path / "folder.parquet").mkdir()
    said = run("scan", tmp_path / "set", "-o", tmp_path / "folder.parquet", "-q")
    assert (said.code, said.out) == (1, "")
    assert said.err == f"error: {tmp_path / 'folder.parquet'}: is a directory\n"


def test_a_fault_of_ours_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyError("nobody expected this"))
    said = run("scan", ".", "-o", "m.parquet")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: a fault of fauxlens itself: KeyError: 'nobody expected this'\n  next: ")
    assert "--debug" in said.err
    assert NO_TRACE in run("scan", ".", "-o", "m.parquet", "--debug").err


def test_a_gone_reader_is_no_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, console.ReaderGone())
    monkeypatch.setattr("fauxlens.cli.main.os.dup2", lambda *rest: None)
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1, raising=False)
    assert run("scan", ".", "-o", "m.parquet") == (0, "", "")


def test_some_broken_files_are_one(run: Run, toys: Path, tmp_path: Path) -> None:
    shutil.copytree(toys / "names", tmp_path / "names")
    (tmp_path / "names" / "train" / "real" / "phone" / "0.jpg").unlink()
    said = run(
        "degrade", toys / "m.parquet", "--root", tmp_path / "names", "-r", "none", "-o", tmp_path / "out", "--quiet"
    )
    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("15 pictures degraded by none")
    assert "not-degraded" in said.out


def test_main_takes_the_line_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fauxlens", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("fauxlens ")
