"""A judgement from labelled pictures of one's own: calibration, abstain band, and how often both err on the unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fauxlens.core.errors import BadPredictions, BadSetting, UnknownName
from fauxlens.core.names import unknown
from fauxlens.detectors.load import without_numbers
from fauxlens.detectors.table import detector_class
from fauxlens.evaluate.calibration import NO_SPLIT, Calibration, calibrate, rows_of_split, unseen_parts
from fauxlens.evaluate.predictions import Judged, Predictions
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.arrays import Flags
from fauxlens.metrics.image import auc
from fauxlens.verdict.finding import Axis
from fauxlens.verdict.judgement import AXES, NAMED, SHARE, Band, Counted, Judgement, band

FEWEST = 20
"""Pictures of either class; with fewer, both fit and band are chance."""

OWN = "It was calibrated on pictures that its user labelled; on pictures of another kind it may err more often."

_MOST_ROWS = 24


@dataclass(frozen=True)
class Fitted:
    """A judgement, the band as it was laid, and pictures of the split that were left out, by reason."""

    judgement: Judgement
    band: Band
    left_out: Mapping[str, int]


def fit_judgement(
    judged: Judged,
    *,
    axis: Axis | Literal["auto"] = "auto",
    split: str | None = None,
    method: str = "platt",
    share: float = SHARE,
    strict: bool = False,
    date: str | None = None,
) -> Fitted:
    """Fit on the pictures of one split. `axis`: "auto" follows the labels, edited or generated, where there is one.

    `split`: None is val, or all pictures where none is in any split. Refused: a test split by name, random weights,
    predictions without logits, fewer than twenty pictures of a class, a detector that is better off turned round.

    The judgement's counts of errors are of pictures that the band was not laid by: five parts by origin, each judged by
    a band of the other four. Where there are fewer than five origins, it has none.
    """
    _refuse_meaningless(judged)
    split = _usual_split(judged) if split is None else split
    here = judged.where(rows_of_split(judged, split))
    labels = here.manifest.column("label").to_pylist()
    question = _question(labels, axis, split)
    part = here.where(np.asarray([one in ("real", NAMED[question]) for one in labels], dtype=np.bool_))
    _refuse_few(part, split, question)
    _refuse_turned(part, split)
    calibration = calibrate(part, split=split, method=method, date=date)
    fake, logit, groups = part.fake, part.logit, part.groups
    laid = band(logit[~fake], groups[~fake], logit[fake], share, strict=strict)
    judgement = _judgement(part, calibration, laid, question)
    verdicts = _unseen_verdicts(judgement, part, share, strict)
    if verdicts is not None:
        judgement = _with_counts(judgement, part, verdicts)
    others = Counter(f"{one}, another question" for one in labels if one not in ("real", NAMED[question]))
    return Fitted(judgement, laid, {**judged.left_out, **dict(sorted(others.items()))})


def together(several: Sequence[Judged]) -> Judged:
    """The same detector on several sets, degraded copies of one another among them, as one set.

    A copy keeps the ids of its originals; here each delivery is a picture of its own, of the same origin.
    """
    if len(several) == 1:
        return several[0]
    if not several:
        raise BadPredictions("no predictions were given", wanted="at least one file that `fauxlens predict` wrote")
    for name in ("detector", "weights_sha256", "setting", "options"):
        told = [one.predictions.facts.get(name) for one in several]
        if any(one != told[0] for one in told):
            raise BadPredictions(
                "the files are of detectors that differ, so their scores are not comparable", where=name,
                wanted=told[0], got=next(one for one in told if one != told[0]),
            )  # fmt: skip
    samples = [
        replace(sample, id=f"{number}:{sample.id}", origin=sample.origin or sample.id)
        for number, one in enumerate(several)
        for sample in one.manifest
    ]
    tables = [one.predictions.table.take(pa.array(one.rows)) for one in several]
    left_out: Counter[str] = Counter()
    for one in several:
        left_out.update(one.left_out)
    first = several[0].predictions
    return Judged(
        Manifest.from_samples(samples, several[0].manifest.root),
        Predictions(pa.concat_tables(tables), first.folder, first.facts),
        np.arange(len(samples)),
        dict(sorted(left_out.items())),
    )


def _refuse_meaningless(judged: Judged) -> None:
    title = judged.predictions.title
    if judged.predictions.is_random or judged.predictions.facts.get("weights_sha256") is None:
        raise BadPredictions(
            "random weights learnt nothing, so there is nothing to calibrate", got=title,
            hint="predict with weights: `fauxlens weights list`",
        )  # fmt: skip
    if not len(judged):
        raise BadPredictions("no picture of the manifest has a prediction", got=title, hint="predict this manifest")
    logit = judged.logit
    if not np.isfinite(logit).all():
        raise BadPredictions(
            "these predictions hold no logits, or some that are no finite numbers", got=title,
            hint="only a detector that tells fake from real can be calibrated: `fauxlens detectors`, `detect`",
        )  # fmt: skip


def _usual_split(judged: Judged) -> str:
    return "val" if any(judged.manifest.column("split").to_pylist()) else NO_SPLIT


def _question(labels: Sequence[str], axis: str, split: str) -> Axis:
    """Which of the two questions the labels answer."""
    if axis != "auto":
        if axis not in AXES:
            raise unknown(axis, ["auto", *AXES], "question")
        return next(one for one in AXES if one == axis)
    told = [one for one in AXES if NAMED[one] in labels]
    if len(told) > 1:
        raise BadSetting(
            "the fakes are of two sorts, generated and edited, and these are two questions",
            where=f"split '{split}'",
            hint="say --axis whole_image or --axis local_edit; the fakes of the other sort are then left out",
        )
    # Without any fake the next check says so, whichever question it is.
    return told[0] if told else AXES[0]


def _refuse_few(part: Judged, split: str, axis: Axis) -> None:
    fakes = int(part.fake.sum())
    reals = len(part) - fakes
    if min(fakes, reals) < FEWEST:
        raise BadPredictions(
            "too few pictures to calibrate with", where=f"split '{split}'",
            wanted=f"at least {FEWEST} real and {FEWEST} {NAMED[axis]}",
            got=f"{reals:,} real, {fakes:,} {NAMED[axis]}",
            hint="label more pictures, or take another split: --split NAME, --split none for those in no split",
        )  # fmt: skip


def _refuse_turned(part: Judged, split: str) -> None:
    found = auc(part.fake, part.logit)
    if found <= 0.5:
        raise BadPredictions(
            "the detector ranks real pictures above fakes here, so it would be better off turned round",
            where=f"split '{split}'", wanted="an AUC above 0.5", got=f"{found:.3f}",
            hint="look at the labels and at what it was trained on; such a detector is not for these pictures",
        )  # fmt: skip


def _judgement(part: Judged, calibration: Calibration, laid: Band, axis: Axis) -> Judgement:
    facts = part.predictions.facts
    fake_share = calibration.fakes / calibration.pictures
    limits = [
        OWN,
        f"Its probabilities hold where {fake_share:.0%} of the pictures are {NAMED[axis]}, as among those.",
    ]
    if laid.origins < laid.reals:
        limits.append(f"The real ones among those are {laid.reals:,} deliveries of {laid.origins:,} pictures.")
    if not laid.is_enough:
        limits.append(
            f"Only {int(laid.worth):,} independent real pictures were at hand; to promise at most {laid.share:.1%} "
            f"false alarms takes {laid.wanted:,}."
        )
    return Judgement(
        detector=str(facts.get("detector", "unknown")),
        weights_sha256=str(facts["weights_sha256"]),
        axis=axis,
        calibration=calibration,
        low=laid.low,
        high=laid.high,
        date=calibration.date,
        trained_on=_trained_on(facts.get("detector"), facts.get("weights")),
        limits=tuple(limits),
        setting=facts.get("setting") or None,
        options=_options(facts),
    )


def _options(facts: Mapping[str, Any]) -> dict[str, str | int | None]:
    """All options of the detector as it was asked: with another value the same weights give other logits."""
    given = dict(facts.get("options") or {})
    try:
        usual = without_numbers(detector_class(str(facts.get("detector"))), facts.get("setting") or None)
    except UnknownName:  # predictions of something that is not in our tables
        return given
    found = {name: getattr(usual, name) for name in usual.options}
    return {name: value if isinstance(value, int | None) else str(value) for name, value in {**found, **given}.items()}


def _trained_on(detector: str | None, weights: str | None) -> str:
    """What the card says, where the weights are one of its sets; of a file of one's own nothing is known."""
    try:
        card = detector_class(str(detector)).card
    except UnknownName:
        return ""
    return next((one.trained_on for one in card.weights if one.name == weights), "")


