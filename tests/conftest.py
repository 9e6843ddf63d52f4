"""For all tests: one thread in each numerical library, since the tests themselves run in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture
def four_threads() -> Iterator[None]:
    """For what shares torch's threads out: four of them, and afterwards as many as before."""
    import torch

    was = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(was)
