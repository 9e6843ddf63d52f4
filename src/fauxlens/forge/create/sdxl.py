"""SDXL inpainting, from a pipeline that diffusers saved: the nine-channel model made for it, or the base model.

The nine-channel UNet sees the hole (1 in its mask) and the latent of the picture without it. The four-channel one sees
neither; there the pipeline puts the noised photo back around the hole after every step. Both give a whole new frame:
the autoencoder changes every pixel, outside the hole too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.forge.create.method import Fill, MethodCard, Request
from fauxlens.forge.create.pipelines import (
    DIVISOR,
    OPEN_RAIL,
    DiffusionMethod,
    DiffusionSettings,
    check_side,
    native_size,
    steps_made,
)
from fauxlens.forge.needs import Download, find_weights


@dataclass(frozen=True, kw_only=True)
class SdxlSettings(DiffusionSettings):
    """The defaults are those of the model's own page."""

    steps: int = 20
    guidance: float = 8.0
    strength: float = 0.99  # at 1 the frame would start from noise alone, which this model does badly
    longest: int = 1024  # the longer side that is worked at

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.strength < 1.0:
            raise BadSetting("strength is out of range", wanted="above 0 and below 1", got=self.strength)
        if steps_made(self.steps, self.strength) < 1:
            raise BadSetting(
                "no step is left of so few at this strength", wanted="steps times strength of at least 1",
                got=f"{self.steps} times {self.strength}",
            )  # fmt: skip
        check_side("longest", self.longest)


class Sdxl(DiffusionMethod):
    """SDXL inpainting as a method of the forge."""

    card = MethodCard(
        name="sdxl",
        release_name="SDXL",
        title="Stable Diffusion XL inpainting",
        group="diffusion",
        paper="Podell et al., SDXL: improving latent diffusion models for high-resolution image synthesis, 2023",
        licence="CreativeML Open RAIL++-M",
        terms=OPEN_RAIL,
        about="A latent diffusion model told by words, by the hole and by the picture around it.",
        needs=(
            Download(
                repository="diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
                licence="CreativeML Open RAIL++-M",
                bytes=13_900_000_000,  # 3.47 billion numbers in single precision
                remark='half of it with the setting variant = "fp16"; a saved SDXL base pipeline does too',
            ),
        ),
        divisor=DIVISOR,
        longest=1024,
        needs_prompt=True,
        limits=(
            "Photos are brought to a longer side of 1024 pixels, small ones by enlarging, and the frame back: what is "
            "pasted into a small photo was shrunk. The setting `enlarge` turns that off.",
            "The whole frame is re-encoded; the regenerated variant differs from the photo everywhere.",
            "Prompts of more than 75 tokens are cut; `words_lost` tells by how many.",
        ),
    )
    settings_type = SdxlSettings
    settings: SdxlSettings
    pipeline_kind = "StableDiffusionXLInpaintPipeline"

    def load(self) -> Any:
        """The pipeline, without its watermark."""
        folder = find_weights(self.card.name, self.card.needs, self.weights)
        pipe = self.pipeline_from(folder, add_watermarker=False)
        channels = pipe.unet.config.in_channels
        if channels not in (4, 9):
            raise BadWeights("not a UNet of this pipeline", where=folder, wanted="4 or 9 channels in", got=channels)
        return pipe

    def size_for(self, request: Request) -> tuple[int, int]:
        """The longer side at what the settings say."""
        return native_size(request.mask.shape, longest=self.settings.longest, enlarge=self.settings.enlarge)

    def make(self, request: Request) -> Fill:
        """The whole new frame."""
        settings = self.settings
        pixels = self.called(
            request, prompt=request.prompt, image=Image.fromarray(request.pixels),
            mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255), strength=settings.strength,
        )  # fmt: skip
        return self.filled(
            pixels, request, strength=settings.strength, steps_made=steps_made(settings.steps, settings.strength),
            unet_channels=int(self.pipe.unet.config.in_channels), longest=settings.longest, watermark=False,
        )  # fmt: skip
