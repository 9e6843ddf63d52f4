"""Record what every detector's card says: targets as one line each, and each set's terms, labels and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fauxlens.detectors import DETECTORS, detector_class

TARGET = Path(__file__).with_name("cards.json")


def facts_of(name: str) -> dict[str, Any]:
    card = detector_class(name).card
    return {
        "parameters": card.parameters,
        "tasks": list(card.tasks),
        "targets": [f"{one.data} | {one.metric} | {one.value} | {one.source}" for one in card.targets],
        "weights": {
            one.name: {
                "licence": one.licence,
                "use": one.use,
                "setting": one.setting,
                "labels": list(one.labels),
                "files": [f"{file.name} | {file.part} | {file.hub} | {file.revision} | {file.sha256} | {file.source}"
                          for file in one.files],
            }
            for one in card.weights
        },
    }  # fmt: skip


def rewrite() -> Path:
    recorded = {name: facts_of(name) for name in sorted(DETECTORS)}
    TARGET.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return TARGET


if __name__ == "__main__":
    print(rewrite())
