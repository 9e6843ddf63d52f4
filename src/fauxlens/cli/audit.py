"""`fauxlens audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, ManifestPath, Quiet, RootOption, Workers


def command(
    manifest: ManifestPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report; beside the manifest when not given.")
    ] = None,
    per_class: Annotated[
        int, typer.Option(help="Real pictures that are decoded at most; 0 looks at facts only.", min=0)
    ] = 1000,
    per_generator: Annotated[
        int, typer.Option(help="Pictures of each generator that are decoded at most.", min=0)
    ] = 300,
    probe: Annotated[list[str] | None, typer.Option(help="Only this probe; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws another sample.", min=0)] = 0,
    facts: Annotated[
        Path | None, typer.Option(help="Also write the facts of every sample as CSV.", metavar="CSV")
    ] = None,
    metadata_csv: Annotated[
        Path | None, typer.Option(help="Also write UnbiasedGenImage's metadata table, for their code.", metavar="CSV")
    ] = None,
    root: RootOption = None,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Does the dataset give itself away? What can be told from file facts, thumbnails, borders, seeds, duplicates."""
    from fauxlens.audit.audit import AuditPlan, audit, is_about_files
    from fauxlens.audit.facts import write_facts
    from fauxlens.audit.page import facts_of, report_of
    from fauxlens.audit.probes import PROBES
    from fauxlens.manifest.layouts.unbiased_genimage import write_metadata_csv
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.report import write_report

    plan = AuditPlan(seed=seed, per_class=per_class, per_generator=per_generator, probes=tuple(probe or PROBES))
    folder = output or manifest.with_name(f"{manifest.stem}-audit")
    dataset = read_manifest(manifest, root=root)
    if facts is not None:
        write_facts(dataset, facts)
    if metadata_csv is not None:
        write_metadata_csv(dataset, metadata_csv)
    with console.progress_of(quiet or json) as progress:
        found = audit(dataset, plan, workers=workers, progress=progress)
        page = write_report(report_of(found).with_provenance(console.circumstances()), folder, name="audit")
    unreadable = found.features is not None and bool(found.features.unreadable)
    if json:
        console.say_json({**facts_of(found), "page": str(page)})
        return 1 if unreadable else 0
    console.say(found.sentence)
    told = [(one.title, f"{one.statistic:.3f}", one.effect) for one in found.alarms if is_about_files(one)]
    if told:
        console.show_table(("told from the files", "AUC", "how"), told, numbers=(1,))
    pictures = [(title, ", ".join(names) or "all fakes") for title, names in found.found_in_pictures.items()]
    if pictures:
        console.show_table(("found in the pictures", "of"), pictures)
    for line in found.remarks:
        console.say(f"note: {line}")
    console.say(f"wrote {page}")
    return 1 if unreadable else 0
