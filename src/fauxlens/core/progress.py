"""How the library tells its caller how far it is: a callback. Only the command line draws bars."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the number of things done and the number in all (None when not known)."""

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Take note; `what` names the stage."""


def silent(done: int, total: int | None, what: str) -> None:
    """Say nothing."""
