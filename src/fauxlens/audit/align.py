"""A training set whose files do not give the label away: choose, match, write anew; and the unmatched set beside it.

`raw.parquet` has as many images of each class as `constrained.parquet`, drawn from all, so that a detector trained on
either shows what the shortcut was worth, and not what more data was. Where splits are kept apart, that holds in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauxlens.audit.baseline import PAIR
from fauxlens.audit.facts import coded
from fauxlens.audit.matching import (
    MATCHABLE,
    Flags,
    Integers,
    Loss,
    Matching,
    drawing_order,
    is_fake,
    match_exact,
    match_pairs,
    require_generators,
    whole_numbers,
)
from fauxlens.audit.recode import RecodePlan, recode
from fauxlens.core.errors import BadManifest, BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.progress import Progress, silent
from fauxlens.core.report import Column, Table
from fauxlens.images.degrade.step import check_choice, check_number
from fauxlens.manifest.layouts.layout import counted
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.schema import OK

RAW, CONSTRAINED = "raw.parquet", "constrained.parquet"


@dataclass(frozen=True, kw_only=True)
class AlignPlan:
    """What is chosen, what is matched, and how it is written.

    Chosen: fakes of `generators` (all when empty); reals with both sides within `least_side` and `most_side` and of
    `real_quality`. Matched: the facts of `match` (see MATCHABLE), `exact` (equal numbers in every cell; sizes in steps
    of `size_step` for size_range) or in `pairs` (one to one, within `caliper`); `balance_content` asks for the same
    content class as well, and `within_splits` for the same split. Written: `recode`, or nothing when None. The raw set
    draws its reals from all, or with `raw_from_source` from the chosen fakes' own source first, as `modes.classic`
    does. `seed` draws.
    """

    generators: tuple[str, ...] = ()
    least_side: int | None = None
    most_side: int | None = None
    real_quality: int | None = None
    match: tuple[str, ...] = ()
    method: str = "exact"
    size_step: int = 64
    caliper: float = 1.0
    balance_content: bool = False
    within_splits: bool = False
    raw_from_source: bool = False
    recode: RecodePlan | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        for name in self.match:
            if name not in MATCHABLE:
                raise unknown(name, MATCHABLE, "fact to match on")
        check_choice("method", self.method, ("exact", "pairs"))
        check_number("size_step", self.size_step, 1, 65536, whole=True, ranges=False)
        check_number("caliper", self.caliper, 0, 1e6, ranges=False)
        if self.least_side is not None and self.most_side is not None and self.least_side > self.most_side:
            raise BadSetting("no side can be both", got=f"least_side {self.least_side}, most_side {self.most_side}")
        if self.method == "pairs" and not self.match:
            raise BadSetting(
                "pairs need facts to be near in",
                wanted="facts to match",
                got="none",
                hint="add --match size (in Python: match=('size',))",
            )


@dataclass(frozen=True, eq=False)
class Aligned:
    """The constrained manifest, the raw one of the same numbers, and what became of every row.

    `before` and `after` are (reals, fakes); for each class they differ by the sum of its `losses`. `remarks` say where
    the raw set is not what was asked for.
    """

    manifest: Manifest
    raw: Manifest
    losses: tuple[Loss, ...]
    before: tuple[int, int]
    after: tuple[int, int]
    mean_distance: float | None = None
    remarks: tuple[str, ...] = ()

    def table(self) -> Table:
        """The losses as a table, from the first step to the last."""
        columns = (Column("class"), Column("left out because"), Column("images"))
        rows = tuple((loss.label, loss.reason, loss.count) for loss in self.losses)
        before, after = (f"{reals:,} reals and {fakes:,} fakes" for reals, fakes in (self.before, self.after))
        note = f"{before} before, {after} after"
        if self.mean_distance is not None:
            note += f"; pairs are {self.mean_distance:.3g} apart on average"
        note = "; ".join((note, *self.remarks))
        return Table("alignment-losses", "What alignment left out", columns, rows, note)


@dataclass(frozen=True)
class AlignRecipe:
    """A plan with a name, and a sentence for people."""

    name: str
    summary: str
    plan: AlignPlan


_FAITHFUL_96 = RecodePlan(mode="faithful", quality=96, subsampling="4:2:0")


def _unbiased(name: str, generator: str) -> AlignRecipe:
    plan = AlignPlan(
        generators=(generator,), least_side=450, most_side=550, real_quality=96, balance_content=True,
        within_splits=True, raw_from_source=True, recode=_FAITHFUL_96,
    )  # fmt: skip
    summary = f"UnbiasedGenImage's set for {generator}: reals of 450-550 px and quality 96, fakes once through JPEG 96"
    return AlignRecipe(name, summary, plan)


RECIPES: Mapping[str, AlignRecipe] = {
    recipe.name: recipe
    for recipe in (
        _unbiased("wukong-450-550-96", "wukong"),
        _unbiased("sd14-450-550-96", "stable_diffusion_v_1_4"),
        _unbiased("sd15-450-550-96", "stable_diffusion_v_1_5"),
        AlignRecipe(
            "strict-96",
            "every file decoded, cut to 256 px and saved at quality 96, 4:4:4, by one encoder; as many of both classes",
            AlignPlan(recode=RecodePlan(quality=96, crop=256)),
        ),
        AlignRecipe(
            "strict-96-history",
            "strict-96, and fakes that were never a JPEG go through one like the reals' first",
            AlignPlan(recode=RecodePlan(quality=96, crop=256, history=True)),
        ),
        AlignRecipe(
            "matched-files",
            "no file is touched: equal numbers for each size, format, quality and subsampling",
            AlignPlan(match=("size", "format", "quality", "subsampling")),
        ),
    )
}
"""Named plans."""


def align_recipe(name: str) -> AlignRecipe:
    """The recipe called `name`."""
    if name not in RECIPES:
        raise unknown(name, RECIPES, "alignment recipe")
    return RECIPES[name]


def align(
    manifest: Manifest, plan: AlignPlan, folder: Path, *, workers: int = 1, progress: Progress = silent
) -> Aligned:
    """Choose, match and write; saves `raw.parquet` and `constrained.parquet` into `folder`.

    Pairs of which one picture cannot be read are left out whole. The same call goes on after any kind of end.
    """
    folder = Path(folder)
    aligned = constrain(manifest, plan)
    if plan.recode is not None:
        aligned = _recoded(aligned, plan, plan.recode, folder, workers, progress)
    aligned.raw.save(folder / RAW)
    aligned.manifest.save(folder / CONSTRAINED)
    return aligned


def constrain(manifest: Manifest, plan: AlignPlan) -> Aligned:
    """Choose and match, without writing anything: what `align` would keep, before any file is written anew.

    The kept manifest has a further column `pair`, which a real and a fake share.
    """
    # A published list is enough to match on, but not to read pixels from.
    usable = manifest.usable(listed=plan.recode is None)
    _require_files(manifest, usable)
    _require_both(usable, "in this manifest", "alignment compares two classes")
    before = _counts(usable)
    losses: list[Loss] = []
    pool = _step(usable, _of_generators(usable, plan.generators), f"not made by {' or '.join(plan.generators)}", losses)
    chosen = _chosen(pool, plan, losses)
    matching = _matched(chosen, plan)
    losses += matching.losses
    kept = _kept(chosen, plan, matching)
    after = _counts(kept)
    raw, remarks = _raw(pool, kept, plan, _own_reals(usable, pool, plan))
    return Aligned(kept, raw, tuple(losses), before, after, matching.mean_distance, remarks)


def _chosen(pool: Manifest, plan: AlignPlan, losses: list[Loss]) -> Manifest:
    fake = is_fake(pool)
    width, height = whole_numbers(pool, "width"), whole_numbers(pool, "height")
    if plan.least_side is not None or plan.most_side is not None:
        low, high = plan.least_side or 0, plan.most_side or np.iinfo(np.int32).max
        inside = (np.minimum(width, height) >= low) & (np.maximum(width, height) <= high)
        pool = _step(pool, fake | inside, f"a side outside {low}-{'' if plan.most_side is None else high} px", losses)
    if plan.real_quality is not None:
        right = whole_numbers(pool, "jpeg_quality") == plan.real_quality
        pool = _step(pool, is_fake(pool) | right, f"not of JPEG quality {plan.real_quality}", losses)
    if plan.recode is not None and plan.recode.crop is not None:
        shorter = np.minimum(whole_numbers(pool, "width"), whole_numbers(pool, "height"))
        pool = _step(pool, shorter >= plan.recode.crop, f"smaller than the crop of {plan.recode.crop} px", losses)
    return pool


def _step(manifest: Manifest, keep: Flags, reason: str, losses: list[Loss]) -> Manifest:
    if keep.all():
        return manifest
    fake = is_fake(manifest)
    losses += [
        Loss(label, reason, count)
        for label, mask in (("real", ~fake), ("fake", fake))
        if (count := int((mask & ~keep).sum()))
    ]
    kept = manifest.where(f"without: {reason}", keep)
    _require_both(kept, f"after leaving out: {reason}", "widen what is chosen")
    return kept


def _matched(manifest: Manifest, plan: AlignPlan) -> Matching:
    within = _within(manifest, plan)
    if plan.method == "pairs":
        return match_pairs(manifest, plan.match, caliper=plan.caliper, within=within)
    facts = tuple(dict.fromkeys((*plan.match, *within)))
    return match_exact(manifest, facts, size_step=plan.size_step, seed=plan.seed)


def _within(manifest: Manifest, plan: AlignPlan) -> tuple[str, ...]:
    """What must be equal besides the facts of `match`: split only where the manifest has splits."""
    splits = plan.within_splits and bool(coded(manifest, "split")[1])
    return (("content",) if plan.balance_content else ()) + (("split",) if splits else ())


def _kept(manifest: Manifest, plan: AlignPlan, matching: Matching) -> Manifest:
    """The pairs' rows in the manifest's order, with a column that names each pair by its real."""
    ids = manifest.values("id").astype(object)
    names = np.full(len(manifest), None, dtype=object)
    names[matching.real] = names[matching.fake] = ids[matching.real]
    rows = np.sort(np.concatenate([matching.real, matching.fake]))
    facts = ", ".join(dict.fromkeys((*plan.match, *_within(manifest, plan))))
    what = f"matched on {facts}" if facts else "as many reals as fakes"
    why = f"{what} ({plan.method}, seed {plan.seed})"
    kept = manifest.take(why, rows)
    return kept.with_columns("pairs named in column 'pair'", {PAIR: pa.array(names[rows].tolist(), type=pa.string())})


def _own_reals(usable: Manifest, pool: Manifest, plan: AlignPlan) -> Flags | None:
    """The pool's reals with the source of the chosen fakes; None where the plan does not ask.

    A source that fakes of other generators share (a merged tree) is nobody's own.
    """
    if not plan.raw_from_source:
        return None
    all_codes, all_names = coded(usable, "source")
    others = ~_of_generators(usable, plan.generators)
    shared = {all_names[code] for code in np.unique(all_codes[others]) if code >= 0}
    codes, names = coded(pool, "source")
    fake = is_fake(pool)
    mine = [code for code in np.unique(codes[fake]) if code >= 0 and names[code] not in shared]
    return np.asarray(~fake & np.isin(codes, mine), dtype=bool)


def _raw(pool: Manifest, like: Manifest, plan: AlignPlan, own: Flags | None) -> tuple[Manifest, tuple[str, ...]]:
    """As many of each class as `like` has (in each split, where splits are kept apart), from `own` reals first.

    -> the rows, and what is to be said about them.
    """
    chance = drawing_order(pool, f"raw {plan.seed}")
    fake = is_fake(pool)
    later = np.zeros(len(pool), dtype=bool) if own is None else ~fake & ~own
    apart = plan.within_splits or "split" in plan.match
    here, wanted = (m.column("split").to_numpy().astype(object) if apart else np.zeros(len(m)) for m in (pool, like))
    wanted_fake = is_fake(like)
    drawn: list[Integers] = []
    for split in dict.fromkeys(wanted.tolist()):
        for made in (False, True):
            rows = np.flatnonzero((fake == made) & (here == split))
            count = int(((wanted_fake == made) & (wanted == split)).sum())
            drawn.append(rows[np.lexsort((chance[rows], later[rows]))[:count]])
    taken = np.sort(np.concatenate(drawn))
    reals, fakes = _counts(like)
    foreign = int(later[taken].sum())
    remarks: tuple[str, ...] = ()
    if own is not None and not own.any():
        remarks = ("raw set: no real has a source that is the chosen fakes' own, so its reals are drawn from all",)
    elif foreign:
        remarks = (f"raw set: the fakes' own source has too few reals, so {foreign:,} are drawn from the others",)
    where = "" if own is None else ", reals from the fakes' own source first"
    why = f"raw: {reals:,} reals and {fakes:,} fakes drawn without matching{where} (seed {plan.seed})"
    made_of = pool.take("; ".join((why, *remarks)), taken)
    return replace(made_of, name=f"{pool.name.removesuffix('-raw')}-raw"), remarks


def _recoded(
    aligned: Aligned, plan: AlignPlan, how: RecodePlan, folder: Path, workers: int, progress: Progress
) -> Aligned:
    written = recode(aligned.manifest, folder, how, seed=plan.seed, workers=workers, progress=progress)
    written = replace(written, name=f"{aligned.raw.name.removesuffix('-raw')}-constrained")
    bad = np.asarray(pc.not_equal(written.column("status"), OK).to_numpy(), dtype=bool)
    if not bad.any():
        return replace(aligned, manifest=written)
    codes, _ = coded(written, PAIR)
    torn = np.isin(codes, codes[bad])
    losses = list(aligned.losses)
    fake = is_fake(written)
    for label, mask in (("real", ~fake), ("fake", fake)):
        losses.append(Loss(label, "could not be read or written", int((mask & bad).sum())))
        losses.append(Loss(label, "its partner could not be read or written", int((mask & torn & ~bad).sum())))
    if torn.all():
        first = written.where("failed", bad)[0]
        raise BadManifest("no pair could be written", where=first.path, got=first.status, hint="run `fauxlens verify`")
    kept = written.where("without pairs of which one could not be read", ~torn)
    after = _counts(kept)
    raw, remarks = _raw(aligned.raw, kept, plan, _own_reals(aligned.raw, aligned.raw, plan))
    told = tuple(x for x in losses if x.count)
    return replace(aligned, manifest=kept, raw=raw, losses=told, after=after, remarks=remarks)


def _of_generators(manifest: Manifest, generators: tuple[str, ...]) -> Flags:
    fake = is_fake(manifest)
    if not generators:
        return np.ones(len(manifest), dtype=bool)
    codes, names = coded(manifest, "generator")
    require_generators(manifest, names, generators[0])
    for name in generators:
        if name not in names:
            raise unknown(name, names, "generator in this manifest")
    return ~fake | np.isin(codes, [names.index(name) for name in generators])


def _counts(manifest: Manifest) -> tuple[int, int]:
    fakes = int(is_fake(manifest).sum())
    return len(manifest) - fakes, fakes


def _require_files(manifest: Manifest, usable: Manifest) -> None:
    """Say so when a class has no usable row only because its rows come from a list."""
    known = manifest.usable(listed=True)
    listed = len(known) - len(usable)
    if any(there and not here for there, here in zip(_counts(known), _counts(usable), strict=True)):
        raise BadManifest(
            f"{counted(listed, 'row')} of this manifest come from a published list alone: their files are not on this "
            "disk, so they cannot be written anew",
            where=manifest.name,
            hint="scan the folder that has the files, or choose and match without writing any: --recode none "
            "(AlignPlan(recode=None)), which works on lists",
        )


def _require_both(manifest: Manifest, when: str, hint: str) -> None:
    reals, fakes = _counts(manifest)
    if not reals or not fakes:
        gone = "real" if not reals else "fake"
        raise BadManifest(
            f"one class only {when}", wanted="real and fake pictures", got=f"{reals:,} reals, {fakes:,} fakes",
            hint=f"{hint}: there is no {gone} picture",
        )  # fmt: skip
