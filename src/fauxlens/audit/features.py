"""What the picture-level probes look at: small arrays from one decode of each picture of a seeded sample.

A picture gives, and nothing of it depends on any other picture:

| name | shape | what |
|---|---|---|
| grey | 32 x 32 | luma thumbnail, box, 0 to 1 |
| colour | 16 x 16 x 3 | RGB thumbnail, box, 0 to 1 |
| radial | 64 | log power by distance from zero frequency, of the middle 128 x 128 pixels (Hann window) |
| spectrum | 64 x 64 | log power of the same crop, zero frequency in the middle |
| grid | 16 | log of the mean jump at each of eight columns, then eight rows, against all eight |
| border | 18 | how flat and how different the outermost rows, columns and strips are (`BORDER_NAMES`) |
| corners | 4 x 32 x 32 | upper left, upper right, lower left, lower right: 64 native pixels a side, without slopes |
| residual | 64 x 64 | near the upper left, without its slow and its eight-periodic parts, of length 1 |

Pixels are native everywhere but in the thumbnails; a picture that is too small is continued by reflection.
"""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.core.errors import BadSetting, BadShape, UnreadableImage
from fauxlens.core.progress import Progress, silent
from fauxlens.core.seeds import share_of
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.phash import phash
from fauxlens.images.picture import read_picture
from fauxlens.images.resample import resize
from fauxlens.manifest.duplicates import groups
from fauxlens.manifest.manifest import Manifest
from fauxlens.work import Item, results, run, write_plan

TASK = "fauxlens.audit.features:build_reader"
TASK_VERSION = "1"

# Half precision, so that a picture's features are the same whether they come from memory or from a ledger.
SHAPES: dict[str, tuple[int, ...]] = {
    "grey": (32, 32),
    "colour": (16, 16, 3),
    "radial": (64,),
    "spectrum": (64, 64),
    "grid": (16,),
    "border": (18,),
    "corners": (4, 32, 32),
    "residual": (64, 64),
}
SIDES = ("top", "bottom", "left", "right")
BORDER_NAMES = (
    *(f"{side} {what}" for side in SIDES for what in ("line spread", "line step", "line level", "line jump")),
    "bottom strip spread",
    "bottom strip level",
)
_CROP, _GRID_CROP, _CORNER = 128, 512, 64
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PictureFeatures:
    """What one picture gives; the arrays are float16 and have the shapes of `SHAPES`."""

    grey: NDArray[np.float16]
    colour: NDArray[np.float16]
    radial: NDArray[np.float16]
    spectrum: NDArray[np.float16]
    grid: NDArray[np.float16]
    border: NDArray[np.float16]
    corners: NDArray[np.float16]
    residual: NDArray[np.float16]
    phash: int | None
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a sample of pictures, one row a picture, sorted by id.

    The arrays are float32, rows first. `group` numbers the rows that stem from one origin, or look exactly the same:
    such rows are never counted as independent. `generator` is None for reals; edited pictures without a generator have
    their method there. `unreadable` holds (path, reason) of what was drawn and could not be read; `drawn` and `there`
    count pictures by generator (None: real) in the sample and in the manifest.
    """

    root: Path
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    fake: NDArray[np.bool_]
    generator: tuple[str | None, ...]
    content: tuple[str | None, ...]
    group: NDArray[np.int64]
    grey: Values
    colour: Values
    radial: Values
    spectrum: Values
    grid: Values
    border: Values
    corners: Values
    residual: Values
    phash: tuple[int | None, ...]
    format: tuple[str | None, ...] = ()
    jpeg_quality: tuple[int | None, ...] = ()
    sizes: NDArray[np.int64] | None = None  # (N, 2) height, width
    unreadable: tuple[tuple[str, str], ...] = ()
    drawn: Mapping[str | None, int] | None = None
    there: Mapping[str | None, int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def generators(self) -> tuple[str, ...]:
        """The generators in the sample, sorted."""
        return tuple(sorted({name for name in self.generator if name is not None}))

    def rows_of(self, generator: str | None) -> NDArray[np.int64]:
        """The rows of one generator; None gives the reals."""
        return np.array([row for row, name in enumerate(self.generator) if name == generator
                         and self.fake[row] == (generator is not None)], dtype=np.int64)  # fmt: skip

    def flat(self, name: str) -> Values:
        """One of the arrays as (N, D), also when there are no rows."""
        array: Values = getattr(self, name)
        return array.reshape(len(self), math.prod(SHAPES[name]))

    def half_width(self) -> float:
        """The half width of the 95 % interval of an AUC of 0.5 to expect from this many independent pictures."""
        pairs = {(int(g), bool(f)) for g, f in zip(self.group, self.fake, strict=True)}
        fakes = sum(fake for _, fake in pairs)
        return expected_half_width(len(pairs) - fakes, fakes)


def expected_half_width(reals: int, fakes: int) -> float:
    """The half width of the 95 % interval of an AUC near 0.5 with so many independent reals and fakes.

    >>> round(expected_half_width(1000, 1000), 3)
    0.025
    """
    if min(reals, fakes) < 1:
        return float("nan")
    return 1.96 * math.sqrt((reals + fakes + 1) / (12 * reals * fakes))


def features_of(pixels: NDArray[np.uint8]) -> PictureFeatures:
    """(H, W, 3) uint8 -> what the probes look at."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise BadShape("features need RGB pixels", wanted="(H, W, 3) uint8", got=f"{pixels.shape} {pixels.dtype}")
    luma: Values = np.asarray(pixels @ _LUMA, dtype=np.float32)
    thumbnail = resize(pixels, (32, 32), "box")
    radial, spectrum = _spectra(luma)
    return PictureFeatures(
        grey=_half(thumbnail @ _LUMA / 255),
        colour=_half(thumbnail.reshape(16, 2, 16, 2, 3).mean((1, 3), dtype=np.float32) / 255),
        radial=_half(radial),
        spectrum=_half(spectrum),
        grid=_half(_grid(luma)),
        border=_half(_border(luma)),
        corners=_half(_corners(luma)),
        residual=_half(_residual(luma)),
        phash=phash(np.ascontiguousarray(pixels)),
        height=int(pixels.shape[0]),
        width=int(pixels.shape[1]),
    )


