"""How a picture is shown to a network, and how the answers come back to the size of the file.

A `View` is one tensor the network sees: a window of the picture, resized or padded or neither. Most detectors take one
view of the whole picture; large pictures are seen in overlapping tiles. Joining lays the masks of all views over one
canvas at the size of the file, with weights that fade towards the inner borders of tiles so that no seam shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.images.resample import resize

Pixels = NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


MOST_RESIZED = 2**24
"""How many pixels a picture may have after resizing before only the part that is seen is resized."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a picture, in its own pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: Pixels) -> Pixels:
        """The pixels inside."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One tensor to show, made when it is needed: `tensor()` is (3, h, w) float32 of `shape`, and shows `window`.

    Only the first `inside` = (rows, columns) of it show the window; what is beyond is padding. None: all of it.
    """

    window: Window
    shape: tuple[int, int]
    tensor: Callable[[], Tensor]
    inside: tuple[int, int] | None = None
    margin: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All views of one picture of `size` = (height, width), and what was done to make them."""

    size: tuple[int, int]
    views: tuple[View, ...]
    notes: tuple[str, ...] = ()


def normalised(
    pixels: Pixels,
    mean: Sequence[float] = IMAGENET_MEAN,
    deviation: Sequence[float] = IMAGENET_DEVIATION,
    *,
    divisor: float = 255.0,
) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32: divided, then minus `mean`, then over `deviation`."""
    # A copy in any case: the pixels may be read-only, and torch would warn of it.
    chw = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div_(divisor)
    chw -= torch.tensor(mean, dtype=torch.float32)[:, None, None]
    return chw.div_(torch.tensor(deviation, dtype=torch.float32)[:, None, None])


def whole(pixels: Pixels, to_tensor: Callable[[Pixels], Tensor], *, notes: tuple[str, ...] = ()) -> Prepared:
    """The picture as it is, in one view."""
    height, width = pixels.shape[:2]
    view = View(Window(0, 0, height, width), (height, width), lambda: to_tensor(pixels))
    return Prepared((height, width), (view,), notes)


def resized(
    pixels: Pixels, size: tuple[int, int], to_tensor: Callable[[Pixels], Tensor], kind: str = "bilinear"
) -> Prepared:
    """The whole picture at another size, whatever that does to its shape."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return whole(pixels, to_tensor)
    view = View(Window(0, 0, height, width), size, lambda: to_tensor(resize(pixels, size, kind)))
    return Prepared((height, width), (view,), (f"resized from {width}x{height} to {size[1]}x{size[0]}",))


def centre_crop(pixels: Pixels, side: int, to_tensor: Callable[[Pixels], Tensor], *, fill: int = 0) -> Prepared:
    """The middle `side` x `side`; a picture that is smaller gets a border of `fill` on both sides."""
    height, width = pixels.shape[:2]
    window = centre_window(height, width, side)

    def cropped() -> Tensor:
        seen = window.of(pixels)
        rows, columns = side - seen.shape[0], side - seen.shape[1]
        if rows or columns:
            around = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
            seen = np.pad(seen, around, constant_values=fill)
        return to_tensor(seen)

    notes: tuple[str, ...] = ()
    if min(height, width) < side:
        notes += (f"smaller than {side} pixels: a border of one colour around it",)
    if max(height, width) > side:
        notes += (f"only the middle {window.width}x{window.height} of {width}x{height} was seen",)
    return Prepared((height, width), (View(window, (side, side), cropped),), notes)


def centre_window(height: int, width: int, side: int) -> Window:
    """The middle window of at most `side` x `side`, with torchvision's rounding of the offset."""
    rows, columns = min(height, side), min(width, side)
    return Window(round((height - rows) / 2.0), round((width - columns) / 2.0), rows, columns)


