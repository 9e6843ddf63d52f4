"""Swin-T of GenImage and UnbiasedGenImage: what it is shown, which output is the fake, and the files it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.detectors import load
from fauxlens.detectors.importing import import_files
from fauxlens.detectors.swin import SwinClassifier, SwinT
from fauxlens.nn.swin import SwinSettings, computed_tensors

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TINY = SwinSettings(side=32, patch=2, width=8, depths=(2, 2), heads=(2, 2), window=4)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setattr(SwinT, "sizes", TINY)


@pytest.fixture
def official(_tiny):
    """A state dict as the official code saves it, with what it computes beside the weights."""
    return dict(load("swin-t", "random", seed=3).network.state_dict()) | computed_tensors(TINY)


def saved(state, path):
    torch.save({"model": state, "optimizer": {"state": {}}, "max_accuracy": 99.0, "epoch": 299}, path)
    return path


def test_the_card_counts_the_parameters():
    with torch.device("meta"):
        network = SwinT().network
    assert sum(p.numel() for p in network.parameters()) == SwinT.card.parameters == 27_520_892
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["layers.2.blocks.5.attn.relative_position_bias_table"] == (169, 12)
    assert shapes["layers.0.downsample.reduction.weight"] == (192, 384)
    assert shapes["layers.3.blocks.1.mlp.fc1.weight"] == (3072, 768)
    assert shapes["patch_embed.norm.weight"] == (96,)
    assert shapes["head.weight"] == (2, 768)
    # Per block: two norms, a table, four layers; then three ways down, patches, the last norm and the head.
    assert len(shapes) == 12 * 13 + 3 * 3 + 4 + 2 + 2


def test_what_the_official_files_hold_besides():
    computed = computed_tensors(SwinSettings())
    masks = [name for name in computed if name.endswith("attn_mask")]
    assert masks == [f"layers.{stage}.blocks.{block}.attn_mask" for stage, block in
                     ((0, 1), (1, 1), (2, 1), (2, 3), (2, 5))]  # fmt: skip
    assert [tuple(computed[name].shape) for name in masks] == [(64, 49, 49), (16, 49, 49)] + 3 * [(4, 49, 49)]
    assert len(computed) == 12 + 5


def test_shorter_side_256_then_the_middle():
    pixels = picture(401, 300)
    with torch.device("meta"):
        detector = SwinT()
    (view,) = detector.prepare(pixels).views
    large = np.array(Image.fromarray(pixels).resize((256, 342), Image.Resampling.BICUBIC))
    wanted = ((large[59:283, 16:240] / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
    np.testing.assert_allclose(view.tensor().numpy(), wanted, atol=2e-6)


@pytest.mark.usefixtures("_tiny")
def test_alone_or_together():
    detector = load("swin-t", "random")
    pictures = [picture(40, 56, 1), picture(33, 21, 2), picture(1, 1, 3)]
    together = detector.predict(pictures)
    assert len({one.logit for one in together}) == 3
    for pixels, one in zip(pictures, together, strict=True):
        assert detector.predict([pixels])[0].logit == pytest.approx(one.logit, abs=1e-5)
        assert one.mask is None


@pytest.mark.usefixtures("_tiny")
def test_the_setting_says_which_output_is_the_fake():
    labels = {one.setting: one.labels for one in SwinT.card.weights}
    assert labels == {"genimage": ("ai", "nature"), "unbiased": ("nature", "ai")}
    networks = {setting: load("swin-t", "random", setting=setting).network for setting in SwinT.settings}
    networks["unbiased"].load_state_dict(networks["genimage"].state_dict())
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        outputs = {setting: network(image) for setting, network in networks.items()}
        scores = networks["genimage"].scores(outputs["genimage"].features)
    assert float(outputs["genimage"].logit.abs().min()) > 0
    assert torch.equal(outputs["unbiased"].logit, -outputs["genimage"].logit)
    for setting, output in outputs.items():
        torch.testing.assert_close(output.logit.sigmoid(), scores.softmax(dim=1)[:, labels[setting].index("ai")])


@pytest.mark.parametrize("holds", ["all", "weights only", "a part"])
def test_a_file_of_its_training_is_taken(holds, official, tmp_path):
    state = dict(official)
    for number, name in enumerate(computed_tensors(TINY)):
        if holds == "weights only" or (holds == "a part" and number % 2):
            del state[name]
    path = saved(state, tmp_path / "ckpt_epoch_299.pth")
    with pytest.raises(BadSetting, match="swin-t/genimage or swin-t/unbiased"):
        import_files("swin-t", [path], store=tmp_path / "store")
    done = import_files("swin-t/unbiased", [path], store=tmp_path / "store")
    assert done.missing == ()
    assert [one.is_converted for one in done.files] == [holds != "weights only"]
    pixels = picture(40, 56)
    wanted = load("swin-t", "random", setting="unbiased", seed=3).predict([pixels])[0].logit
    assert load("swin-t", "unbiased", store=tmp_path / "store").predict([pixels])[0].logit == wanted
    assert load("swin-t", path, setting="genimage").predict([pixels])[0].logit == -wanted


def test_half_precision_is_the_same_table(official, tmp_path):
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in official.items()}
    found = load("swin-t", saved(state, tmp_path / "x.pth"))
    assert found.network.head.weight.dtype == torch.float32
    assert found.weights.name == "x.pth"


@pytest.mark.parametrize("what", ["relative_position_index", "attn_mask", "a mask where none is", "their shape"])
def test_tables_that_are_not_ours_are_refused(what, official, tmp_path):
    state = {name: tensor.clone() for name, tensor in official.items()}
    name = "layers.0.blocks.1." + ("attn.relative_position_index" if what == "relative_position_index" else "attn_mask")
    if what == "a mask where none is":
        name = "layers.0.blocks.0.attn_mask"
        state[name] = torch.zeros(16, 16, 16)
    elif what == "their shape":
        state[name] = state[name][:4]
    else:
        state[name][0, 0] += 1
    with pytest.raises(BadWeights, match=f"'{name}' is of another size of picture or window"):
        load("swin-t", saved(state, tmp_path / "x.pth"))


@pytest.mark.parametrize("changed", [{"window": 8}, {"classes": 3}, {"width": 16}])
def test_a_file_of_another_size_is_refused(changed, official, tmp_path):
    sizes = {"side": 32, "patch": 2, "width": 8, "depths": (2, 2), "heads": (2, 2), "window": 4, **changed}
    other = SwinClassifier(SwinSettings(**sizes))
    with pytest.raises(BadWeights, match="of another shape"):
        load("swin-t", saved(other.state_dict(), tmp_path / "x.pth"))


def test_published_numbers():
    targets = {(one.data, one.source, one.remark): one.value for one in SwinT.card.targets}
    assert targets["GenImage, mean", "GenImage, Table 3", "trained on SD V1.4"] == 0.748
    found = [
        (one.remark.split(" with ")[0], one.data, one.value)
        for one in SwinT.card.targets
        if one.source.startswith("UnbiasedGenImage")
    ]
    assert len(found) == 3 * 9
    assert ("trained on Wukong", "GenImage, BigGAN", 0.884) in found
    for trained in ("SD V1.5", "SD V1.4", "Wukong"):
        values = [value for remark, data, value in found if remark == f"trained on {trained}" and "mean" not in data]
        mean = next(value for remark, data, value in found if remark == f"trained on {trained}" and "mean" in data)
        assert np.mean(values) == pytest.approx(mean, abs=6e-5)
