"""What a run would cost, before it starts: every part that is light is tried on one photo, the others are told of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.errors import FauxlensError
from fauxlens.forge.cards import cards_of
from fauxlens.forge.compose import compose
from fauxlens.forge.create.method import Method, Request, load_method
from fauxlens.forge.intake import read_photo
from fauxlens.forge.judge.judge import Exhibit, load_judge
from fauxlens.forge.perceive.provider import load_provider
from fauxlens.forge.pipeline import real_photos
from fauxlens.forge.recipe import Recipe
from fauxlens.forge.region import Photo
from fauxlens.images.degrade import read_chain
from fauxlens.manifest.manifest import Manifest

# Planning figures for one data-centre GPU in half precision, from published speeds; we have not measured them.
PLANNED_SECONDS = {
    "grounded": 0.2, "qwen": 0.9, "lama": 0.04, "mat": 0.15, "sdxl": 3.75, "brushnet": 4.5, "powerpaint": 6.0,
    "powerpaint-v1": 2.5, "dreamsim": 0.02, "clip-score": 0.01,
}  # fmt: skip
MEASURED, PLANNED, UNKNOWN = "tried here on one photo", "planning figure for a GPU, not measured", "not known"


@dataclass(frozen=True, slots=True)
class Part:
    """One step of the run: how many units, and seconds for each (None when nobody knows)."""

    name: str
    units: int
    seconds: float | None
    how: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run would cost if nothing were rejected."""

    parts: tuple[Part, ...]
    workers: int
    bytes_each: int
    files: int

    @property
    def seconds(self) -> float:
        """Of all parts that are known, spread over the workers."""
        return sum(part.units * part.seconds for part in self.parts if part.seconds is not None) / max(1, self.workers)

    @property
    def sentence(self) -> str:
        """In words."""
        blank = [part.name for part in self.parts if part.seconds is None]
        rest = f", without {', '.join(blank)}" if blank else ""
        hands = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        planned = [part.name for part in self.parts if part.how.startswith(PLANNED) and part.seconds]
        on = f" ({', '.join(planned)} as on a data-centre GPU; a processor takes far more)" if planned else ""
        return (
            f"about {_in_words(self.seconds)} with {hands}{rest}{on}, "
            f"and about {self.files * self.bytes_each / 1e6:,.0f} MB in {self.files:,} files, "
            "if nothing is rejected; the audit not included"
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """As a table."""
        return [
            (part.name, f"{part.units:,}", "-" if part.seconds is None else f"{part.seconds:.3f}", part.how)
            for part in self.parts
        ]

    def as_json(self) -> dict[str, Any]:
        """Machine-readable."""
        return {
            "seconds": self.seconds,
            "workers": self.workers,
            "bytes": self.files * self.bytes_each,
            "files": self.files,
            "parts": [{"name": p.name, "units": p.units, "seconds_each": p.seconds, "how": p.how} for p in self.parts],
            "sentence": self.sentence,
        }


def estimated(
    manifest: Manifest, recipe: Recipe, *, workers: int = 1, weights: Path | None = None, device: str = "cpu"
) -> Cost:
    """Try the light parts on the first photo that can be read, and say what all of it would cost."""
    reals = real_photos(manifest, recipe)
    photo = _first(reals, recipe)
    kinds = len(recipe.perceive.mask_types)
    regions = kinds * min(len(reals), recipe.quota.photos or len(reals))
    each = recipe.methods_per_region or len(recipe.methods)
    units = regions * each
    parts = [_perception(recipe, photo, len(reals), weights)]
    captioner = recipe.captions.captioner
    planned = PLANNED_SECONDS.get(captioner)
    parts.append(Part(captioner, regions, planned or 0.0, PLANNED if planned else "next to nothing"))
    made = None
    mask = _hole(recipe, photo, weights)
    for one in recipe.methods:
        part, found = _method(recipe, one.key, photo, mask, units // len(recipe.methods), weights, device)
        parts.append(part)
        made = found if found is not None else made
    forged = compose(photo.pixels, 255 - photo.pixels if made is None else made, mask)
    parts.append(_judging(recipe, photo, forged.pixels, mask, units, weights))
    chain = read_chain(recipe.delivery.chain)
    twins = 2 if recipe.delivery.per == "forgery" else 1
    seconds, size = _timed(lambda: sum(len(chain.encode(forged.pixels, seed)[0]) for seed in range(4)))
    parts.append(Part("delivery", units * twins, seconds / 4, MEASURED))
    return Cost(tuple(parts), workers, int(size / 4), units * twins)


def _perception(recipe: Recipe, photo: Photo, count: int, weights: Path | None) -> Part:
    plan = recipe.perceive
    provider = load_provider(plan.provider, plan.settings, weights=_at(weights, plan.provider))
    if provider.needs:
        return Part(plan.provider, count, PLANNED_SECONDS.get(plan.provider), PLANNED)
    provider.regions(photo, 0)  # the first call also loads libraries
    return Part(plan.provider, count, _timed(lambda: provider.regions(photo, 0))[0], MEASURED)


def _method(
    recipe: Recipe,
    key: str,
    photo: Photo,
    mask: np.ndarray[Any, Any],
    units: int,
    weights: Path | None,
    device: str,
) -> tuple[Part, np.ndarray[Any, Any] | None]:
    plan, card = recipe.method(key), cards_of(recipe)[key]
    if card.needs:
        planned = PLANNED_SECONDS.get(plan.name)
        return Part(key, units, planned, PLANNED if planned else UNKNOWN), None
    asked = Request(
        pixels=photo.pixels,
        mask=mask,
        seed=0,
        prompt="a meadow",
        category="grass",
        donor=photo.pixels[::-1].copy(),
    )
    try:
        method: Method = load_method(plan.name, plan.settings, weights=_at(weights, plan.name), device=device)
        method.ready()
        method.fill(asked)
        seconds, made = _timed(lambda: method.fill(asked))
    except FauxlensError as bad:
        return Part(key, units, None, f"absent: {bad.what.partition(',')[0].partition(':')[0]}"), None
    return Part(key, units, seconds, MEASURED), made.pixels


def _judging(
    recipe: Recipe,
    photo: Photo,
    forged: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any],
    units: int,
    weights: Path | None,
) -> Part:
    total, blank = 0.0, []
    exhibit = Exhibit(original=photo.pixels, forged=forged, mask=mask)
    for plan in recipe.judges:
        judge = load_judge(plan.name, plan.settings, weights=_at(weights, plan.name))
        if judge.needs:
            blank.append(plan.name)
            total += PLANNED_SECONDS.get(plan.name, 0.0)
            continue
        judge.rule(exhibit)
        total += _timed(lambda judge=judge: judge.rule(exhibit))[0]  # type: ignore[misc]
    how = MEASURED + (f"; {', '.join(blank)}: {PLANNED}" if blank else "")
    return Part("judges", units, total, how)


def _first(reals: Manifest, recipe: Recipe) -> Photo:
    last: FauxlensError | None = None
    for sample in reals:
        try:
            return read_photo(reals.root, sample.path, recipe.photos, id=sample.id, source=sample.source or "")
        except FauxlensError as bad:
            last = bad
    assert last is not None  # `real_photos` refuses a manifest without photos
    raise last


def _hole(recipe: Recipe, photo: Photo, weights: Path | None) -> np.ndarray[Any, Any]:
    """The largest region that the provider finds, as large ones cost most; half of the frame where it finds none."""
    plan = recipe.perceive
    provider = load_provider(plan.provider, plan.settings, weights=_at(weights, plan.provider))
    found = [] if provider.needs else [one.mask for one in provider.regions(photo, 0)]
    if found:
        return max(found, key=lambda mask: float(mask.mean()))
    height, width = photo.pixels.shape[0], photo.pixels.shape[1]
    mask = np.zeros((height, width), dtype=bool)
    mask[: height // 2] = True
    return mask


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def _at(weights: Path | None, name: str) -> Path | None:
    return None if weights is None else Path(weights) / name


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
