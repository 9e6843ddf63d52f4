"""The embedded detector by its gates: where does it work, what does it mistake for an edit, what is no skill at all?

    python benchmarks/embedded.py SET.parquet --photos photos.parquet --split val --weights a=run/weights.safetensors

Every table has the smooth baseline (minus the logarithm of the local noise, no learning) beside the networks, and the
same masks laid over the untouched originals: what a detector says of the place before anything was forged there. The
gates: (1) the smooth baseline, (2) processed real photos, (3) a picture pasted into its own compressed copy, (4) photos
that were never compressed, (5) the same mask on the original, (6) fills that the baseline separates count for nothing,
(7) forgeries as rough as what they replace, (8) after JPEG 95, 85 and 75, (9) several seeds, as several --weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.seeds import seed_for
from fauxlens.detectors.prediction import Prediction
from fauxlens.images.degrade import Chain, parse_chain
from fauxlens.images.picture import read_picture
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.metrics import image as of_images
from fauxlens.metrics import pixel as of_pixels
from fauxlens.verdict.judgement import Judgement, read_judgement
from measure import print_result

Map = npt.NDArray[np.float32]
Answer = tuple[Map, float]
"""Scores of the pixels (any scale, higher is more forged) and of the picture."""

DELIVERIES = ("plain", "jpeg:quality=95", "jpeg:quality=85", "jpeg:quality=75", "resize:scale=0.75")
PROCESSED: dict[str, str] = {
    "blur": "blur:sigma=0.8",
    "median": "median",
    "smoothing": "bilateral",
    "down-up": "down_up:scale=0.6",
    "sharpening": "sharpen:amount=1",
    "noise": "noise:deviation=4",
    "jpeg 80": "jpeg:quality=80",
    "shrunk": "resize:scale=0.7",
    "enlarged": "resize:scale=1.3",
}
ONCE_JPEG = frozenset(("blechn/3dcv-final",))
"""Sources of PNG files made from photos that were JPEG files."""
INVALID = 0.8
"""A fill that the smooth baseline separates better than this is found by being smooth: it proves nothing (gate 6)."""


@dataclass(frozen=True)
class Asked:
    """Somebody to ask: a network of the package or a rule."""

    name: str
    answer: Callable[[Pixels], Answer]


@dataclass
class Cell:
    """What was measured of one kind of forgery in one delivery by one detector."""

    auc: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)  # the same masks on the untouched originals
    iou: list[float] = field(default_factory=list)
    verdict: list[float] = field(default_factory=list)

    def told(self, reals: Sequence[float]) -> dict[str, Any]:
        """Means over pictures; `reals` are the verdict scores of real photos in the same delivery."""
        fake = np.r_[np.ones(len(self.verdict), bool), np.zeros(len(reals), bool)]
        score = np.r_[self.verdict, reals]
        return {
            "pictures": len(self.auc),
            "pixel_auc": _mean(self.auc),
            "on_the_original": _mean(self.before),
            "gain": _mean(np.subtract(self.auc, self.before)),
            "iou": _mean(self.iou),
            "detection_auc": float(of_images.auc(fake, score)) if len(reals) and len(self.verdict) else None,
            "tpr_at_1_percent": float(of_images.tpr_at_fpr(fake, score, 0.01)) if len(reals) and self.verdict else None,
        }


def smooth(pixels: Pixels) -> Answer:
    """Minus the logarithm of the local energy of the noise: smooth is fake. Nothing is learnt."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    noise = grey - cv2.medianBlur(grey, 3)
    energy = cv2.GaussianBlur(noise * noise, (0, 0), 6)
    found = -np.log(energy + 0.05)
    return found.astype(np.float32), float(np.quantile(found, 0.95))


def network(name: str, path: str, setting: str | None) -> Asked:
    """A detector with the weights of a file; its mask in logits."""
    from fauxlens.detectors import load

    detector = load("nfa-vit" if setting == "nano" else "fauxlens-small", path, setting=setting)

    def answer(pixels: Pixels) -> Answer:
        said: Prediction = detector.predict([pixels])[0]
        assert said.mask is not None
        assert said.logit is not None
        return said.mask, said.logit

    return Asked(name, answer)


