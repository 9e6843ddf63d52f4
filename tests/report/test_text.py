"""Markdown, CSV and LaTeX of tables with hostile cells."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.report import to_csv, to_latex, to_markdown

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    ["a|b", "a\\|b", "C:\\x\\", "<script>", "two\nlines", "[x](http://evil.example)", "_x_ a_b *c* `d`", "\\\\", "||"]
)


def table_of(*texts: str) -> Table:
    return Table("t", "T", (Column("text"), Column("n")), tuple((text, number) for number, text in enumerate(texts)))


def markdown_rows(text: str) -> list[list[str]]:
    """Cells as a renderer reads them: a bar divides unless an odd number of backslashes stands before it."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)(?:\\\\)*\|", line)
            assert cells[0] == cells[-1] == ""
            divided = re.findall(r"((?:\\.|[^\\|])*)\|", line)[1:]
            rows.append([re.sub(r"\\(.)", r"\1", cell).strip() for cell in divided])
    return rows


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_row_of_markdown_is_one_line_with_its_cells(texts: list[str]) -> None:
    table = table_of(*texts)
    head, rule, *rows = markdown_rows(to_markdown(Report("t", "v", (Section("s", tables=(table,)),))))
    assert head == ["text", "n"]
    assert rule == ["---", "---:"]
    assert rows == [[" ".join(text.split()), str(number)] for number, text in enumerate(texts)]


@given(TEXTS)
def test_markdown_holds_no_tag_link_or_new_line(text: str) -> None:
    figure = Figure("f", text, text, "image/png", b"x", note=text)
    table = Table("t", text, (Column("c"),), ((text,),), note=text)
    made = to_markdown(Report(text, text, (Section(text, (text,), (table,), (figure,)),), {"key": text}))
    assert not re.search(r"(?<!\\)(\\\\)*<", made)
    assert not re.search(r"(?<!\\)(\\\\)*\]\(", made)
    plain = to_markdown(
        Report("x", "x", (Section("x", ("x",), (Table("t", "x", (Column("c"),), (("x",),), note="x"),), (
            Figure("f", "x", "x", "image/png", b"x"),
        )),), {"key": "x"})
    )  # fmt: skip
    assert len(made.split("\n")) <= len(plain.split("\n"))


def test_markdown_reads_well_as_it_is() -> None:
    table = Table("t", "By generator", (Column("generator"), Column("auc", better="higher")), (("sd_v_1_4", 0.5),))
    made = to_markdown(Report("Title", "All is well.", (Section("S", ("One.",), (table,)),), {"what": "scan"}))
    assert made == (
        "# Title\n\n**All is well.**\n\n- what: scan\n\n## S\n\nOne.\n\n### By generator\n\n"
        "| generator | auc ↑ |\n|---|---:|\n| sd_v_1_4 | 0.5 |\n"
    )


def test_csv_has_values_and_not_what_is_shown() -> None:
    columns = (Column("name", "unit", "higher"), Column("n"), Column("share", format=".1f"), Column("flag"))
    table = Table("t", "T", columns, (('a "b", c\nd', 1_234_567, 0.123456789, True), ("ü", None, 1e-12, None)))
    assert list(csv.reader(io.StringIO(to_csv(table)))) == [
        ["name", "n", "share", "flag"],
        ['a "b", c\nd', "1234567", "0.123456789", "True"],
        ["ü", "", "1e-12", ""],
    ]
    assert "\r" not in to_csv(table)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")), min_size=1, max_size=4))
def test_csv_gives_every_text_back(texts: list[str]) -> None:
    found = list(csv.reader(io.StringIO(to_csv(table_of(*texts)), newline="")))
    assert [row[0] for row in found[1:]] == texts


LATEX = {
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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "*": "{*}",
}


@pytest.mark.parametrize(("letter", "written"), LATEX.items())
def test_every_special_letter_is_written_out(letter: str, written: str) -> None:
    lines = to_latex(table_of(f"a{letter}b")).splitlines()
    assert lines[4] == rf"a{written}b & 0 \\"


@given(st.lists(TEXTS | st.text(alphabet="".join(LATEX) + "a "), min_size=1, max_size=4))
def test_latex_is_balanced_and_has_its_cells(texts: list[str]) -> None:
    made = to_latex(table_of(*texts))
    lines = made.splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[1] == r"\toprule"
    assert lines[3] == r"\midrule"
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    body = lines[4:-2]
    assert len(body) == len(texts)
    for line in body:
        assert line.endswith(r" \\")
        content = line[: -len(r" \\")]
        bare = re.sub(r"\\[&%$#_{}]", "", content)
        assert bare.count("&") == 1
        assert not re.search(r"[%#_~^<>|]", bare)
        assert bare.count("$") % 2 == 0
        depth = 0
        for letter in bare:
            depth += (letter == "{") - (letter == "}")
            assert depth >= 0
        assert depth == 0
        # What follows the end of a row must not look like its options.
        assert not line.startswith(("[", "*"))
        assert set(re.findall(r"\\[A-Za-z]+", bare)) <= {
            r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar",
            r"\uparrow", r"\downarrow", r"\rightarrow", r"\leq", r"\geq", r"\pm", r"\times",
        }  # fmt: skip


def test_latex_sets_numbers_to_the_right_unknown_ones_too() -> None:
    columns = (Column("name", better="higher"), Column("n"), Column("flag"))
    table = Table("t", "T", columns, (("a", 1, True), ("b", None, False)))
    made = to_latex(table)
    assert made.startswith(r"\begin{tabular}{lrl}")
    assert r"name $\uparrow$ & n & flag \\" in made
    assert "b & -- & no" in made
