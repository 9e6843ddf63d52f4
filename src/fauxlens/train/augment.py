"""What chance does to a training picture, as named steps with a seed; the mask goes along.

Every degradation of `fauxlens.images.degrade` is a step here too. Added are the steps that only training wants (forging
a rectangle, RandAugment, erasing, ...) and whole lists by name, as the papers state them. In TOML:

    [[augment]]
    step = "imaginet"            # a list by name

    [[augment]]
    step = "jpeg"                # or a step with its fields
    quality = [70, 100]
    probability = 0.2
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.images.degrade import CHAINS, STEPS, Chain, OneOf, Record, Step, parse_chain, read_chain
from fauxlens.images.degrade.geometry import LARGEST_SIDE
from fauxlens.images.degrade.step import Number, check_choice, check_number, draw_number
from fauxlens.images.resample import KINDS, resize
from fauxlens.images.shapes import Pixels

AUGMENTS: dict[str, str] = {
    # steps
    "bilateral": "fauxlens.train.retouch:Bilateral",
    "brightness_contrast": "fauxlens.train.augment:BrightnessContrast",
    "copy_move": "fauxlens.train.augment:CopyMove",
    "erase": "fauxlens.train.augment:Erase",
    "inpaint": "fauxlens.train.augment:Inpaint",
    "locally": "fauxlens.train.retouch:Locally",
    "median": "fauxlens.train.retouch:Median",
    "rand_augment": "fauxlens.train.augment:RandAugment",
    "random_resized_crop": "fauxlens.train.augment:RandomResizedCrop",
    "retouched": "fauxlens.train.retouch:Retouched",
    **STEPS,
    # lists
    "cnnspot": "fauxlens.train.augment:cnnspot",
    "genimage": "fauxlens.train.augment:genimage",
    "genimage-copies": "fauxlens.train.augment:genimage_copies",
    "imaginet": "fauxlens.train.augment:imaginet",
    "imaginet-anchor": "fauxlens.train.augment:imaginet_anchor",
    "imaginet-faithful": "fauxlens.train.augment:imaginet_faithful",
    "imaginet-v0": "fauxlens.train.augment:imaginet_first",
    "imdl-benco": "fauxlens.train.augment:imdl_benco",
    "npr": "fauxlens.train.augment:npr",
    "processed-twin": "fauxlens.train.augment:processed_twin",
}
"""Every step and every list there is; a named degradation (`processed/light`) is one too."""


class Augment(Protocol):
    """(H, W, 3) uint8 and its mask (H, W) uint8, or None -> the same after chance."""

    def __call__(self, pixels: Pixels, mask: Pixels | None, rng: np.random.Generator) -> tuple[Pixels, Pixels | None]:
        """Nothing that was given is written to."""


@dataclass(frozen=True)
class Steps:
    """An augmentation made of steps. Each has a stream of chance of its own: another step moves no draw of the rest.

    `strength` below 1 leaves out, by that share, steps that happen only sometimes: what makes learning hard can come
    by and by.
    """

    chain: Chain
    strength: float = 1.0

    @property
    def forges(self) -> bool:
        """Whether it may put a forgery into a real picture, so that the mask must be looked at."""
        return _forges(self.chain)

    def at(self, strength: float) -> Steps:
        """The same at another strength."""
        return replace(self, strength=strength)

    def __call__(self, pixels: Pixels, mask: Pixels | None, rng: np.random.Generator) -> tuple[Pixels, Pixels | None]:
        """Run every step."""
        *chances, coins = rng.spawn(len(self.chain.steps) + 1)
        for step, chance in zip(self.chain.steps, chances, strict=True):
            # The coin is thrown in any case, so that a strength moves no other draw.
            if coins.random() >= self.strength and step.probability < 1:
                continue
            outcome = step.run(pixels, chance)
            pixels = outcome.pixels
            if mask is not None:
                mask = step.rerun_mask(mask, outcome.record)
        return pixels, mask


def read_augment(tables: Any, *, where: str = "augment") -> Steps:
    """Read TOML tables, each with `step` and the fields of that step; lists by name have none, or what they declare.

    >>> print(read_augment([{"step": "flip", "probability": 0.5}, {"step": "jpeg", "quality": [70, 100]}]).chain)
    flip:probability=0.5 | jpeg:quality=70-100
    """
    if not isinstance(tables, list | tuple):
        raise BadSetting("an augmentation is a list of tables", where=where, got=repr(tables))
    steps: list[Step] = []
    for number, table in enumerate(tables):
        steps += _steps_of(table, f"{where}[{number}]")
    return Steps(Chain(tuple(steps)))


def augment_of(name: str) -> Steps:
    """The list, the step with its defaults, or the degradation of this name."""
    return read_augment([{"step": name}], where=name)


@dataclass(frozen=True, kw_only=True)
class CopyMove(Step):
    """Copy a rectangle to another place; both sides are `side` of the picture's. The mask says where it went."""

    name: ClassVar[str] = "copy_move"
    forges: ClassVar[bool] = True
    side: Number = (0.05, 0.8)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("side", self.side, 0, 1, above=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the size, where it comes from and where it goes."""
        rectangle = _rectangle(self.side, height, width, rng)
        return {**rectangle, **_place("from_", rectangle, height, width, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Copy."""
        top, left = record["from_top"], record["from_left"]
        found = pixels.copy()
        found[_inside(record)] = pixels[top : top + record["height"], left : left + record["width"]]
        return found

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Forged where the rectangle went."""
        return _marked(mask, record)


@dataclass(frozen=True, kw_only=True)
class Inpaint(Step):
    """Fill a rectangle from its border by one of OpenCV's two methods; both sides are `side` of the picture's."""

    name: ClassVar[str] = "inpaint"
    forges: ClassVar[bool] = True
    side: Number = (0.05, 0.8)
    radius: float = 3.0
    method: str = "random"  # telea, ns or random

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("side", self.side, 0, 1, above=True)
        check_number("radius", self.radius, 0, 100, above=True, ranges=False)
        check_choice("method", self.method, ("telea", "ns", "random"))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the rectangle and the method."""
        method = ("telea", "ns")[int(rng.integers(2))] if self.method == "random" else self.method
        return {**_rectangle(self.side, height, width, rng), "method": method}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Fill."""
        import cv2

        hole = _marked(np.zeros(pixels.shape[:2], np.uint8), record)
        method = cv2.INPAINT_TELEA if record["method"] == "telea" else cv2.INPAINT_NS
        return np.asarray(cv2.inpaint(np.ascontiguousarray(pixels), hole, self.radius, method), dtype=np.uint8)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Forged where it was filled."""
        return _marked(mask, record)


@dataclass(frozen=True, kw_only=True)
class BrightnessContrast(Step):
    """Values times 1 + contrast, plus brightness times 255."""

    name: ClassVar[str] = "brightness_contrast"
    brightness: Number = (-0.1, 0.1)
    contrast: Number = (-0.1, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("brightness", self.brightness, -1, 1)
        check_number("contrast", self.contrast, -1, 10)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw both."""
        return {"brightness": draw_number(self.brightness, rng), "contrast": draw_number(self.contrast, rng)}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Look every value up."""
        values = np.arange(256) * (1 + record["contrast"]) + 255 * record["brightness"]
        levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return levels[pixels]


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Step):
    """A rectangle of `scale` of the area and of width over height `ratio` (even in its logarithm), at `side` x `side`.

    Where ten draws fit none into the picture, the largest one in its middle that has a ratio in the range.
    """

    name: ClassVar[str] = "random_resized_crop"
    side: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 4 / 3)
    kind: str = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("side", self.side, 1, LARGEST_SIDE, whole=True, ranges=False)
        check_number("scale", self.scale, 0, 1, above=True)
        check_number("ratio", self.ratio, 0, 1000, above=True)
        check_choice("kind", self.kind, KINDS)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the rectangle."""
        for _ in range(10):
            area = height * width * draw_number(self.scale, rng)
            ratio = _log_even(self.ratio, rng)
            rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < rows <= height and 0 < columns <= width:
                top, left = (int(rng.integers(0, room, endpoint=True)) for room in (height - rows, width - columns))
                return {"height": rows, "width": columns, "top": top, "left": left}
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        rows = max(1, min(height, round(width / ratio)))
        columns = max(1, min(width, round(rows * ratio)))
        return {"height": rows, "width": columns, "top": (height - rows) // 2, "left": (width - columns) // 2}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Cut and resample."""
        return resize(np.ascontiguousarray(pixels[_inside(record)]), (self.side, self.side), self.kind)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """The same rectangle, nearest."""
        return resize(np.ascontiguousarray(mask[_inside(record)]), (self.side, self.side), "nearest")


