"""What lets a verdict be drawn from a detector's logit: a calibration, an abstain band, and how often both err.

A judgement belongs to one file of weights and to one question. It lies beside the weights that it came with, or on this
machine, where `fauxlens calibrate` puts one that was fitted on the user's own pictures; the user's own goes before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadPredictions, BadSetting, BadWeights
from fauxlens.core.files import write_json
from fauxlens.core.names import unknown
from fauxlens.core.version import __version__
from fauxlens.detectors import store as stores
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.evaluate.calibration import Calibration, calibration_from
from fauxlens.metrics.arrays import Floats, numbers, same_length
from fauxlens.metrics.interval import Estimate, clopper_pearson
from fauxlens.verdict.finding import Answer, Axis, Verdict

KIND = "fauxlens-judgement"
AXES: tuple[Axis, ...] = get_args(Axis)
NAMED: dict[Axis, Verdict] = {"whole_image": "generated", "local_edit": "edited"}
"""The verdict of each question; fakes are labelled by the same word."""

SHARE = 0.01
"""Of real pictures, how many at most may get the verdict edited or generated."""
MISSED = 0.1
"""Of fakes, how many at most may lie below the band, where `no_sign` is said."""
LEVEL = 0.95
"""How sure the upper bound is."""

_FOLDER = "judgements"
_CARD = "card.json"


class Counted(NamedTuple):
    """How often something happened to one sort of picture: `number` of `of`."""

    what: str
    number: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How one detector's logit becomes an answer to one question; what it was measured on, and how often it errs.

    Above `high` the verdict is given, below `low` it is `no_sign`, between them and on them `inconclusive`. A `high` of
    None never gives the verdict. `level` is the probability from which on a pixel is marked. Counts are of pictures
    that the ends were not fitted on.
    """

    detector: str
    weights_sha256: str
    axis: Axis
    calibration: Calibration
    low: float
    high: float | None
    date: str
    level: float = 0.5
    false_alarms: tuple[Counted, ...] = ()  # real pictures above the band
    misses: tuple[Counted, ...] = ()  # fakes below it
    abstentions: tuple[Counted, ...] = ()  # pictures inside it
    trained_on: str = ""
    limits: tuple[str, ...] = ()  # whole sentences
    calibrated_on: str = ""  # in words; made of the calibration where nothing is given
    setting: str | None = None  # None: any
    options: Mapping[str, str | int | None] = field(default_factory=dict)  # with which it was asked; others: any
    version: str = __version__

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise unknown(str(self.axis), AXES, "question")
        if not math.isfinite(self.low) or (self.high is not None and not self.low <= self.high < math.inf):
            raise BadSetting("no abstain band", wanted="low <= high, both finite", got=f"{self.low} to {self.high}")
        if not 0 < self.level < 1:
            raise BadSetting("level is out of range", wanted="between 0 and 1", got=self.level)
        self.calibration.require_weights(self.weights_sha256)
        for what, number, of in (*self.false_alarms, *self.misses, *self.abstentions):
            if not 0 <= number <= of:
                raise BadSetting("more errors than pictures", where=what, got=f"{number} of {of}")

    @property
    def words(self) -> str:
        """What it was calibrated on, how many, when."""
        if self.calibrated_on:
            return self.calibrated_on
        fit = self.calibration
        return f"{fit.pictures:,} pictures ({fit.fakes:,} of them fake) of the split '{fit.split}', {self.date}"

    def answer(self, logit: float) -> Answer:
        """What a logit of these weights says to its question."""
        if not math.isfinite(logit):
            raise BadPredictions(
                "the logit is no number, so nothing can be told of it", where=self.detector, got=logit,
                hint="look at the detector's weights: `fauxlens weights verify`",
            )  # fmt: skip
        verdict: Verdict = "inconclusive"
        if self.high is not None and logit > self.high:
            verdict = NAMED[self.axis]
        elif logit < self.low:
            verdict = "no_sign"
        chance = float(self.calibration.probability(logit))
        prior = self.calibration.fakes / self.calibration.pictures
        return Answer(self.axis, float(logit), chance, self.low, self.high, verdict, self.words, prior)

    def require_weights(self, sha256: str | None, where: object = None) -> None:
        """Say no to other weights than those whose logits it was fitted on."""
        if sha256 != self.weights_sha256:
            raise BadWeights(
                f"this judgement of {self.detector} belongs to other weights, so its verdicts would mean nothing",
                where=where,
                wanted=f"weights {self.weights_sha256}",
                got=sha256 or "random weights",
                hint="delete it, or fit one for these weights: `fauxlens calibrate`",
            )

    def save(self, path: Path) -> Path:
        """Write it as JSON, whole or not at all."""
        write_json(Path(path), {"kind": KIND, **asdict(self)})
        return Path(path)


