"""Training: pictures a second of the loader alone, of the step alone, and of both, which is what a run gets.

NFA-ViT nano on drawn JPEG photos, with the whole list of augmentations for localisation. When the loader alone is
faster than the step alone, both together lose little; `waited` is the share of its time that the run spent waiting.
What a step costs with and without a graph of the noise branch is measured by nfa_vit.py.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from fauxlens.manifest.manifest import Manifest
from measure import in_turns, print_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--photo-side", type=int, default=512)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        print_result({"benchmark": "train", **vars(given), **measured(Path(folder), given)})


def photos(root: Path, count: int, side: int) -> Manifest:
    """`count` photos as JPEG, and of each an edited copy with its mask."""
    import cv2

    from fauxlens.images.encode import encode_jpeg, encode_png
    from fauxlens.manifest.sample import Sample
    from landscapes import landscape

    root.mkdir()
    samples = []
    for number in range(count):
        pixels, mask = landscape(number, side, side), np.zeros((side, side), np.uint8)
        (root / f"r{number}.jpg").write_bytes(encode_jpeg(pixels, 92))
        mask[side // 4 : side // 2, side // 4 : side // 2] = 255
        edited = cv2.inpaint(pixels, mask, 3, cv2.INPAINT_TELEA)
        (root / f"e{number}.jpg").write_bytes(encode_jpeg(np.asarray(edited, np.uint8), 92))
        (root / f"m{number}.png").write_bytes(encode_png(mask))
        shared = {"split": "train", "origin": f"r{number}", "width": side, "height": side}
        samples.append(Sample(id=f"r{number}", path=f"r{number}.jpg", label="real", **shared))
        samples.append(
            Sample(id=f"e{number}", path=f"e{number}.jpg", label="edited", mask_path=f"m{number}.png", **shared)
        )
    return Manifest.from_samples(samples, root, name="drawn")


def measured(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    from fauxlens.train.data import loader
    from fauxlens.train.journal import read_journal
    from fauxlens.train.loop import _Run, train
    from fauxlens.train.order import epoch_order
    from fauxlens.train.ranks import joined
    from train_runs import small_recipe

    manifest = photos(folder / "set", given.photos, given.photo_side)
    recipe = small_recipe(
        epochs=1,
        batch=given.batch,
        augment=[{"step": "imdl-benco"}, {"step": "resize", "height": given.side, "width": given.side}],
        running={"workers": given.workers, "log_every": 10**6},
    )
    with joined(given.device) as ranks:
        run = _Run(recipe, folder / "step", manifest, ranks)
        order = epoch_order(manifest, recipe.sampling, epoch=0)
        teaching = run._wrapped()
        run.frozen.train(0)
        run._set_rate(1.0)
        batch = next(loader(run.samples, order, batch=given.batch))

        def load_all() -> None:
            for _ in loader(run.samples, order, batch=given.batch, workers=given.workers):
                pass

        def one_step() -> None:
            run._step(teaching, batch)  # it looks at the loss, so it waits for the device

        times = in_turns({"loader": load_all, "step": one_step}, given.rounds)
    pictures = {"loader": len(order) // given.batch * given.batch, "step": given.batch}
    rates: dict[str, object] = {
        f"{name}_alone": {
            "median": round(pictures[name] / found["median"], 2),
            "lowest": round(pictures[name] / found["highest"], 2),
            "highest": round(pictures[name] / found["lowest"], 2),
        }
        for name, found in times.items()
    }
    both, waited = [], []
    for number in range(given.rounds):
        train(replace(recipe, seed=number), folder=folder / f"run-{number}", manifest=manifest, device=given.device)
        line = next(one for one in read_journal(folder / f"run-{number}") if one["kind"] == "steps")
        both.append(line["images_per_second"])
        waited.append(line["waited"])
    both.sort()
    rates["both"] = {"median": both[len(both) // 2], "lowest": both[0], "highest": both[-1]}
    return {"pictures_a_second": rates, "waited": sorted(waited)[len(waited) // 2]}


if __name__ == "__main__":
    main()
