"""The learning rate of a step: a rise, then one of a few shapes; a pure function, but for the plateau, which remembers.

rate(e) over fractional epochs e, counted from 0; with `per = "epoch"` e is the whole epoch a step lies in

rise      e < W:   peak * (rise_from + (1 - rise_from) * e / W)
cosine    after:   floor + (peak - floor) * (1 + cos(pi * t)) / 2, t from 0 at the end of the rise (or, with
          `cosine_from = "start"`, at epoch 0) to 1 at the last epoch
steps     peak * factor ** (e // every)
plateau   peak * factor ** (how often validation stalled)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fauxlens.core.errors import BadSetting


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate goes over the epochs. Shares are of the peak, which is the optimiser's `rate`."""

    shape: Literal["constant", "cosine", "steps", "plateau"] = "constant"
    per: Literal["step", "epoch"] = "step"
    rise: float = 0.0  # epochs
    rise_from: float = 0.0  # the share where the rise begins
    floor: float = 0.0  # the share where the cosine ends
    cosine_from: Literal["rise", "start"] = "rise"
    cool: float = 0.0  # of the epochs, so many at the end stay at the floor
    every: int = 10  # of steps: epochs between two
    factor: float = 0.1  # of steps and plateau
    patience: int = 5  # of plateau: validations without a gain
    gain: float = 0.0  # of plateau: what counts as a gain; below 0, a little worse still counts
    stop_below: float = 0.0  # of plateau: training ends when the rate falls below this, an absolute number

    def __post_init__(self) -> None:
        for name in ("rise", "rise_from", "floor", "cool", "stop_below"):
            if getattr(self, name) < 0:
                raise BadSetting(f"{name} is out of range", wanted="at least 0", got=getattr(self, name))
        if self.rise_from > 1 or self.floor > 1:
            raise BadSetting("shares of the peak", wanted="0 to 1", got=f"{self.rise_from}, {self.floor}")
        if not 0 < self.factor <= 1 or self.every < 1 or self.patience < 1:
            raise BadSetting("factor, every or patience is out of range", got=(self.factor, self.every, self.patience))

    def share(self, epoch: float, epochs: int, stalls: int = 0) -> float:
        """The share of the peak at a fractional epoch.

        >>> plan = Schedule(shape="cosine", per="epoch", rise=10, rise_from=1e-4, floor=1e-3)
        >>> [f"{0.005 * plan.share(n - 1, 400):.5g}" for n in (1, 2, 11, 200)]
        ['5e-07', '0.00050045', '0.005', '0.0026232']
        """
        at = math.floor(epoch) if self.per == "epoch" else epoch
        if at < self.rise:
            return self.rise_from + (1.0 - self.rise_from) * at / self.rise
        if self.shape == "constant":
            return 1.0
        if self.shape == "steps":
            return float(self.factor ** (at // self.every))
        if self.shape == "plateau":
            return float(self.factor**stalls)
        begun = self.rise if self.cosine_from == "rise" else 0.0
        whole = epochs - self.cool - begun
        done = 1.0 if whole <= 0 else min(1.0, max(0.0, (at - begun) / whole))
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(slots=True)
class Plateau:
    """Whether validation still gets better: how often it stalled, and since when. Part of every checkpoint."""

    best: float | None = None
    waited: int = 0
    stalls: int = 0

    def tell(self, score: float, plan: Schedule) -> bool:
        """Take note of a validation (higher is better); whether the rate falls now."""
        told = math.isfinite(score)
        if told and (self.best is None or score >= self.best + plan.gain):
            self.best, self.waited = score, 0
            return False
        self.waited += 1
        if self.waited < plan.patience:
            return False
        # The next rate is judged by what it reaches itself.
        self.best, self.waited, self.stalls = (score if told else None), 0, self.stalls + 1
        return True
