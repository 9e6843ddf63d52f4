"""How often does the audit raise a false alarm? Clean drawn sets, all picture-level probes, in one run.

`PYTHONPATH=tests python benchmarks/audit_controls.py [--draws 200]`: each draw is a set of pictures whose labels,
generators and contents have nothing to do with the pictures. The level is 5 % over all probes together.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import audit_sets
from fauxlens.audit.probes import run_probes
from fauxlens.audit.shortcut import FAMILY_ALPHA
from measure import print_result


def false_alarms(draws: int, pictures: int = 400, seed: int = 0) -> tuple[int, Counter[str], Counter[str]]:
    """-> (draws with any alarm, draws with an alarm by probe, draws with a p-value of at most 5 % by probe)."""
    clean = audit_sets.pool(pictures, seed)
    alarmed, low = Counter[str](), Counter[str]()
    some = 0
    for draw in range(draws):
        found = run_probes(*audit_sets.clean_set(clean, seed + draw), seed=draw)
        names = {one.name for one in found if one.alarm}
        some += bool(names)
        alarmed.update(names)
        low.update({one.name for one in found if one.p_value is not None and one.p_value <= FAMILY_ALPHA})
    return some, alarmed, low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=400, help="clean pictures to draw the sets from")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.perf_counter()
    some, alarmed, low = false_alarms(given.draws, given.pictures, given.seed)
    print_result({
        "benchmark": "audit_controls",
        "draws": given.draws,
        "alarms": some,
        "rate": some / given.draws,
        "level": FAMILY_ALPHA,
        "by_probe": dict(alarmed),
        "p_at_most_level_by_probe": dict(low),
        "seconds": time.perf_counter() - started,
    })  # fmt: skip


if __name__ == "__main__":
    main()
