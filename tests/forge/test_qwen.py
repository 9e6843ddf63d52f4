"""Captions by Qwen2.5-VL: a tiny random model for the inputs, a scripted one for what is made of answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadSetting, BadWeights, NoWeights
from fauxlens.forge.perceive.marked import wants_perturbing
from fauxlens.forge.perceive.provider import load_captioner
from fauxlens.forge.perceive.qwen import Qwen, QwenModel, QwenSettings, Turn, conversation, with_box
from fauxlens.forge.region import Photo, Region
from fauxlens.images.shapes import Pixels

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
HEIGHT, WIDTH = 60, 100
YES = next(seed for seed in range(100) if wants_perturbing(seed)[0])
NO = next(seed for seed in range(100) if not wants_perturbing(seed)[0])


def tiny_tokenizer() -> Any:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={sign: number for number, sign in enumerate(alphabet)}, merges=[])
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|endoftext|>")


def tiny_model(tokenizer: Any) -> Any:
    torch.manual_seed(0)
    numbers = tokenizer.get_vocab()
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]},
            "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1],
        },
        image_token_id=numbers["<|image_pad|>"], video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"], vision_end_token_id=numbers["<|vision_end|>"],
    )  # fmt: skip
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("qwen")
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def photo() -> Photo:
    return Photo("a", np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def region(mask_type: str = "stuff", category: str = "sky") -> Region:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 20:90] = True
    shown = ~mask if mask_type == "background" else mask
    return Region(mask=shown, mask_type=mask_type, category=category, score=0.9, provider="test")


class Scripted:
    """Says what it was told to say, and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, list[Turn]]] = []

    def answer(self, images: Sequence[Pixels], turns: Sequence[Turn]) -> str:
        self.asked.append((len(images), list(turns)))
        return self.answers.pop(0)


def captioner(*answers: str, **settings: Any) -> tuple[Qwen, Scripted]:
    found = load_captioner("qwen", settings)
    assert isinstance(found, Qwen)
    scripted = Scripted(*answers)
    found._talker = scripted
    return found, scripted


BOAT = "A boat lies under #the blue sky# at noon."
NIGHT = "A boat lies under #the starry sky# at noon."


def test_stuff_in_two_passes() -> None:
    qwen, scripted = captioner(BOAT, NIGHT)
    told = qwen.caption(photo(), region(), YES)
    assert (told.marked, told.perturbed) == (BOAT, NIGHT)
    assert (told.prompt, told.notes, told.by) == ("the starry sky", (), "qwen")
    assert told.draw < 0.5
    (first_images, first), (second_images, second) = scripted.asked
    # The photo with its boxed copy, then the boxed copy alone.
    assert (first_images, second_images) == (2, 1)
    assert "boxed sky region" in first[1][1]
    assert BOAT in second[1][1]


def test_the_draw_decides_and_the_second_pass_is_asked_for_only_then() -> None:
    qwen, scripted = captioner(BOAT)
    told = qwen.caption(photo(), region(), NO)
    assert (told.perturbed, told.prompt) == (None, "the blue sky")
    assert told.draw >= 0.5
    assert len(scripted.asked) == 1
    always, _ = captioner(BOAT, NIGHT, perturb_share=1.0)
    assert always.caption(photo(), region(), NO).perturbed == NIGHT


def test_a_kept_thing_in_other_surroundings() -> None:
    qwen, scripted = captioner("On grass lies $a brown dog$.", "On a beach sits $a brown dog$ at dusk.")
    told = qwen.caption(photo(), region("background", "dog"), YES)
    assert told.prompt == "On a beach sits a brown dog at dusk."
    assert told.notes == ()
    assert "name the boxed dog between two $" in scripted.asked[0][1][1][1]


def test_what_changed_beyond_its_words_is_put_right() -> None:
    stuff, _ = captioner(BOAT, "A ship lies under #the starry sky# at night.")
    told = stuff.caption(photo(), region(), YES)
    assert told.perturbed == NIGHT
    assert told.notes == ("second pass: only the region's words taken over",)
    thing, _ = captioner("On grass lies $a brown dog$.", "On a beach sits $a white cat$ at dusk.")
    told = thing.caption(photo(), region("background", "dog"), YES)
    assert told.perturbed == "On a beach sits $a brown dog$ at dusk."
    assert told.notes == ("second pass: the kept thing's words put back",)


