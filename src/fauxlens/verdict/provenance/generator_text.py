"""The settings that programs which generate leave in the file: A1111 and its kin, ComfyUI, InvokeAI, NovelAI, Fooocus.

Each reader takes the texts of the file, by key, and gives what it recognised, or None. To add one: a function, and a
line in `READERS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance import exif
from fauxlens.verdict.provenance.told import Subject, Told, listed, short

Details = dict[str, Any]
_MAX_JSON = 4 << 20
_MAX_NODES = 5000
_STEPS = re.compile(r"(?:^|\n)[ \t]*(Steps: \d{1,6}\b.*)", re.DOTALL)
_PAIR = re.compile(r' ?([A-Za-z][\w +/-]{0,40}): ?("(?:\\.|[^"\\]){0,2000}"|[^,]{0,500})(?:,|$)')
_DREAM = re.compile(r'^"(?P<prompt>.*)"\s+(?P<flags>-[a-zA-Z]\S*.*)$', re.DOTALL)
_FLAG = re.compile(r"-(?P<flag>[a-zA-Z])\s*(?P<value>[\w.]+)")
_JOB = re.compile(r"Job ID: ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE)
_LIMIT = (
    "Whoever has the file can write such a text into it, or strip it. Programs write it too when they repaint a part "
    "of a photo. What it says was not tried."
)


def check(subject: Subject) -> Told:
    """Every kind of settings that is recognised, each once."""
    texts = texts_of(subject)
    evidence: list[Evidence] = []
    for program, reader in READERS.items():
        details = reader(texts)
        if details is None:
            continue
        named = details.get("program") or program
        model = f", with the model '{details['model']}'" if details.get("model") else ""
        part = bool(details.get("repainted"))
        what = "a program that repainted a part of the picture" if part else "a program that generates pictures"
        evidence.append(
            Evidence(
                check="generator_text",
                sentence=f"The file holds the settings of {what}: {named}{model}.",
                limit=_LIMIT,
                leans="edited" if part else "generated",
                strength="strong",
                details={key: value for key, value in details.items() if value not in (None, "", [], {})},
            )
        )
    return Told(tuple(evidence))


def texts_of(subject: Subject) -> dict[str, str]:
    """Every text of the file by its key, EXIF's under names of their own; the first one of a key counts."""
    found: dict[str, str] = {}
    for key, value in subject.blocks.texts:
        found.setdefault(key.strip(), value)
    for tag, value in subject.exif.texts:
        # ComfyUI keeps JSON behind the name of its key in the first text fields of EXIF.
        name, colon, rest = value.partition(":")
        if colon and name.lower() in ("prompt", "workflow") and rest.lstrip().startswith("{"):
            found.setdefault(name.lower(), rest)
        elif tag == exif.USER_COMMENT:
            found.setdefault("UserComment", value)
        elif tag == exif.DESCRIPTION:
            found.setdefault("Description", value)
        elif tag == exif.SOFTWARE:
            found.setdefault("Software", value)
        elif tag == exif.MAKER_NOTE and value in ("fooocus", "a1111"):
            found.setdefault("fooocus_scheme", value)
    for value in subject.xmp.values("UserComment", "parameters"):
        found.setdefault("UserComment", value)
    for value in subject.xmp.values("description"):
        found.setdefault("Description", value)
    return found


