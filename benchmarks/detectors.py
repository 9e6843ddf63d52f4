"""Every detector on one drawn picture: milliseconds, memory, multiply-adds, against an ordinary ResNet-50 beside it.

Weights are random: time and memory do not depend on them. Each detector has a process of its own, so that its peak of
memory is its own, and in the same process, in turns with it, a plain ResNet-50 (CNNSpot's) sees the whole picture: the
ratio to it is what can be compared between machines. What a detector sees of the picture is its own published way
(column "shown"): one that cuts 224x224 out of it is quick for that reason.

`--table FILE` puts the result as a table between the two marks in FILE.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import in_turns, machine, peak_megabytes, print_result

YARDSTICK = "cnnspot"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_TESTS = Path(__file__).resolve().parents[1] / "tests"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these detectors, each as NAME or NAME:SETTING")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=448)
    parser.add_argument("--table", type=Path, metavar="FILE", help="a Markdown file with the two marks in it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measured(given.child, given)))
        return
    if given.table is not None and not (BEGIN in (text := given.table.read_text(encoding="utf-8")) and END in text):
        parser.error(f"{given.table} has no place for the table: two lines, {BEGIN} and {END}")
    from fauxlens.detectors import DETECTORS

    busy = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    found = {}
    for name in given.only or sorted(DETECTORS):
        sys.stderr.write(f"{name}\n")
        found[name] = in_a_child(name, given)
    result = {
        "benchmark": "detectors",
        "date": datetime.date.today().isoformat(),
        "side": given.side,
        "rounds": given.rounds,
        "threads": given.threads,
        "load_before": busy,
        "yardstick": f"{YARDSTICK}, which sees the whole picture",
        "detectors": found,
    }
    if given.table is not None:
        put_table(given.table, result)
    print_result(result)


def in_a_child(name: str, given: argparse.Namespace) -> dict[str, Any]:
    line = [sys.executable, __file__, "--child", name, "--rounds", str(given.rounds)]
    line += ["--threads", str(given.threads), "--side", str(given.side)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(given.threads),
        "PYTHONPATH": os.pathsep.join([str(_TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    ended = subprocess.run(line, capture_output=True, text=True, env=environment)
    if ended.returncode != 0:  # the others are measured all the same
        sys.stderr.write(ended.stderr)
        return {"left_out": (ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"])[-1]}
    return dict(json.loads(ended.stdout))


def measured(asked: str, given: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one detector; its memory first, before the yardstick takes any."""
    import torch

    from drawn import drawn_picture  # the tests' picture: edges, slopes and texture from whole numbers
    from fauxlens.core.errors import MissingExtra, NoWeights
    from fauxlens.detectors import Output, load

    torch.set_num_threads(given.threads)
    picture = drawn_picture(given.side, given.side)
    name, _, setting = asked.partition(":")
    libraries = peak_megabytes()
    try:
        detector = load(name, "random", setting=setting or None)
        first = detector.predict([picture])[0]
    except (MissingExtra, NoWeights) as lacking:  # a library, or a second network that is no part of its weights
        return {"left_out": lacking.message}
    peak = peak_megabytes()
    spent: list[float] = []
    logits = detector.logits

    def timed(batch: torch.Tensor) -> Output:
        begun = time.perf_counter()
        output = logits(batch)
        spent[-1] += time.perf_counter() - begun
        return output

    def predict() -> None:
        spent.append(0.0)
        detector.predict([picture])

    def prepare() -> None:
        for view in detector.prepare(picture).views:
            view.tensor()

    operations, unseen = multiply_adds(lambda: detector.predict([picture]))
    yardstick = load(YARDSTICK, "random")
    yardstick.showing = "native"  # type: ignore[attr-defined]
    detector.logits = timed  # type: ignore[method-assign]
    times = in_turns(
        {"predict": predict, "prepare": prepare, "yardstick": lambda: told(yardstick, picture)}, given.rounds
    )
    network = spent[1:]  # the first was the warm-up
    return {
        "setting": detector.setting,
        "shown": [list(view.shape) for view in detector.prepare(picture).views],
        "parameters": sum(p.numel() for p in detector.network.parameters()),
        "multiply_adds": operations,
        "not_counted": unseen,
        "milliseconds": {way: in_milliseconds(spread) for way, spread in times.items()}
        | {"network": in_milliseconds({"median": statistics.median(network), "lowest": min(network),
                                       "highest": max(network)})},
        # Of the fastest rounds: what another process on the machine takes away is noise, not cost.
        "times_yardstick": round(times["predict"]["lowest"] / times["yardstick"]["lowest"], 3),
        "peak_megabytes": peak,
        "libraries_megabytes": libraries,
        "notes": list(first.notes),
        "published": [
            {"milliseconds": target.value, "on": target.data, "source": target.source}
            for target in detector.card.targets
            if target.metric == "milliseconds"
        ],
    }  # fmt: skip


