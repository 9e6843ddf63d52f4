from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fauxlens.nn.residuals import FixedResiduals, block_corners


def photo(*size: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("size", [(16, 24), (17, 15)])
def test_pixels_minus_the_corners_of_their_blocks_come_first(size: tuple[int, int]) -> None:
    pixels = photo(*size)
    expected = torch.tanh((pixels - block_corners(pixels)) / 12)
    torch.testing.assert_close(FixedResiduals()(pixels)[:, :3], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(16, 24), (17, 15)])
def test_the_squashing_is_exact_for_weak_residuals_too(size: tuple[int, int], layout: torch.memory_format) -> None:
    """A flat region's residuals are tiny, and what the guides are chosen by."""
    pixels = (100 + photo(*size) / 2**12).contiguous(memory_format=layout)
    network, exact = FixedResiduals(), FixedResiduals().double()
    found, expected = network(pixels), exact(pixels.double())
    assert expected.abs().max() < 0.02
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)  # what is left of 100 in single precision


def test_the_squashing_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photo(32, 24)
    found = FixedResiduals()(pixels)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(found, FixedResiduals()(pixels), rtol=3e-7, atol=0)
    assert found.abs().max() <= 1
