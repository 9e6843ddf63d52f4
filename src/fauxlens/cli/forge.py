"""`fauxlens forge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Device, Quiet, RootOption, Workers

_SHOWN = 5


def command(
    photos: Annotated[
        Path,
        typer.Argument(
            help="A manifest (.parquet), or a folder in which every picture is a real photo.", metavar="PHOTOS"
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the forged set; also where it goes on.")],
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="embedded (no download), br-gen (the real models), or a TOML file.")
    ] = "embedded",
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Only this method of the recipe; repeatable.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--photos", help="How many photos are forged; the others stand in reserve.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed draws other regions and fills.", min=0)] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A folder with one folder for each model; else this machine's store.", metavar="FOLDER"),
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say what it would cost, and stop.")] = False,
    audit: Annotated[bool, typer.Option("--audit/--no-audit", help="Audit the set that was made.")] = True,
    device: Device = "cpu",
    root: RootOption = None,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Forge real photos locally: find a region, make it anew, judge it, write a labelled set with masks."""
    from fauxlens.core.errors import UnknownName
    from fauxlens.core.names import unknown
    from fauxlens.detectors.load import checked_device
    from fauxlens.forge.estimate import estimated
    from fauxlens.forge.photos import photos_of
    from fauxlens.forge.pipeline import facts_of, forge
    from fauxlens.forge.publish import publish
    from fauxlens.forge.recipe import read_recipe, with_changes

    chosen = read_recipe(recipe)
    for name in method or ():
        if name not in [one.key for one in chosen.methods]:
            wrong: UnknownName = unknown(name, [one.key for one in chosen.methods], f"method in recipe {chosen.name}")
            raise wrong
    chosen = with_changes(chosen, methods=method, photos=count, seed=seed)
    checked_device(device)
    reals = photos_of(photos, root=root)
    if estimate or not (quiet or json):
        cost = estimated(reals, chosen, workers=workers, weights=weights, device=device)
        if json:
            console.say_json(cost.as_json())
            return 0
        console.show_table(("step", "units", "seconds each", "how known"), cost.rows(), numbers=(1, 2))
        console.say(cost.sentence)
        if estimate:
            return 0
    with console.progress_of(quiet or json) as progress:
        done = forge(reals, output, chosen, workers=workers, device=device, weights=weights, progress=progress)
        pages = publish(done, audited=audit, workers=workers, circumstances=console.circumstances(), progress=progress)
    found_any = bool(done.made)
    if json:
        facts = facts_of(done)
        facts["manifest"] = str(output / "manifest.parquet")
        facts["page"] = str(pages.page)
        facts["audit"] = None if pages.audit is None else pages.audit.sentence
        console.say_json(facts)
        return 1 if done.failed or not found_any else 0
    kinds = chosen.perceive.mask_types
    rows = [(one.key, *(f"{done.made.get((kind, one.key), 0):,}" for kind in kinds)) for one in chosen.methods]
    console.show_table(("method", *kinds), rows, numbers=tuple(range(1, 1 + len(kinds))))
    for mask_type, number in done.without_region.items():
        if number:
            console.say(f"no {mask_type} region found: {console.counted(number, 'photo')}")
    for judge, number in sorted(done.rejected.items()):
        console.say(f"attempts refused by {judge}: {number:,}")
    for what, several in (("not used", done.unusable), ("failed", done.failures)):
        for one in several[:_SHOWN]:
            console.say(f"{what}: {one.what}: {one.message} ({one.kind})")
        if len(several) > _SHOWN:
            console.say(f"{what}: {len(several) - _SHOWN:,} more; all of them are in {output / 'forge.json'}")
    for remark in done.remarks:
        console.say(f"note: {remark}")
    console.say(done.sentence)
    if pages.audit is not None:
        console.say(f"audit: {pages.audit.sentence}")
    console.say(f"wrote {output / 'manifest.parquet'} and {pages.page}")
    return 1 if done.failed or not found_any else 0
