"""`fauxlens doctor`."""

from __future__ import annotations

from fauxlens.cli import console
from fauxlens.cli.options import AsJson


def command(json: AsJson = False) -> int:
    """What works on this machine, and what an extra would add."""
    from fauxlens.core.doctor import examine

    found = examine()
    if json:
        console.say_json(
            [
                {"what": c.what, "works": c.works, "needed": c.needed, "found": c.found, "next": c.next_step}
                for c in found
            ]
        )
    else:
        marks = {True: "yes", False: "no"}
        rows = [(marks[check.works], check.what, check.found, check.next_step or "") for check in found]
        console.show_table(("works", "what", "found", "next step"), rows)
    return 0 if all(check.works or not check.needed for check in found) else 1
