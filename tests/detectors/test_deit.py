"""GenImage's DeiT-S: what it is shown, which output is the fake, and the files it takes."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlens.core.errors import BadWeights
from fauxlens.detectors import load
from fauxlens.detectors.deit import DeitClassifier, DeitS
from fauxlens.detectors.importing import import_files
from fauxlens.nn.vit import ViTSettings

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TINY = ViTSettings(side=32, patch=8, width=24, depth=2, heads=3, classes=2)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setattr(DeitS, "sizes", TINY)


def test_the_card_counts_the_parameters():
    with torch.device("meta"):
        network = DeitS().network
    assert sum(p.numel() for p in network.parameters()) == DeitS.card.parameters == 21_666_434
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 4 + 12 * 12 + 4
    assert shapes["pos_embed"] == (1, 197, 384)
    assert shapes["patch_embed.proj.weight"] == (384, 3, 16, 16)
    assert shapes["blocks.11.attn.qkv.weight"] == (1152, 384)
    assert shapes["head.weight"] == (2, 384)


def test_shorter_side_256_then_the_middle():
    pixels = picture(300, 401)
    with torch.device("meta"):
        detector = DeitS()
    (view,) = detector.prepare(pixels).views
    # 256 * 401 / 300 = 342.2; offsets 16 and 59.
    large = np.array(Image.fromarray(pixels).resize((342, 256), Image.Resampling.BICUBIC))
    wanted = ((large[16:240, 59:283] / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
    np.testing.assert_allclose(view.tensor().numpy(), wanted, atol=2e-6)


@pytest.mark.usefixtures("_tiny")
def test_alone_or_together():
    detector = load("deit-s", "random")
    pictures = [picture(40, 56, 1), picture(33, 21, 2), picture(1, 1, 3)]
    together = detector.predict(pictures)
    assert len({one.logit for one in together}) == 3
    for pixels, one in zip(pictures, together, strict=True):
        assert detector.predict([pixels])[0].logit == pytest.approx(one.logit, abs=1e-5)
        assert one.mask is None


@pytest.mark.usefixtures("_tiny")
def test_the_first_output_is_the_fake():
    detector = load("deit-s", "random")
    (weights,) = detector.card.weights
    assert (weights.setting, weights.labels) == ("genimage", ("ai", "nature"))
    turned = load("deit-s", "random", setting="unbiased").network
    turned.load_state_dict(detector.network.state_dict())
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        output = detector.network(image)
        scores = detector.network.scores(output.features)
        assert torch.equal(turned(image).logit, -output.logit)
    assert float(output.logit.abs().min()) > 0
    torch.testing.assert_close(output.logit.sigmoid(), scores.softmax(dim=1)[:, weights.labels.index("ai")])


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_of_its_training_is_taken(prefix, tmp_path):
    wanted = load("deit-s", "random", seed=3)
    state = {prefix + name: tensor for name, tensor in wanted.network.state_dict().items()}
    held = {"model": state, "optimizer": {"state": {}}, "epoch": 299, "args": argparse.Namespace(lr=5e-4)}
    torch.save(held, tmp_path / "checkpoint.pth")
    done = import_files("deit-s", [tmp_path / "checkpoint.pth"], store=tmp_path / "store")
    assert (done.set, done.missing) == ("genimage", ())
    found = load("deit-s", store=tmp_path / "store")
    pixels = picture(40, 56)
    assert found.predict([pixels])[0].logit == wanted.predict([pixels])[0].logit
    assert not found.weights.is_random


@pytest.mark.usefixtures("_tiny")
def test_a_file_of_another_size_is_refused(tmp_path):
    other = DeitClassifier(ViTSettings(side=48, patch=8, width=24, depth=2, heads=3, classes=2))
    torch.save({"model": other.state_dict()}, tmp_path / "checkpoint.pth")
    with pytest.raises(BadWeights, match="pos_embed: wanted 1x17x24, got 1x37x24"):
        load("deit-s", tmp_path / "checkpoint.pth")


def test_published_numbers():
    targets = {(one.data, one.source, one.metric): one.value for one in DeitS.card.targets}
    assert targets["GenImage, mean", "GenImage, Table 3", "accuracy"] == 0.716
    assert targets["GenImage, mean", "GenImage, Table 4", "accuracy"] == 0.676
    assert targets["GenImage SD V1.4 degraded, blur 5", "GenImage, Table 5", "accuracy"] == 0.672
    # The printed mean is of the eight generators.
    eight = [value for (data, source, _), value in targets.items() if "Table 3" in source and "mean" not in data]
    assert np.mean(eight) == pytest.approx(0.716, abs=5e-4)
