"""Charts for reports: histograms, curves with bands, annotated matrices. SVG for the page, PNG beside it.

One look: no frame, few ticks, colours that the colour-blind can tell apart and that differ in grey when printed. The
files are the same bytes for the same numbers, so that a report can be compared with the one before.
"""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.core.report import Figure

# Okabe and Ito's set, in an order whose lightness alternates.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#5B5B5B", "#A6761D", "#000000")
_SIZE = (7.0, 3.2)


def histogram(
    name: str,
    title: str,
    groups: Mapping[str, Sequence[float] | NDArray[Any]],
    *,
    label: str,
    bins: int | Sequence[float] = 40,
    note: str | None = None,
) -> Figure:
    """Shares of each group's values by bin, one outline a group; values that are nan are left out and counted."""
    arrays = {group: np.asarray(values, dtype=np.float64) for group, values in groups.items()}
    known = {group: values[np.isfinite(values)] for group, values in arrays.items()}
    everything = np.concatenate([*known.values(), np.empty(0)])
    edges = _edges(everything, bins)

    def draw(axes: Any) -> None:
        for number, (group, values) in enumerate(known.items()):
            if not len(values):
                continue
            shares = np.histogram(values, edges)[0] / len(values)
            colour = COLOURS[number % len(COLOURS)]
            axes.stairs(shares, edges, color=colour, linewidth=1.8, label=f"{group} (n = {len(values):,})")
            axes.stairs(shares, edges, color=colour, alpha=0.15, fill=True)
        axes.set_xlabel(label)
        axes.set_ylabel("share of pictures")
        if any(len(values) for values in known.values()):
            legend(axes, len(known))

    missing = ", ".join(f"{g}: {len(arrays[g]) - len(v):,}" for g, v in known.items() if len(v) < len(arrays[g]))
    told = " ".join(filter(None, [note, f"Not known for {missing}." if missing else None])) or None
    medians = "; ".join(f"{g}: median {np.median(v):.4g} of {len(v):,}" for g, v in known.items() if len(v))
    return drawn(name, title, f"Histogram of {label}. {medians or 'No values.'}", draw, told)


def curves(
    name: str,
    title: str,
    lines: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    *,
    x_label: str,
    y_label: str,
    bands: Mapping[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
    points: Mapping[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
    diagonal: bool = False,
    note: str | None = None,
) -> Figure:
    """Lines (x, y) by name, with a band (low, high) where one is given; `diagonal` draws chance for ROC curves.

    `points` are single values beside a line, in its colour: published ones beside ours.
    """

    def draw(axes: Any) -> None:
        for number, (line, (x, y)) in enumerate(lines.items()):
            colour = COLOURS[number % len(COLOURS)]
            style = ("-", "--", "-.", ":")[number // len(COLOURS) % 4]
            axes.plot(x, y, color=colour, linestyle=style, linewidth=1.8, label=line)
            if bands is not None and line in bands:
                axes.fill_between(x, *bands[line], color=colour, alpha=0.18, linewidth=0)
            if points is not None and line in points:
                axes.plot(
                    *points[line], "D", color=colour, markersize=7, markeredgecolor="black", label=f"{line}, published"
                )
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#888888", linestyle=":", linewidth=1, label="chance")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.01)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if lines:
            legend(axes, len(lines) + len(points or ()))

    shown = ", ".join([*lines, *(f"{line}, published" for line in points or ())]) or "nothing"
    return drawn(name, title, f"Curves of {y_label} over {x_label}: {shown}.", draw, note)


def bars(
    name: str,
    title: str,
    values: Mapping[str, float],
    *,
    label: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    reference: float | None = None,
    note: str | None = None,
) -> Figure:
    """One horizontal bar a name, in the given order, with its interval; `reference` draws a line (chance, say)."""
    names = list(values)

    def draw(axes: Any) -> None:
        heights = [values[n] for n in names]
        axes.barh(range(len(names)), heights, color=COLOURS[0], height=0.6)
        for row, n in enumerate(names):
            if intervals is not None and n in intervals:
                low, high = intervals[n]
                # White around it, so that it is seen on the bar as well.
                axes.plot([low, high], [row, row], color="white", linewidth=4)
                axes.plot([low, high], [row, row], color="black", linewidth=1.5)
        if reference is not None:
            axes.axvline(reference, color="#888888", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        if names and not any(heights) and intervals is None:
            axes.set_xlim(0, 1)  # nothing but zeros would be drawn around zero, below it as well

    told = "; ".join(f"{n} {values[n]:.3g}" for n in names)
    return drawn(name, title, f"Bars of {label}: {told}.", draw, note, size=(7.0, 0.9 + 0.3 * max(len(names), 1)))


def matrix(
    name: str,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[Any],
    *,
    label: str,
    low: float = 0.0,
    high: float = 1.0,
    format: str = ".2f",
    signed: bool = False,
    note: str | None = None,
) -> Figure:
    """An annotated heatmap on a shared scale; nan is left blank.

    With `signed`, values above and below the middle of the scale have colours of their own: for differences.
    """
    shown = np.asarray(values, dtype=np.float64)

    def draw(axes: Any) -> None:
        picture = axes.imshow(shown, cmap="PuOr" if signed else "cividis", vmin=low, vmax=high, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        for row, column in np.ndindex(shown.shape):
            value = shown[row, column]
            if np.isfinite(value):
                place = (value - low) / max(high - low, 1e-12)
                # A signed scale is light in the middle and dark at both ends.
                dark = abs(place - 0.5) > 0.32 if signed else place < 0.5
                axes.text(
                    column,
                    row,
                    builtins.format(value, format),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
        axes.figure.colorbar(picture, ax=axes, label=label)
        axes.spines[:].set_visible(False)

    # The label of the colour bar has to fit, however few rows there are.
    size = (2.6 + 0.75 * len(columns), max(1.6 + 0.35 * len(rows), 1.0 + 0.085 * len(label)))
    told = f"Matrix of {label}: {len(rows)} rows ({', '.join(rows)}), {len(columns)} columns ({', '.join(columns)})."
    return drawn(name, title, told, draw, note, size=size)


def legend(axes: Any, entries: int) -> None:
    """Inside while it is small, beside the drawing when it would cover it."""
    if entries <= 3:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.figure.legend(loc="outside right upper", frameon=False, fontsize=8)


def _edges(values: NDArray[Any], bins: int | Sequence[float]) -> NDArray[Any]:
    if not isinstance(bins, int):
        return np.asarray(bins, dtype=np.float64)
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def drawn(
    name: str,
    title: str,
    alternative: str,
    draw: Callable[[Any], None],
    note: str | None,
    size: tuple[float, float] = _SIZE,
    heights: tuple[float, ...] = (),
) -> Figure:
    """Draw on one pair of axes; with `heights`, on several below one another that share x, given as a tuple."""
    # The object-oriented interface: pyplot keeps global state and looks for a screen.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    settings: Any = {
        "svg.hashsalt": "fauxlens",  # else the ids inside differ from run to run
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
    with matplotlib.rc_context(settings):
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasAgg(canvas)
        if heights:
            draw(tuple(canvas.subplots(len(heights), 1, sharex=True, height_ratios=heights)))
        else:
            draw(canvas.add_subplot())
        vector, raster = io.BytesIO(), io.BytesIO()
        canvas.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        canvas.savefig(raster, format="png", dpi=150, metadata={"Software": None})
    return Figure(name, title, alternative, "image/svg+xml", vector.getvalue(), note, raster=raster.getvalue())
