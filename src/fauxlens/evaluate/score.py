"""Predictions against a protocol: every cell of its table, ours beside the published, with an interval and a verdict.

A cell is one row (a detector with one training), one part (a test set) and one metric. Whether ours may be compared
with the published number is decided here, by rules that are written out in every footnote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from fauxlens.core.errors import BadPredictions, BadSetting, FauxlensError
from fauxlens.core.names import nearest, unknown
from fauxlens.core.progress import Progress, silent
from fauxlens.evaluate.calibrate import Calibration, calibration_rows, platt
from fauxlens.evaluate.masks import fake_shares, look_at_masks
from fauxlens.evaluate.numbers import Drawable, Material, Number, estimate, mask_names, mean_of, number_of
from fauxlens.evaluate.predictions import Judged, Predictions, judged
from fauxlens.evaluate.protocol import Part, Protocol, Row
from fauxlens.images.degrade import read_chain
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.select import matches, one_to_one
from fauxlens.metrics.arrays import Flags
from fauxlens.metrics.interval import Estimate

Verdict = Literal["pass", "differs", "not comparable", "not published", "not measured"]

RESAMPLES = 1000
MEAN = "mean"
ANOTHER = "another answer"
_FEWEST = 5  # fakes of a part that nobody asked for by name
_MOST_OFF = 0.01  # of a count: more, and it is other data
_NAN = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Entry:
    """Predictions and the manifest they are of; `name` says which row of the table they are, where it is not plain."""

    predictions: Predictions
    manifest: Manifest
    name: str = ""


@dataclass(frozen=True)
class Run:
    """One row of ours: a detector with one set of weights; `row` is the published row beside it, "" when there is none.

    `reasons` say why this row may not be held against the published one at all.
    """

    name: str
    row: str
    detector: str
    setting: str
    weights: str
    sha256: str | None
    version: str
    is_random: bool
    reasons: tuple[str, ...] = ()
    pictures: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number, in the protocol's unit (per cent where it says so), and what is to be said of it."""

    row: str
    part: str
    metric: str
    estimate: Estimate
    reals: int
    fakes: int
    published: float | None
    difference: float | None
    verdict: Verdict
    reasons: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures it is of."""
        return self.reals + self.fakes


@dataclass(frozen=True, eq=False)
class Served:
    """The rows of one entry that one run brings to one part."""

    run: str
    part: str
    judged: Judged
    keep: Flags
    material: Material
    degraded_by: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scored:
    """All cells of one protocol, and the pictures that they were computed from."""

    protocol: Protocol
    runs: tuple[Run, ...]
    cells: tuple[Cell, ...]
    served: tuple[Served, ...]
    taken: tuple[Taken, ...]
    calibrations: Mapping[str, Calibration]
    resamples: int
    remarks: tuple[str, ...] = ()

    def cell(self, row: str, part: str, metric: str) -> Cell:
        """One cell; its name as in the protocol."""
        found = self._by_place.get((row, part, metric))
        if found is None:
            raise BadSetting("no such cell", where=self.protocol.name, got=f"{row}, {part}, {metric}")
        return found

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, str], Cell]:
        return {(one.row, one.part, one.metric): one for one in self.cells}

    def material(self, run: str, part: str) -> Material | None:
        """The pictures behind a cell; None where none was brought."""
        found = [one.material for one in self.served if (one.run, one.part) == (run, part)]
        return found[0] if found else None


@dataclass(frozen=True, eq=False)
class Taken:
    """One entry, judged: which run it belongs to, how it was degraded, and its probabilities, calibrated if asked."""

    run: str
    entry: Entry
    judged: Judged
    degraded_by: str
    probability: npt.NDArray[np.float64]
    used: Flags  # (N,) whether a picture is in any part


def score(
    protocol: Protocol,
    entries: Sequence[Entry],
    *,
    resamples: int = RESAMPLES,
    partial: bool = False,
    progress: Progress = silent,
) -> Scored:
    """Every cell that these predictions can fill.

    Entries of one detector with one set of weights are one row: the original pictures and degraded copies together.
    Refused: predictions that do not cover their manifest (unless `partial`), that hold a picture twice or scores that
    are not numbers, masks of another size, two entries for one part, and predictions that no part can use.
    """
    if not entries:
        raise BadSetting("nothing to score", where=protocol.name, hint="give predictions with their manifest")
    numbers = [number_of(name, identification=protocol.view == "identification") for name in protocol.metrics]
    runs, named = _runs(protocol, entries)
    taken = [_taken(name, entry, partial) for name, entry in zip(named, entries, strict=True)]
    calibrations = _calibrations(protocol, taken)
    remarks: list[str] = []
    served: list[Served] = []
    done: list[Taken] = []
    for one in taken:
        fitted = calibrations.get(one.run)
        if fitted is not None:
            one = replace(one, probability=fitted.probability(one.judged.logit))
        found = _served(protocol, one, numbers, partial, progress, remarks)
        served += found
        used = np.any([part.keep for part in found], axis=0) if found else np.zeros(len(one.judged), dtype=np.bool_)
        done.append(replace(one, used=used))
    _refuse_double(protocol, served)
    if not served:
        raise BadPredictions(
            "no part of this protocol has a picture here", where=protocol.name,
            wanted="; ".join(f"{part.name}: {_in_words(protocol, part)}" for part in protocol.parts[:3]),
            got=", ".join(f"{len(one.judged):,} pictures of {one.entry.manifest.name}" for one in taken[:3]),
            hint=f"this protocol is about: {protocol.data}",
        )  # fmt: skip
    runs = [_counted(run, done) for run in runs]
    cells = [
        cell
        for run in runs
        for number, name in zip(numbers, protocol.metrics, strict=True)
        for cell in _cells(protocol, run, name, number, served, calibrations, resamples)
    ]
    return Scored(
        protocol, tuple(runs), tuple(cells), tuple(served), tuple(done), calibrations, resamples, tuple(remarks)
    )


def plain_protocol(entries: Sequence[Entry]) -> Protocol:
    """No protocol: all pictures, then the fakes of each generator and each method against all reals, every metric."""
    values: dict[str, set[str | None]] = {"method": set(), "generator": set()}
    told: dict[frozenset[str], str] = {}
    for entry in entries:
        usable = entry.manifest.usable()
        fakes = usable.where("fakes", np.asarray([one != "real" for one in usable.column("label").to_pylist()]))
        ids = fakes.column("id").to_pylist()
        told[frozenset(ids)] = "all"
        for column, seen in values.items():
            rows: dict[str | None, set[str]] = {}
            for one, value in zip(ids, fakes.column(column).to_pylist(), strict=True):
                rows.setdefault(value, set()).add(one)
            # The same fakes under two names are one part; a handful of fakes tells nothing.
            seen |= {
                value
                for value, members in rows.items()
                if len(members) >= _FEWEST
                and told.setdefault(frozenset(members), f"{column} {value}") == f"{column} {value}"
            }
    parts = [Part(name="all", about="every picture")]
    for column, seen in values.items():
        # A comma parts alternatives in a condition, so such a name cannot be asked for.
        names = sorted(one for one in seen if one and "," not in one)
        taken = {part.name for part in parts}
        parts += [
            Part(name=f"{one} ({column})" if one in taken else one, fakes=(f"{column}={one}",),
                 about=f"fakes with {column} {one} against all reals")
            for one in names
        ]  # fmt: skip
    masks = any(entry.predictions.table.column("mask_path").null_count < len(entry.predictions) for entry in entries)
    pixels = ("macro_f1", "macro_f1_best_of_picture", "macro_iou", "macro_auc", "pooled_f1", "pooled_auc",
              "false_alarm_area")  # fmt: skip
    whole = ("AUC", "AP", "balanced accuracy", "accuracy", "F1", "Gen. R@50", "Real R@50", "TPR at 1 % FPR",
             "TPR at 5 % FPR", "ECE", "Brier")  # fmt: skip
    return Protocol(
        name="plain",
        version=1,
        title="No protocol: every metric, per generator and method",
        paper="none",
        source="none",
        layout="",
        data="any manifest with predictions",
        view="table",
        metrics=(*whole, *(pixels if masks else ())),
        parts=tuple(parts),
        percent=False,
        mean=False,
    )


def _runs(protocol: Protocol, entries: Sequence[Entry]) -> tuple[list[Run], list[str]]:
    """The rows of ours, and for each entry the name of its row."""
    of_key: dict[tuple[str, ...], Run] = {}
    keys = []
    for entry in entries:
        facts = entry.predictions.facts
        key = (
            *(str(facts.get(one)) for one in ("detector", "setting", "weights", "weights_sha256", "seed")),
            json.dumps(facts.get("options") or {}, sort_keys=True),
            entry.name,
        )
        keys.append(key)
        if key in of_key:
            continue
        row, reasons = _published_row(protocol, entry)
        name = row.name if row is not None and not reasons else entry.name or entry.predictions.title
        taken = {run.name for run in of_key.values()}
        if name in taken:
            digest = str(facts.get("weights_sha256") or facts.get("seed"))[:8]
            name = next(
                one
                for one in (f"{name} [{digest}]", *(f"{name} [{digest}, {n}]" for n in range(2, len(entries) + 2)))
                if one not in taken
            )
        of_key[key] = Run(
            name=name,
            row="" if row is None else row.name,
            detector=str(facts.get("detector", "unknown")),
            setting=str(facts.get("setting") or ""),
            weights=str(facts.get("weights") or ""),
            sha256=facts.get("weights_sha256"),
            version=str(facts.get("version") or "unknown"),
            is_random=entry.predictions.is_random,
            reasons=reasons,
        )
    return list(of_key.values()), [of_key[key].name for key in keys]


def _published_row(protocol: Protocol, entry: Entry) -> tuple[Row | None, tuple[str, ...]]:
    """The row of the published table that this is, and why it may not be compared with it."""
    facts = entry.predictions.facts
    detector, weights = str(facts.get("detector", "")), str(facts.get("weights") or "")
    setting = str(facts.get("setting") or "")
    reasons = ["random weights: nothing was ever learnt"] if entry.predictions.is_random else []
    for row in protocol.rows:
        if row.name == entry.name:
            if row.detector and row.detector != detector:
                reasons.append(f"another detector: {detector}, published for {row.detector}")
            if not row.is_training(weights) and not entry.predictions.is_random:
                reasons.append(f"other training: weights '{weights}', published for {_training(row)}")
            return row, tuple(reasons)
    rows = [row.name for row in protocol.rows]
    if entry.name and nearest(entry.name, rows):
        # A name of one's own is welcome; one that is nearly a row's was meant to be it.
        raise unknown(entry.name, rows, f"row of protocol {protocol.name}")
    mine = [row for row in protocol.rows if row.detector and row.detector == detector]
    mine = [row for row in mine if row.setting in ("", setting)]
    exact = [row for row in mine if row.is_training(weights)]
    if exact:
        return exact[0], tuple(reasons)
    if len(mine) == 1:
        # Beside the only row of this detector, so that a reader sees both, and why they are two things.
        if not reasons:
            reasons.append(f"other training: weights '{weights}', published for {_training(mine[0])}")
        return mine[0], tuple(reasons)
    return None, tuple(reasons)


def _training(row: Row) -> str:
    return row.training or ", ".join(row.weights) or "another"


def _taken(run: str, entry: Entry, partial: bool) -> Taken:
    found = judged(entry.predictions, entry.manifest, partial=partial)
    return Taken(
        run=run,
        entry=entry,
        judged=found,
        degraded_by=str(entry.manifest.facts.get("degraded_by") or ""),
        probability=found.probability,
        used=np.zeros(len(found), dtype=np.bool_),
    )


def _calibrations(protocol: Protocol, taken: Sequence[Taken]) -> dict[str, Calibration]:
    """For each run the fit on its calibration pictures; a run without any has none."""
    found: dict[str, Calibration] = {}
    if protocol.calibration == "none":
        return found
    for run in dict.fromkeys(one.run for one in taken):
        rows = [(one.judged, calibration_rows(one.judged)) for one in taken if one.run == run]
        fitted = platt(
            np.concatenate([one.fake[keep] for one, keep in rows]),
            np.concatenate([one.logit[keep] for one, keep in rows]),
        )
        if fitted is not None:
            found[run] = fitted
    return found


def _served(
    protocol: Protocol,
    taken: Taken,
    numbers: Sequence[Number],
    partial: bool,
    progress: Progress,
    remarks: list[str],
) -> list[Served]:
    """What one entry brings to each part, masks looked at once for all of them."""
    found = taken.judged
    manifest, fake = found.manifest, found.fake
    base = _meets(manifest, protocol.where)
    if protocol.calibration == "clean":
        base &= ~calibration_rows(found)
    truth, said, chances, names = _identified(protocol, found)
    if truth is not None:
        base &= truth != ""
    asked = [(part, _degraded_as(part, taken)) for part in protocol.parts]
    parts = [(part, how) for part, how in asked if how is not None]
    areas = None
    if any(part.area is not None for part, _ in parts):
        areas = fake_shares(manifest, progress=progress)
    keeps = []
    for part, _ in parts:
        keep = base & _meets(manifest, part.where)
        keep &= np.where(fake, _meets(manifest, part.fakes), _meets(manifest, part.reals))
        if part.area is not None and areas is not None:
            low, high = part.area
            # A mask that covers all of the frame is below "100 %" as the papers write it.
            keep &= ~fake | ((areas >= low) & ((areas < high) | (high >= 1) & (areas <= 1)))
        if part.one_to_one and (keep & fake).any() and (keep & ~fake).any():
            drawn = one_to_one(manifest.where("part", keep), seed=protocol.seeds[0]).column("id")
            keep &= np.asarray(pc.is_in(manifest.column("id"), drawn.combine_chunks()).to_numpy(), dtype=np.bool_)
        keeps.append(keep)
    masks = None
    if any(one.kind == "mask" for one in numbers) and keeps and np.any(keeps):
        member = np.stack(keeps, axis=1)
        masks = look_at_masks(
            found, member, threshold=protocol.threshold, more=mask_names(numbers), partial=partial, progress=progress
        )
        remarks += [f"{taken.run}: {count:,} pictures: {why}" for why, count in masks.absent.items()]
    counted = _published_counts(protocol, taken)
    seconds = found.predictions.table.column("seconds").to_numpy()[found.rows].astype(np.float64)
    ids, logit, group = found.manifest.values("id"), found.logit, found.groups
    several = []
    for number, ((part, how), keep) in enumerate(zip(parts, keeps, strict=True)):
        if not keep.any():
            continue
        rows = np.flatnonzero(keep)
        material = Material(
            ids=ids[rows],
            fake=fake[rows],
            logit=logit[rows],
            probability=taken.probability[rows],
            group=group[rows],
            seconds=seconds[rows],
            masks=masks,
            mask_rows=rows,
            part=number,
            truth=None if truth is None else truth[rows],
            said=None if said is None else said[rows],
            chances=None if chances is None else chances[rows],
            names=names,
        )
        reasons = (*how, *_other_data(protocol, taken, keep, counted), *_incomplete(found))
        several.append(Served(taken.run, part.name, found, keep, material, taken.degraded_by, reasons))
    return several


def _meets(manifest: Manifest, conditions: Sequence[str]) -> Flags:
    keep = np.ones(len(manifest), dtype=np.bool_)
    for one in conditions:
        keep &= np.asarray(pc.fill_null(matches(manifest, one), False).to_numpy(), dtype=np.bool_)
    return keep


def _degraded_as(part: Part, taken: Taken) -> tuple[str, ...] | None:
    """Whether these pictures went through what the part asks for (None: no), and what is odd about it."""
    if not part.degrade or not taken.degraded_by:
        return () if part.degrade == taken.degraded_by else None
    if tuple(taken.entry.manifest.facts.get("only") or ()) != part.degrade_only:
        return None
    chain = str(taken.entry.manifest.facts.get("chain") or "")
    try:
        wanted = str(read_chain(part.degrade))
    except FauxlensError:
        wanted = part.degrade
    if taken.degraded_by == part.degrade:
        return () if chain in ("", wanted) else (f"degraded differently: by '{chain}', asked for is '{wanted}'",)
    return () if chain == wanted else None


def _identified(
    protocol: Protocol, found: Judged
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None, npt.NDArray[np.float64] | None, tuple[str, ...]]:
    """Class of each picture ("" for none), answer, chances and the names of the classes."""
    if protocol.view != "identification":
        return None, None, None, ()
    values = found.manifest.column(protocol.column).to_pylist()
    classes = dict(protocol.classes) or {str(one): (str(one),) for one in sorted({v for v in values if v is not None})}
    of_value = {value: name for name, several in classes.items() for value in (name, *several)}
    truth = np.array([of_value.get(str(one), "") if one is not None else "" for one in values], dtype=object)
    given = found.predictions.table.column("generators").to_pylist()
    told = [given[row] for row in found.rows]
    names = tuple(classes)
    if any(one is None for one in told):
        return truth, None, None, names
    answers = [dict(one) for one in told]
    if any(of_value.get(name) is None for one in answers for name in one):
        names = (*names, ANOTHER)
    place = {name: number for number, name in enumerate(names)}
    chances = np.zeros((len(answers), len(names)))
    said = np.empty(len(answers), dtype=object)
    for row, one in enumerate(answers):
        for name, chance in one.items():
            chances[row, place[of_value.get(name, ANOTHER)]] += chance
        # The highest single answer, as a person reads it, not the class with the most answers.
        said[row] = of_value.get(max(one, key=lambda name: one[name]), ANOTHER)
    return truth, said, chances, names


def _published_counts(protocol: Protocol, taken: Taken) -> list[tuple[Flags, int, int]]:
    """For each count that the dataset's authors publish: which judged rows it speaks of, theirs, and ours."""
    usable, mine = taken.entry.manifest.usable(), taken.judged.manifest
    # Whoever scores a test split need not have the others on disk, so counts of the whole set say nothing of it.
    one_split = any(condition.startswith("split=") for condition in protocol.where)
    told = []
    for one in taken.entry.manifest.facts.get("published") or ():
        if one_split and "split" not in one["where"]:
            continue
        where = [f"{column}={value}" for column, value in one["where"].items()]
        if not all(column in usable.table.column_names for column in one["where"]):
            continue
        told.append((_meets(mine, where), int(one["count"]), int(_meets(usable, where).sum())))
    return told


