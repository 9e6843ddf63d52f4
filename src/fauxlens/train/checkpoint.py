"""Where a training stands, in one file: written whole or not at all, read without running code.

It holds all that the next step depends on: weights, their average, optimiser, scaler, plateau, the position in the
order of samples, the random state of every process; and what run it belongs to: recipe and manifest by their digests.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights, OtherPlan, WorkError
from fauxlens.core.files import atomic_path, sha256_of, write_json
from fauxlens.core.version import __version__
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.table import detector_class
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.recipe import Recipe

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
BEST = "best.safetensors"
CARD = "card.json"
VERSION = 1

_DECIDES = ("id", "path", "label", "mask_path", "split", "origin", "generator", "method", "mask_type", "content")


@dataclass(slots=True)
class Position:
    """How far a run is. `step` counts optimiser steps from the beginning, `step_in_epoch` those of the epoch."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    samples: int = 0
    skipped: int = 0  # pictures that could not be read, each once
    seconds: float = 0.0
    micro_batch: int | None = None  # what memory allowed
    best: float | None = None
    validated: dict[str, float] = field(default_factory=dict)  # the last validation


def manifest_digest(manifest: Manifest) -> str:
    """One digest for all that decides what is learnt from a manifest: which rows, in which order, what they are."""
    digest = hashlib.sha256()
    for name in _DECIDES:
        column = manifest.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        digest.update(f"{name}\n".encode())
        for batch in range(0, len(column), 65536):
            values = column.slice(batch, 65536).to_pylist()
            text = "\n".join("\0" if one is None else str(one) for one in values)
            digest.update(f"{text}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def random_states(device: torch.device) -> dict[str, Any]:
    """Where chance stands in this process: torch's on processor and card, numpy's, Python's."""
    numpy_state = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "pos": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
    }


def set_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Put chance back to where `random_states` found it."""
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    told = states["numpy"]
    key = told["key"].numpy().astype(np.uint32)
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": told["pos"]},
            "has_gauss": told["has_gauss"],
            "gauss": told["gauss"],
        }
    )


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint. When that fails, the one that was there before is as it was, and the error says so."""
    try:
        with atomic_path(path) as temporary:
            torch.save({"version": VERSION, **content}, temporary)
    except (OSError, RuntimeError) as fault:
        kept = f"the one before ({path.name}) is as it was" if path.exists() else "there was none before"
        raise WorkError(
            f"the checkpoint could not be written; {kept}", where=path, got=str(fault).splitlines()[0],
            hint="make room on the disk; the same command goes on from the checkpoint",
        ) from fault  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint; a damaged one is refused."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        version = found["version"]
    except Exception as bad:  # unpickling fails in many ways
        raise BadWeights(
            "not a checkpoint of a training", where=path, got=(str(bad).splitlines() or [type(bad).__name__])[0],
            hint="delete it to begin again, or put back a copy of it",
        ) from bad  # fmt: skip
    if version > VERSION:
        raise BadWeights("written by a newer fauxlens", where=path, wanted=f"version {VERSION}", got=version)
    return dict(found)


def check_same(
    found: Mapping[str, Any],
    path: Path,
    recipe: Recipe,
    manifest: Manifest,
    digest: str,
    *,
    other_recipe: bool,
    other_data: bool,
) -> list[str]:
    """Refuse to go on with another recipe or manifest unless told to; gives remarks on what was allowed."""
    remarks = []
    if found["recipe_digest"] != recipe.digest:
        changed = recipe.differences(found["recipe"]) or ["the form of recipes"]
        told = "; ".join(changed)
        if not other_recipe:
            raise OtherPlan(
                "this run was begun with another recipe", where=path, got=told,
                hint="train into another folder, or allow it with --other-recipe",
            )  # fmt: skip
        remarks.append(f"goes on with another recipe: {told}")
    if found["manifest_digest"] != digest:
        if not other_data:
            raise OtherPlan(
                "this run was begun with another manifest", where=path,
                wanted=_called(found["manifest"], found.get("manifest_rows"), found["manifest_digest"]),
                got=_called(manifest.name, len(manifest), digest),
                hint="train into another folder, or allow it with --other-data",
            )  # fmt: skip
        remarks.append("goes on with another manifest")
    return remarks


def check_network(found: Mapping[str, Any], path: Path, recipe: Recipe, network: nn.Module) -> None:
    """Refuse weights of another detector, another setting of it or other shapes: nothing could go on with them."""
    hint = "train into another folder, with --start FILE to begin with weights that fit"
    before = _named(found["recipe"]["detector"], found["recipe"].get("setting"))
    now = _named(recipe.detector, recipe.setting)
    if before != now:
        raise OtherPlan(
            "the run was begun with another detector, which --other-recipe cannot change", where=path, wanted=before,
            got=now, hint=hint,
        )  # fmt: skip
    there = {name: tuple(tensor.shape) for name, tensor in found["network"].items()}
    here = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    other = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if other:
        raise OtherPlan(
            f"the run was begun with another network: {len(other):,} of its tensors are others", where=path,
            wanted=_tensor(other[0], there), got=_tensor(other[0], here), hint=hint,
        )  # fmt: skip


