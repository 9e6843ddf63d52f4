"""Fits the regressor of BRISQUE on real photos that we degrade ourselves: no opinion of any person is in it.

    python -m fauxlens.forge.judge.fit_brisque --manifest m.parquet --output brisque.json

What the score means. A photo as it is has the target BASE. Each sort of damage has a ladder of strengths; a strength's
severity grows with its logarithm and is 1 at the strength that was measured with the published coefficients; the
target is BASE + severity x (level - BASE), at most 100, and of two damages the worse counts. The levels are found so
that, on photos that the fit did not see (five folds of the train split), 60 is passed by the measured share of them:
85 % of those blurred with sigma 2, 36 % of those saved as JPEG 15, 3 % of those with noise of deviation 20; and so
that photos as they are score 13.3 on average. The levels of down-and-up sampling (by a factor, counted as a blur of
half as many pixels) and of WebP (counted as JPEG of the same quality) were not measured; they take those of blur and
JPEG. So 60 is the published rule's place by what it rejects, and any other number of the scale is only an order.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.errors import BadManifest
from fauxlens.core.files import write_text
from fauxlens.core.seeds import seed_for
from fauxlens.forge.judge.brisque import Floats, Regressor, at_fitted_size, brisque_features
from fauxlens.images.degrade import Chain, parse_chain
from fauxlens.images.picture import read_picture
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.sample import Sample

LIMIT = 60.0
BASE = 13.3
"""The measured mean of real photos."""
MEASURED = {"blur": 0.85, "noise": 0.03, "jpeg": 0.36}
"""The share above 60 at severity 1, by the published coefficients on 39 photos."""
CENTRES = 200
CLIP = 1.1
FOLDS = 5
SMALLEST_CROP = 64
_ROUNDS = 25
_GAMMAS = (0.02, 0.05, 0.1, 0.2)
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
_AS_GOOD = 1.02
_WHOLE_WEIGHT = 4.0
"""Photos as they are stand for one row in many; what the rule does to them matters most."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a photo: the chain, and the severity of each sort in it."""

    chain: str
    severities: tuple[tuple[str, float], ...]  # sort (of MEASURED) and severity

    @property
    def anchor(self) -> str | None:
        """The sort whose measured strength this is exactly."""
        return ANCHORS.get(self.chain)


ANCHORS = {"blur:sigma=2": "blur", "noise:deviation=20": "noise", "jpeg:quality=15": "jpeg"}


def _blur(sigma: float) -> float:
    return float(np.log1p(sigma) / np.log1p(2.0))


def _noise(deviation: float) -> float:
    return float(np.log1p(deviation / 5.0) / np.log1p(20.0 / 5.0))


def _jpeg(quality: float) -> float:
    # The factor by which the usual tables are multiplied at a quality.
    factor = 50.0 / quality if quality < 50 else (100.0 - quality) / 50.0
    return float(np.log1p(factor) / np.log1p(50.0 / 15.0))


NOTHING = Damage("none", ())
LADDERS: tuple[tuple[Damage, ...], ...] = (
    tuple(Damage(f"blur:sigma={s}", (("blur", _blur(s)),)) for s in (0.4, 0.7, 1, 1.4, 2, 3, 5, 8)),
    tuple(Damage(f"noise:deviation={d}", (("noise", _noise(d)),)) for d in (2, 4, 7, 10, 15, 20, 30, 50)),
    tuple(Damage(f"jpeg:quality={q}", (("jpeg", _jpeg(q)),)) for q in (95, 85, 70, 50, 30, 15, 10, 5)),
    tuple(Damage(f"down_up:scale={1 / f:g}", (("blur", _blur(f / 2)),)) for f in (2, 4, 8)),
    tuple(Damage(f"webp:quality={q}", (("jpeg", _jpeg(q)),)) for q in (90, 70, 40, 15)),
    tuple(
        Damage(f"blur:sigma={s} | jpeg:quality={q}", (("blur", _blur(s)), ("jpeg", _jpeg(q))))
        for s, q in ((0.7, 85), (1, 50), (2, 30), (3, 70))
    ),
    tuple(
        Damage(f"blur:sigma={s} | noise:deviation={d}", (("blur", _blur(s)), ("noise", _noise(d))))
        for s, d in ((1, 4), (2, 10), (3, 3))
    ),
)
"""Every strength of every sort; a photo is degraded by one or two of each ladder, and by the measured ones."""


