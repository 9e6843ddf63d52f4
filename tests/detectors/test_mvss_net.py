"""MVSS-Net as a detector: its channel order, its resize, its verdict; and the constrained convolution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fauxlens.core.errors import BadSetting, BadShape, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.mvss_net import EdgeBlock, MvssNet, check_input
from fauxlens.nn.bayar import BayarConvolution


def toy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("mvss-net", "random")


def test_published_preparation_is_blue_first_with_statistics_of_red_first(detector: Detector) -> None:
    pixels = toy(40, 90)
    prepared = detector.prepare(pixels)
    small = cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_LINEAR).astype(np.float64) / 255
    blue_minus_red_mean = (small[..., 2] - 0.485) / 0.229
    red_minus_blue_mean = (small[..., 0] - 0.406) / 0.225
    shown = prepared.views[0].tensor().numpy()
    assert shown.shape == (3, *prepared.views[0].shape) == (3, 512, 512)
    np.testing.assert_allclose(shown[0], blue_minus_red_mean, atol=1e-6)
    np.testing.assert_allclose(shown[2], red_minus_blue_mean, atol=1e-6)
    assert prepared.size == (40, 90)
    assert prepared.notes == ("resized from 90x40 to 512x512",)


def test_the_other_order_shows_red_first(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = toy(512, 512)
    monkeypatch.setattr(detector, "showing", "rgb")
    prepared = detector.prepare(pixels)
    expected = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(prepared.views[0].tensor().numpy(), expected.transpose(2, 0, 1), atol=1e-6)
    assert prepared.notes == ()
    monkeypatch.setattr(detector, "showing", "rbg")
    with pytest.raises(UnknownName, match="'rgb'"):
        detector.prepare(pixels)


@pytest.mark.slow
def test_predict_gives_masks_at_the_size_of_each_file_and_the_maximum_as_verdict(detector: Detector) -> None:
    square, oblong = detector.predict([toy(512, 512), toy(33, 70, 1)])
    assert square.mask.shape == (512, 512)
    assert oblong.mask.shape == (33, 70)
    for one in (square, oblong):
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert one.weights_sha256 is None
    assert square.probability == pytest.approx(float(square.mask.max()), abs=1e-6)
    assert oblong.probability == pytest.approx(float(oblong.mask.max()), abs=0.05)
    assert oblong.probability >= oblong.mask.max() - 1e-6
    assert square.logit != oblong.logit


def test_what_cannot_be_seen_is_refused() -> None:
    with pytest.raises(BadShape, match="sides of at least 32"):
        check_input(torch.zeros(1, 3, 31, 64))
    with pytest.raises(BadShape, match="three channels"):
        check_input(torch.zeros(1, 1, 64, 64))
    with pytest.raises(BadSetting):
        BayarConvolution(1, 1, side=4)


def test_grey_takes_the_first_channel_as_blue(detector: Detector) -> None:
    network = detector.network
    assert isinstance(network, MvssNet)
    image = torch.zeros(1, 3, 32, 32)
    image[0, :, 16, 16] = torch.tensor([1.0, 10.0, 100.0])
    with torch.inference_mode():
        residual = network.noise(image)
    # At the picture's own place the kernel is -1, so what stands there is minus the grey value.
    expected = 0.1140 * 1 + 0.5870 * 10 + 0.2989 * 100
    assert residual[0, :, 16, 16].tolist() == pytest.approx([-expected] * 3, rel=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_only_the_last_edge_block_keeps_negative_values(last: bool) -> None:
    block = EdgeBlock(2, last=last).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.conv1.bias.fill_(-3.0)
        found = block(torch.zeros(1, 2, 4, 4))
    assert found.unique().tolist() == [-3.0 if last else 0.0]


@pytest.mark.parametrize("stored", ["whole", "around"])
def test_constrained_kernels_sum_to_zero_and_the_stored_ones_stay(stored: str) -> None:
    torch.manual_seed(0)
    layer = BayarConvolution(2, 3, padding=2, stored=stored)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    found = layer(torch.ones(1, 2, 9, 9))
    kernels = layer.projected().detach()
    assert kernels.shape == (3, 2, 5, 5)
    assert torch.equal(kernels[:, :, 2, 2], torch.full((3, 2), -1.0))
    torch.testing.assert_close(kernels.sum(dim=(2, 3)), torch.zeros(3, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], torch.zeros(1, 3, 5, 5), atol=1e-5, rtol=0)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_both_stored_forms_hold_the_same_kernel() -> None:
    torch.manual_seed(1)
    around, whole = BayarConvolution(2, 3, stored="around"), BayarConvolution(2, 3, stored="whole")
    with torch.no_grad():
        flat = around.kernel.transpose(0, 1)
        unused_centre = torch.full((3, 2, 1), 77.0)
        whole.weight.copy_(torch.cat((flat[..., :12], unused_centre, flat[..., 12:]), dim=-1).reshape(3, 2, 5, 5))
    torch.testing.assert_close(whole.projected(), around.projected())
