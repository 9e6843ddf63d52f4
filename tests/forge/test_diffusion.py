"""SDXL, BrushNet and both PowerPaints end to end on tiny saved pipelines: what the models are shown, and what is kept.

The networks hold random numbers, so frames are noise: what is asserted is polarity, chance, sizes and the record.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from drawn import drawn_picture
from fauxlens.core.errors import BadFrame, BadSetting, BadWeights, MissingExtra, NoWeights
from fauxlens.forge.compose import compose
from fauxlens.forge.create.method import Method, Request, load_method
from fauxlens.forge.create.nets.brushnet import from_unet
from fauxlens.forge.create.pipelines import (
    NO_FILTER,
    DiffusionMethod,
    checked_frame,
    load_pipeline,
    native_size,
    pipeline_digest,
    seeded,
)
from fauxlens.forge.create.task_words import MODES, TaskWords
from tiny_pipelines import (
    TASKS,
    VECTORS,
    released_words,
    save_sdxl,
    save_stable_diffusion,
    speaking,
    tiny_text_config,
    tiny_tokenizer,
    tiny_unet,
)

FAST = {"steps": 3, "enlarge": False}


def _mask(height: int = 64, width: int = 96) -> np.ndarray:
    """A hole at the upper right, symmetric in no way."""
    mask = np.zeros((height, width), dtype=bool)
    mask[8:30, 50:90] = True
    mask[30:44, 78:90] = True
    return mask


def _request(seed: int = 11, prompt: str = "the starry sky", mask_type: str = "stuff") -> Request:
    return Request(pixels=drawn_picture(64, 96), mask=_mask(), seed=seed, prompt=prompt, mask_type=mask_type)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_stable_diffusion(tmp_path_factory.mktemp("sd") / "base")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, base) -> dict[str, Path]:
    """Name of a method, and of SDXL's two kinds -> a folder as its user has it."""
    root = tmp_path_factory.mktemp("weights")
    found = {"sdxl": save_sdxl(root / "sdxl", 9), "sdxl-base": save_sdxl(root / "sdxl-base", 4)}
    with torch.random.fork_rng():
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False)
        for seed, part in enumerate(("random_mask", "segmentation_mask")):
            at = root / "brushnet" / part / "diffusion_pytorch_model.safetensors"
            at.parent.mkdir(parents=True)
            save_file(speaking(from_unet(unet), seed).state_dict(), at)
        for part in ("unet", "text_encoder"):
            (root / "powerpaint-v1" / part).mkdir(parents=True)
        torch.manual_seed(8)
        save_file(tiny_unet(9).state_dict(), root / "powerpaint-v1/unet/unet.safetensors")
        save_file(released_words(), root / "powerpaint-v1/text_encoder/text_encoder.safetensors")
        branch = root / "powerpaint" / "PowerPaint_Brushnet"
        branch.mkdir(parents=True)
        state = speaking(from_unet(unet, attention=True)).state_dict()
        save_file(state, branch / "diffusion_pytorch_model.safetensors")
        torch.save(released_words(), branch / "pytorch_model.bin")
    for name in ("brushnet", "powerpaint"):
        (root / name / "base").symlink_to(base, target_is_directory=True)
        found[name] = root / name
    save_stable_diffusion(root / "powerpaint-v1" / "base", inpainting=True)
    found["powerpaint-v1"] = root / "powerpaint-v1"
    return found


NAMES = ("sdxl", "sdxl-base", "brushnet", "powerpaint-v1", "powerpaint")


def _loaded(folders: dict[str, Path], name: str, **settings: object) -> DiffusionMethod:
    method = load_method(name.removesuffix("-base"), {**FAST, **settings}, weights=folders[name])
    assert isinstance(method, DiffusionMethod)
    return method


@pytest.fixture(scope="module")
def methods(folders) -> dict[str, DiffusionMethod]:
    return {name: _loaded(folders, name) for name in NAMES}


@pytest.fixture(params=NAMES)
def method(request, methods) -> DiffusionMethod:
    return methods[request.param]


