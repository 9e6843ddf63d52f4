"""The main jobs in two minutes, on pictures that come with scikit-image: no download, no GPU.

    python examples/demo.py --output build/demo

Makes a small dataset of public-domain photos with every sort of broken file in it, scans and verifies it, forges a
region of every photo in several ways, makes the copies that a social network or a screenshot would make, inspects the
photos and some of the forgeries, and writes one page that shows what happened. What is forged and what is inspected is
drawn by seed, not chosen for how well it comes out.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from skimage import data

from fauxlens import Manifest, Picture, load, read_picture
from fauxlens.core.report import Column, Report, Section, Table
from fauxlens.core.seeds import seed_for
from fauxlens.core.version import __version__
from fauxlens.forge.pipeline import Forged, forge
from fauxlens.forge.recipe import read_recipe
from fauxlens.forge.sheet import report_of as forged_report
from fauxlens.images.degrade import read_chain
from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import survey
from fauxlens.manifest.split import split
from fauxlens.manifest.verify import report_of, verify
from fauxlens.metrics.pixel import auc
from fauxlens.report import write_report
from fauxlens.report.sheet import contact_sheet
from fauxlens.verdict.finding import Finding
from fauxlens.verdict.index import write_pages
from fauxlens.verdict.inspect import DETECTOR, inspect_many
from fauxlens.verdict.marks import heatmap_of, with_marks
from fauxlens.verdict.words import with_places

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick")
EACH = 2
"""Forgeries of a photo that are inspected."""
CHAINS = ("social/whatsapp-like", "screenshot/phone", "genimage-degraded/1:jpeg-30", "genimage-degraded/1:blur-3")


def make_dataset(root: Path) -> None:
    """Six photos in several formats and qualities, and five files that nobody wants in a dataset."""
    real = root / "real" / "scikit-image"
    real.mkdir(parents=True)
    for number, name in enumerate(PHOTOS):
        pixels = np.asarray(getattr(data, name)())
        pixels = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels[..., :3]
        pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
        if number % 3 == 2:
            (real / f"{name}.png").write_bytes(encode_png(pixels))
        else:
            chroma = ("4:4:4", "4:2:0")[number % 2]
            (real / f"{name}.jpg").write_bytes(encode_jpeg(pixels, 75 + 4 * number, chroma))
    whole = (real / "astronaut.jpg").read_bytes()
    (real / "half-downloaded.jpg").write_bytes(whole[: len(whole) // 2])
    (real / "copy-of-astronaut.jpg").write_bytes(whole)
    (real / "empty.jpg").write_bytes(b"")
    (real / "not-found.jpg").write_bytes(b"<!doctype html><title>404</title>")
    (real / "really-a-png.jpg").write_bytes((real / "coffee.png").read_bytes())


def forged(clean: Manifest, folder: Path) -> Forged:
    """Every usable photo through the embedded recipe."""
    # One split for all: six photos would leave some alone in theirs, with no other photo to take a piece from.
    together = clean.with_columns("one split for so few", {"split": ["train"] * len(clean)})
    return forge(together, folder, read_recipe("embedded"), workers=0)


def inspected(made: Forged, folder: Path) -> tuple[Section, ...]:
    """Every photo and `EACH` of its forgeries through `inspect`: pages, and a table of what was found and missed."""
    manifest = made.manifest
    chosen = [one for one in manifest if one.label == "real"]
    chosen = list({one.origin: one for one in chosen}.values())
    forgeries: dict[str, list[Sample]] = {}
    for one in manifest:
        if one.label == "edited":
            forgeries.setdefault(str(one.origin), []).append(one)
    for several in forgeries.values():
        chosen += sorted(several, key=lambda one: seed_for("demo", image_id=one.id))[:EACH]
    truths: dict[str, tuple[float | None, float]] = {}
    sheet: list[list[tuple[str, Pixels]]] = []

    def looked(finding: Finding, picture: Picture) -> Finding:
        sample = chosen[len(findings)]
        mask = manifest.mask_path_of(sample)
        marked = finding.opinions[0].prediction.mask
        if mask is not None and marked is not None:
            truth = read_picture(mask, colour="stored").pixels[..., 0] > 127
            level = finding.opinions[0].level
            sheet.append([
                (f"{sample.method}, {finding.verdict}", picture.pixels),
                ("where it was forged", np.stack([truth * np.uint8(255)] * 3, axis=-1)),
                ("what is marked", heatmap_of(picture.pixels, marked)),
            ])  # fmt: skip
            truths[sample.id] = (auc(truth, marked), float((marked[truth] > level).mean()))
        return with_marks(finding, picture, folder, len(findings))

    findings: list[Finding] = []
    for finding in inspect_many([manifest.path_of(one) for one in chosen], [load(DETECTOR)], marker=looked):
        findings.append(with_places(finding).without_maps())
    write_pages(findings, folder, circumstances={"what": f"fauxlens {__version__}, examples/demo.py"})
    rows = []
    for sample, finding in zip(chosen, findings, strict=True):
        place, covered = truths.get(sample.id, (None, None))
        rows.append((
            Path(sample.path).stem.replace("_ScikitImage", ""), sample.method or "nothing", finding.verdict, place,
            covered, _outcome(sample, finding, covered),
        ))  # fmt: skip
    real = [row for row in rows if row[3] is None]
    forged_rows = [row for row in rows if row[3] is not None]
    accused = sum(row[2] in ("edited", "generated") for row in real)
    told = sum(row[2] == "edited" for row in forged_rows)
    places = sum((row[3] or 0.0) >= 0.8 for row in forged_rows)
    columns = (
        Column("file"), Column("what was done"), Column("verdict"),
        Column("pixel AUC", better="higher", format=".2f"),
        Column("forged area marked", better="higher", format=".0%"), Column("so"),
    )  # fmt: skip
    text = (
        f"Of {len(forged_rows)} forgeries {told} got the verdict edited; in {places} the marks stand out where it was "
        f"forged (pixel AUC of 0.8 or more). Of {len(real)} photos that nobody forged {accused} got a verdict. So few "
        "pictures show how it works, not how well: that is on the detector's card.",
        f"A page a picture: {folder.name}/index.html.",
    )
    table = Table("inspected", "Found and missed", columns, tuple(rows))
    shown = contact_sheet("marked", "Forged, where, and what the detector marks", sheet)
    return (Section("Inspected", text, (table,), (shown,)),)


def _outcome(sample: Sample, finding: Finding, covered: float | None) -> str:
    if sample.label == "real":
        return {"no_sign": "as it should be", "inconclusive": "left open"}.get(str(finding.verdict), "a false alarm")
    if finding.verdict == "edited":
        return "found" if (covered or 0) > 0 else "told, but marked elsewhere"
    return "left open" if finding.verdict == "inconclusive" else "missed"


def facts_of(manifests: list[tuple[str, Manifest]]) -> Table:
    """What every copy's header says."""
    columns = (
        Column("delivery"), Column("picture"), Column("size"), Column("format"), Column("JPEG quality"),
        Column("chroma"), Column("bytes"),
    )  # fmt: skip
    rows = [
        (name, s.path.rsplit("/", 1)[-1], f"{s.width} x {s.height}", s.format, s.jpeg_quality, s.subsampling, s.bytes)
        for name, manifest in manifests
        for s in manifest.usable()
    ]
    return Table("facts", "What the headers say", columns, tuple(rows))


