"""What the probes share: which pictures are compared, and how a comparison is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fauxlens.audit.features import Features
from fauxlens.audit.separation import FEWEST, PERMUTATIONS, Separation, separation
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.progress import Progress, silent
from fauxlens.core.report import Figure, Table
from fauxlens.core.seeds import seed_for
from fauxlens.manifest.manifest import Manifest
from fauxlens.report.sheet import contact_sheet

MOST_OF_A_CLASS = 800  # in the comparison of the whole: its cost grows with the square
MOST_REALS = 400  # beside one generator: more reals cost time and add little to what limits the comparison
SHOWN_GENERATORS = 12
SEEN = 0.05  # a corrected p-value above this is told as "no sign"
SLIGHT = 0.6  # an AUC below this is told as slight
NO_SIGN = "No sign of this shortcut in the sample; one that is smaller than the interval shows could still be there."

Values = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ProbeContext:
    """What a probe may need besides the features."""

    manifest: Manifest
    seed: int = 0
    permutations: int = PERMUTATIONS
    progress: Progress = silent

    def seed_of(self, probe: str, generator: str | None) -> int:
        """The seed of one comparison of one probe."""
        return seed_for(f"audit-{probe}-{self.seed}", source=generator or "")


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Rows of the features to compare: reals with all sorts of fakes (generator None), or with those of one."""

    generator: str | None
    rows: Rows

    @property
    def against(self) -> str:
        """The fakes in words."""
        return "the fakes" if self.generator is None else f"the pictures of {self.generator}"


@dataclass(frozen=True, slots=True)
class Wording:
    """How a probe speaks of itself: name, title, what is looked at, and what a difference means.

    `slight` is said instead of `meaning` where a difference is certain and small, and would bear less.
    """

    name: str
    title: str
    looks_at: str
    meaning: str
    slight: str = ""


def comparisons(features: Features, context: ProbeContext) -> list[Comparison]:
    """The whole, then each generator; only the whole when there is one generator and nothing else."""
    found = [Comparison(None, _some_of_both(features, context))]
    makers = {name for name, fake in zip(features.generator, features.fake, strict=True) if fake}
    if len(makers) < 2:
        return found
    reals = features.rows_of(None)
    for generator in features.generators:
        fakes = features.rows_of(generator)
        found.append(Comparison(generator, np.concatenate([_some_reals(features, context, reals, fakes), fakes])))
    return found


def one_class(features: Features, wording: Wording) -> list[Shortcut] | None:
    """The one skipped result of a sample without reals or without fakes."""
    fakes = int(features.fake.sum())
    if 0 < fakes < len(features):
        return None
    lacks = "pictures that could be read" if not len(features) else "fakes" if not fakes else "reals"
    return [skipped(wording, None, f"The sample holds no {lacks}, so there is nothing to compare.")]


def skipped(wording: Wording, generator: str | None, reason: str) -> Shortcut:
    """A result that says why there is none."""
    return Shortcut(wording.name, wording.title, generator=generator, skipped=reason, family=wording.name)


def separations(
    features: Features, context: ProbeContext, values: Values, wording: Wording
) -> list[tuple[Comparison, Separation | str]]:
    """Each comparison with how well a linear rule on (N, D) `values` tells its fakes from its reals."""
    compared = comparisons(features, context)
    tests = sum(testable(features, comparison) for comparison in compared)
    found: list[tuple[Comparison, Separation | str]] = []
    for done, comparison in enumerate(compared):
        context.progress(done, len(compared), wording.title)
        rows = comparison.rows
        found.append((comparison, separation(
            values[rows], features.fake[rows], features.group[rows], tests=max(tests, 1),
            seed=context.seed_of(wording.name, comparison.generator), permutations=context.permutations,
        )))  # fmt: skip
    return found


def testable(features: Features, comparison: Comparison) -> bool:
    """Whether there are enough independent pictures; what cannot be tested takes no share of the level."""
    fake, group = features.fake[comparison.rows], features.group[comparison.rows]
    return min(len(np.unique(group[fake])), len(np.unique(group[~fake]))) >= FEWEST


def linear_shortcuts(
    features: Features,
    context: ProbeContext,
    values: Values,
    wording: Wording,
    *,
    figures: Callable[[], tuple[Figure, ...]] = tuple,
    tables: Callable[[], tuple[Table, ...]] = tuple,
    series: Mapping[str, tuple[float, ...]] | None = None,
    context_only: bool = False,
) -> list[Shortcut]:
    """The results of a probe that is one linear rule on `values`.

    Tables, series and, if anything differs, figures go with the result on the whole.
    """
    if (nothing := one_class(features, wording)) is not None:
        return nothing
    shortcuts = []
    results = separations(features, context, values, wording)
    # A figure of a difference that is not there would be read as one.
    telling = any(not isinstance(found, str) and found.p_value <= SEEN for _, found in results)
    for comparison, found in results:
        if isinstance(found, str):
            reason = f"{comparison.against[0].upper()}{comparison.against[1:]}: {found}"
            shortcuts.append(skipped(wording, comparison.generator, reason))
            continue
        whole = comparison.generator is None
        shortcuts.append(
            Shortcut(
                name=wording.name,
                title=wording.title,
                statistic_name="AUC",
                statistic=found.auc,
                interval=found.interval,
                p_value=None if context_only else found.p_value,
                count=found.reals + found.fakes,
                effect=effect_of(found, wording.looks_at, comparison.against),
                meaning=wording.meaning if context_only else _meaning_of(found, wording),
                generator=comparison.generator,
                examples=_most_telling(features, comparison, found),
                tables=tables() if whole else (),
                figures=figures() if whole and telling else (),
                family=wording.name,
                series=dict(series or {}) if whole else {},
            )
        )
    return shortcuts


