"""PowerPaint, first version: a Stable Diffusion inpainting model that was told what each region is for.

Its nine-channel UNet sees the hole (1 in its mask) and the photo with the hole grey. Which task is asked is said in
learnt words behind the prompt (`task_words`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fauxlens.core.errors import BadWeights
from fauxlens.forge.create.method import Fill, MethodCard, Request
from fauxlens.forge.create.pipelines import (
    BASE,
    DIVISOR,
    NO_FILTER,
    OPEN_RAIL,
    DiffusionMethod,
)
from fauxlens.forge.create.task_words import (
    LONGEST,
    MODES,
    TaskSettings,
    TaskWords,
    task_embeddings,
    task_words,
)
from fauxlens.forge.needs import Download, find_weights

UNET_FILE = "unet/unet.safetensors"
WORDS_FILE = "text_encoder/text_encoder.safetensors"


@dataclass(frozen=True, kw_only=True)
class PowerPaintV1Settings(TaskSettings):
    """The first version was shown words of bad quality as what is not wanted; which ones is our choice."""

    quality_words: str = "worst quality, low quality, blurry"


class PowerPaintV1(DiffusionMethod):
    """PowerPaint's first version as a method of the forge."""

    card = MethodCard(
        name="powerpaint-v1",
        release_name="PowerPaintV1",
        title="PowerPaint, version 1",
        group="diffusion",
        paper="Zhuang et al., A task is worth one word: learning with task prompts for high-quality versatile image "
        "inpainting, ECCV 2024",
        licence="code MIT; weights CreativeML OpenRAIL-M",
        terms=OPEN_RAIL,
        about="Stable Diffusion 1.5 inpainting, all of it trained on, with three tasks in learnt words.",
        needs=(
            Download(
                repository="JunhaoZhuang/PowerPaint-v1",
                licence="CreativeML OpenRAIL-M",
                bytes=3_930_000_000,  # 859.5 and 123.1 million numbers in single precision
                files=(UNET_FILE, WORDS_FILE),
            ),
            Download(
                repository="stable-diffusion-v1-5/stable-diffusion-inpainting",
                licence="CreativeML OpenRAIL-M",
                bytes=4_270_000_000,
                part=BASE,
                remark="a mirror; the original repository is gone",
            ),
        ),
        divisor=DIVISOR,
        longest=LONGEST,
        needs_prompt=True,
        limits=(
            "Photos are brought to a shorter side of 640 pixels (512 for backgrounds), also by enlarging, and the "
            "frame back.",
            "Stuff is asked for in words, backgrounds by their surroundings: our choice, by name in the settings.",
            "The authors' demonstration returns the raw frame, as this does; compositing is the same for all methods.",
            "Ten of the encoder's 77 tokens belong to the task; `words_lost` tells how much of a prompt was not said.",
        ),
    )
    settings_type = PowerPaintV1Settings
    settings: PowerPaintV1Settings
    pipeline_kind = "StableDiffusionInpaintPipeline"
    words: TaskWords

    def load(self) -> Any:
        """The inpainting pipeline with the released UNet in it, and beside it the encoder that knows the tasks."""
        from fauxlens.detectors.checkpoint import load_strictly, read_tensors

        folder = find_weights(self.card.name, self.card.needs, self.weights)
        pipe = self.pipeline_from(folder / BASE, **NO_FILTER)
        if pipe.unet.config.in_channels != 9:
            raise BadWeights(
                "not an inpainting model", where=folder / BASE, wanted="9 channels in",
                got=pipe.unet.config.in_channels, hint="give a saved stable-diffusion-inpainting",
            )  # fmt: skip
        load_strictly(pipe.unet, read_tensors(folder / UNET_FILE), folder / UNET_FILE)
        self.words = task_words(pipe, folder / WORDS_FILE)
        for file in (UNET_FILE, WORDS_FILE):
            self.keep_digest(file, folder / file)
        return pipe

    def size_for(self, request: Request) -> tuple[int, int]:
        """The shorter side at what the settings say."""
        return self.settings.size_for(request)

    def make(self, request: Request) -> Fill:
        """The whole new frame."""
        settings = self.settings
        pipe = self.pipe
        name = settings.mode_for(request.mask_type)
        wanted, unwanted = task_embeddings(self.words, settings, name, request.prompt or "")
        pixels = self.called(
            request, prompt=None, prompt_embeds=wanted, negative_prompt_embeds=unwanted, strength=1.0,
            image=Image.fromarray(request.pixels), mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
        )  # fmt: skip
        lost = self.words.lost(settings.wanted(MODES[name], request.prompt or ""))
        return self.filled(
            pixels, request, unet_channels=int(pipe.unet.config.in_channels), **settings.facts(name), words_lost=lost
        )
