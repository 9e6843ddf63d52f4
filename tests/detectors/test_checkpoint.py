"""Files of weights become tensors whatever container they came in; nothing in them is ever run."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import pickle
import sys
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights
from fauxlens.detectors import load
from fauxlens.detectors.checkpoint import (
    CONTAINERS,
    check_finite,
    difference,
    digest_of,
    load_strictly,
    read_tensors,
    unwrapped,
)


def state() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([0.5, -1.5])}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("container", [None, *CONTAINERS])
def test_every_container_in_both_forms_of_torch(is_zip: bool, container: str | None, tmp_path: Path) -> None:
    held: Any = state() if container is None else {"epoch": 3, "optimizer": {"state": {}}, container: state()}
    torch.save(held, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=is_zip)
    assert same(read_tensors(tmp_path / "x.pth.tar"), state())


def test_containers_are_tried_in_their_order() -> None:
    one = {name: torch.full((1,), float(number)) for number, name in enumerate(CONTAINERS)}
    held = {name: {"w": tensor} for name, tensor in reversed(one.items())}
    for number, name in enumerate(CONTAINERS):
        assert float(unwrapped(held)["w"]) == number
        held.pop(name)
    # A container without tensors is none.
    assert same(unwrapped({"model": {"name": "x"}, "state_dict": state()}), state())
    # A tensor that happens to be called so is a tensor.
    assert set(unwrapped({"model": torch.ones(1), "net.weight": torch.ones(2)})) == {"model", "net.weight"}


def test_module_is_dropped_only_when_all_have_it() -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in state().items()}
    assert same(unwrapped(wrapped), state())
    assert set(unwrapped({**wrapped, "extra": torch.ones(1)})) == {*wrapped, "extra"}
    assert set(unwrapped({f"module.{name}": t for name, t in wrapped.items()})) == set(wrapped)  # one of two


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_what_trainers_leave_beside_the_tensors_is_looked_over(is_zip: bool, tmp_path: Path) -> None:
    held = {
        "model": OrderedDict((f"module.{name}", nn.Parameter(tensor)) for name, tensor in state().items()),
        "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-4}]},
        "epoch": 7,
        "scaler": {"scale": 65536.0},
        "best": np.float64(0.5),
        "args": argparse.Namespace(
            lr=1e-4, output=pathlib.PurePosixPath("x").name, where=Path("out"), nested={"a": (1,)}
        ),
    }
    torch.save(held, tmp_path / "checkpoint-7.pth", _use_new_zipfile_serialization=is_zip)
    found = read_tensors(tmp_path / "checkpoint-7.pth")
    assert same(found, state())
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize("is_zip", [True, False])
def test_settings_that_are_tables_of_a_class_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_zip: bool
) -> None:
    """Some trainings leave their settings beside the tensors as nested tables of yacs, which is not installed here."""

    class CfgNode(dict[str, Any]):
        def __init__(self, table: dict[str, Any]) -> None:
            for key, value in table.items():
                self[key] = CfgNode(value) if isinstance(value, dict) else value
            self.__dict__["__renamed_keys__"] = {}
            self.__dict__["__deprecated_keys__"] = set()

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    with monkeypatch.context() as patched:
        module = ModuleType("yacs.config")
        module.CfgNode = CfgNode  # type: ignore[attr-defined]
        patched.setitem(sys.modules, "yacs", ModuleType("yacs"))
        patched.setitem(sys.modules, "yacs.config", module)
        settings = CfgNode({"MODEL": {"NAME": "swin", "SWIN": {"DEPTHS": [2, 2, 6, 2]}}, "TAG": "x", "AMP": True})
        held = {"model": state(), "config": settings, "epoch": 299, "max_accuracy": 99.1}
        torch.save(held, tmp_path / "ckpt_epoch_299.pth", _use_new_zipfile_serialization=is_zip)
    assert "yacs.config" not in sys.modules
    assert same(read_tensors(tmp_path / "ckpt_epoch_299.pth"), state())


class Attack:
    """A pickle of it makes a folder when it is read by anything that runs code."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


