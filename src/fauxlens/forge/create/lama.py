"""LaMa: large holes by fast Fourier convolutions (Suvorov et al., WACV 2022); no prompt, no chance.

Our own network under the released generator's names. Read are a plain state dict, safetensors, the trainer's
checkpoint (its generator; critic and losses are dropped), the released archive or folder `big-lama` around it, and the
traced `big-lama.pt`, of which the tensors are read and the program is not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.detectors.checkpoint import digest_of
from fauxlens.forge.create.hole import without_hole
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.create.nets.lama import LamaGenerator, lama_input
from fauxlens.forge.create.weights import filled, part_with, read_released, weight_file
from fauxlens.forge.needs import Download, find_weights

RELEASED = ("models/best.ckpt", "big-lama/models/best.ckpt", "big-lama.zip", "big-lama.pt")
"""What a folder with LaMa in it holds, in the order they are tried."""

_INSIDE = "models/best.ckpt"
_LANDMARK = "model.1.ffc.convl2l.weight"
_HINT = "give big-lama as it was released, or change the settings to the sizes of this network"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaMaSettings:
    """Sizes of the generator; big-lama's by default."""

    width: int = 64
    downsamplings: int = 3
    blocks: int = 18
    global_share: float = 0.75

    def __post_init__(self) -> None:
        for name, lowest, highest in (("width", 4, 256), ("downsamplings", 1, 3), ("blocks", 1, 64)):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise BadSetting(f"'{name}' out of range", wanted=f"{lowest} to {highest}", got=value)
        if not 0.25 <= self.global_share <= 0.875:
            raise BadSetting("'global_share' out of range", wanted="0.25 to 0.875", got=self.global_share)


class LaMa(Method):
    """A hole filled by a network whose every layer sees the whole picture."""

    card = MethodCard(
        name="lama",
        release_name="LaMa",
        title="LaMa",
        group="gan",
        paper="Suvorov et al., Resolution-robust Large Mask Inpainting with Fourier Convolutions, WACV 2022",
        licence="Apache-2.0",
        about="Fast Fourier convolutions, trained with a critic; 50.98 M parameters. The seed is not used.",
        needs=(
            Download(
                repository="https://github.com/advimman/lama",
                licence="Apache-2.0",
                bytes=204_000_000,
                remark="big-lama: the generator's size is given; the archive also holds what it was trained with",
            ),
        ),
        longest=1024,
        shortest=16,
        deterministic=True,
        limits=(
            "Very large holes come out as flat or periodic texture.",
            "Loading by name, shape and count is checked; the released weights were not at hand when this was written.",
        ),
    )
    settings_type = LaMaSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._network: LamaGenerator | None = None
        self._digest = ""

    def fill(self, request: Request) -> Fill:
        """As every method, but nothing of the hole is left for a resize to spread."""
        return super().fill(without_hole(request))

    def make(self, request: Request) -> Fill:
        """The generator's whole frame; photos are mirrored below and on the right to sides that it can halve."""
        network = self._loaded()
        height, width = request.pixels.shape[:2]
        pad = ((0, -height % network.divisor), (0, -width % network.divisor))
        pixels = np.pad(request.pixels, (*pad, (0, 0)), mode="symmetric")
        mask = np.pad(request.mask, pad, mode="symmetric")
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device, torch.float32) / 255.0
        hole = torch.from_numpy(mask)[None, None].to(self.device, torch.float32)
        with torch.inference_mode():
            made: Tensor = network(lama_input(image, hole))[0, :, :height, :width]
            frame = (made * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        parameters = {**asdict(self.settings), "weights_sha256": self._digest, "uses_seed": False}
        return Fill(frame.cpu().contiguous().numpy(), parameters)

    def _loaded(self) -> LamaGenerator:
        if self._network is None:
            sizes: LaMaSettings = self.settings
            path = weight_file(find_weights("lama", self.card.needs, self.weights), RELEASED, "LaMa")
            state = part_with(read_released(path, _INSIDE), _LANDMARK, preferred="generator.")

            def build() -> LamaGenerator:
                return LamaGenerator(sizes.width, sizes.downsamplings, sizes.blocks, sizes.global_share)

            self._network = filled(build, state, path, self.device, _HINT)
            self._digest = digest_of(state)
        return self._network
