"""The main jobs in two minutes, on pictures that come with scikit-image: no download, no GPU.

    python examples/demo.py --output build/demo

Makes a small dataset of public-domain photos with every sort of broken file in it, scans and verifies it, forges a
region of every photo in several ways, makes the copies that a social network or a screenshot would make, and writes one
page that shows what happened. What is forged is drawn by seed, not chosen for how well it comes out.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from skimage import data

from fauxlens import Manifest, read_picture
from fauxlens.core.report import Column, Report, Section, Table
from fauxlens.core.version import __version__
from fauxlens.forge.pipeline import Forged, forge
from fauxlens.forge.recipe import read_recipe
from fauxlens.forge.sheet import report_of as forged_report
from fauxlens.images.degrade import read_chain
from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.scan import survey
from fauxlens.manifest.split import split
from fauxlens.manifest.verify import report_of, verify
from fauxlens.report import write_report
from fauxlens.report.sheet import contact_sheet

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick")
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
    report = Report(
        title="fauxlens demo",
        verdict=f"{checks.verdict} {forgeries.verdict} Each usable photo was delivered in {len(CHAINS)} ways. "
        "Nothing is inspected yet: no detector of ours has been trained.",
        sections=(
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
