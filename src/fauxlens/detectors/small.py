"""The detector that comes with the package: a small residual network on fixed noise residuals.

It looks for places whose fine noise does not fit the rest of the picture, as after a decoder, an inpainting or a
paste. Fixed residuals (a pixel minus its neighbours, bounded) are what makes so small a network learn at all; colours
by themselves stayed at chance. The settings are the designs that were compared before one was chosen:

context    residuals; what the whole picture is like bends the features of each place
residuals  the same without the whole picture
both       residuals and colours
narrow     residuals, half as wide, without the whole picture: the floor that the others have to beat
colours    colours alone: the control
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, View, Window, normalised, tiled
from fauxlens.nn.evidence_head import EvidenceHead
from fauxlens.nn.residuals import FixedResiduals

SMALLEST_SIDE = 32
"""A shorter side is mirrored up to it: the coarsest features have one place for 16 pixels."""

TILE, OVERLAP = 1024, 128


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a network of this family is made of."""

    residuals: bool = True
    colours: bool = False
    context: bool = False
    widths: tuple[int, int, int, int] = (24, 48, 64, 96)  # at 1/2, 1/4, 1/8 and 1/16
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)
    decoder: int = 48
    shares: tuple[float, ...] = (0.05,)  # of the mask, on which the verdict rests


DESIGNS: dict[str, Design] = {
    "context": Design(context=True, shares=(0.01, 0.05, 0.2, 1.0)),
    "residuals": Design(),
    "both": Design(colours=True),
    "narrow": Design(widths=(16, 32, 48, 72), decoder=32),
    "colours": Design(residuals=False, colours=True),
}


class ResidualBlock(nn.Module):
    """Two convolutions beside the way through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        inner = _relu(normed(maps, self.conv1, self.norm1), self.training)
        return _relu(maps + normed(inner, self.conv2, self.norm2), self.training)


class Context(nn.Module):
    """Features bent by what the whole picture is like: a factor and an offset a channel, of means and deviations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        mean = maps.mean(dim=(2, 3))
        deviation = (maps - mean[..., None, None]).square().mean(dim=(2, 3)).add(1e-6).sqrt()
        factor, offset = self.linear(torch.cat((mean, deviation), dim=1)).chunk(2, dim=1)
        bent: Tensor = maps * (1 + torch.tanh(factor))[..., None, None] + offset[..., None, None]
        return bent


class SmallNetwork(nn.Module):
    """(N, 3, H, W) RGB in 0..255, sides of at least 32 -> verdict logit, and mask logits.

    The mask is made at a quarter of the size, at which it is learnt; afterwards it is enlarged to that of the input.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.fixed = FixedResiduals() if design.residuals else None
        channels = FixedResiduals.channels * design.residuals + 3 * design.colours
        widths = design.widths
        self.stem = nn.Conv2d(channels, widths[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        stages = []
        for number, (width, depth) in enumerate(zip(widths, design.depths, strict=True)):
            layers: list[nn.Module] = []
            if number:
                layers += [
                    nn.Conv2d(widths[number - 1], width, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
            stages.append(nn.Sequential(*layers, *(ResidualBlock(width) for _ in range(depth))))
        self.stages = nn.ModuleList(stages)
        self.contexts = nn.ModuleList(Context(width) if design.context else nn.Identity() for width in widths[1:])
        self.lateral = nn.ModuleList(nn.Conv2d(width, design.decoder, 1) for width in widths[1:])
        self.smooth = nn.Conv2d(design.decoder, design.decoder, 3, padding=1, bias=False)
        self.smooth_norm = nn.BatchNorm2d(design.decoder)
        self.mask = nn.Conv2d(design.decoder, 1, 1)
        self.verdict = EvidenceHead(widths[-1], design.shares)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output."""
        maps = _relu(self._first(image), self.training)
        levels = []
        for stage in self.stages:
            maps = _through(stage, maps)
            levels.append(maps)
        bent = [context(level) for context, level in zip(self.contexts, levels[1:], strict=True)]
        top = self.lateral[2](bent[2])
        for number in (1, 0):
            side = self.lateral[number](bent[number])
            top = side + F.interpolate(top, side.shape[-2:], mode="bilinear", align_corners=False)
        top = _relu(top, self.training)
        found = self.mask(_relu(normed(top, self.smooth, self.smooth_norm), self.training))
        features = levels[-1].mean(dim=(2, 3))
        logit = self.verdict(found, features)
        if not self.training:
            found = F.interpolate(found, image.shape[-2:], mode="bilinear", align_corners=False)
        return Output(logit=logit, mask=found, features=features)

    def _first(self, image: Tensor) -> Tensor:
        # Sixteen bits would round away what the residuals are about.
        with torch.autocast(image.device.type, enabled=False):
            seen = [] if self.fixed is None else [self.fixed(image)]
            if self.design.colours:
                seen.append(image.to(self.stem.weight.dtype) / 127.5 - 1)
            inputs = seen[0] if len(seen) == 1 else torch.cat(seen, dim=1)
            if not self.training:
                # Where the channels lie side by side the convolutions after it need no copies.
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            return normed(inputs, self.stem, self.stem_norm)


