"""Copies: the same picture under two labels, and the same or nearly the same picture in two splits.

Near copies under two labels are looked for between reals and generated pictures of no common origin: an edited picture,
or one translated from a photo that is named as its origin, looks like it by right.

These are facts about the whole manifest, not estimates: what is found is certain, and has no p-value. Digests and
perceptual hashes come from the manifest (`fauxlens verify` fills them in); where it has none, from the pictures of the
sample. Two pictures with near hashes are looked at again, as thumbnails, before they are called copies. No `series`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fauxlens.audit.features import Features, features_of
from fauxlens.audit.probes.comparison import ProbeContext, Wording, distinct, skipped
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.errors import UnreadableImage
from fauxlens.core.report import Column, Figure, Table
from fauxlens.images.picture import read_picture
from fauxlens.manifest.duplicates import NEAR_BITS, Leak, Pair, exact_duplicates, leaks, near_duplicates
from fauxlens.manifest.manifest import Manifest
from fauxlens.report.sheet import contact_sheet

LABELS = Wording(
    "duplicates",
    "One picture under two labels",
    "",
    "The same picture is called real and fake: whichever a detector says, it is wrong once, and its training "
    "is told both.",
)
SPLITS = Wording(
    "leaks",
    "Copies across splits",
    "",
    "A detector that is trained on one of them and tested on the other has seen the answer. Keep copies, and "
    "everything made from one photo, in one split (`fauxlens split` does).",
)
LOOKED_AT = 300  # near pairs; more are taken at their hashes' word
_LISTED = 50
_NONE = "There is nothing to do about this."


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """Copies across labels and across splits, in the whole manifest."""
    manifest, note = _with_hashes(context.manifest.usable(listed=True), features)
    if not len(manifest):
        reason = "The manifest has no usable pictures."
        return [skipped(LABELS, None, reason), skipped(SPLITS, None, reason)]
    looks = _Looks(manifest, features)
    exact = [*exact_duplicates(manifest), *looks.equal()]
    near = near_duplicates(manifest)
    twins = _twins(manifest, near, looks)
    return [_under_two_labels(manifest, exact, twins, looks, note), _across_splits(manifest, exact, near, looks, note)]


class _Looks:
    """Thumbnails of rows of the manifest: from the sample, else from the file."""

    def __init__(self, manifest: Manifest, features: Features) -> None:
        self._manifest = manifest
        self._features = features
        self._row_of = {key: row for row, key in enumerate(features.ids)}
        self._ids: list[str] = manifest.column("id").to_pylist()
        self._thumbnails: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None] = {}

    def of(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
        """(16, 16, 3), or None when the file cannot be read."""
        if row not in self._thumbnails:
            known = self._row_of.get(self._ids[row])
            try:
                self._thumbnails[row] = (
                    self._features.colour[known]
                    if known is not None
                    else features_of(read_picture(self._manifest.path_of(self._manifest[row])).pixels).colour.astype(
                        "f4"
                    )
                )
            except UnreadableImage:
                self._thumbnails[row] = None
        return self._thumbnails[row]

    def agree(self, first: int, second: int) -> bool:
        """Whether two thumbnails differ by less than re-saving explains; True when one cannot be read."""
        one, other = self.of(first), self.of(second)
        return one is None or other is None or float(np.abs(one - other).mean()) < 0.04

    def equal(self) -> list[tuple[int, ...]]:
        """Rows of the sample that look exactly the same and whose digests are not known."""
        digests = dict(zip(self._ids, self._manifest.column("sha256").to_pylist(), strict=True))
        place = {key: row for row, key in enumerate(self._ids)}
        rows_of: dict[bytes, list[int]] = {}
        for at, key in enumerate(self._features.ids):
            # A flat picture has no hash: that two are equally flat makes them no copies.
            if key in place and digests[key] is None and self._features.phash[at] is not None:
                look = self._features.grey[at].tobytes() + self._features.spectrum[at].tobytes()
                rows_of.setdefault(look, []).append(place[key])
        return [tuple(sorted(rows)) for rows in rows_of.values() if len(rows) > 1]


def _with_hashes(manifest: Manifest, features: Features) -> tuple[Manifest, str]:
    column = manifest.column("phash")
    if column.null_count < len(column):
        return manifest, ""
    of_sample = dict(zip(features.ids, features.phash, strict=True))
    hashes = pa.array([of_sample.get(key) for key in manifest.column("id").to_pylist()], type=pa.uint64())
    filled = manifest.with_columns("hashes of the sample", {"phash": hashes})
    note = f" The manifest has no hashes: only the {len(features):,} pictures of the sample were compared; "
    return filled, note + "run `fauxlens verify` to compare all."


def _twins(manifest: Manifest, near: Sequence[Pair], looks: _Looks) -> list[tuple[int, int]]:
    """Pairs of a real and a generated picture that look all but the same and name no common origin."""
    labels, origins, digests = (manifest.column(name).to_pylist() for name in ("label", "origin", "sha256"))
    found = []
    looked = 0
    for pair in near:
        rows = pair.first, pair.second
        one, other = (origins[row] for row in rows)
        same_bytes = digests[rows[0]] is not None and digests[rows[0]] == digests[rows[1]]
        if {labels[row] for row in rows} != {"real", "generated"} or (one is not None and one == other) or same_bytes:
            continue
        looked += 1
        if looked > LOOKED_AT or looks.agree(*rows):
            found.append(rows)
    return found


def _under_two_labels(
    manifest: Manifest, exact: Sequence[tuple[int, ...]], near: Sequence[tuple[int, int]], looks: _Looks, note: str
) -> Shortcut:
    labels, paths = manifest.column("label").to_pylist(), manifest.column("path").to_pylist()
    torn = [rows for rows in exact if len({labels[row] for row in rows}) > 1]
    equal = {row for rows in torn for row in rows}
    twins = [rows for rows in near if not set(rows) <= equal]
    found = [*torn, *twins]
    involved = len(equal | {row for rows in twins for row in rows})
    columns = (Column("pictures"), Column("labels"), Column("how alike"))
    rows = tuple((" = ".join(paths[r] for r in one[:4]), " / ".join(sorted({labels[r] for r in one})),
                  "equal" if at < len(torn) else "all but equal") for at, one in enumerate(found))  # fmt: skip
    told = []
    if torn:
        told.append(f"{len(equal):,} files in {len(torn):,} groups of equal files carry more than one label.")
    if twins:
        told.append(
            f"In {len(twins):,} pair{'s' * (len(twins) > 1)} a real and a generated picture look all but the same "
            f"(perceptual hashes within {NEAR_BITS} of 64 bits, thumbnails alike): photos saved again among the fakes, "
            "or photos a generator repeats; look at them."
        )
    return Shortcut(
        name=LABELS.name,
        title=LABELS.title,
        statistic_name="share of the pictures",
        statistic=involved / len(manifest),
        certain=bool(found),
        count=len(manifest),
        effect=(" ".join(told) or "No picture carries two labels.") + note,
        meaning=LABELS.meaning if found else _NONE,
        examples=distinct([paths[row] for one in found[:2] for row in one]),
        tables=(Table("two-labels", "One picture under two labels", columns, rows[:_LISTED]),) if found else (),
        figures=_pairs_figure("two-labels", "Pairs under two labels", twins, paths, looks),
    )


def _across_splits(
    manifest: Manifest, exact: Sequence[tuple[int, ...]], near: Sequence[Pair], looks: _Looks, note: str
) -> Shortcut:
    splits = {split for split in manifest.column("split").to_pylist() if split is not None}
    if len(splits) < 2:
        return skipped(SPLITS, None, "The manifest has fewer than two splits, so nothing can leak from one to another.")
    found: list[Leak] = []
    looked = 0
    for leak in leaks(manifest, list(exact), list(near)):
        if leak.kind == "near duplicate":
            looked += 1
            if looked <= LOOKED_AT and not looks.agree(leak.rows[0], leak.rows[1]):
                continue
        found.append(leak)
    paths = manifest.column("path").to_pylist()
    kinds: dict[str, int] = {}
    for leak in found:
        kinds[leak.kind] = kinds.get(leak.kind, 0) + 1
    involved = {row for leak in found for row in leak.rows}
    counted = ", ".join(f"{count:,} by {kind}" for kind, count in sorted(kinds.items()))
    columns = (Column("what they share"), Column("pictures"), Column("splits"))
    rows = tuple((leak.kind, " = ".join(paths[r] for r in leak.rows[:4]), " + ".join(leak.splits)) for leak in found)
    title = "In more than one split" + ("" if len(found) <= _LISTED else f" (the first {_LISTED} of {len(found):,})")
    return Shortcut(
        name=SPLITS.name,
        title=SPLITS.title,
        statistic_name="share of the pictures",
        statistic=len(involved) / len(manifest),
        certain=bool(found),
        count=len(manifest),
        effect=f"{len(involved):,} pictures have a copy or a sibling in another split ({counted}).{note}"
        if found
        else f"No picture has a copy in another split.{note}",
        meaning=SPLITS.meaning if found else _NONE,
        examples=distinct([paths[row] for leak in found[:2] for row in leak.rows]),
        tables=(Table("leaks", title, columns, rows[:_LISTED]),) if found else (),
        figures=_pairs_figure("leaks", "Pairs in two splits", [leak.rows for leak in found], paths, looks),
    )


def _pairs_figure(
    name: str, title: str, found: Sequence[tuple[int, ...]], paths: Sequence[str], looks: _Looks
) -> tuple[Figure, ...]:
    cells = []
    for rows in found[:4]:
        for row in rows[:2]:
            thumbnail = looks.of(row)
            if thumbnail is not None:
                pixels = np.clip(thumbnail * 255, 0, 255).astype(np.uint8).repeat(5, 0).repeat(5, 1)
                cells.append((paths[row].rpartition("/")[2], pixels))
    return (contact_sheet(name, title, [cells], side=80),) if cells else ()
