"""Findings as a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.verdict.finding import RANDOM, Finding, Opinion
from fauxlens.verdict.marks import png_of

SIDE = 1024
"""The longer side of a heatmap on the page; the files beside it are at the size of the picture."""

_HEAD = (
    Column("detector"), Column("setting"), Column("weights"), Column("score", format="+.3f"),
    Column("marked share", format=".1%"), Column("generators"), Column("seconds", format=".2f"), Column("notes"),
)  # fmt: skip


def sentence(finding: Finding) -> str:
    """The verdict in words, with the one reason that decided."""
    if finding.error is not None:
        return f"Not looked at: {finding.error.message}."
    return f"Inconclusive: {finding.reason}."


def generators(opinion: Opinion) -> str | None:
    """The scores of those that it tells apart, highest first; they are no chances either."""
    scores = opinion.prediction.generators
    if scores is None:
        return None
    return ", ".join(f"{name} {score:.2f}" for name, score in sorted(scores.items(), key=lambda one: -one[1])[:5])


def report_of(findings: Sequence[Finding], folder: Path) -> Report:
    """A page over all findings; their marks lie in `folder` already."""
    failed = sum(1 for one in findings if one.error is not None)
    at = len(findings) - failed
    looked = "1 picture was" if at == 1 else f"{at:,} pictures were"
    verdict = sentence(findings[0]) if len(findings) == 1 else (
        f"{looked} looked at, {failed:,} could not be; none of the answers is "
        "calibrated, so no verdict is drawn."
        + (f" {RANDOM[0].upper()}{RANDOM[1:]}." if any(one.reason == RANDOM for one in findings) else "")
    )  # fmt: skip
    sections = [_section(number, one, folder) for number, one in enumerate(findings)]
    missing = dict.fromkeys(one for found in findings for one in found.not_checked)
    sections.append(Section("What was not checked", tuple(f"{one[0].upper()}{one[1:]}." for one in missing)))
    return Report(
        title="What detectors say of these pictures" if len(findings) > 1 else "What detectors say of this picture",
        verdict=verdict,
        sections=tuple(sections),
        facts={"findings": [one.as_json() for one in findings]},
    )


def _section(number: int, finding: Finding, folder: Path) -> Section:
    if finding.error is not None:
        return Section(finding.path, (sentence(finding),))
    file = finding.file
    rows = tuple(
        (one.prediction.detector, one.setting, one.weights, one.prediction.logit, one.edited_share, generators(one),
         one.prediction.seconds, "; ".join(one.prediction.notes))
        for one in finding.opinions
    )  # fmt: skip
    quality = f", quality {file['jpeg_quality']}" if file.get("jpeg_quality") else ""
    figures = tuple(
        Figure(
            name=f"heatmap-{number:04d}-{place}", media_type="image/png",
            title=f"What {name} marks" if "mask" in files else f"The noise that {name} sees",
            alternative=f"The picture with the places that {name} marks in bright colours" if "mask" in files
            else f"The map of noise that {name} makes of the picture, in grey",
            data=_small(folder / files["heatmap"]), note=f"Full size: {files['heatmap']}",
        )
        for place, (name, files) in enumerate(finding.marks.items())
    )  # fmt: skip
    text = (
        sentence(finding),
        f"{str(file['format']).upper()}, {file['width']}x{file['height']}{quality}; SHA-256 {file['sha256']}.",
        *(f"{note}." for note in finding.notes),
    )
    table = Table(
        f"detectors-{number:04d}", "Detectors", _HEAD, rows, "A score above 0 leans to fake; it is no chance."
    )
    return Section(finding.path, text, (table,), figures)


def _small(path: Path) -> bytes:
    # Read by way of memory: the library cannot open every name.
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        return path.read_bytes()
    scale = SIDE / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return png_of(pixels.astype(np.uint8))
