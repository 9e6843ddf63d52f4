"""UnbiasedGenImage's ways of choosing rows (its `get_data`), as functions on our manifests.

What its code takes from folder names is a column here: the folder of a real is its `source`, train or val its `split`,
the ImageNet class its `content`. Quality is asked of reals only, because for the PNG fakes it is null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fauxlens.audit.facts import coded
from fauxlens.audit.matching import (
    Flags,
    Integers,
    drawing_order,
    is_fake,
    match_exact,
    require_generators,
    whole_numbers,
)
from fauxlens.core.errors import BadManifest, BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.report import Column, Table
from fauxlens.manifest.manifest import Manifest

VALIDATION = "val"


@dataclass(frozen=True, kw_only=True)
class ModePlan:
    """What a mode asks for; each mode reads the fields that it names. `seed` is the reference's."""

    generator: str
    split: str | None = None
    quality: int = 96
    least_side: int = 450
    most_side: int = 550
    balance: bool = False
    trained_on: str | None = None
    least_quality: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        if self.least_side > self.most_side:
            raise BadSetting("no side can be both", got=f"least_side {self.least_side}, most_side {self.most_side}")


def choose_by_mode(manifest: Manifest, mode: str, plan: ModePlan) -> Manifest:
    """The rows that `mode` (one of MODES) takes."""
    if mode not in MODES:
        raise unknown(mode, MODES, "selection mode")
    there_are = sorted(str(name) for (name,) in manifest.count("generator") if name is not None)
    require_generators(manifest, there_are, plan.generator)
    if plan.generator not in there_are:
        raise unknown(plan.generator, there_are, "generator in this manifest")
    return MODES[mode](manifest, plan)


def classic(manifest: Manifest, plan: ModePlan) -> Manifest:
    """Every row of the generator's folder: its fakes, and the reals with the same source."""
    rows = _Rows(manifest, plan)
    return manifest.where(f"classic {plan.generator}{rows.split_words}", rows.in_split & (rows.made | rows.own_reals()))


def jpeg96(manifest: Manifest, plan: ModePlan) -> Manifest:
    """The folder's reals of one quality, and as many of its fakes, drawn by seed (the reference does not seed it)."""
    rows = _Rows(manifest, plan)
    reals = rows.in_split & rows.own_reals() & (rows.quality == plan.quality)
    chosen = manifest.where(
        f"jpeg96 {plan.generator}: reals of quality {plan.quality}", reals | rows.in_split & rows.made
    )
    return _as_many_fakes(chosen, plan.seed)


def size_constrained(manifest: Manifest, plan: ModePlan) -> Manifest:
    """Reals from every folder within a range of sides and of one quality, and the generator's fakes.

    Without `balance` the fakes are drawn down to the number of reals; with it, all fakes are kept and each content
    class then has as many of both.
    """
    rows = _Rows(manifest, plan)
    reals = rows.in_split & ~rows.fake & rows.in_range() & (rows.quality == plan.quality)
    why = f"size-constrained {plan.generator}: reals of {plan.least_side}-{plan.most_side} px, quality {plan.quality}"
    chosen = manifest.where(why, reals | rows.in_split & rows.made)
    return balanced_by_content(chosen, plan.seed) if plan.balance else _as_many_fakes(chosen, plan.seed)


def imagenet_jpeg(manifest: Manifest, plan: ModePlan) -> Manifest:
    """Validation rows of the folder of at least one quality; rows of unknown quality fall out, as in the reference."""
    rows = _Rows(manifest, plan)
    here = (rows.split == VALIDATION) & (rows.made | rows.own_reals())
    lost = int((here & rows.made & (rows.quality < 0)).sum())
    why = (
        f"imagenet-jpeg {plan.generator}: quality of {plan.quality} or more ({lost:,} fakes without a quality fell out)"
    )
    return manifest.where(why, here & (rows.quality >= plan.quality))


def size(manifest: Manifest, plan: ModePlan) -> Manifest:
    """For evaluation: validation fakes, and reals within a range that the generator trained on has not been seen with.

    Those are the reals of validation, and those of any folder but `trained_on`.
    """
    rows = _Rows(manifest, plan)
    if plan.trained_on is None:
        raise BadSetting("mode 'size' needs to know what was trained on", wanted="trained_on", got="nothing")
    seen = rows.folder_of(plan.trained_on) & (rows.split != VALIDATION)
    reals = ~rows.fake & ~seen & rows.in_range()
    if plan.least_quality is not None:
        reals &= rows.quality >= plan.least_quality
    why = f"size {plan.generator}: reals of {plan.least_side}-{plan.most_side} px not seen with {plan.trained_on}"
    return manifest.where(why, reals | rows.made & (rows.split == VALIDATION))