@dataclass(frozen=True, kw_only=True)
class Erase(Step):
    """A rectangle of noise with ImageNet's mean and deviation: random erasing, pixel by pixel. The mask stays.

    `area` is its share of the picture, `ratio` its width over its height; where ten draws do not fit, nothing is done.
    """

    name: ClassVar[str] = "erase"
    area: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("area", self.area, 0, 1, above=True)
        check_number("ratio", self.ratio, 0, 1000, above=True)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the rectangle and the seed of the noise."""
        for _ in range(10):
            area, ratio = height * width * draw_number(self.area, rng), _log_even(self.ratio, rng)
            rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < rows < height and 0 < columns < width:
                size = {"height": rows, "width": columns}
                return {**size, **_place("", size, height, width, rng), "seed": int(rng.integers(1 << 63))}
        return {"height": 0, "width": 0, "top": 0, "left": 0, "seed": 0}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Fill with noise."""
        noise = np.random.default_rng(record["seed"]).standard_normal((record["height"], record["width"], 3))
        found = pixels.copy()
        found[_inside(record)] = np.clip(np.rint(255 * (noise * _DEVIATION + _MEAN)), 0, 255)
        return found


@dataclass(frozen=True, kw_only=True)
class RandAugment(Step):
    """`count` operations of RandAugment's fifteen, each done with probability one half.

    The magnitude (0 to 10) is drawn around `magnitude` with `deviation` for each; all operations grow stronger with it.
    Operations that move pixels move the mask too; what comes into view is grey, and not forged.
    """

    name: ClassVar[str] = "rand_augment"
    count: int = 2
    magnitude: float = 9.0
    deviation: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("count", self.count, 1, 15, whole=True, ranges=False)
        check_number("magnitude", self.magnitude, 0, 10, ranges=False)
        check_number("deviation", self.deviation, 0, 10, ranges=False)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the operations, whether each is done, and how strongly."""
        done = []
        for _ in range(self.count):
            name = list(_OPERATIONS)[int(rng.integers(len(_OPERATIONS)))]
            strength = float(np.clip(rng.normal(self.magnitude, self.deviation), 0, 10)) / 10
            sign = 1 if rng.random() < 0.5 else -1
            if rng.random() < 0.5:
                done.append([name, strength, sign])
        return {"operations": done}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Do them."""
        image = Image.fromarray(np.ascontiguousarray(pixels))
        for name, strength, sign in record["operations"]:
            image = _OPERATIONS[name](image, strength, sign)
        return np.array(image, dtype=np.uint8)

    def render_mask(self, mask: Pixels, record: Record) -> Pixels:
        """Move it as the picture was moved."""
        image = Image.fromarray(np.ascontiguousarray(mask))
        for name, strength, sign in record["operations"]:
            if name in _MOVING:
                image = _OPERATIONS[name](image, strength, sign)
        return np.array(image, dtype=np.uint8)


