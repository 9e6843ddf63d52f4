"""One thing that speaks for, against, or beside a verdict: a sentence, how much it weighs, and what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Leaning = Literal["generated", "edited", "laundered", "captured", "none"]
"""What it speaks for. `laundered`: the picture was re-saved, shrunk or photographed from a screen: traces may be
gone. `captured`: a camera is named. `none`: it is told for context."""

Strength = Literal["strong", "weak", "context"]
"""`strong` may decide a verdict by itself; `weak` is told beside one; `context` says what kind of file this is."""

Map = npt.NDArray[np.float32]
"""(H, W), 0 to 1, at the size of the picture."""

_ORDER: dict[str, int] = {"strong": 0, "weak": 1, "context": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one check found. `check` is its name in JSON; `sentence` and `limit` are whole sentences for people.

    `details` are plain data (JSON) that bear the sentence out. `map` shows where, for checks that look at pixels;
    `files` are what was written of it, by name, relative to the report.
    """

    check: str
    sentence: str
    limit: str
    leans: Leaning = "none"
    strength: Strength = "context"
    details: Mapping[str, Any] = field(default_factory=dict)
    map: Map | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def without_map(self) -> Evidence:
        """The same without what is as large as the picture."""
        return replace(self, map=None)

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs."""
        return {
            "check": self.check,
            "sentence": self.sentence,
            "limit": self.limit,
            "leans": self.leans,
            "strength": self.strength,
            "details": dict(self.details),
            "files": dict(self.files),
        }


def strongest_first(several: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """As a page shows them: strong, weak, context; within each in the order of the checks."""
    return tuple(sorted(several, key=lambda one: _ORDER[one.strength]))
