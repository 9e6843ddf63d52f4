"""Losses that compare pictures with each other: pictures of one label together, all others apart.

They need the whole batch at once. Over several processes the embeddings of all are gathered, so that the loss is that
of the global batch; within one, `gradient_cache` brings a batch through that does not fit the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from fauxlens.core.errors import BadShape


def contrastive(embeddings: Tensor, label: Tensor, *, temperature: float = 0.07, base: float = 0.07) -> Tensor:
    """Supervised contrast of `embeddings` (N, V, D), of length one, V views of each of N pictures; `label` (N,).

    Every view is an anchor once. Its positives are the other views of its own picture and all views of pictures of its
    label; the loss is minus the mean log-share that they have among all others, times temperature / base. An anchor
    without a positive (one view, a label of its own) counts for nothing; without any anchor the loss is 0.

    Two pictures, at right angles, in two equal views each: every anchor has log(e + 2) - 1.

    >>> views = torch.eye(2)[:, None].repeat(1, 2, 1)
    >>> round(float(contrastive(views, torch.tensor([0, 1]), temperature=1.0, base=1.0)), 4)
    0.5514
    """
    if embeddings.dim() != 3 or label.shape != embeddings.shape[:1]:
        raise BadShape(
            "contrast compares views of pictures",
            wanted="embeddings (N, V, D), label (N,)",
            got=f"{tuple(embeddings.shape)}, {tuple(label.shape)}",
        )
    pooled = embeddings.float().flatten(0, 1)
    owner = label.repeat_interleave(embeddings.shape[1])
    itself = torch.eye(len(pooled), dtype=torch.bool, device=pooled.device)
    logits = _products(pooled) / temperature
    # The row's largest is taken off for the sake of the exponential; it changes no gradient.
    logits = logits - logits.amax(dim=1, keepdim=True).detach() if len(pooled) else logits
    shares = logits - logits.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    positive = (owner[:, None] == owner[None, :]) & ~itself
    count = positive.sum(dim=1)
    anchors = count > 0
    if not bool(anchors.any()):
        return pooled.sum() * 0.0
    mean = shares.masked_fill(~positive, 0.0).sum(dim=1)[anchors] / count[anchors]
    return -(temperature / base) * mean.mean()


def trace_contrast(traces: Tensor, group: Tensor, *, flatness: float = 0.0) -> Tensor:
    """Noiseprint's loss: `traces` (N, 1, H, W) of one `group` (N,) alike, of others not.

    Of each trace the share exp(-d) that its own group has among all others, d the squared distance. `flatness` weighs
    a reward for an even mean spectrum (the logarithm of its geometric over its arithmetic mean), without which the
    network finds one pattern for everything. Traces of group -1, or alone in theirs, are no anchors.
    """
    flat = traces.float().flatten(1)
    square = flat.square().sum(dim=1)
    distance = (square[:, None] + square[None, :] - 2 * _products(flat)).clamp_min(0.0)
    itself = torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    shares = (-distance).masked_fill(itself, -torch.inf).log_softmax(dim=1)
    alike = (group[:, None] == group[None, :]) & ~itself & (group >= 0)[:, None]
    anchors = alike.any(dim=1)
    if not bool(anchors.any()):
        return flat.sum() * 0.0
    loss = -shares[anchors].masked_fill(~alike[anchors], -torch.inf).logsumexp(dim=1).mean()
    if flatness:
        loss = loss - flatness * spectral_flatness(traces)
    return loss


def _products(rows: Tensor) -> Tensor:
    """(N, D) -> (N, N) inner products in float32: sixteen bits would round away what small temperatures magnify."""
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ rows.T


def spectral_flatness(traces: Tensor) -> Tensor:
    """(N, 1, H, W) -> the mean logarithm of the mean power spectrum, less the logarithm of its mean: 0 or less."""
    power: Tensor = torch.fft.fft2(traces.float()[:, 0]).abs().square().mean(dim=0) + 1e-8
    return power.log().mean() - power.mean().log()


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(local: Tensor) -> Tensor:
    """The rows of all processes, in the order of ranks; only this process's own carry a gradient.

    What is computed of them is the global batch's, and its gradient at the own rows is right as it is.
    """
    if processes() == 1:
        return local
    several = [torch.empty_like(local) for _ in range(processes())]
    distributed.all_gather(several, local.detach().contiguous())
    several[distributed.get_rank()] = local
    return torch.cat(several)


def as_one_share(loss: Tensor) -> Tensor:
    """A loss of the global batch that every process has computed: the same value, with the gradient times their number.

    Gradients are averaged over processes afterwards, and each carries that of its own rows only.
    """
    return loss if processes() == 1 else loss.detach() + processes() * (loss - loss.detach())


def mean_over_all(
    values: Tensor, weight: Tensor | None = None, *, whole: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """The mean of `values` over all processes, weighted where `weight` is given; 0 where nobody has any.

    Each process may have another number of them. The value told is this process's part times the number of processes,
    so that the mean over processes is the mean. Of a micro-batch, `whole` is what the values of all the process's batch
    weigh together, known beforehand, and `share` how much of that batch it is: parts then add up to the mean of the
    batch when each counts by its share, however unevenly the values lie among them.
    """
    weight = torch.ones_like(values) if weight is None else weight
    total = (weight.sum() if whole is None else whole).detach().to(values.dtype, copy=True)
    if processes() > 1:
        distributed.all_reduce(total)
    # The least that can be told from nothing; a total of 0 has a sum of 0 above it.
    return (values * weight).sum() * processes() / (share * total.clamp_min(1e-12))