def sample_features(
    manifest: Manifest,
    *,
    per_class: int = 1000,
    per_generator: int = 300,
    seed: int = 0,
    folder: Path | None = None,
    workers: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Features:
    """Read a sample of the pictures: up to `per_class` reals, and `per_generator` fakes of each generator.

    Fakes whose maker is not known count as a class of their own, with up to `per_class`.

    Which pictures are drawn depends on seed and id alone, not on the order of rows; a larger sample holds the smaller
    one. With `folder`, the work is resumable there. `workers=0` reads in this process.
    """
    if min(per_class, per_generator) < 1:
        raise BadSetting(
            "an empty sample", wanted="at least 1 a class and generator", got=min(per_class, per_generator)
        )
    usable = manifest.usable()
    makers = _makers(usable)
    rows = _drawn_rows(usable, makers, per_class, per_generator, seed)
    chosen = usable.take(f"drawn for the picture-level audit, seed {seed}", rows)
    ids, paths = chosen.column("id").to_pylist(), chosen.column("path").to_pylist()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) if folder is None else Path(folder)
        settings = {"root": manifest.root.resolve().as_posix(), "max_bytes": limits.max_bytes,
                    "max_pixels": limits.max_pixels}  # fmt: skip
        items = (Item(key, {"path": path}) for key, path in zip(ids, paths, strict=True))
        write_plan(work, task=TASK, task_version=TASK_VERSION, settings=settings, items=items)
        run(work, workers=workers, progress=lambda done, total, _: progress(done, total, "reading pictures"))
        read: list[PictureFeatures | None] = []
        unreadable = []
        for path, outcome in zip(paths, results(work), strict=True):
            found = outcome.result or {}
            if outcome.error is not None or "unreadable" in found:
                unreadable.append((path, outcome.error.message if outcome.error else found["unreadable"]))
                read.append(None)
            else:
                read.append(_unpacked(found))
    kept = [row for row, found in enumerate(read) if found is not None]
    return stack(
        chosen.take("readable", kept),
        [found for found in read if found is not None],
        unreadable=unreadable,
        there=_counted(makers),
    )


def stack(
    manifest: Manifest,
    pictures: Sequence[PictureFeatures],
    *,
    unreadable: Sequence[tuple[str, str]] = (),
    there: Mapping[str | None, int] | None = None,
) -> Features:
    """The features of the rows of `manifest`, in its order, as arrays; sorted by id."""
    if len(manifest) != len(pictures):
        raise BadShape("one picture a row is needed", wanted=len(manifest), got=len(pictures))
    ids = manifest.column("id").to_pylist()
    order = sorted(range(len(ids)), key=lambda row: ids[row])
    column = {
        name: [values[row] for row in order]
        for name in ("id", "path", "label", "content", "origin", "format", "jpeg_quality")
        for values in [manifest.column(name).to_pylist()]
    }
    makers = _makers(manifest)
    generator = tuple(makers[row] for row in order)
    ordered = [pictures[row] for row in order]
    arrays = {
        name: np.array([getattr(one, name) for one in ordered], dtype=np.float32).reshape(-1, *shape)
        for name, shape in SHAPES.items()
    }
    return Features(
        root=manifest.root,
        ids=tuple(column["id"]),
        paths=tuple(column["path"]),
        fake=np.array([label != "real" for label in column["label"]], dtype=bool),
        generator=generator,
        content=tuple(column["content"]),
        group=_grouped(column["id"], column["origin"], arrays["grey"], arrays["colour"]),
        **arrays,
        phash=tuple(one.phash for one in ordered),
        format=tuple(column["format"]),
        jpeg_quality=tuple(column["jpeg_quality"]),
        sizes=np.array([(one.height, one.width) for one in ordered], dtype=np.int64).reshape(-1, 2),
        unreadable=tuple(unreadable),
        drawn=_counted(generator),
        there=there if there is not None else _counted(generator),
    )


