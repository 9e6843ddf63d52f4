"""GELU by way of the logistic function, against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fauxlens.nn.pointwise import gelu_


def numbers(dtype: torch.dtype) -> torch.Tensor:
    """Small ones, larger ones than a network gives, and both zeros."""
    ends = torch.tensor([0.0, -0.0, 1e-20, -1e-20, 90.0, -90.0, 1e4, -1e4])
    return torch.cat((torch.linspace(-12, 12, 4001), ends)).to(dtype)


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1.5e-6), (torch.float64, 4e-15)])
def test_gelu(dtype: torch.dtype, most: float) -> None:
    given = numbers(dtype)
    found = gelu_(given.clone(), "tanh")
    assert float((found - F.gelu(given.double(), approximate="tanh")).abs().max()) < most
    assert torch.equal(gelu_(given.clone(), "none"), F.gelu(given))


@pytest.mark.parametrize("kind", ["tanh", "none"])
def test_a_gradient_goes_through(kind: str) -> None:
    given = torch.linspace(-3, 3, 31, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: gelu_(x * 1.0, kind), (given,))


def test_a_nan_stays_one() -> None:
    given = torch.tensor([float("nan"), 1.0])
    assert gelu_(given.clone(), "tanh").isnan().tolist() == [True, False]
