"""Train the small inpainter `learned` on real photos, with a critic; a run can be stopped anywhere and goes on exactly.

    fauxlens train learned --manifest m.parquet -o FOLDER [--minutes N]
    python -m fauxlens.forge.create.fit_learned recipes/learned.toml --manifest m.parquet --output FOLDER [--minutes N]

Everything that is drawn is a function of the recipe's seed and the number of the step, so there is no state of chance
to keep: six steps in one piece and three and three more give the same bytes on the same machine. FOLDER holds
`state.pt` (networks, optimisers, step), `log.jsonl`, and at the end `learned.safetensors` with its card beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from fauxlens.core.errors import BadManifest, BadSetting, OtherPlan
from fauxlens.core.files import atomic_path, sha256_of, to_json_line, write_json, write_text
from fauxlens.core.recipes import without_kind
from fauxlens.core.seeds import seed_for
from fauxlens.core.settings import settings_from, settings_to
from fauxlens.core.version import __version__
from fauxlens.forge.create.held_back import held_back, splits_of_reals, where_photos_come_from
from fauxlens.forge.create.holes import drawn_hole
from fauxlens.forge.create.nets.critic import PatchCritic
from fauxlens.forge.create.nets.learned import LearnedNetwork, LearnedShape
from fauxlens.forge.region import Mask
from fauxlens.images.picture import read_picture
from fauxlens.images.resample import resize_shortest
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest, read_manifest

Network = TypeVar("Network", bound=nn.Module)

log = logging.getLogger(__name__)

STATE = "state.pt"
LOG = "log.jsonl"
WEIGHTS = "learned.safetensors"
CARD = "learned.json"

KIND = "learned"
"""What a recipe of this training says in `kind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How much each part of the inpainter's loss weighs."""

    hole: float = 1.0  # mean absolute error where it was made anew
    gradient: float = 0.5  # differences of neighbours at three scales
    # Of all fills the smoothest has the least error, so the two above alone teach nothing: the critic has to lead.
    adversarial: float = 0.2
    feature: float = 10.0  # the critic's features of the fill against those of the photo


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRecipe:
    """One training run. Every number that decides the result is here."""

    seed: int = 1
    steps: int = 4000
    batch: int = 8
    crop: int = 128
    shape: LearnedShape = field(default_factory=LearnedShape)
    loss: Loss = field(default_factory=Loss)
    critic_channels: int = 32
    critic_from: int = 50  # the step at which the critic joins
    rate: float = 1e-3
    critic_rate: float = 4e-4
    warm_up: int = 50
    fall_from: float = 0.7  # the share of the steps after which the rates fall to zero
    averaged: float = 0.998  # how much of the running mean of the weights is kept a step; the mean is what is shipped
    bfloat16: bool = True
    split: str = "train"
    held_out_split: str = "val"
    shorter_side: int = 288  # photos are kept in memory at this size
    widest_crop: int = 256  # crops of up to this side are shrunk to `crop`: several scales from few photos
    smallest_hole: float = 0.05
    largest_hole: float = 0.5
    checkpoint_seconds: float = 60.0
    held_out_photos: int = 64

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 8:
            raise BadSetting("crop is out of range", wanted="a multiple of 8, at least 32", got=self.crop)
        if not self.crop <= self.widest_crop <= self.shorter_side:
            raise BadSetting(
                "sizes that do not fit",
                wanted="crop <= widest_crop <= shorter_side",
                got=f"{self.crop}, {self.widest_crop}, {self.shorter_side}",
            )
        for name in ("steps", "batch", "warm_up", "held_out_photos", "critic_channels"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} is out of range", wanted="at least 1", got=getattr(self, name))
        if not 0.0 <= self.averaged < 1.0 or not 0.0 < self.fall_from <= 1.0:
            raise BadSetting("a share out of range", wanted="averaged in [0, 1), fall_from in (0, 1]")
        if self.split == self.held_out_split:
            raise BadSetting("what is held out must be another split than what is trained on", got=self.split)


def read_learned_recipe(path: Path) -> LearnedRecipe:
    """The recipe in a TOML file."""
    return settings_from(LearnedRecipe, without_kind(path, KIND), where=str(path))


@dataclass(frozen=True, slots=True)
class TrainingPhoto:
    """A real photo in memory, shrunk."""

    id: str
    pixels: Pixels


def load_photos(manifest: Manifest, split: str, shorter_side: int, *, most: int | None = None) -> list[TrainingPhoto]:
    """The real photos of one split that are large enough, sorted by id; at most so many, drawn by their ids alone."""
    rows = sorted(
        (row for row in manifest.usable() if row.split == split and not row.fake),
        key=lambda row: seed_for("learned-photos", image_id=row.id),
    )
    if not rows:
        setting = "held_out_split" if most is not None else "split"
        raise BadManifest(
            f"no real photos with split '{split}'", where=manifest.root, wanted=f"real photos of split '{split}'",
            got=f"real photos of: {splits_of_reals(manifest)}", hint=where_photos_come_from(setting),
        )  # fmt: skip
    photos: list[TrainingPhoto] = []
    small, largest = 0, 0
    for row in rows:
        if most is not None and len(photos) == most:
            break
        pixels = read_picture(manifest.path_of(row)).pixels
        if min(pixels.shape[:2]) < shorter_side:
            # Enlarging would teach the network what resampling looks like.
            small, largest = small + 1, max(largest, min(pixels.shape[:2]))
            continue
        photos.append(TrainingPhoto(row.id, resize_shortest(pixels, shorter_side, "lanczos")))
    if small:
        log.info("%d photos of split '%s' left out: a side below %d pixels", small, split, shorter_side)
    if not photos:
        raise BadManifest(
            f"no photo of split '{split}' is large enough", where=manifest.root,
            wanted=f"sides of at least {shorter_side}", got=f"the shorter side is {largest} at most",
            hint="give larger photos, or a smaller `shorter_side` in a recipe of your own that `extends` this one",
        )  # fmt: skip
    return sorted(photos, key=lambda photo: photo.id)


def load_held_out(manifest: Manifest, recipe: LearnedRecipe) -> list[TrainingPhoto]:
    """The photos that measure what was learnt."""
    return load_photos(manifest, _held_out_split(manifest, recipe), recipe.shorter_side, most=recipe.held_out_photos)


class Training:
    """The networks, their optimisers and the step they are at."""

    def __init__(self, recipe: LearnedRecipe) -> None:
        self.recipe = recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("learned-networks", image_id=str(recipe.seed)) % (1 << 31))
            self.network = _laid_out(LearnedNetwork(recipe.shape))
            self.critic = _laid_out(PatchCritic(recipe.critic_channels))
            self.averaged = _laid_out(LearnedNetwork(recipe.shape))
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), recipe.rate, (0.8, 0.99), weight_decay=1e-4)
        self.critic_optimiser = torch.optim.AdamW(self.critic.parameters(), recipe.critic_rate, (0.5, 0.99))
        self.step = 0
        self.losses: Mapping[str, float] = {}  # of the last step

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "recipe": json.dumps(settings_to(self.recipe), sort_keys=True),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any], where: Path) -> None:
        """Go back to where `state` was taken."""
        if json.loads(state["recipe"]) != json.loads(json.dumps(settings_to(self.recipe))):
            raise OtherPlan("this folder holds another recipe's run", where=where, hint="choose an empty folder")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.step = int(state["step"])

    def take_step(self, photos: Sequence[TrainingPhoto]) -> dict[str, float]:
        """One step on a batch that seed and step decide; the parts of the loss."""
        recipe = self.recipe
        losses: dict[str, Tensor] = {}
        rate = self._rate_share()
        for optimiser, full in ((self.optimiser, recipe.rate), (self.critic_optimiser, recipe.critic_rate)):
            for group in optimiser.param_groups:
                group["lr"] = full * rate
        photo, hole = drawn_batch(photos, recipe, self.step)
        with self._narrow():
            made = self.network(photo, hole).float()
        share = hole.mean(dim=(1, 2, 3)).clamp_min(1e-3)
        losses["hole"] = _weighed((made - photo).abs(), hole)
        losses["gradient"] = _gradient_loss(made, photo, share)
        total = recipe.loss.hole * losses["hole"] + recipe.loss.gradient * losses["gradient"]
        criticised = self.step >= recipe.critic_from
        if criticised:
            with self._narrow():
                real_scores, real_features = self.critic(photo)
                # The critic is only looked through here: its own step comes below.
                self.critic.requires_grad_(False)
                scores, features = self.critic(made)
                self.critic.requires_grad_(True)
            patches = F.adaptive_max_pool2d(hole, scores.shape[-2:])
            losses["adversarial"] = -_weighed(scores.float(), patches)
            losses["feature"] = _feature_loss(features, real_features, hole)
            total = total + recipe.loss.adversarial * losses["adversarial"] + recipe.loss.feature * losses["feature"]
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        losses["norm"] = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        if criticised:
            with self._narrow():
                made_scores, _ = self.critic(made.detach())
            real, made_up = F.relu(1.0 - real_scores.float()), F.relu(1.0 + made_scores.float())
            losses["critic"] = real.mean() + _weighed(made_up, patches)
            self.critic_optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(losses["critic"])
            self.critic_optimiser.step()
        self.step += 1
        self._average()
        self.losses = {name: float(value.detach()) for name, value in losses.items()}
        return dict(self.losses)

    def _rate_share(self) -> float:
        done = self.step / self.recipe.steps
        rising = min(1.0, (self.step + 1) / self.recipe.warm_up)
        left = 1.0 if done < self.recipe.fall_from else (1.0 - done) / max(1e-9, 1.0 - self.recipe.fall_from)
        return rising * max(0.02, min(1.0, left))

    def _average(self) -> None:
        # Early on the mean would be of noise, so it follows faster.
        kept = min(self.recipe.averaged, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1.0 - kept)
            for held, current in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                held.copy_(current)

    @contextmanager
    def _narrow(self) -> Iterator[None]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.bfloat16):
            yield


def _never(training: Training) -> bool:
    return False


def fit(
    recipe: LearnedRecipe,
    photos: Sequence[TrainingPhoto],
    folder: Path,
    *,
    stop_at: int | None = None,
    minutes: float | None = None,
    halt: Callable[[Training], bool] = _never,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """Train until the recipe's last step, `stop_at`, or the time is up, going on from what `folder` holds.

    `halt` is asked before every step whether to leave it at that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(recipe)
    state = folder / STATE
    if state.exists():
        training.restore(torch.load(state, weights_only=True), folder)
        log.info("going on at step %d", training.step)
    _cut_log(folder / LOG, training.step)
    last = recipe.steps if stop_at is None else min(stop_at, recipe.steps)
    start = saved = clock()
    while training.step < last and (minutes is None or clock() - start < 60.0 * minutes) and not halt(training):
        step, began = training.step, clock()
        losses = training.take_step(photos)
        if not all(math.isfinite(value) for value in losses.values()):
            raise BadSetting("the training diverged", where=f"step {step}", got=losses, hint="lower the rate")
        with (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(to_json_line({"step": step, "seconds": round(clock() - began, 4), **losses}))
        if clock() - saved > recipe.checkpoint_seconds:
            _save(training, state)
            saved = clock()
    _save(training, state)
    return training


def drawn_batch(photos: Sequence[TrainingPhoto], recipe: LearnedRecipe, step: int) -> tuple[Tensor, Tensor]:
    """Crops (N, 3, H, W) in 0..1 and holes (N, 1, H, W), 1 where something is missing, of one step."""
    crops, holes = [], []
    for place in range(recipe.batch):
        number = step * recipe.batch + place
        epoch, row = divmod(number, len(photos))
        order = np.random.default_rng(seed_for("learned-order", image_id=f"{recipe.seed}/{epoch}"))
        photo = photos[int(order.permutation(len(photos))[row])]
        chance = np.random.default_rng(seed_for("learned-crop", image_id=f"{recipe.seed}/{number}"))
        crop = _cropped(photo.pixels, recipe, chance)
        crops.append(crop)
        holes.append(drawn_hole(crop, chance, smallest=recipe.smallest_hole, largest=recipe.largest_hole))
    return _tensors(crops, holes)


def evaluate(network: LearnedNetwork, photos: Sequence[TrainingPhoto], recipe: LearnedRecipe) -> dict[str, Any]:
    """Errors inside holes of held-out crops, beside Telea's on the same holes: means over photos."""
    network.eval()
    rows: dict[str, list[tuple[float, float, float]]] = {"learned": [], "telea": [], "smooth": []}
    for crop, hole in held_out_crops(photos, recipe):
        pixels, holes = _tensors([crop], [hole])
        with torch.no_grad():
            made = network(pixels, holes)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255.0
            smooth = network.base(pixels, holes)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255.0
        telea = cv2.inpaint(crop, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        for name, fill in (("learned", made), ("telea", telea), ("smooth", smooth)):
            rows[name].append(_errors(crop, np.asarray(fill, dtype=np.float32), hole))
    return {
        name: {
            "l1": round(float(np.mean([row[0] for row in values])), 3),
            "psnr_db": round(float(np.mean([row[1] for row in values])), 3),
            "roughness_ratio": round(float(np.median([row[2] for row in values])), 3),
        }
        for name, values in rows.items()
    } | {"crops": len(rows["learned"]), "crop_px": recipe.crop}


def held_out_crops(photos: Sequence[TrainingPhoto], recipe: LearnedRecipe) -> Iterator[tuple[Pixels, Mask]]:
    """One crop and one hole a photo, always the same."""
    for photo in photos:
        chance = np.random.default_rng(seed_for("learned-held-out", image_id=photo.id))
        crop = _cropped(photo.pixels, recipe, chance)
        yield crop, drawn_hole(crop, chance, smallest=recipe.smallest_hole, largest=recipe.largest_hole)


def export(training: Training, folder: Path, facts: dict[str, Any]) -> Path:
    """Write the averaged weights (float16; vectors stay float32) and their card; the path of the weights."""
    target = folder / WEIGHTS
    state = {
        name: tensor.half().contiguous() if tensor.is_floating_point() and tensor.ndim > 1 else tensor.contiguous()
        for name, tensor in training.averaged.state_dict().items()
    }
    with atomic_path(target) as temporary:
        temporary.write_bytes(save(state))
    write_json(
        folder / CARD,
        {
            "name": "learned",
            "network": settings_to(training.recipe.shape),
            "recipe": settings_to(training.recipe),
            "steps": training.step,
            "crops": training.step * training.recipe.batch,
            "parameters": sum(weight.numel() for weight in training.averaged.parameters()),
            "sha256": sha256_of(target),
            "version": __version__,
            "licence": "Apache-2.0",
            **facts,
        },
    )
    return target


def finish(
    training: Training,
    manifest: Manifest,
    photos: Sequence[TrainingPhoto],
    held_out: Sequence[TrainingPhoto],
    folder: Path,
) -> dict[str, Any]:
    """Measure on photos held out, write weights and card; gives what was measured."""
    measured = evaluate(training.averaged, held_out, training.recipe)
    log.info("held out: %s", to_json_line(measured).strip())
    facts = {
        "data": _sources(manifest, photos),
        "held_out": measured | {"split": _held_out_split(manifest, training.recipe)},
        "seconds": round(seconds_in(folder), 1),
        "losses": _last_losses(folder / LOG),
    }
    log.info("written: %s", export(training, folder, facts))
    return measured


def seconds_in(folder: Path) -> float:
    """How long all steps of the run in a folder took."""
    return sum(float(line["seconds"]) for line in _lines(folder / LOG))


def main(arguments: Sequence[str] | None = None) -> int:
    """What `python -m` runs: train, measure on held-out photos, write weights and card."""
    parser = argparse.ArgumentParser(prog="python -m fauxlens.forge.create.fit_learned", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file, such as recipes/learned.toml")
    parser.add_argument("--manifest", type=Path, required=True, help="what `fauxlens scan` wrote")
    parser.add_argument("--root", type=Path, help="where the pictures lie now, if they were moved")
    parser.add_argument("--output", type=Path, required=True, help="a folder; a run in it is gone on with")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes, wherever it is")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = read_learned_recipe(given.recipe)
    manifest = read_manifest(given.manifest, root=given.root)
    photos = load_photos(manifest, recipe.split, recipe.shorter_side)
    held_out = load_held_out(manifest, recipe)
    log.info("%d photos to train on, %d held out", len(photos), len(held_out))
    training = fit(recipe, photos, given.output, minutes=given.minutes)
    finish(training, manifest, photos, held_out, given.output)
    return 0


def _held_out_split(manifest: Manifest, recipe: LearnedRecipe) -> str:
    return held_back(manifest, recipe.held_out_split, learnt_from=recipe.split)


def _laid_out(network: Network) -> Network:
    # Channels last is how the processor's bfloat16 convolutions want their numbers.
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def _cropped(pixels: Pixels, recipe: LearnedRecipe, chance: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    side = int(chance.integers(recipe.crop, min(recipe.widest_crop, height, width) + 1))
    top, left = int(chance.integers(height - side + 1)), int(chance.integers(width - side + 1))
    crop = pixels[top : top + side, left : left + side]
    if side != recipe.crop:
        crop = np.asarray(cv2.resize(crop, (recipe.crop, recipe.crop), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.ascontiguousarray(crop[:, ::-1] if chance.random() < 0.5 else crop)


def _tensors(crops: Sequence[Pixels], holes: Sequence[Mask]) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255.0
    missing = torch.from_numpy(np.stack(holes)).float()[:, None]
    return pixels.contiguous(memory_format=torch.channels_last), missing


def _weighed(values: Tensor, weights: Tensor) -> Tensor:
    # Every picture counts the same, however small its hole.
    summed = (values * weights).sum(dim=(1, 2, 3))
    return (summed / (weights.sum(dim=(1, 2, 3)) * values.shape[1]).clamp_min(1.0)).mean()


def _gradient_loss(made: Tensor, photo: Tensor, share: Tensor) -> Tensor:
    total = made.new_zeros(())
    for scale in range(3):
        if scale:
            made, photo = F.avg_pool2d(made, 2), F.avg_pool2d(photo, 2)
        unlike = made - photo
        for axis in (2, 3):
            # Outside the hole nothing differs, so the mean is divided by the hole's share.
            total = total + (unlike.diff(dim=axis).abs().mean(dim=(1, 2, 3)) / share).mean()
    return total / 3.0


def _feature_loss(features: Sequence[Tensor], wanted: Sequence[Tensor], hole: Tensor) -> Tensor:
    total = hole.new_zeros(())
    for one, other in zip(features, wanted, strict=True):
        where = F.adaptive_max_pool2d(hole, one.shape[-2:])
        total = total + _weighed((one.float() - other.detach().float()).abs(), where)
    return total / len(features)


def _errors(photo: Pixels, fill: np.ndarray[Any, np.dtype[np.float32]], hole: Mask) -> tuple[float, float, float]:
    unlike = (fill - photo)[hole]
    squared = max(1e-6, float(np.square(unlike).mean()))
    rough = [
        float(np.abs(cv2.Laplacian(np.asarray(one, dtype=np.float32), cv2.CV_32F))[hole].mean())
        for one in (fill, photo)
    ]
    return float(np.abs(unlike).mean()), 10.0 * math.log10(255.0**2 / squared), rough[0] / max(rough[1], 1e-3)


def _save(training: Training, target: Path) -> None:
    with atomic_path(target) as temporary:
        torch.save(training.state(), temporary)


def _cut_log(path: Path, step: int) -> None:
    # Steps after the last checkpoint were lost and are taken again; their lines must not stand twice.
    lines = [line for line in _lines(path) if line["step"] < step]
    write_text(path, "".join(to_json_line(line) for line in lines))


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break  # the last line of a run that was cut off
    return lines


def _last_losses(path: Path) -> dict[str, float]:
    lines = _lines(path)[-200:]
    names = sorted({name for line in lines for name in line} - {"step", "seconds"})
    return {name: round(float(np.mean([line[name] for line in lines if name in line])), 4) for name in names}


def _sources(manifest: Manifest, photos: Sequence[TrainingPhoto]) -> dict[str, Any]:
    used = {photo.id for photo in photos}
    counts: dict[str, int] = {}
    for row in manifest:
        if row.id in used:
            name = f"{row.source or 'unknown source'} ({row.licence or 'licence not stated'})"
            counts[name] = counts.get(name, 0) + 1
    return {"photos": len(photos), "sources": dict(sorted(counts.items()))}


if __name__ == "__main__":
    raise SystemExit(main())
