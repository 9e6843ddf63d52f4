"""Every number, licence, label order and source of every card is the recorded one.

A slip of a key in a published number would otherwise be seen by nobody. `make golden` records them anew; the difference
is to be held against the papers before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fauxlens.detectors import DETECTORS
from golden.rewrite_cards import facts_of

RECORDED = json.loads((Path(__file__).parent / "cards.json").read_text(encoding="utf-8"))


def test_the_same_detectors() -> None:
    assert sorted(RECORDED) == sorted(DETECTORS)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_card(name: str) -> None:
    assert facts_of(name) == RECORDED[name]
