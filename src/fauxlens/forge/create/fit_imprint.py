"""Training the families of `imprint`: minutes each on one core.

    fauxlens train imprint --manifest m.parquet -o FOLDER
    python -m fauxlens.forge.create.fit_imprint recipes/imprint.toml --manifest m.parquet --output FOLDER

Family by family, in an order that a seed shuffles, so that a run that is cut short leaves a fair mix. What is done is
not done again; inside a family a checkpoint is kept, and going on from it gives the bytes that one run would have
given. At the end all families that are done are packed into one file with its card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fauxlens.core.errors import BadManifest, BadSetting, BadWeights
from fauxlens.core.files import atomic_path, to_json_line, write_bytes, write_json, write_text
from fauxlens.core.names import unknown
from fauxlens.core.recipes import digest_without_kind, without_kind
from fauxlens.core.seeds import seed_for, share_of
from fauxlens.core.settings import settings_from, settings_to
from fauxlens.forge.create.families import FLOOR, TRAINED, held_out
from fauxlens.forge.create.held_back import held_back, real_photos, splits_of_reals, where_photos_come_from
from fauxlens.forge.create.imprint_weights import CARD, WEIGHTS, half, pack
from fauxlens.forge.create.nets.autoencoder import AutoEncoder, reconstructed
from fauxlens.images.picture import read_picture
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.metrics.pixel import auc

log = logging.getLogger("fauxlens.forge.fit_imprint")

LOG = "log.jsonl"
KIND = "imprint"
"""What a recipe of this training says in `kind`."""

_RISE = 100  # steps until the learning rate is whole
_LOG_EVERY = 100
SMOOTHEST = 0.8  # a held-out family that smoothness alone finds better than this is not held out
_MORE = {2: 0.8, 4: 1.0, 8: 1.5}  # of the minutes a family gets: large factors are slow to learn
_TRIED = 24  # steps that are timed before a plan in minutes is made


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """How the families are trained; `recipes/imprint.toml` is one."""

    seed: int = 1
    steps: int = 6000
    token_steps: int = 12000
    batch: int = 8
    crop: int = 64
    learning_rate: float = 3e-3
    gradient_weight: float = 1.0
    bfloat16: bool = True
    quantise_from: float = 0.2
    train_split: str = "train"
    check_split: str = "devtest"
    check_photos: int = 64
    check_side: int = 192
    tiles_each: int = 4
    tile: int = 128
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "token_steps", "batch", "check_photos", "tiles_each", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} is out of range", wanted="at least 1", got=getattr(self, name))
        for name in ("crop", "check_side", "tile"):
            if getattr(self, name) < 8 or getattr(self, name) % 8:
                raise BadSetting(f"{name} is out of range", wanted="a multiple of 8", got=getattr(self, name))
        if self.crop > self.tile:
            raise BadSetting("crops larger than what they are cut from", wanted=f"at most {self.tile}", got=self.crop)
        if not 0 < self.learning_rate < 1 or not 0 <= self.quantise_from < 1 or self.gradient_weight < 0:
            raise BadSetting("learning_rate, quantise_from or gradient_weight is out of range")
        if self.train_split == self.check_split:
            raise BadSetting("photos that are trained on cannot also be the check", got=self.check_split)

    def steps_of(self, family: str) -> int:
        """How many steps a family gets: those that never work at full size are cheap, and get more."""
        return self.token_steps if TRAINED[family].upsampler == "tokens" else self.steps

    @property
    def digest(self) -> str:
        """SHA-256 over all settings."""
        return hashlib.sha256(to_json_line(settings_to(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """What is trained on and measured with, decoded once."""

    tiles: npt.NDArray[np.uint8]  # (N, tile, tile, 3)
    checks: tuple[Pixels, ...]
    sources: dict[str, int]  # "source (licence)" -> photos trained on
    photos: int
    check_split: str  # the split of `checks`: the plan's, or what took its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One family, trained: what its record says."""

    family: str
    decibels: float
    smooth_auc: float  # how well smoothness alone finds it; see `smooth_auc`
    steps: int
    seconds: float
    seed: int
    loss: float
    plan: str  # digest of the settings it was trained with


