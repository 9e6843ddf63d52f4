"""Every picture of a manifest written anew, so that both classes have the same last save. Resumable.

`strict`: decoded pixels of every picture go through our one encoder: the same container, quality, chroma subsampling,
Huffman tables and no metadata. The reals have mostly been JPEGs before, and that past stays in their pixels: strict
alignment hides nothing of it. With `history`, fakes that were never a JPEG get a generation first, with the quality and
subsampling of the reals' own files in equal shares, so that both have two.

`faithful`: what UnbiasedGenImage does. Fakes are compressed once at the nominal quality with Pillow's default 4:2:0,
reals keep their bytes; the reals' own subsampling (mostly 4:4:4) then still tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fauxlens.audit.matching import drawing_order, is_fake
from fauxlens.core.errors import BadSetting
from fauxlens.core.files import write_bytes
from fauxlens.core.progress import Progress, silent
from fauxlens.core.seeds import seed_for
from fauxlens.core.settings import settings_to
from fauxlens.images.degrade.step import check_choice, check_number
from fauxlens.images.encode import SUBSAMPLINGS, decode_own, encode_jpeg, encode_png, jpeg_roundtrip
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.picture import decode, read_file
from fauxlens.images.shapes import Pixels
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import MEASURED, file_facts
from fauxlens.manifest.schema import NAMES, OK
from fauxlens.work import Item, results, run, write_plan

TASK = "fauxlens.audit.recode:build_recode"
TASK_VERSION = "1"

# Crops start at a multiple of this, so that the blocks of an earlier JPEG fall onto those of the new one in both luma
# (8) and subsampled chroma (16): an offset grid would be one more thing that tells who had an earlier JPEG.
GRID = 16


@dataclass(frozen=True, kw_only=True)
class RecodePlan:
    """How files are written anew; `mode` is "strict" or "faithful", see the module.

    `crop` cuts a square of this side out of every picture, at `place` ("centre" or "random", by seed) on a grid of 16
    pixels; `container` "png" keeps the pixels of the JPEG save in a PNG. Both are for strict mode alone.
    """

    mode: str = "strict"
    quality: int = 96
    subsampling: str = "4:4:4"
    container: str = "jpeg"
    history: bool = False
    crop: int | None = None
    place: str = "centre"

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("strict", "faithful"))
        check_choice("subsampling", self.subsampling, SUBSAMPLINGS)
        check_choice("container", self.container, ("jpeg", "png"))
        check_choice("place", self.place, ("centre", "random"))
        check_number("quality", self.quality, 1, 100, whole=True, ranges=False)
        if self.crop is not None:
            check_number("crop", self.crop, 8, 65500, whole=True, ranges=False)
        if self.mode == "faithful":
            if self.crop is not None or self.history or self.container != "jpeg":
                raise BadSetting(
                    "faithful mode leaves the reals' files as they are: no crop, history or other container",
                    hint="crop when training, as the reference does, or choose mode 'strict'",
                )
            if self.subsampling != "4:2:0":
                raise BadSetting("faithful mode writes Pillow's default", wanted="4:2:0", got=self.subsampling)


def recode(
    manifest: Manifest,
    folder: Path,
    plan: RecodePlan,
    *,
    seed: int = 0,
    workers: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Manifest:
    """Write every usable picture of `manifest` below `folder/images`; -> the same rows with the new files' facts.

    Rows keep their order, ids and further columns. Pictures that cannot be read have the reason in `status`. The same
    call goes on after any kind of end; another plan needs another folder.
    """
    folder = Path(folder)
    if folder.resolve() == manifest.root.resolve():
        raise BadSetting("the copies would overwrite the originals", where=folder, hint="give another folder")
    usable = manifest.usable()
    first = _first_generations(usable, seed) if plan.history else {}
    settings = {
        "root": manifest.root.resolve().as_posix(),
        "folder": folder.resolve().as_posix(),
        "recode": settings_to(plan),
        "seed": seed,
        "max_bytes": limits.max_bytes,
        "max_pixels": limits.max_pixels,
    }
    work = folder / "work"
    write_plan(work, task=TASK, task_version=TASK_VERSION, settings=settings, items=_items(usable, plan, first))
    run(work, workers=workers, progress=lambda done, total, _: progress(done, total, "re-encoding"))
    rows = []
    for sample, outcome in zip(usable, results(work), strict=True):
        if outcome.result is None:
            said = "" if outcome.error is None else outcome.error.message
            rows.append(replace(sample, status=f"not-recoded: {said}"))
        else:
            rows.append(_row(sample, outcome.result, folder))
    columns = {name: [getattr(row, name) for row in rows] for name in NAMES}
    made = usable.with_columns(_history_line(usable, plan, len(first), seed), columns)
    return replace(made, root=folder, name=f"{manifest.name}-recoded")


def build_recode(settings: Mapping[str, Any]) -> Callable[[Item, int], dict[str, Any]]:
    """The work engine's factory: a function that writes one picture, and its mask, anew."""
    plan = RecodePlan(**settings["recode"])
    root, folder = Path(settings["root"]), Path(settings["folder"])
    limits = Limits(max_bytes=settings["max_bytes"], max_pixels=settings["max_pixels"])

    def one(item: Item, _: int) -> dict[str, Any]:
        path, mask_path = item.payload["path"], item.payload.get("mask_path")
        read = read_file(root / path, limits=limits)
        if item.payload["keep"]:
            write_bytes(folder / "images" / _safe(path), read)
            found = {"path": f"images/{path}", "sha256": hashlib.sha256(read).hexdigest()}
            return found if mask_path is None else {**found, **_kept_mask(root, folder, mask_path)}
        pixels = decode(read, limits=limits, where=path).pixels
        first = item.payload.get("first")
        if first is not None:
            # At native size, before the crop: that is how the reals got theirs.
            pixels = jpeg_roundtrip(pixels, first["quality"], first["subsampling"])
        top, left = _corner(pixels, plan, item.key, settings["seed"])
        data = encode_jpeg(_cut(pixels, plan.crop, top, left), plan.quality, plan.subsampling)
        if plan.container == "png":
            data = encode_png(decode_own(data))
        target = _renamed(path, ".png" if plan.container == "png" else ".jpg")
        write_bytes(folder / "images" / target, data)
        found = {"path": f"images/{target}", "sha256": hashlib.sha256(data).hexdigest()}
        if mask_path is not None:
            mask = decode(read_file(root / mask_path, limits=limits), limits=limits, colour="stored", where=mask_path)
            cut = _cut(np.ascontiguousarray(mask.pixels[..., 0]), plan.crop, top, left)
            mask_target = _renamed(mask_path, ".png")
            write_bytes(folder / "masks" / mask_target, encode_png(cut))
            found["mask_path"] = f"masks/{mask_target}"
        return found

    return one


