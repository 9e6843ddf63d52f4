"""`fauxlens predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, DetectorOptions, Device, ManifestPath, Quiet, RootOption, Setting, options_of


def command(
    manifest: ManifestPath,
    detector: Annotated[str, typer.Option("--detector", "-d", help="Whom to ask, DETECTOR or DETECTOR/SET.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where the predictions go; masks and state beside it.", metavar="FILE"),
    ],
    weights: Annotated[
        str | None, typer.Option(help="A set of its weights, a file, or 'random' (whose answers mean nothing).")
    ] = None,
    setting: Setting = None,
    option: DetectorOptions = None,
    device: Device = "cpu",
    no_masks: Annotated[bool, typer.Option("--no-masks", help="Keep no masks: scores only.")] = False,
    mask_bits: Annotated[int, typer.Option(help="Bits of a mask's grey levels: 8 or 16.")] = 8,
    batch: Annotated[
        int | None, typer.Option(help="Pictures at once; chosen by the device when not given.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random weights.", min=0)] = 0,
    root: RootOption = None,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Processes to work with, each with one thread.", min=1)
    ] = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Ask one detector about every picture of a manifest, once; the same command goes on after an interruption."""
    from fauxlens.evaluate.predict import Asked, predict
    from fauxlens.manifest.manifest import read_manifest

    name, _, chosen = detector.partition("/")
    asked = Asked(
        detector=name, weights=weights or chosen or None, setting=setting, options=options_of(option), device=device,
        seed=seed,
    )  # fmt: skip
    pictures = read_manifest(manifest, root=root)
    with console.progress_of(quiet or json) as progress:
        found = predict(
            pictures, asked, output, masks=not no_masks, mask_bits=mask_bits, batch_size=batch, workers=workers,
            progress=progress,
        )  # fmt: skip
    failures = found.failures()
    failed = sum(failures.values())
    if found.is_random and not quiet:
        console.remark("RANDOM WEIGHTS: nothing was ever learnt, so these predictions mean nothing")
    if json:
        masks = len(found) - found.table.column("mask_path").null_count
        console.say_json(
            {
                "predictions": str(output), "detector": name, "setting": found.facts["setting"],
                "weights": found.facts["weights"], "weights_sha256": found.facts["weights_sha256"],
                "random": found.is_random, "pictures": len(found), "masks": masks, "failures": failures,
            }
        )  # fmt: skip
        return 1 if failed else 0
    console.say(f"{found.title}: {console.counted(len(found) - failed, 'picture')} predicted, {failed:,} could not be")
    for why, count in failures.items():
        console.say(f"  {why}: {count:,}")
    console.say(f"wrote {output}")
    return 1 if failed else 0
