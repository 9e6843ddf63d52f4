"""DreamSim: how much of what a person sees in the original is left. Optional; the package `dreamsim` measures it.

Fu et al., 2023: an ensemble of three vision transformers, 224 pixels, one minus the cosine of their embeddings. The
benchmark's own cut-off is not published; the limits here are ours, and a set's own quantiles are better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting, MissingExtra
from fauxlens.core.optional import need
from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.needs import Download, find_weights
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

SIDE = 224


@dataclass(frozen=True, kw_only=True)
class DreamSimSettings:
    """The distances that pass: below `lowest` nothing changed, above `highest` the photo is not to be known again."""

    lowest: float = 0.01
    highest: float = 0.6  # not asked of backgrounds: all but one thing is meant to be new
    kind: str = "ensemble"

    def __post_init__(self) -> None:
        require_between("lowest", self.lowest, 0.0, 2.0)
        require_between("highest", self.highest, 0.0, 2.0)
        if self.lowest > self.highest:
            raise BadSetting("lowest is above highest", wanted=f"at most {self.highest:g}", got=self.lowest)


class DreamSim(Judge):
    """Distance of the forged picture to the original, both at 224 pixels, bicubic.

    `weights` is the folder that the package keeps its models in.
    """

    name = "dreamsim"
    settings_type = DreamSimSettings
    needs = (
        Download(
            repository="https://github.com/ssundaram21/dreamsim/releases",
            licence="MIT",
            remark="the package `dreamsim` and the models of its releases; the package fetches those it misses",
        ),
    )
    about: ClassVar[str] = "DreamSim distance to the original: 0.01 to 0.6; backgrounds have no upper limit."

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._model: Callable[[Any, Any], Any] | None = None

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Measure the distance."""
        settings: DreamSimSettings = self.settings
        bounded = exhibit.mask_type != "background"
        wording = f"at least {settings.lowest:g}" + (f" and at most {settings.highest:g}" if bounded else "")
        value = self.distance(exhibit.original, exhibit.forged)
        passed = value >= settings.lowest and (value <= settings.highest or not bounded)
        return Ruling(self.name, value, passed, wording)

    def distance(self, one: Pixels, other: Pixels) -> float:
        """One minus the cosine of both embeddings: 0 for what looks the same."""
        import torch

        if self._model is None:
            self._model = self._loaded()
        first, second = (torch.from_numpy(_prepared(pixels)).to(self.device) for pixels in (one, other))
        with torch.inference_mode():
            return float(self._model(first, second).reshape(-1)[0])

    def _loaded(self) -> Callable[[Any, Any], Any]:
        try:
            package = need("dreamsim", "forge", "the judge dreamsim")
        except MissingExtra as gone:
            raise MissingExtra(gone.what, hint="pip install dreamsim") from gone
        folder = find_weights(self.name, self.needs, self.weights)
        model, _ = package.dreamsim(
            pretrained=True, device=self.device, cache_dir=str(folder), dreamsim_type=self.settings.kind
        )
        loaded: Callable[[Any, Any], Any] = model.eval()
        return loaded


def _prepared(pixels: Pixels) -> np.ndarray[Any, Any]:
    """(1, 3, 224, 224) in 0 to 1; the model itself takes mean and deviation out."""
    small = resize(pixels, (SIDE, SIDE), "bicubic")
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