class Spy:
    """What a network was called with, while it lasts."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
        self.handle = network.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, network: object, arguments: tuple[object, ...], named: dict[str, object]) -> None:
        self.calls.append((arguments, named))

    def __enter__(self) -> Spy:
        return self

    def __exit__(self, *why: object) -> None:
        self.handle.remove()


def test_a_frame_of_the_photo_s_size_and_exact_outside_when_spliced(method):
    request = _request()
    fill = method.fill(request)
    assert fill.pixels.shape == (64, 96, 3)
    assert fill.pixels.dtype == np.uint8
    assert len(np.unique(fill.pixels)) > 20
    spliced = compose(request.pixels, fill.pixels, request.mask)
    assert np.abs(spliced.pixels.astype(int) - request.pixels)[~request.mask].max() == 0.0
    assert spliced.changed_inside > 1
    assert spliced.changed_outside > 1  # a random autoencoder keeps nothing: the frame is raw


def test_chance_is_the_seed_s_alone(method):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = method.fill(_request())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(method.fill(_request()).pixels, first.pixels)
    assert not np.array_equal(method.fill(_request(seed=12)).pixels, first.pixels)
    assert not np.array_equal(method.fill(_request(prompt="a brick wall")).pixels, first.pixels)
    assert np.array_equal(method.fill(_request(seed=(1 << 63) - 1)).pixels.shape, first.pixels.shape)


def test_a_new_process_would_make_the_same(folders, methods):
    again = _loaded(folders, "brushnet")
    assert np.array_equal(again.fill(_request()).pixels, methods["brushnet"].fill(_request()).pixels)


def test_the_record_is_json_and_tells_what_decided(method):
    facts = json.loads(json.dumps(dict(method.fill(_request()).parameters)))
    assert facts["prompt"] == "the starry sky"
    assert facts["seed"] == 11
    assert facts["steps"] == 3
    assert facts["working_size"] == [64, 96]
    assert facts["precision"] == "float32"
    assert facts["versions"]["torch"] == str(torch.__version__)
    assert all(len(digest) == 64 for digest in facts["weights"].values())
    assert "base" in facts["weights"]


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_runs_through(folders, name):
    method = _loaded(folders, name, precision="bfloat16", steps=2)
    fill = method.fill(_request())
    assert method.pipe.unet.dtype == torch.bfloat16
    assert fill.parameters["precision"] == "bfloat16"
    assert len(np.unique(fill.pixels)) > 20


def test_any_size_comes_back(methods):
    pixels = drawn_picture(61, 90)
    mask = _mask(61, 90)
    fill = methods["sdxl"].fill(Request(pixels=pixels, mask=mask, seed=1, prompt="sand"))
    assert fill.pixels.shape == (61, 90, 3)
    assert fill.parameters["working_size"] == [64, 88]


def test_small_photos_are_enlarged_when_asked(folders):
    method = _loaded(folders, "sdxl", enlarge=True, longest=128, steps=2)
    fill = method.fill(_request())
    assert fill.parameters["working_size"] == [88, 128]
    assert fill.parameters["enlarge"] is True
    assert fill.pixels.shape == (64, 96, 3)


def test_sizes_are_the_models_own():
    def size(name: str, mask_type: str = "stuff", height: int = 300, width: int = 400, **settings: object):
        pixels, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
        mask[:10, :10] = True
        asked = Request(pixels=pixels, mask=mask, seed=0, prompt="sky", mask_type=mask_type)
        return load_method(name, settings).size_for(asked)

    assert size("sdxl") == (768, 1024)
    assert size("sdxl", enlarge=False) == (304, 400)
    assert size("brushnet") == (512, 680)
    assert size("powerpaint") == (640, 856)
    assert size("powerpaint-v1", "background") == (512, 680)
    assert size("powerpaint-v1", "background", background="text") == (640, 856)
    assert size("sdxl", height=3000, width=4000) == (768, 1024)
    assert size("brushnet", height=400, width=4000) == (104, 1024)
    assert native_size((8, 8), longest=1024, shorter=512) == (512, 512)


def _as_seen(mask: np.ndarray) -> torch.Tensor:
    """A mask (64, 96) at the size of the tiny latents, of which every cell is four pixels wide."""
    return torch.from_numpy(mask[::4, ::4].astype(np.float32))


@pytest.mark.parametrize("name", ["sdxl", "powerpaint-v1"])
def test_inpainting_models_see_one_in_the_hole(methods, name):
    method = methods[name]
    with Spy(method.pipe.unet) as spy:
        method.fill(_request())
    assert spy.calls
    for (sample, *_), _named in spy.calls:
        assert sample.shape == (2, 9, 16, 24)
        assert torch.equal(sample[0, 4], _as_seen(_mask()))
        assert torch.equal(sample[1, 4], sample[0, 4])


def test_inpainting_models_see_the_photo_with_its_hole_grey(methods):
    pipe = methods["powerpaint-v1"].pipe
    with Spy(pipe.vae.encoder) as spy:
        methods["powerpaint-v1"].fill(_request())
    seen = spy.calls[-1][0][0][0]
    hole = torch.from_numpy(_mask())
    assert seen[:, hole].abs().max() == 0
    photo = torch.from_numpy(drawn_picture(64, 96)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(seen[:, ~hole], photo[:, ~hole])


def test_the_base_model_of_sdxl_sees_no_mask_and_is_given_the_photo_back(methods):
    method = methods["sdxl-base"]
    with Spy(method.pipe.unet) as spy, Spy(method.pipe.vae.decoder) as decoded:
        fill = method.fill(_request())
    assert all(call[0][0].shape == (2, 4, 16, 24) for call in spy.calls)
    assert fill.parameters["unet_channels"] == 4
    # Outside the hole the last latent is the photo's own, whatever the seed.
    latent = decoded.calls[-1][0][0]
    with Spy(method.pipe.vae.decoder) as decoded, torch.no_grad():
        method.fill(_request(prompt="a brick wall"))
    other = decoded.calls[-1][0][0]
    inner = F.max_pool2d(_as_seen(_mask())[None], 5, stride=1, padding=2)[0].bool()
    assert (latent - other).abs()[0, :, ~inner].max() < 1e-5
    assert (latent - other).abs()[0, :, _as_seen(_mask()).bool()].max() > 1e-3


@pytest.mark.parametrize("name", ["brushnet", "powerpaint"])
def test_branches_see_one_where_the_photo_is_kept_and_black_in_the_hole(methods, name):
    method = methods[name]
    method.fill(_request())
    branch = method._branches["segmentation_mask"] if name == "brushnet" else method.branch
    with Spy(branch) as spy, Spy(method.pipe.vae.encoder) as encoded, Spy(branch.conv_in_condition) as first:
        method.fill(_request())
    seen = encoded.calls[0][0][0][0]
    hole = torch.from_numpy(_mask())
    assert seen[:, hole].max() == -1 == seen[:, hole].min()
    assert seen[:, ~hole].max() > 0.5
    for (noisy, _level, condition, *_), _named in spy.calls:
        assert noisy.shape == (2, 4, 16, 24)
        assert torch.equal(condition[0, 4], 1 - _as_seen(_mask()))
        assert torch.equal(condition[0], condition[1])
    assert first.calls[0][0][0].shape == (2, 9, 16, 24)
    latent = method.pipe.vae.encode(seen[None]).latent_dist.mode() * method.pipe.vae.config.scaling_factor
    torch.testing.assert_close(spy.calls[0][0][2][:1, :4], latent)


def test_brushnet_asks_the_branch_of_the_mask_type(methods, folders):
    used = {kind: methods["brushnet"].fill(_request(mask_type=kind)) for kind in ("stuff", "background", "region")}
    assert {kind: fill.parameters["branch"] for kind, fill in used.items()} == {
        "stuff": "segmentation_mask", "background": "random_mask", "region": "random_mask",
    }  # fmt: skip
    assert not np.array_equal(used["stuff"].pixels, used["background"].pixels)
    assert np.array_equal(used["region"].pixels, used["background"].pixels)
    # The record is of this frame, whatever else was made before it.
    assert set(used["region"].parameters["weights"]) == {"base", "random_mask"}
    assert set(methods["brushnet"].fill(_request()).parameters["weights"]) == {"base", "segmentation_mask"}
    always = _loaded(folders, "brushnet", branch="random_mask")
    assert np.array_equal(always.fill(_request()).pixels, used["background"].pixels)
    assert always.fill(_request()).parameters["branch"] == "random_mask"


def test_a_branch_that_is_not_heard_leaves_the_pipeline_as_it_is(folders):
    method = _loaded(folders, "brushnet", scale=0.0)
    fill = method.fill(_request())
    plain = method.called(_request(), prompt="the starry sky")
    assert np.array_equal(fill.pixels, plain)
    assert type(method.pipe.scheduler).__name__ == fill.parameters["scheduler"] == "UniPCMultistepScheduler"
    assert _loaded(folders, "brushnet", scheduler="saved").fill(_request()).parameters["scheduler"] == "DDIMScheduler"


def test_without_guidance_there_is_one_half(folders):
    for name in ("brushnet", "powerpaint"):
        method = _loaded(folders, name, guidance=1.0)
        with Spy(method.pipe.unet) as spy:
            fill = method.fill(_request())
        assert all(call[0][0].shape[0] == 1 for call in spy.calls)
        assert fill.pixels.shape == (64, 96, 3)


def test_the_frozen_unet_reads_the_plain_prompt_and_the_branch_the_task(methods):
    method = methods["powerpaint"]
    pipe = method.pipe
    with Spy(pipe.unet) as spy, Spy(method.branch) as branch:
        method.fill(_request())
    plain, empty = pipe.encode_prompt("the starry sky", "cpu", 1, True)
    torch.testing.assert_close(spy.calls[0][1]["encoder_hidden_states"], torch.cat([empty, plain]))
    told = method.words.told
    expected = torch.cat([told("", "P_obj"), told("the starry sky", "P_obj")])
    torch.testing.assert_close(branch.calls[0][0][3], expected)


def test_the_first_version_reads_the_task_in_its_unet(methods):
    method = methods["powerpaint-v1"]
    told = method.words.told if method.pipe else None
    assert told is not None
    with Spy(method.pipe.unet) as spy:
        stuff = method.fill(_request())
        background = method.fill(_request(mask_type="background"))
    bad = "worst quality, low quality, blurry"
    seen = spy.calls[0][1]["encoder_hidden_states"]
    torch.testing.assert_close(seen, torch.cat([told(bad, "P_obj"), told("the starry sky", "P_obj")]))
    seen = spy.calls[-1][1]["encoder_hidden_states"]
    wanted = told("empty scene blur the starry sky", "P_ctxt")
    torch.testing.assert_close(seen, torch.cat([told("", "P_obj"), wanted]))
    assert (stuff.parameters["mode"], background.parameters["mode"]) == ("text", "context")
    assert background.parameters["tasks"] == ["P_ctxt", "P_ctxt"]


def test_shapes_are_mixed_by_the_fitting_degree(folders):
    method = _loaded(folders, "powerpaint-v1", stuff="shape", fitting=0.25, quality_words="", negative="people")
    told = method.words.told if method.pipe else None
    assert told is not None
    with Spy(method.pipe.unet) as spy:
        fill = method.fill(_request())
    halves = [0.25 * told(prompt, "P_shape") + 0.75 * told(prompt, "P_ctxt") for prompt in ("people", "the starry sky")]
    torch.testing.assert_close(spy.calls[0][1]["encoder_hidden_states"], torch.cat(halves))
    assert fill.parameters["mode"] == "shape"
    assert fill.parameters["fitting"] == 0.25
    assert not np.array_equal(
        fill.pixels, _loaded(folders, "powerpaint-v1", stuff="shape", quality_words="").fill(_request()).pixels
    )


@pytest.fixture(scope="module")
def words() -> TaskWords:
    return TaskWords(tiny_text_config(), tiny_tokenizer(), released_words())


def test_tasks_are_rows_behind_the_words(words):
    assert words.first == 514
    assert words.vectors == dict.fromkeys(TASKS, VECTORS)
    table = words.encoder.get_input_embeddings().weight
    released = released_words()
    name = "text_model.embeddings.token_embedding."
    assert table.shape == (544, 32)
    assert torch.equal(table[:514], released[name + "wrapped.weight"])
    for number, task in enumerate(TASKS):
        rows = table[514 + 10 * number : 524 + 10 * number]
        assert torch.equal(rows, released[f"{name}trainable_embeddings.{task}"])


def test_a_prompt_is_written_with_its_task_and_ended(words):
    tokenizer = words.tokenizer
    numbers = words.numbers("sky", "P_shape")
    plain = tokenizer("sky").input_ids
    assert numbers[:4] == plain[:-1]
    assert numbers[4:14] == list(range(524, 534))
    assert set(numbers[14:]) == {tokenizer.eos_token_id}
    assert len(numbers) == 77
    assert words.lost("sky") == 0


def test_a_long_prompt_does_not_push_its_task_out(words):
    prompt = "word " * 30
    numbers = words.numbers(prompt, "P_obj")
    assert len(numbers) == 77
    assert numbers[-11:-1] == list(range(534, 544))
    assert words.lost(prompt) == 4 * 30 - 65


def test_the_encoder_is_the_library_s_on_plain_words(words):
    """Without a task's rows the enlarged encoder says what one with the released words alone says."""
    from transformers import CLIPTextModel

    released = released_words()
    table = "text_model.embeddings.token_embedding."
    plain = CLIPTextModel(tiny_text_config()).eval()
    state = {name.removeprefix("text_model."): one for name, one in released.items() if "token_embedding" not in name}
    state.pop("embeddings.position_ids")
    state["embeddings.token_embedding.weight"] = released[table + "wrapped.weight"]
    prefix = "text_model." if next(iter(plain.state_dict())).startswith("text_model.") else ""
    plain.load_state_dict({prefix + name: one for name, one in state.items()})
    numbers = torch.tensor([words.tokenizer("the sky", padding="max_length").input_ids])
    with torch.no_grad():
        torch.testing.assert_close(words.encoder(numbers).last_hidden_state, plain(numbers).last_hidden_state)


