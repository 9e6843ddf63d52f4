"""Many scored runs on one page: sorted, with intervals, versions, hashes; what cannot be told apart is tied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.core.report import Column, Report, Section, Table
from fauxlens.core.version import __version__
from fauxlens.evaluate.numbers import title_of
from fauxlens.metrics.image import METRICS
from fauxlens.metrics.tally import COLUMNS
from fauxlens.report import charts

_FILE = "score.json"
_WANTED = ("protocol", "runs", "cells", "false_alarms")


@dataclass(frozen=True)
class Place:
    """One run in one list: its number, its rank, and which runs it cannot be told from."""

    rank: int
    name: str
    folder: str
    value: float
    low: float
    high: float
    ties: tuple[str, ...]
    pictures: int
    published: float | None
    verdict: str
    run: Mapping[str, Any]


@dataclass(frozen=True)
class Board:
    """One list: one metric of one protocol on one part (the mean over parts where there is one)."""

    protocol: str
    title: str
    part: str
    metric: str
    percent: bool
    better: str
    places: tuple[Place, ...]


def read_score(folder: Path) -> dict[str, Any]:
    """The summary in a folder that `fauxlens score` wrote, or in the file itself."""
    path = Path(folder)
    path = path / _FILE if path.is_dir() else path
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadSetting("no score here", where=path, hint="fauxlens score p.parquet ... -o FOLDER") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as bad:
        raise BadSetting("not a score of ours", where=path, got=str(bad)) from None
    missing = [key for key in _WANTED if not isinstance(told, dict) or key not in told]
    if missing:
        raise BadSetting("not a score of ours", where=path, wanted=", ".join(_WANTED), got=f"no {', '.join(missing)}")
    return dict(told)


def boards_of(scores: Mapping[str, Mapping[str, Any]]) -> tuple[Board, ...]:
    """Lists by protocol and metric, the best first; `scores` is folder -> summary.

    Two runs are tied when their intervals overlap; a rank is one more than the number of runs that are clear of it.
    That is stricter than a paired test, which `fauxlens compare` does on the predictions themselves.
    """
    found: dict[tuple[str, int, str, str], list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]] = {}
    about: dict[tuple[str, int, str, str], Mapping[str, Any]] = {}
    for folder, told in scores.items():
        protocol = told["protocol"]
        runs = {one["name"]: one for one in told["runs"]}
        means = {one["metric"] for one in told["cells"] if one["part"] == "mean"}
        parts = protocol["parts"]
        for one in told["cells"]:
            main = "mean" if one["metric"] in means else parts[0]
            if one["part"] != main or one["value"] is None:
                continue
            key = (protocol["name"], protocol["version"], main, one["metric"])
            found.setdefault(key, []).append((folder, one, runs[one["row"]]))
            about[key] = protocol
    return tuple(_board(key, about[key], cells) for key, cells in found.items())


def _board(
    key: tuple[str, int, str, str],
    protocol: Mapping[str, Any],
    cells: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
) -> Board:
    name, version, part, metric = key
    better = _better(metric)
    sign = 1.0 if better == "lower" else -1.0
    ordered = sorted(cells, key=lambda one: (sign * one[1]["value"], one[1]["row"], one[0]))
    names = _distinct([(cell["row"], folder) for folder, cell, _ in ordered])
    ends = [tuple(float("nan") if end is None else end for end in cell["interval"]) for _, cell, _ in ordered]
    places = []
    for number, (folder, cell, run) in enumerate(ordered):
        low, high = ends[number]
        # Without an interval nothing can be told apart from its neighbours.
        clear = [_is_clear(ends[k], (low, high), better) for k in range(len(ordered))]
        worse = [_is_clear((low, high), ends[k], better) for k in range(len(ordered))]
        ties = [names[k] for k in range(len(ordered)) if k != number and not clear[k] and not worse[k]]
        places.append(
            Place(sum(clear) + 1, names[number], folder, cell["value"], low, high, tuple(ties), cell["pictures"],
                  cell["published"], cell["verdict"], run)
        )  # fmt: skip
    return Board(
        f"{name} (version {version})", protocol["title"], part, metric, bool(protocol["percent"]), better, tuple(places)
    )


def _is_clear(one: Sequence[float], other: Sequence[float], better: str) -> bool:
    """Whether all of the first interval is better than all of the second."""
    return one[1] < other[0] if better == "lower" else one[0] > other[1]


def _better(metric: str) -> str:
    known = METRICS[metric].better if metric in METRICS else None
    if known is None:
        by_title = {column.name: column for column in COLUMNS.values()}
        column = COLUMNS.get(metric) or by_title.get(metric)
        known = None if column is None else column.better
    return "lower" if known == "lower" or metric == "seconds" else "higher"


def _distinct(names: Sequence[tuple[str, str]]) -> list[str]:
    """Names of rows, with their folder where several share one."""
    rows = [row for row, _ in names]
    return [row if rows.count(row) == 1 else f"{row} ({folder})" for row, folder in names]


def report_of(scores: Mapping[str, Mapping[str, Any]]) -> Report:
    """The page."""
    boards = boards_of(scores)
    if not boards:
        raise BadSetting("none of these scores has a number", got=", ".join(scores))
    sections = []
    for number, board in enumerate(boards, 1):
        unit = "%" if board.percent else None
        arrow: Any = board.better
        form = ".2f" if board.percent else ".4f"
        columns = (
            Column("rank"), Column("detector"), Column(title_of(board.metric), unit=unit, better=arrow, format=form),
            Column("low", unit=unit, format=form), Column("high", unit=unit, format=form), Column("tied with"),
            Column("pictures"), Column("published", unit=unit, format=form), Column("verdict"),
            Column("reals called fake", unit="%", better="lower", format=".1f"), Column("weights"),
            Column("sha256"), Column("version"), Column("folder"),
        )  # fmt: skip
        rows = tuple(
            (one.rank, one.name, one.value, _known(one.low), _known(one.high), ", ".join(one.ties) or "nobody",
             one.pictures, one.published, one.verdict, _alarm_rate(scores[one.folder], one.run["name"]),
             one.run["weights"] + (" (means nothing)" if one.run["random"] else ""),
             (one.run["weights_sha256"] or "none")[:12], one.run["version"], one.folder)
            for one in board.places
        )  # fmt: skip
        first = [one for one in board.places if one.rank == 1]
        told = (
            f"{first[0].name} is ahead of all others."
            if len(first) == 1
            else f"First place is shared by {len(first)}, whose intervals overlap: {', '.join(o.name for o in first)}."
        )
        counts = {one.pictures for one in board.places}
        text = [f"{board.title}, part {board.part}. {told}"]
        if len(counts) > 1:
            text.append(f"Not the same pictures: {', '.join(f'{count:,}' for count in sorted(counts))}.")
        figure = charts.bars(
            f"board-{number}", f"{title_of(board.metric)} on {board.protocol}",
            {one.name: one.value for one in board.places},
            label=f"{title_of(board.metric)}{' (%)' if unit else ''}, {board.better} is better",
            intervals={one.name: (one.low, one.high) for one in board.places if not np.isnan(one.low)},
            note="Lines are 95 % intervals.",
        )  # fmt: skip
        note = (
            "A rank is one more than the number of runs whose whole interval is better. Tied: intervals overlap, which "
            "is not to say that both are equal; `fauxlens compare` tests the pair."
        )
        table = Table(f"board-{number}", f"{board.metric}, {board.part}", columns, rows, note)
        sections.append(Section(f"{board.protocol}: {board.metric}", tuple(text), (table,), (figure,)))
    return Report(
        title="Leaderboard",
        verdict=sections[0].text[0],
        sections=tuple(sections),
        provenance={"what": f"fauxlens {__version__} leaderboard", "on": "; ".join(scores)},
        facts=facts_of(boards),
    )


def facts_of(boards: Sequence[Board]) -> dict[str, Any]:
    """The machine-readable summary."""
    return {
        "boards": [
            {
                "protocol": board.protocol, "part": board.part, "metric": board.metric, "better": board.better,
                "places": [
                    {
                        "rank": one.rank, "name": one.name, "value": one.value,
                        "interval": [_known(one.low), _known(one.high)], "tied_with": list(one.ties),
                        "pictures": one.pictures, "published": one.published, "verdict": one.verdict,
                        "weights": one.run["weights"], "weights_sha256": one.run["weights_sha256"],
                        "random": one.run["random"], "version": one.run["version"], "folder": one.folder,
                    }
                    for one in board.places
                ],
            }
            for board in boards
        ]
    }  # fmt: skip


def _alarm_rate(told: Mapping[str, Any], run: str) -> float | None:
    for one in told["false_alarms"]:
        if one["run"] == run and one["sort"] == "all reals" and one["processed"] is None:
            return 100 * float(one["rate"])
    return None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
