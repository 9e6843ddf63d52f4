"""LaMa: the released generator's inventory, what it is shown, and how its files are read."""

from __future__ import annotations

import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, BadWeights, NoWeights
from fauxlens.forge.create.lama import LaMa, LaMaSettings
from fauxlens.forge.create.method import Request, load_method
from fauxlens.forge.create.nets.lama import LamaGenerator
from fauxlens.forge.create.traced import is_traced, read_traced

TINY = LaMaSettings(width=8, blocks=2)


def tiny_state() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = LamaGenerator(TINY.width, TINY.downsamplings, TINY.blocks, TINY.global_share)
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # Fresh networks answer in a narrow grey; stronger contrasts make every change visible in eight bits.
    state["model.18.weight"] *= 40.0
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lama") / "tiny.safetensors"
    save_file(tiny_state(), path)
    return path


@pytest.fixture(scope="module")
def lama(weights: Path) -> LaMa:
    return LaMa(TINY, weights=weights)


def asked(height: int = 45, width: int = 70, seed: int = 5) -> Request:
    pixels = np.random.default_rng(8).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[4:19, 9:40] = True
    mask[12:30, 30:37] = True
    return Request(pixels=pixels, mask=mask, seed=seed)


def of_the_released_generator() -> dict[str, tuple[int, ...]]:
    """Names and shapes as its description gives them."""
    found: dict[str, tuple[int, ...]] = {}

    def normalisation(name: str, channels: int) -> None:
        found.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})
        found[f"{name}.num_batches_tracked"] = ()

    for place, shape in ((1, (64, 4, 7, 7)), (2, (128, 64, 3, 3)), (3, (256, 128, 3, 3))):
        found[f"model.{place}.ffc.convl2l.weight"] = shape
        normalisation(f"model.{place}.bn_l", shape[0])
    found["model.4.ffc.convl2l.weight"] = (128, 256, 3, 3)
    found["model.4.ffc.convl2g.weight"] = (384, 256, 3, 3)
    normalisation("model.4.bn_l", 128)
    normalisation("model.4.bn_g", 384)
    for place in range(5, 23):
        for half in ("conv1", "conv2"):
            name = f"model.{place}.{half}"
            found[f"{name}.ffc.convl2l.weight"] = (128, 128, 3, 3)
            found[f"{name}.ffc.convl2g.weight"] = (384, 128, 3, 3)
            found[f"{name}.ffc.convg2l.weight"] = (128, 384, 3, 3)
            found[f"{name}.ffc.convg2g.conv1.0.weight"] = (192, 384, 1, 1)
            normalisation(f"{name}.ffc.convg2g.conv1.1", 192)
            found[f"{name}.ffc.convg2g.fu.conv_layer.weight"] = (384, 384, 1, 1)
            normalisation(f"{name}.ffc.convg2g.fu.bn", 384)
            found[f"{name}.ffc.convg2g.conv2.weight"] = (384, 192, 1, 1)
            normalisation(f"{name}.bn_l", 128)
            normalisation(f"{name}.bn_g", 384)
    for place, entering, leaving in ((24, 512, 256), (27, 256, 128), (30, 128, 64)):
        found[f"model.{place}.weight"] = (entering, leaving, 3, 3)
        found[f"model.{place}.bias"] = (leaving,)
        normalisation(f"model.{place + 1}", leaving)
    found["model.34.weight"] = (3, 64, 7, 7)
    found["model.34.bias"] = (3,)
    return found


def test_the_inventory_is_the_released_one() -> None:
    with torch.device("meta"):
        network = LamaGenerator()
    got = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(got) == 989
    assert got == of_the_released_generator()
    assert round(sum(one.numel() for one in network.parameters()) / 1e6, 3) == 50.976


def test_any_size_is_filled_alike_each_time(lama: LaMa) -> None:
    for size in ((45, 70), (64, 64), (31, 41)):
        request = asked(*size)
        made = lama.fill(request)
        assert made.pixels.shape == request.pixels.shape
        assert made.pixels.tobytes() == lama.fill(request).pixels.tobytes()
        assert made.pixels[request.mask].std() > 5
    assert made.parameters["uses_seed"] is False
    assert made.parameters["working_size"] == [31, 41]
    assert len(str(made.parameters["weights_sha256"])) == 64


