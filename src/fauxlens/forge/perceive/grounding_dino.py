"""GroundingDINO asked for categories: boxes of what is in a photo, each with the one name it fits best.

The library glues the words of a box together from whatever tokens are bright, and with a list of names that gives
phrases nobody asked for. Here each name knows its tokens, and a box's score for it is the brightest of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.pretrained import load_model, load_tokenizer
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

_PURPOSE = "finding things and stuff by name"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Names in one text, and the tokens of each: `spans` are first and one past the last."""

    text: str
    names: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Found:
    """A box in the photo's pixels (x0, y0, x1, y1), the name that fits it best, and how well."""

    name: str
    score: float
    box: Box


class GroundingDino:
    """Names in, boxes out. `shortest` and `longest` bound the sides at which a photo is looked at."""

    def __init__(self, folder: Path, *, device: str = "cpu", shortest: int = 800, longest: int = 1333) -> None:
        self.model = load_model("GroundingDinoForObjectDetection", folder, device=device, purpose=_PURPOSE)
        self.tokenizer = load_tokenizer(folder, purpose=_PURPOSE)
        self.device = device
        self.shortest = shortest
        self.longest = longest

    def prompts(self, names: Sequence[str], most_labels: int) -> tuple[Prompt, ...]:
        """Cut `names` into texts of at most `most_labels` names that the model reads whole."""
        return prompts_of(names, self.tokenizer, most_labels, int(self.model.config.max_text_len))

    def prepare(self, pixels: Pixels) -> Tensor:
        """(H, W, 3) -> (1, 3, h, w), as the model was trained: sides bounded, ImageNet's statistics."""
        size = bounded_size(pixels.shape[0], pixels.shape[1], self.shortest, self.longest)
        small = torch.from_numpy(resize(pixels, size, "bilinear")).to(self.device)
        image = small.permute(2, 0, 1).float() / 255.0
        mean, deviation = (torch.tensor(one, device=self.device)[:, None, None] for one in (_MEAN, _DEVIATION))
        return ((image - mean) / deviation)[None]

    def look(self, image: Tensor, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """(1, 3, h, w) -> logits (queries, tokens) and boxes (queries, 4) as centre and size in shares of the photo."""
        read = self.tokenizer(prompt.text, return_tensors="pt").to(self.device)
        whole = torch.ones((1, *image.shape[2:]), dtype=torch.long, device=self.device)
        with torch.inference_mode():
            told = self.model(pixel_values=image, pixel_mask=whole, **read)
        return told.logits[0].float(), told.pred_boxes[0].float()

    def find(self, pixels: Pixels, prompts: Sequence[Prompt], threshold: float) -> list[Found]:
        """Every box whose best name scores at least `threshold`, the most confident first."""
        image = self.prepare(pixels)
        height, width = pixels.shape[:2]
        found: list[Found] = []
        for prompt in prompts:
            logits, boxes = self.look(image, prompt)
            found += named_boxes(logits, boxes, prompt, (height, width), threshold)
        return sorted(found, key=lambda one: (-one.score, one.name, one.box))


def prompts_of(names: Sequence[str], tokenizer: Any, most_labels: int, most_tokens: int) -> tuple[Prompt, ...]:
    """Cut `names` into texts of at most `most_labels` names and `most_tokens` tokens, each name with its span."""
    prompts: list[Prompt] = []
    waiting: list[str] = []
    for name in names:
        if not name.strip() or "." in name or name != name.lower():
            raise BadSetting("a name that cannot be asked for", wanted="lower case, without a full stop", got=name)
        if waiting and (len(waiting) == most_labels or _prompt([*waiting, name], tokenizer).tokens > most_tokens):
            prompts.append(_prompt(waiting, tokenizer))
            waiting = []
        waiting.append(name)
    if waiting:
        prompts.append(_prompt(waiting, tokenizer))
    too_long = [one for one in prompts if one.tokens > most_tokens]
    if too_long:
        got = f"{too_long[0].tokens} for '{too_long[0].text}'"
        raise BadSetting("a name too long to be read", wanted=f"at most {most_tokens} tokens", got=got)
    return tuple(prompts)


def named_boxes(logits: Tensor, boxes: Tensor, prompt: Prompt, size: tuple[int, int], threshold: float) -> list[Found]:
    """Queries whose best name reaches `threshold`, with boxes in the pixels of a photo of `size` (height, width)."""
    # Padded positions are minus infinity; the sigmoid comes first, so that they count as 0 and nothing is undefined.
    bright = logits.sigmoid()
    scores = torch.stack([bright[:, first:last].max(dim=1).values for first, last in prompt.spans], dim=1)
    best, which = scores.max(dim=1)
    height, width = size
    x, y, wide, high = boxes.unbind(dim=1)
    scale = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    corners = torch.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], dim=1).clamp(0.0, 1.0) * scale
    found = []
    for query in torch.nonzero(best >= threshold)[:, 0].tolist():
        x0, y0, x1, y1 = corners[query].tolist()
        if x1 > x0 and y1 > y0:
            found.append(Found(prompt.names[int(which[query])], float(best[query]), (x0, y0, x1, y1)))
    return found


def distinct(found: Sequence[Found], overlap: float, most: int) -> list[Found]:
    """The most confident first; a box that shares more than `overlap` (of the union) with a better one is left out.

    >>> one, same = Found("sky", 0.9, (0, 0, 10, 10)), Found("sea", 0.5, (0, 0, 10, 9))
    >>> distinct([same, one], 0.8, 5) == [one]
    True
    """
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (-one.score, one.name, one.box)):
        if len(kept) == most:
            break
        if all(_shared(one.box, other.box) <= overlap for other in kept):
            kept.append(one)
    return kept


def bounded_size(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """(height, width) with the shorter side at `shortest`, or less where the longer one would pass `longest`.

    >>> bounded_size(480, 640, 800, 1333), bounded_size(300, 900, 800, 1333)
    ((800, 1066), (444, 1333))
    """
    small, large = min(height, width), max(height, width)
    # The longer side follows the exact shorter one, and both lose their fractions, as in training.
    exact = float(shortest)
    side = shortest
    if large / small * shortest > longest:
        exact = longest * small / large
        side = round(exact)
    other = int(exact * large / small) if side != small else large
    return (side, other) if height <= width else (other, side)


def _prompt(names: Sequence[str], tokenizer: Any) -> Prompt:
    text = ". ".join(names) + "."
    read = tokenizer(text, return_offsets_mapping=True)
    spans = []
    start = 0
    for name in names:
        end = start + len(name)
        # Special tokens have empty offsets, and a full stop is no part of a name.
        inside = [i for i, (first, last) in enumerate(read["offset_mapping"]) if first >= start and last <= end > first]
        inside = [i for i in inside if read["offset_mapping"][i][1] > read["offset_mapping"][i][0]]
        if not inside:
            raise BadSetting("a name of which the tokenizer makes nothing", got=name)
        spans.append((inside[0], inside[-1] + 1))
        start = end + 2
    return Prompt(text, tuple(names), tuple(spans), len(read["input_ids"]))


def _shared(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return wide * high / (both - wide * high)
