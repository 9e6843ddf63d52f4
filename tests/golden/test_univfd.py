"""UnivFD gives the recorded numbers, from a state that has the authors' names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights
from fauxlens.detectors.load import fitted
from fauxlens.detectors.univfd import UnivFd, UnivFdNetwork
from fauxlens.detectors.view import normalised
from golden_zoo import Golden, assert_close, assert_probes, golden, probing, weight, worst_share

WANTED = golden("univfd")
SHARE = 1e-4

pytestmark = pytest.mark.slow


def released(wanted: Golden) -> dict[str, Tensor]:
    """Every tensor that the authors' network has; those of the text tower, which are not used, take no memory."""
    used = ("model.visual.", "fc.")
    return {
        name: weight(name, shape, "A") if name.startswith(used) else torch.zeros(()).expand(shape)
        for name, shape in wanted.shapes.items()
    }


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return released(WANTED)


@pytest.fixture(scope="module")
def detector(state: dict[str, Tensor]) -> UnivFd:
    with torch.device("meta"):
        found = UnivFd()
    part, tensors = fitted(found, state, UnivFd.card.weights[0], "golden")
    assert part == ""
    found.network.load_state_dict(tensors, strict=True, assign=True)
    places = found.network.clip.vision_model.embeddings  # counts positions, which no file holds
    places.position_ids = torch.arange(places.position_ids.shape[1])[None]
    return found


@pytest.fixture(scope="module")
def answer(detector: UnivFd) -> tuple[Tensor, Tensor, dict[str, object]]:
    network = detector.network
    assert isinstance(network, UnivFdNetwork)
    tower = network.clip.vision_model
    readings = {
        "model.visual.conv1": (tower.embeddings.patch_embedding, lambda output: output),
        "model.visual.transformer.resblocks.0": (tower.encoder.layers[0], _first),
        "model.visual.transformer.resblocks.23": (tower.encoder.layers[23], _first),
    }
    with torch.inference_mode(), probing(network, readings) as probes:
        output = network(WANTED.input("a"))
    assert output.logit is not None
    assert output.features is not None
    return output.logit, output.features, dict(probes)


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def test_feature_and_logit_are_the_recorded_ones(answer):
    logit, features, _ = answer
    assert_close(features, WANTED.output("A", "a", "feature"), SHARE, "feature")
    assert_close(logit[:, None], WANTED.output("A", "a", "logit"), SHARE, "logit")


def test_probes_are_the_recorded_ones(answer):
    assert_probes(answer[2], WANTED.probes("A"))


def test_parameters_are_counted(detector):
    own = sum(parameter.numel() for parameter in detector.network.parameters())
    left_out = [shape for name, shape in WANTED.shapes.items() if not name.startswith(("model.visual.", "fc."))]
    assert own == UnivFd.card.parameters
    assert own + sum(torch.Size(shape).numel() for shape in left_out) == WANTED.facts["n_params"]


def test_preparation_and_predict_reach_the_recorded_logit(detector):
    """The whole way from pixels: the golden picture has the size of the view."""
    found = detector.predict([WANTED.pixels("a")])[0]
    assert found.logit == pytest.approx(WANTED.output("A", "a", "logit").item(), rel=SHARE)


def test_mistakes_would_show(detector):
    """ImageNet's statistics, the plain GELU and a normalised embedding all miss by more than is allowed."""
    network, wanted = detector.network, WANTED.output("A", "a", "feature")
    with torch.inference_mode():
        assert worst_share(network.embedding(normalised(WANTED.pixels("a"))[None]), wanted) > 10 * SHARE
        right = network.embedding(WANTED.input("a"))
        assert worst_share(right / right.norm(dim=-1, keepdim=True), wanted) > 10 * SHARE
        mlps = [layer.mlp for layer in network.clip.vision_model.encoder.layers]
        kept = mlps[0].activation_fn
        try:
            for mlp in mlps:
                mlp.activation_fn = nn.GELU()
            assert worst_share(network.embedding(WANTED.input("a")), wanted) > 10 * SHARE
        finally:
            for mlp in mlps:
                mlp.activation_fn = kept


@pytest.mark.parametrize(
    "spoil", ["a tensor more", "a tensor less", "another shape", "another shape in the text tower"]
)
def test_a_state_that_is_not_the_released_one_is_refused(detector, state, spoil):
    spoilt = dict(state)
    if spoil == "a tensor more":
        spoilt["model.visual.more"] = torch.zeros(1)
    elif spoil == "a tensor less":
        del spoilt["model.visual.transformer.resblocks.7.ln_1.bias"]
    elif spoil == "another shape":
        spoilt["model.visual.positional_embedding"] = torch.zeros(197, 1024)
    else:
        spoilt["model.text_projection"] = torch.zeros(512, 768)
    with pytest.raises(BadWeights, match="does not fit univfd"):
        fitted(detector, spoilt, UnivFd.card.weights[0], "golden")


def test_the_two_published_files_fit_their_parts(detector, state):
    """The layer as the authors give it, and CLIP under OpenAI's names or, below, the library's."""
    weights = UnivFd.card.weights[0]
    head = {"weight": state["fc.weight"], "bias": state["fc.bias"]}
    assert fitted(detector, head, weights, "golden")[0] == "fc."
    openai = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    part, tower = fitted(detector, openai, weights, "golden")
    assert part == "clip."
    assert torch.equal(tower["visual_projection.weight"], state["model.visual.proj"].T)