def told(detector: Any, picture: Any) -> None:
    detector.predict([picture])


def multiply_adds(way: Any) -> tuple[int, list[str]]:
    """What a call multiplies and adds in convolutions and matrix products, and the transforms in it that are not seen.

    Not counted either: everything that works on numbers one by one, resizing and sorting.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry, sdpa_flop_count

    unseen: set[str] = set()
    counted = [0]

    # FlopCounterMode also keeps track of modules, with hooks that a network which asks for gradients cannot bear.
    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            formula = flop_registry.get(func._overloadpacket)
            if formula is None and func is not torch.ops.prim.device.default:
                with self:
                    found = func.decompose(*args, **kwargs)
                if found is not NotImplemented:
                    return found
            if "fft" in str(func):
                unseen.add("fft")
            found = func(*args, **kwargs)
            if formula is not None:
                counted[0] += formula(*args, **kwargs, out_val=found)
            elif "scaled_dot_product" in str(func):  # a processor's attention is in no table of the library
                counted[0] += sdpa_flop_count(*(tensor.shape for tensor in args[:3]))
            return found

    with Counting():
        way()
    return counted[0] // 2, sorted(unseen)


def in_milliseconds(spread: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value * 1000, 2) for key, value in spread.items()}


def put_table(file: Path, result: Mapping[str, Any]) -> None:
    """The table in place of what stands between the marks."""
    text = file.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text("\n".join([before + BEGIN, "", *table(result), "", END]) + after, encoding="utf-8")


def table(result: Mapping[str, Any]) -> list[str]:
    """The result in Markdown; the fastest first."""
    place = machine()
    torch_version = place["libraries"]["torch"]  # type: ignore[index]
    busy = "" if result["load_before"] is None else f", load average {result['load_before']:g} before the run"
    rounds = f"{result['rounds']} round{'s' * (result['rounds'] != 1)}"
    head = ("detector", "ms", "x ResNet-50", "prepare ms", "network ms", "shown", "G multiply-adds", "M parameters",
            "peak MB", "published, GPU")  # fmt: skip
    lines = [
        f"Measured on {result['date']}: {place['platform']}, {place['processors']} processors, {result['threads']} "
        f"thread{'s' * (result['threads'] != 1)}, torch {torch_version}{busy}; the median of {rounds}, one picture of "
        f"{result['side']}x{result['side']}.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" + "|---:" * (len(head) - 1) + "|",
    ]
    there = {name: one for name, one in result["detectors"].items() if "left_out" not in one}
    for name, one in sorted(there.items(), key=lambda item: item[1]["times_yardstick"]):
        times = {way: spread["median"] for way, spread in one["milliseconds"].items()}
        sizes = [f"{width}x{height}" for height, width in one["shown"]]
        unseen = f" + {', '.join(one['not_counted'])}" if one["not_counted"] else ""
        published = ", ".join(f"{target['milliseconds']:g} ms" for target in one["published"])
        cells = (
            name, f"{times['predict']:,.0f}", f"{one['times_yardstick']:.2f}", f"{times['prepare']:,.1f}",
            f"{times['network']:,.0f}", sizes[0] if len(sizes) == 1 else f"{len(sizes)} of {sizes[0]}",
            f"{one['multiply_adds'] / 1e9:,.2f}{unseen}", f"{one['parameters'] / 1e6:,.1f}",
            f"{one['peak_megabytes']:,.0f}", published,
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    left_out = {name: one["left_out"] for name, one in result["detectors"].items() if "left_out" in one}
    return lines + [line for name, why in left_out.items() for line in ("", f"Not measured: {name}, since {why}")]


if __name__ == "__main__":
    sys.path.insert(0, str(_TESTS))
    main()
