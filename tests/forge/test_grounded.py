"""GroundingDINO and SAM 2.1, tiny and random, saved and loaded from a folder; scores are planted where they matter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fauxlens.core.errors import BadSetting, BadWeights, NoWeights
from fauxlens.forge.perceive.grounded import Grounded
from fauxlens.forge.perceive.grounding_dino import (
    Found,
    GroundingDino,
    Prompt,
    bounded_size,
    distinct,
    named_boxes,
    prompts_of,
)
from fauxlens.forge.perceive.provider import load_provider
from fauxlens.forge.perceive.sam2 import Sam2
from fauxlens.forge.region import Photo

transformers = pytest.importorskip("transformers")

WORDS = ("sky", "clouds", "fog", "fire", "hydrant", "dog", "cat", "##s")
QUERIES, MOST_TOKENS, SIDE = 20, 32, 128
HEIGHT, WIDTH = 48, 80


def tiny_tokenizer() -> Any:
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS)
    return transformers.BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)})


def tiny_finder() -> Any:
    torch.manual_seed(0)
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=transformers.BertConfig(
            vocab_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
            max_position_embeddings=256,
        ),
        num_queries=QUERIES, encoder_layers=1, decoder_layers=2, d_model=32, encoder_ffn_dim=48, decoder_ffn_dim=48,
        encoder_attention_heads=2, decoder_attention_heads=2, num_feature_levels=4, encoder_n_points=2,
        decoder_n_points=2, max_text_len=MOST_TOKENS, disable_custom_kernels=True,
    )  # fmt: skip
    return transformers.GroundingDinoForObjectDetection(config).eval()


def tiny_cutter() -> Any:
    torch.manual_seed(1)
    config = transformers.Sam2Config(
        vision_config=transformers.Sam2VisionConfig(
            backbone_config=transformers.Sam2HieraDetConfig(
                hidden_size=12, num_attention_heads=1, image_size=[SIDE, SIDE], blocks_per_stage=[1, 2, 2, 1],
                embed_dim_per_stage=[12, 24, 48, 96], num_attention_heads_per_stage=[1, 2, 4, 8],
                window_size_per_stage=[8, 4, 4, 2], global_attention_blocks=[4],
            ),
            backbone_channel_list=[96, 48, 24, 12], backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config=transformers.Sam2PromptEncoderConfig(
            hidden_size=32, image_size=SIDE, patch_size=16, mask_input_channels=8
        ),
        mask_decoder_config=transformers.Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
        ),
    )  # fmt: skip
    return transformers.Sam2Model(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("grounded")
    tiny_finder().save_pretrained(place / "grounding-dino")
    tiny_tokenizer().save_pretrained(place / "grounding-dino")
    tiny_cutter().save_pretrained(place / "sam2")
    return place


def photo(seed: int = 0) -> Photo:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Photo("a", pixels, path="a.jpg")


SETTINGS: dict[str, Any] = {
    "shortest": 64, "longest": 96, "groups": ["sky"], "things": ["dog", "cat", "fire hydrant"], "labels_a_pass": 2,
}  # fmt: skip


def provider(folder: Path, **settings: Any) -> Grounded:
    found = load_provider("grounded", SETTINGS | settings, weights=folder)
    assert isinstance(found, Grounded)
    return found


class PlantedFinder:
    """Stands where the network stands and says what a table says: name -> scores by query and the box."""

    def __init__(self, config: Any, told: dict[str, tuple[float, tuple[float, float, float, float]]]) -> None:
        self.config = config
        self.told = told
        self.texts: list[list[int]] = []

    def __call__(self, *, pixel_values: Tensor, pixel_mask: Tensor, input_ids: Tensor, **rest: Tensor) -> Any:
        assert pixel_mask.shape == pixel_values.shape[:1] + pixel_values.shape[2:]
        assert bool((pixel_mask == 1).all())
        self.texts.append(input_ids[0].tolist())
        logits = torch.full((1, QUERIES, MOST_TOKENS), float("-inf"))
        logits[:, :, : input_ids.shape[1]] = -6.0
        boxes = torch.full((1, QUERIES, 4), 0.5)
        numbers = tiny_tokenizer().get_vocab()
        for query, (name, (score, box)) in enumerate(self.told.items()):
            # Only the last token of the name is bright: a span's score is its brightest token's.
            last = numbers[name.split()[-1]]
            place = [i for i, number in enumerate(input_ids[0].tolist()) if number == last]
            if place:
                logits[0, query, place[0]] = float(np.log(score / (1 - score)))
            boxes[0, query] = torch.tensor(box)
        return SimpleNamespace(logits=logits, pred_boxes=boxes)


class PlantedCutter:
    """Answers each box with a mask that fills it, at a quarter of the side, as the network would."""

    def __init__(self, overlap: dict[int, float] | None = None) -> None:
        self.overlap = overlap or {}
        self.looks: list[Tensor] = []
        self.boxes: list[list[float]] = []

    def get_image_embeddings(self, image: Tensor) -> list[Tensor]:
        self.looks.append(image)
        return [torch.zeros(1)]

    def __call__(self, *, image_embeddings: Any, input_boxes: Tensor, multimask_output: bool) -> Any:
        assert multimask_output is False
        self.boxes = input_boxes[0].tolist()
        quarter = SIDE // 4
        masks = torch.full((1, len(self.boxes), 1, quarter, quarter), -1.0)
        for number, (x0, y0, x1, y1) in enumerate(self.boxes):
            masks[0, number, 0, round(y0 / 4) : round(y1 / 4), round(x0 / 4) : round(x1 / 4)] = 1.0
        overlaps = [self.overlap.get(number, 0.9) for number in range(len(self.boxes))]
        return SimpleNamespace(
            pred_masks=masks,
            iou_scores=torch.tensor(overlaps)[None, :, None],
            object_score_logits=torch.full((1, len(self.boxes), 1), 3.0),
        )


def planted(
    folder: Path, told: dict[str, tuple[float, Any]], overlap: dict[int, float] | None = None, **settings: Any
) -> tuple[Grounded, PlantedFinder, PlantedCutter]:
    source = provider(folder, **settings)
    source._load()
    assert source._finder is not None
    assert source._cutter is not None
    finder, cutter = PlantedFinder(source._finder.model.config, told), PlantedCutter(overlap)
    source._finder.model, source._cutter.model = finder, cutter
    return source, finder, cutter


# Centre and size in shares of the photo: the sky above, a dog below on the left.
SKY = (0.5, 0.25, 1.0, 0.5)
DOG = (0.25, 0.75, 0.25, 0.25)


def test_names_boxes_and_masks_of_planted_scores(folder: Path) -> None:
    source, finder, cutter = planted(folder, {"sky": (0.8, SKY), "dog": (0.6, DOG), "fog": (0.29, DOG)})
    stuff, background = source.regions(photo(), 0)
    assert (stuff.mask_type, stuff.category, stuff.category_id) == ("stuff", "sky", 157)
    assert (background.mask_type, background.category, background.category_id) == ("background", "dog", 18)
    assert (stuff.score, background.score) == (pytest.approx(0.8), pytest.approx(0.6))
    # Boxes in the pixels of a photo that is not square ...
    assert stuff.box == pytest.approx((0, 0, 80, 24))
    assert background.box == pytest.approx((10, 30, 30, 42))
    # ... and in the square that the cutter is shown.
    assert cutter.boxes[0] == pytest.approx([0, 0, 128, 64])
    assert cutter.boxes[1] == pytest.approx([16, 80, 48, 112])
    assert len(cutter.looks) == 1
    assert cutter.looks[0].shape == (1, 3, SIDE, SIDE)
    above = np.zeros((HEIGHT, WIDTH), bool)
    above[:24] = True
    kept = np.zeros((HEIGHT, WIDTH), bool)
    kept[30:42, 10:30] = True
    assert np.array_equal(stuff.mask, above)
    # What is made anew is all but the thing, to the pixel.
    assert np.array_equal(background.mask, ~kept)
    # Two texts of stuff (three names, two a pass), two of things.
    assert len(finder.texts) == 4
    json.dumps(dict(stuff.facts))
    assert len(stuff.facts["weights"]["sam2"]) == 64


def test_a_name_of_two_words_is_its_brightest_token(folder: Path) -> None:
    source, _, _ = planted(folder, {"fire hydrant": (0.7, DOG)})
    (background,) = source.regions(photo(), 0)
    assert (background.category, background.category_id) == ("fire hydrant", 11)


def test_thresholds_of_both_groups(folder: Path) -> None:
    told = {"sky": (0.31, SKY), "dog": (0.34, DOG)}
    assert [one.category for one in planted(folder, told)[0].regions(photo(), 0)] == ["sky"]
    assert not planted(folder, told, stuff_threshold=0.32)[0].regions(photo(), 0)
    lower = planted(folder, told, thing_threshold=0.3)[0].regions(photo(), 0)
    assert [one.category for one in lower] == ["sky", "dog"]


def test_every_candidate_is_kept_the_most_confident_first(folder: Path) -> None:
    beside = (0.75, 0.75, 0.25, 0.25)
    # The cat's box is the dog's but for a little: one candidate, under the better name.
    told = {"cat": (0.5, DOG), "dog": (0.6, (0.25, 0.75, 0.26, 0.25)), "fire hydrant": (0.9, beside)}
    regions = planted(folder, told)[0].regions(photo(), 0)
    assert [one.category for one in regions] == ["fire hydrant", "dog"]
    assert regions[0].facts["candidates"] == 2
    assert [one.category for one in planted(folder, told, most=1)[0].regions(photo(), 0)] == ["fire hydrant"]


def test_limits_of_area_and_of_the_expected_overlap(folder: Path) -> None:
    told = {"sky": (0.8, SKY), "clouds": (0.7, (0.5, 0.9, 0.1, 0.1)), "dog": (0.6, DOG)}
    # A hundredth of the frame is too little to be a place.
    assert [one.category for one in planted(folder, told)[0].regions(photo(), 0)] == ["sky", "dog"]
    small = planted(folder, told, limits={"stuff": [0.005, 0.4]})[0].regions(photo(), 0)
    assert [one.category for one in small] == ["clouds", "dog"]
    unsure = planted(folder, told, overlap={0: 0.49, 2: 0.5})[0].regions(photo(), 0)
    assert [one.category for one in unsure] == ["dog"]


def test_nothing_above_the_threshold_is_an_answer(folder: Path) -> None:
    source, _, cutter = planted(folder, {"sky": (0.1, SKY)})
    assert list(source.regions(photo(), 0)) == []
    # Then nobody looks at the photo again.
    assert cutter.looks == []


def test_the_real_classes_from_a_folder_are_the_same_twice(folder: Path) -> None:
    open_door: dict[str, Any] = {
        "stuff_threshold": 0.0, "thing_threshold": 0.0, "least_overlap": 0.0,
        "limits": {"stuff": [0.0, 1.0], "background": [0.0, 1.0]},
    }  # fmt: skip
    first = provider(folder, **open_door).regions(photo(), 0)
    again = provider(folder, **open_door).regions(photo(), 1)
    assert len(first) >= 2
    assert {one.mask_type for one in first} <= {"stuff", "background"}
    for one, other in zip(first, again, strict=True):
        assert one.mask.shape == (HEIGHT, WIDTH)
        assert np.array_equal(one.mask, other.mask)
        assert (one.category, one.score, one.box, one.facts) == (other.category, other.score, other.box, other.facts)
    other_photo = provider(folder, **open_door).regions(photo(5), 0)
    assert [one.score for one in first] != [one.score for one in other_photo]


def test_boxes_share_one_look_with_the_whole_call(folder: Path) -> None:
    cutter = Sam2(folder / "sam2")
    pixels = photo().pixels
    boxes = [(10.0, 5.0, 60.0, 40.0), (0.0, 0.0, 20.0, 48.0)]
    cuts = cutter.cut(cutter.look(pixels), boxes, (HEIGHT, WIDTH))
    scaled = torch.tensor([[[x0 * 1.6, y0 * 128 / 48, x1 * 1.6, y1 * 128 / 48] for x0, y0, x1, y1 in boxes]])
    with torch.no_grad():
        whole = cutter.model(pixel_values=cutter.prepare(pixels), input_boxes=scaled, multimask_output=False)
    assert whole.pred_masks.shape == (1, 2, 1, 32, 32)
    large = torch.nn.functional.interpolate(whole.pred_masks[0], size=(HEIGHT, WIDTH), mode="bilinear")
    assert [one.overlap for one in cuts] == pytest.approx(whole.iou_scores[0, :, 0].tolist(), rel=1e-4)
    for cut, logits in zip(cuts, large[:, 0], strict=True):
        # Where the logit is not within rounding of 0 the mask must agree.
        sure = (logits.abs() > 1e-4).numpy()
        assert np.array_equal(cut.mask[sure], (logits > 0).numpy()[sure])


def test_the_form_for_videos_holds_the_one_for_pictures(
    tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = tiny_cutter().config
    config = transformers.Sam2VideoConfig(
        vision_config=small.vision_config, prompt_encoder_config=small.prompt_encoder_config,
        mask_decoder_config=small.mask_decoder_config, image_size=SIDE, memory_attention_hidden_size=32,
        memory_attention_num_layers=1, memory_attention_num_attention_heads=1, memory_attention_downsample_rate=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=32, memory_encoder_output_channels=16, mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    torch.manual_seed(3)
    video = transformers.Sam2VideoModel(config)
    video.save_pretrained(tmp_path)
    capfd.readouterr()
    # As its owner publishes SAM 2.1: more tensors than are asked for, and none of those is left at chance.
    picture = Sam2(tmp_path).model.state_dict()
    assert len(picture) < len(video.state_dict())
    assert all(torch.equal(one, video.state_dict()[name]) for name, one in picture.items())
    # A library says nothing; bars and reports are not ours to print.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [(48, 80), (80, 48), (30, 200), (64, 64), (333, 500)])
def test_the_photo_is_prepared_as_the_library_does(folder: Path, size: tuple[int, int]) -> None:
    oracle_kind = getattr(transformers, "GroundingDinoImageProcessorPil", None)
    if oracle_kind is None:
        pytest.skip("this version of the library has no processor that does without torchvision")
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    oracle = oracle_kind(size={"shortest_edge": 64, "longest_edge": 96})(images=pixels, return_tensors="pt")
    finder = GroundingDino(folder / "grounding-dino", shortest=64, longest=96)
    ours = finder.prepare(pixels)
    assert ours.shape == oracle["pixel_values"].shape
    assert float((ours - oracle["pixel_values"]).abs().max()) < 1e-5
    assert bounded_size(*size, 64, 96) == tuple(ours.shape[2:])


def test_names_know_their_tokens() -> None:
    tokenizer = tiny_tokenizer()
    names = ["fire hydrant", "dog", "dogs", "sky", "cat"]
    prompts = prompts_of(names, tokenizer, 3, MOST_TOKENS)
    assert [one.names for one in prompts] == [("fire hydrant", "dog", "dogs"), ("sky", "cat")]
    assert prompts[0].text == "fire hydrant. dog. dogs."
    for prompt in prompts:
        numbers = tokenizer(prompt.text)["input_ids"]
        assert prompt.tokens == len(numbers)
        spoken = [tokenizer.decode(numbers[first:last]) for first, last in prompt.spans]
        assert tuple(spoken) == prompt.names
    # "[CLS] fire hydrant . dog . dog ##s . [SEP]" is ten tokens.
    assert prompts[0].tokens == 10
    shorter = prompts_of(names, tokenizer, 3, 8)
    assert [one.names for one in shorter] == [("fire hydrant", "dog"), ("dogs", "sky"), ("cat",)]
    assert all(one.tokens <= 8 for one in shorter)


@pytest.mark.parametrize("name", ["st. bernard", "Dog", " "])
def test_names_that_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(BadSetting, match="cannot be asked for"):
        prompts_of([name], tiny_tokenizer(), 3, MOST_TOKENS)


def test_padding_counts_for_nothing_and_boxes_end_at_the_frame() -> None:
    prompt = Prompt("sky. dog.", ("sky", "dog"), ((1, 2), (3, 4)), 6)
    logits = torch.full((3, 8), float("-inf"))
    logits[:, :6] = -5.0
    logits[0, 3], logits[1, 1], logits[2, 5] = 1.0, 0.0, 9.0
    boxes = torch.tensor([[0.0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 1.0, 1.0]])
    found = named_boxes(logits, boxes, prompt, (10, 20), 0.3)
    # The third query is bright at a full stop only, which is nobody's.
    assert [(one.name, round(one.score, 4)) for one in found] == [("dog", 0.7311), ("sky", 0.5)]
    assert found[0].box == pytest.approx((0.0, 2.5, 5.0, 7.5))
    assert found[1].box == pytest.approx((8.0, 3.0, 12.0, 7.0))


def test_boxes_that_are_nearly_the_same() -> None:
    boxes: Sequence[Found] = [
        Found("a", 0.4, (0, 0, 10, 10)),
        Found("b", 0.9, (0, 0, 10, 8)),
        Found("c", 0.5, (20, 0, 30, 10)),
    ]
    # a and b share 0.8 of their union.
    assert [one.name for one in distinct(boxes, 0.79, 9)] == ["b", "c"]
    assert [one.name for one in distinct(boxes, 0.81, 9)] == ["b", "c", "a"]
    assert [one.name for one in distinct(boxes, 0.81, 2)] == ["b", "c"]


def test_without_weights_it_says_what_to_get(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NoWeights) as gone:
        provider(tmp_path).regions(photo(), 0)
    said = str(gone.value)
    for words in ("IDEA-Research/grounding-dino-tiny", "facebook/sam2.1-hiera-large", "Apache-2.0", "about 898 MB"):
        assert words in said
    assert "hf download IDEA-Research/grounding-dino-tiny" in said
    shutil.copytree(folder / "grounding-dino", tmp_path / "grounding-dino")
    with pytest.raises(NoWeights) as half:
        provider(tmp_path).regions(photo(), 0)
    assert "IDEA-Research" not in str(half.value)
    assert "in sam2" in str(half.value)


def test_folders_that_lack_tensors_are_refused(tmp_path: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "whole")
    file = tmp_path / "whole" / "sam2" / "model.safetensors"
    tensors = load_file(file)
    gone = next(name for name in sorted(tensors) if name.startswith("mask_decoder"))
    save_file({name: one for name, one in tensors.items() if name != gone}, file, metadata={"format": "pt"})
    with pytest.raises(BadWeights, match="missing keys"):
        provider(tmp_path / "whole").regions(photo(), 0)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(BadWeights, match="no Sam2Model that can be used"):
        provider(tmp_path / "whole").regions(photo(), 0)


@pytest.mark.parametrize(
    "bad",
    [
        {"stuff_threshold": 1.5},
        {"most": 0},
        {"longest": 10, "shortest": 20},
        {"things": ["unicorn"]},
    ],
)
def test_settings_that_cannot_be_meant(bad: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        load_provider("grounded", bad)