def measured(
    forged: Manifest, photos: Manifest, asked: Sequence[Asked], *, each: int, reals: int, progress: bool = False,
    judgements: Mapping[str, Judgement] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All tables. `each` is how many forgeries of a method are looked at, `reals` how many photos.

    `judgements` by the name of a detector: what its calibration is worth here.
    """
    rows = list(_drawn(forged, each))
    real_rows = [one for one in photos if one.label == "real"]
    real_rows = sorted(real_rows, key=lambda one: seed_for("embedded-gates", image_id=one.id))[:reals]
    originals = {one.id: one for one in photos}
    found: dict[str, Any] = {"forgeries": {}, "false_alarms": {}, "history_paste": {}, "judged": {}}
    verdicts = {one.name: _reals(one, real_rows, photos, progress) for one in asked}
    for one in asked:
        if progress:
            print(f"{one.name}: forgeries", flush=True)
        delivered = verdicts[one.name]["deliveries"]
        cells = _forgeries(one, rows, forged, originals, photos)
        found["forgeries"][one.name] = {
            method: {delivery: cell.told(delivered[delivery]) for delivery, cell in several.items()}
            for method, several in sorted(cells.items())
        }
        if one.name in (judgements or {}):
            assert judgements is not None
            found["judged"][one.name] = _judged(judgements[one.name], cells, delivered)
        found["false_alarms"][one.name] = _false_alarms(verdicts[one.name])
        found["history_paste"][one.name] = _history(one, real_rows, photos)
    found["valid"] = {
        method: cells["plain"]["pixel_auc"] <= INVALID for method, cells in found["forgeries"].get("smooth", {}).items()
    }
    found["photos"] = len(real_rows)
    return found


def _drawn(forged: Manifest, each: int) -> Iterator[Any]:
    """At most `each` forgeries of every method (and family of decoders), by seed."""
    several: dict[str, list[Any]] = {}
    for sample in forged:
        if sample.label == "edited":
            several.setdefault(str(sample.method), []).append(sample)
    for method in sorted(several):
        yield from sorted(several[method], key=lambda one: seed_for("embedded-gates", image_id=one.id))[:each]


def _forgeries(
    asked: Asked, rows: Sequence[Any], forged: Manifest, originals: Mapping[str, Any], photos: Manifest
) -> dict[str, dict[str, Cell]]:
    cells: dict[str, dict[str, Cell]] = {}
    before: dict[tuple[str, str, tuple[int, int]], Map] = {}
    for sample in rows:
        pixels = read_picture(forged.path_of(sample)).pixels
        path = forged.mask_path_of(sample)
        assert path is not None
        mask = read_picture(path, colour="stored").pixels[..., 0] > 127
        original = _at_size(read_picture(photos.path_of(originals[sample.origin])).pixels, pixels.shape[:2])
        for delivery in DELIVERIES:
            shown, truth = _delivered(pixels, mask, delivery, sample.origin)
            scores, verdict = asked.answer(shown)
            key = (sample.origin, delivery, pixels.shape[:2])
            if key not in before:
                if len(before) > 64:
                    before.clear()
                before[key] = asked.answer(_delivered(original, mask, delivery, sample.origin)[0])[0]
            for name in (str(sample.method), f"{sample.method}: {sample.generator}"):
                cell = cells.setdefault(name, {}).setdefault(delivery, Cell())
                cell.auc.append(_pixel_auc(truth, scores))
                cell.before.append(_pixel_auc(truth, before[key]))
                cell.iou.append(float(of_pixels.iou(truth, scores, 0.5)) if scores.min() >= 0 else float("nan"))
                cell.verdict.append(verdict)
    return cells


def _judged(
    judgement: Judgement, cells: Mapping[str, Mapping[str, Cell]], reals: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Verdicts by the score alone, and how far the probabilities are from what happens, where as many are fake as in
    the calibration."""
    share = judgement.calibration.fakes / judgement.calibration.pictures
    kinds = [method for method in cells if ":" not in method]  # families apart, each forgery once

    def verdicts(logits: Sequence[float]) -> dict[str, float]:
        told = [judgement.answer(one).verdict for one in logits]
        return {name: told.count(name) / max(len(told), 1) for name in ("edited", "inconclusive", "no_sign")}

    def error(methods: Sequence[str], deliveries: Sequence[str]) -> float:
        fake = [one for method in methods for delivery in deliveries for one in cells[method][delivery].verdict]
        real = [one for delivery in deliveries for one in reals[delivery]]
        chance = judgement.calibration.probability(np.r_[fake, real])
        weight = np.r_[np.full(len(fake), share / len(fake)), np.full(len(real), (1 - share) / len(real))]
        is_fake = np.r_[np.ones(len(fake)), np.zeros(len(real))]
        bins = np.minimum((chance * 15).astype(int), 14)
        return float(sum(abs((weight * (is_fake - chance))[bins == number].sum()) for number in range(15)))

    return {
        "reals": {delivery: verdicts(several) for delivery, several in reals.items()},
        "forgeries": {
            method: {delivery: verdicts(cell.verdict) for delivery, cell in cells[method].items()} for method in kinds
        },
        "share_of_fakes": share,
        "ece": {method: error([method], DELIVERIES) for method in kinds},
        "ece_by_delivery": {delivery: error(kinds, [delivery]) for delivery in DELIVERIES},
        "ece_of_all": error(kinds, DELIVERIES),
    }


def _reals(
    asked: Asked, rows: Iterable[Any], photos: Manifest, progress: bool
) -> dict[str, dict[str, list[float]]]:  # fmt: skip
    """Verdict scores of real photos: delivered, processed, and by source."""
    found: dict[str, dict[str, list[float]]] = {"deliveries": {}, "processed": {}, "compressed": {}, "source": {}}
    for sample in rows:
        pixels = _within(read_picture(photos.path_of(sample)).pixels)
        for delivery in DELIVERIES:
            score = asked.answer(_delivered(pixels, None, delivery, sample.id)[0])[1]
            found["deliveries"].setdefault(delivery, []).append(score)
            if delivery == "plain":
                kind = "never compressed at this size" if _is_raw(sample) else "compressed before"
                found["compressed"].setdefault(kind, []).append(score)
                found["source"].setdefault(str(sample.source), []).append(score)
        # A photo at half its size has lost what compression did to it.
        half = _delivered(pixels, None, "resize:scale=0.4", sample.id)[0]
        if min(half.shape[:2]) >= 96:
            found["compressed"].setdefault("shrunk to 0.4", []).append(asked.answer(half)[1])
        for kind, chain in PROCESSED.items():
            score = asked.answer(_delivered(pixels, None, chain, sample.id)[0])[1]
            found["processed"].setdefault(kind, []).append(score)
    if progress:
        print(f"{asked.name}: real photos", flush=True)
    return found


def _false_alarms(scores: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """Shares above the threshold that one in a hundred of the untouched photos passes."""
    threshold = float(np.quantile(scores["deliveries"]["plain"], 0.99))
    found: dict[str, Any] = {"threshold": threshold}
    for group in ("deliveries", "processed", "compressed", "source"):
        found[group] = {name: _mean(np.asarray(values) > threshold) for name, values in scores[group].items()}
    found["processed_mean"] = _mean(list(found["processed"].values()))
    found["processed_most"] = max(found["processed"].values())
    return found


def _history(asked: Asked, rows: Sequence[Any], photos: Manifest) -> dict[str, Any]:
    """Gate 3: a photo that was never compressed, pasted into its own JPEG copy. Nothing was made anew."""
    from fauxlens.train.retouch import blob

    aucs: dict[int, list[float]] = {}
    for sample in rows:
        if not _is_raw(sample):
            continue
        pixels = _within(read_picture(photos.path_of(sample)).pixels)
        for quality in (95, 85):
            saved = parse_chain(f"jpeg:quality={quality}").apply(pixels, 0).pixels
            chance = np.random.default_rng(seed_for("embedded-history", image_id=sample.id, attempt=quality))
            mask = blob(pixels.shape[0], pixels.shape[1], float(chance.uniform(0.1, 0.4)), chance)
            scores, _ = asked.answer(np.where(mask[..., None], pixels, saved))
            aucs.setdefault(quality, []).append(_pixel_auc(mask, scores))
    return {
        f"into jpeg {quality}": {"pixel_auc": _mean(values), "pictures": len(values)}
        for quality, values in aucs.items()
    }


def _is_raw(sample: Any) -> bool:
    """Whether nothing says that the photo was ever a JPEG at this size."""
    return sample.format != "jpeg" and str(sample.source) not in ONCE_JPEG


def _delivered(pixels: Pixels, mask: Any, delivery: str, key: str) -> tuple[Pixels, Any]:
    if delivery == "plain":
        return pixels, mask
    if delivery in ("median", "bilateral"):
        from fauxlens.train.augment import augment_of

        return augment_of(delivery)(pixels, None, np.random.default_rng(seed_for(delivery, image_id=key)))[0], mask
    chain: Chain = parse_chain(delivery)
    done = chain.apply(pixels, seed_for("embedded-gates", image_id=key, method=delivery))
    if mask is None or done.pixels.shape == pixels.shape:
        return done.pixels, mask
    size = (done.pixels.shape[1], done.pixels.shape[0])
    return done.pixels, cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def _within(pixels: Pixels, longest: int = 512) -> Pixels:
    scale = longest / max(pixels.shape[:2])
    return pixels if scale >= 1 else parse_chain(f"resize:longest={longest}").apply(pixels, 0).pixels


def _at_size(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    from fauxlens.images.resample import resize

    return resize(pixels, size, "lanczos")


def _pixel_auc(truth: Any, scores: Map) -> float:
    # Every other pixel: maps are smoother than that, and the rank of each of a million costs time.
    return float(of_pixels.auc(truth[::2, ::2], _unit(scores[::2, ::2])))


def _unit(scores: Map) -> Map:
    low, high = float(scores.min()), float(scores.max())
    return scores if low >= 0 and high <= 1 else ((scores - low) / max(high - low, 1e-12)).astype(np.float32)


def _mean(values: Any) -> float:
    found = np.asarray(values, dtype=np.float64)
    return float(np.nanmean(found)) if found.size and not np.isnan(found).all() else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="the real photos with their splits")
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE[:SETTING]")
    parser.add_argument("--each", type=int, default=40, help="forgeries of a method")
    parser.add_argument("--reals", type=int, default=80)
    parser.add_argument("--judgement", action="append", default=[], metavar="NAME=FILE", help="what calibrate wrote")
    parser.add_argument("--output", "-o", type=Path)
    given = parser.parse_args()
    asked = [Asked("smooth", smooth)]
    for one in given.weights:
        name, _, rest = one.partition("=")
        path, _, setting = rest.partition(":")
        asked.append(network(name, path, setting or None))
    forged = read_manifest(given.set)
    forged = forged.where(given.split, np.asarray([one == given.split for one in forged.column("split").to_pylist()]))
    photos = read_manifest(given.photos)
    photos = photos.where(given.split, np.asarray([one == given.split for one in photos.column("split").to_pylist()]))
    judgements = {name: read_judgement(Path(path)) for name, _, path in (one.partition("=") for one in given.judgement)}
    found = measured(
        forged, photos, asked, each=given.each, reals=given.reals, progress=given.output is not None,
        judgements=judgements,
    )  # fmt: skip
    result = {"benchmark": "embedded", "split": given.split, "each": given.each, **found}
    if given.output:
        given.output.write_text(json.dumps(result, indent=1))
    else:
        print_result(result)


if __name__ == "__main__":
    main()