def _a1111(texts: Mapping[str, str]) -> Details | None:
    """`parameters`: the prompt, the negative prompt behind its name, and a last line that begins with the steps."""
    for key in ("parameters", "UserComment", "Comment", "Description"):
        text = texts.get(key, "")[:_MAX_JSON]
        found = list(_STEPS.finditer(text[-20_000:])) if "Steps: " in text else []
        if not found:
            continue
        line = found[-1].group(1)
        pairs = {name.strip(): value.strip().strip('"') for name, value in _PAIR.findall(line[:10_000])}
        if not pairs.keys() & {"Sampler", "Seed", "CFG scale", "Model hash", "Size"}:
            continue
        prompts = text[: len(text) - len(text[-20_000:]) + found[-1].start()]
        prompt, _, negative = prompts.partition("Negative prompt:")
        version = pairs.get("Version", "")
        return {
            "program": "Fooocus" if version.startswith("Fooocus") else "A1111 or a kindred program",
            "model": short(pairs.get("Model", ""), 120),
            "prompt": short(prompt),
            "negative_prompt": short(negative),
            "steps": _number(pairs.get("Steps")),
            "sampler": short(pairs.get("Sampler", ""), 60),
            "cfg_scale": _number(pairs.get("CFG scale")),
            "seed": _number(pairs.get("Seed")),
            "size": short(pairs.get("Size", ""), 20),
            "model_hash": short(pairs.get("Model hash", ""), 80),
            "version": short(version, 60),
            "others": sorted(short(name, 40) for name in pairs)[:40],
            "repainted": any(name.startswith(("Mask blur", "Inpaint", "Masked content")) for name in pairs) or None,
        }
    return None


def _comfyui(texts: Mapping[str, str]) -> Details | None:
    """`prompt`: nodes by number, each with its class and inputs; `workflow`: the same as drawn, nodes in a list."""
    nodes: list[tuple[str, Mapping[str, Any]]] = []
    prompt, workflow = _object(texts.get("prompt")), _object(texts.get("workflow"))
    for node in list(prompt.values())[:_MAX_NODES]:
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            inputs = node.get("inputs")
            nodes.append((node["class_type"], inputs if isinstance(inputs, dict) else {}))
    drawn = workflow.get("nodes")
    kinds = [one for one, _ in nodes]
    if isinstance(drawn, list):
        kinds += [n["type"] for n in drawn[:_MAX_NODES] if isinstance(n, dict) and isinstance(n.get("type"), str)]
    if not kinds or not (nodes or "links" in workflow):
        return None
    settings = [(name, value) for _, inputs in nodes for name, value in list(inputs.items())[:200]]
    models = [
        value for name, value in settings if isinstance(value, str) and re.search(r"(ckpt|unet|model)_name$", name)
    ]
    texts_of_nodes = [value for name, value in settings if name in ("text", "text_g") and isinstance(value, str)]
    seeds = [value for name, value in settings if name in ("seed", "noise_seed") and isinstance(value, int)]
    return {
        "model": short(models[0], 120) if models else None,
        "models": listed(models),
        "nodes": listed(sorted(kinds), 40),
        "prompt": short(texts_of_nodes[0]) if texts_of_nodes else None,
        "seed": seeds[0] if seeds else None,
        "has_workflow": bool(workflow),
        "repainted": any(re.search("inpaint|NoiseMask", kind, re.IGNORECASE) for kind in kinds) or None,
    }


def _invokeai(texts: Mapping[str, str]) -> Details | None:
    """`invokeai_metadata` of today, `sd-metadata` and `Dream` of the first years."""
    today = _object(texts.get("invokeai_metadata"))
    first = _object(texts.get("sd-metadata"))
    first = first if isinstance(first.get("image"), dict) or "invoke" in _text(first.get("app_id")).lower() else {}
    dream = _DREAM.match(texts.get("Dream", "")[:20_000].strip())
    graph = _object(texts.get("invokeai_graph")) or _object(texts.get("invokeai_workflow"))
    if not (today or first or dream or graph):
        return None
    model = today.get("model")
    image = first.get("image") if isinstance(first.get("image"), dict) else {}
    assert isinstance(image, dict)
    flags = {one["flag"]: one["value"] for one in _FLAG.finditer(dream["flags"][:2000])} if dream else {}
    name = model.get("name", model.get("model_name")) if isinstance(model, dict) else model
    return {
        "model": _text(name or first.get("model_weights") or first.get("model"), 120),
        "prompt": _text(
            today.get("positive_prompt") or _old_prompt(image.get("prompt")) or (dream and dream["prompt"])
        ),
        "negative_prompt": _text(today.get("negative_prompt")),
        "seed": _number(today.get("seed", image.get("seed", flags.get("S")))),
        "steps": _number(today.get("steps", image.get("steps", flags.get("s")))),
        "sampler": _text(today.get("scheduler") or image.get("sampler") or flags.get("A"), 60),
        "version": _text(today.get("app_version") or first.get("app_version"), 60),
        "repainted": "paint" in _text(today.get("generation_mode"), 60).lower() or None,
    }


