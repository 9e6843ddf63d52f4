"""What there is to do, written down once: a task, its settings, and the items, cut into shards.

A plan is a folder: `items.jsonl` (one item a line, never changed again) and `plan.json` (everything else, with the byte
at which each shard starts, so that a worker reads its own shard only). `plan.json` is written last, whole or not at
all: a plan that was killed half-way does not exist. A changed parameter is another plan and wants another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from fauxlens.core.errors import OtherPlan, WorkError
from fauxlens.core.files import atomic_path, sha256_of, write_json
from fauxlens.core.names import look_up
from fauxlens.core.progress import Progress, silent
from fauxlens.work.canonical import canonical, digest_of
from fauxlens.work.lease import hold, open_file

FORMAT_VERSION = 1
LARGEST_SHARD = 10_000
_BUCKETS = 256
_TOLD_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to work on: a key that no other item of the plan has, and what the task needs to know of it."""

    key: str
    payload: Mapping[str, Any]


Task: TypeAlias = Callable[[Item, int], Mapping[str, Any]]
"""Item and seed to a result, which must be JSON (no NaN). A `build(settings)` gives one of these."""


@dataclass(frozen=True)
class Plan:
    """An immutable plan in a folder. Make one with `write_plan`, open one with `read_plan`."""

    folder: Path
    task: str  # "module:attribute" of a factory: settings -> Task
    task_version: str
    settings: Mapping[str, Any]
    count: int  # items in all
    items_sha256: str
    shard_size: int
    offsets: tuple[int, ...]  # byte in items.jsonl at which each shard starts, and the end of the file

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that results may depend on."""
        return digest_of(_identity(self))

    @cached_property
    def settings_sha256(self) -> str:
        """Hex SHA-256 of the settings alone; part of every sample's seed."""
        return digest_of(self.settings)

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return len(self.offsets) - 1

    def rows(self, shard: int) -> int:
        """How many items `shard` has."""
        return min(self.shard_size, self.count - shard * self.shard_size)

    def items(self, shard: int) -> list[Item]:
        """The items of one shard, in order; reads only their bytes."""
        path = items_path(self.folder)
        try:
            with path.open("rb") as stream:
                stream.seek(self.offsets[shard])
                data = stream.read(self.offsets[shard + 1] - self.offsets[shard])
            items = [Item(one["key"], one["payload"]) for one in map(json.loads, data.splitlines())]
        except (OSError, ValueError, KeyError, TypeError) as bad:
            raise _items_changed(path, type(bad).__name__) from bad
        if len(items) != self.rows(shard):
            raise _items_changed(path, f"{len(items)} items in shard {shard} instead of {self.rows(shard)}")
        return items

    def check_items(self) -> None:
        """Refuse an items file that is not the one planned (reads it once)."""
        path = items_path(self.folder)
        try:
            found = sha256_of(path)
        except OSError as gone:
            raise _items_changed(path, type(gone).__name__) from gone
        if found != self.items_sha256:
            raise _items_changed(path, f"SHA-256 {found[:12]}... instead of {self.items_sha256[:12]}...")

    def build_task(self) -> Task:
        """Import the factory and build the task; whatever that raises comes through."""
        task: Task = look_up({self.task: self.task}, self.task, "task")(self.settings)
        return task


