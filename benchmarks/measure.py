"""What every benchmark here shares: rounds in turns, medians, and what machine it was."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def in_turns(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each way: one warm-up, then `rounds` rounds in which every way has its turn."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {"median": statistics.median(times), "lowest": min(times), "highest": max(times)}
        for name, times in seconds.items()
    }


def peak_megabytes() -> float:
    """The most memory that this process held at once."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss is inherited from the parent; this figure is not
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1024 / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def machine() -> dict[str, object]:
    """Versions and platform."""
    libraries = ("fauxlens", "numpy", "pillow", "pyarrow", "opencv-python-headless", "torch")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
    }


def print_result(result: Mapping[str, object]) -> None:
    """The one JSON object."""
    json.dump({**result, "machine": machine()}, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
