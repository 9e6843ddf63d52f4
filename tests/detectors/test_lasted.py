"""LASTED: what it is shown, and anchors. The network here is a tiny one of the same classes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadSetting, BadShape, BadWeights
from fauxlens.detectors.detector import RANDOM, Loaded
from fauxlens.detectors.lasted import NO_ANCHORS, Anchors, AttentionPool, LastedDetector, LastedSettings
from fauxlens.detectors.load import load

TINY = LastedSettings(side=64, width=8, depths=(1, 2, 1, 1), heads=4, features=12)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(LastedDetector, "sizes", TINY)


@pytest.fixture
def detector():
    """Random weights of a size that lets pictures differ; fresh ones see much the same in all."""
    found = load("lasted", "random")
    with torch.no_grad():
        for parameter in found.network.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * (2 / parameter[0].numel()) ** 0.5)
    return found


def drawn(height, width, seed=0):
    """Noise over a colour of its own."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 100, (height, width, 3), dtype=np.uint8)
    return noise + generator.integers(0, 156, 3, dtype=np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (101, 130), (33, 200), (40, 51), (5, 3), (1, 1)])
def test_what_is_shown_is_padded_by_mirroring_then_cropped(detector, size):
    """By OpenCV, whose border the authors' library uses; the offsets are rounded down."""
    pixels = drawn(*size)
    height, width = size
    rows, columns = max(64 - height, 0), max(64 - width, 0)
    around = (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    padded = cv2.copyMakeBorder(pixels, *around, cv2.BORDER_REFLECT_101)
    top, left = (padded.shape[0] - 64) // 2, (padded.shape[1] - 64) // 2
    wanted = (padded[top : top + 64, left : left + 64] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    (view,) = detector.prepare(pixels).views
    np.testing.assert_allclose(view.tensor().numpy(), wanted.transpose(2, 0, 1), atol=1e-5)


def test_notes_say_what_was_done(detector):
    assert detector.prepare(drawn(64, 64)).notes == (NO_ANCHORS,)
    assert detector.prepare(drawn(33, 200)).notes == (
        "only the middle 64x33 of 200x33 was seen",
        "mirrored at its borders from 64x33 to 64x64",
        NO_ANCHORS,
    )


def test_attention_pool_is_the_library_s_attention_with_one_query():
    pool = AttentionPool(4, 32, 4, 12)
    maps = torch.randn(2, 32, 2, 2)
    tokens = maps.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    with torch.no_grad():
        wanted, _ = torch.nn.functional.multi_head_attention_forward(
            tokens[:1], tokens, tokens, 32, 4, None,
            torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]), None, None, False, 0.0,
            pool.c_proj.weight, pool.c_proj.bias, use_separate_proj_weight=True, q_proj_weight=pool.q_proj.weight,
            k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
        )  # fmt: skip
        torch.testing.assert_close(pool(maps), wanted[0])


def test_features_have_length_one_and_pictures_do_not_influence_each_other(detector):
    batch = torch.randn(3, 3, 64, 64)
    together = detector.logits(batch)
    assert together.logit is None
    torch.testing.assert_close(together.features.norm(dim=-1), torch.ones(3))
    alone = torch.cat([detector.logits(one[None]).features for one in batch])
    torch.testing.assert_close(together.features, alone, atol=1e-5, rtol=1e-5)


def test_without_anchors_there_is_no_verdict_and_a_note_says_why(detector):
    first, second = detector.predict([drawn(40, 60), drawn(64, 200, 1)])
    for found in (first, second):
        assert found.logit is None
        assert found.probability is None
        assert NO_ANCHORS in found.notes
        assert found.notes[-1] == RANDOM


def test_with_anchors_the_logit_is_threshold_minus_cosine(detector):
    real = [drawn(64, 64, seed) for seed in range(5)]
    anchors = detector.fit_anchors(real)
    pictures = [drawn(40, 60, 9), drawn(100, 257, 10)]
    features = detector.features([*real, *pictures]).double()
    mean = features[:5].mean(dim=0)
    cosines = features[5:] @ mean / mean.norm()
    found = detector.predict(pictures)
    wanted = [anchors.threshold - float(cosine) for cosine in cosines]
    assert [one.logit for one in found] == pytest.approx(wanted, abs=1e-6)
    assert max(map(abs, wanted)) > 1e-4
    assert all(0 < one.probability < 1 and NO_ANCHORS not in one.notes for one in found)
    assert [one.logit for one in detector.predict(pictures)] == [one.logit for one in found]


