"""Exemplar fill: the hole is laid out with patches of the photo's own known part, found by PatchMatch.

Own numpy code after Barnes et al., PatchMatch (SIGGRAPH 2009), and Wexler et al., Space-Time Completion (PAMI 2007):
from coarse to fine, every patch that touches the hole gets the known patch that resembles it most (good matches spread
to neighbours, and a shrinking random search escapes poor ones), then every missing pixel is voted by the patches over
it. The last vote takes pixels instead of mixing them, so the fill keeps the photo's own noise and sharpness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.forge.create.classical import inpainted
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.region import Mask
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarSettings:
    """How patches are searched for."""

    patch: int = 7
    step: int = 2  # one target patch every so many pixels
    levels: int = 5  # at most; the coarsest keeps a shorter side of at least 12
    rounds: int = 4  # of searching and voting, a level; the finest has one less
    sweeps: int = 3  # of propagation and random search, a round
    tries: int = 3  # random candidates a sweep
    searched_side: int = 512  # above this longer side matches are carried up, not searched anew

    def __post_init__(self) -> None:
        if self.patch not in (3, 5, 7, 9, 11):
            raise BadSetting("patch is out of range", wanted="an odd number from 3 to 11", got=self.patch)
        for name, largest in (("step", 4), ("levels", 8), ("rounds", 20), ("sweeps", 20), ("tries", 20)):
            if not 1 <= getattr(self, name) <= largest:
                raise BadSetting(f"{name} is out of range", wanted=f"1 to {largest}", got=getattr(self, name))
        if self.searched_side < 64:
            raise BadSetting("searched_side is out of range", wanted="at least 64", got=self.searched_side)


class Exemplar(Method):
    """Patches of the same photo; real texture in the wrong place."""

    settings: ExemplarSettings
    settings_type: ClassVar[type] = ExemplarSettings
    card = MethodCard(
        name="exemplar",
        release_name="Exemplar",
        title="Exemplar fill by PatchMatch",
        group="classical",
        paper="Barnes et al., PatchMatch, SIGGRAPH 2009; Wexler et al., Space-Time Completion of Video, PAMI 2007",
        licence="Apache-2.0 (ours)",
        about="Every patch of the hole is replaced by the most similar known patch, from coarse to fine.",
        shortest=16,
        limits=("It repeats what is there and invents nothing.", "Where little is known, it repeats visibly."),
    )

    def make(self, request: Request) -> Fill:
        """Fill by patches; outside the mask the photo itself comes back."""
        pixels, facts = filled_by_patches(request.pixels, request.mask, self.settings, request.seed)
        return Fill(pixels, facts)


def filled_by_patches(
    pixels: Pixels, mask: Mask, settings: ExemplarSettings, seed: int
) -> tuple[Pixels, dict[str, Any]]:
    """The filled photo and what was done: sizes of the levels, patches, mean error of the last matches."""
    chance = np.random.default_rng(seed)
    first = inpainted(pixels, mask)
    sizes = _sizes(mask.shape, settings)
    field: _Field | None = None
    held: Floats = first.astype(np.float32)
    facts: dict[str, Any] = {"levels": [], "seed": seed}
    for size in reversed(sizes):
        finest = size == mask.shape
        known, hole = (first, mask) if finest else _shrunk(first, mask, size)
        held = known.astype(np.float32)
        level = _Level.of(hole, settings)
        if level is None:
            # Too little is known at this size for a whole patch: the next finer one may have room.
            facts["levels"].append({"size": list(size), "patches": 0})
            continue
        searched = max(size) <= settings.searched_side
        matches = level.carried_up(field, chance) if field is not None else level.at_random(chance)
        if field is not None:
            _vote(held, level, matches, np.ones(len(matches), np.float32), take=finest and not searched)
        costs = np.zeros(len(matches), np.float32)
        rounds = 0 if not searched else max(1, settings.rounds - 1) if finest else settings.rounds
        for number in range(rounds):
            costs = _search(held, level, matches, chance, settings)
            _vote(held, level, matches, _trust(costs), take=finest and number == rounds - 1)
        field = _Field(level, matches, size)
        error = round(float(np.sqrt(costs.mean() / level.numbers)), 3) if rounds else None
        facts["levels"].append({"size": list(size), "patches": len(matches), "error": error})
    made = np.rint(held).clip(0, 255).astype(np.uint8)
    return np.where(mask[..., None], made, pixels), facts


@dataclass(frozen=True, slots=True)
class _Level:
    """The target patches of one size, in the order of `rows` and `columns` (their top left corners)."""

    half: int  # of the patch
    rows: Places
    columns: Places
    cells: npt.NDArray[np.intp]  # which target is at a cell of the grid; -1 is none
    grid_rows: Places
    grid_columns: Places
    beside: tuple[Places, ...]  # the target above, below, left, right of each; -1 is none
    usable: Mask  # top left corners of patches that are wholly known
    sources: Places  # the same, as flat numbers
    depth: Floats  # how far a pixel of the hole is from what is known
    hole: Mask

    @property
    def side(self) -> int:
        return 2 * self.half + 1

    @property
    def numbers(self) -> int:
        return 3 * self.side**2

    @classmethod
    def of(cls, hole: Mask, settings: ExemplarSettings) -> _Level | None:
        for side in range(settings.patch, 1, -2):
            if min(hole.shape) < side + 1:
                continue
            touched = _windows(hole, side)
            if not touched.all():
                break
        else:
            return None
        usable = ~touched
        rows, columns = (_grid(length, settings.step) for length in usable.shape)
        active = touched[np.ix_(rows, columns)]
        cells = np.full(active.shape, -1, np.intp)
        cells[active] = np.arange(int(active.sum()))
        at_row, at_column = np.nonzero(active)
        wide = np.pad(cells, 1, constant_values=-1)
        beside = tuple(
            wide[at_row + 1 + down, at_column + 1 + right] for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
        )
        depth = cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        return cls(
            half=side // 2, rows=rows[at_row], columns=columns[at_column], cells=cells, grid_rows=rows,
            grid_columns=columns, beside=beside, usable=usable, sources=np.flatnonzero(usable),
            depth=np.asarray(depth, dtype=np.float32), hole=hole,
        )  # fmt: skip

    def at_random(self, chance: np.random.Generator, count: int | None = None) -> Places:
        """(N, 2) top left corners of known patches."""
        drawn = self.sources[chance.integers(len(self.sources), size=len(self.rows) if count is None else count)]
        return np.stack(np.divmod(drawn, self.usable.shape[1]), axis=1)

    def carried_up(self, field: _Field, chance: np.random.Generator) -> Places:
        """The matches of a coarser level at this one's places; a random one where the coarser has none that fits."""
        scale = np.array(self.hole.shape) / np.array(field.size)
        coarse = field.level
        middle = np.stack([self.rows, self.columns], axis=1) + self.half
        there = middle / scale - coarse.half
        at_row = _nearest(coarse.grid_rows, there[:, 0])
        at_column = _nearest(coarse.grid_columns, there[:, 1])
        cell = coarse.cells[at_row, at_column]
        offset = field.matches[cell] - np.stack([coarse.rows[cell], coarse.columns[cell]], axis=1)
        carried = np.rint(offset * scale).astype(np.intp) + np.stack([self.rows, self.columns], axis=1)
        fits = (cell >= 0) & self.fits(carried)
        return np.where(fits[:, None], carried, self.at_random(chance))

    def fits(self, corners: Places) -> npt.NDArray[np.bool_]:
        """Which of (N, 2) corners are those of wholly known patches."""
        height, width = self.usable.shape
        rows, columns = corners[:, 0], corners[:, 1]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        known = self.usable[np.where(inside, rows, 0), np.where(inside, columns, 0)]
        return np.asarray(inside & known, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class _Field:
    level: _Level
    matches: Places
    size: tuple[int, int]


def _search(
    held: Floats, level: _Level, matches: Places, chance: np.random.Generator, settings: ExemplarSettings
) -> Floats:
    """Better `matches`, in place; their squared errors."""
    patches = _patches(held, level.side)
    wanted = patches[level.rows, level.columns]
    costs = _costs(patches, wanted, matches)
    own = np.stack([level.rows, level.columns], axis=1)
    everyone = np.arange(len(matches))
    for _ in range(settings.sweeps):
        for beside in level.beside:
            who = everyone[beside >= 0]
            other = beside[who]
            # The neighbour's match, moved by as much as the two targets are apart.
            _improve(patches, wanted, matches, costs, level, who, matches[other] + own[who] - own[other])
        reach = max(level.usable.shape)
        for number in range(settings.tries):
            if number == 0:
                candidates = level.at_random(chance)
            else:
                reach = max(2, reach // 6)
                candidates = matches + chance.integers(-reach, reach + 1, size=matches.shape)
            _improve(patches, wanted, matches, costs, level, everyone, candidates)
    return costs


def _improve(
    patches: Floats, wanted: Floats, matches: Places, costs: Floats, level: _Level, who: Places, candidates: Places
) -> None:
    new = level.fits(candidates) & (candidates != matches[who]).any(axis=1)
    who, candidates = who[new], candidates[new]
    found = _costs(patches, wanted[who], candidates)
    better = found < costs[who]
    matches[who[better]] = candidates[better]
    costs[who[better]] = found[better]


def _costs(patches: Floats, wanted: Floats, corners: Places) -> Floats:
    unlike = patches[corners[:, 0], corners[:, 1]]
    unlike -= wanted
    return np.asarray(np.einsum("nij,nij->n", unlike, unlike), dtype=np.float32)


def _trust(costs: Floats) -> Floats:
    # Poor matches hardly vote; the scale is that of the better three quarters, as Wexler et al. choose it.
    scale = float(np.quantile(costs, 0.75)) + 1e-3
    return np.asarray(np.exp(-costs / (2.0 * scale)) + 1e-4, dtype=np.float32)


def _vote(held: Floats, level: _Level, matches: Places, trust: Floats, *, take: bool) -> None:
    """Make the hole of `held` anew, in place: by the mean of all patches over a pixel, or by the best of them alone."""
    height, width = level.hole.shape
    total = np.zeros((height, width), np.float32)
    summed = np.zeros((height, width, 3), np.float32)
    # Patches near the rim know more of what should be there.
    middle = level.depth[level.rows + level.half, level.columns + level.half]
    weight = trust * np.float32(1.3) ** -middle
    for down in range(level.side):
        for right in range(level.side):
            at = level.rows + down, level.columns + right
            source = held[matches[:, 0] + down, matches[:, 1] + right]
            if take:
                away = np.hypot(down - level.half, right - level.half)
                # The patch whose middle is nearest wins, and its trust decides between equals: no flicker of sources.
                here = np.exp(-2.0 * away) * (1.0 + 0.05 * trust)
                wins = here > total[at]
                where = at[0][wins], at[1][wins]
                total[where] = here[wins]
                summed[where] = source[wins]
            else:
                total[at] += weight
                summed[at] += weight[:, None] * source
    voted = level.hole & (total > 0)
    held[voted] = summed[voted] if take else summed[voted] / total[voted][:, None]


def _patches(held: Floats, side: int) -> Floats:
    """(H - side + 1, W - side + 1, side, 3 side): a view, of which indexing copies whole rows of patches."""
    rows = np.ascontiguousarray(held).reshape(held.shape[0], -1)
    view = np.lib.stride_tricks.sliding_window_view(rows, (side, 3 * side))
    return view[:, ::3]


def _windows(mask: Mask, side: int) -> Mask:
    """Which top left corners have a window that holds a True."""
    summed = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    count = summed[side:, side:] - summed[:-side, side:] - summed[side:, :-side] + summed[:-side, :-side]
    return np.asarray(count > 0, dtype=np.bool_)


def _grid(length: int, step: int) -> Places:
    # The last place is always there, or the last pixels would have no patch over them.
    return np.unique(np.append(np.arange(0, length, step), length - 1))


def _nearest(grid: Places, wanted: npt.NDArray[np.float64]) -> Places:
    at = np.searchsorted(grid, wanted).clip(1, len(grid) - 1) if len(grid) > 1 else np.zeros(len(wanted), np.intp)
    if len(grid) == 1:
        return at
    return np.where(wanted - grid[at - 1] <= grid[at] - wanted, at - 1, at)


def _sizes(size: tuple[int, ...], settings: ExemplarSettings) -> Sequence[tuple[int, int]]:
    """Finest first."""
    height, width = size
    sizes = [(height, width)]
    # Levels that are only carried up come on top of those that are searched.
    searched = 0
    while True:
        searched += max(height, width) <= settings.searched_side
        height, width = (height + 1) // 2, (width + 1) // 2
        if searched >= settings.levels or min(height, width) < 12:
            return sizes
        sizes.append((height, width))


def _shrunk(filled: Pixels, mask: Mask, size: tuple[int, int]) -> tuple[Pixels, Mask]:
    """The photo with its first fill, smaller, and the hole: any pixel that the hole touches."""
    hole = resize(mask.astype(np.uint8) * 255, size, "box") > 0
    return resize(filled, size, "box"), hole
