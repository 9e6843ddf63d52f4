"""The forge from end to end: real photos and a recipe in, a forged set with masks, captions and a manifest out.

    perceive   every photo to candidate regions                      work/perceive
    choose     regions across photos, classes in balance             a pure function, nothing to resume
    caption    chosen regions to captions and prompts                work/caption-N
    create     units to forgeries that the judges let pass           work/create-N
    again      reserve photos for what was rejected, round by round  until the quota is met or nobody is left
    reals      the photos themselves, with the same file history     work/reals
    release    lists, manifest, card

Every stage is a plan of the work engine in a folder of its own. The same call goes on after any kind of end, and what
comes out is the same however often it was stopped and with however many workers it was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fauxlens.core.errors import BadManifest, BadSetting, NoWeights, WorkError
from fauxlens.core.files import write_json
from fauxlens.core.progress import Progress, silent
from fauxlens.core.version import __version__
from fauxlens.detectors.load import checked_device
from fauxlens.forge import units as planning
from fauxlens.forge.cards import cards_of, release_words
from fauxlens.forge.create.method import load_method
from fauxlens.forge.judge.judge import load_judge
from fauxlens.forge.needs import EMBEDDED, find_weights, fingerprint, forge_folder
from fauxlens.forge.perceive.provider import load_captioner, load_provider
from fauxlens.forge.quota import Candidate, LargestShares, select
from fauxlens.forge.recipe import Recipe
from fauxlens.forge.rows import manifest_of
from fauxlens.forge.stages import CAPTION_TASK, CREATE_TASK, PERCEIVE_TASK, REAL_TASK, TASK_VERSION
from fauxlens.forge.units import Choice, Seen, Unit
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.split import SplitPlan, split
from fauxlens.work import Item, Outcome, reopen, results, run, write_plan
from fauxlens.work.plan import plan_path

_FULL_DISK = "No space left"
_FEW = 2000  # units whose captions are not worth other processes, where nothing has to be loaded


@dataclass(frozen=True, slots=True)
class Lost:
    """A photo that could not be used, or a unit that ended in an error: which, and why."""

    what: str  # the photo's path; for a unit also its mask type and method
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Forged:
    """What a run of the forge made."""

    folder: Path
    manifest: Manifest
    recipe: Recipe
    photos: int  # read
    unusable: tuple[Lost, ...]  # photos that could not be read, or are too small
    without_region: Mapping[str, int]  # mask type -> photos in which nothing was found
    rounds: int
    made: Mapping[tuple[str, str], int]  # (mask type, method) -> forgeries
    missing: Mapping[tuple[str, str], int]  # (mask type, method) -> how many the quota lacks
    rejected: Mapping[str, int]  # judge -> attempts it refused
    failures: tuple[Lost, ...]  # units that have no forgery because a method, judge or captioner raised something
    remarks: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Photos that could not be read and units that ended in an error."""
        return len(self.unusable) + len(self.failures)

    @property
    def sentence(self) -> str:
        """How it ended, for somebody who reads nothing else."""
        count = sum(self.made.values())
        if not count:
            return f"nothing could be forged of {self.photos:,} photos"
        end = "complete" if not self.failed else f"complete with {self.failed:,} failures"
        short = sum(self.missing.values())
        lacking = f"; {short:,} of the quota could not be made" if short else ""
        return f"{count:,} forgeries of {self.photos:,} photos, {end}{lacking}"


def forge(
    manifest: Manifest,
    folder: Path,
    recipe: Recipe,
    *,
    workers: int = 1,
    device: str = "cpu",
    weights: Path | None = None,
    progress: Progress = silent,
) -> Forged:
    """Forge the real photos of `manifest` by `recipe` into `folder`; the same call goes on after any kind of end.

    `weights` is a folder with one folder for each model; without it, the store of this machine is looked through.
    """
    folder = Path(folder)
    root = manifest.root.resolve()
    # A folder that is read as a whole would hold the forgeries as photos the next time.
    inside = root in folder.resolve().parents and manifest.facts.get("every_picture_of") is not None
    if inside or folder.resolve() == root:
        raise BadSetting("the forged set would lie among the originals", where=folder, hint="give another folder")
    checked_device(device)
    check_ready(recipe, weights=weights)
    manifest.require_files()
    reals = real_photos(manifest, recipe)
    run_ = _Run(reals, folder, recipe, workers, device, weights, progress, quarantined=_quarantined(manifest, recipe))
    seen = run_.perceived()
    choices = choose(recipe, seen)
    made = run_.created(seen, choices)
    forged_photos = [photo for photo in seen if photo.id in {unit.photo for unit, _ in made.accepted}]
    real_files = run_.delivered(forged_photos) if recipe.delivery.per == "photo" else {}
    found = manifest_of(
        recipe, folder, name=f"{manifest.name}-{recipe.name}", seen=seen, accepted=made.accepted,
        captions=made.captions, real_files=real_files, cards=cards_of(recipe), history=reals.history,
    )  # fmt: skip
    done = _summed_up(run_, recipe, folder, found, seen, choices, made)
    write_json(folder / "forge.json", facts_of(done))
    return done


