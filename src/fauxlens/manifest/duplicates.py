"""Exact and near duplicates, and what leaks across splits because of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.manifest.manifest import Manifest

# BR-Gen's split rule groups photos whose perceptual hashes differ in at most four bits.
NEAR_BITS = 4
_BANDS = 5  # one more than the bits that may differ, so at least one band is equal in every pair looked for
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows (by number, first < second) and how many of the 64 bits of their hashes differ; None = same bytes."""

    first: int
    second: int
    bits: int | None


def exact_duplicates(manifest: Manifest) -> list[tuple[int, ...]]:
    """Groups of rows with the same bytes (SHA-256), each in row order; rows without a digest are not compared."""
    return _equal_groups([None if v is None else v for v in manifest.column("sha256").to_pylist()])


def near_duplicates(manifest: Manifest, bits: int = NEAR_BITS) -> list[Pair]:
    """Pairs of rows whose perceptual hashes differ in at most `bits` (up to 4); same bytes are not repeated here.

    Rows that share one hash are chained (first with each other one) rather than paired all with all.
    """
    if not 0 <= bits < _BANDS:
        raise ValueError(f"bits must be 0 to {_BANDS - 1}, got {bits}")
    column = manifest.column("phash")
    present = np.flatnonzero(~np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool))
    if not len(present):
        return []
    hashes = np.asarray(column.drop_null().to_numpy(), dtype=np.uint64)
    digests = manifest.column("sha256").to_pylist()
    order = np.argsort(hashes, kind="stable")
    distinct, starts = np.unique(hashes[order], return_index=True)
    rows_of = np.split(present[order], starts[1:])
    pairs: list[Pair] = []
    for rows in rows_of:
        pairs.extend(_pairs_within([int(r) for r in rows], digests))
    for a, b, differing in _close(distinct, bits):
        first, second = int(rows_of[a].min()), int(rows_of[b].min())
        pairs.append(Pair(min(first, second), max(first, second), differing))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def groups(size: int, links: list[tuple[int, ...]]) -> NDArray[np.int64]:
    """For each of `size` rows the smallest row that it is linked with, directly or through others.

    >>> groups(5, [(0, 3), (3, 4)]).tolist()
    [0, 1, 2, 0, 0]
    """
    above = np.arange(size, dtype=np.int64)

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = int(above[row])
        return row

    for link in links:
        first = top(link[0])
        for other in link[1:]:
            second = top(other)
            low, high = min(first, second), max(first, second)
            above[high] = low
            first = low
    return np.array([top(row) for row in range(size)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Leak:
    """Rows that belong together but lie in different splits. `kind` is origin, same bytes or near duplicate."""

    kind: str
    key: str
    rows: tuple[int, ...]
    splits: tuple[str, ...]


def leaks(manifest: Manifest, exact: list[tuple[int, ...]], near: list[Pair]) -> list[Leak]:
    """What is split that should not be: one origin, the same bytes, or near duplicates, in more than one split."""
    splits = manifest.column("split").to_pylist()
    paths = manifest.column("path")
    found: list[Leak] = []
    origins = manifest.column("origin").to_pylist()
    for rows in _equal_groups(origins):
        _add_leak(found, "origin", str(origins[rows[0]]), rows, splits)
    for rows in exact:
        _add_leak(found, "same bytes", paths[rows[0]].as_py(), rows, splits)
    for pair in near:
        if pair.bits is not None:
            _add_leak(found, "near duplicate", paths[pair.first].as_py(), (pair.first, pair.second), splits)
    return found


def _add_leak(found: list[Leak], kind: str, key: str, rows: tuple[int, ...], splits: list[str | None]) -> None:
    different = sorted({split for row in rows if (split := splits[row]) is not None})
    if len(different) > 1:
        found.append(Leak(kind, key, rows, tuple(different)))


def _equal_groups(values: list[Any]) -> list[tuple[int, ...]]:
    rows_of: dict[Any, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            rows_of.setdefault(value, []).append(row)
    return [tuple(rows) for rows in rows_of.values() if len(rows) > 1]


def _pairs_within(rows: list[int], digests: list[str | None]) -> list[Pair]:
    """Rows of one hash, chained; those with the same bytes count once."""
    seen: set[str] = set()
    distinct: list[int] = []
    for row in sorted(rows):
        digest = digests[row]
        if digest is None or digest not in seen:
            distinct.append(row)
            if digest is not None:
                seen.add(digest)
    return [Pair(distinct[0], other, 0) for other in distinct[1:]]


def _close(hashes: NDArray[np.uint64], bits: int) -> Iterator[tuple[int, int, int]]:
    """(first, second, differing bits) of distinct sorted hashes that differ in 1 to `bits` bits, each pair once.

    Two hashes that differ in at most four of 64 bits are equal in at least one of five bands: only rows that share a
    band are compared.
    """
    edges = np.linspace(0, 64, _BANDS + 1).astype(int)
    bands = [(hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1) for low, high in pairwise(edges.tolist())]
    for number, band in enumerate(bands):
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(band[order]) != 0])
        for members in np.split(order, starts[1:]):
            if len(members) < 2:
                continue
            for a, b, differing in _close_in_bucket(hashes, members, bits):
                # A pair that an earlier band has already found is not found again.
                if not any(bands[k][a] == bands[k][b] for k in range(number)):
                    yield a, b, differing


def _close_in_bucket(
    hashes: NDArray[np.uint64], members: NDArray[np.int64], bits: int
) -> Iterator[tuple[int, int, int]]:
    for start in range(0, len(members), _BLOCK):
        block = members[start : start + _BLOCK]
        for other_start in range(start, len(members), _BLOCK):
            others = members[other_start : other_start + _BLOCK]
            differing = np.bitwise_count(hashes[block][:, None] ^ hashes[others][None, :])
            rows, columns = np.nonzero(differing <= bits)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                a, b = int(block[row]), int(others[column])
                if a < b or (other_start > start and a != b):
                    yield min(a, b), max(a, b), int(differing[row, column])
