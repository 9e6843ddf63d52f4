"""Recipes: the TOML files that come with the package, by name or by path."""

from __future__ import annotations

from pathlib import Path

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel they lie inside the package; in a checkout beside it, where people look for them.
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes")


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package.

    >>> "embedded" in recipe_names()
    True
    """
    return tuple(sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.toml")}))


def recipe_path(name: str) -> Path:
    """Where the recipe called `name` lies; a path to a TOML file is taken as it is."""
    given = Path(name)
    if given.suffix == ".toml":
        if not given.is_file():
            raise BadSetting("no such recipe", where=given, hint=f"by name there are: {', '.join(recipe_names())}")
        return given
    for folder in _FOLDERS:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise unknown(name, recipe_names(), "recipe")