def imdl_benco() -> Chain:
    """IMDL-BenCo's list for localisation, in its order; a resize to one size comes after it."""
    return Chain(
        (
            *parse_chain("resize:scale=0.8-1.2,kind=bilinear").steps,
            CopyMove(probability=0.1),
            Inpaint(probability=0.1),
            *parse_chain("flip:direction=horizontal,probability=0.5 | flip:direction=vertical,probability=0.5").steps,
            BrightnessContrast(),
            *parse_chain(
                "jpeg:quality=70-100,probability=0.2 | rotate:quarter_turns=0-3,probability=0.5 | "
                "blur:kernel=3-7,probability=0.2"
            ).steps,
        )
    )


def imaginet(side: int = 96) -> Chain:
    """ImagiNet's training list: a native crop, then one of codec, blur and noise, then turns; with a right codec."""
    return parse_chain(f"crop:side={side},place=random | {_imaginet_one_of(0.5)} | {_IMAGINET_TURNS}")


def imaginet_faithful(side: int = 96) -> Chain:
    """The same with red and blue exchanged inside the codec, as in the reference."""
    return parse_chain(f"crop:side={side},place=random | {_imaginet_one_of(0.5, swapped=True)} | {_IMAGINET_TURNS}")


def imaginet_first(side: int = 256) -> Chain:
    """The list of ImagiNet's first network: larger crops."""
    return imaginet(side)


