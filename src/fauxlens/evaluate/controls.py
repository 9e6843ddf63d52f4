"""What stands beside every score: false alarms by sort of real picture, and controls that show what a number is worth.

A detector that a table of file facts beats has shown nothing; labels that were shuffled must give chance; and a real
picture that went through a phone or a network is still real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from fauxlens.audit.baseline import ALL, BaselinePlan, metadata_baseline
from fauxlens.audit.ranking import auc_estimate, shuffled
from fauxlens.core.seeds import seed_for
from fauxlens.evaluate.score import Scored, Taken
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.arrays import Flags
from fauxlens.metrics.interval import Estimate, bootstrap

ALL_REALS = "all reals"
UNKNOWN = "source not known"
_SHUFFLES = 5
_PLAN = BaselinePlan(resamples=200, permutations=199, shuffles=1, repeats=1, sample_rows=5000)


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The share of one sort of real pictures that one run calls fake; `processed` is the chain they went through."""

    run: str
    sort: str
    processed: str
    rate: Estimate
    called_fake: int
    reals: int


@dataclass(frozen=True, slots=True)
class Control:
    """One control: whether it holds (None: nothing is promised, or it was not measured), and what it says."""

    name: str
    run: str
    holds: bool | None
    sentence: str
    estimate: Estimate | None = None


def false_alarms(scored: Scored) -> tuple[FalseAlarms, ...]:
    """For each run: all its reals, each source of them, and the same again for each chain they were sent through."""
    found = []
    for run in scored.runs:
        mine = [one for one in scored.taken if one.run == run.name]
        for chain in dict.fromkeys(sorted(map(_chain_of_reals, mine))):
            same = [one for one in mine if _chain_of_reals(one) == chain]
            # Copies whose fakes alone were degraded hold the reals of the originals again.
            same = [one for one in same if one.degraded_by == chain] or same[:1]
            several = [(one, _reals(one)) for one in same]
            several = [(one, reals) for one, reals in several if reals.any()]
            if not several:
                continue
            sorts = np.concatenate([_sources(one)[reals] for one, reals in several])
            called = np.concatenate([one.probability[reals] > scored.protocol.threshold for one, reals in several])
            group = np.concatenate([one.judged.groups[reals] for one, reals in several])
            for sort in (ALL_REALS, *sorted(set(sorts))):
                keep = np.ones(len(sorts), dtype=np.bool_) if sort == ALL_REALS else sorts == sort
                rate = bootstrap(
                    _share, called[keep], purpose=f"false alarms {sort} {chain}", group=group[keep],
                    resamples=scored.resamples,
                )  # fmt: skip
                rate = _not_without_doubt(rate)
                found.append(FalseAlarms(run.name, sort, chain, rate, int(called[keep].sum()), int(keep.sum())))
    return tuple(found)


def _not_without_doubt(rate: Estimate) -> Estimate:
    """A share that was 0 or 1 in every picture: no draw ever differs, so the exact binomial says what may be missed.

    The trials are origins, not pictures: ten copies of one photo are one. With none in n origins the share may still
    be as high as 1 - 0.025 ** (1 / n).

    >>> never = _not_without_doubt(Estimate(0.0, 0.0, 0.0, groups=10))
    >>> never.low, round(never.high, 3)
    (0.0, 0.308)
    """
    if rate.low != rate.high or rate.value not in (0.0, 1.0):
        return rate
    reach = 1.0 - ((1.0 - rate.level) / 2) ** (1.0 / rate.groups)
    low, high = (0.0, reach) if rate.value == 0.0 else (1.0 - reach, 1.0)
    return replace(rate, low=low, high=high, method="exact binomial over origins")


def _chain_of_reals(taken: Taken) -> str:
    """What the real pictures of an entry went through."""
    only = taken.entry.manifest.facts.get("only") or ()
    if "label!=real" in only:
        return ""
    return f"{taken.degraded_by}, only where {' and '.join(only)}" if only else taken.degraded_by


def controls(scored: Scored, alarms: Sequence[FalseAlarms]) -> tuple[Control, ...]:
    """Metadata only, shuffled labels for each run, and processed reals for each run."""
    found = [_metadata(scored)]
    for run in scored.runs:
        mine = [one for one in scored.taken if one.run == run.name]
        found.append(_shuffled(run.name, mine, scored.resamples))
        found.append(_processed(run.name, alarms))
    return tuple(found)


