"""Options that several verbs share, spelt once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fauxlens.core.errors import BadSetting


class Fault(StrEnum):
    """A fault of a file that can be accepted (`manifest.scan.ACCEPTABLE`)."""

    wrong_suffix = "wrong-suffix"
    corrupt_exif = "corrupt-exif"


def savable(path: Path) -> Path:
    """Refuse a name that no manifest can be saved under, before hours of work and not after."""
    if path.suffix.lower() not in (".parquet", ".csv", ".jsonl"):
        got = path.suffix or "no suffix"
        raise BadSetting("a manifest is saved as .parquet, .csv or .jsonl", where=path, got=got)
    return path


ManifestPath = Annotated[
    Path, typer.Argument(help="A manifest (.parquet) that `fauxlens scan` wrote.", metavar="M.PARQUET")
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Where the pictures lie now, when the dataset was moved.", metavar="FOLDER"),
]
Workers = Annotated[int, typer.Option("--workers", "-j", help="Processes to work with.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", help="Larger pictures are refused before decoding.", min=1)]
Accept = Annotated[
    list[Fault] | None,
    typer.Option(
        "--accept", help="A fault that is no reason for quarantine: wrong-suffix, corrupt-exif.", metavar="FAULT"
    ),
]
Setting = Annotated[
    str | None, typer.Option("--setting", help="A named variant of the detector, where it has several.", metavar="NAME")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or mps.")]
DetectorOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", help="Change how the detector works: `fauxlens detectors --json` lists what. Repeatable.",
        metavar="NAME=VALUE",
    ),
]  # fmt: skip


def options_of(given: list[str] | None) -> dict[str, str]:
    """The words of `--option` by name.

    >>> options_of(["showing=native", "side=256"])
    {'showing': 'native', 'side': '256'}
    """
    found = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise BadSetting(
                "an option is a name and a value",
                wanted="NAME=VALUE",
                got=one,
                hint="`fauxlens detectors --json` lists each detector's options",
            )
        found[name] = value
    return found


DEFAULT_MAX_PIXELS = 200_000_000
