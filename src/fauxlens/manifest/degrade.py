"""A degraded copy of a dataset: every picture through one chain, masks along with it, a manifest that pairs by id.

The work is resumable, and what comes out depends on the pictures, the chain and the seed alone. Rows keep their ids, so
that results on the original and on the degraded set can be compared picture by picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.core.files import write_bytes
from fauxlens.core.progress import Progress, silent
from fauxlens.core.seeds import seed_for
from fauxlens.images.degrade import Chain, parse_chain
from fauxlens.images.encode import encode_png
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.picture import decode, read_file
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import MEASURED, file_facts
from fauxlens.manifest.select import select
from fauxlens.work import Item, results, run, write_plan

TASK = "fauxlens.manifest.degrade:build_degrade"
TASK_VERSION = "1"


def degrade(
    manifest: Manifest,
    folder: Path,
    chain: Chain,
    *,
    name: str | None = None,
    seed: int = 0,
    only: Sequence[str] = (),
    workers: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Manifest:
    """Write every usable picture of `manifest`, degraded, below `folder`; `folder/manifest.parquet` describes them.

    With `only`, pictures that do not meet these conditions (as `select` takes them) are copied as they are. Pictures
    that cannot be read are rows with their reason in `status`. The same call goes on after any kind of end.
    """
    folder = Path(folder)
    if folder.resolve() == manifest.root.resolve():
        raise BadSetting("the copy would overwrite the originals", where=folder, hint="give another folder")
    manifest.require_files()
    usable = manifest.usable()
    chosen = frozenset(select(usable, *only).column("id").to_pylist())
    if len(usable) and not chosen:
        raise BadSetting("no picture meets these conditions", where=manifest.name, got=" and ".join(only))
    name = name or str(chain)
    settings = {
        "root": manifest.root.resolve().as_posix(),
        "folder": folder.resolve().as_posix(),
        "chain": str(chain),
        "seed": seed,
        "max_bytes": limits.max_bytes,
        "max_pixels": limits.max_pixels,
    }
    work = folder / "work"
    write_plan(work, task=TASK, task_version=TASK_VERSION, settings=settings, items=_items(usable, chosen))
    run(work, workers=workers, progress=lambda done, total, _: progress(done, total, "degrading"))
    rows = []
    for sample, outcome in zip(usable, results(work), strict=True):
        if outcome.result is None:
            said = "" if outcome.error is None else outcome.error.message
            rows.append(replace(sample, status=f"not-degraded: {said}"))
        else:
            rows.append(_row(sample, outcome.result, folder))
    where = f", only where {' and '.join(only)}" if only else ""
    history = (*usable.history, f"degraded by '{name}' ({chain}), seed {seed}{where}")
    # What the originals' layout said still holds: whoever scores the copy asks which dataset it is, and how much of it.
    kept = {key: usable.facts[key] for key in ("layout", "published") if key in usable.facts}
    facts = {**kept, "degraded_by": name, "chain": str(chain), "seed": seed}
    if only:
        facts["only"] = list(only)
    made = Manifest.from_samples(rows, folder, name=f"{manifest.name}-degraded", history=history, facts=facts)
    made.save(folder / "manifest.parquet")
    return made


def build_degrade(settings: Mapping[str, Any]) -> Callable[[Item, int], dict[str, Any]]:
    """The work engine's factory: a function that degrades one picture and its mask."""
    chain = parse_chain(settings["chain"])
    root, folder = Path(settings["root"]), Path(settings["folder"])
    limits = Limits(max_bytes=settings["max_bytes"], max_pixels=settings["max_pixels"])

    def one(item: Item, _: int) -> dict[str, Any]:
        path, mask_path = item.payload["path"], item.payload.get("mask_path")
        if item.payload.get("as_is"):
            return _copied(item.payload, root, folder, limits)
        # The picture's own id and the user's seed, not the engine's: another folder must not mean other pictures.
        seed = seed_for("degrade", image_id=item.key, method=str(settings["seed"]))
        picture = decode(read_file(root / path, limits=limits), limits=limits, where=path)
        data, suffix, records = chain.encode(picture.pixels, seed)
        target = _renamed(item.payload.get("target", path), suffix)
        write_bytes(folder / "images" / target, data)
        found = {"path": f"images/{target}", "sha256": hashlib.sha256(data).hexdigest(), "records": records}
        if mask_path is not None:
            mask = decode(read_file(root / mask_path, limits=limits), limits=limits, colour="stored", where=mask_path)
            moved = chain.replay_mask(np.ascontiguousarray(mask.pixels[..., 0]), records)
            mask_target = _renamed(mask_path, ".png")
            write_bytes(folder / "masks" / mask_target, encode_png(moved))
            found["mask_path"] = f"masks/{mask_target}"
        return found

    return one


def _copied(payload: Mapping[str, Any], root: Path, folder: Path, limits: Limits) -> dict[str, Any]:
    """A picture and its mask as they are, byte by byte."""
    path, mask_path = payload["path"], payload.get("mask_path")
    data = read_file(root / path, limits=limits)
    target = _renamed(payload.get("target", path), PurePosixPath(path).suffix.lower())
    write_bytes(folder / "images" / target, data)
    found = {"path": f"images/{target}", "sha256": hashlib.sha256(data).hexdigest(), "records": []}
    if mask_path is not None:
        mask_target = _renamed(mask_path, PurePosixPath(mask_path).suffix.lower())
        write_bytes(folder / "masks" / mask_target, read_file(root / mask_path, limits=limits))
        found["mask_path"] = f"masks/{mask_target}"
    return found


def _items(manifest: Manifest, chosen: Set[str]) -> Iterator[Item]:
    paths = set(manifest.column("path").to_pylist())
    for sample in manifest:
        payload: dict[str, Any] = {"path": sample.path}
        if sample.id not in chosen:
            payload["as_is"] = True
        if any(sample.path + suffix in paths for suffix in (".jpg", ".png", ".webp")):
            # `a.png` may become `a.png.jpg`; where that name is taken already, the id tells them apart.
            payload["target"] = f"{sample.path}.{sample.id}"
        if sample.mask_path is not None:
            payload["mask_path"] = sample.mask_path
        yield Item(sample.id, payload)


def _renamed(path: str, suffix: str) -> str:
    """The old suffix stays in the name: `a.jpg` and `a.png` of one folder must not become one file."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadSetting("a path that leaves the manifest's root", got=path)
    return path if pure.suffix.lower() == suffix else f"{path}{suffix}"


def _row(sample: Sample, found: Mapping[str, Any], folder: Path) -> Sample:
    measured = dict(zip(MEASURED, file_facts(str(folder), found["path"]), strict=True))
    measured.update(sha256=found["sha256"], phash=None)
    return replace(sample, path=found["path"], mask_path=found.get("mask_path"), **measured)
