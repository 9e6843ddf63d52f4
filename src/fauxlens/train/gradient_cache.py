"""A loss over a whole batch, of a network that can hold only part of it: the gradient cache.

Every part goes through the network twice. First without a graph: only what it says is kept, and how chance stood. The
loss of all that was said gives its gradient there; then each part goes through again, with the same chance, and carries
that gradient back.

The result is the full batch's gradient wherever the network treats pictures one by one: always in evaluation mode, and
in training for layer norm, group norm, drop-out and the like. Batch norm in training is the exception: each part is
normalised by its own statistics, so the gradient is that of a network which sees parts, not that of one that sees the
batch; and the reference implementations update its running statistics in both passes. Here the first pass leaves them
alone, unless `norms_twice` asks for what the references do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.train.objectives import SHOWN, Losses, Objective, Shown

if TYPE_CHECKING:
    from fauxlens.train.data import Batch

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def cached_backward(
    teaching: Callable[[Tensor], Shown],
    batch: Batch,
    objective: Objective,
    *,
    size: int,
    scale: Callable[[Tensor], Tensor] | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    unsynced: Callable[[], AbstractContextManager[object]] = nullcontext,
    norms_twice: bool = False,
) -> Losses:
    """Add to the parameters' gradients those of `objective` over the whole `batch`, seen `size` pictures at a time.

    `scale` is what a gradient scaler does to a loss; `unsynced` is DDP's `no_sync`, for all parts but the last.
    """
    parts = batch.split(size)
    chances, said = [], []
    norms = nullcontext() if norms_twice else _running_norms_kept(teaching)
    with torch.no_grad(), norms:
        for part in parts:
            chances.append(_chance(part.image.device))
            with autocast():
                said.append(teaching(part.image))
    whole = _joined(said, parts)
    leaves = {name: value.detach().requires_grad_() for name in SHOWN if (value := getattr(whole, name)) is not None}
    losses = objective(Shown(**leaves), batch)
    (losses.total if scale is None else scale(losses.total)).backward()  # type: ignore[no-untyped-call]
    gradients = _parted({name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}, parts)
    if not gradients[0]:
        raise BadSetting("nothing that the network tells has a part in the loss", got=type(objective).__name__)
    for number, (part, chance) in enumerate(zip(parts, chances, strict=True)):
        last = number == len(parts) - 1
        with nullcontext() if last else unsynced():
            _restore(chance)
            with autocast():
                found = teaching(part.image)
            pairs = [(getattr(found, name), gradient) for name, gradient in gradients[number].items()]
            # What comes from frozen parts has no graph to go back through.
            pairs = [(told, gradient) for told, gradient in pairs if told.requires_grad]
            torch.autograd.backward([told for told, _ in pairs], [g.to(told.dtype) for told, g in pairs])
    # The last part has left chance where the first pass left it.
    return Losses(losses.total.detach(), losses.parts)


def _joined(said: Sequence[Shown], parts: Sequence[Batch]) -> Shown:
    """What was said of the parts as what would have been said of the batch: copies first, pictures second."""
    copies = parts[0].copies

    def joined(name: str) -> Tensor | None:
        found = [getattr(one, name) for one in said]
        if found[0] is None:
            return None
        by_copy = [one.reshape(copies, -1, *one.shape[1:]) for one in found]
        return torch.cat(by_copy, dim=1).flatten(0, 1)

    return Shown(**{name: joined(name) for name in SHOWN})


def _parted(gradients: dict[str, Tensor], parts: Sequence[Batch]) -> list[dict[str, Tensor]]:
    """The gradients of the whole, cut as the parts were."""
    copies, sizes = parts[0].copies, [len(part) for part in parts]
    found: list[dict[str, Tensor]] = [{} for _ in parts]
    for name, gradient in gradients.items():
        by_copy = gradient.reshape(copies, -1, *gradient.shape[1:])
        for number, piece in enumerate(torch.split(by_copy, sizes, dim=1)):
            found[number][name] = piece.flatten(0, 1)
    return found


def _chance(device: torch.device) -> tuple[Tensor, torch.device, Tensor | None]:
    """Where the random numbers stand, on the processor and on the device."""
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), device, on_device


def _restore(chance: tuple[Tensor, torch.device, Tensor | None]) -> None:
    on_processor, device, on_device = chance
    torch.set_rng_state(on_processor)
    if on_device is not None:
        torch.cuda.set_rng_state(on_device, device)


@contextmanager
def _running_norms_kept(teaching: object) -> Iterator[None]:
    """Batch norms use the statistics of what they see, but remember nothing of it."""
    modules = teaching.modules() if isinstance(teaching, nn.Module) else ()
    norms = [one for one in modules if isinstance(one, _NORMS) and one.training and one.track_running_stats]
    kept = [(one, one.momentum, None if one.num_batches_tracked is None else one.num_batches_tracked.clone())
            for one in norms]  # fmt: skip
    try:
        for one in norms:
            one.momentum = 0.0
        yield
    finally:
        for one, momentum, seen in kept:
            one.momentum = momentum
            if seen is not None and one.num_batches_tracked is not None:
                one.num_batches_tracked.copy_(seen)
