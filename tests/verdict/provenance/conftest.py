"""One way to ask: bytes in, evidence out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlens.images.picture import read_picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance import Told, provenance

Ask = Callable[[bytes], Told]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def told(data: bytes) -> Told:
        path = tmp_path / "picture"
        path.write_bytes(data)
        return provenance(path, read_picture(path))

    return told


@pytest.fixture
def find(ask: Ask) -> Callable[[bytes, str], Evidence]:
    """The one piece of evidence of a check."""

    def found(data: bytes, check: str) -> Evidence:
        several = [one for one in ask(data).evidence if one.check == check]
        assert len(several) == 1, [one.sentence for one in several]
        return several[0]

    return found
