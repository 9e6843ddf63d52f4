"""Errors of every kind, from a module that another process can import however the tests were started."""

from __future__ import annotations

from fauxlens.core.errors import FauxlensError, UnreadableImage


def made(kind: type[FauxlensError]) -> FauxlensError:
    extra = {"reason": "corrupt"} if kind is UnreadableImage else {}
    return kind("no such thing", where="a.jpg", wanted=3, got=[4], hint="look again", **extra)  # type: ignore[arg-type]


def raise_it(kind: type[FauxlensError]) -> None:
    raise made(kind)