def write_plan(
    folder: Path,
    *,
    task: str,
    task_version: str,
    settings: Mapping[str, Any],
    items: Iterable[Item],
    shard_size: int | None = None,
    progress: Progress = silent,
) -> Plan:
    """Write the plan into `folder`, or find that the very same plan is already there.

    `items` is read once and never held in memory. Without `shard_size`, the size follows from the number of items.
    """
    folder = Path(folder)
    _check(task, shard_size)
    try:
        settings = json.loads(canonical(dict(settings)))
    except (TypeError, ValueError) as bad:
        raise WorkError(
            f"settings that are not JSON: {bad}", where=task, hint="use numbers, texts, lists, tables"
        ) from bad
    folder.mkdir(parents=True, exist_ok=True)
    with _planning(folder):
        old = read_plan(folder) if plan_path(folder).exists() else None
        with _target(folder, None if old is None else os.devnull) as target, target.open("wb") as stream:
            starts, digest, hashes = _write_items(stream, items, folder, progress)
            stream.flush()
            if old is None:
                _refuse_doubles(target, hashes, folder)
            end = starts.pop()
            size = shard_size or default_shard_size(len(starts))
            new = Plan(
                folder=folder,
                task=task,
                task_version=task_version,
                settings=settings,
                count=len(starts),
                items_sha256=digest,
                shard_size=size,
                offsets=(*starts[::size], end),
            )
        if old is None:
            (folder / "shards").mkdir(exist_ok=True)
            write_json(plan_path(folder), {**_identity(new), "offsets": new.offsets, "fingerprint": new.fingerprint})
        elif old.fingerprint != new.fingerprint:
            raise OtherPlan(
                f"this folder holds another plan; not the same: {'; '.join(_differences(old, new))}",
                where=folder,
                hint="a changed parameter needs a new folder; the same parameters go on in this one",
            )
    return new if old is None else old


def read_plan(folder: Path) -> Plan:
    """Open the plan in `folder`."""
    folder = Path(folder)
    path = plan_path(folder)
    try:
        stored = json.loads(path.read_bytes())
        if stored["format_version"] != FORMAT_VERSION:
            raise WorkError(
                "a plan written by another version",
                where=path,
                wanted=f"format {FORMAT_VERSION}",
                got=f"format {stored['format_version']}",
                hint="finish it with the version that wrote it, or start in a new folder",
            )
        plan = Plan(
            folder=folder,
            task=stored["task"],
            task_version=stored["task_version"],
            settings=stored["settings"],
            count=stored["count"],
            items_sha256=stored["items_sha256"],
            shard_size=stored["shard_size"],
            offsets=tuple(stored["offsets"]),
        )
        is_whole = plan.fingerprint == stored["fingerprint"] and plan.shard_count == math.ceil(
            plan.count / plan.shard_size
        )
    except (FileNotFoundError, NotADirectoryError):
        raise WorkError("no plan in this folder", where=folder, wanted=path.name, hint="start the job first") from None
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as bad:
        raise WorkError(
            f"this plan cannot be read: {type(bad).__name__}", where=path, hint="start again in a new folder"
        ) from bad
    if not is_whole:
        raise WorkError(
            "this plan was changed after it was written", where=path, hint="a changed parameter needs a new folder"
        )
    return plan


def default_shard_size(count: int) -> int:
    """As many shards as items in each, up to a limit: it follows from the number of items alone, never from workers.

    >>> default_shard_size(24), default_shard_size(3_000_000)
    (5, 1733)
    """
    return max(1, min(LARGEST_SHARD, math.isqrt(max(0, count - 1)) + 1))


def plan_path(folder: Path) -> Path:
    """Where the plan of `folder` is."""
    return folder / "plan.json"


def items_path(folder: Path) -> Path:
    """Where the items of `folder` are."""
    return folder / "items.jsonl"


def _check(task: str, shard_size: int | None) -> None:
    module, colon, attribute = task.partition(":")
    if not (module and colon and attribute):
        raise WorkError("a task is named by where its factory is", wanted='"module:attribute"', got=repr(task))
    if shard_size is not None and shard_size < 1:
        raise WorkError("a shard holds at least one item", where=task, wanted="1 or more", got=shard_size)


@contextlib.contextmanager
def _planning(folder: Path) -> Iterator[None]:
    """One planner at a time; the second waits and then finds the plan."""
    handle = open_file(folder / "plan.lock")
    try:
        hold(handle, wait=True)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _target(folder: Path, instead: str | None) -> Iterator[Path]:
    """Where the items go: to their file, or, when that is there and they are only to be compared, nowhere."""
    if instead is not None:
        yield Path(instead)
        return
    with atomic_path(items_path(folder)) as temporary:
        yield temporary


