"""The noise extractor of Noiseprint++: 17 plain 3x3 convolutions (a DnCNN) that leave what is not scene.

TruFor and NFA-ViT both stand on it. In float32 two correct builds differ by up to 2e-4, since the network amplifies
rounding; bfloat16 destroys the map (correlation 0.85), so it is always run in float32, whatever autocast says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.nn import winograd
from fauxlens.nn.threads import side_by_side

STRIP_PIXELS = {"cpu": 2**15, "cuda": 2**21}
"""How many pixels of a layer are made at a time in evaluation: on a processor, about what its caches hold.

Up to twice as many go whole. A map beyond 32 MB would also be asked of the system afresh each time, page by page.
"""

WINOGRAD_FROM = 2**16
"""From how many pixels on, 256x256, half the multiplications are faster. Sums eat up more of it below."""

WINOGRAD_PIXELS = 28 * 2**10
"""How many pixels of a layer are made at a time then: what is worked in is five times as large as the layer's map."""


class NoiseExtractor(nn.Sequential):
    """(N, 3, H, W) -> (N, 1, H, W). Its 94 tensors carry the names of the released file (`0.weight`, `3.running_var`).

    In evaluation batch norm is folded into the convolutions at each call: that takes a millisecond beside the
    seconds of a large picture, and nothing can go stale when weights are loaded later. Without a graph the picture then
    goes through all layers strip by strip, so that no map of 64 channels is ever whole in memory: a tenth less time. A
    picture of more than 256x256 in float32 on a processor is made by Winograd's algorithm, with half the
    multiplications: other last digits, about as near to the exact numbers as the plain way's.
    """

    winograd_from: int = WINOGRAD_FROM + 1
    """From how many pixels on the last digits may be others. At 256x256 recorded numbers ask for the plain way's."""

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
            needing = (image, *self.parameters())
            graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in needing)
            pairs = list(self._pairs())
            learning = graph or any(norm is not None and norm.training for _, norm in pairs)
            traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
            if not (learning or traced):
                at_once, (count, _, height, width) = STRIP_PIXELS.get(maps.device.type, 2**18), maps.shape
                together = max(1, 2 * at_once // (height * width))
                plain = maps.device.type == "cpu" and maps.dtype == torch.float32
                if count > together:
                    # Not `self(part)`: a subclass may give something else than a map.
                    alone, parts = partial(NoiseExtractor.forward, self), torch.split(maps, together)
                    return torch.cat(side_by_side(alone, parts) if plain else [alone(part) for part in parts])
                if plain and count == 1 and height * width >= self.winograd_from:
                    return self._by_winograd(maps)
                # Few rows would mean that the two remembered ones are copied about for nothing.
                rows = max(at_once // width, 16)
                if 2 * rows < height:
                    return self._in_strips(maps, rows)
            for convolution, norm in pairs:
                maps = self._convolved(maps, convolution, norm)
                if norm is not None or convolution is self[0]:
                    maps = maps.relu() if graph else maps.relu_()
            return maps

    def _in_strips(self, image: Tensor, rows: int) -> Tensor:
        """What the layers make of `image`, about `rows` rows at a time.

        A layer knows a row's neighbour below only a strip later, so that each lags a row behind the one before it; what
        then lies above or below the picture is set to zero, as padding is. All strips have one shape: a shape of its
        own for each would cost the library a plan, and memory, for each.
        """
        layers = [self._plain(convolution, norm) for convolution, norm in self._pairs()]
        (count, _, height, width), lag = image.shape, len(layers)
        strips = -(-(height + lag) // rows)
        rows = -(-(height + lag) // strips)
        # What a layer is shown: two rows of the strip above, and the strip. Made once, since memory that is asked for
        # and given back in turns with what stays falls to pieces.
        shown = [
            image.new_zeros(count, weight.shape[1], rows + 2, width).contiguous(memory_format=torch.channels_last)
            for weight, _ in layers[:2]
        ]
        above = [image.new_zeros(count, weight.shape[1], 2, width) for weight, _ in layers]
        found = image.new_empty(count, 1, strips * rows, width)
        for top in range(0, strips * rows, rows):
            maps = image[:, :, top : top + rows]
            for index, (weight, bias) in enumerate(layers):
                seen = shown[min(index, 1)]
                seen[:, :, :2] = above[index]
                first = top - index  # the row of the picture that is the first of this strip in this layer
                inside = slice(max(0, -first), max(0, min(rows, height - first)))
                if inside != slice(0, rows):
                    seen[:, :, 2:] = 0
                if index:
                    torch.clamp_min(maps[:, :, inside], 0, out=seen[:, :, 2:][:, :, inside])
                else:
                    seen[:, :, 2:][:, :, inside] = maps
                above[index].copy_(seen[:, :, -2:])
                maps = F.conv2d(seen, weight, bias, padding=(0, 1))
            found[:, :, top : top + rows] = maps
        return found[:, :, lag : lag + height]

    def _by_winograd(self, image: Tensor) -> Tensor:
        """What the layers make of one picture, strip by strip as in `_in_strips`, with half the multiplications.

        A strip is held as `winograd` wants it, by phases; before the first of its tiles stand the last two rows of
        the strip above.
        """
        plain = [self._plain(convolution, norm) for convolution, norm in self._pairs()]
        (first_weight, first_bias), kernels = plain[0], [winograd.split(weight, bias) for weight, bias in plain[1:]]
        (_, _, height, width), lag, channels = image.shape, len(plain), first_weight.shape[0]
        strips = -(-(height + lag) * width // WINOGRAD_PIXELS)
        tiles = -(-(height + lag) // (strips * winograd.TILE))
        rows = tiles * winograd.TILE
        strips = -(-(height + lag) // rows)
        padded = F.pad(image, (0, 0, 2, strips * rows - height)).contiguous(memory_format=torch.channels_last)
        phases = image.new_zeros(winograd.TILE, tiles + 1, width, channels)
        before, here = phases[:, :-1], phases[:, 1:]
        room = image.new_empty(winograd.ROOM, tiles, width, channels)
        above = image.new_zeros(len(kernels), 2, width, channels)
        judged = image.new_zeros(winograd.TILE, tiles, width, 1)
        found = image.new_empty(strips, tiles, winograd.TILE, width)
        for strip in range(strips):
            top = strip * rows
            maps = F.conv2d(padded[:, :, top : top + rows + 2], first_weight, first_bias, padding=(0, 1))
            by_tile = maps.permute(0, 2, 3, 1).reshape(tiles, winograd.TILE, width, channels)
            torch.clamp_min(by_tile.transpose(0, 1), 0, out=here)
            for index, kernel in enumerate(kernels, 1):
                first = top - index  # the row of the picture that is the first of this strip for this layer
                for phase in range(winograd.TILE):
                    # Which tiles of this phase lie in the picture; the others are zero, as padding is.
                    begin, end = (
                        min(max(-(-(edge - first - phase) // winograd.TILE), 0), tiles) for edge in (0, height)
                    )
                    here[phase, :begin] = 0
                    here[phase, end:] = 0
                before[2:, 0] = above[index - 1]
                above[index - 1] = here[2:, -1]
                # Of the layer's result, which lies a row higher, the tiles that have a row in the picture.
                start, end = max(0, (1 - first) // winograd.TILE), -(-(height + 1 - first) // winograd.TILE)
                needed = slice(start, min(tiles, end))
                if needed.start >= needed.stop:
                    continue  # above or below the picture: the next layer puts zeros there
                is_last = index == len(kernels)
                out = (judged if is_last else here)[:, needed]
                winograd.convolved(before[:, needed], here[:, needed], kernel, room[:, needed], out)
                if not is_last:
                    out.clamp_min_(0)
            found[strip] = judged[..., 0].transpose(0, 1)
        return found.reshape(1, 1, strips * rows, width)[:, :, lag : lag + height]

    def _pairs(self) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
        layers = list(self)
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d):
                yield layer, after if isinstance(after, nn.BatchNorm2d) else None

    @staticmethod
    def _plain(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias to use: with the batch norm in them, unless it is learning."""
        weight, bias = convolution.weight, convolution.bias
        if norm is not None and not norm.training:
            weight, bias = folded(weight, bias, norm)
        return weight.contiguous(memory_format=torch.channels_last), bias

    def _convolved(self, maps: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Tensor:
        weight, bias = self._plain(convolution, norm)
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
