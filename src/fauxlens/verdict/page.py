"""A finding as a page of its own: the sentence, the picture under a lens, what speaks for and against, what is missing.

Self-contained: no outside request, no font, no script from elsewhere, and a policy that forbids them.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fauxlens.core.text import visible
from fauxlens.core.version import __version__
from fauxlens.report.html import escape
from fauxlens.verdict import words
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import Answer, Finding, Opinion
from fauxlens.verdict.shown import MAP_SIDE, Outline, grey_of, map_png, outline_of, palette, size_of

TEXT_LONGEST = 2000
"""Letters of one cell: a prompt or a workflow inside a file can be as long as its writer liked."""

ENLARGED = 4
"""How many times a small picture is enlarged at most to fill the window."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A map that lies over the picture, pixel on pixel."""

    name: str
    title: str
    file: str
    data: bytes
    area: str  # what it marks, in words
    level: float | None
    outline: Outline | None


def page_of(
    finding: Finding,
    folder: Path,
    *,
    circumstances: Mapping[str, str] | None = None,
    twin: str | None = None,
    home: str | None = None,
) -> str:
    """The page of one finding, whose marks lie in `folder` already.

    `circumstances` say when, where and how to run it again; `twin` is the file for programs, `home` the list of all.
    """
    script = text_of("page.js")
    name = Path(finding.path).name or finding.path
    layers = [] if finding.error is not None else _layers(finding, folder)
    body = [
        '<header class="reading">',
        f'<p class="home"><a href="{escape(home)}">All pictures</a></p>' if home else "",
        f'<p class="file">{escape(name)}</p>',
        f'<p class="soft">{escape(words.file_in_words(finding))}</p>' if finding.file else "",
        "</header>\n<main>",
        _verdict(finding),
        _viewer(finding, folder, layers),
    ]
    if finding.error is None:
        body += [
            _sentences("What was checked", words.checked(finding)),
            _evidence(finding, folder, layers),
            _detectors(finding, folder, layers),
            _lasting(finding),
            _sentences("What could not be checked here", words.not_checked(finding)),
        ]
    body += [
        _sentences("What to do next", words.next_steps(finding)),
        _made(finding, dict(circumstances or {}), twin),
        "</main>",
    ]
    return framed(f"{words.LABELS[finding.verdict]}: {name}", "".join(body), style=text_of("page.css"), script=script)


def framed(title: str, body: str, *, style: str, script: str | None = None) -> str:
    """A document that may fetch nothing, and runs no script but the one it came with."""
    allowed = "" if script is None else f"script-src 'sha256-{_digest(script)}'; "
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing may be fetched, whatever a file name or a text inside a file contains.
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; {allowed}'
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
        f'<meta name="generator" content="fauxlens {escape(__version__)}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        + (f"<script>{script}</script>\n" if script is not None else "")
        + "</body>\n</html>\n"
    )


