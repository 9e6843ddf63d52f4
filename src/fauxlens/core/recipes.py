"""Recipes: the TOML files that come with the package, by name or by path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.settings import read_toml

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel they lie inside the package; in a checkout beside it, where people look for them.
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes")
_BELOW = ("", "forge")  # those of training lie at the top, those of the forge in a folder of their own


def recipe_names(having: str = "") -> tuple[str, ...]:
    """The recipes that come with the package; with `having`, those with a table or key of that name.

    >>> "br-gen" in recipe_names("methods"), "npr" in recipe_names("methods")
    (True, False)
    """
    return tuple(sorted({path.stem for path in _recipes(having)}))


def recipe_path(name: str, having: str = "") -> Path:
    """Where the recipe called `name` lies; a path to a TOML file is taken as it is.

    The embedded forge and the embedded detector have recipes of the same name: `having` says which one is meant.
    """
    given = Path(name)
    if given.suffix == ".toml":
        if not given.is_file():
            raise BadSetting(
                "no such recipe", where=given, hint=f"by name there are: {', '.join(recipe_names(having))}"
            )
        return given
    for path in _recipes(having):
        if path.stem == name:
            return path
    raise unknown(name, recipe_names(having), "recipe")


def without_kind(path: Path, kind: str) -> dict[str, Any]:
    """What a recipe says but for its `kind`, which only names who reads it; one of another kind is refused."""
    given = read_toml(path)
    found = given.pop("kind", kind)
    if found != kind:
        raise BadSetting("a recipe of another kind", where=path, wanted=f'kind = "{kind}"', got=found)
    return given


def digest_without_kind(path: Path) -> str:
    """SHA-256 of a recipe's bytes without the line that says its `kind`."""
    lines = path.read_bytes().splitlines(keepends=True)
    return hashlib.sha256(b"".join(line for line in lines if not line.startswith(b"kind ="))).hexdigest()


def _recipes(having: str) -> Iterator[Path]:
    for folder in _FOLDERS:
        for below in _BELOW:
            for path in sorted((folder / below).glob("*.toml")):
                if not having or having in read_toml(path):
                    yield path
