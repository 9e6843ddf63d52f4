"""How TruFor is shown pictures, what it refuses, and what its outputs mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.load import load
from fauxlens.detectors.trufor import PIXEL_BUDGET, SMALLEST_SIDE, TruForDetector, TruForNetwork, over_256, summary


@pytest.fixture(scope="module")
def detector() -> TruForDetector:
    found = load("trufor", "random")
    assert isinstance(found, TruForDetector)
    return found


def network_of(detector: TruForDetector) -> TruForNetwork:
    assert isinstance(detector.network, TruForNetwork)
    return detector.network


def noisy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_is_divided_by_256_and_nothing_else(detector: TruForDetector) -> None:
    picture = noisy(70, 53)
    prepared = detector.prepare(picture)
    (view,) = prepared.views
    wanted = picture.astype(np.float64).transpose(2, 0, 1) / 256
    assert prepared.notes == ()
    np.testing.assert_array_equal(view.tensor().numpy(), wanted.astype(np.float32))


def test_only_the_colours_are_normalised(detector: TruForDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(detector)
    seen: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(network.backbone, "fused", lambda c, n: seen.update(colours=c, noise=n) or [])
    monkeypatch.setattr(network.decode_head, "forward", lambda _: torch.zeros(1, 2, 8, 8))
    monkeypatch.setattr(network.decode_head_conf, "forward", lambda _: torch.zeros(1, 1, 8, 8))
    batch = over_256(noisy(32, 32))[None]
    with torch.inference_mode():
        found = network.maps(batch)
    colours = (batch.numpy() - np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)) / np.array(
        [0.229, 0.224, 0.225]
    ).reshape(3, 1, 1)
    np.testing.assert_allclose(seen["colours"].numpy(), colours, atol=1e-5)
    with torch.inference_mode():
        noise = network.dncnn(batch)
    assert torch.equal(seen["noise"], noise.repeat(1, 3, 1, 1))
    assert torch.equal(found.noise, noise)


def test_a_large_picture_is_resized_and_that_is_said() -> None:
    detector = TruForDetector.__new__(TruForDetector)
    detector.pixel_budget = PIXEL_BUDGET
    prepared = detector.prepare(np.zeros((3000, 4000, 3), np.uint8))
    rows, columns = prepared.views[0].shape
    assert rows * columns <= PIXEL_BUDGET
    assert prepared.notes == (f"resized from 4000x3000 to {columns}x{rows}",)
    detector.pixel_budget = 12_000_000
    assert detector.prepare(np.zeros((3000, 4000, 3), np.uint8)).notes == ()
    detector.pixel_budget = 100
    with pytest.raises(BadSetting, match="budget"):
        detector.prepare(np.zeros((3000, 4000, 3), np.uint8))


def test_masks_come_back_at_the_size_of_each_file(detector: TruForDetector) -> None:
    pictures = [noisy(64, 48), noisy(45, 61, 1), noisy(20, 40, 2)]
    found = detector.predict(pictures, ids=["even", "odd", "tiny"])
    for picture, one in zip(pictures, found, strict=True):
        assert one.mask is not None
        assert one.trace is not None
        assert one.probability is not None
        assert one.mask.shape == one.trace.shape == picture.shape[:2]
        assert bool(np.isfinite(one.mask).all())
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert 0 < one.probability < 1
        assert RANDOM in one.notes
    assert found[2].notes == ("padded from 40x20 to 40x29", RANDOM)
    again = detector.predict(pictures[1:2])[0]
    assert again.logit == found[1].logit
    np.testing.assert_array_equal(again.mask, found[1].mask)


def test_a_resized_picture_gets_its_mask_at_its_own_size(detector: TruForDetector) -> None:
    detector.pixel_budget = 40 * 40
    try:
        found = detector.predict([noisy(60, 80)])[0]
    finally:
        detector.pixel_budget = PIXEL_BUDGET
    assert found.notes[0] == "resized from 80x60 to 46x34"
    assert found.mask is not None
    assert found.mask.shape == (60, 80)
    assert found.confidence is not None
    assert found.confidence.shape == (60, 80)


def test_pictures_alone_or_together_give_the_same(detector: TruForDetector) -> None:
    batch = torch.stack([over_256(noisy(40, 40, seed)) for seed in range(2)])
    together, alone = detector.logits(batch), detector.logits(batch[1:])
    assert together.logit is not None
    assert alone.logit is not None
    torch.testing.assert_close(together.logit[1:], alone.logit, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.mask[1:], alone.mask, rtol=1e-3, atol=1e-4)


def test_the_second_class_is_the_forged_one(detector: TruForDetector) -> None:
    assert detector.card.weights[0].labels == ("authentic", "forged")
    network, batch = network_of(detector), over_256(noisy(32, 40))[None]
    output = detector.logits(batch)
    with torch.inference_mode():
        maps = network.maps(batch)
    assert output.mask is not None
    torch.testing.assert_close(output.mask.sigmoid()[:, 0], maps.logits.softmax(dim=1)[:, 1])
    assert output.confidence is not None
    assert torch.equal(output.confidence, maps.confidence)
    bias = network.decode_head.linear_pred.bias
    with torch.no_grad():
        bias[1] += 3
    try:
        raised = detector.logits(batch).mask
    finally:
        with torch.no_grad():
            bias[1] -= 3
    assert raised is not None
    torch.testing.assert_close(raised, output.mask + 3, rtol=1e-4, atol=1e-4)


def test_the_verdict_rests_on_eight_numbers_of_two_maps(detector: TruForDetector) -> None:
    network = network_of(detector)
    random = np.random.default_rng(4)
    logits, confidence = random.normal(size=(1, 2, 5, 7)) * 2, random.normal(size=(1, 1, 5, 7)) * 2
    sure, forged = confidence.ravel(), (logits[0, 1] - logits[0, 0]).ravel()
    trusted = 1 / (1 + np.exp(-sure))
    numbers = []
    for values, weights in ((sure, np.full(35, 1 / 35)), (forged, trusted / trusted.sum())):
        numbers += [
            -np.log((weights * np.exp(-values)).sum()),
            np.log((weights * np.exp(values)).sum()),
            (weights * values).sum(),
            (weights * values**2).sum(),
        ]
    first, _, _, last = network.detection
    hidden = np.maximum(first.weight.detach().numpy() @ numbers + first.bias.detach().numpy(), 0)
    wanted = last.weight.detach().numpy() @ hidden + last.bias.detach().numpy()
    with torch.inference_mode():
        found = network.verdict(torch.from_numpy(logits).float(), torch.from_numpy(confidence).float())
    np.testing.assert_allclose(found.numpy()[0], wanted, atol=1e-5)


def test_the_summary_of_a_flat_map_is_its_value() -> None:
    found = summary(torch.full((1, 10), 2.0), torch.full((1, 10), -float(np.log(10))))
    torch.testing.assert_close(found, torch.tensor([[2.0, 2.0, 2.0, 4.0]]))


def test_the_summary_holds_out_against_very_large_numbers() -> None:
    found = summary(torch.tensor([[-300.0, 500.0]]), torch.full((1, 2), -float(np.log(2))))
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found[0, :2], torch.tensor([-300 + np.log(2), 500 - np.log(2)]).float())


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (3, 64, 64), (1, 3, SMALLEST_SIDE - 1, 64)])
def test_what_the_network_cannot_see_is_refused(detector: TruForDetector, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShape):
        detector.network(torch.zeros(shape))


def test_the_smallest_side_is_seen(detector: TruForDetector) -> None:
    output = detector.logits(torch.zeros(1, 3, SMALLEST_SIDE, SMALLEST_SIDE + 4))
    assert output.mask is not None
    assert output.mask.shape == (1, 1, SMALLEST_SIDE, SMALLEST_SIDE + 4)
