"""The protocols that come with the package: their numbers, their pictures, and each from a scan to a finished table."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import protocol_trees
from fauxlens.core.errors import BadPredictions, BadSetting, UnknownName
from fauxlens.detectors import br_gen, detector_class, published
from fauxlens.evaluate.controls import ALL_REALS, false_alarms
from fauxlens.evaluate.page import report_of, tables_of
from fauxlens.evaluate.predictions import Predictions, predictions_of, write_mask
from fauxlens.evaluate.protocol import VIEWS, Protocol, protocol_names, read_protocol
from fauxlens.evaluate.score import Entry, score
from fauxlens.images.degrade import CHAINS, read_chain
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.layouts import LAYOUTS
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.scan import scan
from fauxlens.manifest.select import select
from fauxlens.metrics import confusion, image, tally

NAMES = protocol_names()


def test_all_protocols_that_are_promised_are_there():
    assert set(NAMES) == {
        *(f"br-gen-table-{n}" for n in (2, 3, 4, 5, 6)),
        *("br-gen-table-7-bins", "br-gen-table-7-cumulative", "br-gen-figure-5"),
        *("genimage-cross-generator", "genimage-degraded", "temporal"),
        *(f"imaginet-{one}{fit}" for one in ("groups", "specific-model", "content", "corvi", "practical")
          for fit in ("", "-clean")),
        *("imaginet-identification", "imaginet-time"),
        *("unbiased-raw", "unbiased-constrained", "unbiased-constrained-recompressed"),
        *("unbiased-jpeg", "unbiased-jpeg-reals"),
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_speaks_of_what_there_is(name):
    found = read_protocol(name)
    assert found.name == name
    assert found.version >= 1
    assert found.layout in LAYOUTS
    assert found.view in VIEWS
    assert found.source.split(":")[0].split()[0] in ("published", "third", "our", "the", "a"), "how sure, first"
    known = {*image.METRICS, *tally.COLUMNS}
    known = set(confusion.METRICS) if found.view == "identification" else known
    assert set(found.metrics) <= ({"seconds"} if found.view == "time" else known)
    for part in found.parts:
        if part.degrade:
            assert part.degrade in CHAINS or str(read_chain(part.degrade)) == part.degrade
        if found.view == "sweep":
            assert part.level is not None
        if found.view == "bins":
            assert part.area is not None
    for row in found.rows:
        if row.detector:
            card = detector_class(row.detector).card
            ours = {one.name for one in card.weights}
            # A name is one of ours, or says for which work it has to be trained.
            assert all(one in ours or one.startswith(("br-gen", "genimage-", "unbiased-")) for one in row.weights)
            assert row.training
    # A row that nobody could be is only there for its numbers.
    told = {one.row for one in found.published}
    assert all(row.weights or row.name in told for row in found.rows)
    scale = 100.0 if found.percent else 1.0
    assert all(0 <= one.value <= scale for one in found.published)
    if found.published and found.view not in ("time",):
        assert max(one.value for one in found.published) > scale / 2, "shares and per cent are not mixed up"


def test_a_table_is_read_cell_by_cell(tmp_path):
    path = tmp_path / "mine.toml"
    head = """
        name = "mine"
        version = 1
        title = "t"
        paper = "p"
        source = "s"
        layout = "folder"
        data = "d"
        view = "table"
        metrics = ["AUC"]
        parts = [{ name = "a" }, { name = "b" }]
        rows = [{ name = "r" }]
        """
    path.write_text(head + '[[printed]]\nmetric = "AUC"\nparts = ["a", "b", "mean"]\nrows = { r = [1.5, nan, 2] }\n')
    found = read_protocol(path)
    assert [(one.part, one.value) for one in found.published] == [("a", 1.5), ("mean", 2.0)]
    assert found.value("r", "b", "AUC") is None
    for wrong, message in (
        ("rows = { r = [1] }", "of another length than its head"),
        ("rows = { s = [1, 2, 3] }", "no row"),
        ("rows = { r = [1, 2, 3] }\nmetrics = 1", "no such setting: 'metrics'"),
    ):
        path.write_text(f'{head}[[printed]]\nmetric = "AUC"\nparts = ["a", "b", "mean"]\n{wrong}\n')
        with pytest.raises((BadSetting, UnknownName), match=message):
            read_protocol(path)
    twice = '[[printed]]\nmetric = "AUC"\nparts = ["a"]\nrows = { r = [1] }\n'
    path.write_text(head + twice + twice)
    with pytest.raises(BadSetting, match="published twice"):
        read_protocol(path)
    with pytest.raises(UnknownName, match="Did you mean 'br-gen-table-2'"):
        read_protocol("br-gen-table-21")


def test_a_row_is_found_by_detector_and_training():
    found = read_protocol("br-gen-table-4")
    row = found.row_of("trufor", "br-gen-diffusion.pth.tar")
    assert row is not None
    assert row.name == "TruFor, Diffusion"
    assert found.row_of("trufor", "br-gen") is found.row_of("lgrad", "br-gen-gan") is None


# What the works print must agree with itself, and with what the detectors' cards hold.


def _implied_f1(real: float, fake: float) -> float:
    return 2 * fake / (2 * fake + (1 - real) + (1 - fake))


def test_f1_of_br_gen_follows_from_its_recalls():
    """On as many reals as forgeries; all eleven rows of Table 3, and in Table 2 only three."""
    told = {}
    for table in (2, 3):
        found = read_protocol(f"br-gen-table-{table}")
        for row in found.rows:
            real, fake, f1 = (found.value(row.name, "all", one) for one in ("Real R@50", "Gen. R@50", "F1"))
            told[table, row.name] = abs(_implied_f1(real, fake) - f1)
        assert found.parts[0].one_to_one
    assert len([one for one in told if one[0] == 3]) == 11
    # Recalls are rounded to 0.0005, and F1 is, too.
    assert max(off for (table, _), off in told.items() if table == 3) < 0.0011
    assert {name for (table, name), off in told.items() if table == 2 and off < 0.0015} == {
        "TruFor", "SparseViT", "FatFormer"
    }  # fmt: skip


def test_br_gen_is_what_the_cards_hold():
    for table, rows in ((2, br_gen.RELEASED), (3, br_gen.TRAINED)):
        found = read_protocol(f"br-gen-table-{table}")
        named = {row.detector: row.name for row in found.rows}
        assert set(named) == set(rows)
        count = 0
        for detector, (whole, parts) in rows.items():
            for metric, value in zip(("Real R@50", "Gen. R@50", "F1", "AUC", "macro_iou"), whole, strict=True):
                assert found.value(named[detector], "all", metric) == value
                count += value is not None
            for part, value in zip(("GAN", "Diffusion", "Background", "Stuff"), parts, strict=True):
                assert found.value(named[detector], part, "Gen. R@50") == value
                count += 1
        assert count == len(found.published)
    five = ("TruFor", "SparseViT", "NPR", "FatFormer", "NFA-ViT")
    across = read_protocol("br-gen-table-4")
    names = {"GAN": "GAN", "diffusion": "Diffusion", "background": "Background", "stuff": "Stuff"}
    for (learnt, asked), pairs in br_gen.ACROSS.items():
        for name, pair in zip(five, pairs, strict=True):
            row, part = f"{name}, {names[learnt]}", names[asked]
            assert (across.value(row, part, "Gen. R@50"), across.value(row, part, "Real R@50")) == pair
    assert len(across.published) == 40
    elsewhere = read_protocol("br-gen-table-5")
    for part, triples in br_gen.ELSEWHERE.items():
        for name, triple in zip(five, triples, strict=True):
            assert tuple(elsewhere.value(name, part, one) for one in elsewhere.metrics) == triple


def test_genimage_is_what_the_cards_hold():
    titles = {"resnet50": "ResNet-50", "deit-s": "DeiT-S", "swin-t": "Swin-T", "cnnspot": "CNNSpot", "spec": "Spec",
              "f3net": "F3Net", "gramnet": "GramNet"}  # fmt: skip
    cross, degraded = read_protocol("genimage-cross-generator"), read_protocol("genimage-degraded")
    for found, suffix, columns, table in (
        (cross, ", SD V1.4", published.GENIMAGE_COLUMNS, published.GENIMAGE_FROM_SD14),
        (cross, ", mean of eight trainings", published.GENIMAGE_COLUMNS, published.GENIMAGE_OVER_ALL),
        (degraded, "", published.GENIMAGE_DEGRADATIONS, published.GENIMAGE_DEGRADED),
    ):
        assert set(table) == set(titles)
        for detector, values in table.items():
            row = titles[detector] + suffix
            assert tuple(found.value(row, part, "accuracy") for part in columns) == values
            # Means are printed to a tenth, some cut off, some of numbers that had more digits.
            assert abs(np.mean(values[:-1]) - values[-1]) < 0.15, row
    assert len(cross.published) + len(degraded.published) == 2 * 63 + 49


def _matrix(found: Protocol, detector: str) -> np.ndarray:
    rows = [row.name for row in found.rows if row.detector == detector]
    return np.array([[found.value(row, part.name, "accuracy") for part in found.parts] for row in rows])


def test_the_means_of_unbiased_genimage_come_out_of_its_matrices():
    raw, constrained = read_protocol("unbiased-raw"), read_protocol("unbiased-constrained")
    assert [row.name for row in raw.rows] == [row.name for row in constrained.rows]
    for detector, before, after in (("resnet50", 71.68, 82.74), ("swin-t", 74.09, 85.83)):
        first, second = _matrix(raw, detector), _matrix(constrained, detector)
        assert first.shape == second.shape == (3, 8)
        assert (round(first.mean(), 2), round(second.mean(), 2)) == (before, after)
    for found in (raw, constrained):
        for row in found.rows:
            values = [found.value(row.name, part.name, "accuracy") for part in found.parts]
            assert abs(np.mean(values) - found.value(row.name, "mean", "accuracy")) < 0.011
    for detector, title in (("resnet50", "ResNet-50"), ("swin-t", "Swin-T")):
        for trained, values in published.UNBIASED_CONSTRAINED[detector].items():
            row = f"{title}, {trained}"
            assert tuple(constrained.value(row, one, "accuracy") for one in published.UNBIASED_COLUMNS) == values


@pytest.mark.parametrize("name", ["groups", "specific-model", "content", "corvi", "practical"])
def test_the_means_of_imaginet_come_out_of_its_rows(name):
    found = read_protocol(f"imaginet-{name}")
    checked = Counter()
    for row in found.rows:
        for metric in found.metrics:
            values = [found.value(row.name, part.name, metric) for part in found.parts]
            mean = found.value(row.name, "mean", metric)
            if mean is not None and None not in values:
                # Rounded at four digits, each and the mean.
                assert abs(np.mean(values) - mean) < 1.01e-4, (row.name, metric)
                checked[metric] += 1
    # Of Corvi's and the practical set only ImagiNet's own numbers reached us one by one.
    wanted = {"groups": 5, "specific-model": 6, "content": 6, "corvi": 1, "practical": 1}[name]
    assert checked == {"balanced accuracy": wanted, "AUC": wanted}


def test_imaginet_is_what_the_cards_hold():
    groups, models, contents = (read_protocol(f"imaginet-{one}") for one in ("groups", "specific-model", "content"))
    places = {
        **{one.name: (groups, one.name) for one in groups.parts},
        "mean of the groups": (groups, "mean"),
        "mean of the models": (models, "mean"),
        "mean of the contents": (contents, "mean"),
    }
    rows = {row.detector: row.name for row in groups.rows if row.name != "Corvi2022 on ImagiNet"}
    for detector, pairs in published.IMAGINET.items():
        for place, pair in pairs.items():
            found, part = places[place]
            assert tuple(found.value(rows[detector], part, one) for one in ("balanced accuracy", "AUC")) == pair
    for target in detector_class("lasted").card.targets:
        place = target.data.removeprefix("ImagiNet, ")
        if place in places:
            found, part = places[place]
            assert found.value("Wu2023", part, target.metric) == target.value
    told = {one.data.removeprefix("ImagiNet, "): one.value for one in detector_class("imaginet-identify").card.targets}
    identify = read_protocol("imaginet-identification")
    recalls = [identify.value("ImagiNet", one.name, "macro accuracy") for one in identify.parts]
    assert set(recalls) <= set(told.values())
    assert abs(np.mean(recalls[1:]) - recalls[0]) < 1e-4
    time = read_protocol("imaginet-time")
    for detector, milliseconds in published.IMAGINET_MILLISECONDS.items():
        assert math.isclose(time.value(rows[detector], "448 x 448", "seconds"), milliseconds / 1000)


@pytest.mark.parametrize("name", [one for one in NAMES if one.endswith("-clean")])
def test_a_clean_protocol_differs_by_its_calibration_alone(name):
    clean, leaky = read_protocol(name), read_protocol(name.removesuffix("-clean"))
    assert (leaky.calibration, clean.calibration) == ("published", "clean")
    assert (clean.parts, clean.rows, clean.published, clean.where) == (
        leaky.parts, leaky.rows, leaky.published, leaky.where,
    )  # fmt: skip
    assert clean.title != leaky.title


# On small trees in each dataset's real layout.


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """(layout, protocol) -> the manifest of the tree it is run on, scanned once."""
    made: dict[object, Manifest] = {}

    def manifest(found: Protocol) -> Manifest:
        draw = protocol_trees.tree_of(found.name, found.layout)
        if draw not in made:
            root = tmp_path_factory.mktemp("tree") / "data"
            root.mkdir()
            draw(root)
            made[draw] = scan(root, layout=found.layout)
        return made[draw]

    return manifest


# Reals and fakes of each part, counted by hand from the trees.
_BR_GEN = {"GAN": (3, 12), "Diffusion": (3, 18), "Background": (3, 15), "Stuff": (3, 15)}
_WHOLE = {"all": (3, 3), **_BR_GEN}
_UNBIASED = dict.fromkeys(published.UNBIASED_COLUMNS[:-1], (3, 3))
_MODELS = dict.fromkeys(("ProGAN", "StyleGAN-XL", "StyleGAN3", "SD v2.1", "SDXL v1.0", "Animagine XL"), (10, 1))
COUNTS = {
    "br-gen-table-2": _WHOLE,
    "br-gen-table-3": _WHOLE,
    "br-gen-table-4": _BR_GEN,
    "br-gen-table-5": dict.fromkeys(br_gen.ELSEWHERE, (2, 2)),
    "br-gen-table-6": _WHOLE,
    # Six regions of five methods: one in every fifth of the frame, two in the first.
    "br-gen-table-7-bins": {"0 to 20 %": (0, 10), "20 to 40 %": (0, 5), "40 to 60 %": (0, 5), "60 to 80 %": (0, 5),
                            "80 to 100 %": (0, 5)},
    "br-gen-table-7-cumulative": {"below 20 %": (0, 10), "below 40 %": (0, 15), "below 60 %": (0, 20),
                                  "below 80 %": (0, 25), "below 100 %": (0, 30)},
    "br-gen-figure-5": dict.fromkeys(("LaMa", "MAT", "SDXL", "BrushNet", "PowerPaint"), (0, 6)),
    "genimage-cross-generator": dict.fromkeys(published.GENIMAGE_COLUMNS[:-1], (1, 1)),
    "genimage-degraded": dict.fromkeys(published.GENIMAGE_DEGRADATIONS[:-1], (1, 1)),
    "temporal": {"2018": (1, 1), "2021": (3, 3), "2022": (3, 3), "2023": (1, 1)},
    "unbiased-raw": _UNBIASED,
    "unbiased-constrained": _UNBIASED,
    "unbiased-constrained-recompressed": _UNBIASED,
    "unbiased-jpeg": dict.fromkeys(("none", "JPEG 95", "JPEG 80", "JPEG 60"), (24, 24)),
    "unbiased-jpeg-reals": dict.fromkeys(("PNG", "JPEG 95", "JPEG 60"), (3, 0)),
    # A photo that two groups drew is there twice; one real and the last DALL-E 3 are what the fit is made on.
    "imaginet-groups": {"GAN": (3, 3), "SD": (3, 3), "Midjourney": (1, 1), "DALL-E 3": (3, 3)},
    "imaginet-groups-clean": {"GAN": (2, 3), "SD": (3, 3), "Midjourney": (1, 1), "DALL-E 3": (3, 2)},
    "imaginet-specific-model": {**_MODELS, "Midjourney": (10, 1), "DALL-E 3": (10, 3)},
    "imaginet-specific-model-clean": {**dict.fromkeys([*_MODELS, "Midjourney"], (9, 1)), "DALL-E 3": (9, 2)},
    "imaginet-content": {"Photos": (5, 2), "Paintings": (2, 2), "Faces": (2, 2), "Uncategorised": (1, 4)},
    "imaginet-content-clean": {"Photos": (4, 2), "Paintings": (2, 2), "Faces": (2, 2), "Uncategorised": (1, 3)},
    "imaginet-identification": {"all": (0, 10), "GAN": (0, 3), "SD": (0, 3), "Midjourney": (0, 1), "DALL-E 3": (0, 3)},
    "imaginet-time": {"448 x 448": (2, 0)},
    "imaginet-corvi": dict.fromkeys(protocol_trees.CORVI, (3, 2)),
    "imaginet-corvi-clean": {**dict.fromkeys(protocol_trees.CORVI, (2, 2)), "progan": (2, 1)},
    "imaginet-practical": dict.fromkeys(protocol_trees.PRACTICAL, (3, 2)),
    "imaginet-practical-clean": {**dict.fromkeys(protocol_trees.PRACTICAL, (3, 2)), "DreamBooth": (2, 1)},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_conditions_choose_rows_as_the_verb_does(name, trees):
    """Where no drawing, no mask and no calibration has a say, `select` alone gives the pictures of a part."""
    found = read_protocol(name)
    manifest = trees(found).usable()
    for part in found.parts:
        rows = select(manifest, *found.where, *part.where)
        reals, fakes = select(rows, "label=real", *part.reals), select(rows, "label!=real", *part.fakes)
        wanted = COUNTS[name][part.name]
        if found.calibration == "clean" or part.one_to_one or part.area is not None:
            assert len(reals) >= wanted[0]
            assert len(fakes) >= wanted[1]
        else:
            assert (len(reals), len(fakes)) == wanted, part.name


def _said(found: Protocol, manifest: Manifest, folder: Path, *, skill: float, seed: int) -> Predictions:
    """What a detector with `skill` (0: chance, large: knows) would say, with masks where there are truths of places."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    places = any(one in tally.COLUMNS for one in found.metrics)
    classes = [one for several in found.classes.values() for one in several]
    rows = []
    for sample in manifest.usable():
        logit = float(rng.normal(skill if sample.fake else -skill))
        row = {"id": sample.id, "path": sample.path, "logit": logit, "probability": 1 / (1 + math.exp(-logit)),
               "seconds": float(rng.uniform(0.01, 0.02)), "status": "ok"}  # fmt: skip
        if places:
            row["mask_path"] = f"{sample.id}.png"
            mask = rng.random((sample.height, sample.width), dtype=np.float32)
            if skill:
                # A picture that was generated whole is fake in every place.
                mask = np.full_like(mask, sample.fake)
            if skill and sample.mask_path is not None:
                with Image.open(manifest.root / sample.mask_path) as truth:
                    mask = np.asarray(truth.convert("L"), np.float32) / 255
            write_mask(folder / row["mask_path"], mask)
        if classes and sample.fake:
            chances = rng.random(len(classes)) + skill * np.array([one == sample.family for one in classes])
            row["generators"] = dict(zip(classes, chances / chances.sum(), strict=True))
        elif classes:
            row["generators"] = dict.fromkeys(classes, 1 / len(classes))
        rows.append(row)
    facts = {"detector": "stand-in", "setting": "", "weights": f"skill {skill:g}", "weights_sha256": "0" * 64,
             "random": False, "seed": 0, "version": "0"}  # fmt: skip
    return predictions_of(rows, folder, facts)


