"""`fauxlens fetch` and `fauxlens unpack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet


def command(
    dataset: Annotated[
        str | None, typer.Argument(help="unbiased-genimage or imaginet-ffhq; --list shows all.", metavar="DATASET")
    ] = None,
    destination: Annotated[Path | None, typer.Option(help="Where the files go.", metavar="FOLDER")] = None,
    carry_on: Annotated[
        bool, typer.Option("--continue", help="Go on: keep what is whole (checked), resume what is partial.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only files like this, such as '*.csv'; repeatable.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and the room it takes.")
    ] = False,
    accept: Annotated[bool, typer.Option("--accept", help="The terms shown are accepted.")] = False,
    list_file: Annotated[
        Path | None, typer.Option(help="imaginet-ffhq: ffhq_filenames.txt of ImagiNet's repository.", metavar="TXT")
    ] = None,
    first: Annotated[int | None, typer.Option(help="imaginet-ffhq: only the first N faces.", min=0)] = None,
    server: Annotated[str | None, typer.Option(help="Another server that speaks the same protocol.")] = None,
    attempts: Annotated[int, typer.Option(help="Tries a file.", min=1, max=100)] = 5,
    list_datasets: Annotated[
        bool, typer.Option("--list", help="Show what can be fetched, and where to ask for the rest.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Download what a dataset's owners publish: whole files only, checked, resumed, with bounded retries."""
    import sys

    from fauxlens.core.errors import BadSetting
    from fauxlens.manifest.fetch import SOURCES, describe, source
    from fauxlens.manifest.fetch.dataverse import HARVARD, UNBIASED_GENIMAGE, fetch_dataverse
    from fauxlens.manifest.fetch.ffhq import DRIVE, fetch_ffhq

    if list_datasets:
        if json:
            console.say_json(
                {name: {"fetched": s.is_fetched, "size": s.size, "terms": s.terms} for name, s in SOURCES.items()}
            )
        else:
            for name in SOURCES:
                console.say(describe(name))
        return 0
    if dataset is None:
        raise BadSetting("which dataset?", wanted=", ".join(SOURCES), hint="fauxlens fetch --list")
    entry = source(dataset)
    if entry.ask is not None:
        raise BadSetting("this dataset is not fetched here", where=dataset, hint=entry.ask)
    if destination is None:
        raise BadSetting("where to?", hint=f"fauxlens fetch {dataset} --destination FOLDER")
    is_record = dataset == "unbiased-genimage"
    foreign = {"--list-file": list_file, "--first": first} if is_record else {"--only": only, "--dry-run": dry_run}
    for option, value in foreign.items():
        if value not in (None, False, []):
            raise BadSetting(
                f"{option} has no meaning for this dataset", where=dataset, hint="see fauxlens fetch --help"
            )
    must_ask = not accept and not dry_run
    if must_ask or not (quiet or json):
        console.remark(describe(dataset))
    if must_ask and not (sys.stdin.isatty() and typer.confirm("Do you accept these terms?", err=True)):
        raise BadSetting("the terms were not accepted", hint="read them at the owner's, then give --accept")
    with console.progress_of(quiet or json) as progress:
        if is_record:
            report = fetch_dataverse(
                UNBIASED_GENIMAGE,
                destination,
                server=server or HARVARD,
                only=only or (),
                carry_on=carry_on,
                attempts=attempts,
                dry_run=dry_run,
                progress=progress,
            )
        else:
            if list_file is None:
                raise BadSetting("the list of faces is needed", hint="give --list-file ffhq_filenames.txt")
            template = DRIVE if server is None else server
            report = fetch_ffhq(
                list_file, destination, url_template=template, first=first, attempts=attempts, progress=progress
            )
    if json:
        console.say_json(
            {
                "destination": str(report.destination),
                "done": list(report.done),
                "already_there": list(report.already_there),
                "failed": [{"name": name, "reason": reason} for name, reason in report.failed],
                "planned": [{"name": p.name, "bytes": p.bytes, "state": p.state} for p in report.planned],
                "needed_bytes": report.needed_bytes,
                "free_bytes": report.free_bytes,
                "dry_run": report.dry_run,
            }
        )
    elif report.dry_run:
        console.show_table(("file", "bytes", "now"), [(p.name, p.bytes, p.state) for p in report.planned], numbers=(1,))
        room = "" if report.has_room else ": NOT ENOUGH"
        console.say(f"{report.needed_bytes:,} bytes to come, {report.free_bytes:,} free{room}; nothing was fetched")
    else:
        console.say(
            f"{len(report.done):,} fetched, {len(report.already_there):,} already there, {len(report.failed):,} failed"
        )
        for name, reason in report.failed[:20]:
            console.say(f"  {name}: {reason}")
        if report.failed:
            console.say("the same command with --continue goes on from here")
    return 1 if report.failed else 0


def unpack_command(
    parts: Annotated[
        Path,
        typer.Argument(help="Any piece of a split archive (NAME.z000 ...), its folder, or a zip.", metavar="PARTS"),
    ],
    destination: Annotated[Path | None, typer.Option(help="Where the members go.", metavar="FOLDER")] = None,
    join: Annotated[
        Path | None, typer.Option(help="Write the pieces as one zip instead of unpacking.", metavar="ZIP")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only members like this; repeatable.")] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Unpack an archive in pieces without joining it first; every member whole and checked; resumes."""
    from fauxlens.core.errors import BadSetting
    from fauxlens.manifest.fetch.splitzip import SplitReader, join_parts, unpack

    if (destination is None) == (join is None):
        raise BadSetting("either --destination or --join", hint="fauxlens unpack GenImage.z000 --destination GenImage")
    with console.progress_of(quiet or json) as progress:
        if join is not None:
            joined = join_parts(parts, join, progress=progress)
            if json:
                console.say_json({"target": str(joined.target), "bytes": joined.bytes, "members": joined.members})
            else:
                parts_, members = len(joined.parts), joined.members
                said = f"{console.counted(parts_, 'piece')}, {console.counted(members, 'member')}"
                console.say(f"{joined.target}: {said}, {joined.status}")
            return 0
        assert destination is not None
        whole = parts.is_file() and parts.suffix.lower() == ".zip"
        report = unpack(parts if whole else SplitReader.find(parts), destination, only=only or (), progress=progress)
    if json:
        console.say_json(
            {
                "destination": str(report.destination),
                "done": len(report.done),
                "already_there": len(report.already_there),
                "bad": [{"name": name, "reason": reason} for name, reason in report.bad],
            }
        )
    else:
        console.say(
            f"{len(report.done):,} unpacked, {len(report.already_there):,} already there, {len(report.bad):,} bad"
        )
        for name, reason in report.bad[:20]:
            console.say(f"  {name}: {reason}")
    return 1 if report.bad else 0