def effect_of(found: Separation, looks_at: str, against: str) -> str:
    """How large a separation is, in words."""
    if found.p_value > SEEN:
        # With pairs of one origin the permutations keep what the origins share, and so does the AUC.
        chance = "the choice of their origins explains" if found.interval[0] > 0.5 else "chance explains"
        return (
            f"From {looks_at} alone, {against} cannot be told from the reals better than {chance} "
            f"({found.reals} reals, {found.fakes} fakes; corrected p = {found.p_value:.2g})."
        )
    sizes = ((SLIGHT, "Slightly"), (0.75, "Noticeably"), (0.9, "Strongly"), (0.99, "Very strongly"))
    size = next((word for limit, word in sizes if found.auc < limit), "All but completely")
    return (
        f"{size} different: from {looks_at} alone, a linear rule puts a fake above a real in {found.auc:.0%} of the "
        f"pairs it has not seen ({found.reals} reals, {found.fakes} fakes; corrected p = {found.p_value:.2g})."
    )


def _meaning_of(found: Separation, wording: Wording) -> str:
    if found.p_value > SEEN:
        return NO_SIGN
    return wording.slight if wording.slight and found.auc < SLIGHT else wording.meaning


def mean_sheet(features: Features, name: str, title: str, picture_of: Callable[[Rows], NDArray[np.uint8]]) -> Figure:
    """A contact sheet of `picture_of` the reals, the fakes, and each generator (the first dozen)."""
    first = [("real", features.rows_of(None)), ("fake", np.flatnonzero(features.fake))]
    others = [(generator, features.rows_of(generator)) for generator in features.generators[:SHOWN_GENERATORS]]
    cells = [(f"{label} ({len(rows)})", picture_of(rows)) for label, rows in (*first, *others) if len(rows)]
    if len(features.generators) == 1:
        cells = cells[:2]
    note = None
    if len(features.generators) > SHOWN_GENERATORS:
        note = f"The first {SHOWN_GENERATORS} of {len(features.generators)} generators."
    return contact_sheet(name, title, [cells[at : at + 6] for at in range(0, len(cells), 6)], side=96, note=note)


def enlarged(values: Values, times: int, spread: float | None = None) -> NDArray[np.uint8]:
    """(h, w) or (h, w, 3) -> pixels for a sheet: 0 to 1 as it is, or -spread to spread around mid grey."""
    scaled = values * 255 if spread is None else 127.5 + 127.5 * values / max(spread, 1e-6)
    pixels = np.clip(scaled, 0, 255).astype(np.uint8).repeat(times, 0).repeat(times, 1)
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)


def distinct(paths: Sequence[str], most: int = 4) -> tuple[str, ...]:
    """The first few paths, each once."""
    return tuple(dict.fromkeys(paths))[:most]


def _some_of_both(features: Features, context: ProbeContext) -> Rows:
    """All rows, or up to the limit of each class; what belongs to one origin is taken or left together."""
    names, number = np.unique(features.group, return_inverse=True)
    turn = np.random.default_rng(context.seed_of("whole", None)).permutation(len(names))[number]
    kept = []
    for side in (False, True):
        rows = np.flatnonzero(features.fake == side)
        kept.append(rows[np.argsort(turn[rows], kind="stable")][:MOST_OF_A_CLASS])
    return np.asarray(np.sort(np.concatenate(kept)), dtype=np.int64)


def _some_reals(features: Features, context: ProbeContext, reals: Rows, fakes: Rows) -> Rows:
    """All reals that share an origin with one of `fakes`, and others by chance up to the limit."""
    if len(reals) <= MOST_REALS:
        return reals
    related = np.isin(features.group[reals], features.group[fakes])
    others = np.random.default_rng(context.seed_of("reals", None)).permutation(reals[~related])
    kept = np.concatenate([reals[related], others[: max(MOST_REALS - int(related.sum()), MOST_REALS // 4)]])
    return np.asarray(np.sort(kept), dtype=np.int64)


def _most_telling(features: Features, comparison: Comparison, found: Separation) -> tuple[str, ...]:
    fakes = np.flatnonzero(found.fake)
    best = fakes[np.argsort(-found.scores[fakes], kind="stable")]
    return distinct([features.paths[comparison.rows[found.rows[at]]] for at in best[:8]])
