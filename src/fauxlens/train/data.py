"""Rows of a manifest as tensors: decoded (once, if asked), augmented by the row's own seed, shown as the detector does.

A sample depends on its row and its seed alone, so it is the same in whichever worker or process it is made. A picture
that cannot be read is replaced by the next one of its class, and both the batch and the log say so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fauxlens.core.errors import BadManifest, BadSetting, BadShape, UnreadableImage
from fauxlens.core.files import atomic_path
from fauxlens.core.names import unknown
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.view import CLIP_DEVIATION, CLIP_MEAN, Pixels, Prepared, View, normalised, whole
from fauxlens.images.limits import DEFAULT_LIMITS, Limits
from fauxlens.images.picture import read_picture
from fauxlens.images.resample import resize
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.augment import Augment, Steps
from fauxlens.train.order import Rows, share_of_rank, step_seed

Prepare: TypeAlias = Callable[[Pixels], Prepared]
Key: TypeAlias = tuple[int, int]
"""(row of the manifest, seed of what chance does to it)."""

SHOWINGS: dict[str, Callable[[Pixels], Tensor]] = {
    "imagenet": normalised,
    "clip": partial(normalised, mean=CLIP_MEAN, deviation=CLIP_DEVIATION),
    "unit": partial(normalised, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0)),  # 0 to 1
    "signed": partial(normalised, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5)),  # -1 to 1
}
"""Ways to make a tensor of pixels whose size the augmentation has already settled."""

_TRIES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture as the network sees it.

    `image` is (3, H, W) float32, or (S, 3, H, W) for S differently augmented copies; `mask` (1, H, W) of 0 and 1;
    `label` 1 for fake; `target` a class, -1 where there is none to learn. `skipped` names what could not be read in
    its place, with the reason.
    """

    image: Tensor
    mask: Tensor | None
    label: float
    target: int
    id: str
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Several samples: `image` (S * N, 3, H, W), all first copies before all second ones; `mask` (N, 1, H, W) float32;
    `label` (N,) float32; `target` (N,) int64. A micro-batch knows the batch that it is `part_of`.
    """  # fmt: skip

    image: Tensor
    mask: Tensor | None
    label: Tensor
    target: Tensor
    ids: tuple[str, ...]
    copies: int = 1
    skipped: tuple[tuple[str, str], ...] = ()
    part_of: Batch | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def whole(self) -> Batch:
        """What the step is made of: the batch that this is a part of, or this one."""
        return self if self.part_of is None else self.part_of

    @property
    def share(self) -> float:
        """How much of `whole` this is, counted in samples."""
        return len(self) / len(self.whole)

    def to(self, device: str | torch.device) -> Batch:
        """The same on another device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in pinned memory; the loader's pinning thread calls it."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def split(self, size: int) -> list[Batch]:
        """Micro-batches of at most `size` samples, in order; the first one keeps the list of what was skipped."""
        if size < 1:
            raise BadSetting("the size of a micro-batch is out of range", wanted="at least 1", got=size)
        parts = []
        for at in range(0, len(self), size):
            taken = slice(at, at + size)
            image = self.image.reshape(self.copies, len(self), *self.image.shape[1:])[:, taken].flatten(0, 1)
            mask = None if self.mask is None else self.mask[taken]
            skipped = self.skipped if at == 0 else ()
            label, target, ids = self.label[taken], self.target[taken], self.ids[taken]
            parts.append(Batch(image, mask, label, target, ids, self.copies, skipped, self.whole))
        return parts

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            image=function(self.image),
            mask=None if self.mask is None else function(self.mask),
            label=function(self.label),
            target=function(self.target),
            part_of=None if self.part_of is None else self.part_of._mapped(function),
        )