def mirrored_crop(pixels: Pixels, side: int, to_tensor: Callable[[Pixels], Tensor]) -> Prepared:
    """The middle `side` x `side`; a smaller picture is mirrored at its borders, which are not repeated.

    Offsets are rounded down, and an odd border is one wider at the end, as albumentations does.
    """
    height, width = pixels.shape[:2]
    rows, columns = min(height, side), min(width, side)
    window = Window((height - rows) // 2, (width - columns) // 2, rows, columns)

    def cropped() -> Tensor:
        above, before = (side - rows) // 2, (side - columns) // 2
        around = ((above, side - rows - above), (before, side - columns - before), (0, 0))
        return to_tensor(np.pad(window.of(pixels), around, mode="reflect"))

    notes: tuple[str, ...] = ()
    if min(height, width) < side:
        notes += (f"smaller than {side} pixels: mirrored at its borders",)
    if max(height, width) > side:
        notes += (f"only the middle {columns}x{rows} of {width}x{height} was seen",)
    return Prepared((height, width), (View(window, (side, side), cropped),), notes)


def resized_crop(
    pixels: Pixels, size: tuple[int, int], side: int, to_tensor: Callable[[Pixels], Tensor], kind: str = "bilinear"
) -> Prepared:
    """The whole picture at `size`, of which the middle `side` x `side` is seen; `size` is at least that large."""
    height, width = pixels.shape[:2]
    if min(size) < side:
        raise BadSetting("the crop is larger than what it is cut from", wanted=f"at least {side}x{side}", got=size)
    inner = centre_window(*size, side)
    top, bottom = (round(at * height / size[0]) for at in (inner.top, inner.top + side))
    left, right = (round(at * width / size[1]) for at in (inner.left, inner.left + side))
    # A picture of few pixels still shows at least one of them.
    top, left = min(top, height - 1), min(left, width - 1)
    window = Window(top, left, max(bottom - top, 1), max(right - left, 1))
    view = View(window, (side, side), lambda: to_tensor(_resized_part(pixels, size, inner, kind)))
    notes: tuple[str, ...] = ()
    if (height, width) != size:
        notes += (f"resized from {width}x{height} to {size[1]}x{size[0]}",)
    if size != (side, side):
        notes += (f"only the middle {side}x{side} of {size[1]}x{size[0]} was seen",)
    return Prepared((height, width), (view,), notes)


def _resized_part(pixels: Pixels, size: tuple[int, int], inner: Window, kind: str) -> Pixels:
    """`inner` of the picture at `size`, without making all of it where that would be gigantic.

    A picture a pixel high and thousands wide would become a strip of thousands of millions of pixels, of which a
    square is seen. Of such a one only the columns (or rows) that can reach the square are resized, which may shift it
    by less than a pixel of the result.
    """
    if size[0] * size[1] <= MOST_RESIZED:
        return inner.of(resize(pixels, size, kind))
    starts, wanted, found = [], [], pixels
    for axis, (at, length) in enumerate(((inner.top, inner.height), (inner.left, inner.width))):
        scale = size[axis] / pixels.shape[axis]
        reach = 4 * max(1.0, 1 / scale)
        first = max(0, math.floor(at / scale - reach))
        last = min(pixels.shape[axis], math.ceil((at + length) / scale + reach))
        found = found[first:last] if axis == 0 else found[:, first:last]
        wanted.append(max(length, round((last - first) * scale)))
        starts.append(min(max(0, round(at - first * scale)), wanted[axis] - length))
    small = resize(np.ascontiguousarray(found), (wanted[0], wanted[1]), kind)
    return small[starts[0] : starts[0] + inner.height, starts[1] : starts[1] + inner.width]


def shorter_side_size(shape: Sequence[int], side: int) -> tuple[int, int]:
    """The (height, width) whose shorter side is `side`; the longer one is rounded down, as torchvision's Resize does.

    >>> shorter_side_size((375, 500, 3), 235)
    (235, 313)
    """
    height, width = shape[0], shape[1]
    shorter = min(height, width)
    return side * height // shorter, side * width // shorter


def native_within(
    pixels: Pixels, budget: int, to_tensor: Callable[[Pixels], Tensor], *, smallest: int = 1, fill: float = 0.0
) -> Prepared:
    """The picture at its own size, as long as it has at most `budget` pixels; a larger one is resized to as many.

    A side shorter than `smallest` is padded with `fill`. Whatever is done is noted.
    """
    height, width = pixels.shape[:2]
    if budget < smallest**2:
        raise BadSetting("the budget of pixels is out of range", wanted=f"at least {smallest**2}", got=budget)
    if height * width > budget:
        return resized(pixels, budget_size(height, width, budget, smallest), to_tensor)
    return padded(pixels, (max(height, smallest), max(width, smallest)), to_tensor, fill=fill)


def budget_size(height: int, width: int, budget: int, smallest: int = 1) -> tuple[int, int]:
    """The largest size of at most `budget` pixels with the shape of the picture; no side is below `smallest`.

    >>> budget_size(3000, 4000, 2**20), budget_size(10, 1000000, 2**20, smallest=32)
    ((886, 1182), (32, 32768))
    """
    scale = math.sqrt(budget / (height * width))
    rows, columns = max(smallest, int(height * scale)), max(smallest, int(width * scale))
    return (min(rows, budget // columns), columns) if rows > columns else (rows, min(columns, budget // rows))


def padded(
    pixels: Pixels, size: tuple[int, int], to_tensor: Callable[[Pixels], Tensor], *, fill: float = 0.0
) -> Prepared:
    """The picture in the upper left of a larger tensor of `size`; what is beyond holds `fill`."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return whole(pixels, to_tensor)
    if height > size[0] or width > size[1]:
        raise BadSetting("a picture cannot be padded to less than its size", wanted=size, got=(height, width))

    def with_border() -> Tensor:
        return F.pad(to_tensor(pixels), (0, size[1] - width, 0, size[0] - height), value=fill)

    view = View(Window(0, 0, height, width), size, with_border, (height, width))
    return Prepared((height, width), (view,), (f"padded from {width}x{height} to {size[1]}x{size[0]}",))


def tiled(
    pixels: Pixels,
    side: int,
    overlap: int,
    to_tensor: Callable[[Pixels], Tensor],
    *,
    step: int = 1,
    margin: int = 0,
    snug: bool = False,
) -> Prepared:
    """The picture in overlapping tiles of `side` x `side` at its own resolution; offsets are multiples of `step`.

    With `snug` the tiles are no larger than it takes to cover the picture with as many of them. A side of the picture
    that is shorter than a tile is taken whole. Where tiles meet, the outer `margin` pixels of
    each count for nothing: as many as the network's padding reaches, tiles then give what the whole would.
    """
    if 2 * margin >= overlap > 0:
        raise BadSetting("tiles overlap by less than their margins", wanted=f"above {2 * margin}", got=overlap)
    height, width = pixels.shape[:2]
    views = []
    tall, wide = (snug_side(length, side, overlap, step) if snug else side for length in (height, width))
    for top, rows in tile_spans(height, tall, overlap, step):
        for left, columns in tile_spans(width, wide, overlap, step):
            window = Window(top, left, rows, columns)
            views.append(
                View(window, (rows, columns), lambda window=window: to_tensor(window.of(pixels)), margin=margin)  # type: ignore[misc]
            )
    notes: tuple[str, ...] = ()
    if len(views) > 1:
        rows, columns = (max(view.shape[axis] for view in views) for axis in (0, 1))
        notes = (f"seen in {len(views)} tiles of at most {columns}x{rows}",)
    return Prepared((height, width), tuple(views), notes)


def tile_spans(length: int, side: int, overlap: int, step: int = 1) -> list[tuple[int, int]]:
    """(offset, length) of tiles that cover `length` with at least `overlap` between neighbours, evenly spread.

    >>> tile_spans(900, 512, 64)
    [(0, 512), (388, 512)]
    >>> tile_spans(300, 512, 64)
    [(0, 300)]
    """
    if not 0 <= overlap < side:
        raise BadSetting("the overlap of tiles is out of range", wanted=f"0 to {side - 1}", got=overlap)
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    spans = []
    for number in range(count):
        offset = (length - side) * number // (count - 1)
        offset -= offset % step
        # The last tile reaches the border, so it grows by what the rounding of its offset took.
        spans.append((offset, length - offset if number == count - 1 else side))
    return spans


def snug_side(length: int, side: int, overlap: int, step: int = 1) -> int:
    """The shortest tile, a multiple of `step`, that covers `length` with as many tiles as `side` does.

    >>> snug_side(4000, 1024, 128, 16), snug_side(500, 1024, 128, 16)
    (928, 1024)
    """
    count = len(tile_spans(length, side, overlap, step))
    if count == 1:
        return side
    # Offsets are rounded down to steps, so neighbours may lie a step further apart than evenly.
    least = -(-(length + (count - 1) * (overlap + step)) // count)
    return min(side, -(-least // step) * step)


class Canvas:
    """Maps of several views laid over each other at the size of the file."""

    def __init__(self, prepared: Prepared) -> None:
        self.size = prepared.size
        self.alone = len(prepared.views) == 1
        self.total: Tensor | None = None
        self.weight: Tensor | None = None

    def add(self, view: View, found: Tensor) -> None:
        """Lay the map (1, h, w) that the network gave for `view` where its window is."""
        rows, columns = view.inside or view.shape
        whole_map = found.detach().float().cpu()[None]
        if tuple(whole_map.shape[-2:]) != view.shape:
            whole_map = F.interpolate(whole_map, view.shape, mode="bilinear", align_corners=False)
        window = view.window
        inner = whole_map[..., :rows, :columns]
        if (rows, columns) != (window.height, window.width):
            inner = F.interpolate(inner, (window.height, window.width), mode="bilinear", align_corners=False)
        at = (slice(window.top, window.top + window.height), slice(window.left, window.left + window.width))
        if self.alone and (window.height, window.width) == self.size:
            self.total = inner[0, 0]
            return
        if self.total is None or self.weight is None:
            self.total, self.weight = torch.zeros(self.size), torch.zeros(self.size)
        fading = (
            _ramp(window.height, view.margin * (window.top > 0),
                  view.margin * (window.top + window.height < self.size[0]))[:, None]
            * _ramp(window.width, view.margin * (window.left > 0),
                    view.margin * (window.left + window.width < self.size[1]))[None]
        )  # fmt: skip
        self.total[at] += inner[0, 0] * fading
        self.weight[at] += fading

    def joined(self, unseen: float = float("nan")) -> Tensor | None:
        """(H, W), or None when nothing was added; pixels that no view showed hold `unseen`."""
        if self.total is None or self.weight is None:
            return self.total
        return torch.where(self.weight > 0, self.total / self.weight.clamp(min=1e-12), unseen)


def _ramp(length: int, before: int = 0, after: int = 0) -> Tensor:
    """How much a tile's opinion counts at each place: high in the middle, low at both ends, nothing in the margins."""
    at = torch.arange(length, dtype=torch.float32)
    return torch.minimum(at + 1 - before, length - at - after).clamp(min=0.0, max=max(1.0, length / 8))
