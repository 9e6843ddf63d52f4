"""How long one waits for `fauxlens inspect`: one photo, a large one, many; and what each part of it costs.

Against the detector alone, on the same pictures in the same process. Photos are drawn, so nothing is needed; `--photos`
takes others. Memory is that of a process of its own, as is the cold start.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fauxlens.detectors import load
from fauxlens.images.encode import encode_jpeg
from fauxlens.images.picture import read_picture
from fauxlens.verdict.inspect import DETECTOR, Plan, inspect_many
from landscapes import landscape
from measure import in_turns, print_result

_ONE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from measure import peak_megabytes
import fauxlens
found = fauxlens.inspect(Path(sys.argv[1]))
print(json.dumps({"peak_megabytes": peak_megabytes(), "seconds": found.seconds}))
"""


def cold(photo: Path, rounds: int) -> dict[str, float]:
    """Seconds from the shell's start to the end of the card."""
    line = [sys.executable, "-m", "fauxlens", "inspect", str(photo)]
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(line, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return {"median": statistics.median(times), "lowest": min(times), "highest": max(times)}


def alone(photo: Path) -> dict[str, Any]:
    """One photo in a process of its own: seconds without the imports, and the most memory held."""
    line = [sys.executable, "-c", _ONE, str(photo), str(Path(__file__).parent)]
    found: dict[str, Any] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return {"peak_megabytes": found["peak_megabytes"], "seconds": round(found["seconds"], 3)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--large", type=int, nargs=2, default=(3000, 4000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="instead of those that are drawn")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = list(given.photos)
        for number in range(0 if photos else given.count):
            photos.append(Path(folder) / f"{number}.jpg")
            photos[-1].write_bytes(encode_jpeg(landscape(number, *given.size), 92))
        large = Path(folder) / "large.jpg"
        large.write_bytes(encode_jpeg(landscape(1, *given.large), 92))
        print_result(measured(photos, large, given.rounds))


def measured(photos: list[Path], large: Path, rounds: int) -> dict[str, Any]:
    """All figures."""
    detector = load(DETECTOR)

    def told(plan: Plan) -> Callable[[], None]:
        return lambda: deque(inspect_many(photos, [detector], plan=plan), maxlen=0).clear()

    def asked() -> None:
        for photo in photos:
            detector.predict([read_picture(photo)])

    ways = {
        "inspect": told(Plan()),
        "without_stability": told(Plan(stability=())),
        "without_history": told(Plan(history=False)),
        "the_detector_alone": asked,
    }
    times = in_turns(ways, rounds)
    seconds = {name: one["median"] / len(photos) for name, one in times.items()}
    return {
        "benchmark": "inspecting",
        "photos": len(photos),
        "seconds": times,
        "photos_a_second": {name: round(1 / one, 2) for name, one in seconds.items()},
        "inspect_against_the_detector": round(seconds["inspect"] / seconds["the_detector_alone"], 2),
        "cold_seconds": cold(photos[0], rounds),
        "large": alone(large),
        "small": alone(photos[0]),
    }


if __name__ == "__main__":
    main()
