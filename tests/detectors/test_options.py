"""Options: declared by a family, checked in one place; and networks that are built to be filled from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fauxlens.core.errors import BadSetting, FauxlensError, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.load import _drawn, _unfilled
from fauxlens.detectors.option import Option
from fauxlens.detectors.table import DETECTORS, detector_class


@pytest.mark.parametrize(
    ("option", "given", "found"),
    [
        (Option(about="a", choices=("crop", "native")), "native", "native"),
        (Option(about="a", smallest=1), "12", 12),
        (Option(about="a", smallest=1), 12, 12),
        (Option(about="a", smallest=1, largest=12), 12, 12),
        (Option(about="a", smallest=1, none=True), "None", None),
        (Option(about="a", smallest=0, none=True), None, None),
        (Option(about="a", path=True), "folder", Path("folder")),
    ],
)
def test_what_is_meant(option: Option, given: object, found: object) -> None:
    assert option.checked("one", given) == found


@pytest.mark.parametrize(
    ("option", "given", "told"),
    [
        (Option(about="a", choices=("crop", "native")), "nativ", "Did you mean 'native'"),
        (Option(about="a", smallest=1), "0", "a whole number from 1 on"),
        (Option(about="a", smallest=1), "1.5", "a whole number from 1 on"),
        (Option(about="a", smallest=1), True, "a whole number from 1 on"),
        (Option(about="a", smallest=1), None, "a whole number from 1 on"),
        (Option(about="a", smallest=1, none=True), "nothing", "from 1 on or none"),
        (Option(about="a", smallest=1, largest=9), 10, "a whole number from 1 to 9"),
        (Option(about="a", path=True), 3, "the path of a file"),
    ],
)
def test_what_is_refused(option: Option, given: object, told: str) -> None:
    with pytest.raises(FauxlensError, match=told):
        option.checked("one", given)


def test_an_option_changes_what_is_shown() -> None:
    pixels = np.zeros((300, 400, 3), np.uint8)
    assert load("npr", "random").prepare(pixels).views[0].shape == (256, 256)
    assert load("npr", "random", options={"showing": "native"}).prepare(pixels).views[0].shape == (300, 400)
    nano = load("nfa-vit", "random", setting="nano", options={"fit": "tile", "side": "128", "overlap": "32"})
    assert len(nano.prepare(pixels).views) > len(load("nfa-vit", "random", setting="nano").prepare(pixels).views) == 1


def test_all_of_the_options_or_none() -> None:
    detector = load("nfa-vit", "random", setting="nano")
    before = detector.showing
    with pytest.raises(UnknownName, match="no option of nfa-vit called 'tiles'"):
        detector.change(side=256, tiles=3)
    with pytest.raises(BadSetting, match="from 64 on"):
        detector.change(fit="pad", side=3)
    assert detector.showing == before


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_what_is_declared_is_there(name: str) -> None:
    kind = detector_class(name)
    detector = _unfilled(kind, None) if kind.options else None
    for option, declared in kind.options.items():
        assert declared.about
        value = getattr(detector, option)
        assert declared.checked(option, value) == value


@pytest.mark.parametrize(
    "name", sorted(name for name in DETECTORS if detector_class(name).card.parameters < 60_000_000)
)
def test_what_no_file_holds_is_not_left_empty(name: str) -> None:
    kind = detector_class(name)
    for setting in kind.settings:
        filled, unfilled = _drawn(kind, setting, 0).network, _unfilled(kind, setting).network
        kept = unfilled.state_dict()
        assert kept.keys() == filled.state_dict().keys()
        wanted = dict(filled.named_buffers())
        for key, buffer in unfilled.named_buffers():
            if key not in kept:
                assert torch.equal(buffer, wanted[key]), key


def test_a_file_fills_all(tmp_path: Path) -> None:
    drawn = load("npr", "random", seed=5)
    save_file(drawn.network.state_dict(), tmp_path / "npr.safetensors")
    state = torch.random.get_rng_state()
    found = load("npr", tmp_path / "npr.safetensors")
    assert torch.equal(state, torch.random.get_rng_state())
    wanted = drawn.network.state_dict()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in found.network.state_dict().items())
    assert found.network.training is False
