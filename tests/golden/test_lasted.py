"""LASTED gives the recorded numbers, from a state that has all 1359 released names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights
from fauxlens.detectors.lasted import Lasted, LastedDetector
from fauxlens.detectors.load import fitted
from golden_zoo import assert_close, assert_probes, golden, probing, weight, worst_share

WANTED = golden("lasted")
SHARE = 1e-3  # as measured for this network: what float32 itself costs was never compared with float64
IMAGE_HALF = "clip_model.visual."

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Every released name; what the answer does not need takes no memory."""
    return {
        name: weight(name, shape, "B") if name.startswith(IMAGE_HALF) else torch.zeros(()).expand(shape)
        for name, shape in WANTED.shapes.items()
    }


@pytest.fixture(scope="module")
def detector(state: dict[str, Tensor]) -> LastedDetector:
    with torch.device("meta"):
        found = LastedDetector()
    part, tensors = fitted(found, state, LastedDetector.card.weights[0], "golden")
    assert part == ""
    found.network.load_state_dict(tensors, strict=True, assign=True)
    return found


@pytest.fixture(scope="module")
def answer(detector: LastedDetector) -> tuple[Tensor, dict[str, object]]:
    network = detector.network
    assert isinstance(network, Lasted)
    tower = network.clip_model["visual"]
    names = ("layer1", "layer2", "layer4", "attnpool")
    readings = {IMAGE_HALF + name: (tower.get_submodule(name), lambda output: output) for name in names}
    with torch.inference_mode(), probing(network, readings) as probes:
        features = network(WANTED.input("a")).features
    return features, dict(probes)


def test_names_and_shapes_are_the_released_ones(detector):
    """The image half by its released names; the rest is exactly what is known to be left out."""
    own = {name: tuple(tensor.shape) for name, tensor in detector.network.state_dict().items()}
    assert own == {name: shape for name, shape in WANTED.shapes.items() if name.startswith(IMAGE_HALF)}
    assert own | detector.sizes.unused_shapes() == WANTED.shapes


def test_feature_is_the_recorded_one(answer):
    assert_close(answer[0], WANTED.output("B", "a", "unit_feature"), SHARE, "feature")


def test_probes_are_the_recorded_ones(answer):
    assert_probes(answer[1], WANTED.probes("B"))


def test_parameters_are_counted(detector):
    own = sum(parameter.numel() for parameter in detector.network.parameters())
    left_out = sum(torch.Size(shape).numel() for shape in detector.sizes.unused_shapes().values())
    assert own == LastedDetector.card.parameters
    assert own + left_out == WANTED.facts["n_params"]


@pytest.mark.parametrize("mistake", ["strided instead of pooled", "another epsilon"])
def test_mistakes_would_show(detector, mistake):
    modules = [module for module in detector.network.modules() if isinstance(module, nn.AvgPool2d | nn.BatchNorm2d)]
    pools = [module for module in modules if isinstance(module, nn.AvgPool2d)]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    assert len(pools) == 3
    try:
        if mistake == "another epsilon":
            for norm in norms:
                norm.eps = 1e-3
        else:
            for pool in pools:
                pool.forward = lambda maps: maps[..., ::2, ::2]
        with torch.inference_mode():
            found = detector.network(WANTED.input("a")).features
    finally:
        for norm in norms:
            norm.eps = 1e-5
        for pool in pools:
            vars(pool).pop("forward", None)
    assert worst_share(found, WANTED.output("B", "a", "unit_feature")) > 3 * SHARE


@pytest.mark.parametrize("name", ["clip_model.text_projection", "output_layer.2.weight", "clip_model.visual.bn1.bias"])
def test_a_tensor_of_another_shape_is_refused(detector, state, name):
    """Also among those that are left out: such a file is not the released one."""
    with pytest.raises(BadWeights, match="does not fit lasted"):
        fitted(detector, state | {name: torch.zeros(3, 3)}, LastedDetector.card.weights[0], "golden")
