"""A manifest of three million rows: load, filter, count; seconds and peak memory, against the same rows as CSV.

Each way runs in a process of its own, so that the peak is its own. The CSV way is Python's csv module and a list of
dictionaries, which is what the field's loaders do; it gets one row in ten, and its figures are scaled up and marked so.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from measure import print_result

_SHARE = 10


def make(path: Path, rows: int) -> None:
    """A manifest as GenImage's would be, with every column filled."""
    from fauxlens.manifest.manifest import Manifest

    rng = np.random.default_rng(0)
    fake = rng.random(rows) < 0.5
    generators = np.array(["Midjourney", "stable_diffusion_v_1_4", "stable_diffusion_v_1_5", "ADM", "glide", "wukong"])
    chosen = generators[rng.integers(0, 6, rows)]
    numbers = np.arange(rows)
    kinds = np.where(fake, "ai", "nature")
    digests = rng.integers(0, 2**63, (rows, 4), dtype=np.uint64)
    hexes = pa.array([f"{a:016x}{b:016x}{c:016x}{d:016x}" for a, b, c, d in digests.tolist()])
    ids = pa.array([f"{a:016x}" for a in digests[:, 0].tolist()])
    paths = [f"{g}/imagenet_ai/train/{k}/{n:08}.png" for g, k, n in zip(chosen, kinds, numbers, strict=True)]
    columns = {
        "id": ids,
        "path": paths,
        "label": np.where(fake, "generated", "real"),
        "generator": pa.array(chosen, mask=~fake),
        "family": pa.array(np.full(rows, "diffusion"), mask=~fake),
        "content": [str(c) for c in rng.integers(0, 1000, rows)],
        "source": [f"genimage/{g}" for g in chosen],
        "split": np.where(rng.random(rows) < 0.96, "train", "val"),
        "origin": ids,
        "width": rng.integers(200, 1100, rows),
        "height": rng.integers(200, 1100, rows),
        "format": np.where(fake, "png", "jpeg"),
        "jpeg_quality": pa.array(rng.integers(70, 100, rows), mask=fake),
        "jpeg_quality_exact": pa.array(np.ones(rows, dtype=bool), mask=fake),
        "subsampling": pa.array(np.full(rows, "4:4:4"), mask=fake),
        "bytes": rng.integers(10_000, 900_000, rows),
        "sha256": hexes,
        "phash": digests[:, 1],
        "status": np.full(rows, "ok"),
    }
    Manifest.from_columns(columns, path.parent, name="three-million").save(path)


def parquet_way(path: Path) -> dict[str, object]:
    """Load, filter twice, count."""
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.manifest.select import select

    manifest = read_manifest(path)
    chosen = select(manifest.usable(), "width>=450", "width<=550", "height>=450", "height<=550", "jpeg_quality=96")
    counts = manifest.count("label", "generator", "split")
    return {"rows": len(manifest), "kept": len(chosen), "classes": len(counts)}


def csv_way(path: Path) -> dict[str, object]:
    """The same with the csv module."""
    import csv
    from collections import Counter

    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    kept = [
        r
        for r in rows
        if 450 <= int(r["width"]) <= 550 and 450 <= int(r["height"]) <= 550 and r["jpeg_quality"] == "96"
    ]
    counts = Counter((r["label"], r["generator"], r["split"]) for r in rows)
    return {"rows": len(rows), "kept": len(kept), "classes": len(counts)}


def child(way: str, path: Path) -> None:
    """Run one way and print its seconds and this process's peak."""
    before = peak_bytes()
    started = time.perf_counter()
    found = {"parquet": parquet_way, "csv": csv_way}[way](path)
    seconds = time.perf_counter() - started
    print(json.dumps({**found, "seconds": seconds, "peak_bytes": peak_bytes(), "start_bytes": before}))


def peak_bytes() -> int:
    """The most memory this process has held. Linux's ru_maxrss is inherited from the parent; /proc's figure is not."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        parquet = Path(temporary) / "m.parquet"
        make(parquet, given.rows)
        part = Path(temporary) / "m.csv"
        from fauxlens.manifest.manifest import read_manifest

        tenth = read_manifest(parquet).take("one in ten", np.arange(0, given.rows, _SHARE))
        pyarrow.csv.write_csv(pa.table({name: tenth.column(name) for name in tenth.table.column_names}), part)
        size = parquet.stat().st_size
        results = {}
        for way, path, scale in (("parquet", parquet, 1), ("csv", part, _SHARE)):
            rounds = [
                json.loads(
                    subprocess.run(
                        [sys.executable, __file__, "--child", way, str(path)],
                        capture_output=True,
                        check=True,
                        text=True,
                    ).stdout
                )
                for _ in range(given.rounds)
            ]
            best = sorted(rounds, key=lambda r: r["seconds"])[len(rounds) // 2]
            results[way] = {
                "rows_measured": best["rows"],
                "seconds": round(best["seconds"] * scale, 3),
                "peak_megabytes": round(
                    ((best["peak_bytes"] - best["start_bytes"]) * scale + best["start_bytes"]) / 1e6, 1
                ),
                "scaled_up": scale > 1,
                "kept": best["kept"],
            }
    print_result(
        {
            "benchmark": "manifest",
            "rows": given.rows,
            "file_megabytes": round(size / 1e6, 1),
            "ways": results,
            "csv_against_parquet": round(results["csv"]["seconds"] / results["parquet"]["seconds"], 1),
        }
    )


if __name__ == "__main__":
    main()
