"""From a detector's logit to a probability that keeps its promises: Platt, isotonic or temperature, by scikit-learn.

It is fitted on a split that is set aside for it, never on a test split, and stored beside the weights with what it was
fitted on. The error that is told (ECE) is that of pictures that the fit had not seen: five parts by origin, each judged
by a fit on the other four.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadPredictions, BadSetting
from fauxlens.core.files import write_json
from fauxlens.core.names import unknown
from fauxlens.core.version import __version__
from fauxlens.evaluate.predictions import Judged
from fauxlens.metrics.arrays import Flags, Floats, Integers
from fauxlens.metrics.image import ece

METHODS: dict[str, str] = {
    "platt": "a slope and an offset on the logit",
    "isotonic": "any rising steps; wants some hundreds of pictures",
    "temperature": "one divisor of the logit: no verdict at 0.5 changes",
}
"""How a logit becomes a probability."""

KIND = "fauxlens-calibration"
FOLDS = 5
NO_SPLIT = "none"
"""What pictures are asked for by that belong to no split."""
_TEST_WORDS = frozenset(("test", "tests", "testing", "testset", "eval", "evaluation", "holdout", "heldout"))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One fit, and what it was fitted on; `numbers` are the method's own."""

    method: str
    numbers: Mapping[str, tuple[float, ...]]
    split: str
    pictures: int
    fakes: int
    data_sha256: str  # of ids, labels and logits of the pictures it was fitted on
    detector: str
    weights_sha256: str | None
    ece_before: float
    ece_after: float | None  # of pictures that the fit had not seen
    ece_fitted: float  # of those that it had
    date: str
    version: str = __version__

    def probability(self, logit: npt.ArrayLike) -> Floats:
        """The calibrated probability of fake of one logit or many."""
        return applied(self.method, self.numbers, np.asarray(logit, dtype=np.float64))

    def require_weights(self, sha256: str | None) -> None:
        """Say no to other weights than those whose logits it was fitted on."""
        if sha256 != self.weights_sha256:
            raise BadPredictions(
                "this calibration belongs to other weights",
                wanted=self.weights_sha256,
                got=sha256,
                hint="fit one for these weights: a logit of one network says nothing of another's",
            )

    def save(self, path: Path) -> Path:
        """Write it as JSON, whole or not at all."""
        write_json(Path(path), {"kind": KIND, **asdict(self)})
        return Path(path)


def read_calibration(path: Path) -> Calibration:
    """Read what `save` wrote."""
    path = Path(path)
    try:
        told = json.loads(path.read_text("utf-8"))
        if not isinstance(told, dict) or told.pop("kind", None) != KIND:
            raise ValueError("another kind of file")
        found = calibration_from(told)
    except FileNotFoundError:
        raise BadSetting("no such calibration", where=path) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as bad:
        raise BadSetting(
            "not a calibration of ours", where=path, got=str(bad).splitlines()[0], hint="fit and save it again"
        ) from bad
    return found


def calibration_from(told: Mapping[str, Any]) -> Calibration:
    """A calibration of plain data; a ValueError, TypeError or KeyError says what is not as it should be."""
    numbers = {name: tuple(float(one) for one in values) for name, values in told["numbers"].items()}
    found = Calibration(**{**told, "numbers": numbers})
    if found.method not in METHODS:
        raise ValueError(f"method '{found.method}'")
    applied(found.method, found.numbers, np.zeros(1))
    return found


def calibrate(judged: Judged, *, split: str = "val", method: str = "platt", date: str | None = None) -> Calibration:
    """Fit on the pictures of one split; refused: a test split by name, and pictures whose origin is in one as well.

    "none" stands for the pictures that are in no split.
    """
    if method not in METHODS:
        raise unknown(method, METHODS, "calibration method")
    keep = rows_of_split(judged, split)
    fake, logit, groups = judged.fake[keep], judged.logit[keep], judged.groups[keep]
    if not np.isfinite(logit).all():
        raise BadPredictions("this detector gives no verdicts to calibrate", got=judged.predictions.title)
    if fake.all() or not fake.any():
        raise BadPredictions(
            "calibration wants pictures of both classes",
            where=f"split '{split}'",
            got=f"{int(fake.sum()):,} fake, {int((~fake).sum()):,} real",
        )
    numbers = fit(method, fake, logit)
    rows = zip(np.asarray(judged.manifest.column("id").to_pylist(), dtype=object)[keep], fake, logit, strict=True)
    data = "".join(f"{one}\t{int(label)}\t{float(value)!r}\n" for one, label, value in rows)
    return Calibration(
        method=method,
        numbers=numbers,
        split=split,
        pictures=len(fake),
        fakes=int(fake.sum()),
        data_sha256=hashlib.sha256(data.encode("utf-8", "surrogateescape")).hexdigest(),
        detector=str(judged.predictions.facts.get("detector", "unknown")),
        weights_sha256=judged.predictions.facts.get("weights_sha256"),
        ece_before=ece(fake, _sigmoid(logit)),
        ece_after=_unseen_error(method, fake, logit, groups),
        ece_fitted=ece(fake, applied(method, numbers, logit)),
        date=date or datetime.now(UTC).date().isoformat(),
    )


