"""The three stages of the forge as tasks of the work engine: find regions, say what to make, make and judge it.

What a stage gives depends on the photo, the recipe and the seeds of the unit alone, so a run may be killed, resumed,
spread over machines, and comes out the same. A unit is one photo, one mask type and one method; its attempts, each with
a seed of its own, are settled together, and every attempt's values are kept, also of those that were rejected.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fauxlens.core.errors import BadSetting, FauxlensError
from fauxlens.core.files import write_bytes
from fauxlens.core.seeds import seed_for
from fauxlens.core.settings import settings_from
from fauxlens.forge.compose import Composite, compose
from fauxlens.forge.create.method import Fill, Method, Request, load_method
from fauxlens.forge.intake import read_photo
from fauxlens.forge.judge.judge import Exhibit, Judge, Ruling, load_judge
from fauxlens.forge.perceive.provider import load_captioner, load_provider
from fauxlens.forge.recipe import JudgePlan, Recipe
from fauxlens.forge.region import Caption, Mask, Photo, Region
from fauxlens.images.degrade import read_chain
from fauxlens.images.encode import encode_png
from fauxlens.images.picture import decode
from fauxlens.work import Item

PERCEIVE_TASK = "fauxlens.forge.stages:build_perceive"
CAPTION_TASK = "fauxlens.forge.stages:build_caption"
CREATE_TASK = "fauxlens.forge.stages:build_create"
REAL_TASK = "fauxlens.forge.stages:build_real"
TASK_VERSION = "1"

Task = Callable[[Item, int], dict[str, Any]]


def build_perceive(settings: Mapping[str, Any]) -> Task:
    """A photo to its candidate regions, whose masks are written beside them."""
    stage = _Stage(settings)
    recipe = stage.recipe
    plan = recipe.perceive
    provider = load_provider(plan.provider, plan.settings, weights=stage.weights_of(plan.provider), device=stage.device)

    def one(item: Item, _: int) -> dict[str, Any]:
        photo = stage.photo(item.payload)
        with _steady():
            found = provider.regions(photo, stage.seed("select", photo))
        regions = []
        for mask_type in plan.mask_types:
            fitting = [region for region in found if region.mask_type == mask_type]
            for rank, region in enumerate(fitting[: plan.keep]):
                regions.append(_written(region, photo, rank, stage.folder))
        height, width = photo.pixels.shape[:2]
        return {
            "width": width,
            "height": height,
            "pixels_sha256": hashlib.sha256(photo.pixels.tobytes()).hexdigest(),
            "regions": regions,
        }

    return one


def build_caption(settings: Mapping[str, Any]) -> Task:
    """A photo and its chosen region to a caption and a prompt."""
    stage = _Stage(settings)
    plan = stage.recipe.captions
    captioner = load_captioner(
        plan.captioner, plan.settings, weights=stage.weights_of(plan.captioner), device=stage.device
    )

    def one(item: Item, _: int) -> dict[str, Any]:
        photo = stage.photo(item.payload)
        region = _read_region(item.payload["region"], stage.folder)
        with _steady():
            caption = captioner.caption(photo, region, stage.seed("caption", photo, region.mask_type))
        return _caption_json(caption)

    return one


def build_create(settings: Mapping[str, Any]) -> Task:
    """A unit to a forged picture that the judges let pass, or to what was tried and why it was not kept."""
    return _Creator(_Stage(settings))


def build_real(settings: Mapping[str, Any]) -> Task:
    """A photo to the real file of the set: the same file history as its forgeries."""
    stage = _Stage(settings)
    chain = read_chain(stage.recipe.delivery.chain)

    def one(item: Item, _: int) -> dict[str, Any]:
        photo = stage.photo(item.payload)
        data, suffix, records = chain.encode(photo.pixels, stage.seed("deliver", photo))
        return {**_written_file(stage.folder, item.payload["name"], suffix, data), "delivery": list(records)}

    return one


class _Stage:
    """What the tasks share: where things are, and the seeds."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.recipe: Recipe = settings_from(Recipe, settings["recipe"], where="recipe")
        self.root = Path(settings["root"])
        self.folder = Path(settings["folder"])
        self.device = str(settings["device"])
        self._weights = None if settings["weights"] is None else Path(settings["weights"])

    def weights_of(self, name: str) -> Path | None:
        """The folder of one model below the one that the user gave; None looks in the store."""
        return None if self._weights is None else self._weights / name

    def photo(self, payload: Mapping[str, Any]) -> Photo:
        return read_photo(
            self.root,
            payload["path"],
            self.recipe.photos,
            id=payload["id"],
            source=payload["source"],
            content=payload.get("content"),
        )

    def seed(self, purpose: str, photo: Photo, mask_type: str = "", method: str = "", attempt: int = 0) -> int:
        # The recipe's seed stands in the purpose, so that seed 0 is the plain rule that others can recompute.
        told = purpose if self.recipe.seed == 0 else f"{purpose}#{self.recipe.seed}"
        return seed_for(
            told, source=photo.source, image_id=photo.id, mask_type=mask_type, method=method, attempt=attempt
        )