def imaginet_anchor(side: int = 256) -> Chain:
    """The list of ImagiNet's head stage: now and then a resized crop, mostly a native one."""
    codec = parse_chain("one_of:probability=0.5(jpeg:quality=50-95 / webp:quality=50-95)").steps
    pad = parse_chain(f"pad:side={side}").steps
    resized = Chain((*pad, RandomResizedCrop(side=side), *codec))
    native = parse_chain(f"pad:side={side} | crop:side={side},place=random | {_imaginet_one_of(0.7)}")
    after = parse_chain(f"pad:side={side} | crop:side={side},place=random | {_IMAGINET_TURNS}").steps
    return Chain((OneOf(chains=(resized, native), weights=(0.3, 1.0), probability=0.5), *after))


def genimage(side: int = 224) -> Chain:
    """What all copies of a GenImage picture have in common: a resized crop and a flip."""
    return Chain((RandomResizedCrop(side=side), *parse_chain("flip:direction=horizontal,probability=0.5").steps))


def genimage_copies() -> Chain:
    """What the second and third copy have besides: RandAugment and, in six of ten, a rectangle of noise."""
    return Chain((RandAugment(), Erase(probability=0.6)))


def cnnspot(side: int = 224, probability: float = 0.5) -> Chain:
    """CNNSpot's list: blur and JPEG, each in one half of the pictures (or one tenth), then a crop and a flip."""
    return parse_chain(
        f"blur:sigma=0.01-3,probability={probability} | jpeg:quality=30-100,probability={probability} | "
        f"crop:side={side},place=random | flip:direction=horizontal,probability=0.5"
    )


def npr(side: int = 224, resized: int = 256) -> Chain:
    """NPR's list: resized to one size, a crop and a flip."""
    return parse_chain(
        f"resize:side={resized},kind=bilinear | crop:side={side},place=random | "
        "flip:direction=horizontal,probability=0.5"
    )


def processed_twin(untouched: float = 1.0, light: float = 1.0, medium: float = 1.0, heavy: float = 1.0) -> Chain:
    """Untouched or processed in one of three degrees, by these weights, whatever the class.

    With seeds that a forgery shares with its photo (`seed_by = "origin"`) every processed forgery has a real twin that
    was processed in the same way.
    """
    chains = (Chain(), *(read_chain(f"processed/{degree}") for degree in ("light", "medium", "heavy")))
    return Chain((OneOf(chains=chains, weights=(untouched, light, medium, heavy)),))


_MEAN = np.array((0.485, 0.456, 0.406))
_DEVIATION = np.array((0.229, 0.224, 0.225))
_IMAGINET_TURNS = "rotate:quarter_turns=0-3,probability=0.33 | flip:direction=random,probability=0.33"


def _imaginet_one_of(probability: float, *, swapped: bool = False) -> str:
    trap = ",swapped=true" if swapped else ""
    return (
        f"one_of:probability={probability}(one_of(jpeg:quality=50-95{trap} / webp:quality=50-95{trap}) / "
        "blur:kernel=3-7 / noise:variance=3-10)"
    )


def _steps_of(table: Any, where: str) -> tuple[Step, ...]:
    if not isinstance(table, Mapping):
        raise BadSetting("a step is a table", where=where, got=repr(table))
    given = dict(table)
    name = given.pop("step", None)
    if not isinstance(name, str):
        raise BadSetting("a step says which it is", where=where, wanted='step = "<name>"', got=repr(name))
    if name in CHAINS and name not in AUGMENTS:
        if given:
            raise BadSetting("a named degradation has no fields", where=where, got=", ".join(given))
        return read_chain(name).steps
    kind = look_up(AUGMENTS, name, "augmentation")
    if not isinstance(kind, type):
        try:
            return tuple(kind(**given).steps)
        except TypeError as bad:
            raise BadSetting(f"the list '{name}' does not take these fields", where=where, got=str(bad)) from None
    if kind is OneOf and isinstance(chains := given.get("chains"), list | tuple):
        given["chains"] = tuple(_chain_of(one, f"{where}.chains[{number}]") for number, one in enumerate(chains))
    return (settings_from(kind, given, where=where),)


