"""FatFormer gives the recorded numbers, from a state that has all 1446 released names, second names included."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights
from fauxlens.detectors.fatformer import AdaptedBlock, FatFormer, FatFormerDetector, HaarBands, HaarSum
from fauxlens.detectors.load import fitted
from fauxlens.detectors.view import CLIP_DEVIATION, CLIP_MEAN, normalised
from golden_zoo import assert_close, assert_probes, golden, probing, weight, worst_share

WANTED = golden("fatformer")
SHARE = 1e-4
SECOND = {
    "image_encoder.": "clip_model.visual.",
    "text_encoder.": "clip_model.",
    "logit_scale": "clip_model.logit_scale",
}

pytestmark = pytest.mark.slow


def first_name(name: str) -> str | None:
    """The first name of a tensor that the released file names twice; None for a name that is the first."""
    for second, first in SECOND.items():
        if name.startswith(second):
            return first + name.removeprefix(second)
    return None


def released() -> dict[str, Tensor]:
    """A state of the released names; what has two names is one tensor, as in the file."""
    filters = {f"dwt_transform.{name}": tensor for name, tensor in HaarBands().state_dict().items()}
    filters |= {f"idwt_transform.{name}": tensor for name, tensor in HaarSum().state_dict().items()}
    state = {}
    for name, shape in WANTED.shapes.items():
        if first_name(name) is not None or "token_prefix" in name or "token_suffix" in name:
            continue
        filled_as = name
        if "dwt_transform" in name:
            state[name] = filters[name.partition("forgery_aware_adapter.")[2]]
            continue
        if name.endswith("freq_scale"):  # the only tensors that were recorded with the value of their second name
            filled_as = name.replace("clip_model.visual.", "image_encoder.")
        state[name] = weight(filled_as, shape, "A")
    state["clip_model.logit_scale"] = torch.tensor(math.log(1 / 0.07))
    words = state["clip_model.token_embedding.weight"]
    sentences = torch.tensor([[49406] + [343] * 8 + [word, 269, 49407] + [0] * 65 for word in (1532, 5777)])
    state["language_guided_alignment.token_prefix"] = words[sentences[:, :1]]
    state["language_guided_alignment.token_suffix"] = words[sentences[:, 9:]]
    return {name: state[first_name(name) or name] for name in WANTED.shapes}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return released()


@pytest.fixture(scope="module")
def detector(state: dict[str, Tensor]) -> FatFormerDetector:
    """Built without numbers and given the state's own tensors: 577 million are held once."""
    with torch.device("meta"):
        found = FatFormerDetector()
    part, tensors = fitted(found, state, FatFormerDetector.card.weights[0], "golden")
    assert part == ""
    found.network.load_state_dict(tensors, strict=True, assign=True)
    for module in found.network.modules():  # counters that no file holds
        if isinstance(getattr(module, "position_ids", None), Tensor):
            module.position_ids = torch.arange(module.position_ids.shape[1])[None]
    return found


@pytest.fixture(scope="module")
def answer(detector: FatFormerDetector) -> tuple[Tensor, dict[str, object]]:
    network = detector.network
    assert isinstance(network, FatFormer)
    layers = network.image.vision_model.encoder.layers
    visual = "clip_model.visual.transformer.resblocks."
    readings = {
        f"{visual}2.forgery_aware_adapter": (layers[2].forgery_aware_adapter, _first),
        f"{visual}2": (layers[2], _first),
        f"{visual}23": (layers[23], _first),
        "language_guided_alignment.norm2": (network.language_guided_alignment.norm2, _first),
        "language_guided_alignment": (network.language_guided_alignment, _first),
        "text_guided_interactor": (network.text_guided_interactor, _first),
        "norm2": (network.norm2, _first),
        # A block without an adapter is not called as a whole; its output is what the next one's first norm is given.
        f"{visual}0": (_Seen(layers[1].layer_norm1), _first),
    }
    with torch.inference_mode(), probing(network, readings) as probes:
        logits = network.class_logits(WANTED.input("a"))
    return logits, dict(probes)


