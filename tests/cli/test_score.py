"""`fauxlens predict`, `score`, `compare`, `leaderboard`: from a manifest to pages, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.evaluate.predictions import manifest_digest, read_predictions
from landscapes import photo_folder
from scored_toys import block, drawn_scores, drawn_set, said

PROTOCOL = """
name = "mine"
version = 1
title = "Mine"
paper = "none"
source = "made for this test"
layout = ""
data = "toys"
view = "table"
metrics = ["AUC", "macro_f1"]
parts = [{ name = "LaMa", fakes = ["method=LaMa"] }, { name = "SDXL", fakes = ["method=SDXL"] }]
rows = [{ name = "NPR", detector = "npr", weights = ["good"] }]
published = [{ row = "NPR", part = "LaMa", metric = "AUC", value = 50.0 }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest, and predictions of a good and of a poor detector."""
    folder = tmp_path_factory.mktemp("scored")
    manifest = drawn_set(folder / "set", 24)
    manifest.save(folder / "m.parquet")
    told = {"manifest_sha256": manifest_digest(manifest)}
    masks = [block(0, 4)] * 48
    for name, gap in (("good", 3), ("poor", 1)):
        chances = drawn_scores(manifest, gap, seed=gap)
        found = said(manifest, chances, masks=masks, weights=name, weights_sha256=name * 16, **told)
        found.save(found.folder / "p.parquet")
    (folder / "mine.toml").write_text(PROTOCOL, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # The metadata baseline has tests of its own; here it would be fitted for every page.
    monkeypatch.setattr("fauxlens.evaluate.controls._metadata", lambda scored: _not_asked())


def _not_asked() -> object:
    from fauxlens.evaluate.controls import Control

    return Control("metadata only", "", None, "not asked for here")


def predictions(folder: Path, name: str) -> Path:
    return folder / "set" / f"npr-{name}" / "p.parquet"


def test_predict_asks_once_and_says_what_it_did(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    photo_folder(tmp_path / "photos" / "real", 3)
    photo_folder(tmp_path / "photos" / "fake", 2)
    (tmp_path / "photos" / "fake" / "torn.jpg").write_bytes((tmp_path / "photos/fake/photo_001.jpg").read_bytes()[:900])
    assert run("scan", tmp_path / "photos", "-o", tmp_path / "m.parquet", "--quiet").code == 0
    line = ("predict", tmp_path / "m.parquet", "-d", "npr", "--weights", "random", "-o", tmp_path / "p.parquet")
    said = run(*line, "--batch", "2", "--json")
    assert said.code == 1  # one of them is torn
    told = parsed(said.out, "predict")
    assert (told["detector"], told["random"], told["pictures"], told["masks"]) == ("npr", True, 6, 0)
    assert told["failures"] == {"unreadable": 1}
    assert "RANDOM WEIGHTS" in said.err
    assert len(read_predictions(tmp_path / "p.parquet")) == 6
    again = run(*line, "--batch", "2")
    assert "npr (random): 5 pictures predicted, 1 could not be" in again.out
    other = run(*line, "--batch", "2", "--seed", "1")
    assert other.code == 2
    assert "settings.asked" in other.err


def test_score_without_a_protocol_tells_everything(run: Run, folder: Path, tmp_path: Path) -> None:
    given = (predictions(folder, "good"), predictions(folder, "poor"))
    said = run("score", *given, "-m", folder / "m.parquet", "-o", tmp_path, "--resamples", "20", "--json")
    assert said.code == 0
    told = parsed(said.out, "score")
    assert [one["name"] for one in told["runs"]] == ["npr (good)", "npr (poor)"]
    assert told["protocol"]["parts"] == ["all", "LaMa", "SDXL"]
    assert {"AUC", "macro_f1"} <= set(told["protocol"]["metrics"])
    assert Path(told["page"]).is_file()
    assert (tmp_path / "figures" / "masks.png").is_file()


def test_score_with_a_protocol_shows_ours_beside_the_published(run: Run, folder: Path, tmp_path: Path) -> None:
    line = ("-m", folder / "m.parquet", "--protocol", folder / "mine.toml", "--resamples", "20", "-o", tmp_path / "s",
            "--no-charts")  # fmt: skip
    said = run("score", predictions(folder, "good"), *line)
    assert said.code == 0
    assert "of 1 published numbers 0 were met within 0.5, 1 differ" in said.out
    (row,) = [one for one in said.out.splitlines() if one.startswith("  NPR")]
    assert row.split()[1:3] == ["LaMa", "AUC"]
    assert row.endswith("differs")
    assert "control, shuffled labels, NPR" in said.out
    assert not (tmp_path / "s" / "figures").exists()
    poor = run("score", f"NPR={predictions(folder, 'poor')}", *line)
    assert "not comparable: other training: weights 'poor', published for good" in poor.out


def test_each_file_finds_the_manifest_it_was_made_of(run: Run, folder: Path, tmp_path: Path) -> None:
    other = drawn_set(tmp_path / "other", 3, seed=9)
    other = other.with_columns("other ids", {"id": [f"x{n}" for n in range(6)]})
    other.save(tmp_path / "other.parquet")
    both = (
        "-m",
        tmp_path / "other.parquet",
        "-m",
        folder / "m.parquet",
        "-p",
        folder / "mine.toml",
        "--resamples",
        "20",
    )
    assert run("score", predictions(folder, "good"), *both, "-o", tmp_path / "s", "--no-charts").code == 0
    bare = said(other, drawn_scores(other, 1, seed=0), weights="bare")
    bare.save(tmp_path / "bare.parquet")
    lost = run("score", tmp_path / "bare.parquet", *both, "-o", tmp_path / "s")
    assert lost.code == 2
    assert "none of the manifests is the one that was predicted" in lost.err


def test_missing_predictions_are_named_and_can_be_allowed(run: Run, folder: Path, tmp_path: Path) -> None:
    from fauxlens.evaluate.predictions import Predictions

    whole = read_predictions(predictions(folder, "good"))
    fewer = Predictions(whole.table.slice(6), whole.folder, whole.facts)
    fewer.save(whole.folder / "fewer.parquet")
    line = ("score", whole.folder / "fewer.parquet", "-m", folder / "m.parquet", "-o", tmp_path, "--resamples", "20",
            "-p", folder / "mine.toml", "--no-charts")  # fmt: skip
    refused = run(*line)
    assert refused.code == 2
    assert "6 of 48 pictures of the manifest have no prediction" in refused.err
    assert "p0.png, p1.png, p2.png, p3.png, p4.png and 1 more" in refused.err
    allowed = run(*line, "--partial", "--json")
    assert allowed.code == 1
    assert parsed(allowed.out, "score")["runs"][0]["left_out"] == {"no prediction": 6}


def test_compare_says_which_by_how_much_and_where(run: Run, folder: Path, tmp_path: Path) -> None:
    pair = (predictions(folder, "good"), predictions(folder, "poor"), "-m", folder / "m.parquet")
    said = run("compare", *pair, "--resamples", "50", "--least", "10")
    assert said.code == 0
    assert said.out.startswith("npr (good) is better than npr (poor): AUC")
    assert "method" in said.out
    told = parsed(run("compare", *pair, "--resamples", "50", "-o", tmp_path, "--json").out, "compare")
    assert told["whole"][0]["better"] == "first"
    assert told["left_out"]
    assert Path(told["page"]).name == "compare.html"
    assert Path(told["page"]).is_file()


def test_the_leaderboard_is_one_page_of_many_scores(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("good", "poor"):
        line = ("score", predictions(folder, name), "-m", folder / "m.parquet", "-o", tmp_path / name)
        assert run(*line, "--protocol", folder / "mine.toml", "--resamples", "30", "--no-charts").code == 0
    told = parsed(run("leaderboard", tmp_path / "good", tmp_path / "poor", "-o", tmp_path, "--json").out, "leaderboard")
    auc = next(one for one in told["boards"] if one["metric"] == "AUC")
    assert (auc["part"], [one["name"] for one in auc["places"]]) == ("mean", ["NPR", "npr (poor)"])
    assert auc["places"][0]["weights_sha256"].startswith("good")
    assert "tied with" in run("leaderboard", tmp_path / "good", "-o", tmp_path).out
    assert run("leaderboard", tmp_path / "nothing", "-o", tmp_path).code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("score", "nowhere.parquet", "-m", "M", "-o", "s"), "no such file of predictions"),
        (("score", "P", "-m", "nowhere.parquet", "-o", "s"), "no such manifest"),
        (("score", "P", "-m", "M", "-o", "s", "-p", "br-gen-tabel-3"), "Did you mean 'br-gen-table-3"),
        (("score", "P", "-m", "M", "-o", "s", "--minus", "nowhere"), "no score here"),
        (("score", "P", "-m", "M", "-m", "M", "-o", "s", "--root", "."), "--root is for one manifest"),
        (("compare", "P", "M", "-m", "M"), "no predictions of ours"),
        (("predict", "M", "-d", "nprr", "-o", "p.parquet"), "Did you mean 'npr'"),
        (("predict", "M", "-d", "npr", "--weights", "random", "-o", "p.csv"), "saved as .parquet"),
    ],
)
def test_wrong_use_is_told_with_the_next_step(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"P": predictions(folder, "good"), "M": folder / "m.parquet"}
    said = run(*(places.get(one, one) for one in arguments))
    assert said.code == 2
    assert told in said.err
    assert not list(tmp_path.iterdir())
