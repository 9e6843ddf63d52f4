"""What is known of a detector and of its weights before anything is loaded: facts, licences, published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["detect", "localise", "identify", "trace"]
"""`detect`: one verdict a picture; `localise`: a mask; `identify`: which generator; `trace`: a map, no verdict."""

Use = Literal["open", "attribution", "non-commercial", "research-only", "ask", "ours"]
"""What the owner's terms allow, in one word; the terms themselves are what counts."""


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file as its owner published it."""

    name: str  # the file's own name
    source: str  # the page where the owner tells of it
    part: str = (
        ""  # the prefix under which its tensors belong in the network: "", "classifier.", "noise_extractor.layers."
    )
    hub: str | None = None  # a repository on the Hugging Face hub that belongs to the owner
    hub_name: str | None = None  # the file's name there, where it is another
    revision: str | None = None  # the revision that was checked, if one was
    sha256: str | None = None
    bytes: int | None = None
    released: bool = True  # False: nobody gives it away; it is what one's own training writes
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """Files that together make one detector work, and what may be done with them."""

    name: str
    files: tuple[WeightFile, ...]
    licence: str
    use: Use
    terms: str  # one sentence that is shown before anything is fetched
    trained_on: str
    setting: str | None = None  # the detector's setting these belong to; None: its default
    labels: tuple[str, ...] = ("fake",)  # what each output of the last layer stands for, in order
    recommended: str = ""  # why somebody who has none yet should fetch these first; "" for all but a few


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number its authors, or a benchmark, published."""

    data: str
    metric: str
    value: float
    source: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A detector in one page."""

    name: str
    title: str
    year: int
    family: str
    tasks: tuple[Task, ...]
    paper: str  # authors, title, where it appeared
    about: str  # how it works, in two or three sentences
    input: str  # what the network is shown
    parameters: int  # counted by the tests
    code: str  # where the authors' code is, and its licence
    weights: tuple[WeightSet, ...] = ()
    targets: tuple[Target, ...] = ()
    limits: tuple[str, ...] = ()  # what its user must know before believing it