class _Creator:
    """Makes and judges. Methods and judges are built when a unit first needs them."""

    def __init__(self, stage: _Stage) -> None:
        self.stage = stage
        self.recipe = stage.recipe
        self.chain = read_chain(stage.recipe.delivery.chain)
        self._methods: dict[str, Method] = {}
        self._judges: list[tuple[Judge, JudgePlan]] | None = None
        self._made: Fill | None = None  # of the unit in hand, by a method whose seed changes nothing

    def __call__(self, item: Item, _: int) -> dict[str, Any]:
        unit = item.payload
        photo = self.stage.photo(unit)
        mask = read_mask(self.stage.folder / unit["region"]["mask"])
        tried: list[dict[str, Any]] = []
        self._made = None
        for attempt in range(self.recipe.attempts):
            record, composites = self._attempt(photo, mask, unit, attempt)
            tried.append(record)
            if composites is not None:
                return {"tried": tried, "accepted": attempt, "files": self._deliver(photo, unit, composites)}
        return {"tried": tried, "accepted": None}

    def _attempt(
        self, photo: Photo, mask: Mask, unit: Mapping[str, Any], attempt: int
    ) -> tuple[dict[str, Any], list[Composite] | None]:
        key, mask_type = unit["method"], unit["region"]["mask_type"]
        seed = self.stage.seed("latent", photo, mask_type, key, attempt)
        record: dict[str, Any] = {"attempt": attempt, "seed": seed}
        try:
            with _steady():
                filled = self._filled(key, self._request(photo, mask, unit, seed, attempt, record))
                composites = self._composed(photo, filled, mask, mask_type, key, attempt, record)
                rulings = self._judged(photo, composites[0], unit)
        except Exception as fault:
            if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # no fault of this unit: it must stay open
            # One photo that a method cannot do must not end the night's run.
            message = fault.message if isinstance(fault, FauxlensError) else str(fault)
            record["error"] = {"kind": type(fault).__name__, "message": message[:500]}
            return record, None
        record["judges"] = [ruling.as_json() for ruling, _ in rulings]
        refused = [ruling.judge for ruling, only_record in rulings if ruling.passed is False and not only_record]
        record["rejected_by"] = refused
        record["generator"] = filled.generator
        record["parameters"] = dict(filled.parameters)
        record["changed_outside"] = round(composites[0].changed_outside, 6)
        record["changed_inside"] = round(composites[0].changed_inside, 6)
        return record, None if refused else composites

    def _filled(self, key: str, request: Request) -> Fill:
        method = self._method(key)
        if self._made is None or not method.card.deterministic:
            self._made = method.fill(request)
        # Another attempt still has another feather.
        return self._made

    def _request(
        self,
        photo: Photo,
        mask: Mask,
        unit: Mapping[str, Any],
        seed: int,
        attempt: int,
        record: dict[str, Any],
    ) -> Request:
        donor = None
        if (donors := unit.get("donors")) is not None:
            if not donors:
                raise BadSetting("there is no other photo of its split to take from", where=unit["method"])
            chosen = donors[attempt % len(donors)]
            record["donor"] = chosen["id"]
            donor = self.stage.photo(chosen).pixels
        return Request(
            pixels=photo.pixels,
            mask=mask,
            seed=seed,
            prompt=unit["caption"]["prompt"],
            mask_type=unit["region"]["mask_type"],
            category=unit["region"]["category"],
            donor=donor,
        )

    def _composed(
        self,
        photo: Photo,
        filled: Fill,
        mask: Mask,
        mask_type: str,
        key: str,
        attempt: int,
        record: dict[str, Any],
    ) -> list[Composite]:
        plan = self.recipe.compose
        rng = np.random.default_rng(self.stage.seed("compositor", photo, mask_type, key, attempt))
        soft = rng.random() >= plan.hard_share
        feather = int(rng.integers(plan.feather[0], plan.feather[1] + 1)) if soft else 0
        record["feather"] = feather
        return [
            compose(photo.pixels, filled.pixels, mask, variant=variant, feather=feather if variant == "spliced" else 0)
            for variant in plan.variants
        ]

    def _judged(self, photo: Photo, composite: Composite, unit: Mapping[str, Any]) -> list[tuple[Ruling, bool]]:
        if self._judges is None:
            self._judges = [
                (load_judge(one.name, one.settings, weights=self.stage.weights_of(one.name)), one)
                for one in self.recipe.judges
            ]
        exhibit = Exhibit(
            original=photo.pixels,
            forged=composite.pixels,
            mask=composite.mask,
            mask_type=unit["region"]["mask_type"],
            category=unit["region"]["category"],
            variant=composite.variant,
            prompt=unit["caption"]["prompt"],
            caption=unit["caption"]["text"],
        )
        asked = [(judge, plan) for judge, plan in self._judges if unit["method"] not in plan.not_for]
        return [(judge.rule(exhibit), plan.only_record) for judge, plan in asked]

    def _deliver(self, photo: Photo, unit: Mapping[str, Any], composites: Sequence[Composite]) -> dict[str, Any]:
        each = self.recipe.delivery.per == "forgery"
        mask_type, key = unit["region"]["mask_type"], unit["method"]
        seed = self.stage.seed("deliver", photo, mask_type, key) if each else self.stage.seed("deliver", photo)
        folder, names = self.stage.folder, unit["names"]
        files: dict[str, Any] = {}
        for composite in composites:
            data, suffix, records = self.chain.encode(composite.pixels, seed)
            files[composite.variant] = _written_file(folder, names[composite.variant], suffix, data)
            files["delivery"] = list(records)
        moved = self.chain.replay_mask(composites[0].mask.astype(np.uint8) * 255, files["delivery"])
        files["mask"] = _written_file(folder, names["mask"], ".png", encode_png(moved))
        files["area"] = round(float((moved > 0).mean()), 6)
        if each:
            data, suffix, _ = self.chain.encode(photo.pixels, seed)
            files["twin"] = _written_file(folder, names["twin"], suffix, data)
        return files

    def _method(self, key: str) -> Method:
        if key not in self._methods:
            plan = self.recipe.method(key)
            made = load_method(
                plan.name, plan.settings, weights=self.stage.weights_of(plan.name), device=self.stage.device
            )
            if made.card.needs:
                # Units come method by method: a large model makes room for the next one.
                self._methods = {other: one for other, one in self._methods.items() if not one.card.needs}
            self._methods[key] = made
        return self._methods[key]


