"""Spectra: how power falls off with frequency, by class. Told as context, never an alarm.

A difference here has two causes that a picture alone cannot tell apart: how the file was resized and saved (a
shortcut), and how it was generated (the very trace a detector is after). So it is reported beside the same comparison
among pictures of like format, quality and size: what remains there is not due to these. The facts of the files have a
baseline of their own, and that one raises the alarm.

`series` of the result on the whole: `frequency` (cycles a pixel) and, for each of `real`, `fake` and the generators,
the mean log power.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import SEEN, ProbeContext, Rows, Wording, linear_shortcuts
from fauxlens.audit.separation import separation
from fauxlens.audit.shortcut import Shortcut

WORDING = Wording(
    "spectrum",
    "Spectra",
    "the power at 64 frequencies",
    "Context, not an alarm: generators are expected to differ here, and that is a trace a detector may use. It is a "
    "shortcut only where it stems from size or codec history.",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """Radial spectra on the whole and for each generator, and among pictures of like files."""
    radial = features.radial
    series: dict[str, tuple[float, ...]] = {"frequency": tuple(ring / 128 for ring in range(64))}
    sets = {"real": features.rows_of(None), "fake": np.flatnonzero(features.fake)}
    sets.update({name: features.rows_of(name) for name in features.generators})
    series.update({name: tuple(map(float, radial[rows].mean(0))) for name, rows in sets.items() if len(rows)})
    found = linear_shortcuts(features, context, radial, WORDING, series=series, context_only=True)
    return [one if one.skipped else replace(one, meaning=f"{WORDING.meaning} {_among_like(features, context, one)}")
            for one in found]  # fmt: skip


def _among_like(features: Features, context: ProbeContext, whole: Shortcut) -> str:
    rows = np.arange(len(features)) if whole.generator is None else np.concatenate(
        [features.rows_of(None), features.rows_of(whole.generator)])  # fmt: skip
    kept = _like_files(features, rows)
    found = separation(features.radial[kept], features.fake[kept], features.group[kept],
                       seed=context.seed_of("spectrum-like", whole.generator), permutations=199)  # fmt: skip
    if isinstance(found, str):
        return "No reals and fakes of like format, quality and size are there to compare, so the causes stay mixed."
    low, high = found.interval
    cause = "that part is not due to these" if found.p_value <= SEEN else "what differs may all be due to these"
    return (
        f"Among pictures of like format, quality and size the AUC is {found.auc:.2f} ({low:.2f} to {high:.2f}; "
        f"{found.reals} reals, {found.fakes} fakes): {cause}."
    )


def _like_files(features: Features, rows: Rows) -> Rows:
    """Equal numbers of reals and fakes from each kind of file."""
    if not features.format or features.sizes is None:
        return rows[:0]
    kinds: dict[tuple[object, ...], tuple[list[int], list[int]]] = {}
    for row in map(int, rows):
        quality = features.jpeg_quality[row]
        side = round(2 * math.log2(max(1, int(features.sizes[row].min()))))
        kind = (features.format[row], None if quality is None else quality // 4, side)
        kinds.setdefault(kind, ([], []))[int(features.fake[row])].append(row)
    kept: list[int] = []
    for reals, fakes in kinds.values():
        fewest = min(len(reals), len(fakes))
        kept += reals[:fewest] + fakes[:fewest]
    return np.array(sorted(kept), dtype=np.int64)