def check_ready(recipe: Recipe, *, weights: Path | None = None) -> None:
    """Raise what would go wrong for every photo before anything is started: settings, libraries, absent models.

    What is absent is told together, so that one round of downloads is enough.
    """

    def at(name: str) -> Path | None:
        return None if weights is None else Path(weights) / name

    plan, says = recipe.perceive, recipe.captions
    provider = load_provider(plan.provider, plan.settings, weights=at(plan.provider))
    captioner = load_captioner(says.captioner, says.settings, weights=at(says.captioner))
    judges = [load_judge(one.name, one.settings, weights=at(one.name)) for one in recipe.judges]
    methods = [load_method(one.name, one.settings, weights=at(one.name)) for one in recipe.methods]
    absent: list[NoWeights] = []
    asks: list[Callable[[], object]] = [
        partial(find_weights, plan.provider, provider.needs, provider.weights),
        partial(find_weights, says.captioner, captioner.needs, captioner.weights),
        *(partial(find_weights, one.name, one.needs, one.weights) for one in judges),
        *(one.ready for one in methods),
    ]
    for ask in asks:
        try:
            ask()
        except NoWeights as gone:
            absent.append(gone)
    if len(absent) == 1:
        raise absent[0]
    if absent:
        raise NoWeights(
            f"{len(absent)} parts of recipe '{recipe.name}' lack files",
            wanted="; ".join(f"{one.what.partition(' needs')[0]}: {one.wanted}" for one in absent),
            hint=" | ".join(dict.fromkeys(one.hint for one in absent if one.hint)),
        )


def choose(recipe: Recipe, seen: Sequence[Seen]) -> dict[str, Choice]:
    """Which region of which photo, for each mask type, classes in balance, and who stands in reserve."""
    plan, kinds = recipe.quota, recipe.perceive.mask_types
    shares = LargestShares(stuff=plan.max_share_stuff, background=plan.max_share_thing)
    regions = {photo.id: photo.regions for photo in seen}
    chosen: dict[str, list[tuple[str, Mapping[str, Any]]]] = {kind: [] for kind in kinds}
    reserve: dict[str, list[tuple[str, Mapping[str, Any]]]] = {kind: [] for kind in kinds}
    remarks: dict[str, list[str]] = {kind: [] for kind in kinds}
    for group in (kinds,) if plan.together else tuple((kind,) for kind in kinds):
        candidates = [
            Candidate(
                photo=photo.id, source=photo.source, index=index, category=region["category"],
                score=region["score"], mask_type=region["mask_type"],
            )
            for photo in seen
            for index, region in enumerate(photo.regions)
            if region["mask_type"] in group
        ]  # fmt: skip
        held: dict[str, set[str]] = {}
        for one in candidates:
            held.setdefault(one.photo, set()).add(one.mask_type)
        fit = sum(types == set(group) for types in held.values())
        wanted = plan.photos if plan.photos is not None else fit - int(fit * plan.reserve)
        found = select(candidates, wanted=wanted, shares=shares, mask_types=group, seed=recipe.seed)
        remarks[group[0]] += [f"{' and '.join(group)}: {note}" for note in found.notes()]
        if found.unfit:
            remarks[group[0]].append(f"{len(found.unfit):,} photos lack a region of one of: {', '.join(group)}")
        for choices, into in ((found.choices, chosen), (found.reserve, reserve)):
            for choice in choices:
                for one in choice.regions:
                    into[one.mask_type].append((one.photo, regions[one.photo][one.index]))
    return {kind: Choice(tuple(chosen[kind]), tuple(reserve[kind]), tuple(remarks[kind])) for kind in kinds}


@dataclass
class _Made:
    """What the rounds gave."""

    accepted: list[tuple[Unit, Mapping[str, Any]]] = field(default_factory=list)
    captions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: list[tuple[Unit, bool]] = field(default_factory=list)
    first: list[Unit] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    failures: list[Lost] = field(default_factory=list)
    rounds: int = 0


