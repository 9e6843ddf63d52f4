"""A recipe of training: every choice that decides what comes out, in one TOML file with `kind = "train"`.

What only decides how fast it comes out (workers, how often something is written) is in the table `running`; it may
differ from one piece of a run to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from fauxlens.core.errors import BadSetting
from fauxlens.core.files import to_json_line
from fauxlens.core.names import nearest, unknown
from fauxlens.core.recipes import recipe_names, recipe_path
from fauxlens.core.settings import read_toml, settings_from, settings_to
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.load import load
from fauxlens.detectors.table import detector_class
from fauxlens.metrics.image import METRICS
from fauxlens.train.augment import read_augment
from fauxlens.train.objectives import Objective, read_objective
from fauxlens.train.order import SamplingPlan
from fauxlens.train.schedule import Schedule

KIND = "train"

NEEDED = "needed"
"""As `start`: the recipe makes no sense without weights of an earlier run, which the caller has to name."""

OF_MASKS = ("macro_f1", "macro_iou", "pooled_auc", "false_alarm_area")
"""What validation tells of masks, where there are any."""

IDENTIFIED = "identified"
"""The share of fakes whose class was named, which validation tells where the network tells classes."""

Tables = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Showing:
    """How a row becomes a tensor; see `fauxlens.train.data.Samples`."""

    show: str = "detector"  # the detector's own preparation, or a name of `data.SHOWINGS`
    masks: bool = False
    target: str | None = None  # the column whose value is the class
    classes: tuple[str, ...] = ()
    seed_by: str | None = None
    copies: int = 1


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How weights move. `rate` is the peak that the schedule's shares are of."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    rate: float = 1e-4
    momentum: float = 0.9  # of sgd
    betas: tuple[float, float] = (0.9, 0.999)  # of adam and adamw
    epsilon: float = 1e-8  # of adam and adamw
    weight_decay: float = 0.0
    decay_vectors: bool = True  # False: biases and norms, all that has one dimension, do not decay

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise BadSetting(
                "the optimiser's numbers are out of range", got=(self.rate, self.weight_decay, self.momentum)
            )


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """Parameters that do not learn, by patterns of their names such as `encoder.*`.

    `evaluate` puts the modules that hold them in evaluation (no dropout, stored batch statistics); with
    `batch_statistics` their batch norms stay in training all the same, so their stored statistics drift.
    """

    names: tuple[str, ...]
    until_epoch: int | None = None  # from this epoch on they learn; None: never
    evaluate: bool = False
    batch_statistics: bool = False


@dataclass(frozen=True, kw_only=True)
class Validation:
    """When the detector is asked about pictures it did not learn from, and which number picks the best weights."""

    split: str = "val"
    every: int = 1  # epochs; the last epoch is always validated
    first: int = 1  # no validation before this epoch, counted from 1
    metrics: tuple[str, ...] = ("accuracy", "AUC")
    best: str = "AUC"  # "": it picks nothing, the last weights alone are kept; "macro_f1" is of masks
    limit: int | None = None  # at most so many pictures, evenly from the split

    def __post_init__(self) -> None:
        for name in self.metrics:
            if name not in METRICS:
                raise unknown(name, METRICS, "metric")
        if self.every < 1:
            raise BadSetting("validation is every so many epochs", wanted="at least 1", got=self.every)


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Mixup and CutMix: how sharply pictures of a batch are mixed with each other; 0 is never. Labels are mixed too."""

    mixup: float = 0.0  # both ends of the beta distribution that the share is drawn from
    cutmix: float = 0.0
    cut: float = 0.5  # how often it is CutMix, where both are above 0

    def __post_init__(self) -> None:
        if self.mixup < 0 or self.cutmix < 0 or not 0 <= self.cut <= 1:
            raise BadSetting("mixing is out of range", got=(self.mixup, self.cutmix, self.cut))


