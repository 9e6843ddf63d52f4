"""The tensors of a TorchScript archive, read without running it.

Such an archive holds a program beside its tensors, and `torch.jit.load` would load both. Here the program is never
opened: the archive's table of attributes is unpickled with stand-ins for every class (they keep what they are given
and do nothing), tensors are cut from the archive's raw numbers, and any other name in the table is refused.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fauxlens.core.errors import BadWeights

LARGEST = 4 * 2**30
"""Bytes that the members of an archive may unpack to; more is a bomb, or no weights for a processor."""

_KINDS = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_traced(path: Path) -> bool:
    """Whether a file is a TorchScript archive, as torch.jit.save writes it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_traced(path: Path) -> dict[str, Tensor]:
    """All tensors of the modules in a TorchScript archive, by dotted name."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                raise BadWeights("an archive that unpacks to too much", where=path, wanted=f"at most {LARGEST:,} bytes")
            tables = [member.filename for member in members if member.filename.endswith("/data.pkl")]
            if len(tables) != 1:
                raise BadWeights("not a TorchScript archive", where=path, wanted="one data.pkl", got=len(tables))
            root = tables[0].removesuffix("data.pkl")
            if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
                raise BadWeights("numbers in big-endian order", where=path, hint="save it again on another machine")
            with archive.open(tables[0]) as stream:
                whole = _Reader(stream, archive, f"{root}data/").load()
    except BadWeights as bad:
        raise BadWeights(bad.what, where=path, wanted=bad.wanted, got=bad.got, hint=bad.hint) from None
    except Exception as bad:
        # As with checkpoints: damaged bytes fail in whatever way they happen to.
        first = (str(bad).strip().splitlines() or [type(bad).__name__])[0]
        raise BadWeights(f"not a whole TorchScript archive: {first}", where=path, hint="get the file again") from bad
    found: dict[str, Tensor] = {}
    _collect(whole, "", found)
    return found


class _Part:
    """Stands for an object of any class of the archive: its attributes, and nothing it could do."""

    def __new__(cls, *given: object) -> _Part:
        made = super().__new__(cls)
        made.held = {}
        return made

    held: Mapping[Any, Any]

    def __setstate__(self, state: object) -> None:
        self.held = state if isinstance(state, Mapping) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._folder = folder
        self._numbers: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (
            module.split(".")[0] == "__torch__"
            or module == "torch.jit._pickle"
            or (module, name) == ("torch", "device")
        ):
            return _Part
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _cut
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _KINDS:
            return _KINDS[name]
        raise BadWeights(
            "reading this file would run code, which is never done",
            wanted="tensors and modules",
            got=f"{module}.{name}",
        )

    def persistent_load(self, pid: Any) -> Tensor:
        word, kind, key, _device, count = pid
        if word != "storage" or not isinstance(kind, torch.dtype):
            raise BadWeights("a table with unknown references", got=word)
        if key not in self._numbers:
            raw = bytearray(self._archive.read(self._folder + str(key)))
            self._numbers[key] = torch.frombuffer(raw, dtype=kind) if raw else torch.empty(0, dtype=kind)
        numbers = self._numbers[key]
        if len(numbers) < count:
            raise BadWeights("fewer numbers than the table says", wanted=count, got=len(numbers))
        return numbers


def _cut(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_rest: object) -> Tensor:
    if math.prod(size) > len(numbers):
        # Strides of zero would make a few numbers into a tensor that fills the memory.
        raise BadWeights("a tensor larger than its numbers", wanted=f"at most {len(numbers):,}", got=f"{size}")
    return torch.as_strided(numbers, size, stride, offset).clone()


def _collect(part: object, prefix: str, found: dict[str, Tensor]) -> None:
    if not isinstance(part, _Part):
        return
    for name, value in part.held.items():
        if isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
        else:
            _collect(value, f"{prefix}{name}.", found)