def _novelai(texts: Mapping[str, str]) -> Details | None:
    """`Software` names it; `Comment` holds its settings."""
    if "novelai" not in texts.get("Software", "").lower() and "novelai" not in texts.get("Source", "").lower():
        return None
    settings = _object(texts.get("Comment"))
    return {
        "model": _text(texts.get("Source"), 120),
        "prompt": _text(settings.get("prompt") or texts.get("Description")),
        "negative_prompt": _text(settings.get("uc")),
        "seed": _number(settings.get("seed")),
        "steps": _number(settings.get("steps")),
        "sampler": _text(settings.get("sampler"), 60),
    }


def _fooocus(texts: Mapping[str, str]) -> Details | None:
    """`parameters` in JSON; the scheme beside it says so."""
    settings = _object(texts.get("parameters")) or _object(texts.get("UserComment"))
    if texts.get("fooocus_scheme") != "fooocus" and "fooocus" not in _text(settings.get("version"), 60).lower():
        return None
    if not settings:
        return None
    return {
        "model": _text(settings.get("base_model"), 120),
        "prompt": _text(settings.get("prompt")),
        "negative_prompt": _text(settings.get("negative_prompt")),
        "seed": _number(settings.get("seed")),
        "steps": _number(settings.get("steps")),
        "sampler": _text(settings.get("sampler"), 60),
        "version": _text(settings.get("version"), 60),
    }


def _swarmui(texts: Mapping[str, str]) -> Details | None:
    """`parameters` in JSON, under a name of its own."""
    whole = _object(texts.get("parameters")) or _object(texts.get("UserComment"))
    settings = whole.get("sui_image_params")
    if not isinstance(settings, dict):
        return None
    return {
        "model": _text(settings.get("model"), 120),
        "prompt": _text(settings.get("prompt")),
        "negative_prompt": _text(settings.get("negativeprompt")),
        "seed": _number(settings.get("seed")),
        "steps": _number(settings.get("steps")),
    }


def _midjourney(texts: Mapping[str, str]) -> Details | None:
    """The prompt as description, with the number of the job behind it."""
    for key in ("Description", "Comment", "UserComment"):
        text = texts.get(key, "")[:20_000]
        if (found := _JOB.search(text)) is not None:
            return {"prompt": short(text[: found.start()]), "job": found.group(1).lower()}
    return None


READERS: dict[str, Callable[[Mapping[str, str]], Details | None]] = {
    "A1111 or a kindred program": _a1111,
    "ComfyUI": _comfyui,
    "InvokeAI": _invokeai,
    "NovelAI": _novelai,
    "Fooocus": _fooocus,
    "SwarmUI": _swarmui,
    "Midjourney": _midjourney,
}
"""Program -> what recognises its texts."""


def _object(text: str | None) -> Mapping[str, Any]:
    """A JSON object; empty for anything else."""
    if not text or len(text) > _MAX_JSON or text.lstrip()[:1] != "{":
        return {}
    try:
        found = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(digits: str) -> int | float:
    # Whole numbers of thousands of digits take long, and mean nothing here.
    return int(digits) if len(digits) < 30 else 0


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    try:
        number = float(str(value)[:40])
    except ValueError:
        return None
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(str(value)) if re.fullmatch(r"-?\d{1,30}", str(value)) else number


def _text(value: object, kept: int = 500) -> str:
    return short(value, kept) if isinstance(value, str) else ""


def _old_prompt(value: object) -> object:
    # [{"prompt": "...", "weight": 1.0}], or the text itself.
    first = value[0] if isinstance(value, list) and value else value
    return first.get("prompt") if isinstance(first, dict) else first
