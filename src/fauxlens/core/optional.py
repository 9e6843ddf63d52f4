"""Optional libraries: imported where they are used, and their absence names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from fauxlens.core.errors import MissingExtra


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional library, or say what it is for and how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as gone:
        # A library that is there but lacks one of its own parts is another fault; do not hide it.
        if gone.name is not None and gone.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtra(f"{purpose} needs {module}", hint=f'pip install "fauxlens[{extra}]"') from gone