def _unseen_verdicts(judgement: Judgement, part: Judged, share: float, strict: bool) -> npt.NDArray[np.str_] | None:
    """(N,) the verdict of each picture by a band laid by the others; None where there are too few origins."""
    fake, logit, groups = part.fake, part.logit, part.groups
    parts = unseen_parts(fake, groups)
    if not parts:
        return None
    told = np.empty(len(part), dtype=np.dtype("U16"))
    for seen, unseen in parts:
        of_fake, of_real = seen[fake[seen]], seen[~fake[seen]]
        laid = band(logit[of_real], groups[of_real], logit[of_fake], share, strict=strict)
        by = replace(judgement, low=laid.low, high=laid.high)
        told[unseen] = [by.answer(float(one)).verdict for one in logit[unseen]]
    return told


def _with_counts(judgement: Judgement, part: Judged, verdicts: npt.NDArray[np.str_]) -> Judgement:
    """What a finding tells of errors: of all, and of each sort where there are several."""
    fake, label = part.fake, NAMED[judgement.axis]
    column = {name: part.manifest.column(name).to_pylist() for name in ("source", "generator", "method")}
    of_real = [one or "of no named source" for one in column["source"]]
    of_fake = [
        generator or method or "of no named origin"
        for generator, method in zip(column["generator"], column["method"], strict=True)
    ]
    inside = verdicts == "inconclusive"
    return replace(
        judgement,
        false_alarms=_by_sort("real pictures", of_real, ~fake, verdicts == label),
        misses=_by_sort(f"{label} pictures", of_fake, fake, verdicts == "no_sign"),
        abstentions=(
            Counted("real pictures", int(inside[~fake].sum()), int((~fake).sum())),
            Counted(f"{label} pictures", int(inside[fake].sum()), int(fake.sum())),
        ),
    )


def _by_sort(noun: str, sorts: list[str], among: Flags, hit: Flags) -> tuple[Counted, ...]:
    rows = [Counted(noun, int(hit[among].sum()), int(among.sum()))]
    names = Counter(one for one, is_among in zip(sorts, among, strict=True) if is_among)
    if len(names) > 1:
        sort = np.asarray(sorts, dtype=object)
        for name, of in names.most_common(_MOST_ROWS):
            rows.append(Counted(f"{noun}: {name}", int((hit & among & (sort == name)).sum()), of))
    return tuple(rows)