def text_of(name: str) -> str:
    """A file that lies beside this one."""
    return importlib.resources.files("fauxlens.verdict").joinpath(name).read_text(encoding="utf-8")


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    """Bytes as an address that needs no request."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _verdict(finding: Finding) -> str:
    # A number must not part from its sign at the end of a line.
    heading = re.sub(r"([0-9]+ %)", r'<span class="whole">\1</span>', escape(words.sentence(finding)))
    said = [
        '\n<section class="reading" aria-label="Verdict">',
        f'<p class="label">{escape(words.capital(words.LABELS[finding.verdict]))}</p>',
        f"<h1>{heading}</h1>",
    ]
    lines = [words.decided(finding), words.disagreement(finding), words.traces_left(finding)]
    if finding.stability is not None and finding.stability.flips:
        lines.append(words.lasting(finding))
    said += [f"<p>{escape(line)}</p>" for line in lines if line is not None]
    said += [
        f'<div class="answer"><p>{escape(words.stopped(words.chance(one.answer)))}</p>{_band(one.answer)}</div>'
        for one in finding.opinions
        if one.answer is not None
    ]
    said += [f'<p class="soft">{escape(words.stopped(words.capital(note)))}</p>' for note in finding.notes]
    return "\n".join(said) + "\n</section>\n"


def _band(answer: Answer) -> str:
    """Where the score lies: below the band, inside it, above it. The sentence beside it says the same."""
    ends = [answer.logit, answer.low, *([] if answer.high is None else [answer.high])]
    room = max(1.0, 0.25 * (max(ends) - min(ends)))
    low, high = min(ends) - room, max(ends) + room

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low)

    start, stop = at(answer.low), 100.0 if answer.high is None else at(answer.high)
    above = words.LABELS["edited" if answer.axis == "local_edit" else "generated"]
    named = "" if answer.high is None else f"<span>{above} &#8594;</span>"
    # A word near an end would stick out of it.
    score = min(max(at(answer.logit), 8), 92)
    return (
        f'<div class="band" aria-hidden="true"><div class="axis"><span class="silent" '
        f'style="left: {start:.1f}%; width: {max(stop - start, 0.5):.1f}%"></span>'
        f'<span class="here" style="left: {at(answer.logit):.1f}%"></span></div>'
        f'<span class="score" style="left: {score:.1f}%">{answer.logit:+.2f}</span>'
        f'<div class="ends"><span>&#8592; {words.LABELS["no_sign"]}</span>'
        f'<span class="middle" style="left: {min(max((start + stop) / 2, 38), 62):.1f}%">nothing is said</span>'
        f"{named}</div></div>"
    )


def _layers(finding: Finding, folder: Path) -> list[Layer]:
    """The maps that lie over the picture: the marks that the verdict speaks of, other detectors', then evidence."""
    found: list[Layer] = []
    first = words.marked_by(finding)
    for opinion in sorted(finding.opinions, key=lambda one: one is not first):
        name = opinion.prediction.detector
        files = finding.marks.get(name, {})
        file = files.get("mask") or files.get("heatmap")
        if file is None:
            continue
        strength = grey_of((folder / file).read_bytes())
        is_mask = "mask" in files
        edge = outline_of(strength, opinion.level) if is_mask and not opinion.is_random else None
        area = words.marked_area(opinion) or (
            "Random weights: what they mark means nothing" if opinion.is_random else "A map without a scale of its own"
        )
        found.append(
            Layer(
                f"layer-{len(found)}", f"{name}: {'marks' if is_mask else 'noise'}", file, map_png(strength), area,
                opinion.level if edge is not None else None, edge,
            )
        )  # fmt: skip
    size = (finding.file.get("width"), finding.file.get("height"))
    for one in finding.everything:
        if (file := one.files.get("map")) is None:
            continue
        data = (folder / file).read_bytes()
        if size_of(data) == size:  # a spectrum, say, does not lie over the picture
            title = words.capital(words.check_in_words(one.check))
            found.append(Layer(f"layer-{len(found)}", title, file, map_png(grey_of(data)), one.sentence, None, None))
    return found


