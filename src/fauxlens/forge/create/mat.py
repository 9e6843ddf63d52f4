"""MAT: large holes by attention that knows what is valid (Li et al., CVPR 2022); no prompt, much chance.

Our own network in plain torch. Weights are the user's to get, non-commercial, and never part of this package: a plain
state dict or safetensors. The released pickle holds a program and is refused.

Two things are left to chance, and both follow from the request's seed: the latent vector, and which half of the
deepest maps gives way to the style, in both stages. The latter is drawn in the reference from torch's global numbers;
here from a generator of its own, so nothing outside a request has a say in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.core.seeds import seed_for
from fauxlens.core.settings import settings_to
from fauxlens.detectors.checkpoint import digest_of
from fauxlens.forge.create.hole import without_hole
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.create.nets.mat import MatGenerator, MatSizes, coin
from fauxlens.forge.create.weights import filled, part_with, read_released, weight_file
from fauxlens.forge.needs import Download, find_weights
from fauxlens.images.resample import resize

RELEASED = ("Places_512_FullData_G.pth",)
"""What a folder with MAT in it holds."""

_LANDMARK = "mapping.w_avg"
_HINT = "give a plain state dict of the 512-pixel generator; of a StyleGAN pickle, ask its owner for one"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatSettings:
    """How MAT is asked."""

    truncation: float = 1.0  # below 1 styles are drawn towards the mean: less variety
    composited: bool = True  # known pixels put back by the network itself, as released; else the whole frame is made
    network: MatSizes = field(default_factory=MatSizes)

    def __post_init__(self) -> None:
        if not 0.0 <= self.truncation <= 1.0:
            raise BadSetting("'truncation' out of range", wanted="0 to 1", got=self.truncation)


class Mat(Method):
    """A hole filled in two stages: coarsely by tokens, then finely by styled convolutions."""

    card = MethodCard(
        name="mat",
        release_name="MAT",
        title="MAT",
        group="gan",
        paper="Li et al., MAT: Mask-Aware Transformer for Large Hole Image Inpainting, CVPR 2022",
        licence="CC-BY-NC-4.0",
        about="A mask-aware transformer and a styled convolutional network, trained with a critic; 61.56 M parameters.",
        needs=(
            Download(
                repository="https://github.com/fenglinglwb/MAT",
                licence="CC-BY-NC-4.0",
                bytes=251_000_000,
                remark="the plain state dict Places_512_FullData_G.pth, not the pickle that holds a program",
            ),
        ),
        terms="non-commercial use only, with attribution; what is made with it is bound likewise; never bundled",
        divisor=512,
        longest=512,
        shortest=32,
        limits=(
            "It knows 512 x 512 pixels only: every photo is squeezed to that and its fill stretched back.",
            "Holes in a background are now and then filled with objects that nobody asked for.",
            "Names within its parts (conv0, affine, q, fuse, downsample, ...), the order of input channels and a few "
            "other details follow from published counts and the paper and are unconfirmed, as no released weights were "
            "at hand; `fauxlens.forge.create.nets.mat` lists them. Other names are refused, never loaded in part.",
        ),
    )
    settings_type = MatSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._network: MatGenerator | None = None
        self._digest = ""

    def fill(self, request: Request) -> Fill:
        """As every method, but nothing of the hole is left for a resize to spread."""
        return super().fill(without_hole(request))

    def make(self, request: Request) -> Fill:
        """The generator's frame, at its own side whatever is asked."""
        network = self._loaded()
        settings: MatSettings = self.settings
        size = request.pixels.shape[:2]
        side = (settings.network.side, settings.network.side)
        pixels, mask = request.pixels, request.mask
        if size != side:
            pixels, mask = resize(pixels, side, "lanczos"), resize(mask.astype(np.uint8) * 255, side, "box") > 0
        seeds = {name: seed_for(f"mat {name}", image_id=str(request.seed)) for name in ("latent", "mixing")}
        latent = torch.randn(1, settings.network.latent, generator=torch.Generator().manual_seed(seeds["latent"]))
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device, torch.float32) / 127.5 - 1.0
        known = torch.from_numpy(~mask)[None, None].to(self.device, torch.float32)
        with torch.inference_mode():
            made: Tensor = network(
                image,
                known,
                latent.to(self.device),
                coin(torch.Generator().manual_seed(seeds["mixing"])),
                truncation=settings.truncation,
                composited=settings.composited,
            )
            frame = ((made[0] + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        filled_in = frame.cpu().contiguous().numpy()
        if size != side:
            filled_in = resize(filled_in, (size[0], size[1]), "lanczos")
        parameters = {
            **settings_to(settings),
            "latent_seed": seeds["latent"],
            "mixing_seed": seeds["mixing"],
            "weights_sha256": self._digest,
        }
        return Fill(filled_in, parameters)

    def _loaded(self) -> MatGenerator:
        if self._network is None:
            settings: MatSettings = self.settings
            path = weight_file(find_weights("mat", self.card.needs, self.weights), RELEASED, "MAT")
            state = _with_leading_one(part_with(read_released(path, RELEASED[0]), _LANDMARK))
            self._network = filled(lambda: MatGenerator(settings.network), state, path, self.device, _HINT)
            self._digest = digest_of(state)
        return self._network


def _with_leading_one(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Modulated weights as (1, out, in, k, k); files that keep them as (out, in, k, k) mean the same."""
    styled = {f"{name.removesuffix('affine.weight')}weight" for name in state if name.endswith(".affine.weight")}
    return {name: value[None] if name in styled and value.ndim == 4 else value for name, value in state.items()}
