"""One check for all settings of judges: a number within its range."""

from __future__ import annotations

from fauxlens.core.errors import BadSetting


def require_between(name: str, value: float, lowest: float, highest: float) -> None:
    """Refuse a setting outside of its range, and one that is no number.

    >>> require_between("limit", 60.0, 0.0, 200.0)
    """
    if not lowest <= value <= highest:
        raise BadSetting(f"{name} is out of range", wanted=f"{lowest:g} to {highest:g}", got=value)
