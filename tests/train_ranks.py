"""One of several processes that compute one global batch, for the tests of losses over processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from fauxlens.train.data import Batch
from fauxlens.train.gradient_cache import cached_backward
from fauxlens.train.objectives import Objective, Shown, Teaching, read_objective

NAMES = ("selfcon", "identify", "noiseprint", "detect", "trufor-mask")
CACHED = "selfcon through the cache"
IN_PARTS = ("identify in parts", "trufor-mask in parts")


class Tiny(nn.Module):
    """Everything the objectives of NAMES ask for, of one linear layer each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.early, self.late, self.trace = nn.Linear(12, 5), nn.Linear(12, 5), nn.Linear(12, 4)
        self.scores = nn.Linear(12, 3)

    def embeddings(self, image: Tensor) -> tuple[Tensor, Tensor]:
        flat = image.flatten(1)
        return F.normalize(self.early(flat), dim=1), F.normalize(self.late(flat), dim=1)

    def forward(self, image: Tensor) -> Shown:
        flat = image.flatten(1)
        scores = self.scores(flat)
        trace = self.trace(flat).reshape(-1, 1, 2, 2)
        return Shown(logit=scores[:, 0], generators=scores, trace=trace, mask=trace)


def global_batch() -> Batch:
    """Twelve pictures, of which two processes, and four, get an uneven number of fakes."""
    torch.manual_seed(1)
    label = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    target = torch.tensor([0, 1, 0, -1, 2, -1, 1, -1, -1, -1, 2, -1])
    mask = (torch.randn(12, 1, 2, 2) > 0.8).float()
    return Batch(torch.randn(12, 3, 2, 2), mask, label, target, tuple("abcdefghijkl"))


def learnt(
    objective: Objective, batch: Batch, *, cached: bool = False, in_parts: bool = False
) -> tuple[nn.Module, Tensor]:
    """A network after one backward pass, and the total that was told."""
    network = Tiny()
    if in_parts:
        total = torch.zeros(())
        for part in batch.split(2):
            losses = objective(Teaching(network, objective).train()(part.image), part)
            (losses.total * part.share).backward()
            total += losses.total.detach() * part.share
        return network, total
    if cached:
        return network, cached_backward(Teaching(network, objective).train(), batch, objective, size=2).total
    losses = objective(Teaching(network, objective).train()(batch.image), batch)
    losses.total.backward()
    return network, losses.total.detach()


def work(rank: int, world: int, folder: str) -> None:
    """Save the averaged gradients and totals of this process's share of the batch."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    # A process knows nothing of the others' pictures.
    share = replace(global_batch().split(12 // world)[rank], part_of=None)
    found = {}
    for name in (*NAMES, CACHED, *IN_PARTS):
        objective = read_objective({"name": name.partition(" ")[0]})
        network, total = learnt(objective, share, cached=name == CACHED, in_parts=name in IN_PARTS)
        for parameter in network.parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= world
        distributed.all_reduce(total)
        found[name] = {key: one.grad for key, one in network.named_parameters() if one.grad is not None}
        found[name]["total"] = total / world
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    distributed.destroy_process_group()
