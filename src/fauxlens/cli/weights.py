"""`fauxlens weights list | show | get | import | verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    from fauxlens.detectors.importing import Imported

app = typer.Typer(
    help="Detectors' weights: which there are, on which terms, and how they come onto this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A detector, or DETECTOR/SET.", metavar="NAME")]


@app.command("list")
def list_command(json: AsJson = False) -> int:
    """Every set of weights, the recommended first: licence, use, whether it is here, how large it is."""
    from fauxlens.detectors.inventory import offered
    from fauxlens.detectors.store import store_folder

    found = offered()
    if json:
        console.say_json(
            [
                {
                    "detector": one.kind.card.name,
                    "set": one.weights.name,
                    "setting": one.weights.setting,
                    "licence": one.weights.licence,
                    "use": one.weights.use,
                    "state": one.state,
                    "missing": list(one.missing),
                    "bytes": one.bytes,
                    "folder": None if one.stored is None else str(one.stored.folder),
                    "recommended": one.weights.recommended or None,
                }
                for one in found
            ]
        )
        return 0
    head = ("detector", "set", "state", "bytes", "use", "licence")
    rows = [
        (one.kind.card.name, one.weights.name, one.state, one.bytes, one.weights.use, one.weights.licence)
        for one in found
    ]
    console.show_table(head, rows, numbers=(3,))
    for one in found:
        if one.weights.recommended:
            console.remark(f"the first to fetch: {one.kind.card.name}/{one.weights.name}; {one.weights.recommended}")
    console.remark(f"they lie in {store_folder()}; one of them in words: fauxlens weights show NAME/SET")
    return 0


@app.command("show")
def show_command(name: Name, json: AsJson = False) -> int:
    """A card in words: what it is, its terms, files with sources and digests, labels, published numbers, limits."""
    from dataclasses import asdict

    from fauxlens.detectors.importing import asked_for
    from fauxlens.detectors.inventory import entries
    from fauxlens.detectors.table import detector_class

    kind = detector_class(name.partition("/")[0])
    chosen = asked_for(name)[1] if "/" in name else None
    shown = [one for one in entries(kind) if chosen is None or one.weights is chosen]
    card = kind.card
    if json:
        facts = {key: value for key, value in asdict(card).items() if key != "weights"}
        sets = [
            {
                **asdict(one.weights),
                "state": one.state,
                "missing": list(one.missing),
                "sha256": None if one.stored is None else one.stored.sha256,
                "folder": None if one.stored is None else str(one.stored.folder),
            }
            for one in shown
        ]
        console.say_json({**facts, "settings": list(kind.settings), "weights": sets})
        return 0
    console.say(f"{card.name}: {card.title} ({card.year}); {', '.join(card.tasks)}")
    console.say(card.about)
    console.say()
    for label, value in (
        ("paper", card.paper),
        ("code", card.code),
        ("input", card.input),
        ("parameters", f"{card.parameters:,}"),
        ("settings", ", ".join(kind.settings)),
    ):
        _say_fact(label, value, "  ")
    for one in shown:
        weights = one.weights
        console.say()
        console.say(f"weights {card.name}/{weights.name}: {one.state}")
        facts_of_set = {
            "licence": f"{weights.licence} ({weights.use})",
            "terms": weights.terms,
            "trained on": weights.trained_on,
            "setting": weights.setting or kind.settings[0],
            "labels": ", ".join(weights.labels),
            "fetch first": weights.recommended,
            "here": None if one.stored is None else f"{one.stored.folder}, {one.stored.bytes:,} bytes",
            "missing": ", ".join(one.missing) if one.state == "in part" else None,
        }
        for label, fact in facts_of_set.items():
            _say_fact(label, fact, "  ")
        for file in weights.files:
            console.say(f"  {'file':<12}{file.name}, from {file.source}")
            place = f"{file.hub}: {file.hub_name or file.name}" if file.hub else None
            facts_of_file = {
                "on the hub": place and place + (f" at {file.revision}" if file.revision else ""),
                "part": file.part.rstrip("."),
                "SHA-256": file.sha256 or "not published",
                "bytes": f"{file.bytes:,}" if file.bytes else None,
                "remark": file.remark,
            }
            for label, fact in facts_of_file.items():
                _say_fact(label, fact, "    ")
    if not shown:
        console.say()
        console.say("weights: none are known; a file of your own is loaded by its path")
    published = [
        f"{one.metric} {one.value:g} on {one.data}: {one.source}" + (f" ({one.remark})" if one.remark else "")
        for one in card.targets
    ]
    for title, lines in (("published numbers", published), ("limits", list(card.limits))):
        if lines:
            console.say()
            console.say(title)
            for line in lines:
                console.say(f"  {line}")
    return 0


@app.command("import")
def import_command(
    name: Name,
    files: Annotated[list[Path], typer.Argument(help="Files as their owner published them.", metavar="FILE...")],
    json: AsJson = False,
) -> int:
    """Read files without running code, find out which part each is, check and convert them, and keep them."""
    from fauxlens.detectors.importing import import_files

    return _tell(import_files(name, files), json)


@app.command("get")
def get_command(
    name: Name,
    accept: Annotated[bool, typer.Option("--accept", help="The terms shown are accepted.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--from", help="A folder with the files, in place of the hub.", metavar="FOLDER")
    ] = None,
    json: AsJson = False,
) -> int:
    """Fetch weights from their owner's page on the Hugging Face hub, after their terms are accepted."""
    import sys

    from fauxlens.core.errors import BadSetting
    from fauxlens.detectors import hub

    if folder is not None and not folder.is_dir():
        raise BadSetting("no such folder", where=folder)
    plan = hub.wanted(name, anywhere=folder is not None)
    if not plan.fetched:
        raise BadSetting("its owner publishes it elsewhere than on the hub", where=plan.asked, hint=plan.how_by_hand)
    console.remark(f"{plan.asked}: {plan.weights.licence} ({plan.weights.use}); {plan.weights.terms}")
    if not accept and not (sys.stdin.isatty() and typer.confirm("Do you accept these terms?", err=True)):
        raise BadSetting("the terms were not accepted", hint="read them at the owner's, then give --accept")
    return _tell(hub.get(plan, hub.from_hub if folder is None else hub.from_folder(folder)), json)


