"""LGrad as a detector: one picture at a time, the 8-bit picture in the middle, sizes, settings, parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fauxlens.core.errors import BadShape, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.lgrad import LGrad, group_deviation
from fauxlens.detectors.load import fitted


def toy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("lgrad", "random")


def test_published_preparation_resizes_both_sides_bilinear(detector: Detector) -> None:
    pixels = toy(300, 520)
    small = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR), np.float64)
    shown = detector.prepare(pixels).views[0].tensor().numpy()
    np.testing.assert_allclose(shown, (small / 255 * 2 - 1).transpose(2, 0, 1), atol=1e-6)


def test_it_can_be_shown_the_middle(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "showing", "crop")
    pixels = toy(300, 520)
    shown = detector.prepare(pixels).views[0].tensor().numpy()
    np.testing.assert_allclose(shown, (pixels[22:278, 132:388] / 255 * 2 - 1).transpose(2, 0, 1), atol=1e-6)
    small = detector.prepare(toy(100, 300)).views[0].tensor()
    assert small.shape == (3, 256, 256)
    assert torch.equal(small[:, 0], torch.full((3, 256), -1.0))
    monkeypatch.setattr(detector, "showing", "whole")
    with pytest.raises(UnknownName, match="resize"):
        detector.prepare(pixels)


def test_company_changes_a_gradient_so_pictures_are_seen_alone(detector: Detector) -> None:
    network = detector.network
    assert isinstance(network, LGrad)
    batch = torch.stack([detector.prepare(toy(256, 256, seed)).views[0].tensor() for seed in (0, 1)])
    alone = network.gradient(batch[:1])
    together = network.gradient(batch)[:1]
    assert (alone - together).abs().max() > 1e-3 * alone.abs().max()
    each = torch.cat([detector.logits(one[None]).logit for one in batch])
    assert torch.equal(detector.logits(batch).logit, each)


def test_predict_is_a_verdict_without_a_mask_and_the_same_twice(detector: Detector) -> None:
    pictures = [toy(256, 256), toy(40, 90, 1)]
    found = detector.predict(pictures)
    assert [one.mask for one in found] == [None, None]
    assert all(0 < one.probability < 1 for one in found)
    assert found[0].logit != found[1].logit
    assert detector.predict(pictures[1:])[0].logit == found[1].logit
    assert found[1].notes[0] == "resized from 90x40 to 256x256"


def test_the_classifier_sees_the_rounded_picture_with_imagenet_statistics(detector: Detector) -> None:
    network = detector.network
    assert isinstance(network, LGrad)
    batch = detector.prepare(toy(256, 256)).views[0].tensor()[None]
    picture = network.picture(batch)
    assert picture.min() == 0
    assert picture.max() == 255
    rows = (picture.numpy()[0].transpose(1, 2, 0) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.inference_mode():
        expected = network.classifier(torch.from_numpy(rows.transpose(2, 0, 1)[None]).float())
    assert detector.logits(batch).logit.tolist() == pytest.approx(expected[0].tolist(), rel=1e-4, abs=1e-5)


def test_the_loss_of_a_trainer_reaches_the_classifier_only(detector: Detector) -> None:
    network = detector.network
    network(detector.prepare(toy(256, 256)).views[0].tensor()[None]).logit.sum().backward()
    with_gradient = {name.split(".")[0] for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    assert with_gradient == {"classifier"}


def test_each_file_is_a_part(detector: Detector) -> None:
    whole, weights = detector.network.state_dict(), detector.card.weights[0]
    for part in ("discriminator.", "classifier."):
        state = {name.removeprefix(part): tensor for name, tensor in whole.items() if name.startswith(part)}
        assert fitted(detector, state, weights, "file")[0] == part


def test_deviation_of_a_group() -> None:
    maps = torch.tensor([1.0, 3.0])[:, None, None, None].expand(2, 5, 4, 4)
    assert group_deviation(maps).unique().tolist() == pytest.approx([1.0])
    assert group_deviation(maps[:1]).unique().tolist() == pytest.approx([1e-4])
    with pytest.raises(BadShape, match="groups of 4"):
        group_deviation(maps[:1].expand(6, 5, 4, 4))


def test_another_size_is_refused(detector: Detector) -> None:
    with pytest.raises(BadShape, match="256"):
        detector.network(torch.zeros(1, 3, 224, 224))
