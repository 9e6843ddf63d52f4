"""What moves, and how: frozen parts, the optimiser's groups, and a running mean of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.train.objectives import Teaching
from fauxlens.train.recipe import Freeze, Optimiser


def frozen_names(network: nn.Module, rules: Sequence[Freeze], epoch: int) -> set[str]:
    """The names of parameters that the rules hold still in this epoch (counted from 0)."""
    names = [name for name, _ in network.named_parameters()]
    found: set[str] = set()
    for rule in rules:
        if rule.until_epoch is not None and epoch >= rule.until_epoch:
            continue
        for pattern in rule.names:
            matched = {name for name in names if fnmatchcase(name, pattern)}
            if not matched:
                heads = ", ".join(sorted({name.partition(".")[0] for name in names}))
                raise BadSetting("nothing in the network is called so", where="freeze", got=pattern, hint=heads)
            found |= matched
    return found


class Frozen:
    """Applies the rules of freezing; what the network's author or the objective froze for good stays frozen."""

    def __init__(self, teaching: Teaching, rules: Sequence[Freeze]) -> None:
        self.teaching, self.rules = teaching, tuple(rules)
        self.network = network = teaching.network
        self.learns = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        never = [rule for rule in rules if rule.until_epoch is None]
        if not self.learns - frozen_names(network, never, 0):
            raise BadSetting("everything is frozen, so there is nothing to learn", where="freeze")

    def apply(self, epoch: int) -> bool:
        """Freeze and thaw for an epoch; whether anything changed."""
        held = frozen_names(self.network, self.rules, epoch)
        changed = False
        for name, parameter in self.network.named_parameters():
            wanted = name in self.learns and name not in held
            changed |= parameter.requires_grad != wanted
            parameter.requires_grad_(wanted)
            if not wanted:
                parameter.grad = None
        return changed

    def train(self, epoch: int) -> None:
        """Put the network in training as the objective wants it, but for what a rule keeps in evaluation."""
        self.teaching.train()
        for rule in self.rules:
            if not rule.evaluate or (rule.until_epoch is not None and epoch >= rule.until_epoch):
                continue
            for name, module in self.network.named_modules():
                if any(fnmatchcase(f"{name}.", pattern) for pattern in rule.names):
                    # This module alone: the patterns name those inside it, too.
                    is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
                    module.training = rule.batch_statistics and is_norm


def optimiser_for(network: nn.Module, learns: Iterable[str], plan: Optimiser) -> torch.optim.Optimizer:
    """The optimiser over all parameters that may ever learn."""
    wanted = set(learns)
    matrices: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, parameter in network.named_parameters():
        if name in wanted:
            is_vector = parameter.dim() <= 1 and not plan.decay_vectors
            (vectors if is_vector else matrices).append(parameter)
    both = ((matrices, plan.weight_decay), (vectors, 0.0))
    groups: list[dict[str, Any]] = [{"params": some, "weight_decay": decay} for some, decay in both if some]
    if plan.name == "sgd":
        return torch.optim.SGD(groups, lr=plan.rate, momentum=plan.momentum)
    kind = torch.optim.Adam if plan.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=plan.rate, betas=plan.betas, eps=plan.epsilon)


class Average:
    """A running mean of the weights. Early on it follows quickly, so that it soon forgets where training began."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step's weights in; what is no floating point is copied."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in network.state_dict().items():
            kept = self.state[name]
            if kept.is_floating_point():
                kept.lerp_(tensor.detach().to(kept.dtype), 1.0 - decay)
            else:
                kept.copy_(tensor)

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"steps": self.steps, "state": self.state}

    def load_state_dict(self, found: dict[str, object]) -> None:
        """From a checkpoint."""
        state = found["state"]
        assert isinstance(state, dict)
        self.steps = int(str(found["steps"]))
        for name, tensor in self.state.items():
            tensor.copy_(state[name])


class Swapped:
    """The average in place of the weights while a block lasts: for validation, and for what is given away."""

    def __init__(self, network: nn.Module, average: Average | None) -> None:
        self.network, self.average = network, average
        self.kept: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.average is not None:
            self.kept = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.state)

    def __exit__(self, *_: object) -> None:
        if self.average is not None:
            self.network.load_state_dict(self.kept)