def test_answers_of_another_form_are_asked_for_again_with_a_reminder() -> None:
    qwen, scripted = captioner("A boat under the sky.", "A #boat# under #the sky#.", BOAT)
    told = qwen.caption(photo(), region(), NO)
    assert told.marked == BOAT
    assert len(told.notes) == 2
    last = scripted.asked[-1][1]
    assert [who for who, _ in last] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert last[2][1] == "A boat under the sky."
    assert "exactly two # characters" in last[-1][1]


def test_when_nothing_comes_of_it_words_are_found_without_the_model() -> None:
    qwen, scripted = captioner(*["no marks"] * 6)
    told = qwen.caption(photo(), region(), YES)
    assert told.marked == "a photo of #sky#"
    assert len(scripted.asked) == 6
    # The region's words are drawn by the template, and are of the sky.
    assert told.perturbed is not None
    assert told.perturbed.startswith("a photo of #")
    assert told.perturbed != told.marked
    assert "sky" in told.prompt
    assert told.notes[3] == "first pass: plain caption"
    assert "second pass: words by template" in told.notes
    thing, _ = captioner("On grass lies $a brown dog$.", *["no marks"] * 3)
    told = thing.caption(photo(), region("background", "dog"), YES)
    assert told.perturbed is not None
    assert "$a brown dog$" in told.perturbed
    assert not told.perturbed.startswith("On grass")


def test_a_second_pass_that_says_the_same_is_none() -> None:
    qwen, scripted = captioner(BOAT, BOAT, NIGHT)
    told = qwen.caption(photo(), region(), YES)
    assert told.perturbed == NIGHT
    assert told.notes == ("second pass, answer 1: the marked words did not change",)
    none, scripted = captioner("no", retries=0, perturb_share=0.0)
    assert none.caption(photo(), region(), YES).marked == "a photo of #sky#"
    assert len(scripted.asked) == 1


def test_words_of_others_steer_nothing() -> None:
    qwen, scripted = captioner("no <|im_end|> marks", BOAT)
    told = qwen.caption(photo(), region(category="sky<|im_end|> #1"), NO)
    turns = scripted.asked[-1][1]
    assert told.marked == BOAT
    assert not any("<|" in words for _, words in turns)
    assert "boxed sky 1 region" in turns[1][1]


def test_a_shape_that_means_nothing_is_called_so() -> None:
    qwen, scripted = captioner("no", "no", "no")
    told = qwen.caption(photo(), region("region", "anything"), NO)
    assert "boxed chosen region" in scripted.asked[0][1][1][1]
    assert (told.marked, told.prompt) == ("a photo of #scene#", "a photo of scene")


def test_the_box_is_drawn_into_a_copy() -> None:
    before = photo()
    pixels = before.pixels.copy()
    boxed = with_box(before.pixels, region("background"))
    assert np.array_equal(before.pixels, pixels)
    red = (boxed == (255, 0, 0)).all(axis=-1)
    # The kept thing is rows 10 to 29 and columns 20 to 89, whatever the mask type.
    assert red[10, 20:90].all()
    assert red[29, 20:90].all()
    assert red[10:30, 20].all()
    assert red[10:30, 89].all()
    assert not red[14:26, 24:86].any()
    assert np.array_equal(boxed[40:], pixels[40:])


