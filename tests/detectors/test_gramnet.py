"""What GramNet is shown, and which of its classes is which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.detectors import load
from fauxlens.detectors.gramnet import GramNet, GramNetDetector, gram


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def detectors():
    return {setting: load("gramnet", "random", setting=setting) for setting in GramNetDetector.settings}


def test_the_original_sees_blue_first_and_no_statistics(detectors):
    pixels = picture(40, 61)
    (view,) = detectors["published"].prepare(pixels).views
    large = np.array(Image.fromarray(pixels).resize((512, 512), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(view.tensor().numpy(), large[..., [2, 1, 0]].transpose(2, 0, 1).astype(np.float32))


def test_the_single_logit_sees_the_middle_of_256(detectors):
    pixels = picture(90, 121)
    (view,) = detectors["single"].prepare(pixels).views
    large = np.array(Image.fromarray(pixels).resize((344, 256), Image.Resampling.BILINEAR))[16:240, 60:284]
    wanted = (large / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(view.tensor().numpy(), wanted.transpose(2, 0, 1), atol=2e-6)


def test_a_gram_matrix_is_the_mean_product_of_two_maps():
    maps = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    found = gram(maps)
    assert found.shape == (2, 1, 4, 4)
    torch.testing.assert_close(found[1, 0, 2, 3], (maps[1, 2] * maps[1, 3]).mean() / 4)


def test_the_first_class_is_the_fake(detectors):
    network = detectors["published"].network
    assert detectors["published"].card.weights[0].labels == ("fake", "real")
    image = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = network(image)
        probabilities = network.log_probabilities(output.features).exp()
    torch.testing.assert_close(output.logit.sigmoid(), probabilities[:, 0])


def test_the_texture_forgets_the_place(detectors):
    network = detectors["published"].network
    maps = torch.randn(1, 64, 12, 12, generator=torch.Generator().manual_seed(0))
    turned = maps.roll(4, dims=3)
    first = network.conv_inter2_0
    with torch.inference_mode():
        torch.testing.assert_close(gram(first(maps).roll(4, dims=3)), gram(first(maps)))
        assert network.texture(3, maps).shape == (1, 32)
        assert not torch.equal(network.texture(3, maps), network.texture(3, 2 * turned))


def test_the_card_counts_the_published_form():
    with torch.device("meta"):
        counted = [sum(p.numel() for p in GramNet(classes).parameters()) for classes in (2, 1)]
    assert counted == [GramNetDetector.card.parameters, GramNetDetector.card.parameters - 513]


@pytest.mark.parametrize("setting", GramNetDetector.settings)
def test_predictions_are_verdicts_alone_or_together(setting, detectors):
    detector = detectors[setting]
    pictures = [picture(40, 57, 1), picture(1, 1, 2)]
    both = detector.predict(pictures, ids=["a", "b"])
    assert [p.sample_id for p in both] == ["a", "b"]
    assert all(0.0 <= p.probability <= 1.0 and p.mask is None for p in both)
    assert both[0].logit != both[1].logit
    # Values up to 255 go in unscaled, so the last digits weigh more than elsewhere.
    assert detector.predict(pictures[1:])[0].logit == pytest.approx(both[1].logit, rel=1e-4, abs=1e-4)
