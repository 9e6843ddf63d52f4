"""The contract of creation: a photo, a mask and a seed in, a whole new frame out.

A method knows its model's mask polarity, size rule and sources of chance, and nobody else does: it is given True where
the picture is to be made anew, and gives back a frame of the photo's own size in which anything may have changed. What
of it is pasted back is the compositor's business (`fauxlens.forge.compose`), the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.forge.create import GROUPS, METHODS
from fauxlens.forge.needs import Download, find_weights
from fauxlens.forge.region import Mask
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels, require_rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """What a user must know of a method before using what it makes."""

    name: str
    release_name: str  # one word, as file names of the release carry it: LaMa, NavierStokes
    title: str
    group: str
    paper: str
    licence: str  # of the code and weights that are used; what it makes follows from it
    about: str
    needs: tuple[Download, ...] = ()
    terms: str = ""  # what the licence asks beyond its name: non-commercial, use restrictions
    divisor: int = 1  # both sides are brought to a multiple of it
    longest: int | None = None  # the longest side it works at; larger photos are shrunk, and the fill enlarged
    shortest: int = 8
    needs_prompt: bool = False
    needs_donor: bool = False
    deterministic: bool = False  # whether the seed changes nothing, so that it need not be made twice
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise BadSetting("no such group of methods", where=self.name, wanted=", ".join(GROUPS), got=self.group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing to make. `mask` is True where the picture is to be made anew."""

    pixels: Pixels
    mask: Mask
    seed: int
    prompt: str | None = None
    mask_type: str = "stuff"
    category: str = ""
    donor: Pixels | None = None  # another real photo, for methods that take from one

    def __post_init__(self) -> None:
        require_rgb(self.pixels, "request")
        if self.mask.dtype != np.bool_ or self.mask.shape != self.pixels.shape[:2]:
            raise BadShape(
                "a mask that does not fit its photo",
                wanted=f"{self.pixels.shape[:2]} bool",
                got=f"{self.mask.shape} {self.mask.dtype}",
            )
        if not self.mask.any():
            raise BadShape("an empty mask: there is nothing to make")
        if self.mask.all():
            raise BadShape("a mask of the whole frame: nothing would be left of the photo")


@dataclass(frozen=True, slots=True)
class Fill:
    """What a method made: the whole frame, at the photo's size, before anything is pasted back."""

    pixels: Pixels
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON: everything that decided what came out
    generator: str | None = None  # a finer name than the method's, where one method is many generators


class Method(ABC):
    """One way to make a region anew. Built once a process, asked request by request.

    A subclass has a `card`, a `settings_type`, and `make`. The same request gives the same bytes on the same device.
    """

    card: ClassVar[MethodCard]
    settings_type: ClassVar[type]
    """A frozen dataclass with a default for every field."""

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        self.settings = self.settings_type() if settings is None else settings
        self.weights = weights
        self.device = device

    def ready(self) -> None:
        """Raise what would go wrong for every request: files that are not there, libraries that are absent."""
        if self.card.needs:
            find_weights(self.card.name, self.card.needs, self.weights)

    @abstractmethod
    def make(self, request: Request) -> Fill:
        """Fill a request of working size: sides within the card's limits and multiples of its divisor."""

    def size_for(self, request: Request) -> tuple[int, int]:
        """(height, width) at which a request is made; a method that also enlarges has a rule of its own."""
        return working_size(request.mask.shape, longest=self.card.longest, divisor=self.card.divisor)

    def fill(self, request: Request) -> Fill:
        """Fill any request: brought to working size, made, brought back to the photo's size."""
        card = self.card
        height, width = request.pixels.shape[:2]
        if min(height, width) < card.shortest:
            raise BadShape(
                "a photo too small for this method",
                where=card.name,
                wanted=f"sides of at least {card.shortest}",
                got=f"{width} x {height}",
            )
        if card.needs_prompt and not request.prompt:
            raise BadSetting("this method has to be told what to make", where=card.name, hint="give a prompt")
        if card.needs_donor and request.donor is None:
            raise BadSetting("this method takes from another photo", where=card.name, hint="give a donor")
        size = self.size_for(request)
        asked = request if size == (height, width) else _resized(request, size)
        made = self.make(asked)
        require_rgb(made.pixels, card.name)
        if made.pixels.shape != asked.pixels.shape:
            raise BadShape(
                "a method must give a frame of the size it was asked for",
                where=card.name,
                wanted=asked.pixels.shape,
                got=made.pixels.shape,
            )
        pixels = made.pixels if size == (height, width) else resize(made.pixels, (height, width), "lanczos")
        parameters = {**made.parameters, "working_size": list(size)}
        return Fill(pixels, parameters, made.generator)


def working_size(size: tuple[int, int], *, longest: int | None, divisor: int) -> tuple[int, int]:
    """(height, width) at which a method works: shrunk to its limit, then to the nearest multiples of its divisor.

    >>> working_size((333, 500), longest=None, divisor=8)
    (336, 504)
    >>> working_size((1000, 2000), longest=1024, divisor=64)
    (512, 1024)
    """
    height, width = size
    scale = 1.0 if longest is None else min(1.0, longest / max(height, width))
    top = None if longest is None else longest - longest % divisor

    def fitted(side: int) -> int:
        nearest = max(divisor, int(side * scale / divisor + 0.5) * divisor)
        return nearest if top is None else min(nearest, top)

    return fitted(height), fitted(width)


def load_method(
    name: str, settings: Mapping[str, Any] | None = None, *, weights: Path | None = None, device: str = "cpu"
) -> Method:
    """The method called `name`, with `settings` checked against its own."""
    kind: type[Method] = look_up(METHODS, name, "creation method")
    return kind(
        settings_from(kind.settings_type, settings or {}, where=f"method {name}"), weights=weights, device=device
    )


def _resized(request: Request, size: tuple[int, int]) -> Request:
    # Any pixel that is touched by the mask is made anew: a hole that grows by a pixel is pasted over, one that
    # shrinks would leave a rim of the photo inside the region.
    box = resize(request.mask.astype(np.uint8) * 255, size, "box") > 0
    if box.all():
        box = resize(request.mask.astype(np.uint8) * 255, size, "box") > 127
    return Request(
        pixels=resize(request.pixels, size, "lanczos"),
        mask=box,
        seed=request.seed,
        prompt=request.prompt,
        mask_type=request.mask_type,
        category=request.category,
        donor=request.donor,
    )
