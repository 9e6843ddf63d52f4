"""From what a user has of a model - a folder, an archive, a checkpoint, a traced program - to a network that is filled.

Nothing in a file is ever run. Reading of single files is `fauxlens.detectors.checkpoint`'s.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights, NoWeights
from fauxlens.detectors.checkpoint import load_strictly, read_tensors
from fauxlens.forge.create.traced import LARGEST, is_traced, read_traced

N = TypeVar("N", bound=nn.Module)

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""What files of weights are called, where a folder holds none under a released name."""


def weight_file(given: Path, released: Sequence[str], name: str) -> Path:
    """The file of weights: `given` itself, or the one in that folder; released names (with folders) come first."""
    if given.is_file():
        return given
    for known in released:
        if (given / known).is_file():
            return given / known
    found = sorted(path for path in given.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if len(found) == 1:
        return found[0]
    raise NoWeights(
        f"no file of weights for {name} in this folder" if not found else f"which of the files is {name}'s?",
        where=given,
        wanted=f"{', '.join(released)} or one file ending in {', '.join(SUFFIXES)}",
        got=", ".join(path.name for path in found[:4]) or "none of them",
        hint="give the file itself as `weights`",
    )


def read_released(path: Path, inside: str) -> dict[str, Tensor]:
    """All tensors of a file; of an archive of files those of its member that ends in `inside`; of a program its own."""
    if not zipfile.is_zipfile(path):
        return read_tensors(path)
    if is_traced(path):
        return read_traced(path)
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if one.filename == inside or one.filename.endswith(f"/{inside}")]
        if len(members) != 1:
            return read_tensors(path)
        if members[0].file_size > LARGEST:
            got = f"{members[0].file_size:,} bytes"
            raise BadWeights("an archive that unpacks to too much", where=path, wanted=f"at most {LARGEST:,}", got=got)
        with tempfile.TemporaryDirectory() as folder:
            # Under a name of ours: what an archive calls its members is no place on this machine.
            unpacked = Path(folder) / "weights"
            with archive.open(members[0]) as stream, unpacked.open("wb") as target:
                shutil.copyfileobj(stream, target, 2**20)
            return read_tensors(unpacked)


def part_with(state: Mapping[str, Tensor], landmark: str, preferred: str = "") -> dict[str, Tensor]:
    """The tensors that lie beside `landmark`, without what their names have in common before it.

    A trainer's file holds more than the one network; of several such parts the one whose prefix ends in `preferred`
    is taken, else the one with the shortest prefix; without any the state stays as it is.

    >>> sorted(part_with({"a.x.weight": torch.ones(1), "a.y": torch.ones(1), "b.z": torch.ones(1)}, "x.weight"))
    ['x.weight', 'y']
    """
    ends = [name.removesuffix(landmark) for name in state if name.endswith(landmark)]
    prefixes = [end for end in ends if not end or end.endswith(".")]
    if not prefixes:
        return dict(state)
    prefix = min(prefixes, key=lambda one: (not one.endswith(preferred), len(one)))
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def filled(build: Callable[[], N], state: Mapping[str, Tensor], where: Path, device: str, hint: str) -> N:
    """The network that `build` makes, with `state` in it, strictly; ready to be asked."""
    # Built without numbers: drawing millions that a file is about to replace takes longer than reading the file.
    with torch.device("meta"):
        network = build()
    network = network.to_empty(device="cpu")
    load_strictly(network, state, where, hint)
    return network.to(device).eval().requires_grad_(False)