def normed(maps: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Convolution and batch norm; in evaluation the norm is folded into the convolution, at each call.

    That takes a millisecond for the whole network, and a state that is loaded at any time is honoured. Single precision
    is enough for it here: nothing in this network magnifies a rounding.
    """
    if norm.training:
        found: Tensor = norm(conv(maps))
        return found
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return F.conv2d(maps, conv.weight * scale[:, None, None, None], norm.bias - mean * scale, conv.stride, conv.padding)


def _through(stage: nn.Module, maps: Tensor) -> Tensor:
    layers = list(stage.children())
    if isinstance(layers[0], nn.Conv2d):
        conv, norm = layers[0], layers[1]
        assert isinstance(norm, nn.BatchNorm2d)
        maps = _relu(normed(maps, conv, norm), stage.training)
        layers = layers[3:]
    for layer in layers:
        maps = layer(maps)
    return maps


def _relu(maps: Tensor, training: bool) -> Tensor:
    return F.relu(maps) if training else F.relu_(maps)


class Small(Detector):
    """The embedded detector."""

    settings = ("context", "residuals", "both", "narrow", "colours")
    card = Card(
        name="fauxlens-small",
        title="fauxlens-small",
        year=2026,
        family="fauxlens-small",
        tasks=("detect", "localise"),
        paper="none; trained by `recipes/embedded.toml` on what the package's own forge made",
        about="A small residual network with a pyramid on twelve fixed noise residuals; the verdict rests on the "
        "strongest places of the mask.",
        input="RGB at its own size, in tiles of 1,024 pixels",
        parameters=769_270,
        code="ours; Apache-2.0",
        weights=(
            WeightSet(
                name="embedded",
                files=(WeightFile(name="network.safetensors", source="the package itself"),),
                licence="Apache-2.0; its card names the photos it was trained on and their terms",
                use="ours",
                terms="trained on research photos; whether weights are bound by their photos' terms is not settled",
                trained_on="what the package's forge made of 777 photos of four public sources",
            ),
        ),
        limits=(
            "It has learnt traces of small decoders and of one classical fill, made by the package's own forge; no "
            "diffusion model's inpainting was in its training.",
            "It cannot tell a piece of one photo pasted into another from the rest.",
            "It does not answer whether a whole picture was generated.",
            "JPEG saving hides what it looks at; how much is left is estimated for every picture.",
        ),
    )

    def build(self) -> nn.Module:
        """The network of the setting."""
        return SmallNetwork(DESIGNS[self.setting])

    def prepare(self, pixels: Pixels) -> Prepared:
        """The picture at its own size, in tiles; resizing would rewrite the noise that is looked at."""
        height, width = pixels.shape[:2]
        if min(height, width) >= SMALLEST_SIDE:
            # A place of the coarsest features is 16 pixels: tiles begin on it.
            return tiled(pixels, TILE, OVERLAP, _pixels, step=16, snug=True)
        size = max(height, SMALLEST_SIDE), max(width, SMALLEST_SIDE)
        if max(size) <= TILE:
            view = View(Window(0, 0, height, width), size, lambda: _mirrored(pixels, size), (height, width))
            return Prepared(
                (height, width), (view,), (f"smaller than {SMALLEST_SIDE} pixels: mirrored at its borders",)
            )
        views = []
        for one in tiled(pixels, TILE, OVERLAP, _pixels, step=16).views:
            shape = max(one.shape[0], SMALLEST_SIDE), max(one.shape[1], SMALLEST_SIDE)
            views.append(
                View(one.window, shape, lambda w=one.window, s=shape: _mirrored(w.of(pixels), s), one.shape)  # type: ignore[misc]
            )
        return Prepared(
            (height, width), tuple(views), (f"a side below {SMALLEST_SIDE} pixels: mirrored at its border",)
        )

    def join(self, prepared: Prepared, outputs: Sequence[Output], mask: Tensor | None) -> float | None:
        """The verdict's head is asked once, of the joined mask."""
        head = self.network.verdict
        if len(outputs) == 1 or mask is None or not isinstance(head, EvidenceHead):
            return super().join(prepared, outputs, mask)
        areas = torch.tensor([float(view.window.height * view.window.width) for view in prepared.views])
        features = torch.stack([one.features[0] for one in outputs if one.features is not None])
        pooled = (features * areas[:, None]).sum(dim=0, keepdim=True) / areas.sum()
        with torch.inference_mode():
            return float(head(mask[None, ::4, ::4].to(self.device), pooled.to(self.device)))


def _pixels(pixels: Pixels) -> Tensor:
    return normalised(pixels, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), divisor=1.0)


def _mirrored(pixels: Pixels, size: tuple[int, int]) -> Tensor:
    import numpy as np

    around = ((0, size[0] - pixels.shape[0]), (0, size[1] - pixels.shape[1]), (0, 0))
    return _pixels(np.pad(pixels, around, mode="symmetric"))
