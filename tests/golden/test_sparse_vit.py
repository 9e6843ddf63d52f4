"""SparseViT against recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import golden_zoo as zoo
from fauxlens.detectors import sparse_vit
from fauxlens.detectors.sparse_vit import SparseVit, SparseVitDetector

GOLDEN = zoo.golden("sparsevit")
TIGHT = 1e-5


@pytest.fixture(scope="module")
def network() -> SparseVit:
    return SparseVit().eval()


@pytest.fixture(scope="module")
def filled() -> SparseVit:
    network = SparseVit()
    zoo.fill(network, "B", GOLDEN.kept)
    return network


def outputs(network: SparseVit) -> dict[str, Tensor]:
    with torch.inference_mode():
        coarse = network.coarse(GOLDEN.input("a"))
        enlarged = F.interpolate(coarse, size=(512, 512), mode="bilinear", align_corners=False).sigmoid()
    return {"logit32": coarse, "prob_every8": enlarged[..., ::8, ::8], "prob_row100": enlarged[0, 0, 100]}


def readings(network: SparseVit) -> dict[str, tuple[nn.Module, zoo.Reading]]:
    def as_it_is(found: Tensor) -> Tensor:
        return found

    def channels_first(grid: Tensor) -> Tensor:
        return grid.permute(0, 3, 1, 2)

    found: dict[str, tuple[nn.Module, zoo.Reading]] = {}
    for name in GOLDEN.probes("B"):
        module = network.get_submodule(name)
        sparse = isinstance(module, sparse_vit.SparseBlock)
        # Later blocks hold a grid (N, H, W, C) where the recorded ones are (N, C, H, W); the last norm has one in both.
        found[name] = (module, channels_first if sparse else as_it_is)
    return found


def worst(network: SparseVit) -> float:
    found = outputs(network)
    return max(zoo.worst_share(found[name], wanted) for name, wanted in GOLDEN.outputs("B", "a").items())


def test_names_and_shapes_are_the_released_file_s(network: SparseVit) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes


def test_parameters_are_counted(network: SparseVit) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == SparseVitDetector.card.parameters == GOLDEN.facts["n_params"]


@pytest.mark.parametrize("variant", ["A", "B"])
def test_outputs_and_probes(network: SparseVit, variant: str) -> None:
    zoo.check_variant(network, GOLDEN, variant, outputs, readings, TIGHT)


def test_the_mask_is_the_recorded_one(filled: SparseVit) -> None:
    with torch.inference_mode():
        output = filled(GOLDEN.input("a"))
    zoo.assert_close(output.mask.sigmoid()[..., ::8, ::8], GOLDEN.output("B", "a", "prob_every8"), TIGHT)
    assert output.logit.item() == output.mask.max().item()


def test_groups_of_neighbours_would_be_seen(filled: SparseVit, monkeypatch: pytest.MonkeyPatch) -> None:
    def windows(grid: Tensor, side: int) -> Tensor:
        number, height, width, dim = grid.shape
        split = grid.reshape(number, height // side, side, width // side, side, dim)
        return split.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, dim)

    def back(groups: Tensor, like: Tensor, side: int) -> Tensor:
        number, height, width, dim = like.shape
        split = groups.reshape(number, height // side, width // side, side, side, dim)
        return split.permute(0, 1, 3, 2, 4, 5).reshape(like.shape)

    monkeypatch.setattr(sparse_vit, "spread", windows)
    monkeypatch.setattr(sparse_vit, "gathered", back)
    assert worst(filled) > 10 * TIGHT


def test_a_positional_convolution_in_later_blocks_would_be_seen(filled: SparseVit) -> None:
    def shifted(block: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        maps = given[0].permute(0, 3, 1, 2)
        return ((maps + block.pos_embed(maps)).permute(0, 2, 3, 1),)  # type: ignore[operator]

    handle = filled.encoder_net.blocks4[0].register_forward_pre_hook(shifted)
    try:
        assert worst(filled) > 10 * TIGHT
    finally:
        handle.remove()


def test_a_normalised_feature_handed_to_the_last_stage_would_be_seen(filled: SparseVit) -> None:
    encoder = filled.encoder_net

    def normed(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        return (encoder.norm3(given[0].permute(0, 2, 3, 1)).permute(0, 3, 1, 2),)

    handle = encoder.patch_embed4.register_forward_pre_hook(normed)
    try:
        assert worst(filled) > 10 * TIGHT
    finally:
        handle.remove()


def test_the_recorded_picture_is_prepared_as_recorded() -> None:
    view = SparseVitDetector.__new__(SparseVitDetector).prepare(GOLDEN.pixels("a")).views[0]
    np.testing.assert_allclose(view.tensor().numpy(), GOLDEN.input("a")[0].numpy(), atol=1e-6)
