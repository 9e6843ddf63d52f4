"""The loop. Plain torch, top to bottom: what is needed, where it goes on, the steps, the end of an epoch, the end.

    fauxlens train nfa-vit-published --manifest m.parquet -o run
    torchrun --nproc-per-node 4 -m fauxlens train nfa-vit-published --manifest m.parquet -o run --device cuda

In the folder: `checkpoint.pt` (where it stands), `log.jsonl`, `training.html` (curves), `validation/` (what was said of
each picture), `best.safetensors`, and at the end `weights.safetensors` with its `card.json`.

The samples of a step are the same whatever the number of processes or workers, and a run in pieces, whether it was
asked to stop or killed, is the run in one piece. On a processor, with one process, that is so to the last bit.
"""

from __future__ import annotations

import errno
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fauxlens.core.errors import BadSetting, FauxlensError, Interrupted, OtherPlan, OutOfMemory, WorkError
from fauxlens.core.files import write_json
from fauxlens.core.progress import Progress, silent
from fauxlens.core.seeds import seed_for
from fauxlens.core.settings import settings_to
from fauxlens.detectors.detector import Detector, is_out_of_memory
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.train import checkpoint as checkpoints
from fauxlens.train.alone import alone_in
from fauxlens.train.augment import read_augment
from fauxlens.train.board import Board
from fauxlens.train.checkpoint import BEST, CHECKPOINT, Position, manifest_digest
from fauxlens.train.data import Batch, Samples, loader
from fauxlens.train.gradient_cache import cached_backward
from fauxlens.train.journal import END, NOT_A_NUMBER, Journal, read_journal, unreadable_in
from fauxlens.train.mix import mixed
from fauxlens.train.objectives import Losses, Teaching, read_objective
from fauxlens.train.order import Rows, candidates, epoch_order
from fauxlens.train.page import PAGE, write_page
from fauxlens.train.ranks import Ranks, joined
from fauxlens.train.recipe import Recipe
from fauxlens.train.schedule import Plateau
from fauxlens.train.standing import STANDING
from fauxlens.train.validate import pictures_of, score_of, validate
from fauxlens.train.weights import Average, Frozen, Swapped, optimiser_for
from fauxlens.work.stop import Stop, listening

_PAGE_SECONDS = 60.0
_PAGE_SHARE = 0.02  # of the time, at most, is spent on drawing: a journal of days takes longer than one of minutes

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # no system without quotas has the last

_PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Trained:
    """How a call ended: at the end of the recipe, or where its time or steps were up."""

    folder: Path
    finished: bool
    position: Position
    loss: float  # the last step's
    weights: Path | None  # what was released, when finished
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """In one sentence."""
        at = self.position
        state = "trained" if self.finished else "not finished yet; the same command goes on:"
        skipped = f", {at.skipped:,} picture{'s'[at.skipped == 1 :]} could not be read" if at.skipped else ""
        return f"{state} {at.epoch:,} epochs, {at.step:,} steps, {at.samples:,} pictures{skipped}; loss {self.loss:.4g}"

    @property
    def written(self) -> tuple[Path, Path]:
        """The two files that matter most now."""
        return self.weights or self.folder / CHECKPOINT, self.folder / PAGE


