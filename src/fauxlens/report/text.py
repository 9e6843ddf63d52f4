"""A report as Markdown; a table as CSV and as LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io

from fauxlens.core.report import Report, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
}


def to_markdown(report: Report) -> str:
    """The whole report as Markdown (figures by their alternative text)."""
    lines = [f"# {report.title}", "", f"**{report.verdict}**", ""]
    lines += [f"- {key}: {value}" for key, value in report.provenance.items()]
    for section in report.sections:
        lines += ["", f"## {section.title}", ""]
        for sentence in section.text:
            lines += [sentence, ""]
        for figure in section.figures:
            lines += [f"*{figure.title}*: {figure.alternative}", ""]
        for table in section.tables:
            lines += [f"### {table.title}", "", *_markdown_table(table), ""]
            if table.note:
                lines += [table.note, ""]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(table: Table) -> str:
    """A table as CSV with the values as they are, not as they are shown; unknown is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([["" if value is None else value for value in row] for row in table.rows])
    return stream.getvalue()


def to_latex(table: Table) -> str:
    r"""A table as a LaTeX tabular; needs \usepackage{booktabs}."""
    kinds = "".join(
        "r" if all(isinstance(r[k], int | float) for r in table.rows) else "l" for k in range(len(table.columns))
    )
    head = " & ".join(_escaped(column.title) for column in table.columns)
    rows = [" & ".join(_escaped(table.text_of(row, k)) for k in range(len(row))) + r" \\" for row in table.rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{kinds}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _markdown_table(table: Table) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    head = line([column.title for column in table.columns])
    rule = "|" + "---|" * len(table.columns)
    return [head, rule, *(line([table.text_of(row, k) for k in range(len(row))]) for row in table.rows)]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
