"""The contract of judging: a forgery in, a value and a verdict out. Every value is recorded, also of what passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fauxlens.core.errors import BadShape
from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.forge.judge import JUDGES
from fauxlens.forge.needs import Download
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels, require_rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """What a judge looks at."""

    original: Pixels
    forged: Pixels
    mask: Mask  # True where it was made anew
    mask_type: str = "stuff"
    category: str = ""
    variant: str = "spliced"
    prompt: str | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        require_rgb(self.original, "original")
        require_rgb(self.forged, "forged")
        fits = self.forged.shape == self.original.shape and self.mask.shape == self.original.shape[:2]
        if not fits or self.mask.dtype != np.bool_:
            raise BadShape(
                "original, forged and mask do not fit",
                wanted=f"{self.original.shape} and a bool mask of {self.original.shape[:2]}",
                got=f"{self.forged.shape} and {self.mask.dtype} {self.mask.shape}",
            )


@dataclass(frozen=True, slots=True)
class Ruling:
    """One judge's value and verdict. `passed` is None when the judge cannot say: too small a region, nothing to ask."""

    judge: str
    value: float | None
    passed: bool | None
    rule: str  # "at most 60", in words
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return asdict(self)


class Judge(ABC):
    """One rule. Built once a process, asked exhibit by exhibit; the answer depends on the exhibit alone."""

    name: ClassVar[str]
    settings_type: ClassVar[type]
    """A frozen dataclass with a default for every field."""
    needs: ClassVar[tuple[Download, ...]] = ()
    about: ClassVar[str] = ""

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        self.settings = self.settings_type() if settings is None else settings
        self.weights = weights
        self.device = device

    @abstractmethod
    def rule(self, exhibit: Exhibit) -> Ruling:
        """Look at `exhibit` and rule."""


def load_judge(
    name: str, settings: Mapping[str, Any] | None = None, *, weights: Path | None = None, device: str = "cpu"
) -> Judge:
    """The judge called `name`, with `settings` checked against its own."""
    kind: type[Judge] = look_up(JUDGES, name, "judge")
    return kind(
        settings_from(kind.settings_type, settings or {}, where=f"judge {name}"), weights=weights, device=device
    )


def passes(rulings: Sequence[Ruling]) -> bool:
    """Whether nobody said no; a judge that cannot say does not stop anything."""
    return all(one.passed is not False for one in rulings)