@dataclass(slots=True)
class Rows:
    """What the fit sees: features, what was done, whose photo it is, and whether it is a whole picture."""

    features: list[Floats] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)

    def add(self, pixels: Pixels, damage: Damage, owner: int, whole: bool) -> None:
        """One picture."""
        self.features.append(brisque_features(pixels))
        self.damages.append(damage)
        self.owners.append(owner)
        self.whole.append(whole)


def chosen(manifest: Manifest, split: str, count: int, salt: str) -> list[Sample]:
    """`count` real photos of a split, by hash and so not by order; fewer where there are not so many."""
    reals = [one for one in manifest.usable() if one.label == "real" and one.split == split]
    return sorted(reals, key=lambda one: seed_for(salt, image_id=one.id))[:count]


def read_whole(manifest: Manifest, sample: Sample) -> Pixels:
    """The photo, at the size that judges score."""
    return at_fitted_size(read_picture(manifest.path_of(sample)).pixels)


def measure(pixels: Pixels, image_id: str, owner: int, rows: Rows) -> None:
    """Add one photo: as it is, a crop of it, the measured damages, and draws of each ladder, some of them on crops."""
    seed = seed_for("fit-brisque", image_id=image_id)
    chance = np.random.default_rng(seed)
    rows.add(pixels, NOTHING, owner, whole=True)
    crop = _crop(pixels, chance)
    rows.add(pixels[crop], NOTHING, owner, whole=False)
    for number, ladder in enumerate(LADDERS):
        anchors = [one for one in ladder if one.anchor is not None]
        others = [one for one in ladder if one.anchor is None]
        drawn = chance.choice(len(others), size=2 if anchors else 1, replace=False)
        for damage in (*anchors, *(others[int(index)] for index in drawn)):
            damaged = parse_chain(damage.chain).apply(pixels, seed=seed).pixels
            rows.add(damaged, damage, owner, whole=True)
        if (number + owner) % 2 == 0:
            rows.add(damaged[_crop(pixels, chance)], damage, owner, whole=False)


def fit(rows: Rows, *, seed: int, tell: Callable[[str], None]) -> tuple[Regressor, dict[str, float]]:
    """Choose width and ridge by five folds over photos, find the levels, fit; the regressor and the levels."""
    features, owners = np.stack(rows.features), np.array(rows.owners)
    # Rounded as the file holds them, so that what is fitted is what is read.
    low, high = (
        np.array([float(f"{value:.5g}") for value in np.quantile(features, q, axis=0)]) for q in (0.005, 0.995)
    )
    weights = np.array(
        [
            _WHOLE_WEIGHT if damage is NOTHING and whole else 1.0
            for damage, whole in zip(rows.damages, rows.whole, strict=True)
        ]
    )
    chance = np.random.default_rng(seed)
    inside = np.clip(2.0 * (features - low) / (high - low) - 1.0, -CLIP, CLIP)
    centres = np.round(inside[np.sort(chance.choice(len(inside), size=min(CENTRES, len(inside)), replace=False))], 4)
    folds = chance.permutation(int(owners.max()) + 1)[owners] % FOLDS
    levels = {"blur": 64.1, "noise": 50.4, "jpeg": 52.6}  # the measured means, where the search starts
    tried: list[tuple[float, float, float]] = []
    target = targets(rows.damages, levels)
    for gamma in _GAMMAS:
        for ridge in _RIDGES:
            guess = _out_of_fold(_nearness(inside, centres, gamma), centres, gamma, ridge, target, weights, folds)
            error = float(np.sqrt(np.average((guess - target) ** 2, weights=weights)))
            tell(f"gamma {gamma:g}, ridge {ridge:g}: error {error:.3f} on photos not fitted")
            tried.append((error, gamma, ridge))
    # The smoothest of those that are as good: what is met in use may lie where no photo of the fit did.
    good = [one for one in tried if one[0] <= _AS_GOOD * min(tried)[0]]
    _, gamma, ridge = max(good, key=lambda one: (one[2], -one[0]))
    near = _nearness(inside, centres, gamma)
    whole = np.array(rows.whole)
    as_they_are = whole & np.array([damage is NOTHING for damage in rows.damages])
    anchors = {name: whole & np.array([damage.anchor == name for damage in rows.damages]) for name in MEASURED}
    base = BASE
    for _ in range(_ROUNDS):
        target = targets(rows.damages, levels, base)
        guess = _out_of_fold(near, centres, gamma, ridge, target, weights, folds)
        base += 0.7 * (BASE - float(guess[as_they_are].mean()))
        for name, share in MEASURED.items():
            levels[name] += 0.7 * (LIMIT - float(np.quantile(guess[anchors[name]], 1.0 - share)))
    target = targets(rows.damages, levels, base)
    solution = _solved(near, centres, gamma, ridge, target, weights)
    found = Regressor(
        low=low, high=high, centres=centres, weights=solution[:-1], gamma=gamma, offset=float(solution[-1]), clip=CLIP
    )
    return found, {"base": base, **levels, "ridge": ridge}


