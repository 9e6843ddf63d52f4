"""A manifest through a detector, once: resumable, any sizes, pictures decoded ahead of the network."""

from __future__ import annotations

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fauxlens.core.errors import BadSetting, FauxlensError, OutOfMemory, UnreadableImage
from fauxlens.core.progress import Progress, silent
from fauxlens.core.version import __version__
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.load import load
from fauxlens.detectors.prediction import Prediction
from fauxlens.evaluate.predictions import OK, Predictions, manifest_digest, predictions_of, write_mask
from fauxlens.images.limits import DEFAULT_LIMITS
from fauxlens.images.picture import Picture, read_picture
from fauxlens.manifest.manifest import Manifest
from fauxlens.work import Item, results, run, write_plan

TASK = "fauxlens.evaluate.predict:build_predict"
TASK_VERSION = "1"
CHUNK = 32
"""Pictures in one unit of work: what a kill can cost, and what may share batches."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which detector, with which weights, asked how."""

    detector: str
    weights: str | None = None  # as `load` takes it: None, the name of a set, "random", or a path
    setting: str | None = None
    options: Mapping[str, Any] | None = None
    device: str = "cpu"
    seed: int = 0  # of random weights

    def load(self) -> Detector:
        """The detector, ready."""
        return load(
            self.detector, self.weights, setting=self.setting, device=self.device, seed=self.seed, options=self.options
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        options = {
            name: value if isinstance(value, int | None) else str(value) for name, value in (self.options or {}).items()
        }
        return {
            "detector": self.detector,
            "weights": self.weights,
            "setting": self.setting,
            "options": options,
            "device": self.device,
            "seed": self.seed,
        }


def predict(
    manifest: Manifest,
    asked: Asked,
    output: Path,
    *,
    masks: bool = True,
    mask_bits: int = 8,
    batch_size: int | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Predictions:
    """Ask the detector about every usable picture; writes `output` (.parquet), `*.masks/` and `*.work/` beside it.

    With one worker this process does the work, with all its threads; with more, each is a process with one thread.
    The same call goes on after any kind of end.
    """
    output = Path(output)
    if output.suffix != ".parquet":
        raise BadSetting("predictions are saved as .parquet", where=output, got=output.suffix or "no suffix")
    if mask_bits not in (8, 16):
        raise BadSetting("bits of a mask", wanted="8 or 16", got=mask_bits)
    manifest.require_files()
    usable = manifest.usable()
    told = _facts(asked.load(), asked)
    settings = {
        "asked": {**asked.as_json(), "sha256": told["weights_sha256"]},
        "root": usable.root.resolve().as_posix(),
        "masks": f"{output.stem}.masks" if masks else None,
        "mask_bits": mask_bits,
        "folder": output.parent.resolve().as_posix(),
        "batch_size": batch_size,
    }
    work = output.with_name(f"{output.stem}.work")
    write_plan(work, task=TASK, task_version=TASK_VERSION, settings=settings, items=_items(usable))
    total = len(usable)
    run(
        work,
        workers=0 if workers == 1 else workers,
        progress=lambda done, _, __: progress(min(total, done * CHUNK), total, f"asking {asked.detector}"),
    )
    rows: list[Mapping[str, Any]] = []
    for item, outcome in zip(_items(usable), results(work), strict=True):
        if outcome.result is not None:
            rows += outcome.result["rows"]
        else:
            why = "unknown" if outcome.error is None else f"{outcome.error.kind}: {outcome.error.message}"
            rows += [{**row, "status": why} for row in item.payload["rows"]]
    facts = {**told, "manifest": usable.name, "manifest_sha256": manifest_digest(usable), "rows": total}
    found = predictions_of(rows, output.parent, facts)
    found.save(output)
    return found


def build_predict(settings: Mapping[str, Any]) -> Callable[[Item, int], dict[str, Any]]:
    """The work engine's factory: a function that asks about one chunk of pictures."""
    given = dict(settings["asked"])
    wanted = given.pop("sha256")
    detector = Asked(**given).load()
    if detector.weights.sha256 != wanted:
        raise BadSetting(
            "the weights were replaced while a run was going on",
            where=detector.card.name, wanted=wanted, got=detector.weights.sha256, hint="predict into another file",
        )  # fmt: skip
    if multiprocessing.parent_process() is not None:
        # Several processes share the processors; threads of each would only stand in each other's way.
        torch.set_num_threads(1)
    root, folder = Path(settings["root"]), Path(settings["folder"])
    masks, bits, batch_size = settings["masks"], settings["mask_bits"], settings["batch_size"]
    group = batch_size or (8 if detector.device.type == "cpu" else CHUNK)

    def one(item: Item, _: int) -> dict[str, Any]:
        rows = list(answers(detector, item.payload["rows"], root, group=group, batch_size=batch_size))
        done = []
        for row in rows:
            mask = row.pop("mask")
            if masks is not None and mask is not None:
                row["mask_path"] = f"{masks}/{row['id'][:2]}/{row['id']}.png"
                write_mask(folder / row["mask_path"], mask, bits=bits)
            done.append(row)
        return {"rows": done}

    return one


def answers(
    detector: Detector, rows: Sequence[Mapping[str, str]], root: Path, *, group: int = 8, batch_size: int | None = None
) -> Iterator[dict[str, Any]]:
    """What a detector that is at hand says of rows (`id`, `path`), as rows of predictions with their `mask`, in order.

    Every row gets an answer: one that cannot be read or is refused has a `status` that says why.
    """
    for part, pictures in _ahead(rows, root, group):
        yield from _asked_about(detector, part, pictures, batch_size)


def _items(manifest: Manifest) -> Iterator[Item]:
    chunk: list[dict[str, str]] = []
    ids, paths = manifest.column("id").to_pylist(), manifest.column("path").to_pylist()
    for one, path in zip(ids, paths, strict=True):
        chunk.append({"id": one, "path": path})
        if len(chunk) == CHUNK:
            yield Item(chunk[0]["id"], {"rows": chunk})
            chunk = []
    if chunk:
        yield Item(chunk[0]["id"], {"rows": chunk})


def _ahead(
    rows: Sequence[Mapping[str, str]], root: Path, group: int
) -> Iterator[tuple[list[Mapping[str, str]], list[Picture | UnreadableImage]]]:
    """Rows in groups with their pictures, the next group being decoded while this one is asked about."""
    groups = [list(rows[at : at + group]) for at in range(0, len(rows), group)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[list[Future[Picture | UnreadableImage]]] = deque()
        for number, part in enumerate(groups):
            for later in groups[number + len(waiting) : number + 2]:
                waiting.append([pool.submit(_read, root / row["path"]) for row in later])
            yield part, [one.result() for one in waiting.popleft()]


def _read(path: Path) -> Picture | UnreadableImage:
    try:
        return read_picture(path, limits=DEFAULT_LIMITS)
    except UnreadableImage as bad:
        return bad


def _asked_about(
    detector: Detector,
    rows: Sequence[Mapping[str, str]],
    pictures: Sequence[Picture | UnreadableImage],
    batch_size: int | None,
) -> list[dict[str, Any]]:
    good = [number for number, one in enumerate(pictures) if isinstance(one, Picture)]
    told: dict[int, Prediction | FauxlensError] = {}
    try:
        said = detector.predict([pictures[number] for number in good], batch_size=batch_size)  # type: ignore[misc]
        told = dict(zip(good, said, strict=True))
    except FauxlensError:
        # One of them is at fault: each alone, so that the others have their answer.
        for number in good:
            try:
                told[number] = detector.predict([pictures[number]], batch_size=batch_size)[0]  # type: ignore[list-item]
            except FauxlensError as bad:
                told[number] = bad
    return [_row(row, told.get(number, pictures[number])) for number, row in enumerate(rows)]


def _row(row: Mapping[str, str], said: Prediction | Picture | FauxlensError) -> dict[str, Any]:
    if isinstance(said, UnreadableImage):
        return {**row, "status": f"unreadable: {said.reason}", "mask": None}
    if isinstance(said, FauxlensError):
        kind = "out-of-memory" if isinstance(said, OutOfMemory) else "refused"
        return {**row, "status": f"{kind}: {said.message}", "mask": None}
    assert isinstance(said, Prediction)
    if said.logit is not None and not math.isfinite(said.logit):
        return {**row, "status": f"not-a-number: {said.logit}", "mask": None}
    return {
        **row,
        "logit": said.logit,
        "probability": said.probability,
        "generators": None if said.generators is None else dict(said.generators),
        "seconds": round(said.seconds, 6),
        "notes": "; ".join(said.notes) or None,
        "status": OK,
        "mask": said.mask,
    }


def _facts(detector: Detector, asked: Asked) -> dict[str, Any]:
    return {
        **asked.as_json(),
        "setting": detector.setting,
        "weights": detector.weights.name,
        "weights_sha256": detector.weights.sha256,
        "random": detector.weights.is_random,
        "title": detector.card.title,
        "version": __version__,
        "torch": torch.__version__,
    }
