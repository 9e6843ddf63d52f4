"""All pixel numbers in one pass against a loop over scikit-learn; pooled AUC by histogram against all pixels sorted.

Each way runs in a process of its own, so that the peak is its own, on the same masks, drawn outside the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from sklearn import metrics as oracle

from fauxlens.metrics.tally import PixelTally, ScoreHistogram
from measure import peak_megabytes, print_result

Mask = tuple[np.ndarray, np.ndarray]
NUMBERS = ("macro_f1", "macro_iou", "macro_auc", "macro_f1_best_of_picture")


def masks(count: int, side: int) -> Iterator[Mask]:
    """A rectangle, and scores as a sigmoid gives them: most of them near 0."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        truth = np.zeros((side, side), dtype=np.bool_)
        row, column, high, wide = rng.integers(1, side // 2, 4)
        truth[row : row + high, column : column + wide] = True
        logit = rng.normal(-4, 2.5, truth.shape).astype(np.float32) + np.float32(5 * rng.random()) * truth
        yield truth, 1 / (1 + np.exp(-logit))


def timed(each: Callable[[Mask], None], count: int, side: int) -> float:
    """Seconds in `each`, the drawing left out."""
    spent = 0.0
    for mask in masks(count, side):
        started = time.perf_counter()
        each(mask)
        spent += time.perf_counter() - started
    return spent


def tally_way(count: int, side: int) -> dict[str, float]:
    tally = PixelTally()
    seconds = timed(lambda mask: tally.add(*mask) and None, count, side)
    found = tally.scores()
    return {"seconds": seconds, **{name: getattr(found, name) for name in NUMBERS}}


def scikit_learn_way(count: int, side: int) -> dict[str, float]:
    """The same four numbers of each picture, then their means."""
    rows: list[tuple[float, ...]] = []

    def each(mask: Mask) -> None:
        truth, score = mask[0].ravel(), mask[1].ravel()
        said = score > 0.5
        precision, recall, _ = oracle.precision_recall_curve(truth, score)
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max()
        rows.append((
            oracle.f1_score(truth, said), oracle.jaccard_score(truth, said), oracle.roc_auc_score(truth, score), best
        ))  # fmt: skip

    seconds = timed(each, count, side)
    return {"seconds": seconds, **dict(zip(NUMBERS, np.mean(rows, axis=0).tolist(), strict=True))}


def histogram_way(count: int, side: int) -> dict[str, float]:
    histogram = ScoreHistogram()
    seconds = timed(lambda mask: histogram.add(*mask), count, side)
    return {"seconds": seconds, "auc": histogram.auc, "bound": histogram.auc_error}


def scikit_learn_pooled_way(count: int, side: int) -> dict[str, float]:
    made = [(truth.ravel(), score.ravel()) for truth, score in masks(count, side)]
    started = time.perf_counter()
    truth, score = (np.concatenate([one[n] for one in made]) for n in (0, 1))
    found = float(oracle.roc_auc_score(truth, score))
    return {"seconds": time.perf_counter() - started, "auc": found}


WAYS = {
    "tally": tally_way,
    "tally_of_a_tenth": tally_way,
    "scikit_learn": scikit_learn_way,
    "histogram": histogram_way,
    "scikit_learn_pooled": scikit_learn_pooled_way,
}


def child(way: str, count: int, side: int) -> None:
    """Run one way and print what it found, its seconds and this process's peak."""
    WAYS[way](1, side)  # a warm-up, which also loads what is loaded late
    before = peak_megabytes()
    found = WAYS[way](count, side)
    print(json.dumps({**found, "start_megabytes": before, "peak_megabytes": peak_megabytes()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=2_000)
    parser.add_argument("--pooled", type=int, default=50, help="masks whose pixels are sorted all at once")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.masks, given.side)
        return
    count = dict.fromkeys(WAYS, given.masks)
    count["tally_of_a_tenth"] = max(given.masks // 10, 1)
    count["histogram"] = count["scikit_learn_pooled"] = given.pooled
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            line = [sys.executable, __file__, "--child", way, "--masks", str(count[way]), "--side", str(given.side)]
            rounds[way].append(json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout))
    seconds = {way: [one["seconds"] for one in found] for way, found in rounds.items()}
    last = {way: found[-1] for way, found in rounds.items()}
    median = {way: statistics.median(values) for way, values in seconds.items()}
    print_result({
        "benchmark": "metrics",
        "masks": given.masks,
        "pooled_masks": given.pooled,
        "side": given.side,
        "ways": {
            way: {
                "masks": count[way],
                "seconds": {"median": median[way], "lowest": min(seconds[way]), "highest": max(seconds[way])},
                "milliseconds_a_mask": round(1000 * median[way] / count[way], 3),
                "start_megabytes": max(one["start_megabytes"] for one in found),
                "peak_megabytes": max(one["peak_megabytes"] for one in found),
            }
            for way, found in rounds.items()
        },
        "times_faster": round(median["scikit_learn"] / median["tally"], 1),
        "pooled_times_faster": round(median["scikit_learn_pooled"] / median["histogram"], 1),
        "largest_difference": max(abs(last["tally"][name] - last["scikit_learn"][name]) for name in NUMBERS),
        "pooled_auc_difference": abs(last["histogram"]["auc"] - last["scikit_learn_pooled"]["auc"]),
        "pooled_auc_bound": last["histogram"]["bound"],
    })  # fmt: skip


if __name__ == "__main__":
    main()
