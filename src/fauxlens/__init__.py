"""Was this picture made or edited by a machine, and where? And can the benchmark that says so be believed?

The front door. Names are imported when they are first used, so `import fauxlens` costs milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fauxlens.core.errors import FauxlensError
from fauxlens.core.version import __version__

if TYPE_CHECKING:
    from fauxlens.detectors.load import load
    from fauxlens.images.picture import Picture, read_picture
    from fauxlens.manifest.manifest import Manifest, read_manifest
    from fauxlens.manifest.sample import Sample
    from fauxlens.manifest.scan import scan
    from fauxlens.manifest.verify import verify
    from fauxlens.verdict.inspect import inspect

__all__ = [
    "FauxlensError",
    "Manifest",
    "Picture",
    "Sample",
    "__version__",
    "inspect",
    "load",
    "read_manifest",
    "read_picture",
    "scan",
    "verify",
]

_HOMES = {
    "Manifest": "fauxlens.manifest.manifest",
    "Picture": "fauxlens.images.picture",
    "Sample": "fauxlens.manifest.sample",
    "inspect": "fauxlens.verdict.inspect",
    "load": "fauxlens.detectors.load",
    "read_manifest": "fauxlens.manifest.manifest",
    "read_picture": "fauxlens.images.picture",
    "scan": "fauxlens.manifest.scan",
    "verify": "fauxlens.manifest.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fauxlens' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
