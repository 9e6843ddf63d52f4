"""Spec: the spectrum against its formula written again, the ResNet-34 against another library's, classes and bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fauxlens.core.errors import UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.resnet50 import Classifier
from fauxlens.detectors.spec import SpecDetector, band_mask, log_spectrum
from fauxlens.nn.resnet import BasicBlock


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def by_hand(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The formula again: the transform as two matrix products, percentiles by sorting."""
    height, width = pixels.shape[:2]
    turn_rows = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    turn_columns = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    found = []
    for colour in range(3):
        transformed = turn_rows @ (pixels[:, :, colour].astype(float) / 255.0) @ turn_columns
        strengths = np.log(np.sqrt(transformed.real**2 + transformed.imag**2) + 0.001)
        ordered = np.sort(strengths.ravel())
        ends = []
        for share in (0.05, 0.95):
            place = share * (ordered.size - 1)
            below = int(place)
            ends.append(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))
        stretched = (strengths - ends[0]) / (ends[1] - ends[0]) * 2.0 - 1.0
        found.append(np.minimum(np.maximum(stretched, -1.0), 1.0))
    return np.stack(found)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("spec", "random")


# --- the spectrum ---


@pytest.mark.parametrize(("height", "width"), [(224, 224), (31, 48)])
def test_the_spectrum_is_its_formula(height: int, width: int) -> None:
    pixels = picture(height, width)
    pixels[..., 1] //= 7  # colours of unequal strength are stretched each by itself
    np.testing.assert_allclose(log_spectrum(pixels), by_hand(pixels), atol=1e-9)


def test_a_twentieth_of_the_frequencies_is_cut_at_each_end() -> None:
    found = log_spectrum(picture(224, 224))
    for end in (-1.0, 1.0):
        assert (found == end).mean(axis=(1, 2)) == pytest.approx(0.05, abs=2e-4)


def test_a_wave_shows_at_its_frequency_and_the_mean_in_the_corner() -> None:
    columns = np.arange(64)
    wave = 128 + 100 * np.cos(2 * np.pi * 9 * columns / 64)
    grain = picture(64, 64)[..., 0] % 8
    pixels = np.repeat((wave[None] + grain)[..., None], 3, axis=2).astype(np.uint8)
    transformed = np.abs(np.fft.fft2(pixels[..., 0].astype(float)))
    assert {tuple(at) for at in np.argwhere(transformed > 0.2 * transformed.max())} == {(0, 0), (0, 9), (0, 55)}
    assert [log_spectrum(pixels)[0][at] for at in ((0, 0), (0, 9), (0, 55))] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_picture_of_one_colour_has_its_mean_alone(value: int) -> None:
    # The transform leaves rounding where nothing is; it must not be stretched.
    found = log_spectrum(np.full((224, 224, 3), value, np.uint8)).reshape(3, -1)
    assert found[:, 0].tolist() == ([-1.0] * 3 if value == 0 else [1.0] * 3)
    assert np.abs(found[:, 1:] + 1.0).max() < 1e-3


def test_a_single_pixel_has_a_spectrum() -> None:
    assert np.isfinite(log_spectrum(picture(1, 1))).all()


# --- what is shown ---


