"""Picture-level probes: ways to tell the classes apart that have nothing to do with how a picture was generated.

One file a probe; each is `probe(features, context) -> list[Shortcut]`. A probe that finds too little to work on says so
in `skipped`. To add one: a new file, and a line in `PROBES`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fauxlens.audit.features import Features
from fauxlens.audit.probes.comparison import ProbeContext
from fauxlens.audit.separation import PERMUTATIONS
from fauxlens.audit.shortcut import Shortcut, with_alarms
from fauxlens.core.names import look_up
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.manifest import Manifest

__all__ = ["PROBES", "ProbeContext", "run_probes"]

log = logging.getLogger("fauxlens.audit")

PROBES: dict[str, str] = {
    "thumbnail": "fauxlens.audit.probes.thumbnail:probe",
    "seed": "fauxlens.audit.probes.seed:probe",
    "similarity": "fauxlens.audit.probes.similarity:probe",
    "grid": "fauxlens.audit.probes.grid:probe",
    "border": "fauxlens.audit.probes.border:probe",
    "corner": "fauxlens.audit.probes.corner:probe",
    "content": "fauxlens.audit.probes.content:probe",
    "duplicates": "fauxlens.audit.probes.duplicates:probe",
    "spectrum": "fauxlens.audit.probes.spectrum:probe",
}


def run_probes(
    manifest: Manifest,
    features: Features,
    *,
    seed: int = 0,
    names: Sequence[str] = tuple(PROBES),
    beside: Sequence[Shortcut] = (),
    permutations: int = PERMUTATIONS,
    progress: Progress = silent,
) -> list[Shortcut]:
    """All results, with alarms that are false in at most 5 % of clean datasets, over everything together.

    `beside` are results from elsewhere (the metadata baseline) that share the level; they come first in the answer. A
    probe that fails is a skipped result that names the fault; the others go on.
    """
    context = ProbeContext(manifest, seed, permutations, silent)
    found = list(beside)
    for done, name in enumerate(names):
        progress(done, len(names), f"probe {name}")
        probe = look_up(PROBES, name, "probe")
        try:
            found += probe(features, context)
        except Exception as fault:  # One probe's fault must not cost the audit; it is told, not hidden.
            log.warning("the probe '%s' failed", name, exc_info=True)
            reason = f"The probe '{name}' failed: {type(fault).__name__}: {fault}"
            found.append(Shortcut(name, name.capitalize(), skipped=reason))
    progress(len(names), len(names), "probes")
    return with_alarms(found)