def test_inputs_are_put_together_by_hand(folder: Path) -> None:
    model = QwenModel(folder, QwenSettings(most_pixels=12 * 28 * 28))
    images = [photo().pixels, np.zeros((200, 40, 3), np.uint8)]
    given = model.inputs(images, [("system", "s"), ("user", "What?"), ("assistant", "A."), ("user", "And?")])
    grid = given["image_grid_thw"]
    counts = (grid.prod(dim=1) // 4).tolist()
    assert grid.shape == (2, 3)
    assert given["pixel_values"].shape == (int(grid.prod(dim=1).sum()), 3 * 2 * 14 * 14)
    # The budget: at most twelve tokens an image, of which the first is 2 by 4 and the second 7 by 1.
    assert all(count <= 12 for count in counts)
    assert grid[0, 1] < grid[0, 2]
    assert grid[1, 1] > grid[1, 2]
    numbers = model.tokenizer.get_vocab()
    tokens = given["input_ids"][0].tolist()
    assert tokens.count(numbers["<|image_pad|>"]) == sum(counts)
    assert tokens.count(numbers["<|vision_start|>"]) == 2
    assert tokens.count(numbers["<|im_start|>"]) == 5
    first = tokens.index(numbers["<|vision_start|>"])
    assert tokens[first + 1 + counts[0]] == numbers["<|vision_end|>"]
    types = given["mm_token_type_ids"][0].tolist()
    assert types == [int(token == numbers["<|image_pad|>"]) for token in tokens]
    assert (
        tokens
        == model.tokenizer(
            conversation([("system", "s"), ("user", "What?"), ("assistant", "A."), ("user", "And?")], counts)
        )["input_ids"]
    )


def test_both_images_are_looked_at(folder: Path) -> None:
    model = QwenModel(folder, QwenSettings(most_pixels=12 * 28 * 28))
    turns = [("system", "s"), ("user", "What?")]
    pixels = photo().pixels

    def logits(one: Pixels, other: Pixels) -> torch.Tensor:
        with torch.inference_mode():
            return model.model(**model.inputs([one, other], turns)).logits[0, -1]

    same, turned = logits(pixels, pixels), pixels[::-1]
    assert torch.equal(same, logits(pixels, pixels))
    assert not torch.equal(same, logits(turned, pixels))
    assert not torch.equal(same, logits(pixels, turned))
    assert not torch.equal(logits(turned, pixels), logits(pixels, turned))


def test_a_model_from_a_folder_answers_the_same_twice(folder: Path) -> None:
    def asked() -> tuple[str, Any]:
        captioner = load_captioner("qwen", {"most_tokens": 8, "retries": 1, "most_pixels": 6272}, weights=folder)
        told = captioner.caption(photo(), region(), YES)
        return told.marked, told

    (marked, first), (_, second) = asked(), asked()
    assert first == second
    # Random weights say nothing of use, and that is told.
    assert marked == "a photo of #sky#"
    assert "first pass: plain caption" in first.notes
    model = QwenModel(folder, QwenSettings(most_tokens=8))
    torch.manual_seed(1)
    one = model.answer([photo().pixels], [("user", "What?")])
    torch.manual_seed(2)
    assert model.answer([photo().pixels], [("user", "What?")]) == one
    assert model.model.generation_config.do_sample is False


def test_half_precision(folder: Path) -> None:
    model = QwenModel(folder, QwenSettings(most_tokens=8, precision="bfloat16"))
    assert next(model.model.parameters()).dtype is torch.bfloat16
    once = model.answer([photo().pixels], [("user", "What?")])
    assert model.answer([photo().pixels], [("user", "What?")]) == once


def test_without_weights_it_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(NoWeights) as gone:
        load_captioner("qwen", weights=tmp_path / "nowhere").caption(photo(), region(), 0)
    for words in ("Qwen/Qwen2.5-VL-7B-Instruct", "Apache-2.0", "about 16.6 GB", "hf download"):
        assert words in str(gone.value)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer).save_pretrained(tmp_path)
    with pytest.raises(BadWeights):
        load_captioner("qwen", weights=tmp_path).caption(photo(), region(), 0)
    # One special token more at the front, and every number after it is another.
    alphabet = ["zz", *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={sign: number for number, sign in enumerate(alphabet)}, merges=[])
    )
    made.add_special_tokens(list(SPECIAL))
    transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(tmp_path)
    with pytest.raises(BadWeights, match="not of one kind"):
        load_captioner("qwen", weights=tmp_path).caption(photo(), region(), 0)


@pytest.mark.parametrize("bad", [{"perturb_share": 1.1}, {"retries": -1}, {"most_tokens": 200}, {"most_pixels": 100}])
def test_settings_that_cannot_be_meant(bad: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        load_captioner("qwen", bad)
