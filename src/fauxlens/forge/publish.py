"""The last stage: the audit of what was made, the page, and the dataset card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fauxlens.audit.audit import Audit, AuditPlan, audit
from fauxlens.audit.page import report_of as audit_report
from fauxlens.core.progress import Progress, silent
from fauxlens.forge.dataset_card import write_dataset_card
from fauxlens.forge.pipeline import Forged
from fauxlens.forge.sheet import report_of
from fauxlens.report import write_report


@dataclass(frozen=True, slots=True)
class Published:
    """Where the pages are, and what the audit said."""

    page: Path
    card: Path
    audit: Audit | None
    audit_page: Path | None


def publish(
    done: Forged,
    *,
    audited: bool = True,
    plan: AuditPlan | None = None,
    workers: int = 1,
    circumstances: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Published:
    """Audit the set and write its pages and card beside it."""
    found = page = None
    if audited and len(done.manifest):
        found = audit(done.manifest, plan, workers=workers, progress=progress)
        told = audit_report(found).with_provenance(dict(circumstances or {}))
        page = write_report(told, done.folder / "audit", name="audit")
    card = done.folder / "README.md"
    write_dataset_card(done, card, found)
    told = report_of(done, found).with_provenance(dict(circumstances or {}))
    return Published(write_report(told, done.folder / "report", name="forge"), card, found, page)
