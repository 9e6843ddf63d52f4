"""`fauxlens calibrate`: from labelled pictures to a judgement that `judgement_for` finds, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.detectors import load
from fauxlens.verdict.judgement import judgement_for, place_in_store, read_judgement
from labelled import knowing_weights, labelled_photos

NATIVE = {"showing": "native"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled pictures, a manifest of them, a file of weights, and what the detector says with it."""
    from fauxlens.cli.main import main

    folder = tmp_path_factory.mktemp("labelled")
    labelled_photos(folder / "photos", 24)
    knowing_weights(folder / "npr.pth")
    for line in (
        f"scan {folder}/photos -o {folder}/m.parquet -q",
        f"predict {folder}/m.parquet -d npr --weights {folder}/npr.pth --option showing=native "
        f"-o {folder}/p.parquet -q",
    ):
        assert main(line.split()) == 0
    return folder


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_the_judgement_is_kept_and_found(made: Path, store: Path, run: Run) -> None:
    line = ("calibrate", made / "p.parquet", "--manifest", made / "m.parquet")
    said = run(*line, "--json")
    assert (said.code, said.err) == (0, "")
    told = parsed(said.out, "calibrate")
    assert (told["detector"], told["axis"], told["split"]) == ("npr", "whole_image", "none")
    assert (told["reals"], told["origins"], told["fakes"], told["pictures"]) == (24, 24, 24, 48)
    assert (told["is_enough"], told["wanted"], told["above"], told["replaced"]) == (False, 299, 0, None)
    assert told["ece_after"] > told["ece_before"], "48 pictures are too few for a slope and an offset"
    assert told["expected"][0] == pytest.approx(1 / 25)
    detector = load("npr", made / "npr.pth", options=NATIVE)
    sha256 = detector.weights.sha256
    assert sha256 is not None
    where = place_in_store("npr", sha256, "whole_image")
    assert (told["judgement"], told["weights_sha256"]) == (str(where), sha256)
    assert where.is_relative_to(store)
    (found,) = judgement_for(detector)
    assert found == read_judgement(where)
    assert (found.low, found.high) == (told["low"], told["high"])
    assert found.answer(told["high"] + 0.1).verdict == "generated"
    assert not judgement_for(load("npr", made / "npr.pth")), "shown in another way it gives other scores"

    assert "the fit made it worse" in run(*line).out
    text = run(*line, "--method", "temperature")
    assert text.code == 0
    lines = text.out.splitlines()
    assert lines[0].startswith("npr, whole_image: temperature on 48 pictures of split 'none', 24 real (24 origins)")
    assert "too few to promise 1.0%, for which it takes 299" in text.out
    assert "to expect of other such real pictures: 4.0% false alarms" in text.out
    assert "generated pictures" in text.out
    assert f"wrote {where}, in place of the one of {found.date}" in lines
    assert judgement_for(detector)[0].calibration.method == "temperature"


def test_a_file_of_ones_own_is_not_used(made: Path, run: Run, tmp_path: Path) -> None:
    target = tmp_path / "mine.json"
    said = run("calibrate", made / "p.parquet", "-m", made / "m.parquet", "-o", target, "--strict")
    assert said.code == 0
    assert "never generated, between them inconclusive" in said.out
    assert "`fauxlens inspect` does not look there" in said.out
    assert read_judgement(target).high is None
    assert judgement_for(load("npr", made / "npr.pth", options=NATIVE)) == ()
    assert run("calibrate", made / "p.parquet", "-m", made / "m.parquet", "-o", tmp_path / "mine.txt").code == 2


def test_what_cannot_be_meant_is_two_and_writes_nothing(made: Path, store: Path, run: Run, tmp_path: Path) -> None:
    line = ("calibrate", made / "p.parquet", "-m", made / "m.parquet")
    for more, message in (
        (("--split", "test"), "never fitted on a test split"),
        (("--split", "train"), "no picture of this split"),
        (("--axis", "local_edit"), "too few pictures"),
        (("--method", "plat"), "no calibration method called 'plat'"),
        (("--share", "2"), "share is out of range"),
    ):
        said = run(*line, *more)
        assert (said.code, said.out) == (2, ""), more
        assert message in said.err
        assert "next:" in said.err or more[0] in ("--split", "--share")
    assert run(*line, "--axis", "both").code == 2
    random = ("predict", made / "m.parquet", "-d", "npr", "--weights", "random", "-o", tmp_path / "r.parquet", "-q")
    assert run(*random, "--option", "showing=native").code == 0
    said = run("calibrate", tmp_path / "r.parquet", "-m", made / "m.parquet")
    assert (said.code, "random weights learnt nothing" in said.err) == (2, True)
    assert not store.exists()
