"""What works on this machine, and what an extra would add. Looks at what is installed; imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fauxlens.core.version import __version__

_LOW_DISK = 2 * 1024**3
_PILLOW_AGAIN = "install Pillow from its own wheel: pip install --force-reinstall pillow"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that works or not; `needed` when the core does not work without it."""

    what: str
    works: bool
    found: str
    next_step: str | None = None
    needed: bool = True


# What it is for, module, distribution, and the extra that brings it (None: the core needs it).
_LIBRARIES: tuple[tuple[str, str, str, str | None], ...] = (
    ("pixels", "PIL", "pillow", None),
    ("pixels", "cv2", "opencv-python-headless", None),
    ("tables", "pyarrow", "pyarrow", None),
    ("statistics", "sklearn", "scikit-learn", None),
    ("regions, sample photos", "skimage", "scikit-image", None),
    ("charts", "matplotlib", "matplotlib", None),
    ("networks", "torch", "torch", None),
    ("weights", "safetensors", "safetensors", None),
    ("weights", "huggingface_hub", "huggingface_hub", None),
    ("HEIC files", "pillow_heif", "pillow-heif", "formats"),
    ("Content Credentials", "c2pa", "c2pa-python", "provenance"),
    ("real forgeries, DIRE on photos", "diffusers", "diffusers", "forge"),
    ("CLIP-based detectors", "transformers", "transformers", "zoo"),
    ("web page and API", "fastapi", "fastapi", "serve"),
    ("ONNX export", "onnxruntime", "onnxruntime", "export"),
    ("training logs", "tensorboard", "tensorboard", "train"),
    ("many machines", "ray", "ray", "ray"),
)


def examine() -> list[Check]:
    """All checks, in the order a person reads them."""
    return [*_machine(), *(_library(*row) for row in _LIBRARIES), *_codecs(), _accelerator()]


def _machine() -> Iterator[Check]:
    version = platform.python_version()
    yield Check("fauxlens", True, __version__)
    recent = sys.version_info >= (3, 11)
    yield Check("Python 3.11 or newer", recent, version, None if recent else "install a newer Python")
    yield Check("processors", True, str(os.cpu_count() or "unknown"), needed=False)
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    short = "free some disk space" if free < _LOW_DISK else None
    yield Check("room for temporary files", free >= _LOW_DISK, f"{free / 1024**3:.1f} GiB free", short, needed=False)


def _library(purpose: str, module: str, distribution: str, extra: str | None) -> Check:
    what = f"{purpose}: {distribution}"
    if importlib.util.find_spec(module) is None:
        step = "pip install fauxlens" if extra is None else f'pip install "fauxlens[{extra}]"'
        return Check(what, False, "not installed", step, needed=extra is None)
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        found = "installed, version unknown"
    return Check(what, True, found, needed=extra is None)


def _codecs() -> Iterator[Check]:
    if importlib.util.find_spec("PIL") is None:
        return
    try:
        from PIL import features
    except ImportError as broken:  # there, but not for this machine or this Python
        yield Check("Pillow can be imported", False, str(broken), _PILLOW_AGAIN)
        return
    check: Callable[[str], bool | None] = features.check
    for what, name in (
        ("WebP", "webp"),
        ("AVIF", "avif"),
        ("colour profiles", "littlecms2"),
        ("TIFF codecs", "libtiff"),
    ):
        works = bool(check(name))
        step = None if works else _PILLOW_AGAIN
        yield Check(f"Pillow reads {what}", works, str(features.version(name) or "no"), step, needed=False)


def _accelerator() -> Check:
    # Asking torch costs seconds and starts the driver; the driver's own files tell as much.
    for what, sign in (
        ("NVIDIA driver", Path("/proc/driver/nvidia/version")),
        ("AMD driver", Path("/sys/module/amdgpu")),
    ):
        if sign.exists():
            return Check("accelerator", True, what, needed=False)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Check("accelerator", True, "Apple silicon", needed=False)
    return Check("accelerator", False, "none; everything runs on the processor", needed=False)
