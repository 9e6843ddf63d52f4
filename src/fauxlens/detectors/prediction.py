"""What a detector says of one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fauxlens.core.errors import BadShape

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What a network says of a batch, before anything is scaled or resized.

    `logit` (N,) is above 0 for fake (networks with two classes: fake minus real); `mask` (N, 1, H, W) logits at the
    size of the input; `generators` (N, K) logits. None is what the network does not tell. `trace` (N, 1, H, W) is a
    map without a scale of its own (Noiseprint++), `features` (N, C) what a picture looks like to the network, and
    `confidence` (N, 1, H, W) logits of how far the mask can be relied on.
    """

    logit: Tensor | None = None
    mask: Tensor | None = None
    generators: Tensor | None = None
    trace: Tensor | None = None
    features: Tensor | None = None
    confidence: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What one detector, with one set of weights, says of one picture.

    `probability` is the sigmoid of `logit`, not a calibrated chance; `mask` is (H, W) float32 in 0..1 at the size of
    the file, `confidence` (0..1, the same size) how far it can be relied on; `generators` sum to one; `notes` say what
    was done to the picture so that the network could see it.
    """

    sample_id: str
    logit: float | None
    probability: float | None
    mask: NDArray[np.float32] | None = None
    generators: Mapping[str, float] | None = None
    trace: NDArray[np.float32] | None = None
    confidence: NDArray[np.float32] | None = None
    detector: str = ""
    weights_sha256: str | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("mask", "trace", "confidence"):
            found = getattr(self, name)
            if found is not None and (found.ndim != 2 or found.dtype != np.float32):
                raise BadShape(
                    f"a {name} is one number a pixel", wanted="(H, W) float32", got=f"{found.shape} {found.dtype}"
                )
