"""What the forge made as a Manifest, with everything that decided each picture, and as the lists of the release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fauxlens.core.files import write_json, write_text
from fauxlens.core.version import __version__
from fauxlens.forge.create.method import MethodCard
from fauxlens.forge.recipe import Recipe
from fauxlens.forge.units import Seen, Unit, caption_key
from fauxlens.manifest.layouts.json_lists import NEGATIVE
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample, sample_id
from fauxlens.manifest.scan import MEASURED, file_facts

EXTRA = (
    "caption",
    "caption_perturbed",
    "prompt",
    "category_id",
    "region_provider",
    "region_score",
    "area",
    "attempt",
    "attempt_seed",
    "feather",
    "changed_outside",
    "judges",
    "parameters",
    "delivery",
    "mask_sha256",
    "method_licence",
)
"""Columns beyond a manifest's own. `judges`, `parameters` and `delivery` are JSON."""


def manifest_of(
    recipe: Recipe,
    folder: Path,
    *,
    name: str,
    seen: Sequence[Seen],
    accepted: Sequence[tuple[Unit, Mapping[str, Any]]],
    captions: Mapping[str, Mapping[str, Any]],
    real_files: Mapping[str, Mapping[str, Any]],
    cards: Mapping[str, MethodCard],
    history: Sequence[str],
) -> Manifest:
    """The manifest, saved in `folder`, and the JSON lists beside it."""
    photos = {photo.id: photo for photo in seen}
    order = {photo.id: place for place, photo in enumerate(seen)}
    rows: list[Sample] = []
    extra: list[dict[str, Any]] = []
    for photo in seen:
        if photo.id in real_files:
            file = real_files[photo.id]
            rows.append(_real(photo, file, folder))
            extra.append({"delivery": _json(file["delivery"])})
    rank = {one.key: place for place, one in enumerate(recipe.methods)}
    for unit, result in sorted(accepted, key=lambda one: (order[one[0].photo], one[0].mask_type, rank[one[0].method])):
        photo, files = photos[unit.photo], result["files"]
        told = _told(unit, result, captions[caption_key(unit.photo, unit.mask_type)], cards[unit.method])
        donor = photos.get(result["tried"][result["accepted"]].get("donor", ""))
        for variant in recipe.compose.variants:
            forged = _forged(photo, unit, result, files, variant, cards[unit.method], folder)
            rows.append(forged if donor is None else _with_donor(forged, donor))
            extra.append(told)
        if "twin" in files:
            rows.append(_real(photo, files["twin"], folder))
            extra.append({"delivery": _json(files["delivery"])})
    columns: dict[str, list[Any]] = {
        field: [getattr(row, field) for row in rows] for field in Sample.__dataclass_fields__
    }
    columns.update({field: [one.get(field) for one in extra] for field in EXTRA})
    line = f"forged by recipe '{recipe.name}' version {recipe.version}, seed {recipe.seed}, fauxlens {__version__}"
    made = Manifest.from_columns(
        columns, folder, name=name, history=(*history, line), facts={"recipe": recipe.as_json(), "layout": "brgen"}
    )
    made.save(folder / "manifest.parquet")
    _write_lists(made, folder, photos)
    return made


def _real(photo: Seen, file: Mapping[str, Any], folder: Path) -> Sample:
    return _sample(photo, file, folder, label="real")


def _forged(
    photo: Seen,
    unit: Unit,
    result: Mapping[str, Any],
    files: Mapping[str, Any],
    variant: str,
    card: MethodCard,
    folder: Path,
) -> Sample:
    return _sample(
        photo,
        files[variant],
        folder,
        label="edited",
        mask_path=files["mask"]["path"],
        generator=result["tried"][result["accepted"]]["generator"] or unit.method,
        family=card.group,
        method=files["spliced" if "spliced" in files else variant]["path"].split("/")[-1].split("_")[0],
        mask_type=unit.mask_type,
        variant=variant,
    )


def _with_donor(forged: Sample, donor: Seen) -> Sample:
    """A picture of two photos stands under the terms of both."""
    licences = dict.fromkeys(one or "not stated" for one in (forged.licence, donor.licence))
    return replace(forged, licence=" + ".join(licences), notes=f"holds a part of photo {donor.id} ({donor.path})")


def _sample(photo: Seen, file: Mapping[str, Any], folder: Path, *, label: str, **more: Any) -> Sample:
    measured = dict(zip(MEASURED, file_facts(str(folder), file["path"]), strict=True))
    measured["sha256"] = file["sha256"]
    return Sample(
        id=sample_id(photo.source, file["path"]),
        path=file["path"],
        label=label,
        content=photo.content,
        source=photo.source or None,
        split=photo.split,
        origin=photo.id,
        licence=photo.licence,
        **more,
        **measured,
    )


def _told(unit: Unit, result: Mapping[str, Any], caption: Mapping[str, Any], card: MethodCard) -> dict[str, Any]:
    record = result["tried"][result["accepted"]]
    region = result["region"]
    return {
        "caption": caption["text"],
        "caption_perturbed": None
        if caption["perturbed"] is None
        else caption["perturbed"].replace("#", "").replace("$", ""),
        "prompt": caption["prompt"],
        "category_id": region["category_id"],
        "region_provider": region["provider"],
        "region_score": region["score"],
        "area": result["files"]["area"],
        "attempt": result["accepted"],
        # 63 bits: as text, because not every reader of tables keeps them.
        "attempt_seed": str(record["seed"]),
        "feather": record["feather"],
        "changed_outside": record["changed_outside"],
        "judges": _json(record["judges"]),
        "parameters": _json(record["parameters"]),
        "delivery": _json(result["files"]["delivery"]),
        "mask_sha256": result["files"]["mask"]["sha256"],
        "method_licence": card.licence,
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _write_lists(manifest: Manifest, folder: Path, photos: Mapping[str, Seen]) -> None:
    """Image lists by source, and one JSON list a split: every real, and as many forgeries drawn by hash."""
    by_source: dict[str, list[str]] = {}
    by_split: dict[str, list[Sample]] = {}
    for sample in manifest:
        by_split.setdefault(sample.split or "all", []).append(sample)
        if sample.label == "real" and sample.path.startswith("RealImage/"):
            by_source.setdefault(photos[sample.origin or ""].word, []).append(sample.path.rpartition("/")[2])
    for word, names in by_source.items():
        write_text(folder / "RealImage" / word / f"{word}_image_list.txt", "".join(f"{name}\n" for name in names))
    for name, samples in by_split.items():
        reals = [one for one in samples if one.label == "real"]
        forged = [one for one in samples if one.label != "real"]
        if name == "train":
            # BR-Gen trains on as many forgeries as there are real photos; the other splits are whole.
            forged = sorted(forged, key=lambda one: hashlib.sha256(f"list|{one.id}".encode()).digest())[: len(reals)]
        chosen = {one.id for one in (*reals, *forged)}
        pairs = [[one.path, one.mask_path or NEGATIVE] for one in samples if one.id in chosen]
        write_json(folder / f"{name}.json", pairs)
