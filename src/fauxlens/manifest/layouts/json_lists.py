"""The JSON files of the IMDL benchmarks: which kind one is, and its rows.

pairs: a list of [image, mask or "Negative"]. balanced: a list of [class name, path], each a set of its own.
named: an object, display name -> folder or JSON list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fauxlens.manifest.layouts.class_names import SPLIT_NAMES
from fauxlens.manifest.layouts.layout import LeftOut, Tree, stem_of

NEGATIVE = "Negative"

# The dataset classes of the reference: the only first words a balanced list holds.
_SET_CLASS = re.compile(r"(?:Mani|Json|Balanced|[A-Z]\w*)Dataset\Z|\w+_dataset\Z")


@dataclass(frozen=True, slots=True)
class JsonList:
    """One JSON file. `rows` are (image, mask or "Negative"), (class name, path) or (display name, path)."""

    name: str
    kind: Literal["pairs", "balanced", "named"]
    rows: Sequence[tuple[str, str]]
    left_out: Sequence[LeftOut] = ()


def read_json_list(tree: Tree, name: str) -> JsonList | None:
    """Read one JSON file; None when it is none of the three kinds."""
    try:
        value = json.loads(tree.read_text(name).removeprefix("\ufeff"))
    except json.JSONDecodeError:
        return None
    if isinstance(value, dict):
        named = [(key, path) for key, path in value.items() if isinstance(path, str)]
        # Many JSON objects hold nothing but strings (settings, cards); a test file leads to folders and lists.
        leads = any("/" in path or path.endswith(".json") or path in tree.top_folders for _, path in named)
        return JsonList(name, "named", named) if leads and len(named) == len(value) else None
    if not isinstance(value, list) or not value:
        return None
    rows: list[tuple[str, str]] = []
    bad: list[LeftOut] = []
    for number, item in enumerate(value, start=1):
        if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
            rows.append((item[0], item[1]))
        else:
            bad.append(LeftOut(f"{name}:{number}", "a row that is no [image, mask or Negative]"))
    if not rows:
        return None
    balanced = all(_SET_CLASS.match(first) for first, _ in rows)
    return JsonList(name, "balanced" if balanced else "pairs", rows, bad)


def split_of_name(name: str) -> str | None:
    """The split that a list's file name tells.

    >>> split_of_name("lists/val_stuff.json"), split_of_name("casia.json")
    ('val', None)
    """
    words = re.split(r"[^a-z]+", stem_of(name).lower())
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None