@pytest.fixture(scope="module")
def entries(trees, tmp_path_factory):
    """Protocol, skill -> predictions of its tree, and of each degraded copy that it asks for."""
    copies: dict[tuple[object, ...], Manifest] = {}

    def of(found: Protocol, skill: float) -> list[Entry]:
        manifest = trees(found)
        brought = []
        asked_for = dict.fromkeys((part.degrade, part.degrade_only) for part in found.parts)
        for number, (chain, only) in enumerate(asked_for):
            here = manifest
            if chain:
                key = (id(manifest), chain, only)
                if key not in copies:
                    asked = select(manifest, *found.where)
                    copies[key] = degrade(
                        asked, tmp_path_factory.mktemp("copy"), read_chain(chain), name=chain, only=only, workers=0
                    )
                here = copies[key]
            folder = tmp_path_factory.mktemp("predictions")
            brought.append(Entry(_said(found, here, folder, skill=skill, seed=number), here))
        return brought

    return of


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_runs_from_scan_to_table(name, entries):
    found = read_protocol(name)
    scored = score(found, [*entries(found, 0.0), *entries(found, 100.0)], resamples=20)
    guess, knows = (run.name for run in scored.runs)
    cells = {(one.row, one.part, one.metric): one for one in scored.cells}
    columns = [part.name for part in found.parts] + ["mean"] * (found.mean and len(found.parts) > 1)
    assert set(cells) == {(run, part, metric) for run in (guess, knows) for part in columns for metric in found.metrics}
    top = 100.0 if found.percent else 1.0
    for part in found.parts:
        for metric in found.metrics:
            cell = cells[knows, part.name, metric]
            reals, fakes = COUNTS[name][part.name]
            assert (cell.reals, cell.fakes) == (reals, fakes), (part.name, metric)
            value = cell.estimate.value
            if metric == "seconds":
                assert 0.01 <= value <= 0.02
            elif math.isnan(value):
                # Only where there is nothing to measure, and then it is said why.
                assert cell.reasons
                needs_both = metric in ("AUC", "balanced accuracy")
                one_class = metric == "one-vs-rest AUC" and part.name != "all"
                assert one_class or (needs_both and not (reals and fakes)), (part.name, metric)
            elif found.calibration == "none":
                assert value == pytest.approx(top), (part.name, metric)
            else:
                assert 0 <= value <= top
        if part.name != "all" and "Real R@50" in found.metrics and not part.degrade:
            guessed = cells[guess, part.name, "Real R@50"].estimate.value
            reals = COUNTS[name][part.name][0]
            assert (guessed * reals / top) == pytest.approx(round(guessed * reals / top)), "a share of so many"
    *wide, long = tables_of(scored)
    assert len(wide) == len(found.metrics)
    assert [(row[0], row[1]) for row in long.rows] == [(one.row, one.part) for one in scored.cells]
    # Nothing here is one of the published rows, so nothing is held against them.
    assert {one.verdict for one in scored.cells} <= {"not published", "not measured", "not comparable"}


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("unbiased-raw", "matrix-accuracy"),
        ("temporal", "sweep-auc"),
        ("br-gen-figure-5", "masks"),
        ("imaginet-identification", "confusion-"),
    ],
)
def test_each_view_has_its_figure(name, figure, entries):
    found = read_protocol(name)
    page = report_of(score(found, entries(found, 0.0), resamples=20), gallery=2)
    assert any(one.name.startswith(figure) for section in page.sections for one in section.figures)


