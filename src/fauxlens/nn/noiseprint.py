"""The noise extractor of Noiseprint++: 17 plain 3x3 convolutions (a DnCNN) that leave what is not scene.

TruFor and NFA-ViT both stand on it. In float32 two correct builds differ by up to 2e-4, since the network amplifies
rounding; bfloat16 destroys the map (correlation 0.85), so it is always run in float32, whatever autocast says.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NoiseExtractor(nn.Sequential):
    """(N, 3, H, W) -> (N, 1, H, W). Its 94 tensors carry the names of the released file (`0.weight`, `3.running_var`).

    In evaluation batch norm is folded into the convolutions at each call: that takes a millisecond beside the
    seconds of a large picture, and nothing can go stale when weights are loaded later.
    """

    def __init__(self, depth: int = 17, width: int = 64) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, 1, 3, padding=1))
        super().__init__(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W), in the precision of the weights."""
        with torch.autocast(image.device.type, enabled=False):
            maps = image.to(self[0].weight.dtype).contiguous(memory_format=torch.channels_last)  # type: ignore[arg-type]
            graph = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
            for convolution, norm in self._pairs():
                maps = self._convolved(maps, convolution, norm)
                if norm is not None or convolution is self[0]:
                    maps = maps.relu() if graph else maps.relu_()
            return maps

    def _pairs(self) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
        layers = list(self)
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d):
                yield layer, after if isinstance(after, nn.BatchNorm2d) else None

    @staticmethod
    def _convolved(maps: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Tensor:
        weight, bias = convolution.weight, convolution.bias
        if norm is not None and not norm.training:
            weight, bias = folded(weight, bias, norm)
        weight = weight.contiguous(memory_format=torch.channels_last)
        maps = F.conv2d(maps, weight, bias, padding=1)
        return norm(maps) if norm is not None and norm.training else maps


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does what a convolution and its batch norm do in evaluation."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    # In double precision, so that folding adds no rounding of its own to a network that amplifies it.
    mean, scale = mean.double(), (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -mean * scale if bias is None else (bias.double() - mean) * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    return (weight.double() * scale.reshape(-1, 1, 1, 1)).to(weight.dtype), shift.to(weight.dtype)
