"""Regions without any download: soft class scores of superpixels for places, saliency and GrabCut for things.

Five kinds of place can be told by colour, texture and position alone: sky, vegetation, water, ground and wall. Their
borders are then moved to the photo's own edges, so that no row of superpixels gives a forgery away. The photo alone
decides; no chance is drawn but GrabCut's, which is seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from fauxlens.core.errors import BadSetting
from fauxlens.forge.perceive.masks import AreaLimits, box_of, tidied
from fauxlens.forge.perceive.provider import Provider
from fauxlens.forge.perceive.vocabulary import STUFF
from fauxlens.forge.region import Mask, Photo, Region
from fauxlens.images.resample import resize
from fauxlens.images.shapes import Pixels

Floats: TypeAlias = npt.NDArray[np.float32]

KINDS: tuple[str, ...] = ("sky", "vegetation", "water", "ground", "wall")
"""The places this provider knows, in the words of a prompt."""

_NUMBERS = {name: number for number, name in STUFF.items()}
_CATEGORY_IDS = {kind: _NUMBERS.get(f"{kind}-other") for kind in KINDS}  # vegetation is no single class of COCO's
_SMALLEST_SIDE = 32
# A frame in which nothing varies shows no place and no thing.
_LEAST_DEVIATION = 2.0
_PIXELS_A_SEGMENT = 350
# How much "none of these" weighs against the kinds; without it the least bad kind would always be sure.
_OTHER = 0.25
_EVENNESS = 50.0
# A superpixel that looks so much like a place is one, even within what stands out.
_STRONG = 0.65
_REFINED_SIDE = 1024
_GRABCUT_SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """At what size regions are looked for, what is kept, and how large it may be."""

    kinds: tuple[str, ...] = KINDS
    things: bool = True
    side: int = 384  # longest side for places
    thing_side: int = 224  # longest side for GrabCut
    rounds: int = 4  # of GrabCut
    threshold: float = 0.33  # least score of a superpixel
    thing_threshold: float = 0.3  # least score of a thing
    limits: AreaLimits = field(default_factory=lambda: AreaLimits(stuff=(0.05, 0.80), background=(0.40, 0.95)))

    def __post_init__(self) -> None:
        if set(self.kinds) - set(KINDS):
            raise BadSetting("no such kind of place", wanted=f"some of {', '.join(KINDS)}", got=list(self.kinds))
        for name, low, high in (("side", 64, 1024), ("thing_side", 64, 1024), ("rounds", 1, 20)):
            if not low <= getattr(self, name) <= high:
                raise BadSetting(f"{name} out of range", wanted=f"{low} to {high}", got=getattr(self, name))
        for name in ("threshold", "thing_threshold"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise BadSetting(f"{name} out of range", wanted="0 to below 1", got=getattr(self, name))


class Embedded(Provider):
    """Places by superpixels, things by GrabCut; several candidates, the most confident first."""

    name = "embedded"
    settings_type: ClassVar[type] = EmbeddedSettings

    def regions(self, photo: Photo, seed: int) -> Sequence[Region]:
        """Places first, then backgrounds; none for a photo that is too small or shows nothing."""
        pixels = photo.pixels
        if min(pixels.shape[:2]) < _SMALLEST_SIDE:
            return ()
        view = _View.of(pixels, self.settings.side)
        if float(view.grey.std()) < _LEAST_DEVIATION:
            return ()
        guide = _Guide(pixels)
        scores = class_scores(view)
        thing, backgrounds = self._thing(view, scores, guide) if self.settings.things else (None, [])
        return (*self._places(view, scores, thing, guide), *backgrounds)

    def _places(self, view: _View, scores: npt.NDArray[np.float64], thing: Mask | None, guide: _Guide) -> list[Region]:
        best = scores.argmax(axis=0)
        found = []
        for number, kind in enumerate(KINDS):
            if kind not in self.settings.kinds:
                continue
            score = scores[number][view.segments]
            sure = (best == number)[view.segments] & (score > self.settings.threshold)
            if thing is not None:
                # What stands out is no place, unless it looks very much like one.
                sure &= ~thing | (score > _STRONG)
            rough = _largest(_closed(sure), from_top=kind == "sky")
            # A place goes on beyond the frame.
            if rough is None or not _rim(rough).any() or not self.settings.limits.admits(rough, "stuff"):
                continue
            mask = guide.refined(rough, radius=max(4, max(view.grey.shape) // 24), from_top=kind == "sky")
            if mask is None or not self.settings.limits.admits(mask, "stuff"):
                continue
            mean = float(score[rough & sure].mean())
            facts: dict[str, Any] = {"segments": view.count, "mean_score": mean, "rough_area": float(rough.mean())}
            region = Region(
                mask=mask,
                mask_type="stuff",
                category=kind,
                category_id=_CATEGORY_IDS[kind],
                # A small patch is a less likely place than a large one of the same look.
                score=min(1.0, mean * float(1.0 - np.exp(-mask.mean() / 0.05))),
                provider=self.name,
                box=box_of(mask),
                facts=facts,
            )
            found.append(region)
        return sorted(found, key=lambda one: -one.score)

    def _thing(self, view: _View, scores: npt.NDArray[np.float64], guide: _Guide) -> tuple[Mask | None, list[Region]]:
        """The thing at working size, and the background that leaves it."""
        # Bright clouds and flowering bushes stand out too, and are no things.
        likely_place = np.maximum(scores[KINDS.index("sky")], scores[KINDS.index("vegetation")])
        salient = _to_one(saliency(view) * (1.0 - 0.7 * likely_place)).astype(np.float32)[view.segments]
        rough = _cut_out(view, salient, self.settings.thing_side, self.settings.rounds)
        if rough is None or not self.settings.limits.admits(~rough, "background"):
            return None, []
        score = _thing_score(rough, salient)
        if score < self.settings.thing_threshold:
            return None, []
        thing = guide.refined(rough, radius=max(4, max(view.grey.shape) // 60))
        if thing is None or not self.settings.limits.admits(~thing, "background"):
            return rough, []
        facts: dict[str, Any] = {"segments": view.count, "rough_area": float(rough.mean())}
        region = Region(
            mask=~thing,
            mask_type="background",
            category="object",
            score=score,
            provider=self.name,
            box=box_of(thing),
            facts=facts,
        )
        return rough, [region]


@dataclass(frozen=True, slots=True)
class _View:
    """A photo at working size, cut into superpixels, with what is known of each."""

    pixels: Pixels
    grey: Floats  # 0 to 255
    segments: npt.NDArray[np.intp]
    count: int
    size: npt.NDArray[np.float64]  # pixels, a superpixel
    y: npt.NDArray[np.float64]  # 0 at the top, 1 at the bottom
    x: npt.NDArray[np.float64]
    lab: npt.NDArray[np.float64]  # (3, superpixels); lightness 0 to 100, colours about 0
    roughness: npt.NDArray[np.float64]  # local standard deviation, in grey levels
    pairs: npt.NDArray[np.intp]  # (2, edges): superpixels that touch

    @classmethod
    def of(cls, pixels: Pixels, side: int) -> _View:
        from skimage.segmentation import slic

        small = _shrunk(pixels, side)
        height, width = small.shape[:2]
        lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
        wanted = int(np.clip(height * width / _PIXELS_A_SEGMENT, 12, 320))
        segments = np.asarray(
            slic(
                lab, n_segments=wanted, compactness=12.0, sigma=1.0, start_label=0, convert2lab=False, channel_axis=-1
            ),
            dtype=np.intp,
        )
        count = int(segments.max()) + 1
        flat = segments.ravel()
        size = np.maximum(np.bincount(flat, minlength=count), 1).astype(np.float64)

        def mean(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            return np.bincount(flat, values.ravel(), count) / size

        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        average = cv2.blur(grey, (9, 9))
        spread = np.sqrt(np.maximum(cv2.blur(grey * grey, (9, 9)) - average * average, 0.0))
        rows, columns = np.indices((height, width), dtype=np.float64)
        return cls(
            pixels=small,
            grey=grey,
            segments=segments,
            count=count,
            size=size,
            y=mean((rows + 0.5) / height),
            x=mean((columns + 0.5) / width),
            lab=np.stack([mean(lab[..., channel]) for channel in range(3)]),
            roughness=_low_of(spread.ravel(), flat, count),
            pairs=_touching(segments),
        )


def class_scores(view: _View) -> npt.NDArray[np.float64]:
    """(kinds, superpixels): how much each looks like each kind; a column sums to less than 1, the rest is none."""
    lightness, green_red, blue_yellow = view.lab
    colourful = np.hypot(green_red, blue_yellow)
    y, rough = view.y, view.roughness
    is_green = _rises(-green_red, 5.0, 2.0) * _rises(blue_yellow, 6.0, 2.5)
    is_blue = _rises(-blue_yellow, 3.0, 2.0)
    is_pale = _falls(colourful, 8.0, 2.0)
    bright = _rises(lightness + 12.0 * is_blue, 48.0, 5.0)
    sky = _falls(y, 0.55, 0.1) * _falls(rough, 8.0, 2.0) * bright
    # Only a very light sky may be yellowish or pink: one at sunset.
    sky *= _falls(blue_yellow - 6.0 * _rises(lightness, 78.0, 3.0), 8.0, 3.0) * _falls(green_red, 14.0, 4.0)
    # Leaves out of focus are smooth, but greener than any ground.
    vegetation = is_green * np.maximum(_rises(rough, 4.0, 1.2), _rises(-green_red, 9.0, 2.0))
    water = _rises(y, 0.38, 0.1) * np.maximum(is_blue, 0.35 * is_pale) * _falls(rough, 8.0, 2.0)
    water *= _falls(green_red, 10.0, 3.0)
    ground = _rises(y, 0.58, 0.08) * _falls(rough, 14.0, 3.5) * _falls(colourful, 38.0, 6.0)
    ground *= (1.0 - is_green) * (1.0 - 0.8 * is_blue)
    wall = 0.8 * _falls(rough, 6.0, 1.5) * _falls(colourful, 18.0, 4.0) * _falls(y, 0.75, 0.08)
    raw = np.stack([sky, vegetation, water, ground, wall])
    scores = raw / (raw.sum(axis=0) + _OTHER)
    return _spread_out(scores, view)


def saliency(view: _View) -> npt.NDArray[np.float64]:
    """(superpixels,) 0 to 1: far in colour from the frame's border and from the rest, near the centre."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    one, other = view.pairs
    steps = np.linalg.norm(view.lab[:, one] - view.lab[:, other], axis=0)
    # Small steps are shading: a path of them must not add up to an edge.
    weights = np.maximum(steps - 4.0, 0.0) + 1e-3
    graph = coo_array((weights, (one, other)), shape=(view.count, view.count)).tocsr()
    rim = np.unique(_rim(view.segments))
    reached = dijkstra(graph, directed=False, indices=rim, min_only=True)
    enclosed = _to_one(np.minimum(reached, 60.0))
    apart = np.linalg.norm(view.lab[:, :, None] - view.lab[:, None, :], axis=0)
    near = np.exp(-((view.y[:, None] - view.y) ** 2 + (view.x[:, None] - view.x) ** 2) / 0.25)
    contrast = _to_one((apart * near * view.size).sum(axis=1) / (near * view.size).sum(axis=1))
    centre = np.exp(-((view.y - 0.52) ** 2 + (view.x - 0.5) ** 2) / 0.16)
    return _to_one((0.6 * enclosed + 0.4 * contrast) * centre)