def test_newer_names_of_text_encoders_are_read_too(words):
    newer = {name.removeprefix("text_model."): one for name, one in released_words().items()}
    again = TaskWords(tiny_text_config(), tiny_tokenizer(), newer)
    assert torch.equal(again.told("sky", "P_obj"), words.told("sky", "P_obj"))


def test_a_text_encoder_without_tasks_is_refused():
    state = {name: one for name, one in released_words().items() if "P_shape" not in name}
    with pytest.raises(BadWeights, match=r"not a text encoder with tasks .*trainable_embeddings\.P_shape"):
        TaskWords(tiny_text_config(), tiny_tokenizer(), state)
    narrow = released_words()
    narrow["text_model.embeddings.token_embedding.trainable_embeddings.P_obj"] = torch.zeros(10, 8)
    with pytest.raises(BadWeights, match=r"vectors of P_obj do not fit the words \(wanted \(10, 32\), got \(10, 8\)\)"):
        TaskWords(tiny_text_config(), tiny_tokenizer(), narrow)


def test_modes_are_those_of_the_authors():
    assert MODES["text"].wanted == ("P_obj", "P_obj")
    assert MODES["shape"].wanted == ("P_shape", "P_ctxt")
    assert MODES["context"].wanted == ("P_ctxt", "P_ctxt")
    assert MODES["context"].unwanted == ("P_obj", "P_obj")