def read_plan(path: Path) -> FitPlan:
    """The plan in a TOML file."""
    return settings_from(FitPlan, without_kind(path, KIND), where=str(path))


def photos_of(manifest: Manifest, plan: FitPlan) -> Photos:
    """Tiles of the real photos of the training split, and pieces of those of the checking split."""
    check_split = held_back(manifest, plan.check_split, learnt_from=plan.train_split)
    train, check = real_photos(manifest, plan.train_split), real_photos(manifest, check_split)
    for setting, split, rows in (("train_split", plan.train_split, train), ("check_split", check_split, check)):
        if not len(rows):
            raise BadManifest(
                f"no real photo of split '{split}'", where=manifest.root, wanted=f"real photos of split '{split}'",
                got=f"real photos of: {splits_of_reals(manifest)}", hint=where_photos_come_from(setting),
            )  # fmt: skip
    tiles: list[Pixels] = []
    sources: Counter[str] = Counter()
    used, largest = 0, 0
    for sample in sorted(train, key=lambda one: one.id):
        pixels = read_picture(manifest.path_of(sample)).pixels
        largest = max(largest, min(pixels.shape[:2]))
        if min(pixels.shape[:2]) < plan.tile:
            continue
        used += 1
        sources[f"{sample.source} ({sample.licence})"] += 1
        chance = np.random.default_rng(seed_for("imprint-tiles", image_id=sample.id, attempt=plan.seed))
        for _ in range(plan.tiles_each):
            top, left = (int(chance.integers(side - plan.tile + 1)) for side in pixels.shape[:2])
            tiles.append(pixels[top : top + plan.tile, left : left + plan.tile].copy())
    if not tiles:
        raise BadManifest(
            f"no photo of split '{plan.train_split}' is large enough", where=manifest.root,
            wanted=f"sides of {plan.tile} or more", got=f"the shorter side is {largest} at most",
            hint="give larger photos, or a smaller `tile` in a recipe of your own that `extends` this one",
        )  # fmt: skip
    picked = sorted(check, key=lambda one: share_of(f"imprint-check-{plan.seed}", one.id))[: plan.check_photos]
    checks = []
    for sample in picked:
        pixels = read_picture(manifest.path_of(sample)).pixels
        height, width = (min(side, plan.check_side) for side in pixels.shape[:2])
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        checks.append(pixels[top : top + height, left : left + width].copy())
    return Photos(np.stack(tiles), tuple(checks), dict(sorted(sources.items())), used, check_split)


def batch_of(tiles: npt.NDArray[np.uint8], plan: FitPlan, family: str, step: int) -> Tensor:
    """(B, 3, crop, crop) in 0 to 1, channels last: decided by plan, family and step alone."""
    chance = np.random.default_rng(seed_for("imprint-batch", image_id=family, attempt=plan.seed * 1_000_003 + step))
    crops = np.empty((plan.batch, plan.crop, plan.crop, 3), np.uint8)
    for place in range(plan.batch):
        tile = tiles[chance.integers(len(tiles))]
        top, left = chance.integers(plan.tile - plan.crop + 1, size=2)
        crop = tile[top : top + plan.crop, left : left + plan.crop]
        # Not turned: photos lie the right way up, and so do the crops that a decoder will see.
        crops[place] = crop[:, ::-1] if chance.integers(2) else crop
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255.0)


def loss_of(made: Tensor, picture: Tensor, gradient_weight: float) -> Tensor:
    """L1 of the picture, and of its differences to the right and downwards."""
    off = made - picture
    return off.abs().mean() + gradient_weight * (off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean())


def decibels_of(network: AutoEncoder, checks: Sequence[Pixels]) -> float:
    """Mean PSNR over pictures."""
    found = []
    for pixels, made in zip(checks, brought_back(network, checks), strict=True):
        error = float(np.square(made.astype(np.float32) - pixels).mean(dtype=np.float64))
        found.append(10.0 * math.log10(255.0**2 / max(error, 1e-3)))
    return float(np.mean(found))


