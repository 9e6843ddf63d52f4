"""What is said of one picture. Sentences before numbers; nothing that looks more certain than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fauxlens.core.errors import FauxlensError
from fauxlens.core.version import __version__
from fauxlens.detectors.prediction import Prediction
from fauxlens.verdict.evidence import Evidence, strongest_first

Verdict = Literal["no_sign", "inconclusive", "edited", "generated"]
Axis = Literal["whole_image", "local_edit"]
"""Two questions that are kept apart: was all of it made by a machine, was a part of it?"""

UNCALIBRATED = "no detector whose answers were calibrated has looked at it, so its scores are shown and not judged"
RANDOM = "the detector holds random weights: its numbers mean nothing"

NOT_CHECKABLE = (
    "SynthID and other private watermarks: they cannot be read by others than their owners; Google, OpenAI and others "
    "offer checks of their own",
)
"""What cannot be done on any machine of one's own; said beside every finding."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A calibrated answer to one question. `low` and `high` are the ends of the band in which nothing is said.

    `verdict` is `no_sign` below the band, `inconclusive` inside it, `edited` or `generated` above it.
    """

    axis: Axis
    logit: float
    probability: float
    low: float  # of the logit
    high: float | None  # None: this detector never gives the verdict
    verdict: Verdict
    calibrated_on: str  # in words: what, how many, when
    prior: float | None = None  # the share of fakes among those pictures, for which the probability holds

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs."""
        return {
            "verdict": self.verdict,
            "probability": round(self.probability, 4),
            "logit": round(self.logit, 4),
            "band": [self.low, self.high],
            "calibrated_on": self.calibrated_on,
            "prior": None if self.prior is None else round(self.prior, 4),
        }


@dataclass(frozen=True, slots=True)
class Redelivery:
    """What became of the answer after the picture was delivered in another way."""

    name: str  # the chain of degradations
    logit: float | None
    verdict: Verdict | None
    share: float | None  # of the picture that is marked