class Samples(Dataset[Sample]):
    """The samples of a manifest, by (row, seed).

    `show` is a detector, whose own `prepare` is used, or a name of SHOWINGS for pictures that the augmentation brings
    to their size. `first` holds augmentations for one class only (`real`, `fake`), done before `augment`: what an
    alignment of JPEG quality needs. With `copies` above 1 the first copy has `augment` alone, the others
    `copy_augment` after it.

    With `masks`, a real picture's mask is empty and a generated one's full; the label is then whether any of the mask
    is left after augmentation. `target` names the column whose value, looked up in `classes`, is the class (-1 where it
    is none of them). Rows with the same value of `seed_by` share their seeds: with `origin`, a forgery and the photo it
    came from are processed alike, so that no processing tells them apart.
    """

    def __init__(
        self,
        manifest: Manifest,
        show: Detector | str,
        augment: Augment | None = None,
        *,
        first: Mapping[str, Augment] | None = None,
        copies: int = 1,
        copy_augment: Augment | None = None,
        masks: bool = False,
        target: str | None = None,
        classes: Sequence[str] = (),
        seed_by: str | None = None,
        rows: Rows | None = None,
        cache: Path | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        manifest.require_files()
        self.root = manifest.root
        self.prepare = prepare_of(show)
        self.augment, self.copy_augment, self.first = augment, copy_augment, dict(first or {})
        self.copies, self.masks, self.limits = copies, masks, limits
        self.classes = {name: number for number, name in enumerate(classes)}
        self.cache = None if cache is None else DecodedCache(cache)
        self.rows = np.arange(len(manifest), dtype=np.int64) if rows is None else np.sort(rows)
        wanted = ["id", "path", "mask_path", "label", "split", *(name for name in (target, seed_by) if name)]
        # Arrow columns rather than lists: workers then share the memory of three million rows.
        self._columns = {name: manifest.column(name).combine_chunks() for name in wanted}
        self._target, self._seed_by = target, seed_by
        self._check(manifest)

    def __len__(self) -> int:
        return len(self._columns["id"])

    def __getitem__(self, key: Key) -> Sample:
        row, seed = key
        skipped: list[tuple[str, str]] = []
        for tried in self._from(row):
            try:
                return replace(self._made(tried, seed), skipped=tuple(skipped))
            except UnreadableImage as bad:
                skipped.append((self._value("id", tried), f"{bad.reason}: {bad.what}"))
        raise BadManifest(
            f"{len(skipped):,} pictures in a row cannot be read",
            where=self.root,
            got=": ".join(skipped[0]) if skipped else "no row",
            hint="run `fauxlens verify` on the manifest, and take its quarantined rows out",
        )

    def soften(self, strength: float) -> None:
        """From now on leave out, by this share, what `augment` does only sometimes; before a loader is made."""
        if isinstance(self.augment, Steps):
            self.augment = self.augment.at(strength)

    def seed(self, seed: int, epoch: int, row: int) -> int:
        """The seed of a row in an epoch of a run with `seed`; shared by all rows with the same value of `seed_by`."""
        shared = None if self._seed_by is None else self._value(self._seed_by, row)
        return step_seed(seed, epoch, row if shared is None else f"{self._seed_by}={shared}")

    def _check(self, manifest: Manifest) -> None:
        if self.copies < 1 or (self.copies > 1 and self.copy_augment is None):
            raise BadSetting(
                "copies need an augmentation of their own", wanted="copies of 1, or copy_augment", got=self.copies
            )
        for name in self.first:
            if name not in ("real", "fake"):
                raise unknown(name, ("real", "fake"), "class of pictures")
        if self._target is not None and not self.classes:
            raise BadSetting(f"which values of '{self._target}' are the classes is not said", wanted="classes")
        several = [self.augment, self.copy_augment, *self.first.values()]
        if not self.masks and any(one is not None and getattr(one, "forges", False) for one in several):
            raise BadSetting(
                "an augmentation that forges needs masks, or a forged picture would be taught as real",
                hint="train with masks, or leave copy_move and inpaint out",
            )
        if self.masks:
            labels, masks = (self._columns[name].take(self.rows) for name in ("label", "mask_path"))
            lost = [one for one, mask in enumerate(masks.is_valid().to_pylist()) if not mask]
            lost = [one for one in lost if labels[one].as_py() == "edited"]
            if lost:
                raise BadManifest(
                    f"{len(lost):,} edited pictures have no mask to learn from",
                    where=manifest.name,
                    got=self._value("path", int(self.rows[lost[0]])),
                    hint="leave them out: `fauxlens select` with mask_path!=null, or train without masks",
                )

    def _from(self, row: int) -> Iterator[int]:
        """The row, and then those that may take its place: the next ones of its label and split, round and round."""
        yield row
        at = int(np.searchsorted(self.rows, row, side="right"))
        same = [self._value(name, row) for name in ("label", "split")]
        tried = 1
        for step in range(len(self.rows)):
            other = int(self.rows[(at + step) % len(self.rows)])
            if other != row and [self._value(name, other) for name in ("label", "split")] == same:
                yield other
                tried += 1
                if tried >= _TRIES:
                    return

    def _made(self, row: int, seed: int) -> Sample:
        pixels, mask = self._read(row)
        fake = self._value("label", row) != "real"
        chances = np.random.default_rng(seed).spawn(3 + self.copies)
        first = self.first.get("fake" if fake else "real")
        for augment, chance in ((first, chances[0]), (self.augment, chances[1])):
            if augment is not None:
                pixels, mask = augment(pixels, mask, chance)
        prepared = self.prepare(pixels)
        # Of a picture that is shown in tiles one tile is learnt from.
        which = 0 if len(prepared.views) == 1 else int(chances[2].integers(len(prepared.views)))
        view = prepared.views[which]
        images = [view.tensor()]
        for number in range(1, self.copies):
            assert self.copy_augment is not None
            changed, _ = self.copy_augment(pixels, None, chances[2 + number])
            images.append(self.prepare(changed).views[which].tensor())
        shown = None if mask is None else mask_of_view(mask, view)
        label = float(fake) if mask is None else float((view.window.of(mask) > 127).any())
        image = images[0] if self.copies == 1 else torch.stack(images)
        return Sample(image, shown, label, self._class(row, label), self._value("id", row))

    def _class(self, row: int, label: float) -> int:
        return int(label) if self._target is None else self.classes.get(self._value(self._target, row), -1)

    def _read(self, row: int) -> tuple[Pixels, Pixels | None]:
        pixels = self._decoded(self._value("path", row))
        if not self.masks:
            return pixels, None
        path = self._value("mask_path", row)
        if path is None:
            full = self._value("label", row) != "real"
            return pixels, np.full(pixels.shape[:2], 255 if full else 0, np.uint8)
        mask = np.ascontiguousarray(self._decoded(path, stored=True)[..., 0])
        if mask.shape != pixels.shape[:2]:
            raise UnreadableImage(
                "a mask of another size than its picture", reason="corrupt", where=path,
                wanted=pixels.shape[:2], got=mask.shape,
            )  # fmt: skip
        return pixels, mask

    def _decoded(self, path: str, *, stored: bool = False) -> Pixels:
        colour: Literal["srgb", "stored"] = "stored" if stored else "srgb"

        def read() -> Pixels:
            return read_picture(self.root / path, limits=self.limits, colour=colour).pixels

        return read() if self.cache is None else self.cache.get(self.root / path, colour, read)

    def _value(self, column: str, row: int) -> Any:
        return self._columns[column][row].as_py()


class DecodedCache:
    """Decoded pictures as files of plain numbers, which are mapped and not read: a crop costs only what it shows.

    A file that changed on the disk is decoded anew. Nothing is written any more when less than `reserve_bytes` of the
    disk are left, which checkpoints may want, or when it cannot be; training goes on without.
    """

    def __init__(self, folder: Path, *, reserve_bytes: int = 4 << 30) -> None:
        self.folder, self.reserve_bytes = Path(folder), reserve_bytes

    def get(self, path: Path, how: str, read: Callable[[], Pixels]) -> Pixels:
        """The pixels of `path`, from the cache where they are in it."""
        try:
            about = path.stat()
        except OSError:
            return read()  # which says better what is wrong
        key = hashlib.sha256(f"{path}|{about.st_size}|{about.st_mtime_ns}|{how}".encode("utf-8", "surrogateescape"))
        kept = self.folder / key.hexdigest()[:2] / f"{key.hexdigest()}.npy"
        try:
            found: Pixels = np.load(kept, mmap_mode="r", allow_pickle=False)
            if found.ndim == 3 and found.dtype == np.uint8:
                return found
        except (OSError, ValueError, EOFError):
            pass
        pixels = read()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < self.reserve_bytes + pixels.nbytes:
                return pixels
            with atomic_path(kept) as temporary, temporary.open("wb") as stream:
                np.save(stream, pixels)
        except OSError:
            return pixels
        return pixels


def prepare_of(show: Detector | str) -> Prepare:
    """How pictures are shown: as the detector does, or as a name of SHOWINGS says."""
    if isinstance(show, Detector):
        return show.prepare
    if show not in SHOWINGS:
        raise unknown(show, SHOWINGS, "way of showing")
    return partial(whole, to_tensor=SHOWINGS[show])


def mask_of_view(mask: Pixels, view: View) -> Tensor:
    """(H, W) uint8 -> (1, h, w) float32 of 0 and 1: the mask of what a view shows; nothing is forged in its padding.

    Values above 127 are forged. Exact where the view is a window, resized or padded at its lower right; views that put
    a border all around are for detectors without a mask.
    """
    size = view.inside or view.shape
    seen = np.ascontiguousarray(view.window.of(mask))
    if seen.shape != size:
        seen = resize(seen, size, "nearest")
    found = torch.from_numpy((seen > 127).astype(np.float32))[None]
    return F.pad(found, (0, view.shape[1] - size[1], 0, view.shape[0] - size[0]))


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one shape as a batch."""
    shapes = {tuple(sample.image.shape) for sample in samples}
    if len(shapes) != 1:
        raise BadShape(
            "the pictures of a batch have different sizes",
            got=", ".join(str(shape) for shape in sorted(shapes)[:3]),
            hint="end the augmentation with a crop or a resize to one size, or take batches of one",
        )
    images = torch.stack([sample.image for sample in samples])
    copies = 1
    if images.dim() == 5:
        copies = images.shape[1]
        images = images.transpose(0, 1).flatten(0, 1)
    masks = [sample.mask for sample in samples if sample.mask is not None]
    return Batch(
        image=images.contiguous(),
        mask=torch.stack(masks) if masks else None,
        label=torch.tensor([sample.label for sample in samples], dtype=torch.float32),
        target=torch.tensor([sample.target for sample in samples], dtype=torch.int64),
        ids=tuple(sample.id for sample in samples),
        copies=copies,
        skipped=tuple(one for sample in samples for one in sample.skipped),
    )


def loader(
    samples: Samples,
    order: Rows,
    *,
    batch: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    seed: int = 42,
    epoch: int = 0,
    start: int = 0,
    pin: bool = False,
    ahead: int = 2,
) -> Generator[Batch, None, None]:
    """The batches of one epoch from step `start` on, as this process sees them: `batch` is the global batch's size.

    With `workers` above 0, so many processes decode `ahead` batches each; what they make is the same as without them.
    Whoever leaves before the end closes it, which ends the workers.
    """
    rows = share_of_rank(order, rank, world, batch=batch).reshape(-1, batch // world)[start:]
    keys = _Keys(samples, rows, seed, epoch)
    several: dict[str, Any] = {}
    if workers > 0:
        # Forked workers share the table of rows; other systems than Linux do it in their own way, for good reasons.
        context = "fork" if sys.platform == "linux" else None
        several = {"prefetch_factor": ahead, "worker_init_fn": _alone, "multiprocessing_context": context}
    feed: DataLoader[Sample] = DataLoader(
        samples, batch_sampler=keys, num_workers=workers, collate_fn=collate, pin_memory=pin, **several
    )
    return _fed(feed)


@dataclass(frozen=True, eq=False)
class _Keys:
    """The keys of every batch, made as they are wanted: an epoch of millions of rows begins at once."""

    samples: Samples
    rows: Rows  # (steps, rows of a step)
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[list[Key]]:
        for step in self.rows.tolist():
            yield [(row, self.samples.seed(self.seed, self.epoch, row)) for row in step]


def _fed(feed: DataLoader[Sample]) -> Generator[Batch, None, None]:
    with warnings.catch_warnings():
        # Newer Pythons warn of any fork of a process with threads; the workers use none of the parent's.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = iter(feed)
    yield from found


def _alone(worker: int) -> None:
    """One thread a worker: there are as many workers as were asked for."""
    import cv2

    cv2.setNumThreads(0)
    # Who stops a training tells all of its processes, and the one that trains wants to finish its step first. It ends
    # these itself, by telling them once more if it must.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _Patient())


class _Patient:
    """The first signal to end is passed over, the second is obeyed."""

    def __init__(self) -> None:
        self.told = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.told:
            os._exit(0)
        self.told = True