def read_judgement(path: Path) -> Judgement:
    """Read what `save` wrote."""
    path = Path(path)
    try:
        told = json.loads(path.read_text("utf-8"))
        if not isinstance(told, dict) or told.pop("kind", None) != KIND:
            raise ValueError("another kind of file")
        for name in ("false_alarms", "misses", "abstentions"):
            told[name] = tuple(Counted(str(what), int(number), int(of)) for what, number, of in told[name])
        told["limits"] = tuple(str(one) for one in told["limits"])
        told["calibration"] = calibration_from(told["calibration"])
        return Judgement(**told)
    except FileNotFoundError:
        raise BadSetting("no such judgement", where=path, hint="`fauxlens calibrate` makes one") from None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as bad:
        raise BadSetting(
            "not a judgement of ours", where=path, got=str(bad).splitlines()[0],
            hint="delete it, and calibrate again: `fauxlens calibrate`",
        ) from bad  # fmt: skip


def judgement_for(detector: Detector, store: Path | None = None) -> tuple[Judgement, ...]:
    """What is known of the detector's weights, at most one judgement a question; none for random weights.

    Refused: one that lies beside these weights and belongs to others. Left out: one for another setting, or for other
    options, with which the same weights give other logits.
    """
    sha256 = detector.weights.sha256
    if sha256 is None:
        return ()
    found = []
    for axis in AXES:
        for path in _places(detector, axis, store):
            one = read_judgement(path)
            one.require_weights(sha256, path)
            if one.detector != detector.card.name or one.axis != axis:
                raise BadSetting(
                    "this judgement is not what its name says", where=path, wanted=f"{detector.card.name}, {axis}",
                    got=f"{one.detector}, {one.axis}", hint="delete it, and calibrate again",
                )  # fmt: skip
            if _is_meant(one, detector):
                found.append(one)
                break
    return tuple(found)


def place_in_store(detector: str, sha256: str, axis: Axis, store: Path | None = None) -> Path:
    """Where a judgement of these weights lies on this machine, wherever the weights are."""
    return (store or stores.store_folder()) / stores.safe(detector) / _FOLDER / sha256 / f"judgement-{axis}.json"


def place_beside(weights: Loaded, axis: Axis) -> Path | None:
    """Where a judgement lies that comes along with weights: in their folder, or beside a lone file under its name."""
    if not weights.files:
        return None
    first = weights.files[0]
    if (first.parent / _CARD).is_file():
        return first.parent / f"judgement-{axis}.json"
    # Several files of weights may lie in one folder.
    return first.parent / f"{first.stem}.judgement-{axis}.json"


