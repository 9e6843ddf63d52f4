"""A batch in parts teaches what the batch does, whatever lies in which part: of every objective there is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.train.data import Batch
from fauxlens.train.loop import _Run
from fauxlens.train.objectives import OBJECTIVES, Losses, Objective, Shown, Teaching, read_objective
from fauxlens.train.ranks import Ranks

CASES: list[dict[str, object]] = [
    *({"name": name} for name in OBJECTIVES),
    {"name": "head", "classes": 3},
    {"name": "mvss", "forged_only": False},
    {"name": "selfcon", "unsupervised": True},
    {"name": "noiseprint", "flatness": 0.5},
    {"name": "detect", "smoothing": 0.1},
]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 6)

    def pooled(self, image: Tensor) -> Tensor:
        found: Tensor = self.layer(image.flatten(1)).tanh()
        return found


class Everything(nn.Module):
    """All parts that any objective asks a network for, without a norm that would see parts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.encoder, self.classifier = Encoder(), nn.Linear(6, 3)
        self.early, self.late = nn.Linear(6, 5), nn.Linear(6, 5)
        self.place, self.border, self.decode_head_conf = (nn.Conv2d(3, 1, 3, padding=1) for _ in range(3))
        self.detection = nn.Linear(6, 1)

    def embeddings(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.encoder.pooled(image)
        return F.normalize(self.early(found), dim=1), F.normalize(self.late(found), dim=1)

    def edges(self, image: Tensor) -> Tensor:
        found: Tensor = F.avg_pool2d(self.border(image), 2)
        return found

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.edges(image), self.place(image)

    def forward(self, image: Tensor) -> Shown:
        features = self.encoder.pooled(image)
        mask = self.place(image)
        return Shown(
            logit=self.detection(features)[:, 0], mask=mask, generators=self.classifier(features), trace=mask,
            features=features, confidence=self.decode_head_conf(image),
        )  # fmt: skip


class OneVerdict(Everything):
    """The same with a head of one output, as the objective `head` learns by default."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(6, 1)


def a_batch(copies: int) -> Batch:
    """Six pictures whose forgeries, classes and forged pixels lie as unevenly as can be."""
    torch.manual_seed(1)
    label = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    target = torch.tensor([0, 1, 0, -1, 1, -1])
    mask = torch.zeros(6, 1, 4, 4)
    mask[0, :, :3, :3], mask[1, :, 1:3, 2:], mask[2, :, 3:] = 1.0, 1.0, 1.0
    mask[4, :, :1, :1] = 1.0
    return Batch(torch.randn(6 * copies, 3, 4, 4), mask, label, target, tuple("abcdef"), copies)


def learnt(objective: Objective, batch: Batch, size: int) -> tuple[dict[str, Tensor], Losses]:
    """The gradients that the loop makes of a batch in parts of `size`."""
    with_families = getattr(objective, "classes", 3) > 1
    network = (Everything if with_families else OneVerdict)().double()
    batch = replace(batch._mapped(lambda tensor: tensor.double()), target=batch.target)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    run = SimpleNamespace(objective=objective, ranks=Ranks(), scaler=scaler, _autocast=nullcontext)
    losses = _Run._gradients_in_parts(run, Teaching(network, objective).train(), batch, size)  # type: ignore[arg-type]
    return {name: one.grad for name, one in network.named_parameters() if one.grad is not None}, losses


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("table", CASES, ids=lambda table: "-".join(str(value) for value in table.values()))
def test_gradients_in_parts_are_those_of_the_whole(table: dict[str, object], size: int) -> None:
    objective = read_objective(table)
    batch = a_batch(copies=2 if table["name"] in ("agree", "supcon") else 1)
    wanted, whole = learnt(objective, batch, len(batch))
    found, parts = learnt(objective, batch, size)
    assert wanted.keys() == found.keys()
    assert max(float(one.abs().max()) for one in wanted.values()) > 1e-3  # or nothing would be compared
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-6), name
    assert float(parts.total) == pytest.approx(float(whole.total), abs=1e-6)
    assert {name: float(value) for name, value in parts.parts.items()} == pytest.approx(
        {name: float(value) for name, value in whole.parts.items()}, abs=1e-6
    )