@pytest.mark.parametrize(
    ("shape", "resized", "corner"),
    [((256, 256), (256, 256), (16, 16)), ((300, 401), (256, 342), (16, 59)), ((40, 17), (602, 256), (189, 16))],
)
def test_the_middle_224_of_256_is_shown(
    detector: Detector, shape: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    pixels = picture(*shape)
    large = np.array(Image.fromarray(pixels).resize(resized[::-1], Image.Resampling.BILINEAR))
    (view,) = detector.prepare(pixels).views
    shown = view.tensor()
    assert (shown.dtype, tuple(shown.shape), view.shape) == (torch.float32, (3, 224, 224), (224, 224))
    seen = large[corner[0] : corner[0] + 224, corner[1] : corner[1] + 224]
    np.testing.assert_allclose(shown.numpy(), by_hand(seen), atol=1e-6)


def test_predictions_are_verdicts_alone_or_together(detector: Detector) -> None:
    pictures = [picture(256, 256, 1), picture(300, 270, 2), np.full((9, 5, 3), 80, np.uint8), picture(1, 1)]
    together = detector.predict(pictures)
    for pixels, found in zip(pictures, together, strict=True):
        (alone,) = detector.predict([pixels])
        assert found.mask is None
        assert np.isfinite(found.logit)
        assert alone.logit == pytest.approx(found.logit, abs=1e-4)
    assert len({found.logit for found in together}) == 4


# --- the bands ---


@pytest.mark.parametrize(("height", "width"), [(224, 224), (7, 10), (1, 1)])
def test_the_bands_share_the_frequencies_out(height: int, width: int) -> None:
    bands = np.stack([band_mask(height, width, band) for band in ("low", "mid", "high")])
    assert (bands.sum(axis=0) == 1).all()
    assert band_mask(height, width, "all").all()


def test_the_bands_are_square_rings_around_the_mean() -> None:
    shifted = {band: np.fft.fftshift(band_mask(224, 224, band)) for band in ("low", "mid", "high")}
    low, mid = np.zeros((224, 224), bool), np.zeros((224, 224), bool)
    # The mean is at 112; the highest frequency is 112 away: thirds end before 37.3 and 74.7.
    low[112 - 37 : 112 + 38, 112 - 37 : 112 + 38] = True
    mid[112 - 74 : 112 + 75, 112 - 74 : 112 + 75] = True
    assert np.array_equal(shifted["low"], low)
    assert np.array_equal(shifted["mid"], mid & ~low)
    assert np.array_equal(shifted["high"], ~mid)


def test_a_band_leaves_its_third_as_it_is(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(256, 256)
    whole = detector.prepare(pixels).views[0].tensor().numpy()
    total = np.zeros_like(whole)
    for band in ("low", "mid", "high"):
        monkeypatch.setattr(detector, "band", band)
        shown = detector.prepare(pixels).views[0].tensor().numpy()
        kept = np.broadcast_to(band_mask(224, 224, band), shown.shape)
        assert np.array_equal(shown[kept], whole[kept])
        assert not shown[~kept].any()
        total += shown
    np.testing.assert_array_equal(total, whole)
    monkeypatch.setattr(detector, "band", "middle")
    with pytest.raises(UnknownName, match="middle"):
        detector.prepare(pixels)


# --- the classifier ---


def test_the_card_counts_the_network(detector: Detector) -> None:
    # Convolutions (3x3 without the stem and the shortcuts) and two numbers a channel of each norm, worked out.
    stem = 3 * 64 * 49 + 2 * 64
    layers = 0
    for width, entering, depth in ((64, 64, 3), (128, 64, 4), (256, 128, 6), (512, 256, 3)):
        layers += entering * width * 9 + (2 * depth - 1) * width * width * 9 + 2 * depth * 2 * width
        layers += entering * width + 2 * width if width != entering else 0
    assert stem + layers == 21_284_672
    count = sum(parameter.numel() for parameter in detector.network.parameters())
    assert count == stem + layers + 512 * 2 + 2 == SpecDetector.card.parameters


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Ours under the names of the transformers library."""
    found = {}
    for name, tensor in state.items():
        if name.startswith("fc."):
            continue
        part, _, rest = name.partition(".")
        if part in ("conv1", "bn1"):
            there = f"embedder.embedder.{'convolution' if part == 'conv1' else 'normalization'}.{rest}"
        else:
            block, which, rest = rest.split(".", 2)
            stage = f"encoder.stages.{int(part.removeprefix('layer')) - 1}.layers.{block}"
            if which == "downsample":
                place, _, rest = rest.partition(".")
                there = f"{stage}.shortcut.{('convolution', 'normalization')[int(place)]}.{rest}"
            else:
                kind = "convolution" if which.startswith("conv") else "normalization"
                there = f"{stage}.layer.{int(which[-1]) - 1}.{kind}.{rest}"
        found[there] = tensor
    return found


def test_the_trunk_is_the_resnet_34_of_another_library() -> None:
    transformers: Any = pytest.importorskip("transformers", reason="the extra `zoo` is not installed")
    network = load("spec", "random", seed=3).network
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "bn" in name or "downsample.1" in name:  # fresh norms would hide a wrong place
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[3, 4, 6, 3], layer_type="basic", hidden_act="relu"
    )
    theirs = transformers.ResNetModel(config).eval()
    theirs.load_state_dict(renamed(network.state_dict()))
    image = torch.randn(2, 3, 96, 70, generator=generator).double()
    # In double precision, where the order of sums is no excuse.
    network, theirs = network.double(), theirs.double()
    with torch.inference_mode():
        output, wanted = network(image), theirs(image).pooler_output.flatten(1)
        scores = wanted @ network.fc.weight.T + network.fc.bias
    assert output.features.shape == (2, 512)
    torch.testing.assert_close(output.features, wanted, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(output.logit, scores[:, 0] - scores[:, 1], rtol=1e-9, atol=1e-12)


def test_its_tensors_bear_the_names_that_torchvision_gives() -> None:
    with torch.device("meta"):
        state = Classifier(BasicBlock, classes=2).state_dict()
    norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    wanted = {"conv1.weight", "fc.weight", "fc.bias"} | {f"bn1.{part}" for part in norm}
    for layer, depth in enumerate((3, 4, 6, 3), start=1):
        for block in range(depth):
            inside = f"layer{layer}.{block}"
            wanted |= {f"{inside}.conv1.weight", f"{inside}.conv2.weight"}
            wanted |= {f"{inside}.bn{number}.{part}" for number in (1, 2) for part in norm}
        if layer > 1:
            wanted |= {f"layer{layer}.0.downsample.0.weight"}
            wanted |= {f"layer{layer}.0.downsample.1.{part}" for part in norm}
    assert set(state) == wanted
    assert state["fc.weight"].shape == (2, 512)


def test_the_setting_says_which_output_is_the_fake() -> None:
    networks = {setting: load("spec", "random", setting=setting).network for setting in SpecDetector.settings}
    networks["real-fake"].load_state_dict(networks["fake-real"].state_dict())
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        outputs = {setting: network(image) for setting, network in networks.items()}
        scores = networks["fake-real"].scores(outputs["fake-real"].features)
    assert {one.setting for one in SpecDetector.card.weights} == set(SpecDetector.settings)
    for one in SpecDetector.card.weights:
        (fake,) = [number for number, label in enumerate(one.labels) if label in ("ai", "fake")]
        torch.testing.assert_close(outputs[one.setting].logit.sigmoid(), scores.softmax(dim=1)[:, fake])