@dataclass(frozen=True, slots=True)
class Band:
    """The ends of an abstain band, and what was counted when they were laid.

    A photo that was delivered in five ways is neither one observation nor five: `worth` tells how many independent
    ones the reals amount to.
    """

    low: float
    high: float | None
    share: float  # of reals, asked for
    reals: int
    origins: int  # of the reals
    worth: float  # independent pictures that the reals amount to, from as many as origins to as many as reals
    above: int  # reals above it
    expected: Estimate  # of other reals of the same kind, the share above it
    upper: float  # with 95 % confidence at most this
    fakes: int
    below: int  # fakes below it
    named: int  # fakes above it

    @property
    def wanted(self) -> int:
        """How many independent reals it takes to promise the share, when none of them lies above."""
        return math.ceil(math.log(1 - LEVEL) / math.log1p(-self.share))

    @property
    def is_enough(self) -> bool:
        """Whether there are as many."""
        return self.worth >= self.wanted

    @property
    def sentence(self) -> str:
        """What can be promised of real pictures, in words."""
        worth = f", worth {int(self.worth):,} independent ones" if int(self.worth) > self.origins else ""
        if self.high is None:
            return (
                f"{self.origins:,} origins of real pictures{worth} cannot promise {self.share:.1%} ({self.wanted:,} "
                "can), so the verdict is never given"
            )
        few = "" if self.is_enough else f"; too few to promise {self.share:.1%}, for which it takes {self.wanted:,}"
        return (
            f"{self.above:,} of {self.reals:,} real pictures ({self.origins:,} origins{worth}) lie above the band, "
            f"with {LEVEL:.0%} confidence at most {self.upper:.1%} of others{few}"
        )


def band(
    real_logits: npt.ArrayLike,
    real_groups: Sequence[str] | npt.NDArray[np.str_],
    fake_logits: npt.ArrayLike,
    share: float = SHARE,
    *,
    missed: float = MISSED,
    strict: bool = False,
) -> Band:
    """The narrowest abstain band that keeps both promises on the pictures given. Reals are counted as delivered.

    `high` is the smallest logit of a real above which at most `share` of the reals lie, of pictures and of origins
    (an origin counts by the share of its pictures that are above). With too few reals to promise `share` at all, it
    is the largest logit of a real. `strict` asks the upper bound, and not the count, to keep to `share`; where that
    cannot be, `high` is None and the verdict is never given.

    How many reals are enough is counted in independent ones: deliveries of one photo are alike, and how much alike is
    measured where it matters, among the highest logits.

    `low` is the largest logit of a fake below which at most `missed` of the fakes lie, and never above `high`.

    Above and below mean beyond: what ties with an end is inside the band.

    >>> found = band(np.arange(300.0), [str(n) for n in range(300)], np.arange(200.0, 400.0))
    >>> found.low, found.high, found.above, found.below, found.named
    (220.0, 296.0, 3, 20, 103)
    """
    for name, given in (("share", share), ("missed", missed)):
        if not 0 < given < 1:
            raise BadSetting(f"{name} is out of range", wanted="between 0 and 1", got=given)
    reals, fakes = _finite(real_logits, "real_logits"), _finite(fake_logits, "fake_logits")
    groups = np.asarray(real_groups, dtype=np.str_)
    same_length(real_logits=reals, real_groups=groups)
    values, pictures_above, origins_above, origins = _above(reals, groups)
    # A share of a count may come out a hair below the whole number that it is.
    hair = 1e-9
    worth = _worth(reals, groups)
    shares = np.maximum(pictures_above / len(reals), origins_above / origins)
    enough = clopper_pearson(0, worth, level=LEVEL, side="upper").high <= share
    if not enough:
        keeps = np.zeros(len(values), dtype=np.bool_)
        keeps[-1] = not strict
    elif strict:
        keeps = np.asarray([_upper(one, worth) <= share for one in shares])
    else:
        keeps = shares <= share + hair
    place = int(np.argmax(keeps)) if keeps.any() else None
    high = None if place is None else float(values[place])
    low = float(np.sort(fakes)[int(missed * len(fakes) + hair)])
    if high is not None:
        low = min(low, high)
    return Band(
        low=low,
        high=high,
        share=share,
        reals=len(reals),
        origins=origins,
        worth=worth,
        above=0 if place is None else int(pictures_above[place]),
        expected=Estimate(0.0, 0.0, 0.0, LEVEL) if place is None else _expected(float(shares[place]), worth),
        upper=0.0 if place is None else _upper(float(shares[place]), worth),
        fakes=len(fakes),
        below=int((fakes < low).sum()),
        named=0 if high is None else int((fakes > high).sum()),
    )