def test_lost_words_are_counted(methods):
    long = "word " * 30
    lost = {name: methods[name].fill(_request(prompt=long)).parameters["words_lost"] for name in ("sdxl", "brushnet")}
    assert lost == {"sdxl": 45, "brushnet": 45}
    assert methods["powerpaint-v1"].fill(_request(prompt=long)).parameters["words_lost"] == 55
    assert methods["powerpaint"].fill(_request(prompt=long)).parameters["branch_words_lost"] == 55


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sdxl", ["diffusers/stable-diffusion-xl-1.0-inpainting-0.1", "Open RAIL++-M", "13.9 GB"]),
        ("brushnet", ["stable-diffusion-v1-5/stable-diffusion-v1-5", "Sanster/brushnet_segmentation_mask",
                      "OpenRAIL-M", "Apache-2.0", "2.5 GB", "4.3 GB"]),
        ("powerpaint-v1", ["JunhaoZhuang/PowerPaint-v1", "stable-diffusion-inpainting", "OpenRAIL-M", "3.9 GB"]),
        ("powerpaint", ["JunhaoZhuang/PowerPaint-v2-1", "stable-diffusion-v1-5", "OpenRAIL-M", "4.0 GB"]),
    ],
)  # fmt: skip
def test_without_weights_the_message_says_what_to_fetch(tmp_path, monkeypatch, name, said):
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path))
    with pytest.raises(NoWeights) as refused:
        load_method(name).fill(_request())
    for word in said:
        assert word in str(refused.value)
    assert str(tmp_path / "forge" / name) in str(refused.value)
    assert "hf download" in str(refused.value)


