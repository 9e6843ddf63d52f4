"""A report as Markdown; a table as CSV and as LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re

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
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    # These three are other letters in TeX's old text encoding.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After the end of a row these two would be read as its options: `\\[0.1, 0.9]`.
    "[": "{[}",
    "*": "{*}",
}
# What would begin a tag, a link, a code span, emphasis or a cell. An underscore within a word is only itself.
_MARKDOWN = re.compile(r"[\\|<*`\[\]]|(?<!\w)_|_(?!\w)")
_SPACES = re.compile(r"\s+")


def to_markdown(report: Report) -> str:
    """The whole report as Markdown (figures by their alternative text)."""
    plain = _markdown
    lines = [f"# {plain(report.title)}", "", f"**{plain(report.verdict)}**", ""]
    lines += [f"- {plain(key)}: {plain(value)}" for key, value in report.provenance.items()]
    for section in report.sections:
        lines += ["", f"## {plain(section.title)}", ""]
        for sentence in section.text:
            lines += [plain(sentence), ""]
        for figure in section.figures:
            lines += [f"*{plain(figure.title)}*: {plain(figure.alternative)}", ""]
        for table in section.tables:
            lines += [f"### {plain(table.title)}", "", *_markdown_table(table), ""]
            if table.note:
                lines += [plain(table.note), ""]
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
    kinds = "".join("r" if table.is_numeric(k) else "l" for k in range(len(table.columns)))
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
        return "| " + " | ".join(_markdown(cell) for cell in cells) + " |"

    head = line([column.title for column in table.columns])
    rule = "|" + "".join("---:|" if table.is_numeric(k) else "---|" for k in range(len(table.columns)))
    return [head, rule, *(line([table.text_of(row, k) for k in range(len(row))]) for row in table.rows)]


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda found: "\\" + found[0], _one_line(text))


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in _one_line(text))


def _one_line(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
