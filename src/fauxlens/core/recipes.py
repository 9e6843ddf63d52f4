"""Recipes: the TOML files that come with the package, by name or by path."""

from __future__ import annotations

from pathlib import Path

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.settings import read_toml

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel they lie inside the package; in a checkout beside it, where people look for them.
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes")


def recipe_names(having: str = "") -> tuple[str, ...]:
    """The recipes that come with the package; with `having`, those with a table or key of that name.

    >>> "embedded" in recipe_names("methods"), "learned" in recipe_names("methods")
    (True, False)
    """
    paths = {path.stem: path for folder in _FOLDERS for path in folder.glob("*.toml")}
    return tuple(sorted(name for name, path in paths.items() if not having or having in read_toml(path)))


def recipe_path(name: str, having: str = "") -> Path:
    """Where the recipe called `name` lies; a path to a TOML file is taken as it is."""
    given = Path(name)
    if given.suffix == ".toml":
        if not given.is_file():
            raise BadSetting(
                "no such recipe", where=given, hint=f"by name there are: {', '.join(recipe_names(having))}"
            )
        return given
    for folder in _FOLDERS if not having or name in recipe_names(having) else ():
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise unknown(name, recipe_names(having), "recipe")
