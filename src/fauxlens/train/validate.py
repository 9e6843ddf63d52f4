"""Validation: the detector is asked about each picture once, by one of the processes; every number comes after.

What it said is kept as a file of predictions like any other, so that a number nobody thought of can be had later. Each
process asks about every n-th picture; rows and tallies are joined, so the numbers do not depend on how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from fauxlens.core.errors import BadSetting, UnreadableImage
from fauxlens.detectors.detector import Detector
from fauxlens.evaluate.masks import truth_of
from fauxlens.evaluate.predict import answers
from fauxlens.evaluate.predictions import OK, Predictions, judged, predictions_of
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.image import METRICS
from fauxlens.metrics.tally import PixelScores, PixelTally
from fauxlens.train.ranks import Ranks
from fauxlens.train.recipe import IDENTIFIED, OF_MASKS, Showing, Validation

_LOWER_IS_BETTER = {"false_alarm_area"} | {name for name, one in METRICS.items() if one.better == "lower"}


def pictures_of(manifest: Manifest, plan: Validation) -> Manifest:
    """The rows that are validated: usable, of the split, at most `limit` of them, evenly picked."""
    usable = manifest.usable()
    rows = np.flatnonzero(np.asarray(usable.column("split").to_pylist(), dtype=object) == plan.split)
    if not len(rows):
        there_are = ", ".join(str(value) for (value,) in usable.count("split")) or "none"
        raise BadSetting(
            "nothing to validate with", where=usable.name, wanted=f"split '{plan.split}'", got=f"splits: {there_are}",
            hint="name a split in [validate], or take the table out",
        )  # fmt: skip
    if plan.limit is not None and len(rows) > plan.limit:
        rows = rows[np.linspace(0, len(rows) - 1, plan.limit).round().astype(np.int64)]
    return usable.take(f"validation split {plan.split}", rows)


def validate(
    detector: Detector,
    pictures: Manifest,
    plan: Validation,
    showing: Showing,
    ranks: Ranks,
    *,
    facts: Mapping[str, Any],
    save: Path | None = None,
    remark: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Ask about every picture once; gives the numbers of `plan` by name, the same in every process.

    `save` is where the predictions go (without masks); numbers that do not exist, as of one class only, are nan. When
    that file cannot be written, `remark` is told, and the numbers are given all the same; without it that is an error.
    """
    mine = range(ranks.rank, len(pictures), ranks.world)
    rows, tally = _asked(detector, pictures, mine, masks=showing.masks)
    several = ranks.gather((rows, tally))
    found: dict[str, float] = {}
    if ranks.first:
        ordered: list[dict[str, Any]] = [{} for _ in range(len(pictures))]
        for rank, (part, _) in enumerate(several):
            ordered[rank :: ranks.world] = part
        predictions = predictions_of(ordered, Path() if save is None else save.parent, facts)
        if save is not None:
            try:
                predictions.save(save)
            except OSError as fault:
                if remark is None:
                    raise
                remark(f"{save}: what was said of each picture could not be kept ({fault})")
        found = _numbers(predictions, pictures, plan, showing)
        if showing.masks:
            whole = PixelTally()
            for _, part in several:
                whole = whole + part
            scores: PixelScores = whole.scores()
            found["masks"] = float(scores.pictures)
            found |= {one.name: float(getattr(scores, one.name)) for one in fields(scores) if one.name in OF_MASKS}
    numbers: dict[str, float] = ranks.from_first(found)
    return numbers


def score_of(found: Mapping[str, float], name: str) -> float:
    """The number that picks the best weights, so turned that higher is better."""
    if name not in found:
        raise BadSetting("no such number was validated", where="best", wanted=", ".join(found), got=name)
    return -found[name] if name in _LOWER_IS_BETTER else found[name]


def _asked(
    detector: Detector, pictures: Manifest, rows: Sequence[int], *, masks: bool
) -> tuple[list[dict[str, Any]], PixelTally]:
    """What is said of these rows, and a tally of the masks whose truth is known."""
    tally = PixelTally()
    kept: list[dict[str, Any]] = []
    if detector.device.type == "cuda":
        torch.cuda.empty_cache()
    # Only where the pictures lie: the truth's mask is no part of what was said.
    asked = pictures.table.select(["id", "path"]).take(pa.array(rows, pa.int64())).to_pylist()
    for number, said in zip(rows, answers(detector, asked, pictures.root), strict=True):
        mask = said.pop("mask", None)
        if masks and mask is not None:
            truth = _truth(pictures, number, mask.shape)
            if truth is not None:
                tally.add(truth, mask)
        kept.append(said)
    return kept, tally


def _truth(pictures: Manifest, row: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """The true mask; None where it is not known, cannot be read, or is of another size than the picture."""
    try:
        found = truth_of(pictures, row, shape)
    except UnreadableImage:
        return None
    return None if isinstance(found, str) or found.shape != shape else found


def _numbers(predictions: Predictions, pictures: Manifest, plan: Validation, showing: Showing) -> dict[str, float]:
    pairs = judged(predictions, pictures)
    found: dict[str, float] = {"pictures": float(len(pairs)), "left out": float(sum(pairs.left_out.values()))}
    if len(pairs) and not np.isnan(pairs.logit).all():
        for name in plan.metrics:
            metric = METRICS[name]
            found[name] = float(metric.function(pairs.fake, pairs.probability))
    if showing.target is not None and showing.classes:
        found[IDENTIFIED] = _identified(predictions, pictures, showing)
    return found


def _identified(predictions: Predictions, pictures: Manifest, showing: Showing) -> float:
    """The share of rows with a class whose class has the highest score."""
    assert showing.target is not None
    truth = dict(
        zip(pictures.column("id").to_pylist(), pictures.column(showing.target).to_pylist(), strict=True)
    )  # fmt: skip
    right, told = 0, 0
    for row in predictions.table.select(["id", "generators", "status"]).to_pylist():
        wanted = truth[row["id"]]
        if row["status"] != OK or row["generators"] is None or wanted not in showing.classes:
            continue
        scores = [score for _, score in row["generators"]]
        told += 1
        right += int(int(np.argmax(scores)) == showing.classes.index(wanted))
    return right / told if told else math.nan