def targets(damages: Sequence[Damage], levels: dict[str, float], base: float = BASE) -> Floats:
    """What the score of each picture should be.

    >>> targets([NOTHING, LADDERS[0][4]], {"blur": 64.0, "noise": 50.0, "jpeg": 52.0}).tolist()
    [13.3, 64.0]
    """
    reached = [
        max((base + severity * (levels[name] - base) for name, severity in damage.severities), default=base)
        for damage in damages
    ]
    return np.minimum(np.array(reached, dtype=np.float64), 100.0)


def figures(regressor: Regressor, photos: Sequence[tuple[str, Pixels]]) -> dict[str, Any]:
    """What the regressor says of photos: as they are and with the measured damages, mean and share above 60."""
    found: dict[str, Any] = {"photos": len(photos)}
    for chain in ("none", *ANCHORS):
        degrade = parse_chain(chain)
        scores = np.array([regressor.score(_degraded_features(degrade, name, pixels)) for name, pixels in photos])
        found[chain] = {
            "mean": round(float(scores.mean()), 2),
            "deviation": round(float(scores.std()), 2),
            "highest": round(float(scores.max()), 2),
            "above_60": round(float((scores > LIMIT).mean()), 4),
        }
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Fit on the train split, take figures on the test split, write the file."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--manifest", type=Path, required=True, help="real photos, with splits")
    asked.add_argument("--output", type=Path, required=True, help="the file to write")
    asked.add_argument("--photos", type=int, default=400, help="how many of the train split")
    asked.add_argument("--check", type=int, default=150, help="how many of the other split, for the figures")
    asked.add_argument("--train-split", default="train")
    asked.add_argument("--check-split", default="test")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args(given)
    manifest = read_manifest(options.manifest)
    train = chosen(manifest, options.train_split, options.photos, "fit-brisque-train")
    check = chosen(manifest, options.check_split, options.check, "fit-brisque-check")
    if len(train) < FOLDS or not check:
        there_are = ", ".join(
            f"{split}: {count}" for (split,), count in sorted(manifest.count("split").items(), key=str)
        )
        raise BadManifest(
            "too few real photos", where=options.manifest, wanted=f"{FOLDS} to fit on and 1 to check", got=there_are
        )
    rows = Rows()
    for owner, sample in enumerate(train):
        pixels = read_whole(manifest, sample)
        if min(pixels.shape[:2]) >= 2 * SMALLEST_CROP:
            measure(pixels, sample.id, owner, rows)
        if owner % 50 == 49:
            _tell(f"{owner + 1} of {len(train)} photos")
    regressor, levels = fit(rows, seed=options.seed, tell=_tell)
    checked = [(sample.id, read_whole(manifest, sample)) for sample in check]
    found = figures(regressor, checked)
    card = {
        "about": "BRISQUE regressor of fauxlens, fitted on real photos degraded by code; no opinion scores",
        "targets": (__doc__ or "").partition("What the score means. ")[2].strip(),
        "levels": {name: round(value, 4) for name, value in levels.items()},
        "fitted_on": _described(train),
        "rows": len(rows.features),
        "seed": options.seed,
        "figures_on_photos_not_fitted": {**_described(check), **found},
        "limits": "Photos of at most 512 pixels. Below 60 the number is an order, not an opinion of people.",
    }
    write_text(options.output, to_text(regressor, card))
    _tell(f"{options.output}: {found}")


