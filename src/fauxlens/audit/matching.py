"""Real and fake rows of equal facts: the same number in every cell, or the best one-to-one pairs.

Both give pairs, do not depend on the order of rows, and account for every row that is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fauxlens.audit.facts import coded
from fauxlens.core.errors import BadManifest
from fauxlens.core.names import unknown
from fauxlens.core.seeds import share_of
from fauxlens.manifest.layouts.genimage import METADATA_NAME
from fauxlens.manifest.manifest import Manifest

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

MATCHABLE: dict[str, str] = {
    "size": "the very same width and height",
    "size_range": "width and height in the same steps of `size_step` pixels",
    "format": "the same file format",
    "quality": "the same JPEG quality (or none in both)",
    "subsampling": "the same chroma subsampling (or none in both)",
    "content": "the same content class",
    "split": "the same split; a pair never crosses it",
}
"""Facts to match on, and what equal means."""

# What counts as a distance of 1 between a pair: half an octave of side length, ten steps of quality, another category.
SIDE_OCTAVES = 0.5
QUALITY_STEPS = 10.0

# The assignment is solved at once up to this many real-fake combinations (a 2000 x 2000 matrix: 32 MB, a second).
_MOST_COMBINATIONS = 4_000_000


@dataclass(frozen=True, slots=True)
class Loss:
    """How many rows of one class ("real" or "fake") were left out, and why."""

    label: str
    reason: str
    count: int


@dataclass(frozen=True, eq=False)
class Matching:
    """Row numbers of the pairs (`real[k]` with `fake[k]`), what was lost, and how far the pairs are apart."""

    real: Integers
    fake: Integers
    losses: tuple[Loss, ...]
    mean_distance: float | None = None


def match_exact(manifest: Manifest, facts: Sequence[str], *, size_step: int = 64, seed: int = 0) -> Matching:
    """min(reals, fakes) of every cell of the chosen facts, drawn by seed; without facts, of the whole manifest."""
    known, losses = _with_content(manifest, facts)
    fake = is_fake(manifest)
    cell = cells(manifest, facts, size_step=size_step)
    real_rows, fake_rows = np.flatnonzero(known & ~fake), np.flatnonzero(known & fake)
    count = int(cell.max(initial=-1)) + 1
    reals, fakes = np.bincount(cell[real_rows], minlength=count), np.bincount(cell[fake_rows], minlength=count)
    kept = np.minimum(reals, fakes)
    if not kept.sum():
        raise _nothing_left(manifest, facts, size_step)
    chance = drawing_order(manifest, f"match {seed}")
    words = f" of the same {', '.join(facts)}" if facts else ""
    for label, mine, others in (("real", reals, fakes), ("fake", fakes, reals)):
        other = "fake" if label == "real" else "real"
        losses.append(Loss(label, f"no {other}{words}", int(mine[others == 0].sum())))
        losses.append(Loss(label, f"more {label}s than {other}s{words}", int((mine - kept)[kept > 0].sum())))
    return Matching(
        _first_of_each(real_rows, cell, kept, chance), _first_of_each(fake_rows, cell, kept, chance), _told(losses)
    )


def match_pairs(
    manifest: Manifest, facts: Sequence[str], *, caliper: float = 1.0, within: Sequence[str] = ()
) -> Matching:
    """As many one-to-one pairs as lie within `caliper` of each other, and among those the nearest in sum.

    The distance is Euclidean over the facts, scaled as SIDE_OCTAVES and QUALITY_STEPS say; a category that differs, or
    is known of one only, counts 1; the facts in `within` must be equal, and so must a split that is matched. Optimal
    (scipy's linear_sum_assignment) up to two thousand rows a class; beyond that, in blocks of like size and quality,
    each of them optimal, and pairs across the edges of blocks are not tried.
    """
    if not facts:
        raise BadManifest("pairs need a fact to be near in", hint=f"choose some of {', '.join(MATCHABLE)}")
    within = [*within, *(("split",) if "split" in facts and "split" not in within else ())]
    known, losses = _with_content(manifest, within)
    fake = is_fake(manifest)
    space = _Space(manifest, facts)
    cell = cells(manifest, within)
    order = np.argsort(manifest.values("id").astype(str), kind="stable")
    order = order[known[order]]
    real_parts, fake_parts, distances = [], [], []
    for value in np.unique(cell[order]):
        here = order[cell[order] == value]
        for block in space.blocks(here, fake):
            real, made, apart = _assigned(space, block[~fake[block]], block[fake[block]], caliper)
            real_parts.append(real)
            fake_parts.append(made)
            distances.append(apart)
    real_rows = np.concatenate([np.empty(0, dtype=np.int64), *real_parts])
    fake_rows = np.concatenate([np.empty(0, dtype=np.int64), *fake_parts])
    if not len(real_rows):
        if "content" in within and not all((known & mask).any() for mask in (fake, ~fake)):
            raise _nothing_left(manifest, ["content"], 0)
        raise BadManifest(
            "nothing is left after matching: no real and fake lie near enough",
            wanted=f"a distance of at most {caliper:g} in {', '.join(facts)}",
            got=_class_values(manifest, facts[0]),
            hint="allow a wider caliper, match on fewer facts, or re-encode instead of matching format and quality",
        )
    reason = f"no partner within a distance of {caliper:g} in {', '.join(facts)}, or each such partner is taken"
    for label, rows in (("real", known & ~fake), ("fake", known & fake)):
        losses.append(Loss(label, reason, int(rows.sum()) - len(real_rows)))
    return Matching(real_rows, fake_rows, _told(losses), float(np.concatenate(distances).mean()))


def cells(manifest: Manifest, facts: Sequence[str], *, size_step: int = 64) -> Integers:
    """(N,) the number of each row's cell: rows share one when they are equal in every fact."""
    for name in facts:
        if name not in MATCHABLE:
            raise unknown(name, MATCHABLE, "fact to match on")
    keys = [key for name in facts for key in _keys(manifest, name, size_step)]
    if not keys or not len(manifest):
        return np.zeros(len(manifest), dtype=np.int64)
    return np.asarray(np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def is_fake(manifest: Manifest) -> Flags:
    """(N,) whether each row is generated or edited."""
    return np.asarray(pc.not_equal(manifest.column("label"), "real").to_numpy(), dtype=bool)


def require_generators(manifest: Manifest, names: Sequence[str], wanted: str) -> None:
    """Raise BadManifest when `names`, the generators of `manifest`, are none."""
    if not names:
        raise BadManifest(
            "no picture in this manifest has a generator", where=manifest.name, wanted=wanted,
            hint="scan with a layout or a table that names the generators, or choose no generator",
        )  # fmt: skip


def drawing_order(manifest: Manifest, salt: str) -> Floats:
    """(N,) a number in [0, 1) a row from its id and the salt alone: sorting by it draws, whatever the order of rows."""
    return np.array([share_of(salt, one) for one in manifest.column("id").to_pylist()], dtype=np.float64)


def whole_numbers(manifest: Manifest, name: str) -> Integers:
    """(N,) a column of whole numbers, -1 where it is null."""
    column = pc.fill_null(manifest.column(name).cast(pa.int64()), -1)
    return np.asarray(column.to_numpy(), dtype=np.int64)


class _Space:
    """The facts as coordinates in which distances are taken."""

    def __init__(self, manifest: Manifest, facts: Sequence[str]) -> None:
        for name in facts:
            if name not in MATCHABLE:
                raise unknown(name, MATCHABLE, "fact to match on")
        self.numbers: list[Floats] = []
        self.categories: list[Integers] = []
        if "size" in facts or "size_range" in facts:
            for side in ("width", "height"):
                value = whole_numbers(manifest, side)
                self.numbers.append(np.where(value > 0, np.log2(np.maximum(value, 1)) / SIDE_OCTAVES, np.nan))
        if "quality" in facts:
            value = whole_numbers(manifest, "jpeg_quality")
            self.numbers.append(np.where(value >= 0, value / QUALITY_STEPS, np.nan))
        self.categories += [coded(manifest, name)[0] for name in ("format", "subsampling", "content") if name in facts]

    def distances(self, first: Integers, second: Integers) -> Floats:
        """(A,) and (B,) row numbers -> (A, B)."""
        squared = np.zeros((len(first), len(second)))
        for values in self.numbers:
            one, other = values[first][:, None], values[second][None, :]
            apart = (one - other) ** 2
            missing = np.isnan(one) | np.isnan(other)
            both = np.isnan(one) & np.isnan(other)
            squared += np.where(both, 0.0, np.where(missing, 1.0, apart))
        for codes in self.categories:
            squared += codes[first][:, None] != codes[second][None, :]
        found: Floats = np.sqrt(squared)
        return found

    def blocks(self, rows: Integers, fake: Flags) -> list[Integers]:
        """`rows` whole, or cut into blocks of like facts when there are too many for one assignment."""
        combinations = int((~fake[rows]).sum()) * int(fake[rows].sum())
        if combinations <= _MOST_COMBINATIONS:
            return [rows]
        # Sides together first: width and height of a picture rise together, and one of them alone cuts badly.
        sides = [np.sum(self.numbers[:2], axis=0)] if len(self.numbers) >= 2 else []
        numbers = [*sides, *self.numbers[2 if sides else 0 :]]
        keys = [*(np.nan_to_num(values, nan=-1.0) for values in numbers), *(c.astype(float) for c in self.categories)]
        order = rows[np.lexsort([key[rows] for key in keys])] if keys else rows
        return [
            np.sort(part) for part in np.array_split(order, int(np.ceil((combinations / _MOST_COMBINATIONS) ** 0.5)))
        ]


def _assigned(space: _Space, real: Integers, fake: Integers, caliper: float) -> tuple[Integers, Integers, Floats]:
    from scipy.optimize import linear_sum_assignment

    distances = space.distances(real, fake)
    # Dearer than any sum of allowed pairs, so that one more pair always comes before nearer pairs.
    forbidden = caliper * (min(distances.shape) + 1) + 1
    rows, columns = linear_sum_assignment(np.where(distances <= caliper, distances, forbidden))
    apart = distances[rows, columns]
    near = apart <= caliper
    return real[rows[near]], fake[columns[near]], apart[near]


def _keys(manifest: Manifest, name: str, size_step: int) -> list[Integers]:
    if name in ("size", "size_range"):
        step = 1 if name == "size" else size_step
        return [np.where(v < 0, -1, v // step) for v in (whole_numbers(manifest, s) for s in ("width", "height"))]
    if name == "quality":
        return [whole_numbers(manifest, "jpeg_quality")]
    return [coded(manifest, name)[0]]


def _with_content(manifest: Manifest, facts: Sequence[str]) -> tuple[Flags, list[Loss]]:
    """Which rows can take part: where content is matched, those whose content is known."""
    known = np.ones(len(manifest), dtype=bool)
    if "content" not in facts:
        return known, []
    fake = is_fake(manifest)
    known = coded(manifest, "content")[0] >= 0
    sorts = (("real", ~fake), ("fake", fake))
    return known, [Loss(label, "its content is not known", int((mask & ~known).sum())) for label, mask in sorts]


def _first_of_each(rows: Integers, cell: Integers, kept: Integers, chance: Floats) -> Integers:
    """The first `kept` rows of each cell in the order of `chance`, cell after cell."""
    ordered = rows[np.lexsort((chance[rows], cell[rows]))]
    members = np.bincount(cell[rows], minlength=len(kept))
    place = np.arange(len(ordered)) - (np.cumsum(members) - members)[cell[ordered]]
    return ordered[place < kept[cell[ordered]]]


def _told(losses: list[Loss]) -> tuple[Loss, ...]:
    return tuple(loss for loss in losses if loss.count)


def _nothing_left(manifest: Manifest, facts: Sequence[str], size_step: int) -> BadManifest:
    """The error that names the fact at which the last common cell went."""
    fake = is_fake(manifest)
    for index, name in enumerate(facts):
        cell = cells(manifest, facts[: index + 1], size_step=size_step)
        known, _ = _with_content(manifest, facts[: index + 1])
        if not set(cell[known & fake]) & set(cell[known & ~fake]):
            before = f" (within the same {', '.join(facts[:index])})" if index else ""
            return BadManifest(
                f"nothing is left after matching on {name}{before}: no real and fake are equal in it",
                got=_class_values(manifest, name),
                hint=_way_out(manifest, name),
            )
    return BadManifest("nothing is left after matching", hint="match on fewer facts")


def _way_out(manifest: Manifest, name: str) -> str:
    if name == "content":
        leave = "leave content out of the matching (fauxlens align --no-balance-content)"
        sources = (str(source) for (source,) in manifest.count("source"))
        if any(source.startswith("genimage") for source in sources):
            # The tree alone has WordNet ids for some reals and nothing for fakes; the table has one number for both.
            return (
                f"the content classes of GenImage are in UnbiasedGenImage's table: put {METADATA_NAME} beside the tree "
                f"and scan it with --layout unbiased-genimage; or {leave}"
            )
        return f"give both classes the same names of content, or {leave}"
    if name == "split":
        return "leave split out of the matching, or give each split pictures of both classes"
    return "leave it out, choose pairs with a caliper, or re-encode (a recipe such as strict-96)"


def _class_values(manifest: Manifest, name: str) -> str:
    """The commonest values of one fact among reals and among fakes."""
    fake = is_fake(manifest)
    if name in ("size", "size_range"):
        width, height = whole_numbers(manifest, "width"), whole_numbers(manifest, "height")
        texts: npt.NDArray[Any] = np.array([f"{w}x{h}" for w, h in zip(width, height, strict=True)])
    else:
        column = manifest.column("jpeg_quality" if name == "quality" else name).cast(pa.string())
        texts = np.array(["none" if value is None else value for value in column.to_pylist()])
    said = []
    for label, mask in (("real", ~fake), ("fake", fake)):
        values, counts = np.unique(texts[mask], return_counts=True)
        top = np.argsort(-counts, kind="stable")[:3]
        said.append(f"{label} " + ", ".join(f"{values[i]} ({counts[i]:,})" for i in top))
    return "; ".join(said)
