"""FatFormer: what it is shown, its parts by hand, its names. The network here is a tiny one of the same classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.detectors.clip import ClipSettings
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.fatformer import (
    AdaptedBlock,
    FatFormerDetector,
    FatFormerSettings,
    ForgeryAwareAdapter,
    HaarBands,
    HaarSum,
)
from fauxlens.detectors.load import fitted, load

TINY = FatFormerSettings(
    clip=ClipSettings(
        patch=56, image_width=32, image_layers=3, image_heads=4, text_width=24, text_layers=2, text_heads=3,
        vocabulary=50, context=12, projection=24,
    ),
    adapter_width=8, adapter_groups=4, adapter_heads=2, learned=4, heads=3,
    start=48, words=((7, 3, 49), (9, 3, 49)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(FatFormerDetector, "sizes", TINY)


@pytest.fixture
def detector():
    found = load("fatformer", "random")
    with torch.no_grad():
        for parameter in found.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return found


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(301, 640), (100, 57), (256, 256)])
def test_a_picture_is_squeezed_into_a_square_whose_middle_is_shown(detector, size):
    pixels = drawn(*size)
    (view,) = detector.prepare(pixels).views
    square = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))[16:240, 16:240]
    wanted = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(view.tensor().numpy(), wanted.transpose(2, 0, 1), atol=1e-5)
    assert view.shape == (224, 224)


def test_the_window_says_how_much_was_seen(detector):
    prepared = detector.prepare(drawn(512, 1024))
    window = prepared.views[0].window
    assert (window.top, window.left, window.height, window.width) == (32, 64, 448, 896)
    assert prepared.notes == ("resized from 1024x512 to 256x256, of which the middle 224x224 was seen",)


def test_haar_bands_of_a_block_by_hand():
    block = torch.tensor([[1.0, 2.0], [3.0, 5.0]])[None, None]
    low, down, across, both = HaarBands()(block)[0, 0, :, 0, 0].tolist()
    assert low == pytest.approx((1 + 2 + 3 + 5) / 2)
    assert down == pytest.approx((1 + 2 - 3 - 5) / 2)
    assert across == pytest.approx((1 - 2 + 3 - 5) / 2)
    assert both == pytest.approx((1 - 2 - 3 + 5) / 2)


def test_haar_sum_undoes_haar_bands():
    maps = torch.randn(2, 3, 8, 6)
    bands = HaarBands()(maps)
    assert bands.shape == (2, 3, 4, 4, 3)
    assert bands.square().sum().item() == pytest.approx(maps.square().sum().item(), rel=1e-5)
    torch.testing.assert_close(HaarSum()(bands), maps)


def test_class_token_hears_nothing_of_frequencies():
    adapter = ForgeryAwareAdapter(32, 8, 4, 2).eval()
    tokens = torch.randn(2, 17, 32)
    with torch.inference_mode():
        added = adapter(tokens)
        local = adapter.second_conv_layer(adapter.first_conv_layer(tokens.mT).relu()).mT
        torch.testing.assert_close(added[:, 0], 0.1 * local[:, 0])
        adapter.freq_scale.fill_(0.0)
        torch.testing.assert_close(adapter(tokens), 0.1 * local)
        assert (added[:, 1:] - 0.1 * local[:, 1:]).abs().max() > 0.1


def test_every_third_block_is_adapted(detector):
    layers = detector.network.image.vision_model.encoder.layers
    assert [isinstance(layer, AdaptedBlock) for layer in layers] == [False, False, True]


def test_prompts_hold_start_learned_vectors_word_and_end(detector):
    network = load("fatformer", "random").network
    words = network.text.text_model.embeddings.token_embedding.weight
    with torch.inference_mode():
        prompts = network.language_guided_alignment(torch.randn(2, 17, 24))
    assert prompts.shape == (2, 2, 12, 24)
    for picture in prompts:
        for prompt, word in zip(picture, (7, 9), strict=True):
            assert torch.equal(prompt[0], words[48])
            assert torch.equal(prompt[5:], words[torch.tensor([word, 3, 49, 0, 0, 0, 0])])
        assert torch.equal(picture[0, 1:5], picture[1, 1:5])
    assert not torch.equal(prompts[0, 0, 1:5], prompts[1, 0, 1:5])


def test_what_stands_behind_the_end_is_not_read(detector):
    prompts = torch.randn(1, 2, 12, 24)
    changed = prompts.clone()
    changed[:, :, 8:] += 1.0
    with torch.inference_mode():
        found = detector.network.text_features(prompts)
        assert torch.equal(found, detector.network.text_features(changed))
        changed[:, :, 7] += 1.0
        assert not torch.allclose(found, detector.network.text_features(changed))


def test_verdict_is_fake_minus_real(detector):
    batch = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        both = detector.network.class_logits(batch)
    torch.testing.assert_close(detector.logits(batch).logit, both[:, 1] - both[:, 0])
    assert FatFormerDetector.card.weights[0].labels == ("real", "fake")


def test_pictures_do_not_influence_each_other(detector):
    batch = torch.randn(3, 3, 224, 224)
    alone = torch.cat([detector.logits(one[None]).logit for one in batch])
    torch.testing.assert_close(detector.logits(batch).logit, alone, atol=1e-4, rtol=1e-4)


def test_predict_gives_a_verdict_and_no_mask(detector):
    pictures = [drawn(40, 60), drawn(300, 257, 1)]
    first, second = detector.predict(pictures)
    for found in (first, second):
        assert 0 < found.probability < 1
        assert found.mask is None
        assert found.notes[-1] == RANDOM
    assert first.logit != second.logit
    assert [found.logit for found in detector.predict(pictures)] == [first.logit, second.logit]


def openai_names(network):
    """A network's state under the released names, second names included."""
    released = {}
    for name, tensor in network.state_dict().items():
        plain = name
        for ours, theirs in (
            ("image.vision_model.embeddings.class_embedding", "clip_model.visual.class_embedding"),
            ("image.vision_model.embeddings.position_embedding.weight", "clip_model.visual.positional_embedding"),
            ("image.vision_model.embeddings.patch_embedding.", "clip_model.visual.conv1."),
            ("image.vision_model.pre_layrnorm.", "clip_model.visual.ln_pre."),
            ("image.vision_model.post_layernorm.", "clip_model.visual.ln_post."),
            ("image.vision_model.encoder.layers.", "clip_model.visual.transformer.resblocks."),
            ("text.text_model.embeddings.position_embedding.weight", "clip_model.positional_embedding"),
            ("text.text_model.embeddings.token_embedding.", "clip_model.token_embedding."),
            ("text.text_model.final_layer_norm.", "clip_model.ln_final."),
            ("text.text_model.encoder.layers.", "clip_model.transformer.resblocks."),
            (".layer_norm1.", ".ln_1."), (".layer_norm2.", ".ln_2."),
            (".mlp.fc1.", ".mlp.c_fc."), (".mlp.fc2.", ".mlp.c_proj."), (".self_attn.", ".attn."),
        ):  # fmt: skip
            plain = plain.replace(ours, theirs)
        released[plain] = tensor
    released["clip_model.visual.proj"] = released.pop("image.visual_projection.weight").T
    released["clip_model.text_projection"] = released.pop("text.text_projection.weight").T
    released["clip_model.logit_scale"] = released["logit_scale"]
    for name in [name for name in released if name.endswith("attn.q_proj.weight")]:
        block = name.removesuffix("q_proj.weight")
        for leaf in ("weight", "bias"):
            parts = [released.pop(f"{block}{letter}_proj.{leaf}") for letter in "qkv"]
            released[f"{block}in_proj_{leaf}"] = torch.cat(parts)
    for name, tensor in list(released.items()):
        if name.startswith("clip_model.visual."):
            released[name.replace("clip_model.visual.", "image_encoder.")] = tensor
        elif name.startswith("clip_model.") and name not in (
            "clip_model.logit_scale",
            "clip_model.token_embedding.weight",
        ):
            released[name.replace("clip_model.", "text_encoder.")] = tensor
    return released


