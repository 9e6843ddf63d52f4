"""UnivFD: what it is shown, and which files fit it. The network here is a tiny one of the same classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fauxlens.core.errors import BadShape, BadWeights, NoWeights
from fauxlens.detectors.checkpoint import read_tensors
from fauxlens.detectors.clip import ClipSettings, text_tower
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.load import fitted, load
from fauxlens.detectors.store import put
from fauxlens.detectors.univfd import UnivFd

TINY = ClipSettings(
    patch=56, image_width=32, image_layers=2, image_heads=4, text_width=24, text_layers=2, text_heads=3,
    vocabulary=50, context=12, projection=20,
)  # fmt: skip
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711])


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(UnivFd, "sizes", TINY)


@pytest.fixture
def detector():
    return load("univfd", "random")


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shown(detector, pixels):
    (view,) = detector.prepare(pixels).views
    return view.tensor().numpy()


def test_a_large_picture_is_cropped_and_never_resized(detector):
    pixels = drawn(301, 640)
    wanted = (pixels[38:262, 208:432] / 255 - MEAN) / DEVIATION  # 77 rows more: 38.5 is rounded to the even number
    np.testing.assert_allclose(shown(detector, pixels), wanted.transpose(2, 0, 1), atol=1e-5)


def test_a_small_picture_gets_black_around_it_before_it_is_normalised(detector):
    pixels = drawn(101, 300)
    padded = np.zeros((224, 224, 3))
    padded[61:162] = pixels[:, 38:262]  # 123 rows too few: 61 above, 62 below
    np.testing.assert_allclose(
        shown(detector, pixels), ((padded / 255 - MEAN) / DEVIATION).transpose(2, 0, 1), atol=1e-5
    )


def test_the_picture_of_the_right_size_is_shown_as_it_is(detector):
    prepared = detector.prepare(drawn(224, 224))
    assert prepared.notes == ()
    assert detector.prepare(drawn(224, 225)).notes == ("only the middle 224x224 of 225x224 was seen",)


def test_embedding_is_projected_and_not_normalised(detector):
    output = detector.logits(torch.randn(2, 3, 224, 224))
    assert output.features.shape == (2, 20)
    with torch.inference_mode():
        by_hand = output.features @ detector.network.fc.weight.T + detector.network.fc.bias
        torch.testing.assert_close(output.logit, by_hand[:, 0])
        inner = detector.network.clip.vision_model(pixel_values=torch.zeros(1, 3, 224, 224)).pooler_output
        found = detector.network.embedding(torch.zeros(1, 3, 224, 224))
        torch.testing.assert_close(found, inner @ detector.network.clip.visual_projection.weight.T)


def test_pictures_do_not_influence_each_other(detector):
    batch = torch.randn(3, 3, 224, 224)
    alone = torch.cat([detector.logits(one[None]).logit for one in batch])
    torch.testing.assert_close(detector.logits(batch).logit, alone, atol=1e-5, rtol=1e-5)


def test_predict_gives_a_verdict_and_no_mask(detector):
    pictures = [drawn(40, 60), drawn(300, 257, 1)]
    first, second = detector.predict(pictures)
    for found in (first, second):
        assert 0 < found.probability < 1
        assert found.probability == pytest.approx(1 / (1 + np.exp(-found.logit)))
        assert found.mask is None
        assert found.notes[-1] == RANDOM
    assert first.logit != second.logit
    assert [found.logit for found in detector.predict(pictures)] == [first.logit, second.logit]


def test_wrong_batches_are_refused(detector):
    with pytest.raises(BadShape, match="a batch is RGB tensors"):
        detector.logits(torch.zeros(1, 1, 224, 224))


def published_files(network):
    """The layer and the hub's CLIP, as their owners lay them out, from the numbers of a network."""
    state = network.state_dict()
    head = {name.removeprefix("fc."): tensor for name, tensor in state.items() if name.startswith("fc.")}
    tower = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    text = text_tower(TINY, "a test").state_dict()
    counters = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    counters["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    return head, {**tower, **text, **counters, "logit_scale": torch.tensor(4.6)}


def test_both_published_files_together_make_the_detector(detector, tmp_path):
    weights = UnivFd.card.weights[0]
    for state in published_files(detector.network):
        part, tensors = fitted(detector, state, weights, "test")
        put("univfd", weights, part, tensors, store=tmp_path)
    again = load("univfd", store=tmp_path, seed=5)
    batch = torch.randn(1, 3, 224, 224)
    assert torch.equal(again.logits(batch).logit, detector.logits(batch).logit)
    assert not again.weights.is_random


def test_one_file_is_not_enough(detector, tmp_path):
    weights = UnivFd.card.weights[0]
    head, _ = published_files(detector.network)
    put("univfd", weights, "fc.", fitted(detector, head, weights, "test")[1], store=tmp_path)
    with pytest.raises(NoWeights, match=r"only in part.*clip-vit-large-patch14"):
        load("univfd", store=tmp_path)
    path = tmp_path / "fc_weights.pth"
    torch.save(head, path)
    assert set(read_tensors(path)) == {"weight", "bias"}
    with pytest.raises(BadWeights, match="only a part of univfd"):
        load("univfd", path)


def test_another_clip_is_refused(detector):
    _, tower = published_files(detector.network)
    tower["visual_projection.weight"] = torch.zeros(32, 32)
    with pytest.raises(BadWeights, match=r"1 of another shape \(visual_projection\.weight: wanted 20x32, got 32x32\)"):
        fitted(detector, tower, UnivFd.card.weights[0], "test")
