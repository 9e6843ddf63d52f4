"""`fauxlens export`: files, refusals, loud warnings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.core.errors import BadExport
from fauxlens.core.files import sha256_of

for module in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module, reason="the extra `export` is not installed")

MEANS_NOTHING = "WARNING: noiseprint++ has random weights: what this file says will mean nothing"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_written_and_told_of(run: Run, empty: Path) -> None:
    said = run("export", "noiseprint++", "--weights", "random", "--side", 64, "--json")
    assert (said.code, said.err) == (0, MEANS_NOTHING + "\n")
    found = parsed(said.out, "export")
    assert [one.name for one in empty.iterdir()] == ["noiseprint++.onnx"]
    assert found["path"] == "noiseprint++.onnx"
    assert found["sha256"] == sha256_of(empty / "noiseprint++.onnx")
    assert found["inputs"] == {"image": ["batch", 3, 64, 64]}
    assert found["outputs"] == {"trace": ["batch", 1, 64, 64]}
    assert (found["dynamic"], found["agrees"], found["choices"]) == (["batch"], True, None)
    assert found["metadata"]["warning"] == "random weights: these numbers mean nothing"
    (parity,) = found["parity"]
    assert 0 < parity["difference"] < 1e-4 * parity["scale"]


def test_the_same_in_words(run: Run, empty: Path) -> None:
    given = ("export", "noiseprint++", "--weights", "random", "--side", 64, "-o", empty / "made" / "trace.onnx")
    said = run(*given)
    assert (said.code, said.err) == (0, MEANS_NOTHING + "\n")
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{empty / 'made' / 'trace.onnx'}: ")
    assert "  input   image (batch, 3, 64, 64)" in lines
    assert "  output  trace (batch, 1, 64, 64)" in lines
    assert any(line.startswith("  off by  trace: ") for line in lines)
    assert any(line.startswith("  agrees  within 0.0001 of the largest") for line in lines)
    unproved = run(*given, "--no-check")
    assert unproved.code == 0
    assert "WARNING: not compared with the network" in unproved.err
    assert "  agrees" not in unproved.out
    assert "  note    not compared with the network: nobody knows whether this file says the same" in unproved.out


@pytest.mark.parametrize(
    ("given", "told", "step"),
    [
        (("npr", "--format", "onx"), "no format called 'onx'", "Did you mean 'onnx'?"),
        (("nrp",), "no detector called 'nrp'", "Did you mean 'npr'?"),
        (("lgrad",), "lgrad cannot be exported: its answer rests on a gradient", "use `predict`"),
        (("npr",), "the weights 'npr' of npr are not on this machine", "or weights='random' to try the code"),
        (("npr", "--opset", 3), "opset is out of range (wanted 18 to 23, got 3)", ""),
        (("npr", "-o", "npr.pt"), "npr.pt: an ONNX file is called .onnx (got .pt)", ""),
        (("nfa-vit", "--weights", "random", "--setting", "large"), "no setting of nfa-vit called 'large'", "nano"),
        (("nfa-vit", "--weights", "random", "--setting", "nano", "--side", 32), "too small", "sides of at least 64"),
    ],
)
def test_wrong_use_is_told_in_two_lines(given: tuple[Any, ...], told: str, step: str, run: Run, empty: Path) -> None:
    said = run("export", *given)
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("WARNING")]
    assert len(lines) <= 2
    assert lines[0].startswith("error: ")
    assert told in lines[0]
    assert step in said.err
    assert list(empty.iterdir()) == []
    assert said.code == 2


def test_a_file_that_says_otherwise_ends_with_one(run: Run, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fauxlens.detectors import export as exporting

    def unlike(*given: object, **named: object) -> None:
        raise BadExport("the file does not say what the network says, and is not kept", hint="try another")

    monkeypatch.setattr(exporting, "export", unlike)
    said = run("export", "noiseprint++", "--weights", "random")
    assert (said.code, said.out) == (1, "")
    assert "error: the file does not say what the network says, and is not kept\n  next: try another\n" in said.err
    assert list(empty.iterdir()) == []