def _reals(one: Taken) -> Flags:
    """Reals with a probability: those of the parts, or, of a copy that no part asks for, all."""
    reals = ~one.judged.fake & ~np.isnan(one.probability)
    return reals & one.used if one.used.any() else reals


def _sources(one: Taken) -> np.ndarray:
    return np.array([name or UNKNOWN for name in one.judged.manifest.column("source").to_pylist()], dtype=object)


def _share(called: Flags) -> float:
    return float(called.mean()) if len(called) else float("nan")


def _metadata(scored: Scored) -> Control:
    """The baseline on the pictures that were judged, each once, as they were and not degraded."""
    name = "metadata only"
    manifest = _judged_once([one for one in scored.taken if not one.degraded_by and one.used.any()])
    if manifest is None:
        return Control(name, "", None, "not measured: only degraded copies were judged")
    found = metadata_baseline(manifest, _PLAN)
    if found.skipped is not None:
        return Control(name, "", None, f"not measured: {found.skipped}")
    auc = found.variant(ALL).auc
    told = f"from the files' facts alone, without looking at a pixel, real and fake are told apart with AUC {auc}"
    # Below one half it has told nothing apart either: the labels of other folds misled it.
    if not auc.low > 0.5:
        return Control(name, "", True, f"{told}: no shortcut was shown", auc)
    return Control(
        name, "", False, f"{told}: what a detector reaches up to there may be the files' doing, not the pictures'", auc
    )


def _judged_once(taken: Sequence[Taken]) -> Manifest | None:
    tables: list[pa.Table] = []
    seen: set[str] = set()
    for one in taken:
        ids = one.judged.manifest.column("id").to_pylist()
        fresh = [used and id not in seen for used, id in zip(one.used.tolist(), ids, strict=True)]
        seen.update(id for id, keep in zip(ids, fresh, strict=True) if keep)
        tables.append(one.judged.manifest.table.filter(pa.array(fresh)))
    if not seen:
        return None
    table = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    return Manifest(table, taken[0].judged.manifest.root, "judged pictures")


def _shuffled(run: str, mine: Sequence[Taken], resamples: int) -> Control:
    """The run's own scores against labels that groups exchanged: most intervals must hold 0.5."""
    name = "shuffled labels"
    first = [one for one in mine if not one.degraded_by and one.used.any()] or [one for one in mine if one.used.any()]
    if not first or np.isnan(first[0].judged.logit).any():
        return Control(name, run, None, "not measured: there are no scores")
    fake = np.concatenate([one.judged.fake[one.used] for one in first])
    logit = np.concatenate([one.judged.logit[one.used] for one in first])
    group = np.unique(np.concatenate([one.judged.groups[one.used] for one in first]), return_inverse=True)[1]
    if fake.all() or not fake.any():
        return Control(name, run, None, "not measured: there is one class only")
    rng = np.random.default_rng(seed_for("shuffled labels", method=run))
    drawn: list[Estimate] = []
    while len(drawn) < _SHUFFLES:
        label = shuffled(fake, group, rng)
        if label.all() or not label.any():
            return Control(name, run, None, "not measured: too few groups to shuffle")
        drawn.append(auc_estimate(label, logit, group, resamples=resamples, rng=rng))
    inside = sum(one.contains(0.5) for one in drawn)
    holds = inside >= _SHUFFLES - 1  # one in twenty may miss; two of five would be rare
    told = f"with labels exchanged between origins {inside} of {_SHUFFLES} intervals of the AUC hold 0.5"
    return Control(
        name,
        run,
        holds,
        told
        + (
            ", as they must"
            if inside == _SHUFFLES
            else ", as many as can be asked"
            if holds
            else ": these intervals cannot be trusted"
        ),
        drawn[0],
    )


def _processed(run: str, alarms: Sequence[FalseAlarms]) -> Control:
    name = "processed reals"
    mine = [one for one in alarms if one.run == run and one.sort == ALL_REALS]
    plain = next((one for one in mine if not one.processed), None)
    sent = [one for one in mine if one.processed]
    if not sent:
        return Control(
            name, run, None,
            "not measured: no predictions of degraded copies of the reals were given (fauxlens degrade, then predict)",
        )  # fmt: skip
    worst = max(sent, key=lambda one: one.rate.value)
    beside = "" if plain is None else f", {plain.rate.value:.1%} as they are"
    return Control(
        name, run, None if plain is None else worst.rate.low <= plain.rate.high,
        f"at worst {worst.rate.value:.1%} of {worst.reals:,} reals are called fake (after {worst.processed}){beside}",
        worst.rate,
    )  # fmt: skip
