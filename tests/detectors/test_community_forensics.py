"""Community Forensics: two sizes, what they are shown, and the files they take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fauxlens.core.errors import BadWeights
from fauxlens.detectors import hub, load
from fauxlens.detectors.community_forensics import CommunityForensics, CommunityForensicsNetwork, Sizes
from fauxlens.detectors.importing import import_files
from fauxlens.nn.vit import ViTSettings

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TINY = {
    "384": Sizes(resized=37, vit=ViTSettings(side=32, patch=8, width=24, depth=2, heads=3)),
    "224": Sizes(resized=18, vit=ViTSettings(side=16, patch=8, width=24, depth=2, heads=3)),
}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setattr(CommunityForensics, "sizes", TINY)


@pytest.mark.parametrize(("setting", "parameters", "positions"), [("384", 21_811_969, 577), ("224", 21_666_049, 197)])
def test_counts_and_names(setting, parameters, positions):
    with torch.device("meta"):
        network = CommunityForensics(setting).network
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert setting != CommunityForensics.settings[0] or parameters == CommunityForensics.card.parameters
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert all(name.startswith("vit.") for name in shapes)
    assert shapes["vit.pos_embed"] == (1, positions, 384)
    assert shapes["vit.cls_token"] == (1, 1, 384)
    assert shapes["vit.blocks.11.mlp.fc1.weight"] == (1536, 384)
    assert shapes["vit.head.weight"] == (1, 384)
    assert shapes["vit.head.bias"] == (1,)
    assert len(shapes) == 2 + 2 + 12 * 12 + 2 + 2


@pytest.mark.parametrize(
    ("setting", "large", "top", "left", "side"),
    [("384", (588, 440), 28, 102, 384), ("224", (342, 256), 16, 59, 224)],
)
def test_resized_then_the_middle(setting, large, top, left, side):
    pixels = picture(300, 401)
    with torch.device("meta"):
        detector = CommunityForensics(setting)
    (view,) = detector.prepare(pixels).views
    resized = np.array(Image.fromarray(pixels).resize(large, Image.Resampling.BILINEAR))
    seen = resized[top : top + side, left : left + side]
    np.testing.assert_allclose(view.tensor().numpy(), ((seen / 255 - MEAN) / DEVIATION).transpose(2, 0, 1), atol=2e-6)


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("setting", CommunityForensics.settings)
def test_alone_or_together(setting):
    detector = load("community-forensics", "random", setting=setting)
    pictures = [picture(40, 56, 1), picture(33, 21, 2), picture(1, 1, 3)]
    together = detector.predict(pictures)
    assert len({one.logit for one in together}) == 3
    for pixels, one in zip(pictures, together, strict=True):
        assert detector.predict([pixels])[0].logit == pytest.approx(one.logit, abs=1e-5)


@pytest.mark.usefixtures("_tiny")
def test_the_one_output_says_fake():
    network = load("community-forensics", "random").network
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(network(image).logit, network.vit(image)[:, 0], atol=0, rtol=0)
        before = network(image).logit
        network.vit.head.bias += 1
        torch.testing.assert_close(network(image).logit, before + 1)
    assert {one.labels for one in CommunityForensics.card.weights} == {("fake",)}


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("setting", CommunityForensics.settings)
def test_the_files_of_the_hub_are_taken(setting, tmp_path):
    wanted = load("community-forensics", "random", setting=setting, seed=3)
    place = tmp_path / "hub" / "OwensLab" / f"commfor-model-{setting}"
    place.mkdir(parents=True)
    save_file(wanted.network.state_dict(), place / "model.safetensors")
    plan = hub.wanted(f"community-forensics/{setting}")
    assert (plan.weights.setting, plan.weights.use, len(plan.by_hand)) == (setting, "open", 0)
    done = hub.get(plan, hub.from_folder(tmp_path / "hub"), store=tmp_path / "store")
    assert (done.set, done.missing) == (setting, ())
    found = load("community-forensics", setting=setting, store=tmp_path / "store")
    pixels = picture(40, 56)
    assert found.predict([pixels])[0].logit == wanted.predict([pixels])[0].logit


@pytest.mark.usefixtures("_tiny")
def test_the_shapes_tell_the_two_sets_apart(tmp_path):
    small = load("community-forensics", "random", setting="224")
    save_file(small.network.state_dict(), tmp_path / "model.safetensors")
    assert import_files("community-forensics", [tmp_path / "model.safetensors"], store=tmp_path / "store").set == "224"
    with pytest.raises(BadWeights, match=r"vit\.pos_embed: wanted 1x17x24, got 1x5x24") as refused:
        load("community-forensics", tmp_path / "model.safetensors")
    assert refused.value.hint == "these tensors fit community-forensics in its setting '224'"


@pytest.mark.usefixtures("_tiny")
def test_a_trunk_without_its_prefix_is_refused(tmp_path):
    state = CommunityForensicsNetwork(TINY["384"].vit).vit.state_dict()
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(BadWeights, match=r"32 missing .* 32 unexpected"):
        load("community-forensics", tmp_path / "model.safetensors")


def test_nobody_claims_to_have_measured_it():
    assert CommunityForensics.card.targets == ()
    assert any("Not measured by us" in one for one in CommunityForensics.card.limits)
    assert all("inferred" in file.remark for one in CommunityForensics.card.weights for file in one.files)
