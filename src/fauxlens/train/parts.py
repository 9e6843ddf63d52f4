"""The learned parts of the forge, trained by the same verb as a detector: `imprint` and `learned`.

    fauxlens train imprint --manifest m.parquet -o run
    fauxlens train learned --manifest m.parquet -o run --minutes 20

What they learn, their checkpoints and their logs are the forge's (`forge.create.fit_imprint`, `fit_learned`). Here is
what every training does: one at a time in a folder, pieces of so many minutes or steps, SIGTERM, and a refusal to go on
with another recipe or manifest. They learn in one process, on a processor.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.errors import BadSetting, Interrupted, OtherPlan
from fauxlens.core.files import to_json_line
from fauxlens.core.progress import Progress, silent
from fauxlens.core.recipes import recipe_path
from fauxlens.core.settings import read_toml, settings_to
from fauxlens.forge.create import fit_imprint, fit_learned, imprint_weights
from fauxlens.forge.create.families import TRAINED
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.alone import alone_in
from fauxlens.train.checkpoint import CHECKPOINT, Position, manifest_digest
from fauxlens.train.journal import JOURNAL
from fauxlens.train.loop import Trained
from fauxlens.train.standing import STANDING, Standing, Watch, read_standing
from fauxlens.work.stop import Stop, listening


@dataclass(frozen=True, slots=True)
class TrainedPart(Trained):
    """How a call ended; `told` is how far, in words."""

    told: str
    kept: tuple[Path, Path]  # the two files that matter most now

    @property
    def sentence(self) -> str:
        """In one sentence."""
        state = "trained" if self.finished else "not finished yet; the same command goes on:"
        at = self.position
        return f"{state} {self.told}{at.step:,} steps, {at.samples:,} crops; loss {self.loss:.4g}"

    @property
    def written(self) -> tuple[Path, Path]:
        """The two files that matter most now."""
        return self.kept


def part_of(name: str | Path) -> str | None:
    """Which part of the forge a recipe trains; None where it trains a detector, or nothing."""
    kind = read_toml(recipe_path(str(name), "kind")).get("kind")
    return kind if kind in PARTS else None


def train_part(
    name: str | Path,
    *,
    folder: Path,
    manifest: Manifest | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = True,
    other_data: bool = False,
    seed: int | None = None,
    batch: int | None = None,
    progress: Progress = silent,
) -> TrainedPart:
    """Train a part until its recipe's end, or for so many `minutes` or `steps`; the same call goes on from there.

    `seed` and `batch` stand in place of the recipe's.
    """
    kind, folder = part_of(name), Path(folder)
    if kind is None:
        raise BadSetting("this recipe trains no part of the forge", where=name, wanted=f"kind: {', '.join(PARTS)}")
    if manifest is None:
        raise BadSetting("there is nothing to train on", where=name, wanted="a manifest", hint="--manifest FILE")
    changed = {key: value for key, value in (("seed", seed), ("batch", batch)) if value is not None}
    run = PARTS[kind].begun(recipe_path(str(name), "kind"), changed)
    with listening() as stop, alone_in(folder, (STANDING, *run.writes)):
        standing, remarks = _begun(folder, kind, Path(name).stem, run, manifest, resume=resume, other_data=other_data)
        watch = _Pieces(Watch(folder, standing), stop, minutes, steps, progress)
        weights, card = run.go(folder, manifest, watch)
        watch.end(finished=weights is not None)
    at = watch.watch.standing
    position = Position(step=at.done, samples=at.samples, seconds=run.seconds(folder), validated=dict(at.validated))
    loss = math.nan if at.loss is None else at.loss
    kept = (weights or run.checkpoint(folder), card)
    done = TrainedPart(folder, weights is not None, position, loss, weights, tuple(remarks), at.told, kept)
    if stop.asked and weights is None:
        raise Interrupted(
            f"stopped at step {position.step:,}", where=folder, hint="the same command goes on from there"
        )
    return done


class Imprint:
    """All families of `imprint`, one after the other."""

    about = "30 small auto-encoders whose traces the forge's `imprint` leaves"

    def __init__(self, path: Path, plan: fit_imprint.FitPlan) -> None:
        self.path, self.plan = path, plan
        self.of: str | None = ""  # the family that `found` was read for
        self.found: dict[str, tuple[int, float]] = {}

    @classmethod
    def begun(cls, path: Path, changed: Mapping[str, Any]) -> Imprint:
        """By a recipe, with a few choices made anew."""
        return cls(path, replace(fit_imprint.read_plan(path), **changed))

    @property
    def digest(self) -> str:
        """SHA-256 over all settings."""
        return self.plan.digest

    @property
    def steps(self) -> int:
        """Steps of all families together."""
        return sum(map(self.plan.steps_of, TRAINED))

    @property
    def writes(self) -> list[str]:
        """The files that its checkpoints are in."""
        return [f"{family}.part" for family in TRAINED]

    def go(self, folder: Path, manifest: Manifest, watch: _Pieces) -> tuple[Path | None, Path]:
        """Train until the end or until `watch` says so; gives the weights, None before the end, and the card."""
        plan = self.plan
        card = folder / imprint_weights.CARD
        with fit_imprint.one_thread():
            photos = fit_imprint.photos_of(manifest, plan)
            families = fit_imprint.order_of(plan)

            def halt(fit: fit_imprint.Fit) -> bool:
                return watch.is_over(**self._standing(folder, fit))

            finished = fit_imprint.fit_all(families, plan, photos, folder, self.path, halt=halt)
        if finished:
            records = self._records(folder)
            decibels = [float(one["decibels"]) for one in records.values()]
            watch.tell(**self._standing(folder, None), validated={
                "families": float(len(records)), "decibels": round(float(np.mean(decibels)), 3),
                "lowest decibels": min(decibels),
            })  # fmt: skip
        return (folder / imprint_weights.WEIGHTS if finished else None), card

    def checkpoint(self, folder: Path) -> Path:
        """Where the next call goes on."""
        return next(iter(sorted(folder.glob("*-*.part"))), folder)

    def seconds(self, folder: Path) -> float:
        """How long all steps so far took, but for those of a family on its way."""
        return sum(float(one["seconds"]) for one in self._records(folder).values())

    def _records(self, folder: Path) -> dict[str, dict[str, Any]]:
        """What is known of the families that are done."""
        done = [name for name in TRAINED if (folder / f"{name}.json").is_file()]
        return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in done}

    def _standing(self, folder: Path, fit: fit_imprint.Fit | None) -> dict[str, Any]:
        plan, records = self.plan, self._known(folder, fit)
        before = sum(steps for steps, _ in records.values())
        rest = sum(plan.steps_of(name) for name in TRAINED if name not in records)
        # A family may have been planned in minutes, by the other way to train.
        total = before + rest + (0 if fit is None else fit.steps - plan.steps_of(fit.family))
        done = before + (0 if fit is None else fit.step)
        # On the way the last step's; at the end the mean over what every family's last step said.
        loss = float(np.mean([one for _, one in records.values()])) if fit is None else fit.loss
        told = f"{len(records):,} of {len(TRAINED):,} families, "
        return {
            "done": done,
            "total": total,
            "samples": done * plan.batch,
            "loss": loss if math.isfinite(loss) else None,
            "told": told,
        }

    def _known(self, folder: Path, fit: fit_imprint.Fit | None) -> dict[str, tuple[int, float]]:
        """Steps and loss of the families that are done; read again only when another family has begun."""
        family = None if fit is None else fit.family
        if self.of != family:
            self.of = family
            self.found = {name: (int(one["steps"]), float(one["loss"])) for name, one in self._records(folder).items()}
        return self.found


class Learned:
    """The small inpainter `learned`."""

    about = "the small inpainter that the forge's `learned` fills holes with"

    def __init__(self, recipe: fit_learned.LearnedRecipe) -> None:
        self.recipe = recipe

    @classmethod
    def begun(cls, path: Path, changed: Mapping[str, Any]) -> Learned:
        """By a recipe, with a few choices made anew."""
        return cls(replace(fit_learned.read_learned_recipe(path), **changed))

    @property
    def digest(self) -> str:
        """SHA-256 over all settings."""
        return hashlib.sha256(to_json_line(settings_to(self.recipe)).encode()).hexdigest()

    @property
    def steps(self) -> int:
        """Steps of the recipe."""
        return self.recipe.steps

    @property
    def writes(self) -> list[str]:
        """The file that its checkpoints are in."""
        return [fit_learned.STATE]

    def go(self, folder: Path, manifest: Manifest, watch: _Pieces) -> tuple[Path | None, Path]:
        """Train until the end or until `watch` says so; gives the weights, None before the end, and the card."""
        recipe = self.recipe
        photos = fit_learned.load_photos(manifest, recipe.split, recipe.shorter_side)
        # Loaded now, so that a split without photos is told before the first step and not after the last.
        held_out = fit_learned.load_held_out(manifest, recipe)

        def halt(training: fit_learned.Training) -> bool:
            return watch.is_over(**self._standing(training))

        training = fit_learned.fit(recipe, photos, folder, halt=halt)
        measured: dict[str, float] = {}
        finished = training.step >= recipe.steps
        if finished:
            told = fit_learned.finish(training, manifest, photos, held_out, folder)
            measured = {name: float(value) for name, value in told["learned"].items()}
        watch.tell(**self._standing(training), validated=measured)
        return (folder / fit_learned.WEIGHTS if finished else None), folder / fit_learned.CARD

    def checkpoint(self, folder: Path) -> Path:
        """Where the next call goes on."""
        return folder / fit_learned.STATE

    def seconds(self, folder: Path) -> float:
        """How long all steps so far took."""
        return fit_learned.seconds_in(folder)

    def _standing(self, training: fit_learned.Training) -> dict[str, Any]:
        done = training.step
        found: dict[str, Any] = {"done": done, "samples": done * self.recipe.batch}
        if training.losses:  # none was made yet in this call
            found["loss"] = training.losses["hole"]
        return found


PARTS: dict[str, type[Imprint] | type[Learned]] = {"imprint": Imprint, "learned": Learned}
"""By the `kind` of their recipes."""


class _Pieces:
    """Tells of every step, and says when a piece of the run is over."""

    def __init__(
        self, watch: Watch, stop: Stop, minutes: float | None, steps: int | None, progress: Progress
    ) -> None:  # fmt: skip
        self.watch, self.stop, self.minutes, self.steps, self.progress = watch, stop, minutes, steps, progress
        self.begun: float | None = None
        self.first, self.shown = 0, -1

    def is_over(self, **changed: Any) -> bool:
        """Asked before every step. A call makes at least one, so that many short ones come to an end too."""
        self.tell(**changed)
        done, now = self.watch.standing.done, time.monotonic()
        if self.begun is None:
            self.begun, self.first = now, done
        if self.stop.asked:
            return True
        made = done - self.first
        is_late = self.minutes is not None and made > 0 and now - self.begun >= 60 * self.minutes
        return is_late or (self.steps is not None and made >= self.steps)

    def tell(self, **changed: Any) -> None:
        """Take note of where the run is."""
        self.watch.tell(**changed)
        at = self.watch.standing
        if at.done != self.shown:
            self.shown = at.done
            self.progress(at.done, at.total, f"training {at.recipe}")

    def end(self, *, finished: bool) -> None:
        """The call ends."""
        self.watch.tell(finished=finished)
        self.watch.write()


def _begun(
    folder: Path, kind: str, name: str, run: Imprint | Learned, manifest: Manifest, *, resume: bool, other_data: bool
) -> tuple[Standing, list[str]]:
    """Where the run in the folder stands, or a new one; what it may not go on with is refused."""
    digest, before = manifest_digest(manifest), read_standing(folder)
    if (folder / CHECKPOINT).is_file() or (before is not None and before.kind != kind):
        raise OtherPlan("the folder holds a training of another kind", where=folder, hint="take another folder")
    if not resume and (before is not None or (folder / JOURNAL).is_file()):
        raise BadSetting("the folder holds a training already", where=folder, hint="resume it, or take another folder")
    fresh = Standing(
        kind=kind, recipe=name, digest=run.digest, manifest=manifest.name, manifest_digest=digest, total=run.steps
    )
    if before is None:
        return fresh, []
    if before.digest != run.digest:
        raise OtherPlan(
            "this run was begun with another recipe", where=folder, wanted=before.digest[:12], got=run.digest[:12],
            hint="train into another folder; a part of the forge is trained by one recipe",
        )  # fmt: skip
    remarks = [f"goes on at step {before.done:,}"]
    if before.manifest_digest != digest:
        if not other_data:
            raise OtherPlan(
                "this run was begun with another manifest", where=folder, wanted=before.manifest_digest[:12],
                got=digest[:12], hint="train into another folder, or allow it with --other-data",
            )  # fmt: skip
        remarks.append("goes on with another manifest")
    kept = replace(fresh, total=before.total, done=before.done, samples=before.samples, told=before.told)
    return replace(kept, loss=before.loss, rate=before.rate), remarks