def test_nothing_of_the_hole_is_seen_and_all_else_is(lama: LaMa) -> None:
    request = asked()
    made = lama.fill(request).pixels
    hidden = request.pixels.copy()
    hidden[request.mask] = 255 - hidden[request.mask]
    assert np.array_equal(lama.fill(Request(pixels=hidden, mask=request.mask, seed=5)).pixels, made)
    shown = request.pixels.copy()
    shown[35:40, 50:60] = 255 - shown[35:40, 50:60]
    assert not np.array_equal(lama.fill(Request(pixels=shown, mask=request.mask, seed=5)).pixels, made)
    other = lama.fill(Request(pixels=request.pixels, mask=request.mask[::-1].copy(), seed=5)).pixels
    assert not np.array_equal(other, made)


def test_a_large_photo_is_shrunk_without_its_hole(lama: LaMa) -> None:
    request = asked(60, 1100)
    made = lama.fill(request)
    assert made.parameters["working_size"] == [56, 1024]
    hidden = request.pixels.copy()
    hidden[request.mask] = 0
    again = lama.fill(Request(pixels=hidden, mask=request.mask, seed=5))
    assert again.pixels.tobytes() == made.pixels.tobytes()


def test_what_the_network_is_given(lama: LaMa) -> None:
    request = asked()
    given: list[Tensor] = []
    network = lama._loaded()
    hook = network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    lama.fill(request)
    hook.remove()
    (shown,) = given
    assert shown.shape == (1, 4, 48, 72)
    hole = shown[0, 3].numpy()
    assert np.array_equal(hole[:45, :70] == 1.0, request.mask)
    assert not shown[0, :3].numpy()[:, hole == 1.0].any()
    known = shown[0, :3].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(known[:45, :70][~request.mask], request.pixels[~request.mask] / 255.0, atol=1e-6)
    # Below and on the right the photo is mirrored, the last line included.
    np.testing.assert_array_equal(known[45:], known[42:45][::-1])
    np.testing.assert_array_equal(known[:, 70:], known[:, 68:70][:, ::-1])


def test_a_photo_too_small_is_refused(lama: LaMa) -> None:
    with pytest.raises(BadShape, match="wanted sides of at least 16, got 15 x 20"):
        lama.fill(Request(pixels=np.zeros((20, 15, 3), np.uint8), mask=np.eye(20, 15, dtype=bool), seed=0))


def test_settings_are_checked() -> None:
    with pytest.raises(BadSetting, match="'width' out of range"):
        LaMaSettings(width=2)
    with pytest.raises(BadSetting, match="'global_share' out of range"):
        LaMaSettings(global_share=1.0)


def test_without_weights_it_says_what_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path))
    with pytest.raises(NoWeights, match=r"advimman/lama \(Apache-2\.0; about 204 MB\)"):
        load_method("lama", {"width": 8}).fill(asked())


