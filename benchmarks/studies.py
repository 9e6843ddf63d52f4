"""Three studies in miniature, with every run's numbers kept: what a set's file format teaches a detector, how many
places should guide NFA-ViT, and a contrast against cross-entropy. docs/studies.md says what came out.

format   "Fake or JPEG?": photos as they are against pictures that auto-encoders of the forge made of them, saved as
         PNG; the same after alignment. A small NPR for each family of auto-encoders and each set, tested on all.
topk     NFA-ViT nano guided by 10, 25 or 50 % of the places, and not at all, on forged pictures with masks.
selfcon  ImagiNet's SelfCon with a head afterwards, against cross-entropy, on aligned pictures as in the first study, by
         coarser families and as NPR sees them.

    python benchmarks/studies.py --study format selfcon --data photos.parquet --out studies --page docs
    python benchmarks/studies.py --study topk --data forged.parquet --out studies --page docs

Every run keeps its result in a file; what is there is not done again, and a run that was stopped goes on. Several calls
may share the runs of one --out; what another is at is named as missing, so the last one to end is called again. The
manifest of the photos needs JPEG files and splits; what is not in `train` is for tests. The forged one needs masks,
`train` and `val`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import studies_page
from fauxlens.audit.align import align_recipe
from fauxlens.audit.baseline import FILE_FACTS, metadata_baseline
from fauxlens.audit.recode import RecodePlan, recode
from fauxlens.core.errors import BadManifest, BadSetting
from fauxlens.core.files import to_json, write_bytes, write_json
from fauxlens.core.seeds import seed_for
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.load import load
from fauxlens.evaluate.masks import truth_of
from fauxlens.evaluate.predict import answers
from fauxlens.evaluate.predictions import Judged, judged, predictions_of
from fauxlens.forge.create.imprint import Content, Imprint, ImprintSettings
from fauxlens.forge.create.method import Request
from fauxlens.images.degrade import parse_chain
from fauxlens.images.encode import encode_png
from fauxlens.images.picture import read_picture
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import MEASURED, file_facts
from fauxlens.manifest.select import select
from fauxlens.metrics import image as metrics
from fauxlens.metrics.tally import PixelTally
from fauxlens.train.loop import train
from fauxlens.train.order import SamplingPlan, epoch_order
from fauxlens.train.recipe import Recipe, Running, read_recipe
from fauxlens.train.schedule import Schedule
from fauxlens.work.lease import hold, open_file
from measure import machine, print_result


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large everything is; it is the same for all runs of a study."""

    # One up-sampler each, factor 4, chosen before anything was measured.
    families: tuple[str, ...] = (
        "nearest-x4-silu-24",
        "transposed4-x4-silu-24",
        "shuffle-x4-silu-20",
    )
    learnt: int = 120  # photos to learn from; as many made pictures of each family
    tested: int = 40  # photos to test with
    side: int = 256  # of the made pictures
    crop: int = 64  # what a network sees of a picture while it learns
    shown: int = 128  # the middle of a picture, which the tests look at
    qualities: tuple[int, ...] = (95, 80, 60)
    format_steps: int = 200
    format_batch: int = 32
    guidance: tuple[str, ...] = ("10", "25", "50", "none")
    topk_steps: int = 900  # of a recipe; epochs are whole
    topk_batch: int = 16
    topk_crop: int = 128
    topk_forged: int = 96  # pictures to validate with
    topk_real: int = 48
    coarse: tuple[str, ...] = ("nearest-x8-silu-16", "transposed4-x8-silu-12", "tokens-x8-leaky-40")
    begin_steps: int = 160
    selfcon_steps: int = 300
    selfcon_batch: int = 32
    head_steps: int = 60


TINY = Sizes(
    families=("nearest-x4-silu-24", "tokens-x4-silu-48"), learnt=4, tested=2, side=64, crop=32, shown=48,
    qualities=(70,), format_steps=2, format_batch=4, guidance=("25", "none"), topk_steps=2, topk_batch=4, topk_crop=64,
    topk_forged=2, topk_real=2, coarse=("nearest-x8-silu-16", "tokens-x8-silu-48"),
    begin_steps=1, selfcon_steps=1, selfcon_batch=8, head_steps=1,
)  # fmt: skip
"""A rehearsal: whether everything runs."""