def test_what_is_there_in_part_is_not_asked_for_again(folders, tmp_path):
    (tmp_path / "base").symlink_to(folders["brushnet"] / "base", target_is_directory=True)
    with pytest.raises(NoWeights) as refused:
        load_method("brushnet", FAST, weights=tmp_path).fill(_request(mask_type="background"))
    assert "Sanster/brushnet_random_mask" in str(refused.value)
    assert "stable-diffusion-v1-5" not in str(refused.value)
    assert "segmentation" not in str(refused.value)


def test_folders_that_hold_something_else(folders, tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(BadWeights, match=r"no saved pipeline .*model_index\.json"):
        load_method("sdxl", FAST, weights=tmp_path).fill(_request())
    with pytest.raises(BadWeights, match=r"lacks parts .*text_encoder_2, .*tokenizer_2"):
        load_method("sdxl", FAST, weights=folders["brushnet"] / "base").fill(_request())
    with pytest.raises(BadWeights, match="cannot be loaded"):
        load_method("sdxl", {**FAST, "variant": "fp16"}, weights=folders["sdxl"]).fill(_request())
    for part in ("unet", "text_encoder"):
        (tmp_path / part).symlink_to(folders["powerpaint-v1"] / part, target_is_directory=True)
    (tmp_path / "base").symlink_to(folders["brushnet"] / "base", target_is_directory=True)
    with pytest.raises(BadWeights, match=r"not an inpainting model .*got 4"):
        load_method("powerpaint-v1", FAST, weights=tmp_path).fill(_request())


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("unet", "conv_out.weight"),
        ("vae", "decoder.conv_out.weight"),
        ("text_encoder", "final_layer_norm.bias"),
    ],
)
def test_files_that_lack_tensors_are_refused_and_never_filled_with_chance(base, tmp_path, part, name):
    shutil.copytree(base, tmp_path / "base")
    (path,) = (tmp_path / "base" / part).glob("*.safetensors")
    state = load_file(path)
    (gone,) = [one for one in state if one.endswith(name)]
    del state[gone]
    save_file(state, path, {"format": "pt"})
    with pytest.raises(BadWeights, match=rf"{part}: 1 tensors are missing \(wanted .*{name}"):
        load_pipeline(
            "StableDiffusionPipeline", tmp_path / "base", device="cpu", precision="float32", variant="", purpose="",
            **NO_FILTER,
        )  # fmt: skip