@dataclass(frozen=True, slots=True)
class Stability:
    """The same picture delivered n ways. `flips` counts those whose verdict contradicts the first one."""

    tried: tuple[Redelivery, ...]
    flips: int
    spread: float | None  # largest minus smallest logit, the first one included
    side: int | None = None  # the longer side of the part that was delivered, where it was not the whole

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs."""
        tried = [
            {"name": one.name, "logit": one.logit, "verdict": one.verdict, "edited_share": one.share}
            for one in self.tried
        ]
        return {"tried": tried, "flips": self.flips, "spread": self.spread, "side": self.side}


@dataclass(frozen=True, slots=True)
class Left:
    """How much of a trace can still be there after what the file went through: 1 all of it, 0 none.

    Below `enough` a detector's `no_sign` means nothing, and the verdict is `inconclusive` for this reason.
    """

    share: float
    enough: float
    reason: str  # "saved as JPEG of quality 40", in words

    @property
    def is_enough(self) -> bool:
        """Whether there is something left to judge."""
        return self.share >= self.enough

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs."""
        return {"share": round(self.share, 3), "enough": self.enough, "reason": self.reason}


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one detector says, and which weights it says it with. `answer` is None while nobody calibrated it."""

    prediction: Prediction
    setting: str
    weights: str
    answer: Answer | None = None
    level: float = 0.5  # from which probability on a pixel is marked
    share: float | None = None  # what `edited_share` was, where the mask is no longer kept
    place: str | None = None  # where in the picture the marks lie, in words; likewise
    limits: tuple[str, ...] = ()  # sentences of its card for whoever reads the finding

    @property
    def is_random(self) -> bool:
        """Whether it never learnt anything."""
        return self.prediction.weights_sha256 is None

    @property
    def edited_share(self) -> float | None:
        """The share of pixels that it marks, 0 to 1; None where there is no mask, or one that means nothing."""
        mask = self.prediction.mask
        if mask is None or self.is_random:
            return self.share
        return float((mask > self.level).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One picture, or why it could not be looked at. `marks` are files relative to the report, by detector."""

    path: str
    verdict: Verdict | None
    reason: str  # the one that decided, as a clause
    opinions: tuple[Opinion, ...] = ()
    file: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: tuple[Evidence, ...] = ()  # what the file says of its own origin
    evidence: tuple[Evidence, ...] = ()  # what its pixels say, detectors apart
    stability: Stability | None = None
    left: Left | None = None
    attribution: Mapping[str, Any] | None = None
    not_checked: tuple[str, ...] = NOT_CHECKABLE
    picture: str | None = None  # a copy of the picture beside the page, relative to the report
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    error: FauxlensError | None = None

    def without_maps(self) -> Finding:
        """The same without masks, traces and maps, which are as large as the picture; their shares are kept."""
        light = tuple(
            replace(
                one, prediction=replace(one.prediction, mask=None, trace=None, confidence=None), share=one.edited_share
            )
            for one in self.opinions
        )
        return replace(
            self, opinions=light, provenance=tuple(one.without_map() for one in self.provenance),
            evidence=tuple(one.without_map() for one in self.evidence),
        )  # fmt: skip

    @property
    def deciding(self) -> Opinion | None:
        """The first calibrated opinion; it is the one that the verdict rests on."""
        return next((one for one in self.opinions if one.answer is not None), None)

    @property
    def edited_share(self) -> float | None:
        """The marked share of the first detector that marks places."""
        return next((one.edited_share for one in self.opinions if one.edited_share is not None), None)

    @property
    def everything(self) -> tuple[Evidence, ...]:
        """All evidence, strongest first."""
        return strongest_first((*self.provenance, *self.evidence))

    def answer(self, axis: Axis) -> Answer | None:
        """The first calibrated answer to one of the two questions."""
        return next((one.answer for one in self.opinions if one.answer is not None and one.answer.axis == axis), None)

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs; keys stay."""
        first = next((self.marks[one.prediction.detector] for one in self.opinions
                      if one.prediction.detector in self.marks), {})  # fmt: skip
        deciding = self.deciding
        whole, local = self.answer("whole_image"), self.answer("local_edit")
        told: dict[str, Any] = {
            "path": self.path,
            "status": "ok" if self.error is None else "error",
            "verdict": self.verdict,
            "reason": self.reason,
            "probability": None if deciding is None or deciding.answer is None else deciding.answer.probability,
            "whole_image": None if whole is None else whole.as_json(),
            "local_edit": None if local is None else local.as_json(),
            "edited_share": self.edited_share,
            "picture": self.picture,
            "mask": first.get("mask"),
            "heatmap": first.get("heatmap"),
            "detectors": [self._detector(one) for one in self.opinions],
            "attribution": None if self.attribution is None else dict(self.attribution),
            "stability": None if self.stability is None else self.stability.as_json(),
            "evidence_left": None if self.left is None else self.left.as_json(),
            "provenance": [one.as_json() for one in self.provenance],
            "evidence": [one.as_json() for one in self.evidence],
            "file": dict(self.file),
            "notes": list(self.notes),
            "not_checked": list(self.not_checked),
            "seconds": round(self.seconds, 4),
            "version": __version__,
        }
        if self.error is not None:
            told["error"] = {"kind": self.error.kind, "message": self.error.message, "hint": self.error.hint}
        return told

    def _detector(self, opinion: Opinion) -> dict[str, Any]:
        said = opinion.prediction
        return {
            "name": said.detector,
            "setting": opinion.setting,
            "weights": opinion.weights,
            "weights_sha256": said.weights_sha256,
            "logit": said.logit,
            # A sigmoid is no chance until somebody measured how often it is right.
            "probability": None if opinion.answer is None else opinion.answer.probability,
            "answer": None if opinion.answer is None else {"axis": opinion.answer.axis, **opinion.answer.as_json()},
            "generators": None if said.generators is None else dict(said.generators),
            "edited_share": opinion.edited_share,
            "mask": self.marks.get(said.detector, {}).get("mask"),
            "heatmap": self.marks.get(said.detector, {}).get("heatmap"),
            "outline": self.marks.get(said.detector, {}).get("outline"),
            "confidence": self.marks.get(said.detector, {}).get("confidence"),
            "notes": list(said.notes),
            "seconds": round(said.seconds, 4),
        }
