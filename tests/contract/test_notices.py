"""The contract notices each fault that it is there for, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import detector_contract as contract
from fauxlens.detectors import DETECTORS

NAME = "faulty"
Check = Callable[[contract.Asked, Path], None]
ASKED: dict[str, Check] = {
    "predictions": lambda asked, _: contract.check_predictions(asked),
    "output": lambda asked, _: contract.check_output(asked),
    "alone": lambda asked, _: contract.check_alone_or_together(asked),
    "layout": lambda asked, _: contract.check_layout(asked),
    "again": lambda asked, _: contract.check_again(asked),
    "round trip": lambda asked, folder: contract.check_round_trip(asked, folder),
    "card": lambda _, __: contract.check_card(NAME),
    "build": lambda _, __: contract.check_build(NAME, "published"),
}


@pytest.fixture(autouse=True)
def fresh() -> None:
    contract._without_numbers.cache_clear()  # every class here goes by one name


@pytest.mark.parametrize("check", ASKED)
def test_nothing_is_found_where_nothing_is(check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, NAME, "faulty_detectors:Sound")
    ASKED[check](contract.Asked(NAME, "published"), tmp_path)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("Blending", "alone"),
        ("Moody", "again"),
        ("Misreading", "layout"),
        ("Forgetful", "round trip"),
        ("Blind", "output"),
        ("SmallMask", "output"),
        ("Promising", "predictions"),
        ("Miscounting", "build"),
        ("Silent", "card"),
    ],
)
def test_a_fault_is_found(fault: str, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, NAME, f"faulty_detectors:{fault}")
    asked = contract.Asked(NAME, "published")
    with pytest.raises(AssertionError):
        ASKED[check](asked, tmp_path)


def test_a_call_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, NAME, "faulty_detectors:Calling")
    with contract.no_network(), pytest.raises(AssertionError, match="asked the network"):
        contract.Asked(NAME, "published")