def _viewer(finding: Finding, folder: Path, layers: Sequence[Layer]) -> str:
    if finding.error is not None or finding.picture is None:
        return ""
    data = (folder / finding.picture).read_bytes()
    shown_width, shown_height = size_of(data)
    width, height = int(finding.file.get("width", shown_width)), int(finding.file.get("height", shown_height))
    media_type = "image/png" if finding.picture.endswith(".png") else "image/jpeg"
    name = Path(finding.path).name
    alternative = f"The picture {name}, {width} x {height} pixels"
    area = f". {layers[0].area}" if layers else ""
    x, y = _start(layers)
    beside = "" if finding.verdict == "edited" else " What is marked did not make this an edited picture."
    edges = "".join(
        f'<svg class="outline" data-layer="{one.name}" viewBox="0 0 {one.outline.width} {one.outline.height}" '
        f'preserveAspectRatio="none" aria-hidden="true"{"" if one is layers[0] else " hidden"}>'
        f'<path class="light" d="{one.outline.path}"/><path class="dark" d="{one.outline.path}"/></svg>'
        for one in layers
        if one.outline is not None and one.outline.path
    )
    marked = (
        f'<div class="marked"><img class="heat" alt="" src="{data_uri(layers[0].data)}">{edges}</div>'
        '<span class="side before" hidden>Before</span><span class="side after" hidden>Marked</span>'
        '<div class="divider" role="slider" tabindex="0" aria-label="Divider between before and marked" '
        'aria-valuemin="0" aria-valuemax="100" aria-valuenow="50" aria-orientation="horizontal" hidden></div>'
        if layers
        else ""
    )
    frame = f"--ratio: {width / height:.5f}; --most: {max(ENLARGED * width, min(64 * width, 256))}px"
    return (
        f'\n<section class="viewer" aria-label="The picture" data-width="{width}" data-height="{height}" '
        f'data-x="{x:.4f}" data-y="{y:.4f}" style="{frame}">\n<div class="beside">\n{_controls(layers)}</div>\n'
        '<div class="frame">\n'
        f'<div class="sheet" tabindex="0" role="group" aria-label="{escape(alternative + area)}" '
        f'aria-describedby="how" style="aspect-ratio: {width} / {height}">'
        f'<img class="picture" alt="{escape(alternative)}" '
        f'src="{data_uri(data, media_type)}">{marked}<canvas class="lens" aria-hidden="true" hidden></canvas></div>\n'
        f'{_ruler(width)}</div>\n<div class="beside">\n'
        + "".join(
            f'<p class="area" data-layer="{one.name}"{"" if one is layers[0] else " hidden"}>'
            f"{escape(words.stopped(one.area))}{_left_out(one)}{beside if one.outline and one.outline.path else ''}</p>"
            for one in layers
        )
        + (_scale(layers[0].level) if layers else "")
        + '<p class="soft how" id="how">The lens follows the pointer, and the arrow keys once the picture is chosen '
        "with the tab key (with shift: pixel by pixel; + and - change how much it enlarges; escape hides it). "
        '<span class="where" aria-hidden="true"></span></p><p class="unseen told" aria-live="polite"></p>'
        f'<p class="soft">{escape(_copied(finding, (shown_width, shown_height), (width, height)))} '
        f"{_full_size(finding)}</p>\n</div>\n</section>\n"
    )


def _controls(layers: Sequence[Layer]) -> str:
    over = (
        '<fieldset><legend>View</legend><label><input type="radio" name="view" value="lens" checked> Lens</label>'
        '<label><input type="radio" name="view" value="divider"> Before / marked</label></fieldset>\n'
        '<label for="layer">Map <select id="layer">'
        + "".join(f'<option value="{one.name}">{escape(one.title)}</option>' for one in layers)
        + "</select></label>\n"
        '<label for="opacity">Strength of the map <input id="opacity" type="range" min="0" max="100" value="60">'
        '<output id="opacity-told" for="opacity">60 %</output></label>\n'
        '<label><input id="outline" type="checkbox" checked> Outline</label>\n'
    )
    return (
        f'<div class="controls" hidden>\n{over if layers else ""}'
        '<label for="zoom">Lens <input id="zoom" type="range" min="1" max="8" step="1" value="2">'
        '<output id="zoom-told" for="zoom">2:1</output></label>\n</div>\n'
        '<noscript><p class="soft">Lens, sliders and divider need the script of this page; without it the picture is '
        "shown with its marks.</p></noscript>\n"
    )


def _start(layers: Sequence[Layer]) -> tuple[float, float]:
    """Where the lens begins for those who use keys: on the first corner of the largest mark, else in the middle."""
    outline = layers[0].outline if layers else None
    if outline is None or not outline.path:
        return 0.5, 0.5
    corners = [one.split(" ") for one in outline.path.split("Z")[0].lstrip("M").split("L")]
    x = sum(float(one[0]) for one in corners) / len(corners)
    y = sum(float(one[1]) for one in corners) / len(corners)
    return x / outline.width, y / outline.height


def _ruler(width: int) -> str:
    """A length to hold against the picture: the roundest one of at most a quarter of it."""
    lengths = [step * 10**power for power in range(6) for step in (1, 2, 5)]
    length = max([one for one in lengths if one <= width / 4], default=1)
    return (
        f'<div class="ruler" style="width: {100 * length / width:.3f}%" aria-hidden="true"></div>'
        f'<div class="measure">{length:,} {"pixel" if length == 1 else "pixels"} of the file</div>\n'
    )


