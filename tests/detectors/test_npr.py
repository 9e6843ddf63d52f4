"""What NPR is shown, and what it makes of odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadShape, UnknownName
from fauxlens.detectors import load

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def assert_shown(view, pixels: np.ndarray) -> None:
    np.testing.assert_allclose(view.tensor().numpy(), ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1), atol=2e-6)


@pytest.fixture(scope="module")
def npr():
    return load("npr", "random")


@pytest.fixture(autouse=True)
def as_it_was(npr):
    yield
    npr.showing = "resize"


def test_the_residual_is_two_thirds_of_what_the_corner_of_a_block_leaves(npr):
    image = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    found = npr.network.residual(image)
    for y in range(6):
        for x in range(8):
            wanted = (image[0, :, y, x] - image[0, :, y - y % 2, x - x % 2]) * 2 / 3
            torch.testing.assert_close(found[0, :, y, x], wanted)


def test_an_odd_last_row_and_column_are_dropped(npr):
    image = torch.randn(1, 3, 31, 45, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        odd, even = npr.network(image), npr.network(image[..., :30, :44])
    assert torch.equal(odd.logit, even.logit)


@pytest.mark.parametrize("size", [(1, 8), (8, 1)])
def test_a_picture_without_a_block_is_refused(size, npr):
    with pytest.raises(BadShape, match="sides of at least 2"):
        npr.network(torch.zeros(1, 3, *size))


def test_three_ways_to_show_a_picture(npr):
    pixels = picture(100, 231)
    assert_shown(
        npr.prepare(pixels).views[0], np.array(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))
    )
    npr.showing = "native"
    assert_shown(npr.prepare(pixels).views[0], pixels)
    npr.showing = "repeat-crop"
    # Three copies are 300 rows high: the middle 224 begin at 38; 231 columns need no copy: offset 3.5, half to even.
    assert_shown(npr.prepare(pixels).views[0], np.concatenate([pixels] * 3)[38:262, 4:228])
    assert "smaller than 224" in npr.prepare(pixels).notes[0]
    assert not any("smaller" in note for note in npr.prepare(picture(224, 300)).notes)
    npr.showing = "shrink"
    with pytest.raises(UnknownName, match="shrink"):
        npr.prepare(pixels)


@pytest.mark.parametrize("showing", ["resize", "native", "repeat-crop"])
def test_predictions_are_verdicts_alone_or_together(showing, npr):
    npr.showing = showing
    pictures = [picture(40, 57, 1), picture(31, 20, 2)]
    both = npr.predict(pictures, ids=["a", "b"])
    assert [p.sample_id for p in both] == ["a", "b"]
    assert all(0.0 <= p.probability <= 1.0 and p.mask is None for p in both)
    assert both[0].logit != both[1].logit
    assert npr.predict(pictures[1:])[0].logit == pytest.approx(both[1].logit, abs=1e-5)


def test_a_single_pixel_is_seen(npr):
    assert np.isfinite(npr.predict([picture(1, 1)])[0].logit)
