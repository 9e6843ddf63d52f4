"""The golden numbers of the detectors: weights and inputs from rules, outputs and probes from files, comparisons.

`tests/golden/zoo/NAME.json` lists every tensor's name and shape and how each output is conditioned; `NAME.npz` holds
outputs (`VARIANT/INPUT/OUTPUT`) and probes (`VARIANT/probe/MODULE`: mean, deviation, first eight values).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "golden" / "zoo"
_STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "pm1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class Golden:
    """One detector's recorded numbers."""

    name: str
    facts: Mapping[str, Any]
    numbers: Mapping[str, NDArray[Any]]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the released file by name."""
        return {key: tuple(value[0]) for key, value in self.facts["state_dict"].items()}

    @property
    def kept(self) -> tuple[str, ...]:
        """Parts of names whose tensors keep what the constructor gave them."""
        return tuple(self.facts["kept_keys_contain"])

    def pixels(self, tag: str) -> NDArray[np.uint8]:
        """The picture of an input, (H, W, 3), checked against its recorded sum."""
        height, width, _ = self.facts["inputs"][tag]["shape"]
        picture = image(height, width)
        assert zlib.crc32(picture.tobytes()) == self.facts["inputs"][tag]["crc32"]
        return picture

    def input(self, tag: str) -> Tensor:
        """The tensor of an input, (1, 3, H, W)."""
        return to_input(self.pixels(tag), self.facts["inputs"][tag]["kind"])

    def output(self, variant: str, tag: str, name: str) -> NDArray[Any]:
        return self.numbers[f"{variant}/{tag}/{name}"]

    def outputs(self, variant: str, tag: str) -> dict[str, NDArray[Any]]:
        prefix = f"{variant}/{tag}/"
        return {key.removeprefix(prefix): value for key, value in self.numbers.items() if key.startswith(prefix)}

    def probes(self, variant: str) -> dict[str, NDArray[Any]]:
        prefix = f"{variant}/probe/"
        return {key.removeprefix(prefix): value for key, value in self.numbers.items() if key.startswith(prefix)}


def golden(name: str) -> Golden:
    """The recorded numbers of a detector."""
    facts = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(FOLDER / f"{name}.npz") as numbers:
        return Golden(name, facts, {key: numbers[key] for key in numbers.files})


def weight(key: str, shape: tuple[int, ...], variant: str) -> Tensor:
    """The tensor that a name and a shape have under a variant."""
    n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_mean":
        value = 0.01 * n
    elif leaf == "running_var":
        value = 1.0 + 0.1 * np.abs(n)
    elif leaf == "kernel" or key.endswith("BayarConv2D.weight"):
        value = 0.1 + np.abs(n)
    elif leaf.startswith("bias") or leaf.endswith("bias"):
        value = 0.01 * n
    elif len(shape) >= 2:
        gain = {"A": 0.02, "B": np.sqrt(2.0 / np.prod(shape[1:])), "C": np.sqrt(1.0 / np.prod(shape[1:])), "U": 1.0}
        value = n * gain[variant]
    else:
        value = 1.0 + 0.02 * n
    return torch.from_numpy(np.asarray(value, np.float64).astype(np.float32).reshape(shape))


def filled(state: Mapping[str, Tensor], variant: str, kept: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """A state of the same names and shapes with golden weights; names that contain one of `kept` stay as they are."""
    return {
        key: tensor if any(part in key for part in kept) else weight(key, tuple(tensor.shape), variant)
        for key, tensor in state.items()
    }


def fill(network: nn.Module, variant: str, kept: tuple[str, ...] = ()) -> nn.Module:
    """Give a network, whose names are the released file's, golden weights; strictly."""
    network.load_state_dict(filled(network.state_dict(), variant, kept), strict=True)
    return network.eval()


def image(height: int, width: int) -> NDArray[np.uint8]:
    """The golden picture, from integers only."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    value = 11 * c + 3 * x + 2 * y + 17 * (((x >> 4) + (y >> 4) + c) % 3)
    return ((value + (x * x + 3 * y * y + 7 * x * y * (c + 1)) % 23) & 255).astype(np.uint8)


def to_input(pixels: NDArray[np.uint8], kind: str) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32: div255, div256, imagenet, clip or pm1."""
    value = pixels.astype(np.float32) / np.float32(256 if kind == "div256" else 255)
    if kind in _STATISTICS:
        mean, deviation = (np.array(numbers, np.float32) for numbers in _STATISTICS[kind])
        value = (value - mean) / deviation
    return torch.from_numpy(np.ascontiguousarray(value.transpose(2, 0, 1)))[None]


def assert_close(found: Tensor | NDArray[Any], wanted: NDArray[Any], share: float = 1e-4, what: str = "") -> None:
    """The largest difference is at most `share` of the largest wanted number."""
    got = found.detach().numpy() if isinstance(found, Tensor) else np.asarray(found)
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, wanted {wanted.shape}"
    worst = float(np.abs(got.astype(np.float64) - wanted).max())
    allowed = share * float(np.abs(wanted).max())
    assert worst <= allowed, f"{what}: off by {worst:.3g}, allowed {allowed:.3g}"


def worst_share(found: Tensor, wanted: NDArray[Any]) -> float:
    """The largest difference as a share of the largest wanted number: for tests of what a mistake would cost."""
    return float(np.abs(found.detach().numpy().astype(np.float64) - wanted).max() / np.abs(wanted).max())


Reading = Callable[[Any], Tensor]


@contextmanager
def probing(network: nn.Module, readings: Mapping[str, tuple[nn.Module, Reading]]) -> Iterator[dict[str, NDArray[Any]]]:
    """Record mean, deviation and first eight values of modules at their first call.

    `readings`: probe name -> the module, and how its output becomes the tensor that was recorded (its layout may
    differ from ours: a grid (N, H, W, C) here may be (N, C, H, W) there).
    """
    found: dict[str, NDArray[Any]] = {}
    handles = []
    for name, (module, reading) in readings.items():

        def hook(_: nn.Module, __: Any, output: Any, name: str = name, reading: Reading = reading) -> None:
            if name not in found:
                flat = reading(output).detach().double().flatten()
                found[name] = np.array([flat.mean(), flat.std(), *flat[:8]])

        handles.append(module.register_forward_hook(hook))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def assert_probes(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]], share: float = 1e-5) -> None:
    """Each recorded probe agrees to `share` of its largest number; none is left out."""
    assert set(found) == set(wanted), f"probes differ: {sorted(set(found) ^ set(wanted))}"
    for name, numbers in wanted.items():
        assert_close(found[name][: numbers.size], numbers, share, name)


def check_variant(
    network: nn.Module,
    golden: Golden,
    variant: str,
    outputs: Callable[[Any], Mapping[str, Tensor]],
    readings: Callable[[Any], Mapping[str, tuple[nn.Module, Reading]]],
    tolerance: float,
) -> None:
    """Filled as `variant` says, a network gives the recorded outputs, all of them, and the recorded probes."""
    fill(network, variant, golden.kept)
    with probing(network, readings(network)) as probes:
        found = outputs(network)
    wanted = golden.outputs(variant, "a")
    assert set(found) == set(wanted)
    for name, numbers in wanted.items():
        assert_close(found[name], numbers, tolerance, name)
    assert_probes(probes, golden.probes(variant))