def _scale(level: float | None) -> str:
    stops = ", ".join(
        f"rgba({r}, {g}, {b}, {a / 255:.2f}) {100 * k / (len(palette()) - 1):.0f}%"
        for k, (r, g, b, a) in enumerate(palette().tolist())
        if k % 7 == 0
    )
    tick = "" if level is None else f'<span class="from" style="left: {100 * level:.0f}%"></span>'
    told = "" if level is None else f"<span>outlined from {level:.2f} on</span>"
    return (
        f'<div class="scale" role="img" aria-label="Colours of the map: dark and clear is weak, bright is strong">'
        f'<div class="colours" style="background-image: linear-gradient(to right, {stops})">{tick}</div>'
        f'<div class="ends"><span>0 weak</span>{told}<span>1 strong</span></div></div>\n'
    )


def _left_out(layer: Layer) -> str:
    if layer.outline is None or not layer.outline.left_out:
        return ""
    return f" {layer.outline.left_out:,} smaller specks are not outlined."


def _copied(finding: Finding, shown: tuple[int, int], full: tuple[int, int]) -> str:
    exact = str(finding.picture).endswith(".png")
    if shown != full:
        told = (
            f"This page carries the picture reduced to {shown[0]:,} x {shown[1]:,} of {full[0]:,} x {full[1]:,} pixels"
        )
    else:
        told = "This page carries the picture at its full size"
    how = "pixel by pixel." if exact else "saved again as JPEG: to be looked at, not to be measured."
    larger = f" Maps are reduced to {MAP_SIDE:,} pixels on the longer side." if max(full) > MAP_SIDE else ""
    return f"{told}, {how}{larger}"


def _full_size(finding: Finding) -> str:
    links = [
        _link(file, f"{name} {what}")
        for name, files in finding.marks.items()
        for what, file in files.items()
    ]  # fmt: skip
    return f"At the size of the file, beside this page: {', '.join(links)}." if links else ""


def _link(file: str, told: str) -> str:
    return f'<a href="{escape(quote(file))}">{escape(told)}</a>'


def _sentences(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(one)}</li>\n" for one in sentences)
    return f'\n<section class="reading">\n<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n</section>\n'


def _evidence(finding: Finding, folder: Path, layers: Sequence[Layer]) -> str:
    cards = "".join(_evidence_card(one, folder, layers) for one in finding.everything)
    if not cards:
        cards = "<p>Nothing beside the detectors spoke for or against it.</p>\n"
    return f'\n<section class="reading">\n<h2>What speaks for and against</h2>\n{cards}</section>\n'


def _evidence_card(one: Evidence, folder: Path, layers: Sequence[Layer]) -> str:
    inside = [
        f'<p class="soft">{escape(words.capital(words.check_in_words(one.check)))}: '
        f"{escape(words.LEANINGS[one.leans])}.</p>",
        f"<p>{escape(words.stopped(one.limit))}</p>" if one.limit else "",
    ]
    if (file := one.files.get("map")) is not None:
        inside.append(_map(file, words.check_in_words(one.check), folder, layers))
    rest = [_link(path, name) for name, path in one.files.items() if name != "map"]
    inside.append(f'<p class="note">Beside this page: {", ".join(rest)}.</p>' if rest else "")
    inside.append(_facts(one.details))
    return (
        f'<details><summary><span class="strength {one.strength}">{one.strength}</span>'
        f'<span class="says">{escape(one.sentence)}</span></summary>\n'
        f'<div class="inside">{"".join(inside)}</div></details>\n'
    )


def _map(file: str, name: str, folder: Path, layers: Sequence[Layer]) -> str:
    layer = next((one for one in layers if one.file == file), None)
    stored = (folder / file).read_bytes()
    width, height = size_of(stored)
    data = map_png(grey_of(stored)) if layer is None else layer.data
    small = ' class="small"' if max(width, height) < 256 else ""
    named = "" if layer is None else f' id="{layer.name}"'
    told = " It does not lie over the picture." if layer is None else ""
    return (
        f'<figure class="map"><img{small}{named} src="{data_uri(data)}" '
        f'alt="{escape(f"Map of {name}: bright is strong")}">'
        f"<figcaption>Bright is strong.{told} {_link(file, f'Map of {width:,} x {height:,}')}.</figcaption></figure>\n"
    )


