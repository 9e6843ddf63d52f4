"""A Report to files a person opens: one self-contained page, Markdown, JSON, and CSV and LaTeX of every table."""

from fauxlens.report.html import to_html
from fauxlens.report.text import to_csv, to_latex, to_markdown
from fauxlens.report.write import write_report

__all__ = ["to_csv", "to_html", "to_latex", "to_markdown", "write_report"]