def _other_data(
    protocol: Protocol, taken: Taken, keep: Flags, counted: Sequence[tuple[Flags, int, int]]
) -> tuple[str, ...]:
    layout = str(taken.entry.manifest.facts.get("layout") or "")
    if protocol.layout and layout and layout != protocol.layout:
        return (f"other data: scanned as '{layout}', the protocol is about '{protocol.layout}'",)
    off = [(theirs, ours) for rows, theirs, ours in counted if (rows & keep).any() and _is_off(theirs, ours)]
    if off:
        theirs, ours = (sum(pair) for pair in zip(*off, strict=True))
        return (f"other data: {ours:,} pictures where {theirs:,} are published",)
    return ()


def _is_off(theirs: int, ours: int) -> bool:
    return abs(theirs - ours) > _MOST_OFF * theirs


def _incomplete(found: Judged) -> tuple[str, ...]:
    lost = sum(found.left_out.values())
    if "no prediction" in found.left_out:
        return (f"partial: {found.left_out['no prediction']:,} pictures have no prediction",)
    if lost > _MOST_OFF * (len(found) + lost):
        return (f"partial: {lost:,} pictures could not be predicted ({', '.join(found.left_out)})",)
    return ()


def _refuse_double(protocol: Protocol, served: Sequence[Served]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for one in served:
        key = (one.run, one.part)
        if key in seen:
            raise BadSetting(
                f"two files of predictions for one part: {one.part}", where=f"{protocol.name}, {one.run}",
                got=f"{seen[key]} and {one.judged.manifest.name}",
                hint="give one manifest that holds all of a part, or a name to each (NAME=P.PARQUET)",
            )  # fmt: skip
        seen[key] = one.judged.manifest.name


def _counted(run: Run, taken: Sequence[Taken]) -> Run:
    mine = [one for one in taken if one.run == run.name]
    left_out: dict[str, int] = {}
    for one in mine:
        for why, count in one.judged.left_out.items():
            left_out[why] = left_out.get(why, 0) + count
    return replace(run, pictures=sum(int(one.used.sum()) for one in mine), left_out=left_out)


def _cells(
    protocol: Protocol,
    run: Run,
    name: str,
    number: Number,
    served: Sequence[Served],
    calibrations: Mapping[str, Calibration],
    resamples: int,
) -> list[Cell]:
    """One metric of one run over all parts, and the mean of them."""
    scale = 100.0 if protocol.percent and number.is_share else 1.0
    uncalibrated: tuple[str, ...] = ()
    if protocol.calibration != "none" and run.name not in calibrations:
        uncalibrated = ("not calibrated: no calibration pictures of both classes are here",)
    cells: list[Cell] = []
    drawn: list[Drawable] = []
    here: list[Served] = []
    for part in protocol.parts:
        mine = [one for one in served if (one.run, one.part) == (run.name, part.name)]
        published = protocol.value(run.row, part.name, name) if run.row else None
        if not mine:
            cells.append(_absent(run, part, name, published))
            continue
        (one,) = mine
        ready = number.of(one.material, protocol.threshold)
        reasons = (*run.reasons, *one.reasons, *uncalibrated)
        if number.kind == "time":
            reasons = (*reasons, "a time holds for the machine it was taken on")
        value = _NAN
        if isinstance(ready, str):
            reasons = (ready, *reasons)
        elif isinstance(ready, float):
            value = replace(_NAN, value=ready, method="none", groups=len(np.unique(one.material.group)))
        else:
            value = estimate(ready, purpose=f"{protocol.name} {part.name} {name}", resamples=resamples)
            drawn.append(ready)
        here.append(one)
        cells.append(
            _cell(protocol, run, part.name, name, _scaled(value, scale), one.material.reals, one.material.fakes,
                  published, reasons)
        )  # fmt: skip
    if protocol.mean and len(protocol.parts) > 1:
        cells.append(_mean_cell(protocol, run, name, scale, drawn, here, uncalibrated, resamples))
    return cells


def _absent(run: Run, part: Part, name: str, published: float | None) -> Cell:
    needs = f"a copy degraded by {part.degrade}" if part.degrade else "pictures of it"
    return Cell(
        run.name,
        part.name,
        name,
        _NAN,
        0,
        0,
        published,
        None,
        "not measured",
        (f"no predictions of {needs} were given",),
    )


def _mean_cell(
    protocol: Protocol,
    run: Run,
    name: str,
    scale: float,
    drawn: Sequence[Drawable],
    here: Sequence[Served],
    uncalibrated: tuple[str, ...],
    resamples: int,
) -> Cell:
    published = protocol.value(run.row, MEAN, name) if run.row else None
    reals, fakes = (sum(getattr(one.material, kind) for one in here) for kind in ("reals", "fakes"))
    if len(drawn) < len(protocol.parts):
        missing = f"a mean of {len(protocol.parts)} parts, of which {len(drawn)} have a number that can be drawn"
        return Cell(run.name, MEAN, name, _NAN, reals, fakes, published, None, "not measured", (missing,))
    value = mean_of(drawn, purpose=f"{protocol.name} {MEAN} {name}", resamples=resamples)
    reasons = dict.fromkeys([*run.reasons, *(why for one in here for why in one.reasons), *uncalibrated])
    return _cell(protocol, run, MEAN, name, _scaled(value, scale), reals, fakes, published, tuple(reasons))


def _cell(
    protocol: Protocol,
    run: Run,
    part: str,
    name: str,
    value: Estimate,
    reals: int,
    fakes: int,
    published: float | None,
    reasons: tuple[str, ...],
) -> Cell:
    difference = None if published is None or np.isnan(value.value) else value.value - published
    verdict: Verdict
    if np.isnan(value.value):
        verdict = "not measured"
    elif published is None or difference is None:
        verdict = "not published"
    elif reasons:
        verdict = "not comparable"
    # A difference of exactly the tolerance passes, whatever the last bit says.
    elif abs(difference) <= protocol.tolerance + 1e-9:
        verdict = "pass"
    else:
        verdict = "differs"
        if value.contains(published):
            reasons = ("the published number lies in our interval: with this many pictures no difference was shown",)
    return Cell(
        run.name, part, name, value, reals, fakes, published, difference, verdict, tuple(dict.fromkeys(reasons))
    )


def _scaled(value: Estimate, scale: float) -> Estimate:
    return replace(value, value=value.value * scale, low=value.low * scale, high=value.high * scale)


def _in_words(protocol: Protocol, part: Part) -> str:
    said = [
        *protocol.where,
        *part.where,
        *(f"reals {one}" for one in part.reals),
        *(f"fakes {one}" for one in part.fakes),
    ]
    if part.degrade:
        said.append(f"degraded by {part.degrade}")
    return ", ".join(said) or "every picture"
