"""ImagiNet's three networks: names, sizes and costs as published, heads, and what they are shown.

No recorded outputs of the original exist here. What can be held against it is: the names and shapes of its files, its
counts of parameters and of multiplications at several sizes, and, for the trunk, the recorded outputs of the two
ResNet-50 detectors whose trunks are the same.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import golden_zoo as zoo
from fauxlens.core.errors import BadSetting, BadWeights
from fauxlens.detectors import load
from fauxlens.detectors.imaginet import GENERATORS, ImagiNet, ImagiNetFirst, ImagiNetIdentify
from fauxlens.detectors.resnet50 import Classifier

KINDS = {kind.card.name: kind for kind in (ImagiNet, ImagiNetFirst, ImagiNetIdentify)}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def normalised(pixels: np.ndarray) -> np.ndarray:
    return ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)


@pytest.fixture(scope="module", params=list(KINDS))
def detector(request):
    found = load(request.param, "random")
    found.side = 48  # less to compute; the tests of the preparation set it back
    return found


# --- the networks ---


def released_shapes() -> dict[str, tuple[int, ...]]:
    """The names that the released table `model` has, by the published rules, out of a recorded ResNet-50."""
    plain = {name: shape for name, shape in zoo.golden("cnnspot").shapes.items() if not name.startswith("fc.")}
    shapes = {"encoder." + name.replace("downsample", "shortcut"): shape for name, shape in plain.items()}
    shapes |= {"encoder.selfcon_layer.1.weight": (2048, 512), "encoder.selfcon_layer.1.bias": (2048,)}
    for head in ("head", "sub_heads.0"):
        shapes |= {f"{head}.0.weight": (2048, 2048), f"{head}.0.bias": (2048,)}
        shapes |= {f"{head}.2.weight": (128, 2048), f"{head}.2.bias": (128,)}
    return shapes


CLASSIFIERS = {
    "imaginet": {
        "0.weight": (2048,), "0.bias": (2048,), "0.running_mean": (2048,), "0.running_var": (2048,),
        "0.num_batches_tracked": (), "1.weight": (1024, 2048), "1.bias": (1024,), "4.weight": (1, 1024), "4.bias": (1,),
    },
    "imaginet-v0": {"1.weight": (1024, 2048), "1.bias": (1024,), "3.weight": (1, 1024), "3.bias": (1,)},
    "imaginet-identify": {"1.weight": (1024, 2048), "1.bias": (1024,), "3.weight": (4, 1024), "3.bias": (4,)},
}  # fmt: skip


@pytest.mark.parametrize("name", list(KINDS))
def test_every_tensor_has_the_released_name_and_shape(name):
    with torch.device("meta"):
        network = KINDS[name]().network
    wanted = released_shapes()
    assert len(wanted) == 328
    wanted |= {f"classifier.{key}": shape for key, shape in CLASSIFIERS[name].items()}
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == wanted
    assert sum(p.numel() for p in network.encoder.parameters()) == 24_558_656
    assert sum(p.numel() for n, p in network.named_parameters() if not n.startswith("classifier")) == 33_475_904
    assert sum(p.numel() for p in network.parameters()) == KINDS[name].card.parameters


def convolutions(network: nn.Module, side: int) -> float:
    """Multiplications of all convolutions of the trunk for one picture, in thousands of millions."""
    counted = []
    handles = [
        module.register_forward_hook(
            lambda module, _, output: counted.append(output.numel() * module.weight[0].numel())
        )
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]  # fmt: skip
    network(torch.zeros(1, 3, side, side, device="meta"))
    for handle in handles:
        handle.remove()
    return sum(counted) / 1e9


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        ("imaginet", {96: 11.75, 256: 83.6, 448: 255.9}),
        ("imaginet-v0", {96: 0.75, 256: 5.34, 448: 16.35}),
        ("imaginet-identify", {96: 0.75, 256: 5.34, 448: 16.35}),
    ],
)
def test_the_strides_cost_what_was_published(name, costs):
    with torch.device("meta"):
        network = KINDS[name]().network
    for side, cost in costs.items():
        assert convolutions(network, side) == pytest.approx(cost, rel=2e-3)


@pytest.mark.parametrize(("name", "recorded"), [("imaginet", "r50nodown_grag"), ("imaginet-v0", "cnnspot")])
def test_the_trunk_computes_what_the_same_trunk_is_recorded_to_compute(name, recorded):
    facts = zoo.golden(recorded)
    down = name != "imaginet"
    with torch.device("meta"):
        network, plain = KINDS[name]().network, Classifier(down=down)
    weights = zoo.filled(plain.state_dict(), "B")
    network.encoder.selfcon_layer.to_empty(device="cpu")
    trunk = {key.replace("downsample", "shortcut"): value for key, value in weights.items() if key[:3] != "fc."}
    network.encoder.load_state_dict(
        network.encoder.selfcon_layer.state_dict(prefix="selfcon_layer.") | trunk, assign=True
    )
    with torch.inference_mode():
        features = network.encoder.eval().pooled(facts.input("a"))
        logit = F.linear(features, weights["fc.weight"], weights["fc.bias"])
    zoo.assert_close(logit.flatten(), facts.output("B", "a", "logit").flatten())


def test_the_exit_leaves_after_the_second_layer(detector):
    network = detector.network
    image = torch.randn(2, 3, 48, 56, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = network.encoder.maps(image)
        strides = [48 // m.shape[2] for m in maps]
        early, late = network.embeddings(image)
        linear = network.encoder.selfcon_layer[1]
        wanted = network.sub_heads[0](F.linear(maps[1].mean((2, 3)), linear.weight, linear.bias))
    assert strides == ([1, 2, 4, 8] if detector.card.name == "imaginet" else [4, 8, 16, 24])
    assert early.shape == late.shape == (2, 128)
    torch.testing.assert_close(early, wanted / wanted.norm(dim=1, keepdim=True))
    torch.testing.assert_close(late.norm(dim=1), torch.ones(2))


def test_only_the_later_head_feels_how_long_the_features_are(detector):
    features = torch.rand(2, 2048, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        once, thrice = detector.network.classifier(features), detector.network.classifier(3 * features)
    assert torch.allclose(once, thrice, atol=1e-6) == (detector.card.name != "imaginet")


def test_the_features_are_the_mean_over_the_picture_and_feed_the_head(detector):
    image = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = detector.network(image)
        wanted = detector.network.classifier(detector.network.encoder.maps(image)[3].mean(dim=(2, 3)))
    told = output.generators if output.logit is None else output.logit[:, None]
    torch.testing.assert_close(told, wanted)


# --- files ---


def test_a_file_with_two_tables_is_loaded_whole_and_only_into_its_own_network(detector, tmp_path):
    name = detector.card.name
    state = detector.network.state_dict()
    head = {key.removeprefix("classifier."): value for key, value in state.items() if key.startswith("classifier.")}
    model = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    path = tmp_path / "imaginet_weights.pt"
    torch.save({"model": model, "classifier": head, "epoch": 4}, path)
    loaded = load(name, path, seed=1)
    pixels = [picture(48, 48)]
    loaded.side = 48
    found, wanted = loaded.predict(pixels)[0], detector.predict(pixels)[0]
    assert found.logit == wanted.logit
    assert found.generators == wanted.generators
    other = "imaginet-v0" if name != "imaginet-v0" else "imaginet"
    with pytest.raises(BadWeights, match=f"these tensors fit {name}"):
        load(other, path)


# --- pictures ---


@pytest.mark.parametrize("size", [(301, 259), (100, 300), (90, 61), (1, 5), (256, 256)])
def test_the_middle_256_is_seen_and_small_pictures_are_mirrored(size, detector):
    detector.side = 256
    try:
        pixels = picture(*size)
        (view,) = detector.prepare(pixels).views
    finally:
        detector.side = 48
    top, left = max(size[0] - 256, 0) // 2, max(size[1] - 256, 0) // 2
    middle = pixels[top : top + 256, left : left + 256]
    missing = [256 - length for length in middle.shape[:2]]
    above, before = missing[0] // 2, missing[1] // 2
    wanted = cv2.copyMakeBorder(
        middle, above, missing[0] - above, before, missing[1] - before, cv2.BORDER_REFLECT_101
    )  # fmt: skip
    np.testing.assert_allclose(view.tensor().numpy(), normalised(wanted), atol=2e-6)


def test_another_side_can_be_asked_for(detector):
    try:
        detector.side = 448
        prepared = detector.prepare(picture(500, 300))
        assert prepared.views[0].shape == (448, 448)
        assert prepared.notes == (
            "smaller than 448 pixels: mirrored at its borders", "only the middle 300x448 of 300x500 was seen",
        )  # fmt: skip
        detector.side = 0
        with pytest.raises(BadSetting, match="side"):
            detector.prepare(picture(5, 5))
    finally:
        detector.side = 48


def test_predictions_are_verdicts_or_families_alone_or_together(detector):
    pictures = [picture(40, 57, 1), picture(61, 70, 2)]
    both = detector.predict(pictures, ids=["a", "b"])
    assert [p.sample_id for p in both] == ["a", "b"]
    alone = detector.predict(pictures[1:])[0]
    assert all(p.mask is None for p in both)
    if detector.card.tasks == ("identify",):
        assert all(p.logit is None and p.probability is None for p in both)
        assert tuple(both[0].generators) == GENERATORS == detector.card.weights[0].labels
        assert sum(both[0].generators.values()) == pytest.approx(1)
        assert list(both[0].generators.values()) != list(both[1].generators.values())
        assert alone.generators == pytest.approx(both[1].generators, abs=1e-5)
    else:
        assert all(0.0 <= p.probability <= 1.0 and p.generators is None for p in both)
        assert both[0].logit != both[1].logit
        assert alone.logit == pytest.approx(both[1].logit, abs=1e-5)