def _first_generations(manifest: Manifest, seed: int) -> dict[str, dict[str, Any]]:
    """Quality and subsampling of the JPEG that each fake goes through first; reals that were none give none.

    Fakes in random order take the reals' saves in random order, over and over: with as many of both, the shares are the
    same to the last file. A fake that has been a JPEG keeps the past it has.
    """
    chance = drawing_order(manifest, f"history {seed}")
    fake = is_fake(manifest)
    qualities, kinds = manifest.column("jpeg_quality").to_pylist(), manifest.column("subsampling").to_pylist()
    formats, ids = manifest.column("format").to_pylist(), manifest.column("id").to_pylist()
    reals = sorted(np.flatnonzero(~fake).tolist(), key=lambda row: (chance[row], ids[row]))
    fakes = sorted(np.flatnonzero(fake).tolist(), key=lambda row: (chance[row], ids[row]))
    found = {}
    for index, row in enumerate(fakes):
        if formats[row] == "jpeg" or not reals:
            continue
        past = reals[index % len(reals)]
        if qualities[past] is None:
            continue
        # Grey JPEGs have no subsampling, and rare ones cannot be written: the usual ones stand in.
        kind = kinds[past] if kinds[past] in SUBSAMPLINGS else "4:4:4" if kinds[past] is None else "4:2:0"
        found[ids[row]] = {"quality": qualities[past], "subsampling": kind}
    return found


