"""`fauxlens verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import DEFAULT_MAX_PIXELS, Accept, AsJson, ManifestPath, MaxPixels, Quiet, RootOption, Workers


def command(
    manifest: ManifestPath,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for state and results; beside the manifest when not given."),
    ] = None,
    root: RootOption = None,
    accept: Accept = None,
    near_bits: Annotated[int, typer.Option(help="Bits of 64 that near duplicates may differ in.", min=0, max=4)] = 4,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Read every file again, also those of an earlier run.")
    ] = False,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Decode every file, count against the published table, find duplicates and leaks; list what is broken."""
    from fauxlens.images.limits import Limits
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.manifest.verify import report_of, verify
    from fauxlens.report import write_report

    given = read_manifest(manifest, root=root)
    folder = output or manifest.with_name(f"{manifest.stem}-verified")
    with console.progress_of(quiet or json) as progress:
        found = verify(
            given,
            folder,
            workers=workers,
            accept=[fault.value for fault in accept or ()],
            limits=Limits(max_pixels=max_pixels),
            near_bits=near_bits,
            fresh=fresh,
            progress=progress,
        )
    report = report_of(found)
    page = write_report(report.with_provenance(console.circumstances()), folder)
    code = 1 if found.quarantined else 0
    if json:
        console.say_json({**report.facts, "folder": str(folder), "manifest": str(folder / "manifest.parquet")})
        return code
    console.say(report.verdict)
    if found.from_earlier_run:
        console.say(f"{found.from_earlier_run:,} of them were checked in an earlier run and have not changed since")
    if found.quarantined:
        console.show_table(("reason", "files", "for example"), found.manifest.quarantined(), numbers=(1,))
    for count in found.counts:
        if count.found != count.published:
            where = ", ".join(f"{name} {value}" for name, value in count.where.items()) or "all"
            console.say(f"count: {where}: {count.found:,} of {count.published:,} published")
    counted = console.counted
    equal = counted(len(found.exact), "group of equal files", "groups of equal files")
    console.say(f"{equal}, {counted(len(found.near), 'near pair')}, {counted(len(found.leaks), 'leak')}")
    console.say(f"wrote {folder / 'manifest.parquet'}, quarantine.csv, duplicates.csv, leaks.csv and {page.name}")
    return code
