"""What our own verbs wrote into a dataset's folder, so that the next scan does not take it for the dataset.

Told by what the verbs leave behind anyway: a plan of ours in `work/`, a report beside its page, the metadata of a
manifest. A folder that holds nothing else is passed over whole; in one that holds other things too, only the parts of
ours are, so that no picture of the user's is lost to a result that was written beside it.
"""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

OWN_OUTPUT = "fauxlens's own output"

_REPORTS = ("report", "audit", "align")
_TABLES = frozenset(["manifest.parquet", "quarantine.csv", "duplicates.csv", "leaks.csv", "counts.csv"])
# Tasks that write a copy of the pictures beside their `work` folder.
_COPIES = ("fauxlens.manifest.degrade:", "fauxlens.audit.recode:")
_OWN_NAMES = ("fauxlens-quarantine.csv", "fauxlens-prune.tsv")
_ENDS = (".parquet", ".left-out.csv", *_OWN_NAMES)


def own_parts(folder: str, names: Set[str], *, is_root: bool) -> frozenset[str] | None:
    """Which of the `names` in a folder we wrote; None when that is all there is in it.

    Of the folder that a person asks to scan the pictures are always wanted, also those of a degraded copy.
    """
    if not is_root and "plan.json" in names and _task_of(Path(folder)) is not None:
        return None
    ours: set[str] = set()
    if "work" in names and (task := _task_of(Path(folder, "work"))) is not None:
        ours |= {"work", *_TABLES}
        if task.startswith(_COPIES) and not is_root:
            ours |= {"images", "masks"}
    for name in _REPORTS:
        if {f"{name}.json", f"{name}.html"} <= names and _is_report(Path(folder, f"{name}.json")):
            ours |= {f"{name}.json", f"{name}.html", f"{name}.md", "tables", "figures"}
    if not ours:
        return frozenset()
    others = {name for name in names - ours if not name.startswith(".")}
    if not is_root and all(is_own_file(f"{folder}/{name}") for name in others):
        return None
    return frozenset(ours)


def is_own_file(path: str) -> bool:
    """Whether a single file is a manifest or a list of ours."""
    if not path.endswith(_ENDS):
        return False
    try:
        if path.endswith(_OWN_NAMES):
            return True
        if path.endswith(".parquet"):
            return _is_manifest(path)
        with Path(path).open("rb") as stream:
            return stream.readline(64).startswith(b"path,reason")
    except OSError:
        return False


def _is_manifest(path: str) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return b"fauxlens" in (pq.read_metadata(path).metadata or {})
    except pa.ArrowException:
        return False


def _task_of(work: Path) -> str | None:
    """The task of a plan that is one of ours."""
    stored = _json(work / "plan.json")
    task = stored.get("task")
    return task if isinstance(task, str) and task.startswith("fauxlens.") else None


def _is_report(path: Path) -> bool:
    told = _json(path).get("provenance")
    return isinstance(told, dict) and str(told.get("what", "")).startswith("fauxlens ")


def _json(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
