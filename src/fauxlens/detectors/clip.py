"""CLIP's towers as the transformers library has them, and OpenAI's names for their tensors.

Detectors that stand on a CLIP vision transformer were trained from OpenAI's own code, whose files name and lay out the
tensors in another way: queries, keys and values in one, projections transposed. The functions here translate; they
never copy a tensor. What they do not know keeps its name, so that strict loading reports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fauxlens.core.optional import need

_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """The sizes of both towers; by default those of ViT-L/14 at 224 pixels."""

    side: int = 224
    patch: int = 14
    image_width: int = 1024
    image_layers: int = 24
    image_heads: int = 16
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    vocabulary: int = 49408
    context: int = 77
    projection: int = 768

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.side // self.patch


def image_tower(settings: ClipSettings, purpose: str) -> Any:
    """The vision transformer with its projection, with fresh weights; `purpose` tells whose library is missing.

    The library tells no types, so what comes back is Any; it is a module.
    """
    transformers = need("transformers", "zoo", purpose)
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            image_size=settings.side, patch_size=settings.patch, hidden_size=settings.image_width,
            intermediate_size=4 * settings.image_width, num_hidden_layers=settings.image_layers,
            num_attention_heads=settings.image_heads, projection_dim=settings.projection,
            hidden_act="quick_gelu", layer_norm_eps=_EPSILON,
        )
    )  # fmt: skip


def text_tower(settings: ClipSettings, purpose: str) -> Any:
    """The text transformer with its projection, with fresh weights."""
    transformers = need("transformers", "zoo", purpose)
    return transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            vocab_size=settings.vocabulary, max_position_embeddings=settings.context,
            hidden_size=settings.text_width, intermediate_size=4 * settings.text_width,
            num_hidden_layers=settings.text_layers, num_attention_heads=settings.text_heads,
            projection_dim=settings.projection, hidden_act="quick_gelu", layer_norm_eps=_EPSILON,
            # The library looks these up when it pools; we never ask it to, but they must lie in the vocabulary.
            bos_token_id=settings.vocabulary - 2, eos_token_id=settings.vocabulary - 1, pad_token_id=0,
        )
    )  # fmt: skip


def attended(layer: nn.Module, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """The first half of a transformer block of either tower: `tokens` (N, L, C) plus what they attend to."""
    found: Tensor = layer.self_attn(hidden_states=layer.layer_norm1(tokens), attention_mask=mask)[0]  # type: ignore[operator]
    return tokens + found


def mixed(layer: nn.Module, tokens: Tensor) -> Tensor:
    """The second half of a block without the sum: what the MLP makes of `tokens` (N, L, C)."""
    found: Tensor = layer.mlp(layer.layer_norm2(tokens))  # type: ignore[operator]
    return found


def causal_mask(length: int, like: Tensor) -> Tensor:
    """(1, 1, length, length) to be added: a token of the text tower sees itself and those before it."""
    return torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device).triu_(1)[None, None]


def image_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names of the vision transformer (without `visual.`) to those of `image_tower`."""
    plain = {
        "class_embedding": "vision_model.embeddings.class_embedding",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "ln_pre.weight": "vision_model.pre_layrnorm.weight",
        "ln_pre.bias": "vision_model.pre_layrnorm.bias",
        "ln_post.weight": "vision_model.post_layernorm.weight",
        "ln_post.bias": "vision_model.post_layernorm.bias",
    }
    return _renamed(state, plain, "proj", "visual_projection.weight", "vision_model.encoder.layers.")


def text_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names of the text transformer to those of `text_tower`."""
    plain = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "ln_final.weight": "text_model.final_layer_norm.weight",
        "ln_final.bias": "text_model.final_layer_norm.bias",
    }
    return _renamed(state, plain, "text_projection", "text_projection.weight", "text_model.encoder.layers.")


def openai_text_shapes(settings: ClipSettings) -> dict[str, tuple[int, ...]]:
    """What a CLIP file holds beside its image tower, under OpenAI's names: the text tower and the logit's scale."""
    width = settings.text_width
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (settings.context, width),
        "text_projection": (width, settings.projection),
        "logit_scale": (),
        "token_embedding.weight": (settings.vocabulary, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    for number in range(settings.text_layers):
        block = f"transformer.resblocks.{number}."
        for name, outputs, inputs in (
            ("attn.in_proj_", 3 * width, width),
            ("attn.out_proj.", width, width),
            ("mlp.c_fc.", 4 * width, width),
            ("mlp.c_proj.", width, 4 * width),
        ):
            shapes[f"{block}{name}weight"] = (outputs, inputs)
            shapes[f"{block}{name}bias"] = (outputs,)
        for norm in ("ln_1.", "ln_2."):
            shapes[f"{block}{norm}weight"] = (width,)
            shapes[f"{block}{norm}bias"] = (width,)
    return shapes


def library_text_shapes(settings: ClipSettings) -> dict[str, tuple[int, ...]]:
    """The same as the transformers library lays it out, with the counters that older versions of it stored."""
    unreal = {name: torch.empty(shape, device="meta") for name, shape in openai_text_shapes(settings).items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in text_names(unreal).items()}
    shapes["text_model.embeddings.position_ids"] = (1, settings.context)
    shapes["vision_model.embeddings.position_ids"] = (1, settings.grid**2 + 1)
    return shapes


def without(state: Mapping[str, Tensor], unused: Mapping[str, tuple[int, ...]], prefix: str = "") -> dict[str, Tensor]:
    """`state` less the tensors that have one of these names and exactly its shape; any other stays to be refused."""
    return {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(prefix) or unused.get(name.removeprefix(prefix)) != tuple(tensor.shape)
    }


_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_IN_BLOCK = {
    "attn.out_proj.": "self_attn.out_proj.",
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}


def _renamed(
    state: Mapping[str, Tensor], plain: Mapping[str, str], projection: str, projected: str, layers: str
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = _BLOCK.fullmatch(name)
        if block is not None:
            found.update(_block(layers + block[1] + ".", block[2], tensor))
        elif name == projection and tensor.dim() == 2:
            found[projected] = tensor.T
        else:
            found[plain.get(name, name)] = tensor
    return found


def _block(layer: str, name: str, tensor: Tensor) -> dict[str, Tensor]:
    for fused, leaf in (("attn.in_proj_weight", "weight"), ("attn.in_proj_bias", "bias")):
        if name == fused and tensor.shape[0] % 3 == 0:
            parts = zip("qkv", tensor.chunk(3), strict=True)
            return {f"{layer}self_attn.{letter}_proj.{leaf}": part for letter, part in parts}
    for theirs, ours in _IN_BLOCK.items():
        if name.startswith(theirs):
            return {layer + ours + name.removeprefix(theirs): tensor}
    return {layer + name: tensor}