def test_files_with_older_names_are_read(base, tmp_path):
    """As those of Stable Diffusion 1.5 are: both libraries have renamed tensors since."""
    shutil.copytree(base, tmp_path / "base")
    asked = {"device": "cpu", "precision": "float32", "variant": "", "purpose": "", **NO_FILTER}
    now = load_pipeline("StableDiffusionPipeline", base, **asked)
    for part in ("vae", "text_encoder"):
        (path,) = (tmp_path / "base" / part).glob("*.safetensors")
        state = load_file(path)
        if part == "text_encoder":
            older = {"text_model." + name.removeprefix("text_model."): one for name, one in state.items()}
            older["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        else:
            older = {
                name.replace("to_q", "query").replace("to_k", "key").replace("to_v", "value")
                .replace("to_out.0", "proj_attn"): one
                for name, one in state.items()
            }  # fmt: skip
            assert set(older) != set(state)
        save_file(older, path, {"format": "pt"})
    then = load_pipeline("StableDiffusionPipeline", tmp_path / "base", **asked)
    for part in ("vae", "text_encoder"):
        one, other = now.components[part].state_dict(), then.components[part].state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("value", "said"), [(-100.0, "black all over"), (float("nan"), "numbers that are none")])
def test_a_black_frame_is_an_error_and_no_sample(folders, value, said):
    method = _loaded(folders, "brushnet")
    with torch.no_grad():
        method.pipe.vae.decoder.conv_out.bias.fill_(value)
    with pytest.raises(BadFrame, match=said):
        method.fill(_request())


