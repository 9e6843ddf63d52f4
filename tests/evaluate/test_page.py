"""The page of a score and the leaderboard: what stands first, what is said of each number, and the same every time."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fauxlens.core.errors import BadSetting
from fauxlens.core.files import to_json
from fauxlens.core.report import Report
from fauxlens.evaluate.leaderboard import boards_of, read_score
from fauxlens.evaluate.leaderboard import report_of as board_report
from fauxlens.evaluate.page import gallery_of, report_of
from fauxlens.evaluate.protocol import Part, Protocol, Published, Row
from fauxlens.evaluate.score import Entry, Scored, score
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.image import reliability
from fauxlens.report import write_report
from fauxlens.report.diagrams import reliability_diagram, roc, roc_points
from fauxlens.report.gallery import Exhibit, mask_gallery
from scored_toys import block, drawn_scores, drawn_set, said

PARTS = (Part(name="LaMa", fakes=("method=LaMa",)), Part(name="SDXL", fakes=("method=SDXL",)))


def table(**more: Any) -> Protocol:
    given: dict[str, Any] = {
        "name": "toy", "version": 3, "title": "A toy table", "paper": "A paper", "source": "made for this test",
        "layout": "", "data": "toys", "view": "matrix", "metrics": ("accuracy", "macro_f1"), "parts": PARTS,
        "rows": (Row(name="NPR", detector="npr", weights=("w",)), Row(name="CAT")),
        "published": (
            Published(row="NPR", part="LaMa", metric="accuracy", value=60.0),
            Published(row="CAT", part="SDXL", metric="accuracy", value=77.0),
        ),
    }  # fmt: skip
    return Protocol(**{**given, **more})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return drawn_set(tmp_path_factory.mktemp("page"), 24)


@pytest.fixture(scope="module")
def entries(manifest: Manifest) -> list[Entry]:
    good = [block(0, 4) if one.fake else block(0, 0) for one in manifest]
    poor = [block(2, 6)] * len(manifest)
    return [
        Entry(said(manifest, drawn_scores(manifest, 2, seed=1), masks=good), manifest),
        Entry(said(manifest, drawn_scores(manifest, 0, seed=2), masks=poor, detector="cat", random=True,
                   weights="random", weights_sha256=None), manifest),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def scored(entries: list[Entry]) -> Scored:
    return score(table(), entries, resamples=60)


@pytest.fixture(scope="module")
def report(scored: Scored) -> Report:
    return report_of(scored, gallery=2)


def test_false_alarms_come_first_and_into_the_verdict(scored: Scored, report: Report) -> None:
    assert report.sections[0].title == "False alarms by sort of real picture"
    alarms = report.sections[0].tables[0]
    assert [row[:3] for row in alarms.rows[:3]] == [
        ("NPR", "all reals", "nothing"), ("NPR", "coco", "nothing"), ("NPR", "places", "nothing"),
    ]  # fmt: skip
    reals = scored.material("NPR", "LaMa")
    assert reals is not None
    wrong = int((reals.probability[~reals.fake] > 0.5).sum())
    assert alarms.rows[0][3] == pytest.approx(100 * wrong / 24)
    blind = "Random weights in cat (random), whose numbers mean nothing; "
    assert report.verdict.startswith(f"{blind}NPR called {wrong} of 24 real pictures fake; cat (random) called")
    assert "of 1 published numbers" in report.verdict


def test_many_detectors_are_told_in_one_sentence(manifest: Manifest) -> None:
    given = [
        Entry(said(manifest, [chance] * 48, weights=str(n)), manifest) for n, chance in enumerate((0.1, 0.6, 0.4, 0.9))
    ]
    found = score(table(metrics=("accuracy",)), given, resamples=20)
    verdict = report_of(found, held=(), drawings=False).verdict
    assert verdict.startswith("4 detectors called 0.0% to 100.0% of the real pictures fake; ")


def test_the_table_holds_ours_the_published_and_the_difference(scored: Scored, report: Report) -> None:
    wide = next(one for one in report.tables() if one.name == "table-accuracy")
    assert [one.name for one in wide.columns] == ["row", "which", "LaMa", "SDXL", "mean"]
    rows = {(row[0], row[1].split(" (")[0]): row[2:] for row in wide.rows}
    ours = scored.cell("NPR", "LaMa", "accuracy")
    assert rows["NPR", "ours"][0] == ours.estimate.value
    assert rows["NPR", "interval, half"][0] == ours.estimate.half_width
    assert rows["NPR", "published"] == (60.0, None, None)
    assert rows["NPR", "difference"][0] == pytest.approx(ours.estimate.value - 60)
    # A row of the paper for which there is nothing of ours stands there all the same.
    assert rows["CAT", "published"] == (None, 77.0, None)
    assert ("cat (random)", "published") not in rows
    assert "(1) " in (wide.note or "")
    assert "random weights" in (wide.note or "")


def test_every_cell_has_unit_direction_counts_and_verdict(scored: Scored, report: Report) -> None:
    cells = next(one for one in report.tables() if one.name == "cells")
    assert len(cells.rows) == len(scored.cells) == 12
    first = dict(zip([one.name for one in cells.columns], cells.rows[0], strict=True))
    assert (first["metric"], first["unit"], first["reals"], first["fakes"], first["tolerance"]) == (
        "accuracy ↑", "%", 24, 12, 0.5,
    )  # fmt: skip
    assert first["verdict"].startswith("differs")
    assert first["low"] <= first["ours"] <= first["high"]
    random = [row for row in cells.rows if row[0] == "cat (random)"]
    assert all(row[-1].startswith("not published (") for row in random)


def test_charts_controls_and_masks_are_there(report: Report) -> None:
    figures = {figure.name: figure for section in report.sections for figure in section.figures}
    assert {"matrix-accuracy", "matrix-macro-f1", "roc", "reliability-1-npr", "reliability-2-cat-random", "masks",
            "false-alarms-1-npr"} <= set(figures)  # fmt: skip
    assert "3 rows (NPR, cat (random), NPR, published)" in figures["matrix-accuracy"].alternative
    assert "With 24 reals" in (figures["roc"].note or "")
    controls = next(one for one in report.tables() if one.name == "controls")
    assert [row[0] for row in controls.rows] == [
        "metadata only", "shuffled labels", "processed reals", "shuffled labels", "processed reals",
    ]  # fmt: skip
    assert "cat (random) has random weights: its numbers mean nothing." in report.sections[-1].text


def test_it_is_written_with_every_table_and_chart(report: Report, tmp_path: Path) -> None:
    page = write_report(report.with_provenance({"again": "fauxlens score"}), tmp_path, name="score")
    assert page.name == "score.html"
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"score.md", "score.json", "tables/cells.csv", "tables/table-accuracy.tex", "figures/roc.svg",
            "figures/roc.png", "figures/masks.png"} <= names  # fmt: skip
    told = read_score(tmp_path)
    assert told["protocol"]["name"] == "toy"
    assert {one["verdict"] for one in told["cells"]} == {"differs", "not published"}
    assert told["runs"][1]["random"] is True


def test_the_gallery_is_drawn_by_hash_and_not_chosen(scored: Scored) -> None:
    three, two = gallery_of(scored, 3), gallery_of(scored, 2)
    assert [one.caption for one in three][:2] == [one.caption for one in two]
    assert three[0].caption != gallery_of(scored, 24)[-1].caption
    assert set(three[0].marked) == {"NPR", "cat (random)"}
    assert three[0].truth[:, :4].all()
    assert not three[0].truth[:, 4:].any()
    assert gallery_of(scored, 0) == []


def test_a_gallery_protocol_shows_some_of_each_part(entries: list[Entry]) -> None:
    found = score(table(view="gallery", metrics=("macro_f1",), published=()), entries, resamples=20)
    methods = ["LaMa" in one.caption for one in gallery_of(found, 6)]
    assert sum(methods) == 3


def test_sweeps_are_curves_over_their_level(manifest: Manifest, tmp_path: Path) -> None:
    copies = [
        replace(manifest, name=f"q{q}", facts={"degraded_by": f"jpeg:quality={q}", "chain": f"jpeg:quality={q}"})
        for q in (30, 65)
    ]
    parts = tuple(Part(name=f"JPEG {q}", degrade=f"jpeg:quality={q}", level=float(q)) for q in (65, 30))
    sweep = table(view="sweep", parts=parts, metrics=("accuracy",), axis="JPEG quality", published=())
    given = [Entry(said(one, drawn_scores(one, gap, seed=5)), one) for one, gap in zip(copies, (1, 3), strict=True)]
    found = score(sweep, given, resamples=30)
    figures = [figure for section in report_of(found, held=()).sections for figure in section.figures]
    (curve,) = [one for one in figures if one.name == "sweep-accuracy"]
    assert "over JPEG quality" in curve.alternative
    assert not [one for one in figures if one.name.startswith("matrix")]
    sixty, thirty = (found.cell("NPR", f"JPEG {q}", "accuracy").estimate.value for q in (65, 30))
    assert sixty > thirty
    # Of copies alone the verdict tells the worst.
    assert "real pictures fake after jpeg:quality=30" in report_of(found, held=(), drawings=False).verdict


def test_bins_stand_at_their_upper_end(entries: list[Entry]) -> None:
    parts = (Part(name="<30 %", area=(0.0, 0.3)), Part(name="30-60 %", area=(0.3, 0.6)))
    found = score(table(view="bins", parts=parts, metrics=("macro_f1",), published=()), entries, resamples=20)
    # All masks cover a half: the first bin holds reals alone.
    assert found.cell("NPR", "<30 %", "macro_f1").verdict == "not measured"
    assert found.cell("NPR", "30-60 %", "macro_f1").fakes == 24
    names = [one.name for part in report_of(found, held=(), gallery=0).sections for one in part.figures]
    assert "sweep-macro-f1" in names


def test_one_score_minus_another(entries: list[Entry], scored: Scored) -> None:
    before = json.loads(to_json(dict(report_of(scored, held=(), drawings=False).facts)))
    better = [Entry(said(entries[0].manifest, drawn_scores(entries[0].manifest, 6, seed=1)), entries[0].manifest)]
    after = score(table(metrics=("accuracy",)), better, resamples=30)
    report = report_of(after, minus=before, held=(), drawings=False)
    (difference,) = [one for one in report.tables() if one.name == "difference"]
    wanted = (
        after.cell("NPR", "LaMa", "accuracy").estimate.value - scored.cell("NPR", "LaMa", "accuracy").estimate.value
    )
    assert difference.rows[0][:3] == ("NPR", "LaMa", "accuracy")
    assert difference.rows[0][3] == pytest.approx(wanted)
    assert difference.rows[0][4] == 0  # the same published number
    with pytest.raises(BadSetting, match="no cell in common"):
        report_of(after, minus={**before, "cells": []}, held=())


def summary(row: str, value: float, half: float | None, **more: Any) -> dict[str, Any]:
    ends = [None, None] if half is None else [value - half, value + half]
    run = {"name": row, "weights": "w", "weights_sha256": "ab" * 32, "random": False, "version": "0.1"}
    cell = {"row": row, "part": "mean", "metric": "accuracy", "value": value, "interval": ends, "pictures": 100,
            "published": None, "verdict": "not published", **more}  # fmt: skip
    other = {**cell, "part": "LaMa", "value": 1.0}
    return {
        "protocol": {"name": "toy", "version": 3, "title": "A toy", "percent": True, "parts": ["LaMa", "SDXL"]},
        "runs": [run], "cells": [other, cell],
        "false_alarms": [{"run": row, "sort": "all reals", "processed": None, "rate": 0.25}],
    }  # fmt: skip


def test_the_leaderboard_sorts_and_ties_what_overlaps() -> None:
    given = {"a": summary("A", 70, 2), "b": summary("B", 90, 3), "c": summary("C", 86, 3), "d": summary("D", 71, 0.5)}
    (board,) = boards_of(given)
    assert (board.protocol, board.part, board.metric, board.better) == ("toy (version 3)", "mean", "accuracy", "higher")
    assert [(one.name, one.rank, one.ties) for one in board.places] == [
        ("B", 1, ("C",)), ("C", 1, ("B",)), ("D", 3, ("A",)), ("A", 3, ("D",)),
    ]  # fmt: skip
    report = board_report(given)
    assert "First place is shared by 2, whose intervals overlap: B, C." in report.verdict
    row = dict(zip([one.name for one in report.tables()[0].columns], report.tables()[0].rows[0], strict=True))
    assert (row["reals called fake"], row["sha256"], row["version"]) == (25.0, "abababababab", "0.1")
    alone = boards_of({"a": summary("A", 70, 2), "b": summary("B", 75, 2)})[0]
    assert [(one.rank, one.ties) for one in alone.places] == [(1, ()), (2, ())]


def test_without_an_interval_nobody_is_ahead_and_lower_can_be_better() -> None:
    (board,) = boards_of({"a": summary("A", 70, None), "b": summary("B", 90, 3)})
    assert [(one.name, one.rank) for one in board.places] == [("B", 1), ("A", 1)]
    (board,) = boards_of({"a": summary("A", 2, 1, metric="Brier"), "b": summary("B", 9, 1, metric="Brier")})
    assert [(one.name, one.rank) for one in board.places] == [("A", 1), ("B", 2)]
    assert board.better == "lower"
    (board,) = boards_of({"a": summary("A", 2, 1, metric="Brier"), "b": summary("B", 3, 1, metric="Brier")})
    assert [(one.rank, one.ties) for one in board.places] == [(1, ("B",)), (1, ("A",))]
    (board,) = boards_of({"x": summary("A", 70, 2), "y": summary("A", 60, 2)})
    assert [one.name for one in board.places] == ["A (x)", "A (y)"]


def test_a_folder_without_a_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no score here"):
        read_score(tmp_path)
    (tmp_path / "score.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadSetting, match="not a score of ours"):
        read_score(tmp_path)
    (tmp_path / "score.json").write_text("<html>", encoding="utf-8")
    with pytest.raises(BadSetting, match="not a score of ours"):
        read_score(tmp_path)
    with pytest.raises(BadSetting, match="none of these scores has a number"):
        board_report({"a": {**summary("A", 1, 1), "cells": []}})


FAKE, SCORE = np.array([True, True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.4, 0.1])


def test_roc_points_keep_ties_together() -> None:
    x, y = roc_points(FAKE, SCORE)
    assert x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert y.tolist() == [0, 1 / 3, 2 / 3, 1, 1]
    rng = np.random.default_rng(0)
    fake, score = rng.random(20_000) < 0.5, rng.normal(size=20_000)
    x, y = roc_points(fake, score)
    assert len(x) <= 502
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert (np.diff(x) >= 0).all()
    assert (x <= 0.1).sum() > 200


def test_diagrams_are_the_same_bytes_and_have_words() -> None:
    for made in (
        lambda: roc("r", "ROC", {"one": (FAKE, SCORE), "two": (FAKE, -SCORE)}),
        lambda: reliability_diagram("d", "Reliability", reliability(FAKE, SCORE, bins=5)),
    ):
        figure = made()
        assert figure == made()
        assert "one: 33% at 1 %" in figure.alternative or "calibration error" in figure.alternative
        assert figure.raster is not None
        with Image.open(BytesIO(figure.raster)) as picture:
            assert picture.width >= 800
    assert "No pictures" in reliability_diagram("d", "R", reliability([], [])).alternative


def test_the_gallery_shows_truth_white_and_scores_in_colour() -> None:
    truth = block(0, 4) > 0.5
    one = Exhibit("a.png", np.full((8, 8, 3), 90, np.uint8), truth, {"sure": block(0, 4, high=1, low=0), "none": None})
    with Image.open(BytesIO(mask_gallery("g", "Gallery", [one]).data)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    row = pixels[80]
    assert (row[30] == 90).all()  # the picture
    assert (row[250] == 255).all()  # the truth, left half
    assert (row[350] == 0).all()
    bright, dark = row[450].astype(int), row[560].astype(int)
    assert bright[0] > 200 > bright[2]  # cividis ends yellow
    assert dark[2] > dark[0]  # and begins blue
    assert "a.png" in mask_gallery("g", "Gallery", [one]).alternative
