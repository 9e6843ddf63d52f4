"""How probes tell that the pictures of one class are more alike than those of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

_TOO_LITTLE = (
    "Told as context: the classes differ in this, but by too little, or too unclearly, to be called a shortcut."
)
_SIZES = ((3, "a little"), (8, "clearly"))  # in units of the least difference that is told


@dataclass(frozen=True, slots=True)
class AlikeWording:
    """How a probe on pairs speaks: of fakes that are too alike, of reals that are, and of how alike they are.

    A difference below `least` is not called by these names, however certain it is. `told` is a sentence's begin with
    places for `against` (the fakes), and for how alike `fakes` and `reals` are.
    """

    fakes: Wording
    reals: Wording
    statistic_name: str
    least: float
    told: str


def likeness_shortcuts(
    features: Features,
    context: ProbeContext,
    similarity_of: Callable[[Rows], Values],
    wording: AlikeWording,
    *,
    content: Sequence[str | None] | None = None,
    tests: int = 1,
    figure_title: str | None = None,
) -> list[Shortcut]:
    """The results of a probe on pairs; `tests` counts the probes of one family that share the level.

    Reals that are the more alike ones are a finding of their own, and of the comparison of the whole alone. With
    `content`, pictures of one content are not compared with one another.
    """
    if (nothing := one_class(features, wording.fakes)) is not None:
        return nothing
    compared = comparisons(features, context)
    tests *= max(sum(testable(features, comparison) for comparison in compared), 1)
    kind = None if content is None else _kinds(content)
    shortcuts = []
    for done, comparison in enumerate(compared):
        context.progress(done, len(compared), wording.fakes.title)
        rows = comparison.rows
        found = likeness(
            similarity_of(rows), features.fake[rows], features.group[rows], tests=tests,
            kind=None if kind is None else kind[rows], permutations=context.permutations,
            seed=context.seed_of(wording.fakes.title, comparison.generator),
        )  # fmt: skip
        if isinstance(found, str):
            reason = f"{comparison.against[0].upper()}{comparison.against[1:]}: {found}"
            shortcuts.append(skipped(wording.fakes, comparison.generator, reason))
            continue
        shortcuts.append(_told(features, comparison, found, wording, figure_title))
    return shortcuts


def _told(
    features: Features, comparison: Comparison, found: Likeness, wording: AlikeWording, figure_title: str | None
) -> Shortcut:
    seen = found.p_value <= SEEN
    enough = abs(found.difference) >= wording.least
    of_reals = seen and enough and found.difference < 0 and comparison.generator is None
    accused = seen and enough and found.difference > 0
    words, side = (wording.reals, found.reals) if of_reals else (wording.fakes, found.fakes)
    most = comparison.rows[side.rows[np.argsort(-side.each, kind="stable")]]
    wanted = figure_title is not None and (accused or of_reals)
    return Shortcut(
        name=words.name,
        title=words.title,
        statistic_name=wording.statistic_name,
        statistic=side.mean,
        interval=side.interval,
        p_value=found.p_value,
        count=found.count,
        effect=_effect_of(found, comparison.against, wording),
        meaning=_meaning_of(found, words, wording.least) if accused or of_reals else _TOO_LITTLE if seen else NO_SIGN,
        generator=comparison.generator,
        examples=distinct([features.paths[row] for row in most[:8]]),
        figures=(_most_alike(features, comparison, figure_title or "", most, of_reals),) if wanted else (),
        family=words.name,
        slight=not (accused or of_reals),
    )


def _meaning_of(found: Likeness, words: Wording, least: float) -> str:
    slight = abs(found.difference) < _SIZES[0][0] * least
    return words.slight if words.slight and slight else words.meaning


def _effect_of(found: Likeness, against: str, wording: AlikeWording) -> str:
    numbers = f"{len(found.fakes.rows)} fakes, {len(found.reals.rows)} reals; corrected p = {found.p_value:.2g}"
    if found.p_value > SEEN:
        verdict = "no more apart than chance explains"
    elif abs(found.difference) < wording.least:
        verdict = "more apart than chance explains, but by less than this shortcut leaves"
    else:
        size = next((word for limit, word in _SIZES if abs(found.difference) < limit * wording.least), "very much")
        verdict = f"{'the fakes' if found.difference > 0 else 'the reals'} are {size} more alike"
    told = wording.told.format(against=against, fakes=found.fakes.mean, reals=found.reals.mean)
    return f"{told}: {verdict} ({numbers})."


def _kinds(content: Sequence[str | None]) -> Rows | None:
    """A number for each content, and one for each picture of unknown content; None when contents say nothing."""
    if len(set(content)) < 2:
        return None
    names = [f"of its own {row}" if name is None else f"known {name}" for row, name in enumerate(content)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def of_unit_length(values: NDArray[np.float32]) -> Values:
    """(N, D) -> the same with each row of length 1, or 0."""
    length = np.sqrt((values**2).sum(1, keepdims=True))
    unit: Values = np.where(length > 1e-6, values / np.maximum(length, 1e-6), 0).astype(np.float32)
    return unit


def _most_alike(features: Features, comparison: Comparison, title: str, most: Rows, of_reals: bool) -> Figure:
    whose = "reals" if of_reals else comparison.generator or "fakes"
    name = "alike-" + "".join(c if c.isalnum() else "-" for c in whose).strip("-").lower()
    cells = [(features.paths[row].rpartition("/")[2], enlarged(features.colour[row], 5)) for row in most[:8]]
    return contact_sheet(name, f"{title}: {'the reals' if of_reals else comparison.against}", [cells], side=80)
