"""Content against label: is one subject mostly real and another mostly fake?

No `series`; a table of the most uneven contents goes with the result on the whole.
"""

from __future__ import annotations

import numpy as np

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import (
    NO_SIGN,
    SEEN,
    ProbeContext,
    Wording,
    comparisons,
    distinct,
    one_class,
    skipped,
    testable,
)
from fauxlens.audit.separation import Association, association
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.report import Column, Table

WORDING = Wording(
    "content",
    "Content against label",
    "the content",
    "What a picture shows tells how likely it is fake: a detector can learn the subject. Draw the same number of reals "
    "and fakes of each content.",
)
_SHOWN = 12


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """Cramér's V of content and label with a permutation test, on the whole and for each generator."""
    if (nothing := one_class(features, WORDING)) is not None:
        return nothing
    known = np.array([name is not None for name in features.content], dtype=bool)
    if not known.any():
        return [skipped(WORDING, None, "No picture of the sample has a known content.")]
    compared = comparisons(features, context)
    tests = sum(testable(features, comparison) for comparison in compared)
    _, numbers = np.unique([name or "" for name in features.content], return_inverse=True)
    shortcuts = []
    for comparison in compared:
        rows = comparison.rows[known[comparison.rows]]
        found = association(
            numbers[rows], features.fake[rows], features.group[rows], tests=max(tests, 1),
            seed=context.seed_of("content", comparison.generator), permutations=context.permutations,
        )  # fmt: skip
        if isinstance(found, str):
            reason = f"{comparison.against[0].upper()}{comparison.against[1:]}: {found}"
            shortcuts.append(skipped(WORDING, comparison.generator, reason))
            continue
        table, uneven = _uneven(features, rows)
        examples = [features.paths[row] for row in rows if features.fake[row] and features.content[row] in uneven]
        shortcuts.append(
            Shortcut(
                name=WORDING.name,
                title=WORDING.title,
                statistic_name="Cramér's V",
                statistic=found.strength,
                interval=found.interval,
                p_value=found.p_value,
                count=found.reals + found.fakes,
                effect=_effect_of(found, comparison.against),
                meaning=WORDING.meaning if found.p_value <= SEEN else NO_SIGN,
                generator=comparison.generator,
                examples=distinct(examples),
                tables=(table,) if comparison.generator is None else (),
                family=WORDING.name,
            )
        )
    return shortcuts


def _uneven(features: Features, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Table, set[str | None]]:
    counts: dict[str | None, list[int]] = {}
    for row in rows:
        counts.setdefault(features.content[row], [0, 0])[int(features.fake[row])] += 1
    reals, fakes = (max(1, sum(pair[k] for pair in counts.values())) for k in (0, 1))
    ordered = sorted(counts, key=lambda name: (-abs(counts[name][1] / fakes - counts[name][0] / reals), name or ""))
    columns = (Column("content"), Column("reals"), Column("fakes"), Column("share of the fakes", format=".1%"),
               Column("share of the reals", format=".1%"))  # fmt: skip
    shown = tuple((name, *counts[name], counts[name][1] / fakes, counts[name][0] / reals) for name in ordered[:_SHOWN])
    title = "The most uneven contents" + (f" ({_SHOWN} of {len(counts)})" if len(counts) > _SHOWN else "")
    surplus = {name for name in ordered[:3] if counts[name][1] / fakes > counts[name][0] / reals}
    return Table("content", title, columns, shown), surplus


def _effect_of(found: Association, against: str) -> str:
    sizes = ((0.1, "slightly"), (0.3, "noticeably"), (0.6, "strongly"))
    size = next((word for limit, word in sizes if found.strength < limit), "very strongly")
    how = "no more than chance explains" if found.p_value > SEEN else f"{size} uneven"
    return (
        f"Contents are spread over the reals and {against} {how} ({found.kinds} contents, {found.reals} reals, "
        f"{found.fakes} fakes; corrected p = {found.p_value:.2g})."
    )