@dataclass
class _Run:
    """One run: where things are, and the engine behind every stage."""

    reals: Manifest
    folder: Path
    recipe: Recipe
    workers: int
    device: str
    weights: Path | None
    progress: Progress
    quarantined: Sequence[Lost] = ()
    unusable: list[Lost] = field(default_factory=list)

    def perceived(self) -> list[Seen]:
        """Every photo through perception."""
        rows = _photo_rows(self.reals)
        items = (Item(row["id"], {key: row[key] for key in ("id", "path", "source", "content")}) for row in rows)
        outcomes = self._stage("perceive", PERCEIVE_TASK, items, "finding regions")
        for row, one in zip(rows, outcomes, strict=True):
            if one.error is not None:
                self.unusable.append(Lost(row["path"], one.error.kind, one.error.message))
        return planning.seen_photos(rows, outcomes)

    def created(self, seen: Sequence[Seen], choices: Mapping[str, Choice]) -> _Made:
        """Round by round, until the quota is met or nobody is left."""
        made = _Made()
        photos = {photo.id: photo for photo in seen}
        words = release_words(self.recipe)
        takes = {key for key, card in cards_of(self.recipe).items() if card.needs_donor}
        lend = planning.donors_for(seen, {photo.id: photo.split for photo in seen}, attempts=self.recipe.attempts)
        made.first = units = planning.first_round(self.recipe, choices)
        while units:
            made.rounds += 1
            number = f"{made.rounds:02d}"
            asked = [unit for unit in units if planning.caption_key(unit.photo, unit.mask_type) not in made.captions]
            items = planning.caption_items(asked, photos, choices)
            for one in self._stage(
                f"caption-{number}", CAPTION_TASK, items, "describing", few=self._says_at_once(asked)
            ):
                if one.result is not None:
                    made.captions[one.key] = one.result
                elif one.error is not None:
                    made.failures.append(Lost(f"caption of {one.key}", one.error.kind, one.error.message))
            mute = [unit for unit in units if planning.caption_key(unit.photo, unit.mask_type) not in made.captions]
            made.done += [(unit, False) for unit in mute]
            units = [unit for unit in units if unit not in set(mute)]
            made_items = planning.create_items(
                units, photos, choices, made.captions, words, lambda unit: lend(unit) if unit.method in takes else None
            )
            outcomes = self._stage(f"create-{number}", CREATE_TASK, made_items, f"forging, round {made.rounds}")
            regions = {kind: dict((*choice.chosen, *choice.reserve)) for kind, choice in choices.items()}
            for unit, one in zip(units, outcomes, strict=True):
                _note(made, unit, one, regions[unit.mask_type][unit.photo], photos[unit.photo].path)
            units = planning.next_round(self.recipe, choices, planning.standing(made.first, made.done))
        return made

    def delivered(self, photos: Sequence[Seen]) -> dict[str, Mapping[str, Any]]:
        """The real files, by photo."""
        outcomes = self._stage("reals", REAL_TASK, planning.real_items(photos), "real photos")
        return {one.key: one.result for one in outcomes if one.result is not None}

    def _says_at_once(self, asked: Sequence[Unit]) -> bool:
        # A template answers sooner than another process has started.
        return len(asked) <= _FEW and not load_captioner(self.recipe.captions.captioner).needs

    def _stage(self, name: str, task: str, items: Iterable[Item], what: str, *, few: bool = False) -> list[Outcome]:
        work = self.folder / "work" / name
        if plan_path(work).exists():
            # A disk that was full is no fault of the sample: it is done again.
            reopen(work, which=_met_a_full_disk)
        write_plan(work, task=task, task_version=TASK_VERSION, settings=self._settings(), items=items)
        workers = 0 if few else self.workers
        run(work, workers=workers, progress=lambda done, total, _: self.progress(done, total, what))
        outcomes = list(results(work))
        if stuck := sum(map(_met_a_full_disk, outcomes)):
            # The next stage would plan around the gaps, and could not be planned again once they are filled.
            raise WorkError(
                f"the disk is full: {stuck:,} of {len(outcomes):,} could not be written ({what})",
                where=self.folder,
                hint="free some space and run the same command again; everything done so far is kept",
            )
        return outcomes

    def _settings(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.as_json(),
            "root": self.reals.root.resolve().as_posix(),
            "folder": self.folder.resolve().as_posix(),
            "device": self.device,
            "weights": None if self.weights is None else Path(self.weights).resolve().as_posix(),
            "weights_found": self._found(),
        }

    def _found(self) -> dict[str, str]:
        """What lies where models are looked for: a set must not be finished with other weights than begun with."""
        plan = self.recipe
        names = [plan.perceive.provider, plan.captions.captioner]
        names += [*(one.name for one in plan.methods), *(one.name for one in plan.judges)]
        places = {name: forge_folder(name) if self.weights is None else Path(self.weights) / name for name in names}
        found = {name: fingerprint(place) for name, place in sorted(places.items()) if place.exists()}
        return {"of the package": fingerprint(EMBEDDED), **found}


