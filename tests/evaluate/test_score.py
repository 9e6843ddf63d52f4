"""Cells worked by hand, every rule of the verdict, and every input that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fauxlens.core.errors import BadPredictions, BadSetting, UnknownName
from fauxlens.evaluate.calibrate import platt
from fauxlens.evaluate.controls import ALL_REALS, controls, false_alarms
from fauxlens.evaluate.masks import fake_shares, look_at_masks
from fauxlens.evaluate.numbers import number_of
from fauxlens.evaluate.predictions import Predictions, judged
from fauxlens.evaluate.protocol import Part, Protocol, Published, Row
from fauxlens.evaluate.score import Entry, Scored, plain_protocol, score
from fauxlens.images.degrade import read_chain
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics import image, pixel
from fauxlens.metrics.tally import PixelTally
from scored_toys import block, drawn_scores, drawn_set, said, toy_set

# Reals of two sources, fakes of two generators: who is told right is written beside it.
ROWS = [
    {"label": "real", "source": "coco", "origin": "a"},  # 0.1 right
    {"label": "real", "source": "coco", "origin": "b"},  # 0.6 wrong
    {"label": "real", "source": "places", "origin": "c"},  # 0.3 right
    {"label": "real", "source": "places", "origin": "d"},  # 0.2 right
    {"label": "generated", "generator": "adm", "origin": "e"},  # 0.9 right
    {"label": "generated", "generator": "adm", "origin": "f"},  # 0.7 right
    {"label": "generated", "generator": "glide", "origin": "g"},  # 0.4 wrong
    {"label": "generated", "generator": "glide", "origin": "h"},  # 0.8 right
]
CHANCES = [0.1, 0.6, 0.3, 0.2, 0.9, 0.7, 0.4, 0.8]


def protocol(**more: Any) -> Protocol:
    given: dict[str, Any] = {
        "name": "toy",
        "version": 1,
        "title": "A toy",
        "paper": "none",
        "source": "made for this test",
        "layout": "",
        "data": "toys",
        "view": "table",
        "metrics": ("accuracy", "AUC"),
        "parts": (Part(name="ADM", fakes=("generator=adm",)), Part(name="GLIDE", fakes=("generator=glide",))),
        "rows": (Row(name="NPR", detector="npr", weights=("w",), training="its own"),),
    }
    return Protocol(**{**given, **more})


def published(part: str, value: float, row: str = "NPR", metric: str = "accuracy") -> Published:
    return Published(row=row, part=part, metric=metric, value=value)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return toy_set(tmp_path_factory.mktemp("toy"), ROWS)


def scored(manifest: Manifest, table: Protocol, **facts: Any) -> Scored:
    return score(table, [Entry(said(manifest, CHANCES, **facts), manifest)], resamples=50)


def test_cells_are_what_one_works_out_by_hand(manifest: Manifest) -> None:
    found = scored(manifest, protocol())
    # ADM: 3 of 4 reals and 2 of 2 fakes; both fakes stand above all four reals. GLIDE: 3 and 1; 0.4 loses to 0.6 alone.
    values = {(one.part, one.metric): one.estimate.value for one in found.cells}
    assert values == {
        ("ADM", "accuracy"): pytest.approx(100 * 5 / 6),
        ("GLIDE", "accuracy"): pytest.approx(100 * 4 / 6),
        ("mean", "accuracy"): pytest.approx(75),
        ("ADM", "AUC"): pytest.approx(100),
        ("GLIDE", "AUC"): pytest.approx(100 * 7 / 8),
        ("mean", "AUC"): pytest.approx(93.75),
    }
    cell = found.cell("NPR", "GLIDE", "accuracy")
    assert (cell.reals, cell.fakes, cell.pictures, cell.estimate.groups) == (4, 2, 6, 6)
    assert 0 <= cell.estimate.low <= cell.estimate.value <= cell.estimate.high <= 100
    assert cell.verdict == "not published"
    with pytest.raises(BadSetting, match="no such cell"):
        found.cell("NPR", "GLIDE", "F1")


def test_equal_scores_win_half(manifest: Manifest) -> None:
    # ADM's fakes: one stands above all four reals, one is level with the real at 0.6 and above the other three.
    chances = [*CHANCES[:4], 0.9, 0.6, *CHANCES[6:]]
    found = score(protocol(), [Entry(said(manifest, chances), manifest)], resamples=20)
    assert found.cell("NPR", "ADM", "AUC").estimate.value == pytest.approx(100 * (4 + 3.5) / 8)


def test_shares_stay_shares_where_the_protocol_prints_shares(manifest: Manifest) -> None:
    found = scored(manifest, protocol(percent=False, metrics=("accuracy", "seconds")))
    assert found.cell("NPR", "ADM", "accuracy").estimate.value == pytest.approx(5 / 6)
    # Seconds are 0.5, 1.5, ... in the order of the rows; of rows 0 to 5 the middle is 3. No per cent is made of them.
    assert scored(manifest, protocol(metrics=("seconds",))).cell("NPR", "ADM", "seconds").estimate.value == 3.0


def test_the_threshold_is_the_protocols(manifest: Manifest) -> None:
    found = scored(manifest, protocol(threshold=0.65))
    # Now the real at 0.6 passes, and of GLIDE's fakes still one is found.
    assert found.cell("NPR", "ADM", "accuracy").estimate.value == 100
    assert found.cell("NPR", "GLIDE", "accuracy").estimate.value == pytest.approx(100 * 5 / 6)


def test_conditions_hold_for_all_for_reals_or_for_fakes(manifest: Manifest) -> None:
    parts = (
        Part(name="places", reals=("source=places",)),
        Part(name="glide only", where=("generator=glide",)),
        Part(name="none", where=("generator=dalle",)),
    )
    found = scored(manifest, protocol(parts=parts, metrics=("accuracy", "Gen. R@50"), mean=False))
    cell = found.cell("NPR", "places", "accuracy")
    assert (cell.reals, cell.fakes) == (2, 4)
    assert cell.estimate.value == pytest.approx(100 * 5 / 6)
    # Conditions of `where` are on reals, too, and a real has no generator: one class is left.
    cell = found.cell("NPR", "glide only", "Gen. R@50")
    assert (cell.reals, cell.fakes, cell.estimate.value) == (0, 2, 50)
    absent = found.cell("NPR", "none", "accuracy")
    assert (absent.verdict, absent.pictures) == ("not measured", 0)
    assert "no predictions" in absent.reasons[0]
    everywhere = scored(manifest, protocol(where=("source!=coco",), parts=(Part(name="x"),)))
    assert everywhere.cell("NPR", "x", "accuracy").reals == 2


def test_one_class_alone_is_nan_with_the_reason(manifest: Manifest) -> None:
    parts = (Part(name="reals", fakes=("generator=none",)), Part(name="fakes", reals=("source=none",)))
    found = scored(manifest, protocol(parts=parts, metrics=("AUC", "accuracy"), published=(published("reals", 75),)))
    for part, why in (("reals", "no fake among these 4"), ("fakes", "no real picture among these 4")):
        cell = found.cell("NPR", part, "AUC")
        assert np.isnan(cell.estimate.value)
        assert cell.verdict == "not measured"
        assert why in cell.reasons[0]
    assert found.cell("NPR", "reals", "accuracy").verdict == "pass"  # 3 of 4 reals
    mean = found.cell("NPR", "mean", "AUC")
    assert mean.verdict == "not measured"
    assert "0 have a number" in mean.reasons[0]


@pytest.mark.parametrize(
    ("value", "tolerance", "verdict"),
    [
        (100 * 5 / 6, 0.5, "pass"),
        (100 * 5 / 6 + 0.5, 0.5, "pass"),
        (100 * 5 / 6 - 0.5, 0.5, "pass"),
        (100 * 5 / 6 + 0.51, 0.5, "differs"),
        (100 * 5 / 6 - 0.51, 0.5, "differs"),
        (90.0, 10.0, "pass"),
    ],
)
def test_within_the_tolerance_it_passes(manifest: Manifest, value: float, tolerance: float, verdict: str) -> None:
    cell = scored(manifest, protocol(published=(published("ADM", value),), tolerance=tolerance)).cell(
        "NPR", "ADM", "accuracy"
    )
    assert cell.verdict == verdict
    assert cell.published == value
    assert cell.difference == pytest.approx(100 * 5 / 6 - value)


def test_a_difference_within_the_interval_is_said_to_be(manifest: Manifest) -> None:
    table = protocol(published=(published("ADM", 90.0), published("GLIDE", 7.0)))
    found = scored(manifest, table)
    near, far = (found.cell("NPR", part, "accuracy") for part in ("ADM", "GLIDE"))
    assert near.verdict == far.verdict == "differs"
    assert "lies in our interval" in near.reasons[0]
    assert far.reasons == ()


def test_the_mean_is_held_against_the_published_mean(manifest: Manifest) -> None:
    assert scored(manifest, protocol(published=(published("mean", 75.2),))).cell("NPR", "mean", "accuracy").verdict == (
        "pass"
    )
    found = scored(manifest, protocol(mean=False))
    assert not [one for one in found.cells if one.part == "mean"]


def verdict_of(manifest: Manifest, table: Protocol, name: str = "", **facts: Any) -> tuple[str, str, tuple[str, ...]]:
    found = score(table, [Entry(said(manifest, CHANCES, **facts), manifest, name)], resamples=20)
    cell = found.cell(found.runs[0].name, "ADM", "accuracy")
    return found.runs[0].name, cell.verdict, cell.reasons


def test_random_weights_are_never_compared(manifest: Manifest) -> None:
    table = protocol(published=(published("ADM", 100 * 5 / 6),))
    name, verdict, reasons = verdict_of(manifest, table, weights="random", random=True)
    assert (name, verdict) == ("npr (random)", "not comparable")
    assert reasons == ("random weights: nothing was ever learnt",)
    name, verdict, _ = verdict_of(manifest, table, name="NPR", weights="random", random=True)
    assert (name, verdict) == ("NPR", "not comparable")


def test_other_training_is_not_compared(manifest: Manifest) -> None:
    table = protocol(published=(published("ADM", 100 * 5 / 6),))
    name, verdict, reasons = verdict_of(manifest, table, weights="mine")
    assert (name, verdict) == ("npr (mine)", "not comparable")
    assert reasons == ("other training: weights 'mine', published for its own",)
    assert verdict_of(manifest, table, weights="w")[1] == "pass"


def test_a_row_without_weights_is_nobodys(manifest: Manifest) -> None:
    table = protocol(rows=(Row(name="NPR", detector="npr"),), published=(published("ADM", 100 * 5 / 6),))
    assert verdict_of(manifest, table, weights="mine")[:2] == ("npr (mine)", "not comparable")
    assert verdict_of(manifest, table, "NPR", weights="mine")[:2] == ("NPR", "not comparable")


def test_of_several_trainings_the_name_of_the_file_or_the_user_says_which(manifest: Manifest) -> None:
    rows = (
        Row(name="from SD", detector="npr", weights=("toy-sd",)),
        Row(name="from ADM", detector="npr", weights=("toy-adm",)),
        Row(name="CAT", detector="cat", weights=("toy-adm",)),
    )
    table = protocol(rows=rows, published=tuple(published("ADM", 100 * 5 / 6, one.name) for one in rows))
    assert verdict_of(manifest, table, weights="mine")[:2] == ("npr (mine)", "not published")
    assert verdict_of(manifest, table, weights="toy-adm.safetensors")[:2] == ("from ADM", "pass")
    assert verdict_of(manifest, table, "from SD", weights="toy-sd")[:2] == ("from SD", "pass")
    _, verdict, reasons = verdict_of(manifest, table, "from SD", weights="mine")
    assert (verdict, reasons) == ("not comparable", ("other training: weights 'mine', published for toy-sd",))
    _, verdict, reasons = verdict_of(manifest, table, "CAT", weights="toy-adm")
    assert verdict == "not comparable"
    assert reasons == ("another detector: npr, published for cat",)


def test_a_setting_that_a_row_names_has_to_be_the_one(manifest: Manifest) -> None:
    rows = (Row(name="small", detector="npr", weights=("w",), setting="nano"),)
    table = protocol(rows=rows, published=(published("ADM", 100 * 5 / 6, "small"),))
    assert verdict_of(manifest, table, setting="nano")[:2] == ("small", "pass")
    assert verdict_of(manifest, table, setting="large")[:2] == ("npr (w)", "not published")


def test_other_data_is_not_compared(tmp_path: Path) -> None:
    table = protocol(published=(published("ADM", 100 * 5 / 6), published("GLIDE", 100 * 4 / 6)), layout="genimage")
    other = toy_set(tmp_path / "a", ROWS, layout="folder")
    _, verdict, reasons = verdict_of(other, table)
    assert verdict == "not comparable"
    assert reasons == ("other data: scanned as 'folder', the protocol is about 'genimage'",)
    counts = [
        {"where": {"generator": "adm"}, "count": 2, "source": "x"},
        {"where": {"generator": "glide"}, "count": 6000, "source": "x"},
    ]
    fewer = toy_set(tmp_path / "b", ROWS, layout="genimage", published=counts)
    found = score(table, [Entry(said(fewer, CHANCES), fewer)], resamples=20)
    # Each count speaks of the parts that hold such rows, and of no other.
    assert found.cell("NPR", "ADM", "accuracy").verdict == "pass"
    assert found.cell("NPR", "GLIDE", "accuracy").verdict == "not comparable"
    assert found.cell("NPR", "GLIDE", "accuracy").reasons == ("other data: 2 pictures where 6,000 are published",)
    assert "other data: 2 pictures where 6,000 are published" in found.cell("NPR", "mean", "accuracy").reasons


def test_a_partial_score_has_to_be_asked_for_and_is_not_compared(manifest: Manifest) -> None:
    whole = said(manifest, CHANCES)
    fewer = Predictions(whole.table.slice(1), whole.folder, whole.facts)
    table = protocol(published=(published("ADM", 80.0),))
    with pytest.raises(BadPredictions, match=r"1 of 8 pictures .* no prediction.*p0\.png"):
        score(table, [Entry(fewer, manifest)])
    found = score(table, [Entry(fewer, manifest)], partial=True, resamples=20)
    cell = found.cell("NPR", "ADM", "accuracy")
    assert (cell.estimate.value, cell.verdict) == (80.0, "not comparable")
    assert cell.reasons == ("partial: 1 pictures have no prediction",)
    assert found.runs[0].left_out == {"no prediction": 1}


def test_pictures_that_could_not_be_predicted_count_as_partial(manifest: Manifest) -> None:
    whole = said(manifest, CHANCES)
    status = pa.array(["unreadable: truncated", *["ok"] * 7])
    torn = Predictions(whole.table.set_column(8, "status", status), whole.folder, whole.facts)
    cell = score(protocol(published=(published("ADM", 80.0),)), [Entry(torn, manifest)], resamples=20).cell(
        "NPR", "ADM", "accuracy"
    )
    assert (cell.verdict, cell.reasons) == (
        "not comparable", ("partial: 1 pictures could not be predicted (unreadable)",),
    )  # fmt: skip


def degraded(root: Path, name: str, chain: str) -> Manifest:
    return toy_set(root, ROWS, layout="", degraded_by=name, chain=chain, seed=0)


def test_a_degraded_copy_serves_the_parts_that_ask_for_it(manifest: Manifest, tmp_path: Path) -> None:
    name = "genimage-degraded/1:jpeg-65"
    copy = degraded(tmp_path, name, str(read_chain(name)))
    parts = (Part(name="as it is"), Part(name="JPEG 65", degrade=name), Part(name="JPEG 30", degrade="jpeg:quality=30"))
    table = protocol(parts=parts, published=(published("JPEG 65", 50), published("as it is", 75)))
    worse = said(copy, [0.6] * 8)
    found = score(table, [Entry(said(manifest, CHANCES), manifest), Entry(worse, copy)], resamples=20)
    assert [run.name for run in found.runs] == ["NPR"]
    values = [found.cell("NPR", part.name, "accuracy") for part in parts]
    assert [one.estimate.value for one in values[:2]] == [75, 50]
    assert [one.verdict for one in values] == ["pass", "pass", "not measured"]
    assert "degraded by jpeg:quality=30" in values[2].reasons[0]
    # The same chain under another name is the same chain; another chain under this name is not.
    other = degraded(tmp_path / "b", "my own", str(read_chain(name)))
    again = score(table, [Entry(said(other, [0.6] * 8), other)], resamples=20)
    assert again.cell("NPR", "JPEG 65", "accuracy").verdict == "pass"
    false = degraded(tmp_path / "c", name, "jpeg:quality=10")
    wrong = score(table, [Entry(said(false, [0.6] * 8), false)], resamples=20).cell("NPR", "JPEG 65", "accuracy")
    assert wrong.verdict == "not comparable"
    assert wrong.reasons[0].startswith("degraded differently: by 'jpeg:quality=10'")


def test_false_alarms_by_source_and_by_chain(manifest: Manifest, tmp_path: Path) -> None:
    copy = degraded(tmp_path, "jpeg", "jpeg:quality=30")
    entries = [Entry(said(manifest, CHANCES), manifest), Entry(said(copy, [0.6, 0.6, 0.6, 0.2, *[0.9] * 4]), copy)]
    found = score(protocol(), entries, resamples=50)
    alarms = false_alarms(found)
    told = {(one.sort, one.processed): (one.called_fake, one.reals, one.rate.value) for one in alarms}
    assert told == {
        (ALL_REALS, ""): (1, 4, 0.25),
        ("coco", ""): (1, 2, 0.5),
        ("places", ""): (0, 2, 0.0),
        (ALL_REALS, "jpeg"): (3, 4, 0.75),
        ("coco", "jpeg"): (2, 2, 1.0),
        ("places", "jpeg"): (1, 2, 0.5),
    }
    processed = next(one for one in controls(found, alarms) if one.name == "processed reals")
    assert "75.0% of 4 reals are called fake (after jpeg), 25.0% as they are" in processed.sentence


def test_controls_say_what_the_numbers_are_worth(tmp_path: Path) -> None:
    clean = drawn_set(tmp_path, 40)
    entry = Entry(said(clean, drawn_scores(clean, 2, seed=1)), clean)
    table = protocol(parts=(Part(name="all"),))
    found = score(table, [entry], resamples=50)
    held = {one.name: one for one in controls(found, false_alarms(found))}
    assert held["metadata only"].holds is True
    assert held["shuffled labels"].holds is True
    assert held["shuffled labels"].estimate is not None
    assert held["processed reals"].holds is None
    assert "not measured" in held["processed reals"].sentence
    # Fakes that are all larger files: the baseline finds them without looking.
    sizes = [sample.bytes + 5000 * sample.fake for sample in clean]
    leaky = clean.with_columns("planted", {"bytes": sizes})
    found = score(table, [Entry(entry.predictions, leaky)], resamples=50)
    told = controls(found, false_alarms(found))[0]
    assert told.holds is False
    assert told.estimate is not None
    assert told.estimate.value > 0.95


def test_runs_are_told_apart_by_their_weights(manifest: Manifest) -> None:
    entries = [Entry(said(manifest, CHANCES, weights_sha256=one * 32), manifest) for one in ("ab", "cd")]
    found = score(protocol(), entries, resamples=20)
    assert [run.name for run in found.runs] == ["NPR", "NPR [cdcdcdcd]"]
    with pytest.raises(BadSetting, match="two files of predictions for one part: ADM"):
        score(protocol(), [entries[0], entries[0]], resamples=20)


def test_what_cannot_be_scored_is_refused(manifest: Manifest) -> None:
    with pytest.raises(BadSetting, match="nothing to score"):
        score(protocol(), [])
    with pytest.raises(UnknownName, match="no metric called 'AUK'"):
        scored(manifest, protocol(metrics=("AUK",)))
    with pytest.raises(BadPredictions, match=r"no part of this protocol has a picture here.*generator=dalle"):
        scored(manifest, protocol(parts=(Part(name="x", where=("generator=dalle",)),)))
    twice = said(manifest, CHANCES)
    twice = Predictions(pa.concat_tables([twice.table, twice.table.slice(0, 1)]), twice.folder, twice.facts)
    with pytest.raises(BadPredictions, match="predicted twice"):
        score(protocol(), [Entry(twice, manifest)])
    hole = said(manifest, [None, *CHANCES[1:]])
    with pytest.raises(BadPredictions, match="1 scores are not numbers"):
        score(protocol(), [Entry(hole, manifest)])


# Masks: two forgeries of half and of a quarter of the frame, one real, one generated all over.
MASKED = [
    {"label": "edited", "mask": block(0, 4) > 0.5, "method": "LaMa", "origin": "a"},
    {"label": "edited", "mask": block(0, 2) > 0.5, "method": "SDXL", "origin": "b"},
    {"label": "real", "origin": "c"},
    {"label": "generated", "generator": "sd", "origin": "d"},
]
MARKED = [block(0, 2), block(0, 4), block(0, 1), block(0, 8)]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return toy_set(tmp_path_factory.mktemp("masked"), MASKED)


def pixel_table(*metrics: str, **more: Any) -> Protocol:
    parts = (Part(name="all"), Part(name="edited", where=("label=edited",)))
    return protocol(metrics=metrics, parts=parts, percent=False, mean=False, **more)


def test_masks_meet_their_truth(masked: Manifest) -> None:
    names = ("macro_f1", "macro IoU", "pooled_f1", "macro_auc", "false_alarm_area", "clean_authentic",
             "pixel F1 (published)", "macro_f1_best_of_set", "pooled_auc", "pictures")  # fmt: skip
    found = score(pixel_table(*names), [Entry(said(masked, [0.5] * 4, masks=MARKED), masked)], resamples=50)

    def value(part: str, name: str) -> float:
        return found.cell("NPR", part, name).estimate.value

    # Half marked of half: 2/3. A quarter marked as half: 2/3. Generated: all of it found, 1.
    assert value("edited", "macro_f1") == pytest.approx(2 / 3)
    assert value("all", "macro_f1") == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert value("all", "macro IoU") == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    # In the published way the real one counts as 0.
    assert value("all", "pixel F1 (published)") == pytest.approx((2 / 3 + 2 / 3 + 1 + 0) / 4)
    # Hits 2 + 2 + 8 columns; 2 called too much in the second and 1 in the real, 2 missed in the first.
    assert value("all", "pooled_f1") == pytest.approx(24 / (24 + 3 + 2))
    assert value("all", "false_alarm_area") == pytest.approx(1 / 8)
    assert value("all", "clean_authentic") == 0
    assert value("all", "pictures") == 4
    # Numbers of the set are those of one tally over the same masks, and have no interval.
    tally = PixelTally()
    for row, mark in zip(MASKED[:2], MARKED[:2], strict=True):
        tally.add(row["mask"], mark)
    wanted = tally.scores()
    assert value("edited", "macro_f1_best_of_set") == wanted.macro_f1_best_of_set
    assert value("edited", "pooled_auc") == pytest.approx(wanted.pooled_auc)
    assert value("edited", "macro_auc") == pytest.approx(wanted.macro_auc)
    assert np.isnan(found.cell("NPR", "all", "pooled_auc").estimate.low)
    assert "none is authentic" in found.cell("NPR", "edited", "false_alarm_area").reasons[0]


def test_the_numbers_of_masks_are_those_of_the_pixel_functions(masked: Manifest) -> None:
    seen = judged(said(masked, [0.5] * 4, masks=MARKED), masked)
    found = look_at_masks(seen, np.ones((4, 1), bool), more=["pixel IoU (published)"])
    for row in (0, 1):
        mark = np.round(MARKED[row] * 255) / 255
        assert found.values["auc"][row] == pytest.approx(pixel.auc(MASKED[row]["mask"], mark))
        assert found.values["pixel IoU (published)"][row] == pytest.approx(
            pixel.iou_published(MASKED[row]["mask"], mark)
        )
    assert fake_shares(masked).tolist() == [0.5, 0.25, 0.0, 1.0]


def test_bins_by_area_keep_the_forgeries_of_that_size(masked: Manifest) -> None:
    parts = (
        Part(name="<25 %", area=(0.0, 0.25)),
        Part(name="25-50 %", area=(0.25, 0.5)),
        Part(name="50-100 %", area=(0.5, 1.0)),
        Part(name="<100 %", area=(0.0, 1.0)),
    )
    table = protocol(metrics=("macro_f1",), parts=parts, view="bins", mean=False)
    found = score(table, [Entry(said(masked, [0.5] * 4, masks=MARKED), masked)], resamples=20)
    counts = {part.name: found.cell("NPR", part.name, "macro_f1") for part in parts}
    assert {name: (one.fakes, one.reals) for name, one in counts.items()} == {
        "<25 %": (0, 1), "25-50 %": (1, 1), "50-100 %": (2, 1), "<100 %": (3, 1),
    }  # fmt: skip
    assert counts["25-50 %"].estimate.value == pytest.approx(200 / 3)


def test_masks_that_do_not_fit_are_refused_with_names_and_counts(masked: Manifest, tmp_path: Path) -> None:
    table = pixel_table("macro_f1")
    odd = [MARKED[0][:4], *MARKED[1:3], MARKED[3][:, :3]]
    with pytest.raises(BadPredictions, match=r"2 masks are of another size.*p0\.png \(8 x 4 for 8 x 8\), p3\.png"):
        score(table, [Entry(said(masked, [0.5] * 4, masks=odd, weights="odd"), masked)])
    lost = said(masked, [0.5] * 4, masks=MARKED, weights="lost")
    (lost.folder / "masks" / "p1.png").unlink()
    with pytest.raises(BadPredictions, match=r"1 masks cannot be read.*p1\.png"):
        score(table, [Entry(lost, masked)])
    found = score(table, [Entry(lost, masked)], partial=True, resamples=20)
    assert found.cell(found.runs[0].name, "edited", "macro_f1").estimate.value == pytest.approx(2 / 3)
    assert any("cannot be read" in line for line in found.remarks)


def test_an_edited_picture_without_a_mask_of_truth_is_left_out_and_counted(masked: Manifest) -> None:
    paths = masked.column("mask_path").to_pylist()
    fewer = masked.with_columns("one lost", {"mask_path": [None, *paths[1:]]})
    assert np.isnan(fake_shares(fewer)[0])
    found = score(
        pixel_table("macro_f1", "pictures"), [Entry(said(fewer, [0.5] * 4, masks=MARKED), fewer)], resamples=20
    )
    assert found.cell("NPR", "all", "macro_f1").estimate.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.cell("NPR", "all", "pictures").estimate.value == 3
    assert found.remarks == ("NPR: 1 pictures: an edited picture without a mask of the truth",)


def test_without_masks_or_without_scores_the_cell_says_so(masked: Manifest) -> None:
    table = pixel_table("macro_f1", "AUC")
    bare = score(table, [Entry(said(masked, [0.5, 0.6, 0.4, 0.9]), masked)], resamples=20)
    assert "no masks to compare" in bare.cell("NPR", "all", "macro_f1").reasons[0]
    assert bare.cell("NPR", "all", "AUC").estimate.value == 1.0
    silent = score(table, [Entry(said(masked, [None] * 4, masks=MARKED), masked)], resamples=20)
    assert "no score of the whole picture" in silent.cell("NPR", "all", "AUC").reasons[0]
    assert silent.cell("NPR", "all", "macro_f1").estimate.value > 0.5


def test_identification_counts_answers_by_class(tmp_path: Path) -> None:
    rows = [{"label": "generated", "family": one, "origin": str(n)} for n, one in enumerate(["gan", "gan", "sd", "sd"])]
    manifest = toy_set(tmp_path, [*rows, {"label": "real"}, {"label": "generated", "family": "dalle"}])
    answers = [{"GAN": 0.8, "sd": 0.2}, {"GAN": 0.3, "sd": 0.7}, {"GAN": 0.1, "sd": 0.9}, {"GAN": 0.4, "sd": 0.6}]
    answers += [{"GAN": 0.5, "sd": 0.5}] * 2
    table = protocol(
        view="identification", column="family", classes={"GAN": ("gan",), "SD": ("sd",)},
        metrics=("accuracy", "macro accuracy", "one-vs-rest AUC"), percent=False, mean=False,
        parts=(Part(name="all"), Part(name="GAN", where=("family=gan",))),
    )  # fmt: skip
    found = score(table, [Entry(said(manifest, [0.9] * 6, generators=answers), manifest)], resamples=20)
    assert found.cell("NPR", "all", "accuracy").estimate.value == 0.75
    assert found.cell("NPR", "all", "accuracy").pictures == 4  # a real and an unknown family are of no class
    assert found.cell("NPR", "GAN", "accuracy").estimate.value == 0.5
    assert found.cell("NPR", "all", "one-vs-rest AUC").estimate.value == 0.75  # 0.3 of a GAN loses to 0.4 of an SD
    dumb = score(table, [Entry(said(manifest, [0.9] * 6), manifest)], resamples=20)
    assert "does not tell generators apart" in dumb.cell("NPR", "all", "accuracy").reasons[0]


NOTE = "lists: test_all; a calibration image of the test set it is in"


def test_calibration_as_published_leaks_and_clean_leaves_its_pictures_out(tmp_path: Path) -> None:
    # All logits are 2 too high; the calibration pictures show it.
    chances = [1 / (1 + np.exp(-x)) for x in (0.5, 1.5, 2.5, 3.5, 1.0, 1.8, 2.2, 3.0)]
    labels = ["real", "real", "generated", "generated"] * 2
    rows = [{"label": one, "notes": NOTE if n < 4 else None, "origin": str(n)} for n, one in enumerate(labels)]
    manifest = toy_set(tmp_path, rows)
    parts = (Part(name="all"),)
    raw, leak, clean = (
        score(
            protocol(parts=parts, calibration=how), [Entry(said(manifest, chances), manifest)], resamples=20
        ).cell("NPR", "all", "accuracy")
        for how in ("none", "published", "clean")
    )  # fmt: skip
    assert (raw.estimate.value, raw.pictures) == (50, 8)
    assert (leak.estimate.value, leak.pictures) == (100, 8)
    assert (clean.estimate.value, clean.pictures) == (100, 4)
    without = manifest.with_columns("no notes", {"notes": [None] * 8})
    cell = score(
        protocol(parts=parts, calibration="clean", published=(published("all", 50),)),
        [Entry(said(without, chances), without)], resamples=20,
    ).cell("NPR", "all", "accuracy")  # fmt: skip
    assert (cell.verdict, cell.estimate.value) == ("not comparable", 50)
    assert "not calibrated" in cell.reasons[0]


def test_platt_finds_the_line() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    fake = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    found = platt(fake, logit)
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.08)
    assert found.offset == pytest.approx(-1, abs=0.12)
    assert platt(np.ones(3, bool), np.zeros(3)) is None


def test_plain_tells_every_generator_and_method(tmp_path: Path) -> None:
    manifest = drawn_set(tmp_path, 12)
    entries = [Entry(said(manifest, drawn_scores(manifest, 2, seed=0)), manifest)]
    table = plain_protocol(entries)
    assert [part.name for part in table.parts] == ["all", "LaMa", "SDXL"]  # diffusion and gan are the same fakes again
    assert "macro_f1" not in table.metrics
    found = score(table, entries, resamples=20)
    fake = np.array([one.fake for one in manifest])
    chances = np.array(drawn_scores(manifest, 2, seed=0))
    for name, metric in image.METRICS.items():
        if name in table.metrics:
            cell = found.cell("npr (w)", "all", name)
            assert cell.estimate.value == pytest.approx(metric.function(fake, chances))
    half = fake & (np.array([one.method for one in manifest]) != "LaMa")
    assert found.cell("npr (w)", "LaMa", "AUC").estimate.value == pytest.approx(image.auc(fake[~half], chances[~half]))
    assert found.cell("npr (w)", "LaMa", "AUC").verdict == "not published"


def test_plain_repeats_nothing(tmp_path: Path) -> None:
    def parts(*fakes: dict[str, str], each: int = 5) -> list[str]:
        rows = [{"label": "real"}, *({"label": "generated", **one} for one in fakes for _ in range(each))]
        manifest = toy_set(tmp_path, rows)
        table = plain_protocol([Entry(said(manifest, [0.5] * len(rows)), manifest)])
        return [part.name for part in table.parts]

    assert parts({"generator": "adm"}, {"generator": "adm"}) == ["all"]
    assert parts({"generator": "adm"}, {}) == ["all", "adm"]
    assert parts({"generator": "adm"}, {}, each=4) == ["all"]  # too few to tell anything
    assert parts({"generator": "a", "method": "a"}, {"generator": "b", "method": "b"}) == ["all", "a", "b"]
    assert parts({"generator": "a", "method": "b"}, {"generator": "b", "method": "c"}) == ["all", "b", "c"]
    split = parts({"generator": "b", "method": "b"}, {"generator": "c", "method": "b"}, {"method": "d"})
    assert split == ["all", "b", "d", "b (generator)", "c"]


def test_a_name_that_is_nearly_a_row_s_is_refused(tmp_path: Path) -> None:
    manifest = drawn_set(tmp_path, 12)
    table = Protocol(
        name="t", version=1, title="t", paper="p", source="s", layout="", data="d", view="table", metrics=("AUC",),
        parts=(Part(name="all"),), rows=(Row(name="NPR", detector="npr"),),
    )  # fmt: skip
    with pytest.raises(UnknownName, match="Did you mean 'NPR'"):
        score(table, [Entry(said(manifest, drawn_scores(manifest, 2, seed=0)), manifest, "NPRR")], resamples=20)
    found = score(table, [Entry(said(manifest, drawn_scores(manifest, 2, seed=0)), manifest, "my own")], resamples=20)
    assert [run.name for run in found.runs] == ["my own"]


def test_names_of_metrics_are_those_of_the_tables() -> None:
    assert number_of("accuracy").kind == "picture"
    assert number_of("accuracy", identification=True).kind == "identification"
    assert number_of("macro F1").name == "macro_f1"
    assert number_of("pixel F1 (published)").kind == "mask"
    assert not number_of("macro_f1_best_of_set_threshold").is_share
    with pytest.raises(UnknownName):
        number_of("macro accuracy of answers")


def test_photos_of_one_origin_are_drawn_together(tmp_path: Path) -> None:
    one, many = drawn_set(tmp_path / "a", 24, photos=3), drawn_set(tmp_path / "b", 24)
    chances = drawn_scores(many, 1, seed=3)
    widths = []
    for manifest in (one, many):
        found = score(protocol(parts=(Part(name="all"),)), [Entry(said(manifest, chances), manifest)], resamples=200)
        cell = found.cell("NPR", "all", "AUC")
        widths.append(cell.estimate.groups)
    assert widths == [3, 48 // 2]
