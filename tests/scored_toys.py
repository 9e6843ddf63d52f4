"""Small sets with predictions made by hand: what scores, comparisons and pages are tried on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.evaluate.predictions import Predictions, predictions_of, write_mask
from fauxlens.images.encode import encode_png
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample

SIDE = 8


def toy_set(root: Path, rows: Sequence[Mapping[str, Any]], **facts: Any) -> Manifest:
    """A manifest of these rows; `mask` (H, W) bool is written as the truth, and every picture is there, 8 x 8, grey."""
    root.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, given in enumerate(rows):
        row = {"id": f"p{number}", "path": f"p{number}.png", "width": SIDE, "height": SIDE, "format": "png", **given}
        mask = row.pop("mask", None)
        (root / row["path"]).write_bytes(encode_png(np.full((row["height"], row["width"], 3), 90, np.uint8)))
        if mask is not None:
            row["mask_path"] = f"truth{number}.png"
            (root / row["mask_path"]).write_bytes(encode_png(np.where(mask, 255, 0).astype(np.uint8)))
        samples.append(Sample(**row))
    return Manifest.from_samples(samples, root, name="toy", facts=facts)


def said(
    manifest: Manifest,
    probabilities: Sequence[float | None],
    *,
    masks: Sequence[np.ndarray | None] = (),
    generators: Sequence[Mapping[str, float]] = (),
    **facts: Any,
) -> Predictions:
    """Predictions of the rows of `manifest`, in order; `facts` over those of a trained detector called npr."""
    told = {"detector": "npr", "weights": "w", "setting": "", "random": False, "version": "0.1",
            "weights_sha256": "ab" * 32, **facts}  # fmt: skip
    rows: list[dict[str, Any]] = []
    folder = manifest.root / f"{told['detector']}-{told['weights']}"
    for number, (sample, chance) in enumerate(zip(manifest, probabilities, strict=True)):
        row: dict[str, Any] = {"id": sample.id, "path": sample.path, "seconds": 0.5 + number, "status": "ok"}
        if chance is not None:
            row |= {"probability": chance, "logit": math.log(chance / (1 - chance))}
        if masks and masks[number] is not None:
            row["mask_path"] = f"masks/{sample.id}.png"
            write_mask(folder / row["mask_path"], masks[number])
        if generators:
            row["generators"] = dict(generators[number])
        rows.append(row)
    return predictions_of(rows, folder, told)


def block(left: int, right: int, *, high: float = 0.9, low: float = 0.1) -> np.ndarray:
    """Scores of which the columns from `left` up to `right` are high."""
    mask = np.full((SIDE, SIDE), low, np.float32)
    mask[:, left:right] = high
    return mask


def drawn_set(root: Path, count: int, *, seed: int = 0, photos: int | None = None) -> Manifest:
    """`count` reals and as many fakes, in `photos` origins, with generators, methods, sources and contents."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(2 * count):
        fake = number % 2 == 1
        origin = number // 2 % (photos or count)
        row = {
            "label": "edited" if fake else "real",
            "origin": f"photo{origin}",
            "content": ("people", "nature")[origin % 2],
            "source": ("coco", "places")[origin // 2 % 2],
            "bytes": int(rng.integers(1000, 2000)),
        }
        if fake:
            row |= {"generator": ("gan", "diffusion")[number // 2 % 2], "method": ("LaMa", "SDXL")[number // 2 % 2],
                    "mask": block(0, 4) > 0.5}  # fmt: skip
        rows.append(row)
    return toy_set(root, rows)


def drawn_scores(manifest: Manifest, gap: float, *, seed: int) -> list[float]:
    """Probabilities whose logits lie `gap` apart between the classes, with noise of one."""
    rng = np.random.default_rng(seed)
    logits = [gap * (0.5 if sample.fake else -0.5) + rng.normal() for sample in manifest]
    return [1 / (1 + math.exp(-one)) for one in logits]