def test_a_file_called_after_a_training_is_held_against_its_row(entries):
    found = read_protocol("br-gen-table-4")
    (entry,) = entries(found, 0.0)
    facts = {**entry.predictions.facts, "detector": "trufor", "weights": "br-gen-gan.pth"}
    scored = score(found, [replace(entry, predictions=replace(entry.predictions, facts=facts))], resamples=20)
    assert [run.name for run in scored.runs] == ["TruFor, GAN"]
    cell = scored.cell("TruFor, GAN", "Diffusion", "Gen. R@50")
    assert (cell.published, cell.verdict) == (0.206, "not comparable")
    # Eighteen forgeries are not the release.
    assert cell.reasons[0].startswith("other data: ")
    assert scored.cell("TruFor, GAN", "GAN", "Gen. R@50").published is None


def test_a_time_is_never_held_against_another_machine(entries):
    found = read_protocol("imaginet-time")
    (entry,) = entries(found, 0.0)
    facts = {**entry.predictions.facts, "detector": "grag2021", "weights": "stylegan2"}
    scored = score(found, [replace(entry, predictions=replace(entry.predictions, facts=facts))], resamples=20)
    cell = scored.cell("Grag2021", "448 x 448", "seconds")
    assert (cell.published, cell.verdict, cell.reasons) == (
        0.02423, "not comparable", ("a time holds for the machine it was taken on",)
    )  # fmt: skip
    seconds = entry.predictions.table.column("seconds").to_pylist()
    assert cell.estimate.value == pytest.approx(np.median(seconds[:2]), rel=1e-6)