def _note(made: _Made, unit: Unit, one: Outcome, region: Mapping[str, Any], path: str) -> None:
    accepted = one.result is not None and one.result["accepted"] is not None
    made.done.append((unit, accepted))
    what = f"{path}, {unit.mask_type}, {unit.method}"
    if one.result is None:
        kind, message = ("unknown", "") if one.error is None else (one.error.kind, one.error.message)
        made.failures.append(Lost(what, kind, message))
        return
    for record in one.result["tried"]:
        made.rejected.update(record.get("rejected_by", ()))
    if accepted:
        made.accepted.append((unit, {**one.result, "region": region}))
    elif "error" in one.result["tried"][-1]:
        error = one.result["tried"][-1]["error"]
        made.failures.append(Lost(what, error["kind"], error["message"]))


def _met_a_full_disk(one: Outcome) -> bool:
    return one.error is not None and _FULL_DISK in one.error.message


def facts_of(done: Forged) -> dict[str, Any]:
    """The machine-readable summary."""
    return {
        "recipe": done.recipe.as_json(),
        "version": __version__,
        "photos": done.photos,
        "forgeries": sum(done.made.values()),
        "unusable": [asdict(one) for one in done.unusable],
        "without_region": dict(done.without_region),
        "rounds": done.rounds,
        "made": [[*place, count] for place, count in sorted(done.made.items())],
        "missing": [[*place, count] for place, count in sorted(done.missing.items())],
        "rejected": dict(sorted(done.rejected.items())),
        "failures": [asdict(one) for one in done.failures],
        "remarks": list(done.remarks),
        "sentence": done.sentence,
    }


def real_photos(manifest: Manifest, recipe: Recipe) -> Manifest:
    """The usable real photos, each with a split."""
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = manifest.usable()
    reals = usable.where("photos to forge", pc.is_in(usable.column("label"), pa.array(list(recipe.photos.labels))))
    if not len(reals):
        raise BadManifest(
            "no usable photo with a wanted label",
            where=manifest.name,
            wanted=" or ".join(recipe.photos.labels),
            got=str({key[0]: count for key, count in manifest.count("label").items()}),
            hint="scan a folder of real photos: `fauxlens scan PHOTOS -o m.parquet`",
        )
    if all(value is not None for value in reals.column("split").to_pylist()):
        return reals
    return split(reals, SplitPlan(salt=recipe.split_salt))


def _quarantined(manifest: Manifest, recipe: Recipe) -> list[Lost]:
    """Photos that the manifest itself says cannot be used."""
    usable = set(manifest.usable().column("id").to_pylist())
    columns = zip(*(manifest.column(name).to_pylist() for name in ("id", "label", "path", "status")), strict=True)
    lost = [
        (path, status) for one, label, path, status in columns if label in recipe.photos.labels and one not in usable
    ]
    return [Lost(path, "quarantined", status or "") for path, status in lost]


def _photo_rows(reals: Manifest) -> list[dict[str, Any]]:
    rows = []
    for sample in reals:
        name = sample.path.rpartition("/")[2]
        rows.append(
            {
                "id": sample.id,
                "path": sample.path,
                "source": sample.source or "",
                "content": sample.content,
                "split": sample.split,
                "licence": sample.licence,
                "stem": name.rpartition(".")[0] or name,
            }
        )
    return rows


def _summed_up(
    run_: _Run,
    recipe: Recipe,
    folder: Path,
    manifest: Manifest,
    seen: Sequence[Seen],
    choices: Mapping[str, Choice],
    made: _Made,
) -> Forged:
    now = planning.standing(made.first, made.done)
    holders = {kind: sum(any(r["mask_type"] == kind for r in photo.regions) for photo in seen) for kind in choices}
    readable = len(run_.reals) - len(run_.unusable)
    return Forged(
        folder=folder,
        manifest=manifest,
        recipe=recipe,
        photos=len(run_.reals) + len(run_.quarantined),
        unusable=(*run_.quarantined, *run_.unusable),
        without_region={kind: readable - count for kind, count in holders.items()},
        rounds=made.rounds,
        made={place: count for place, count in now.made.items() if count},
        missing=now.missing(),
        rejected=dict(made.rejected),
        failures=tuple(made.failures),
        remarks=tuple(remark for choice in choices.values() for remark in choice.remarks),
    )
