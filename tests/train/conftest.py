"""What most tests of trainings begin with."""

from __future__ import annotations

import pytest

from fauxlens.manifest.manifest import Manifest
from fauxlens.train import loop
from train_runs import small_set


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A drawn set of few pictures, with splits."""
    return small_set(tmp_path_factory.mktemp("set"))


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer to draw than these trainings take."""
    monkeypatch.setattr(loop, "write_page", lambda *_, **__: None)
