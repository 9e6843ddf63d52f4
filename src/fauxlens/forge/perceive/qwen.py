"""Captions by Qwen2.5-VL: what is there, with delimiters, and by chance what might be there instead (BR-Gen's passes).

The paper's prompts could not be read; these are our own words. The library's processor cannot be built without
torchvision, of which only the part for videos has need, so the text is put together here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import cv2
import numpy as np
import torch

from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.core.optional import need
from fauxlens.forge.needs import Download, find_weights
from fauxlens.forge.perceive.marked import (
    MarkedText,
    keeps_outside,
    keeps_span,
    mark_of,
    parse_marked,
    plain_caption,
    prompt_of,
    wants_perturbing,
    with_span,
)
from fauxlens.forge.perceive.masks import box_of
from fauxlens.forge.perceive.pretrained import load_model, load_tokenizer
from fauxlens.forge.perceive.provider import Captioner
from fauxlens.forge.perceive.template import Template, TemplateSettings
from fauxlens.forge.region import Caption, Photo, Region
from fauxlens.images.shapes import Pixels

_PURPOSE = "captions by Qwen2.5-VL"
_PIXEL_SIDE = 28  # a token of the text is 2 by 2 patches of 14 pixels
_START, _END, _STOP = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_IMAGE, _SHOWN = "<|image_pad|>", "<|vision_start|><|image_pad|><|vision_end|>"

SYSTEM = "You caption photos for an image editor."
ASK_STUFF = (
    "Image 1 is a photo; image 2 is the same photo with a red box around the {name} region. Write one sentence of at "
    "most 40 words that describes the whole scene. Enclose the words that describe the boxed {name} region between two "
    "# characters, once. No other # allowed."
)
ASK_THING = (
    "Image 1 is a photo; image 2 is the same photo with a red box around the {name}. Write one sentence of at most 40 "
    "words that describes the whole scene. Enclose the words that name the boxed {name} between two $ characters, "
    "once; the rest of the sentence must describe the surroundings. No other $ allowed."
)
CHANGE_STUFF = (
    "Here is a caption: {caption}. Change only the words between the # characters so that they describe a different "
    "but physically plausible look of the same kind of region (weather, season, time of day, material, colour). Keep "
    "everything else identical and keep the # characters. Answer with the caption alone."
)
CHANGE_SURROUNDINGS = (
    "Here is a caption: {caption}. Keep the words between the $ characters unchanged. Rewrite the rest so that the "
    "same {name} is in a different, realistic environment. Keep the $ characters. Answer with the caption alone."
)
REMIND = "That is not what was asked: {fault}. Answer with one sentence that holds exactly two {mark} characters."

Turn = tuple[str, str]
"""Who speaks (system, user, assistant), and what."""


@dataclass(frozen=True, kw_only=True)
class QwenSettings:
    """How often a caption is perturbed, and how much the model may look at and say."""

    perturb_share: float = 0.5  # BR-Gen's
    retries: int = 2
    most_tokens: int = 60  # so that CLIP's 77 tokens hold the sentence
    most_pixels: int = 512 * _PIXEL_SIDE**2  # of each of the two images
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16, as the model is published, on a GPU, and float32 on a CPU."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.perturb_share <= 1.0:
            raise BadSetting("perturb_share is out of range", wanted="0 to 1", got=self.perturb_share)
        if self.retries < 0:
            raise BadSetting("retries is out of range", wanted="0 or more", got=self.retries)
        if not 8 <= self.most_tokens <= 75:
            raise BadSetting("most_tokens is out of range", wanted="8 to 75", got=self.most_tokens)
        if self.most_pixels < 4 * _PIXEL_SIDE**2:
            raise BadSetting(
                "most_pixels is out of range", wanted=f"at least {4 * _PIXEL_SIDE**2}", got=self.most_pixels
            )


class Talker(Protocol):
    """Whoever answers."""

    def answer(self, images: Sequence[Pixels], turns: Sequence[Turn]) -> str:
        """What the assistant says next; `images` are shown in the first turn of the user."""


class Qwen(Captioner):
    """Two passes: a sentence with the region's words marked, and, when the draw says so, another version of it."""

    name: ClassVar[str] = "qwen"
    settings_type: ClassVar[type] = QwenSettings
    settings: QwenSettings
    needs: ClassVar[tuple[Download, ...]] = (
        Download(
            repository="Qwen/Qwen2.5-VL-7B-Instruct",
            licence="Apache-2.0",
            bytes=2 * 8_292_166_656,  # two bytes for each parameter of the library's class, counted
            remark="the 3B model has a research licence",
        ),
    )

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._talker: Talker | None = None

    def caption(self, photo: Photo, region: Region, seed: int) -> Caption:
        """Ask for a caption, and for a perturbed one when the draw of `seed` is below the share."""
        talker = self._loaded()
        mark, name = mark_of(region.mask_type), _name_of(region)
        boxed = with_box(photo.pixels, region)
        notes: list[str] = []

        ask = ASK_THING if region.mask_type == "background" else ASK_STUFF
        turns = [("system", SYSTEM), ("user", ask.format(name=name))]
        first = self._ask(talker, (photo.pixels, boxed), turns, mark, "first pass", notes)
        if first is None:
            first = plain_caption("scene" if region.mask_type == "region" else name)
            notes.append("first pass: plain caption")

        perturb, draw = wants_perturbing(seed, self.settings.perturb_share)
        second = self._perturbed(talker, photo, region, boxed, first, seed, notes) if perturb else None
        return Caption(
            marked=first.marked(mark),
            prompt=prompt_of(region.mask_type, first, second),
            by=self.name,
            perturbed=None if second is None else second.marked(mark),
            draw=draw,
            notes=tuple(notes),
        )

    def _perturbed(
        self,
        talker: Talker,
        photo: Photo,
        region: Region,
        boxed: Pixels,
        first: MarkedText,
        seed: int,
        notes: list[str],
    ) -> MarkedText:
        mark, name = mark_of(region.mask_type), _name_of(region)
        kept_thing = region.mask_type == "background"
        change = CHANGE_SURROUNDINGS if kept_thing else CHANGE_STUFF
        turns = [("system", SYSTEM), ("user", change.format(caption=first.marked(mark), name=name))]
        second = self._ask(
            talker, (boxed,), turns, mark, "second pass", notes, lambda told: _unchanged(told, first, kept_thing)
        )
        if second is None:
            # The words are drawn instead, and only those that were to change.
            drawn = Template(TemplateSettings(perturb_share=1.0)).caption(photo, region, seed)
            second = parse_marked(drawn.perturbed or "", mark) or first
            notes.append("second pass: words by template")
        if kept_thing and not keeps_span(first, second):
            notes.append("second pass: the kept thing's words put back")
            return with_span(second, first.span)
        if not kept_thing and not keeps_outside(first, second):
            notes.append("second pass: only the region's words taken over")
            return with_span(first, second.span)
        return second

    def _ask(
        self,
        talker: Talker,
        images: Sequence[Pixels],
        turns: list[Turn],
        mark: str,
        which: str,
        notes: list[str],
        fault_of: Callable[[MarkedText], str | None] = lambda told: None,
    ) -> MarkedText | None:
        """The first usable answer, or None after as many reminders as there are retries."""
        for attempt in range(self.settings.retries + 1):
            told = talker.answer(images, turns)
            read = parse_marked(told, mark)
            fault = f"it has not exactly two {mark} around a few words" if read is None else fault_of(read)
            if fault is None:
                return read
            notes.append(f"{which}, answer {attempt + 1}: {fault}")
            # Decoding is greedy: the same question would have the same answer.
            turns = [*turns, ("assistant", _harmless(told)), ("user", REMIND.format(fault=fault, mark=mark))]
        return None

    def _loaded(self) -> Talker:
        if self._talker is None:
            folder = find_weights(self.name, self.needs, self.weights)
            self._talker = QwenModel(folder, self.settings, device=self.device)
        return self._talker


