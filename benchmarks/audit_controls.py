"""How often does the whole audit raise a false alarm? Clean drawn sets: file facts and pictures, in one run.

`PYTHONPATH=tests python benchmarks/audit_controls.py [--draws 200]`: each draw is a set of pictures with file facts
whose labels, generators and contents have nothing to do with either. The level is 5 % over everything together: the
metadata-only baseline, every fact alone, and every probe. `claims` counts the verdicts that claim anything.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

import audit_sets
import facts_drawn
from fauxlens.audit.audit import Audit, AuditPlan
from fauxlens.audit.baseline import BaselinePlan, baseline_shortcuts, metadata_baseline
from fauxlens.audit.probes import run_probes
from fauxlens.audit.shortcut import FAMILY_ALPHA
from measure import print_result

# What only makes intervals and importances finer is cut down; the tests themselves are those of `fauxlens audit`.
PLAN = BaselinePlan(resamples=100, shuffles=1, repeats=1)
FACTS = ("width", "height", "format", "jpeg_quality", "subsampling", "bytes", "progressive", "bit_depth", "metadata")


@dataclass
class Tally:
    """What came of the draws."""

    alarmed: int = 0
    claims: int = 0
    by_result: Counter[str] = field(default_factory=Counter)
    low: Counter[str] = field(default_factory=Counter)


def false_alarms(draws: int, pictures: int = 400, seed: int = 0) -> Tally:
    """Audit `draws` clean sets."""
    clean = audit_sets.pool(pictures, seed)
    tally = Tally()
    for draw in range(draws):
        manifest, features = audit_sets.clean_set(clean, seed + draw)
        facts, _ = facts_drawn.drawn_columns(len(manifest), seed + draw)
        manifest = manifest.with_columns("facts", {name: facts[name] for name in FACTS})
        baseline = metadata_baseline(manifest, PLAN)
        found = run_probes(manifest, features, seed=draw, beside=baseline_shortcuts(baseline))
        names = {one.name for one in found if one.alarm}
        tally.alarmed += bool(names)
        tally.by_result.update(names)
        tally.low.update({one.name for one in found if one.p_value is not None and one.p_value <= FAMILY_ALPHA})
        verdict = Audit(manifest, AuditPlan(), baseline, tuple(found), features).sentence
        tally.claims += "can be told" in verdict or "give" in verdict.replace("give the labels away", "")
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=400, help="clean pictures to draw the sets from")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.perf_counter()
    tally = false_alarms(given.draws, given.pictures, given.seed)
    print_result({
        "benchmark": "audit_controls",
        "draws": given.draws,
        "alarms": tally.alarmed,
        "rate": tally.alarmed / given.draws,
        "claims": tally.claims,
        "level": FAMILY_ALPHA,
        "by_probe": dict(tally.by_result),
        "p_at_most_level_by_probe": dict(tally.low),
        "seconds": time.perf_counter() - started,
    })  # fmt: skip


if __name__ == "__main__":
    main()