def read_mask(path: Path) -> Mask:
    """A mask file as bool: True where it is not black."""
    picture = decode(path.read_bytes(), colour="stored", where=str(path))
    return np.ascontiguousarray(picture.pixels[..., 0] > 0)


def _written(region: Region, photo: Photo, rank: int, folder: Path) -> dict[str, Any]:
    name = f"regions/{photo.id[:2]}/{photo.id}-{region.mask_type}-{rank}.png"
    data = encode_png(region.mask.astype(np.uint8) * 255)
    write_bytes(folder / name, data)
    return {
        "mask": name,
        "mask_sha256": hashlib.sha256(data).hexdigest(),
        "mask_type": region.mask_type,
        "category": region.category,
        "category_id": region.category_id,
        "score": round(float(region.score), 6),
        "area": round(region.area, 6),
        "box": None if region.box is None else [round(float(one), 2) for one in region.box],
        "provider": region.provider,
        "facts": dict(region.facts),
    }


def _read_region(told: Mapping[str, Any], folder: Path) -> Region:
    return Region(
        mask=read_mask(folder / told["mask"]),
        mask_type=told["mask_type"],
        category=told["category"],
        category_id=told["category_id"],
        score=told["score"],
        box=None if told["box"] is None else tuple(told["box"]),
        provider=told["provider"],
        facts=told["facts"],
    )


def _caption_json(caption: Caption) -> dict[str, Any]:
    return {**asdict(caption), "notes": list(caption.notes), "text": caption.text}


def _written_file(folder: Path, name: str, suffix: str, data: bytes) -> dict[str, Any]:
    path = f"{name}{suffix}"
    write_bytes(folder / path, data)
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@contextmanager
def _steady() -> Iterator[None]:
    """One thread for torch: sums in another order would be other bytes where there are more workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