def train(
    recipe: Recipe,
    *,
    folder: Path,
    manifest: Manifest | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = True,
    device: str = "cpu",
    other_recipe: bool = False,
    other_data: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train until the recipe's end, or for so many `minutes` or `steps`; the same call goes on from the checkpoint.

    Without `resume` a folder that holds a checkpoint is refused. `other_recipe` and `other_data` allow to go on with
    what was begun with another recipe or manifest.
    """
    folder = Path(folder)
    with (
        _room_for(folder),
        joined(device) as ranks,
        listening() as stop,
        alone_in(folder, (CHECKPOINT,), first=ranks.first),
        warnings.catch_warnings(),
    ):
        # Convolutions leave their gradients in the order of their maps; DDP copies them, and says so every time.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
        run = _Run(recipe, folder, _manifest(recipe, manifest), ranks)
        run.begin(resume=resume, other_recipe=other_recipe, other_data=other_data)
        try:
            return run.go(stop, minutes=minutes, steps=steps, progress=progress)
        except RuntimeError as fault:
            if "DataLoader worker" not in str(fault):
                raise
            raise WorkError(
                "a process that decodes pictures died", where=folder, got=str(fault).splitlines()[0],
                hint="it may have been memory: take fewer --workers; the same command goes on from the checkpoint",
            ) from fault  # fmt: skip
        finally:
            run.journal.close()


class _Run:
    """All that a training holds. `begin` puts it where it stands; `go` is the loop."""

    def __init__(self, recipe: Recipe, folder: Path, manifest: Manifest, ranks: Ranks) -> None:
        self.recipe, self.folder, self.manifest, self.ranks = recipe, folder, manifest, ranks
        if recipe.batch % ranks.world:
            raise BadSetting(
                "the batch cannot be shared evenly", wanted=f"a multiple of {ranks.world} processes", got=recipe.batch
            )
        if (folder / STANDING).is_file():
            raise OtherPlan("the folder holds a training of another kind", where=folder, hint="take another folder")
        board = Board(folder) if recipe.running.tensorboard and ranks.first else None
        self.digest = manifest_digest(manifest)
        self.remarks: list[str] = []
        self.unreadable: set[str] = set()  # ids: a picture is tried anew in every epoch, and is one all the same
        # The same weights in every process; another stream of chance (dropout) in each.
        goes_on = (folder / CHECKPOINT).is_file()  # then what it began with is not asked for again
        self.detector: Detector = (replace(recipe, start="random") if goes_on else recipe).build().to(ranks.device)
        self.network: nn.Module = self.detector.network
        if recipe.running.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.sync_batch_norm and ranks.world > 1 and ranks.device.type == "cuda":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call]
            self.detector.network = self.network
        torch.manual_seed(seed_for("train", attempt=recipe.seed, method=str(ranks.rank)))
        self.objective = read_objective(recipe.objective)
        self.teaching = Teaching(self.network, self.objective)
        self.frozen = Frozen(self.teaching, recipe.freeze)
        self.optimiser = optimiser_for(self.network, self.frozen.learns, recipe.optimiser)
        self.precision = self._precision()
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=self.precision == torch.float16)
        self.average = None if recipe.average is None else Average(self.network, recipe.average)
        self.plateau = Plateau()
        self.position = Position(micro_batch=recipe.running.micro_batch)
        self.samples = self._samples()
        self.checks = None if recipe.validate is None else pictures_of(manifest, recipe.validate)
        self.journal = Journal(folder, writes=ranks.first, board=board)
        self.ordered: tuple[int, Rows] | None = None
        self.loss, self.draws_at, self.undrawn = math.nan, -math.inf, False
        self.shared: nn.Module | None = None

    # Where it goes on.

    def begin(self, *, resume: bool, other_recipe: bool, other_data: bool) -> None:
        """Make the folder, or take up what is in it."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            self._order(0)  # before anything is written: with too few rows nothing begins
            self.journal.rewind(-1)
            begun = {
                "recipe": self.recipe.name,
                "digest": self.recipe.digest,
                "manifest": self.manifest.name,
                "manifest_digest": self.digest,
                "processes": self.ranks.world,
                "device": str(self.ranks.device),
            }
            self.journal.note("begin", 0, begun)
        elif not resume:
            raise BadSetting(
                "the folder holds a training already", where=path, hint="resume it, or take another folder"
            )
        else:
            found = checkpoints.read(path)
            said = checkpoints.check_same(
                found, path, self.recipe, self.manifest, self.digest, other_recipe=other_recipe, other_data=other_data
            )
            said += self._restore(found, path)
            said += checkpoints.restore_chance(found["chance"], self.ranks.rank, self.ranks.world, self.ranks.device)
            self.journal.rewind(self.position.step)
            # What was made since the checkpoint will be made again, and so will what was found on the way.
            self.unreadable = self.ranks.from_first(unreadable_in(read_journal(self.folder)))
            self.position.skipped = len(self.unreadable)
            self.remarks += [f"goes on at step {self.position.step:,}", *said]
        for remark in self.remarks:
            self.journal.note("remark", self.position.step, {"text": remark})

    # The loop.

    def go(self, stop: Stop, *, minutes: float | None, steps: int | None, progress: Progress) -> Trained:
        """Epoch after epoch, step after step."""
        recipe, at = self.recipe, self.position
        begun = saved = time.perf_counter()
        seconds_before, last_step = at.seconds, None if steps is None else at.step + steps
        while at.epoch < recipe.epochs and not self._is_over():
            order = self._order(at.epoch)
            steps_in_epoch = len(order) // recipe.batch
            teaching = self._wrapped()
            self.frozen.train(at.epoch)
            self.samples.soften(recipe.strength(at.epoch))
            feed = loader(
                self.samples,
                order,
                batch=recipe.batch,
                workers=recipe.running.workers,
                rank=self.ranks.rank,
                world=self.ranks.world,
                seed=recipe.seed,
                epoch=at.epoch,
                start=at.step_in_epoch,
                pin=self.ranks.device.type == "cuda",
            )
            with closing(feed):
                clock = _Clock()
                for batch in clock.waiting(_first_without_chance(feed)):
                    self._set_rate(at.epoch + at.step_in_epoch / steps_in_epoch)
                    losses, norm = self._step(teaching, batch)
                    at.step, at.step_in_epoch = at.step + 1, at.step_in_epoch + 1
                    at.samples, at.skipped = at.samples + recipe.batch, len(self.unreadable)
                    self.loss = losses.total
                    clock.done(recipe.batch)
                    is_noted = at.step % recipe.running.log_every == 0 or at.step_in_epoch == steps_in_epoch
                    if is_noted:
                        self._note_steps(losses, norm, clock, steps_in_epoch)
                    if self.ranks.first:
                        done = (at.epoch * steps_in_epoch + at.step_in_epoch) * recipe.batch
                        progress(done, recipe.epochs * steps_in_epoch * recipe.batch, f"training {recipe.name}")
                    now = time.perf_counter()
                    at.seconds = seconds_before + now - begun
                    stopped, enough, is_due = self._agreed(
                        stop.asked,
                        at.step == last_step or (minutes is not None and now - begun >= 60 * minutes),
                        now - saved >= 60 * recipe.running.save_minutes,
                    )
                    if stopped or enough:
                        if not is_noted:  # a piece shorter than `log_every` has a line too, and a curve
                            self._note_steps(losses, norm, clock, steps_in_epoch)
                        return self._stopped(stopped)
                    if is_due:
                        self._save()
                        saved = time.perf_counter()
                    if self.undrawn:
                        self._draw_page(f"Step {at.step:,}: loss {self.loss:.4g}", again=False)
            self._end_of_epoch()
        return self._finished()

    def _step(self, teaching: nn.Module, batch: Batch) -> tuple[_Told, float]:
        """One step of the optimiser: gradients of the global batch, looked at, clipped, applied."""
        recipe, skipped = self.recipe, batch.skipped
        chance = seed_for("mix", attempt=recipe.seed, image_id=str(self.position.step), method=str(self.ranks.rank))
        batch = mixed(batch, recipe.mixing, chance).to(self.ranks.device)
        if recipe.running.channels_last:
            batch = replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
        losses = self._gradients(teaching, batch)
        self.scaler.unscale_(self.optimiser)
        moving = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(moving, math.inf if recipe.clip is None else recipe.clip))
        on = self.ranks.device if self.ranks.world > 1 else None
        told = torch.tensor([float(losses.total), float(len(skipped))], dtype=torch.float64, device=on)
        loss, skips = self.ranks.sum(told).tolist()
        if skips:
            self._note_skipped(skipped)
        # The scaler passes over steps whose gradients overflow, and lowers its factor; a loss that is no number is
        # something else, and so is such a gradient without a scaler.
        if not math.isfinite(loss) or not (math.isfinite(norm) or self.scaler.is_enabled()):
            self._stop_at_no_number(batch, losses, norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network)
        parts = {name: float(value) for name, value in losses.parts.items()}
        return _Told(loss / self.ranks.world, parts), norm

    def _gradients(self, teaching: nn.Module, batch: Batch) -> Losses:
        """Gradients of a batch, in as many parts as memory asks for; when it ends, in twice as many."""
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            size = min(self.position.micro_batch or len(batch), len(batch))
            try:
                return self._gradients_in_parts(teaching, batch, size)
            except RuntimeError as fault:  # torch's own error for this is one of these
                if not is_out_of_memory(fault):
                    raise
                if self.ranks.world > 1 or size == 1:
                    # The other processes are waiting in the middle of a step; there is no way back for one alone.
                    raise OutOfMemory(
                        f"{recipe_text(self.recipe)} ran out of memory with {size} pictures at once",
                        hint=f"--micro-batch {max(1, size // 2)}, or bfloat16, or smaller pictures",
                    ) from fault
            self.position.micro_batch = (size + 1) // 2
            if self.ranks.device.type == "cuda":
                torch.cuda.empty_cache()
            self._remark(f"out of memory with {size} pictures at once: goes on with {self.position.micro_batch}")

    def _gradients_in_parts(self, teaching: nn.Module, batch: Batch, size: int) -> Losses:
        unsynced: Any = teaching.no_sync if isinstance(teaching, DistributedDataParallel) else nullcontext
        if size < len(batch) and self.objective.whole_batch:
            return cached_backward(
                teaching, batch, self.objective, size=size, scale=self.scaler.scale, autocast=self._autocast,
                unsynced=unsynced,
            )  # fmt: skip
        parts = batch.split(size)
        total, told = torch.zeros((), device=self.ranks.device), dict[str, Tensor]()
        for number, part in enumerate(parts):
            with nullcontext() if number == len(parts) - 1 else unsynced():
                with self._autocast():
                    losses: Losses = self.objective(teaching(part.image), part)
                share = len(part) / len(batch)
                self.scaler.scale(losses.total * share).backward()  # type: ignore[no-untyped-call]
            total = total + losses.total.detach() * share
            for name, value in losses.parts.items():
                told[name] = told.get(name, torch.zeros_like(value)) + value * share
        return Losses(total, told)

    # The end of an epoch, and of the run.

    def _end_of_epoch(self) -> None:
        at, plan = self.position, self.recipe.validate
        at.epoch, at.step_in_epoch = at.epoch + 1, 0
        is_due = plan is not None and at.epoch >= plan.first and (at.epoch % plan.every == 0 or self._is_over())
        if plan is None or self.checks is None or not is_due:
            return
        name = Path("validation") / f"epoch-{at.epoch:04d}.parquet"
        with Swapped(self.network, self.average):
            # Statistics that a process gathered by itself are those of the first one from here on.
            self.ranks.share_first(self.network.buffers())
            facts = {"detector": self.detector.card.name, "recipe": self.recipe.name, "epoch": at.epoch}
            found = validate(
                self.detector, self.checks, plan, self.recipe.data, self.ranks, facts=facts, save=self.folder / name,
                remark=self._remark,
            )  # fmt: skip
            score = score_of(found, plan.best) if plan.best else math.nan
            is_best = math.isfinite(score) and (at.best is None or score > at.best)
            if is_best and self._keep_best():
                at.best = score
            elif is_best:  # the best is what lies in the file: the next that beats it is tried again
                is_best = False
        at.validated = found
        if self.recipe.schedule.shape == "plateau":
            self.plateau.tell(score, self.recipe.schedule)
        self.journal.note(
            "validation", at.step, {"epoch": at.epoch, **found, "predictions": name.as_posix(), "best": is_best}
        )

    def _keep_best(self) -> bool:
        """Write the weights of now as the best; whether it went well. A full disk is no reason to end."""
        failed: WorkError | None = None
        if self.ranks.first:
            try:
                checkpoints.write_weights(self.folder / BEST, self.network.state_dict())
            except WorkError as fault:
                failed = fault
        failed = self.ranks.from_first(failed)
        if failed is not None:
            self._remark(failed.message)
        return failed is None

    def _is_over(self) -> bool:
        """Whether training ends: all epochs are done, or the rate of a plateau has fallen far enough."""
        plan = self.recipe.schedule
        rate = self.recipe.optimiser.rate * plan.factor**self.plateau.stalls
        return self.position.epoch >= self.recipe.epochs or (plan.shape == "plateau" and rate < plan.stop_below)

    def _stopped(self, was_told: bool) -> Trained:
        self._save(must=True)
        if was_told:
            self._draw_page(f"Stopped at step {self.position.step:,}: loss {self.loss:.4g}", again=True)
            raise Interrupted(
                f"stopped at step {self.position.step:,}", where=self.folder,
                hint="the same command goes on from there",
            )  # fmt: skip
        return self._trained(finished=False, weights=None)

    def _finished(self) -> Trained:
        self._save(must=True)
        weights: Path | None = None
        failed: WorkError | None = None
        if self.ranks.first:
            try:
                with Swapped(self.network, self.average):
                    weights = checkpoints.release(
                        self.folder, self.detector, self.recipe, manifest=self.manifest, digest=self.digest,
                        position=self.position, state=self.network.state_dict(),
                    )  # fmt: skip
            except WorkError as fault:
                failed = fault
        failed = self.ranks.from_first(failed)
        if failed is not None:
            raise failed
        self.journal.note(END, self.position.step, {"epoch": self.position.epoch})
        return self._trained(finished=True, weights=weights)

    def _trained(self, *, finished: bool, weights: Path | None) -> Trained:
        found = Trained(self.folder, finished, replace(self.position), self.loss, weights, ())
        self._draw_page(found.sentence, again=True)
        return replace(found, remarks=(*self.remarks, *self.journal.faults))

    # Checkpoints.

    def _save(self, *, must: bool = False) -> None:
        """Write where the run stands. A full disk is no reason to lose what is in memory: unless `must`, go on."""
        chance = self.ranks.gather(checkpoints.random_states(self.ranks.device))
        failed: WorkError | None = None
        if self.ranks.first:
            content = {
                "recipe": settings_to(self.recipe),
                "recipe_digest": self.recipe.digest,
                "manifest": self.manifest.name,
                "manifest_rows": len(self.manifest),
                "manifest_digest": self.digest,
                "position": asdict(self.position),
                "plateau": asdict(self.plateau),
                "chance": chance,
                "network": self.network.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "loss": self.loss,
            }
            try:
                checkpoints.save(self.folder / CHECKPOINT, content)
            except WorkError as fault:
                failed = fault
        failed = self.ranks.from_first(failed)
        if failed is None:
            return
        if must:
            raise failed
        self._remark(failed.message)

    def _draw_page(self, sentence: str, *, again: bool) -> None:
        """Draw the curves, not more often than somebody looks. A page that cannot be written ends no training."""
        begun = time.monotonic()
        if self.ranks.first and self.recipe.running.page and (again or begun >= self.draws_at):
            try:
                write_page(self.folder, self.recipe, sentence=sentence)
            except OSError as fault:
                text = f"{self.folder / PAGE}: the page could not be drawn anew ({fault.strerror})"
                if text not in self.remarks:  # once is enough: it is tried every minute
                    self._remark(text)
            now = time.monotonic()
            self.draws_at, self.undrawn = max(begun + _PAGE_SECONDS, now + (now - begun) / _PAGE_SHARE), False

    def _restore(self, found: dict[str, Any], path: Path) -> list[str]:
        """Put everything where the checkpoint says; gives remarks on what another recipe leaves no place for."""
        remarks = []
        checkpoints.check_network(found, path, self.recipe, self.network)
        self.network.load_state_dict(found["network"])
        differs = checkpoints.other_optimiser(found, self.recipe, self.optimiser)
        if differs is None:
            chosen = [{name: value for name, value in group.items() if name != "params"}
                      for group in self.optimiser.param_groups]  # fmt: skip
            self.optimiser.load_state_dict(found["optimiser"])
            for group, values in zip(self.optimiser.param_groups, chosen, strict=True):
                group.update(values)  # the recipe's, should it be another one now
        else:
            remarks.append(f"the optimiser begins anew, without what it had gathered: {differs}")
        if found["scaler"]:  # empty where it was not needed, as without float16
            self.scaler.load_state_dict(found["scaler"])
        if self.average is not None and found["average"] is not None:
            self.average.load_state_dict(found["average"])
        elif self.recipe.average is not None:
            self.average = Average(self.network, self.recipe.average)
            remarks.append("the average begins with the weights that the checkpoint holds")
        self.position = Position(**found["position"])
        self.plateau = Plateau(**found["plateau"])
        self.loss = float(found["loss"])
        micro = self.recipe.running.micro_batch
        if micro is not None and (self.position.micro_batch is None or micro < self.position.micro_batch):
            self.position.micro_batch = micro
        return remarks

    # The rest.

    def _samples(self) -> Samples:
        recipe, data = self.recipe, self.recipe.data
        first = {
            name: read_augment(list(tables), where=f"augment_{name}")
            for name, tables in (("real", recipe.augment_real), ("fake", recipe.augment_fake))
            if tables
        }
        return Samples(
            self.manifest,
            self.detector if data.show == "detector" else data.show,
            read_augment(list(recipe.augment)) if recipe.augment else None,
            first=first,
            copies=data.copies,
            copy_augment=read_augment(list(recipe.augment_copy)) if recipe.augment_copy else None,
            masks=data.masks,
            target=data.target,
            classes=data.classes,
            seed_by=data.seed_by,
            rows=candidates(self.manifest, recipe.sampling),
            cache=recipe.running.cache,
        )

    def _order(self, epoch: int) -> Rows:
        """The rows of an epoch, a batch of them at least."""
        if self.ordered is None or self.ordered[0] != epoch:
            self.ordered = epoch, epoch_order(self.manifest, self.recipe.sampling, epoch=epoch)
        order = self.ordered[1]
        if len(order) < self.recipe.batch:
            raise BadSetting(
                "an epoch is shorter than one batch", where=f"manifest {self.manifest.name}",
                wanted=f"at least {self.recipe.batch:,} rows", got=f"{len(order):,}",
                hint=f"take a smaller batch, --batch {max(1, len(order))}, or more pictures",
            )  # fmt: skip
        return order

    def _wrapped(self) -> nn.Module:
        """The network as it is taught in this epoch; between processes, what averages their gradients."""
        changed = self.frozen.apply(self.position.epoch)
        if self.ranks.world == 1:
            return self.teaching
        if changed or self.shared is None:
            self.shared = None  # its hooks go before others come
            on_card = [self.ranks.device] if self.ranks.device.type == "cuda" else None
            # Some parameters take no part in some batches (no fake in it, an unused head).
            self.shared = DistributedDataParallel(self.teaching, device_ids=on_card, find_unused_parameters=True)
        return self.shared

    def _precision(self) -> torch.dtype | None:
        wanted = _PRECISIONS.get(self.recipe.precision)
        if wanted == torch.float16 and self.ranks.device.type == "cpu":
            self._remark("float16 is no help on a processor: computes in float32")
            return None
        return wanted

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.ranks.device.type, self.precision, enabled=self.precision is not None)

    def _set_rate(self, epoch: float) -> None:
        plan, peak = self.recipe.schedule, self.recipe.optimiser.rate
        for group in self.optimiser.param_groups:
            group["lr"] = peak * plan.share(epoch, self.recipe.epochs, self.plateau.stalls)

    def _agreed(self, *asked: bool) -> tuple[bool, ...]:
        """What any process asks for, all do, in the same step."""
        if self.ranks.world == 1:
            return asked
        flags = torch.tensor([float(one) for one in asked], device=self.ranks.device)
        return tuple(value > 0 for value in self.ranks.sum(flags).tolist())

    def _note_steps(self, losses: _Told, norm: float, clock: _Clock, steps_in_epoch: int) -> None:
        how_far = {"samples": self.position.samples, "of": self.recipe.epochs * steps_in_epoch}
        self.journal.note("steps", self.position.step, self._facts(losses, norm, clock.read()) | how_far)
        self.undrawn = True

    def _facts(self, losses: _Told, norm: float, speed: dict[str, float]) -> dict[str, Any]:
        rate = max(group["lr"] for group in self.optimiser.param_groups)
        parts = {f"loss {name}": value for name, value in losses.parts.items()}
        return {"epoch": self.position.epoch, "loss": losses.total, **parts, "rate": rate, "norm": norm, **speed}

    def _remark(self, *texts: str) -> None:
        for text in texts:
            self.remarks.append(text)
            if hasattr(self, "journal"):
                self.journal.note("remark", self.position.step, {"text": text})

    def _note_skipped(self, skipped: tuple[tuple[str, str], ...]) -> None:
        for part in self.ranks.gather(skipped):
            for name, why in part:
                self.unreadable.add(name)
                self.journal.note("skipped", self.position.step, {"id": name, "why": why})

    def _stop_at_no_number(self, batch: Batch, losses: Losses, norm: float) -> None:
        """Say which pictures it happened with; the weights are still those of the step before."""
        mine = {
            "rank": self.ranks.rank,
            "ids": list(batch.ids),
            "loss": float(losses.total),
            "parts": {name: float(value) for name, value in losses.parts.items()},
        }
        several = self.ranks.gather(mine)
        path = self.folder / NOT_A_NUMBER
        if self.ranks.first:
            at = self.position
            write_json(path, {"step": at.step, "epoch": at.epoch, "gradient_norm": norm, "batches": several})
        raise WorkError(
            "the loss is not a number, or its gradient is not",
            where=f"{self.recipe.name}, step {self.position.step:,}",
            got=f"loss {float(losses.total)}, norm of the gradient {norm}",
            hint=f"the pictures are named in {path.name}; try a lower rate, clipping, or float32",
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """A step's losses as plain numbers: the mean over all processes, and this one's parts."""

    total: float
    parts: dict[str, float]


class _Clock:
    """How many pictures a second, and which share of the time was spent waiting for them."""

    def __init__(self) -> None:
        self.begun, self.waited, self.pictures = time.perf_counter(), 0.0, 0

    def waiting(self, feed: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, with the time spent on each wait."""
        while True:
            begun = time.perf_counter()
            batch = next(feed, None)
            self.waited += time.perf_counter() - begun
            if batch is None:
                return
            yield batch

    def done(self, pictures: int) -> None:
        """Take note of a step."""
        self.pictures += pictures

    def read(self) -> dict[str, float]:
        """Both numbers since the last reading."""
        spent = max(time.perf_counter() - self.begun, 1e-9)
        found = {"images_per_second": round(self.pictures / spent, 3), "waited": round(self.waited / spent, 4)}
        self.begun, self.waited, self.pictures = time.perf_counter(), 0.0, 0
        return found


@contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    """A full disk that nothing else has told of (no lock, no journal to go on with) is told with its place."""
    try:
        yield
    except OSError as fault:
        if isinstance(fault, FauxlensError) or fault.errno not in _FULL:
            raise
        raise WorkError(
            "there is no room for what a training writes", where=fault.filename or folder, got=fault.strerror,
            hint="make room on the disk; the same command goes on from the checkpoint",
        ) from fault  # fmt: skip


def _first_without_chance(feed: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches. A loader that starts draws a number from torch's chance, which a run in one piece would not."""
    with torch.random.fork_rng(devices=[]):
        first = next(feed, None)
    if first is not None:
        yield first
        yield from feed


def _manifest(recipe: Recipe, given: Manifest | None) -> Manifest:
    if given is not None:
        return given
    if recipe.manifest is None:
        raise BadSetting("there is nothing to train on", where=recipe.name, wanted="a manifest", hint="--manifest FILE")
    return read_manifest(recipe.manifest)


def recipe_text(recipe: Recipe) -> str:
    """A recipe in an error."""
    return f"recipe {recipe.name}"
