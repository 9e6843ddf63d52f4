"""Charts of a detector's scores: the ROC with its low end enlarged, and what was promised against what came true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.core.report import Figure
from fauxlens.metrics.image import Reliability
from fauxlens.report.charts import COLOURS, drawn, legend

_STYLES = ("-", "--", "-.", ":")
_MOST_POINTS = 500  # a chart cannot show more, and a page should stay small


def roc(
    name: str,
    title: str,
    scored: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.float64]]],
    *,
    corner: float = 0.1,
    note: str | None = None,
) -> Figure:
    """ROC curves of (fake, score) by name; beside them what can be found with at most `corner` false alarms."""
    lines = {one: roc_points(fake, score) for one, (fake, score) in scored.items()}

    def draw(axes: Any) -> None:
        # Beside the whole and not inside it, where it would hide the curves of weak detectors.
        places = axes.get_subplotspec().subgridspec(1, 2, width_ratios=(5, 3))
        axes.set_subplotspec(places[0])
        inset = axes.figure.add_subplot(places[1])
        for number, (one, (x, y)) in enumerate(lines.items()):
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": _STYLES[number // len(COLOURS) % 4]}
            axes.plot(x, y, linewidth=1.8, label=one, **style)
            inset.plot(x, y, linewidth=1.5, **style)
        for place in (axes, inset):
            place.plot([0, 1], [0, 1], color="#888888", linestyle=":", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of reals called fake", ylabel="share of fakes called fake")
        inset.set(xlim=(0, corner), ylim=(0, 1.01))
        inset.set_title(f"at most {corner:.0%} false alarms", fontsize=8)
        inset.spines[:].set_visible(True)
        if len(lines) > 1:
            axes.figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)

    told = "; ".join(
        f"{one}: {_at(x, y, 0.01):.0%} at 1 %, {_at(x, y, 0.05):.0%} at 5 %" for one, (x, y) in lines.items()
    )
    alternative = f"ROC curves. Fakes found by share of false alarms: {told or 'nothing'}."
    return drawn(name, title, alternative, draw, note, size=(8.6, 4.6 + 0.1 * len(lines)))


def roc_points(fake: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of reals and of fakes at or above each distinct score, from (0, 0) to (1, 1).

    >>> roc_points(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    (array([0., 0., 1.]), array([0. , 0.5, 1. ]))
    """
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.diff(score[order]) != 0, True] if len(score) else np.zeros(0, dtype=np.bool_)
    hits, alarms = np.cumsum(fake[order])[ends], np.cumsum(~fake[order])[ends]
    x, y = np.r_[0.0, alarms / max(int((~fake).sum()), 1)], np.r_[0.0, hits / max(int(fake.sum()), 1)]
    if len(x) > _MOST_POINTS:
        # The low end is what is enlarged, so half of the points are kept for it.
        low = int(np.searchsorted(x, 0.1, side="right"))
        keep = [np.linspace(0, max(low - 1, 0), _MOST_POINTS // 2), np.linspace(low, len(x) - 1, _MOST_POINTS // 2)]
        places = np.unique(np.clip(np.concatenate(keep).astype(int), 0, len(x) - 1))
        x, y = x[places], y[places]
    return x, y


def reliability_diagram(name: str, title: str, found: Reliability, *, note: str | None = None) -> Figure:
    """Share of fakes over promised probability, and below it how many pictures each bin holds."""
    held = found.count > 0

    def draw(axes: Any) -> None:
        above, below = axes
        above.plot([0, 1], [0, 1], color="#888888", linestyle=":", linewidth=1, label="as promised")
        above.plot(
            found.probability[held],
            found.fakes[held],
            "o-",
            color=COLOURS[0],
            linewidth=1.8,
            markersize=5,
            label="found",
        )
        above.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share of fakes")
        legend(above, 2)
        width = np.where(held, found.high - found.low, 0.0)
        below.bar(found.low, found.count, width=width, align="edge", color=COLOURS[4], edgecolor="white")
        if held.any():
            below.set_ylim(0, float(found.count.max()) * 1.25)
        for low, high, count in zip(found.low[held], found.high[held], found.count[held], strict=True):
            below.annotate(
                f"{int(count)}", ((low + high) / 2, int(count)), ha="center", va="bottom", fontsize=8,
            )  # fmt: skip
        below.set(xlabel="promised probability of fake", ylabel="pictures")

    told = "; ".join(
        f"{promised:.2f} promised, {came:.2f} came, {int(count):,} pictures"
        for promised, came, count in zip(found.probability[held], found.fakes[held], found.count[held], strict=True)
    )
    alternative = f"Reliability diagram, calibration error {found.error:.3f}. {told or 'No pictures'}."
    return drawn(name, title, alternative, draw, note, size=(6.0, 4.8), heights=(3.0, 1.2))


def _at(x: NDArray[np.float64], y: NDArray[np.float64], rate: float) -> float:
    return float(y[np.flatnonzero(x <= rate)[-1]])
