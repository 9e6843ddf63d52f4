"""PSCC-Net against recorded numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import golden_zoo as zoo
from fauxlens.detectors.pscc_net import NonLocalMask, PsccNetDetector, PsccNetwork

GOLDEN = zoo.golden("psccnet")
TIGHT = 1e-5


@pytest.fixture(scope="module")
def network() -> PsccNetwork:
    return PsccNetwork().eval()


@pytest.fixture(scope="module")
def filled() -> PsccNetwork:
    network = PsccNetwork()
    zoo.fill(network, "C", GOLDEN.kept)
    return network


def outputs(network: PsccNetwork, factor: float = 1.0) -> dict[str, Tensor]:
    with torch.inference_mode():
        found = network.maps(GOLDEN.input("a") * factor)
    first, second, third, fourth = found.masks
    return {
        "mask1_every4": first[..., ::4, ::4],
        "mask2_every4": second[..., ::4, ::4],
        "mask3_every2": third[..., ::2, ::2],
        "mask4": fourth,
        "cls_logits": found.classes,
    }


def shares(network: PsccNetwork) -> dict[str, float]:
    found = outputs(network)
    return {name: zoo.worst_share(found[name], wanted) for name, wanted in GOLDEN.outputs("C", "a").items()}


def readings(network: PsccNetwork) -> dict[str, tuple[nn.Module, zoo.Reading]]:
    def first(found: Any) -> Tensor:
        maps: Tensor = found[0] if isinstance(found, list) else found
        return maps

    return {name: (network.get_submodule(name), first) for name in GOLDEN.probes("C")}


def test_names_and_shapes_are_the_released_files(network: PsccNetwork) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes


def test_each_tensor_belongs_to_one_of_the_three_files(network: PsccNetwork) -> None:
    parts = tuple(file.part for file in PsccNetDetector.card.weights[0].files)
    assert parts == ("FENet.", "SegNet.", "ClsNet.")
    assert all(name.startswith(parts) for name in network.state_dict())


def test_parameters_are_counted(network: PsccNetwork) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == PsccNetDetector.card.parameters == GOLDEN.facts["n_params"]


@pytest.mark.parametrize("variant", ["A", "C"])
def test_outputs_and_probes(network: PsccNetwork, variant: str) -> None:
    zoo.check_variant(network, GOLDEN, variant, outputs, readings, TIGHT)


def test_a_usual_transpose_of_the_attended_channels_would_be_seen(
    filled: PsccNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tidy(self: NonLocalMask, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        folded = maps.reshape(maps.shape[0], -1, height // self.fold, width // self.fold)
        value, query, key = (part(folded).flatten(2) for part in (self.g, self.theta, self.phi))
        over_places = (query.transpose(1, 2) @ key).softmax(dim=-1) @ value.transpose(1, 2)
        over_channels = value.transpose(1, 2) @ (query @ key.transpose(1, 2)).softmax(dim=-1)
        inner = maps + self.gamma_s * self.W_s(over_places.transpose(1, 2).reshape(maps.shape))
        inner = inner + self.gamma_c * self.W_c(over_channels.transpose(1, 2).reshape(maps.shape))
        return self.getmask(inner).sigmoid()  # type: ignore[no-any-return]

    monkeypatch.setattr(NonLocalMask, "forward", tidy)
    found = shares(filled)
    assert found["mask4"] > 100 * TIGHT
    assert found["cls_logits"] <= TIGHT


def test_folding_neighbours_instead_of_memory_would_be_seen(
    filled: PsccNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = NonLocalMask.forward

    def unshuffled(self: NonLocalMask, maps: Tensor) -> Tensor:
        folded = nn.functional.pixel_unshuffle(maps, self.fold)
        return plain(self, folded.reshape(maps.shape))

    monkeypatch.setattr(NonLocalMask, "forward", unshuffled)
    assert shares(filled)["mask1_every4"] > 100 * TIGHT


def test_a_division_by_256_would_be_seen(filled: PsccNetwork) -> None:
    found = outputs(filled, 255 / 256)
    wanted = GOLDEN.outputs("C", "a")
    assert zoo.worst_share(found["mask1_every4"], wanted["mask1_every4"]) > 10 * TIGHT


def test_corners_that_are_not_aligned_would_be_seen(filled: PsccNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    aligned = nn.functional.interpolate

    def unaligned(*given: Any, **settings: Any) -> Tensor:
        return aligned(*given, **(settings | {"align_corners": False}))

    monkeypatch.setattr(nn.functional, "interpolate", unaligned)
    found = shares(filled)
    assert found["mask1_every4"] > 10 * TIGHT
    assert found["cls_logits"] > 10 * TIGHT


def test_the_recorded_picture_is_prepared_as_recorded() -> None:
    detector = PsccNetDetector.__new__(PsccNetDetector)
    detector.pixel_budget = 2**20
    view = detector.prepare(GOLDEN.pixels("a")).views[0]
    np.testing.assert_array_equal(view.tensor().numpy(), GOLDEN.input("a")[0].numpy())