def test_the_threshold_leaves_a_share_of_the_anchors_below(detector):
    """Four directions in the plane; each is compared with the mean of the other three."""
    angles = torch.tensor([0.0, 0.1, 0.2, 1.2])
    features = torch.stack([angles.cos(), angles.sin()], dim=-1)
    left_out = []
    for number in range(4):
        mean = torch.cat([features[:number], features[number + 1 :]]).mean(dim=0)
        left_out.append(float(features[number] @ mean / mean.norm()))
    found = Anchors.of(features, false_alarms=0.25)
    assert found.threshold == pytest.approx(float(np.quantile(left_out, 0.25)), abs=1e-6)
    assert (found.count, found.weights_sha256) == (4, None)
    assert Anchors.of(features, false_alarms=0.01).threshold == pytest.approx(min(left_out), abs=0.05)


def test_the_mean_does_not_depend_on_the_length_of_features():
    features = torch.randn(5, 12)
    torch.testing.assert_close(Anchors.of(features).direction, Anchors.of(3 * features).direction)


def test_a_picture_against_the_anchors_is_fake_and_one_along_them_real(detector):
    anchors = detector.fit_anchors([drawn(64, 64, seed) for seed in range(4)])
    cosines = anchors.cosine(torch.stack([anchors.direction, -anchors.direction]))
    assert (anchors.threshold - cosines[0]).item() < 0 < (anchors.threshold - cosines[1]).item()


def test_anchors_come_back_from_their_file(detector, tmp_path):
    made = detector.fit_anchors([drawn(64, 64, seed) for seed in range(3)], false_alarms=0.2)
    before = detector.predict([drawn(50, 50, 9)])[0].logit
    made.save(tmp_path / "anchors.safetensors")
    detector.use_anchors(None)
    assert detector.predict([drawn(50, 50, 9)])[0].logit is None
    detector.use_anchors(tmp_path / "anchors.safetensors")
    assert detector.predict([drawn(50, 50, 9)])[0].logit == before
    assert detector.anchors.count == 3


def test_anchors_of_other_weights_are_refused(detector, tmp_path):
    detector.weights = Loaded("released", "ab" * 32)
    made = detector.fit_anchors([drawn(64, 64, seed) for seed in range(2)])
    made.save(tmp_path / "anchors.safetensors")
    assert Anchors.load(tmp_path / "anchors.safetensors").weights_sha256 == "ab" * 32
    with pytest.raises(BadWeights, match=r"made with other weights \(wanted random weights, got abab"):
        load("lasted", "random").use_anchors(tmp_path / "anchors.safetensors")


def test_anchors_of_another_size_are_refused(detector):
    with pytest.raises(BadShape, match="another size"):
        detector.use_anchors(Anchors.of(torch.randn(3, 5)))


def test_a_file_that_holds_no_anchors_is_refused(detector, tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(BadWeights, match="not a file of anchors"):
        detector.use_anchors(tmp_path / "other.safetensors")


def test_too_few_pictures_or_a_strange_share_are_refused(detector):
    with pytest.raises(BadSetting, match="several real pictures"):
        detector.fit_anchors([drawn(64, 64)])
    with pytest.raises(BadSetting, match="false_alarms"):
        Anchors.of(torch.randn(3, 5), false_alarms=1.0)
    with pytest.raises(BadShape, match="features of several pictures"):
        Anchors.of(torch.randn(1, 5))
    with pytest.raises(BadShape, match="a picture is RGB pixels"):
        detector.fit_anchors([drawn(64, 64), drawn(64, 64)[..., 0]])


def test_a_released_file_loads_without_what_no_answer_needs(detector, tmp_path):
    state = {f"module.{name}": tensor for name, tensor in detector.network.state_dict().items()}
    state |= {f"module.{name}": torch.zeros(()).expand(shape) for name, shape in TINY.unused_shapes().items()}
    path = tmp_path / "LASTED_pretrained.pt"
    torch.save(state, path)
    again = load("lasted", path, seed=3)
    batch = torch.randn(1, 3, 64, 64)
    assert torch.equal(again.logits(batch).features, detector.logits(batch).features)
    torch.save(state | {"module.more": torch.zeros(1)}, path)
    with pytest.raises(BadWeights, match=r"1 unexpected \(more\)"):
        load("lasted", path)


def test_a_folder_of_real_pictures_makes_anchors(tmp_path, monkeypatch):
    from PIL import Image

    from fauxlens.detectors import lasted

    for seed in range(4):
        Image.fromarray(drawn(64, 64, seed)).save(tmp_path / f"{seed}.png")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    monkeypatch.setattr(lasted, "MOST_ANCHORS", 3)
    found = load("lasted", "random", options={"anchors": str(tmp_path)})
    assert found.anchors.count == 3
    told = found.predict([drawn(64, 64, 9)])[0]
    assert told.logit is not None
    assert NO_ANCHORS not in told.notes
    found.anchors.save(tmp_path / "a.safetensors")
    again = load("lasted", "random", options={"anchors": tmp_path / "a.safetensors"})
    assert again.predict([drawn(64, 64, 9)])[0].logit == told.logit
    assert found.change(anchors="none").predict([drawn(64, 64, 9)])[0].logit is None