class QwenModel:
    """The model with its tokenizer: images and turns in, the next turn out, by greedy decoding."""

    def __init__(self, folder: Path, settings: QwenSettings, *, device: str = "cpu") -> None:
        transformers = need("transformers", "forge", _PURPOSE)
        half = settings.precision == "bfloat16" or (settings.precision == "auto" and device != "cpu")
        self.model = load_model(
            "Qwen2_5_VLForConditionalGeneration",
            folder,
            device=device,
            purpose=_PURPOSE,
            dtype=torch.bfloat16 if half else torch.float32,
        )
        self.tokenizer = load_tokenizer(folder, purpose=_PURPOSE)
        self.device = device
        vision = self.model.config.vision_config
        # By this name where torchvision is an option, by the other where the library has no such choice yet.
        kind = getattr(transformers, "Qwen2VLImageProcessorPil", None) or transformers.Qwen2VLImageProcessor
        self.images = kind(
            size={"shortest_edge": 4 * _PIXEL_SIDE**2, "longest_edge": settings.most_pixels},
            patch_size=vision.patch_size,
            merge_size=vision.spatial_merge_size,
            temporal_patch_size=vision.temporal_patch_size,
        )
        self.merge = int(vision.spatial_merge_size)
        end, stop, image = (self._token(one, folder) for one in (_END, _STOP, _IMAGE))
        if image != self.model.config.image_token_id:
            raise BadWeights(
                "model and tokenizer are not of one kind",
                where=folder,
                wanted=f"{_IMAGE} as token {self.model.config.image_token_id}",
                got=image,
            )
        # The folder's own file asks for chance and a penalty; it is not merged in, it is replaced.
        self.model.generation_config = transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=settings.most_tokens,
            eos_token_id=[end, stop],
            pad_token_id=stop,
            bos_token_id=None,
        )
        # Asked for by newer versions of the library, unknown to older ones.
        self._wants_types = "mm_token_type_ids" in inspect.signature(self.model.forward).parameters

    def answer(self, images: Sequence[Pixels], turns: Sequence[Turn]) -> str:
        """What the assistant says next."""
        given = self.inputs(images, turns)
        with torch.inference_mode():
            told = self.model.generate(**given)
        new = told[0, given["input_ids"].shape[1] :]
        return " ".join(str(self.tokenizer.decode(new, skip_special_tokens=True)).split())

    def inputs(self, images: Sequence[Pixels], turns: Sequence[Turn]) -> dict[str, Any]:
        """Tokens and patches of one conversation."""
        looked = self.images(images=[np.ascontiguousarray(one) for one in images], return_tensors="pt")
        grid = looked["image_grid_thw"]
        # One token of the text for each square of patches that the model merges.
        counts = (grid.prod(dim=1) // self.merge**2).tolist()
        read = self.tokenizer(conversation(turns, counts), return_tensors="pt", add_special_tokens=False)
        tokens = read["input_ids"]
        is_image = tokens == self.model.config.image_token_id
        if int(is_image.sum()) != sum(counts):
            raise BadWeights("the tokenizer does not know what stands for an image", wanted=_IMAGE)
        given = {
            "input_ids": tokens,
            "attention_mask": read["attention_mask"],
            "pixel_values": looked["pixel_values"],
            "image_grid_thw": grid,
        }
        if self._wants_types:
            given["mm_token_type_ids"] = is_image.long()
        return {name: value.to(self.device) for name, value in given.items()}

    def _token(self, word: str, folder: Path) -> int:
        number = self.tokenizer.get_vocab().get(word)
        if number is None:
            raise BadWeights("a tokenizer of another model", where=folder, wanted=f"the token {word}")
        return int(number)


def conversation(turns: Sequence[Turn], image_tokens: Sequence[int]) -> str:
    """The text the model was trained to read, up to where the assistant speaks.

    >>> print(conversation([("system", "Be short."), ("user", "What is it?")], [2]))
    <|im_start|>system
    Be short.<|im_end|>
    <|im_start|>user
    <|vision_start|><|image_pad|><|image_pad|><|vision_end|>What is it?<|im_end|>
    <|im_start|>assistant
    <BLANKLINE>
    """
    shown = "".join(_SHOWN.replace(_IMAGE, _IMAGE * count) for count in image_tokens)
    text = ""
    for who, words in turns:
        text += f"{_START}{who}\n{shown if who == 'user' else ''}{words}{_END}\n"
        if who == "user":
            # Once is enough: later turns are about the same images.
            shown = ""
    return f"{text}{_START}assistant\n"


def with_box(pixels: Pixels, region: Region) -> Pixels:
    """A copy of the photo with a red box around the stuff, or around the thing that is kept."""
    kept = ~region.mask if region.mask_type == "background" else region.mask
    x0, y0, x1, y1 = region.box or box_of(kept)
    copy = np.ascontiguousarray(pixels).copy()
    height, width = copy.shape[:2]
    thickness = max(2, round(max(height, width) / 200))
    # The corners are pixels that belong to the box, and all of the line is to be seen.
    low = (min(max(0, round(x0)), width - 1), min(max(0, round(y0)), height - 1))
    high = (min(max(0, round(x1) - 1), width - 1), min(max(0, round(y1) - 1), height - 1))
    cv2.rectangle(copy, low, high, (255, 0, 0), thickness)
    return copy


def _unchanged(told: MarkedText, first: MarkedText, kept_thing: bool) -> str | None:
    """What is wrong with a second sentence that says what the first one said."""
    same = told.before == first.before and told.after == first.after if kept_thing else told.span == first.span
    return ("nothing but the kept words changed" if kept_thing else "the marked words did not change") if same else None


def _name_of(region: Region) -> str:
    """The class in plain words; of a shape that means nothing, that it is one."""
    words = _harmless(re.sub("[#$]", " ", region.category))
    return words if words and region.mask_type != "region" else "chosen"


def _harmless(text: str) -> str:
    """Words of others without the signs that steer the model."""
    return " ".join(re.sub(r"<\|[^|]*\|>", " ", text).split())
