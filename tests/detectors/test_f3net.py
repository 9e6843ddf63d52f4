"""F3Net as a detector: its transform, bands and attention against independent sums; sizes; class order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from fauxlens.core.errors import BadShape, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.f3net import (
    F3NetDetector,
    FrequencyAwareDecomposition,
    LocalFrequencyStatistics,
    MixBlock,
    band,
    cosine_transform,
)
from fauxlens.nn.xception import Xception


def toy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("f3net", "random")


def test_preparation(detector: Detector) -> None:
    pixels = toy(300, 120)
    small = np.asarray(Image.fromarray(pixels).resize((299, 299), Image.Resampling.BILINEAR), np.float64)
    shown = detector.prepare(pixels).views[0].tensor().numpy()
    np.testing.assert_allclose(shown, (small / 255 * 2 - 1).transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("side", [10, 299])
def test_cosine_transform_is_scipys(side: int) -> None:
    rows = cosine_transform(side).double()
    image = np.random.default_rng(0).standard_normal((side, side))
    np.testing.assert_allclose(rows.numpy() @ image @ rows.numpy().T, dctn(image, norm="ortho"), atol=1e-5)
    torch.testing.assert_close(rows @ rows.T, torch.eye(side, dtype=torch.float64), atol=1e-6, rtol=0)


def test_bands_leave_out_the_mean_and_join_without_a_gap() -> None:
    bands = [band(299, *limits) for limits in ((0, 18), (18, 37), (37, 299), (0, 598))]
    whole = torch.ones(299, 299)
    whole[0, 0] = 0
    assert torch.equal(bands[3], whole)
    low_three = bands[0] + bands[1] + bands[2]
    rows, columns = torch.meshgrid(torch.arange(299), torch.arange(299), indexing="ij")
    assert torch.equal(low_three, ((rows + columns > 0) & (rows + columns <= 299)).float())
    assert bands[0].sum() == sum(range(2, 20))


def test_decomposition_without_learning_is_the_bands_of_the_picture() -> None:
    head = FrequencyAwareDecomposition(16)
    with torch.no_grad():
        for one in head.filters:
            one.learnable.zero_()
        image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        found = head(image)
    assert found.shape == (1, 12, 16, 16)
    # The last band is everything but the mean.
    torch.testing.assert_close(found[:, 9:], image - image.mean(dim=(2, 3), keepdim=True), atol=1e-5, rtol=0)


def test_local_statistics_of_one_window() -> None:
    head = LocalFrequencyStatistics()
    with torch.no_grad():
        for one in head.filters:
            one.learnable.zero_()
        pixels = toy(20, 24)
        found = head(torch.from_numpy((pixels / 255 * 2 - 1).transpose(2, 0, 1)[None]).float())
    assert found.shape == (1, 6, 10, 12)
    # Place (3, 4) sees rows 2..12 and columns 4..14: steps of two, a border of four.
    grey = ((pixels / 255 * 2 - 1) @ (0.299, 0.587, 0.114) + 1) * 122.5
    strength = np.log10(np.abs(dctn(grey[2:12, 4:14], norm="ortho")) + 1e-15)
    total = np.add.outer(np.arange(10), np.arange(10))
    for number in range(6):
        inside = (total > number * 20 / 6) & (total <= (number + 1) * 20 / 6)
        assert found[0, number, 3, 4].item() == pytest.approx(strength[inside].mean(), abs=2e-4)


def test_mix_attention_is_the_product_of_stacked_queries_and_keys() -> None:
    torch.manual_seed(0)
    block = MixBlock(4).eval()
    fad, lfs = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        query = torch.cat((block.FAD_query(fad), block.LFS_query(lfs)), dim=3)
        key = torch.cat((block.FAD_key(fad).transpose(2, 3), block.LFS_key(lfs).transpose(2, 3)), dim=2)
        expected = torch.softmax(query @ key, dim=3)
        torch.testing.assert_close(block.attention(fad, lfs), expected)
        # A fresh block has closed gates: all that arrives is the bias of its convolution.
        new_fad, new_lfs = block(fad, lfs)
        assert not torch.allclose(block.FAD_conv(fad), torch.zeros(()))
    torch.testing.assert_close(new_fad, fad + block.FAD_conv.bias.detach()[:, None, None], atol=1e-4, rtol=0)
    torch.testing.assert_close(new_lfs, lfs + block.LFS_conv.bias.detach()[:, None, None], atol=1e-4, rtol=0)


def test_both_trunks_meet_at_the_same_sizes() -> None:
    with torch.device("meta"):
        fad, lfs = Xception(12), Xception(6, stem_stride=1)
        sizes = []
        for trunk, image in ((fad, torch.empty(1, 12, 299, 299)), (lfs, torch.empty(1, 6, 149, 149))):
            middle = trunk.blocks(trunk.stem(image), 1, 7)
            sizes.append((middle.shape, trunk.blocks(middle, 8, 12).shape, trunk(image).shape))
    assert sizes[0] == sizes[1] == ((1, 728, 19, 19), (1, 1024, 10, 10), (1, 2048))


def test_predict_and_the_order_of_the_classes(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [toy(299, 299), toy(40, 90, 1)]
    found = detector.predict(pictures)
    assert [one.mask for one in found] == [None, None]
    assert all(0 < one.probability < 1 for one in found)
    assert found[0].logit != found[1].logit
    assert found[1].notes[0] == "resized from 90x40 to 299x299"
    monkeypatch.setattr(detector.network, "fake", 0)
    other = detector.predict(pictures[1:])[0]
    assert other.logit == pytest.approx(-found[1].logit, rel=1e-3, abs=1e-5)


def test_the_settings_name_the_fake_class() -> None:
    with torch.device("meta"):
        assert [F3NetDetector(setting).network.fake for setting in ("real-fake", "fake-real")] == [1, 0]
        with pytest.raises(UnknownName, match="real-fake"):
            F3NetDetector("genimage")


def test_another_size_is_refused(detector: Detector) -> None:
    with pytest.raises(BadShape, match="299"):
        detector.network(torch.zeros(1, 3, 256, 256))
