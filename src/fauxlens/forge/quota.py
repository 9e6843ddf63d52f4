"""Which photos, and which region of each: classes in balance, sources in proportion, the rest in reserve.

The first pass keeps every candidate of a pool two to three times larger than needed; this is the second. Within a
photo the provider's confidence decides, across photos the quotas do: scores of different photos are never compared,
because the surest regions are the easiest ones.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from fauxlens.core.errors import BadSetting
from fauxlens.forge.region import MASK_TYPES

RELAXATIONS: dict[str, str] = {
    "level": "no cap on classes; still the rarest first, so that none grows more than it must",
    "other-sources": "no quota of sources: what one source lacks is taken from the others",
}
"""What may be given up when the quotas leave the wanted number out of reach, by name."""

STRICT = "strict"
_AND = " + "
_Class: TypeAlias = tuple[str, str]  # mask type, category


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One region of one photo, as light as can be."""

    photo: str
    source: str
    index: int  # which of the photo's regions
    category: str
    score: float  # compared only within the photo
    mask_type: str = "stuff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestShares:
    """The largest share of the wanted photos that one class may have, by mask type."""

    stuff: float = 0.10
    background: float = 0.05
    region: float = 1.0

    def __post_init__(self) -> None:
        for mask_type in MASK_TYPES:
            share = getattr(self, mask_type)
            if not 0.0 < share <= 1.0:
                raise BadSetting(f"the largest share of a {mask_type} class", wanted="above 0, at most 1", got=share)

    def cap(self, mask_type: str, wanted: int) -> int:
        """How many photos of one class: at least one, or no small run could take anything.

        >>> LargestShares().cap("background", 15000), LargestShares().cap("stuff", 4)
        (750, 1)
        """
        share: float = getattr(self, mask_type)
        # A product such as 0.29 * 100 may fall just short of the whole number that is meant.
        return max(1, math.floor(share * wanted + 1e-9))


