"""The page: hostile texts stay texts, nothing is fetched, numbers stand to the right, headings and heads are marked."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadShape
from fauxlens.core.report import Column, Figure, Report, Section, Table
from fauxlens.core.text import visible
from fauxlens.report import to_html

VOID = {"meta", "img"}
HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=http://evil.example/x onerror=alert(1)>',
        "' onmouseover='x",
        "</style></title></textarea><iframe src=//evil.example>",
        "<!--",
        "]]>",
        "&lt;b&gt; &amp; &#60;",
        "javascript:alert(1)",
        "a\x00b\r\nc\x1b[31m",
        "\u202eexe.gpj",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]))


class Page(HTMLParser):
    """Tags with their attributes, in order, and the texts; complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.odd: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.odd.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]

    def named(self, name: str) -> Iterator[dict[str, str | None]]:
        return (attributes for tag, attributes in self.tags if tag == name)


def report_of(text: str) -> Report:
    table = Table("t", text, (Column(text, unit=text, better="higher"), Column("n")), ((text, 1), (None, 2)), note=text)
    figure = Figure("f", text, text, "image/svg+xml", f"<svg>{text}</svg>".encode(), note=text)
    section = Section(text, (text, text), (table,), (figure,))
    return Report(text, text, (section,), {text or "k": text}, {"fact": text})


PLAIN = Page(to_html(report_of("plain"))).shape()


@settings(max_examples=150)
@given(HOSTILE)
@example("<script>alert(1)</script>")
def test_a_hostile_text_never_becomes_a_tag(text: str) -> None:
    made = to_html(report_of(text or " "))
    page = Page(made)
    assert page.shape() == PLAIN
    assert (page.odd, page.open) == ([], [])
    # And it is all there: in the texts and in the attributes that a screen reader reads.
    shown = "".join(page.texts)
    assert " ".join(visible(text).split()) in " ".join(shown.split())
    (image,) = page.named("img")
    assert image["alt"] == visible(text or " ")


@settings(max_examples=50)
@given(HOSTILE)
def test_nothing_is_ever_fetched(text: str) -> None:
    page = Page(to_html(report_of(text or " ")))
    policies = [a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
        assert not {"href", "srcset", "action", "style", "data", "background"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        if "src" in attributes:
            assert (attributes["src"] or "").startswith("data:image/")
        assert attributes.get("http-equiv") in (None, "Content-Security-Policy")


def test_the_style_asks_for_nothing() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", to_html(report_of("x")), re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_comes_before_all_it_governs() -> None:
    made = to_html(report_of("x"))
    assert made.index("charset") < made.index("Content-Security-Policy") < made.index("<title>") < made.index("<img")


def test_a_picture_is_carried_along() -> None:
    data = bytes(range(256))
    report = Report("t", "v", (Section("s", figures=(Figure("f", "F", "what it shows", "image/png", data),)),))
    (image,) = Page(to_html(report)).named("img")
    kind, _, packed = (image["src"] or "").partition(";base64,")
    assert (kind, base64.b64decode(packed)) == ("data:image/png", data)


def test_who_cannot_see_finds_the_way() -> None:
    page = Page(to_html(report_of("x")))
    names = [tag for tag, _ in page.tags]
    assert next(page.named("html"))["lang"] == "en"
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    headings = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert all(below - above <= 1 for above, below in zip([0, *headings], headings, strict=False))
    assert all(head["scope"] == "col" for head in page.named("th"))
    assert all(image["alt"] for image in page.named("img"))
    assert any("width=device-width" in (meta.get("content") or "") for meta in page.named("meta"))
    # What scrolls sideways can be reached by keyboard and says what it is.
    (scrolled,) = [a for a in page.named("div") if a.get("class") == "scroll"]
    assert (scrolled["tabindex"], scrolled["role"], scrolled["aria-label"]) == ("0", "region", "x")


COLUMNS = (
    Column("name"),
    Column("count"),
    Column("share", "%", "higher", ".1f"),
    Column("flag"),
    Column("mixed"),
    Column("gone"),
)
ROWS = (
    ("a", 1_234_567, 12.345, True, 1, None),
    ("b", None, 0.0, False, "two", None),
    ("c", -5, 100, None, 3.0, None),
)


def cells(table: Table) -> list[tuple[str, bool]]:
    made = to_html(Report("t", "v", (Section("s", tables=(table,)),)))
    return [(text, bool(number)) for number, text in re.findall(r'<td( class="number")?>(.*?)</td>', made)]


def test_cells_are_written_for_people() -> None:
    table = Table("t", "T", COLUMNS, ROWS)
    assert [text for text, _ in cells(table)] == [
        *("a", "1,234,567", "12.3", "yes", "1", "–"),
        *("b", "–", "0.0", "no", "two", "–"),
        *("c", "-5", "100.0", "–", "3", "–"),
    ]
    assert [column.title for column in COLUMNS[:3]] == ["name", "count", "share (%) ↑"]
    assert Column("seconds", better="lower").title == "seconds ↓"


def test_columns_of_numbers_stand_to_the_right() -> None:
    table = Table("t", "T", COLUMNS, ROWS)
    assert [table.is_numeric(k) for k in range(6)] == [False, True, True, False, False, False]
    assert [number for _, number in cells(table)] == [False, True, True, False, False, False] * 3
    made = to_html(Report("t", "v", (Section("s", tables=(table,)),)))
    assert re.findall(r'<th scope="col"( class="number")?>', made).count(' class="number"') == 2
    assert not Table("t", "T", COLUMNS, ()).is_numeric(1)


def test_numbers_of_numpy_are_numbers() -> None:
    rows = ((np.int64(1234), np.float32(0.5), np.float64(2 / 3)),)
    table = Table("t", "T", (Column("a"), Column("b", format=".2f"), Column("c")), rows)
    assert cells(table) == [("1,234", True), ("0.50", True), ("0.6667", True)]


def test_a_row_fits_its_head() -> None:
    with pytest.raises(BadShape, match="row of another length") as caught:
        Table("t", "T", COLUMNS[:2], (("a", 1), ("b",)))
    assert (caught.value.where, caught.value.wanted) == ("table t", "2 cells")


def test_an_empty_report_is_a_page() -> None:
    page = Page(to_html(Report("t", "v", ())))
    assert (page.odd, page.open) == ([], [])
