"""Judges that need a model: DreamSim through a stand-in for its package, CLIP as a tiny one with random weights."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadSetting, BadWeights, MissingExtra, NoWeights
from fauxlens.forge.judge.judge import Exhibit, load_judge
from fauxlens.images.resample import resize
from photo_like import photo_like


def exhibit(**more):
    mask = np.zeros((60, 80), bool)
    mask[10:50, 8:32] = True
    original, other = photo_like(0, 60, 80), photo_like(1, 60, 80)
    return Exhibit(original=original, forged=np.where(mask[..., None], other, original), mask=mask, **more)


class StandIn(torch.nn.Module):
    """Remembers what it was given; its distance is the mean difference, times a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.seen = factor, []

    def forward(self, one, other):
        self.seen.append((one, other))
        return (one - other).abs().mean(dim=(1, 2, 3)) * self.factor


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package called dreamsim, and a folder with something in it."""
    model, calls = StandIn(), []

    def dreamsim(**given):
        calls.append(given)
        return model.train(), lambda picture: picture

    monkeypatch.setitem(sys.modules, "dreamsim", types.SimpleNamespace(dreamsim=dreamsim))
    (tmp_path / "model.pt").write_bytes(b"x")
    return model, calls, tmp_path


def test_dreamsim_is_asked_as_its_package_wants(package):
    model, calls, folder = package
    judge = load_judge("dreamsim", weights=folder)
    one = exhibit()
    value = judge.rule(one).value
    judge.rule(one)
    assert calls == [{"pretrained": True, "device": "cpu", "cache_dir": str(folder), "dreamsim_type": "ensemble"}]
    assert not model.training
    first, second = model.seen[0]
    for tensor, pixels in ((first, one.original), (second, one.forged)):
        wanted = resize(pixels, (224, 224), "bicubic").transpose(2, 0, 1)[None] / np.float32(255)
        assert torch.equal(tensor, torch.from_numpy(wanted))
    assert value == pytest.approx(float((first - second).abs().mean()))


def test_dreamsim_limits_by_mask_type(package):
    model, _, folder = package
    judge = load_judge("dreamsim", weights=folder)
    verdicts = {}
    for factor, name in ((0.001, "same"), (1.0, "changed"), (30.0, "lost")):
        model.factor = factor
        verdicts[name] = [judge.rule(exhibit(mask_type=kind)).passed for kind in ("stuff", "background", "region")]
    assert verdicts == {"same": [False] * 3, "changed": [True] * 3, "lost": [False, True, False]}


def test_dreamsim_without_package_or_models(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dreamsim", types.SimpleNamespace())
    with pytest.raises(NoWeights, match="MIT"):
        load_judge("dreamsim", weights=tmp_path / "none").rule(exhibit())
    # None in the table of modules is how Python itself marks one that cannot be had.
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    with pytest.raises(MissingExtra, match="pip install dreamsim"):
        load_judge("dreamsim", weights=tmp_path).rule(exhibit())
    with pytest.raises(BadSetting, match="above highest"):
        load_judge("dreamsim", {"lowest": 0.7})


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A tiny CLIP with seeded weights and a tokenizer of bytes."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(1)  # one whose cosines are not below zero, where every score would be 0
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = transformers.CLIPConfig(
            text_config={**sizes, "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
            vision_config={**sizes, "image_size": 32, "patch_size": 8},
            projection_dim=16,
        )
        transformers.CLIPModel(config).save_pretrained(folder)
    # A sign for each of the 256 bytes: itself where it can be printed, else one from behind them.
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in (*printed, *range(256, 256 + 256 - len(printed)))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    return folder


def test_clip_score_is_the_lower_of_two(clip_folder):
    judge = load_judge("clip-score", {"limit": 0.0}, weights=clip_folder)
    one = exhibit(caption="a boat under the sky", prompt="stars")
    ruling = judge.rule(one)
    whole = judge.rule(replace(one, prompt=None)).value
    region = judge.rule(replace(one, caption=None)).note.rpartition(" ")[2]
    assert 0 <= ruling.value <= 100
    assert ruling.value == min(whole, ruling.value)
    assert f"picture {whole:.1f}" in ruling.note
    assert ruling.note.endswith(region)
    assert ruling == load_judge("clip-score", {"limit": 0.0}, weights=clip_folder).rule(one)
    assert ruling.passed
    assert load_judge("clip-score", {"limit": 100.0}, weights=clip_folder).rule(one).passed is False


def test_clip_score_by_hand(clip_folder):
    """The same numbers straight from the library, for a picture that needs no resizing and all of a mask."""
    from transformers import CLIPModel, CLIPTokenizer

    pixels = photo_like(4, 32, 32)
    mask = np.ones((32, 32), bool)
    judge = load_judge("clip-score", weights=clip_folder)
    ruling = judge.rule(Exhibit(original=pixels, forged=pixels, mask=mask, caption="x", prompt="x"))
    model, words = CLIPModel.from_pretrained(clip_folder).eval(), CLIPTokenizer.from_pretrained(clip_folder)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    values = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / deviation
    with torch.inference_mode():
        found = model(pixel_values=values[None], **words(["x"], return_tensors="pt"))
    cosine = float((found.image_embeds * found.text_embeds).sum())
    assert cosine > 0.01
    assert ruling.value == pytest.approx(100 * cosine, abs=1e-3)


def test_the_region_is_shown_alone(clip_folder):
    judge = load_judge("clip-score", weights=clip_folder)
    one = exhibit(prompt="x")
    judge.rule(one)
    alone = judge._clip.alone(one.forged, one.mask)
    assert alone.shape == (40, 40, 3)
    assert np.array_equal(alone[:, 8:32], one.forged[10:50, 8:32])
    assert (alone[:, :8] == alone[0, 0]).all()
    assert np.abs(judge._clip._prepared(alone)[0, :, 0, 0].numpy()).max() < 0.01


def test_clip_score_without_words_or_model(clip_folder, tmp_path):
    assert load_judge("clip-score", weights=clip_folder).rule(exhibit()).passed is None
    with pytest.raises(NoWeights, match="hf download openai/clip-vit-base-patch32"):
        load_judge("clip-score", weights=tmp_path).rule(exhibit(prompt="x"))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadWeights, match="no CLIP can be read"):
        load_judge("clip-score", weights=tmp_path).rule(exhibit(prompt="x"))


def test_colours_that_the_folder_says(clip_folder, tmp_path):
    from fauxlens.forge.judge.clip_score import _statistics

    assert _statistics(tmp_path)[0].tolist() == [0.48145466, 0.4578275, 0.40821073]
    said = tmp_path / "preprocessor_config.json"
    said.write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}', encoding="utf-8")
    assert _statistics(tmp_path)[1].tolist() == [0.25] * 3
    for text in ("{", "[]", '{"image_std": [0, 1, 1]}', '{"image_mean": [0.5]}'):
        said.write_text(text, encoding="utf-8")
        with pytest.raises(BadWeights):
            _statistics(tmp_path)
