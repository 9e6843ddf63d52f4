"""BRISQUE: how natural a picture's local contrasts are, as 36 numbers and a score that grows as quality falls.

Mittal, Moorthy and Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", 2012. Luma is divided by its
local contrast; of the result, and of its products with four neighbours, the shape of the distribution is measured by
matching moments of a generalised Gaussian with two sides; all of it again at half the size. A regressor (ours, or one
that the user has) turns the 36 numbers into a score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadShape, BadWeights
from fauxlens.forge.judge.grey import Plane, luma
from fauxlens.images.resample import resize_longest
from fauxlens.images.shapes import Pixels, require_rgb

Floats: TypeAlias = npt.NDArray[np.float64]

FEATURES = 36
LONGEST = 512
"""Our regressor was fitted at this size, and the published coefficients were checked at it. Large photos are soft at
full size, which would be taken for a blur."""
SMALLEST_SIDE = 16
"""Half the size must still hold the window of local contrast."""
OWN_REGRESSOR = Path(__file__).parent.parent / "weights" / "brisque.json"

_WINDOW = (7, 7)
_SIGMA = 7 / 6
_CONTRAST_FLOOR = 1 / 255
_NO_CONTRAST = 1e-6
"""Of the mean square of the contrasts; photos have more than a hundredth."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A generalised Gaussian with two sides, fitted along the last axis of whatever was given."""

    alpha: Floats  # 2 is a Gaussian, 1 a Laplacian; smaller is more peaked
    mean: Floats
    left: Floats  # mean square of the values below zero
    right: Floats


def contrast_map(grey: Plane) -> Plane:
    """(H, W) in 0 to 1 -> what is left when local mean and local contrast are taken out."""
    mean = _local_mean(grey)
    variance = _local_mean(grey * grey) - mean * mean
    # Rounding can leave a constant patch a little below zero.
    return np.asarray((grey - mean) / (np.sqrt(np.maximum(variance, 0.0)) + _CONTRAST_FLOOR), dtype=np.float64)


def neighbour_products(contrast: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """Each value times the one to the right, below, below right and below left."""
    return (
        contrast[:, :-1] * contrast[:, 1:],
        contrast[:-1] * contrast[1:],
        contrast[:-1, :-1] * contrast[1:, 1:],
        contrast[:-1, 1:] * contrast[1:, :-1],
    )


def fit_shape(values: npt.ArrayLike) -> Shape:
    """Match moments along the last axis; alpha is looked for from 0.2 to 10 in steps of 0.001.

    Values that are all zero have the smallest alpha, mean and variances zero.

    >>> fit_shape(np.zeros(9)).alpha
    array(0.2)
    """
    given = np.asarray(values, dtype=np.float64)
    left = np.minimum(given, 0.0)
    right = given - left
    left_square = np.einsum("...i,...i->...", left, left)
    right_square = np.einsum("...i,...i->...", right, right)
    left_variance = left_square / np.maximum(np.count_nonzero(left, axis=-1), 1)
    right_variance = right_square / np.maximum(np.count_nonzero(right, axis=-1), 1)
    size = max(given.shape[-1], 1)
    mean_absolute = (right - left).sum(axis=-1) / size
    square = (left_square + right_square) / size
    # Written without the quotient of the two sides, so that one empty side is no division by zero.
    low, high = np.sqrt(left_variance), np.sqrt(right_variance)
    both = left_variance + right_variance
    skew = (low**3 + high**3) * (low + high)
    nothing = (square <= 0.0) | (both <= 0.0)
    wanted = mean_absolute**2 * skew / np.where(nothing, 1.0, square * both**2)
    alphas, ratios, leans, spreads = _grid()
    after = np.clip(np.searchsorted(ratios, wanted), 1, len(ratios) - 1)
    nearest = after - (wanted - ratios[after - 1] <= ratios[after] - wanted)
    mean = (high - low) * spreads[nearest] * leans[nearest]
    return Shape(
        np.where(nothing, alphas[0], alphas[nearest]), np.where(nothing, 0.0, mean), left_variance, right_variance
    )


def brisque_features(pixels: Pixels) -> Floats:
    """(H, W, 3) uint8 with sides of at least 16 -> the 36 numbers: 18 at full and 18 at half size.

    Of each size: shape and spread of the contrasts, then shape, mean, left and right spread of the four products.
    """
    require_rgb(pixels, "brisque")
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        got = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise BadShape("a picture too small for BRISQUE", wanted=f"sides of at least {SMALLEST_SIDE}", got=got)
    grey = luma(pixels) / 255.0
    height, width = grey.shape
    half = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_CUBIC)
    return np.concatenate([_features_of(grey), _features_of(np.asarray(half, dtype=np.float64))])