def _chain_of(given: Any, where: str) -> Chain:
    """A chain inside `one_of`: as text of degradations, as one table, or as a list of tables."""
    if isinstance(given, str):
        return parse_chain(given)
    return read_augment([given] if isinstance(given, Mapping) else given, where=where).chain


def _forges(chain: Chain) -> bool:
    return any(
        any(_forges(inner) for inner in step.chains)
        if isinstance(step, OneOf)
        else bool(getattr(step, "forges", False)) and step.probability > 0
        for step in chain.steps
    )


def _rectangle(side: Number, height: int, width: int, rng: np.random.Generator) -> Record:
    size = {
        "height": max(1, round(height * draw_number(side, rng))),
        "width": max(1, round(width * draw_number(side, rng))),
    }
    return {**size, **_place("", size, height, width, rng)}


def _place(prefix: str, size: Record, height: int, width: int, rng: np.random.Generator) -> Record:
    top, left = (int(rng.integers(0, room, endpoint=True)) for room in (height - size["height"], width - size["width"]))
    return {f"{prefix}top": top, f"{prefix}left": left}


def _inside(record: Record) -> tuple[slice, slice]:
    top, left = record["top"], record["left"]
    return slice(top, top + record["height"]), slice(left, left + record["width"])


def _marked(mask: Pixels, record: Record) -> Pixels:
    found = mask.copy()
    found[_inside(record)] = 255
    return found


def _log_even(ends: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(draw_number((math.log(ends[0]), math.log(ends[1])), rng))


def _moved(image: Image.Image, matrix: tuple[float, float, float, float, float, float]) -> Image.Image:
    """What a mask shows where nothing was is not forged; a picture is grey there."""
    if image.mode == "L":
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=0)
    grey = (128, 128, 128)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=grey)


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    if image.mode == "L":
        return image.rotate(degrees, Image.Resampling.NEAREST, fillcolor=0)
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))


def _solarize_add(image: Image.Image, strength: float, sign: int) -> Image.Image:
    added = min(128, int(strength * 110))
    return image.point([min(255, value + added) if value < 128 else value for value in range(256)] * 3)


def _enhanced(kind: type[Any]) -> Callable[[Image.Image, float, int], Image.Image]:
    def done(image: Image.Image, strength: float, sign: int) -> Image.Image:
        found: Image.Image = kind(image).enhance(max(0.1, 1 + sign * 0.9 * strength))
        return found

    return done


_OPERATIONS: dict[str, Callable[[Image.Image, float, int], Image.Image]] = {
    "auto_contrast": lambda image, strength, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, strength, sign: ImageOps.equalize(image),
    "invert": lambda image, strength, sign: ImageOps.invert(image),
    "rotate": lambda image, strength, sign: _turned(image, sign * 30 * strength),
    "posterize": lambda image, strength, sign: ImageOps.posterize(image, max(1, 4 - int(4 * strength))),
    "solarize": lambda image, strength, sign: ImageOps.solarize(image, 256 - min(256, int(256 * strength))),
    "solarize_add": _solarize_add,
    "colour": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": lambda image, strength, sign: _moved(image, (1, sign * 0.3 * strength, 0, 0, 1, 0)),
    "shear_y": lambda image, strength, sign: _moved(image, (1, 0, 0, sign * 0.3 * strength, 1, 0)),
    "translate_x": lambda image, strength, sign: _moved(image, (1, 0, sign * 0.45 * strength * image.width, 0, 1, 0)),
    "translate_y": lambda image, strength, sign: _moved(image, (1, 0, 0, 0, 1, sign * 0.45 * strength * image.height)),
}
"""name -> what it does at a strength of 0 to 1, in the direction of `sign`."""

_MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
