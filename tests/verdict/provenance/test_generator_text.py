"""The settings of programs that generate, as each of them writes them."""

from __future__ import annotations

import json

import pytest

import origin_files as made
from image_files import saved, with_chunks, with_segments

PARAMETERS = (
    "a castle, (night:1.2), Ünïcode\n"
    "Negative prompt: people, blurry\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 123456789, Size: 512x768, Model hash: 6ce0161689, "
    'Model: v1-5-pruned-emaonly, Lora hashes: "one: 12ab, two: 34cd", Version: v1.9.3'
)
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 42, "steps": 20, "model": ["4", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a green door", "clip": ["4", 1]}},
}
WORKFLOW = {"nodes": [{"id": 3, "type": "KSampler"}, {"id": 9, "type": "SaveImage"}, 7], "links": []}
INVOKE = {
    "app_version": "5.4.2", "positive_prompt": "a boat", "negative_prompt": "fog", "seed": 7, "steps": 30,
    "scheduler": "euler", "model": {"name": "Juggernaut XL", "hash": "ab"},
}  # fmt: skip
OLD_INVOKE = {
    "app_id": "invoke-ai/InvokeAI", "app_version": "2.2.4", "model_weights": "stable-diffusion-1.5",
    "image": {"prompt": [{"prompt": "an owl", "weight": 1}], "seed": 11, "steps": 50, "sampler": "k_lms"},
}  # fmt: skip
NOVEL = {"prompt": "a girl", "uc": "lowres", "seed": 5, "steps": 28, "sampler": "k_euler"}
FOOOCUS = {"prompt": "a fox", "negative_prompt": "", "base_model": "juggernautXL_v8", "seed": "99", "steps": 30,
           "version": "Fooocus v2.5.5"}  # fmt: skip


def png(*texts: tuple[str, str]) -> bytes:
    return with_chunks(saved("PNG"), *(made.text(*one) for one in texts))


def user_comment(comment: bytes) -> bytes:
    return made.exif_in_jpeg(saved("JPEG"), made.tiff_block({}, own={0x9286: comment}))


@pytest.mark.parametrize(
    "data",
    [
        png(("parameters", PARAMETERS)),
        user_comment(b"UNICODE\0" + PARAMETERS.encode("utf-16-be")),
        user_comment(b"UNICODE\0" + PARAMETERS.encode("utf-16-le")),
        user_comment(b"ASCII\0\0\0" + PARAMETERS.encode()),
        saved("WEBP", exif=made.tiff_block({}, own={0x9286: b"UNICODE\0" + PARAMETERS.encode("utf-16-be")})),
        with_segments(saved("JPEG"), (0xFE, PARAMETERS.encode())),
    ],
)
def test_a1111(find, data):
    found = find(data, "generator_text")
    assert (found.leans, found.strength) == ("generated", "strong")
    assert "'v1-5-pruned-emaonly'" in found.sentence
    details = found.details
    assert (details["steps"], details["cfg_scale"], details["seed"]) == (20, 7.5, 123456789)
    assert (details["sampler"], details["size"]) == ("DPM++ 2M Karras", "512x768")
    assert (details["model_hash"], details["version"]) == ("6ce0161689", "v1.9.3")
    assert details["prompt"] == "a castle, (night:1.2), Ünïcode"
    assert details["negative_prompt"] == "people, blurry"
    assert "Lora hashes" in details["others"]
    assert "strip" in found.limit


@pytest.mark.parametrize(
    "text",
    [
        ("parameters", PARAMETERS.replace("Steps: 20,", "Steps: 20, Mask blur: 4, Inpaint area: Only masked,")),
        ("prompt", json.dumps({**COMFY, "77": {"class_type": "VAEEncodeForInpaint", "inputs": {}}})),
        ("invokeai_metadata", json.dumps({**INVOKE, "generation_mode": "sdxl_inpaint"})),
    ],
)
def test_a_repainted_part_is_no_generated_picture(find, text):
    found = find(png(text), "generator_text")
    assert (found.leans, found.strength) == ("edited", "strong")
    assert "a program that repainted a part of the picture: " in found.sentence


def test_a_private_prompt_is_cut(find):
    found = find(png(("parameters", "secret " * 2000 + PARAMETERS)), "generator_text")
    assert len(found.details["prompt"]) <= 505
    assert found.details["seed"] == 123456789


