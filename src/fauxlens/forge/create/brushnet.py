"""BrushNet: a frozen Stable Diffusion 1.5 whose every feature is told by a second network what the kept part is like.

The pipeline is the library's ordinary text-to-picture one, hooked while it runs (`nets.brushnet`). Two branches were
released: one trained on the outlines of things, one on random shapes. Stuff is made with the first, what surrounds a
thing and shapes that mean nothing with the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fauxlens.core.optional import need
from fauxlens.forge.create.method import Fill, MethodCard, Request
from fauxlens.forge.create.pipelines import (
    BASE,
    DIVISOR,
    NO_FILTER,
    OPEN_RAIL,
    DiffusionMethod,
    DiffusionSettings,
    check_side,
    masked_latent,
    native_size,
    within,
)
from fauxlens.forge.needs import Download, find_weights

if TYPE_CHECKING:
    from torch import Tensor

    from fauxlens.forge.create.nets.brushnet import Branch

BRANCHES = ("segmentation_mask", "random_mask")
BRANCH_FILE = "diffusion_pytorch_model.safetensors"
STABLE_DIFFUSION = Download(
    repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
    licence="CreativeML OpenRAIL-M",
    bytes=4_270_000_000,  # 1.07 billion numbers in single precision; the repository holds more than is read
    part=BASE,
    remark="any saved pipeline of Stable Diffusion 1.5; the authors used realisticVisionV60B1_v51VAE",
)


@dataclass(frozen=True, kw_only=True)
class BrushNetSettings(DiffusionSettings):
    """The defaults are the authors'; the sizes those that Stable Diffusion 1.5 was trained at."""

    branch: Literal["by mask type", "segmentation_mask", "random_mask"] = "by mask type"
    scale: float = 1.0  # how strongly the branch is heard
    side: int = 512  # the shorter side that is worked at
    scheduler: Literal["unipc", "saved"] = "unipc"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("scale", self.scale, 0.0, 2.0)
        check_side("side", self.side)


class BranchedMethod(DiffusionMethod):
    """A method whose frozen UNet is told by a branch: BrushNet, and PowerPaint's second version."""

    pipeline_kind = "StableDiffusionPipeline"

    def told(self, request: Request, branch: Branch, scale: float, prompt: str, words: Tensor | None = None) -> Any:
        """The frame of the pipeline for `prompt` while `branch` tells it of the request's kept part."""
        import torch

        from fauxlens.forge.create.nets.brushnet import as_condition, attached

        pipe = self.pipe
        condition = as_condition(masked_latent(pipe, request), torch.from_numpy(request.mask))
        with attached(pipe.unet, branch, condition, words=words, scale=scale):
            return self.called(request, prompt=prompt)


class BrushNet(BranchedMethod):
    """BrushNet as a method of the forge."""

    card = MethodCard(
        name="brushnet",
        release_name="BrushNet",
        title="BrushNet",
        group="diffusion",
        paper="Ju et al., BrushNet: a plug-and-play image inpainting model with decomposed dual-branch diffusion, "
        "ECCV 2024",
        licence="branch Apache-2.0 with third-party exceptions; base CreativeML OpenRAIL-M",
        terms=OPEN_RAIL,
        about="A frozen Stable Diffusion 1.5, and beside it the same network without attention, which sees the "
        "photo with its hole black and adds to every feature.",
        needs=(
            STABLE_DIFFUSION,
            *(
                Download(
                    repository=f"Sanster/brushnet_{branch}",
                    licence="Apache-2.0 with third-party exceptions",
                    bytes=2_475_000_000,  # 618.8 million numbers in single precision
                    part=branch,
                    files=(BRANCH_FILE,),
                    remark="a mirror; the authors' own files are in a drive folder that TencentARC/BrushNet names",
                )
                for branch in BRANCHES
            ),
        ),
        divisor=DIVISOR,
        longest=1024,
        needs_prompt=True,
        limits=(
            "Photos are brought to a shorter side of 512 pixels, also by enlarging, and the frame back.",
            "The branch of random shapes is used for backgrounds and for shapes that mean nothing, the one of outlines "
            "for stuff: our choice.",
            "The photo's latent is the middle of what the encoder says; the authors draw it with chance of their own.",
            "The authors' optional blurred paste-back is not made; compositing is the same for all methods here.",
            "Prompts of more than 75 tokens are cut; `words_lost` tells by how many.",
        ),
    )
    settings_type = BrushNetSettings
    settings: BrushNetSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._branches: dict[str, Branch] = {}

    def load(self) -> Any:
        """The base pipeline, with the sampler of the settings."""
        folder = find_weights(self.card.name, [STABLE_DIFFUSION], self.weights)
        pipe = self.pipeline_from(folder / BASE, **NO_FILTER)
        return sampled_by(pipe, self.settings.scheduler)

    def branch_for(self, mask_type: str) -> str:
        """Which of the released branches makes regions of this type."""
        if self.settings.branch != "by mask type":
            return self.settings.branch
        return "segmentation_mask" if mask_type == "stuff" else "random_mask"

    def size_for(self, request: Request) -> tuple[int, int]:
        """The shorter side at what the settings say."""
        settings = self.settings
        return native_size(request.mask.shape, longest=1024, shorter=settings.side, enlarge=settings.enlarge)

    def make(self, request: Request) -> Fill:
        """The whole new frame."""
        settings = self.settings
        name = self.branch_for(request.mask_type)
        # The branch first: what is missing is told before anything large is loaded.
        find_weights(self.card.name, [one for one in self.card.needs if one.part in (BASE, name)], self.weights)
        branch = self._branch(name)
        pixels = self.told(request, branch, settings.scale, request.prompt or "")
        used = ("base", name)
        return self.filled(pixels, request, weights=used, branch=name, scale=settings.scale, side=settings.side)

    def _branch(self, name: str) -> Branch:
        if name not in self._branches:
            from fauxlens.detectors.checkpoint import read_tensors
            from fauxlens.forge.create.nets.brushnet import filled

            pipe = self.pipe
            wanted = [one for one in self.card.needs if one.part == name]
            path = find_weights(self.card.name, wanted, self.weights) / name / BRANCH_FILE
            self._branches[name] = filled(pipe.unet.config, read_tensors(path), where=path).to(
                pipe.device, pipe.unet.dtype
            )
            self.keep_digest(name, path)
        return self._branches[name]


def sampled_by(pipe: Any, scheduler: str) -> Any:
    """The pipeline with UniPC's steps in place of the ones that it was saved with, or as it was saved."""
    if scheduler == "unipc":
        diffusers = need("diffusers", "forge", "UniPC")
        pipe.scheduler = diffusers.UniPCMultistepScheduler.from_config(pipe.scheduler.config)
    return pipe
