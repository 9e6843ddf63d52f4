"""Files of weights to tensors by name, and from there into a network, strictly. Nothing in a file is ever run.

safetensors are read as they are. Pickles (.pth, .pt, .tar, .th) are read by torch's weights-only reader, which knows
tensors and plain containers; a settings object of argparse, which trainers like to leave beside the tensors, is
replaced by an inert stand-in, and anything else is refused by name.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
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

_SHOWN = 6
_DAMAGED = (
    RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError, zipfile.BadZipFile,
)  # fmt: skip


class IgnoredSettings:
    """What becomes of an argparse.Namespace in a checkpoint: it may be there, and nobody looks at it."""

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Difference:
    """How a file's tensors differ from a network's: missing in the file, unexpected in it, and of another shape."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()  # name, wanted, got

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({_some(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({_some(self.unexpected)})")
        if self.reshaped:
            shapes = [f"{name}: wanted {_shape(wanted)}, got {_shape(got)}" for name, wanted, got in self.reshaped]
            parts.append(f"{len(self.reshaped)} of another shape ({_some(shapes, '; ')})")
        return ", ".join(parts)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a weight file by name, on the processor; containers unwrapped, a common `module.` dropped."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as fault:
        raise BadWeights("the file of weights cannot be read", where=path, got=fault.strerror) from fault
    held = _read_safetensors(path) if _is_safetensors(head) else _read_pickle(path, head)
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
    if not tensors:
        raise BadWeights("no tensors in the file", where=where, got=_some([str(name) for name in held]) or "nothing")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {**tensors, **beside}


def difference(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Difference:
    """How `state` differs from the names and shapes of `wanted`."""
    return Difference(
        missing=tuple(name for name in wanted if name not in state),
        unexpected=tuple(name for name in state if name not in wanted),
        reshaped=tuple(
            (name, tuple(tensor.shape), tuple(state[name].shape))
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
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
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
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
    return {str(name): value for name, value in held.items() if isinstance(value, Tensor)}


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
    if not (head[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04") or _is_tar(head) or head[:1] == b"("):
        raise BadWeights(
            "not a file of weights", where=path, wanted="safetensors or a torch checkpoint",
            got=f"bytes {head[:4].hex() or 'none'}", hint=_web_page(head),
        )  # fmt: skip
    try:
        with torch.serialization.safe_globals([(IgnoredSettings, "argparse.Namespace")]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as refused:
        named = re.search(r"GLOBAL ([\w.]+)", str(refused)) or re.search(r"`?([\w]+(?:\.[\w]+)+)`? ", str(refused))
        raise BadWeights(
            "reading this file would run code, which is never done", where=path,
            wanted="tensors and plain containers", got=named.group(1) if named else "another object",
            hint="ask its owner for a state dict or safetensors",
        ) from refused  # fmt: skip
    except _DAMAGED as bad:
        first = (str(bad).strip().splitlines() or [type(bad).__name__])[0]
        raise BadWeights(f"not a whole checkpoint: {first}", where=path, hint="get the file again") from bad


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _web_page(head: bytes) -> str | None:
    if head.lstrip()[:1] == b"<":
        return "this is a web page; open its address in a browser and download the file itself"
    return None


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _some(names: Sequence[str], joint: str = ", ") -> str:
    shown = joint.join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
