"""GELU by way of the logistic function, which a processor computes several times faster than a tanh."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_GELU_SLOPE, _GELU_CUBE = 2.0 * math.sqrt(2.0 / math.pi), 0.044715


def gelu_(maps: Tensor, approximate: str) -> Tensor:
    """`F.gelu`, in place where nothing needs a gradient and the approximation by tanh is asked for."""
    traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
    needs_graph = torch.is_grad_enabled() and maps.requires_grad
    plain = maps.device.type == "cpu" and maps.dtype in (torch.float32, torch.float64)
    if approximate != "tanh" or traced or needs_graph or not plain:
        return F.gelu(maps, approximate=approximate)
    # (1 + tanh u) / 2 is the logistic function of 2 u.
    slope = (maps * maps).mul_(_GELU_SLOPE * _GELU_CUBE).add_(_GELU_SLOPE).mul_(maps)
    return maps.mul_(slope.sigmoid_())
