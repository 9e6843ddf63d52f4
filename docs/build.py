"""Write docs/reference.md from the code's own tables, and check that every link inside the documents leads somewhere.

`python docs/build.py` writes; `python docs/build.py --check` only looks whether the written file is current.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from fauxlens.core.names import look_up
from fauxlens.core.recipes import recipe_path
from fauxlens.detectors.card import WeightFile
from fauxlens.detectors.inventory import kinds
from fauxlens.evaluate.protocol import protocol_names, read_protocol
from fauxlens.forge.create import METHODS
from fauxlens.forge.judge import JUDGES
from fauxlens.forge.needs import Download
from fauxlens.forge.perceive import CAPTIONERS, PROVIDERS
from fauxlens.images.degrade import CHAINS, STEPS
from fauxlens.manifest.fetch import SOURCES
from fauxlens.manifest.layouts import LAYOUTS
from fauxlens.manifest.schema import COLUMNS
from fauxlens.manifest.verify import REASONS
from fauxlens.train.objectives import OBJECTIVES
from fauxlens.train.parts import PARTS
from fauxlens.train.recipe import detector_recipes, read_recipe

HERE = Path(__file__).resolve().parent
TARGET = HERE / "reference.md"
_LINK = re.compile(r"\]\(([^)#:]+?)(?:#[^)]*)?\)")


def reference() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Reference",
            "",
            "Made from the code by `make docs`; do not edit.",
            "",
            *_table(
                "Columns of a manifest",
                ("column", "type", "meaning"),
                [(c.name, str(c.type), c.meaning) for c in COLUMNS],
            ),
            *_table("Layouts", ("layout", "reads"), [(n, look_up(LAYOUTS, n, "layout").summary) for n in LAYOUTS]),
            *_table("Reasons of quarantine", ("reason", "meaning"), list(REASONS.items())),
            *_table(
                "Steps of degradation",
                ("step", "does"),
                [(n, _first_line(look_up(STEPS, n, "step"))) for n in STEPS],
            ),
            *_table(
                "Named chains",
                ("name", "chain", "what it is"),
                [(n, f"`{r.text}`", r.about) for n, r in CHAINS.items()],
            ),
            *_table(
                "Detectors",
                ("name", "title", "tells", "parameters", "input", "settings", "code"),
                [
                    (k.card.name, f"{k.card.title} ({k.card.year})", ", ".join(k.card.tasks), f"{k.card.parameters:,}",
                     k.card.input, ", ".join(k.settings), k.card.code)
                    for k in kinds()
                ],
            ),
            *_table(
                "Sets of weights",
                ("set", "setting", "use", "licence", "terms", "trained on", "files"),
                [
                    (f"{k.card.name}/{w.name}", w.setting or k.settings[0], w.use, w.licence, w.terms, w.trained_on,
                     ", ".join(dict.fromkeys(_told_file(f) for f in w.files)))
                    for k in kinds()
                    for w in k.card.weights
                ],
            ),
            *_table(
                "Protocols",
                ("name", "title", "view", "layout", "its rows are trained first", "published numbers", "data"),
                [
                    (p.name, p.title, p.view, p.layout, "yes" if p.trains else "no", str(len(p.published)), p.data)
                    for p in map(read_protocol, protocol_names())
                ],
            ),
            *_table(
                "Creation methods of the forge",
                ("name", "title", "group", "licence", "terms", "needs", "about"),
                [
                    (n, c.title, c.group, c.licence, c.terms or "-", _needs(c.needs), c.about)
                    for n in METHODS
                    if (c := look_up(METHODS, n, "method").card)
                ],
            ),
            *_table(
                "Providers of regions, captioners and judges of the forge",
                ("name", "does", "needs"),
                [
                    (n, _first_line(k), _needs(k.needs))
                    for table in (PROVIDERS, CAPTIONERS, JUDGES)
                    for n in table
                    if (k := look_up(table, n, "part"))
                ],
            ),
            *_table(
                "Recipes of training",
                ("name", "detector", "epochs", "batch", "objective", "what it trains"),
                [
                    (n, r.detector if r.setting is None else f"{r.detector} ({r.setting})", f"{r.epochs:,}",
                     f"{r.batch:,}", str(r.objective["name"]), r.about)
                    for n in detector_recipes()
                    if (r := read_recipe(n))
                ],
            ),
            *_table(
                "Recipes of training the forge's learned parts",
                ("name", "what it trains", "steps"),
                [
                    (n, part.about, f"{part.begun(recipe_path(n, 'kind'), {}).steps:,}")
                    for n, part in PARTS.items()
                ],
            ),
            *_table(
                "Objectives of training",
                ("name", "does"),
                [(n, _first_line(look_up(OBJECTIVES, n, "objective"))) for n in OBJECTIVES],
            ),
            *_table(
                "Datasets to fetch",
                ("name", "what", "fetched here"),
                [(n, s.description, _yes(s.is_fetched)) for n, s in SOURCES.items()],
            ),
        ]
    )  # fmt: skip


def _needs(needs: tuple[Download, ...]) -> str:
    return "; ".join(f"{one.repository} ({one.licence}, {one.size})" for one in needs) or "nothing to fetch"


def dead_links() -> list[str]:
    """Links of the documents that lead to no file."""
    dead = []
    for document in [*HERE.rglob("*.md"), *HERE.parent.glob("*.md")]:
        for target in _LINK.findall(document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                dead.append(f"{document.relative_to(HERE.parent)}: {target}")
    return dead


def _told_file(file: WeightFile) -> str:
    return f"[{file.name}]({file.source})" if file.source.startswith("https://") else f"{file.name}: {file.source}"


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _yes(value: bool) -> str:
    return "yes" if value else "no: the owner says where"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    text = reference()
    if parser.parse_args().check:
        current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        if not current:
            print("docs/reference.md is out of date: run `make docs`")
        for line in dead_links():
            print(f"dead link: {line}")
        return 0 if current and not dead_links() else 1
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
