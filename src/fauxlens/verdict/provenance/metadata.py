"""EXIF, XMP and IPTC: the source type that the file states, the programs and the camera that it names."""

from __future__ import annotations

import re
from collections.abc import Callable

from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance import exif
from fauxlens.verdict.provenance.programs import editor_in, generator_in, part_generator_in, screen_program_in
from fauxlens.verdict.provenance.source_types import SourceType, named_in, source_type
from fauxlens.verdict.provenance.told import WRITABLE, Subject, Told, listed, quoted, short

_SOURCE = ("DigitalSourceType", "DigitalSourcefileType", "digitalSourceType")
_TOOLS = ("CreatorTool", "softwareAgent", "Software")
_PNG_TOOLS = frozenset(("software", "creationtool", "generator"))
# Where people and agencies stand too, so that only the name of a program that generates says anything.
_CREDITS = ("Credit", "Source", "creator", "AISystemUsed")
_PNG_CREDITS = frozenset(("credit", "source", "creator", "author"))
_IIM_CREDITS = frozenset(("Credit", "Source", "Byline"))
_CAMERA_LIMIT = (
    "Camera data are easily copied into any file and easily changed. They do not show that a camera took the picture."
)
_MOST = 32
_COPIED = ("prompt:", "workflow:", "{")


def check(subject: Subject) -> Told:
    """What the plain fields say."""
    evidence = [*_source_types(subject), *_programs(subject), *_camera(subject)]
    not_checked: tuple[str, ...] = ()
    if subject.blocks.c2pa is None and (links := subject.xmp.values("provenance")):
        # Asking would tell a stranger's server who looks at which picture, and when.
        evidence.append(
            Evidence(
                check="remote_credentials",
                sentence=f"The file points to Content Credentials elsewhere, not fetched here: {quoted(links, 1)}.",
                limit="The address may be of any age and may lead to anything.",
                details={"addresses": listed(links)},
            )
        )
        not_checked = ("Content Credentials that lie on a server: nothing is fetched from the net",)
    return Told(tuple(evidence), not_checked)


def stated_types(subject: Subject) -> tuple[SourceType, ...]:
    """The source types that the plain metadata state, each once."""
    stated = [one for value in subject.xmp.values(*_SOURCE) if (one := source_type(value)) is not None]
    others = (*subject.xmp.properties, *subject.iptc, *(one for one in subject.blocks.texts if len(one[1]) < 4096))
    anywhere = named_in(value for _, value in others)
    bare = [
        one for key, value in subject.blocks.texts
        if key.lower().replace(" ", "").endswith("digitalsourcetype") and (one := source_type(value)) is not None
    ]  # fmt: skip
    return tuple({one.term: one for one in (*stated, *anywhere, *bare)}.values())


def _source_types(subject: Subject) -> list[Evidence]:
    return [
        Evidence(
            check="source_type",
            sentence=f"The file states that the picture is {one.says} (digital source type '{one.term}').",
            limit=WRITABLE,
            leans=one.leans,
            strength=one.strength,
            details={"term": one.term},
        )
        for one in stated_types(subject)
    ]


