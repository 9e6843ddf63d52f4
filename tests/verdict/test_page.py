"""The pages: every verdict, nothing from outside, nothing obeyed that a file says, readable in light, dark and grey."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import findings_drawn as drawn
from cli.schema import DOCUMENT, faults
from fauxlens.verdict import words
from fauxlens.verdict.finding import Finding, Verdict
from fauxlens.verdict.index import index_of, write_pages
from fauxlens.verdict.marks import with_marks
from fauxlens.verdict.page import page_of, text_of

VERDICTS: tuple[Verdict, ...] = ("no_sign", "inconclusive", "edited", "generated")
AGAIN = {"when": "today", "machine": "a small one", "again": "fauxlens inspect 'a b.jpg' --report out"}


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the texts between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "span":  # words inside a line stay together
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def marked(finding: Finding, folder: Path, number: int = 0) -> Finding:
    return with_marks(finding, drawn.picture(), folder, number).without_maps()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Finding]]:
    folder = tmp_path_factory.mktemp("report")
    given = [*map(drawn.finding, VERDICTS), drawn.unjudged()]
    findings = [marked(one, folder, number) for number, one in enumerate(given)]
    findings.append(drawn.failed(f"photos/{drawn.PICTURE}.jpg"))
    write_pages(findings, folder, circumstances=AGAIN)
    return folder, findings


def pages(report: tuple[Path, list[Finding]]) -> list[Page]:
    names = sorted(path for path in report[0].glob("0*.html"))
    return [Page(path.read_text(encoding="utf-8")) for path in names]


def test_a_page_and_a_twin_a_picture_and_a_list(report: tuple[Path, list[Finding]]) -> None:
    folder, findings = report
    assert sorted(path.name for path in folder.iterdir()) == [
        "0001-beach.html", "0001-beach.json", "0002-beach.html", "0002-beach.json", "0003-beach.html",
        "0003-beach.json", "0004-beach.html", "0004-beach.json", "0005-cat.html", "0005-cat.json",
        "0006-img_src_x_onerror_alert_1.html", "0006-img_src_x_onerror_alert_1.json", "index.html", "marks",
        "report.json",
    ]  # fmt: skip
    told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in told["findings"]] == [one.verdict for one in findings]
    assert told["provenance"]["again"] == AGAIN["again"]


def test_twins_are_what_the_schema_says(report: tuple[Path, list[Finding]]) -> None:
    for path in report[0].glob("0*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        assert faults(told, DOCUMENT["$defs"]["inspect"]) == []
        assert told["picture"] is None or (report[0] / told["picture"]).is_file()
        for one in told["evidence"]:
            assert all((report[0] / file).is_file() for file in one["files"].values())
    told = json.loads((report[0] / "0003-beach.json").read_text(encoding="utf-8"))
    assert (told["local_edit"]["band"], told["detectors"][0]["answer"]["axis"]) == ([-0.4, 1.3], "local_edit")
    assert (report[0] / told["detectors"][0]["outline"]).is_file()


def test_the_schema_is_strict() -> None:
    told = {**drawn.finding("edited").as_json(), "surprise": 1}
    told["evidence_left"] = {**told["evidence_left"], "more": 1}
    assert faults(told, DOCUMENT["$defs"]["inspect"]) == ["$.evidence_left.more: not known", "$.surprise: not known"]


def test_every_page_says_what_it_has_to_in_order(report: tuple[Path, list[Finding]]) -> None:
    for page, found in zip(pages(report), report[1], strict=True):
        assert words.sentence(found) in page.text
        assert AGAIN["again"] in page.text
        if found.error is not None:
            assert "Open it in an editor and look what it is." in page.text
            continue
        places = [page.text.index(part) for part in (
            words.sentence(found), "What was checked", "What speaks for and against",
            "What the detectors have seen, and how often they err", "What could not be checked here",
            "SynthID and other private watermarks", "What to do next", "Find the earliest copy", "12" * 32
            if found.provenance else "34" * 32,
        )]  # fmt: skip
        assert places == sorted(places)


def test_a_judged_page_has_numbers_with_their_source(report: tuple[Path, list[Finding]]) -> None:
    for page in pages(report)[:4]:
        assert drawn.RATES in page.text
        assert page.text.count("probability") == page.text.count(f"calibrated on {drawn.CALIBRATED}") > 0
        assert "jpeg:quality=85" in page.text
        assert "ab" * 32 in page.text


def test_an_unjudged_page_shows_no_percentage(report: tuple[Path, list[Finding]]) -> None:
    page = pages(report)[4]
    body = page.text.replace("60 %", "")  # the slider's
    assert "%" not in body[body.index("Inconclusive: no detector") :].replace("${opacity.value} %", "").split("//")[0]
    assert "it is not calibrated, so it is no chance" in page.text


def test_evidence_is_strongest_first_closed_and_opens_to_its_map(report: tuple[Path, list[Finding]]) -> None:
    page = pages(report)[2]
    order = [page.text.index(part) for part in ("The lower left was saved", "A second grid", "The file names a camera")]
    assert order == sorted(order)
    assert ["open" in one for one in page.all("details")] == [False] * 5 + [True, False]
    assert [one["class"] for one in page.all("span") if "strength" in str(one.get("class"))] == [
        "strength strong", "strength weak", "strength context", "strength context", "strength context",
    ]  # fmt: skip
    maps = [one["alt"] for one in page.all("img") if str(one["alt"]).startswith("Map of")]
    assert maps == [
        f"Map of {name}: bright is strong" for name in ("JPEG ghost", "noise residual", "upsampling spectrum", "npr")
    ]
    assert page.text.count("It does not lie over the picture.") == 1  # the spectrum
    assert [one["value"] for one in page.all("option")] == ["layer-0", "layer-1", "layer-2", "layer-3"]
    named = {one.get("id") for one in page.all("img")}
    assert {"layer-1", "layer-2", "layer-3"} <= named  # what the choice of maps looks for


def test_labels_for_those_who_do_not_see_it(report: tuple[Path, list[Finding]]) -> None:
    page = pages(report)[2]
    sheet = next(one for one in page.all("div") if one.get("class") == "sheet")
    assert sheet["aria-label"] == (
        "The picture beach.jpg, 180 x 120 pixels. Marked area: lower left, 9 % of the picture"
    )
    assert sheet["tabindex"] == "0"
    assert all("alt" in one for one in page.all("img"))
    labelled = {one.get("for") for one in page.all("label")}
    assert {"opacity", "zoom", "layer"} <= labelled
    divider = next(one for one in page.all("div") if one.get("class") == "divider")
    assert (divider["role"], divider["tabindex"]) == ("slider", "0")
    assert divider["aria-label"]
    assert page.all("html")[0]["lang"] == "en"


def test_nothing_comes_from_outside(report: tuple[Path, list[Finding]]) -> None:
    for path in report[0].glob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv"))
        assert str(policy).startswith("default-src 'none'; img-src data:; ")
        assert not page.all("link")
        assert all(str(one["src"]).startswith("data:image/") for one in page.all("img"))
        assert all("src" not in one for one in page.all("script"))
        for link in page.all("a"):
            assert (report[0] / str(link["href"])).is_file()
        style = re.sub(r"url\(data:[^)]*\)", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"@import|url\(", style)


def test_what_a_file_says_is_shown_and_not_obeyed(report: tuple[Path, list[Finding]]) -> None:
    for path in report[0].glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert drawn.SCRIPT not in text
        assert drawn.PICTURE not in text
        assert len(Page(text).all("script")) == (0 if path.name == "index.html" else 1)
    assert drawn.SCRIPT in pages(report)[0].text  # spelt out
    assert drawn.PICTURE in pages(report)[5].text


def test_only_our_script_may_run(report: tuple[Path, list[Finding]]) -> None:
    import base64
    import hashlib

    text = (report[0] / "0001-beach.html").read_text(encoding="utf-8")
    script = text[text.index("<script>") + 8 : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def _colours(style: str) -> list[dict[str, str]]:
    """Light and dark."""
    blocks = re.findall(r":root \{[^}]*?(--ink[^}]*)\}", style)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks[:2]]


def _light(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_stand_out_in_light_and_dark() -> None:
    themes = _colours(text_of("page.css"))
    assert len(themes) == 2
    assert themes[0] != themes[1]
    for theme in themes:
        for ink in ("ink", "soft", "accent"):
            for ground in ("paper", "wash"):
                low, high = sorted((_light(theme[ink]), _light(theme[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5


def test_paper_has_no_controls() -> None:
    paper = text_of("page.css").split("@media print")[1]
    assert "A4" in paper
    hidden = next(line for line in paper.splitlines() if "display: none" in line)
    assert all(part in hidden for part in (".controls", ".lens", ".divider", ".how"))
    assert "print-color-adjust: exact" in paper


def test_the_list_sorts_and_sifts_without_a_script(report: tuple[Path, list[Finding]]) -> None:
    page = Page((report[0] / "index.html").read_text(encoding="utf-8"))
    assert not page.all("script")
    rows = [one for one in page.all("tr") if "data-verdict" in one]
    assert [one["data-verdict"] for one in rows] == [*VERDICTS, "inconclusive", "none"]
    ranks = [dict(part.split(":") for part in str(one["style"]).split(";")) for one in rows]
    assert [rank["--verdict"] for rank in ranks] == ["4", "2", "1", "0", "3", "5"]
    assert [rank["--file"] for rank in ranks] == ["1", "2", "3", "4", "5", "0"]
    chosen = [one["id"] for one in page.all("input") if "checked" in one]
    assert chosen == ["show-all", "sort-given"]
    style = text_of("index.css")
    for one in page.all("input"):
        if one["id"] not in chosen:
            assert f"#{one['id']}:checked" in style
    assert (
        "5 pictures looked at: 1 no sign found, 2 inconclusive, 1 edited in part, 1 generated; 1 could not be."
        in page.text
    )
    assert len(page.all("img")) == 5


def test_one_picture_alone_is_its_own_index(tmp_path: Path) -> None:
    found = marked(drawn.finding("edited"), tmp_path)
    assert write_pages([found], tmp_path) == tmp_path / "index.html"
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert words.sentence(found) in page.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001-beach.json", "index.html", "marks", "report.json"]
    assert "All pictures" not in page.text


def test_a_finding_without_marks_is_a_page_without_a_picture(tmp_path: Path) -> None:
    bare = replace(drawn.finding("no_sign").without_maps(), opinions=(), provenance=(), evidence=(), stability=None)
    page = Page(page_of(bare, tmp_path))
    assert not page.all("img")
    assert "Nothing beside the detectors spoke for or against it." in page.text
    assert "SynthID" in page.text
    assert page.all("table") == []
    assert len(Page(index_of([bare, bare], tmp_path)).all("tr")) == 3


# --- in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(report: tuple[Path, list[Finding]]):  # type: ignore[no-untyped-def]
    """The page of an edited picture in a browser, where there is one."""
    library = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no browser on this machine")
    with library.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 700})
        faults_seen: list[str] = []
        page.on("pageerror", lambda error: faults_seen.append(str(error)))
        page.on("console", lambda message: faults_seen.append(message.text))
        page.goto((report[0] / "0003-beach.html").as_uri())
        yield page
        assert faults_seen == []
        browser.close()


def test_the_lens_follows_pointer_and_keys(opened) -> None:  # type: ignore[no-untyped-def]
    sheet, lens = opened.locator(".sheet"), opened.locator(".lens")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    assert not lens.is_visible()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert lens.is_visible()
    assert opened.locator(".where").inner_text() == "Lens at 90, 60 of 180 x 120 pixels, 2:1"
    opened.mouse.move(1, 1)
    assert not lens.is_visible()
    opened.locator("#layer").focus()
    while opened.evaluate("document.activeElement.className") != "sheet":
        opened.keyboard.press("Tab")
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowUp", "+"):
        opened.keyboard.press(key)
    assert lens.is_visible()
    assert opened.locator(".told").inner_text().endswith("of 180 x 120 pixels, 3:1")
    opened.keyboard.press("Escape")
    assert not lens.is_visible()


def test_slider_divider_and_choice_of_maps(opened) -> None:  # type: ignore[no-untyped-def]
    opened.locator("#opacity").fill("30")
    assert opened.locator(".heat").evaluate("one => getComputedStyle(one).opacity") == "0.3"
    opened.get_by_label("Before / marked").check()
    divider = opened.locator(".divider")
    divider.focus()
    opened.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "48"
    box, sheet = divider.bounding_box(), opened.locator(".sheet").bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    opened.mouse.down()
    opened.mouse.move(sheet["x"] + sheet["width"] / 4, box["y"] + 30, steps=4)
    opened.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"
    before = opened.locator(".heat").get_attribute("src")
    opened.locator("#layer").select_option("layer-3")
    assert opened.locator(".heat").get_attribute("src") != before
    assert opened.locator(".area[data-layer=layer-3]").is_visible()
    opened.locator("#layer").select_option("layer-0")
    assert opened.locator(".heat").get_attribute("src") == before


def test_no_page_is_wider_than_a_phone(opened, report: tuple[Path, list[Finding]]) -> None:  # type: ignore[no-untyped-def]
    opened.set_viewport_size({"width": 390, "height": 800})
    for name in ("0003-beach.html", "index.html"):
        opened.goto((report[0] / name).as_uri())
        opened.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
