"""Pictures a minute of every method and judge that needs no download, and what 150,000 forgeries would take here.

Everything works on the same drawn photo with the same hole; `against_telea` is the ratio to OpenCV's plainest fill in
the same run. `one_thread` says how the embedded path was timed: one process, one thread, as one worker works.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import cv2
import numpy as np
import torch

from fauxlens.core.errors import MissingExtra, NoWeights
from fauxlens.forge.compose import compose
from fauxlens.forge.create import METHODS
from fauxlens.forge.create.method import Request, load_method
from fauxlens.forge.judge import JUDGES
from fauxlens.forge.judge.judge import Exhibit, load_judge
from fauxlens.forge.perceive.provider import load_captioner, load_provider
from fauxlens.forge.recipe import read_recipe
from fauxlens.forge.region import Photo
from fauxlens.images.degrade import read_chain
from landscapes import landscape
from measure import in_turns, peak_megabytes, print_result

FORGERIES = 150_000
PHOTOS = 15_000


def hole(height: int, width: int, share: float) -> np.ndarray:
    """A rounded hole of about `share` of the frame, a little off the centre."""
    y, x = np.mgrid[0:height, 0:width]
    radius = np.sqrt(share * height * width / np.pi)
    return (y - 0.45 * height) ** 2 + (x - 0.55 * width) ** 2 < radius**2


def light(names: dict[str, str], load: Callable[[str], object]) -> tuple[dict[str, object], dict[str, str]]:
    """-> (what works without a download, by name; why the others do not)."""
    there, absent = {}, {}
    for name in names:
        try:
            there[name] = load(name)
        except (NoWeights, MissingExtra) as gone:
            absent[name] = gone.message.partition(" (")[0]
    return there, absent


def ready_method(name: str) -> object:
    method = load_method(name)
    method.ready()
    return method


def ready_judge(name: str, exhibit: Exhibit) -> object:
    judge = load_judge(name)
    judge.rule(exhibit)
    return judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="embedded")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    height, width = given.side * 3 // 4, given.side
    photo = Photo("benchmark", landscape(1, height, width))
    donor, mask = landscape(2, height, width), hole(height, width, 0.25)
    methods, no_method = light(METHODS, ready_method)
    ways: dict[str, Callable[[], object]] = {}
    for name, method in methods.items():
        asked = Request(pixels=photo.pixels, mask=mask, seed=1, prompt="a meadow", category="grass", donor=donor)
        ways[f"method {name}"] = lambda method=method, asked=asked: method.fill(asked)
    forged = compose(photo.pixels, methods["telea"].fill(asked).pixels, mask)
    exhibit = Exhibit(original=photo.pixels, forged=forged.pixels, mask=mask, prompt="a meadow")
    judges, no_judge = light(JUDGES, lambda name: ready_judge(name, exhibit))
    for name, judge in judges.items():
        ways[f"judge {name}"] = lambda judge=judge: judge.rule(exhibit)
    recipe = read_recipe(given.recipe)
    provider, captioner = load_provider("embedded"), load_captioner("template")
    ways["perceive embedded"] = lambda: provider.regions(photo, 1)
    region = next(iter(load_provider("random").regions(photo, 1)))
    ways["caption template"] = lambda: captioner.caption(photo, region, 1)
    chain = read_chain(recipe.delivery.chain)
    ways["deliver a pair"] = lambda: (chain.encode(photo.pixels, 1), chain.encode(forged.pixels, 1))
    seconds = in_turns(ways, given.rounds)
    median = {name: found["median"] for name, found in seconds.items()}
    each = FORGERIES / len(methods)
    hours = {
        "perceive and caption": PHOTOS * (median["perceive embedded"] + 2 * median["caption template"]) / 3600,
        **{name: each * median[name] / 3600 for name in median if name.startswith("method ")},
        "judges": FORGERIES * sum(median[name] for name in median if name.startswith("judge ")) / 3600,
        "deliver": FORGERIES * median["deliver a pair"] / 3600,
    }
    print_result({
        "benchmark": "forge",
        "picture": [height, width],
        "hole": round(float(mask.mean()), 3),
        "one_thread": True,
        "seconds": seconds,
        "pictures_a_minute": {name: round(60 / value, 1) for name, value in median.items()},
        "against_telea": {name: round(value / median["method telea"], 3) for name, value in median.items()},
        "absent": {**no_method, **no_judge},
        "estimate": {
            "forgeries": FORGERIES,
            "photos": PHOTOS,
            "methods": sorted(methods),
            "core_hours": {name: round(value, 2) for name, value in hours.items()},
            "core_hours_in_all": round(sum(hours.values()), 1),
        },
        "peak_megabytes": peak_megabytes(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
