"""What `fauxlens inspect` says of pictures nobody edited, by source and by delivery, with intervals.

    python benchmarks/verdicts.py photos.parquet --split test
    python benchmarks/verdicts.py photos.parquet --split test --deliveries blur sharpening down-up
    python benchmarks/verdicts.py photos.parquet --label generated --by generator --deliveries native

An accusation is the verdict edited or generated. Two ways are counted on the same pictures: the whole of inspect, and
the detector's score alone; what stability, evidence left and provenance change is the difference.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedded import PROCESSED
from fauxlens.detectors import Detector, load
from fauxlens.images.degrade import read_chain
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.select import select
from fauxlens.metrics.interval import clopper_pearson
from fauxlens.verdict.finding import Finding
from fauxlens.verdict.inspect import DETECTOR, inspect_many
from measure import print_result

DELIVERIES: dict[str, str | None] = {
    "native": None,  # the file itself
    "jpeg 95": "jpeg:quality=95",
    "jpeg 75": "jpeg:quality=75",
    "half size": "resize:scale=0.5",
    "screenshot-like": "screenshot/desktop",
}
# Median and smoothing are filters of that benchmark alone and no steps of a chain.
CHAINS = {**DELIVERIES, **{name: chain for name, chain in PROCESSED.items() if chain not in ("median", "bilateral")}}
"""What can be asked for: deliveries, and what somebody does to a photo without making anything up."""
ALL = "all"


@dataclass
class Row:
    """The pictures of one source in one delivery."""

    verdicts: Counter[str] = field(default_factory=Counter)
    by_score: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    accused: list[str] = field(default_factory=list)
    unreadable: int = 0

    def add(self, finding: Finding, name: str) -> None:
        """Count one."""
        if finding.verdict is None:
            self.unreadable += 1
            return
        self.verdicts[finding.verdict] += 1
        answer = next((one.answer for one in finding.opinions if one.answer is not None), None)
        self.by_score["not asked" if answer is None else answer.verdict] += 1
        if finding.verdict == "inconclusive":
            # Numbers apart, reasons are the same for many.
            self.reasons["".join(one for one in finding.reason if not one.isdigit())] += 1
        if finding.verdict in ("edited", "generated"):
            self.accused.append(name)

    def told(self) -> dict[str, Any]:
        """Shares of each verdict; accusations with the exact interval of 95 %."""
        of = self.verdicts.total()
        accused = _accused(self.verdicts)
        alone = _accused(self.by_score)
        share = clopper_pearson(accused, of) if of else None
        return {
            "pictures": of,
            "unreadable": self.unreadable,
            "accused": accused,
            "accused_share": accused / of if of else None,
            "accused_interval": None if share is None else [share.low, share.high],
            "accused_by_the_score_alone": alone,
            "inconclusive": self.verdicts["inconclusive"] / of if of else None,
            "no_sign": self.verdicts["no_sign"] / of if of else None,
            "inconclusive_by_the_score_alone": self.by_score["inconclusive"] / of if of else None,
            "reasons": dict(self.reasons.most_common(6)),
            "which": self.accused,
        }


def _accused(verdicts: Mapping[str, int]) -> int:
    return verdicts.get("edited", 0) + verdicts.get("generated", 0)


def counted(
    photos: Manifest, detector: Detector, deliveries: Iterable[str], by: str, workers: int, *, progress: bool = False
) -> dict[str, Any]:
    """Rows by delivery and by the value of the column `by`, and one for all of a delivery."""
    found: dict[str, Any] = {}
    for delivery in deliveries:
        chain = CHAINS[delivery]
        with tempfile.TemporaryDirectory() as folder:
            shown = photos
            if chain is not None:
                shown = degrade(photos, Path(folder) / "delivered", read_chain(chain), name=delivery, workers=workers)
            rows: dict[str, Row] = {ALL: Row()}
            samples = list(shown.usable())
            findings = inspect_many([shown.path_of(one) for one in samples], [detector])
            for sample, finding in zip(samples, findings, strict=True):
                for name in (ALL, str(getattr(sample, by) or "not named")):
                    rows.setdefault(name, Row()).add(finding, sample.id)
        found[delivery] = {name: row.told() for name, row in sorted(rows.items())}
        if progress:
            told = found[delivery][ALL]
            print(f"{delivery}: {told['accused']} of {told['pictures']} accused", flush=True)
    return found


def chosen(photos: Manifest, label: str, split: str | None, most: int | None) -> Manifest:
    """The pictures of a label and a split, the first `most` of each source in the order of their ids."""
    found = select(photos.usable(), f"label={label}", *([f"split={split}"] if split else []))
    if most is None:
        return found
    seen: Counter[str] = Counter()
    keep = []
    for source in (f"{one}" for one in found.column("source").to_pylist()):
        keep.append(seen[source] < most)
        seen[source] += 1
    return found.where(f"at most {most} of a source", np.asarray(keep))


def main(given: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a manifest of pictures nobody edited in part")
    parser.add_argument("--label", default="real")
    parser.add_argument("--split")
    parser.add_argument("--by", default="source", choices=("source", "generator", "format"))
    parser.add_argument("--deliveries", nargs="*", default=list(DELIVERIES), choices=list(CHAINS))
    parser.add_argument("--detector", default=DETECTOR)
    parser.add_argument("--most", type=int, help="pictures of a source")
    parser.add_argument("--workers", "-j", type=int, default=1, help="that deliver")
    parser.add_argument("--output", "-o", type=Path)
    options = parser.parse_args(given)
    photos = chosen(read_manifest(options.photos), options.label, options.split, options.most)
    rows = counted(
        photos, load(options.detector), options.deliveries, options.by, options.workers,
        progress=options.output is not None,
    )  # fmt: skip
    result = {"benchmark": "verdicts", "label": options.label, "split": options.split, "deliveries": rows}
    if options.output:
        options.output.write_text(json.dumps(result, indent=1))
    else:
        print_result(result)


if __name__ == "__main__":
    main()
