"""`fauxlens VERB ...`: the table of verbs, and what an error or ctrl-C becomes.

Exit codes: 0 done; 1 some inputs failed, the rest is done; 2 wrong use; 130 interrupted, state kept.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from fauxlens.cli import console, degrade, doctor, extract, fetch, prune, scan, select, split, status, verify
from fauxlens.core.errors import (
    BadManifest,
    BadSetting,
    FauxlensError,
    Interrupted,
    MissingExtra,
    UnknownLayout,
    UnknownName,
)
from fauxlens.core.version import __version__

_WRONG_USE = (BadSetting, UnknownName, UnknownLayout, BadManifest, MissingExtra)

app = typer.Typer(
    name="fauxlens",
    help="Was this picture made or edited by a machine, and where? And can the benchmark that says so be believed?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("scan")(scan.command)
app.command("verify")(verify.command)
app.command("select")(select.command)
app.command("split")(split.command)
app.command("degrade")(degrade.command)
app.command("fetch")(fetch.command)
app.command("unpack")(fetch.unpack_command)
app.command("extract-reals")(extract.command)
app.command("prune")(prune.command)
app.command("status")(status.command)
app.command("doctor")(doctor.command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        console.say(f"fauxlens {__version__}")
        raise typer.Exit
    if debug:
        os.environ["FAUXLENS_DEBUG"] = "1"


def run() -> None:
    """The entry point of the command."""
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    try:
        returned = app(args=arguments, standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except FauxlensError as error:
        if os.environ.get("FAUXLENS_DEBUG"):
            raise
        console.complain(error)
        if isinstance(error, Interrupted):
            return 130
        return 2 if isinstance(error, _WRONG_USE) else 1
    except KeyboardInterrupt:
        console.remark("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); that is not our error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()  # typer's own: a wrong option, a missing argument
        return int(getattr(error, "exit_code", 2))
