"""What FreqNet is shown, and what it removes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.freqnet import without_low

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def freqnet():
    return load("freqnet", "random")


@pytest.fixture(autouse=True)
def as_it_was(freqnet):
    yield
    freqnet.showing = "resize"


def wave(length: int, cycles: int) -> torch.Tensor:
    return torch.cos(2 * torch.pi * cycles * torch.arange(length, dtype=torch.float64) / length)


@pytest.mark.parametrize(("rows", "columns", "stays"), [(1, 1, False), (1, 6, True), (6, 1, True), (6, 6, True)])
def test_only_what_is_low_both_ways_is_removed(rows, columns, stays):
    maps = (wave(16, rows)[:, None] * wave(16, columns))[None, None]
    found = without_low(maps, (2, 3))
    wanted = maps.clamp(min=0) if stays else torch.zeros_like(maps)
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("cycles", "stays"), [(1, False), (6, True)])
def test_channels_have_a_spectrum_of_their_own(cycles, stays):
    maps = wave(16, cycles)[None, :, None, None].expand(1, 16, 3, 5)
    found = without_low(maps, (1,))
    torch.testing.assert_close(found, maps.clamp(min=0) if stays else torch.zeros_like(maps), atol=1e-9, rtol=0)


def test_two_ways_to_show_a_picture(freqnet):
    pixels = picture(100, 231)
    large = np.array(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))
    for showing, wanted in (("resize", large), ("native", pixels)):
        freqnet.showing = showing
        shown = freqnet.prepare(pixels).views[0].tensor().numpy()
        np.testing.assert_allclose(shown, ((wanted / 255 - MEAN) / DEVIATION).transpose(2, 0, 1), atol=2e-6)
    freqnet.showing = "crop"
    with pytest.raises(UnknownName, match="crop"):
        freqnet.prepare(pixels)


@pytest.mark.parametrize("showing", ["resize", "native"])
def test_predictions_are_verdicts_alone_or_together(showing, freqnet):
    freqnet.showing = showing
    pictures = [picture(40, 57, 1), picture(31, 20, 2), picture(1, 1, 3)]
    found = freqnet.predict(pictures, ids=["a", "b", "c"])
    assert [p.sample_id for p in found] == ["a", "b", "c"]
    assert all(0.0 <= p.probability <= 1.0 and p.mask is None for p in found)
    assert len({p.logit for p in found}) == 3
    assert freqnet.predict(pictures[1:2])[0].logit == pytest.approx(found[1].logit, abs=1e-5)