def test_a_released_file_gives_the_same_answers(detector, tmp_path):
    path = tmp_path / "released.pth"
    torch.save({"model": openai_names(detector.network)}, path)
    again = load("fatformer", path, seed=7)
    batch = torch.randn(1, 3, 224, 224)
    assert torch.equal(again.logits(batch).logit, detector.logits(batch).logit)


def test_a_file_without_second_names_is_whole(detector):
    state = {
        name: tensor
        for name, tensor in openai_names(detector.network).items()
        if not name.startswith(("image_encoder.", "text_encoder.", "logit_scale"))
    }
    part, tensors = fitted(detector, state, FatFormerDetector.card.weights[0], "test")
    assert part == ""
    assert torch.equal(tensors["logit_scale"], detector.network.logit_scale)


@pytest.mark.parametrize("shape", [(3,), (24,)])
def test_a_second_name_that_holds_something_else_is_refused(detector, shape):
    state = openai_names(detector.network)
    state["text_encoder.ln_final.bias"] = torch.full(shape, 9.0)
    with pytest.raises(
        BadWeights, match=r"text_encoder\.ln_final\.bias' and 'clip_model\.ln_final\.bias' are two names"
    ):
        fitted(detector, state, FatFormerDetector.card.weights[0], "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": ClipSettings(text_width=512)}, "both have one width"),
        ({"clip": ClipSettings(side=210)}, "even grid"),
        ({"words": ((1, 2), (1, 2, 3))}, "end at one place"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change, message):
    with pytest.raises(BadSetting, match=message):
        FatFormerSettings(**change)
