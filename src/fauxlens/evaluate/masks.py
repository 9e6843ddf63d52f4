"""Predicted masks beside the truth, one pass: the numbers of every picture, and tallies of every test set at once."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from fauxlens.core.errors import BadPredictions, UnreadableImage
from fauxlens.core.progress import Progress, silent
from fauxlens.evaluate.predictions import Judged, read_scores
from fauxlens.images.picture import read_picture
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics import pixel
from fauxlens.metrics.arrays import Flags, Floats, Integers
from fauxlens.metrics.masks import Scores
from fauxlens.metrics.tally import PixelTally

_NAMED = 5
_AHEAD = 32  # masks that are decoded before they are looked at
COUNTED = ("hits", "false_alarms", "misses", "passes")
OF_PICTURE = ("f1", "iou", "auc", "best_f1", "accuracy", "false_alarm_area")


@dataclass(frozen=True, eq=False)
class MaskNumbers:
    """The numbers of each picture's mask, (N,) in the order of what was judged; nan where there is no mask to judge.

    `counts` is (N, 4): hits, false alarms, misses and passes, in pixels. `tally(part)` is of all masks of one test set.
    """

    seen: Flags
    counts: Integers
    values: Mapping[str, Floats]
    absent: Mapping[str, int]  # why a picture is not among them -> how many
    threshold: float
    _member: Flags = field(repr=False)  # (N, parts): which row is in which test set
    _tallies: Mapping[bytes, PixelTally] = field(repr=False)

    def tally(self, part: int) -> PixelTally:
        """All masks of one test set, added up."""
        rows = [key for key in self._tallies if np.frombuffer(key, np.bool_)[part]]
        return reduce(add, (self._tallies[key] for key in sorted(rows)), PixelTally(self.threshold))


def look_at_masks(
    judged: Judged,
    member: Flags,
    *,
    threshold: float = 0.5,
    more: Sequence[str] = (),
    partial: bool = False,
    progress: Progress = silent,
) -> MaskNumbers:
    """Every picture that is in a test set, its predicted mask against the truth.

    `member` is (N, parts) and says which picture is in which set; `more` names numbers of `pixel.METRICS` that are
    wanted beside `OF_PICTURE`. Refused: masks of another size than the truth, and, unless `partial`, masks that cannot
    be read.
    """
    functions = {name: pixel.METRICS[name].function for name in more}
    given = {
        name: {"threshold": threshold} if "threshold" in inspect.signature(one).parameters else {}
        for name, one in functions.items()
    }
    count = len(judged)
    seen = np.zeros(count, dtype=np.bool_)
    counts = np.zeros((count, len(COUNTED)), dtype=np.int64)
    values = {name: np.full(count, np.nan) for name in (*OF_PICTURE, *more)}
    tallies: dict[bytes, PixelTally] = {}
    absent: Counter[str] = Counter()
    other_size, unreadable = [], []
    wanted = np.flatnonzero(member.any(axis=1))
    for done, (row, path, found) in enumerate(_pairs(judged, wanted)):
        progress(done + 1, len(wanted), "masks")
        if isinstance(found, str):
            absent[found] += 1
            continue
        if isinstance(found, Exception):
            unreadable.append(f"{path}: {found}")
            absent["a mask that cannot be read"] += 1
            continue
        truth, scores = found
        if truth.shape != scores.shape:
            other_size.append(f"{path} ({_size(scores)} for {_size(truth)})")
            continue
        tally = tallies.setdefault(member[row].tobytes(), PixelTally(threshold))
        said = tally.add(truth, scores)
        seen[row] = True
        counts[row] = [getattr(said.counts, name) for name in COUNTED]
        for name in OF_PICTURE:
            values[name][row] = getattr(said, name)
        for name, function in functions.items():
            values[name][row] = function(truth, scores, **given[name])
    if other_size:
        raise BadPredictions(
            f"{len(other_size):,} masks are of another size than the truth",
            where=judged.predictions.title, got=_named(other_size), hint="predict these pictures again",
        )  # fmt: skip
    if unreadable and not partial:
        raise BadPredictions(
            f"{len(unreadable):,} masks cannot be read", where=judged.predictions.title, got=_named(unreadable),
            hint="bring the files back, or allow a partial score",
        )  # fmt: skip
    return MaskNumbers(seen, counts, values, dict(sorted(absent.items())), threshold, member, tallies)


def truth_of(manifest: Manifest, row: int, shape: tuple[int, int] | None = None) -> Flags | str:
    """(H, W) bool, True where the picture is fake; or why that is not known. `shape` is that of an authentic picture.

    An authentic picture is real all over, a generated one fake all over, an edited one fake where its mask is white.
    """
    sample = manifest[row]
    if sample.label != "real" and sample.mask_path is not None:
        drawn = read_picture(manifest.root / sample.mask_path, colour="stored").pixels
        return np.asarray(drawn[..., 0] > 127, dtype=np.bool_)
    if sample.label == "edited":
        return "an edited picture without a mask of the truth"
    if sample.width is not None and sample.height is not None:
        shape = (sample.height, sample.width)
    if shape is None:
        return "a picture of unknown size"
    return np.full(shape, sample.label != "real", dtype=np.bool_)


def fake_shares(manifest: Manifest, *, progress: Progress = silent) -> Floats:
    """(N,) the share of each picture that is fake by its mask; 0 for reals, 1 for generated ones, nan where unknown."""
    found = np.full(len(manifest), np.nan)
    for row in range(len(manifest)):
        progress(row + 1, len(manifest), "areas")
        truth = truth_of(manifest, row, (1, 1))
        if not isinstance(truth, str):
            found[row] = truth.mean()
    return found


def _pairs(
    judged: Judged, rows: Integers
) -> Iterator[tuple[int, str, tuple[Flags, Scores] | str | UnreadableImage | BadPredictions]]:
    """Row, path and both masks, read ahead of the one that looks at them."""
    masks = judged.mask_paths()
    paths = judged.manifest.column("path").to_pylist()

    def one(row: int) -> tuple[Flags, Scores] | str | UnreadableImage | BadPredictions:
        path = masks[row]
        if path is None:
            return "no mask was predicted"
        try:
            scores = read_scores(path)
            truth = truth_of(judged.manifest, row, (scores.shape[0], scores.shape[1]))
            return truth if isinstance(truth, str) else (truth, scores)
        except (UnreadableImage, BadPredictions) as bad:
            return bad
        except OSError as bad:
            return BadPredictions("a predicted mask is not there", where=_short(path), got=bad.strerror)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for at in range(0, len(rows), _AHEAD):
            part = [int(row) for row in rows[at : at + _AHEAD]]
            yield from zip(part, [paths[row] for row in part], pool.map(one, part), strict=True)


def _short(path: Path) -> str:
    return Path(*path.parts[-3:]).as_posix()


def _size(mask: Flags | Scores) -> str:
    return f"{mask.shape[1]} x {mask.shape[0]}"


def _named(several: Sequence[str]) -> str:
    more = f" and {len(several) - _NAMED:,} more" if len(several) > _NAMED else ""
    return ", ".join(several[:_NAMED]) + more
