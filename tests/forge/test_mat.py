"""MAT: the released generator's inventory, its polarity, its chance, and what is refused."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fauxlens.core.errors import BadSetting, BadWeights, NoWeights
from fauxlens.core.settings import settings_from
from fauxlens.forge.create.hole import without_hole
from fauxlens.forge.create.mat import Mat, MatSettings
from fauxlens.forge.create.method import Request, load_method
from fauxlens.forge.create.nets.mat import MatGenerator, MatSizes, coin, mixed

SIZES = MatSizes(
    side=64,
    tokens=32,
    dim=12,
    heads=2,
    depths=(1, 2, 1, 1, 1),
    windows=(8, 8, 8, 8, 8),
    latent=16,
    style=16,
    channels_at_one=512,
    channels_most=16,
)
TINY = MatSettings(network=SIZES)


def tiny_state() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = MatGenerator(SIZES).state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mat") / "tiny.safetensors"
    save_file(tiny_state(), path)
    return path


@pytest.fixture(scope="module")
def mat(weights: Path) -> Mat:
    return Mat(TINY, weights=weights)


@pytest.fixture(scope="module")
def network() -> MatGenerator:
    made = MatGenerator(SIZES).eval().requires_grad_(False)
    made.load_state_dict(tiny_state())
    return made


def asked(height: int = 64, width: int = 64, seed: int = 5) -> Request:
    pixels = np.random.default_rng(8).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[4:30, 9:40] = True
    mask[12:40, 30:37] = True
    return Request(pixels=pixels, mask=mask, seed=seed)


def test_the_inventory_is_the_released_one() -> None:
    with torch.device("meta"):
        made = MatGenerator()
    state = made.state_dict()
    assert len(state) == 465
    parameters = sum(one.numel() for one in made.parameters())
    assert round(parameters / 1e6, 2) == 61.56
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for number in range(8):
        assert shapes[f"mapping.fc{number}.weight"] == (512, 512)
    assert shapes["mapping.w_avg"] == (512,)
    first = "synthesis.first_stage"
    assert shapes[f"{first}.conv_first.conv.weight"] == (180, 4, 3, 3)
    assert children(state, first) == {
        "conv_first", "enc_conv", "tran", "down_conv", "to_style", "ws_style", "to_square", "dec_conv",
    }  # fmt: skip
    assert [len(children(state, f"{first}.{part}")) for part in ("enc_conv", "tran", "down_conv", "dec_conv")] == [
        3,
        5,
        4,
        3,
    ]
    assert [len(children(state, f"{first}.tran.{stage}.blocks")) for stage in range(5)] == [2, 3, 4, 3, 2]
    assert children(state, "synthesis") == {"first_stage", "enc", "to_square", "to_style", "dec"}
    sides = (512, 256, 128, 64, 32, 16)
    assert children(state, "synthesis.enc") == {f"EncConv_Block_{side}" for side in sides}
    assert children(state, "synthesis.dec") == {f"Dec_{side}" for side in sides}
    for side, channels in zip(sides, (64, 128, 256, 512, 512, 512), strict=True):
        assert shapes[f"synthesis.enc.EncConv_Block_{side}.conv1.weight"] == (channels, channels, 3, 3)
        assert shapes[f"synthesis.dec.Dec_{side}.conv1.conv.affine.weight"] == (channels, 512 + 1024)
    assert shapes["synthesis.enc.EncConv_Block_512.conv0.weight"] == (64, 7, 1, 1)
    # Only the blocks whose windows move have a mask: one a stage, and none where one window covers all.
    assert {name: shapes[name] for name in state if name.endswith("attn_mask")} == {
        f"{first}.tran.0.blocks.1.attn_mask": (64, 64, 64),
        f"{first}.tran.1.blocks.1.attn_mask": (4, 256, 256),
        f"{first}.tran.3.blocks.1.attn_mask": (4, 256, 256),
        f"{first}.tran.4.blocks.1.attn_mask": (64, 64, 64),
    }


def children(state: dict[str, Tensor], prefix: str) -> set[str]:
    return {name.removeprefix(f"{prefix}.").split(".")[0] for name in state if name.startswith(f"{prefix}.")}


def shown(seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    known = torch.ones(1, 1, 64, 64)
    known[..., 5:40, 20:60] = 0
    image = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    return image, known, torch.randn(1, 16, generator=generator)


def tossed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_known_is_one_and_comes_back_exactly(network: MatGenerator) -> None:
    image, known, latent = shown()
    made = network(image, known, latent, coin(tossed(1)))
    kept = known.bool().expand_as(image)
    assert torch.equal(made[kept], image[kept])
    assert float((made - image).abs()[~kept].mean()) > 0.05
    whole = network(image, known, latent, coin(tossed(1)), composited=False)
    assert torch.equal(whole[~kept], made[~kept])
    assert float((whole - image).abs()[kept].mean()) > 0.05


def test_both_sorts_of_chance_are_told_from_outside(network: MatGenerator) -> None:
    image, known, latent = shown()
    made = network(image, known, latent, coin(tossed(1)))
    torch.rand(3)
    assert torch.equal(network(image, known, latent, coin(tossed(1))), made)
    assert not torch.equal(network(image, known, latent, coin(tossed(2))), made)
    assert not torch.equal(network(image, known, -latent, coin(tossed(1))), made)
    mean = network(image, known, latent, coin(tossed(1)), truncation=0.0)
    assert torch.equal(network(image, known, -latent, coin(tossed(1)), truncation=0.0), mean)


def test_a_batch_is_its_samples(network: MatGenerator) -> None:
    one, two = shown(1), shown(2)

    def all_kept(maps: Tensor) -> Tensor:
        return torch.ones_like(maps)

    both = network(*(torch.cat(pair) for pair in zip(one, two, strict=True)), all_kept)
    for number, given in enumerate((one, two)):
        torch.testing.assert_close(both[number], network(*given, all_kept)[0], rtol=1e-4, atol=1e-4)


def test_half_of_the_maps_gives_way_to_the_style() -> None:
    maps, square = torch.full((1, 50, 8, 8), 7.0), torch.arange(64.0)[None]
    made = mixed(maps, square, coin(tossed(0)))
    replaced = made != 7.0
    assert torch.equal(made[replaced], square.reshape(1, 1, 8, 8).expand_as(made)[replaced])
    assert abs(float(replaced.float().mean()) - 0.5) < 0.03


@pytest.mark.parametrize("size", [(64, 64), (50, 90)])
def test_a_photo_is_filled_whatever_its_hole_holds(mat: Mat, size: tuple[int, int]) -> None:
    request = asked(*size)
    made = mat.fill(request)
    assert made.pixels.shape == request.pixels.shape
    assert made.parameters["working_size"] == [512, 512]
    assert made.parameters["network"]["side"] == 64
    hidden = request.pixels.copy()
    hidden[request.mask] = 255 - hidden[request.mask]
    assert mat.fill(replace(request, pixels=hidden)).pixels.tobytes() == made.pixels.tobytes()
    seen = request.pixels.copy()
    seen[-8:, -20:] = 255 - seen[-8:, -20:]
    assert (mat.fill(replace(request, pixels=seen)).pixels != made.pixels)[request.mask].any()


def test_the_seed_decides_and_nothing_else_does(mat: Mat) -> None:
    request = asked()
    made = mat.fill(request)
    torch.manual_seed(99)
    random.seed(99)
    before = torch.get_rng_state()
    assert mat.fill(request).pixels.tobytes() == made.pixels.tobytes()
    assert torch.equal(torch.get_rng_state(), before)
    other = mat.fill(replace(request, seed=6))
    assert (other.pixels != made.pixels)[request.mask].any()
    assert other.parameters["latent_seed"] != made.parameters["latent_seed"]
    assert made.parameters["latent_seed"] != made.parameters["mixing_seed"]


def test_the_mask_is_the_hole(weights: Path) -> None:
    given: list[tuple[Tensor, ...]] = []
    method = Mat(replace(TINY, network=SIZES), weights=weights)
    request = asked()
    hook = method._loaded().register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    method.make(request)
    hook.remove()
    ((image, known, *_),) = given
    assert np.array_equal(known[0, 0].numpy() == 0.0, request.mask)
    np.testing.assert_allclose(image[0].permute(1, 2, 0).numpy(), request.pixels / 127.5 - 1.0, atol=1e-6)
    made = method.make(request).pixels
    assert np.array_equal(made[~request.mask], request.pixels[~request.mask])


def test_a_hole_without_content_is_what_lies_beside_it() -> None:
    request = asked()
    bare = without_hole(request)
    assert np.array_equal(bare.pixels[~request.mask], request.pixels[~request.mask])
    ys, xs = np.nonzero(~request.mask)
    for y, x in np.argwhere(request.mask)[::97]:
        distance = (ys - y) ** 2 + (xs - x) ** 2
        nearest = {tuple(request.pixels[ys[k], xs[k]]) for k in np.flatnonzero(distance <= distance.min() + 6)}
        assert tuple(bare.pixels[y, x]) in nearest


def test_released_forms_of_the_same_tensors(mat: Mat, tmp_path: Path) -> None:
    state = tiny_state()
    styled = [name.replace("affine.weight", "weight") for name in state if name.endswith(".affine.weight")]
    assert len(styled) == 14
    flat = {name: tensor[0] if name in styled else tensor for name, tensor in state.items()}
    torch.save(flat, tmp_path / "Places_512_FullData_G.pth")
    torch.save({"G_ema.other": torch.ones(1)}, tmp_path / "something_else.pth")
    request = asked()
    made = Mat(TINY, weights=tmp_path).fill(request)
    assert made.pixels.tobytes() == mat.fill(request).pixels.tobytes()
    assert made.parameters == mat.fill(request).parameters


@pytest.mark.parametrize("fault", ["missing", "unexpected", "reshaped"])
def test_other_weights_are_refused_in_words(tmp_path: Path, fault: str) -> None:
    state = tiny_state()
    name = "synthesis.first_stage.tran.1.blocks.1.attn.q.weight"
    if fault == "missing":
        del state[name]
    elif fault == "unexpected":
        state["synthesis.first_stage.tran.1.blocks.1.norm1.weight"] = torch.zeros(12)
    else:
        state[name] = torch.ones(12, 13)
    save_file(state, tmp_path / "other.safetensors")
    word = "of another shape" if fault == "reshaped" else fault
    with pytest.raises(BadWeights, match=f"1 {word} \\(synthesis.first_stage.tran.1.blocks.1"):
        Mat(TINY, weights=tmp_path / "other.safetensors").fill(asked())


def test_a_pickle_that_holds_a_program_is_refused(tmp_path: Path) -> None:
    class Persistent:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "Places_512_FullData.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Persistent()}, protocol=4))
    with pytest.raises(BadWeights, match=r"ask its owner for a state dict or safetensors"):
        Mat(TINY, weights=path).fill(asked())
    assert not (tmp_path / "ran").exists()


def test_without_weights_it_says_what_to_get_and_on_what_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path))
    with pytest.raises(NoWeights, match=r"fenglinglwb/MAT \(CC-BY-NC-4\.0; about 251 MB\)"):
        load_method("mat").fill(asked())
    assert "non-commercial" in Mat.card.terms


def test_settings_are_read_and_checked() -> None:
    given = settings_from(MatSettings, {"truncation": 0.5, "network": {"side": 256}}, where="method mat")
    assert (given.truncation, given.network.side, given.network.bottom) == (0.5, 256, 16)
    with pytest.raises(BadSetting, match="'truncation' out of range"):
        MatSettings(truncation=1.5)
    with pytest.raises(BadSetting, match="wanted a multiple of 6 heads, got 100"):
        MatSizes(dim=100)
    with pytest.raises(BadSetting, match="a power of two from 64, got 500"):
        MatSizes(side=500)
    with pytest.raises(BadSetting, match="less than the side, 64"):
        MatSizes(side=64)
    with pytest.raises(BadSetting, match="'windows' do not fit"):
        MatSizes(windows=(8, 16, 12, 16, 8))
