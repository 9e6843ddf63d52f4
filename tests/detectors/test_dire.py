"""DIRE: to noise and back held against a closed form and another library's sampler, what is shown, saved models."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from fauxlens.core.errors import BadSetting, BadShape, BadWeights, MissingExtra, NoWeights, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.dire import (
    NoisePredictor,
    differences,
    inverted,
    middle_of,
    moved,
    noise_predictor,
    reconstructed_differences,
    sampled,
    schedule,
)
from fauxlens.detectors.view import Window

SIGNAL = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def toy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def of_gaussian(deviation: float, centre: float = 0.1) -> NoisePredictor:
    """The best predictor there can be when every value of a picture is drawn from one Gaussian."""

    def predicted(pictures: Tensor, levels: Tensor) -> Tensor:
        share = torch.from_numpy(SIGNAL)[levels].to(pictures.dtype)[:, None, None, None]
        excess = pictures - share.sqrt() * centre
        return (1 - share).sqrt() * excess / (share * deviation**2 + 1 - share)

    return predicted


def there_and_back(picture: Tensor, steps: int, deviation: float, centre: float = 0.1) -> tuple[Tensor, Tensor]:
    """The noise and what comes back, in a world of one Gaussian, by multiplying one number a step.

    There the best prediction is a straight line: a step from a share of signal to another multiplies the distance to
    where the centre went. The two ends are not exact: the picture counts as level 0, and noise alone as the highest.
    """

    def over(way: list[float]) -> float:
        factors = [
            (np.sqrt(here * there) * deviation**2 + np.sqrt((1 - here) * (1 - there)))
            / (here * deviation**2 + 1 - here)
            for here, there in pairwise(way)
        ]
        return float(np.prod(factors))

    visited = SIGNAL[:: 1000 // steps].tolist()
    noise = (picture - visited[0] ** 0.5 * centre) * over([*visited, 0.0])
    return noise, (noise - visited[-1] ** 0.5 * centre) * over([*visited[::-1], 1.0]) + centre


def a_picture(deviation: float = 0.3) -> Tensor:
    """Values of one Gaussian around 0.1, none of which comes near the bounds."""
    drawn = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    return 0.1 + deviation * drawn


@pytest.fixture
def detector() -> Detector:
    return load("dire", "random")


# --- to noise and back ---


def test_schedule() -> None:
    levels, signals = schedule()
    assert levels == list(range(0, 1000, 50))
    np.testing.assert_allclose(signals.numpy(), SIGNAL[::50], rtol=1e-12)
    with pytest.raises(BadSetting, match="divisor"):
        schedule(30)


@pytest.mark.parametrize("steps", [20, 50, 100, 250])
@pytest.mark.parametrize("deviation", [0.1, 0.3])
def test_to_noise_and_back_is_the_closed_form(steps: int, deviation: float) -> None:
    picture = a_picture(deviation)
    noise = inverted(picture, of_gaussian(deviation), steps)
    again = sampled(noise, of_gaussian(deviation), steps)
    wanted = there_and_back(picture, steps, deviation)
    torch.testing.assert_close(noise, wanted[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(again, wanted[1], rtol=1e-4, atol=1e-5)


def test_what_is_lost_falls_with_the_number_of_steps() -> None:
    picture, model = a_picture(), of_gaussian(0.3)
    lost = {}
    for steps in (20, 50, 100, 250):
        noise = inverted(picture, model, steps)
        lost[steps] = float((sampled(noise, model, steps) - picture).abs().max())
        assert float((noise - (picture - 0.1) / 0.3).abs().max()) < 9.0 / steps
    # A method of the first order: half the step, half the error. Twenty steps are not yet that fine.
    assert lost[20] == pytest.approx(0.213, abs=0.001)
    assert 0.40 < lost[50] / lost[20] < 0.50
    assert 0.50 < lost[100] / lost[50] < 0.54
    assert 0.40 < lost[250] / lost[100] < 0.43
    assert lost[250] < 0.022


def test_a_model_of_other_pictures_brings_back_others() -> None:
    picture = a_picture()
    elsewhere = sampled(inverted(picture, of_gaussian(0.3)), of_gaussian(0.05, -0.5))
    assert float((elsewhere - picture).abs().mean()) > 0.3


def test_the_way_back_is_that_of_another_library() -> None:
    diffusers: Any = pytest.importorskip("diffusers", reason="the extra `zoo` is not installed")
    scheduler = diffusers.DDIMScheduler(clip_sample=True, set_alpha_to_one=True, timestep_spacing="leading")
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(1)
    start, mixing = torch.randn(2, 3, 6, 6, generator=generator), 0.3 * torch.randn(3, 3, generator=generator)
    bounded = []

    def predictor(pictures: Tensor, levels: Tensor) -> Tensor:
        turned = torch.einsum("ij,njhw->nihw", mixing, pictures).tanh()
        return turned + (levels.float() / 1000).sin()[:, None, None, None]

    theirs = start
    for level in scheduler.timesteps:
        noise = predictor(theirs, level.expand(2))
        step = scheduler.step(noise, level, theirs, eta=0.0, use_clipped_model_output=True)
        theirs = step.prev_sample
        bounded.append(float((step.pred_original_sample.abs() == 1).float().mean()))
    assert max(bounded) > 0
    assert min(bounded) < 1
    torch.testing.assert_close(sampled(start, predictor), theirs, rtol=1e-4, atol=1e-4)


def test_each_level_is_asked_once_a_way() -> None:
    asked: list[int] = []

    def silent(pictures: Tensor, levels: Tensor) -> Tensor:
        asked.extend(levels.tolist())
        return torch.zeros(1, 6, 4, 4)

    sampled(inverted(torch.zeros(1, 3, 4, 4), silent), silent)
    assert asked == [*range(0, 1000, 50), *range(950, -1, -50)]
    with pytest.raises(BadShape, match="noise"):
        inverted(torch.zeros(1, 3, 4, 4), lambda pictures, levels: torch.zeros(1, 1, 4, 4))


def test_a_step_keeps_the_meant_picture_in_bounds() -> None:
    # Without noise 0.9 at a share of 0.25 means 1.8; kept at 1, the rest is noise.
    found = moved(torch.tensor([0.9]), torch.tensor([0.0]), 0.25, 0.64)
    noise = (0.9 - 0.5 * 1.0) / 0.75**0.5
    assert found.item() == pytest.approx(0.8 * 1.0 + 0.6 * noise, rel=1e-6)


# --- what is shown ---


def test_differences_are_cut_not_rounded() -> None:
    picture = torch.tensor([0.0, 0.0, -1.0, 0.0])
    again = torch.tensor([1.9 * 2 / 255, -1.9 * 2 / 255, 3.0, 0.0])
    assert differences(picture, again).tolist() == [1, 1, 255, 0]


def test_a_picture_that_comes_back_is_black_and_another_is_not() -> None:
    flat = np.full((256, 256, 3), 140, np.uint8)
    meant = 140 / 255 * 2 - 1

    def knows(pictures: Tensor, levels: Tensor) -> Tensor:
        share = torch.from_numpy(SIGNAL)[levels].to(pictures.dtype)[:, None, None, None]
        return (pictures - share.sqrt() * meant) / (1 - share).sqrt()

    assert reconstructed_differences(flat, knows).max() <= 1
    other = reconstructed_differences(np.full((256, 256, 3), 200, np.uint8), knows)
    assert np.abs(other.astype(int) - 60).max() <= 1


def test_a_photo_is_never_taken_for_differences(detector: Detector) -> None:
    for pixels in (toy(64, 64), toy(256, 256)):
        with pytest.raises(NoWeights, match="no verdict on a photo") as refused:
            detector.predict([pixels])
        assert "--option diffusion=FOLDER" in str(refused.value)
        assert "`showing` to 'differences'" in str(refused.value)


def test_a_model_that_overflows_gives_no_verdict() -> None:
    with pytest.raises(BadWeights, match="numbers that are none"):
        reconstructed_differences(toy(256, 256), lambda pictures, levels: torch.full_like(pictures, torch.nan))


def test_differences_are_shown_resized_and_cropped(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "showing", "differences")
    pixels = toy(300, 400)
    small = np.asarray(Image.fromarray(pixels).resize((341, 256), Image.Resampling.BILINEAR))[16:240, 58:282]
    prepared = detector.prepare(pixels)
    expected = (small / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(prepared.views[0].tensor().numpy(), expected.transpose(2, 0, 1), atol=1e-5)
    assert prepared.notes[0] == "taken for a picture of differences, not for a photo"
    monkeypatch.setattr(detector, "showing", "other")
    with pytest.raises(UnknownName, match="photo"):
        detector.prepare(pixels)


def test_a_photo_is_shown_as_its_differences(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counting(pictures: Tensor, levels: Tensor) -> Tensor:
        asked.extend(levels.tolist())
        return of_gaussian(0.3)(pictures, levels)

    monkeypatch.setattr(detector, "diffusion", counting)
    pixels = toy(300, 400)
    prepared = detector.prepare(pixels)
    assert asked == []
    (view,) = prepared.views
    shown = view.tensor().numpy()
    seen = reconstructed_differences(middle_of(pixels)[0], of_gaussian(0.3))[16:240, 16:240]
    expected = (seen / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(shown, expected.transpose(2, 0, 1), atol=1e-5)
    # The long way is gone once, however often the batch is tried.
    assert np.array_equal(view.tensor().numpy(), shown)
    assert len(asked) == 40
    # 224 of 256 rows of 300 are 262; the middle 256 of 341 columns are 300 of 400.
    assert view.window == Window(18, 67, 262, 262)
    found = detector.predict([pixels])[0]
    assert 0 < found.probability < 1
    assert found.notes[0].endswith("taken to noise and back in 40 passes")


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (40, 9), (257, 700)])
def test_any_photo_has_its_middle(size: tuple[int, int], detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "diffusion", of_gaussian(0.3))
    (view,) = detector.prepare(toy(*size)).views
    window = view.window
    assert view.tensor().shape == (3, 224, 224)
    assert min(window.height, window.width) >= 1
    assert min(window.top, window.left) >= 0
    assert window.top + window.height <= size[0]
    assert window.left + window.width <= size[1]


def test_the_middle_is_halved_by_means_then_bicubic() -> None:
    pixels = toy(600, 1100)
    half = Image.fromarray(pixels).resize((550, 300), Image.Resampling.BOX)
    small = np.asarray(half.resize((round(550 * 256 / 300), 256), Image.Resampling.BICUBIC))
    left = (small.shape[1] - 256) // 2
    found, window = middle_of(pixels)
    assert np.array_equal(found, small[:, left : left + 256])
    assert (window.top, window.height) == (0, 600)
    assert window.left + window.width <= 1100


def test_differences_of_two_sizes_are_judged_alone_or_together(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "showing", "differences")
    pictures = [toy(256, 256), toy(40, 90, 1), toy(1, 1)]
    found = detector.predict(pictures)
    assert [one.mask for one in found] == [None] * 3
    assert len({one.logit for one in found}) == 3
    for pixels, one in zip(pictures, found, strict=True):
        assert 0 < one.probability < 1
        assert detector.predict([pixels])[0].logit == pytest.approx(one.logit, abs=1e-4)


# --- saved models ---


def test_diffusers_is_asked_for_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match="DIRE needs diffusers") as missing:
        noise_predictor(tmp_path)
    assert "fauxlens[zoo]" in str(missing.value)


def saved(folder: Path, **settings: Any) -> Any:
    """A tiny random UNet with the traits of the published one, as diffusers saves it."""
    diffusers: Any = pytest.importorskip("diffusers", reason="the extra `zoo` is not installed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = diffusers.UNet2DModel(
            **{
                "sample_size": 32, "in_channels": 3, "out_channels": 6, "layers_per_block": 1,
                "block_out_channels": (32, 32), "attention_head_dim": 16, "resnet_time_scale_shift": "scale_shift",
                "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), "downsample_type": "resnet",
                "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"), "upsample_type": "resnet",
            }
            | settings
        ).eval()  # fmt: skip
    network.save_pretrained(folder)
    return network


def test_a_saved_model_becomes_a_predictor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = saved(tmp_path)
    logging = sys.modules["diffusers"].utils.logging
    logging.enable_propagation()
    try:
        predictor = noise_predictor(tmp_path)
    finally:
        logging.disable_propagation()
    assert caplog.messages == []  # no advice to install something else
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    levels = torch.tensor([950, 0])
    with torch.inference_mode():
        found = predictor(pictures, levels)
        wanted = network(pictures, levels).sample
        assert found.shape == (2, 6, 32, 32)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
        assert float((found[0] - predictor(pictures, torch.tensor([0, 0]))[0]).abs().max()) > 1e-4
        noise = inverted(pictures.clamp(-1, 1), predictor)
        again = sampled(noise, predictor)
        # Six channels come back; the last three, a learnt variance, change nothing.
        first = sampled(noise, lambda noisy, asked: predictor(noisy, asked)[:, :3])
    assert again.abs().max() <= 1
    assert torch.equal(again, first)


def test_a_saved_model_makes_a_detector_s_differences(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "add_attention": False}
    saved(tmp_path / "unet", block_out_channels=(4, 4), norm_num_groups=4, out_channels=3, **plain)
    monkeypatch.setattr(detector, "diffusion", noise_predictor(tmp_path))
    found = detector.predict([toy(70, 50)])[0]
    assert 0 < found.probability < 1


def test_the_levels_must_be_those_that_the_model_learnt(tmp_path: Path) -> None:
    diffusers: Any = pytest.importorskip("diffusers", reason="the extra `zoo` is not installed")
    saved(tmp_path / "unet")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    pictures = torch.zeros(1, 3, 32, 32)
    with torch.inference_mode():
        assert noise_predictor(str(tmp_path))(pictures, torch.tensor([4])).shape == (1, 6, 32, 32)
    for settings in (
        {"prediction_type": "v_prediction"}, {"num_train_timesteps": 500}, {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_start": 0.002}, {"beta_end": 0.03}, {"trained_betas": [0.1] * 1000},
    ):  # fmt: skip
        diffusers.DDPMScheduler(**settings).save_pretrained(tmp_path / "scheduler")
        with pytest.raises(BadWeights, match=f"another schedule of noise: {next(iter(settings))}"):
            noise_predictor(tmp_path)
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("[1]")
    with pytest.raises(BadWeights, match="names and values"):
        noise_predictor(tmp_path)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    config = tmp_path / "config.json"
    whole = json.loads(config.read_text())
    for changed, message in (
        ({"_class_name": "UNet2DConditionModel"}, "another kind of model"),
        ({"num_class_embeds": 10}, "told a class"),
        ({"class_embed_type": "timestep"}, "told a class"),
        ({"in_channels": 4}, "RGB pictures"),
        ({"out_channels": 4}, "RGB pictures"),
        ({"block_out_channels": [64, 64]}, "diffusers cannot load"),
    ):
        config.write_text(json.dumps(whole | changed))
        with pytest.raises(BadWeights, match=message):
            noise_predictor(tmp_path)
    config.write_text("no settings")
    with pytest.raises(BadWeights, match="wanted JSON"):
        noise_predictor(tmp_path)


def test_what_is_not_there_or_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    network = saved(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(BadWeights, match="diffusers cannot load"):
        noise_predictor(tmp_path)
    with pytest.raises(NoWeights, match="no model that diffusers saved"):
        noise_predictor(tmp_path / "nowhere")


@pytest.mark.parametrize("change", ["lacks one", "has one more"])
def test_nothing_is_drawn_for_what_a_file_lacks(tmp_path: Path, change: str) -> None:
    saved(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    if change == "lacks one":
        del state["conv_out.bias"]
    else:
        state["other.weight"] = torch.zeros(1)
    save_file(state, path)
    with pytest.raises(BadWeights, match=r"not of one model: 1 (missing|unexpected) keys"):
        noise_predictor(tmp_path)