class _Guide:
    """The photo's own edges, to which a rough border is moved (a guided filter with the colours as its guide)."""

    def __init__(self, pixels: Pixels) -> None:
        self.size = pixels.shape[:2]
        self.colours = _shrunk(pixels, _REFINED_SIDE).astype(np.float32) / 255.0

    def refined(self, rough: Mask, *, radius: int, from_top: bool = False) -> Mask | None:
        """`rough` at the photo's size; its border is looked for within about `radius` of its own pixels."""
        height, width = rough.shape
        guide = np.asarray(cv2.resize(self.colours, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
        reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        inside = cv2.erode(rough.astype(np.uint8), reach, borderType=cv2.BORDER_REPLICATE)
        outside = 1 - cv2.dilate(rough.astype(np.uint8), reach, borderType=cv2.BORDER_REPLICATE)
        likely = _by_colour(guide, rough, inside, outside, 2 * radius)
        slope, offset = _guided(guide, likely, max(2, radius // 3))
        full = self.colours.shape[1], self.colours.shape[0]
        soft = np.asarray(cv2.resize(offset, full, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        for channel in range(3):
            soft += cv2.resize(slope[..., channel], full, interpolation=cv2.INTER_LINEAR) * self.colours[..., channel]
        # Deep inside and far outside nothing is in doubt; a textured place would get holes.
        soft[cv2.resize(inside, full, interpolation=cv2.INTER_NEAREST) > 0] = 1.0
        soft[cv2.resize(outside, full, interpolation=cv2.INTER_NEAREST) > 0] = 0.0
        soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), 1.5 + max(full) / 1000.0), dtype=np.float32)
        if soft.shape != self.size:
            photo = self.size[1], self.size[0]
            soft = np.asarray(cv2.resize(soft, photo, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        mask = _largest(soft > 0.5, from_top=from_top)
        return None if mask is None else tidied(mask, share=0.002)


def _by_colour(guide: Floats, rough: Mask, inside: npt.NDArray[Any], outside: npt.NDArray[Any], radius: int) -> Floats:
    """0 to 1: is a pixel's colour that of what is surely inside nearby, or of what is surely outside?"""
    box = (2 * radius + 1, 2 * radius + 1)
    likely = np.asarray(cv2.blur(rough.astype(np.float32), (radius | 1, radius | 1)), dtype=np.float32)
    near_in, near_out = cv2.blur(inside.astype(np.float32), box), cv2.blur(outside.astype(np.float32), box)
    mean_in = cv2.blur(guide * inside[..., None], box) / np.maximum(near_in, 1e-6)[..., None]
    mean_out = cv2.blur(guide * outside[..., None], box) / np.maximum(near_out, 1e-6)[..., None]
    to_in = ((guide - mean_in) ** 2).sum(axis=-1)
    to_out = ((guide - mean_out) ** 2).sum(axis=-1)
    apart = ((mean_in - mean_out) ** 2).sum(axis=-1)
    # Where both sides look the same, or one of them is too far away, the rough border stands.
    trust = np.where((near_in > 0.01) & (near_out > 0.01), 1.0 - np.exp(-apart / (2 * 0.08**2)), 0.0)
    by_colour = to_out / np.maximum(to_in + to_out, 1e-6)
    return np.asarray(trust * by_colour + (1.0 - trust) * likely, dtype=np.float32)


def _guided(guide: Floats, wanted: Floats, radius: int, smooth: float = 1e-3) -> tuple[Floats, Floats]:
    """Slope (H, W, 3) and offset (H, W) of the local linear models of `wanted` in the colours of `guide`."""
    box = (2 * radius + 1, 2 * radius + 1)

    def mean(values: npt.NDArray[Any]) -> Floats:
        return np.asarray(cv2.blur(values, box), dtype=np.float32)

    middle, target = mean(guide), mean(wanted)
    towards = mean(guide * wanted[..., None]) - middle * target[..., None]
    red, green, blue = (guide[..., i] for i in range(3))
    r, g, b = (middle[..., i] for i in range(3))
    rr, gg, bb = (
        mean(red * red) - r * r + smooth,
        mean(green * green) - g * g + smooth,
        mean(blue * blue) - b * b + smooth,
    )
    rg, rb, gb = mean(red * green) - r * g, mean(red * blue) - r * b, mean(green * blue) - g * b
    # The inverse of a symmetric 3 x 3 matrix, written out: a hundred thousand small solves are slow.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    t_r, t_g, t_b = (towards[..., i] for i in range(3))
    slope = np.stack(
        [
            c_rr * t_r + c_rg * t_g + c_rb * t_b,
            c_rg * t_r + c_gg * t_g + c_gb * t_b,
            c_rb * t_r + c_gb * t_g + c_bb * t_b,
        ],
        axis=-1,
    )
    slope /= np.maximum(determinant, 1e-12)[..., None]
    offset = target - (slope * middle).sum(axis=-1)
    return mean(slope), mean(offset)


def _cut_out(view: _View, salient: Floats, side: int, rounds: int) -> Mask | None:
    """The thing that stands out, at the view's size; None when GrabCut has nothing to hold on to."""
    height, width = view.grey.shape
    small = _shrunk(view.pixels, side)
    rows, columns = small.shape[:2]
    stands_out = resize(np.rint(salient * 255).astype(np.uint8), (rows, columns), "box")
    level, _ = cv2.threshold(stands_out, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    marks = np.where(stands_out > level, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[stands_out > level + 0.75 * (255 - level)] = cv2.GC_FGD
    rim = max(1, round(0.02 * min(rows, columns)))
    edge = np.ones((rows, columns), np.bool_)
    edge[rim:-rim, rim:-rim] = False
    marks[edge & (stands_out < 0.6 * level)] = cv2.GC_BGD
    front = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    # GrabCut fits five Gaussians to either side and stops the program when there are fewer pixels.
    if min(np.count_nonzero(front), np.count_nonzero(~front)) < 25:
        return None
    cv2.setRNGSeed(_GRABCUT_SEED)
    behind, before = np.zeros((1, 65)), np.zeros((1, 65))
    # With marks given the rectangle is not read.
    cv2.grabCut(np.ascontiguousarray(small), marks, (0, 0, 1, 1), behind, before, rounds, cv2.GC_INIT_WITH_MASK)
    front = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    grown = cv2.resize(front.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    opened = cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return _largest(_closed(opened > 0), weights=salient)


def _thing_score(thing: Mask, salient: Floats) -> float:
    """0 to 1: how much more the thing stands out than the rest, less where the frame cuts it off."""
    difference = float(salient[thing].mean()) - float(salient[~thing].mean())
    return float(np.clip(difference * (1.0 - float(_rim(thing).mean())), 0.0, 1.0))


def _largest(mask: Mask, *, from_top: bool = False, weights: npt.NDArray[Any] | None = None) -> Mask | None:
    """The connected part with the most pixels, or the most weight; of those at the upper border when `from_top`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    flat = None if weights is None else weights.ravel()
    sums = np.bincount(labels.ravel(), flat, count).astype(np.float64)
    sums[0] = -1.0
    if from_top:
        allowed = np.zeros(count, np.bool_)
        allowed[np.unique(labels[:2])] = True
        sums[~allowed] = -1.0
    best = int(sums.argmax())
    return None if sums[best] <= 0 else np.asarray(labels == best, dtype=np.bool_)


def _rim(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What stands along the frame."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _closed(mask: Mask) -> Mask:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0


def _spread_out(scores: npt.NDArray[np.float64], view: _View) -> npt.NDArray[np.float64]:
    """Scores made even wherever nothing separates superpixels, so that no place ends where the photo has no edge.

    The minimum of what differs from the given scores and of what differs between alike neighbours: one linear solve.
    """
    one, other = view.pairs
    colour = ((view.lab[:, one] - view.lab[:, other]) ** 2).sum(axis=0) / (2 * 6.0**2)
    texture = (view.roughness[one] - view.roughness[other]) ** 2 / (2 * 6.0**2)
    alike = _EVENNESS * np.exp(-colour - texture)
    share = view.size / view.size.mean()
    system = np.diag(share)
    np.add.at(system, (one, one), alike)
    np.add.at(system, (other, other), alike)
    np.add.at(system, (one, other), -alike)
    np.add.at(system, (other, one), -alike)
    # The last digits of a solve depend on the number of threads; the regions must not.
    return np.asarray(np.round(np.linalg.solve(system, (scores * share).T).T, 6), dtype=np.float64)


def _low_of(values: Floats, flat: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.float64]:
    """A low quantile of each superpixel: a window that reaches over an edge is no sign of texture."""
    order = np.lexsort((values, flat))
    sizes = np.bincount(flat, minlength=count)
    first = np.cumsum(sizes) - sizes
    at = np.minimum(first + (0.35 * sizes).astype(np.intp), len(values) - 1)
    return np.asarray(values[order[at]], dtype=np.float64)


def _touching(segments: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    side = np.stack([segments[:, :-1].ravel(), segments[:, 1:].ravel()])
    down = np.stack([segments[:-1].ravel(), segments[1:].ravel()])
    both = np.concatenate([side, down], axis=1)
    both = np.sort(both[:, both[0] != both[1]], axis=0)
    return np.asarray(np.unique(both, axis=1), dtype=np.intp)


def _rises(value: npt.NDArray[np.float64], middle: float, width: float) -> npt.NDArray[np.float64]:
    """A soft step from 0 to 1 at `middle`."""
    return 1.0 / (1.0 + np.exp(np.clip((middle - value) / width, -60.0, 60.0)))


def _falls(value: npt.NDArray[np.float64], middle: float, width: float) -> npt.NDArray[np.float64]:
    return 1.0 - _rises(value, middle, width)


def _to_one(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _shrunk(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return pixels
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "box")
