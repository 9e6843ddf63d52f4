"""`fauxlens VERB ...`: the table of verbs, and what an error or ctrl-C becomes.

Exit codes: 0 done; 1 some inputs failed, the rest is done; 2 wrong use; 130 interrupted, state kept.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fauxlens.cli import (
    align,
    audit,
    calibrate,
    compare,
    console,
    degrade,
    detectors,
    doctor,
    export,
    extract,
    fetch,
    forge,
    inspect,
    leaderboard,
    predict,
    protocols,
    prune,
    scan,
    score,
    select,
    split,
    status,
    train,
    verify,
    weights,
)
from fauxlens.core.errors import (
    BadManifest,
    BadPredictions,
    BadSetting,
    FauxlensError,
    Interrupted,
    MissingExtra,
    NoWeights,
    OtherPlan,
    UnknownLayout,
    UnknownName,
)
from fauxlens.core.version import __version__

_WRONG_USE = (BadSetting, UnknownName, UnknownLayout, BadManifest, BadPredictions, MissingExtra, NoWeights, OtherPlan)
_GO_ON = "give the same command again; what a long run has finished is kept"


class _Verbs(TyperGroup):
    """The group of verbs; what typer would make of ctrl-C and of a closed pipe differs from version to version."""

    def make_context(self, *given: Any, **named: Any) -> Any:
        with _kept():
            return super().make_context(*given, **named)

    def invoke(self, ctx: Any) -> Any:
        with _kept():
            return super().invoke(ctx)


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=_GO_ON) from None
    except BrokenPipeError:
        raise console.ReaderGone from None


app = typer.Typer(
    name="fauxlens",
    cls=_Verbs,
    help="Was this picture made or edited by a machine, and where? And can the benchmark that says so be believed?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("inspect")(inspect.command)
app.command("scan")(scan.command)
app.command("verify")(verify.command)
app.command("select")(select.command)
app.command("split")(split.command)
app.command("degrade")(degrade.command)
app.command("forge")(forge.command)
app.command("train")(train.command)
app.command("audit")(audit.command)
app.command("align")(align.command)
app.command("fetch")(fetch.command)
app.command("unpack")(fetch.unpack_command)
app.command("extract-reals")(extract.command)
app.command("prune")(prune.command)
app.command("predict")(predict.command)
app.command("score")(score.command)
app.command("compare")(compare.command)
app.command("calibrate")(calibrate.command)
app.command("leaderboard")(leaderboard.command)
app.command("detectors")(detectors.command)
app.command("protocols")(protocols.command)
app.add_typer(weights.app, name="weights")
app.command("export")(export.command)
app.command("status")(status.command)
app.command("doctor")(doctor.command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.", is_eager=True)] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere on the line.")
    ] = False,
) -> None:
    if version:
        console.say(f"fauxlens {__version__}")
        raise typer.Exit


def run() -> None:
    """The entry point of the command."""
    # A letter that the terminal's encoding lacks is spelt out; it is no reason to lose a result.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    given, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    console.remember(given)
    try:
        returned = app(args=given, prog_name="fauxlens", standalone_mode=False)
        _flush()
        return returned if isinstance(returned, int) else 0
    except console.ReaderGone:
        # That is not our error. What is still to be written goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Abort:  # ctrl-C at a question
        console.complain(Interrupted("interrupted", hint=_GO_ON))
        return 130
    except Exception as error:
        show = getattr(error, "show", None)
        if show is not None:  # typer's own: a wrong option, a missing argument
            show()
            return int(getattr(error, "exit_code", 2))
        if debug:
            traceback.print_exc()
        told = _told(error)
        console.complain(told)
        if isinstance(told, Interrupted):
            return 130
        return 2 if isinstance(told, _WRONG_USE) else 1


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The line without `--debug`, which is understood before and after the verb, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [one for one in arguments[:end] if one != "--debug"]
    return options + arguments[end:], len(options) < end or bool(os.environ.get("FAUXLENS_DEBUG"))


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise console.ReaderGone from None


def _told(error: Exception) -> FauxlensError:
    """Any error as one of ours: what, where, next step."""
    if isinstance(error, FauxlensError):
        return error
    if isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename
        return FauxlensError(error.strerror.lower(), where=place)
    return FauxlensError(
        f"a fault of fauxlens itself: {type(error).__name__}: {error}",
        hint="give the same command with --debug, and report what it prints",
    )
