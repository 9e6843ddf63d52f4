"""The embedded detector's network: any size, tiles like the whole, precision where it matters, every design."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fauxlens.detectors import load
from fauxlens.detectors.small import DESIGNS, SMALLEST_SIDE, Small, SmallNetwork
from landscapes import landscape


def test_designs_differ_in_what_they_see() -> None:
    inputs = {name: SmallNetwork(design).stem.weight.shape[1] for name, design in DESIGNS.items()}
    assert inputs == {"context": 12, "residuals": 12, "both": 15, "narrow": 12, "colours": 3}


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (31, 33), (64, 200), (20, 1500)])
def test_any_size_gives_a_mask_of_its_size(size: tuple[int, int]) -> None:
    detector = load("fauxlens-small", "random")
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    said = detector.predict([pixels])[0]
    assert said.mask is not None
    assert said.mask.shape == size
    assert np.isfinite(said.mask).all()
    assert any("mirrored" in note for note in said.notes) == (min(size) < SMALLEST_SIDE)


def test_colours_that_are_shifted_change_nothing_for_residuals() -> None:
    # A residual is a difference of neighbours, so a brighter picture has the same ones.
    network = load("fauxlens-small", "random", setting="residuals").network
    pixels = torch.from_numpy(landscape(1, 64, 64)).permute(2, 0, 1)[None].float().clamp(0, 235)
    with torch.inference_mode():
        first, brighter = network(pixels), network(pixels + 20)
    assert torch.allclose(first.mask, brighter.mask, atol=1e-5)
    colours = load("fauxlens-small", "random", setting="colours").network
    with torch.inference_mode():
        assert not torch.allclose(colours(pixels).mask, colours(pixels + 20).mask, atol=1e-5)


def test_the_first_layer_is_not_rounded_by_half_precision() -> None:
    network = load("fauxlens-small", "random").network
    pixels = torch.from_numpy(landscape(2, 64, 64)).permute(2, 0, 1)[None].float()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert network._first(pixels).dtype == torch.float32


def test_context_begins_as_if_it_were_not_there_and_can_learn() -> None:
    context = load("fauxlens-small", "random", setting="context").network
    plain = SmallNetwork(DESIGNS["residuals"]).eval()
    # The verdict rests on more of the mask in one than in the other; the mask does not rest on the verdict.
    shared = {k: v for k, v in context.state_dict().items() if not k.startswith(("contexts", "verdict"))}
    assert not plain.load_state_dict(shared, strict=False).unexpected_keys
    pixels = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.allclose(context(pixels).mask, plain(pixels).mask, atol=1e-6)
    context.train()
    context(pixels.repeat(2, 1, 1, 1)).mask.square().mean().backward()
    assert all(one.linear.weight.grad.abs().sum() > 0 for one in context.contexts)


def test_tiles_join_without_a_seam() -> None:
    detector = load("fauxlens-small", "random", setting="residuals")
    pixels = np.random.default_rng(1).integers(0, 256, (96, 1400, 3), dtype=np.uint8)
    said = detector.predict([pixels])[0]
    with torch.inference_mode():
        alone = detector.network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    assert isinstance(detector, Small)
    assert said.mask is not None
    assert np.abs(said.mask - alone.mask[0, 0].sigmoid().numpy()).max() < 0.02
    assert said.logit == pytest.approx(float(alone.logit), abs=0.05)
