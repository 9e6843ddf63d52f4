"""What may be changed about how a detector works: declared once, checked in one place, reachable from every door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown

Value = str | int | Path | None


@dataclass(frozen=True, kw_only=True)
class Option:
    """One thing to change: a word out of `choices`, a whole number within bounds, or the path of a file.

    >>> Option(about="how it is shown", choices=("crop", "native")).checked("showing", "native")
    'native'
    >>> Option(about="larger ones are cut", smallest=1, none=True).checked("tile_above", "none") is None
    True
    """

    about: str
    choices: tuple[str, ...] = ()
    smallest: int | None = None
    largest: int | None = None
    path: bool = False
    none: bool = False  # whether there may be none at all

    def checked(self, name: str, given: object) -> Value:
        """The value meant by what somebody gave, as Python or as a word of the command line."""
        if given is None or (self.none and str(given).lower() == "none"):
            if self.none:
                return None
        elif self.choices:
            if given in self.choices:
                return str(given)
            raise unknown(str(given), self.choices, f"value of the option {name}")
        elif self.path and isinstance(given, str | Path):
            return Path(given)
        elif self.smallest is not None and not isinstance(given, bool):
            try:
                found = int(str(given))
            except ValueError:
                found = self.smallest - 1
            if self.smallest <= found and (self.largest is None or found <= self.largest):
                return found
        raise BadSetting(f"the option {name} cannot be that", wanted=self.wanted, got=given)

    @property
    def wanted(self) -> str:
        """What may be given, in words."""
        words = " or ".join(self.choices) or ("the path of a file or folder" if self.path else "")
        words = words or f"a whole number from {self.smallest} {'on' if self.largest is None else f'to {self.largest}'}"
        return words + (" or none" if self.none else "")


def declared(**options: Option) -> Mapping[str, Option]:
    """A detector's options by name; nobody can change what is declared."""
    return MappingProxyType(options)