def test_a_test_split_alone_is_the_data_of_the_table(entries):
    """Counts of the whole set are no matter when only its val split is on disk; those of the split are."""
    found = read_protocol("genimage-cross-generator")
    (entry,) = entries(found, 0.0)
    facts = {**entry.predictions.facts, "detector": "resnet50", "weights": "genimage-sd-v1-4.pth"}
    said = replace(entry.predictions, facts=facts)
    whole = {"where": {"label": "generated"}, "count": 1_350_000, "source": "the paper"}
    for count, verdicts in ((1, {"pass", "differs"}), (6_000, {"not comparable"})):
        split = {"where": {"split": "val", "generator": "ADM"}, "count": count, "source": "the paper"}
        manifest = replace(entry.manifest, facts={**entry.manifest.facts, "published": [whole, split]})
        scored = score(found, [Entry(said, manifest)], resamples=20)
        assert scored.runs[0].name == "ResNet-50, SD V1.4"
        assert scored.cell("ResNet-50, SD V1.4", "ADM", "accuracy").verdict in verdicts
        assert scored.cell("ResNet-50, SD V1.4", "BigGAN", "accuracy").verdict in {"pass", "differs"}


def test_a_copy_in_which_all_are_degraded_is_not_one_in_which_the_fakes_are(trees, tmp_path):
    found = read_protocol("unbiased-jpeg")
    wanted = next(part for part in found.parts if part.degrade)
    asked = select(trees(found), *found.where)
    whole = degrade(asked, tmp_path / "whole", read_chain(wanted.degrade), name=wanted.degrade, workers=0)
    entry = Entry(_said(found, whole, tmp_path, skill=0.0, seed=0), whole)
    with pytest.raises(BadPredictions, match="no part of this protocol has a picture here"):
        score(found, [entry], resamples=20)