def _items(manifest: Manifest, plan: RecodePlan, first: Mapping[str, dict[str, Any]]) -> Iterator[Item]:
    for sample in manifest:
        payload: dict[str, Any] = {"path": sample.path, "keep": plan.mode == "faithful" and not sample.fake}
        if sample.mask_path is not None:
            payload["mask_path"] = sample.mask_path
        if sample.id in first:
            payload["first"] = first[sample.id]
        yield Item(sample.id, payload)


def _corner(pixels: Pixels, plan: RecodePlan, key: str, seed: int) -> tuple[int, int]:
    """Where the crop starts: (top, left), multiples of GRID."""
    if plan.crop is None:
        return 0, 0
    height, width = pixels.shape[:2]
    if min(height, width) < plan.crop:
        raise BadSetting(
            "smaller than the crop", wanted=f"{plan.crop} pixels a side or more", got=f"{width} x {height}"
        )
    room = (height - plan.crop) // GRID, (width - plan.crop) // GRID
    if plan.place == "centre":
        # The grid point next to the exact centre.
        centre = [round((side - plan.crop) / 2 / GRID) for side in (height, width)]
        return min(centre[0], room[0]) * GRID, min(centre[1], room[1]) * GRID
    rng = np.random.default_rng(seed_for("align-crop", image_id=key, method=str(seed)))
    return int(rng.integers(room[0] + 1)) * GRID, int(rng.integers(room[1] + 1)) * GRID


def _cut(pixels: Pixels, crop: int | None, top: int, left: int) -> Pixels:
    return pixels if crop is None else np.ascontiguousarray(pixels[top : top + crop, left : left + crop])


def _kept_mask(root: Path, folder: Path, mask_path: str) -> dict[str, str]:
    write_bytes(folder / "masks" / _safe(mask_path), (root / mask_path).read_bytes())
    return {"mask_path": f"masks/{mask_path}"}


def _safe(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadSetting("a path that leaves the manifest's root", got=path)
    return path


def _renamed(path: str, suffix: str) -> str:
    """The old suffix stays in the name: `a.jpg` and `a.png` of one folder must not become one file."""
    return path if PurePosixPath(_safe(path)).suffix.lower() == suffix else f"{path}{suffix}"


def _row(sample: Sample, found: Mapping[str, Any], folder: Path) -> Sample:
    facts = dict(zip(MEASURED, file_facts(str(folder), found["path"]), strict=True))
    # A kept file may have a fault that its manifest accepted; what was usable stays usable.
    facts.update(sha256=found["sha256"], phash=None, status=OK)
    return replace(sample, path=found["path"], mask_path=found.get("mask_path"), **facts)


def _history_line(manifest: Manifest, plan: RecodePlan, with_first: int, seed: int) -> str:
    if plan.mode == "faithful":
        return f"re-encoded, faithful: fakes once at quality {plan.quality}, 4:2:0; reals keep their files"
    line = f"re-encoded, strict: all at quality {plan.quality}, {plan.subsampling}, as {plan.container}"
    if plan.crop is not None:
        line += f", {plan.place} crop of {plan.crop}"
    if plan.history:
        own = manifest.where("fakes", is_fake(manifest)).count("format").get(("jpeg",), 0)
        line += f", {with_first:,} fakes through a JPEG like the reals' first ({own:,} had been a JPEG already)"
    else:
        line += "; reals that were JPEGs carry that earlier generation, fakes do not"
    return f"{line}, seed {seed}"
