"""The benchmarks run, and print what is documented. What they measure is not judged here."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import MEASURED, file_facts
from landscapes import landscape

FOLDER = Path(__file__).parents[1] / "benchmarks"
SPREAD = {"median", "lowest", "highest"}


def printed(name: str, *arguments: object) -> dict[str, Any]:
    line = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, arguments)]
    # What some of them draw lies beside the tests.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FOLDER.parent / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    ended = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(ended.stdout)  # one object and nothing else
    assert found["benchmark"] == name
    assert set(found["machine"]) == {"python", "platform", "processors", "libraries"}
    assert "fauxlens" in found["machine"]["libraries"]
    return found


def are_times(times: dict[str, float]) -> bool:
    return set(times) == SPREAD and 0 < times["lowest"] <= times["median"] <= times["highest"]


def test_scan() -> None:
    found = printed("scan", "--count", 3, "--rounds", 1)
    assert found["files"] == 3
    assert found["formats"] == {"jpeg": 3}
    each = found["microseconds_a_file"]
    assert {"facts", "scan", "pillow_open", "pillow_decode", "our_decode"} <= set(each)
    assert all(are_times(times) for times in each.values())
    assert {"scan_against_pillow_open", "scan_against_pillow_decode", "scan_against_our_decode"} <= set(found)


def test_manifest() -> None:
    found = printed("manifest", "--rows", 2_000, "--rounds", 1)
    assert found["rows"] == 2_000
    assert set(found["ways"]) == {"parquet", "csv"}
    for way in found["ways"].values():
        assert {"rows_measured", "seconds", "peak_megabytes", "scaled_up", "kept"} <= set(way)
    assert (found["ways"]["parquet"]["scaled_up"], found["ways"]["csv"]["scaled_up"]) == (False, True)
    assert {"file_megabytes", "csv_against_parquet"} <= set(found)


def test_startup() -> None:
    found = printed("startup", "--rounds", 1)
    assert set(found["milliseconds"]) == {"bare", "typer", "import_fauxlens", "help", "version"}
    assert all(are_times(times) for times in found["milliseconds"].values())
    ratios = {"import_against_bare", "help_against_bare", "help_against_typer"}
    assert {*ratios, "import_added_milliseconds", "help_added_to_typer_milliseconds"} <= set(found)


def test_metrics() -> None:
    found = printed("metrics", "--masks", 10, "--pooled", 3, "--side", 64, "--rounds", 1)
    assert (found["masks"], found["pooled_masks"], found["side"]) == (10, 3, 64)
    assert set(found["ways"]) == {"tally", "tally_of_a_tenth", "scikit_learn", "histogram", "scikit_learn_pooled"}
    for way in found["ways"].values():
        assert are_times(way["seconds"])
        assert way["peak_megabytes"] >= way["start_megabytes"] > 0
    # Faster only counts when it is the same.
    assert found["largest_difference"] < 1e-6
    assert found["pooled_auc_difference"] <= found["pooled_auc_bound"] < 1e-3
    assert {"times_faster", "pooled_times_faster"} <= set(found)


def test_forge() -> None:
    found = printed("forge", "--side", 160, "--rounds", 1)
    assert {"method telea", "method navier-stokes", "judge integrity", "perceive embedded"} <= set(found["seconds"])
    assert all(are_times(times) for times in found["seconds"].values())
    assert found["against_telea"]["method telea"] == 1
    assert {"lama", "sdxl"} <= set(found["absent"])
    assert found["estimate"]["core_hours_in_all"] > 0


def test_embedded(tmp_path: Path) -> None:
    import cv2
    import numpy as np
    from safetensors.torch import save_file

    from fauxlens.detectors import load
    from fauxlens.images.encode import encode_jpeg, encode_png
    from fauxlens.manifest.manifest import Manifest
    from fauxlens.manifest.sample import Sample
    from landscapes import landscape

    rows = []
    for number in range(6):
        pixels, mask = landscape(number, 128, 160), np.zeros((128, 160), np.uint8)
        name = f"r{number}.{'jpg' if number % 2 else 'png'}"
        (tmp_path / name).write_bytes(encode_jpeg(pixels, 95) if number % 2 else encode_png(pixels))
        mask[30:90, 40:110] = 255
        # Smoother than the rest: what the baseline finds.
        forged = np.where(mask[..., None] > 0, cv2.GaussianBlur(pixels, (0, 0), 2.0), pixels)
        (tmp_path / f"e{number}.png").write_bytes(encode_png(np.ascontiguousarray(forged)))
        (tmp_path / f"m{number}.png").write_bytes(encode_png(mask))
        both = {"split": "val", "origin": f"r{number}", "source": f"s{number % 2}"}
        rows.append(Sample(id=f"r{number}", path=name, label="real", format=name[-3:].replace("jpg", "jpeg"), **both))
        rows.append(Sample(id=f"e{number}", path=f"e{number}.png", label="edited", mask_path=f"m{number}.png",
                           method="Blur", generator="blur", format="png", **both))  # fmt: skip
    whole = Manifest.from_samples(rows, tmp_path, name="set")
    whole.save(tmp_path / "set.parquet")
    save_file(load("fauxlens-small", "random").network.state_dict(), tmp_path / "w.safetensors")
    found = printed("embedded", str(tmp_path / "set.parquet"), "--photos", str(tmp_path / "set.parquet"), "--each", "4",
                "--reals", "6", "--weights", f"drawn={tmp_path / 'w.safetensors'}")  # fmt: skip
    assert set(found["forgeries"]) == {"smooth", "drawn"}
    blur = found["forgeries"]["smooth"]["Blur"]
    assert set(blur) == {"plain", "jpeg:quality=95", "jpeg:quality=85", "jpeg:quality=75", "resize:scale=0.75"}
    # A blur is what being smooth gives away: found, far better than on the originals, and so no valid test.
    assert blur["plain"]["pixel_auc"] > 0.8
    assert blur["plain"]["gain"] > 0.2
    assert found["valid"]["Blur"] is False
    assert found["forgeries"]["drawn"]["Blur"]["plain"]["pictures"] == 4
    assert set(found["false_alarms"]["drawn"]["processed"]) >= {"blur", "median", "smoothing", "noise"}
    assert found["history_paste"]["smooth"]["into jpeg 95"]["pictures"] == 3


def test_inspecting() -> None:
    found = printed("inspecting", "--rounds", 1, "--count", 2, "--size", 128, 160, "--large", 400, 700)
    assert found["photos"] == 2
    assert set(found["photos_a_second"]) == set(found["seconds"])
    assert all(are_times(times) for times in found["seconds"].values())
    assert are_times(found["cold_seconds"])
    # Whoever does more takes longer; by how much is not judged here.
    assert found["inspect_against_the_detector"] > 1
    assert found["large"]["peak_megabytes"] > 0


def test_verdicts(tmp_path: Path) -> None:
    rows = []
    for number in range(4):
        name = f"r{number}.jpg"
        (tmp_path / name).write_bytes(encode_jpeg(landscape(number, 128, 160), 95))
        rows.append(
            Sample(id=f"r{number}", path=name, label="real", split="val", source=f"s{number % 2}", format="jpeg")
        )
    (tmp_path / "r3.jpg").write_bytes(b"no picture")
    rows.append(Sample(id="g", path="r0.jpg", label="generated", split="val", format="jpeg"))
    Manifest.from_samples(rows, tmp_path, name="photos").save(tmp_path / "photos.parquet")
    found = printed("verdicts", tmp_path / "photos.parquet", "--split", "val", "--deliveries", "native", "half size")
    assert set(found["deliveries"]) == {"native", "half size"}
    native = found["deliveries"]["native"]
    assert set(native) == {"all", "s0", "s1"}
    assert (native["all"]["pictures"], native["all"]["unreadable"]) == (3, 1)
    assert (native["s0"]["pictures"], native["s1"]["pictures"]) == (2, 1)
    told = native["all"]
    assert told["accused"] == len(told["which"]) <= 3
    assert told["accused_share"] + told["inconclusive"] + told["no_sign"] == pytest.approx(1)
    assert told["accused_interval"][0] <= told["accused_share"] <= told["accused_interval"][1]
    # What could not be read could not be delivered either.
    half = found["deliveries"]["half size"]["all"]
    assert (half["pictures"], half["unreadable"]) == (3, 0)


def test_audit_controls() -> None:
    found = printed("audit_controls", "--draws", 2, "--pictures", 130)
    assert found["draws"] == 2
    assert 0 <= found["alarms"] <= 2
    assert found["rate"] == found["alarms"] / 2
    assert found["level"] == 0.05


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_is_in_the_readme_and_in_the_makefile(path: Path) -> None:
    if path.stem in ("measure", "plain_nfa_vit", "studies_page", "embedded_page"):
        return
    assert f"| `{path.name}` |" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"benchmarks/{path.name}" in (FOLDER.parent / "Makefile").read_text(encoding="utf-8")
    assert f"def test_{path.stem}(" in Path(__file__).read_text(encoding="utf-8")


def test_nfa_vit() -> None:
    found = printed("nfa_vit", "--side", 128, "--train-side", 128, "--rounds", 1, "--photo", 96, 600)
    assert set(found["forward"]["times_faster"]) == {
        "whole", "extractor", "noise_branch", "image_and_decoder", "attention_stage_1",
    }  # fmt: skip
    assert all(are_times(times) for times in found["forward"]["seconds"].values())
    # Faster only counts when it is the same: both forms agree on the same guides.
    assert max(found["forward"]["largest_difference"].values()) < 1e-3
    assert set(found["training_step"]["times_faster"]) == {
        "ours_as_published",
        "ours_frozen_noise",
        "ours_frozen_noise_bfloat16",
    }
    assert set(found["memory"]["peak_megabytes"]) == {"libraries", "plain", "ours", "nano_picture", "nano_photo"}
    assert found["nano"]["notes"][0].startswith("seen in 2 tiles of at most ")


def test_detectors(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n", encoding="utf-8")
    found = printed("detectors", "--only", "noiseprint++", "--rounds", 1, "--threads", 1, "--side", 64, "--table", page)
    one = found["detectors"]["noiseprint++"]
    assert one["shown"] == [[64, 64]]
    assert set(one["milliseconds"]) == {"predict", "prepare", "network", "yardstick"}
    assert all(are_times(times) for times in one["milliseconds"].values())
    assert one["milliseconds"]["network"]["median"] < one["milliseconds"]["predict"]["median"]
    assert one["times_yardstick"] > 0
    # 17 layers of 3x3 at full size: 3 to 64, fifteen of 64 to 64, 64 to 1.
    assert one["multiply_adds"] == 9 * (3 * 64 + 15 * 64 * 64 + 64) * 64**2
    assert one["not_counted"] == []
    assert one["peak_megabytes"] > one["libraries_megabytes"] > 0
    before, *_, row, _, _, after = page.read_text(encoding="utf-8").splitlines()
    assert (before, after) == ("before", "after")
    assert row.startswith("| noiseprint++ | ")
    assert "old" not in page.read_text(encoding="utf-8")


def test_train() -> None:
    small = ("--photos", 4, "--photo-side", 70, "--side", 64, "--batch", 4, "--rounds", 1, "--step-side", 64)
    found = printed("train", *small)
    rates = found["pictures_a_second"]
    assert set(rates) == {"loader_alone", "step_alone", "both"}
    assert all(are_times(rate) for rate in rates.values())
    assert 0 <= found["waited"] <= 1
    assert found["loader_is_the_bottleneck"] == (found["loader_times_faster_than_step"] < 1)
    steps = found["noise_branch"]
    assert set(steps["seconds"]) == {"naive", "naive_noise_branch", "ours"}
    assert all(are_times(times) for times in steps["seconds"].values())
    assert steps["times_faster_than_naive"] > 0
    assert steps["times_faster_than_naive_noise_branch"] > 0
    kept = steps["graph_megabytes"]
    assert 0 < kept["ours"] < kept["naive_noise_branch"]
    assert 0 < kept["ours"] < kept["naive"]


def drawn_for_studies(root: Path) -> Path:
    """Photos as JPEG, of each one an edited copy with its mask; 4 photos to learn from, 2 to test with."""
    root.mkdir()
    samples = []
    for number in range(6):
        pixels, mask = landscape(number, 70, 90), np.zeros((70, 90), np.uint8)
        mask[20:50, 20:60] = 255
        edited = np.where(mask[..., None] > 0, 255 - pixels, pixels)
        (root / f"m{number}.png").write_bytes(encode_png(mask))
        for kind, shown in (("r", pixels), ("e", edited)):
            (root / f"{kind}{number}.jpg").write_bytes(encode_jpeg(shown, 92, "4:4:4"))
            facts = dict(zip(MEASURED, file_facts(str(root), f"{kind}{number}.jpg"), strict=True))
            facts |= {"split": "val" if number > 3 else "train", "origin": f"r{number}", "source": "drawn"}
            facts |= {"label": "edited", "mask_path": f"m{number}.png"} if kind == "e" else {"label": "real"}
            samples.append(Sample(id=f"{kind}{number}", path=f"{kind}{number}.jpg", **facts))
    return Manifest.from_samples(samples, root, name="drawn").save(root / "drawn.parquet")


@pytest.mark.slow
def test_studies(tmp_path: Path) -> None:
    data, out, page = drawn_for_studies(tmp_path / "set"), tmp_path / "out", tmp_path / "docs"
    asked = ("--data", data, "--out", out, "--seeds", 1, "--tiny")
    found = printed("studies", "--study", "format", "topk", "selfcon", *asked, "--page", page)["studies"]
    runs = {study: found[study]["runs"] for study in ("format", "topk", "selfcon")}
    assert {study: len(several) for study, several in runs.items()} == {"format": 4, "topk": 2, "selfcon": 2}
    assert all(found[study]["missing"] == [] for study in found)
    # Both families, each learnt on both sets and tested under every condition.
    assert len({(run["trained_on"], run["generator"]) for run in runs["format"]}) == 4
    for run in (*runs["format"], *runs["selfcon"]):
        for told in run["tests"].values():
            assert 0 <= told["photos_called_fake"] <= 1
            # Two photos and two made pictures: an accuracy is a number of quarters.
            assert {4 * cell["accuracy"] % 1 for cell in told["generators"].values()} == {0}
    assert all(set(run["tests"]) == {"as they were", "aligned", "JPEG 70"} for run in runs["format"])
    assert [run["guidance"] for run in runs["topk"]] == ["25", "none"]
    assert runs["topk"][0]["masks"] != runs["topk"][1]["masks"]
    assert all(0 <= run["masks"]["macro_auc"] <= 1 for run in runs["topk"])
    assert list(out.rglob("log.jsonl"))
    assert not list(out.rglob("training.html"))  # it would take longer than the runs
    # What is done is not done again, but a result that was taken away is; and it comes out the same.
    kept = {path: path.read_text(encoding="utf-8") for path in sorted(out.glob("*/*/result.json"))}
    assert len(kept) == 8
    again = next(path for path in kept if path.parent.name.startswith("as-they-were"))
    again.unlink()
    others = {path: path.stat().st_mtime_ns for path in kept if path != again}
    second = printed("studies", "--study", "format", *asked)["studies"]["format"]["runs"]
    assert [run["tests"] for run in second] == [run["tests"] for run in runs["format"]]
    assert {path: path.stat().st_mtime_ns for path in others} == others
    text = (page / "studies.md").read_text(encoding="utf-8")
    assert "| learnt from | as they were | aligned | JPEG 70 |" in text
    assert "| none |" in text
    assert "| selfcon | aligned |" in text
    assert len(list((page / "studies").glob("*.svg"))) == 6


def test_page_of_the_studies_while_runs_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("studies_page")

    def one(learnt: str, seed: int, own: float, other: float) -> dict[str, Any]:
        cells = {name: {"accuracy": own if name == learnt else other, "AUC": 0.5} for name in ("a", "b")}
        tests = {name: {"generators": cells, "photos_called_fake": 0.25} for name in ("as they were", "aligned")}
        return {"trained_on": "aligned", "generator": learnt, "seed": seed, "steps": 3, "tests": tests}

    about = {
        "photos": {"test": 1, "train": 2},
        "jpeg_quality": {"lowest": 1, "median": 2, "highest": 3},
        "made_decibels": {"a": 30.0, "b": 31.0},
        "auc_of_file_facts": {"aligned": None},
    }
    # The second seed knows one family only: it says something of that family, and nothing of all together.
    runs = [one("a", 1, 0.75, 0.25), one("b", 1, 1.0, 0.5), one("a", 2, 0.25, 0.25)]
    result = {"sizes": {"families": ["a", "b"]}, "about": about, "runs": runs, "missing": ["aligned-b-2"]}
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "format.json").write_text(json.dumps(result), encoding="utf-8")
    (tmp_path / "studies.md").write_text("Mine.\n<!-- format: begin -->\nold\n<!-- format: end -->\n", encoding="utf-8")
    page.write(tmp_path)
    text = (tmp_path / "studies.md").read_text(encoding="utf-8")
    assert text.startswith("Mine.\n")
    assert "old" not in text
    assert "| aligned: a | 0.500 (0.250 to 0.750) |" in text
    assert "| aligned: b | 1.000 |" in text
    assert "| aligned: accuracy, own family | 0.875 |" in text  # (0.75 + 1.0) / 2
    assert "| aligned: accuracy, other families | 0.375 |" in text  # (0.25 + 0.5) / 2
    assert "**1 of 4 runs are not done yet**" in text
    (tmp_path / "studies.md").write_text("No marks.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no marks <!-- format: begin"):
        page.write(tmp_path)


def test_page_of_the_embedded_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("embedded_page")
    deliveries = list(page.DELIVERIES)

    def told(auc: float | None) -> dict[str, Any]:
        numbers = {"pixel_auc": auc, "gain": auc, "iou": auc, "detection_auc": auc, "tpr_at_1_percent": auc}
        return {delivery: {"pictures": 4, **numbers} for delivery in deliveries}

    def alarms(share: float) -> dict[str, Any]:
        groups = {"processed": {"blur": share}, "compressed": {"shrunk": share}, "source": {"here": share}}
        return {**groups, "processed_mean": share, "processed_most": share}

    answers = {"edited": 0.25, "inconclusive": 0.5, "no_sign": 0.25}
    detectors = {"smooth": 0.5, "context-0": 0.75, "context-1": 1.0}
    kinds = ("HeldPlain", "HeldPlain: imprint/held-x2")
    judged = {
        "reals": dict.fromkeys(deliveries, answers), "ece": {"HeldPlain": 0.0625},
        "forgeries": {"HeldPlain": dict.fromkeys(deliveries, answers)},
    }  # fmt: skip
    gates = {
        "forgeries": {name: {kind: told(auc) for kind in kinds} for name, auc in detectors.items()},
        "false_alarms": {name: alarms(0.125) for name in detectors},
        "history_paste": {name: {"into jpeg 95": {"pixel_auc": 0.5, "pictures": 3}} for name in detectors},
        "valid": dict.fromkeys(kinds, True), "judged": {"context-0": judged},
    }  # fmt: skip
    row = {
        "pictures": 8, "accused": 1, "accused_share": 0.125, "accused_interval": [0.0032, 0.5265],
        "accused_by_the_score_alone": 2, "inconclusive": 0.5, "no_sign": 0.375,
    }  # fmt: skip
    (tmp_path / "results").mkdir()
    alone = {"forgeries": {name: gates["forgeries"][name] for name in ("smooth", "context-0")}, **{
        name: gates[name] for name in ("valid", "judged")}}  # fmt: skip
    told_of = {"deliveries": {"native": {"all": row}}}
    for name, result in (("gates", gates), ("gates-all", alone), ("verdicts-real", told_of),
                         ("verdicts-generated", told_of)):  # fmt: skip
        text = json.dumps(page.rounded(result))
        (tmp_path / "results" / f"{name}.json").write_text(text, encoding="utf-8")
    log = [{"kind": "steps", "epoch": 0, "loss mask": 0.5}, {"kind": "steps", "epoch": 0, "loss mask": 0.25},
           {"kind": "validation", "epoch": 1, "pooled_auc": 0.75, "AUC": 0.625}]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    told_by_log = page.curve(tmp_path / "log.jsonl")
    assert told_by_log == {"loss": [[1, 0.375]], "validation": [[1, 0.75, 0.625]]}
    (tmp_path / "results" / "curves.json").write_text(json.dumps({"context-0": told_by_log}), encoding="utf-8")
    names = [*page.tables(tmp_path / "results"), "curves"]
    marks = "".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in names)
    (tmp_path / "results.md").write_text(f"Mine.\n{marks}", encoding="utf-8")
    text = page.write(tmp_path).read_text(encoding="utf-8")
    assert text.startswith("Mine.\n")
    assert "| new decoders (4) | context | 0.875 (0.750 to 1.000) |" in text
    assert "| new decoders: held-x2 | 4 | 0.500 | 0.875 (0.750 to 1.000) |" in text
    assert "| native | all | 8 | 1 (12.5%) | 0.3% to 52.6% | 2 | 50% | 38% |" in text
    assert "| real photos | plain | 25.0% | 50.0% | 25.0% |" in text
    assert "| mean of these | 12.5% | 12.5% (12.5% to 12.5%) |" in text
    assert "](results/curves-loss.svg)" in text
    assert (tmp_path / "results" / "curves-validation.svg").read_bytes().startswith(b"<")
    # A second time changes nothing: what stands between the marks is replaced.
    assert page.write(tmp_path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("module", "name"), [("embedded_page", "results"), ("studies_page", "studies")])
def test_the_page_says_what_its_numbers_say(
    module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module(module)
    docs = FOLDER.parent / "docs"
    shutil.copy(docs / f"{name}.md", tmp_path)
    shutil.copytree(docs / name, tmp_path / name)
    page.write(tmp_path)
    assert (tmp_path / f"{name}.md").read_text("utf-8") == (docs / f"{name}.md").read_text("utf-8")
