"""Files of weights to tensors by name, and from there into a network, strictly. Nothing in a file is ever run.

safetensors are read as they are. Pickles (.pth, .pt, .tar, .th) are read by torch's weights-only reader, which knows
tensors and plain containers; what trainers like to leave beside the tensors (settings of argparse, paths, numpy
numbers) is replaced by an inert stand-in, and anything else is refused by name.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights

CONTAINERS = ("model", "state_dict", "network", "net", "netC")
"""Where released files keep their tensors, in the order they are tried; else the file is the tensors themselves."""

HEADS = ("classifier",)
"""Tables of tensors that may lie beside the container: a head that was trained later, kept under its own name."""

IGNORED = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
)
"""Classes and functions that trainers' settings and scores are made of; each is read as an Ignored."""

TABLES = ("yacs.config.CfgNode",)
"""Classes of settings that are tables with more to them; each is read as a plain table, and nobody looks into it."""

_SHOWN = 6


class Ignored:
    """What becomes of anything in IGNORED: it may be there, and nobody looks at it."""

    def __new__(cls, *given: object) -> Ignored:
        """Whatever the file would have made of `given`."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Difference:
    """How a file's tensors differ from a network's: missing in the file, unexpected in it, of another shape or kind."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()  # name, wanted, got
    retyped: tuple[tuple[str, str], ...] = ()  # name, kind of number where floating point is wanted

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.retyped)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({_some(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({_some(self.unexpected)})")
        if self.reshaped:
            shapes = [f"{name}: wanted {_shape(wanted)}, got {_shape(got)}" for name, wanted, got in self.reshaped]
            parts.append(f"{len(self.reshaped)} of another shape ({_some(shapes, '; ')})")
        if self.retyped:
            kinds = [f"{name}: wanted floating point, got {got}" for name, got in self.retyped]
            parts.append(f"{len(self.retyped)} of another kind of number ({_some(kinds, '; ')})")
        return ", ".join(parts)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a weight file by name, on the processor; containers unwrapped, a common `module.` dropped."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as fault:
        raise BadWeights(
            "the file of weights cannot be read", where=path, got=fault.strerror, hint="give the path of one file"
        ) from fault
    try:
        held = _read_safetensors(path) if _is_safetensors(head) else _read_pickle(path, head)
    except BadWeights:
        raise
    except Exception as bad:
        # The readers have no error of their own for damaged bytes; they fail with whatever they stumble over.
        first = (str(bad).strip().splitlines() or [type(bad).__name__])[0]
        raise BadWeights(f"not a whole file of weights: {first}", where=path, hint="get the file again") from bad
    return unwrapped(held, path)


def unwrapped(held: Any, where: object = None) -> dict[str, Tensor]:
    """The tensors in what a file holds: out of their container, without the `module.` of parallel training."""
    if not isinstance(held, Mapping):
        raise BadWeights(
            "no table of tensors in the file", where=where, wanted="names and tensors", got=type(held).__name__
        )
    beside: dict[str, Tensor] = {}
    for container in CONTAINERS:
        inner = held.get(container)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            heads = {name: held[name] for name in HEADS if isinstance(held.get(name), Mapping)}
            beside = {
                f"{name}.{key}": value for name, head in heads.items() for key, value in _tensors_of(head).items()
            }
            held = inner
            break
    tensors = _tensors_of(held)
    for name, tensor in (tensors | beside).items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            kind = "a quantised" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
            raise BadWeights(f"'{name}' is not a plain tensor", where=where, wanted="numbers in full", got=kind)
    if not tensors:
        raise BadWeights("no tensors in the file", where=where, got=_some([str(name) for name in held]) or "nothing")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {**tensors, **beside}


def difference(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Difference:
    """How `state` differs from the names, shapes and kinds of number of `wanted`."""
    return Difference(
        missing=tuple(name for name in wanted if name not in state),
        unexpected=tuple(name for name in state if name not in wanted),
        reshaped=tuple(
            (name, tuple(tensor.shape), tuple(state[name].shape))
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ),
        retyped=tuple(
            (name, str(state[name].dtype).removeprefix("torch."))
            for name, tensor in wanted.items()
            if name in state and tensor.is_floating_point() and not state[name].is_floating_point()
        ),
    )


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], where: object = None, hint: str | None = None
) -> None:
    """Put `state` into the network if every name and shape agrees and every number is finite; else nothing changes."""
    found = difference(state, network.state_dict())
    if found:
        raise BadWeights(f"the weights do not fit: {found}", where=where, hint=hint)
    check_finite(state, where)
    network.load_state_dict(dict(state), strict=True)


def check_finite(state: Mapping[str, Tensor], where: object = None) -> None:
    """Refuse tensors that hold NaN or infinity, by name."""
    for name, tensor in state.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise BadWeights(
                f"'{name}' holds {bad:,} numbers that are NaN or infinite", where=where,
                hint="the file is damaged or its training diverged; get it again from its owner",
            )  # fmt: skip


def digest_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, whatever file they came in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors_of(held: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value.detach() for name, value in held.items() if isinstance(value, Tensor)}


def _is_safetensors(head: bytes) -> bool:
    # Eight bytes of length, then a JSON object.
    return len(head) > 9 and head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 100 * 2**20


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as bad:
        raise BadWeights(f"not a whole safetensors file: {bad}", where=path, hint="get the file again") from bad


def _read_pickle(path: Path, head: bytes) -> Any:
    if head[:2] == b"PK" and zipfile.is_zipfile(path):
        _check_is_checkpoint(path)
    elif head[:2] != b"PK" and (head[:1] not in (b"\x80", b"(") or len(head) < 2):
        raise BadWeights(
            "not a file of weights", where=path, wanted="safetensors or a torch checkpoint",
            got=f"bytes {head[:4].hex() or 'none'}", hint=_what_it_is(head),
        )  # fmt: skip
    inert: list[Any] = [(Ignored, name) for name in IGNORED] + [(OrderedDict, name) for name in TABLES]
    try:
        with torch.serialization.safe_globals(inert), warnings.catch_warnings():
            # Of the pickle's protocol: what cannot be read is an error, and what can be read is fine.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as refused:
        named = re.search(r"GLOBAL ([\w.]+)", str(refused)) or re.search(r"function <[\w -]*?([\w.]+)>", str(refused))
        if named is None:
            raise BadWeights(
                "not a checkpoint that can be read without running code", where=path,
                hint="get the file again, or ask its owner for a state dict or safetensors",
            ) from refused  # fmt: skip
        raise BadWeights(
            "reading this file would run code, which is never done", where=path,
            wanted="tensors and plain containers", got=named.group(1),
            hint="ask its owner for a state dict or safetensors",
        ) from refused  # fmt: skip


def _check_is_checkpoint(path: Path) -> None:
    """Refuse zip archives that are not what torch.save writes: programs, and archives with the files inside."""
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/")]
    if any(name.endswith("/constants.pkl") for name in members):
        raise BadWeights(
            "a TorchScript program, and programs are never run", where=path, wanted="tensors and plain containers",
            hint="ask its owner for a state dict or safetensors",
        )  # fmt: skip
    if not any(name.endswith("/data.pkl") and name.count("/") == 1 for name in members):
        raise BadWeights(
            "an archive of files, not a checkpoint", where=path, got=_some(members) or "nothing inside",
            hint="unpack it, and give the file of weights that is inside",
        )  # fmt: skip


def _what_it_is(head: bytes) -> str | None:
    if head.lstrip()[:1] == b"<":
        return "this is a web page; open its address in a browser and download the file itself"
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b":
        return "this is an archive; unpack it, and give the file of weights that is inside"
    if head.startswith(b"version https://git-lfs"):
        return "this is only git's pointer to the file; run `git lfs pull` where it came from, or download it"
    return None


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _some(names: Sequence[str], joint: str = ", ") -> str:
    shown = joint.join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