def _write_items(
    stream: BinaryIO, items: Iterable[Item], folder: Path, progress: Progress
) -> tuple[array[int], str, list[array[int]]]:
    """-> (byte at which each item starts, then the end of the file; hex SHA-256 of all bytes; hashes of the keys)."""
    digest = hashlib.sha256()
    starts = array("Q", [0])
    # Eight bytes a key instead of the key: three million items cost megabytes. In buckets, so that looking for doubles
    # costs a bucket's memory at a time.
    hashes = [array("q") for _ in range(_BUCKETS)]
    for item in items:
        line = _line_of(item, folder)
        stream.write(line)
        digest.update(line)
        starts.append(starts[-1] + len(line))
        number = hash(item.key)
        hashes[number % _BUCKETS].append(number)
        if len(starts) % _TOLD_EVERY == 0:
            progress(len(starts), None, "planning")
    return starts, digest.hexdigest(), hashes


def _line_of(item: Item, folder: Path) -> bytes:
    try:
        item.key.encode("utf-8")  # the key goes into the seed, so it must have bytes
        return f'{{"key":{canonical(item.key)},"payload":{canonical(dict(item.payload))}}}\n'.encode("ascii")
    except (TypeError, ValueError, AttributeError) as bad:
        raise WorkError(
            f"an item that is not JSON: {bad}",
            where=folder,
            got=repr(item)[:200],
            hint="a key is a text, a payload a table of numbers, texts, lists and tables",
        ) from bad


def _refuse_doubles(path: Path, hashes: list[array[int]], folder: Path) -> None:
    suspects: set[int] = set()
    for bucket in hashes:
        seen: set[int] = set()
        for number in bucket:
            if number in seen:
                suspects.add(number)
            seen.add(number)
    if not suspects:
        return
    # Two keys may share a hash by chance, so the keys themselves decide.
    first_line: dict[str, int] = {}
    with path.open("rb") as stream:
        for number, line in enumerate(stream):
            key = json.loads(line)["key"]
            if hash(key) not in suspects:
                continue
            if key in first_line:
                raise WorkError(
                    f"two items have the key {key!r}",
                    where=folder,
                    got=f"items {first_line[key]} and {number}, counted from 0",
                    hint="give every item a key of its own",
                )
            first_line[key] = number


def _identity(plan: Plan) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "task": plan.task,
        "task_version": plan.task_version,
        "settings": plan.settings,
        "count": plan.count,
        "items_sha256": plan.items_sha256,
        "shard_size": plan.shard_size,
    }


def _differences(old: Plan, new: Plan) -> list[str]:
    """What a person has to know to see why two plans are not the same."""
    found = [
        f"{name} was {getattr(old, name)!r} and is {getattr(new, name)!r}"
        for name in ("task", "task_version")
        if getattr(old, name) != getattr(new, name)
    ]
    found += _leaves("settings", dict(old.settings), dict(new.settings))
    if old.count != new.count:
        found.append(f"items: there were {old.count} and are {new.count}")
    elif old.items_sha256 != new.items_sha256:
        found.append(f"items: as many ({old.count}), but others or in another order")
    if old.shard_size != new.shard_size:
        found.append(f"shard_size was {old.shard_size} and is {new.shard_size}")
    return found


_ABSENT = object()


def _leaves(name: str, was: Any, now: Any) -> list[str]:
    """Where two settings differ, down to single values: a whole recipe printed twice tells nobody anything."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = sorted({*was, *now})
        return [one for key in keys for one in _leaves(f"{name}.{key}", was.get(key, _ABSENT), now.get(key, _ABSENT))]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return [one for place, (a, b) in pairs for one in _leaves(f"{name}[{place}]", a, b)]
    if was == now and (was is _ABSENT) == (now is _ABSENT):
        return []
    before, after = ("not set" if one is _ABSENT else _short(repr(one)) for one in (was, now))
    return [f"{name} was {before} and is {after}"]


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _items_changed(path: Path, got: str) -> WorkError:
    return WorkError(
        "these are not the items that were planned",
        where=path,
        got=got,
        hint="the file must never change; put it back, or start again in a new folder",
    )
