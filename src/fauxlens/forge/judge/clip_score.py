"""CLIP score: does the picture show what the words say? Optional; any CLIP in transformers' format, from a folder.

Hessel et al., 2021: a hundred times the cosine of picture and text, nothing below zero. Asked twice: of the whole
picture and its caption, and of the region alone and the words it was made from; the lower of the two counts. The
benchmark's own cut-off is not published; 18 is ours, and a set's own quantiles are better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fauxlens.core.errors import BadWeights
from fauxlens.core.optional import need
from fauxlens.forge.judge.bounds import require_between
from fauxlens.forge.judge.grey import tight_box
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling
from fauxlens.forge.needs import Download, find_weights
from fauxlens.forge.region import Mask
from fauxlens.images.resample import resize_shortest
from fauxlens.images.shapes import Pixels

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class ClipScoreSettings:
    """The lowest score that passes."""

    limit: float = 18.0

    def __post_init__(self) -> None:
        require_between("limit", self.limit, 0.0, 100.0)


class ClipScore(Judge):
    """The lower of two scores: whole picture and caption, region and its words. Without words it cannot say."""

    name = "clip-score"
    settings_type = ClipScoreSettings
    needs = (
        Download(
            repository="openai/clip-vit-base-patch32",
            licence="MIT; its model card asks for a study before any deployed use",
            bytes=605_000_000,
            files=("config.json",),
            remark="any CLIP in transformers' format: config, weights, tokenizer",
        ),
    )
    about: ClassVar[str] = (
        "CLIP score of picture and caption, and of region and prompt; below 18 the words are not met."
    )

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._clip: _Clip | None = None

    def rule(self, exhibit: Exhibit) -> Ruling:
        """Score picture and region."""
        limit: float = self.settings.limit
        wording = f"at least {limit:g}"
        whole_words, region_words = exhibit.caption or exhibit.prompt, exhibit.prompt or exhibit.category
        if not whole_words and not region_words:
            return Ruling(self.name, None, None, wording, "no words to compare with")
        if self._clip is None:
            self._clip = _Clip(find_weights(self.name, self.needs, self.weights), self.device)
        scores: dict[str, float] = {}
        if whole_words:
            scores["picture"] = self._clip.score(exhibit.forged, whole_words)
        if region_words and exhibit.mask.any():
            scores["region"] = self._clip.score(self._clip.alone(exhibit.forged, exhibit.mask), region_words)
        if not scores:
            return Ruling(self.name, None, None, wording, "an empty mask and no caption")
        value = min(scores.values())
        note = ", ".join(f"{name} {score:.1f}" for name, score in scores.items())
        return Ruling(self.name, value, value >= limit, wording, note)


class _Clip:
    """Both towers and their tokenizer, and the preparation of pictures that the folder asks for."""

    def __init__(self, folder: Path, device: str) -> None:
        transformers = need("transformers", "forge", "the judge clip-score")
        try:
            self._model = transformers.CLIPModel.from_pretrained(str(folder), local_files_only=True).to(device).eval()
            self._words = transformers.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as fault:
            raise BadWeights("no CLIP can be read", where=folder, got=str(fault).partition("\n")[0]) from fault
        self._device = device
        self._side = int(self._model.config.vision_config.image_size)
        self._longest_text = int(self._model.config.text_config.max_position_embeddings)
        self._mean, self._deviation = _statistics(folder)

    @torch.inference_mode()
    def score(self, pixels: Pixels, words: str) -> float:
        """A hundred times the cosine, at least 0."""
        text = self._words(
            [words], padding=True, truncation=True, max_length=self._longest_text, return_tensors="pt"
        ).to(self._device)
        # By name: a tokenizer may give more than the tower takes.
        said = _vector(
            self._model.get_text_features(input_ids=text["input_ids"], attention_mask=text["attention_mask"])
        )
        seen = _vector(self._model.get_image_features(pixel_values=self._prepared(pixels).to(self._device)))
        return 100.0 * max(float(torch.nn.functional.cosine_similarity(said, seen)[0]), 0.0)

    def alone(self, pixels: Pixels, mask: Mask) -> Pixels:
        """The region's tight crop, all else of the mean colour, which the network sees as zero; padded to a square."""
        rows, columns = tight_box(mask)
        colour = np.rint(self._mean * 255).astype(np.uint8)
        crop = np.where(mask[rows, columns, None], pixels[rows, columns], colour)
        height, width = crop.shape[:2]
        side = max(height, width)
        square = np.broadcast_to(colour, (side, side, 3)).copy()
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = crop
        return square

    def _prepared(self, pixels: Pixels) -> Tensor:
        """Shorter side to the network's, bicubic; the centre; mean and deviation taken out."""
        small = resize_shortest(pixels, self._side, "bicubic")
        top, left = (small.shape[0] - self._side) // 2, (small.shape[1] - self._side) // 2
        centre = small[top : top + self._side, left : left + self._side].astype(np.float32) / np.float32(255)
        values = (centre - self._mean.astype(np.float32)) / self._deviation.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))


def _vector(given: Any) -> Tensor:
    # Newer versions of the library give a whole output, older ones the tensor.
    vector: Tensor = given if isinstance(given, Tensor) else given.pooler_output
    return vector


def _statistics(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mean and deviation of colours that the folder says, or OpenAI's."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return np.array(_MEAN), np.array(_DEVIATION)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        mean, deviation = (np.array(said.get(name, usual), dtype=np.float64) for name, usual in (
            ("image_mean", _MEAN), ("image_std", _DEVIATION)
        ))  # fmt: skip
    except (OSError, ValueError, AttributeError) as fault:
        raise BadWeights("a preparation that cannot be read", where=path, got=str(fault)) from fault
    if mean.shape != (3,) or deviation.shape != (3,) or not (deviation > 0).all():
        raise BadWeights("a preparation that cannot be meant", where=path, wanted="three means and deviations")
    return mean, deviation
