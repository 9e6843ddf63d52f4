"""Which rows are shown in which order: a function of the manifest, the plan and the epoch, and of nothing else.

Neither the number of processes nor the number of workers that decode pictures is asked, so a run on four machines, or
one that was stopped and went on, sees the same pictures in the same batches with the same augmentations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.seeds import seed_for
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.schema import OK
from fauxlens.manifest.select import ONE_TO_ONE, matches, one_to_one

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """Which rows an epoch shows. Conditions are those of `select`, such as `width>=450`.

    `draw` is one of DRAWS; `rule` belongs to one-to-one, `by` and `each` to balanced. `where_real` and `where_fake`
    bind one class only: what a bias-constrained set needs, whose real pictures are chosen by size and JPEG quality.
    """

    seed: int = 42
    draw: str = "all"
    rule: str = "each-epoch"  # of one-to-one: fixed, each-epoch, each-origin
    by: tuple[str, ...] = ("generator",)  # of balanced: the columns whose every combination weighs the same
    each: int | None = None  # of balanced: rows of each combination; None: as many as the smallest has
    split: str | None = "train"
    where: tuple[str, ...] = ()
    where_real: tuple[str, ...] = ()
    where_fake: tuple[str, ...] = ()
    shuffle: bool = True
    limit: int | None = None  # at most so many rows an epoch

    def __post_init__(self) -> None:
        if self.draw not in DRAWS:
            raise unknown(self.draw, DRAWS, "draw")
        if self.rule not in ONE_TO_ONE:
            raise unknown(self.rule, ONE_TO_ONE, "one-to-one rule")
        for name, value, low in (("seed", self.seed, 0), ("each", self.each, 1), ("limit", self.limit, 1)):
            if value is not None and value < low:
                raise BadSetting(f"{name} is out of range", wanted=f"at least {low}", got=value)
        if self.draw == "balanced" and not self.by:
            raise BadSetting("balanced by nothing", wanted="one column or more in `by`", got="none")


def epoch_order(manifest: Manifest, plan: SamplingPlan, *, epoch: int) -> Rows:
    """The rows of the manifest that this epoch shows, in order; epochs count from 0."""
    if epoch < 0:
        raise BadSetting("epochs count from 0", got=epoch)
    rows = candidates(manifest, plan)
    rows = DRAWS[plan.draw](manifest, rows, plan, epoch)
    if plan.shuffle:
        rows = rows[_chance("order", plan, epoch).permutation(len(rows))]
    return rows[: plan.limit]


def candidates(manifest: Manifest, plan: SamplingPlan) -> Rows:
    """The usable rows that the plan's split and conditions leave, in the manifest's order."""
    keep = _flags(pc.is_in(manifest.column("status"), pa.array([OK, None], pa.string())))
    fake = _flags(pc.not_equal(manifest.column("label"), "real"))
    if plan.split is not None:
        keep &= _flags(pc.equal(manifest.column("split"), plan.split))
    for condition in plan.where:
        keep &= _flags(matches(manifest, condition))
    for condition in plan.where_real:
        keep &= _flags(matches(manifest, condition)) | fake
    for condition in plan.where_fake:
        keep &= _flags(matches(manifest, condition)) | ~fake
    rows = np.flatnonzero(keep).astype(np.int64)
    if not len(rows):
        there_are = ", ".join(str(value) for (value,) in manifest.count("split")) or "none"
        raise BadSetting(
            "no row of the manifest is left to train on",
            where=manifest.name,
            wanted=f"split '{plan.split}'" if plan.split is not None else "rows that meet the conditions",
            got=f"{len(manifest):,} rows, splits: {there_are}",
            hint="look at `split` and the conditions of the plan, or split the manifest first",
        )
    return rows


def share_of_rank(order: Rows, rank: int, world: int, *, batch: int) -> Rows:
    """The rows that process `rank` of `world` sees: of each global batch its part, one after the other.

    `batch` is the global batch. Batch s is `order[s * batch : (s + 1) * batch]` whatever `world` is; the rows after the
    last whole batch are left to the next epoch, as every process must take the same number of steps.

    >>> share_of_rank(np.arange(10), 1, 2, batch=4).tolist()
    [2, 3, 6, 7]
    """
    if not 0 <= rank < world:
        raise BadSetting("this rank is none of the processes", wanted=f"0 to {world - 1}", got=rank)
    if batch < 1 or batch % world:
        raise BadSetting(
            "the global batch cannot be shared evenly", wanted=f"a multiple of {world} processes", got=batch
        )
    steps = len(order) // batch
    if steps == 0:
        raise BadSetting(
            "an epoch is shorter than one batch", wanted=f"at least {batch:,} rows", got=f"{len(order):,}",
            hint="take a smaller batch, or more pictures",
        )  # fmt: skip
    return order[: steps * batch].reshape(steps, world, batch // world)[:, rank].reshape(-1)


def step_seed(seed: int, epoch: int, row: int | str) -> int:
    """The seed of what chance does to one row in one epoch; a text in place of the row is shared by all that have it.

    >>> step_seed(42, 0, 7) == step_seed(42, 0, 7), step_seed(42, 0, 7) == step_seed(42, 1, 7)
    (True, False)
    """
    return seed_for("augment", image_id=str(row), method=str(seed), attempt=epoch)


def _all(manifest: Manifest, rows: Rows, plan: SamplingPlan, epoch: int) -> Rows:
    return rows


def _one_to_one(manifest: Manifest, rows: Rows, plan: SamplingPlan, epoch: int) -> Rows:
    # The rule gives rows of a manifest; a column of numbers says which they were.
    part = manifest.take("candidates", rows).with_columns("numbered", {_NUMBER: pa.array(rows)})
    drawn = one_to_one(part, plan.rule, seed=plan.seed, epoch=epoch)
    return np.asarray(drawn.column(_NUMBER).to_numpy(), dtype=np.int64)


def _balanced(manifest: Manifest, rows: Rows, plan: SamplingPlan, epoch: int) -> Rows:
    """The same number of each combination; where one has fewer than `each`, its rows come again in another order."""
    cells = _cells(manifest, rows, plan.by)
    count = plan.each or min(len(found) for found in cells.values())
    chance = _chance("balanced", plan, epoch)
    chosen = []
    for cell in sorted(cells, key=str):
        turns = -(-count // len(cells[cell]))
        several = np.concatenate([cells[cell][chance.permutation(len(cells[cell]))] for _ in range(turns)])
        chosen.append(several[:count])
    return np.sort(np.concatenate(chosen))


def _each_content(manifest: Manifest, rows: Rows, plan: SamplingPlan, epoch: int) -> Rows:
    """Of each content as many real as forged rows: the fewer of the two, one draw for all epochs.

    Rows that do not say what they show are left out, as they are from UnbiasedGenImage's balanced classes.
    """
    cells = _cells(manifest, rows, ("content", "label"))
    contents = sorted({content for content, _ in cells if content is not None})
    chance = _chance("each-content", plan, 0)
    chosen = []
    for content in contents:
        none = np.zeros(0, dtype=np.int64)
        real = cells.get((content, "real"), none)
        fakes = [found for (which, label), found in cells.items() if which == content and label != "real"]
        fake = np.sort(np.concatenate(fakes)) if fakes else none
        count = min(len(real), len(fake))
        chosen += [several[chance.permutation(len(several))[:count]] for several in (real, fake)]
    found = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
    if not len(found):
        raise BadSetting(
            "no content has both real and forged rows",
            where="each-content",
            got=f"{len(contents)} contents",
            hint="draw one-to-one instead, which asks nothing of the content",
        )
    return found


DRAWS: dict[str, Callable[[Manifest, Rows, SamplingPlan, int], Rows]] = {
    "all": _all,  # every row
    "one-to-one": _one_to_one,  # as many forged as real
    "balanced": _balanced,  # as many of every combination of some columns
    "each-content": _each_content,  # as many forged as real in every class of content
}

_NUMBER = "row of the manifest"


def _cells(manifest: Manifest, rows: Rows, by: Sequence[str]) -> dict[tuple[Any, ...], Rows]:
    columns = [manifest.column(name).take(pa.array(rows)).to_pylist() for name in by]
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, cell in zip(rows.tolist(), zip(*columns, strict=True), strict=True):
        found.setdefault(cell, []).append(row)
    return {cell: np.array(several, dtype=np.int64) for cell, several in found.items()}


def _flags(values: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _chance(purpose: str, plan: SamplingPlan, epoch: int) -> np.random.Generator:
    return np.random.default_rng(seed_for(purpose, method=str(plan.seed), attempt=epoch))
