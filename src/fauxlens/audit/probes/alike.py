"""How probes tell that the pictures of one set are more alike than the reals are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import (
    NO_SIGN,
    SEEN,
    Comparison,
    ProbeContext,
    Rows,
    Values,
    Wording,
    comparisons,
    distinct,
    enlarged,
    one_class,
    skipped,
    testable,
)
from fauxlens.audit.separation import Likeness, likeness
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Figure
from fauxlens.report.sheet import contact_sheet


def likeness_shortcuts(
    features: Features,
    context: ProbeContext,
    similarity_of: Callable[[Rows], Values],
    wording: Wording,
    *,
    statistic_name: str,
    effect_of: Callable[[Likeness, str], str],
    tests: int = 1,
    figure_title: str | None = None,
) -> list[Shortcut]:
    """The results of a probe on pairs; `tests` counts the probes of one family that share the level."""
    if (nothing := one_class(features, wording)) is not None:
        return nothing
    compared = comparisons(features, context)
    tests *= max(sum(testable(features, comparison) for comparison in compared), 1)
    shortcuts = []
    for done, comparison in enumerate(compared):
        context.progress(done, len(compared), wording.title)
        rows = comparison.rows
        found = likeness(
            similarity_of(rows), features.fake[rows], features.group[rows], tests=tests,
            seed=context.seed_of(wording.title, comparison.generator), permutations=context.permutations,
        )  # fmt: skip
        if isinstance(found, str):
            reason = f"{comparison.against[0].upper()}{comparison.against[1:]}: {found}"
            shortcuts.append(skipped(wording, comparison.generator, reason))
            continue
        most = rows[found.rows[np.argsort(-found.alike, kind="stable")]]
        wanted = figure_title is not None and found.p_value <= SEEN
        shortcuts.append(
            Shortcut(
                name=wording.name,
                title=wording.title,
                statistic_name=statistic_name,
                statistic=found.inside,
                interval=found.interval,
                p_value=found.p_value,
                count=found.reals + found.fakes,
                effect=effect_of(found, comparison.against),
                meaning=wording.meaning if found.p_value <= SEEN else NO_SIGN,
                generator=comparison.generator,
                examples=distinct([features.paths[row] for row in most[:8]]),
                figures=(_most_alike(features, comparison, figure_title or "", most),) if wanted else (),
                family=wording.name,
            )
        )
    return shortcuts


def of_unit_length(values: NDArray[np.float32], content: Sequence[str | None] | None = None) -> Values:
    """(N, D) -> the same without the common mean (and the mean of each content), each row of length 1, or 0."""
    centred = values - values.mean(0)
    if content is not None:
        names = np.array([name or "" for name in content])
        for name in np.unique(names[names != ""]):
            members = names == name
            # A mean of two or three pictures is mostly those pictures themselves.
            if members.sum() >= 8:
                centred[members] -= centred[members].mean(0)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    unit: Values = np.where(length > 1e-6, centred / np.maximum(length, 1e-6), 0).astype(np.float32)
    return unit


def _most_alike(features: Features, comparison: Comparison, title: str, most: Rows) -> Figure:
    name = "alike-" + "".join(c if c.isalnum() else "-" for c in comparison.generator or "fakes").strip("-").lower()
    cells = [(features.paths[row].rpartition("/")[2], enlarged(features.colour[row], 5)) for row in most[:8]]
    return contact_sheet(name, f"{title}: {comparison.against}", [cells], side=80)
