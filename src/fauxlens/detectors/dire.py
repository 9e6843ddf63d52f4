"""DIRE: what a diffusion model changes when it takes a picture to noise and back, judged by a ResNet-50.

A model that knows a kind of picture brings pictures of that kind back almost unchanged. The picture of absolute
differences is what the classifier sees. The diffusion model is no part of the released files: without a noise predictor
in `diffusion` there is no verdict on a photo. With one, forty passes a picture make the differences.

Traps. A photo that is taken for a picture of differences gets an answer, and it means nothing; so `showing` must be set
to 'differences' by who made such pictures elsewhere. The authors saved theirs in the format of the sources, so JPEG
sources gave compressed ones: a leak in their training data. Here nothing is saved in between; who saves such pictures
should take PNG. Twenty steps each way are few: also a model that knows the pictures perfectly brings back less contrast
than there was, and the loss falls only in proportion to the number of steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, BadWeights, NoWeights
from fauxlens.core.names import unknown
from fauxlens.core.optional import need
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, Value, declared
from fauxlens.detectors.resnet50 import Classifier
from fauxlens.detectors.view import (
    Pixels,
    Prepared,
    View,
    Window,
    centre_window,
    normalised,
    resized_crop,
    shorter_side_size,
)
from fauxlens.images.resample import resize

SIDE = 256
CROP = 224
LEVELS = 1000
STEPS = 20
FIRST_ADDED, LAST_ADDED = 1e-4, 0.02  # share of noise that the first and the last level add

NoisePredictor = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, H, W) noisy pictures around -1..1 and (N,) whole numbers of their levels, 0..999 -> the noise in them.

More than three channels may come back; those after the third (a learnt variance) are not used.
"""

Showing = Literal["photo", "differences"]


