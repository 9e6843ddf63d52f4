"""NFA-ViT against recorded numbers of the released code: masks, logits, features, losses and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

import golden_nfa
from fauxlens.detectors.nfa_vit import SETTINGS, NfaVit

NUMBERS = dict(np.load(golden_nfa.GOLDEN))


@pytest.fixture(scope="module")
def network() -> NfaVit:
    network = NfaVit(SETTINGS["published"]).eval()
    golden_nfa.fill(network)
    return network


@pytest.fixture(scope="module")
def precise() -> NfaVit:
    network = NfaVit(SETTINGS["published"]).eval()
    golden_nfa.fill(network)
    return network.double()


def wanted(side: int, name: str) -> NDArray[np.float64]:
    return NUMBERS[f"nfa{side}/{name}"]


def pixels(side: int) -> NDArray[np.uint8]:
    drawn = golden_nfa.image(side, side, int(wanted(side, "image_seed")))
    assert drawn.sum(dtype=np.int64) == wanted(side, "image_sum")
    return drawn


def strided(mask: torch.Tensor, side: int) -> NDArray[np.float32]:
    step = int(wanted(side, "mask_logits_stride"))
    return mask[0, 0, ::step, ::step].numpy()


def recorded_guides(side: int) -> list[torch.Tensor]:
    """The recorded masks as guides."""
    found = []
    for stage in range(1, 5):
        heads, queries, keys = wanted(side, f"mask{stage}_shape")[1:]
        allowed = golden_nfa.unpacked(wanted(side, f"mask{stage}_packed").astype(np.uint8), int(keys))
        assert allowed.shape == (heads, queries, keys)
        guide = torch.where(torch.from_numpy(allowed), 0.0, torch.finfo(torch.float32).min)
        found.append(guide[None])
    return found


def test_names_and_parameters(network: NfaVit) -> None:
    assert len(network.state_dict()) == 622
    assert sum(parameter.numel() for parameter in network.parameters()) == 28_601_251


def test_end_to_end_at_128(network: NfaVit) -> None:
    image = golden_nfa.normalised(pixels(128))
    with torch.inference_mode():
        guides = network.noise_backbone.guides(network.noise(image))
        # Layer by layer as the released code runs it: these features show even in which order the extractor rounds.
        noise = nn.Sequential(*network.noise_extractor.layers)(image) + image[:, :1]
        features: list[torch.Tensor] = []
        network.noise_backbone.guides(noise, features=features)
        folded: list[torch.Tensor] = []
        network.noise_backbone.guides(network.noise(image), features=folded)
        output = network(image)
        levels = network.features(image, guides)
    for stage, recorded in enumerate(recorded_guides(128)):
        assert torch.equal(guides[stage] == 0, recorded == 0), f"stage {stage + 1}"
    assert output.mask is not None
    assert output.logit is not None
    assert np.abs(strided(output.mask, 128) - wanted(128, "mask_logits")).max() < 2e-5
    assert abs(output.logit.item() - float(wanted(128, "cls_logit").item())) < 2e-5
    for stage in range(1, 5):
        for name, found, allowed in (("image", levels, 2e-5), ("noise", features, 5e-5), ("noise", folded, 5e-4)):
            sample = found[stage - 1]
            for axis in (1, 2, 3):
                step = max(1, sample.shape[axis] // 8)
                sample = sample.index_select(axis, torch.arange(0, sample.shape[axis], step))
            record = wanted(128, f"{name}_feat{stage}_sample")
            sample = sample[:, : record.shape[1], : record.shape[2], : record.shape[3]]
            assert np.abs(sample.numpy() - record).max() < allowed, f"{name} {stage}"


@pytest.mark.slow
def test_256_with_recorded_guides_and_end_to_end(network: NfaVit, precise: NfaVit) -> None:
    image = golden_nfa.normalised(pixels(256))
    with torch.inference_mode():
        given = network(image, recorded_guides(256))
        output = network(image)
        guides = network.noise_backbone.guides(network.noise(image))
        exact = precise.noise_backbone.guides(precise.noise(image.double()))
    assert np.abs(strided(given.mask, 256) - wanted(256, "mask_logits")).max() < 2e-5
    assert abs(given.logit.item() - float(wanted(256, "cls_logit").item())) < 2e-5
    differing = [int(((a == 0) != (b == 0)).sum()) for a, b in zip(guides, recorded_guides(256), strict=True)]
    assert differing[2] <= 8
    assert differing[0] == differing[1] == differing[3] == 0
    off = [int(((a == 0) != (b == 0)).sum()) for a, b in zip(guides, exact, strict=True)]
    assert off[2] <= 8
    assert off[0] == off[1] == off[3] == 0
    assert np.abs(strided(output.mask, 256) - wanted(256, "mask_logits")).max() < 2e-2
    assert abs(output.logit.item() - float(wanted(256, "cls_logit").item())) < 2e-2


@pytest.mark.slow
def test_512_end_to_end(network: NfaVit) -> None:
    with torch.inference_mode():
        output = network(golden_nfa.normalised(pixels(512)))
    off = np.abs(strided(output.mask, 512) - wanted(512, "mask_logits"))
    assert abs(output.logit.item() - float(wanted(512, "cls_logit").item())) < 2e-2
    assert off.max() < 2e-2
    assert np.quantile(off, 0.99) < 1e-3


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.slow
def test_double_precision_agrees_to_the_last_digits(precise: NfaVit, side: int) -> None:
    with torch.inference_mode():
        output = precise(golden_nfa.normalised(pixels(side)).double())
    assert abs(output.logit.item() - float(wanted(side, "fp64_cls_logit").item())) < 1e-12
    found = golden_nfa.statistics(output.mask)
    assert np.abs(found - wanted(side, "fp64_mask_logits_stats")).max() < 1e-11


def test_losses_and_every_gradient_at_128(network: NfaVit) -> None:
    network.zero_grad(set_to_none=True)
    output = network(golden_nfa.normalised(pixels(128)))
    mask_weight, verdict_weight = SETTINGS["published"].loss_weights
    mask = F.binary_cross_entropy_with_logits(output.mask.double(), golden_nfa.square(128, 128))
    verdict = F.binary_cross_entropy_with_logits(output.logit, torch.ones(1))
    total = mask_weight * mask + verdict_weight * verdict.double()
    found = [total.item(), mask.item(), verdict.item()]
    assert np.abs(np.array(found) - wanted(128, "losses_total_seg_cls")).max() < 1e-5
    total.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    recorded = dict(zip(wanted(128, "grad_names").tolist(), wanted(128, "grad_l2").tolist(), strict=True))
    assert set(gradients) == set(recorded)
    for name, norm in recorded.items():
        gradient = gradients[name]
        if norm < 0:
            assert gradient is None, name
        else:
            assert gradient is not None, name
            assert abs(gradient.double().norm().item() - norm) <= 2e-5 * max(norm, 1e-3), name
    network.zero_grad(set_to_none=True)


def test_a_mistake_would_be_seen(network: NfaVit) -> None:
    """What the strict comparison at 128 is worth: each of these must leave its tolerance by far."""
    image = golden_nfa.normalised(pixels(128))
    record = wanted(128, "mask_logits")
    block = network.image_backbone.block1[0]
    assert (network.seg_decoder.norm.eps, block.norm1.eps, block.attn.norm.eps) == (1e-6, 1e-5, 1e-5)
    with torch.inference_mode():
        turned = [torch.where(guide == 0, torch.finfo(torch.float32).min, 0.0) for guide in recorded_guides(128)]
        assert np.abs(strided(network(image, turned).mask, 128) - record).max() > 0.1
        block.mlp.gelu = "none"
        try:
            assert np.abs(strided(network(image).mask, 128) - record).max() > 4e-5
        finally:
            block.mlp.gelu = "tanh"


def test_the_yardstick_of_the_benchmark_holds_the_same_numbers() -> None:
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[2] / "benchmarks" / "plain_nfa_vit.py"
    spec = importlib.util.spec_from_file_location("plain_nfa_vit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plain = module.PlainNfaVit().eval()
    golden_nfa.fill(plain)
    assert len(plain.state_dict()) == 622
    with torch.inference_mode():
        logit, mask = plain(golden_nfa.normalised(pixels(128)))
    assert np.abs(strided(mask, 128) - wanted(128, "mask_logits")).max() < 2e-5
    assert abs(logit.item() - float(wanted(128, "cls_logit").item())) < 2e-5
