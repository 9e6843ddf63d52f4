"""Pictures that somebody labelled, and a detector that can tell them apart: what `fauxlens calibrate` is tried on."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch

from fauxlens.detectors import load
from fauxlens.images.encode import encode_png
from landscapes import landscape


def labelled_photos(folder: Path, count: int) -> Path:
    """`count` drawn photos in `real`, and as many made of halves of others, enlarged, in `fake/doubled`."""
    for label in ("real", "fake/doubled"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        (folder / "real" / f"{number}.png").write_bytes(encode_png(landscape(number, 40, 56)))
        # One in six is not enlarged at all, so that the network's answers overlap.
        size = (40, 56) if number % 6 == 0 else (20, 28)
        way = cv2.INTER_LINEAR if number % 2 else cv2.INTER_NEAREST
        fake = cv2.resize(landscape(number + count, *size), (56, 40), interpolation=way)
        (folder / "fake" / "doubled" / f"{number}.png").write_bytes(encode_png(fake))
    return folder


def knowing_weights(path: Path) -> Path:
    """A file of weights for `npr` whose logit rises where every second pixel repeats its neighbour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = load("npr", "random", seed=0).network.state_dict()
    # Drawn as it was, it says less of such pictures; turned round and stretched, 0 lies between the two.
    state["fc1.weight"] *= -40
    state["fc1.bias"] *= -40
    state["fc1.bias"] += 8
    torch.save(state, path)
    return path