@dataclass(frozen=True, kw_only=True)
class Running:
    """What decides how fast a run is and what it tells, never what it makes."""

    workers: int = 2  # processes that decode, for each process that trains
    cache: Path | None = None  # a folder for decoded pictures
    save_minutes: float = 15.0
    log_every: int = 10  # steps
    micro_batch: int | None = None  # pictures in memory at once in each process; None: all of its share
    channels_last: bool = False
    tensorboard: bool = False  # logs for TensorBoard beside the journal; needs the package tensorboard
    page: bool = True  # whether curves are drawn; many short runs have no use for them

    def __post_init__(self) -> None:
        if self.workers < 0 or self.log_every < 1 or self.save_minutes < 0:
            raise BadSetting("running is out of range", got=(self.workers, self.log_every, self.save_minutes))
        if self.micro_batch is not None and self.micro_batch < 1:
            raise BadSetting("a micro-batch is out of range", wanted="at least 1", got=self.micro_batch)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training, from the first picture to the last step."""

    name: str
    kind: Literal["train"] = "train"
    about: str = ""
    detector: str
    setting: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = "random"  # random, the name of a set of weights, a file, or needed
    manifest: Path | None = None
    seed: int = 42
    epochs: int
    batch: int  # of all processes together
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    clip: float | None = None  # the longest that the gradient of all weights may be
    average: float | None = None  # decay of the running mean of the weights, which is then what is validated and kept
    sync_batch_norm: bool = False  # between graphics cards
    sampling: SamplingPlan = field(default_factory=SamplingPlan)
    data: Showing = field(default_factory=Showing)
    ramp: float = 0.0  # of the epochs, so many pass until the steps of `augment` happen as often as they say
    augment: Tables = ()
    augment_real: Tables = ()
    augment_fake: Tables = ()
    augment_copy: Tables = ()
    mixing: Mixing = field(default_factory=Mixing)
    objective: Mapping[str, Any]
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    freeze: tuple[Freeze, ...] = ()
    validate: Validation | None = None
    running: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} is out of range", wanted="at least 1", got=getattr(self, name))
        if self.average is not None and not 0 < self.average < 1:
            raise BadSetting("the decay of an average", wanted="between 0 and 1", got=self.average)
        if self.clip is not None and self.clip <= 0:
            raise BadSetting("clipping at", wanted="above 0", got=self.clip)
        if not 0 <= self.ramp <= 1:
            raise BadSetting("the ramp of the augmentation", wanted="0 to 1", got=self.ramp)
        kind = detector_class(self.detector)
        if self.setting is not None and self.setting not in kind.settings:
            raise unknown(self.setting, kind.settings, f"setting of {self.detector}")
        # Whatever can be wrong in a table is told before a picture is read.
        for table in ("augment", "augment_real", "augment_fake", "augment_copy"):
            read_augment(list(getattr(self, table)), where=f"{self.name}: {table}")
        _check_fits(self, read_objective(self.objective, where=f"{self.name}: objective"), kind)
        if self.mixing.mixup > 0 or self.mixing.cutmix > 0:
            self._check_mixing()
        if self.validate is not None and self.validate.best:
            self._check_best(self.validate, kind)
        if self.schedule.shape == "plateau" and (self.validate is None or not self.validate.best):
            raise BadSetting("a rate that waits for validation needs one", hint="add a table [validate] with `best`")

    def _check_mixing(self) -> None:
        if self.data.masks or self.data.copies > 1:
            raise BadSetting(
                "mixing is for verdicts on one copy of each picture", where=f"{self.name}: mixing",
                wanted="masks = false and copies = 1 in [data]",
                got=f"masks = {str(self.data.masks).lower()}, copies = {self.data.copies}",
                hint="take the table [mixing] out, or change [data]",
            )  # fmt: skip

    def _check_best(self, plan: Validation, kind: type[Detector]) -> None:
        """Else a training would learn for an epoch before it says that nothing can pick its weights."""
        tasks = kind.card.tasks
        there_are = [*plan.metrics] if "detect" in tasks else []
        if self.data.masks and "localise" in tasks:
            there_are += OF_MASKS
        if self.data.target is not None and self.data.classes and "identify" in tasks:
            there_are.append(IDENTIFIED)
        if plan.best in there_are:
            return
        if plan.best in METRICS and "detect" in tasks:
            step = f"add '{plan.best}' to `metrics` in [validate]"
        elif plan.best in OF_MASKS and "localise" in tasks:
            step = f"'{plan.best}' is of masks: set `masks = true` in [data]"
        else:
            step = f'{nearest(plan.best, there_are)}take one of them, or best = "" to keep the last weights alone'
        raise BadSetting(
            "`best` is no number that is validated", where=f"{self.name}: validate",
            wanted=", ".join(there_are) or f'"" (nothing is validated of {self.detector} with this [data])',
            got=plan.best, hint=step,
        )  # fmt: skip

    def strength(self, epoch: int) -> float:
        """How much of the augmentation there is in an epoch, counted from 0."""
        return 1.0 if self.ramp == 0 else min(1.0, epoch / (self.ramp * self.epochs))

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what comes out: all but `running`, the texts, and where the data lie."""
        decisive = {
            name: value
            for name, value in settings_to(self).items()
            if name not in ("running", "about", "manifest", "name")
        }
        return hashlib.sha256(to_json_line(decisive).encode()).hexdigest()

    def differences(self, before: Mapping[str, Any]) -> list[str]:
        """Which decisive settings differ from those of an earlier run, in words: `optimiser.rate: 0.001 -> 0.002`."""
        now = settings_to(self)
        names = [one.name for one in fields(self) if one.name not in ("running", "about", "manifest", "name")]
        return [told for name in names for told in _different(name, before.get(name), now.get(name))]

    def build(self) -> Detector:
        """The detector that training starts from."""
        if self.start == NEEDED:
            raise BadSetting(
                f"the recipe {self.name} goes on from trained weights",
                wanted="start: the file of an earlier training",
                hint="fauxlens train ... --start FOLDER/weights.safetensors",
            )
        weights = None if self.start == "registered" else self.start
        return load(self.detector, weights, setting=self.setting, seed=self.seed, options=dict(self.options))


