"""The processes that train together: who this one is, and the few things they tell each other.

Without a launcher there is one process, and everything here is free of cost. `torchrun` sets the environment that
`joined` reads: gloo between processors, nccl between graphics cards.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fauxlens.core.errors import BadSetting
from fauxlens.detectors.load import checked_device

_PATIENCE = datetime.timedelta(minutes=30)  # a validation by one process alone must not look like a dead one


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world`. `rank` 0 writes the files."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """What every process says, in their order."""
        if self.world == 1:
            return [value]
        several: list[Any] = [None] * self.world
        dist.all_gather_object(several, value)
        return several

    def from_first(self, value: Any) -> Any:
        """What the first process says."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def share_first(self, tensors: Iterable[Tensor]) -> None:
        """Put what the first process holds into every process's tensors."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)


@contextmanager
def joined(device: str = "cpu") -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, for as long as the block lasts; alone there is nothing to join."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=checked_device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    target = checked_device(device)
    if target.type == "cuda":
        if local >= torch.cuda.device_count():
            raise BadSetting(
                "more processes than graphics cards", wanted=f"at most {torch.cuda.device_count()}", got=local + 1
            )
        target = torch.device("cuda", local)
        torch.cuda.set_device(target)
    begun = not dist.is_initialized()
    if begun:
        dist.init_process_group("nccl" if target.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(rank, world, target)
    finally:
        if begun:
            dist.destroy_process_group()