def test_a_dark_frame_is_none():
    dark = np.zeros((2, 2, 3))
    dark[0, 0, 0] = 1 / 255
    assert checked_frame(dark, "a test").tolist()[0][0] == [1, 0, 0]
    with pytest.raises(BadFrame):
        checked_frame(np.full((2, 2, 3), 0.001), "a test")


def test_no_filter_and_no_watermark(methods):
    assert methods["sdxl"].pipe.watermark is None
    for name in ("brushnet", "powerpaint", "powerpaint-v1"):
        assert methods[name].pipe.safety_checker is None


def test_nothing_is_said_on_the_way(folders, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        _loaded(folders, "powerpaint-v1").fill(_request())
    said = capfd.readouterr()
    assert said.out == ""
    assert "it/s" not in said.err
    assert "Loading" not in said.err


def test_what_is_asked_is_checked(folders):
    for name, settings, said in (
        ("sdxl", {"strength": 1.0}, "strength"),
        ("sdxl", {"strength": 0.01, "steps": 2}, "no step is left"),
        ("sdxl", {"longest": 1000}, None),
        ("sdxl", {"longest": 1001}, "longest"),
        ("brushnet", {"steps": 0}, "steps"),
        ("brushnet", {"guidance": float("nan")}, "guidance"),
        ("brushnet", {"scale": 3.0}, "scale"),
        ("brushnet", {"branch": "other"}, "branch"),
        ("powerpaint", {"fitting": 1.5}, "fitting"),
        ("powerpaint-v1", {"side": 5}, "side"),
        ("powerpaint-v1", {"stuff": "removal"}, "stuff"),
    ):
        if said is None:
            assert isinstance(load_method(name, settings), Method)
        else:
            with pytest.raises(BadSetting, match=said):
                load_method(name, settings)
    with pytest.raises(BadSetting, match="told what to make"):
        load_method("sdxl", FAST, weights=folders["sdxl"]).fill(replace(_request(), prompt=None))


def test_a_missing_library_is_told(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"needs diffusers.*fauxlens\[forge\]"):
        load_method("sdxl", FAST, weights=folders["sdxl"]).fill(_request())


def test_the_digest_is_of_what_is_read(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "safety_checker").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet/model.safetensors").write_bytes(b"one")
    first = pipeline_digest(tmp_path)
    for unread in ("unet/model.fp16.safetensors", "unet/model.bin", "safety_checker/model.safetensors", "v1.ckpt"):
        (tmp_path / unread).write_bytes(b"other")
    assert pipeline_digest(tmp_path) == first
    assert pipeline_digest(tmp_path, "fp16") != first
    (tmp_path / "unet/model.safetensors").write_bytes(b"two")
    assert pipeline_digest(tmp_path) != first


def test_global_chance_is_the_seed_s_and_put_back():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    with seeded(5, "cpu"):
        one = torch.rand(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    with seeded(5, "cpu"):
        assert torch.equal(torch.rand(1), one)
    with seeded(6, "cpu"):
        assert not torch.equal(torch.rand(1), one)