def _check_fits(recipe: Recipe, objective: Objective, kind: type[Detector]) -> None:
    """That the detector tells what the objective looks at, and the data show it, as far as both say without a picture.

    Parts that the objective asks of a network are looked for when it is built.
    """
    where = f"{recipe.name}: objective"
    named = recipe.objective["name"]
    missing = [one for one in objective.tasks if one not in kind.card.tasks]
    if missing:
        raise BadSetting(
            f"'{named}' does not fit {recipe.detector}", where=where,
            wanted=f"a detector with the tasks {', '.join(objective.tasks)}", got=", ".join(kind.card.tasks),
            hint="take an objective that fits the detector, or another detector",
        )  # fmt: skip
    if "localise" in objective.tasks and not recipe.data.masks:
        raise BadSetting(
            f"'{named}' learns from masks", where=where, wanted="masks = true", got="masks = false",
            hint="set `masks = true` in [data]",
        )  # fmt: skip
    if recipe.data.copies < objective.least_copies:
        raise BadSetting(
            f"'{named}' compares copies of a picture", where=where, wanted=f"copies = {objective.least_copies} or more",
            got=recipe.data.copies, hint="set `copies` in [data], and say in [[augment_copy]] how they differ",
        )  # fmt: skip


def read_recipe(name: str | Path) -> Recipe:
    """The recipe of that name, or the TOML file at that path."""
    path = recipe_path(str(name), "kind" if str(name) in train_recipes() else "")
    given = read_toml(path)
    if given.get("kind") != KIND:
        raise BadSetting(
            "this recipe is not one of training a detector",
            where=path,
            wanted=f'kind = "{KIND}"',
            got=given.get("kind"),
            hint=f"there are: {', '.join(detector_recipes())}",
        )
    if given.get("manifest") is not None:
        given["manifest"] = str(path.parent / str(given["manifest"]))
    return settings_from(Recipe, given, where=str(path))


def _different(name: str, before: Any, now: Any) -> list[str]:
    """The values that differ, each by its full name; of a table or a list only what is not the same in both."""
    if before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            told for key in dict.fromkeys([*before, *now])
            for told in _different(f"{name}.{key}", before.get(key), now.get(key))
        ]  # fmt: skip
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        tables = all(isinstance(one, Mapping) for one in (*before, *now))
        if tables and len(before) == len(now):
            pairs = enumerate(zip(before, now, strict=True), start=1)
            return [told for number, pair in pairs for told in _different(f"{name} {number}", *pair)]
        gone, come = [one for one in before if one not in now], [one for one in now if one not in before]
        if tables and (gone or come):
            before, now = gone or "nothing", come or "nothing"
    return [f"{name}: {'not set' if before is None else before} -> {'not set' if now is None else now}"]


def train_recipes() -> tuple[str, ...]:
    """The recipes of training that come with the package: of detectors, and of the forge's learned parts."""
    return recipe_names("kind")


def detector_recipes() -> tuple[str, ...]:
    """Those among them that train a detector."""
    return tuple(name for name in train_recipes() if read_toml(recipe_path(name, "kind")).get("kind") == KIND)


def with_changes(
    recipe: Recipe,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    start: str | None = None,
    running: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe with a few choices made anew, as the command line allows."""
    changed: dict[str, Any] = {"epochs": epochs, "batch": batch, "seed": seed, "start": start}
    changed = {name: value for name, value in changed.items() if value is not None}
    if seed is not None:
        changed["sampling"] = replace(recipe.sampling, seed=seed)
    if running:
        changed["running"] = replace(
            recipe.running, **{name: value for name, value in running.items() if value is not None}
        )
    return replace(recipe, **changed)
