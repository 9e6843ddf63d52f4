"""The golden results of the pixel side: `python tests/golden/rewrite_images.py` rewrites images.json, for review.

Each case is the pixels that come out, never file bytes: a new libjpeg-turbo or libwebp may pack equal coefficients
differently. What Pillow's and numpy's whole-number or 64-bit arithmetic defines to the bit is compared by hash on any
machine. What passes through a codec or OpenCV is compared by hash where the library versions are the recorded ones,
and otherwise by a coarse thumbnail.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import features

from drawn import drawn_mask, drawn_picture
from fauxlens.images.degrade import CHAINS, Chain, parse_chain
from fauxlens.images.encode import SUBSAMPLINGS, jpeg_roundtrip, webp_roundtrip
from fauxlens.images.resample import KINDS, resize
from fauxlens.images.shapes import Pixels

PATH = Path(__file__).with_name("images.json")
SEED = 20_26

STEP_TEXTS = (
    "blur:sigma=0.4",
    "blur:sigma=1.5",
    "blur:kernel=5",
    "brightness:factor=1.3",
    "contrast:factor=0.7",
    "crop:side=64",
    "crop:side=17,place=random",
    "crop:share=0.5-0.9,place=random",
    "down_up:scale=0.4",
    "flip:direction=random",
    "gamma:exponent=2.2",
    "jpeg:quality=30-90,subsampling=4:2:2",
    "noise:deviation=5",
    "noise:variance=3-10",
    "one_of:weights=1:3(blur:sigma=1 / resize:scale=0.5 | jpeg:quality=50)",
    "pad:side=70,mode=edge",
    "resize:scale=0.3-1.7,kind=lanczos",
    "resize:shortest=20,kind=box",
    "rotate:degrees=-12.5",
    "rotate:quarter_turns=0-3",
    "screenshot:width=90,gamma=1.2,bar_top=5,bar_bottom=3",
    "sharpen:amount=0.8",
    "webp:quality=40",
)

# Steps whose arithmetic is a library's and not a definition.
_LIBRARY_STEPS = ("jpeg", "webp", "blur", "sharpen", "opencv")


def results() -> dict[str, tuple[Pixels, bool]]:
    """Every case: the pixels, and whether a library's version may change them."""
    picture, mask = drawn_picture(), drawn_mask()
    cases: dict[str, tuple[Pixels, bool]] = {}
    for kind in KINDS:
        for height, width in ((13, 19), (40, 20), (95, 131)):
            cases[f"resize/{kind}/{height}x{width}"] = resize(picture, (height, width), kind), False
    cases["resize/mask"] = resize(mask, (17, 71)), False
    cases["resize/opencv-lanczos4"] = resize(picture, (25, 25), "opencv-lanczos4"), True
    for subsampling in SUBSAMPLINGS:
        for quality in (30, 75, 95):
            cases[f"jpeg/{quality}/{subsampling}"] = jpeg_roundtrip(picture, quality, subsampling), True
    cases["jpeg/swapped"] = jpeg_roundtrip(picture, 60, swapped=True), True
    cases["webp/75"] = webp_roundtrip(picture, 75), True
    cases["webp/lossless"] = webp_roundtrip(picture, lossless=True), False
    cases["webp/swapped"] = webp_roundtrip(picture, 75, swapped=True), True
    for text in STEP_TEXTS:
        cases[f"step/{text}"] = _run(parse_chain(text))
    for name, recipe in CHAINS.items():
        cases[f"recipe/{name}"] = _run(recipe.chain)
    return cases


def summary(pixels: Pixels, library: bool) -> dict[str, Any]:
    """What is kept of one case."""
    coarse = resize(pixels, (3, 3), "box")
    return {
        "shape": list(pixels.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest(),
        "thumbnail": coarse.reshape(-1).tolist(),
        "library": library,
    }


def versions() -> dict[str, str]:
    """The libraries on which the `library` cases depend."""
    names = ("libjpeg_turbo", "webp")
    return {"opencv": cv2.__version__} | {name: str(features.version(name)) for name in names}


def rewrite() -> None:
    """Write images.json anew."""
    cases = {name: summary(*result) for name, result in results().items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in sorted(cases.items()))
    PATH.write_text(f'{{"versions": {json.dumps(versions())}, "cases": {{\n{lines}\n}}}}\n', encoding="utf-8")


def _run(chain: Chain) -> tuple[Pixels, bool]:
    return chain.apply(drawn_picture(), SEED).pixels, any(name in str(chain) for name in _LIBRARY_STEPS)


if __name__ == "__main__":
    rewrite()
    print(f"wrote {PATH}; look at the difference before you commit it")
