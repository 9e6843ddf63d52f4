"""TruFor against recorded numbers.

In float32 the network amplifies rounding, so that two correct builds may differ by more than a wrong epsilon would
cost. The tight comparison is therefore made in float64, where only the recorded numbers' own rounding is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import golden_zoo as zoo
from fauxlens.detectors.trufor import TruForDetector, TruForNetwork

GOLDEN = zoo.golden("trufor")
TIGHT = 1e-5


@pytest.fixture(scope="module")
def network() -> TruForNetwork:
    return TruForNetwork().eval()


@pytest.fixture(scope="module")
def filled() -> TruForNetwork:
    network = TruForNetwork()
    zoo.fill(network, "B", GOLDEN.kept)
    return network.double()


def outputs(network: TruForNetwork, image: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode():
        found = network.maps(image.to(network.detection[0].weight.dtype))
    return {
        "map_prob": found.logits.softmax(dim=1)[:, 1],
        "logits_every4": found.logits[..., ::4, ::4],
        "conf_every4": found.confidence[..., ::4, ::4],
        "det_logit": found.verdict,
        "np_every2": found.noise[:, 0, ::2, ::2],
    }


def shares(network: TruForNetwork, tag: str, variant: str = "B", factor: float = 1.0) -> dict[str, float]:
    wanted = GOLDEN.outputs(variant, tag)
    found = outputs(network, GOLDEN.input(tag).double() * factor)
    assert set(found) == set(wanted)
    return {name: zoo.worst_share(found[name], wanted[name]) for name in wanted}


def allowed(tag: str, name: str) -> float:
    # Where the recording in float32 is itself further from float64 than the tolerance, that distance is the tolerance.
    facts = GOLDEN.facts["conditioning"][f"B/{tag}"][name]
    return max(TIGHT, 1.05 * facts["max_abs_32_vs_64"] / facts["max_abs"])


def readings(network: TruForNetwork) -> dict[str, tuple[nn.Module, zoo.Reading]]:
    def as_it_is(found: Tensor) -> Tensor:
        return found

    def channels_first(grid: Tensor) -> Tensor:
        return grid.permute(0, 3, 1, 2)

    def first_channels_first(grids: tuple[Tensor, Tensor]) -> Tensor:
        return channels_first(grids[0])

    backbone = network.backbone
    return {
        "dncnn": (network.dncnn, as_it_is),
        # A grid (N, H, W, C) flattens to the same numbers as the recorded (N, H * W, C).
        "backbone.patch_embed1": (backbone.patch_embed1, as_it_is),
        "backbone.block1.0": (backbone.block1[0], as_it_is),
        "backbone.extra_block1.0": (backbone.extra_block1[0], as_it_is),
        "backbone.FRMs.0": (backbone.FRMs[0], first_channels_first),
        "backbone.FRMs.3": (backbone.FRMs[3], first_channels_first),
        **{f"backbone.FFMs.{stage}": (backbone.FFMs[stage], channels_first) for stage in range(4)},
        # Our decoder calls the parts of this one by one; the last of them gives what the whole gives.
        "decode_head.linear_fuse": (network.decode_head.linear_fuse[2], as_it_is),
    }


def test_names_and_shapes_are_the_released_file_s(network: TruForNetwork) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes


def test_parameters_are_counted(network: TruForNetwork) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == TruForDetector.card.parameters == GOLDEN.facts["n_params"]


@pytest.mark.parametrize("tag", ["a", "b"])
def test_outputs_and_probes_in_double_precision(filled: TruForNetwork, tag: str) -> None:
    with zoo.probing(filled, readings(filled)) as probes:
        found = shares(filled, tag)
    if tag == "a":
        zoo.assert_probes(probes, GOLDEN.probes("B"))
    for name, share in found.items():
        assert share <= allowed(tag, name), (
            f"{name}: off by {share:.3g} of the largest, allowed {allowed(tag, name):.3g}"
        )


def test_outputs_and_probes_of_small_weights(network: TruForNetwork) -> None:
    zoo.fill(network, "A", GOLDEN.kept)
    with zoo.probing(network, readings(network)) as probes:
        found = outputs(network, GOLDEN.input("a"))
    zoo.assert_probes(probes, GOLDEN.probes("A"))
    for name, wanted in GOLDEN.outputs("A", "a").items():
        zoo.assert_close(found[name], wanted, TIGHT, name)
    odd = outputs(network, GOLDEN.input("b"))
    for name, wanted in GOLDEN.outputs("A", "b").items():
        zoo.assert_close(odd[name], wanted, TIGHT, name)


@pytest.mark.parametrize("tag", ["a", "b"])
def test_outputs_in_single_precision(network: TruForNetwork, filled: TruForNetwork, tag: str) -> None:
    network.load_state_dict(filled.state_dict())
    found = outputs(network, GOLDEN.input(tag))
    for name, wanted in GOLDEN.outputs("B", tag).items():
        zoo.assert_close(found[name], wanted, 1e-4, name)


@contextmanager
def epsilon(norms: list[nn.Module], value: float) -> Iterator[None]:
    before = [norm.eps for norm in norms]
    for norm in norms:
        norm.eps = value  # type: ignore[assignment]
    try:
        yield
    finally:
        for norm, old in zip(norms, before, strict=True):
            norm.eps = old


def test_a_usual_epsilon_in_the_map_decoder_would_be_seen(filled: TruForNetwork) -> None:
    norm = filled.decode_head.linear_fuse[1]
    assert norm.eps == 1e-3
    assert filled.decode_head_conf.linear_fuse[1].eps == 1e-5
    with epsilon([norm], 1e-5):
        found = shares(filled, "b")
    assert found["logits_every4"] > 10 * allowed("b", "logits_every4")
    assert found["map_prob"] > 10 * allowed("b", "map_prob")


@pytest.mark.parametrize("value", [1e-6, 1e-5])
def test_one_epsilon_in_all_layer_norms_would_be_seen(filled: TruForNetwork, value: float) -> None:
    norms = [module for module in filled.modules() if isinstance(module, nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-6, 1e-5}
    with epsilon(norms, value):
        found = shares(filled, "a")
    assert found["logits_every4"] > allowed("a", "logits_every4")
    assert found["map_prob"] > allowed("a", "map_prob")


def test_a_division_by_255_would_be_seen(filled: TruForNetwork) -> None:
    found = shares(filled, "b", factor=256 / 255)
    assert min(share for name, share in found.items() if name != "np_every2") > 1e-2
    assert found["np_every2"] > 100 * TIGHT


def test_the_recorded_pictures_are_prepared_as_recorded() -> None:
    detector = TruForDetector.__new__(TruForDetector)
    detector.pixel_budget = 2**20
    for tag in ("a", "b"):
        view = detector.prepare(GOLDEN.pixels(tag)).views[0]
        np.testing.assert_array_equal(view.tensor().numpy(), GOLDEN.input(tag)[0].numpy())