@app.command("verify")
def verify_command(json: AsJson = False, quiet: Quiet = False) -> int:
    """Look through every set on this machine: digests, names, shapes, finite numbers; 1 when one is damaged."""
    from fauxlens.detectors.inventory import verify_store
    from fauxlens.detectors.store import store_folder

    with console.progress_of(quiet or json) as progress:
        found = verify_store(progress=progress)
    damaged = [one for one in found if one.faults]
    if json:
        console.say_json(
            {
                "store": str(store_folder()),
                "damaged": len(damaged),
                "sets": [
                    {
                        "detector": one.detector,
                        "set": one.set,
                        "folder": str(one.folder),
                        "bytes": one.bytes,
                        "faults": list(one.faults),
                        "remarks": list(one.remarks),
                    }
                    for one in found
                ],
            }
        )
    else:
        for one in found:
            console.say(f"{one.detector}/{one.set}: {'; '.join(one.faults or one.remarks) or 'whole'}")
        console.say(f"{console.counted(len(found), 'set')}, {len(damaged):,} damaged")
        if damaged:
            console.say("a damaged set is made whole by importing its files again")
    return 1 if damaged else 0


def _say_fact(label: str, value: str | None, indent: str) -> None:
    """A line of a card; nothing where nothing is known."""
    if value:
        console.say(f"{indent}{label:<12}{value}")


def _tell(done: Imported, json: bool) -> int:
    """What an import did, and what the set still lacks."""
    from fauxlens.detectors.hub import by_hand

    asked = f"{done.detector}/{done.set}"
    next_step = by_hand(asked, done.missing) if done.missing else None
    if json:
        files: list[dict[str, Any]] = [
            {
                "file": str(one.path),
                "part": one.part,
                "tensors": one.tensors,
                "numbers": one.numbers,
                "converted": one.is_converted,
                "digest_checked": one.digest_checked,
            }
            for one in done.files
        ]
        console.say_json(
            {
                "detector": done.detector,
                "set": done.set,
                "folder": str(done.stored.folder),
                "sha256": done.stored.sha256,
                "files": files,
                "missing": [file.name for file in done.missing],
            }
        )
        return 0
    for one in done.files:
        part = f"the part '{one.part.rstrip('.')}'" if one.part else "the whole network"
        how = "names or values converted" if one.is_converted else "as it was"
        digest = "its owner's digest found" if one.digest_checked else "no digest is published"
        console.say(
            f"{one.path.name}: {part} of {asked}, {console.counted(one.tensors, 'tensor')}, "
            f"{one.numbers:,} numbers, {how}, {digest}"
        )
    console.say(f"kept in {done.stored.folder}")
    if next_step is not None:
        console.say(f"still missing: {next_step}")
    return 0
