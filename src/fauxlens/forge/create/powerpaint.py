"""PowerPaint, second version: a frozen Stable Diffusion 1.5, told by a branch that reads the task.

The branch is BrushNet's with the cross-attention kept. It reads the prompt with its task in learnt words, from a text
encoder of its own; the frozen UNet reads the plain prompt. The hole is black, and the mask 1 where the photo is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fauxlens.forge.create.brushnet import STABLE_DIFFUSION, BranchedMethod, sampled_by
from fauxlens.forge.create.method import Fill, MethodCard, Request
from fauxlens.forge.create.pipelines import BASE, DIVISOR, NO_FILTER, OPEN_RAIL, within
from fauxlens.forge.create.task_words import (
    LONGEST,
    MODES,
    TaskSettings,
    TaskWords,
    task_embeddings,
    task_words,
)
from fauxlens.forge.needs import Download, find_weights

if TYPE_CHECKING:
    from fauxlens.forge.create.nets.brushnet import Branch

BRANCH_FILE = "PowerPaint_Brushnet/diffusion_pytorch_model.safetensors"
WORDS_FILE = "PowerPaint_Brushnet/pytorch_model.bin"


@dataclass(frozen=True, kw_only=True)
class PowerPaintSettings(TaskSettings):
    """The second version was shown no words of bad quality; who wants them gives them."""

    scale: float = 1.0  # how strongly the branch is heard
    scheduler: Literal["unipc", "saved"] = "unipc"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("scale", self.scale, 0.0, 2.0)


class PowerPaint(BranchedMethod):
    """PowerPaint's second version as a method of the forge."""

    card = MethodCard(
        name="powerpaint",
        release_name="PowerPaint",
        title="PowerPaint, version 2",
        group="diffusion",
        paper="Zhuang et al., A task is worth one word: learning with task prompts for high-quality versatile image "
        "inpainting, ECCV 2024",
        licence="code MIT; weights CreativeML OpenRAIL-M",
        terms=OPEN_RAIL,
        about="A frozen Stable Diffusion 1.5 and a branch with attention, which sees the photo with its hole black and "
        "reads the task in learnt words.",
        needs=(
            Download(
                repository="JunhaoZhuang/PowerPaint-v2-1",
                licence="CreativeML OpenRAIL-M",
                bytes=4_040_000_000,  # 886.0 and 123.1 million numbers in single precision
                files=(BRANCH_FILE, WORDS_FILE),
            ),
            STABLE_DIFFUSION,
        ),
        divisor=DIVISOR,
        longest=LONGEST,
        needs_prompt=True,
        limits=(
            "Photos are brought to a shorter side of 640 pixels (512 for backgrounds), also by enlarging, and the "
            "frame back.",
            "Stuff is asked for in words, backgrounds by their surroundings: our choice, by name in the settings.",
            "The photo's latent is the middle of what the encoder says; the authors draw it with chance of their own.",
            "Ten of the branch's 77 tokens belong to the task; `branch_words_lost` tells how much of a prompt it was "
            "not told.",
        ),
    )
    settings_type = PowerPaintSettings
    settings: PowerPaintSettings
    branch: Branch
    words: TaskWords

    def load(self) -> Any:
        """The base pipeline, and beside it the branch and the encoder that knows the tasks."""
        from fauxlens.detectors.checkpoint import read_tensors
        from fauxlens.forge.create.nets.brushnet import filled

        folder = find_weights(self.card.name, self.card.needs, self.weights)
        pipe = sampled_by(self.pipeline_from(folder / BASE, **NO_FILTER), self.settings.scheduler)
        path = folder / BRANCH_FILE
        branch = filled(pipe.unet.config, read_tensors(path), attention=True, where=path)
        self.branch = branch.to(pipe.device, pipe.unet.dtype)
        self.words = task_words(pipe, folder / WORDS_FILE)
        for file in (BRANCH_FILE, WORDS_FILE):
            self.keep_digest(file, folder / file)
        return pipe

    def size_for(self, request: Request) -> tuple[int, int]:
        """The shorter side at what the settings say."""
        return self.settings.size_for(request)

    def make(self, request: Request) -> Fill:
        """The whole new frame."""
        import torch

        settings = self.settings
        pipe = self.pipe
        prompt = request.prompt or ""
        name = settings.mode_for(request.mask_type)
        wanted, unwanted = task_embeddings(self.words, settings, name, prompt)
        # In the order of the pipeline's guided batch; it makes no such batch at a guidance of 1 and below.
        guided = settings.guidance > 1.0 and pipe.unet.config.time_cond_proj_dim is None
        words = torch.cat([unwanted, wanted]) if guided else wanted
        pixels = self.told(request, self.branch, settings.scale, prompt, words)
        lost = self.words.lost(settings.wanted(MODES[name], prompt))
        return self.filled(pixels, request, scale=settings.scale, **settings.facts(name), branch_words_lost=lost)
