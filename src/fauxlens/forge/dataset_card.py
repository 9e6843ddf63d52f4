"""The dataset card of a forged set: what it is, what it came from, on what terms, and what it does not prove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fauxlens.core.files import write_text
from fauxlens.core.text import visible
from fauxlens.core.version import __version__

if TYPE_CHECKING:
    from fauxlens.audit.audit import Audit
    from fauxlens.forge.pipeline import Forged

_LIMITS = (
    "The forgeries are of the methods named here; a detector that does well on them is not shown to do well on others.",
    "Masks say where a pixel may have changed. Inside a mask some pixels may be equal to the photo's by chance.",
    "Outside its mask a spliced forgery is the photo to the bit before both were delivered; whole-picture detectors "
    "may find nothing there, and should not.",
    "Regions were found by a machine: their names can be wrong, and their borders follow no object exactly.",
    "Judges measure what they measure (values are in the manifest); nobody looked at every picture.",
    "Copies of one photo are not independent samples: split, sample and compute intervals by `origin`.",
)


def write_dataset_card(done: Forged, path: Path, audit: Audit | None = None) -> None:
    """Write the card as Markdown, whole or not at all."""
    write_text(path, dataset_card(done, audit))


def dataset_card(done: Forged, audit: Audit | None = None) -> str:
    """The card as Markdown with the head that dataset hubs read."""
    from fauxlens.forge.cards import cards_of
    from fauxlens.forge.sheet import metadata_lines

    recipe, manifest = done.recipe, done.manifest
    cards = cards_of(recipe)
    labels = manifest.count("label")
    lines = [
        "---",
        "license: other",
        "license_name: of-each-source-and-method",
        "task_categories: [image-classification, image-segmentation]",
        "tags: [image-forensics, inpainting-detection]",
        "---",
        "",
        f"# {visible(manifest.name)}",
        "",
        f"{done.sentence[0].upper()}{done.sentence[1:]}. Made by fauxlens {__version__} with the recipe "
        f"'{recipe.name}' (version {recipe.version}, seed {recipe.seed}).",
        "",
        "## What is in it",
        "",
        *(f"- {label[0]}: {count:,}" for label, count in labels.items()),
        "",
        _table(
            ("method", "group", *recipe.perceive.mask_types, "licence", "terms"),
            [
                (
                    one.key,
                    cards[one.key].group,
                    *(f"{done.made.get((kind, one.key), 0):,}" for kind in recipe.perceive.mask_types),
                    cards[one.key].licence,
                    cards[one.key].terms or "-",
                )
                for one in recipe.methods
            ],
        ),
        "",
        "## How it came about",
        "",
        *(f"{number}. {step}." for number, step in enumerate(manifest.history, 1)),
        "",
        f"Regions: `{recipe.perceive.provider}`; captions: `{recipe.captions.captioner}`; judges: "
        f"{', '.join(one.name for one in recipe.judges) or 'none'}; attempts: {recipe.attempts}; variants: "
        f"{', '.join(recipe.compose.variants)}.",
        "",
        f"File history of real photos and forgeries alike: `{recipe.delivery.chain}`, drawn per {recipe.delivery.per}.",
        "",
        "Every choice, seed, judge's value and parameter of every picture is in `manifest.parquet`; the recipe is in "
        "`forge.json`.",
        "",
        "## Where the photos come from, and their licences",
        "",
        _table(("source", "licence as stated", "photos"), _licences(done)),
        "",
        "What is made from a photo stays under the terms of the photo and of the method that changed it.",
        "",
        "## Splits",
        "",
        _table(
            ("split", "label", "pictures"),
            [(str(s or "-"), str(label), f"{n:,}") for (s, label), n in manifest.count("split", "label").items()],
        ),
        "",
        "All pictures of one photo are in its split. `train.json` holds as many forgeries as real pictures, drawn by "
        "hash; the other lists are whole.",
        "",
        "## Does it give itself away?",
        "",
        *([audit.sentence, *metadata_lines(audit)] if audit is not None else ["It was not audited."]),
        "",
        "## Known limits",
        "",
        *(f"- {limit}" for limit in _LIMITS),
        *(f"- {method}: {limit}" for method, card in cards.items() for limit in card.limits),
        *(f"- {remark}" for remark in done.remarks),
        "",
        "## Use",
        "",
        "For training and testing detectors of local forgeries. Not for deceiving anybody; the pictures carry no "
        "invisible watermark and no note in their files, so keep them with this card.",
        "",
    ]
    return "\n".join(lines)


def _licences(done: Forged) -> list[tuple[str, str, str]]:
    seen: dict[str, tuple[str, str]] = {}
    for sample in done.manifest:
        seen.setdefault(sample.origin or sample.id, (sample.source or "-", sample.licence or "not stated"))
    return [(source, licence, f"{count:,}") for (source, licence), count in sorted(Counter(seen.values()).items())]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(visible(str(cell)).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
