"""One self-contained page: no outside request, no font, no script; opens from a USB stick in ten years."""

from __future__ import annotations

import base64
import html

from fauxlens.core.report import Figure, Report, Section, Table
from fauxlens.core.text import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1d21; --paper: #ffffff; --soft: #5a606b; --line: #d5d9e0;
  --wash: #f4f6f9; --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --paper: #15171b; --soft: #a4abb8; --line: #363b45; --wash: #1e2127; --accent: #8ab8f2; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.25rem; font-weight: 600; margin: 0 0 .25rem; color: var(--soft); }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { max-width: 44rem; margin: .5rem 0; overflow-wrap: anywhere; }
.verdict { font-size: 1.5rem; line-height: 1.35; font-weight: 600; max-width: 44rem; margin: .25rem 0 1rem; }
.note, figcaption { color: var(--soft); font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; min-width: 20rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .35rem .9rem .35rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .875rem; color: var(--soft);
  background: var(--wash); padding: .75rem 1rem; margin: 0 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media print {
  :root { --ink: #000; --paper: #fff; --soft: #333; --line: #999; --wash: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; } h2, h3 { break-after: avoid; } table { font-size: 8.5pt; }
  th, td { padding-right: .6rem; } tr, figure { break-inside: avoid; }
  .scroll { overflow: visible; }
}
@media (max-width: 36rem) {
  dl { grid-template-columns: 1fr; } dt { font-weight: 600; } .verdict { font-size: 1.25rem; }
}
"""


def escape(text: str, quote: bool = True) -> str:
    """`text` as HTML; what a page would obey or hide is spelt out."""
    return html.escape(visible(text), quote=quote)


def to_html(report: Report) -> str:
    """The whole report as one HTML document."""
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in report.provenance.items())
    body = "".join(_section(section) for section in report.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing may be fetched, whatever a file name or a note in the report contains.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
        f"<title>{escape(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><dl aria-label="How this was made">{facts}</dl></header>\n'
        f'<main>\n<h1>{escape(report.title)}</h1>\n<p class="verdict">{escape(report.verdict)}</p>\n{body}</main>\n'
        "</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    text = "".join(f"<p>{escape(line)}</p>\n" for line in section.text)
    figures = "".join(_figure(figure) for figure in section.figures)
    tables = "".join(_table(table) for table in section.tables)
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{text}{figures}{tables}</section>\n"


def _figure(figure: Figure) -> str:
    source = f"data:{figure.media_type};base64,{base64.b64encode(figure.data).decode('ascii')}"
    note = f" {escape(figure.note)}" if figure.note else ""
    return (
        f'<figure>\n<img src="{source}" alt="{escape(figure.alternative, quote=True)}">\n'
        f"<figcaption><strong>{escape(figure.title)}.</strong>{note}</figcaption>\n</figure>\n"
    )


def _table(table: Table) -> str:
    kind = [' class="number"' if table.is_numeric(k) else "" for k in range(len(table.columns))]
    head = "".join(f'<th scope="col"{kind[k]}>{escape(c.title)}</th>' for k, c in enumerate(table.columns))
    rows = "".join(
        "<tr>" + "".join(f"<td{kind[k]}>{escape(table.text_of(row, k))}</td>" for k in range(len(row))) + "</tr>\n"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<h3>{escape(table.title)}</h3>\n<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(table.title, quote=True)}"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n{note}"
    )