def rows_of_split(judged: Judged, split: str) -> Flags:
    """(N,) the pictures of a split that may be fitted on; refused are the same as by `calibrate`."""
    _refuse_test(split)
    splits = [one or NO_SPLIT for one in judged.manifest.column("split").to_pylist()]
    keep = np.asarray([one == split for one in splits], dtype=np.bool_)
    if not keep.any():
        there_are = ", ".join(sorted(set(splits)))
        raise BadPredictions("no picture of this split is predicted", wanted=split, got=f"splits: {there_are}")
    _refuse_shared_origins(judged, keep, split)
    return keep


def fit(method: str, fake: Flags, logit: Floats) -> dict[str, tuple[float, ...]]:
    """The numbers of a method: slope and offset, temperature, or the steps' logits and probabilities."""
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(logit, fake.astype(np.float64))
        return {
            "logit": tuple(float(one) for one in steps.X_thresholds_),
            "probability": tuple(float(one) for one in steps.y_thresholds_),
        }
    from sklearn.linear_model import LogisticRegression

    # The solver stops by the size of the gradient, which a logit of thousands would mislead.
    size = float(np.abs(logit).max()) or 1.0
    found = LogisticRegression(C=1e10, max_iter=1000, tol=1e-8, fit_intercept=method == "platt").fit(
        (logit / size)[:, None], fake
    )
    slope = float(found.coef_[0, 0]) / size
    if slope <= 0:
        raise BadPredictions(
            "the detector's logits fall where fakes are more frequent",
            where=method,
            wanted="a rising probability",
            got=f"slope {slope:.3g}",
            hint="the detector is no better than chance on this split; a fit would turn its verdicts round",
        )
    if method == "temperature":
        return {"temperature": (1 / slope,)}
    return {"slope": (slope,), "offset": (float(found.intercept_[0]),)}


def unseen_parts(fake: Flags, groups: npt.NDArray[np.str_]) -> list[tuple[Integers, Integers]]:
    """Five times, rows to fit on and rows to look at, which share no origin; none where there are too few origins."""
    from sklearn.model_selection import GroupKFold

    if len(set(groups.tolist())) < FOLDS:
        return []
    parts = list(GroupKFold(FOLDS).split(fake, fake, groups))
    # A fit wants both classes.
    return parts if all(fake[seen].any() and not fake[seen].all() for seen, _ in parts) else []


def applied(method: str, numbers: Mapping[str, tuple[float, ...]], logit: Floats) -> Floats:
    """Probabilities of logits by the numbers of a fit.

    >>> applied("temperature", {"temperature": (2.0,)}, np.array([0.0, 2.0])).round(4).tolist()
    [0.5, 0.7311]
    """
    if method == "isotonic":
        return np.asarray(np.interp(logit, numbers["logit"], numbers["probability"]), dtype=np.float64)
    if method == "temperature":
        return _sigmoid(logit / numbers["temperature"][0])
    return _sigmoid(numbers["slope"][0] * logit + numbers["offset"][0])


def _unseen_error(method: str, fake: Flags, logit: Floats, groups: npt.NDArray[np.str_]) -> float | None:
    """The error over parts that a fit on the others had not seen; None where there are too few origins for that."""
    parts = unseen_parts(fake, groups)
    told = np.empty(len(fake), dtype=np.float64)
    for seen, unseen in parts:
        try:
            told[unseen] = applied(method, fit(method, fake[seen], logit[seen]), logit[unseen])
        except BadPredictions:  # a part on which the detector is no better than chance
            return None
    return ece(fake, told) if parts else None


def _refuse_test(split: str) -> None:
    if _TEST_WORDS & set(re.split(r"[^a-z]+", split.lower())):
        raise BadSetting(
            "calibration is never fitted on a test split",
            got=split,
            hint="set pictures aside for it: `fauxlens split` makes train, val and test; take val",
        )


def _refuse_shared_origins(judged: Judged, keep: Flags, split: str) -> None:
    words = [set(re.split(r"[^a-z]+", (one or "").lower())) for one in judged.manifest.column("split").to_pylist()]
    tests = np.asarray([bool(_TEST_WORDS & one) for one in words], dtype=np.bool_)
    shared = sorted(set(judged.groups[keep].tolist()) & set(judged.groups[tests].tolist()))
    if shared:
        raise BadPredictions(
            f"{len(shared):,} origins are both in '{split}' and in a test split",
            got=shared[0],
            hint="split the manifest again, by origin: `fauxlens split`",
        )


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -700, 700))), dtype=np.float64)
