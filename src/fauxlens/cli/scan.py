"""`fauxlens scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import DEFAULT_MAX_PIXELS, Accept, AsJson, MaxPixels, Quiet, Workers, savable


def command(
    root: Annotated[Path, typer.Argument(help="The folder that holds the dataset.", metavar="ROOT")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Where the manifest goes (.parquet, .csv or .jsonl).",
            callback=savable,
            metavar="FILE",
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(help="auto, folder, brgen, genimage, imaginet, unbiased-genimage or imdl."),
    ] = "auto",
    name: Annotated[str | None, typer.Option(help="A name for the dataset; the folder's own when not given.")] = None,
    hash_files: Annotated[bool, typer.Option("--hash", help="Read whole files and store their SHA-256.")] = False,
    quarantine: Annotated[
        Path | None, typer.Option(help="A quarantine list (CSV) whose files are marked.", metavar="CSV")
    ] = None,
    accept: Accept = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Folder to manifest: recognise the layout, read names and headers; say what was found and what was left out."""
    from fauxlens.images.limits import Limits
    from fauxlens.manifest.scan import survey, write_left_out

    with console.progress_of(quiet or json) as progress:
        found = survey(
            root,
            layout,
            name=name,
            hash_files=hash_files,
            accept=[fault.value for fault in accept or ()],
            quarantine=quarantine,
            limits=Limits(max_pixels=max_pixels),
            workers=workers,
            progress=progress,
        )
    manifest = found.manifest
    manifest.save(output)
    classes = manifest.count("label", "split", "generator")
    quarantined = manifest.quarantined()
    left_out = output.with_name(f"{output.stem}.left-out.csv")
    if found.left_out:
        write_left_out(found.left_out, left_out)
    if json:
        console.say_json(
            {
                "manifest": str(output),
                "layout": found.layout,
                "why": found.why,
                "files": len(manifest),
                "classes": [
                    {"label": key[0], "split": key[1], "generator": key[2], "files": count}
                    for key, count in classes.items()
                ],
                "quarantined": {reason: count for reason, count, _ in quarantined},
                "left_out": {reason: count for reason, count, _ in found.left_out_reasons()},
                "remarks": list(found.remarks),
            }
        )
        return 0
    console.say(f"{console.counted(len(manifest), 'file')}, layout {found.layout} ({found.why})")
    rows = [(key[0], key[1], key[2], count) for key, count in classes.items()]
    console.show_table(("label", "split", "generator", "files"), rows, numbers=(3,))
    for line in found.remarks:
        console.say(f"note: {line}")
    if quarantined:
        bad = sum(count for _, count, _ in quarantined)
        said = console.counted(bad, "file is", "files are")
        console.say(f"{said} quarantined (kept in the manifest, passed over by readers):")
        console.show_table(("reason", "files", "for example"), quarantined, numbers=(1,))
    if found.left_out:
        # A hidden or unreadable folder is one entry: how many files are in it is not known.
        folders = any(item.path.endswith("/") for item in found.left_out)
        one, many = ("file or folder was", "files or folders were") if folders else ("file was", "files were")
        said = console.counted(len(found.left_out), one, many)
        console.say(f"{said} left out ({'all ' if len(found.left_out) > 1 else ''}in {left_out.name}):")
        shown = [(reason, count, example) for reason, count, example in found.left_out_reasons()[:12]]
        console.show_table(("reason", "count", "for example"), shown, numbers=(1,))
    console.say(f"wrote {output}")
    return 0
