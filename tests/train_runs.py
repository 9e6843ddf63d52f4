"""Small trainings for the tests, and the commands that a test starts in processes of its own.

python train_runs.py killed FOLDER SAVES       trains with one worker and kills itself after so many checkpoints
python train_runs.py stopped FOLDER SAVES      the same, but it and its workers are asked to stop
python train_runs.py limited FOLDER BYTES      trains where no file may be longer, then where they may
python train_runs.py filled FOLDER             trains in FOLDER/small, a small file system: before it is full, and while
python train_runs.py together FOLDER           one of the processes of a training (RANK and WORLD_SIZE say which)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from fauxlens.core.errors import FauxlensError
from fauxlens.core.files import sha256_of
from fauxlens.core.settings import settings_from
from fauxlens.manifest.manifest import Manifest
from fauxlens.train import loop
from fauxlens.train.loop import _Run, train
from fauxlens.train.ranks import joined
from fauxlens.train.recipe import Recipe
from fauxlens.train.validate import pictures_of, validate
from train_sets import train_set

HERE = Path(__file__).resolve().parent
SIDE = 64


def small_set(root: Path, count: int = 8, held_back: int = 2) -> Manifest:
    """Drawn pictures; those of the last origins are in `val`."""
    found = train_set(root / "set", count, height=SIDE + 6, width=SIDE + 16)
    last = {f"{kind}{number}" for kind in ("photo", "made") for number in range(count - held_back, count)}
    splits = ["val" if origin in last else "train" for origin in found.column("origin").to_pylist()]
    return found.with_columns("splits", {"split": splits})


def small_recipe(**changed: Any) -> Recipe:
    """NFA-ViT nano on drawn pictures, whose verdict and mask are learnt; it has dropped paths, so chance matters."""
    given: dict[str, Any] = {
        "name": "small",
        "kind": "train",
        "detector": "nfa-vit",
        "setting": "nano",
        "epochs": 2,
        "batch": 4,
        "sampling": {"draw": "one-to-one"},
        "data": {"masks": True, "show": "imagenet"},
        "augment": [{"step": "imdl-benco"}, {"step": "resize", "side": SIDE, "kind": "bilinear"}],
        "objective": {"name": "detect-localise"},
        "optimiser": {"rate": 1e-3, "weight_decay": 0.05, "decay_vectors": False},
        "schedule": {"shape": "cosine", "rise": 0.5},
        "running": {"workers": 0, "log_every": 1},
    }
    return settings_from(Recipe, {**given, **changed})


def verdict_recipe(**changed: Any) -> Recipe:
    """NPR on drawn pictures: batch norms, no masks."""
    plain = {
        "detector": "npr",
        "setting": None,
        "data": {"show": "imagenet"},
        "augment": [{"step": "crop", "side": SIDE}],
        "objective": {"name": "detect"},
        "optimiser": {"name": "sgd", "rate": 0.01},
        "schedule": {},
    }
    return small_recipe(**{**plain, **changed})


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """What a finished training gave."""
    from safetensors.torch import load_file

    return load_file(folder / "weights.safetensors")


def started(*words: str, **environment: str) -> subprocess.Popen[str]:
    """One of this file's commands in a process of its own."""
    paths = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    return subprocess.Popen(
        [sys.executable, str(HERE / "train_runs.py"), *words],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def heard(process: subprocess.Popen[str], seconds: float = 120.0) -> str:
    """What a process said until its end; one that does not end is killed with all that it started."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + "\nkilled: it did not end"


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def killed(folder: Path, saves: int, *, asked: bool) -> None:
    """Train, and kill this process after so many checkpoints; or ask it to stop, and its workers with it."""
    seen = 0

    def progress(done: int, total: int | None, what: str) -> None:
        nonlocal seen
        seen += 1
        if seen > saves and asked:
            os.killpg(os.getpid(), signal.SIGTERM)
        elif seen > saves:
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = small_recipe(average=0.9, running={"workers": 1, "save_minutes": 0.0, "log_every": 1})
    train(recipe, folder=folder / "killed", manifest=small_set(folder), progress=progress)


def limited(folder: Path, size: int) -> None:
    """One step; then on where no file may be longer than `size`; then on where they may. Each tells how it ended."""
    import resource

    manifest = small_set(folder)
    told_of(folder / "run", manifest, steps=1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write that is too long is an error then, as on a full disk
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        told_of(folder / "run", manifest, aloud=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for line in _HEARD:
            print(line, flush=True)
    told_of(folder / "run", manifest)


def filled(folder: Path) -> None:
    """One step; then on, twice, with every byte of the file system taken; then on with room."""
    manifest = small_set(folder)
    told_of(folder / "small" / "run", manifest, steps=1)
    with suppress(OSError), (folder / "small" / "fill").open("wb", buffering=0) as stream:
        while stream.write(bytes(512)):
            pass
    told_of(folder / "small" / "run", manifest)
    told_of(folder / "small" / "run", manifest)
    (folder / "small" / "fill").unlink()
    told_of(folder / "small" / "run", manifest)


_HEARD: list[str] = []


def told_of(folder: Path, manifest: Manifest, *, steps: int | None = None, aloud: bool = True) -> None:
    """Train, and tell in a line of JSON how it ended and what is in the folder; `aloud` is at once."""
    recipe = verdict_recipe(
        validate={"metrics": ["accuracy", "AUC"], "best": "accuracy"},
        running={"workers": 0, "log_every": 1, "save_minutes": 0.0},
    )
    runs: list[_Run] = []
    honest = _Run.go

    def seen(run: _Run, *given: Any, **named: Any) -> Any:
        runs.append(run)
        return honest(run, *given, **named)

    loop._Run.go = seen  # type: ignore[method-assign]
    found: dict[str, Any] = {}
    try:
        found["finished"] = train(recipe, folder=folder, manifest=manifest, steps=steps).finished
    except FauxlensError as fault:
        found |= {"error": fault.kind, "where": fault.where, "said": fault.what, "hint": fault.hint}
    finally:
        loop._Run.go = honest  # type: ignore[method-assign]
    found["step"] = runs[-1].position.step if runs else None
    found["remarks"] = [*runs[-1].remarks, *runs[-1].journal.faults] if runs else []
    found["kept"] = sha256_of(folder / "checkpoint.pt")
    found["parts"] = [one.name for one in folder.rglob("*.part")]
    _HEARD[:] = [json.dumps(found)]
    if aloud:
        print(_HEARD[0], flush=True)


def together(folder: Path) -> None:
    """Gradients, validation and a short training as one of several processes; the first one writes what came of it."""
    manifest = small_set(folder / os.environ.get("RANK", "0"))
    found: dict[str, Any] = {}
    with joined() as ranks:
        checked = small_recipe(validate={"best": "macro_f1"})
        run = _Run(checked, folder / "run", manifest, ranks)
        found["gradients"], found["loss"], found["order"] = first_gradients(run)
        plan = checked.validate
        assert plan is not None
        found["validated"] = validate(run.detector, pictures_of(manifest, plan), plan, checked.data, ranks, facts={})
        train(small_recipe(), folder=folder / "run", manifest=manifest, steps=2)
        done = train(small_recipe(), folder=folder / "run", manifest=manifest)
        found["steps"] = done.position.step
    torch.save(found, folder / f"found-{ranks.rank}.pt")


def first_gradients(run: _Run) -> tuple[dict[str, torch.Tensor], float, list[tuple[str, ...]]]:
    """The gradients of the first global batch, without dropped paths, this process's loss, and the epoch's pictures."""
    from fauxlens.train.data import loader
    from fauxlens.train.order import epoch_order

    order = epoch_order(run.manifest, run.recipe.sampling, epoch=0)
    feed = loader(run.samples, order, batch=run.recipe.batch, rank=run.ranks.rank, world=run.ranks.world)
    teaching = run._wrapped()
    run.network.eval()  # no dropped paths, no batch statistics
    batches = list(feed)
    losses = run._gradients(teaching, batches[0])
    gradients = {name: one.grad.clone() for name, one in run.network.named_parameters() if one.grad is not None}
    return gradients, float(losses.total), [tuple(batch.ids) for batch in batches]


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.write_page = lambda *_, **__: Path()  # drawing takes longer than training here
    if sys.argv[1] in ("killed", "stopped"):
        killed(Path(sys.argv[2]), int(sys.argv[3]), asked=sys.argv[1] == "stopped")
    elif sys.argv[1] == "limited":
        limited(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "filled":
        filled(Path(sys.argv[2]))
    else:
        together(Path(sys.argv[2]))
