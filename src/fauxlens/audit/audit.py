"""The audit of a dataset: the metadata-only baseline, the picture-level probes, one sentence, one report.

Nothing here stops the rest: a baseline or a probe that cannot run says why in a sentence, and the others go on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fauxlens.audit.baseline import ALL, FILE_FACTS, Baseline, BaselinePlan, baseline_shortcuts, metadata_baseline
from fauxlens.audit.facts import FACT_BY_NAME
from fauxlens.audit.features import Features, sample_features
from fauxlens.audit.probes import PROBES, run_probes
from fauxlens.audit.separation import PERMUTATIONS
from fauxlens.audit.shortcut import Shortcut, with_alarms
from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.manifest import Manifest

_LAYOUT = re.compile(r"as layout '([\w-]+)'")


@dataclass(frozen=True, kw_only=True)
class AuditPlan:
    """How a dataset is audited. `per_class` and `per_generator` bound the pictures that are decoded; 0 decodes none."""

    seed: int = 0
    per_class: int = 1000
    per_generator: int = 300
    probes: tuple[str, ...] = tuple(PROBES)
    permutations: int = PERMUTATIONS
    baseline: BaselinePlan = field(default_factory=BaselinePlan)

    def __post_init__(self) -> None:
        if min(self.per_class, self.per_generator) < 0:
            raise BadSetting("a negative sample", got=f"{self.per_class}, {self.per_generator}")
        for name in self.probes:
            if name not in PROBES:
                raise unknown(name, PROBES, "probe")

    @property
    def looks_at_pictures(self) -> bool:
        """Whether any picture is decoded."""
        return self.per_class > 0 and self.per_generator > 0 and bool(self.probes)


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found. `features` is None when no picture was looked at; `remarks` are sentences for the reader."""

    manifest: Manifest
    plan: AuditPlan
    baseline: Baseline
    shortcuts: tuple[Shortcut, ...]
    features: Features | None
    remarks: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Shortcut, ...]:
        """The shortcuts that were found."""
        return tuple(one for one in self.shortcuts if one.alarm)

    @property
    def found_in_pictures(self) -> dict[str, tuple[str, ...]]:
        """Title of each picture-level shortcut that was found -> the generators it was found for (may be none)."""
        found: dict[str, list[str]] = {}
        for one in self.alarms:
            if not is_about_files(one):
                found.setdefault(one.title, []).extend([one.generator] if one.generator else [])
        return {title: tuple(dict.fromkeys(generators)) for title, generators in found.items()}

    @property
    def sentence(self) -> str:
        """The verdict, for somebody who reads nothing else. It claims what raised an alarm, and nothing else."""
        return f"{self._told_from_files} {self._told_from_pictures}"

    @property
    def _told_from_files(self) -> str:
        baseline = self.baseline
        if baseline.skipped is not None:
            return f"What the files alone give away could not be measured: {baseline.skipped}."
        alarmed = {one.name for one in self.alarms}
        facts = [one for one in baseline.single if f"fact-{one.fact}" in alarmed]
        variants = [baseline.variant(ALL)] * ("metadata" in alarmed)
        variants += [baseline.variant(FILE_FACTS)] * ("file-facts" in alarmed)
        if not variants and not facts:
            return "The files' facts were not shown to give the labels away."
        by = ""
        if facts:
            # A fact of the file comes before one that the picture's content moves as well, if it tells nearly as much.
            best = max(one.auc.value for one in facts)
            pure = [
                one for one in facts if not FACT_BY_NAME[one.fact].content_dependent and one.auc.value > best - 0.05
            ]
            leading = max(pure or facts, key=lambda one: one.auc.value)
            by = f"{FACT_BY_NAME[leading.fact].title} ({leading.reading.partition(' (')[0]})"
        if not variants:
            return f"The files give labels away by {by}."
        share = f"{variants[0].balanced_accuracy:.1%} of labels can be told without looking at a pixel"
        return share + (f", most by {by}." if by else ".")

    @property
    def _told_from_pictures(self) -> str:
        if self.features is None:
            return "No picture was looked at."
        about = [one for one in self.shortcuts if not is_about_files(one)]
        every = {one.name for one in about}
        ran = {one.name for one in about if one.skipped is None}
        if not ran:
            return "Nothing could be tested in the pictures."
        if not self.found_in_pictures:
            # An all-clear is worth what was tested, so the sentence says how much that was.
            few = 2 * len(ran) < len(every)
            only = f"Only {len(ran)} of {len(every)} probes could run in the pictures; they found nothing."
            return only if few else "No other shortcut was found by the probes that ran."
        return f"The pictures give away more: {_listed([t[:1].lower() + t[1:] for t in self.found_in_pictures])}."


