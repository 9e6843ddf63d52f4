"""Swin against the transformers library's, weight by weight."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.nn import swin
from fauxlens.nn.swin import Swin, SwinSettings

TINY = SwinSettings(side=32, patch=2, width=8, depths=(2, 3, 2), heads=(2, 4, 4), window=4)
ATOL = 1e-5

NAMES = (
    ("swin.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("swin.embeddings.norm", "patch_embed.norm"),
    ("swin.encoder.", ""),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.o_proj", "attn.proj"),
    ("attention.relative_position_bias.", "attn."),
    ("swin.layernorm", "norm"),
    ("classifier", "head"),
)


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The library's tensors under the official names; query, key and value stacked."""
    found = {}
    for name, tensor in state.items():
        for theirs, ours in NAMES:
            name = name.replace(theirs, ours)
        found[name] = tensor
    for name in [name for name in found if ".attention.q_proj." in name]:
        parts = [found.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        found[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return found


def drawn(module: nn.Module, seed: int) -> nn.Module:
    """Weights large enough that every part of the network shows in the answer; the first tokens small, so that the
    epsilon of their norm does too."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            numbers = torch.randn(tensor.shape, generator=draw)
            is_scale = "norm" in name and name.endswith("weight")
            tensor.copy_(1 + 0.2 * numbers if is_scale else (0.02 if "projection" in name else 0.3) * numbers)
    return module.eval()


@pytest.fixture(scope="module")
def oracle() -> nn.Module:
    config = SwinConfig(
        image_size=TINY.side, patch_size=TINY.patch, embed_dim=TINY.width, depths=list(TINY.depths),
        num_heads=list(TINY.heads), window_size=TINY.window, mlp_ratio=TINY.ratio, num_labels=TINY.classes,
    )  # fmt: skip
    return drawn(SwinForImageClassification(config), 1)


@pytest.fixture
def network(oracle: nn.Module) -> Swin:
    ours = Swin(TINY).eval()
    ours.load_state_dict(our_names(oracle.state_dict()), strict=True)
    return ours


def batch(side: int = TINY.side) -> Tensor:
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(2))


def answers(network: nn.Module, image: Tensor) -> Tensor:
    with torch.inference_mode():
        found = network(image)
    return found if isinstance(found, Tensor) else found.logits


def test_it_computes_what_the_library_computes(oracle: nn.Module, network: Swin) -> None:
    wanted = answers(oracle, batch())
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(answers(network, batch()), wanted, atol=ATOL, rtol=0)


def test_every_stage_computes_what_the_library_computes(oracle: nn.Module, network: Swin) -> None:
    # In double precision, where only a difference of meaning is left.
    oracle, network, image = copy.deepcopy(oracle).double(), network.double(), batch().double()
    with torch.inference_mode():
        wanted = oracle.swin(image, output_hidden_states=True).hidden_states
        tokens = network.patch_embed(image)
        found = [tokens]
        for layer in network.layers:
            found.append(tokens := layer(tokens))
    assert [tuple(one.shape) for one in found] == [(3, 256, 8), (3, 64, 16), (3, 16, 32), (3, 16, 32)]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "mistake",
    ["epsilon", "gelu", "no shift", "shifted back the wrong way", "no mask", "index transposed", "no biases",
     "squares row by row"],
)  # fmt: skip
def test_a_mistake_would_be_seen(
    mistake: str, oracle: nn.Module, network: Swin, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = answers(oracle, batch())  # before anything that both share is changed
    blocks = [block for layer in network.layers for block in layer.blocks]
    shifted = [block for block in blocks if block.shift]
    assert len(shifted) == 2
    if mistake == "epsilon":
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-6
    if mistake == "gelu":
        gelu = torch.nn.functional.gelu
        monkeypatch.setattr(torch.nn.functional, "gelu", lambda tokens: gelu(tokens, approximate="tanh"))
    if mistake == "no shift":
        for block in shifted:
            block.shift, block.attn_mask = 0, None
    if mistake == "shifted back the wrong way":
        for block in shifted:
            block.shift = -block.shift
    if mistake == "no mask":
        for block in shifted:
            block.attn_mask = None
    if mistake == "index transposed":
        for block in blocks:
            block.attn.relative_position_index = block.attn.relative_position_index.T
    if mistake == "no biases":
        for block in blocks:
            nn.init.zeros_(block.attn.relative_position_bias_table)
    if mistake == "squares row by row":
        for layer in network.layers[:-1]:
            merging = layer.downsample
            quarters = merging.reduction.weight.detach().clone().chunk(4, dim=1)
            merging.reduction.weight.data = torch.cat([quarters[at] for at in (0, 2, 1, 3)], dim=1)
    assert float((answers(network, batch()) - wanted).abs().max()) > 10 * ATOL


def test_a_map_smaller_than_a_window_is_one_window() -> None:
    settings = SwinSettings(side=16, patch=4, width=8, depths=(2, 2), heads=(2, 2), window=4)
    assert [settings.window_of(stage) for stage in (0, 1)] == [4, 2]
    assert [settings.shift_of(stage, 1) for stage in (0, 1)] == [0, 0]
    network = Swin(settings)
    assert network.layers[1].blocks[0].attn.relative_position_bias_table.shape == (9, 2)
    assert answers(network.eval(), batch(16)).shape == (3, 2)


def test_the_mask_keeps_apart_what_the_border_kept_apart() -> None:
    side, window, shift = 12, 4, 1
    mask = swin.shift_mask(side, window, shift)
    places = torch.arange(side**2).reshape(1, side, side, 1).roll((-shift, -shift), (1, 2))
    windows = swin.windows_of(places, window)[..., 0]
    rows, columns = windows // side, windows % side
    # In the map two places of one window are less than a window apart, unless the wrapping made them neighbours.
    near = ((rows[:, :, None] - rows[:, None]).abs() < window) & (
        (columns[:, :, None] - columns[:, None]).abs() < window
    )
    assert torch.equal(mask == 0, near)
    assert set(mask.unique().tolist()) == {0.0, swin.APART}


def test_windows_there_and_back() -> None:
    grid = torch.arange(2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    windows = swin.windows_of(grid, 3)
    assert torch.equal(windows[1], grid[0, :3, 3:].reshape(9, 3))
    assert torch.equal(windows[6], grid[1, 3:, :3].reshape(9, 3))
    assert torch.equal(swin.grid_of(windows, 3, 6), grid)


def test_the_sizes_of_swin_t() -> None:
    settings = SwinSettings()
    with torch.device("meta"):
        network = Swin(settings)
    assert sum(p.numel() for p in network.parameters()) == 27_520_892
    assert [settings.map_side(stage) for stage in range(4)] == [56, 28, 14, 7]
    shifts = [
        [settings.shift_of(stage, block) for block in range(depth)] for stage, depth in enumerate(settings.depths)
    ]
    assert shifts == [[0, 3], [0, 3], [0, 3, 0, 3, 0, 3], [0, 0]]


def test_what_is_computed_is_no_part_of_the_weights() -> None:
    network = Swin(TINY)
    names = set(network.state_dict())
    assert "layers.0.blocks.1.attn.relative_position_bias_table" in names
    assert {"layers.0.downsample.reduction.weight", "layers.1.downsample.norm.bias", "patch_embed.norm.weight"} <= names
    buffers = dict(network.named_buffers())
    computed = swin.computed_tensors(TINY)
    assert not names & set(computed)
    assert set(buffers) == set(computed)
    assert all(torch.equal(buffers[name], tensor) for name, tensor in computed.items())
    masks = {name: tuple(tensor.shape) for name, tensor in computed.items() if name.endswith("attn_mask")}
    assert masks == {"layers.0.blocks.1.attn_mask": (16, 16, 16), "layers.1.blocks.1.attn_mask": (4, 16, 16)}


def test_alone_or_together(network: Swin) -> None:
    together = answers(network, batch())
    alone = torch.cat([answers(network, one[None]) for one in batch()])
    torch.testing.assert_close(alone, together, atol=ATOL, rtol=0)


def test_another_size_is_refused(network: Swin) -> None:
    with pytest.raises(BadShape, match=r"wanted \(N, 3, 32, 32\)"):
        network(torch.zeros(1, 3, 32, 40))


@pytest.mark.parametrize(
    "wrong", [{"side": 225}, {"side": 256}, {"heads": (3, 6, 12)}, {"heads": (3, 6, 12, 23)}, {"window": 0}]
)
def test_sizes_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        SwinSettings(**wrong)


def test_fresh_weights_and_drop_path() -> None:
    torch.manual_seed(0)
    network = Swin(TINY)
    rates = [block.drop_path.rate for layer in network.layers for block in layer.blocks]
    assert rates == pytest.approx([0.2 * number / 6 for number in range(7)])
    assert 0.01 < float(network.layers[0].blocks[0].attn.relative_position_bias_table.detach().std()) < 0.03
    assert float(network.layers[0].blocks[0].mlp.fc1.bias.detach().abs().max()) == 0
    image = batch()[:1].expand(32, -1, -1, -1)
    assert float(answers(network.eval(), image).std(dim=0).max()) < 1e-6
    assert float(answers(network.train(), image).std(dim=0).max()) > 1e-6


def test_gradients_reach_every_weight_in_mixed_precision() -> None:
    torch.manual_seed(0)
    network = Swin(TINY)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(batch()).float().square().sum()
    loss.backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    reached = network.layers[0].blocks[1].attn.relative_position_bias_table.grad
    assert reached is not None
    assert bool((reached != 0).all())
