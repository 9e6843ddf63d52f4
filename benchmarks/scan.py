"""Header-only scan with all our facts, against Pillow's open and against a full decode, in one run.

`python benchmarks/scan.py [FOLDER]`: the pictures of a folder, or ones that are drawn (500 x 375 JPEGs of camera-like
content, as most of ImageNet is). Hashing is off. "facts" is the reader alone; "scan" is everything that `fauxlens scan`
does for a file: listing, layout, ids, facts, and the finished table.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fauxlens.images.facts import read_facts
from fauxlens.images.picture import read_picture
from fauxlens.manifest.scan import survey
from measure import in_turns, print_result


def draw(folder: Path, count: int) -> None:
    """Drawn JPEGs below `folder/real`: smooth structure plus noise, so that files have everyday sizes."""
    (folder / "real").mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:375, 0:500]
    drawn = min(count, 200)
    for number in range(drawn):
        phase = rng.uniform(0, 6, (3, 4))
        waves = [np.sin(x / (20 + 9 * p[0]) + p[1]) * np.cos(y / (25 + 7 * p[2]) + p[3]) for p in phase]
        pixels = np.stack(waves, axis=-1) * 90 + 128 + rng.normal(0, 8, (375, 500, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "real" / f"{number:05}.jpg", quality=96)
    for number in range(drawn, count):
        # The same pictures again, each with a comment of its own: no two files are the same bytes.
        data = (folder / "real" / f"{number % drawn:05}.jpg").read_bytes()
        comment = b"\xff\xfe\x00\x07" + f"{number:05}".encode()
        (folder / "real" / f"{number:05}.jpg").write_bytes(data[:2] + comment + data[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=5000, help="pictures to draw when no folder is given")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder
        if folder is None:
            folder = Path(temporary) / "drawn"
            draw(folder, given.count)
        manifest = survey(folder).manifest.usable()
        paths = [os.fspath(folder / path) for path in manifest.column("path").to_pylist()]

        def facts() -> None:
            for path in paths:
                read_facts(path)

        def scan() -> None:
            survey(folder)

        def pillow_open() -> None:
            for path in paths:
                with Image.open(path) as image:
                    image.size  # noqa: B018 - what the fastest caller would do

        def pillow_decode() -> None:
            for path in paths:
                with Image.open(path) as image:
                    image.load()

        def our_decode() -> None:
            for path in paths:
                read_picture(path)

        fast = in_turns({"facts": facts, "scan": scan, "pillow_open": pillow_open}, given.rounds)
        # Decoding takes a hundred times longer: fewer rounds, and at most the first 400 files, scaled up.
        paths, every = paths[:400], paths
        slow = in_turns({"pillow_decode": pillow_decode, "our_decode": our_decode}, min(given.rounds, 3))
        slow = {name: {key: value * len(every) / len(paths) for key, value in t.items()} for name, t in slow.items()}
        paths = every
    times = {**fast, **slow}
    each = {name: {key: round(value / len(paths) * 1e6, 2) for key, value in t.items()} for name, t in times.items()}
    print_result(
        {
            "benchmark": "scan",
            "files": len(paths),
            "formats": {str(key[0]): count for key, count in manifest.count("format").items()},
            "microseconds_a_file": each,
            "facts_against_pillow_open": round(times["pillow_open"]["median"] / times["facts"]["median"], 2),
            "facts_against_pillow_decode": round(times["pillow_decode"]["median"] / times["facts"]["median"], 1),
            "scan_against_pillow_open": round(times["pillow_open"]["median"] / times["scan"]["median"], 2),
            "scan_against_pillow_decode": round(times["pillow_decode"]["median"] / times["scan"]["median"], 1),
            "scan_against_our_decode": round(times["our_decode"]["median"] / times["scan"]["median"], 1),
        }
    )


if __name__ == "__main__":
    main()
