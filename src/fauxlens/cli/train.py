"""`fauxlens train`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Device, Quiet, RootOption
from fauxlens.core.errors import BadSetting

_OF_PARTS = "--minutes, --steps, --batch, --seed, --root, --no-resume, --other-data"


def command(
    recipe: Annotated[
        str,
        typer.Argument(
            help="The name of a recipe that comes along, of a detector (npr, nfa-vit-paper, ...) or of a learned part "
            "of the forge (imprint, learned), or a TOML file."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; also where it goes on.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", "-m", help="What to train on, with splits.", metavar="M.PARQUET")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; go on later.", min=0.0)] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps; go on later.", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures a step, of all processes together; instead of the recipe's.", min=1)
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option("--micro-batch", help="Pictures in memory at once, in each process.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=0)] = None,
    start: Annotated[
        str | None, typer.Option(help="Weights to begin with: random, the name of a set, or a file.", metavar="WEIGHTS")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", help="Processes that decode, for each that trains.", min=0)
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Keep decoded pictures in this folder.", metavar="FOLDER")] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the folder's checkpoint.")] = True,
    other_recipe: Annotated[
        bool, typer.Option("--other-recipe", help="Go on although the run was begun with another recipe.")
    ] = False,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Go on although the run was begun with another manifest.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard too (extra `train`).")
    ] = False,
    device: Device = "cpu",
    root: RootOption = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Train by a recipe; what is stopped or killed goes on where it was. For several processes: torchrun."""
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.train.loop import Trained, train
    from fauxlens.train.parts import part_of, train_part
    from fauxlens.train.recipe import read_recipe, with_changes

    is_part = part_of(recipe) is not None
    if is_part:
        _refuse(recipe, {
            "--epochs": epochs is not None, "--micro-batch": micro_batch is not None, "--start": start is not None,
            "--workers": workers is not None, "--cache": cache is not None, "--other-recipe": other_recipe,
            "--tensorboard": tensorboard, "--device": device != "cpu",
            "torchrun": os.environ.get("WORLD_SIZE", "1") != "1",
        })  # fmt: skip
    first = os.environ.get("RANK", "0") == "0"
    done: Trained
    if is_part:
        with console.progress_of(quiet or json) as progress:
            done = train_part(
                recipe,
                folder=output,
                manifest=None if manifest is None else read_manifest(manifest, root=root),
                minutes=minutes,
                steps=steps,
                resume=resume,
                other_data=other_data,
                seed=seed,
                batch=batch,
                progress=progress,
            )
    else:
        running = {
            "workers": workers, "micro_batch": micro_batch, "cache": cache, "tensorboard": tensorboard or None,
        }  # fmt: skip
        chosen = with_changes(
            read_recipe(recipe), epochs=epochs, batch=batch, seed=seed, start=start, running=running
        )  # fmt: skip
        with console.progress_of(quiet or json or not first) as progress:
            done = train(
                chosen,
                folder=output,
                manifest=None if manifest is None else read_manifest(manifest, root=root),
                minutes=minutes,
                steps=steps,
                resume=resume,
                device=device,
                other_recipe=other_recipe,
                other_data=other_data,
                progress=progress,
            )
    if not first:
        return 0
    if json:
        console.say_json(
            {
                "folder": str(done.folder),
                "finished": done.finished,
                "loss": done.loss,
                "weights": None if done.weights is None else str(done.weights),
                "remarks": list(done.remarks),
                **asdict(done.position),
            }
        )
        return 0
    for remark in done.remarks:
        console.remark(f"note: {remark}")
    console.say(done.sentence)
    console.say("wrote " + " and ".join(str(path) for path in done.written))
    return 0


def _refuse(recipe: str, asked: dict[str, bool]) -> None:
    """Say which options mean nothing to the training of a part of the forge."""
    wrong = ", ".join(name for name, is_given in asked.items() if is_given)
    if wrong:
        raise BadSetting(
            "it trains a part of the forge, in one process on a processor, by a recipe that counts steps",
            where=f"recipe {recipe}", got=wrong, hint=f"it takes {_OF_PARTS}",
        )  # fmt: skip
