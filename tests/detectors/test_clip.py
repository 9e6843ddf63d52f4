"""CLIP's towers: our use of their parts against the library's own, and OpenAI's names."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from fauxlens.core.errors import MissingExtra
from fauxlens.detectors.clip import (
    ClipSettings,
    attended,
    causal_mask,
    image_names,
    image_tower,
    library_text_shapes,
    mixed,
    openai_text_shapes,
    text_names,
    text_tower,
    without,
)
from fauxlens.detectors.load import load
from fauxlens.detectors.table import detector_class

TINY = ClipSettings(
    side=28, patch=7, image_width=32, image_layers=2, image_heads=4, text_width=24, text_layers=2, text_heads=3,
    vocabulary=50, context=12, projection=20,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _shaken(tower: torch.nn.Module) -> torch.nn.Module:
    """Biases and norms that are not 0 and 1, so that one that is left out shows."""
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return tower.eval()


def test_parts_of_the_image_tower_make_the_whole():
    tower = _shaken(image_tower(TINY, "a test"))
    picture = torch.randn(2, 3, 28, 28)
    with torch.inference_mode():
        inner = tower.vision_model
        tokens = inner.pre_layrnorm(inner.embeddings(picture))
        for layer in inner.encoder.layers:
            tokens = attended(layer, tokens)
            tokens = tokens + mixed(layer, tokens)
        ours = tower.visual_projection(inner.post_layernorm(tokens[:, 0]))
        torch.testing.assert_close(ours, tower(pixel_values=picture).image_embeds)


def test_parts_of_the_text_tower_make_the_whole_with_our_causal_mask():
    tower = _shaken(text_tower(TINY, "a test"))
    words = torch.tensor([[48, 3, 7, 49, 0, 0], [48, 5, 1, 2, 49, 0]])
    with torch.inference_mode():
        inner = tower.text_model
        tokens = inner.embeddings(words)
        mask = causal_mask(6, tokens)
        for layer in inner.encoder.layers:
            tokens = attended(layer, tokens, mask)
            tokens = tokens + mixed(layer, tokens)
        tokens = inner.final_layer_norm(tokens)
        ours = tower.text_projection(torch.stack([tokens[0, 3], tokens[1, 4]]))
        torch.testing.assert_close(ours, tower(input_ids=words).text_embeds)


def test_a_word_does_not_see_those_behind_it():
    mask = causal_mask(3, torch.zeros(1, dtype=torch.float64))
    assert mask.dtype == torch.float64
    assert torch.equal(mask[0, 0] == 0, torch.ones(3, 3, dtype=torch.bool).tril())


def test_the_activation_is_the_quick_one():
    for tower in (image_tower(TINY, "a test").vision_model, text_tower(TINY, "a test").text_model):
        found = tower.encoder.layers[0].mlp.activation_fn(torch.tensor(1.5))
        assert found.item() == pytest.approx(1.5 / (1 + 2.718281828459045 ** (-1.702 * 1.5)))


def test_openai_names_of_the_text_tower_become_the_library_s():
    unreal = {name: torch.empty(shape, device="meta") for name, shape in openai_text_shapes(TINY).items()}
    del unreal["logit_scale"]
    found = {name: tuple(tensor.shape) for name, tensor in text_names(unreal).items()}
    assert found == {name: tuple(tensor.shape) for name, tensor in text_tower(TINY, "a test").state_dict().items()}


def test_fused_attention_is_cut_into_query_key_and_value():
    weight = torch.arange(12.0)[:, None].expand(12, 4)
    found = image_names({"transformer.resblocks.10.attn.in_proj_weight": weight})
    layer = "vision_model.encoder.layers.10.self_attn."
    assert {name.removeprefix(layer): tensor[:, 0].tolist() for name, tensor in found.items()} == {
        "q_proj.weight": [0, 1, 2, 3],
        "k_proj.weight": [4, 5, 6, 7],
        "v_proj.weight": [8, 9, 10, 11],
    }


def test_projections_are_turned():
    projection = torch.randn(4, 3)
    assert torch.equal(image_names({"proj": projection})["visual_projection.weight"], projection.T)
    assert torch.equal(text_names({"text_projection": projection})["text_projection.weight"], projection.T)


def test_what_is_not_known_keeps_its_name():
    unknown = {"logit_scale": torch.tensor(1.0), "transformer.resblocks.x.ln_1.bias": torch.zeros(1)}
    assert set(image_names(unknown)) == set(unknown)
    assert set(text_names({"transformer.resblocks.1.ln_3.bias": torch.zeros(1)})) == {
        "text_model.encoder.layers.1.ln_3.bias"
    }


def test_only_tensors_of_the_expected_shape_are_left_out():
    state: dict[str, Tensor] = {"a.x": torch.zeros(2), "a.y": torch.zeros(3), "x": torch.zeros(2)}
    assert set(without(state, {"x": (2,), "y": (2,)}, "a.")) == {"a.y", "x"}
    assert library_text_shapes(TINY)["text_projection.weight"] == (20, 24)


def test_a_missing_library_is_told_and_the_card_needs_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert detector_class("univfd").card.title == "UnivFD"
    with pytest.raises(MissingExtra, match=r"UnivFD needs transformers.*fauxlens\[zoo\]"):
        load("univfd", "random")
