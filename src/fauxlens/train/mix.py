"""Mixup and CutMix: pictures of a batch mixed with each other, and their labels in the same shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.train.data import Batch
from fauxlens.train.recipe import Mixing


def mixed(batch: Batch, plan: Mixing, seed: int) -> Batch:
    """Each picture with the one opposite it in the batch: as a whole (mixup), or a rectangle of it (CutMix).

    One share and one rectangle for all, as drawn from `seed`. The label becomes the share that is fake.
    """
    if plan.mixup <= 0 and plan.cutmix <= 0:
        return batch
    if batch.mask is not None or batch.copies > 1:
        raise BadSetting("mixing is for verdicts on one copy of each picture", got="masks or copies")
    chance = np.random.default_rng(seed)
    cuts = plan.cutmix > 0 and (plan.mixup <= 0 or chance.random() < plan.cut)
    alpha = plan.cutmix if cuts else plan.mixup
    share = float(chance.beta(alpha, alpha))
    other = batch.image.flip(0)
    if cuts:
        height, width = batch.image.shape[-2:]
        side = np.sqrt(1.0 - share)
        rows, columns = int(height * side), int(width * side)
        # The middle may lie anywhere, so the rectangle may be cut off at the border; the share is what is left.
        middle = int(chance.integers(height)), int(chance.integers(width))
        top, bottom = max(0, middle[0] - rows // 2), min(height, middle[0] + rows // 2)
        left, right = max(0, middle[1] - columns // 2), min(width, middle[1] + columns // 2)
        image = batch.image.clone()
        image[..., top:bottom, left:right] = other[..., top:bottom, left:right]
        share = 1.0 - (bottom - top) * (right - left) / (height * width)
    else:
        image = batch.image * share + other * (1.0 - share)
    return replace(batch, image=image, label=batch.label * share + batch.label.flip(0) * (1.0 - share))
