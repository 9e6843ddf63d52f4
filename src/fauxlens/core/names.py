"""A name leads to a file through a table that can be read: `name -> "module:attribute"`, imported when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from fauxlens.core.errors import UnknownName

_MANY = 30


def look_up(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Import and return what `name` stands for in `table`.

    >>> look_up({"square": "math:isqrt"}, "square", "root")(49)
    7
    """
    if name not in table:
        raise unknown(name, table, kind)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def unknown(name: str, names: Iterable[str], kind: str) -> UnknownName:
    """The error for a name that is not among `names`, with the nearest one."""
    there_are = sorted(names)
    if len(there_are) > _MANY:
        # A wall of names helps nobody: the nearest ones, and how many there are.
        near = difflib.get_close_matches(name, there_are, n=5, cutoff=0.4) or there_are[:5]
        listed = f"Near: {', '.join(near)}; there are {len(there_are)}"
        return UnknownName(f"no {kind} called '{name}'", hint=nearest(name, there_are) + listed)
    return UnknownName(
        f"no {kind} called '{name}'",
        hint=f"{nearest(name, there_are)}There are: {', '.join(there_are)}",
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """'Did you mean ...? ' or nothing.

    >>> nearest("bluer", ["blur", "crop"])
    "Did you mean 'blur'? "
    """
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean '{near[0]}'? " if near else ""
