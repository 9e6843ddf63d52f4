"""The doctor: what is absent gets its command, what is needed is told from what is nice, nothing heavy is imported."""

from __future__ import annotations

import builtins
import importlib.util
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from fauxlens.core import doctor
from fauxlens.core.doctor import Check, examine


def absent(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else real(name, *rest))


def of(what: str) -> Check:
    (found,) = [check for check in examine() if check.what == what or check.what.endswith(what)]
    return found


def test_what_works_has_no_next_step() -> None:
    checks = examine()
    assert len({check.what for check in checks}) == len(checks)
    for check in checks:
        assert check.found
        assert not (check.works and check.next_step), check
    assert of("Python 3.11 or newer").works
    assert of(": pillow").found == metadata.version("pillow")


@pytest.mark.parametrize(
    ("module", "what", "step", "needed"),
    [
        ("pyarrow", "pyarrow", "pip install fauxlens", True),
        ("torch", "torch", "pip install fauxlens", True),
        ("pillow_heif", "pillow-heif", 'pip install "fauxlens[formats]"', False),
        ("ray", "ray", 'pip install "fauxlens[ray]"', False),
    ],
)
def test_an_absent_library_gets_its_command(
    module: str, what: str, step: str, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent(monkeypatch, module)
    assert of(f": {what}") == Check(of(f": {what}").what, False, "not installed", step, needed)


def test_every_extra_is_one_that_the_package_offers() -> None:
    offered = set(metadata.metadata("fauxlens").get_all("Provides-Extra") or ())
    assert {row[3] for row in doctor._LIBRARIES} - {None} <= offered


def test_without_pillow_its_codecs_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "PIL")
    assert not [check for check in examine() if check.what.startswith("Pillow")]


def test_a_pillow_that_cannot_be_imported_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "PIL":
            raise ImportError("the _imaging extension was built for another Pillow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    found = of("Pillow can be imported")
    assert (found.works, found.needed) == (False, True)
    assert "_imaging" in found.found
    assert "pillow" in (found.next_step or "")


def test_a_library_without_metadata_is_there_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    assert of(": pillow") == Check("pixels: pillow", True, "installed, version unknown")


def test_little_disk_is_told_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LOW_DISK", 1 << 80)
    found = of("temporary files")
    assert (found.works, found.needed) == (False, False)
    assert found.next_step


def test_nothing_heavy_is_imported() -> None:
    code = "import sys; from fauxlens.core.doctor import examine; examine(); print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pyarrow", "cv2", "sklearn", "skimage", "matplotlib", "transformers"} & set(told)
