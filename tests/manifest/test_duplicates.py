"""Near duplicates against the slow, obvious way; leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fauxlens.images.phash import distance
from fauxlens.manifest.duplicates import exact_duplicates, groups, leaks, near_duplicates
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample


def make(
    hashes: list[int | None], digests: list[str | None] | None = None, splits: list[str] | None = None
) -> Manifest:
    rows = [
        Sample(
            id=f"{n}",
            path=f"{n}.png",
            label="real",
            origin=f"{n}",
            phash=value,
            sha256=None if digests is None else digests[n],
            split=None if splits is None else splits[n],
        )
        for n, value in enumerate(hashes)
    ]
    return Manifest.from_samples(rows, Path())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bits", [0, 1, 4])
def test_equals_the_comparison_of_all_with_all(seed, bits):
    rng = np.random.default_rng(seed)
    base = [int(v) for v in rng.integers(0, 2**63, 60)]
    near = []
    for value in base[:40]:
        flips = rng.choice(64, size=int(rng.integers(0, 8)), replace=False)
        near.append(value ^ sum(1 << int(flip) for flip in flips))
    hashes = list(dict.fromkeys(base + near))
    found = {(p.first, p.second, p.bits) for p in near_duplicates(make(hashes), bits)}
    wanted = {
        (a, b, d)
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if (d := distance(hashes[a], hashes[b])) <= bits
    }
    assert found == wanted
    assert bits == 0 or wanted


def test_equal_hashes_are_chained_and_equal_files_not_repeated():
    found = near_duplicates(make([7, 7, 7, None, 7], ["a", "a", "b", None, "c"]))
    assert [(p.first, p.second, p.bits) for p in found] == [(0, 2, 0), (0, 4, 0)]


def test_a_bucket_of_many_is_compared_in_blocks():
    rng = np.random.default_rng(0)
    # All share the lowest band, so one bucket holds all of them and is larger than a block.
    hashes = [int(v) << 13 for v in rng.choice(2**40, 5000, replace=False)]
    hashes.append(hashes[17] ^ (1 << 60))
    found = [(p.first, p.second) for p in near_duplicates(make(hashes), 1)]
    assert (17, 5000) in found


def test_groups_join_through_others():
    assert groups(6, [(1, 2), (4, 2), (5, 3)]).tolist() == [0, 1, 1, 3, 1, 3]


def test_exact_and_leaks():
    made = make([1, 2, 3, 2], ["a", "b", "a", None], ["train", "train", "test", "val"])
    exact = exact_duplicates(made)
    assert exact == [(0, 2)]
    found = leaks(made, exact, near_duplicates(made))
    assert [(k.kind, k.key, k.splits) for k in found][:1] == [("same bytes", "0.png", ("test", "train"))]
    assert ("near duplicate", (1, 3)) in [(k.kind, k.rows) for k in found]


def test_one_origin_in_two_splits_is_a_leak():
    rows = [
        Sample(id="a", path="a", label="real", origin="a", split="train"),
        Sample(id="b", path="b", label="edited", origin="a", split="test"),
        Sample(id="c", path="c", label="edited", origin="a", split=None),
    ]
    found = leaks(Manifest.from_samples(rows, Path()), [], [])
    assert [(k.kind, k.key, k.rows, k.splits) for k in found] == [("origin", "a", (0, 1, 2), ("test", "train"))]