def build_reader(settings: Mapping[str, Any]) -> Callable[[Item, int], dict[str, Any]]:
    """The work engine's factory: a function that reads one picture."""
    root = Path(settings["root"])
    limits = Limits(max_bytes=settings["max_bytes"], max_pixels=settings["max_pixels"])

    def read(item: Item, seed: int) -> dict[str, Any]:
        try:
            return _packed(features_of(read_picture(root / item.payload["path"], limits=limits).pixels))
        except UnreadableImage as bad:
            return {"unreadable": f"{bad.reason}: {bad.what}"}

    return read


def _makers(manifest: Manifest) -> list[str | None]:
    """Who made each picture: its generator, else its method, else None (and None for every real)."""
    columns = (manifest.column(name).to_pylist() for name in ("label", "generator", "method"))
    return [None if label == "real" else generator or method for label, generator, method in zip(*columns, strict=True)]


def _drawn_rows(
    manifest: Manifest, makers: Sequence[str | None], per_class: int, per_generator: int, seed: int
) -> list[int]:
    strata: dict[tuple[bool, str | None], list[tuple[float, int]]] = {}
    columns = (manifest.column(name).to_pylist() for name in ("id", "label"))
    for row, (key, label, maker) in enumerate(zip(*columns, makers, strict=True)):
        strata.setdefault((label != "real", maker), []).append((share_of(f"audit-features-{seed}", key), row))
    chosen: list[int] = []
    for (_, maker), members in strata.items():
        chosen += [row for _, row in sorted(members)[: per_class if maker is None else per_generator]]
    return sorted(chosen)


def _counted(makers: Sequence[str | None]) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for maker in makers:
        counts[maker] = counts.get(maker, 0) + 1
    return dict(sorted(counts.items(), key=lambda entry: (entry[0] is not None, entry[0] or "")))


def _grouped(ids: Sequence[str], origins: Sequence[str | None], grey: Values, colour: Values) -> NDArray[np.int64]:
    rows_of: dict[object, list[int]] = {}
    for row, (key, origin) in enumerate(zip(ids, origins, strict=True)):
        rows_of.setdefault(("origin", origin or key), []).append(row)
        # The same picture twice is one observation, whatever the files are called.
        rows_of.setdefault(("look", grey[row].tobytes() + colour[row].tobytes()), []).append(row)
    return groups(len(ids), [tuple(rows) for rows in rows_of.values() if len(rows) > 1])


