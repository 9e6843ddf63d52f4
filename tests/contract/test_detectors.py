"""The contract of all detectors, over the whole table and each setting. New entries are found by themselves.

Weights are random throughout. What is left out for huge networks is said in `detector_contract`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import detector_contract as contract
from fauxlens.core.errors import MissingExtra
from fauxlens.detectors import DETECTORS


@pytest.fixture(autouse=True, scope="module")
def offline() -> Iterator[None]:
    with contract.no_network():
        yield


def _built(name: str, setting: str) -> contract.Asked:
    try:
        return contract.Asked(name, setting)
    except MissingExtra as lacking:
        pytest.skip(str(lacking))


@pytest.fixture(scope="module", params=contract.entries(), ids=":".join)
def asked(request: pytest.FixtureRequest) -> Iterator[contract.Asked]:
    """One at a time: the memory of each is given back before the next is built."""
    one = _built(*request.param)
    yield one
    one.forget()


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_the_card_is_filled(name: str) -> None:
    contract.check_card(name)


@pytest.mark.parametrize(("name", "setting"), contract.entries())
def test_it_builds_without_memory(name: str, setting: str) -> None:
    contract.check_build(name, setting)


@pytest.mark.parametrize(("name", "setting"), contract.entries())
def test_a_file_that_does_not_fit_is_refused(name: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contract.check_refusals(name, setting, monkeypatch)


def test_predictions(asked: contract.Asked) -> None:
    contract.check_predictions(asked)


def test_output(asked: contract.Asked) -> None:
    contract.check_output(asked)


def test_alone_or_together(asked: contract.Asked) -> None:
    contract.check_alone_or_together(asked)


def test_layout(asked: contract.Asked) -> None:
    contract.check_layout(asked)


def test_again(asked: contract.Asked) -> None:
    contract.check_again(asked)


def test_round_trip(asked: contract.Asked, tmp_path: Path) -> None:
    contract.check_round_trip(asked, tmp_path)
