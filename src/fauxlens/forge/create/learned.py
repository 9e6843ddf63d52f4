"""The small inpainter that this package trains itself: LaMa's kind of network, a fiftieth of its size.

Its weights come with the package (`fauxlens/forge/weights/learned.safetensors`, with a card beside them that says what
they were trained on and how they do); where they are missing the method is absent and says how to train it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from fauxlens.core.errors import BadSetting, BadWeights, NoWeights
from fauxlens.core.files import sha256_of
from fauxlens.core.settings import settings_from
from fauxlens.detectors.checkpoint import load_strictly, read_tensors
from fauxlens.forge.create.method import Fill, Method, MethodCard, Request
from fauxlens.forge.create.nets.learned import DIVISOR, LearnedNetwork, LearnedShape

EMBEDDED = Path(__file__).parent.parent / "weights" / "learned.safetensors"
"""Where the weights that come with the package lie."""

TRAIN = "python -m fauxlens.forge.create.fit_learned recipes/learned.toml --manifest m.parquet --output FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedSettings:
    """At what size it works."""

    longest: int = 512  # above this longer side the photo is shrunk, and the fill enlarged

    def __post_init__(self) -> None:
        if not 64 <= self.longest <= 4096:
            raise BadSetting("longest is out of range", wanted="64 to 4096 pixels", got=self.longest)


class Learned(Method):
    """A generator with a critic, small enough to come with the package."""

    settings: LearnedSettings
    settings_type: ClassVar[type] = LearnedSettings
    card = MethodCard(
        name="learned",
        release_name="Learned",
        title="Small fast-Fourier inpainter",
        group="learned",
        paper="after Suvorov et al., Resolution-robust Large Mask Inpainting with Fourier Convolutions, WACV 2022",
        licence="Apache-2.0 (code and weights); the card beside the weights names the photos they were trained on",
        about="A narrow LaMa that adds to a smooth fill; trained by the recipe `learned`.",
        shortest=16,
        deterministic=True,
        limits=(
            "Weak: inside held-out holes it errs more than Telea and than the smooth fill it starts from; what it adds"
            " is texture, and the middle of a large hole stays smooth.",
            "The seed changes nothing.",
        ),
    )

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._held: tuple[LearnedNetwork, str] | None = None

    def ready(self) -> None:
        """Raise when the weights are not there."""
        self._network()

    def make(self, request: Request) -> Fill:
        """What is known as it is, and what the network makes of the hole; in a shrunk photo all is enlarged again."""
        network, digest = self._network()
        height, width = request.pixels.shape[:2]
        scale = min(1.0, self.settings.longest / max(height, width))
        size = (max(16, round(height * scale)), max(16, round(width * scale)))
        pixels = torch.from_numpy(request.pixels.astype(np.float32) / 255.0).permute(2, 0, 1)[None].to(self.device)
        hole = torch.from_numpy(request.mask.astype(np.float32))[None, None].to(self.device)
        known = 1.0 - hole
        if size != (height, width):
            # The hole must not bleed into what is known when both are shrunk: known pixels alone are averaged.
            share = F.interpolate(known, size, mode="area")
            small = F.interpolate(pixels * known, size, mode="area") / share.clamp_min(1e-6)
            missing = (share < 0.5).float()
        else:
            small, missing = pixels, hole
        down, right = -size[0] % DIVISOR, -size[1] % DIVISOR
        small = F.pad(small, (0, right, 0, down), mode="reflect")
        missing = F.pad(missing, (0, right, 0, down), mode="reflect")
        with torch.inference_mode():
            made = network(small, missing)[..., : size[0], : size[1]]
            if size != (height, width):
                made = F.interpolate(made, (height, width), mode="bicubic", align_corners=False)
        frame = made[0].permute(1, 2, 0).clamp(0.0, 1.0).mul(255.0).round().byte().cpu().numpy()
        facts = {"size": list(size), "weights_sha256": digest, "deterministic": True}
        return Fill(np.ascontiguousarray(frame), facts)

    def _network(self) -> tuple[LearnedNetwork, str]:
        if self._held is None:
            network, digest = read_learned(self.weights or EMBEDDED)
            self._held = (network.to(self.device), digest)
        return self._held


def read_learned(path: Path) -> tuple[LearnedNetwork, str]:
    """The network of a file of weights, ready to fill, and the file's SHA-256; its card has to lie beside it."""
    path = path / EMBEDDED.name if path.is_dir() else path
    if not path.is_file():
        raise NoWeights(
            "learned has not been trained on this machine, and no weights came with the package",
            where=path,
            wanted="learned.safetensors and learned.json (Apache-2.0; about 2 MB)",
            hint=f"{TRAIN} (about 20 minutes of one idle core), then give its folder as `weights`",
        )
    card = path.with_suffix(".json")
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        shape = facts["network"]
    except (OSError, ValueError, KeyError, TypeError) as bad:
        raise BadWeights(
            "no card beside the weights says what network they are of", where=card, hint="keep both files together"
        ) from bad
    digest = sha256_of(path)
    if facts.get("sha256") != digest:
        raise BadWeights("card and weights are not of one training", where=path, wanted=facts.get("sha256"), got=digest)
    with torch.random.fork_rng(devices=[]):
        network = LearnedNetwork(settings_from(LearnedShape, shape, where=str(card)))
    load_strictly(network, read_tensors(path), path, hint=TRAIN)
    return network.eval().requires_grad_(False), digest
