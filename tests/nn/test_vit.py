"""The plain ViT against the transformers library's, weight by weight."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.nn import vit
from fauxlens.nn.vit import VisionTransformer, ViTSettings

TINY = ViTSettings(side=32, patch=8, width=24, depth=3, heads=3, classes=2)
ATOL = 1e-5

NAMES = (
    ("vit.embeddings.cls_token", "cls_token"),
    ("vit.embeddings.position_embeddings", "pos_embed"),
    ("vit.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    (r"vit.layers.(\d+)", r"blocks.\1"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.o_proj", "attn.proj"),
    ("vit.layernorm", "norm"),
    ("classifier", "head"),
)


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The library's tensors under timm's names; query, key and value stacked."""
    found = {}
    for name, tensor in state.items():
        for theirs, ours in NAMES:
            name = re.sub("^" + theirs if theirs.startswith("vit") else theirs, ours, name)
        found[name] = tensor
    for name in [name for name in found if ".attention.q_proj." in name]:
        parts = [found.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        found[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return found


def drawn(module: nn.Module, seed: int) -> nn.Module:
    """Weights large enough that every part of the network shows in the answer."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            numbers = torch.randn(tensor.shape, generator=draw)
            is_scale = "norm" in name and name.endswith("weight")
            tensor.copy_(1 + 0.2 * numbers if is_scale else 0.3 * numbers)
    return module.eval()


@pytest.fixture(scope="module")
def oracle() -> nn.Module:
    config = ViTConfig(
        image_size=TINY.side, patch_size=TINY.patch, hidden_size=TINY.width, num_hidden_layers=TINY.depth,
        num_attention_heads=TINY.heads, intermediate_size=TINY.ratio * TINY.width, num_labels=TINY.classes,
        layer_norm_eps=1e-6,
    )  # fmt: skip
    return drawn(ViTForImageClassification(config), 1)


@pytest.fixture
def network(oracle: nn.Module) -> VisionTransformer:
    ours = VisionTransformer(TINY).eval()
    ours.load_state_dict(our_names(oracle.state_dict()), strict=True)
    return ours


def batch(scale: float = 1.0) -> Tensor:
    return scale * torch.randn(3, 3, TINY.side, TINY.side, generator=torch.Generator().manual_seed(2))


def answers(network: nn.Module, image: Tensor) -> Tensor:
    with torch.inference_mode():
        found = network(image)
    return found if isinstance(found, Tensor) else found.logits


def test_it_computes_what_the_library_computes(oracle: nn.Module, network: VisionTransformer) -> None:
    wanted = answers(oracle, batch())
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(answers(network, batch()), wanted, atol=ATOL, rtol=0)


@pytest.mark.parametrize(
    "mistake", ["epsilon", "gelu", "order of qkv", "class token last", "no positions", "norms swapped"]
)
def test_a_mistake_would_be_seen(
    mistake: str, oracle: nn.Module, network: VisionTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = batch()
    wanted = answers(oracle, image)  # before anything that both share is changed
    if mistake == "epsilon":
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5
    if mistake == "gelu":
        gelu = torch.nn.functional.gelu
        monkeypatch.setattr(vit.F, "gelu", lambda tokens: gelu(tokens, approximate="tanh"))
    if mistake == "order of qkv":
        by_head = vit.by_head
        monkeypatch.setattr(vit, "by_head", lambda joined, heads: by_head(joined.roll(TINY.width, -1), heads))
    if mistake == "class token last":
        cat = torch.cat
        monkeypatch.setattr(vit.torch, "cat", lambda parts, dim: cat(parts[::-1], dim))
    if mistake == "no positions":
        nn.init.zeros_(network.pos_embed)
    if mistake == "norms swapped":
        for block in network.blocks:
            block.norm1, block.norm2 = block.norm2, block.norm1
    assert float((answers(network, image) - wanted).abs().max()) > 10 * ATOL


def test_heads_split_the_width_within_query_key_and_value() -> None:
    joined = torch.arange(2 * 5 * 36).reshape(2, 5, 36)
    query, key, value = vit.by_head(joined, 3)
    assert query.shape == (2, 3, 5, 4)
    assert torch.equal(query[1, 2, 4], joined[1, 4, 8:12])
    assert torch.equal(key[0, 1, 3], joined[0, 3, 16:20])
    assert torch.equal(value[0, 0, 0], joined[0, 0, 24:28])


def test_the_sizes_of_vit_s() -> None:
    with torch.device("meta"):
        counts = {
            side: sum(p.numel() for p in VisionTransformer(ViTSettings(side=side, classes=2)).parameters())
            for side in (224, 384)
        }
    # 380 more positions of 384 numbers.
    assert counts == {224: 21_666_434, 384: 21_666_434 + 380 * 384}
    assert (ViTSettings().positions, ViTSettings(side=384).positions) == (197, 577)


def test_timm_s_names() -> None:
    names = set(VisionTransformer(ViTSettings(side=16, width=8, depth=1, heads=2)).state_dict())
    layers = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    wanted = [f"blocks.0.{layer}" for layer in layers] + ["patch_embed.proj", "norm", "head"]
    assert names == {"cls_token", "pos_embed"} | {f"{one}.{leaf}" for one in wanted for leaf in ("weight", "bias")}


@pytest.mark.parametrize("shape", [(1, 3, 32, 40), (1, 3, 64, 64), (1, 1, 32, 32), (3, 32, 32)])
def test_another_size_is_refused(shape: tuple[int, ...], network: VisionTransformer) -> None:
    with pytest.raises(BadShape, match=r"wanted \(N, 3, 32, 32\)"):
        network(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"side": 225}, {"patch": 0}, {"heads": 5}, {"heads": 0}])
def test_sizes_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        ViTSettings(**wrong)


def test_blocks_are_left_out_only_while_training() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(ViTSettings(side=16, width=8, depth=3, heads=2, drop_path=0.6))
    assert [block.drop_path.rate for block in network.blocks] == pytest.approx([0.0, 0.3, 0.6])
    image = torch.randn(1, 3, 16, 16).expand(64, -1, -1, -1)
    assert float(answers(network.eval(), image).std(dim=0).max()) < 1e-6
    assert float(answers(network.train(), image).std(dim=0).max()) > 1e-4
