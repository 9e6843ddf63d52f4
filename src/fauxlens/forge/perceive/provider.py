"""The contract of perception: a photo in, candidate regions out; a region in, a caption out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.forge.needs import Download
from fauxlens.forge.perceive import CAPTIONERS, PROVIDERS
from fauxlens.forge.region import Caption, Photo, Region


class Provider(ABC):
    """Finds regions. Built once a process, asked photo by photo; the answer depends on photo and seed alone."""

    name: ClassVar[str]
    settings_type: ClassVar[type]
    """A frozen dataclass with a default for every field."""
    needs: ClassVar[tuple[Download, ...]] = ()

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        self.settings = self.settings_type() if settings is None else settings
        self.weights = weights
        self.device = device

    @abstractmethod
    def regions(self, photo: Photo, seed: int) -> Sequence[Region]:
        """Every candidate worth keeping, the most confident first within each mask type; none is an answer."""


class Captioner(ABC):
    """Says what is there and what to put there."""

    name: ClassVar[str]
    settings_type: ClassVar[type]
    needs: ClassVar[tuple[Download, ...]] = ()

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        self.settings = self.settings_type() if settings is None else settings
        self.weights = weights
        self.device = device

    @abstractmethod
    def caption(self, photo: Photo, region: Region, seed: int) -> Caption:
        """Describe `region` in `photo`, and perturb the description when the draw of `seed` says so."""


def load_provider(
    name: str, settings: Mapping[str, Any] | None = None, *, weights: Path | None = None, device: str = "cpu"
) -> Provider:
    """The provider called `name`, with `settings` checked against its own."""
    kind: type[Provider] = look_up(PROVIDERS, name, "provider of regions")
    return kind(
        settings_from(kind.settings_type, settings or {}, where=f"provider {name}"), weights=weights, device=device
    )


def load_captioner(
    name: str, settings: Mapping[str, Any] | None = None, *, weights: Path | None = None, device: str = "cpu"
) -> Captioner:
    """The captioner called `name`, with `settings` checked against its own."""
    kind: type[Captioner] = look_up(CAPTIONERS, name, "captioner")
    return kind(
        settings_from(kind.settings_type, settings or {}, where=f"captioner {name}"), weights=weights, device=device
    )
