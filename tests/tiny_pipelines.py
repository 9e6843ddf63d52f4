"""Pipelines of a few thousand random numbers, saved as the real ones are: the same code, and noise for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TASKS = ("P_ctxt", "P_shape", "P_obj")
VECTORS = 10
WIDTH = 32


def tiny_tokenizer() -> Any:
    """Every byte a word, inside of a word and at its end; 514 with the beginning and the end."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def tiny_text_config() -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=514, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=WIDTH, bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip


def tiny_vae() -> Any:
    """Halves each side twice, so latents of a 64x96 picture are 16x24."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, sample_size=64,
    )  # fmt: skip


def tiny_unet(channels: int = 4, widths: tuple[int, ...] = (32, 64), layers: int = 1) -> Any:
    """As Stable Diffusion 1.5 is built: cross-attention everywhere but at the smallest size."""
    from diffusers import UNet2DConditionModel

    attended = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=16, in_channels=channels, block_out_channels=widths, cross_attention_dim=WIDTH,
        attention_head_dim=4, layers_per_block=layers,
        down_block_types=(*("CrossAttnDownBlock2D",) * attended, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * attended),
    )  # fmt: skip


def save_sdxl(folder: Path, channels: int) -> Path:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=channels, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80,
        cross_attention_dim=2 * WIDTH,
    )  # fmt: skip
    StableDiffusionXLInpaintPipeline(
        vae=tiny_vae(), text_encoder=CLIPTextModel(tiny_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(tiny_text_config()), tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_tokenizer(), unet=unet, add_watermarker=False,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_stable_diffusion(folder: Path, *, inpainting: bool = False) -> Path:
    import diffusers
    from transformers import CLIPTextModel

    torch.manual_seed(1)
    kind = diffusers.StableDiffusionInpaintPipeline if inpainting else diffusers.StableDiffusionPipeline
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    kind(
        vae=tiny_vae(), text_encoder=CLIPTextModel(tiny_text_config()), tokenizer=tiny_tokenizer(),
        unet=tiny_unet(9 if inpainting else 4), scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def released_words(seed: int = 2) -> dict[str, torch.Tensor]:
    """A text encoder's tensors under the names of PowerPaint's files."""
    from transformers import CLIPTextModel

    torch.manual_seed(seed)
    table = "text_model.embeddings.token_embedding."
    state = {
        "text_model." + name.removeprefix("text_model."): tensor.clone()
        for name, tensor in CLIPTextModel(tiny_text_config()).state_dict().items()
    }
    state[table + "wrapped.weight"] = state.pop(table + "weight")
    for task in TASKS:
        state[f"{table}trainable_embeddings.{task}"] = torch.randn(VECTORS, WIDTH)
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return state


def speaking(branch: Any, seed: int = 3) -> Any:
    """The branch, with convolutions that are no longer zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in branch.named_parameters():
            if name.startswith("brushnet_"):
                parameter.normal_(std=0.1)
    return branch