def smooth_auc(checks: Iterable[Pixels], made: Iterable[Pixels]) -> float:
    """How well smoothness alone finds a pasted square: pixel AUC of how little local detail there is.

    A held-out family that this finds proves nothing about a detector. With `made` the pictures themselves it is what
    the squares give by their places, which is not exactly one half.
    """
    found = []
    for number, (pixels, other) in enumerate(zip(checks, made, strict=True)):
        height, width = pixels.shape[:2]
        chance = np.random.default_rng(seed_for("imprint-square", attempt=number))
        tall, wide = height // 2, width // 2
        top, left = int(chance.integers(height - tall + 1)), int(chance.integers(width - wide + 1))
        truth = np.zeros((height, width), np.bool_)
        truth[top : top + tall, left : left + wide] = True
        picture = np.where(truth[..., None], other, pixels).astype(np.float32).mean(axis=2)
        detail = np.square(cv2.Laplacian(picture, cv2.CV_32F))
        # Less detail, higher score; minus the logarithm would give the same order, but not numbers from 0 to 1.
        score = 1.0 / (1.0 + np.maximum(cv2.boxFilter(detail, -1, (9, 9)), 0.0))
        found.append(auc(truth, score))
    return float(np.mean(found))


def brought_back(network: AutoEncoder, checks: Iterable[Pixels]) -> list[Pixels]:
    """Each picture as the network gives it back, rounded to 8 bits as a fill is."""
    network.eval()
    found = []
    with torch.no_grad():
        for pixels in checks:
            picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255.0
            made = reconstructed(network, picture).mul(255.0).round()[0].permute(1, 2, 0)
            found.append(made.to(torch.uint8).numpy())
    return found


