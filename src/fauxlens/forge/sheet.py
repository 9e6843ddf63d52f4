"""The page of a forged set: how it ended, what was made, a contact sheet, what judges and the audit said."""

from __future__ import annotations

import json
import textwrap
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.core.seeds import share_of
from fauxlens.forge.cards import release_words
from fauxlens.forge.stages import read_mask
from fauxlens.images.picture import decode
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.report.sheet import contact_sheet

if TYPE_CHECKING:
    from fauxlens.audit.audit import Audit
    from fauxlens.forge.pipeline import Forged

ROWS = 12
SIDE = 150


def report_of(done: Forged, audit: Audit | None = None, *, rows: int = ROWS) -> Report:
    """The run as a report; `rows` photos are shown, drawn by hash and not by how well they came out."""
    sections = [Section("What was made", _made_text(done), (_methods_table(done),))]
    sections += _sheets(done, rows)
    if judged := _judges_table(done.manifest):
        sections.append(Section("What the judges said of what was kept", tables=(judged,)))
    lost = _lost_table(done)
    if lost.rows:
        sections.append(Section("What was not made, and why", tables=(lost,)))
    if audit is not None:
        sections.append(Section("Does the set give itself away?", _audit_text(audit)))
    return Report(
        title=f"Forged by recipe '{done.recipe.name}'",
        verdict=done.sentence[0].upper() + done.sentence[1:] + ".",
        sections=tuple(sections),
    )


def _made_text(done: Forged) -> tuple[str, ...]:
    lines = [textwrap.shorten(done.recipe.about, 400)] if done.recipe.about else []
    for mask_type, count in done.without_region.items():
        if count:
            lines.append(f"{count:,} photos have no {mask_type} region that could be found.")
    return (*lines, *(f"{one[0].upper()}{one[1:]}." for one in done.remarks))


def _methods_table(done: Forged) -> Table:
    kinds = done.recipe.perceive.mask_types
    columns = (Column("method"), *(Column(kind) for kind in kinds), Column("lacking"))
    rows = []
    for one in done.recipe.methods:
        counts = [done.made.get((kind, one.key), 0) for kind in kinds]
        lacking = sum(done.missing.get((kind, one.key), 0) for kind in kinds)
        rows.append((one.key, *counts, lacking))
    return Table("methods", "Forgeries by method", columns, tuple(rows))


def _sheets(done: Forged, count: int) -> list[Section]:
    by_photo: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    reals: dict[str, Sample] = {}
    for sample in done.manifest:
        if sample.label == "real":
            reals.setdefault(sample.origin or "", sample)
        elif sample.variant == done.recipe.compose.variants[0]:
            by_photo[sample.origin or "", sample.mask_type or ""].append(sample)
    words = list(release_words(done.recipe).values())
    sections = []
    for mask_type in done.recipe.perceive.mask_types:
        photos = sorted(
            {photo for photo, kind in by_photo if kind == mask_type}, key=lambda one: share_of("sheet", one)
        )
        rows = []
        for photo in photos[:count]:
            forged = by_photo[photo, mask_type]
            row = [("real", _small(done.manifest, reals[photo]))] if photo in reals else []
            if (path := done.manifest.mask_path_of(forged[0])) is not None:
                mask = np.repeat(read_mask(path).astype(np.uint8)[..., None] * 255, 3, axis=2)
                row.append((f"mask, {mask.mean() / 255:.0%}", _shrunk(mask)))
            made = {one.method or "": one for one in forged}
            # A method that made nothing of this photo leaves its place empty, so that columns stay columns.
            row += [(word, _small(done.manifest, made[word])) if word in made else _nothing(word) for word in words]
            rows.append(row)
        if rows:
            note = f"{len(rows)} of {len(photos):,} photos, drawn by chance; white is what was made anew."
            figure = _as_jpeg(
                contact_sheet(f"sheet-{mask_type}", f"Contact sheet, {mask_type}", rows, side=SIDE, note=note)
            )
            sections.append(Section(f"Contact sheet: {mask_type}", figures=(figure,)))
    return sections


def _as_jpeg(figure: Figure) -> Figure:
    # Photos as PNG would make a page of tens of megabytes.
    pixels = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    done, data = cv2.imencode(".jpg", np.asarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        return figure
    return Figure(figure.name, figure.title, figure.alternative, "image/jpeg", data.tobytes(), figure.note)


def _nothing(word: str) -> tuple[str, Pixels]:
    return f"{word}: none", np.full((SIDE // 2, SIDE // 2, 3), 238, np.uint8)


def _small(manifest: Manifest, sample: Sample) -> Pixels:
    return _shrunk(decode(manifest.path_of(sample).read_bytes(), where=sample.path).pixels)


def _shrunk(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "box")


def _judges_table(manifest: Manifest) -> Table | None:
    values: dict[str, list[float]] = defaultdict(list)
    said: dict[str, Counter[bool | None]] = defaultdict(Counter)
    rules: dict[str, str] = {}
    for told in manifest.column("judges").to_pylist():
        for ruling in json.loads(told) if told else ():
            rules[ruling["judge"]] = ruling["rule"]
            said[ruling["judge"]][ruling["passed"]] += 1
            if ruling["value"] is not None:
                values[ruling["judge"]].append(ruling["value"])
    if not rules:
        return None
    columns = (
        Column("judge"), Column("rule"), Column("median", format=".3g"), Column("5 %", format=".3g"),
        Column("95 %", format=".3g"), Column("could not say"),
    )  # fmt: skip
    rows = []
    for name in sorted(rules):
        known = values[name]
        spread = [float(np.quantile(known, q)) for q in (0.5, 0.05, 0.95)] if known else [None, None, None]
        rows.append((name, rules[name], *spread, said[name][None]))
    return Table("judges", "Values of what was kept", columns, tuple(rows))


def _lost_table(done: Forged) -> Table:
    rows: list[tuple[str, str, int]] = []
    rows += [("photo not used", kind, count) for kind, count in sorted(done.unreadable.items())]
    rows += [("attempt refused", judge, count) for judge, count in sorted(done.rejected.items())]
    rows += [("unit ended in an error", kind, count) for kind, count in sorted(done.failures.items())]
    rows += [("lacking in the quota", f"{kind}, {method}", n) for (kind, method), n in sorted(done.missing.items())]
    return Table("lost", "Refused, failed, lacking", (Column("what"), Column("why"), Column("how many")), tuple(rows))


def _audit_text(audit: Audit) -> tuple[str, ...]:
    return (audit.sentence, *metadata_lines(audit))


def metadata_lines(audit: Audit) -> tuple[str, ...]:
    """The metadata-only baseline in words; no shortcut means that its interval contains 0.5."""
    baseline = audit.baseline
    if baseline.skipped is not None:
        return (f"The metadata-only baseline could not be fitted: {baseline.skipped}.",)
    return tuple(
        f"Metadata only ({one.name}): AUC {one.auc}, {baseline.reals:,} reals, {baseline.fakes:,} forgeries, "
        f"{baseline.groups:,} photos."
        for one in baseline.variants
    )