@dataclass(frozen=True, slots=True)
class Choice:
    """A photo that was taken, one region of it for each mask type, and the rules that let it in."""

    photo: str
    source: str
    regions: tuple[Candidate, ...]
    rule: str = STRICT


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How one class did."""

    mask_type: str
    category: str
    offered: int  # photos with such a region, of those that could be taken
    taken: int
    cap: int


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How one source did."""

    source: str
    offered: int
    taken: int
    quota: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was taken, what waits in reserve, and how far the quotas were met."""

    wanted: int
    choices: tuple[Choice, ...]
    reserve: tuple[Choice, ...]  # in the order in which they should be used
    classes: tuple[ClassCount, ...]
    sources: tuple[SourceCount, ...]
    unfit: tuple[str, ...]  # photos that lack a region of one of the mask types
    relaxed: Mapping[str, int] = field(default_factory=dict)  # rules in force ("a + b") -> photos they let in

    @property
    def short(self) -> int:
        """How many photos are missing."""
        return self.wanted - len(self.choices)

    def notes(self) -> tuple[str, ...]:
        """How far the quotas could be met, in sentences; empty when everything was."""
        said = []
        for rules, count in self.relaxed.items():
            meant = "; ".join(RELAXATIONS[rule] for rule in rules.split(_AND))
            said.append(f"'{rules}' let in {count} photos: {meant}")
        over = [one for one in self.classes if one.taken > one.cap]
        if over:
            parts = ", ".join(f"{one.category} ({one.mask_type}) {one.taken} of {one.cap}" for one in over[:5])
            said.append(f"{len(over)} classes are over their cap: {parts}{', ...' if len(over) > 5 else ''}")
        for one in self.sources:
            if one.quota is not None and one.taken != one.quota:
                said.append(f"source '{one.source}' gave {one.taken} photos, its quota is {one.quota}")
        if self.short:
            said.append(f"{self.short} of {self.wanted} photos are missing")
        return tuple(said)

    def replacement(self, gone: Choice, used: Collection[str]) -> Choice | None:
        """The photo of the reserve to use instead of `gone`, or None when no photo outside `used` is left.

        One of the same source and the same classes if there is one, else of the same source, else any.
        """
        left = [one for one in self.reserve if one.photo not in used]
        same_source = [one for one in left if one.source == gone.source]
        kinds = _kinds(gone.regions)
        alike = [one for one in same_source if _kinds(one.regions) == kinds]
        return next(iter(alike or same_source or left), None)

    def as_json(self) -> dict[str, Any]:
        """Everything but the photos themselves."""
        return {
            "wanted": self.wanted,
            "taken": len(self.choices),
            "reserve": len(self.reserve),
            "unfit": len(self.unfit),
            "relaxed": dict(self.relaxed),
            "classes": [asdict(one) for one in self.classes],
            "sources": [asdict(one) for one in self.sources],
            "notes": list(self.notes()),
        }


def select(
    candidates: Iterable[Candidate],
    *,
    wanted: int,
    shares: LargestShares | None = None,
    per_source: Mapping[str, int] | None = None,
    mask_types: Sequence[str] | None = None,
    relax: Sequence[str] = ("level",),
    seed: int = 0,
) -> Selection:
    """Take `wanted` photos, each with one region of every mask type (of those in `mask_types`, else of all that occur).

    Again and again the class that has the smallest part of its cap gives a photo: one of which it is the surest
    region, if there is one. Photos beyond a cap or a source's quota (`per_source`; none named is unlimited) are left
    out; when that leaves too few, the rules of `relax` are added one after the other, and the result says so.
    The order of `candidates` changes nothing: between equals a hash of the photo and `seed` decides.
    """
    if wanted < 0:
        raise BadSetting("how many photos are wanted", wanted="0 or more", got=wanted)
    for rule in relax:
        if rule not in RELAXATIONS:
            raise BadSetting("no such rule", where="relax", wanted=", ".join(RELAXATIONS), got=rule)
    if per_source and min(per_source.values()) < 0:
        raise BadSetting("a source's quota", wanted="0 or more", got=dict(per_source))
    pool = _Pool(candidates, mask_types, seed)
    caps = {kind: (shares or LargestShares()).cap(kind[0], wanted) for kind in pool.queues}
    greedy = _Greedy(pool, caps, per_source or {})
    greedy.run(wanted, STRICT, capped=True, by_source=True)
    relaxed: dict[str, int] = {}
    for number in range(1, len(relax) + 1):
        given_up = relax[:number]
        capped, by_source = "level" not in given_up, "other-sources" not in given_up
        count = greedy.run(wanted, _AND.join(given_up), capped=capped, by_source=by_source)
        if count:
            relaxed[_AND.join(given_up)] = count
    choices = tuple(greedy.choices)
    classes = tuple(
        ClassCount(*kind, len(pool.queues[kind]), greedy.counts[kind], caps[kind]) for kind in sorted(pool.queues)
    )
    sources = tuple(
        SourceCount(name, pool.by_source.get(name, 0), greedy.by_source.get(name, 0), (per_source or {}).get(name))
        for name in sorted({*pool.by_source, *(per_source or {})})
    )
    # The reserve goes on as if more were wanted, so its first photos are those that keep the balance best.
    greedy.run(len(pool.photos), "reserve", capped=False, by_source=False)
    return Selection(
        wanted=wanted,
        choices=choices,
        reserve=tuple(greedy.choices[len(choices) :]),
        classes=classes,
        sources=sources,
        unfit=pool.unfit,
        relaxed=relaxed,
    )


class _Pool:
    """The photos that have all mask types, and for each class the queue of those that can give it."""

    def __init__(self, candidates: Iterable[Candidate], mask_types: Sequence[str] | None, seed: int) -> None:
        found: dict[str, list[Candidate]] = {}
        for one in candidates:
            if mask_types is None or one.mask_type in mask_types:
                found.setdefault(one.photo, []).append(one)
        for photo, several in found.items():
            _check(photo, several)
        wanted = set(mask_types) if mask_types is not None else {c.mask_type for many in found.values() for c in many}
        unknown = wanted.difference(MASK_TYPES)
        if unknown:
            raise BadSetting("no such mask type", wanted=", ".join(MASK_TYPES), got=", ".join(sorted(unknown)))
        self.mask_types = tuple(sorted(wanted))
        self.unfit = tuple(sorted(name for name, many in found.items() if {c.mask_type for c in many} != wanted))
        # Photo -> mask type -> one candidate a class, the surest first.
        self.photos = {name: _ranked(many) for name, many in found.items() if {c.mask_type for c in many} == wanted}
        self.source = {name: found[name][0].source for name in self.photos}
        self.by_source: dict[str, int] = {}
        for source in self.source.values():
            self.by_source[source] = self.by_source.get(source, 0) + 1
        entries: dict[_Class, list[tuple[int, bytes, str]]] = {}
        for name, ranked in self.photos.items():
            order = _hash(seed, name)
            for mask_type, several in ranked.items():
                for rank, one in enumerate(several):
                    entries.setdefault((mask_type, one.category), []).append((rank, order, name))
        self.queues = {kind: [name for _, _, name in sorted(entries[kind])] for kind in sorted(entries)}
        self.order = {kind: _hash(seed, *kind) for kind in self.queues}


class _Greedy:
    """The rarest class first, until enough is taken or nothing more may be."""

    def __init__(self, pool: _Pool, caps: Mapping[_Class, int], quotas: Mapping[str, int]) -> None:
        self.pool = pool
        self.caps = caps
        self.quotas = quotas
        self.counts = dict.fromkeys(pool.queues, 0)
        self.by_source: dict[str, int] = {}
        self.choices: list[Choice] = []
        self.taken: set[str] = set()

    def run(self, target: int, rule: str, *, capped: bool, by_source: bool) -> int:
        """Take photos until there are `target`; how many were taken."""
        before = len(self.choices)
        # What stops a photo once (taken, source full, class full) stops it for the whole run: no queue is read twice.
        queues = {kind: iter(queue) for kind, queue in self.pool.queues.items()}
        heap = [self._key(kind) for kind in queues]
        heapq.heapify(heap)
        while heap and len(self.choices) < target:
            key = heapq.heappop(heap)
            kind = key[-1]
            if capped and self.counts[kind] >= self.caps[kind]:
                continue
            if key[0] != self._part(kind):  # another class's photo has given one of this class too
                heapq.heappush(heap, self._key(kind))
                continue
            for name in queues[kind]:
                if name in self.taken or (by_source and self._is_full(self.pool.source[name])):
                    continue
                regions = self._regions(name, kind, capped)
                if regions is not None:
                    self._take(name, regions, rule)
                    heapq.heappush(heap, self._key(kind))
                    break
        return len(self.choices) - before

    def _part(self, kind: _Class) -> float:
        return self.counts[kind] / self.caps[kind]

    def _key(self, kind: _Class) -> tuple[float, int, bytes, _Class]:
        # Of equally filled classes the one with the fewest photos goes first: the others can wait.
        return self._part(kind), len(self.pool.queues[kind]), self.pool.order[kind], kind

    def _is_full(self, source: str) -> bool:
        quota = self.quotas.get(source)
        return quota is not None and self.by_source.get(source, 0) >= quota

    def _regions(self, name: str, leading: _Class, capped: bool) -> tuple[Candidate, ...] | None:
        """The photo's region of the leading class, and one of each other mask type; None when a cap forbids it."""
        picked: list[Candidate] = []
        for mask_type in self.pool.mask_types:
            several = self.pool.photos[name][mask_type]
            if mask_type == leading[0]:
                picked.append(next(one for one in several if one.category == leading[1]))
            elif capped:
                free = [one for one in several if self.counts[_kind(one)] < self.caps[_kind(one)]]
                if not free:
                    return None
                picked.append(free[0])
            else:
                # Without caps nothing else would keep the classes level; min takes the surest of equals.
                picked.append(min(several, key=lambda one: self._part(_kind(one))))
        return tuple(picked)

    def _take(self, name: str, regions: tuple[Candidate, ...], rule: str) -> None:
        source = self.pool.source[name]
        self.choices.append(Choice(name, source, regions, rule))
        self.taken.add(name)
        self.by_source[source] = self.by_source.get(source, 0) + 1
        for one in regions:
            self.counts[_kind(one)] += 1


def _check(photo: str, several: list[Candidate]) -> None:
    if len({one.source for one in several}) > 1:
        got = ", ".join(sorted({one.source for one in several}))
        raise BadSetting("a photo of two sources", where=photo, wanted="one", got=got)
    if len({one.index for one in several}) < len(several):
        raise BadSetting("two regions of a photo have the same number", where=photo)
    if not all(math.isfinite(one.score) for one in several):
        raise BadSetting("a region's score is not a number", where=photo)


def _ranked(several: list[Candidate]) -> dict[str, list[Candidate]]:
    ranked: dict[str, list[Candidate]] = {}
    seen: set[_Class] = set()
    for one in sorted(several, key=lambda one: (-one.score, one.index)):
        if _kind(one) not in seen:
            seen.add(_kind(one))
            ranked.setdefault(one.mask_type, []).append(one)
    return ranked


def _kind(one: Candidate) -> _Class:
    return one.mask_type, one.category


def _kinds(regions: tuple[Candidate, ...]) -> tuple[_Class, ...]:
    return tuple(_kind(one) for one in regions)


def _hash(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\x00".join((str(seed), *parts)).encode("utf-8", "surrogatepass")).digest()[:8]