def _spectra(luma: Values) -> tuple[Values, Values]:
    crop = _middle(luma, _CROP)
    window = np.hanning(_CROP).astype(np.float32)
    power = np.abs(np.fft.fftshift(np.fft.fft2((crop - crop.mean()) * window[:, None] * window))) ** 2 / _CROP**2
    y, x = np.mgrid[-_CROP // 2 : _CROP // 2, -_CROP // 2 : _CROP // 2]
    ring = np.minimum(np.hypot(y, x).astype(np.int64), 64)
    count = np.bincount(ring.reshape(-1), minlength=65)[:64]
    radial = np.bincount(ring.reshape(-1), weights=power.reshape(-1), minlength=65)[:64] / count
    # A floor well below the power of 8-bit rounding (1/12), so that empty bands stay finite.
    small = power.reshape(64, 2, 64, 2).mean((1, 3))
    return np.log(radial + 1e-3).astype(np.float32), np.log(small + 1e-3).astype(np.float32)


def _grid(luma: Values) -> Values:
    height, width = luma.shape
    # A middle part whose corner lies on the file's own 8 x 8 grid.
    top, left = (max(0, (side - _GRID_CROP) // 2) // 8 * 8 for side in (height, width))
    crop = luma[top : top + _GRID_CROP, left : left + _GRID_CROP]
    return np.concatenate([_jumps(crop), _jumps(crop.T)])


def _jumps(crop: Values) -> Values:
    """The log of the mean jump between columns p and p + 1, for each p of eight, against the mean of all eight."""
    if crop.shape[1] < 16:
        return np.zeros(8, dtype=np.float32)
    step = np.diff(crop, axis=1)
    # What a smooth slope would do anyway is taken away.
    jump = np.abs(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2).mean(0)
    phase = (np.arange(len(jump)) + 1) % 8
    by_phase = np.log(np.bincount(phase, weights=jump, minlength=8) / np.bincount(phase, minlength=8) + 0.05)
    shifted: Values = (by_phase - by_phase.mean()).astype(np.float32)
    return shifted


def _border(luma: Values) -> Values:
    padded = luma if min(luma.shape) >= 16 else _padded(luma, 16)
    inside = padded[4:-4, 4:-4]
    spread = float(inside.std()) + 2.0
    found: list[float] = []
    for turned in (padded, padded[::-1], padded.T, padded.T[::-1]):
        line, near, deep = turned[0], turned[1], turned[4:12]
        found.append(math.log((float(line.std()) + 0.5) / (float(deep.std(1).mean()) + 0.5)))
        found.append(math.log((float(np.abs(np.diff(line)).mean()) + 0.2) /
                              (float(np.abs(np.diff(deep, axis=1)).mean()) + 0.2)))  # fmt: skip
        found.append((float(line.mean()) - float(deep.mean())) / spread)
        found.append(math.log((float(np.abs(line - near).mean()) + 0.2) /
                              (float(np.abs(np.diff(deep, axis=0)).mean()) + 0.2)))  # fmt: skip
    strip = padded[-max(4, padded.shape[0] // 16) :]
    found += [math.log((float(strip.std()) + 0.5) / spread), (float(strip.mean()) - float(inside.mean())) / spread]
    return np.array(found, dtype=np.float32)


def _corners(luma: Values) -> Values:
    padded = luma if min(luma.shape) >= _CORNER else _padded(luma, _CORNER)
    ends = (slice(None, _CORNER), slice(-_CORNER, None))
    cut = np.stack([padded[rows, columns] for rows in ends for columns in ends])
    small = cut.reshape(4, 32, 2, 32, 2).mean((2, 4), dtype=np.float32)
    return np.stack([np.clip(one - _blurred(one, 4), -48, 48) / 48 for one in small]).astype(np.float32)


def _residual(luma: Values) -> Values:
    # A little inside: what padding does at the very edge is the border probe's.
    start = 16 if min(luma.shape) >= 80 else 0
    crop = _padded(luma, start + 64)[start : start + 64, start : start + 64]
    fine = crop - _blurred(crop, 1)
    # What repeats every eight pixels is a codec's grid, which has a probe of its own.
    fine = fine - np.tile(fine.reshape(8, 8, 8, 8).mean((0, 2)), (8, 8))
    # Edges would otherwise be all that is compared.
    limit = 2 * float(np.median(np.abs(fine))) + 0.5
    fine = np.clip(fine, -limit, limit)
    fine = fine - fine.mean()
    length = float(np.sqrt((fine**2).sum()))
    unit: Values = (fine / length if length > 1e-6 else np.zeros_like(fine)).astype(np.float32)
    return unit


def _middle(luma: Values, side: int) -> Values:
    padded = luma if min(luma.shape) >= side else _padded(luma, side)
    top, left = ((length - side) // 2 for length in padded.shape)
    return padded[top : top + side, left : left + side]


def _padded(luma: Values, side: int) -> Values:
    """At least `side` both ways: continued to the right and below, by reflection."""
    add = [(0, max(0, side - length)) for length in luma.shape]
    return np.pad(luma, add, mode="symmetric")


def _blurred(values: Values, radius: int) -> Values:
    """The mean over a square of 2 * radius + 1, edges repeated."""
    side = 2 * radius + 1
    total = np.pad(values, radius + 1, mode="edge")[:-1, :-1].astype(np.float64).cumsum(0).cumsum(1)
    squares = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    mean: Values = (squares / side**2).astype(np.float32)
    return mean


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    return np.asarray(values, dtype=np.float16)


def _packed(found: PictureFeatures) -> dict[str, Any]:
    arrays = b"".join(getattr(found, name).astype("<f2").tobytes() for name in SHAPES)
    return {
        "arrays": base64.b85encode(arrays).decode("ascii"),
        "phash": None if found.phash is None else f"{found.phash:016x}",
        "size": [found.height, found.width],
    }


def _unpacked(stored: Mapping[str, Any]) -> PictureFeatures:
    flat = np.frombuffer(base64.b85decode(stored["arrays"]), dtype="<f2")
    arrays = dict(zip(SHAPES, _cut(flat), strict=True))
    hashed = stored["phash"]
    height, width = stored["size"]
    return PictureFeatures(**arrays, phash=None if hashed is None else int(hashed, 16), height=height, width=width)


def _cut(flat: NDArray[Any]) -> Iterator[NDArray[np.float16]]:
    start = 0
    for shape in SHAPES.values():
        end = start + math.prod(shape)
        yield flat[start:end].astype(np.float16).reshape(shape)
        start = end
