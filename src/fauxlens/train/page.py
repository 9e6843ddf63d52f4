"""The page of a run: how far it is, and its curves; drawn anew about once a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.files import write_text
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.report.charts import curves
from fauxlens.report.html import to_html
from fauxlens.train.journal import read_journal
from fauxlens.train.recipe import Recipe

PAGE = "training.html"

_NOT_CURVES = ("kind", "step", "epoch", "pictures", "left out", "masks", "predictions", "best")
_POINTS = 2000  # more cannot be told apart


def write_page(folder: Path, recipe: Recipe, *, sentence: str, circumstances: Mapping[str, str] | None = None) -> Path:
    """Write `training.html` from the journal in the folder; gives its path."""
    lines = read_journal(folder)
    steps = [one for one in lines if one["kind"] == "steps"]
    checks = [one for one in lines if one["kind"] == "validation"]
    remarks = tuple(f"Step {one['step']:,}: {one['text']}" for one in lines if one["kind"] == "remark")
    sections = [Section("Loss", text=(sentence,), figures=tuple(_of_steps(steps)))]
    if checks:
        sections.append(Section("Validation", tables=(_table(checks),), figures=tuple(_of_checks(checks))))
    if remarks:
        sections.append(Section("Remarks", text=remarks))
    report = Report(
        title=f"Training {recipe.name}",
        verdict=sentence,
        sections=tuple(sections),
        provenance={
            "recipe": f"{recipe.name} {recipe.digest[:12]}",
            "detector": recipe.detector if recipe.setting is None else f"{recipe.detector} ({recipe.setting})",
            "seed": str(recipe.seed),
            **(circumstances or {}),
        },
    )
    path = Path(folder) / PAGE
    write_text(path, to_html(report))
    return path


def _of_steps(steps: Sequence[Mapping[str, Any]]) -> list[Figure]:
    if not steps:
        return []
    thinned = steps[:: max(1, len(steps) // _POINTS)]
    at = np.array([one["step"] for one in thinned], np.float64)

    def line(name: str) -> np.ndarray[Any, Any]:
        return np.array([np.nan if one.get(name) is None else one[name] for one in thinned], np.float64)

    parts = sorted({name for one in steps for name in one if name.startswith("loss")})
    return [
        curves("loss", "Loss", {name: (at, line(name)) for name in parts}, x_label="step", y_label="loss",
               note="Parts are before weighting."),
        curves("rate", "Learning rate", {"rate": (at, line("rate"))}, x_label="step", y_label="rate"),
        curves("speed", "Pictures a second", {"pictures": (at, line("images_per_second"))}, x_label="step",
               y_label="pictures a second"),
    ]  # fmt: skip


def _of_checks(checks: Sequence[Mapping[str, Any]]) -> list[Figure]:
    at = np.array([one["epoch"] for one in checks], np.float64)
    names = [name for name in checks[-1] if name not in _NOT_CURVES]
    lines = {
        name: (at, np.array([np.nan if one.get(name) is None else one[name] for one in checks], np.float64))
        for name in names
    }
    return [curves("validation", "Validation", lines, x_label="epoch", y_label="value")] if lines else []


def _table(checks: Sequence[Mapping[str, Any]]) -> Table:
    names = ["epoch", *(name for name in checks[-1] if name not in ("kind", "step", "epoch", "predictions", "best"))]
    return Table(
        "validations",
        "All validations",
        tuple(Column(name) for name in names),
        tuple(tuple(one.get(name) for name in names) for one in checks),
    )
