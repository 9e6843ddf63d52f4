"""ManTra-Net as a detector: mirrored borders, its own statistics for each picture, sizes, settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fauxlens.core.errors import BadShape, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.mantra_net import hard_sigmoid, mirrored, srm_convolution


def toy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("mantra-net", "random")


def test_preparation_is_native_in_minus_one_to_one(detector: Detector) -> None:
    pixels = toy(21, 34)
    shown = detector.prepare(pixels).views[0].tensor().numpy()
    np.testing.assert_allclose(shown, (pixels / 255 * 2 - 1).transpose(2, 0, 1), atol=1e-6)


def test_it_can_be_shown_512(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "showing", "resize")
    prepared = detector.prepare(toy(30, 40))
    assert prepared.views[0].shape == (512, 512)
    assert prepared.notes == ("resized from 40x30 to 512x512",)
    monkeypatch.setattr(detector, "showing", "512")
    with pytest.raises(UnknownName, match="native"):
        detector.prepare(toy(30, 40))


@pytest.mark.parametrize("by", [1, 2])
def test_borders_repeat_the_edge_pixel(by: int) -> None:
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    expected = np.pad(maps, ((0, 0), (0, 0), (by, by), (by, by)), mode="symmetric")
    np.testing.assert_array_equal(mirrored(torch.from_numpy(maps), by).numpy(), expected)


def test_predict_on_two_sizes(detector: Detector) -> None:
    pictures = [toy(40, 56), toy(33, 19, 1)]
    found = detector.predict(pictures)
    assert [one.mask.shape for one in found] == [(40, 56), (33, 19)]
    for one in found:
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert one.probability == pytest.approx(float(one.mask.max()), abs=1e-6)
    again = detector.predict(pictures[1:])[0]
    assert np.array_equal(again.mask, found[1].mask)


def test_a_picture_does_not_change_its_neighbours(detector: Detector) -> None:
    # Bright and dark, so that a mean over both would be far from either.
    one = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = torch.stack([one * 0.1 - 1, one * 2 - 1])
    together = detector.logits(batch).mask
    alone = torch.cat([detector.logits(one[None]).mask for one in batch])
    assert torch.equal(together, alone)
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)
    with torch.inference_mode():
        at_once = detector.network(batch).mask
    torch.testing.assert_close(at_once, alone, atol=0.01, rtol=0)


def test_a_line_of_pixels_is_doubled(detector: Detector) -> None:
    found = detector.predict([toy(1, 9)])[0]
    assert found.mask.shape == (1, 9)
    assert found.notes[0] == "resized from 9x1 to 9x2"


def test_the_nine_residuals_look_at_one_colour_each() -> None:
    weight = srm_convolution().weight
    assert not weight.requires_grad
    used = weight.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(used, torch.eye(3, dtype=torch.bool).repeat(3, 1))
    assert weight[0, 0, 2, 2].item() == -1.0
    assert weight[4, 1, 2, 2].item() == -1.0
    assert weight[8, 2, 2].tolist() == [0.0, 0.5, -1.0, 0.5, 0.0]


def test_the_hard_sigmoid_is_keras_own() -> None:
    assert hard_sigmoid(torch.tensor([-3.0, -2.5, 0.0, 1.0, 2.5, 9.0])).tolist() == pytest.approx(
        [0, 0, 0.5, 0.7, 1, 1]
    )


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (1, 3, 1, 8)])
def test_what_cannot_be_seen_is_refused(detector: Detector, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShape, match=r"\(N, 3, H, W\)"):
        detector.network(torch.zeros(shape))


def test_a_large_picture_is_resized_and_that_is_said() -> None:
    detector = load("mantra-net", "random", options={"pixel_budget": 4096})
    prepared = detector.prepare(np.zeros((100, 200, 3), np.uint8))
    assert prepared.notes == ("resized from 200x100 to 90x45",)
    assert detector.prepare(np.zeros((64, 64, 3), np.uint8)).notes == ()