def test_a_folder_without_a_file_of_weights_and_one_with_two(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(NoWeights, match="no file of weights for LaMa in this folder"):
        LaMa(TINY, weights=tmp_path).fill(asked())
    for name in ("a.pth", "b.pth"):
        torch.save(tiny_state(), tmp_path / name)
    with pytest.raises(NoWeights, match="which of the files is LaMa's"):
        LaMa(TINY, weights=tmp_path).fill(asked())


@pytest.mark.parametrize("fault", ["missing", "unexpected", "reshaped"])
def test_other_weights_are_refused_in_words(tmp_path: Path, fault: str) -> None:
    state = tiny_state()
    name = "model.5.conv1.ffc.convg2g.fu.bn.running_var"
    if fault == "missing":
        del state[name]
    elif fault == "unexpected":
        state["model.5.conv1.ffc.convg2g.lfu.bn.bias"] = torch.zeros(3)
    else:
        state[name] = torch.ones(7)
    save_file(state, tmp_path / "other.safetensors")
    word = "of another shape" if fault == "reshaped" else fault
    with pytest.raises(BadWeights, match=f"1 {word} \\(model.5.conv1.ffc.convg2g"):
        LaMa(TINY, weights=tmp_path / "other.safetensors").fill(asked())


def a_trainers_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Lightning leaves it: generator, critic and losses in one table, and a class of its own as a key."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})  # type: ignore[attr-defined]
    state = {f"generator.{name}": tensor for name, tensor in tiny_state().items()}
    state["discriminator.model0.0.weight"] = torch.ones(4, 3, 4, 4)
    state["loss_resnet_pl.impl.conv1.weight"] = torch.ones(4, 3, 7, 7)
    with monkeypatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            patch.setitem(sys.modules, name, module if name == module.__name__ else types.ModuleType(name))
        torch.save({"epoch": 39, "state_dict": state, "callbacks": {module.ModelCheckpoint: {"best": 0.1}}}, path)


@pytest.mark.parametrize("form", ["folder", "archive", "checkpoint"])
def test_big_lama_as_it_was_released(form: str, lama: LaMa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "big-lama" / "models" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    a_trainers_checkpoint(checkpoint, monkeypatch)
    (tmp_path / "big-lama" / "config.yaml").write_text("generator:\n  ngf: 8\n")
    given = {"folder": tmp_path, "archive": tmp_path / "big-lama.zip", "checkpoint": checkpoint}[form]
    if form == "archive":
        with zipfile.ZipFile(given, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (checkpoint, tmp_path / "big-lama" / "config.yaml"):
                archive.write(path, path.relative_to(tmp_path).as_posix())
    request = asked()
    made = LaMa(TINY, weights=given).fill(request)
    assert made.pixels.tobytes() == lama.fill(request).pixels.tobytes()
    assert made.parameters == lama.fill(request).parameters


class Wrapped(nn.Module):
    """A program round the generator, as the traced file is."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.generator = LamaGenerator(TINY.width, TINY.downsamplings, TINY.blocks, TINY.global_share)

    def forward(self, image: Tensor, hole: Tensor) -> Tensor:
        made = self.model.generator(torch.cat((image * (1 - hole), hole), dim=1))
        return hole * made + (1 - hole) * image


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traced") / "big-lama.pt"
    program = Wrapped().eval()
    program.model.generator.load_state_dict(tiny_state())
    with warnings.catch_warnings():
        # Tracing is on its way out of torch; files made by it are not.
        warnings.simplefilter("ignore")
        torch.jit.trace(program, (torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)), check_trace=False).save(path)
    return path


def test_the_traced_file_gives_its_tensors_and_is_never_run(traced: Path, lama: LaMa) -> None:
    assert is_traced(traced)
    state = read_traced(traced)
    for name, wanted in tiny_state().items():
        torch.testing.assert_close(state[f"model.generator.{name}"], wanted, rtol=0, atol=0)
    request = asked()
    assert LaMa(TINY, weights=traced).fill(request).pixels.tobytes() == lama.fill(request).pixels.tobytes()


def test_a_traced_file_that_would_run_something_is_refused(traced: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    other = tmp_path / "big-lama.pt"
    with zipfile.ZipFile(traced) as source, zipfile.ZipFile(other, "w") as target:
        for member in source.namelist():
            content = pickle.dumps(Hostile(), 2) if member.endswith("/data.pkl") else source.read(member)
            target.writestr(member, content)
    with pytest.raises(BadWeights, match="would run code, which is never done"):
        LaMa(TINY, weights=other).fill(asked())
    assert not (tmp_path / "ran").exists()


def test_a_tensor_larger_than_its_numbers_is_refused(tmp_path: Path) -> None:
    # One number with strides of zero: the table of a tensor of 4 TB, in the pickle language's own words.
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
    side = b"J" + (10**6).to_bytes(4, "little")
    table = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + side * 2 + b"\x86K\x00K\x00\x86\x89NtR."
    )
    path = tmp_path / "big-lama.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lama/constants.pkl", b"\x80\x02).")
        archive.writestr("lama/data.pkl", table)
        archive.writestr("lama/data/0", bytes(4))
    with pytest.raises(BadWeights, match="a tensor larger than its numbers"):
        read_traced(path)


def test_a_damaged_traced_file_is_refused(traced: Path, tmp_path: Path) -> None:
    other = tmp_path / "big-lama.pt"
    with zipfile.ZipFile(traced) as source, zipfile.ZipFile(other, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            target.writestr(member, content[:-8] if member.endswith("/data/0") else content)
    with pytest.raises(BadWeights, match="fewer numbers than the table says"):
        LaMa(TINY, weights=other).fill(asked())
