"""Findings as a folder to hand on: a page and its twin for programs a picture, and a list of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fauxlens.core.files import to_json, write_bytes, write_json, write_text
from fauxlens.core.version import __version__
from fauxlens.report.html import escape
from fauxlens.verdict import words
from fauxlens.verdict.finding import Finding, Verdict
from fauxlens.verdict.marks import named
from fauxlens.verdict.page import data_uri, framed, page_of, text_of
from fauxlens.verdict.shown import colours_of, thumb_of

THUMBS = 1000
"""Above so many pictures the list goes without them: a page of gigabytes opens nowhere."""

_GRAVEST: tuple[Verdict | None, ...] = ("generated", "edited", "inconclusive", "no_sign", None)


def write_pages(findings: Sequence[Finding], folder: Path, *, circumstances: Mapping[str, str] | None = None) -> Path:
    """Write `index.html`, a page and a twin a picture, and `report.json`; returns the index. Marks lie there already.

    One picture alone has no list: the index is its page.
    """
    told = dict(circumstances or {})
    alone = len(findings) == 1
    index = folder / "index.html"
    for number, finding in enumerate(findings):
        name = named(finding, number)
        write_bytes(folder / f"{name}.json", to_json(finding.as_json()).encode("utf-8"), lasting=False)
        page = page_of(finding, folder, circumstances=told, twin=f"{name}.json", home=None if alone else "index.html")
        write_bytes(index if alone else folder / f"{name}.html", page.encode("utf-8"), lasting=False)
    if not alone:
        write_text(index, index_of(findings, folder, circumstances=told))
    write_json(
        folder / "report.json",
        {
            "title": "What was found in these pictures",
            "verdict": words.stopped(words.totals(findings)) if not alone else words.sentence(findings[0]),
            "provenance": {**told, "version": __version__},
            "findings": [one.as_json() for one in findings],
        },
    )
    return index


def index_of(findings: Sequence[Finding], folder: Path, *, circumstances: Mapping[str, str] | None = None) -> str:
    """The list of many: sorted and sifted by the browser's own means, without a script."""
    by_verdict = _ranks(findings, lambda k: _GRAVEST.index(findings[k].verdict))
    by_share = _ranks(findings, lambda k: -(findings[k].edited_share or 0))
    by_file = _ranks(findings, lambda k: (Path(findings[k].path).name.lower(), findings[k].path))
    rows = "".join(
        _row(
            number, one, folder, len(findings) <= THUMBS,
            f"--given:{number};--verdict:{by_verdict[number]};--share:{by_share[number]};--file:{by_file[number]}",
        )
        for number, one in enumerate(findings)
    )  # fmt: skip
    counts = Counter("none" if one.verdict is None else one.verdict for one in findings)
    shows = [("all", f"all ({len(findings):,})")]
    shows += [
        (str(verdict or "none"), f"{words.LABELS[verdict]} ({counts[str(verdict or 'none')]:,})")
        for verdict in _GRAVEST
        if counts[str(verdict or "none")]
    ]
    sorts = [("given", "as given"), ("verdict", "verdict"), ("share", "marked share"), ("file", "file name")]
    missing = dict.fromkeys(told for one in findings for told in words.not_checked(one))
    notes = _notes(findings)
    body = (
        "<main>\n<h1>What was found in these pictures</h1>\n"
        f"<p>{escape(words.stopped(words.totals(findings)))}</p>\n{notes}"
        '<span class="question" id="ask-show">Show</span>\n'
        + _choices("show", shows)
        + '<span class="question" id="ask-sort">Sort by</span>\n'
        + _choices("sort", sorts)
        + '<table class="list" role="table" aria-label="Pictures">\n<thead role="rowgroup"><tr role="row">'
        '<th role="columnheader" scope="col">picture</th><th role="columnheader" scope="col">verdict</th>'
        '<th role="columnheader" scope="col" class="number">marked</th>'
        '<th role="columnheader" scope="col">file</th></tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}</tbody>\n</table>\n'
        "<h2>What could not be checked here</h2>\n<ul>"
        + "".join(f"<li>{escape(one)}</li>\n" for one in missing)
        + "</ul>\n<h2>How this was made</h2>\n<dl>"
        + "".join(
            f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>\n"
            for key, value in {**(circumstances or {}), "version": f"fauxlens {__version__}"}.items()
        )
        + '</dl>\n<p>The same for programs: <a href="report.json">report.json</a>.</p>\n</main>'
    )
    return framed("What was found in these pictures", body, style=text_of("page.css") + text_of("index.css"))


def _row(number: int, finding: Finding, folder: Path, thumbs: bool, ranks: str) -> str:
    name = Path(finding.path).name or finding.path
    page = quote(f"{named(finding, number)}.html")
    shown = '<span class="none">–</span>'
    if thumbs and finding.picture is not None:
        small = thumb_of(colours_of((folder / finding.picture).read_bytes()))
        shown = (
            f'<a href="{page}" tabindex="-1" aria-hidden="true"><img alt="" src="{data_uri(small, "image/jpeg")}"></a>'
        )
    opinion = words.marked_by(finding)
    share = "–" if opinion is None else words.share_of(opinion) or "–"
    why = words.failure(finding.error, finding.path) if finding.error is not None else finding.reason
    told = words.capital(words.LABELS[finding.verdict])
    return (
        f'<tr role="row" data-verdict="{finding.verdict or "none"}" style="{ranks}"><td role="cell">{shown}</td>'
        f'<td role="cell"><strong>{escape(told)}</strong></td><td role="cell" class="number">{escape(share)}</td>'
        f'<td role="cell"><a href="{page}">{escape(name)}</a><br><span class="why">{escape(why)}</span></td></tr>\n'
    )


def _choices(name: str, choices: Sequence[tuple[str, str]]) -> str:
    # Beside the table, not inside a group: what is chosen reaches its rows by being a sibling.
    return "".join(
        f'<input type="radio" name="{name}" id="{name}-{key}" aria-describedby="ask-{name}"'
        f'{" checked" if not number else ""}><label for="{name}-{key}">{escape(told)}</label>\n'
        for number, (key, told) in enumerate(choices)
    )


def _notes(findings: Sequence[Finding]) -> str:
    told = []
    looked = [one for one in findings if one.error is None]
    if looked and all(one.deciding is None for one in looked):
        told.append("None of the detectors is calibrated, so their scores are shown and not judged.")
    if any(one.deciding is None and one.edited_share is not None for one in looked):
        told.append("A share without a percent sign is that of a detector that nobody calibrated.")
    if len(findings) > THUMBS:
        told.append(f"Above {THUMBS:,} pictures the list goes without small copies of them; each has its page.")
    return "".join(f'<p class="soft">{escape(one)}</p>\n' for one in told)


def _ranks(findings: Sequence[Finding], key: Any) -> list[int]:
    """The place of each when they are sorted by `key` of their number; equals stay as given."""
    order = sorted(range(len(findings)), key=key)
    ranks = [0] * len(findings)
    for rank, number in enumerate(order):
        ranks[number] = rank
    return ranks