def _above(reals: Floats, groups: npt.NDArray[np.str_]) -> tuple[Floats, Floats, Floats, int]:
    """The logits of reals in order, each once; pictures and origins above each; how many origins there are."""
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1.0 / sizes[of_row]
    values, place = np.unique(reals, return_inverse=True)

    def beyond(weights: Floats) -> Floats:
        here = np.bincount(place, weights=weights, minlength=len(values))
        # Summed from the top, so that nothing is left of rounding where nothing is above.
        return np.concatenate([np.cumsum(here[::-1])[::-1][1:], [0.0]])

    return values, beyond(np.ones(len(reals))), np.minimum(beyond(weight), len(sizes)), len(sizes)


# Of the reals, the shares with the highest logits among which likeness is measured. Above a band's end is one in a
# hundred; there alone, the few that are above would tell too little.
_TAILS = (0.1, 0.05, 0.02, 0.01)
_FEWEST_ORIGINS = 50
"""With fewer, likeness is not measured: each origin counts once."""


def _worth(reals: Floats, groups: npt.NDArray[np.str_]) -> float:
    """How many independent pictures the reals amount to when one asks which share lies above a high logit.

    Their number, divided by how much more the share varies from draw to draw of origins than it would of pictures
    (Kish's design effect, the largest of several tails), corrected for how few origins that is known by (Korn and
    Graubard 1998). Never fewer than the origins, nor more than the pictures.
    """
    from scipy.special import stdtrit

    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count, origins = len(reals), len(sizes)
    if origins < _FEWEST_ORIGINS or origins == count:
        return float(origins)
    ordered, most = np.sort(reals), 1.0
    for tail in _TAILS:
        above = reals > ordered[-1 - int(tail * count)]
        share = float(above.mean())
        if not share:  # all that are as high tie
            return float(origins)
        off = np.bincount(of_row, weights=above) - share * sizes
        by_origin = origins / (origins - 1) * float((off**2).sum()) / count**2
        most = max(most, by_origin / (share * (1 - share) / (count - 1)))
    end = (1 + LEVEL) / 2
    known = float(stdtrit(count - 1, end) / stdtrit(origins - 1, end)) ** 2
    return min(max(known * count / most, float(origins)), float(count))


def _upper(share: float, worth: float) -> float:
    return clopper_pearson(share * worth, worth, level=LEVEL, side="upper").high


def _expected(share: float, worth: float) -> Estimate:
    """The share of new values above a threshold above which `share` of `worth` known ones lie.

    It follows the law Beta(above + 1, worth - above), whatever the values' own law is (Wilks 1941).
    """
    from scipy.special import betaincinv

    above = share * worth
    ends = betaincinv(above + 1, worth - above, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate((above + 1) / (worth + 1), float(ends[0]), float(ends[1]), LEVEL, "order statistic", int(worth))


def _finite(given: npt.ArrayLike, name: str) -> Floats:
    found = numbers(given, name)
    if not len(found) or not np.isfinite(found).all():
        raise BadPredictions(f"{name}: a band is laid by finite logits", wanted="at least one", got=f"{len(found):,}")
    return found


def _places(detector: Detector, axis: Axis, store: Path | None) -> Iterator[Path]:
    assert detector.weights.sha256 is not None  # random weights were sent away before
    for path in (
        place_in_store(detector.card.name, detector.weights.sha256, axis, store),
        place_beside(detector.weights, axis),
    ):
        if path is not None and path.is_file():
            yield path


def _is_meant(judgement: Judgement, detector: Detector) -> bool:
    if judgement.setting not in (None, detector.setting):
        return False
    return all(str(getattr(detector, name, None)) == str(value) for name, value in judgement.options.items())