def _detectors(finding: Finding, folder: Path, layers: Sequence[Layer]) -> str:
    if not finding.opinions:
        return ""
    first = finding.deciding or finding.opinions[0]
    cards = "".join(_detector(one, finding, folder, layers, one is first) for one in finding.opinions)
    return (
        '\n<section class="reading">\n<h2>What the detectors have seen, and how often they err</h2>\n'
        f"{cards}</section>\n"
    )


def _detector(opinion: Opinion, finding: Finding, folder: Path, layers: Sequence[Layer], is_open: bool) -> str:
    said = opinion.prediction
    limits = "".join(f"<li>{escape(words.stopped(one))}</li>" for one in words.limits_of(opinion))
    facts: dict[str, Any] = {
        "setting": opinion.setting,
        "weights": opinion.weights,
        "SHA-256 of the weights": said.weights_sha256,
        "seconds": round(said.seconds, 3),
        "generators (scores, no chances)": words.generators(opinion),
        "notes": "; ".join(said.notes) or None,
    }
    area = words.marked_area(opinion)
    files = set(finding.marks.get(said.detector, {}).values())
    # The first layer lies over the picture already.
    shown = "".join(_map(one.file, said.detector, folder, layers) for one in layers[1:] if one.file in files)
    return (
        f"<details{' open' if is_open else ''}><summary><strong>{escape(said.detector)}</strong>"
        f'<span class="says">{escape(words.scored(opinion))}</span></summary>\n<div class="inside">'
        f"{f'<p>{escape(words.stopped(area))}</p>' if area else ''}<ul>{limits}</ul>{shown}"
        f"{_facts({key: value for key, value in facts.items() if value is not None})}</div></details>\n"
    )


def _facts(details: Mapping[str, Any]) -> str:
    if not details:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(words.check_in_words(str(key)))}</th><td>{escape(_plain(value))}</td></tr>\n'
        for key, value in details.items()
    )
    return f'<div class="scroll"><table><tbody>\n{rows}</tbody></table></div>\n'


def _plain(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= TEXT_LONGEST else f"{text[:TEXT_LONGEST]}… ({len(text):,} letters)"


def _lasting(finding: Finding) -> str:
    stability = finding.stability
    if stability is None or not stability.tried:
        return ""
    judged = finding.deciding is not None
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(words.LABELS.get(one.verdict, '') if one.verdict else '–')}</td>"
        f'<td class="number">{"–" if one.logit is None else format(one.logit, "+.2f")}</td>'
        f'<td class="number">{_share(one.share, judged)}</td></tr>\n'
        for one in stability.tried
    )
    return (
        '\n<section class="reading">\n<h2>Whether the answer lasts</h2>\n'
        f"<p>{escape(words.lasting(finding) or '')}</p>\n"
        '<div class="scroll"><table>\n<thead><tr><th scope="col">delivered as</th><th scope="col">answer</th>'
        '<th scope="col" class="number">score</th><th scope="col" class="number">marked</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>\n</section>\n"
    )


def _share(share: float | None, judged: bool) -> str:
    if share is None:
        return "–"
    return words.percent(share) if judged else f"{share:.2f}"


def _made(finding: Finding, circumstances: dict[str, str], twin: str | None) -> str:
    again = circumstances.pop("again", None)
    facts: dict[str, Any] = {"file": visible(finding.path), **finding.file}
    facts |= circumstances
    facts |= {"version": f"fauxlens {__version__}", "seconds": round(finding.seconds, 2)}
    rows = "".join(
        f"<dt>{escape(words.check_in_words(str(key)))}</dt><dd>{escape(_plain(value))}</dd>\n"
        for key, value in facts.items()
        if value is not None
    )
    run = f"<p>To run it again:</p>\n<p><code>{escape(again)}</code></p>\n" if again else ""
    link = f"<p>The same for programs: {_link(twin, twin)}.</p>\n" if twin else ""
    return (
        '\n<section class="reading">\n<h2>The file, and how this was made</h2>\n'
        f"<dl>\n{rows}</dl>\n{run}{link}</section>\n"
    )
