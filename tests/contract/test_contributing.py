"""The detector that CONTRIBUTING shows is a whole one: its file and its line are taken from there and tried."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import detector_contract as contract
import fauxlens.detectors
from fauxlens.cli.main import main
from fauxlens.detectors import DETECTORS, load

HOUSE = Path(__file__).resolve().parents[2]
TEXT = (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example's name, while its file lies among the detectors and its line is in the table."""
    section = TEXT.partition("## To add a detector\n")[2].partition("\n## ")[0]
    file, line = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    ((name, place),) = ast.literal_eval("{" + line.strip() + "}").items()
    module = place.partition(":")[0]
    folder = tmp_path / "detectors"
    folder.mkdir()
    (folder / f"{module.rpartition('.')[2]}.py").write_text(file, encoding="utf-8")
    monkeypatch.setattr(fauxlens.detectors, "__path__", [*fauxlens.detectors.__path__, str(folder)])
    monkeypatch.setitem(DETECTORS, name, place)
    with contract.no_network():
        yield name
    sys.modules.pop(module, None)
    vars(fauxlens.detectors).pop(module.rpartition(".")[2], None)


def test_it_keeps_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract.check_card(name)
    asked = contract.Asked(name, "published")
    contract.check_predictions(asked)
    contract.check_output(asked)
    contract.check_alone_or_together(asked)
    contract.check_layout(asked)
    contract.check_again(asked)
    contract.check_round_trip(asked, tmp_path)
    contract.check_build(name, "published")
    contract.check_refusals(name, "published", monkeypatch)


def test_it_does_what_it_says(name: str) -> None:
    detector = load(name, "random")
    flat = np.full((20, 30, 3), 90, dtype=np.uint8)
    slope = np.repeat(np.arange(30, dtype=np.uint8)[None, :, None] * 5, 20, axis=0).repeat(3, axis=2)
    dot = flat.copy()
    dot[10, 15, 1] = 255
    features = [
        detector.logits(detector.prepare(one).views[0].tensor()[None]).features[0] for one in (flat, slope, dot)
    ]
    assert torch.allclose(features[0], torch.zeros(3), atol=1e-5)
    assert torch.allclose(features[1], torch.zeros(3), atol=1e-5)  # a slope has no second difference
    # One pixel of green: |-4| and four times |1|, over the 18x28 places.
    step = (255 - 90) / 255 / 0.224
    assert torch.allclose(features[2], torch.tensor([0.0, 8 * step / (18 * 28), 0.0]), atol=1e-5)
    tiny = detector.predict([np.zeros((1, 2, 3), dtype=np.uint8)])[0]
    assert tiny.notes[0] == "padded from 2x1 to 3x3"


def test_the_command_line_knows_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "--json"]) == 0
    (found,) = [one for one in json.loads(capsys.readouterr().out) if one["name"] == name]
    assert (found["parameters"], found["weights"]) == (4, [])
    assert main(["weights", "show", name]) == 0
    assert "weights: none are known; a file of your own is loaded by its path" in capsys.readouterr().out


def test_the_rooms_that_are_missing_are_missing() -> None:
    """And those that are there are not called missing."""
    floors = TEXT.partition("pyproject.toml`")[2].partition("Rooms that")[0]
    rooms = {room for floor in re.findall(r"`([a-z <]+)`", floors) for room in re.findall(r"[a-z]+", floor)}
    missing = set(re.findall(r"`(\w+)`", TEXT.partition("Rooms that are not there yet (")[2].partition(")")[0]))
    assert {"core", "detectors", "cli"} <= rooms
    assert missing <= rooms
    there = {path.parent.name for path in (HOUSE / "src" / "fauxlens").glob("*/__init__.py")}
    assert rooms - missing == there