class Fit:
    """One family on its way: network, optimiser, step. Deterministic on one thread; `save` and `load` lose nothing."""

    def __init__(self, family: str, plan: FitPlan, steps: int | None = None) -> None:
        self.family, self.plan = family, plan
        self.steps = plan.steps_of(family) if steps is None else steps
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.seed = seed_for("imprint-fit", image_id=family, attempt=plan.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = AutoEncoder(TRAINED[family])
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99))

    def rate(self, step: int) -> float:
        """The learning rate of a step: a short rise, then a cosine to a hundredth."""
        rise = min(_RISE, max(1, self.steps // 10))
        down = 0.5 * (1.0 + math.cos(math.pi * step / max(1, self.steps)))
        return self.plan.learning_rate * min(1.0, (step + 1) / rise) * (0.01 + 0.99 * down)

    def advance(self, tiles: npt.NDArray[np.uint8], until: int) -> Iterator[tuple[int, float]]:
        """Train up to step `until`; gives each step's number and loss."""
        plan, network = self.plan, self.network.train()
        closed = int(self.steps * plan.quantise_from)
        while self.step < min(until, self.steps):
            began = time.perf_counter()
            picture = batch_of(tiles, plan, self.family, self.step)
            if network.quantiser is not None:
                network.quantiser.open = self.step < closed
                if self.step == closed:
                    with torch.no_grad():
                        network.quantiser.start(network.encode(picture), torch.Generator().manual_seed(self.seed))
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(self.step)
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
                made, cost = network(picture)
            loss = loss_of(made.float(), picture, plan.gradient_weight) + cost
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            self.optimiser.step()
            self.step += 1
            self.loss = float(loss.detach())
            self.seconds += time.perf_counter() - began
            if not math.isfinite(self.loss):
                raise BadWeights("training diverged", where=f"{self.family}, step {self.step}", got=self.loss)
            yield self.step, self.loss

    def save(self, path: Path) -> None:
        """Everything that the next step depends on, whole or not at all."""
        state = {
            "plan": self.plan.digest,
            "steps": self.steps,
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote; a checkpoint of another plan is refused."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        _same_plan(str(state["plan"]), self.plan, path)
        self.steps, self.step = int(state["steps"]), int(state["step"])
        self.seconds, self.loss = float(state["seconds"]), float(state["loss"])
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def _never(fit: Fit) -> bool:
    return False


def fit_family(
    family: str,
    plan: FitPlan,
    photos: Photos,
    folder: Path,
    minutes: float | None = None,
    halt: Callable[[Fit], bool] = _never,
) -> Fitted | None:
    """Train one family, or read what was done; writes `family.safetensors` and `family.json` into the folder.

    `halt` is asked before every step; when it says so, where the family stands is kept, and None is given.
    """
    done = folder / f"{family}.json"
    if done.is_file():
        before = Fitted(**json.loads(done.read_text(encoding="utf-8")))
        _same_plan(before.plan, plan, done)
        return before
    part = folder / f"{family}.part"
    fit = Fit(family, plan)
    if part.is_file():
        fit.load(part)
    elif minutes is not None:
        fit.steps = _planned(family, plan, photos, minutes)
    _forget(folder, family, fit.step)
    steps = fit.advance(photos.tiles, fit.steps)
    while fit.step < fit.steps:
        if halt(fit):
            fit.save(part)
            return None
        step, loss = next(steps)
        if step % _LOG_EVERY == 0:
            _note(folder, {"family": family, "step": step, "of": fit.steps, "loss": loss, "seconds": fit.seconds})
        if step % plan.checkpoint_every == 0:
            fit.save(part)
    # What is measured is what will be used: rounded to half precision.
    state = half(fit.network)
    fit.network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    from safetensors.torch import save

    write_bytes(folder / f"{family}.safetensors", save(state))
    fitted = Fitted(
        family=family,
        decibels=round(decibels_of(fit.network, photos.checks), 3),
        smooth_auc=round(smooth_auc(photos.checks, brought_back(fit.network, photos.checks)), 3),
        steps=fit.steps,
        seconds=round(fit.seconds, 1),
        seed=fit.seed,
        loss=round(fit.loss, 6),
        plan=plan.digest,
    )
    record = {name: getattr(fitted, name) for name in Fitted.__slots__}
    write_json(done, record)
    _note(folder, {"done": True, **record})
    part.unlink(missing_ok=True)
    return fitted


def order_of(plan: FitPlan, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The families in the order in which they are trained: shuffled by the seed."""
    for name in wanted:
        if name not in TRAINED:
            raise unknown(name, TRAINED, "trained family")
    return tuple(sorted(wanted or TRAINED, key=lambda name: share_of(f"imprint-order-{plan.seed}", name)))


def pack_folder(folder: Path, recipe: Path, plan: FitPlan, photos: Photos) -> dict[str, Any]:
    """One file and its card of all families in the folder that are done; gives the card."""
    from safetensors.torch import load_file

    done = [name for name in sorted(TRAINED) if (folder / f"{name}.json").is_file()]
    records = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in done}
    unfit = tuple(name for name in done if records[name]["decibels"] < FLOOR)
    states = {name: load_file(folder / f"{name}.safetensors") for name in done if name not in unfit}
    # Families that are not done yet stand where the seed put them.
    kept = held_out((*unfit, *(name for name in done if records[name]["smooth_auc"] > SMOOTHEST)))
    about: dict[str, Any] = {
        "about": "decoders that leave an up-sampling trace, trained on photos with L1 and L1 of differences",
        "licence": "Apache-2.0 for what is ours; trained on photos under the terms named in `data`",
        "data": {"photos": photos.photos, "split": plan.train_split, "sources": photos.sources},
        "check": {"photos": len(photos.checks), "split": photos.check_split, "side": plan.check_side},
        "recipe": settings_to(plan),
        "recipe_sha256": digest_without_kind(recipe),
        "floor_decibels": FLOOR,
        "smooth_auc_of_photos": round(smooth_auc(photos.checks, photos.checks), 3),
        "smooth_auc_most_held_out": SMOOTHEST,
        "held_out": list(kept),
        "held_out_first_choice": list(held_out()),
        "torch": torch.__version__,
    }
    families = {
        name: {
            **{key: value for key, value in records[name].items() if key != "family"},
            "held_out": name in kept,
            "fit": name not in unfit,
        }
        for name in done
    }
    return pack(folder, states, families, about)


def fit_all(
    families: Sequence[str],
    plan: FitPlan,
    photos: Photos,
    folder: Path,
    recipe: Path,
    *,
    minutes_each: float | None = None,
    halt: Callable[[Fit], bool] = _never,
) -> bool:
    """Train these families one after the other, packed whenever one is done; False when `halt` ended it before."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, family in enumerate(families, 1):
        was_done = (folder / f"{family}.json").is_file()
        fitted = fit_family(family, plan, photos, folder, minutes_each, halt)
        if fitted is None:
            return False
        log.info(
            "%d/%d %s: %.2f dB, %d steps, %.0f s", place, len(families), family, fitted.decibels, fitted.steps,
            fitted.seconds,
        )  # fmt: skip
        if not was_done or place == len(families):
            pack_folder(folder, recipe, plan, photos)
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """As the families are trained: on one thread, where the same steps give the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # Numbers too small to matter slow a processor down; put back afterwards, for others rely on their last digits.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m fauxlens.forge.create.fit_imprint", description=main.__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--manifest", type=Path, required=True, help="photos, with splits")
    parser.add_argument("--output", type=Path, required=True, help=f"a folder; gets {WEIGHTS} and {CARD}")
    parser.add_argument("--families", default="", help="some of them, with commas; the others are left as they are")
    parser.add_argument(
        "--minutes-each", type=float, default=None, help="plan as many steps as fit, as this machine is now"
    )
    parser.add_argument("--steps", type=int, default=None, help="this many steps a family instead of the recipe's")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    plan = read_plan(given.recipe)
    if given.steps is not None:
        plan = FitPlan(**{**settings_to(plan), "steps": given.steps, "token_steps": given.steps})
    wanted = tuple(name.strip() for name in given.families.split(",") if name.strip())
    families = order_of(plan, wanted)
    with one_thread():
        photos = photos_of(read_manifest(given.manifest), plan)
        log.info("%d photos, %d tiles, %d to check with", photos.photos, len(photos.tiles), len(photos.checks))
        fit_all(families, plan, photos, given.output, given.recipe, minutes_each=given.minutes_each)
    return 0


def _planned(family: str, plan: FitPlan, photos: Photos, minutes: float) -> int:
    """As many steps as fit into the minutes, from the time of a few on a network that is then thrown away."""
    trial = Fit(family, plan)
    for _ in trial.advance(photos.tiles, 3):
        pass
    before = trial.seconds
    for _ in trial.advance(photos.tiles, 3 + _TRIED):
        pass
    a_step = (trial.seconds - before) / _TRIED
    return max(1, min(plan.steps_of(family), int(minutes * _MORE[TRAINED[family].factor] * 60.0 / a_step)))


def _same_plan(written: str, plan: FitPlan, path: Path) -> None:
    if written != plan.digest:
        raise BadSetting("trained by another plan", where=path, hint="give its recipe, or another folder to begin anew")


def _forget(folder: Path, family: str, step: int) -> None:
    # Steps after the checkpoint are made again; their lines must not stand twice.
    path = folder / LOG
    if path.is_file():
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not _is_later(line, family, step)]
        write_text(path, "".join(f"{line}\n" for line in kept))


def _is_later(line: str, family: str, step: int) -> bool:
    try:
        told = json.loads(line)
    except json.JSONDecodeError:
        return True  # a line that a kill cut off
    return told["family"] == family and "done" not in told and told["step"] > step


def _note(folder: Path, line: dict[str, Any]) -> None:
    with (folder / LOG).open("a", encoding="utf-8") as stream:
        stream.write(to_json_line(line))


if __name__ == "__main__":
    raise SystemExit(main())
