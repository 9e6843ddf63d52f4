from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train_ranks
from fauxlens.train.objectives import read_objective


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_gradients_of_several_processes_are_those_of_one(world: int, tmp_path: Path) -> None:
    """Losses that compare pictures, or count only some of them, are of the global batch, not of each share."""
    torch.multiprocessing.spawn(train_ranks.work, args=(world, str(tmp_path)), nprocs=world)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    batch = train_ranks.global_batch()
    for name in (*train_ranks.NAMES, train_ranks.CACHED, *train_ranks.IN_PARTS):
        network, total = train_ranks.learnt(read_objective({"name": name.partition(" ")[0]}), batch)
        wanted = {key: one.grad for key, one in network.named_parameters() if one.grad is not None}
        assert found[name].keys() == {*wanted, "total"}
        assert torch.allclose(found[name]["total"], total, atol=1e-6), name
        for key, gradient in wanted.items():
            assert gradient is not None
            assert torch.allclose(found[name][key], gradient, atol=1e-6), (name, key)