def run(output: Path) -> Path:
    """Make everything below `output` anew; returns the page."""
    if output.exists():
        if any(output.iterdir()) and not (output / "dataset").is_dir():
            raise SystemExit(f"{output} holds something that is not an earlier demo; take another --output")
        shutil.rmtree(output)
    root = output / "dataset"
    make_dataset(root)
    found = survey(root, name="demo")
    verified = verify(found.manifest, output / "verified")
    clean = split(verified.manifest.usable())
    clean.save(output / "demo.parquet")
    copies = [("original", clean)]
    for name in CHAINS:
        folder = output / "copies" / name.replace("/", "-").replace(":", "-")
        copies.append((name, degrade(clean, folder, read_chain(name), name=name)))
    pictures = {name: {s.id: read_picture(m.path_of(s)).pixels for s in m.usable()} for name, m in copies}
    short = {name: name.rsplit(":", 1)[-1].rsplit("/", 1)[-1] for name, _ in copies}
    rows = [[(short[name], pictures[name][sample.id]) for name, _ in copies] for sample in clean]
    sheet = contact_sheet("copies", "One row a photo, one column a delivery", rows)
    checks = report_of(verified)
    made = forged(clean, output / "forged")
    forgeries = forged_report(made)
    looks = inspected(made, output / "inspected")
    report = Report(
        title="fauxlens demo",
        verdict=f"{checks.verdict} {forgeries.verdict} Each usable photo was delivered in {len(CHAINS)} ways. "
        f"{looks[0].text[0]}",
        sections=(
            *looks,
            *forgeries.sections,
            Section("The same photos, delivered", figures=(sheet,), tables=(facts_of(copies),)),
            *checks.sections,
        ),
        provenance={
            "what": f"fauxlens {__version__}, examples/demo.py",
            "on": "public-domain photos that come with scikit-image",
            "again": "make demo",
        },
        facts=checks.facts,
    )
    return write_report(report, output, name="demo")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The whole spine in a minute; writes a page.")
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    page = run(parser.parse_args().output)
    print(f"wrote {page}: open it in a browser")


if __name__ == "__main__":
    main()