def at_fitted_size(pixels: Pixels, longest: int = LONGEST) -> Pixels:
    """`pixels` with a longer side of at most `longest`."""
    return resize_longest(pixels, longest, "lanczos", enlarge=False)


@dataclass(frozen=True, slots=True, eq=False)
class Regressor:
    """Radial basis functions over features scaled to -1 to 1; `clip` keeps what lies far outside of them near."""

    low: Floats  # (36,) of the features
    high: Floats
    centres: Floats  # (n, 36), scaled
    weights: Floats  # (n,)
    gamma: float
    offset: float
    clip: float | None = None
    card: Mapping[str, Any] | None = None  # of what was fitted: data, licences, figures

    def __post_init__(self) -> None:
        count = len(self.weights)
        shapes = (self.low.shape, self.high.shape, self.centres.shape)
        finite = all(np.isfinite(part).all() for part in (self.low, self.high, self.centres, self.weights))
        if shapes != ((FEATURES,), (FEATURES,), (count, FEATURES)) or count == 0 or not finite:
            raise BadWeights(
                "no regressor of BRISQUE", wanted="36 ranges, centres and weights", got=f"{shapes}, {count}"
            )
        if not (self.high > self.low).all() or not self.gamma > 0 or not math.isfinite(self.offset):
            raise BadWeights("no regressor of BRISQUE", wanted="ranges with a width, a gamma above 0, a finite offset")

    def scaled(self, features: Floats) -> Floats:
        """(..., 36) features as the centres have them."""
        inside = 2.0 * (features - self.low) / (self.high - self.low) - 1.0
        return inside if self.clip is None else np.clip(inside, -self.clip, self.clip)

    def score(self, features: Floats) -> float:
        """(36,) -> the score."""
        distance = self.centres - self.scaled(features)
        nearness = np.exp(-self.gamma * np.einsum("ij,ij->i", distance, distance))
        return float(nearness @ self.weights + self.offset)


def brisque_score(pixels: Pixels, regressor: Regressor | None = None) -> float | None:
    """The score of a picture, ours if no regressor is given; None where there is no contrast or the picture is tiny."""
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        return None
    features = brisque_features(pixels)
    # A picture without any contrast has no statistics; whatever a regressor says of rounding means nothing.
    if features[1] < _NO_CONTRAST:
        return None
    return (own_regressor() if regressor is None else regressor).score(features)


@lru_cache(maxsize=1)
def own_regressor() -> Regressor:
    """The one that comes with the package; `card` says what it was fitted on and how."""
    return read_regressor(OWN_REGRESSOR)


def read_regressor(path: Path) -> Regressor:
    """Read what `fit_brisque` wrote."""
    try:
        with Path(path).open(encoding="utf-8") as stream:
            stored = json.load(stream)
        numbers = {name: np.asarray(stored[name], dtype=np.float64) for name in ("low", "high", "centres", "weights")}
        return Regressor(
            **numbers,
            gamma=float(stored["gamma"]),
            offset=float(stored["offset"]),
            clip=float(stored["clip"]),
            card=stored["card"],
        )
    except (OSError, ValueError, KeyError, TypeError) as fault:
        if isinstance(fault, BadWeights):
            raise BadWeights(fault.what, where=path, wanted=fault.wanted, got=fault.got) from fault
        raise BadWeights(
            "no regressor of BRISQUE can be read", where=path, got=f"{type(fault).__name__}: {fault}"
        ) from fault


def _features_of(grey: Plane) -> Floats:
    contrast = contrast_map(grey)
    own = fit_shape(contrast.ravel())
    numbers = [float(own.alpha), float(own.left + own.right) / 2.0]
    for product in neighbour_products(contrast):
        shape = fit_shape(product.ravel())
        numbers += [float(shape.alpha), float(shape.mean), float(shape.left), float(shape.right)]
    return np.array(numbers)


def _local_mean(plane: Plane) -> Plane:
    blurred = cv2.GaussianBlur(plane, _WINDOW, _SIGMA, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float64)


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats, Floats, Floats]:
    """Alphas; their ratio of moments, which grows with alpha; and what turns deviations into the mean."""
    alphas = np.arange(200, 10001) / 1000.0
    one, two, three = (np.array([math.lgamma(k / alpha) for alpha in alphas]) for k in (1, 2, 3))
    return alphas, np.exp(2 * two - one - three), np.exp(two - one), np.exp((one - three) / 2)