AS_THEY_WERE, ALIGNED = "as they were", "aligned"


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a call may spend on a run, and where it computes."""

    minutes: float | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Job:
    """One run: `facts` say which, `work` gives its numbers, or None where its minutes were up."""

    facts: dict[str, Any]
    work: Callable[[Path, Means], dict[str, Any] | None]

    @property
    def key(self) -> str:
        """Its name as a file."""
        return "-".join(_as_file(str(value)) for value in self.facts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", nargs="+", choices=tuple(STUDIES), default=[])
    parser.add_argument("--data", type=Path, help="a manifest")
    parser.add_argument("--out", type=Path, default=Path("studies"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes-each", type=float, help="a longer run goes on with the next call; 0 runs nothing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal of a few seconds, whose numbers mean nothing")
    parser.add_argument("--page", type=Path, help="the folder whose studies.md gets the tables and curves")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sizes = TINY if given.tiny else Sizes()
    means = Means(minutes=given.minutes_each, device=given.device)
    if given.study:
        _same_sizes(given.out / "sizes.json", sizes)
    found = {}
    for study in given.study:
        if given.data is None:
            parser.error("--study needs --data")
        found[study] = run(study, read_manifest(given.data), given.out, sizes, given.seeds, means)
    if given.page is not None:
        for study, result in found.items():
            write_json(given.page / "studies" / f"{study}.json", {**result, "machine": machine()})
        studies_page.write(given.page)
    print_result({"benchmark": "studies", "tiny": given.tiny, "studies": found})


def run(study: str, manifest: Manifest, out: Path, sizes: Sizes, seeds: int, means: Means) -> dict[str, Any]:
    """All runs of a study, seed after seed; -> what is known of it by now."""
    data, jobs_of = STUDIES[study]
    prepared = data(manifest, out, sizes)
    done, missing = [], []
    for seed in range(1, seeds + 1):
        for job in jobs_of(prepared, sizes, seed):
            folder = out / study / job.key
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "result.json"
            with _mine(folder) as mine:
                if mine and not kept.is_file():
                    begun = time.perf_counter()
                    numbers = None if means.minutes == 0 else job.work(folder, means)
                    if numbers is not None:
                        seconds = round(time.perf_counter() - begun, 1)
                        write_json(kept, {**job.facts, **numbers, "seconds": seconds})
                        for checkpoint in folder.rglob("checkpoint.pt"):
                            checkpoint.unlink()  # nothing goes on from here
            if kept.is_file():
                done.append(json.loads(kept.read_text(encoding="utf-8")))
            else:
                missing.append(job.key)
    return {"study": study, "sizes": asdict(sizes), "about": prepared.about, "runs": done, "missing": missing}


@contextmanager
def _mine(folder: Path) -> Iterator[bool]:
    """Whether this call works at the run: another call with the same --out leaves it out."""
    handle = open_file(folder / "study.lock")
    try:
        yield hold(handle)
    finally:
        os.close(handle)


def _same_sizes(path: Path, sizes: Sizes) -> None:
    """Refuse a folder with results of other sizes: they would stand in one table."""
    now = json.loads(to_json(asdict(sizes)))
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else now
    if before != now:
        differ = ", ".join(name for name in now if before.get(name) != now[name])
        raise BadSetting("the folder holds results of other sizes", where=path, got=differ, hint="take another --out")
    write_json(path, now)


# The pictures of the first and the third study.


@dataclass(frozen=True)
class Pictures:
    """The set as it was, the aligned one, and copies of the test pictures by condition."""

    sets: dict[str, Manifest]
    tests: dict[str, Manifest]
    about: dict[str, Any]
    cache: Path


def pictures(manifest: Manifest, out: Path, sizes: Sizes) -> Pictures:
    """Photos and what the families made of them: as they were saved, aligned, and the tests saved again."""
    folder = out / "pictures"
    biased = _kept(folder / "made", lambda at: _made(manifest, at, sizes))
    # The package's recipe: every file decoded and saved by one encoder, and pictures that were never a JPEG go through
    # one like the photos' first.
    plan = align_recipe("strict-96-history").plan.recode
    assert plan is not None
    aligned = _kept(folder / "aligned", lambda at: recode(biased, at, replace(plan, crop=sizes.side), workers=0))
    sets = {AS_THEY_WERE: biased, ALIGNED: aligned}
    middle = parse_chain(f"crop:side={sizes.shown},place=centre -> png")
    tests = {}
    for name, one in sets.items():
        part = select(one, "split=test")
        tests[name] = _kept(folder / "tests" / _as_file(name), partial(degrade, part, chain=middle, workers=0))
    part = select(biased, "split=test")
    for quality in sizes.qualities:
        # Cut on the grid of an earlier JPEG's blocks, which a shifted grid would otherwise tell of.
        again = RecodePlan(quality=quality, subsampling="4:2:0", crop=sizes.shown)
        tests[f"JPEG {quality}"] = _kept(
            folder / "tests" / f"jpeg-{quality}", partial(recode, part, plan=again, workers=0)
        )
    return Pictures(sets, tests, _about(folder, sets, sizes), out / "cache")


def _kept(folder: Path, make: Callable[[Path], Manifest]) -> Manifest:
    """What was made in a folder before, or is made now."""
    path = folder / "manifest.parquet"
    if not path.is_file():
        make(folder).save(path)
    return read_manifest(path)


def _as_file(name: str) -> str:
    return name.replace(" ", "-")


def _about(folder: Path, sets: dict[str, Manifest], sizes: Sizes) -> dict[str, Any]:
    """Counts, the photos' JPEG qualities, and what file facts alone tell of the label."""
    path = folder / "about.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    photos = select(sets[AS_THEY_WERE], "label=real")
    qualities = sorted(photos.column("jpeg_quality").to_pylist())
    told = {}
    for name, one in sets.items():
        # One family against the photos: what one detector learns from.
        part = one.where("one family", [s.label == "real" or s.generator == sizes.families[0] for s in one])
        baseline = metadata_baseline(part)
        told[name] = None if baseline.skipped else asdict(baseline.variant(FILE_FACTS).auc)
    found = {
        "photos": {f"{split}": count for (split,), count in photos.count("split").items()},
        "sources": {f"{source}": count for (source,), count in photos.count("source").items()},
        "jpeg_quality": {"lowest": qualities[0], "median": qualities[len(qualities) // 2], "highest": qualities[-1]},
        "made_decibels": json.loads((folder / "made" / "decibels.json").read_text(encoding="utf-8")),
        "auc_of_file_facts": told,
    }
    write_json(path, found)
    return found


def _made(manifest: Manifest, folder: Path, sizes: Sizes) -> Manifest:
    """The photos' own files, and of each photo's middle one PNG a family."""
    # A whole frame, of the photo itself, by one family, and all of what the family makes of it: weakened as the forge
    # does by default, nothing was learnt of it in a hundred steps.
    plain = ImprintSettings(
        whole=True, pool="all", content=Content(telea=0.0, jittered=0.0), aligned_share=0.0, strength_least=1.0,
        psnr_least=0.0, psnr_most=99.0,
    )  # fmt: skip
    methods = {family: Imprint(replace(plain, families=(family,))) for family in sizes.families}
    samples: list[Sample] = []
    decibels: dict[str, list[float]] = {family: [] for family in sizes.families}
    for photo, split in _photos(manifest, sizes):
        data = manifest.path_of(photo).read_bytes()
        pixels = read_picture(manifest.path_of(photo)).pixels
        target = f"photos/{photo.id}{Path(photo.path).suffix}"
        write_bytes(folder / target, data)
        shared = {"split": split, "origin": photo.id, "source": photo.source, "licence": photo.licence}
        samples.append(_sample(folder, target, id=photo.id, label="real", **shared))
        top, left = ((size - sizes.side) // 2 // 16 * 16 for size in pixels.shape[:2])
        middle = np.ascontiguousarray(pixels[top : top + sizes.side, left : left + sizes.side])
        mask = np.ones(middle.shape[:2], np.bool_)
        mask[0, 0] = False  # a request asks for a part of a photo; `whole` makes all of it anew
        for family, method in methods.items():
            seed = seed_for("studies", image_id=photo.id, method=family)
            fill = method.make(Request(pixels=middle, mask=mask, seed=seed))
            decibels[family].append(fill.parameters["psnr"])
            target = f"{family}/{photo.id}.png"
            write_bytes(folder / target, encode_png(fill.pixels))
            facts = {"label": "generated", "generator": family, "family": "imprint", "method": "imprint"}
            samples.append(_sample(folder, target, id=f"{photo.id}-{family}", **facts, **shared))
    means = {family: round(float(np.mean(found)), 2) for family, found in decibels.items()}
    write_json(folder / "decibels.json", means)
    return Manifest.from_samples(samples, folder, name="made")


def _photos(manifest: Manifest, sizes: Sizes) -> Iterator[tuple[Sample, str]]:
    """Photos of both splits, one an origin, drawn by the hash of their id."""
    fit = list(select(manifest.usable(), "label=real", "format=jpeg", f"width>={sizes.side}", f"height>={sizes.side}"))
    for split, count in (("train", sizes.learnt), ("test", sizes.tested)):
        of_origin: dict[str, Sample] = {}
        for sample in fit:
            if (sample.split == "train") == (split == "train"):
                of_origin.setdefault(sample.origin or sample.id, sample)
        drawn = sorted(of_origin.values(), key=lambda s: seed_for("studies", image_id=s.id, method="photo"))[:count]
        if len(drawn) < count:
            raise BadManifest(
                f"too few photos for {split}", where=manifest.name, got=len(drawn),
                wanted=f"{count} JPEG photos with sides of at least {sizes.side}",
            )  # fmt: skip
        for sample in drawn:
            yield sample, split


def _sample(root: Path, path: str, **facts: Any) -> Sample:
    measured = dict(zip(MEASURED, file_facts(str(root), path), strict=True))
    return Sample(path=path, **{**measured, **facts})


# The first study.


def format_jobs(data: Pictures, sizes: Sizes, seed: int) -> Iterator[Job]:
    """A detector for each set and family."""
    for family in sizes.families:
        for name, manifest in data.sets.items():
            recipe = _format_recipe(manifest, family, sizes, seed)

            def work(
                folder: Path, means: Means, recipe: Recipe = recipe, manifest: Manifest = manifest
            ) -> dict[str, Any] | None:
                found = taught(recipe, manifest, folder, means, data.cache)
                if found is None:
                    return None
                detector = load(recipe.detector, found.weights, device=means.device, options={"showing": "native"})
                return {"steps": found.steps, "tests": tested(detector, data.tests, folder, sizes)}

            yield Job({"trained_on": name, "generator": family, "seed": seed}, work)


def _format_recipe(manifest: Manifest, family: str, sizes: Sizes, seed: int) -> Recipe:
    """NPR's, but for crops at native size: resizing would rewrite what both the detector and the study look at."""
    sampling = SamplingPlan(seed=seed, draw="one-to-one", rule="fixed", where_fake=(f"generator={family}",))
    base = read_recipe("npr")
    changed = replace(
        base, name="study-format", seed=seed, batch=sizes.format_batch, precision="bfloat16", sampling=sampling,
        augment=_crops(sizes.crop), optimiser=replace(base.optimiser, rate=1e-3),
        schedule=Schedule(shape="cosine"), validate=None,
    )  # fmt: skip
    return _lasting(changed, manifest, sizes.format_steps)


def tested(detector: Detector, tests: dict[str, Manifest], folder: Path, sizes: Sizes) -> dict[str, Any]:
    """For each condition: accuracy and AUC of each family's pictures against all photos; photos called fake."""
    found = {}
    for condition, manifest in tests.items():
        said = asked(detector, manifest, folder / "predictions" / f"{_as_file(condition)}.parquet")
        made = np.asarray(said.manifest.column("generator").to_pylist(), dtype=object)
        numbers = {}
        for family in sizes.families:
            rows = ~said.fake | (made == family)
            numbers[family] = {
                "accuracy": metrics.accuracy(said.fake[rows], said.probability[rows]),
                "AUC": metrics.auc(said.fake[rows], said.probability[rows]),
            }
        false_alarms = metrics.false_alarm_rate(said.fake, said.probability)
        found[condition] = {"generators": numbers, "photos_called_fake": false_alarms}
    return found


# The second study.


@dataclass(frozen=True)
class Forged:
    """The forged set, and the pictures that are validated."""

    manifest: Manifest
    checks: Manifest
    about: dict[str, Any]
    cache: Path


def forged(manifest: Manifest, out: Path, sizes: Sizes) -> Forged:
    """The forgeries that are easiest to find, the photos, and of the split `val` as many of both as `sizes` says."""
    usable = manifest.usable()
    known = "parameters" in usable.table.column_names
    told = usable.column("parameters").to_pylist() if known else [None] * len(usable)
    usable = usable.where("easiest", list(map(_easy, usable, told)))
    labels, splits = (np.asarray(usable.column(name).to_pylist(), dtype=object) for name in ("label", "split"))
    rows = []
    for label, count in (("edited", sizes.topk_forged), ("real", sizes.topk_real)):
        there = np.flatnonzero((labels == label) & (splits == "val"))
        if len(there) < count:
            raise BadManifest(
                f"too few pictures to validate with ({label})", where=manifest.name, got=len(there), wanted=count
            )
        rows.append(there[np.linspace(0, len(there) - 1, count).round().astype(np.int64)])
    checks = usable.take("validation of the study", np.sort(np.concatenate(rows)))
    counts = {f"{split}, {label}": count for (split, label), count in usable.count("split", "label").items()}
    return Forged(usable, checks, {"pictures": counts}, out / "cache")


def _easy(sample: Sample, parameters: str | None) -> bool:
    """Whether minutes are enough to learn from it: no smooth fill, and none whose frequencies were aligned."""
    made = json.loads(parameters or "{}")
    untrained = "untrained" in (sample.generator or "")
    return sample.family != "classical" and made.get("alignment", "none") == "none" and not untrained


def topk_jobs(data: Forged, sizes: Sizes, seed: int) -> Iterator[Job]:
    """A training for each share of the places."""
    for guidance in sizes.guidance:
        recipe = _topk_recipe(data.manifest, guidance, sizes, seed)

        def work(folder: Path, means: Means, recipe: Recipe = recipe) -> dict[str, Any] | None:
            found = taught(recipe, data.manifest, folder, means, data.cache)
            if found is None:
                return None
            options = dict(recipe.options)
            detector = load(
                recipe.detector, found.weights, setting=recipe.setting, device=means.device, options=options
            )
            return {"steps": found.steps, **masks_of(detector, data.checks, folder / "predictions.parquet")}

        yield Job({"guidance": guidance, "seed": seed}, work)


def _topk_recipe(manifest: Manifest, guidance: str, sizes: Sizes, seed: int) -> Recipe:
    """The embedded detector's, for the small network, with crops and flips alone.

    The released code's own, with its loss or with this one, left the masks at chance after so few steps.
    """
    base = read_recipe("embedded")
    recipe = replace(
        base, name="study-topk", detector="nfa-vit", setting="nano", options={"guidance": guidance}, seed=seed,
        batch=sizes.topk_batch, precision="float32", sampling=replace(base.sampling, seed=seed),
        augment=_crops(sizes.topk_crop), ramp=0.0, optimiser=replace(base.optimiser, rate=2e-3),
        schedule=Schedule(shape="cosine", rise=0.1, floor=0.1), validate=None,
    )  # fmt: skip
    return _lasting(recipe, manifest, sizes.topk_steps)


def masks_of(detector: Detector, checks: Manifest, save: Path) -> dict[str, Any]:
    """What the masks and verdicts of a detector are worth on these pictures, and its masks for each method."""
    tallies: dict[str | None, PixelTally] = {}

    def look(row: int, mask: np.ndarray[Any, Any]) -> None:
        truth = truth_of(checks, row, mask.shape)
        if isinstance(truth, str):
            raise BadManifest("no mask to compare with", where=checks[row].path, got=truth)
        tallies.setdefault(checks[row].method, PixelTally()).add(truth, mask)

    said = asked(detector, checks, save, look=look)
    scores = sum(tallies.values(), PixelTally()).scores()
    names = ("macro_auc", "pooled_auc", "macro_f1", "macro_f1_best_of_picture", "macro_iou", "false_alarm_area")
    return {
        "masks": {name: getattr(scores, name) for name in names},
        "methods": {method: one.scores().macro_auc for method, one in sorted(tallies.items(), key=str) if method},
        "verdict": {
            "accuracy": metrics.accuracy(said.fake, said.probability),
            "balanced_accuracy": metrics.balanced_accuracy(said.fake, said.probability),
            "AUC": metrics.auc(said.fake, said.probability),
        },
    }


# The third study.


def differences(manifest: Manifest, out: Path, sizes: Sizes) -> Pictures:
    """The aligned set of coarser families, and two of its tests, as differences of neighbours: see `_differences`."""
    found = pictures(manifest, out / "coarse", replace(sizes, families=sizes.coarse))
    folder = out / "coarse" / "differences"
    middle = f"JPEG {sizes.qualities[len(sizes.qualities) // 2 - 1]}"
    sets = {ALIGNED: _kept(folder / "aligned", partial(_differences, found.sets[ALIGNED]))}
    tests = {
        name: _kept(folder / _as_file(name), partial(_differences, found.tests[name])) for name in (ALIGNED, middle)
    }
    return Pictures(sets, tests, found.about, found.cache)


def _differences(manifest: Manifest, folder: Path) -> Manifest:
    """Each picture as NPR sees it: each pixel less the upper left one of its 2x2 block, times 4, around 128."""
    samples = []
    for sample in manifest:
        pixels = read_picture(manifest.path_of(sample)).pixels.astype(np.int16)
        height, width = pixels.shape[:2]
        corners = pixels[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        target = f"{sample.id}.png"
        write_bytes(folder / target, encode_png((128 + 4 * (pixels - corners)).clip(0, 255).astype(np.uint8)))
        kept = ("id", "label", "generator", "family", "method", "split", "origin", "source", "licence")
        samples.append(_sample(folder, target, **{name: getattr(sample, name) for name in kept}))
    return Manifest.from_samples(samples, folder, name="differences")


def selfcon_jobs(data: Pictures, sizes: Sizes, seed: int) -> Iterator[Job]:
    """The contrast with its head, and cross-entropy, from the same beginning on the same pictures."""
    manifest = data.sets[ALIGNED]
    one_family = manifest.where("one family", [s.label == "real" or s.generator == sizes.coarse[0] for s in manifest])
    contrast, head, entropy = _selfcon_recipes(manifest, sizes, seed)
    begin = _lasting(replace(entropy, name="study-begin"), one_family, sizes.begin_steps)
    begin = replace(begin, schedule=Schedule(shape="constant", rise=begin.epochs / 8))

    def learnt(recipe: Recipe, then: Recipe | None, folder: Path, means: Means) -> dict[str, Any] | None:
        """After the beginning, which each run makes anew: it is the same for the same seed."""
        first = taught(begin, one_family, folder / "begin", means, data.cache)
        if first is None:
            return None
        # A lower rate: what comes next has learnt features to lose.
        slower = replace(recipe.optimiser, rate=recipe.optimiser.rate * 0.3)
        recipe = replace(recipe, start=str(first.weights), optimiser=slower)
        last = taught(recipe, manifest, folder / "main", means, data.cache)
        if last is None:
            return None
        steps = {"begin": first.steps, "main": last.steps}
        if then is not None:
            last = taught(replace(then, start=str(last.weights)), manifest, folder / "head", means, data.cache)
            if last is None:
                return None
            steps["head"] = last.steps
        detector = load(entropy.detector, last.weights, device=means.device)
        detector.side = sizes.shown  # type: ignore[attr-defined]  # all of a test picture, nothing mirrored
        return {"steps": steps, "tests": tested(detector, data.tests, folder, replace(sizes, families=sizes.coarse))}

    yield Job({"objective": "selfcon", "seed": seed}, partial(learnt, contrast, head))
    yield Job({"objective": "cross-entropy", "seed": seed}, partial(learnt, entropy, None))


def _selfcon_recipes(manifest: Manifest, sizes: Sizes, seed: int) -> tuple[Recipe, Recipe, Recipe]:
    """The three of ImagiNet with the network of ordinary strides, small crops and few steps."""
    sampling = SamplingPlan(seed=seed, draw="one-to-one", rule="each-epoch")
    found = []
    for name, steps in (
        ("imaginet-selfcon", sizes.selfcon_steps),
        ("imaginet-head", sizes.head_steps),
        ("imaginet-ce", sizes.selfcon_steps),
    ):
        base = read_recipe(name)
        # A long training's optimiser learns nothing in so few steps: stochastic descent at a rate of 0.02 did not.
        recipe = replace(
            base, name=f"study-{name}", detector="imaginet-v0", seed=seed, batch=sizes.selfcon_batch,
            precision="bfloat16", sampling=sampling, augment=_crops(sizes.crop),
            optimiser=replace(read_recipe("embedded").optimiser, rate=1e-3),
        )  # fmt: skip
        if name == "imaginet-selfcon":
            recipe = replace(recipe, data=replace(base.data, target="generator", classes=sizes.coarse))
        recipe = _lasting(recipe, manifest, steps)
        if name != "imaginet-head":
            schedule = Schedule(shape="cosine", rise=recipe.epochs / 15, floor=0.1)
            recipe = replace(recipe, schedule=schedule)
        found.append(recipe)
    return found[0], found[1], found[2]


# What they share.


def _crops(side: int) -> tuple[dict[str, Any], ...]:
    flip = {"step": "flip", "direction": "horizontal", "probability": 0.5}
    return ({"step": "crop", "side": side, "place": "random"}, flip)


def _lasting(recipe: Recipe, manifest: Manifest, steps: int) -> Recipe:
    """The recipe with as many whole epochs as `steps` steps need."""
    in_epoch = len(epoch_order(manifest, recipe.sampling, epoch=0)) // recipe.batch
    if not in_epoch:
        raise BadManifest("fewer pictures than a batch", where=manifest.name, wanted=recipe.batch)
    return replace(recipe, epochs=math.ceil(steps / in_epoch))


@dataclass(frozen=True)
class Taught:
    """What a training gave, after how many steps."""

    weights: Path
    steps: int


def taught(recipe: Recipe, manifest: Manifest, folder: Path, means: Means, cache: Path | None = None) -> Taught | None:
    """The weights at the recipe's end; None when the minutes were up before it. `cache` keeps decoded pictures."""
    recipe = replace(recipe, running=Running(workers=0, save_minutes=5.0, cache=cache, page=False))
    done = train(recipe, folder=folder, manifest=manifest, minutes=means.minutes, device=means.device)
    if done.weights is None:
        return None
    return Taught(done.weights, done.position.step)


def asked(
    detector: Detector, manifest: Manifest, save: Path, look: Callable[[int, np.ndarray[Any, Any]], None] | None = None
) -> Judged:
    """What a detector says of every picture, kept as a file of predictions; `look` is shown each mask and its row."""
    rows = []
    for number, row in enumerate(answers(detector, manifest.table.select(["id", "path"]).to_pylist(), manifest.root)):
        mask = row.pop("mask")
        if look is not None and mask is not None:
            look(number, mask)
        rows.append(row)
    predictions = predictions_of(rows, save.parent, {"detector": detector.card.name, "manifest": manifest.name})
    predictions.save(save)
    return judged(predictions, manifest)


STUDIES: dict[str, tuple[Callable[..., Any], Callable[..., Iterator[Job]]]] = {
    "format": (pictures, format_jobs),
    "topk": (forged, topk_jobs),
    "selfcon": (differences, selfcon_jobs),
}
"""name -> how its pictures are prepared, and its runs for one seed."""


if __name__ == "__main__":
    main()
