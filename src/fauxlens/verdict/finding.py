"""What is said of one picture. Sentences before numbers; nothing that looks more certain than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fauxlens.core.errors import FauxlensError
from fauxlens.core.version import __version__
from fauxlens.detectors.prediction import Prediction

Verdict = Literal["no_sign", "inconclusive", "edited", "generated"]

UNCALIBRATED = "no detector whose answers were calibrated has looked at it, so its scores are shown and not judged"
RANDOM = "the detector holds random weights: its numbers mean nothing"

NOT_CHECKED = (
    "whether the scores hold after another saving, resizing or cropping",
    "where the file says it comes from (EXIF, XMP, C2PA, texts of generators)",
    "SynthID and other private watermarks: they cannot be read by others than their owners",
)
"""What this version never does; said beside every finding."""


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one detector says, and which weights it says it with."""

    prediction: Prediction
    setting: str
    weights: str
    share: float | None = None  # what `edited_share` was, where the mask is no longer kept

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
        return float((mask > 0.5).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One picture, or why it could not be looked at. `marks` are files relative to the report, by detector."""

    path: str
    verdict: Verdict | None
    reason: str
    opinions: tuple[Opinion, ...] = ()
    file: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    error: FauxlensError | None = None

    def without_maps(self) -> Finding:
        """The same without masks and traces, which are as large as the picture; their shares are kept."""
        light = tuple(
            replace(
                one, prediction=replace(one.prediction, mask=None, trace=None, confidence=None), share=one.edited_share
            )
            for one in self.opinions
        )
        return replace(self, opinions=light)

    @property
    def edited_share(self) -> float | None:
        """The marked share of the first detector that marks places."""
        return next((one.edited_share for one in self.opinions if one.edited_share is not None), None)

    def as_json(self) -> dict[str, Any]:
        """Its twin for programs; keys stay."""
        first = next((self.marks[one.prediction.detector] for one in self.opinions
                      if one.prediction.detector in self.marks), {})  # fmt: skip
        told: dict[str, Any] = {
            "path": self.path,
            "status": "ok" if self.error is None else "error",
            "verdict": self.verdict,
            "reason": self.reason,
            "probability": None,
            "whole_image": None,
            "local_edit": None,
            "edited_share": self.edited_share,
            "mask": first.get("mask"),
            "heatmap": first.get("heatmap"),
            "detectors": [self._detector(one) for one in self.opinions],
            "attribution": None,
            "stability": None,
            "provenance": [],
            "file": dict(self.file),
            "notes": list(self.notes),
            "not_checked": list(NOT_CHECKED),
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
            "probability": None,
            "generators": None if said.generators is None else dict(said.generators),
            "edited_share": opinion.edited_share,
            "mask": self.marks.get(said.detector, {}).get("mask"),
            "heatmap": self.marks.get(said.detector, {}).get("heatmap"),
            "confidence": self.marks.get(said.detector, {}).get("confidence"),
            "notes": list(said.notes),
            "seconds": round(said.seconds, 4),
        }
