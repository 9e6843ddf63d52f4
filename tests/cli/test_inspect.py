"""`fauxlens inspect`: every detector of the table can be asked; wrong use is told before anything is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli.conftest import Run
from cli.schema import DOCUMENT, faults
from fauxlens.detectors import DETECTORS, detector_class
from fauxlens.verdict import inspect as inspecting
from fauxlens.verdict.finding import Finding

# The largest take gigabytes and seconds; the contract over the table asks them.
ASKED = sorted(name for name in DETECTORS if detector_class(name).card.parameters < 60_000_000 and name != "dire")


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def lines(text: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert [fault for one in found for fault in faults(one, DOCUMENT["$defs"]["inspect"])] == []
    return found


@pytest.mark.parametrize("name", ASKED)
def test_every_detector_can_be_asked(name: str, run: Run, photo: Path) -> None:
    said = run("inspect", photo, "--detector", name, "--weights", "random", "--json")
    assert said.code == 0
    assert "RANDOM WEIGHTS" in said.err
    (found,) = lines(said.out)
    assert (found["verdict"], found["probability"], found["edited_share"]) == ("inconclusive", None, None)
    assert "mean nothing" in str(found["reason"])


def test_the_card_of_one_picture_fits_twelve_lines(run: Run, photo: Path) -> None:
    said = run("inspect", photo, "-d", "npr", "-d", "freqnet", "--weights", "random")
    shown = said.out.splitlines()
    assert len(shown) <= 12
    assert shown[0].startswith("Inconclusive: the detector holds random weights")
    assert max(map(len, shown)) <= 80
    assert "%" not in said.out
    assert any(line.startswith("Not checked: Whether the scores hold") for line in shown)
    assert any(line.startswith("Next: Find the earliest copy") for line in shown)


def test_what_was_found_before_a_stop_is_kept(
    run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        (tmp_path / f"later{number}.png").write_bytes(photo.read_bytes())
    through = inspecting.inspect_many

    def stopped(*given: Any, **named: Any) -> Iterator[Finding]:
        yield next(iter(through(*given, **named)))
        raise KeyboardInterrupt

    monkeypatch.setattr(inspecting, "inspect_many", stopped)
    out = tmp_path / "out"
    said = run("inspect", tmp_path, "-d", "npr", "--weights", "random", "--no-stability", "--report", out)
    assert said.code == 130
    assert "stopped after 1 of 3 pictures" in said.err
    assert len(json.loads((out / "report.json").read_text("utf-8"))["findings"]) == 1
    assert (out / "index.html").is_file()


def test_files_of_other_suffixes_are_counted_not_hidden(run: Run, photo: Path, tmp_path: Path) -> None:
    for name in ("raw.dng", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    said = run("inspect", tmp_path, "-d", "npr", "--weights", "random", "--no-stability")
    assert "2 files with other suffixes left out; name them to look at them" in said.err
    assert "left out" not in run("inspect", photo, "-d", "npr", "--weights", "random", "--no-stability").err


def test_many_pictures_a_page_and_one_that_is_broken(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("<html>", encoding="utf-8")
    out = tmp_path / "out"
    said = run("inspect", tmp_path, "-d", "nfa-vit", "--setting", "nano", "--weights", "random", "--report", out)
    assert said.code == 1
    shown = said.out.splitlines()
    assert shown[0] == f"wrote {out / 'index.html'}"
    assert [line.split()[0] for line in shown[1:4]] == ["verdict", "not", "inconclusive"]
    assert shown[-1] == "1 picture looked at: 1 inconclusive; 1 could not be"
    assert any(line.startswith("next (1): the download gave an error page") for line in shown)
    page = (out / "0002-photo.html").read_text(encoding="utf-8")
    assert "Inconclusive" in page
    assert 'href="0002-photo.html"' in (out / "index.html").read_text(encoding="utf-8")
    lines((out / "0002-photo.json").read_text(encoding="utf-8").replace("\n", "") + "\n")
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))["findings"]
    assert [one["status"] for one in told] == ["error", "ok"]
    with Image.open(out / told[1]["mask"]) as mask, Image.open(out / told[1]["heatmap"]) as heat:
        assert mask.size == heat.size == (96, 80)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-d", "nprr", "--weights", "random"), "Did you mean 'npr'"),
        (("-d", "npr"), "are not on this machine"),
        (("-d", "npr/npr-3090"), "the weights 'npr-3090' of npr are not on this machine"),
        (("-d", "resnet50"), "were never given away"),
        (("-d", "npr", "--weights", "random", "--option", "showing=larger"), "no value of the option showing"),
        (("-d", "npr", "--weights", "random", "--option", "showing"), "NAME=VALUE"),
        (("-d", "npr", "-d", "freqnet", "--setting", "published"), "belong to one detector"),
        (("-d", "dire", "--weights", "random"), "--option diffusion=FOLDER"),
        (("-d", "npr", "--weights", "random", "--device", "toaster"), "no device called 'toaster'"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], told: str, run: Run, photo: Path) -> None:
    said = run("inspect", photo, *arguments)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert "Traceback" not in said.err


def test_generators_are_told_to_people_as_well(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("inspect", photo, "-d", "imaginet-identify", "--weights", "random", "--report", out)
    assert said.code == 0
    assert "no score; generators: " in said.out
    page = (out / "index.html").read_text(encoding="utf-8")
    for name in detector_class("imaginet-identify").card.weights[0].labels:
        assert name in said.out
        assert name in page
