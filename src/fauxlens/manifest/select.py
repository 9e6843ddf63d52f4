"""Choosing rows: filters on columns, and one-to-one draws of real and forged; every choice goes into the history."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import nearest, unknown
from fauxlens.core.seeds import seed_for
from fauxlens.manifest.manifest import Manifest

_CONDITION = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(==|!=|!~|<=|>=|=|<|>|~)\s*(.*?)\s*$", re.DOTALL)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": pc.less_equal,
    ">=": pc.greater_equal,
    "<": pc.less,
    ">": pc.greater,
}
_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


def select(manifest: Manifest, *conditions: str) -> Manifest:
    """Only the rows that meet every condition, such as `width>=450`, `label=real`, `format=jpeg,png`, `licence=null`.

    Several values after `=` are alternatives, after `!=` exclusions; null matches only `=null`. `notes~test_gan` asks
    whether a text holds one of these pieces, `!~` whether it holds none of them (null holds nothing).
    """
    return manifest.where_all([(condition.strip(), matches(manifest, condition)) for condition in conditions])


def matches(manifest: Manifest, condition: str) -> pa.ChunkedArray:
    """One bool a row: whether it meets the condition; null where the column is null."""
    match = _CONDITION.match(condition)
    if match is None:
        raise BadSetting(
            "a condition is COLUMN OPERATOR VALUE",
            got=repr(condition),
            hint="for example width>=450 or format=jpeg,png",
        )
    name, sign, given = match.groups()
    if name not in manifest.table.column_names:
        there_are = manifest.table.column_names
        hint = f"{nearest(name, there_are)}There are: {', '.join(there_are)}"
        raise BadSetting(f"no column called '{name}'", where=condition, hint=hint)
    sign = "==" if sign == "=" else sign
    column = manifest.column(name)
    kind = column.type
    if sign in ("==", "!=") and given.lower() == "null":
        return pc.is_null(column) if sign == "==" else pc.is_valid(column)
    if sign in ("~", "!~"):
        return _holds(column, [part.strip() for part in given.split(",")], condition, invert=sign == "!~")
    if sign in ("==", "!="):
        values = pa.array([_value(kind, part.strip(), condition) for part in given.split(",")], type=kind)
        chosen = pc.is_in(column, values)
        # Null matches neither a value nor its opposite.
        return chosen if sign == "==" else pc.and_(pc.invert(chosen), pc.is_valid(column))
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        raise BadSetting("only numbers are larger or smaller", where=condition, got=f"{name} is {_in_words(kind)}")
    return _COMPARISONS[sign](column, pa.scalar(_value(kind, given, condition), type=kind))


def _holds(column: pa.ChunkedArray, pieces: list[str], condition: str, *, invert: bool) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type):
        raise BadSetting("only a text can hold a piece", where=condition, got=f"the column is {_in_words(column.type)}")
    if not all(pieces):
        raise BadSetting("an empty piece is in every text", where=condition, wanted="COLUMN~PIECE")
    found = pc.match_substring_regex(column, "|".join(re.escape(piece) for piece in pieces))
    return pc.invert(pc.fill_null(found, False)) if invert else found


def one_to_one(manifest: Manifest, how: str = "fixed", *, seed: int = 0, epoch: int = 0) -> Manifest:
    """As many forged rows as real ones (or the other way round, whichever is fewer), in the manifest's order.

    `how` is one of ONE_TO_ONE: "fixed" draws one list for all epochs, as BR-Gen's train.json does; "each-epoch" draws
    anew in every epoch; "each-origin" takes, in each epoch, one forgery of every real photo, uniform over method and
    mask type.
    """
    if how not in ONE_TO_ONE:
        raise unknown(how, ONE_TO_ONE, "one-to-one rule")
    fake = np.asarray(pc.not_equal(manifest.column("label"), "real").to_numpy(zero_copy_only=False), dtype=bool)
    real_rows, fake_rows = np.flatnonzero(~fake), np.flatnonzero(fake)
    for rows_of, name in ((real_rows, "real"), (fake_rows, "forged")):
        if not len(rows_of):
            raise BadSetting(
                f"there are no {name} rows to draw from",
                where=f"one real to one forged ({how})",
                got=f"{len(real_rows):,} real and {len(fake_rows):,} forged",
                hint="look whether an earlier filter took them all: the history is in the manifest",
            )
    rows = ONE_TO_ONE[how](manifest, real_rows, fake_rows, seed, epoch)
    when = "" if how == "fixed" else f", epoch {epoch}"
    return manifest.take(f"one real to one forged ({how}, seed {seed}{when})", np.sort(rows))


def _fixed(manifest: Manifest, real: Any, fake: Any, seed: int, epoch: int) -> Any:
    return _each_epoch(manifest, real, fake, seed, -1)


def _each_epoch(manifest: Manifest, real: Any, fake: Any, seed: int, epoch: int) -> Any:
    count = min(len(real), len(fake))
    return np.concatenate([_draw(manifest, rows, count, seed, epoch) for rows in (real, fake)])


def _each_origin(manifest: Manifest, real: Any, fake: Any, seed: int, epoch: int) -> Any:
    ids, origins = manifest.column("id").to_pylist(), manifest.column("origin").to_pylist()
    methods, kinds = manifest.column("method").to_pylist(), manifest.column("mask_type").to_pylist()
    # By the value of origin, which a photo and its forgeries share; of several copies of a photo one is drawn.
    photos: dict[str, list[int]] = {}
    for row in real.tolist():
        photos.setdefault(origins[row] or ids[row], []).append(row)
    forgeries: dict[str, dict[tuple[str, str], list[int]]] = {}
    for row in fake.tolist():
        if origins[row] in photos:
            cell = (methods[row] or "", kinds[row] or "")
            forgeries.setdefault(origins[row], {}).setdefault(cell, []).append(row)
    if not forgeries:
        raise BadSetting(
            "no forged row has the origin of a real one, so nothing pairs",
            where="each-origin",
            got=f"{len(real):,} real and {len(fake):,} forged",
            hint="take --one-to-one fixed, or bring the real photos that the forgeries came from and scan again",
        )
    chosen: list[int] = []
    for origin, cells in forgeries.items():
        rng = np.random.default_rng(seed_for("one-to-one", image_id=origin, method=str(seed), attempt=epoch))
        # First the cell, then the row in it, so that a method with more attempts is not drawn more often.
        cell = sorted(cells)[int(rng.integers(len(cells)))]
        for rows in (cells[cell], photos[origin]):
            rows.sort(key=lambda row: ids[row])
            chosen.append(rows[int(rng.integers(len(rows)))])
    return np.array(chosen, dtype=np.int64)


def _draw(manifest: Manifest, rows: Any, count: int, seed: int, epoch: int) -> Any:
    """`count` of `rows`; which ones depends on ids, seed and epoch, not on the order of the manifest."""
    if count == len(rows):
        return rows
    ids = manifest.column("id").take(pa.array(rows)).to_pylist()
    by_id = rows[np.argsort(np.array(ids, dtype=object), kind="stable")]
    rng = np.random.default_rng(seed_for("one-to-one", method=str(seed), attempt=epoch))
    return by_id[rng.permutation(len(by_id))[:count]]


ONE_TO_ONE: dict[str, Callable[[Manifest, Any, Any, int, int], Any]] = {
    "fixed": _fixed,
    "each-epoch": _each_epoch,
    "each-origin": _each_origin,
}


def _value(kind: pa.DataType, text: str, condition: str) -> Any:
    try:
        if pa.types.is_boolean(kind):
            return _YES_NO[text.lower()]
        if pa.types.is_integer(kind):
            return int(text)
        if pa.types.is_floating(kind):
            return float(text)
    except (ValueError, KeyError):
        raise BadSetting("a value of the wrong type", where=condition, wanted=_in_words(kind), got=repr(text)) from None
    return text


def _in_words(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_integer(kind):
        return "a whole number"
    return "a number" if pa.types.is_floating(kind) else "a text"
