"""`fauxlens detectors`: the table of all detectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.detectors import DETECTORS, detector_class, load
from fauxlens.detectors import store as stores


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_every_detector_is_listed_with_its_facts(run: Run) -> None:
    said = run("detectors", "--json")
    assert (said.code, said.err) == (0, "")
    found = {one["name"]: one for one in parsed(said.out, "detectors")}
    assert list(found) == sorted(DETECTORS)
    for name, one in found.items():
        card = detector_class(name).card
        assert (one["parameters"], one["tasks"], one["input"]) == (card.parameters, list(card.tasks), card.input)
        assert [w["set"] for w in one["weights"]] == [w.name for w in card.weights]
        assert [(t["metric"], t["value"]) for t in one["targets"]] == [(t.metric, t.value) for t in card.targets]


def test_the_table_is_one_line_a_detector(run: Run) -> None:
    said = run("detectors")
    assert said.code == 0
    head, *rows = said.out.splitlines()
    assert " ".join(head.split()) == "detector family task parameters weights licence of weights published input"
    assert [row.split()[0] for row in rows] == sorted(DETECTORS)
    nfa = next(row for row in rows if row.startswith("  nfa-vit "))
    assert "28,601,251" in nfa
    assert "br-gen: not here" in nfa
    assert "recall of real at 0.5 = 0.992 on BR-Gen, trained on it (and 25 more)" in nfa


def test_weights_that_were_imported_are_here(run: Run, store: Path) -> None:
    detector = load("noiseprint++", "random")
    stores.put("noiseprint++", detector.card.weights[0], "", dict(detector.network.state_dict()), store=store)
    found = {one["name"]: one for one in parsed(run("detectors", "--json").out, "detectors")}
    assert found["noiseprint++"]["weights"][0]["state"] == "here"
    assert {w["state"] for w in found["nfa-vit"]["weights"]} <= {"not here"}
    assert "trufor: here" in run("detectors").out