def audit(
    manifest: Manifest,
    plan: AuditPlan | None = None,
    *,
    folder: Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Audit:
    """Audit `manifest`. With `folder`, decoding is resumable there; `workers=0` decodes in this process."""
    plan = plan or AuditPlan()
    usable = manifest.usable(listed=True)
    remarks = list(_remarks(manifest, usable))
    baseline = metadata_baseline(usable, plan.baseline, progress=progress)
    remarks += baseline.remarks
    beside = baseline_shortcuts(baseline)
    features: Features | None = None
    shortcuts: Sequence[Shortcut] = with_alarms(beside)
    if plan.looks_at_pictures and len(usable.usable()):
        usable.require_files()
        features = sample_features(
            usable,
            per_class=plan.per_class,
            per_generator=plan.per_generator,
            seed=plan.seed,
            folder=folder,
            workers=workers,
            progress=progress,
        )
        remarks += _unreadable(usable, features)
        shortcuts = run_probes(
            usable,
            features,
            seed=plan.seed,
            names=plan.probes,
            beside=beside,
            permutations=plan.permutations,
            progress=progress,
        )
    return Audit(manifest, plan, baseline, tuple(shortcuts), features, tuple(remarks))


def is_about_files(one: Shortcut) -> bool:
    """Whether a result comes from file facts, not from pictures."""
    return one.name.startswith(("metadata", "file-facts", "fact-"))


def _remarks(manifest: Manifest, usable: Manifest) -> Sequence[str]:
    remarks = []
    left = len(manifest) - len(usable)
    if left:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count, _ in manifest.quarantined())
        be = "is quarantined and was" if left == 1 else "are quarantined and were"
        remarks.append(f"{left:,} of {len(manifest):,} files {be} left out ({reasons})")
    labels = {str(key[0]): count for key, count in usable.count("label").items()}
    for name, meaning in (("real", "real pictures"), ("fake", "generated or edited pictures")):
        count = labels.get("real", 0) if name == "real" else sum(n for label, n in labels.items() if label != "real")
        if not count:
            remarks.append(f"there are no {meaning}: nothing can be compared between the classes")
    layouts = sorted({name for line in manifest.history for name in _LAYOUT.findall(line)})
    if len(layouts) > 1:
        joined = ", ".join(layouts)
        remarks.append(f"the manifest joins several layouts ({joined}): classes may differ by where they come from")
    sources: dict[bool, set[str]] = {True: set(), False: set()}
    for label, source in usable.count("label", "source"):
        if source is not None:
            sources[label == "real"].add(source)
    if all(sources.values()) and not sources[True] & sources[False]:
        remarks.append("real and fake pictures come from different sources throughout: what differs may be the source")
    return remarks


def _unreadable(manifest: Manifest, features: Features) -> Sequence[str]:
    """How many of the sampled pictures could not be read, by class: if one class breaks more often, that tells too."""
    if not features.unreadable:
        return []
    labels = dict(zip(manifest.column("path").to_pylist(), manifest.column("label").to_pylist(), strict=True))
    counts = Counter(labels.get(path, "unknown") for path, _ in features.unreadable)
    said = ", ".join(f"{label}: {count:,}" for label, count in sorted(counts.items()))
    path, reason = features.unreadable[0]
    return [
        f"{len(features.unreadable):,} of the sampled pictures could not be read ({said}); the first: {path}, {reason}"
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
