"""A chain as one line of text, for the command line, and as tables, for TOML.

    chain     = "none" | step { " | " step } [ " -> " container ]
    step      = name [ ":" setting { "," setting } ] [ "(" chain { " / " chain } ")" ]
    setting   = field "=" value
    value     = number | low-high (a closed range) | true | false | word

Only `one_of` has parentheses; its `weights` are written 3:1. In TOML a step is a table with `step = "<name>"` and its
fields, a range is a list of two, and `one_of` holds `chains`, each a list of tables (or one table).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.images.degrade.chain import ARROW, NOTHING, Chain, OneOf
from fauxlens.images.degrade.step import Step

STEPS: dict[str, str] = {
    "blur": "fauxlens.images.degrade.tone:Blur",
    "brightness": "fauxlens.images.degrade.tone:Brightness",
    "contrast": "fauxlens.images.degrade.tone:Contrast",
    "crop": "fauxlens.images.degrade.geometry:Crop",
    "down_up": "fauxlens.images.degrade.geometry:DownUp",
    "flip": "fauxlens.images.degrade.geometry:Flip",
    "gamma": "fauxlens.images.degrade.tone:Gamma",
    "jpeg": "fauxlens.images.degrade.codec:Jpeg",
    "noise": "fauxlens.images.degrade.tone:Noise",
    "one_of": "fauxlens.images.degrade.chain:OneOf",
    "pad": "fauxlens.images.degrade.geometry:Pad",
    "resize": "fauxlens.images.degrade.geometry:Resize",
    "rotate": "fauxlens.images.degrade.geometry:Rotate",
    "screenshot": "fauxlens.images.degrade.screen:Screenshot",
    "sharpen": "fauxlens.images.degrade.tone:Sharpen",
    "webp": "fauxlens.images.degrade.codec:Webp",
}
"""Every step there is."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_RANGE = re.compile(f"({_NUMBER})-({_NUMBER})")


def parse_chain(text: str) -> Chain:
    """Read a chain; `str` of the result is the same chain in its shortest spelling.

    >>> parse_chain("jpeg:quality=60-80").steps[0].quality
    (60, 80)
    >>> parse_chain("jpg")
    Traceback (most recent call last):
    ...
    fauxlens.core.errors.UnknownName: no degradation step called 'jpg'. Next: Did you mean 'jpeg'? There are: blur, \
brightness, contrast, crop, down_up, flip, gamma, jpeg, noise, one_of, pad, resize, rotate, screenshot, sharpen, webp
    """
    body, arrow, container = text.rpartition(ARROW)
    if not arrow:
        return Chain(_parsed_steps(text, text))
    return Chain(_parsed_steps(body, text), _word(container, text))


def chain_from(tables: Any, *, container: str = "own", where: str = "chain") -> Chain:
    """Read a chain from TOML tables, each with `step` and the fields of that step.

    >>> print(chain_from([{"step": "jpeg", "quality": [60, 80]}]))
    jpeg:quality=60-80
    """
    if not isinstance(tables, list | tuple):
        raise BadSetting("a chain is a list of tables", where=where, got=repr(tables))
    return Chain(tuple(_step_from(table, f"{where}[{i}]") for i, table in enumerate(tables)), container)


def _parsed_steps(body: str, text: str) -> tuple[Step, ...]:
    if body.strip() == NOTHING:
        return ()
    parts = list(_split(body, "|", text))
    return tuple(_parsed_step(part.strip(), text) for part in parts)


def _parsed_step(part: str, text: str) -> Step:
    if not part:
        raise BadSetting("an empty step", where=repr(text), hint=f"write steps between the bars, or '{NOTHING}'")
    head, _, inner = part.partition("(")
    if inner and not part.endswith(")"):
        raise BadSetting("text after the closing parenthesis", where=repr(text), got=repr(part))
    name, colon, settings = head.strip().partition(":")
    name = name.strip()
    kind: type[Step] = look_up(STEPS, name, "degradation step")
    given = _parsed_settings(settings, part) if colon else {}
    if kind is OneOf:
        if "(" not in part:
            raise BadSetting("one_of needs its chains", where=repr(part), wanted="one_of(jpeg / webp)")
        if "chains" in given:
            raise BadSetting(
                "the chains of one_of stand in parentheses", where=repr(part), wanted="one_of(jpeg / webp)"
            )
        given["chains"] = tuple(Chain(_parsed_steps(one.strip(), text)) for one in _split(inner[:-1], "/", text))
    elif "(" in part:
        raise BadSetting(f"{name} holds no chains", where=repr(part), hint="only one_of has parentheses")
    return settings_from(kind, given, where=repr(part))


def _parsed_settings(settings: str, part: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for setting in settings.split(","):
        name, equals, value = (piece.strip() for piece in setting.partition("="))
        if not equals or not name or not value:
            raise BadSetting("a setting is field=value", where=repr(part), got=repr(setting))
        if name in given:
            raise BadSetting(f"'{name}' is given twice", where=repr(part))
        given[name] = _parsed_weights(value, part) if name == "weights" else _parsed_value(value)
    return given


def _parsed_value(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(_NUMBER, value):
        return _parsed_number(value)
    if ends := _RANGE.fullmatch(value):
        return _parsed_number(ends[1]), _parsed_number(ends[2])
    return value


def _parsed_weights(value: str, part: str) -> tuple[int | float, ...]:
    pieces = value.split(":")
    if not all(re.fullmatch(_NUMBER, piece) for piece in pieces):
        raise BadSetting("weights are numbers between colons", where=repr(part), wanted="weights=3:1", got=value)
    return tuple(_parsed_number(piece) for piece in pieces)


def _parsed_number(text: str) -> int | float:
    # Longer ones become floats: no field wants them, and the check of the field then says so.
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else float(text)


def _split(body: str, mark: str, text: str) -> Iterator[str]:
    """The parts of `body` between marks that stand outside all parentheses."""
    depth = start = 0
    for index, sign in enumerate(body):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            break
        if sign == mark and depth == 0:
            yield body[start:index]
            start = index + 1
    if depth != 0:
        raise BadSetting("parentheses do not match", where=repr(text))
    yield body[start:]


def _word(container: str, text: str) -> str:
    if not (word := container.strip()):
        raise BadSetting(f"nothing after '{ARROW}'", where=repr(text), wanted="a container")
    return word


def _step_from(table: Any, where: str) -> Step:
    if not isinstance(table, Mapping):
        raise BadSetting("a step is a table", where=where, got=repr(table))
    given = dict(table)
    name = given.pop("step", None)
    if not isinstance(name, str):
        raise BadSetting("a step says which it is", where=where, wanted='step = "<name>"', got=repr(name))
    kind: type[Step] = look_up(STEPS, name, "degradation step")
    if kind is OneOf and isinstance(chains := given.get("chains"), list | tuple):
        given["chains"] = tuple(
            chain_from([one] if isinstance(one, Mapping) else one, where=f"{where}.chains[{i}]")
            for i, one in enumerate(chains)
        )
    return settings_from(kind, given, where=where)