def _programs(subject: Subject) -> list[Evidence]:
    names, credits = _named_programs(subject), _named_in_credits(subject)
    generators = _by([*names, *credits], generator_in)
    parts = _by([*names, *credits], part_generator_in)
    editors = {name: said for name, said in _by(names, editor_in).items() if said not in generators.values()}
    found: list[Evidence] = []
    for name, said in generators.items():
        sentence = f"The file names a program that generates pictures: {name} (as '{short(said, 80)}')."
        limit = f"Such programs also edit photos, and the name does not say which it was. {WRITABLE}"
        found.append(Evidence("software", sentence, limit, "generated", "weak", {"generator": name, "as": short(said)}))
    for name, said in parts.items():
        sentence = f"The file names a program that generated a part of the picture: {name} (as '{short(said, 80)}')."
        found.append(Evidence("software", sentence, WRITABLE, "edited", "weak", {"generator": name, "as": short(said)}))
    for said in subject.xmp.values("AISystemUsed")[:1]:
        if generator_in(said) is None:
            sentence = f"The file states that a generative system was used: {quoted([said])}."
            limit = f"It does not say for how much of the picture. {WRITABLE}"
            found.append(Evidence("software", sentence, limit, "generated", "weak", {"as": short(said)}))
    screens = _by([*names, subject.exif.text(exif.USER_COMMENT)], screen_program_in)
    for said in list(screens.values())[:1]:
        sentence = f"The file says that it is a picture of a screen ('{short(said, 80)}')."
        limit = f"Whatever was shown there was drawn anew, and traces in it may be gone. {WRITABLE}"
        found.append(Evidence("software", sentence, limit, "laundered", "strong", {"as": short(said)}))
    if editors:
        sentence = f"The file was saved by an editor: {', '.join(list(editors)[:3])}."
        limit = "Most published photos went through one, for light and size alone. It shows no local change."
        found.append(Evidence("software", sentence, limit, details={"editors": list(editors), "as": listed(names)}))
    elif names and not generators and not parts and not screens:
        sentence = f"The file names the program that wrote it: {quoted(names, 2)}."
        found.append(Evidence("software", sentence, WRITABLE, details={"as": listed(names)}))
    return found


def _named_programs(subject: Subject) -> list[str]:
    names = [subject.exif.text(exif.SOFTWARE), *subject.xmp.values(*_TOOLS)]
    names += [value for key, value in subject.iptc if key == "Program"]
    names += [value for key, value in subject.blocks.texts if key.lower().replace(" ", "") in _PNG_TOOLS]
    return _distinct(names)


def _named_in_credits(subject: Subject) -> list[str]:
    names = [*subject.xmp.values(*_CREDITS), *(value for key, value in subject.iptc if key in _IIM_CREDITS)]
    names += [value for key, value in subject.blocks.texts if key.lower() in _PNG_CREDITS]
    return _distinct(names)


def _distinct(names: list[str]) -> list[str]:
    return list(dict.fromkeys(one.strip() for one in names if one.strip() and len(one) < 2000))[:_MOST]


def _by(names: list[str], look: Callable[[str], str | None]) -> dict[str, str]:
    """What `look` finds in the names -> the first name that it found it in."""
    found: dict[str, str] = {}
    for said in names:
        name = look(said)
        if name is not None:
            found.setdefault(name, said)
    return found


def _camera(subject: Subject) -> list[Evidence]:
    said = subject.exif
    make, model = (short(said.text(tag), 80) for tag in (exif.MAKE, exif.MODEL))
    # Some programs that generate keep their settings where the camera's name belongs.
    make, model = ("" if one.startswith(_COPIED) else one for one in (make, model))
    taken = _date(said.text(exif.TAKEN))
    settings = [name for name, tag in (("exposure time", exif.EXPOSURE), ("sensitivity", exif.ISO)) if tag in said.tags]
    details = {
        "make": make or None, "model": model or None, "lens": short(said.text(exif.LENS_MODEL), 80) or None,
        "taken": taken or None, "digitised": _date(said.text(exif.DIGITISED)) or None,
        "saved": _date(said.text(exif.DATE)) or None, "place_stated": said.has_place, "settings": settings,
        "maker_note": exif.MAKER_NOTE in said.tags,
    }  # fmt: skip
    if make or model:
        name = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
        when = f", on {taken}" if taken else ""
        where = "; a place is stated too (not shown here)" if said.has_place else ""
        sentence = f"The file names a camera: {name}{when}{where}."
        return [Evidence("camera", sentence, _CAMERA_LIMIT, "captured", "context", details)]
    if taken or said.has_place or settings:
        there = [
            word
            for word, is_there in (("a date", taken), ("a place", said.has_place), ("settings", settings))
            if is_there
        ]
        sentence = f"The file holds {' and '.join(there)} of a photo, but names no camera."
        return [Evidence("camera", sentence, _CAMERA_LIMIT, details=details)]
    return []


def _date(text: str) -> str:
    # Cameras whose clock was never set write blanks or zeros.
    return short(text, 40) if re.search(r"[1-9]\d{3}", text[:40]) else ""