def test_ordinary_texts_are_no_settings(ask):
    for key, value in (
        ("parameters", "Steps: mind them"),
        ("Comment", "Steps: 3 to the door"),
        ("Description", '{"prompt": "say your name"}'),
        ("prompt", '{"a": {"class": 1}, "b": 3, "c": {"class_type": 7}}'),
        ("workflow", '{"nodes": []}'),
        ("workflow", '{"nodes": [{"type": "approval"}]}'),
        ("Dream", "a dream"),
        ("Comment", json.dumps(NOVEL)),
    ):
        assert all(one.leans == "none" for one in ask(png((key, value))).evidence), key


def test_comfyui(find):
    found = find(png(("prompt", json.dumps(COMFY)), ("workflow", json.dumps(WORKFLOW))), "generator_text")
    assert "ComfyUI, with the model 'sd_xl_base_1.0.safetensors'" in found.sentence
    assert found.details["nodes"] == ["CLIPTextEncode", "CheckpointLoaderSimple", "KSampler", "SaveImage"]
    assert (found.details["seed"], found.details["prompt"]) == (42, "a green door")
    assert find(png(("workflow", json.dumps(WORKFLOW))), "generator_text").details["has_workflow"] is True


def test_comfyui_in_the_fields_of_a_camera(ask):
    block = made.tiff_block({0x010F: "workflow:" + json.dumps(WORKFLOW), 0x0110: "prompt:" + json.dumps(COMFY)})
    told = ask(saved("WEBP", exif=block))
    assert [one.check for one in told.evidence] == ["generator_text"]  # and no camera
    assert told.evidence[0].details["models"] == ["sd_xl_base_1.0.safetensors"]


@pytest.mark.parametrize(
    ("texts", "model", "prompt", "seed", "steps"),
    [
        ((("invokeai_metadata", json.dumps(INVOKE)),), "Juggernaut XL", "a boat", 7, 30),
        ((("sd-metadata", json.dumps(OLD_INVOKE)),), "stable-diffusion-1.5", "an owl", 11, 50),
        ((("Dream", '"a "big" tree" -s 40 -S 123 -W 512 -H 512 -C 7.5 -A k_lms'),), None, 'a "big" tree', 123, 40),
    ],
)
def test_invokeai(find, texts, model, prompt, seed, steps):
    details = find(png(*texts), "generator_text").details
    assert (details.get("model"), details["prompt"], details["seed"], details["steps"]) == (model, prompt, seed, steps)


def test_novelai(ask):
    data = png(("Software", "NovelAI"), ("Source", "Stable Diffusion XL C1E1DA1D"), ("Comment", json.dumps(NOVEL)))
    found = {one.check: one for one in ask(data).evidence}
    assert found["generator_text"].details["model"] == "Stable Diffusion XL C1E1DA1D"
    assert found["generator_text"].details["seed"] == 5


def test_fooocus_in_both_schemes(find):
    found = find(png(("parameters", json.dumps(FOOOCUS)), ("fooocus_scheme", "fooocus")), "generator_text")
    assert "Fooocus, with the model 'juggernautXL_v8'" in found.sentence
    assert found.details["seed"] == 99
    other = PARAMETERS.replace("v1.9.3", "Fooocus v2.5.5")
    assert "Fooocus" in find(png(("parameters", other)), "generator_text").sentence
    jpeg = made.exif_in_jpeg(
        saved("JPEG"), made.tiff_block({}, own={0x9286: json.dumps(FOOOCUS).encode(), 0x927C: b"fooocus"})
    )
    assert "Fooocus" in find(jpeg, "generator_text").sentence


def test_swarmui_and_midjourney(find):
    swarm = {"sui_image_params": {"model": "flux-dev", "prompt": "a cup", "seed": 3}}
    assert (
        "SwarmUI, with the model 'flux-dev'" in find(png(("parameters", json.dumps(swarm))), "generator_text").sentence
    )
    said = "a red kite --v 6.0 Job ID: 01234567-89ab-cdef-0123-456789abcdef"
    found = find(png(("Description", said)), "generator_text")
    assert found.details == {"prompt": "a red kite --v 6.0", "job": "01234567-89ab-cdef-0123-456789abcdef"}


def test_hostile_json_is_nothing(ask):
    for value in ('{"a":' * 5000, "{" + '"n": ' + "9" * 10_000 + "}", '{"prompt": NaN}', "{}", "[" * 100_000):
        told = ask(png(("prompt", value), ("workflow", value), ("parameters", value), ("sd-metadata", value)))
        assert all(one.leans == "none" for one in told.evidence)