def balanced_by_content(manifest: Manifest, seed: int = 42) -> Manifest:
    """min(reals, fakes) of each content class, drawn by seed; rows without one fall out."""
    matched = match_exact(manifest, ["content"], seed=seed)
    rows = np.sort(np.concatenate([matched.real, matched.fake]))
    return manifest.take(f"balanced by content (seed {seed})", rows)


MODES: dict[str, Callable[[Manifest, ModePlan], Manifest]] = {
    "classic": classic,
    "jpeg96": jpeg96,
    "size_constrained": size_constrained,
    "imagenet_jpeg": imagenet_jpeg,
    "size": size,
}
"""Name of a mode -> the function that chooses its rows."""

SIZE_BINS: dict[str, tuple[int, int]] = {
    "stable_diffusion_v_1_4": (450, 550),
    "stable_diffusion_v_1_5": (450, 550),
    "wukong": (450, 550),
    "BigGAN": (110, 146),
    "ADM": (230, 280),
    "glide": (230, 280),
    "VQDM": (230, 280),
    "Midjourney": (940, 1100),
}
"""Ranges of sides for reals: the authors' for the first three, a public re-user's for the others."""


def bin_table(manifest: Manifest, quality: int = 96) -> Table:
    """How many reals each of SIZE_BINS keeps, of any quality and of one."""
    real = ~is_fake(manifest)
    width, height, level = (whole_numbers(manifest, name) for name in ("width", "height", "jpeg_quality"))
    rows = []
    for generator, (least, most) in SIZE_BINS.items():
        inside = real & (np.minimum(width, height) >= least) & (np.maximum(width, height) <= most)
        rows.append((generator, least, most, int(inside.sum()), int((inside & (level == quality)).sum())))
    columns = (
        Column("generator"),
        Column("least side", "px"),
        Column("most side", "px"),
        Column("reals inside"),
        Column(f"of quality {quality}"),
    )
    return Table("size-bins", "Reals that a size range keeps", columns, tuple(rows))


class _Rows:
    """The columns that modes ask about."""

    def __init__(self, manifest: Manifest, plan: ModePlan) -> None:
        self.manifest, self.plan = manifest, plan
        self.fake = is_fake(manifest)
        self.made = self.fake & self._equals("generator", plan.generator)
        self.quality = whole_numbers(manifest, "jpeg_quality")
        codes, names = coded(manifest, "split")
        self.split = np.asarray([*names, ""], dtype=object)[codes]
        self.in_split: Flags = np.ones(len(manifest), dtype=bool) if plan.split is None else self.split == plan.split
        self.split_words = "" if plan.split is None else f", split {plan.split}"

    def own_reals(self) -> Flags:
        """The reals of the folder of the plan's generator."""
        found = ~self.fake & self.folder_of(self.plan.generator)
        if not found.any():
            raise BadManifest(
                f"no real has the source of a {self.plan.generator} picture",
                got=", ".join(str(source) for (source,) in self.manifest.count("source"))[:200],
                hint="choose mode 'size_constrained', which takes reals of every folder",
            )
        return found

    def folder_of(self, generator: str) -> Flags:
        """Rows with the source of this generator's fakes."""
        codes, _ = coded(self.manifest, "source")
        mine = np.unique(codes[self.fake & self._equals("generator", generator)])
        return np.isin(codes, mine[mine >= 0])

    def in_range(self) -> Flags:
        """Rows with both sides within the plan's range."""
        width, height = whole_numbers(self.manifest, "width"), whole_numbers(self.manifest, "height")
        return (np.minimum(width, height) >= self.plan.least_side) & (np.maximum(width, height) <= self.plan.most_side)

    def _equals(self, name: str, value: str) -> Flags:
        codes, names = coded(self.manifest, name)
        # No row has the code -2, so a value that does not occur gives no row.
        return np.asarray(codes == (names.index(value) if value in names else -2), dtype=bool)


def _as_many_fakes(manifest: Manifest, seed: int) -> Manifest:
    fake = is_fake(manifest)
    reals, fakes = np.flatnonzero(~fake), np.flatnonzero(fake)
    if not len(reals) or not len(fakes):
        raise BadManifest(
            "one class only is left", got=f"{len(reals)} reals, {len(fakes)} fakes", hint="widen the range"
        )
    chance = drawing_order(manifest, f"mode {seed}")
    drawn: Integers = fakes[np.argsort(chance[fakes], kind="stable")[: len(reals)]]
    return manifest.take(f"as many fakes as reals (seed {seed})", np.sort(np.concatenate([reals, drawn])))
