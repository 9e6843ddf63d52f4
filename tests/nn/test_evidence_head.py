"""The verdict's head: the strongest places, each share by its own weight."""

from __future__ import annotations

import pytest
import torch

from fauxlens.nn.evidence_head import EvidenceHead


def test_it_is_the_mean_of_the_strongest_places_and_a_linear_look() -> None:
    head = EvidenceHead(3, (0.1, 0.5))
    with torch.no_grad():
        head.scale.copy_(torch.tensor([2.0, -1.0]))
        head.linear.weight.copy_(torch.tensor([[1.0, 0.0, -1.0]]))
        head.linear.bias.fill_(0.25)
    mask = torch.arange(20.0).flip(0).reshape(1, 1, 4, 5)
    found = head(mask, torch.tensor([[3.0, 7.0, 1.0]]))
    # Two places (18.5 on average) count twice, ten of them (14.5) against; 3 - 1 + 0.25 come from the features.
    assert found.item() == pytest.approx(2 * 18.5 - 14.5 + 2.25)


def test_there_is_always_a_place() -> None:
    head = EvidenceHead(1)
    assert head.scale.shape == (1,)
    assert head(torch.full((2, 1, 1, 1), 4.0), torch.zeros(2, 1)).shape == (2,)


def test_with_several_shares_it_begins_as_their_mean() -> None:
    one, two = EvidenceHead(1, (0.5,)), EvidenceHead(1, (0.5, 0.5))
    two.linear.load_state_dict(one.linear.state_dict())
    mask, features = torch.randn(3, 1, 4, 4), torch.randn(3, 1)
    assert torch.allclose(one(mask, features), two(mask, features))
