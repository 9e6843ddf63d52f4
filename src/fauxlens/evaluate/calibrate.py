"""Platt scaling on the pictures that a dataset sets aside for it: one slope and one offset, nothing else is learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fauxlens.evaluate.predictions import Judged
from fauxlens.metrics.arrays import Flags, Floats

_NOTE = "a calibration image"  # what the layouts write into `notes`


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(slope * logit + offset), fitted on so many pictures."""

    slope: float
    offset: float
    pictures: int

    def probability(self, logit: Floats) -> Floats:
        """Calibrated probabilities.

        >>> Calibration(1.0, 0.0, 80).probability(np.array([0.0])).tolist()
        [0.5]
        """
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * logit + self.offset, -700, 700))), dtype=np.float64)


def calibration_rows(judged: Judged) -> Flags:
    """(N,) which pictures the dataset sets aside for calibration, by the note that its layout gave them."""
    return np.asarray([_NOTE in (one or "") for one in judged.manifest.column("notes").to_pylist()], dtype=np.bool_)


def platt(fake: Flags, logit: Floats) -> Calibration | None:
    """The fit, as good as unregularised (ImagiNet's C = 1e10); None unless both classes are there."""
    if fake.all() or not fake.any() or np.isnan(logit).any():
        return None
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e10, max_iter=1000).fit(logit[:, None], fake)
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]), len(fake))