def test_reals_of_copies_whose_fakes_were_degraded_are_counted_once(entries):
    found = read_protocol("unbiased-jpeg")
    told = false_alarms(score(found, entries(found, 0.0), resamples=20))
    assert [(one.processed, one.reals) for one in told if one.sort == ALL_REALS] == [("", 24)]
    found = read_protocol("unbiased-jpeg-reals")
    told = false_alarms(score(found, entries(found, 0.0), resamples=20))
    assert {(one.processed, one.reals) for one in told if one.sort == ALL_REALS} == {
        ("", 3), ("robustness/jpeg-95", 3), ("robustness/jpeg-60", 3)
    }  # fmt: skip


def test_the_lists_that_the_document_makes_are_those_of_the_trees(tmp_path):
    """Corvi's annotations and the practical lists in their own form, through the functions of docs/protocols.md."""
    text = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    made: dict[str, Any] = {}
    exec(compile(block, "protocols.md", "exec"), made)
    rows = {}
    for name in ("corvi", "practical"):
        (tmp_path / name).mkdir()
        protocol_trees.OF_PROTOCOL[f"imaginet-{name}"](tmp_path / name)
        with (tmp_path / name / "manifest.csv").open(newline="") as stream:
            rows[name] = list(csv.DictReader(stream))
    fit = tmp_path / "fit.txt"

    def fitted(name, gap):
        chosen = [one for one in rows[name] if one["notes"].endswith(protocol_trees.FIT)]
        fit.write_text("".join(f"{one['path']}{gap}{one['label']}\n" for one in chosen))
        assert len(chosen) == 2

    fitted("corvi", ",")
    numbers = {generator: number for number, generator in enumerate(protocol_trees.CORVI)}
    lines = [f"{one['path']},{one['label']},{numbers.get(one['generator'], 0)}\n" for one in rows["corvi"]]
    (tmp_path / "annotations_corvi.txt").write_text("".join(lines))
    made["corvi"](tmp_path / "annotations_corvi.txt", fit, tmp_path / "corvi.csv")
    fitted("practical", " ")
    for name in protocol_trees.PRACTICAL:
        within = [one for one in rows["practical"] if f"practical_{name}" in one["notes"]]
        (tmp_path / f"{name}.txt").write_text("".join(f"{one['path']} {one['label']}\n" for one in within))
    lists = {name: tmp_path / f"{name}.txt" for name in protocol_trees.PRACTICAL}
    made["practical"](lists, fit, tmp_path / "practical.csv")
    for name, wanted in rows.items():
        with (tmp_path / f"{name}.csv").open(newline="") as stream:
            found = [{"generator": "", **one} for one in csv.DictReader(stream)]
        assert sorted(map(str, map(sorted, (one.items() for one in found)))) == sorted(
            map(str, map(sorted, (one.items() for one in wanted)))
        )


def test_what_is_drawn_one_to_one_is_the_same_every_time(entries):
    found = read_protocol("br-gen-table-2")
    again = [score(found, entries(found, 0.0), resamples=20) for _ in range(2)]
    ids = [one.material(one.runs[0].name, "all").ids.tolist() for one in again]
    assert ids[0] == ids[1]
    other = score(replace(found, seeds=(1,)), entries(found, 0.0), resamples=20)
    assert other.material(other.runs[0].name, "all").ids.tolist() != ids[0]
