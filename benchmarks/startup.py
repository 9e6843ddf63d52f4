"""How long one waits for `import fauxlens` and for `fauxlens --help`, against what cannot be undercut.

Every way is a fresh interpreter: one that does nothing (`python -c pass`), one that imports typer alone (the least that
a command line on typer costs), ours. "added" is what comes on top of the bare interpreter.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable

from measure import in_turns, print_result

_WAYS = {
    "bare": ("-c", "pass"),
    "typer": ("-c", "import typer"),
    "import_fauxlens": ("-c", "import fauxlens"),
    "help": ("-m", "fauxlens", "--help"),
    "version": ("-m", "fauxlens", "--version"),
}


def started(arguments: tuple[str, ...]) -> Callable[[], None]:
    """One start of the interpreter, to its end."""

    def way() -> None:
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)

    return way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    times = in_turns({name: started(arguments) for name, arguments in _WAYS.items()}, given.rounds)
    bare, typer = times["bare"]["median"], times["typer"]["median"]
    print_result(
        {
            "benchmark": "startup",
            "rounds": given.rounds,
            "milliseconds": {name: {key: round(s * 1e3, 2) for key, s in t.items()} for name, t in times.items()},
            "import_against_bare": round(times["import_fauxlens"]["median"] / bare, 2),
            "help_against_bare": round(times["help"]["median"] / bare, 2),
            "help_against_typer": round(times["help"]["median"] / typer, 2),
            "import_added_milliseconds": round((times["import_fauxlens"]["median"] - bare) * 1e3, 2),
            "help_added_to_typer_milliseconds": round((times["help"]["median"] - typer) * 1e3, 2),
        }
    )


if __name__ == "__main__":
    main()
