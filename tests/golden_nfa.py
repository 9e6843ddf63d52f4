"""The weights, the pictures and the recorded numbers of NFA-ViT's golden file."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden" / "nfa_vit.npz"
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight that a key and a shape have in the golden file."""
    n = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        value = 1 + 0.1 * np.abs(n)
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * n
    elif len(shape) == 1:
        value = 1 + 0.1 * n
    else:
        value = n * np.sqrt(2.0 / np.prod(shape[1:]))
        if key.startswith("noise_backbone.") and key.endswith((".attn.q.weight", ".attn.kv.weight")):
            value = value * 1.35
    return torch.from_numpy(np.asarray(value, np.float64).astype(np.float32))


def fill(network: nn.Module) -> nn.Module:
    """Give a network the golden weights."""
    state = network.state_dict()
    network.load_state_dict({key: weight(key, tuple(tensor.shape)) for key, tensor in state.items()})
    return network


def image(height: int, width: int, seed: int, cell: int = 16) -> NDArray[np.uint8]:
    """The golden picture of a seed: cells of one colour, noise, and stronger noise in a square."""
    draw = np.random.Generator(np.random.PCG64(seed))
    cells = draw.integers(40, 216, (-(-height // cell), -(-width // cell), 3))
    base = cells.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    noise = draw.integers(-8, 9, (height, width, 3))
    noise[height // 4 : height // 2, width // 4 : width // 2] *= 4
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def normalised(pixels: NDArray[np.uint8], dtype: torch.dtype = torch.float32) -> Tensor:
    # In the precision asked for from the first step on, as a loader of the released code does it.
    precise = np.float64 if dtype == torch.float64 else np.float32
    value = (pixels.astype(precise) / precise(255) - MEAN.astype(precise)) / DEVIATION.astype(precise)
    return torch.from_numpy(value.transpose(2, 0, 1)[None].copy()).to(dtype)


def square(height: int, width: int) -> Tensor:
    """The golden mask: ones where the stronger noise is."""
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


def unpacked(packed: NDArray[np.uint8], keys: int) -> NDArray[np.bool_]:
    return np.unpackbits(packed, axis=-1)[..., :keys].astype(bool)


def statistics(values: Tensor) -> NDArray[np.float64]:
    """Mean, deviation, mean size, and the product with a cosine of the index."""
    flat = values.detach().double().flatten().numpy()
    return np.array([flat.mean(), flat.std(), np.abs(flat).mean(), flat @ np.cos(np.arange(flat.size))])