class Evaluated:
    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self.code,)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(is_zip: bool, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for attack, name in (
        (Attack(made), "posix.mkdir" if os.name == "posix" else "nt.mkdir"),
        (Evaluated(f"__import__('os').mkdir({str(made)!r})"), "eval"),
        # Inside what is looked over, too.
        (argparse.Namespace(x=Attack(made)), "posix.mkdir" if os.name == "posix" else "nt.mkdir"),
    ):
        path = tmp_path / "x.pth"
        torch.save({"model": state(), "args": attack}, path, _use_new_zipfile_serialization=is_zip)
        with pytest.raises(BadWeights, match="would run code, which is never done") as refused:
            read_tensors(path)
        assert refused.value.got == name
        assert not made.exists()
        torch.load(path, weights_only=False)
        assert made.exists()  # the same file does run when it is read carelessly
        made.rmdir()


def test_whole_modules_are_refused_by_the_name_of_their_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(BadWeights, match="would run code") as refused:
        read_tensors(tmp_path / "x.pt")
    assert refused.value.got == "torch.nn.modules.linear.Linear"


def test_programs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
            archive.writestr(name, b"")
    with pytest.raises(BadWeights, match="a TorchScript program, and programs are never run"):
        read_tensors(tmp_path / "x.pt")


def test_archives_say_that_they_are_to_be_unpacked(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "inside.pth")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(tmp_path / "inside.pth", "weights/inside.pth")
    with tarfile.open(tmp_path / "w.pth.tar", "w") as archive:
        archive.add(tmp_path / "inside.pth", "inside.pth")
    with tarfile.open(tmp_path / "w.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "inside.pth", "inside.pth")
    for name in ("w.zip", "w.pth.tar", "w.tar.gz"):
        with pytest.raises(BadWeights) as refused:
            read_tensors(tmp_path / name)
        assert "unpack it, and give the file of weights" in str(refused.value), name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "this is a web page"),
        (b"\n  <html>", "this is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "only git's pointer"),
        (b"", "bytes none"),
        (b"\x80", "not a file of weights"),
        (b"hello", "bytes 68656c6c"),
        (b"\x80\x02", "not a"),
        (b"\x80\x02}q\x00.", "not a"),
        (b"\x80\x05\x95\xff\xff", "not a"),
        (b"PK\x03\x04 and no more", "not a whole file"),
        ((50).to_bytes(8, "little") + b'{"a":', "not a whole safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "no tensors in the file"),
    ],
)
def test_what_is_no_file_of_weights_is_told_so(body: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(body)
    with pytest.raises(BadWeights) as refused:
        read_tensors(tmp_path / "x.pth")
    assert message in str(refused.value)
    assert str(tmp_path / "x.pth") in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="cannot be read"):
        read_tensors(tmp_path / "nowhere.pth")
    with pytest.raises(BadWeights, match="cannot be read"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_no_cut_makes_a_file_that_is_read(kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    if kind == "safetensors":
        save_file(state(), whole)
    else:
        torch.save(state(), whole, _use_new_zipfile_serialization=kind == "zip")
    body = whole.read_bytes()
    assert same(read_tensors(whole), state())
    for length in {1, 8, 9, 40, *range(0, len(body) - 1, max(1, len(body) // 23)), len(body) - 1}:
        (tmp_path / "cut").write_bytes(body[:length])
        with pytest.raises(BadWeights):
            read_tensors(tmp_path / "cut")


def test_a_table_of_something_else(tmp_path: Path) -> None:
    for held, message in (({"epoch": 3, "names": ["a"]}, "no tensors in the file (got epoch, names)"),
                          ([torch.ones(1)], "no table of tensors in the file (wanted names and tensors, got list)"),
                          (torch.ones(3), "got Tensor")):  # fmt: skip
        torch.save(held, tmp_path / "x.pt")
        with pytest.raises(BadWeights) as refused:
            read_tensors(tmp_path / "x.pt")
        assert message in str(refused.value)


def test_tensors_that_are_not_plain_are_refused_by_name() -> None:
    sparse = torch.eye(3).to_sparse()
    for tensor in (sparse, torch.ones(2, device="meta")):
        with pytest.raises(BadWeights, match=r"'odd' is not a plain tensor"):
            unwrapped({"a": torch.ones(1), "odd": tensor})
        with pytest.raises(BadWeights, match=r"'classifier.odd' is not a plain tensor"):
            unwrapped({"model": state(), "classifier": {"odd": tensor}})


def test_differences_are_named_and_counted() -> None:
    wanted = {f"w{n}": torch.ones(2) for n in range(9)}
    found = difference(
        {"w0": torch.ones(2), "w1": torch.ones(2, 1), "w2": torch.tensor(1.0), "x": torch.ones(1)}, wanted
    )
    assert found.missing == tuple(f"w{n}" for n in range(3, 9))
    assert found.unexpected == ("x",)
    assert found.reshaped == (("w1", (2,), (2, 1)), ("w2", (2,), ()))
    told = str(found)
    assert told.startswith(
        "6 missing (w3, w4, w5, w6, w7, w8), 1 unexpected (x), 2 of another shape (w1: wanted 2, got 2x1"
    )
    assert "w2: wanted 2, got one number" in told
    assert str(difference({}, wanted)).startswith("9 missing (w0, w1, w2, w3, w4, w5 and 3 more)")
    assert not difference(wanted, wanted)


def test_loading_is_strict_and_all_or_nothing() -> None:
    network = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    good = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    for bad, message in (
        ({"weight": good["weight"]}, "1 missing (bias)"),
        ({**good, "extra": torch.ones(1)}, "1 unexpected (extra)"),
        ({**good, "weight": torch.ones(3, 2)}, "weight: wanted 2x3, got 3x2"),
        ({**good, "bias": torch.tensor([1.0, float("nan")])}, "'bias' holds 1 numbers that are NaN or infinite"),
        ({**good, "weight": torch.full((2, 3), float("inf"))}, "'weight' holds 6 numbers"),
    ):
        with pytest.raises(BadWeights) as refused:
            load_strictly(network, bad, "here.pth", "try again")
        assert message in str(refused.value)
        assert same(dict(network.state_dict()), before)
    load_strictly(network, good)
    assert same(dict(network.state_dict()), good)


def test_finite_means_all_kinds_of_numbers() -> None:
    check_finite({"a": torch.ones(2), "count": torch.tensor(3), "b": torch.ones(1, dtype=torch.bfloat16)})
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.complex64):
        with pytest.raises(BadWeights, match="'b' holds 1 numbers"):
            check_finite({"b": torch.tensor([float("inf"), 1.0], dtype=dtype)})


def test_the_digest_is_of_the_tensors_and_not_of_the_file(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "a.safetensors")
    torch.save({"model": {f"module.{k}": v for k, v in reversed(state().items())}}, tmp_path / "a.pth")
    digests = {digest_of(read_tensors(tmp_path / name)) for name in ("a.safetensors", "a.pth")}
    assert digests == {digest_of(state())}
    for changed in (
        {"a.weight": state()["a.weight"] + 1e-7, "a.bias": state()["a.bias"]},
        {"a.weight": state()["a.weight"].reshape(3, 2), "a.bias": state()["a.bias"]},
        {"b.weight": state()["a.weight"], "a.bias": state()["a.bias"]},
        {name: tensor.half() for name, tensor in state().items()},
    ):
        assert digest_of(changed) not in digests
    assert len(digest_of({"n": torch.tensor(1), "h": torch.ones(3, dtype=torch.bfloat16)})) == 64


def test_plain_pickles_without_torch_are_refused_quietly(tmp_path: Path) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        buffer = io.BytesIO()
        pickle.dump({"weight": [1.0, 2.0]}, buffer, protocol)
        (tmp_path / "x.pkl").write_bytes(buffer.getvalue())
        with pytest.raises(BadWeights):
            read_tensors(tmp_path / "x.pkl")


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_refused_by_name(kind: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(kind) if tensor.is_floating_point() else tensor
             for name, tensor in load("npr", "random").network.state_dict().items()}  # fmt: skip
    torch.save(state, tmp_path / "npr.pth")
    wanted = (
        rf"of another kind of number \(.*conv1.weight: wanted floating point, got {str(kind).removeprefix('torch.')}"
    )
    with pytest.raises(BadWeights, match=wanted):
        load("npr", tmp_path / "npr.pth")
