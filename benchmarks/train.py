"""Training: pictures a second of the loader alone, of the step alone, and of both, which is what a run gets.

NFA-ViT nano on drawn JPEG photos, with the whole list of augmentations for localisation. When the loader alone is
faster than the step alone, both together lose little; `waited` is the share of its time that the run spent waiting.

Then a step (forward and backward) of the published NFA-ViT with random weights, in three forms that hold the same
numbers: naive, the plain form of the whole network, whose noise branch builds its graph and gathers batch statistics;
naive noise branch, ours but for that branch, which is the plain one; and ours, with the noise branch frozen and without
a graph. No gradient comes back through the noise branch in any of them: its masks are zeros and ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fauxlens.manifest.manifest import Manifest
from measure import in_turns, print_result
from nfa_vit import both, picture, ratio, rounded


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
    parser.add_argument("--step-side", type=int, default=256, help="of the steps with and without a naive noise branch")
    parser.add_argument("--step-batch", type=int, default=2)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), given)
    found["noise_branch"] = noise_branch(given)
    print_result({"benchmark": "train", **vars(given), **found})


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
    together, waited = [], []
    for number in range(given.rounds):
        train(replace(recipe, seed=number), folder=folder / f"run-{number}", manifest=manifest, device=given.device)
        line = next(one for one in read_journal(folder / f"run-{number}") if one["kind"] == "steps")
        together.append(line["images_per_second"])
        waited.append(line["waited"])
    together.sort()
    rates["both"] = {"median": together[len(together) // 2], "lowest": together[0], "highest": together[-1]}
    over = times["step"]["median"] / given.batch / (times["loader"]["median"] / pictures["loader"])
    return {
        "pictures_a_second": rates,
        "waited": sorted(waited)[len(waited) // 2],
        "loader_times_faster_than_step": round(over, 2),
        "loader_is_the_bottleneck": over < 1,
    }


def noise_branch(given: argparse.Namespace) -> dict[str, object]:
    """A training step of the published NFA-ViT: naive, naive in its noise branch alone, and ours."""
    import torch
    import torch.nn.functional as F

    ours, plain = both()
    ours.frozen_noise = True
    for network in (ours, plain):
        network.train()
    image, size = picture(given.step_side, given.step_batch), (given.step_side, given.step_side)
    mask, label = torch.zeros(given.step_batch, 1, *size), torch.arange(given.step_batch) % 2.0
    mask[:, :, size[0] // 8 : size[0] // 2, size[1] // 8 : size[1] // 2] = label[:, None, None, None]

    def learn(logit: torch.Tensor, at: torch.Tensor) -> None:
        loss = F.binary_cross_entropy_with_logits(at, mask) + 0.5 * F.binary_cross_entropy_with_logits(logit, label)
        for network in (ours, plain):
            network.zero_grad(set_to_none=True)
        loss.backward()

    def naive() -> None:
        logit, at = plain(image)
        learn(logit[:, 0], at)

    def naive_noise_branch() -> None:
        allowed = plain.noise_backbone(plain.noise_extractor(image))
        guides = [torch.zeros(one.shape).masked_fill_(~one, torch.finfo(torch.float32).min) for one in allowed]
        found = ours(image, guides)
        learn(found.logit, found.mask)

    def frozen() -> None:
        found = ours(image)
        learn(found.logit, found.mask)

    ways = {"naive": naive, "naive_noise_branch": naive_noise_branch, "ours": frozen}
    times = in_turns(ways, given.rounds)
    return {
        "seconds": rounded(times),
        "times_faster_than_naive": ratio(times, "naive", "ours"),
        "times_faster_than_naive_noise_branch": ratio(times, "naive_noise_branch", "ours"),
        "graph_megabytes": {name: graph_megabytes(way) for name, way in ways.items()},
    }


def graph_megabytes(way: Callable[[], None]) -> float:
    """What a step saves for a backward pass, each piece of memory counted once; weights are among it."""
    import torch

    # Held, not only counted: what is given back in the meantime would be taken for another by its place.
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(one: torch.Tensor) -> torch.Tensor:
        storage = one.untyped_storage()
        saved[storage.data_ptr()] = storage
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        way()
    return round(sum(storage.nbytes() for storage in saved.values()) / 1e6, 1)


if __name__ == "__main__":
    main()
