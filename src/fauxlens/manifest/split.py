"""Splits 8 : 1 : 1 that never tear apart what belongs together, and that never move a file because others came.

u = hash(salt, origin group) in [0, 1): train below 0.8, val below 0.9, test above, within each source. Adding files
leaves every old one where it was. `exact=True` ranks the groups of each source by the same hash and cuts the ranks
instead (floor for val and test, the rest to train), where published counts must be met; there, adding files may move
old ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.core.seeds import share_of
from fauxlens.manifest.duplicates import groups, near_duplicates
from fauxlens.manifest.manifest import Manifest

DEFAULT_SALT = "fauxlens-split-1"


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How a manifest is split."""

    names: tuple[str, ...] = ("train", "val", "test")
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    salt: str = DEFAULT_SALT
    exact: bool = False
    join_near_duplicates: bool = False

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shares) or len(self.names) < 2:
            raise BadSetting("one share for each split", wanted=f"{len(self.names)} shares", got=len(self.shares))
        if len(set(self.names)) != len(self.names) or not all(self.names):
            raise BadSetting("split names must be different", got=", ".join(self.names))
        if any(not 0 < share < 1 for share in self.shares) or abs(sum(self.shares) - 1) > 1e-9:
            raise BadSetting("shares must lie between 0 and 1 and sum to 1", got=", ".join(map(str, self.shares)))


def split(manifest: Manifest, plan: SplitPlan | None = None) -> Manifest:
    """`manifest` with its `split` column set by `plan`; rows of one origin group always share a split."""
    plan = plan or SplitPlan()
    sources = [value or "" for value in manifest.column("source").to_pylist()]
    keys = _group_keys(manifest, plan)
    home = _home_sources(keys, sources)
    place = _ranked(home, plan) if plan.exact else _hashed(home, plan)
    assigned = [place[key] for key in keys]
    kind = "exact ranks" if plan.exact else "hash"
    shares = ":".join(f"{share:g}" for share in plan.shares)
    why = f"split {'/'.join(plan.names)} {shares} by origin and source ({kind}, salt '{plan.salt}')"
    if plan.join_near_duplicates:
        why += ", near duplicates kept together"
    return manifest.with_columns(why, {"split": assigned})


def _group_keys(manifest: Manifest, plan: SplitPlan) -> list[str]:
    ids = manifest.column("id").to_pylist()
    origins = manifest.column("origin").to_pylist()
    keys = [origin or one for origin, one in zip(origins, ids, strict=True)]
    if not plan.join_near_duplicates:
        return keys
    numbers: dict[str, int] = {}
    first_rows = [numbers.setdefault(key, row) for row, key in enumerate(keys)]
    links = [(row, first) for row, first in enumerate(first_rows) if row != first]
    links += [(pair.first, pair.second) for pair in near_duplicates(manifest)]
    joined = groups(len(keys), [tuple(link) for link in links])
    # Named by the smallest key, not by the first row, so that the order of rows does not matter.
    smallest: dict[int, str] = {}
    for row, group in enumerate(joined.tolist()):
        smallest[group] = min(smallest.get(group, keys[row]), keys[row])
    return [smallest[group] for group in joined.tolist()]


def _home_sources(keys: Sequence[str], sources: Sequence[str]) -> dict[str, str]:
    """The source that each group is counted in: the alphabetically first one among its rows."""
    home: dict[str, str] = {}
    for key, source in zip(keys, sources, strict=True):
        home[key] = min(home.get(key, source), source)
    return home


def _hashed(home: dict[str, str], plan: SplitPlan) -> dict[str, str]:
    edges = np.cumsum(plan.shares)[:-1]
    # `round` removes the last place that summing shares leaves behind: 0.8 + 0.1 must be 0.9.
    cuts = [round(float(edge), 12) for edge in edges]
    return {key: plan.names[sum(share_of(plan.salt, key) >= cut for cut in cuts)] for key in home}


def _ranked(home: dict[str, str], plan: SplitPlan) -> dict[str, str]:
    by_source: dict[str, list[str]] = {}
    for key, source in home.items():
        by_source.setdefault(source, []).append(key)
    place: dict[str, str] = {}
    for members in by_source.values():
        ranked = sorted(members, key=lambda key: (share_of(plan.salt, key), key))
        # Floor everywhere, the remainder to the first split.
        counts = [int(len(ranked) * share + 1e-9) for share in plan.shares]
        counts[0] += len(ranked) - sum(counts)
        names = [name for name, count in zip(plan.names, counts, strict=True) for _ in range(count)]
        place.update(zip(ranked, names, strict=True))
    return place