def schedule(steps: int = STEPS) -> tuple[list[int], Tensor]:
    """Which of the thousand levels of noise are visited, and each one's share of signal (float64), falling.

    >>> schedule(4)[0]
    [0, 250, 500, 750]
    """
    if steps < 1 or LEVELS % steps:
        raise BadSetting("the number of steps divides the number of levels", wanted=f"a divisor of {LEVELS}", got=steps)
    added = torch.linspace(FIRST_ADDED, LAST_ADDED, LEVELS, dtype=torch.float64)
    visited = list(range(0, LEVELS, LEVELS // steps))
    return visited, (1.0 - added).cumprod(0)[visited]


def moved(picture: Tensor, noise: Tensor, signal: float, wanted: float) -> Tensor:
    """One step without chance (eta 0), from one share of signal to another; the picture that is meant stays in -1..1.

    Where it had to be kept in bounds, the noise is what remains.
    """
    meant = ((picture - math.sqrt(1.0 - signal) * noise) / math.sqrt(signal)).clamp(-1.0, 1.0)
    noise = (picture - math.sqrt(signal) * meant) / math.sqrt(1.0 - signal)
    return math.sqrt(wanted) * meant + math.sqrt(1.0 - wanted) * noise


def inverted(picture: Tensor, predictor: NoisePredictor, steps: int = STEPS) -> Tensor:
    """(N, 3, H, W) in -1..1 -> the noise that it comes from; the last step leads to noise alone.

    The predictor is asked at the level that a step leaves, on both ways; the picture itself counts as level 0.
    """
    levels, signals = schedule(steps)
    shares = [*signals.tolist(), 0.0]
    for number, level in enumerate(levels):
        picture = moved(picture, _noise(predictor, picture, level), shares[number], shares[number + 1])
    return picture


def sampled(noise: Tensor, predictor: NoisePredictor, steps: int = STEPS) -> Tensor:
    """Noise -> (N, 3, H, W) in -1..1: down the same levels, from the highest to the picture."""
    levels, signals = schedule(steps)
    shares = [1.0, *signals.tolist()]
    for number in reversed(range(steps)):
        noise = moved(noise, _noise(predictor, noise, levels[number]), shares[number + 1], shares[number])
    return noise


def differences(picture: Tensor, again: Tensor) -> Tensor:
    """Both (N, 3, H, W) in -1..1 -> uint8: absolute differences in steps of 1/255, cut and not rounded."""
    return ((picture - again).abs() * (255.0 / 2.0)).clamp(0.0, 255.0).to(torch.uint8)


def reconstructed_differences(pixels: Pixels, predictor: NoisePredictor) -> Pixels:
    """(256, 256, 3) uint8 -> of the same shape: what the diffusion model changes on the way to noise and back."""
    picture = normalised(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))[None]
    with torch.inference_mode():
        again = sampled(inverted(picture, predictor), predictor)
        if not bool(again.isfinite().all()):
            raise BadWeights("the diffusion model brings back numbers that are none", wanted="finite ones")
        found = differences(picture, again)
    return cast(Pixels, found[0].permute(1, 2, 0).numpy())


def middle_of(pixels: Pixels) -> tuple[Pixels, Window]:
    """The middle 256x256 after the shorter side became 256, and where it lies in the picture.

    Halved by means while that leaves at least 256, then bicubic.
    """
    height, width = pixels.shape[:2]
    small = pixels
    while min(small.shape[:2]) >= 2 * SIDE:
        small = resize(small, (small.shape[0] // 2, small.shape[1] // 2), "box")
    scale = SIDE / min(small.shape[:2])
    small = resize(small, (round(small.shape[0] * scale), round(small.shape[1] * scale)), "bicubic")
    top, left = (small.shape[0] - SIDE) // 2, (small.shape[1] - SIDE) // 2
    rows, columns = height / small.shape[0], width / small.shape[1]
    window = Window(int(top * rows), int(left * columns), max(1, int(SIDE * rows)), max(1, int(SIDE * columns)))
    return small[top : top + SIDE, left : left + SIDE], window


_WANTED_SCHEDULE: Mapping[str, object] = {
    "prediction_type": "epsilon",
    "num_train_timesteps": LEVELS,
    "beta_schedule": "linear",
    "beta_start": FIRST_ADDED,
    "beta_end": LAST_ADDED,
    "trained_betas": None,
}
"""What a saved scheduler must say for the levels to be those of `schedule`, and the answers to be noise."""


def noise_predictor(folder: str | Path, device: str = "cpu") -> NoisePredictor:
    """A UNet2DModel that diffusers saved in `folder` (or in its `unet`) as safetensors, trained without classes.

    Nothing is fetched. A `scheduler` beside `unet` is held against the levels used here; without one, that the model
    learnt to predict noise at these levels is the caller's word. OpenAI's own file (the ADM model that DIRE was
    published with) is of another layout and is not read.
    """
    diffusers = need("diffusers", "zoo", "reconstructing pictures for DIRE")
    folder = Path(folder)
    inner = folder / "unet" if (folder / "unet").is_dir() else folder
    if not (inner / "config.json").is_file():
        raise NoWeights(
            "no model that diffusers saved", where=inner, wanted="config.json and diffusion_pytorch_model.safetensors",
            hint="give the folder that `save_pretrained` of a UNet2DModel, or of a pipeline with one, has written",
        )  # fmt: skip
    _require_unet(inner / "config.json")
    plan = folder / "scheduler" / "scheduler_config.json"
    if plan.is_file():
        _require_schedule(plan)
    try:
        network, told = diffusers.UNet2DModel.from_pretrained(
            str(inner), local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as fault:
        reason = str(fault).strip().partition("\n")[0]
        raise BadWeights(f"diffusers cannot load this model: {reason}", where=inner) from fault
    # diffusers draws what a file lacks at random and goes on.
    if amiss := [f"{len(names)} {kind.replace('_', ' ')}" for kind, names in told.items() if names]:
        raise BadWeights(f"the file and its settings are not of one model: {', '.join(amiss)}", where=inner)
    network = network.to(device).eval()

    def predicted(pictures: Tensor, levels: Tensor) -> Tensor:
        return cast(Tensor, network(pictures.to(device), levels.to(device)).sample.to(pictures.device))

    return predicted


def _said(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise BadWeights("not a file of settings", where=path, wanted="JSON", got=fault) from fault
    if not isinstance(found, dict):
        raise BadWeights("not a file of settings", where=path, wanted="names and values", got=type(found).__name__)
    return found


def _require_unet(path: Path) -> None:
    said = _said(path)
    if said.get("_class_name") != "UNet2DModel":
        raise BadWeights("another kind of model", where=path, wanted="UNet2DModel", got=said.get("_class_name"))
    if said.get("class_embed_type") is not None or said.get("num_class_embeds") is not None:
        raise BadWeights("the model wants to be told a class", where=path, wanted="one trained without classes")
    channels = said.get("in_channels"), said.get("out_channels")
    if channels not in ((3, 3), (3, 6)):
        raise BadWeights(
            "the model is not one of RGB pictures", where=path, wanted="3 channels in, 3 or 6 out", got=channels
        )


def _require_schedule(path: Path) -> None:
    said = _said(path)
    for name, wanted in _WANTED_SCHEDULE.items():
        if said.get(name, wanted) != wanted:
            raise BadWeights(
                f"the model was trained for another schedule of noise: {name}", where=path, wanted=wanted,
                got=said[name],
            )  # fmt: skip


def _noise(predictor: NoisePredictor, picture: Tensor, level: int) -> Tensor:
    found = predictor(picture, torch.full((picture.shape[0],), level, dtype=torch.int64, device=picture.device))
    if found.shape[1] < 3 or found.shape[2:] != picture.shape[2:]:
        raise BadShape(
            "a noise predictor gives a picture of noise", wanted=tuple(picture.shape), got=tuple(found.shape)
        )
    return found[:, :3]


class Dire(Detector):
    """DIRE as a detector. `showing`, which may be changed, says what the pictures are that it is given.

    photo        any pictures; `diffusion` must hold a noise predictor, or there is no verdict
    differences  pictures of differences that were made elsewhere
    """

    no_export = "what its network is shown is made by a diffusion model, which is no part of it"
    card = Card(
        name="dire",
        title="DIRE",
        year=2023,
        family="dire",
        tasks=("detect",),
        paper="Wang et al., DIRE for diffusion-generated image detection, ICCV 2023",
        about="A diffusion model takes the picture to noise and back; what changed on the way is judged by a "
        "ResNet-50. Pictures made by diffusion change less than photos.",
        input="differences to what a diffusion model makes of it: shorter side to 256, the middle 224x224, ImageNet "
        "statistics",
        parameters=23_510_081,
        code="ZhendongWang6/DIRE; no licence stated, its guided-diffusion part MIT",
        weights=tuple(
            WeightSet(
                name=f"lsun-{source}",
                files=(
                    WeightFile(
                        name=f"lsun_{source}.pth",
                        source="https://github.com/ZhendongWang6/DIRE",
                        remark="the classifier alone; the diffusion model is another file",
                    ),
                ),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on=f"differences of LSUN bedrooms and of {name}'s pictures",
            )
            for source, name in (("adm", "ADM"), ("iddpm", "iDDPM"), ("pndm", "PNDM"), ("stylegan", "StyleGAN"))
        ),
        targets=(
            Target(data="AIGCDetectBenchmark, mean", metric="accuracy", value=0.6868, source="AIGCDetectBenchmark",
                   remark="trained on ProGAN"),
            Target(data="AIGCDetectBenchmark, mean", metric="accuracy", value=0.7153, source="AIGCDetectBenchmark",
                   remark="trained on diffusion"),
            *br_gen("dire"),
        ),
        limits=(
            "It gives no verdict on a photo without a diffusion model in `diffusion`: forty passes of a large network "
            "a picture.",
            "With `showing` set to 'differences' it takes whatever it is given for a picture of differences; for a "
            "photo its answer then means nothing.",
            "The published diffusion model (ADM, LSUN bedrooms) is of a layout that is not read here; with another one "
            "the released classifier sees what it never saw.",
            "The digest of an answer is the classifier's; it does not tell which diffusion model was used.",
            "That the twentieth step of inversion leads to noise alone was inferred, not checked.",
            "The published training data kept the file format of each source, which gives the sources away.",
        ),
    )  # fmt: skip

    options = declared(
        showing=Option(about="what the pictures are that it is given", choices=("photo", "differences")),
        diffusion=Option(about="a folder with a noise predictor that diffusers saved", path=True, none=True),
    )
    showing: Showing = "photo"
    diffusion: NoisePredictor | None = None

    def _set(self, name: str, value: Value) -> None:
        if name == "diffusion" and value is not None:
            self.diffusion = noise_predictor(str(value), str(self.device))
        else:
            super()._set(name, value)

    def build(self) -> nn.Module:
        """The classifier."""
        return Classifier()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says."""
        if self.showing == "photo":
            return self._reconstructed(pixels)
        if self.showing == "differences":
            prepared = resized_crop(pixels, shorter_side_size(pixels.shape, SIDE), CROP, normalised)
            note = "taken for a picture of differences, not for a photo"
            return Prepared(prepared.size, prepared.views, (note, *prepared.notes))
        raise unknown(self.showing, ("photo", "differences"), f"kind of picture for {self.card.name}")

    def _reconstructed(self, pixels: Pixels) -> Prepared:
        predictor = self.diffusion
        if predictor is None:
            raise NoWeights(
                "DIRE gives no verdict on a photo without a diffusion model",
                hint="give one with `--option diffusion=FOLDER` (in Python: `change(diffusion=FOLDER)`), or set "
                "`showing` to 'differences' if these are pictures of differences that were made elsewhere",
            )
        middle, window = middle_of(pixels)
        inner = centre_window(SIDE, SIDE, CROP)
        seen = Window(
            window.top + inner.top * window.height // SIDE,
            window.left + inner.left * window.width // SIDE,
            max(1, inner.height * window.height // SIDE),
            max(1, inner.width * window.width // SIDE),
        )

        # Kept, since a batch that does not fit the memory is tried again in halves, and this takes long.
        @cache
        def shown() -> Tensor:
            return normalised(inner.of(reconstructed_differences(middle, predictor)))

        height, width = pixels.shape[:2]
        notes = (
            f"the middle {SIDE}x{SIDE} after the shorter side became {SIDE}, taken to noise and back in "
            f"{2 * STEPS} passes",
            f"only the middle {CROP}x{CROP} of the differences was seen",
        )
        return Prepared((height, width), (View(seen, (CROP, CROP), shown),), notes)