def to_text(regressor: Regressor, card: dict[str, Any]) -> str:
    """The file: JSON, one row of numbers a line, five significant digits."""

    def row(values: Floats) -> str:
        return "[" + ", ".join(f"{value:.5g}" for value in values) + "]"

    lines = ",\n    ".join(row(centre) for centre in regressor.centres)
    head = json.dumps({"card": card}, indent=2, sort_keys=True, ensure_ascii=False)[:-2]
    numbers = {"gamma": regressor.gamma, "offset": float(f"{regressor.offset:.8g}"), "clip": regressor.clip}
    weights = json.dumps([float(f"{value:.8g}") for value in regressor.weights])
    return (
        head
        + "".join(f',\n  "{name}": {json.dumps(value)}' for name, value in numbers.items())
        + f',\n  "low": {row(regressor.low)},\n  "high": {row(regressor.high)},\n  "weights": {weights}'
        + f',\n  "centres": [\n    {lines}\n  ]\n}}\n'
    )


def _degraded_features(degrade: Chain, name: str, pixels: Pixels) -> Floats:
    return brisque_features(degrade.apply(pixels, seed=seed_for("figures", image_id=name)).pixels)


def _crop(pixels: Pixels, chance: np.random.Generator) -> tuple[slice, slice]:
    height, width = pixels.shape[:2]
    tall, wide = (int(chance.integers(SMALLEST_CROP, max(SMALLEST_CROP, side // 2) + 1)) for side in (height, width))
    top, left = int(chance.integers(0, height - tall + 1)), int(chance.integers(0, width - wide + 1))
    return slice(top, top + tall), slice(left, left + wide)


def _nearness(inside: Floats, centres: Floats, gamma: float) -> Floats:
    square = (inside**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None] - 2.0 * inside @ centres.T
    return np.asarray(np.exp(-gamma * np.maximum(square, 0.0)))


def _solved(near: Floats, centres: Floats, gamma: float, ridge: float, target: Floats, weights: Floats) -> Floats:
    """Ridge regression in the space of the functions: their weights, then the offset, which is not held small."""
    count = near.shape[1]
    columns = np.hstack([near, np.ones((len(near), 1))])
    held = np.zeros((count + 1, count + 1))
    held[:count, :count] = ridge * (_nearness(centres, centres, gamma) + 1e-6 * np.eye(count))
    weighted = columns * weights[:, None]
    return np.asarray(np.linalg.solve(columns.T @ weighted + held, weighted.T @ target))


def _out_of_fold(
    near: Floats, centres: Floats, gamma: float, ridge: float, target: Floats, weights: Floats, folds: Any
) -> Floats:
    guess = np.zeros(len(target))
    for fold in range(FOLDS):
        out = folds == fold
        solution = _solved(near[~out], centres, gamma, ridge, target[~out], weights[~out])
        guess[out] = near[out] @ solution[:-1] + solution[-1]
    return guess


def _described(samples: Sequence[Sample]) -> dict[str, Any]:
    sources: dict[str, int] = {}
    licences: dict[str, int] = {}
    for one in samples:
        for table, key in ((sources, one.source), (licences, one.licence)):
            table[key or "not stated"] = table.get(key or "not stated", 0) + 1
    return {"photos": len(samples), "sources": sources, "licences": licences}


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
