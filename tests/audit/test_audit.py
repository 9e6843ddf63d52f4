"""The whole audit on drawn sets: the sentence, the page, the verbs, and what bad input becomes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import broken
from fauxlens.audit.audit import AuditPlan, audit
from fauxlens.audit.baseline import FILE_FACTS, BaselinePlan
from fauxlens.audit.page import facts_of, report_of
from fauxlens.cli.main import main
from fauxlens.core.errors import BadManifest, BadSetting, UnknownName
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.scan import scan
from fauxlens.report import to_html, write_report

QUICK = AuditPlan(
    per_class=40,
    per_generator=40,
    permutations=199,
    baseline=BaselinePlan(resamples=100, permutations=199, shuffles=1, repeats=1),
)
# With fewer permutations no p-value could be small enough for an alarm over all results together.
SHARP = replace(QUICK, baseline=replace(QUICK.baseline, permutations=1999))
FACTS_ONLY = replace(QUICK, per_class=0)


def picture(seed: int, height: int = 96, width: int = 96) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def write(root: Path, *, fake_format: str = "jpg", count: int = 30) -> Manifest:
    """Reals and fakes of two generators, the same in everything but, where asked, the format."""
    for label, first in (("real", 0), ("fake/alpha", 1000), ("fake/beta", 2000)):
        folder = root / label
        folder.mkdir(parents=True)
        for n in range(count if label == "real" else count // 2):
            suffix = "jpg" if label == "real" else fake_format
            Image.fromarray(picture(first + n)).save(folder / f"{n}.{suffix}", quality=90)
    return scan(root)


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write(tmp_path_factory.mktemp("leaking") / "set", fake_format="png")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write(tmp_path_factory.mktemp("clean") / "set")


def test_the_sentence_says_how_much_and_by_what(leaking):
    found = audit(leaking, SHARP)
    assert found.sentence.startswith(
        "100.0% of labels can be told without looking at a pixel, most by file format (every"
    )
    assert any(one.name == "metadata" and one.alarm for one in found.shortcuts)
    formats = next(one for one in found.shortcuts if one.name == "fact-format")
    assert formats.alarm
    assert "png" in formats.effect
    told = facts_of(found)
    assert told["all_facts"]["auc"] == 1.0
    assert set(told["all_facts"]["generators"]) == {"alpha", "beta"}
    assert told["pictures"] == 60
    json.dumps(told, allow_nan=False)


def test_a_clean_set_raises_no_alarm(clean):
    found = audit(clean, QUICK)
    assert found.alarms == ()
    assert "The files' facts were not shown to give the labels away." in found.sentence
    assert "No other shortcut was found by the probes that ran" in found.sentence


def test_the_same_seed_gives_the_same_page(leaking):
    first, second = (to_html(report_of(audit(leaking, QUICK))) for _ in range(2))
    assert first == second


def test_the_page_has_charts_then_tables_and_every_file(leaking, tmp_path):
    report = report_of(audit(leaking, QUICK))
    page = write_report(report, tmp_path, name="audit")
    text = page.read_text(encoding="utf-8")
    for name in ("roc", "generators", "confusion", "quality", "width", "height", "spectra"):
        assert (tmp_path / "figures" / f"{name}.svg").exists(), name
        assert (tmp_path / "figures" / f"{name}.png").exists(), name
    for name in ("single-facts", "probes", "format"):
        assert (tmp_path / "tables" / f"{name}.csv").exists(), name
    assert text.index("ROC of the baseline") < text.index("Each fact alone")
    assert "0.5 ±" in text
    assert len(text) < 4_000_000


def test_before_and_after(leaking, clean):
    before, after = audit(leaking, SHARP), audit(clean, FACTS_ONLY)
    report = report_of(before, after)
    assert report.sections[0].title == "Before and after"
    assert report.verdict.startswith("Before: 100.0% of labels")
    assert "After alignment:" in report.verdict
    assert len({table.name for table in report.tables()}) == len(report.tables())
    assert report.facts["after"]["pictures"] == 0


def test_one_class_only_and_nothing_at_all(leaking):
    reals = leaking.where("reals", leaking.values("label") == "real")
    found = audit(reals, QUICK)
    assert found.baseline.skipped is not None
    assert "there are no generated or edited pictures" in " ".join(found.remarks)
    assert all(one.skipped or one.statistic is not None for one in found.shortcuts)
    assert "was not run" in to_html(report_of(found))
    nothing = leaking.where("none", np.zeros(len(leaking), dtype=bool))
    assert audit(nothing, QUICK).alarms == ()
    assert to_html(report_of(audit(nothing, QUICK)))


def test_unreadable_files_and_quarantined_rows_are_counted_and_the_rest_goes_on(tmp_path):
    manifest = write(tmp_path / "set")
    (manifest.root / "real" / "0.jpg").write_bytes(b"")
    (manifest.root / "real" / "1.jpg").write_bytes(broken.jpeg(1)[:300])
    rows = [replace(s, status="empty: zero bytes") if s.path == "real/2.jpg" else s for s in manifest]
    found = audit(Manifest.from_samples(rows, manifest.root), QUICK)
    told = " ".join(found.remarks)
    assert "1 of 60 files is quarantined and was left out (empty: 1)" in told
    assert "2 of the sampled pictures could not be read" in told
    assert len(found.features) == 57


def test_joined_layouts_and_sources_that_never_meet_are_said(leaking):
    history = (
        "a: scanned 30 files as layout 'folder' with fauxlens 0",
        "b: scanned 30 files as layout 'genimage' with x",
    )
    rows = [replace(s, source="camera" if s.label == "real" else "web") for s in leaking]
    joined = Manifest.from_samples(rows, leaking.root, history=history)
    told = " ".join(audit(joined, FACTS_ONLY).remarks)
    assert "joins several layouts (folder, genimage)" in told
    assert "come from different sources throughout" in told
    assert "several layouts" not in " ".join(audit(leaking, FACTS_ONLY).remarks)


def test_facts_that_are_the_same_everywhere_claim_nothing(clean):
    same = {name: [clean.column(name).to_pylist()[0]] * len(clean) for name in ("bytes", "jpeg_quality", "metadata")}
    found = audit(clean.with_columns("the same", same), FACTS_ONLY)
    assert found.baseline.single == ()
    assert found.sentence == "The files' facts were not shown to give the labels away. No picture was looked at."
    assert "by construction" in to_html(report_of(found))


def test_nothing_tested_is_no_all_clear(tmp_path):
    manifest = write(tmp_path / "set")
    for sample in manifest:
        if sample.fake:
            manifest.path_of(sample).write_bytes(broken.jpeg(1)[:300])
    found = audit(manifest, QUICK)
    assert "Only 1 of 10 probes could run in the pictures; they found nothing." in found.sentence
    assert any("generated: 30" in line for line in found.remarks)
    with pytest.raises(BadManifest, match="--root"):
        audit(replace(manifest, root=tmp_path / "nowhere"), QUICK)


def test_plans_that_cannot_be_meant():
    with pytest.raises(BadSetting, match="negative sample"):
        AuditPlan(per_class=-1)
    with pytest.raises(UnknownName, match="Did you mean 'thumbnail'"):
        AuditPlan(probes=("thumbnails",))


def test_the_verbs(leaking, tmp_path, capsys):
    path = leaking.save(tmp_path / "m.parquet")
    written = ["--facts", str(tmp_path / "facts.csv"), "--metadata-csv", str(tmp_path / "genimage_metadata.csv")]
    facts = ["--per-class", "0", "--quiet", *written]
    assert main(["audit", str(path), "-o", str(tmp_path / "audit"), *facts]) == 0
    with (tmp_path / "facts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 60
    assert {row["aspect"] for row in rows} == {"1"}
    assert float(rows[0]["bytes_per_pixel"]) == int(rows[0]["bytes"]) / 96**2
    with (tmp_path / "genimage_metadata.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert {row["generator"] for row in table} == {"nature", "alpha", "beta"}
    assert {row["compression_rate"] for row in table if row["generator"] == "nature"} == {"90"}
    out = capsys.readouterr().out
    assert "100.0% of labels" in out
    assert "file format alone" in out
    assert "again" in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    given = [
        "align",
        str(path),
        "-o",
        str(tmp_path / "al"),
        "--recode",
        "strict",
        "--crop",
        "64",
        "--audit-pictures",
        "0",
    ]
    assert main([*given, "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "30 reals and 30 fakes before, 30 reals and 30 fakes after" in out
    assert "after, from file facts that do not depend on content: AUC 0.500" in out
    assert (tmp_path / "al" / "constrained.parquet").exists()
    assert (tmp_path / "al" / "raw.parquet").exists()
    assert "Before and after" in (tmp_path / "al" / "align.html").read_text(encoding="utf-8")
    assert main(["align", str(path), "-o", str(tmp_path / "x"), "--crop", "64"]) == 2
    assert "--recode strict" in capsys.readouterr().err
    assert main(["align", str(path), "-o", str(tmp_path / "x"), "--sides", "wide"]) == 2
    assert "LOW-HIGH" in capsys.readouterr().err


def test_alignment_closes_the_leak(leaking, tmp_path):
    from fauxlens.audit.align import align, align_recipe

    plan = replace(align_recipe("strict-96").plan, recode=replace(align_recipe("strict-96").plan.recode, crop=64))
    made = align(leaking, plan, tmp_path / "out")
    after = audit(made.manifest, FACTS_ONLY).baseline
    assert after.variant(FILE_FACTS).auc.contains(0.5)
    assert audit(made.raw, FACTS_ONLY).baseline.variant(FILE_FACTS).auc.value == 1.0
