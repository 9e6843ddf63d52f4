"""What the embedded detector learns from and is judged on: photos drawn apart by seed, each part forged by its recipe.

    python -m fauxlens.train.embedded_set photos.parquet -o FOLDER -j 2
    fauxlens train embedded --manifest FOLDER/set.parquet -o run
    python -m fauxlens.train.embedded_set photos.parquet -o FOLDER --calibration
    fauxlens predict FOLDER/calibration.parquet -d fauxlens-small --weights run/weights.safetensors -o answers.parquet
    fauxlens calibrate answers.parquet -m FOLDER/calibration.parquet -o judgement.json

Nothing here looks at a result. Which photos, which source of photos and which families of decoders are kept for the
end was decided by seeds before anything was trained; the families are named in the recipes `forge/detector-*.toml`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fauxlens.core.errors import BadManifest
from fauxlens.core.progress import Progress, silent
from fauxlens.core.seeds import share_of
from fauxlens.forge.pipeline import forge
from fauxlens.forge.recipe import read_recipe
from fauxlens.images.degrade import read_chain
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.manifest import Manifest, concatenate, read_manifest
from fauxlens.manifest.select import select

SMALL_SOURCE = 0.10
"""A source with a smaller share of the photos may be held out as a whole; the large ones are needed for learning."""
VALIDATION = 0.10
"""The share of the photos to learn from that choices are made on."""

RECIPES: dict[str, tuple[str, ...]] = {
    "train": ("detector-train", "detector-train-half"),
    "val": ("detector-val",),
    "test": ("detector-test",),
}
"""Which recipes of the forge make each split."""


REAL_DELIVERIES: dict[str, str] = {
    "as-it-is": "none",
    "jpeg-95": "jpeg:quality=95",
    "jpeg-75": "jpeg:quality=75",
    "half": "resize:scale=0.5",
    "three-quarters": "resize:scale=0.75",
    "screenshot": "screenshot/desktop",
    "messenger": "social/whatsapp-like",
    "processed-light": "processed/light",
    "processed-medium": "processed/medium",
    "blur": "blur:sigma=0.8",
    "down-up": "down_up:scale=0.6",
    "sharpen": "sharpen:amount=1",
    "noise": "noise:deviation=4",
    "enlarged": "resize:scale=1.3",
}
"""How real photos are delivered for the abstain band: what was processed must not be called edited."""

FORGED_DELIVERIES: dict[str, str] = {
    "as-it-is": "none",
    "jpeg-95": "jpeg:quality=95",
    "jpeg-85": "jpeg:quality=85",
    "jpeg-75": "jpeg:quality=75",
    "three-quarters": "resize:scale=0.75",
}
"""How forgeries are, for the same."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The real photos of each split, and the source that is in the last one as a whole."""

    photos: Manifest
    held_out_source: str | None


def drawn(photos: Manifest) -> Parts:
    """Real photos with the splits train, val and test, drawn by origin.

    What the manifest calls train is shared between train and val, all else is test; so is one small source as a whole.
    """
    reals = photos.usable().where("real photos", pa.array([one == "real" for one in photos.usable().values("label")]))
    if not len(reals):
        raise BadManifest("no usable real photo", where=photos.name, hint="label the photos as real")
    sources = [str(one) for one in reals.column("source").to_pylist()]
    small = sorted({one for one in sources if sources.count(one) < SMALL_SOURCE * len(sources)})
    held_out = min(small, key=lambda one: share_of("embedded-held-out-source", one), default=None)
    splits = [
        _split(source, split, origin, held_out)
        for source, split, origin in zip(
            sources, reals.column("split").to_pylist(), reals.column("origin").to_pylist(), strict=True
        )
    ]
    return Parts(reals.with_columns("splits of the embedded detector", {"split": splits}), held_out)


def make(
    photos: Manifest,
    folder: Path,
    *,
    workers: int = 1,
    only: Sequence[str] = tuple(RECIPES),
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Forge every part below `folder` and write `set.parquet`; what is there already is not made again."""
    parts = drawn(photos)
    folder.mkdir(parents=True, exist_ok=True)
    parts.photos.save(folder / "photos.parquet")
    made = []
    for split in only:
        mine = parts.photos.where(split, pa.array([one == split for one in parts.photos.column("split").to_pylist()]))
        for name in RECIPES[split]:
            done = forge(mine, folder / name, read_recipe(name), workers=workers, progress=progress)
            say(f"{name}: {done.sentence}")
            made.append(_below(read_manifest(folder / name / "manifest.parquet"), folder, name))
    return concatenate("embedded detector", made).save(folder / "set.parquet")


def make_calibration(folder: Path, *, workers: int = 1, progress: Progress = silent) -> Path:
    """Deliver the validation pictures of `set.parquet` in many ways; `calibration.parquet` names all of them."""
    whole = read_manifest(folder / "set.parquet")
    made = []
    for sort, deliveries in (("real", REAL_DELIVERIES), ("edited", FORGED_DELIVERIES)):
        chosen = select(whole, "split=val", f"label={sort}")
        for name, chain in deliveries.items():
            below = f"calibration/{sort}-{name}"
            degrade(chosen, folder / below, read_chain(chain), name=name, workers=workers, progress=progress)
            made.append(_below(read_manifest(folder / below / "manifest.parquet"), folder, below))
    return concatenate("calibration of the embedded detector", made).save(folder / "calibration.parquet")


def _split(source: str, split: str | None, origin: str, held_out: str | None) -> str:
    if source == held_out or split != "train":
        return "test"
    return "val" if share_of("embedded-validation", origin) < VALIDATION else "train"


def _below(manifest: Manifest, folder: Path, name: str) -> Manifest:
    """The manifest of a part as one of the folder above it; the same photo in two parts has two ids."""

    def moved(path: str | None) -> str | None:
        return None if path is None else f"{name}/{path}"

    columns = {column: [moved(one) for one in manifest.column(column).to_pylist()] for column in ("path", "mask_path")}
    columns["id"] = [f"{one}-{name.rsplit('/', 1)[-1]}" for one in manifest.column("id").to_pylist()]
    changed = manifest.with_columns(f"part {name}", columns)
    return Manifest(changed.table, folder, manifest.name, changed.history, changed.facts)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make what the embedded detector learns from.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-j", "--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--calibration", action="store_true", help="deliver the validation pictures of what was made")
    given = parser.parse_args()
    if given.calibration:
        _say(f"wrote {make_calibration(given.output, workers=given.workers)}")
        return
    made = make(read_manifest(given.photos), given.output, workers=given.workers, only=tuple(given.only), say=_say)
    _say(f"wrote {made}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
