"""`fauxlens protocols`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson

if TYPE_CHECKING:
    from fauxlens.evaluate.protocol import Part, Protocol


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="A protocol, or a TOML file of your own; without one, all are listed.", metavar="NAME"),
    ] = None,
    json: AsJson = False,
) -> int:
    """Every published table as data: what it needs and what was published; with a name, one of them in words."""
    from fauxlens.evaluate.protocol import protocol_names, read_protocol

    if name is not None:
        return _show(read_protocol(name), json)
    found = [read_protocol(one) for one in protocol_names()]
    if json:
        console.say_json([_summary(one) for one in found])
        return 0
    rows = [
        (one.name, one.title, one.view, one.layout, "yes" if one.trains else "no", len(one.published), one.data)
        for one in found
    ]
    console.show_table(("protocol", "title", "view", "layout", "trains", "published", "data"), rows, numbers=(5,))
    console.remark("one protocol in words: fauxlens protocols NAME; trains: its rows have to be trained first")
    return 0


def _summary(protocol: Protocol) -> dict[str, Any]:
    return {
        "name": protocol.name,
        "version": protocol.version,
        "title": protocol.title,
        "paper": protocol.paper,
        "source": protocol.source,
        "view": protocol.view,
        "layout": protocol.layout,
        "data": protocol.data,
        "metrics": list(protocol.metrics),
        "calibration": protocol.calibration,
        "trains": protocol.trains,
        "parts": len(protocol.parts),
        "rows": len(protocol.rows),
        "published": len(protocol.published),
    }


def _show(protocol: Protocol, json: bool) -> int:
    if json:
        from fauxlens.core.settings import settings_to

        console.say_json(settings_to(protocol))
        return 0
    console.say(f"{protocol.name}, version {protocol.version}: {protocol.title}")
    for label, value in (
        ("paper", protocol.paper),
        ("source", protocol.source),
        ("data", protocol.data),
        ("layout", protocol.layout),
        ("rows", " and ".join(protocol.where) or "all"),
        ("view", protocol.view + (f" over {protocol.axis}" if protocol.axis else "")),
        ("metrics", ", ".join(protocol.metrics) + (" (per cent)" if protocol.percent else "")),
        ("threshold", f"{protocol.threshold:g}"),
        ("preprocessing", protocol.preprocessing),
        ("calibration", _calibration(protocol)),
        ("tolerance", f"{protocol.tolerance:g}"),
        ("seeds", ", ".join(str(one) for one in protocol.seeds)),
        ("trains", "its rows have to be trained first" if protocol.trains else "no"),
    ):
        if value:
            console.say(f"  {label:<15}{value}")
    console.say()
    console.show_table(("part", "pictures"), [(one.name, _pictures(one)) for one in protocol.parts])
    for metric in protocol.metrics:
        shown = [one for one in protocol.published if one.metric == metric]
        if shown:
            parts = [one for one in (*(p.name for p in protocol.parts), "mean") if any(c.part == one for c in shown)]
            rows = [row.name for row in protocol.rows if any(c.row == row.name for c in shown)]
            console.say()
            console.say(f"published, {metric}:")
            cells = [(row, *(_number(protocol.value(row, part, metric)) for part in parts)) for row in rows]
            console.show_table(("row", *parts), cells, numbers=tuple(range(1, len(parts) + 1)))
    for note in protocol.notes:
        console.say()
        console.say(note)
    return 0


def _calibration(protocol: Protocol) -> str:
    if protocol.calibration == "none":
        return ""
    left = "are scored with the rest" if protocol.calibration == "published" else "are not scored"
    return f"{protocol.calibration}: a logistic fit on what the notes call a calibration image; these {left}"


def _pictures(part: Part) -> str:
    told = [" and ".join(part.where)] if part.where else []
    told += [f"{who}: {' and '.join(where)}" for who, where in (("reals", part.reals), ("fakes", part.fakes)) if where]
    if part.degrade:
        only = f" where {' and '.join(part.degrade_only)}" if part.degrade_only else ""
        told.append(f"degraded by {part.degrade}{only}")
    if part.area is not None:
        told.append(f"mask {part.area[0]:.0%} to below {part.area[1]:.0%} of the frame")
    if part.one_to_one:
        told.append("as many fakes as reals")
    return "; ".join(told) or "all"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
