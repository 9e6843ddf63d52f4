"""What the ResNet-50 classifiers are shown, and how their answers become one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.detectors import load
from fauxlens.detectors.checkpoint import unwrapped
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.resnet50 import Classifier, GenImageResNet50
from fauxlens.detectors.view import resized_crop, shorter_side_size

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def by_hand(pixels: np.ndarray) -> np.ndarray:
    return ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)


def assert_shown(view, pixels: np.ndarray) -> None:
    shown = view.tensor().numpy()
    assert shown.dtype == np.float32
    assert shown.shape == (3, *view.shape)
    np.testing.assert_allclose(shown, by_hand(pixels), atol=2e-6)


@pytest.fixture(scope="module")
def cnnspot():
    return load("cnnspot", "random")


@pytest.fixture(scope="module")
def grag():
    return load("grag2021", "random")


@pytest.fixture(scope="module", params=["cnnspot", "grag2021", "corvi2022", "resnet50"])
def detector(request, cnnspot, grag):
    made = {"cnnspot": cnnspot, "grag2021": grag}
    return made.get(request.param) or load(request.param, "random")


def test_predictions_are_verdicts_alone_or_together(detector):
    pictures = [picture(40, 56, 1), picture(33, 21, 2)]
    both = detector.predict(pictures, ids=["a", "b"])
    assert [p.sample_id for p in both] == ["a", "b"]
    assert all(0.0 <= p.probability <= 1.0 and p.mask is None and p.generators is None for p in both)
    assert both[0].logit != both[1].logit
    alone = detector.predict(pictures[1:])[0]
    assert alone.logit == pytest.approx(both[1].logit, abs=1e-4)
    assert alone.logit == detector.predict(pictures[1:])[0].logit


# --- CNNSpot ---


def test_the_middle_224_is_cut_out(cnnspot):
    pixels = picture(301, 260)
    (view,) = cnnspot.prepare(pixels).views
    # Offsets of 38.5 and 18: half to even, as torchvision rounds.
    assert_shown(view, pixels[38:262, 18:242])
    assert (view.window.top, view.window.left) == (38, 18)


def test_a_small_picture_gets_a_black_border(cnnspot):
    pixels = picture(101, 300)
    canvas = np.zeros((224, 224, 3), np.uint8)
    canvas[61:162] = pixels[:, 38:262]
    (view,) = cnnspot.prepare(pixels).views
    assert_shown(view, canvas)


def test_the_other_ways_to_show_a_picture(cnnspot):
    pixels = picture(90, 121)
    try:
        cnnspot.showing = "native"
        assert_shown(cnnspot.prepare(pixels).views[0], pixels)
        cnnspot.showing = "resize-crop"
        large = np.array(Image.fromarray(pixels).resize((344, 256), Image.Resampling.BILINEAR))
        (view,) = cnnspot.prepare(pixels).views
        assert_shown(view, large[16:240, 60:284])
        assert (view.window.left, view.window.width) == (21, 79)
        cnnspot.showing = "squash"
        with pytest.raises(UnknownName, match="squash"):
            cnnspot.prepare(pixels)
    finally:
        cnnspot.showing = "crop"


def test_a_crop_cannot_be_larger_than_its_source():
    with pytest.raises(BadSetting, match="larger"):
        resized_crop(picture(9, 9), (10, 30), 20, torch.tensor)


def test_a_single_pixel_is_seen_by_all(detector):
    assert np.isfinite(detector.predict([picture(1, 1)])[0].logit)


# --- Grag2021 and Corvi2022 ---


@pytest.mark.parametrize(("height", "width", "tiles"), [(1536, 1700, 1), (1600, 1536, 1), (1537, 2050, 6)])
def test_only_pictures_large_on_both_sides_are_cut(height, width, tiles, grag):
    prepared = grag.prepare(np.zeros((height, width, 3), np.uint8))
    assert len(prepared.views) == tiles
    seen = np.zeros((height, width), int)
    for view in prepared.views:
        window = view.window
        assert view.shape == (window.height, window.width)
        seen[window.top : window.top + window.height, window.left : window.left + window.width] += 1
    assert (seen == 1).all()
    if tiles > 1:
        assert [v.shape for v in prepared.views] == [
            (1024, 1024), (1024, 1024), (1024, 2), (513, 1024), (513, 1024), (513, 2),
        ]  # fmt: skip


def test_tiles_count_by_their_area(grag):
    pixels = picture(1537, 2050)
    prepared = grag.prepare(pixels)
    logits = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    joined = grag.join(prepared, [Output(logit=torch.tensor([value])) for value in logits], None)
    areas = [1024 * 1024, 1024 * 1024, 1024 * 2, 513 * 1024, 513 * 1024, 513 * 2]
    assert joined == pytest.approx(np.average(logits, weights=areas))
    assert_shown(prepared.views[5], pixels[1024:, 2048:])


def test_a_tiled_verdict_is_the_weighted_mean_of_the_tiles(grag):
    pixels = picture(41, 50)
    try:
        grag.tile_above, grag.tile_side = 40, 32
        tiled = grag.predict([pixels])[0]
    finally:
        grag.tile_above, grag.tile_side = 1536, 1024
    parts = [pixels[:32, :32], pixels[:32, 32:], pixels[32:, :32], pixels[32:, 32:]]
    wanted = np.average([p.logit for p in grag.predict(parts)], weights=[part.size for part in parts])
    assert tiled.logit == pytest.approx(wanted, abs=1e-5)
    assert "seen in 4 tiles of at most 32x32" in tiled.notes


def test_cutting_can_be_taken_away(grag):
    try:
        grag.tile_above = None
        assert len(grag.prepare(np.zeros((2000, 1600, 3), np.uint8)).views) == 1
        grag.tile_above, grag.tile_side = 5, 0
        with pytest.raises(BadSetting, match="tile_side"):
            grag.prepare(picture(9, 9))
    finally:
        grag.tile_above, grag.tile_side = 1536, 1024


def test_the_logit_map_averages_to_the_logit(grag):
    image = torch.randn(1, 3, 40, 33, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = grag.network.logit_map(image)
        logit = grag.network(image).logit
    assert found.shape == (1, 1, 5, 5)
    assert float(found.mean()) == pytest.approx(float(logit), rel=1e-4)


def test_half_of_a_pair_can_be_asked_alone():
    single = load("corvi2022", "random", setting="single")
    assert isinstance(single.network, Classifier)
    assert single.network.conv1.stride == (1, 1)
    sets = {one.name: one for one in single.card.weights}
    assert [file.part for file in sets["latent+progan"].files] == ["latent.", "progan."]
    assert {one.setting for name, one in sets.items() if name != "latent+progan"} == {"single"}


# --- GenImage and UnbiasedGenImage ---


def test_the_setting_says_which_output_is_the_fake():
    card = GenImageResNet50.card
    assert {one.setting: one.labels for one in card.weights} == {
        "genimage": ("ai", "nature"),
        "unbiased": ("nature", "ai"),
    }
    networks = {setting: load("resnet50", "random", setting=setting).network for setting in GenImageResNet50.settings}
    networks["unbiased"].load_state_dict(networks["genimage"].state_dict())
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        outputs = {setting: network(image) for setting, network in networks.items()}
        scores = networks["genimage"].scores(outputs["genimage"].features)
    for setting, output in outputs.items():
        fake = next(one.labels.index("ai") for one in card.weights if one.setting == setting)
        torch.testing.assert_close(output.logit.sigmoid(), scores.softmax(dim=1)[:, fake])


def test_the_card_counts_two_classes():
    with torch.device("meta"):
        network = Classifier(classes=2)
    assert sum(p.numel() for p in network.parameters()) == GenImageResNet50.card.parameters


def test_timm_s_evaluation():
    pixels = picture(300, 401)
    (view,) = load("resnet50", "random").prepare(pixels).views
    # 235 * 401 / 300 = 314.1; offsets 5.5 and 45.
    large = np.array(Image.fromarray(pixels).resize((314, 235), Image.Resampling.BICUBIC))
    assert_shown(view, large[6:230, 45:269])
    assert shorter_side_size((401, 300), 235) == (314, 235)


# --- a file whose head lies beside its network ---


def test_a_classifier_beside_the_model_is_kept_under_its_own_name():
    one = torch.ones(1)
    held = {"model": {"module.fc.weight": one, "module.fc.bias": one}, "classifier": {"0.weight": one}, "epoch": 3}
    assert set(unwrapped(held)) == {"fc.weight", "fc.bias", "classifier.0.weight"}
    assert set(unwrapped({"model": {"fc.weight": one}, "classifier": "fc"})) == {"fc.weight"}
