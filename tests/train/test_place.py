"""The objective of the embedded detector: mask at the network's own size, dice of forged pictures alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fauxlens.detectors.prediction import Output
from fauxlens.train.data import Batch
from fauxlens.train.objectives import dice, read_objective


def batch(mask: torch.Tensor) -> Batch:
    label = (mask.flatten(1).amax(dim=1) > 0.5).float()
    return Batch(torch.zeros(len(mask), 3, 16, 16), mask, label, label.long(), tuple("ab"))


def test_the_parts_are_what_they_say() -> None:
    truth = torch.zeros(2, 1, 16, 16)
    truth[0, :, :8] = 1.0
    small = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    logit = torch.tensor([0.3, -0.2])
    losses = read_objective({"name": "place"})(Output(logit=logit, mask=small), batch(truth))
    quarter = F.adaptive_avg_pool2d(truth, 4)
    wanted = {
        "mask": F.binary_cross_entropy_with_logits(small, quarter),
        "dice": dice(small[:1], quarter[:1])[0],
        "verdict": F.binary_cross_entropy_with_logits(logit, torch.tensor([1.0, 0.0])),
    }
    for name, value in wanted.items():
        assert losses.parts[name].item() == pytest.approx(value.item(), abs=1e-6)
    assert losses.total.item() == pytest.approx(
        (wanted["mask"] + 0.5 * wanted["dice"] + 0.5 * wanted["verdict"]).item(), abs=1e-6
    )


def test_without_a_forgery_there_is_no_dice_and_still_a_graph() -> None:
    mask = torch.zeros(2, 1, 4, 4, requires_grad=True)
    losses = read_objective({"name": "place"})(
        Output(logit=torch.zeros(2), mask=mask), batch(torch.zeros(2, 1, 16, 16))
    )
    assert losses.parts["dice"].item() == 0.0
    losses.total.backward()
    assert mask.grad is not None
    assert torch.isfinite(mask.grad).all()


def test_what_the_mask_says_right_costs_less() -> None:
    truth = torch.zeros(2, 1, 16, 16)
    truth[0, :, :8] = 1.0
    right = (F.adaptive_avg_pool2d(truth, 4) * 2 - 1) * 5
    objective, logit = read_objective({"name": "place"}), torch.zeros(2)
    good = objective(Output(logit=logit, mask=right), batch(truth)).total
    assert good < objective(Output(logit=logit, mask=-right), batch(truth)).total
