"""NFA-ViT: our path against the plain form of the same network (plain_nfa_vit.py), and what the small setting costs.

Both forms hold the same weights and are timed in turns in one process; memory is that of a fresh process for each. The
matrix-multiplication peak of the machine is measured in the same run and in the same turns, since an absolute time
means little on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import in_turns, peak_megabytes, print_result

_MATMUL_SIDE = 1536
_DNCNN_MULTIPLICATIONS = 2 * 9 * (3 * 64 + 15 * 64 * 64 + 64)  # a pixel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--train-side", type=int, default=256)
    parser.add_argument("--photo", type=int, nargs=2, default=(3000, 4000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    if given.peak_of:
        print(json.dumps(peak_of(given.peak_of, given)))
        return
    sections = {
        "forward": forward(given),
        "training_step": training(given),
        "nano": nano(given),
        "memory": memory(given),
    }
    print_result({"benchmark": "nfa_vit", "threads": given.threads, "side": given.side, **sections})


def forward(given: argparse.Namespace) -> dict[str, object]:
    """Whole and in parts, without a graph."""
    import torch
    import torch.nn.functional as F

    ours, plain = both()
    image = picture(given.side)
    with torch.inference_mode():
        noise = ours.noise(image)
        guides = ours.noise_backbone.guides(noise)
        masks = [guide == 0 for guide in guides]
        size = (given.side, given.side)
        grid = torch.randn(1, given.side // 4, given.side // 4, 64)
        tokens, block, plain_block = grid.flatten(1, 2), ours.image_backbone.block1[0], plain.image_backbone.block1[0]
        allowed = plain.image_backbone.sparse(given.side // 4, 8)

        def our_tail() -> object:
            return ours.decode(ours.features(image, guides), size)

        def plain_tail() -> object:
            low = plain.seg_decoder(plain.image_backbone(image, masks))
            return F.interpolate(low, size=size, mode="bilinear", align_corners=False)

        ways: dict[str, Callable[[], object]] = {
            "matmul": matmul(),
            "ours": lambda: ours(image),
            "plain": lambda: plain(image),
            "extractor_ours": lambda: ours.noise(image),
            "extractor_plain": lambda: plain.noise_extractor(image),
            "noise_branch_ours": lambda: ours.noise_backbone.guides(noise),
            "noise_branch_plain": lambda: plain.noise_backbone(noise),
            "image_and_decoder_ours": our_tail,
            "image_and_decoder_plain": plain_tail,
            "attention_stage_1_ours": lambda: block.attn(grid, "fix-sparse"),
            "attention_stage_1_plain": lambda: plain_block.attn(tokens, given.side // 4, allowed),
        }
        difference = float((our_tail().mask - plain_tail()).abs().max())  # type: ignore[attr-defined]
        attention = float((block.attn(grid, "fix-sparse").flatten(1, 2)
                           - plain_block.attn(tokens, given.side // 4, allowed)[0]).abs().max())  # fmt: skip
        times = in_turns({name: silent(way) for name, way in ways.items()}, given.rounds)
    peak = peak_of_matmul(times)
    multiplications = _DNCNN_MULTIPLICATIONS * given.side**2
    return {
        "seconds": rounded(times),
        "times_faster": {
            "whole": ratio(times, "plain", "ours"),
            "extractor": ratio(times, "extractor_plain", "extractor_ours"),
            "noise_branch": ratio(times, "noise_branch_plain", "noise_branch_ours"),
            "image_and_decoder": ratio(times, "image_and_decoder_plain", "image_and_decoder_ours"),
            "attention_stage_1": ratio(times, "attention_stage_1_plain", "attention_stage_1_ours"),
        },
        "largest_difference": {"mask_with_same_guides": difference, "attention_stage_1": attention},
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "extractor_share_of_peak": round(multiplications / times["extractor_ours"]["lowest"] / peak, 3),
    }


def matmul() -> Callable[[], object]:
    """A product of two matrices: what the processor can do at best, at the moment of the figures beside it."""
    import torch

    left = torch.randn(_MATMUL_SIDE, _MATMUL_SIDE)
    return lambda: left @ left


def peak_of_matmul(times: dict[str, dict[str, float]]) -> float:
    return 2 * _MATMUL_SIDE**3 / times["matmul"]["lowest"]


def training(given: argparse.Namespace) -> dict[str, object]:
    """One step, forward and backward, batch 2: plain; ours as published (batch statistics of the extractor too), with a
    frozen noise branch, and frozen with image branch and decoder in bfloat16.
    """
    import torch
    import torch.nn.functional as F

    image = picture(given.train_side, 2)
    mask, label = torch.zeros(2, 1, given.train_side, given.train_side), torch.tensor([1.0, 0.0])
    mask[0, :, 32:96, 32:96] = 1
    ours, plain = both()
    frozen, _ = both()
    frozen.frozen_noise = True
    for network in (ours, plain, frozen):
        network.train()

    def step(network: torch.nn.Module, low: bool = False) -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            found = network(image)
        logit, at = (found[0][:, 0], found[1]) if isinstance(found, tuple) else (found.logit, found.mask)
        logit, at = logit.float(), at.float()
        loss = F.binary_cross_entropy_with_logits(at, mask) + 0.5 * F.binary_cross_entropy_with_logits(logit, label)
        loss.backward()

    ways = {
        "matmul": matmul(),
        "plain": lambda: step(plain),
        "ours_as_published": lambda: step(ours),
        "ours_frozen_noise": lambda: step(frozen),
        "ours_frozen_noise_bfloat16": lambda: step(frozen, low=True),
    }
    times = in_turns(ways, given.rounds)
    return {
        "side": given.train_side,
        "batch": 2,
        "seconds": rounded(times),
        "times_faster": {name: ratio(times, "plain", name) for name in times if name.startswith("ours")},
        "matmul_peak_gflops": round(peak_of_matmul(times) / 1e9, 1),
    }


def nano(given: argparse.Namespace) -> dict[str, object]:
    """`predict` of the small setting: one picture of the side, and one photo in tiles."""
    import numpy as np

    from fauxlens.detectors import load

    detector = load("nfa-vit", "random", setting="nano")
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (given.side, given.side, 3), dtype=np.uint8)
    photo = draw.integers(0, 256, (*given.photo, 3), dtype=np.uint8)
    times = in_turns({"matmul": matmul(), "picture": silent(lambda: detector.predict([small]))}, given.rounds)
    begun = time.perf_counter()
    told = detector.predict([photo])[0]
    return {
        "seconds": rounded(times),
        "photo_seconds": round(time.perf_counter() - begun, 2),
        "matmul_peak_gflops": round(peak_of_matmul(times) / 1e9, 1),
        "photo_megapixels": round(given.photo[0] * given.photo[1] / 1e6, 2),
        "notes": list(told.notes),
    }


def memory(given: argparse.Namespace) -> dict[str, object]:
    """Peak resident megabytes of a fresh process that does one thing."""
    found = {}
    for what in ("libraries", "plain", "ours", "nano_picture", "nano_photo"):
        line = [sys.executable, __file__, "--peak-of", what, "--threads", str(given.threads), "--side", str(given.side)]
        line += ["--photo", *map(str, given.photo)]
        found[what] = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return {"peak_megabytes": found, "ours_lower_by": round(1 - found["ours"] / found["plain"], 3)}


def peak_of(what: str, given: argparse.Namespace) -> float:
    import numpy as np
    import torch

    from fauxlens.detectors import load

    # Fresh weights: the network as it is loaded, and nothing beside it.
    if what == "plain":
        from plain_nfa_vit import PlainNfaVit

        network: torch.nn.Module = PlainNfaVit().eval()
    elif what == "ours":
        network = load("nfa-vit", "random").network
    if what in ("plain", "ours"):
        with torch.inference_mode():
            network(picture(given.side))
    elif what.startswith("nano"):
        size = given.photo if what == "nano_photo" else (given.side, given.side)
        photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        load("nfa-vit", "random", setting="nano").predict([photo])
    return peak_megabytes()


def both():  # type: ignore[no-untyped-def]
    """Our network and the plain one with the same weights, large enough that the masks depend on the picture."""
    import torch

    from fauxlens.detectors import load
    from plain_nfa_vit import PlainNfaVit

    ours = load("nfa-vit", "random").network
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * (2.0 / parameter[0].numel()) ** 0.5)
    plain = PlainNfaVit().eval()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def picture(side: int, count: int = 1):  # type: ignore[no-untyped-def]
    """Blobs and noise, normalised."""
    import torch
    import torch.nn.functional as F

    draw = torch.Generator().manual_seed(3)
    blobs = F.interpolate(
        torch.randn(count, 3, side // 16, side // 16, generator=draw), size=(side, side), mode="bicubic"
    )
    return blobs + 0.05 * torch.randn(count, 3, side, side, generator=draw)


def silent(way: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        way()

    return run


def rounded(times: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 4) for key, value in spread.items()} for name, spread in times.items()}


def ratio(times: dict[str, dict[str, float]], slow: str, fast: str) -> float:
    """Of the fastest rounds: what another process on the machine takes away is noise, not cost."""
    return round(times[slow]["lowest"] / times[fast]["lowest"], 2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
