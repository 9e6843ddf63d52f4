"""Small drawn datasets for the tests of training: real, edited with masks, generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample

GENERATORS = ("gan", "diffusion")


def drawn(number: int, height: int = 40, width: int = 48) -> Pixels:
    """(H, W, 3) uint8: another picture for every number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def train_set(root: Path, count: int = 12, *, height: int = 40, width: int = 48) -> Manifest:
    """`count` photos, of each one edited copy with a mask, and of every second one a generated one; all in `train`."""
    samples = []
    for number in range(count):
        origin = f"photo{number}"
        pixels = drawn(number, height, width)
        samples.append(_saved(root, f"real/{number}.png", pixels, id=f"r{number}", label="real", origin=origin))
        edited, mask = pixels.copy(), np.zeros((height, width), np.uint8)
        top, left = 4 + number % 5, 6 + number % 7
        edited[top : top + 12, left : left + 16] = 128
        mask[top : top + 12, left : left + 16] = 255
        (root / "mask").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / f"mask/{number}.png")
        samples.append(
            _saved(root, f"edited/{number}.png", edited, id=f"e{number}", label="edited", origin=origin,
                   mask_path=f"mask/{number}.png", generator=GENERATORS[number % 2], method="fill", mask_type="stuff")
        )  # fmt: skip
        if number % 2 == 0:
            samples.append(
                _saved(root, f"made/{number}.png", drawn(1000 + number, height, width), id=f"g{number}",
                       label="generated", origin=f"made{number}", generator=GENERATORS[number // 2 % 2])
            )  # fmt: skip
    return Manifest.from_samples(samples, root, name="drawn")


def _saved(root: Path, path: str, pixels: Pixels, **facts: str) -> Sample:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / path)
    content = str(int(facts["id"][1:]) % 3)
    return Sample(path=path, split="train", content=content, width=pixels.shape[1], height=pixels.shape[0], **facts)