def other_optimiser(found: Mapping[str, Any], recipe: Recipe, optimiser: torch.optim.Optimizer) -> str | None:
    """Why an optimiser cannot take over what the one before had gathered, in words; None where it can."""
    before, now = found["recipe"]["optimiser"]["name"], recipe.optimiser.name
    if before != now:
        return f"it was {before}, and is {now}"
    groups, gathered = found["optimiser"]["param_groups"], found["optimiser"]["state"]
    sizes = [len(group["params"]) for group in groups]
    wanted = [len(group["params"]) for group in optimiser.param_groups]
    if sizes != wanted:
        return f"its parameters were grouped {sizes}, and are {wanted}"
    numbers = [number for group in groups for number in group["params"]]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=True):
        for kept in gathered.get(number, {}).values():
            if isinstance(kept, Tensor) and kept.dim() and kept.shape != parameter.shape:
                return "its parameters were others"
    return None


def _called(name: str, rows: int | None, digest: str) -> str:
    """A manifest in an error; checkpoints of older versions do not say how many rows theirs had."""
    return f"{name}: {'' if rows is None else f'{rows:,} rows, '}{digest[:12]}"


def restore_chance(states: Sequence[Mapping[str, Any]], rank: int, world: int, device: torch.device) -> list[str]:
    """Put this process's chance back; with another number of processes it cannot be, and the remark says so."""
    if rank < len(states):
        set_random_states(states[rank], device)
    if world == len(states):
        return []
    return [f"goes on with {world} instead of {len(states)} processes: dropout draws anew, the samples are the same"]


def write_weights(path: Path, state: Mapping[str, Tensor]) -> str:
    """Tensors as safetensors, the same bytes for the same numbers; gives the digest.

    When that fails, the file that was there before is as it was, and the error says so.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with atomic_path(path) as temporary:
            # One entry of metadata, and a fixed one: two would be written in any order, and change the digest.
            save_file(
                {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()},
                temporary,
                {"format": "pt"},
            )
    except (OSError, SafetensorError) as fault:  # what the library cannot write is an error of its own kind
        kept = f"those before ({path.name}) are as they were" if path.exists() else "there were none before"
        raise WorkError(
            f"the weights could not be written; {kept}", where=path, got=fault,
            hint="make room on the disk; the same command goes on from the checkpoint",
        ) from fault  # fmt: skip
    return sha256_of(path)


def release(
    folder: Path,
    detector: Detector,
    recipe: Recipe,
    *,
    manifest: Manifest,
    digest: str,
    position: Position,
    state: Mapping[str, Tensor],
) -> Path:
    """What others load: `weights.safetensors`, and a card that says how they came about; gives the weights' path."""
    path = folder / WEIGHTS
    sha256 = write_weights(path, state)
    best = folder / BEST
    card = {
        "detector": detector.card.name,
        "setting": detector.setting,
        "title": detector.card.title,
        "file": path.name,
        "sha256": sha256,
        "best_file": best.name if best.is_file() else None,
        "best_sha256": sha256_of(best) if best.is_file() else None,
        "parameters": sum(parameter.numel() for parameter in detector.network.parameters()),
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "settings": _plain_settings(recipe),
        "manifest": manifest.name,
        "manifest_digest": digest,
        "licences": sorted({value or "unknown" for (value,) in manifest.count("licence")}),
        "epochs": position.epoch,
        "steps": position.step,
        "samples": position.samples,
        "skipped": position.skipped,
        "seconds": round(position.seconds, 1),
        "averaged": recipe.average is not None,
        "validation": position.validated,
        "best": position.best,
        "date": datetime.now(UTC).date().isoformat(),
        "written_by": f"fauxlens {__version__}, torch {torch.__version__}",
    }
    try:
        write_json(folder / CARD, card)
    except OSError as fault:
        raise WorkError(
            f"the card could not be written; the weights ({path.name}) are whole", where=folder / CARD, got=fault,
            hint="make room on the disk; the same command writes both again",
        ) from fault  # fmt: skip
    return path


def _named(detector: str, setting: str | None) -> str:
    return f"{detector} ({setting or detector_class(detector).settings[0]})"


def _tensor(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"{name} {list(shapes[name])}" if name in shapes else f"no {name}"


def _plain_settings(recipe: Recipe) -> dict[str, Any]:
    from fauxlens.core.settings import settings_to

    return {name: value for name, value in settings_to(recipe).items() if name not in ("running", "manifest")}