class _Seen(nn.Module):
    """Calls its own hooks with what another module is given."""

    def __init__(self, watched: nn.Module) -> None:
        super().__init__()
        watched.register_forward_pre_hook(lambda _, given: self(given[0]))

    def forward(self, given: Tensor) -> Tensor:
        return given


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def test_names_are_the_released_ones(state):
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == WANTED.shapes
    assert sum(first_name(name) is not None for name in state) == 709


def test_logits_are_the_recorded_ones(answer):
    assert_close(answer[0], WANTED.output("A", "a", "logits"), SHARE, "logits")


def test_probes_are_the_recorded_ones(answer):
    assert_probes(answer[1], WANTED.probes("A"))


def test_parameters_are_counted(detector):
    counted = sum(parameter.numel() for parameter in detector.network.parameters())
    assert counted == FatFormerDetector.card.parameters == WANTED.facts["n_params"]


def test_verdict_is_fake_minus_real(detector):
    with torch.inference_mode():
        logit = detector.network(WANTED.input("a")).logit
    real, fake = WANTED.output("A", "a", "logits")[0]
    assert logit.item() == pytest.approx(fake - real, rel=10 * SHARE)


def test_statistics_of_clip_would_show(detector):
    with torch.inference_mode():
        found = detector.network.class_logits(normalised(WANTED.pixels("a"), CLIP_MEAN, CLIP_DEVIATION)[None])
    assert worst_share(found, WANTED.output("A", "a", "logits")) > 10 * SHARE


@pytest.mark.parametrize("mistake", ["difference the other way round", "bands and places exchanged"])
def test_mistakes_in_the_adapter_would_show(detector, mistake):
    adapters = [
        module.forgery_aware_adapter for module in detector.network.modules() if isinstance(module, AdaptedBlock)
    ]
    assert len(adapters) == 8

    def exchange() -> None:
        for adapter in adapters:
            if mistake == "bands and places exchanged":
                adapter.intra_band, adapter.inter_band = adapter.inter_band, adapter.intra_band
            else:
                for part, name in ((adapter.dwt_transform, "h1"), (adapter.idwt_transform, "g1")):
                    setattr(part, f"{name}_row", -getattr(part, f"{name}_row"))
                    setattr(part, f"{name}_col", -getattr(part, f"{name}_col"))

    exchange()
    try:
        with torch.inference_mode():
            found = detector.network.class_logits(WANTED.input("a"))
    finally:
        exchange()
    assert worst_share(found, WANTED.output("A", "a", "logits")) > 10 * SHARE


@pytest.mark.parametrize("name", ["image_encoder.ln_post.bias", "text_encoder.text_projection", "logit_scale"])
def test_second_names_that_differ_are_refused(detector, state, name):
    spoilt = dict(state)
    spoilt[name] = state[name] + 1e-3
    with pytest.raises(BadWeights, match=f"'{name}' and .* are two names of one tensor"):
        fitted(detector, spoilt, FatFormerDetector.card.weights[0], "golden")


@pytest.mark.parametrize("spoil", ["a second name more", "a tensor less", "another shape"])
def test_a_state_that_is_not_the_released_one_is_refused(detector, state, spoil):
    spoilt = dict(state)
    if spoil == "a second name more":
        spoilt["image_encoder.more"] = torch.zeros(1)
    elif spoil == "a tensor less":
        for start in ("clip_model.visual.", "image_encoder."):
            del spoilt[f"{start}transformer.resblocks.2.forgery_aware_adapter.norm3.weight"]
    else:
        spoilt["linear1.weight"] = torch.zeros(768, 768)
    with pytest.raises(BadWeights, match="does not fit fatformer"):
        fitted(detector, spoilt, FatFormerDetector.card.weights[0], "golden")
