"""Settings are frozen dataclasses, read from TOML, checked once at the door.

The dataclass is the documentation and the schema: names, types, defaults. An unknown key names the nearest known one;
a wrong type says the file, the key, what was wanted and what was found. A file may start from another with `extends`.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import nearest

T = TypeVar("T")
_PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def read_settings(kind: type[T], path: Path) -> T:
    """Read a TOML file into the settings dataclass `kind`."""
    return settings_from(kind, read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; `extends = "other.toml"` (relative to the file) is merged in below it."""
    return _read_extended(Path(path), ())


def settings_from(kind: type[T], given: Mapping[str, Any], *, where: str = "settings") -> T:
    """Make a `kind` of `given`, checking names and types.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Plan:
    ...     epochs: int = 20
    >>> settings_from(Plan, {"epoch": 3})
    Traceback (most recent call last):
    ...
    fauxlens.core.errors.BadSetting: settings: no such setting: 'epoch'. Next: Did you mean 'epochs'? There are: epochs
    """
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"settings must be a dataclass, got {kind!r}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in given:
        if name not in fields:
            raise BadSetting(
                f"no such setting: '{name}'",
                where=where,
                hint=f"{nearest(name, fields)}There are: {', '.join(sorted(fields))}",
            )
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in given:
            wanted = _in_words(hints[name])
            raise BadSetting(f"setting '{name}' is missing", where=where, wanted=wanted, hint=f"add `{name} = ...`")
    values = {name: _fit(hints[name], value, f"{where}: {name}") for name, value in given.items()}
    try:
        return kind(**values)
    except BadSetting as bad:
        if bad.where is not None:
            raise
        # The dataclass checks its own ranges and does not know which file it came from.
        raise BadSetting(bad.what, where=where, wanted=bad.wanted, got=bad.got, hint=bad.hint) from None


def settings_to(settings: Any) -> dict[str, Any]:
    """Make plain data (JSON-ready) of a settings dataclass; `settings_from` undoes it.

    None is left out where it is the default, as TOML has no word for it.
    """
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(settings)
        if field.init and ((value := getattr(settings, field.name)) is not None or field.default is not None)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings_to(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def _read_extended(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    resolved = path.resolve()
    if resolved in above:
        chain = " -> ".join(p.name for p in (*above, resolved))
        raise BadSetting("'extends' goes round in a circle", where=path, got=chain)
    try:
        with path.open("rb") as stream:
            given = tomllib.load(stream)
    except FileNotFoundError:
        raise BadSetting("no such file", where=path) from None
    except OSError as fault:
        raise BadSetting("cannot be read", where=path, wanted="a TOML file", got=fault.strerror) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise BadSetting(f"not valid TOML: {bad}", where=path) from bad
    base = given.pop("extends", None)
    if base is None:
        return given
    if not isinstance(base, str):
        raise BadSetting("'extends' names another file", where=path, wanted="a text", got=repr(base))
    return _merge(_read_extended(path.parent / base, (*above, resolved)), given)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _fit(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint` asks for, or say why not."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _fit_union(hint, arguments, value, where)
    if origin is typing.Literal:
        if value in arguments and type(value) in {type(option) for option in arguments}:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            variadic = len(arguments) == 2 and arguments[1] is Ellipsis
            if variadic or len(arguments) == len(value):
                inner = [arguments[0]] * len(value) if variadic else list(arguments)
                pairs = zip(inner, value, strict=True)
                return tuple(_fit(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(pairs))
    elif origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if isinstance(value, Mapping):
            return {str(key): _fit(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    elif isinstance(hint, type):
        fitted = _fit_class(hint, value, where)
        if fitted is not None:
            return fitted[0]
    raise BadSetting("a setting of the wrong type", where=where, wanted=_in_words(hint), got=repr(value))


def _fit_union(hint: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    last: BadSetting | None = None
    for option in arguments:
        if option is type(None):
            continue
        try:
            return _fit(option, value, where)
        except BadSetting as bad:
            last = bad
    if last is not None and len([a for a in arguments if a is not type(None)]) == 1:
        raise last
    raise BadSetting("a setting of the wrong type", where=where, wanted=_in_words(hint), got=repr(value))


def _fit_class(hint: type, value: Any, where: str) -> tuple[Any] | None:
    """A one-tuple with the fitted value, or None when it does not fit."""
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):
            return (value,)
        return (settings_from(hint, value, where=where),) if isinstance(value, Mapping) else None
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return (float(value),)
        except OverflowError:  # TOML's whole numbers have no end here
            return None
    if hint is int:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else None
    if hint is Path:
        return (Path(value),) if isinstance(value, str | Path) else None
    return (value,) if isinstance(value, hint) else None


def _in_words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is type(None):
        return "nothing"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"a list ({_in_words(arguments[0])} each)"
        return f"a list of {len(arguments)} ({', '.join(_in_words(a) for a in arguments)})"
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return f"a table of {', '.join(f.name for f in dataclasses.fields(hint))}"
        return _PLAIN.get(hint, hint.__name__)
    return "a table" if origin is not None else str(hint)
