"""Work on several things at once, for networks whose layers are too quick, or too many, to be split among threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` on each item, in threads that share torch's among them. No graph is made of it."""
    threads = torch.get_num_threads()
    at_once = min(threads, len(items))
    inference = torch.is_inference_mode_enabled()

    def alone(item: Item) -> Result:
        # Such modes hold in the thread that they were set in.
        with torch.inference_mode() if inference else torch.no_grad():
            return work(item)

    if at_once < 2:
        return [alone(item) for item in items]
    try:
        with ThreadPoolExecutor(at_once, "fauxlens", torch.set_num_threads, (threads // at_once,)) as pool:
            return list(pool.map(alone, items))
    finally:
        # Part of the setting is each thread's own and part is the process's.
        torch.set_num_threads(threads)
