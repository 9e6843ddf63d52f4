"""Judging: rules that a forgery has to pass, as one table of names."""

from __future__ import annotations

JUDGES: dict[str, str] = {
    "brisque": "fauxlens.forge.judge.brisque_judge:WholeBrisque",
    "brisque-package": "fauxlens.forge.judge.brisque_package:PackageBrisque",
    "changed": "fauxlens.forge.judge.integrity:Changed",
    "clip-score": "fauxlens.forge.judge.clip_score:ClipScore",
    "colour": "fauxlens.forge.judge.colour:ColourCollapse",
    "dreamsim": "fauxlens.forge.judge.dreamsim:DreamSim",
    "duplicate": "fauxlens.forge.judge.duplicate:Duplicate",
    "flat": "fauxlens.forge.judge.flat:FlatTexture",
    "integrity": "fauxlens.forge.judge.integrity:Integrity",
    "local-brisque": "fauxlens.forge.judge.brisque_judge:LocalBrisque",
    "naturalness": "fauxlens.forge.judge.naturalness:Naturalness",
    "seam": "fauxlens.forge.judge.seam:Seam",
}
"""Name -> a `Judge`."""
